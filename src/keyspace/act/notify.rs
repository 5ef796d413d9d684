//! A key has changed: WATCH fails, caches are invalidated, blocked clients are noted, the event is published.
//!
//! Mirrors: signalModifiedKey() and signalFlushedDb() of db.c, notifyKeyspaceEvent() of notify.c.

use super::expire;
use crate::keyspace::DbId;
use crate::keyspace::events::{Class, Event};
use crate::modules::{EventData, EventId};
use crate::pubsub::Kind;
use crate::state::State;

/// A key was changed: clients that watch it, track it, are blocked on it or listen to its events learn of it.
#[inline]
pub fn modified(state: &mut State, db: DbId, key: &[u8], event: Event) {
    expire::reap_expired(state);
    touched(state, db, key);
    notify(state, event, db, key);
}

/// A key changed for those who watch or cache it; no event.
#[inline]
pub fn touched(state: &mut State, db: DbId, key: &[u8]) {
    signalled(state, db, key);
    state.blocked.touch(db, key);
}

/// As [`touched`], but clients blocked on the key are not served: a module says by itself when they can be, and its
/// callback that serves them opens the key for writing each time.
#[doc(alias = "signalModifiedKey")]
pub fn signalled(state: &mut State, db: DbId, key: &[u8]) {
    if !state.watches.is_empty() {
        state
            .watches
            .touch(&mut state.clients, &state.keyspace, db, key);
    }
    if !state.tracking.is_idle() {
        let changer = state.current_client;
        state.tracking.invalidate(&mut state.clients, changer, key);
    }
}

/// A database is about to be emptied, or all of them: those who watch or cache its keys learn of it.
#[doc(alias = "signalFlushedDb")]
pub fn flushing(state: &mut State, which: Option<DbId>) {
    let all = 0..state.config.databases;
    for db in which.map_or(all, |db| db.0..db.0 + 1) {
        state
            .watches
            .touch_db(&mut state.clients, &state.keyspace, DbId(db), None);
        state.blocked.touch_db(DbId(db));
    }
    state.tracking.invalidate_all(&mut state.clients);
}

/// Two databases are about to exchange their content.
pub fn swapping(state: &mut State, a: DbId, b: DbId) {
    let (clients, keyspace) = (&mut state.clients, &state.keyspace);
    state.watches.touch_db(clients, keyspace, a, Some(b));
    state.watches.touch_db(clients, keyspace, b, Some(a));
    state.blocked.touch_db(a);
    state.blocked.touch_db(b);
    let pair = EventData::Pair(a.0 as i32, b.0 as i32);
    state.tell_modules(EventId::SwapDb, 0, pair);
}

/// A key appeared: clients that a module blocked on it are served, and the event is published.
#[doc(alias = "dbAdd")]
#[inline]
pub fn appeared(state: &mut State, db: DbId, key: &[u8]) {
    state.blocked.offer(db, key);
    notify(state, Event::NEW, db, key);
}

/// Publishes a keyspace event if its class is asked for.
#[inline]
pub fn notify(state: &mut State, event: Event, db: DbId, key: &[u8]) {
    let wanted = state.config.notify_keyspace_events.bits() | state.modules.listened;
    if wanted & event.class as u32 != 0 {
        notify_named(state, event.class as u32, event.name.as_bytes(), db, key);
    }
}

/// As [`notify`], for an event whose name is not one of ours: modules hear of it, then subscribers.
#[cold]
pub fn notify_named(state: &mut State, class: u32, name: &[u8], db: DbId, key: &[u8]) {
    if state.modules.listened & class != 0
        && let Some(doors) = state.module_doors
    {
        (doors.notify)(state, class, name, db, key);
    }
    let wanted = state.config.notify_keyspace_events.bits();
    if wanted & class != 0 && wanted & (Class::Keyspace as u32 | Class::Keyevent as u32) != 0 {
        publish_event(state, name, db, key);
    }
}

/// As [`notify_named`], for modules alone: to a cluster's clients a key that moved to another node is not deleted.
pub fn notify_modules(state: &mut State, event: Event, db: DbId, key: &[u8]) {
    if state.modules.listened & event.class as u32 != 0
        && let Some(doors) = state.module_doors
    {
        (doors.notify)(state, event.class as u32, event.name.as_bytes(), db, key);
    }
}

/// Tells modules alone that a key is gone because its slot left.
pub fn notify_trimmed(state: &mut State, db: DbId, key: &[u8]) {
    const KEY_TRIMMED: u32 = 1 << 17;
    if state.modules.listened & KEY_TRIMMED != 0
        && let Some(doors) = state.module_doors
    {
        (doors.notify)(state, KEY_TRIMMED, b"key_trimmed", db, key);
    }
}

fn publish_event(state: &mut State, name: &[u8], db: DbId, key: &[u8]) {
    if state.pubsub.is_empty() {
        return;
    }
    let wanted = state.config.notify_keyspace_events.bits();
    let (pubsub, clients) = (&mut state.pubsub, &mut state.clients);
    let mut channel = Vec::with_capacity(32 + key.len());
    if wanted & Class::Keyspace as u32 != 0 {
        channel.extend_from_slice(format!("__keyspace@{}__:", db.0).as_bytes());
        channel.extend_from_slice(key);
        pubsub.publish(clients, Kind::Channel, &channel, name);
    }
    if wanted & Class::Keyevent as u32 != 0 {
        channel.clear();
        channel.extend_from_slice(format!("__keyevent@{}__:", db.0).as_bytes());
        channel.extend_from_slice(name);
        pubsub.publish(clients, Kind::Channel, &channel, key);
    }
}
