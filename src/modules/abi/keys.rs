//! Keys that modules open: a handle is a name, and each use looks the key up again.
//!
//! So whatever a module does between two uses of a handle (`Call` of DEL, another handle, a notification), no reference
//! into the keyspace outlives an API function. The exceptions are pointers that C gets by contract: of a string
//! (`StringDMA`, valid until the next use of the key), and of a value of a module's own type.
//!
//! Invariant: `name` is one reference of the handle.
//!
//! Mirrors: RM_OpenKey() and its kin of module.c.
//! Differs: Redis keeps a pointer to the value in the handle.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Auto, Context};
use super::strings::{self, RString, bytes};
use super::typed::Cursor;
use crate::collections::shared::BigStr;
use crate::keyspace::act::{keys, notify};
use crate::keyspace::events::Event;
use crate::keyspace::{DbId, Deadline, Entry, Kind, NewValue, ValueRef};
use crate::modules::{Module, Opaque};
use crate::state::State;
use crate::types::{Held, Value};
use crate::util::num::IntBuf;

pub const READ: c_int = 1;
pub const WRITE: c_int = 2;
const NO_TOUCH: c_int = 1 << 16;
const NO_NOTIFY: c_int = 1 << 17;
const NO_STATS: c_int = 1 << 18;
const NO_EXPIRE: c_int = 1 << 19;
const NO_EFFECTS: c_int = 1 << 20;
pub const ACCESS_EXPIRED: c_int = 1 << 21;

/// Longest string that a module may make.
const STRING_MAX: usize = 512 << 20;

/// A key that a module opened.
#[derive(Debug)]
pub struct Key {
    /// The context it was opened in, as long as that lives.
    context: *mut Context,
    /// Its database.
    pub db: DbId,
    /// Its name.
    pub name: *mut RString,
    /// How it was opened.
    pub mode: c_int,
    /// Closing it signals that it was modified.
    signals: bool,
    /// Bytes that a pointer was given to.
    scratch: Vec<u8>,
    big: Option<BigStr>,
    /// An iteration.
    pub cursor: Cursor,
}

impl Key {
    /// The name's bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the handle has a reference, and names are not changed while there are several.
        unsafe { bytes(self.name) }
    }

    /// Whether it may be written.
    pub fn writes(&self) -> bool {
        self.mode & WRITE != 0
    }

    /// Whether fields of hashes that are over are seen.
    pub fn sees_expired(&self) -> bool {
        self.mode & ACCESS_EXPIRED != 0
    }

    /// The entry, as this handle sees it.
    pub fn entry<'s>(&'s self, state: &'s State) -> Option<Entry<'s>> {
        let db = &state.keyspace[self.db];
        if self.sees_expired() {
            db.peek_raw(self.bytes())
        } else if leaves_expired(self.mode) {
            let now = state.keyspace.env().now_ms();
            let entry = db.peek_raw(self.bytes());
            entry.filter(|entry| !entry.is_expired(now))
        } else {
            db.peek(self.bytes())
        }
    }

    /// The value, if it is of this type.
    pub fn value<'s, T: Held>(&'s self, state: &'s State) -> Option<&'s T> {
        self.entry(state)?.value().as_object().and_then(T::of)
    }

    /// Changes the value, or a new one that is stored if it is not empty afterwards; a value that is empty afterwards
    /// is deleted. `None` when the key holds another type.
    pub fn change<T: Held, R>(
        &self,
        state: &mut State,
        new: impl FnOnce() -> Option<T>,
        f: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let name = self.bytes();
        match state.keyspace[self.db].get_mut_as::<T>(name) {
            Err(_) => None,
            Ok(Some(value)) => {
                let result = f(value);
                self.delete_if_empty(state);
                Some(result)
            }
            Ok(None) => {
                let mut value = new()?;
                let result = f(&mut value);
                let value: Value = value.into();
                if value.count() > 0 {
                    keys::store(
                        state,
                        self.db,
                        name,
                        NewValue::Object(value),
                        Deadline::Set(None),
                    );
                    state.blocked.touch(self.db, name);
                }
                Some(result)
            }
        }
    }

    /// Deletes the key when its value has no element left.
    pub fn delete_if_empty(&self, state: &mut State) {
        let entry = state.keyspace[self.db].peek(self.bytes());
        let empty = entry.is_some_and(|entry| match entry.value() {
            ValueRef::String(_) => false,
            ValueRef::Object(value) => {
                value.count() == 0 && !matches!(value.kind(), Kind::Stream | Kind::Module)
            }
        });
        if empty {
            keys::delete(state, self.db, self.bytes(), false);
            state.blocked.touch(self.db, self.bytes());
        }
    }
}

