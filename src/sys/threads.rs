//! Helper threads.
//!
//! Mirrors: the calls of `pthread_create()` in bio.c.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread; debuggers and `ps` show its name. Fails when the system has no thread to give.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work)
}
