//! Keys that come, go and are replaced, made known.
//!
//! The keyspace stores; this says what it meant: a key that is new, one that was written over, one whose time had
//! come before somebody wrote over it. [`store`] is the one way to make a key.
//!
//! Mirrors: `setKey()`, `dbAdd()`, `dbSetValue()`, `dbGenericDelete()` and `emptyData()` of db.c.

use super::{evict, expire, metas, notify};
use crate::background::LazyFree;
use crate::keyspace::events::Event;
use crate::keyspace::{
    DbId, Deadline, Inserted, Keyspace, Kind, Ms, NewValue, Removed, RemovedTable, ValueRef,
    encoded,
};
use crate::modules::{EventData, EventId};
use crate::state::State;
use crate::types::foreign::Place;
use crate::types::{Foreign, Held};

/// Gives a key a value, whatever it held. Publishes `new`, or `overwritten` and `type_changed`; the command's own
/// event, the count of changes and the propagation are the caller's, through `Ctx::modified`.
#[doc(alias = "setKey")]
pub fn store(state: &mut State, db: DbId, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
    store_as_is(state, db, key, encoded(value), deadline);
}

/// As [`store`], but bytes stay bytes although they may spell an integer.
pub fn store_as_is(
    state: &mut State,
    db: DbId,
    key: &[u8],
    value: NewValue<'_>,
    deadline: Deadline,
) {
    if !state.modules.is_empty() {
        overwriting(state, db, key);
    }
    let kind = kind_of(&value);
    let inserted = match deadline {
        Deadline::Keep => {
            if let Some(mut entry) = state.keyspace[db].get_mut(key) {
                let old_kind = entry.kind();
                let old = entry.set(value);
                say_overwritten(state, db, key, kind != old_kind);
                if let Some(old) = old {
                    discard(state, old, state.config.lazyfree_lazy_server_del);
                }
                return;
            }
            // Not there, or dead: then there is no deadline to keep.
            state.keyspace[db].insert_as_is(key, value, Deadline::Set(None))
        }
        deadline => state.keyspace[db].insert_as_is(key, value, deadline),
    };
    match inserted {
        Inserted::New => notify::appeared(state, db, key),
        Inserted::InPlace(old_deadline) => {
            say_replaced(state, db, key, old_deadline, kind != Kind::String);
        }
        Inserted::Replaced(old) => {
            say_replaced(state, db, key, old.deadline(), kind != removed_kind(&old));
            discard(state, old, state.config.lazyfree_lazy_server_del);
        }
    }
}

/// Makes the access clocks of keys follow the configuration: LRU, LRM or LFU.
pub fn tune_access_clock(state: &State) {
    state.keyspace.env().tune(&state.config);
}

fn say_replaced(
    state: &mut State,
    db: DbId,
    key: &[u8],
    old_deadline: Option<Ms>,
    type_changed: bool,
) {
    let now = state.keyspace.env().now_ms();
    if old_deadline.is_some_and(|at| now > at) {
        if expire::may_expire(state) {
            expire::say_expired(state, db, key);
        }
        notify::appeared(state, db, key);
    } else {
        say_overwritten(state, db, key, type_changed);
    }
}

/// A key got another value in place of the one it had.
pub fn say_overwritten(state: &mut State, db: DbId, key: &[u8], type_changed: bool) {
    notify::notify(state, Event::OVERWRITTEN, db, key);
    if type_changed {
        notify::notify(state, Event::TYPE_CHANGED, db, key);
    }
}

/// Takes a live key out and frees its value, on another thread if `lazy` and worth it. Whether there was one.
#[doc(alias = "dbGenericDelete")]
pub fn delete(state: &mut State, db: DbId, key: &[u8], lazy: bool) -> bool {
    if !state.modules.is_empty() && state.keyspace[db].contains(key) {
        leaving(state, KeyLeft::Deleted, db, key);
    }
    let Some(entry) = state.keyspace[db].get_mut(key) else {
        return false;
    };
    let removed = entry.remove();
    discard(state, removed, lazy);
    true
}

/// Takes out a key whose value has lost its last element. Events are the caller's.
#[inline]
pub fn delete_emptied(state: &mut State, db: DbId, key: &[u8]) {
    leaving(state, KeyLeft::Deleted, db, key);
    state.keyspace[db].remove(key);
}

/// Why a key's value goes, as modules are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyLeft {
    Deleted = 0,
    Expired = 1,
    Evicted = 2,
    Overwritten = 3,
}