/// Whether a key that is over is not even noted to be deleted.
fn leaves_expired(mode: c_int) -> bool {
    mode & (NO_EFFECTS | NO_EXPIRE) != 0
}

/// A handle, for whoever hands keys to modules.
pub fn make(context: *mut Context, db: DbId, name: &[u8], mode: c_int) -> *mut Key {
    Box::into_raw(Box::new(Key {
        context,
        db,
        name: strings::new(name),
        mode,
        signals: false,
        scratch: Vec::new(),
        big: None,
        cursor: Cursor::None,
    }))
}

pub unsafe extern "C" fn open(ctx: Opaque, name: *mut RString, mode: c_int) -> *mut Key {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ptr::null_mut();
    };
    let address: *mut Context = context;
    let text = unsafe { bytes(name) };
    let module = context.module.clone();
    let opened = context::with(|state| {
        let db = context.database(state);
        let quiet = mode & NO_EFFECTS != 0;
        let found = if mode & WRITE != 0 {
            state.keyspace[db].get_mut(text).is_some()
        } else if mode & ACCESS_EXPIRED != 0 {
            state.keyspace[db].peek_raw(text).is_some()
        } else if leaves_expired(mode) {
            let now = state.keyspace.env().now_ms();
            let entry = state.keyspace[db].peek_raw(text);
            entry.is_some_and(|entry| !entry.is_expired(now))
        } else if mode & NO_STATS != 0 {
            state.keyspace[db].peek(text).is_some()
        } else if mode & NO_TOUCH != 0 {
            state.keyspace[db].get_untouched(text).is_some()
        } else {
            state.keyspace[db].get(text).is_some()
        };
        if !found && mode & WRITE == 0 {
            if !quiet && mode & NO_NOTIFY == 0 {
                notify::notify(state, Event::MISS, db, text);
            }
            return None;
        }
        // A lookup notes a key that is over; the module asked not to have it deleted.
        if !found && !leaves_expired(mode) {
            crate::keyspace::act::expire::reap_expired(state);
        }
        Some(db)
    });
    let Some(Some(db)) = opened else {
        return ptr::null_mut();
    };
    // SAFETY: the module's string is alive; the handle holds it from now on.
    unsafe { strings::retain(name) };
    let signals = module.is_none_or(|module| !module.has(Module::NO_IMPLICIT_SIGNAL));
    let key = Box::into_raw(Box::new(Key {
        context: address,
        db,
        name,
        mode,
        signals: signals && mode & WRITE != 0,
        scratch: Vec::new(),
        big: None,
        cursor: Cursor::None,
    }));
    if context.auto.is_none() {
        // Without automatic memory the handle may outlive the context.
        // SAFETY: the handle was just made.
        unsafe { (*key).context = ptr::null_mut() };
    }
    context.keep(Auto::Key(key));
    key
}

/// Signals the end of what was written, and frees a handle. The state must be lent.
///
/// # Safety
/// The handle is alive and not used any more.
pub unsafe fn free(key: *mut Key) {
    // SAFETY: as promised by the caller.
    let key = unsafe { Box::from_raw(key) };
    if key.signals {
        context::with(|state| notify::signalled(state, key.db, key.bytes()));
    }
    // SAFETY: the reference of the handle.
    unsafe { strings::release(key.name) };
}

