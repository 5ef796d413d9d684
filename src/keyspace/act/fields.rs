//! Expired fields of hashes: deleted, counted, published as events, propagated to the AOF and the replicas.
//!
//! A command that comes upon a field past its deadline answers as if it were not there and then has it deleted
//! ([`bury_fields`]); [`expire_due_fields`] deletes fields that no client asks for. Each is propagated as an HDEL.
//! On a replica, and while writes are paused, fields are only hidden.
//!
//! [`notify_fields`] publishes which fields an event is about.
//!
//! Mirrors: the deleting half of `hashTypeGetValue()`, `hashTypeExpire()` and `hashTypeActiveExpire()` of t_hash.c,
//! `activeSubexpiresCycle()` of expire.c.
//! Differs: the active cycle's bound is time, not a number of fields per second.

use super::{expire, keys, notify};
use crate::command;
use crate::keyspace::DbId;
use crate::keyspace::events::{Class, Event};
use crate::pubsub::Kind;
use crate::state::State;
use crate::types::Hash;
use crate::util::num::IntBuf;

/// Hashes, and fields of one hash, between two looks at the clock.
const BATCH: usize = 512;

/// The active cycle takes at most this part of the time between two calls.
const TIME_SHARE: u64 = 4;

const HEXPIRED: Event = Event::hash("hexpired");

/// The classes that name fields.
const FIELD_CHANNELS: u32 = Class::Subkeyspace as u32
    | Class::Subkeyevent as u32
    | Class::SubkeyspaceItem as u32
    | Class::SubkeyspaceEvent as u32;

/// Whether anybody may want to know which fields an event is about.
#[inline]
pub fn hears_fields(state: &State, event: Event) -> bool {
    let wanted = state.config.notify_keyspace_events.bits();
    wanted & FIELD_CHANNELS != 0 && wanted & event.class as u32 != 0 && !state.pubsub.is_empty()
}

/// Publishes which fields of a key an event is about, after the event itself. A field that was named twice is told
/// twice.
///
/// ```text
///   __subkeyspace@0__:key           event|5:field,1:f
///   __subkeyevent@0__:event         3:key|5:field,1:f
///   __subkeyspaceitem@0__:key⏎field event                one message for each field
///   __subkeyspaceevent@0__:event|key  5:field,1:f
/// ```
#[doc(alias = "notifyKeyspaceEventWithSubkeys")]
pub fn notify_fields<'f>(
    state: &mut State,
    event: Event,
    db: DbId,
    key: &[u8],
    fields: impl Iterator<Item = &'f [u8]> + Clone,
) {
    if !hears_fields(state, event) || fields.clone().next().is_none() {
        return;
    }
    let mut list = Vec::new();
    for field in fields.clone() {
        if !list.is_empty() {
            list.push(b',');
        }
        with_length(field, &mut list);
    }
    let wanted = state.config.notify_keyspace_events.bits();
    let wants = |class: Class| wanted & class as u32 != 0;
    let (name, db) = (event.name.as_bytes(), db.0);
    let (pubsub, clients) = (&mut state.pubsub, &mut state.clients);
    let mut publish = |channel: &[&[u8]], message: &[&[u8]]| {
        pubsub.publish(clients, Kind::Channel, &channel.concat(), &message.concat());
    };
    if wants(Class::Subkeyspace) {
        let prefix = format!("__subkeyspace@{db}__:");
        publish(&[prefix.as_bytes(), key], &[name, b"|", &list]);
    }
    if wants(Class::Subkeyevent) {
        let mut known = Vec::new();
        with_length(key, &mut known);
        let prefix = format!("__subkeyevent@{db}__:");
        publish(&[prefix.as_bytes(), name], &[&known, b"|", &list]);
    }
    // A key with a line end in it could not be distinguished from its field.
    if wants(Class::SubkeyspaceItem) && !key.contains(&b'\n') {
        let prefix = format!("__subkeyspaceitem@{db}__:");
        for field in fields {
            publish(&[prefix.as_bytes(), key, b"\n", field], &[name]);
        }
    }
    if wants(Class::SubkeyspaceEvent) {
        let prefix = format!("__subkeyspaceevent@{db}__:");
        publish(&[prefix.as_bytes(), name, b"|", key], &[&list]);
    }
}

/// Deletes fields a command found to be over; the key, when none is left.
pub fn bury_fields(state: &mut State, db: DbId, key: &[u8], names: &[&[u8]]) {
    replace_fields(state, db, key, names);
    if !names.is_empty() && expire::may_expire(state) {
        remove_left_empty(state, db, key);
    }
}

