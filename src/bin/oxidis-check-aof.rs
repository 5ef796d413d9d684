//! Says whether append-only files are sound, and mends them; all it does is in [`oxidis::persistence::aof::check`].
//!
//! Mirrors: redis-check-aof.c.

use std::io::{stdin, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|argument| argument.into_encoded_bytes());
    let arguments: Vec<Vec<u8>> = arguments.collect();
    let (mut answers, mut report) = (stdin().lock(), stdout().lock());
    let code = oxidis::persistence::aof::check::run(&arguments, &mut answers, &mut report);
    ExitCode::from(code as u8)
}
