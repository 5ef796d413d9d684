//! Scans by modules: over the keys of a database, and over the elements of a key.
//!
//! One step first collects names, and then calls back with each: so the callback may change what is scanned.
//!
//! Mirrors: RM_Scan() and RM_ScanKey() of module.c.

use std::ffi::c_int;

use super::context::{self, Context, set_errno};
use super::keys::{self, Key, using};
use super::strings::{self, RString};
use super::typed::entry_bytes;
use crate::modules::Opaque;
use crate::types::hash::is_past;
use crate::types::{Hash, Set, Zset};
use crate::util::num::IntBuf;

type ScanFn = unsafe extern "C" fn(Opaque, *mut RString, *mut Key, Opaque);
type ScanKeyFn = unsafe extern "C" fn(*mut Key, *mut RString, *mut RString, Opaque);

/// The place that a scan has come to.
#[derive(Debug, Default)]
pub struct ScanCursor {
    cursor: u64,
    done: bool,
}

/// Elements looked at in one step.
const STEP: usize = 10;

pub extern "C" fn create() -> *mut ScanCursor {
    Box::into_raw(Box::default())
}

pub unsafe extern "C" fn restart(cursor: *mut ScanCursor) {
    unsafe { *cursor = ScanCursor::default() };
}

pub unsafe extern "C" fn destroy(cursor: *mut ScanCursor) {
    if !cursor.is_null() {
        drop(unsafe { Box::from_raw(cursor) });
    }
}

pub unsafe extern "C" fn scan(
    ctx: Opaque,
    cursor: *mut ScanCursor,
    run: ScanFn,
    private: Opaque,
) -> c_int {
    let (Some(context), cursor) = (unsafe { (context::of(ctx), &mut *cursor) }) else {
        return 0;
    };
    if cursor.done {
        set_errno(libc::ENOENT);
        return 0;
    }
    let found = context::with(|state| {
        let db = context.database(state);
        let mut names: Vec<Vec<u8>> = Vec::new();
        let keyspace = &state.keyspace[db];
        let next = keyspace.scan(cursor.cursor, STEP, &mut |entry| {
            names.push(entry.key().to_vec());
        });
        names.retain(|name| state.keyspace[db].contains(name));
        (db, names, next)
    });
    let Some((db, names, next)) = found else {
        return 0;
    };
    let address: *mut Context = context;
    for name in names {
        let string = strings::new(&name);
        let key = keys::make(address, db, &name, keys::READ);
        // SAFETY: key and name live through the call.
        unsafe {
            run(ctx, string, key, private);
            keys::free(key);
            strings::release(string);
        }
    }
    cursor.cursor = next;
    cursor.done = next == 0;
    c_int::from(!cursor.done)
}

pub unsafe extern "C" fn scan_key(
    key: *mut Key,
    cursor: *mut ScanCursor,
    run: ScanKeyFn,
    private: Opaque,
) -> c_int {
    let cursor = unsafe { &mut *cursor };
    if key.is_null() {
        set_errno(libc::EINVAL);
        return 0;
    }
    if cursor.done {
        set_errno(libc::ENOENT);
        return 0;
    }
    let mut found: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let next = unsafe {
        using(key, |key, state| {
            let now = state.keyspace.env().field_time();
            if let Some(hash) = key.value::<Hash>(state) {
                return Some(hash.scan(cursor.cursor, STEP, &mut |field| {
                    if key.sees_expired() || !is_past(field.deadline, now) {
                        found.push((
                            field.name.as_bytes(&mut IntBuf::new()).to_vec(),
                            Some(field.value.as_bytes(&mut IntBuf::new()).to_vec()),
                        ));
                    }
                }));
            }
            if let Some(set) = key.value::<Set>(state) {
                return Some(set.scan(cursor.cursor, STEP, &mut |member| {
                    found.push((entry_bytes(member), None));
                }));
            }
            if let Some(zset) = key.value::<Zset>(state) {
                return Some(zset.scan(cursor.cursor, STEP, &mut |scored| {
                    let score = crate::util::num::format_f64(scored.score);
                    found.push((entry_bytes(scored.member), Some(score.into_bytes())));
                }));
            }
            None
        })
    };
    let Some(Some(next)) = next else {
        set_errno(libc::EINVAL);
        return 0;
    };
    for (name, value) in found {
        let name = strings::new(&name);
        let value = value.map_or(strings::none(), |value| strings::new(&value));
        // SAFETY: both live through the call.
        unsafe {
            run(key, name, value, private);
            strings::release(name);
            if !value.is_null() {
                strings::release(value);
            }
        }
    }
    cursor.cursor = next;
    cursor.done = next == 0;
    c_int::from(!cursor.done)
}
