//! The only door out of the process: clock, files, random seeds, signals, the allocator, the log.
//!
//! Nothing below or beside this room asks the kernel for anything by itself, so that a test can put
//! its own clock and seed in and get the same bytes out.
//!
//! Mirrors: monotonic.c, zmalloc.c, setproctitle.c and the signal handlers of server.c.

pub mod alloc;
pub mod cache;
pub mod clock;
pub mod crash;
pub mod daemon;
pub mod files;
pub mod limits;
pub mod loan;
pub mod log;
pub mod lua;
pub mod notify;
pub mod peer;
pub mod process;
pub mod signal;
pub mod title;

/// Fills a buffer with bytes fit for secrets, from the kernel's generator.
pub fn random_bytes(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// A number nobody can predict, from the kernel.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library seeds this from the kernel's generator, on every platform alike.
    RandomState::new().hash_one(std::process::id())
}
