//! Streams under a key that a module opened.
//!
//! An iteration keeps the ID it has come to, so that whatever happens to the stream meanwhile the next step looks there
//! again. Fields of the entry it stands at are copied when it gets there.
//!
//! Mirrors: the RM_Stream functions of module.c.

use std::collections::VecDeque;
use std::ffi::{c_int, c_long};

use super::codes::{ERR, OK};
use super::context::{self, set_errno};
use super::keys::{Key, using};
use super::strings::{self, RString, StreamIdC, bytes};
use super::typed::{Cursor, entry_bytes};
use crate::keyspace::act::{keys, notify};
use crate::keyspace::{Deadline, NewValue};
use crate::types::Stream;
use crate::types::stream::StreamId;
use crate::types::stream::{References, StreamLimits, Trim, TrimTo};

const ADD_AUTO_ID: c_int = 1;
const EXCLUSIVE: c_int = 1;
const REVERSE: c_int = 1 << 1;
const TRIM_APPROXIMATELY: c_int = 1;

/// An iteration over the entries of a stream.
#[derive(Debug)]
pub struct StreamCursor {
    from: StreamId,
    to: StreamId,
    back: bool,
    /// The entry that it stands at.
    current: Option<StreamId>,
    /// Fields and values of that entry that were not taken yet.
    fields: VecDeque<(Vec<u8>, Vec<u8>)>,
    ended: bool,
}

fn fail(errno: c_int) -> c_int {
    set_errno(errno);
    ERR
}

pub unsafe extern "C" fn add(
    key: *mut Key,
    flags: c_int,
    id: *mut StreamIdC,
    argv: *const *mut RString,
    pairs: i64,
) -> c_int {
    let Ok(count) = usize::try_from(pairs) else {
        return fail(libc::EINVAL);
    };
    let auto = flags & ADD_AUTO_ID != 0;
    if key.is_null() || flags & !ADD_AUTO_ID != 0 || (!auto && id.is_null()) {
        return fail(libc::EINVAL);
    }
    if count > 0 && argv.is_null() {
        return fail(libc::EINVAL);
    }
    unsafe {
        let words = strings::list(argv, 2 * count);
        let wanted = id.as_ref().map(|id| StreamId::from(*id));
        let added = using(key, |key, state| {
            let there = key.entry(state).is_some();
            if there && key.value::<Stream>(state).is_none() {
                return Err(libc::ENOTSUP);
            }
            if !key.writes() {
                return Err(libc::EBADF);
            }
            if !auto && wanted == Some(StreamId { ms: 0, seq: 0 }) {
                return Err(libc::EDOM);
            }
            let now = state.keyspace.env().now_ms() as u64;
            let limits = StreamLimits {
                block_bytes: state.config.stream_node_max_bytes,
                block_entries: state.config.stream_node_max_entries,
            };
            let mut fresh = None;
            let stream = match state.keyspace[key.db].get_mut_as::<Stream>(key.bytes()) {
                Ok(Some(stream)) => stream,
                Ok(None) => fresh.insert(Stream::new()),
                Err(_) => return Err(libc::ENOTSUP),
            };
            let last = stream.last_id();
            if last == StreamId::MAX {
                return Err(libc::EFBIG);
            }
            let id = match (auto, wanted) {
                (false, Some(id)) => Some(id).filter(|id| *id > last).ok_or(libc::EDOM)?,
                _ => stream.next_id(now).ok_or(libc::EFBIG)?,
            };
            let fields = words.iter().map(|word| bytes(*word));
            stream
                .append(id, fields, count, limits)
                .map_err(|_| libc::ERANGE)?;
            if let Some(stream) = fresh {
                let value = NewValue::Object(stream.into());
                keys::store(state, key.db, key.bytes(), value, Deadline::Set(None));
            }
            // Clients blocked on the stream are served when the command is over.
            notify::touched(state, key.db, key.bytes());
            Ok(id)
        });
        match added {
            Some(Ok(new)) => {
                if auto && let Some(id) = id.as_mut() {
                    *id = new.into();
                }
                OK
            }
            Some(Err(errno)) => fail(errno),
            None => ERR,
        }
    }
}

