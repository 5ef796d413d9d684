//! Descriptors that modules have the loop watch.
//!
//! Mirrors: RM_EventLoopAdd() and RM_EventLoopDel() of module.c.

use std::ffi::c_int;
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{set_errno, with};
use crate::modules::{Opaque, WatchFn, Watched};

const READABLE: c_int = 1;
const WRITABLE: c_int = 1 << 1;

/// Descriptors beyond those of `maxclients`.
#[doc(alias = "CONFIG_FDSET_INCR")]
const MORE: c_int = 128;

/// Whether these can be a descriptor and a mask; if not, `errno` says what is wrong.
fn fits(fd: c_int, mask: c_int) -> bool {
    let most = with(|state| state.config.maxclients as c_int).unwrap_or(0);
    let errno = if fd < 0 || fd >= most.saturating_add(MORE) {
        libc::ERANGE
    } else if mask & !(READABLE | WRITABLE) != 0 {
        libc::EINVAL
    } else {
        return true;
    };
    set_errno(errno);
    false
}

pub unsafe extern "C" fn add(fd: c_int, mask: c_int, run: Option<WatchFn>, data: Opaque) -> c_int {
    if !fits(fd, mask) {
        return ERR;
    }
    let Some(run) = run else {
        set_errno(libc::EINVAL);
        return ERR;
    };
    let added = with(|state| {
        let none = Watched {
            read: None,
            write: None,
            data: ptr::null_mut(),
        };
        let watched = state.modules.watched.entry(fd).or_insert(none);
        if mask & READABLE != 0 {
            watched.read = Some(run);
        }
        if mask & WRITABLE != 0 {
            watched.write = Some(run);
        }
        watched.data = data;
        state.modules.watched_changed = true;
    });
    set_errno(0);
    if added.is_some() { OK } else { ERR }
}

pub unsafe extern "C" fn remove(fd: c_int, mask: c_int) -> c_int {
    if !fits(fd, mask) {
        return ERR;
    }
    with(|state| {
        let Some(watched) = state.modules.watched.get_mut(&fd) else {
            return;
        };
        if mask & READABLE != 0 {
            watched.read = None;
        }
        if mask & WRITABLE != 0 {
            watched.write = None;
        }
        if watched.read.is_none() && watched.write.is_none() {
            state.modules.watched.remove(&fd);
        }
        state.modules.watched_changed = true;
    });
    set_errno(0);
    OK
}
