//! A copy of the process, for a module that asks for one. The server never forks for itself.
//!
//! The child has one thread: the one that forked. Whatever other threads were at, their locks stay as they were, so the
//! log, which the child writes to, is held across the fork, and the caller sees to it that no job runs that holds more.
//!
//! Mirrors: redisFork(), setupChildSignalHandlers(), exitFromChild() of server.c.
#![allow(unsafe_code)] // fork, waitpid and kill are system calls.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

use super::log::Logger;

/// The side of a fork that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The copy.
    Child,
    /// The process as it was; the number of the copy.
    Parent(i32),
}

/// This process is a copy. Copies belong to the process as a whole.
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// Where the child's signal handler writes its line; -1: nowhere.
static LOG: AtomicI32 = AtomicI32::new(-1);

/// The exit code of a child that was told to end (SIGUSR1).
#[doc(alias = "SERVER_CHILD_NOERROR_RETVAL")]
pub const TOLD_TO_END: i32 = 255;

/// Whether this process is a copy made by [`fork`].
pub fn is_child() -> bool {
    IS_CHILD.load(Relaxed)
}

/// Makes a copy of the process.
///
/// # Errors
/// The system's: no memory, too many processes.
pub fn fork(log: &Logger) -> io::Result<Side> {
    let held = log.hold();
    // SAFETY: the child goes on with this thread alone, as the top of this file says.
    let pid = unsafe { libc::fork() };
    drop(held);
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            IS_CHILD.store(true, Relaxed);
            LOG.store(log.descriptor().unwrap_or(-1), Relaxed);
            become_child();
            Ok(Side::Child)
        }
        pid => Ok(Side::Parent(pid)),
    }
}

/// A child ends at SIGUSR1, and gives up the sockets that the server listens on, so that a server that ends and starts
/// again finds its ports free.
fn become_child() {
    extern "C" fn end(_: libc::c_int) {
        let mut line = [0u8; 80];
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            for byte in bytes {
                line[len] = *byte;
                len += 1;
            }
        };
        let mut digits = [0u8; 12];
        let mut at = digits.len();
        // SAFETY: getpid is async-signal-safe.
        let mut pid = unsafe { libc::getpid() };
        while pid > 0 {
            at -= 1;
            digits[at] = b'0' + (pid % 10) as u8;
            pid /= 10;
        }
        put(&digits[at..]);
        put(b":signal-handler Received SIGUSR1 in child, exiting now.\n");
        // SAFETY: write and _exit are async-signal-safe; the line is as long as is said.
        unsafe {
            libc::write(LOG.load(Relaxed), line.as_ptr().cast(), len);
            libc::_exit(TOLD_TO_END);
        }
    }
    let handler: extern "C" fn(libc::c_int) = end;
    // SAFETY: the structure is zeroed, which is a valid empty one, and the handler does nothing that is not
    // async-signal-safe. A descriptor that is no listening socket is left alone.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        let most = libc::sysconf(libc::_SC_OPEN_MAX).clamp(0, 65_536) as i32;
        for fd in 3..most {
            let (mut listens, mut size) = (0i32, size_of::<i32>() as libc::socklen_t);
            let value: *mut i32 = &mut listens;
            let told = libc::getsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_ACCEPTCONN,
                value.cast(),
                &raw mut size,
            );
            if told == 0 && listens != 0 {
                libc::close(fd);
            }
        }
    }
}

/// Ends the child at once.
pub fn exit(code: i32) -> ! {
    // SAFETY: nothing of the process is used any more.
    unsafe { libc::_exit(code) }
}

/// Whether a child has ended: its exit code, and the signal that ended it (0 if none did). An error of the system counts
/// as an end without either.
pub fn ended(pid: i32) -> Option<(i32, i32)> {
    wait(pid, libc::WNOHANG)
}

/// Has a child end, and waits until it has if `wait_for_it`.
pub fn kill(pid: i32, wait_for_it: bool) {
    // SAFETY: the number is that of a child that was not waited for yet.
    let sent = unsafe { libc::kill(pid, libc::SIGUSR1) };
    if sent == 0 && wait_for_it {
        wait(pid, 0);
    }
}

fn wait(pid: i32, options: i32) -> Option<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a value of the right type.
        let found = unsafe { libc::waitpid(pid, &raw mut status, options) };
        let interrupted = || io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        match found {
            0 => return None,
            -1 if interrupted() => {}
            -1 => return Some((-1, 0)),
            _ if libc::WIFSIGNALED(status) => return Some((-1, libc::WTERMSIG(status))),
            _ => return Some((libc::WEXITSTATUS(status), 0)),
        }
    }
}
