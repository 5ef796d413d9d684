//! Keys that come, go and are replaced, made known.
//!
//! The keyspace stores; this says what it meant: a key that is new, one that was written over, one whose time had
//! come before somebody wrote over it. [`State::store`] is the one way to make a key.
//!
//! Mirrors: `setKey()`, `dbAdd()`, `dbSetValue()`, `dbGenericDelete()` and `emptyData()` of db.c.

use super::State;
use crate::background::LazyFree;
use crate::keyspace::events::Event;
use crate::keyspace::{
    DbId, Deadline, Inserted, Keyspace, Kind, Ms, NewValue, Removed, RemovedTable, ValueRef,
};

impl State {
    /// Gives a key a value, whatever it held. Publishes `new`, or `overwritten` and `type_changed`; the command's own
    /// event, the count of changes and the propagation are the caller's, through `Ctx::modified`.
    #[doc(alias = "setKey")]
    pub fn store(&mut self, db: DbId, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
        self.store_as_is(db, key, encoded(value), deadline);
    }

    /// As [`State::store`], but bytes stay bytes although they may spell an integer.
    pub fn store_as_is(&mut self, db: DbId, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
        let kind = kind_of(&value);
        let inserted = match deadline {
            Deadline::Keep => {
                if let Some(mut entry) = self.keyspace[db].get_mut(key) {
                    let old_kind = entry.kind();
                    let old = entry.set(value);
                    self.say_overwritten(db, key, kind != old_kind);
                    if let Some(old) = old {
                        self.discard(old, self.config.lazyfree_lazy_server_del);
                    }
                    return;
                }
                // Not there, or dead: then there is no deadline to keep.
                self.keyspace[db].insert_as_is(key, value, Deadline::Set(None))
            }
            deadline => self.keyspace[db].insert_as_is(key, value, deadline),
        };
        match inserted {
            Inserted::New => self.notify(Event::NEW, db, key),
            Inserted::InPlace(old_deadline) => {
                self.say_replaced(db, key, old_deadline, kind != Kind::String);
            }
            Inserted::Replaced(old) => {
                self.say_replaced(db, key, old.deadline(), kind != removed_kind(&old));
                self.discard(old, self.config.lazyfree_lazy_server_del);
            }
        }
    }

    /// Has the access clocks of keys count as the configuration says.
    pub fn tune_access_clock(&self) {
        let env = self.keyspace.env();
        env.set_lfu(self.config.maxmemory_policy.is_lfu());
        env.set_lrm(self.config.maxmemory_policy.is_lrm());
        env.set_lfu_tuning(self.config.lfu_log_factor, self.config.lfu_decay_time);
    }

    fn say_replaced(&mut self, db: DbId, key: &[u8], old_deadline: Option<Ms>, type_changed: bool) {
        let now = self.keyspace.env().now_ms();
        if old_deadline.is_some_and(|at| now > at) {
            if self.may_expire() {
                self.say_expired(db, key);
            }
            self.notify(Event::NEW, db, key);
        } else {
            self.say_overwritten(db, key, type_changed);
        }
    }

    /// A key got another value in place of the one it had.
    pub fn say_overwritten(&mut self, db: DbId, key: &[u8], type_changed: bool) {
        self.notify(Event::OVERWRITTEN, db, key);
        if type_changed {
            self.notify(Event::TYPE_CHANGED, db, key);
        }
    }

    /// Takes a live key out and frees its value, on another thread if `lazy` and worth it. Whether there was one.
    #[doc(alias = "dbGenericDelete")]
    pub fn delete(&mut self, db: DbId, key: &[u8], lazy: bool) -> bool {
        let Some(entry) = self.keyspace[db].get_mut(key) else {
            return false;
        };
        let removed = entry.remove();
        self.discard(removed, lazy);
        true
    }

    /// Frees what was taken out, on another thread if `lazy` and worth it.
    #[doc(alias = "freeObjAsync")]
    #[inline]
    pub fn discard(&mut self, removed: Removed, lazy: bool) {
        if self.config.maxmemory != 0 && self.keyspace.env().live_snapshots() > 0 {
            self.release_shared(removed, lazy);
        } else if lazy
            && let ValueRef::Object(value) = removed.value()
            && LazyFree::is_worth_it(value.free_effort())
        {
            self.lazyfree.free(removed, 1);
        }
    }

    /// Empties one database, or all. The keys are the caller's to drop.
    #[doc(alias = "emptyData")]
    pub fn empty(&mut self, which: Option<DbId>) -> Vec<RemovedTable> {
        self.flushing(which);
        self.hold_what_is_emptied(which);
        match which {
            Some(db) => {
                let cleared = self.keyspace[db].clear();
                Vec::from_iter((!cleared.is_empty()).then_some(cleared))
            }
            None => self.keyspace.clear(),
        }
    }

    /// All databases get another content at once. The old keys are the caller's to drop.
    #[doc(alias = "swapMainDbWithTempDb")]
    pub fn replace_all(&mut self, mut new: Keyspace) -> Vec<RemovedTable> {
        self.flushing(None);
        self.hold_what_is_emptied(None);
        self.keyspace.exchange(&mut new);
        // Keys that are watched, and that only the new content has.
        for db in (0..self.keyspace.len_dbs() as u32).map(DbId) {
            self.watches
                .touch_db(&mut self.clients, &self.keyspace, db, None);
        }
        new.clear()
    }
}

impl State {
    /// Databases are about to be emptied. While a snapshot is out it holds their keys, which then count no more: it
    /// is taken that keys take the same memory everywhere.
    fn hold_what_is_emptied(&self, which: Option<DbId>) {
        let env = self.keyspace.env();
        let keys = self.keyspace.keys();
        if self.config.maxmemory == 0 || env.live_snapshots() == 0 || keys == 0 {
            return;
        }
        let emptied = which.map_or(keys, |db| self.keyspace[db].len());
        let not_data = self.initial_memory + self.not_counted_for_evict();
        let data = crate::sys::alloc::used().saturating_sub(not_data);
        let share = data as u128 * emptied as u128 / keys as u128;
        env.hold_for_snapshots(share as u64);
    }
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

/// Bytes that spell an integer are stored as one.
#[doc(alias = "tryObjectEncoding")]
fn encoded(value: NewValue<'_>) -> NewValue<'_> {
    match value {
        NewValue::Bytes(bytes) if bytes.len() <= crate::util::num::MAX_INT_LEN => {
            crate::util::num::parse_i64(bytes).map_or(value, NewValue::Int)
        }
        other => other,
    }
}