/// A key's value is about to go: modules that hear of keys may read it once more, and a value of a module's type learns
/// of it. The key is still there.
#[doc(alias = "moduleNotifyKeyUnlink")]
#[inline]
pub fn leaving(state: &mut State, why: KeyLeft, db: DbId, key: &[u8]) {
    if !state.modules.is_empty() {
        tell_leaving(state, why, db, key);
    }
}

/// As [`leaving`], for a key that may have expired; nobody is told of that one, but its metadata goes.
#[cold]
fn overwriting(state: &mut State, db: DbId, key: &[u8]) {
    if state.keyspace[db].contains(key) {
        tell_leaving(state, KeyLeft::Overwritten, db, key);
    } else {
        metas::leave(state, db, key);
    }
}

#[cold]
fn tell_leaving(state: &mut State, why: KeyLeft, db: DbId, key: &[u8]) {
    if state.keyspace[db].peek_raw(key).is_none() {
        return;
    }
    if state.modules.hears(EventId::Key)
        && let Some(doors) = state.module_doors
    {
        // Also a key that is over can be read.
        let before = state.keyspace.env().set_see_expired(true);
        (doors.key_event)(state, why as u64, db, key);
        state.keyspace.env().set_see_expired(before);
    }
    let entry = state.keyspace[db].peek_raw(key);
    if let Some(ValueRef::Object(value)) = entry.map(|entry| entry.value())
        && let Some(foreign) = Foreign::of(value).cloned()
    {
        foreign.get().unlinked(Place {
            db: db.0 as i32,
            key: Some(key),
        });
    }
    metas::leave(state, db, key);
}

/// Frees what was taken out, on another thread if `lazy` and worth it.
#[doc(alias = "freeObjAsync")]
#[inline]
pub fn discard(state: &mut State, removed: Removed, lazy: bool) {
    if state.config.maxmemory != 0 && state.keyspace.env().live_snapshots() > 0 {
        evict::release_shared(state, removed, lazy);
    } else if lazy
        && let ValueRef::Object(value) = removed.value()
        && LazyFree::is_worth_it(value.free_effort())
    {
        state.lazyfree.free(removed, 1);
    }
}

/// Empties one database, or all. The keys are the caller's to drop.
#[doc(alias = "emptyData")]
pub fn empty(state: &mut State, which: Option<DbId>) -> Vec<RemovedTable> {
    let told = EventData::Pair(1, which.map_or(-1, |db| db.0 as i32));
    state.tell_modules(EventId::FlushDb, 0, told.clone());
    notify::flushing(state, which);
    hold_what_is_emptied(state, which);
    let emptied = match which {
        Some(db) => {
            let cleared = state.keyspace[db].clear();
            Vec::from_iter((!cleared.is_empty()).then_some(cleared))
        }
        None => state.keyspace.clear(),
    };
    state.tell_modules(EventId::FlushDb, 1, told);
    emptied
}

/// All databases get another content at once. The old keys are the caller's to drop.
#[doc(alias = "swapMainDbWithTempDb")]
pub fn replace_all(state: &mut State, mut new: Keyspace) -> Vec<RemovedTable> {
    notify::flushing(state, None);
    hold_what_is_emptied(state, None);
    state.keyspace.exchange(&mut new);
    // Keys that are watched, and that only the new content has.
    for db in (0..state.keyspace.len_dbs() as u32).map(DbId) {
        state
            .watches
            .touch_db(&mut state.clients, &state.keyspace, db, None);
    }
    new.clear()
}

/// Databases are about to be emptied. While a snapshot is out it holds their keys, which then count no more: it
/// is taken that keys take the same memory everywhere.
fn hold_what_is_emptied(state: &State, which: Option<DbId>) {
    let env = state.keyspace.env();
    let keys = state.keyspace.keys();
    if state.config.maxmemory == 0 || env.live_snapshots() == 0 || keys == 0 {
        return;
    }
    let emptied = which.map_or(keys, |db| state.keyspace[db].len());
    let not_data = state.initial_memory + evict::not_counted_for_evict(state);
    let data = crate::sys::alloc::used().saturating_sub(not_data);
    let share = data as u128 * emptied as u128 / keys as u128;
    env.hold_for_snapshots(share as u64);
}

fn kind_of(value: &NewValue<'_>) -> Kind {
    match value {
        NewValue::Object(value) => value.kind(),
        _ => Kind::String,
    }
}

/// The type of a value that was taken out.
pub fn removed_kind(removed: &Removed) -> Kind {
    match removed.value() {
        ValueRef::String(_) => Kind::String,
        ValueRef::Object(value) => value.kind(),
    }
}