pub unsafe extern "C" fn close(key: *mut Key) {
    if key.is_null() {
        return;
    }
    unsafe {
        if let Some(context) = (*key).context.as_mut() {
            context.no_longer_keep(Auto::Key(key));
        }
        free(key);
    }
}

/// Uses a key with its state; `None` for NULL, or when there is no state.
pub unsafe fn using<R>(key: *mut Key, f: impl FnOnce(&mut Key, &mut State) -> R) -> Option<R> {
    let key = unsafe { key.as_mut() }?;
    context::with(|state| f(key, state))
}

/// As [`using`], for functions that answer OK or ERR.
unsafe fn ok_if(key: *mut Key, f: impl FnOnce(&mut Key, &mut State) -> bool) -> c_int {
    match unsafe { using(key, f) } {
        Some(true) => OK,
        _ => ERR,
    }
}

pub unsafe extern "C" fn kind(key: *mut Key) -> c_int {
    let kind = unsafe { using(key, |key, state| key.entry(state).map(|e| e.kind())) };
    match kind.flatten() {
        None => 0,
        Some(Kind::String) => 1,
        Some(Kind::List) => 2,
        Some(Kind::Hash) => 3,
        Some(Kind::Set) => 4,
        Some(Kind::Zset) => 5,
        Some(Kind::Stream) => 7,
        // A type that the interface has no number for is somebody's own, as seen from a module.
        Some(Kind::Module | Kind::Array | Kind::Vset) => 6,
    }
}

pub unsafe extern "C" fn value_length(key: *mut Key) -> usize {
    let size = unsafe { using(key, |key, state| key.entry(state).map_or(0, |e| e.size())) };
    size.unwrap_or(0)
}

pub unsafe extern "C" fn delete(key: *mut Key) -> c_int {
    unsafe { remove(key, false) }
}

pub unsafe extern "C" fn unlink(key: *mut Key) -> c_int {
    unsafe { remove(key, true) }
}

unsafe fn remove(key: *mut Key, lazy: bool) -> c_int {
    unsafe {
        ok_if(key, |key, state| {
            if !key.writes() {
                return false;
            }
            keys::delete(state, key.db, key.bytes(), lazy);
            state.blocked.touch(key.db, key.bytes());
            key.cursor = Cursor::None;
            true
        })
    }
}

pub unsafe extern "C" fn get_expire(key: *mut Key) -> i64 {
    let left = unsafe {
        using(key, |key, state| {
            let deadline = key.entry(state)?.deadline()?;
            Some((deadline - state.keyspace.env().now_ms()).max(0))
        })
    };
    left.flatten().unwrap_or(-1)
}

pub unsafe extern "C" fn get_abs_expire(key: *mut Key) -> i64 {
    let deadline = unsafe { using(key, |key, state| key.entry(state)?.deadline()) };
    deadline.flatten().unwrap_or(-1)
}

pub unsafe extern "C" fn set_expire(key: *mut Key, ms: i64) -> c_int {
    unsafe { expire(key, ms, false) }
}

pub unsafe extern "C" fn set_abs_expire(key: *mut Key, ms: i64) -> c_int {
    unsafe { expire(key, ms, true) }
}

unsafe fn expire(key: *mut Key, ms: i64, absolute: bool) -> c_int {
    unsafe {
        ok_if(key, |key, state| {
            if !key.writes() || ms < -1 {
                return false;
            }
            let now = state.keyspace.env().now_ms();
            let deadline = match ms {
                -1 => None,
                ms if absolute => Some(ms),
                ms => now.checked_add(ms),
            };
            if ms != -1 && deadline.is_none() {
                return false;
            }
            state.keyspace[key.db].set_deadline(key.bytes(), deadline)
        })
    }
}

