//! The process's title: what `ps` shows in place of its arguments.
//!
//! ```text
//!   stack at start   argv[0] \0 argv[1] \0 … │ NAME=value \0 NAME=value \0 …
//!   afterwards       oxidis-server *:6379 \0 \0 \0 … (the environment has moved to the heap)
//! ```
//!
//! Mirrors: setproctitle.c. Differs: where the arguments lie is read from `/proc`, so nothing has to be saved before
//! `main`; on systems without it there is no title.
//!
//! Unsafe: writes over the process's own arguments, and moves the environment out of the way.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

/// Where a title can be written.
#[derive(Debug)]
pub struct Title {
    start: usize,
    len: usize,
}

unsafe extern "C" {
    /// Of libc: the list of the environment's strings, ended by a null.
    static mut environ: *mut *mut libc::c_char;
}

impl Title {
    /// Takes the room of the arguments and of the environment, which moves. To be called while there is one thread.
    /// `None` where the system does not tell where they are.
    #[doc(alias = "spt_init")]
    pub fn take() -> Option<Title> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is a name in parentheses, which may hold anything; the rest are numbers from the third on.
        let (_, rest) = stat.rsplit_once(") ")?;
        let field = |n: usize| rest.split(' ').nth(n - 3)?.trim_end().parse::<usize>().ok();
        let (start, end) = (field(48)?, field(49)?);
        let (env_start, env_end) = (field(50)?, field(51)?);
        if start == 0 || end <= start {
            return None;
        }
        // The environment usually follows at once; then its room is ours, too.
        let follows = env_start == end && env_end > env_start;
        if follows {
            // SAFETY: one thread, as the caller promises.
            unsafe { move_environment() };
        }
        let len = if follows {
            env_end - start
        } else {
            end - start
        };
        Some(Title { start, len })
    }

    /// Shows a title, cut to the room there is.
    pub fn set(&self, title: &str) {
        let shown = &title.as_bytes()[..title.len().min(self.len - 1)];
        let start: *mut u8 = ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: from `start` on there are `len` bytes of the process's first stack, writable for ever, which hold
        // nothing but arguments. The arguments in `std::env` stay C strings: the last byte is 0.
        unsafe {
            ptr::write_bytes(start, 0, self.len);
            ptr::copy_nonoverlapping(shown.as_ptr(), start, shown.len());
        }
    }
}

/// Gives the environment's strings a new home.
///
/// # Safety
/// There is one thread.
unsafe fn move_environment() {
    let mut strings = Vec::new();
    // SAFETY: libc's list: pointers to C strings, and a null at its end.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            strings.push(CStr::from_ptr(*next).to_owned().into_raw());
            next = next.add(1);
        }
    }
    strings.push(ptr::null_mut());
    // SAFETY: a list of the same form; it and its strings live for ever.
    unsafe { environ = Box::leak(strings.into_boxed_slice()).as_mut_ptr() };
}
