//! Keys, values and deadlines of one database.
//!
//! A key is looked up in three ways: `get` for reading commands (it counts a hit or a miss and moves the access clock),
//! `peek` without leaving a trace, `get_mut` for writers. They all hide a key whose deadline has passed; such a
//! key is noted in [`Env`] and stays until [`Db::remove`] deletes it and the deletion is propagated. Everything named
//! `raw`, `remove`, `set` and the walks see what is physically there.
//!
//! Mirrors: db.c.
//! Differs: `lookupKey()` deletes what has expired on the spot; here the caller does, once the command is over.

use std::fmt;
use std::mem;
use std::rc::Rc;

use super::fields::FieldIndex;
use super::metas::Metas;
use super::slots::{Entries, KeyHash, RemovedTable, Tables, Totals};
use super::{DbId, Env, MemStats, Ms, NewValue, Removed, StrRef, ValueRef, WrongType};
use crate::collections::shared::{Shared, TooLarge};
use crate::collections::table::{self, Deadline, Inserted, PrefetchStage, SegmentStats};
use crate::types::{Hash, Held, Kind, Value};
use crate::util::crc16::SLOTS;
use crate::util::num::{MAX_INT_LEN, parse_i64};

/// One database.
pub struct Db {
    id: DbId,
    pub(super) tables: Tables,
    /// Hashes whose fields have deadlines.
    pub(super) fields: FieldIndex,
    /// Metadata that modules attach to keys.
    pub(super) metas: Metas,
    env: Rc<Env>,
    /// Where the active expiry goes on: slot and position.
    expire_at: (u16, u64),
    used: bool,
}

/// The result of a call of [`Db::expire_cycle`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpireStats {
    /// Keys whose deadline was read.
    pub examined: usize,
    pub expired: usize,
    /// The end was reached and the next call begins anew; otherwise the budget ended first.
    pub complete: bool,
}

impl Db {
    pub(super) fn new(id: DbId, cluster: bool, seed: u64, env: Rc<Env>) -> Db {
        Db {
            id,
            tables: Tables::new(cluster, seed),
            fields: FieldIndex::new(seed),
            metas: Metas::new(seed),
            env,
            expire_at: (0, 0),
            used: false,
        }
    }

    /// An empty database in this one's surroundings.
    pub(super) fn twin(&self) -> Db {
        Db {
            id: self.id,
            tables: self.tables.emptied(),
            fields: self.fields.emptied(),
            metas: self.metas.emptied(),
            env: Rc::clone(&self.env),
            expire_at: (0, 0),
            used: false,
        }
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn swap_content(&mut self, other: &mut Db) {
        mem::swap(&mut self.tables, &mut other.tables);
        mem::swap(&mut self.fields, &mut other.fields);
        mem::swap(&mut self.metas, &mut other.metas);
        mem::swap(&mut self.expire_at, &mut other.expire_at);
        mem::swap(&mut self.used, &mut other.used);
    }

    pub fn id(&self) -> DbId {
        self.id
    }

    /// Keys, those that have expired and wait for deletion included.
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys with a deadline.
    pub fn volatile_len(&self) -> usize {
        self.tables.volatile_len()
    }

    /// Mean time to live of the volatile keys in milliseconds, 0 if there are none. Exact, O(tables).
    pub fn avg_ttl_ms(&self, now: Ms) -> Ms {
        let (mut sum, mut n) = (0i128, 0);
        for (_, table) in self.tables.iter() {
            if let Some(mean) = table.mean_deadline() {
                sum += i128::from(mean - now) * table.volatile_len() as i128;
                n += table.volatile_len() as i128;
            }
        }
        sum.checked_div(n).map_or(0, |mean| mean.max(0) as Ms)
    }

    // ------------------------------------------------------------------------------------------ looking

    /// Where a key is, for [`Db::prefetch`].
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        self.tables.hash(key)
    }