pub unsafe extern "C" fn string_set(key: *mut Key, value: *mut RString) -> c_int {
    unsafe {
        ok_if(key, |key, state| {
            if !key.writes() || !matches!(key.cursor, Cursor::None) {
                return false;
            }
            let value = NewValue::Bytes(bytes(value));
            keys::store_as_is(state, key.db, key.bytes(), value, Deadline::Set(None));
            state.blocked.touch(key.db, key.bytes());
            true
        })
    }
}

/// A pointer to the bytes of a string. For reading it points to the value, or to a copy of a short one; for writing into
/// the value, which is unshared from any snapshot before.
pub unsafe extern "C" fn string_dma(key: *mut Key, len: *mut usize, mode: c_int) -> *mut c_char {
    static EMPTY: [u8; 1] = [0];
    let (mut length, mut data): (usize, *mut c_char) = (0, ptr::null_mut());
    unsafe {
        using(key, |key, state| {
            let Some(entry) = key.entry(state) else {
                data = EMPTY.as_ptr().cast_mut().cast();
                return;
            };
            let Some(string) = entry.string() else {
                return;
            };
            let wanted = string.len();
            if mode & WRITE == 0 || !key.writes() {
                let big = string.big().cloned();
                let copy = match big {
                    Some(_) => Vec::new(),
                    None => {
                        let mut copy = string.as_bytes(&mut IntBuf::new()).to_vec();
                        copy.push(0);
                        copy
                    }
                };
                length = wanted;
                (key.big, key.scratch) = (big, copy);
                data = match &key.big {
                    Some(big) => big.as_slice().as_ptr().cast_mut().cast(),
                    None => key.scratch.as_mut_ptr().cast(),
                };
                return;
            }
            key.big = None;
            if let Some(mut entry) = state.keyspace[key.db].get_mut(key.bytes())
                && let Ok(Some(own)) = entry.bytes_mut(wanted)
            {
                length = own.len();
                data = own.as_mut_ptr().cast();
            }
        });
        if !len.is_null() {
            *len = length;
        }
    }
    data
}

pub unsafe extern "C" fn string_truncate(key: *mut Key, len: usize) -> c_int {
    unsafe {
        ok_if(key, |key, state| {
            if !key.writes() || len > STRING_MAX {
                return false;
            }
            let entry = state.keyspace[key.db].get_mut(key.bytes());
            match entry {
                None if len == 0 => true,
                None => {
                    let zeros = vec![0; len];
                    let value = NewValue::RawBytes(&zeros);
                    keys::store_as_is(state, key.db, key.bytes(), value, Deadline::Set(None));
                    true
                }
                Some(entry) => {
                    let Some(string) = entry.string() else {
                        return false;
                    };
                    let mut resized = string.as_bytes(&mut IntBuf::new()).to_vec();
                    resized.resize(len, 0);
                    let value = NewValue::RawBytes(&resized);
                    keys::store_as_is(state, key.db, key.bytes(), value, Deadline::Keep);
                    true
                }
            }
        })
    }
}

pub unsafe extern "C" fn name(key: *const Key) -> *const RString {
    match unsafe { key.as_ref() } {
        Some(key) => key.name,
        None => ptr::null(),
    }
}

pub unsafe extern "C" fn db(key: *const Key) -> c_int {
    unsafe { key.as_ref() }.map_or(-1, |key| key.db.0 as c_int)
}

pub extern "C" fn open_modes() -> c_int {
    READ | WRITE | NO_TOUCH | NO_NOTIFY | NO_STATS | NO_EXPIRE | NO_EFFECTS | ACCESS_EXPIRED
}

fn lfu(state: &State) -> bool {
    state.keyspace.env().is_lfu()
}

pub unsafe extern "C" fn set_lru(key: *mut Key, idle_ms: i64) -> c_int {
    unsafe {
        ok_if(key, |key, state| {
            let Ok(idle) = u64::try_from(idle_ms) else {
                return false;
            };
            if lfu(state) {
                return false;
            }
            let clock = state.keyspace.env().clock_for_idle(idle);
            key.entry(state)
                .map(|entry| entry.set_clock(clock))
                .is_some()
        })
    }
}

