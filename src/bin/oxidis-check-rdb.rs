//! Says whether an RDB file is sound; all it does is in [`oxidis::persistence::rdb::check`].
//!
//! Mirrors: redis-check-rdb.c.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|argument| argument.into_encoded_bytes());
    let arguments: Vec<Vec<u8>> = arguments.collect();
    let code = oxidis::persistence::rdb::check::run(&arguments, &mut std::io::stdout().lock());
    ExitCode::from(code as u8)
}