    /// As [`Db::hash`], for a key that is looked up. Tests compare what was with what commands declare.
    #[inline]
    fn place(&self, key: &[u8]) -> KeyHash {
        #[cfg(test)]
        if let Some(looked_up) = &mut *self.env.looked_up.borrow_mut() {
            looked_up.insert(key.to_vec());
        }
        self.tables.hash(key)
    }

    /// Brings what lookups of these keys will read into the cache, all at once. Worth it from two keys on.
    pub fn prefetch(&self, hashes: &[KeyHash]) {
        self.tables.prefetch(hashes);
    }

    /// Makes room for so many keys to come, in a database that has had none. Slots of a cluster have tables of their
    /// own, of which nothing is known beforehand: those grow as keys come.
    #[doc(alias = "dbExpand")]
    pub fn expect(&mut self, keys: usize) {
        if let Tables::Single(table) = &mut self.tables {
            table.make_mut().expect(keys);
        }
    }

    /// Brings the place where a key will be put into the cache.
    pub fn prefetch_place(&self, key: &[u8]) {
        let h = self.hash(key);
        if let Some(table) = self.tables.table(h.slot) {
            table.prefetch_stage(PrefetchStage::Line, h.hash);
        }
    }

    #[inline]
    fn find(&self, key: &[u8]) -> Option<Entry<'_>> {
        let h = self.place(key);
        self.tables.table(h.slot)?.get(h.hash, key).map(Entry)
    }

    /// The lookup of a reading command: counts a hit or a miss, moves the access clock.
    #[doc(alias = "lookupKeyRead")]
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        let entry = self.peek(key);
        self.env.count(entry.is_some());
        if let Some(entry) = &entry
            && self.env.may_touch_by_reading()
        {
            entry.0.set_clock(self.env.touched(entry.0.clock()));
        }
        entry
    }

    /// As [`Db::get`], but the access clock stays (EXISTS, TTL, OBJECT …).
    #[doc(alias = "LOOKUP_NOTOUCH")]
    #[inline]
    pub fn get_untouched(&self, key: &[u8]) -> Option<Entry<'_>> {
        let entry = self.peek(key);
        self.env.count(entry.is_some());
        entry
    }

    /// Whether an entry found by a walk is past its deadline; it is then noted to be deleted.
    #[doc(alias = "expireIfNeeded")]
    pub fn is_dead(&self, entry: &Entry<'_>) -> bool {
        let dead = self.env.hides(entry.deadline());
        if dead {
            self.env.found_expired(self.id, entry.key());
        }
        dead
    }

    /// A lookup that counts nothing and touches nothing.
    #[doc(alias = "lookupKeyReadWithFlags")]
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Option<Entry<'_>> {
        let entry = self.find(key)?;
        if self.env.hides(entry.deadline()) {
            self.env.found_expired(self.id, key);
            return None;
        }
        Some(entry)
    }

    /// The entry of a key, expired or not.
    pub fn peek_raw(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.find(key)
    }

    /// [`Db::get`] for a command that works on strings.
    #[doc(alias = "lookupStringForReadCommand")]
    #[inline]
    pub fn get_string(&self, key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        match self.get(key) {
            None => Ok(None),
            Some(entry) => entry.string().map(Some).ok_or(WrongType),
        }
    }

    /// [`Db::get_mut`] for a command that works on strings.
    #[inline]
    pub fn string_mut(&mut self, key: &[u8]) -> Result<Option<StringMut<'_>>, WrongType> {
        match self.get_mut(key) {
            None => Ok(None),
            Some(entry) if entry.string().is_some() => Ok(Some(StringMut(entry))),
            Some(_) => Err(WrongType),
        }
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.peek(key).is_some()
    }

    /// The lookup of a writing command: moves the access clock, counts nothing. Unshares the way to the entry.
    #[doc(alias = "lookupKeyWrite")]
    pub fn get_mut(&mut self, key: &[u8]) -> Option<EntryMut<'_>> {
        let h = self.place(key);
        let env = &*self.env;
        let (table, totals) = self.tables.table_mut(h.slot)?;
        let inner = table.get_mut(h.hash, key)?;
        let entry = inner.entry();
        if env.hides(entry.deadline()) {
            env.found_expired(self.id, key);
            return None;
        }
        if env.may_touch() && inner.is_unique() {
            entry.set_clock(env.touched(entry.clock()));
        }
        Some(EntryMut {
            inner,
            totals,
            fields: &mut self.fields,
            slot: h.slot,
        })
    }

    // ------------------------------------------------------------------------------------------ changing

    /// Inserts or overwrites, deadline included. `Bytes` that spell an integer are stored as one. Returns the old entry if there was one and it was not simply
    /// written over; [`Db::insert`] tells whether the key was there.
    #[doc(alias = "setKey")]
    pub fn set(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Option<Ms>,
    ) -> Option<Removed> {
        match self.insert(key, value, Deadline::Set(deadline)) {
            Inserted::Replaced(old) => Some(old),
            Inserted::New | Inserted::InPlace(_) => None,
        }
    }

    /// As [`Db::set`], but a deadline that is there stays.
    pub fn set_keeping_ttl(&mut self, key: &[u8], value: NewValue<'_>) -> Option<Removed> {
        match self.insert(key, value, Deadline::Keep) {
            Inserted::Replaced(old) => Some(old),
            Inserted::New | Inserted::InPlace(_) => None,
        }
    }

    /// Inserts or overwrites, and tells which. Physical: an expired key is overwritten like any other.
    pub fn insert(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Deadline,
    ) -> Inserted<Value> {
        let value = encoded(value);
        self.insert_as_is(key, value, deadline)
    }

    /// As [`Db::insert`], but `Bytes` stay bytes whatever they spell.
    pub fn insert_as_is(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Deadline,
    ) -> Inserted<Value> {
        self.used = true;
        let h = self.place(key);
        let env = &*self.env;
        let clock = |old: Option<u32>| match old {
            Some(clock) => env.touched(clock),
            None => env.new_clock(),
        };
        let first_field = match &value {
            NewValue::Object(value) => earliest_field(value),
            _ => None,
        };
        let inserted = self.tables.change(h.slot, |table| {
            table.set(h.hash, key, value, deadline, clock)
        });
        if let Inserted::Replaced(old) = &inserted {
            self.fields.strike(old);
        }
        if first_field.is_some() {
            self.track_fields(key, first_field);
        }
        inserted
    }

    /// Takes a key out, expired or not. The result may be dropped elsewhere.
    #[doc(alias = "dbGenericDelete")]
    pub fn remove(&mut self, key: &[u8]) -> Option<Removed> {
        let h = self.place(key);
        // A miss must not copy the root of a table that a snapshot shares.
        self.tables.table(h.slot)?.get(h.hash, key)?;
        let removed = self
            .tables
            .change(h.slot, |table| table.remove(h.hash, key))?;
        self.fields.strike(&removed);
        Some(removed)
    }

    /// Takes a key out to put it elsewhere; an expired one is noted and left.
    pub fn take(&mut self, key: &[u8]) -> Option<Removed> {
        self.peek(key)?;
        self.remove(key)
    }

    /// Puts what was taken under a key, here or in another database: value, deadline and access clock move, nothing is
    /// copied but inline bytes. Returns what was there.
    pub fn put(&mut self, key: &[u8], removed: Removed) -> Option<Removed> {
        let h = self.place(key);
        let first_field = removed.value().as_object().and_then(earliest_field);
        let old = self
            .tables
            .change(h.slot, |table| table.put(h.hash, key, removed));
        if let Some(old) = &old {
            self.fields.strike(old);
        }
        if first_field.is_some() {
            self.track_fields(key, first_field);
        }
        old
    }

    /// Sets or clears a deadline. `false` if there is no such key.
    pub fn set_deadline(&mut self, key: &[u8], deadline: Option<Ms>) -> bool {
        if self.peek(key).is_none() {
            return false;
        }
        let h = self.place(key);
        self.tables.change(h.slot, |table| {
            if let Some(mut entry) = table.get_mut(h.hash, key) {
                entry.set_deadline(deadline);
            }
        });
        true
    }

    /// Empties the database. O(1): the keys are freed by dropping the result.
    #[doc(alias = "emptyDbAsync")]
    pub fn clear(&mut self) -> RemovedTable {
        self.expire_at = (0, 0);
        let empty = self.tables.emptied();
        let no_fields = self.fields.emptied();
        let no_metas = self.metas.emptied();
        let keys = RemovedTable::of(
            mem::replace(&mut self.tables, empty),
            Some(mem::replace(&mut self.fields, no_fields)),
        );
        keys.with_metas(mem::replace(&mut self.metas, no_metas))
    }

    // ------------------------------------------------------------------------------------------ walking

    /// Calls `f` for up to `count` keys (exactly, unless hashes collide) and returns the next cursor, 0 at the end.
    ///
    /// Sees expired keys. A key that is there during the whole scan is returned exactly once. Any cursor is accepted; one
    /// that was never handed out leads to some place, or to the end.
    #[doc(alias = "dictScan")]
    pub fn scan(&self, cursor: u64, count: usize, f: &mut dyn FnMut(Entry<'_>)) -> u64 {
        self.tables
            .scan(cursor, count, &mut |entry| f(Entry(entry)))
    }

    /// All keys, expired ones included, in the order of a scan as far as segments go.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.tables
            .iter()
            .flat_map(|(_, table)| table.iter())
            .map(Entry)
    }

    /// One key, each with the same probability; it may have expired.
    pub fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<Entry<'_>> {
        self.tables.random(rng).map(Entry)
    }

    /// Up to `n` keys from a random place, nearly uniform and cheap: what eviction looks at. Returns how many.
    #[doc(alias = "dictGetSomeKeys")]
    pub fn sample(
        &self,
        rng: &mut dyn FnMut() -> u64,
        n: usize,
        volatile_only: bool,
        f: &mut dyn FnMut(Entry<'_>),
    ) -> usize {
        self.tables
            .sample(rng, n, volatile_only, &mut |entry| f(Entry(entry)))
    }

    /// Takes out keys whose deadline has passed at `now` and hands them to `on`, while `go_on` says so.
    ///
    /// Goes through the database block by block (up to some 20 000 keys each) from where the last call stopped, to
    /// the end of the last table at most. Blocks and tables without a due deadline cost one look. `go_on` is asked before each step, and told what the steps before it did.
    #[doc(alias = "activeExpireCycle")]
    pub fn expire_cycle(
        &mut self,
        now: Ms,
        go_on: &mut dyn FnMut(&ExpireStats) -> bool,
        on: &mut dyn FnMut(Removed),
    ) -> ExpireStats {
        let mut stats = ExpireStats::default();
        let slots = if matches!(self.tables, Tables::Single(_)) {
            1
        } else {
            SLOTS
        };
        for _ in 0..slots {
            loop {
                let (slot, mut position) = self.expire_at;
                let due = self
                    .tables
                    .table(slot)
                    .is_some_and(|t| t.volatile_len() > 0);
                if !due {
                    break;
                }
                if !go_on(&stats) {
                    return stats;
                }
                // Redis deletes what is past its deadline, not what is at it.
                let fields = &mut self.fields;
                let step = self.tables.change(slot, |table| {
                    table.expire_step(&mut position, now - 1, &mut |removed| {
                        fields.strike(&removed);
                        on(removed);
                    })
                });
                stats.examined += step.examined;
                stats.expired += step.expired;
                self.expire_at.1 = position;
                if step.wrapped {
                    break;
                }
            }
            self.expire_at = ((self.expire_at.0 + 1) % slots, 0);
        }
        stats.complete = true;
        stats
    }

    // ------------------------------------------------------------------------------------------ slots

    /// Keys of a hash slot; 0 outside of a cluster.
    pub fn slot_len(&self, slot: u16) -> usize {
        self.slot_table(slot).map_or(0, |table| table.len())
    }

    /// Up to `n` keys of a hash slot.
    #[doc(alias = "getKeysInSlot")]
    pub fn slot_keys(&self, slot: u16, n: usize) -> Vec<Box<[u8]>> {
        self.slot_table(slot)
            .into_iter()
            .flat_map(|table| table.iter())
            .take(n)
            .map(|e| e.key().into())
            .collect()
    }

    /// Bytes that the keys of a hash slot and their values take, each as MEMORY USAGE counts it. Looks at `looks` keys at
    /// most; in a larger slot they stand for the others. O(looks).
    #[doc(alias = "kvstoreDictAllocSize")]
    pub fn slot_bytes(&self, slot: u16, looks: usize) -> u64 {
        let Some(table) = self.slot_table(slot) else {
            return 0;
        };
        let entries = table.iter().take(looks);
        let bytes: u64 = entries.map(|entry| Entry(entry).mem_bytes(5) as u64).sum();
        match table.len().div_ceil(looks.max(1)) {
            0 | 1 => bytes,
            _ => (u128::from(bytes) * table.len() as u128 / looks.max(1) as u128) as u64,
        }
    }

    /// Takes all keys of a hash slot away.
    #[doc(alias = "delKeysInSlot")]
    pub fn take_slot(&mut self, slot: u16) -> RemovedTable {
        let removed = self.tables.take_slot(slot);
        if self.hashes_with_deadlines() > 0 {
            for entry in removed.iter() {
                self.track_fields(entry.key(), None);
            }
        }
        removed
    }

    /// Makes a table that of a slot which has no key. `fields`: hashes in it whose fields have deadlines.
    pub(super) fn put_slot(
        &mut self,
        slot: u16,
        keys: Shared<Entries>,
        fields: &[(Box<[u8]>, Ms)],
    ) {
        self.used = true;
        self.tables.put_slot(slot, keys);
        for (key, earliest) in fields {
            self.track_fields(key, Some(*earliest));
        }
    }

    fn slot_table(&self, slot: u16) -> Option<&super::slots::Entries> {
        match &self.tables {
            Tables::Single(_) => None,
            Tables::Slots(_) => self.tables.table(slot),
        }
    }

    // ------------------------------------------------------------------------------------------ figures

    /// Whether there ever was a key.
    pub fn was_used(&self) -> bool {
        self.used
    }

    /// Memory figures of the database. O(tables).
    pub fn mem(&self) -> MemStats {
        let mut mem = MemStats {
            keys: self.len(),
            volatile: self.volatile_len(),
            ..MemStats::default()
        };
        for (_, table) in self.tables.iter() {
            mem.table_bytes += table.node_bytes();
        }
        mem
    }

    /// The shape of the tables, for DEBUG HTSTATS. O(segments).
    pub fn table_stats(&self) -> SegmentStats {
        self.tables.stats()
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Db {} ({} keys)", self.id.0, self.len())
    }
}

