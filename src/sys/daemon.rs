//! Leaving the terminal.
//!
//! Mirrors: daemonize() of server.c.
#![allow(unsafe_code)] // fork, setsid and dup2 are system calls.

use std::io;

/// Goes on in the background: a child in a session of its own, its standard streams nowhere. The process
/// that called ends inside. Must be called before the first thread is started: a child has only one.
#[cfg(unix)]
pub fn detach() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: by contract the process has one thread, so the child inherits a whole world.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        // SAFETY: leaves at once, as the half of a fork that is done must: no destructors, no flushing.
        _ => unsafe { libc::_exit(0) },
    }
    // SAFETY: no preconditions.
    unsafe { libc::setsid() };
    let mut options = std::fs::OpenOptions::new();
    let null = options.read(true).write(true).open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: both are open descriptors, or the call fails and changes nothing.
        unsafe { libc::dup2(null.as_raw_fd(), stream) };
    }
    Ok(())
}

/// Goes on in the background; not on this system.
#[cfg(not(unix))]
pub fn detach() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
