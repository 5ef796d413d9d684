//! Signals that end the server, for the process that owns them. Embedded servers install none.
//!
//! Mirrors: `setupSignalHandlers()` and `sigShutdownHandler()` of server.c.
#![allow(unsafe_code)] // sigaction is a system call, and its handler may do almost nothing.

use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

/// Signals belong to the process, so what they leave behind must be static.
static PENDING: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
/// A file that must not stay behind; a C string, never freed.
static UNFINISHED: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Installs handlers for SIGTERM and SIGINT and ignores SIGPIPE, SIGHUP and SIGXFSZ (a file at its
/// limit is an error to be handled, like a full disk). The handler only notes the
/// signal; the loop's `poll` is interrupted by it and finds the note.
#[cfg(unix)]
pub fn install() {
    extern "C" fn note(signal: libc::c_int) {
        if signal == libc::SIGINT && COUNT.fetch_add(1, Relaxed) > 0 {
            // A second Ctrl-C means it: leave at once.
            let unfinished = UNFINISHED.load(SeqCst);
            if !unfinished.is_null() {
                // SAFETY: a C string that lives for ever; unlink is async-signal-safe.
                unsafe { libc::unlink(unfinished) };
            }
            // SAFETY: async-signal-safe.
            unsafe { libc::_exit(1) };
        }
        PENDING.store(signal, Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the structure is zeroed, which is a valid empty one, and the handler does nothing
        // that is not async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
    for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGXFSZ] {
        // SAFETY: ignoring a signal has no preconditions.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The signal noted since the last call, if any.
pub fn take() -> Option<i32> {
    match PENDING.swap(0, Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

/// The file a save in the foreground is writing: a second SIGINT, which ends the process at once, removes it.
#[doc(alias = "rdbRemoveTempFile")]
pub fn remove_when_interrupted(path: Option<&Path>) {
    let bytes = path.map(|path| path.as_os_str().as_encoded_bytes());
    let name = bytes.and_then(|bytes| std::ffi::CString::new(bytes).ok());
    // Leaked, because the handler may be reading it: a few bytes per save in the foreground.
    UNFINISHED.store(
        name.map_or(std::ptr::null_mut(), std::ffi::CString::into_raw),
        SeqCst,
    );
}