/// Bytes of the table per key: a word, at a load of three quarters.
const TABLE_BYTES_PER_KEY: usize = 11;

/// A key for reading.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a>(pub(super) table::Entry<'a, Value>);

impl<'a> Entry<'a> {
    /// The entry of a key that was taken out of its database.
    pub fn of(removed: &'a Removed) -> Entry<'a> {
        Entry(removed.entry())
    }

    #[inline]
    pub fn key(&self) -> &'a [u8] {
        self.0.key()
    }

    #[inline]
    pub fn value(&self) -> ValueRef<'a> {
        self.0.value()
    }

    /// The string, unless it is another type.
    #[inline]
    pub fn string(&self) -> Option<StrRef<'a>> {
        self.0.value().as_string()
    }

    pub fn kind(&self) -> Kind {
        match self.value() {
            ValueRef::String(_) => Kind::String,
            ValueRef::Object(value) => value.kind(),
        }
    }

    /// The name TYPE answers with.
    pub fn type_name(&self) -> &'static str {
        match self.value() {
            ValueRef::String(_) => Kind::String.name(),
            ValueRef::Object(value) => value.type_name(),
        }
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        match self.value() {
            ValueRef::String(string) => string.encoding(),
            ValueRef::Object(value) => value.encoding(),
        }
    }

    #[inline]
    pub fn deadline(&self) -> Option<Ms> {
        self.0.deadline()
    }

    pub fn is_expired(&self, now: Ms) -> bool {
        self.deadline().is_some_and(|ms| now > ms)
    }

    /// The access clock as it is stored; [`Env`] knows how to read it.
    pub fn clock(&self) -> u32 {
        self.0.clock()
    }

    /// Writes the access clock (RESTORE, loading).
    pub fn set_clock(&self, clock: u32) {
        self.0.set_clock(clock);
    }

    pub fn address(&self) -> usize {
        self.0.address()
    }

    /// Bytes of a string, elements of anything else.
    #[doc(alias = "getObjectLength")]
    pub fn size(&self) -> usize {
        match self.value() {
            ValueRef::String(string) => string.len(),
            ValueRef::Object(value) => value.count(),
        }
    }

    /// How many steps freeing it takes.
    #[doc(alias = "lazyfreeGetFreeEffort")]
    pub fn free_effort(&self) -> usize {
        match self.value() {
            ValueRef::String(_) => 1,
            ValueRef::Object(value) => value.free_effort(),
        }
    }

    /// Bytes for MEMORY USAGE: entry, share of the table, value. `samples` elements are looked at (0: all).
    pub fn mem_bytes(&self, samples: usize) -> usize {
        let value = match self.value() {
            ValueRef::String(string) => string.big().map_or(0, |s| s.allocated_bytes()),
            ValueRef::Object(value) => value.allocated_bytes(samples),
        };
        self.0.entry_bytes() + TABLE_BYTES_PER_KEY + value
    }
}

