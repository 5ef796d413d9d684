//! The door out of the process: clock, files, random seeds, signals, the allocator, the log, limits, processes.
//!
//! It is the only one: `clippy.toml` bans clocks, sleep, files, threads and random numbers of the standard library
//! everywhere else, by name. Commands take the time from [`clock`] and chance from the seed of the state, so that a test
//! that brings its own gets the same bytes; files are reached through a [`files::Disk`], which a test may replace. Only
//! sockets are elsewhere: `server/` owns them.
//!
//! Mirrors: monotonic.c, zmalloc.c, setproctitle.c and the signal handlers of server.c.

// Functions that `clippy.toml` bans elsewhere are called here, and only here.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod affinity;
pub mod alloc;
pub mod bytes;
pub mod cache;
pub mod clock;
pub mod crash;
pub mod daemon;
pub mod entropy;
pub mod files;
pub mod fork;
pub mod limits;
pub mod loan;
pub mod locale;
pub mod log;
pub mod lua;
pub mod memtest;
pub mod notify;
pub mod peer;
pub mod process;
pub mod ready;
pub mod signal;
pub mod syscheck;
pub mod threads;
pub mod title;

/// Fills a buffer with bytes fit for secrets, from the kernel's generator.
pub fn random_bytes(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// A number nobody can predict, from the kernel.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let mut bytes = [0; 8];
    match random_bytes(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // No descriptor is left, or there is no such file here. The standard library has keys from the kernel as well,
        // and a keyed hash tells nothing of them.
        Err(_) => RandomState::new().hash_one(std::process::id()),
    }
}
