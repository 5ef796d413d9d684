//! The server process; all it does is in [`oxidis::server::run_process`].
//!
//! Mirrors: `main()` of server.c.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: oxidis::sys::alloc::Counting = oxidis::sys::alloc::Counting;

fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|argument| argument.into_encoded_bytes());
    let arguments: Vec<Vec<u8>> = arguments.collect();
    ExitCode::from(oxidis::server::run_process(&arguments) as u8)
}