/// A key for changing.
#[derive(Debug)]
pub struct EntryMut<'a> {
    inner: table::EntryMut<'a, Value>,
    totals: Option<&'a mut Totals>,
    fields: &'a mut FieldIndex,
    slot: u16,
}

impl<'a> EntryMut<'a> {
    /// The same entry, for reading.
    pub fn entry(&self) -> Entry<'_> {
        Entry(self.inner.entry())
    }

    pub fn key(&self) -> &[u8] {
        self.entry().key()
    }

    pub fn value(&self) -> ValueRef<'_> {
        self.entry().value()
    }

    /// The string, unless it is another type.
    pub fn string(&self) -> Option<StrRef<'_>> {
        self.entry().string()
    }

    pub fn kind(&self) -> Kind {
        self.entry().kind()
    }

    pub fn encoding(&self) -> &'static str {
        self.entry().encoding()
    }

    pub fn deadline(&self) -> Option<Ms> {
        self.entry().deadline()
    }

    pub fn clock(&self) -> u32 {
        self.entry().clock()
    }

    pub fn set_clock(&self, clock: u32) {
        self.entry().set_clock(clock);
    }

    /// The value, unless it is a string.
    #[inline]
    pub fn value_mut(&mut self) -> Option<&mut Value> {
        self.inner.object_mut()
    }

    /// As [`EntryMut::value_mut`], for as long as the database is borrowed.
    #[inline]
    pub fn into_value_mut(self) -> Option<&'a mut Value> {
        self.inner.into_object_mut()
    }

    /// Gives another value, of any type; the deadline stays. Returns the old one if it was more than inline bytes.
    pub fn set(&mut self, value: NewValue<'_>) -> Option<Removed> {
        let first_field = match &value {
            NewValue::Object(value) => earliest_field(value),
            _ => None,
        };
        let old = self.inner.set(value, Deadline::Keep);
        if let Some(old) = &old {
            self.fields.strike(old);
        }
        if let Some(earliest) = first_field {
            self.fields.enter(self.inner.entry().key(), earliest);
        }
        old
    }

    /// Makes it an integer, in place where it was a short string before.
    pub fn set_int(&mut self, n: i64) {
        self.set(NewValue::Int(n));
    }

    /// The bytes of a string, at least `len` (new ones zero), to write to; `None` for another type. The string counts as
    /// `raw` from here on.
    pub fn bytes_mut(&mut self, len: usize) -> Result<Option<&mut [u8]>, TooLarge> {
        self.inner.bytes_mut(len)
    }

    /// Appends to a string and returns its new length; `None` for another type.
    pub fn append(&mut self, tail: &[u8]) -> Result<Option<usize>, TooLarge> {
        self.inner.append(tail)
    }

    /// Sets or clears the deadline; `true` if that changed anything.
    pub fn set_deadline(&mut self, deadline: Option<Ms>) -> bool {
        let had = self.deadline().is_some();
        let changed = self.inner.set_deadline(deadline);
        if let Some(totals) = &mut self.totals {
            totals.book(
                self.slot,
                0,
                isize::from(deadline.is_some()) - isize::from(had),
            );
        }
        changed
    }

    /// Takes the key out.
    pub fn remove(self) -> Removed {
        let removed = self.inner.remove();
        self.fields.strike(&removed);
        if let Some(totals) = self.totals {
            totals.book(self.slot, -1, -isize::from(removed.deadline().is_some()));
        }
        removed
    }
}

