//! The server process: arguments, configuration file, signals.
//!
//! Mirrors: `main()` of server.c.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: oxidis::sys::alloc::Counting = oxidis::sys::alloc::Counting;

fn main() -> ExitCode {
    let config = oxidis::config::Config::default();
    oxidis::sys::signal::install();
    let mut server = match oxidis::Server::new(config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("Failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    server.own_process();
    if let Err(line) = server.listen(false) {
        eprintln!("{line}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(server.run() as u8)
}