/// Changes a stream that is there.
unsafe fn on_stream<R>(key: *mut Key, f: impl FnOnce(&mut Stream) -> R) -> Result<R, c_int> {
    let done = unsafe {
        using(key, |key, state| {
            if key.value::<Stream>(state).is_none() {
                return Err(libc::ENOTSUP);
            }
            if !key.writes() {
                return Err(libc::EBADF);
            }
            key.change(state, || None, f).ok_or(libc::ENOTSUP)
        })
    };
    done.unwrap_or(Err(libc::EINVAL))
}

pub unsafe extern "C" fn delete(key: *mut Key, id: *const StreamIdC) -> c_int {
    if key.is_null() || id.is_null() {
        return fail(libc::EINVAL);
    }
    let id = StreamId::from(unsafe { *id });
    match unsafe { on_stream(key, |stream| stream.delete(id)) } {
        Ok(true) => OK,
        Ok(false) => fail(libc::ENOENT),
        Err(errno) => fail(errno),
    }
}

/// Blocks' worth of entries that an approximate trim takes at most.
const TRIM_BLOCKS: u64 = 100;

unsafe fn trim(key: *mut Key, flags: c_int, to: TrimTo) -> i64 {
    if key.is_null() || flags & !TRIM_APPROXIMATELY != 0 {
        set_errno(libc::EINVAL);
        return -1;
    }
    let approximate = flags & TRIM_APPROXIMATELY != 0;
    let block = context::with(|state| state.config.stream_node_max_entries as u64);
    let trim = Trim {
        to,
        approximate,
        limit: match approximate {
            true => TRIM_BLOCKS * block.unwrap_or(0),
            false => 0,
        },
        references: References::Keep,
    };
    match unsafe { on_stream(key, |stream| stream.trim(&trim).entries) } {
        Ok(count) => count as i64,
        Err(errno) => {
            set_errno(errno);
            -1
        }
    }
}

pub unsafe extern "C" fn trim_by_length(key: *mut Key, flags: c_int, length: i64) -> i64 {
    let Ok(length) = u64::try_from(length) else {
        set_errno(libc::EINVAL);
        return -1;
    };
    unsafe { trim(key, flags, TrimTo::Length(length)) }
}

pub unsafe extern "C" fn trim_by_id(key: *mut Key, flags: c_int, id: *const StreamIdC) -> i64 {
    if id.is_null() {
        set_errno(libc::EINVAL);
        return -1;
    }
    unsafe { trim(key, flags, TrimTo::MinId((*id).into())) }
}

pub unsafe extern "C" fn start(
    key: *mut Key,
    flags: c_int,
    start: *const StreamIdC,
    end: *const StreamIdC,
) -> c_int {
    if key.is_null() || flags & !(EXCLUSIVE | REVERSE) != 0 {
        return fail(libc::EINVAL);
    }
    let begun = unsafe {
        let (start, end) = (start.as_ref().copied(), end.as_ref().copied());
        using(key, |key, state| {
            if key.value::<Stream>(state).is_none() {
                return Err(libc::ENOTSUP);
            }
            if key.mode & super::keys::READ == 0 {
                return Err(libc::EBADF);
            }
            if matches!(key.cursor, Cursor::Stream(_)) {
                return Err(libc::EBADF);
            }
            let mut from = start.map_or(StreamId::MIN, StreamId::from);
            let mut to = end.map_or(StreamId::MAX, StreamId::from);
            if flags & EXCLUSIVE != 0 {
                if start.is_some() {
                    from = from.next().ok_or(libc::EDOM)?;
                }
                if end.is_some() {
                    to = to.prev().ok_or(libc::EDOM)?;
                }
            }
            key.cursor = Cursor::Stream(StreamCursor {
                from,
                to,
                back: flags & REVERSE != 0,
                current: None,
                fields: VecDeque::new(),
                ended: false,
            });
            Ok(())
        })
    };
    match begun {
        Some(Ok(())) => OK,
        Some(Err(errno)) => fail(errno),
        None => ERR,
    }
}