/// A key that holds a string, for changing it.
#[derive(Debug)]
pub struct StringMut<'a>(EntryMut<'a>);

const IS_STRING: &str = "a StringMut is only made of a string";

impl<'a> StringMut<'a> {
    pub fn get(&self) -> StrRef<'_> {
        self.0.string().expect(IS_STRING)
    }

    /// The integer it holds or spells.
    pub fn as_integer(&self) -> Option<i64> {
        self.get().parse_int()
    }

    /// In place, deadline and all, where the string was short before.
    pub fn set_integer(&mut self, n: i64) {
        self.0.set_int(n);
    }

    /// Gives another value; the deadline stays.
    pub fn set(&mut self, value: NewValue<'_>) {
        self.0.set(value);
    }

    /// See [`EntryMut::bytes_mut`].
    pub fn bytes_mut(&mut self, len: usize) -> Result<&mut [u8], TooLarge> {
        Ok(self.0.bytes_mut(len)?.expect(IS_STRING))
    }

    /// See [`EntryMut::append`].
    pub fn append(&mut self, tail: &[u8]) -> Result<usize, TooLarge> {
        Ok(self.0.append(tail)?.expect(IS_STRING))
    }

    /// The same key for operations beside its value: deadline, access clock, …
    pub fn entry_mut(self) -> EntryMut<'a> {
        self.0
    }
}

/// The earliest deadline of a hash's fields, or one before it.
fn earliest_field(value: &Value) -> Option<Ms> {
    Hash::of(value)?.earliest_bound()
}

/// The form in which a string is stored: bytes that spell an integer are one. O(1).
#[doc(alias = "tryObjectEncoding")]
#[inline]
pub fn encoded(value: NewValue<'_>) -> NewValue<'_> {
    match value {
        NewValue::Bytes(bytes) if bytes.len() <= MAX_INT_LEN => {
            parse_i64(bytes).map_or(value, NewValue::Int)
        }
        other => other,
    }
}
