//! Copies of the process for modules, and RDB files that modules save and load.
//!
//! Mirrors: RM_Fork(), RM_RdbSave(), RM_RdbLoad() and their kin of module.c.

use std::ffi::{OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::codes::{ERR, OK};
use super::context::{set_errno, with};
use super::strings::c_bytes;
use crate::modules::act::fork as act;
use crate::modules::{ForkDoneFn, Opaque};
use crate::persistence::act::{loading, saving};
use crate::persistence::loading::Opened;
use crate::state::State;
use crate::sys;
use crate::{keyspace, replication};

pub unsafe extern "C" fn fork(done: Option<ForkDoneFn>, data: Opaque) -> c_int {
    match with(|state| act::begin(state, done, data)) {
        Some(Ok(pid)) => pid,
        Some(Err(errno)) => {
            set_errno(errno);
            -1
        }
        None => -1,
    }
}

/// Progress of a child is not shown.
pub extern "C" fn heartbeat(_progress: f64) {}

pub extern "C" fn exit_from_child(code: c_int) -> c_int {
    match sys::fork::is_child() {
        true => sys::fork::exit(code),
        false => ERR,
    }
}

pub extern "C" fn kill_child(pid: c_int) -> c_int {
    match with(|state| act::kill(state, pid, true)) {
        Some(true) => OK,
        _ => ERR,
    }
}

/// A file that an RDB is saved to or loaded from.
#[derive(Debug)]
pub struct RdbStream {
    path: PathBuf,
}

pub unsafe extern "C" fn stream_of_file(path: *const c_char) -> *mut RdbStream {
    let path = OsStr::from_bytes(unsafe { c_bytes(path) });
    Box::into_raw(Box::new(RdbStream { path: path.into() }))
}

pub unsafe extern "C" fn free_stream(stream: *mut RdbStream) {
    if !stream.is_null() {
        // SAFETY: made by `stream_of_file`; the module gives it up.
        drop(unsafe { Box::from_raw(stream) });
    }
}

/// Answers as the interface does: `errno` is 0 when all went well.
fn answer(done: Option<Result<(), c_int>>) -> c_int {
    let errno = match done {
        Some(Ok(())) => 0,
        Some(Err(errno)) => errno,
        None => libc::EINVAL,
    };
    set_errno(errno);
    if errno == 0 { OK } else { ERR }
}

pub unsafe extern "C" fn save(_ctx: Opaque, stream: *const RdbStream, flags: c_int) -> c_int {
    let Some(stream) = (unsafe { stream.as_ref() }).filter(|_| flags == 0) else {
        return answer(None);
    };
    answer(with(|state| match saving::save_to(state, &stream.path) {
        true => Ok(()),
        false => Err(libc::EIO),
    }))
}

pub unsafe extern "C" fn load(_ctx: Opaque, stream: *const RdbStream, flags: c_int) -> c_int {
    let Some(stream) = (unsafe { stream.as_ref() }).filter(|_| flags == 0) else {
        return answer(None);
    };
    answer(with(|state| load_file(state, &stream.path)))
}

/// Puts the data set of a file in the place of the present one. Replicas must begin anew; the append-only file, if it is
/// on, begins anew as well.
fn load_file(state: &mut State, path: &Path) -> Result<(), c_int> {
    if state.config.is_replica() {
        return Err(libc::ENOTSUP);
    }
    if state.persistence.is_loading() {
        return Err(libc::EBUSY);
    }
    replication::act::transfer::begin_history(state);
    let appends = state.config.appendonly;
    crate::persistence::act::rewrite::stop_aof_if_on(state);
    replication::act::full_sync::cancel_save(state);
    drop(keyspace::act::keys::empty(state, None));
    let path = state.config.dir.join(path);
    let flags = crate::persistence::loading::Flags {
        leaves_aof: true,
        ..Default::default()
    };
    let loaded = match loading::begin_loading_rdb(state, &path, flags) {
        Opened::Yes if loading::load_all(state) => Ok(()),
        Opened::Missing => Err(libc::ENOENT),
        _ => Err(libc::EIO),
    };
    if appends && !crate::persistence::act::rewrite::follow_appendonly(state) {
        return Err(libc::EIO);
    }
    loaded
}
