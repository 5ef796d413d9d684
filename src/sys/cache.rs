//! The page cache: files that nobody reads again soon should not push out what others need.
//!
//! Mirrors: reclaimFilePageCache() of util.c. Differs: a page that is not full yet stays, since appending to it would
//! have to read it first.
#![allow(unsafe_code)] // posix_fadvise is a system call.

use std::fs::File;

/// Lets the system forget the pages of a file between two offsets in bytes, as far as they are on disk. A wish: it has
/// no outcome to look at, and none where the system knows no such thing.
#[doc(alias = "reclaimFilePageCache")]
pub fn forget(file: &File, from: u64, to: u64) {
    let page = super::process::page_bytes().max(1) as u64;
    // The page in which the part begins was not full when the part before it was forgotten.
    let (from, to) = (from - from % page, to - to % page);
    if from >= to {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // A length of 0 would mean: to the end.
        let (from, len) = (from as libc::off_t, (to - from) as libc::off_t);
        // SAFETY: a descriptor that is open while `file` is borrowed, and numbers.
        unsafe {
            libc::posix_fadvise(file.as_raw_fd(), from, len, libc::POSIX_FADV_DONTNEED);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