pub unsafe extern "C" fn stop(key: *mut Key) -> c_int {
    let Some(key) = (unsafe { key.as_mut() }) else {
        return fail(libc::EINVAL);
    };
    match key.cursor {
        Cursor::Stream(_) => {
            key.cursor = Cursor::None;
            OK
        }
        _ => fail(libc::EBADF),
    }
}

pub unsafe extern "C" fn next_id(key: *mut Key, id: *mut StreamIdC, fields: *mut c_long) -> c_int {
    if key.is_null() {
        return fail(libc::EINVAL);
    }
    let found = unsafe {
        using(key, |key, state| {
            let mut cursor = match std::mem::take(&mut key.cursor) {
                Cursor::Stream(cursor) => cursor,
                other => {
                    key.cursor = other;
                    return Err(libc::EBADF);
                }
            };
            cursor.fields.clear();
            let (mut from, mut to) = (cursor.from, cursor.to);
            let mut over = cursor.ended;
            if let Some(current) = cursor.current {
                let step = match cursor.back {
                    true => current.prev(),
                    false => current.next(),
                };
                match step {
                    Some(step) if cursor.back => to = step,
                    Some(step) => from = step,
                    None => over = true,
                }
            }
            let stream = key.value::<Stream>(state).filter(|_| !over && from <= to);
            let found = stream.and_then(|stream| {
                let mut entries = stream.entries(from, to, cursor.back);
                let entry = entries.next()?;
                for _ in 0..entry.fields {
                    let (name, value) = entries.field()?;
                    cursor
                        .fields
                        .push_back((entry_bytes(name), entry_bytes(value)));
                }
                Some((entry.id, entry.fields))
            });
            match found {
                Some((id, _)) => cursor.current = Some(id),
                None => {
                    cursor.ended = true;
                    cursor.current = None;
                }
            }
            key.cursor = Cursor::Stream(cursor);
            found.ok_or(libc::ENOENT)
        })
    };
    match found {
        Some(Ok((found, count))) => unsafe {
            if !id.is_null() {
                *id = found.into();
            }
            if !fields.is_null() {
                *fields = count as c_long;
            }
            OK
        },
        Some(Err(errno)) => fail(errno),
        None => ERR,
    }
}

pub unsafe extern "C" fn next_field(
    key: *mut Key,
    name: *mut *mut RString,
    value: *mut *mut RString,
) -> c_int {
    let Some(key) = (unsafe { key.as_mut() }) else {
        return fail(libc::EINVAL);
    };
    let Cursor::Stream(cursor) = &mut key.cursor else {
        return fail(libc::EBADF);
    };
    let Some((of_name, of_value)) = cursor.fields.pop_front() else {
        return fail(libc::ENOENT);
    };
    unsafe {
        if !name.is_null() {
            *name = super::keys::string_of(key, &of_name);
        }
        if !value.is_null() {
            *value = super::keys::string_of(key, &of_value);
        }
    }
    OK
}

pub unsafe extern "C" fn delete_current(key: *mut Key) -> c_int {
    let Some(handle) = (unsafe { key.as_mut() }) else {
        return fail(libc::EINVAL);
    };
    if !handle.writes() {
        return fail(libc::EBADF);
    }
    let current = match &handle.cursor {
        Cursor::Stream(cursor) => cursor.current,
        _ => return fail(libc::EBADF),
    };
    let Some(id) = current else {
        return fail(libc::ENOENT);
    };
    let gone = context::with(|state| {
        handle.change(state, || None, |stream: &mut Stream| stream.delete(id))
    });
    if gone.flatten() == Some(true) {
        OK
    } else {
        fail(libc::ENOENT)
    }
}