/// As [`bury_fields`], for a command that sets fields of the same hash next: the key stays, even without a field.
pub fn replace_fields(state: &mut State, db: DbId, key: &[u8], names: &[&[u8]]) {
    if names.is_empty() || !expire::may_expire(state) {
        return;
    }
    let mut gone = Vec::new();
    change_untouched(state, db, key, |hash| {
        gone.extend(names.iter().copied().filter(|name| hash.remove(name)));
    });
    say_fields_expired(state, db, key, &gone);
}

/// Deletes all fields of a hash that are over; the key, when none is left.
#[doc(alias = "hashTypeExpireIfNeeded")]
pub fn expire_fields_of(state: &mut State, db: DbId, key: &[u8]) {
    if expire::may_expire(state) {
        let now = state.keyspace.env().field_time();
        while expire_batch(state, db, key, now, BATCH) >= BATCH {}
    }
}

/// One turn of the active expiry of fields; `hz`: how many there are in a second.
#[doc(alias = "activeExpireHashFieldCycle")]
pub fn expire_due_fields(state: &mut State, hz: u32) {
    if !state.active_expire || !expire::may_expire(state) {
        return;
    }
    let budget_ns = 1_000_000_000 / u64::from(hz.max(1)) / TIME_SHARE;
    let start_ns = state.clock.monotonic_ns();
    let before = state.stats.expired_subkeys;
    expire_fields_for(state, budget_ns, start_ns);
    state.stats.expired_subkeys_active += state.stats.expired_subkeys - before;
}

fn expire_fields_for(state: &mut State, budget_ns: u64, start_ns: u64) {
    let now = state.clock.unix_ms();
    for db in (0..state.keyspace.len_dbs() as u32).map(DbId) {
        if state.keyspace[db].hashes_with_deadlines() == 0 {
            continue;
        }
        loop {
            let due = state.keyspace[db].take_hashes_due(now, BATCH);
            let last = due.len() < BATCH;
            let mut out_of_time = false;
            for key in due {
                while !out_of_time && expire_batch(state, db, &key, now, BATCH) >= BATCH {
                    out_of_time = state.clock.monotonic_ns() - start_ns > budget_ns;
                }
                out_of_time = out_of_time || state.clock.monotonic_ns() - start_ns > budget_ns;
                // Struck off the index, but not seen to its end.
                if let Some(hash) = state.keyspace[db].hash_untouched(&key) {
                    let earliest = hash.earliest_bound();
                    state.keyspace[db].track_fields(&key, earliest);
                }
            }
            if out_of_time {
                return;
            }
            if last {
                break;
            }
        }
    }
}

/// Deletes some fields of a hash that are over; returns how many.
fn expire_batch(state: &mut State, db: DbId, key: &[u8], now: i64, at_most: usize) -> usize {
    let mut gone: Vec<Box<[u8]>> = Vec::new();
    change_untouched(state, db, key, |hash| {
        hash.expire(now, at_most, &mut |name| gone.push(name.into()));
    });
    let names: Vec<&[u8]> = gone.iter().map(|name| &**name).collect();
    say_fields_expired(state, db, key, &names);
    remove_left_empty(state, db, key);
    gone.len()
}

fn change_untouched(state: &mut State, db: DbId, key: &[u8], change: impl FnOnce(&mut Hash)) {
    let db = &mut state.keyspace[db];
    if let Some(hash) = db.hash_untouched(key) {
        let before = hash.earliest_bound();
        change(hash);
        let after = hash.earliest_bound();
        if before != after {
            db.track_fields(key, after);
        }
    }
}

/// Fields have expired: the deletion is counted, published and propagated.
#[doc(alias = "propagateHashFieldDeletion")]
fn say_fields_expired(state: &mut State, db: DbId, key: &[u8], names: &[&[u8]]) {
    if names.is_empty() {
        return;
    }
    state.stats.expired_subkeys += names.len() as u64;
    if state.effects.listening != crate::command::Targets::NONE {
        for name in names {
            let argv = crate::resp::argv::OwnedArgv::from_words([b"HDEL", key, name]);
            state
                .effects
                .say(db, argv.as_argv(), crate::command::Targets::ALL);
            // No client asked for these deletions together, so each is a unit of its own and no transaction.
            if state.effects.depth() == 0 {
                command::act::after_unit(state);
            }
        }
    }
    notify::notify(state, HEXPIRED, db, key);
    notify_fields(state, HEXPIRED, db, key, names.iter().copied());
    notify::touched(state, db, key);
}

/// Deletes a hash that has lost its last field.
fn remove_left_empty(state: &mut State, db: DbId, key: &[u8]) {
    let left_empty = state.keyspace[db]
        .hash_untouched(key)
        .is_some_and(|hash| hash.is_empty());
    if left_empty {
        keys::delete_emptied(state, db, key);
        notify::notify(state, Event::DEL, db, key);
    }
}

fn with_length(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(IntBuf::new().format(text.len() as i64));
    out.push(b':');
    out.extend_from_slice(text);
}