pub unsafe extern "C" fn get_lru(key: *mut Key, idle_ms: *mut i64) -> c_int {
    unsafe {
        *idle_ms = -1;
        ok_if(key, |key, state| {
            let Some(clock) = key.entry(state).map(|entry| entry.clock()) else {
                return false;
            };
            if !lfu(state) {
                *idle_ms = state.keyspace.env().idle_ms(clock) as i64;
            }
            true
        })
    }
}

pub unsafe extern "C" fn set_lfu(key: *mut Key, frequency: i64) -> c_int {
    unsafe {
        ok_if(key, |key, state| {
            if !lfu(state) || frequency < 0 {
                return false;
            }
            let clock = state
                .keyspace
                .env()
                .clock_for_frequency(frequency.min(255) as u8);
            key.entry(state)
                .map(|entry| entry.set_clock(clock))
                .is_some()
        })
    }
}

pub unsafe extern "C" fn get_lfu(key: *mut Key, frequency: *mut i64) -> c_int {
    unsafe {
        *frequency = -1;
        ok_if(key, |key, state| {
            let Some(clock) = key.entry(state).map(|entry| entry.clock()) else {
                return false;
            };
            if lfu(state) {
                *frequency = i64::from(state.keyspace.env().frequency(clock));
            }
            true
        })
    }
}

pub unsafe extern "C" fn exists(ctx: Opaque, name: *const RString) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return 0;
    };
    let name = unsafe { bytes(name) };
    let found = context::with(|state| {
        let db = context.database(state);
        state.keyspace[db].contains(name)
    });
    c_int::from(found == Some(true))
}

pub unsafe extern "C" fn random(ctx: Opaque) -> *mut RString {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return strings::none();
    };
    let found = context::with(|state| {
        let db = context.database(state);
        for _ in 0..100 {
            let rng = &mut state.rng;
            let entry = state.keyspace[db].random(&mut || rng.next_u64())?;
            if !state.keyspace[db].is_dead(&entry) {
                return Some(entry.key().to_vec());
            }
        }
        None
    });
    match found.flatten() {
        Some(name) => context.string(&name),
        None => strings::none(),
    }
}

pub unsafe extern "C" fn db_size(ctx: Opaque) -> u64 {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return 0;
    };
    let len = context::with(|state| state.keyspace[context.database(state)].len() as u64);
    len.unwrap_or(0)
}

pub unsafe extern "C" fn selected_db(ctx: Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return 0;
    };
    let db = context::with(|state| context.database(state).0 as c_int);
    db.unwrap_or(context.db.0 as c_int)
}

pub unsafe extern "C" fn select_db(ctx: Opaque, db: c_int) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let Ok(db) = u32::try_from(db).map(DbId) else {
        return ERR;
    };
    if !context::is_lent() {
        // A thread may choose the database before it has the lock.
        let known = super::gate::owner().is_some_and(|owner| db.0 < owner.databases);
        if known {
            context.db = db;
        }
        return if known { OK } else { ERR };
    }
    let selected = context::with(|state| {
        state.keyspace.get(db)?;
        context.db = db;
        if let Some(client) = context.client.and_then(|key| state.clients.get_mut(key)) {
            client.db = db;
        }
        Some(())
    });
    if selected.flatten().is_some() {
        OK
    } else {
        ERR
    }
}

pub unsafe extern "C" fn signal_modified(ctx: Opaque, name: *const RString) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let name = unsafe { bytes(name) };
    context::with(|state| {
        let db = context.database(state);
        notify::touched(state, db, name);
    });
    OK
}

/// A string that automatic memory of the key's context knows of, if that is on.
pub fn string_of(key: &Key, bytes: &[u8]) -> *mut RString {
    // SAFETY: a handle that names its context is freed with it.
    match unsafe { key.context.as_mut() } {
        Some(context) => context.string(bytes),
        None => strings::new(bytes),
    }
}
