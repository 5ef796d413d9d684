//! Slots have left this node: their keys are deleted, shard channels unsubscribed, blocked clients redirected.
//!
//! Mirrors: delKeysInSlot() (db.c), removeChannelsInSlot() and clusterRedirectBlockedClientIfNeeded().

use super::route;
use crate::clients::ClientKey;
use crate::cluster::slots::SlotSet;
use crate::command::Targets;
use crate::keyspace::DbId;
use crate::keyspace::events::Event;
use crate::pubsub::Kind;
use crate::resp::argv::OwnedArgv;
use crate::state::State;
use crate::util::crc16::{SLOTS, key_hash_slot};
use crate::{clients, command, keyspace};

/// Deletes the keys of slots that belong to other nodes now. Propagated as DEL, without an event; O(keys).
#[doc(alias = "delKeysInSlot")]
pub(crate) fn delete_keys(state: &mut State, slots: &SlotSet) {
    let slots = slots.iter().filter(|slot| *slot < SLOTS);
    let (mut deleted, mut count) = (0, 0);
    for slot in slots {
        deleted += delete_some(state, slot, usize::MAX);
        count += 1;
    }
    if deleted > 0 {
        state.log.notice(format_args!(
            "Deleted {deleted} keys of {count} slots that other nodes serve now."
        ));
    }
}

/// Deletes up to so many keys of a slot, as [`delete_keys`] does. Returns how many were deleted.
pub(super) fn delete_some(state: &mut State, slot: u16, at_most: usize) -> usize {
    let db = DbId(0);
    let mut deleted = 0;
    for key in state.keyspace[db].slot_keys(slot, at_most) {
        let alone = state.effects.depth() == 0;
        state.effects.enter();
        keyspace::act::keys::leaving(state, keyspace::act::keys::KeyLeft::Deleted, db, &key);
        let Some(removed) = state.keyspace[db].remove(&key) else {
            state.effects.leave();
            continue;
        };
        deleted += 1;
        keyspace::act::keys::discard(state, removed, state.config.lazyfree_lazy_server_del);
        keyspace::act::notify::touched(state, db, &key);
        if state.effects.listening != Targets::NONE {
            let argv = OwnedArgv::from_words([b"DEL".as_slice(), &key]);
            state.effects.say(db, argv.as_argv(), Targets::ALL);
        }
        keyspace::act::notify::notify_modules(state, Event::DEL, db, &key);
        keyspace::act::notify::notify_trimmed(state, db, &key);
        state.dirty += 1;
        if state.effects.leave() && alone {
            command::act::after_unit(state);
        }
    }
    deleted
}

/// Takes the table of a slot away as a whole and has a thread free it, if nobody has to hear of each key: no replica, no
/// append-only file, no module, no client that watches or tracks keys. Returns how many keys that were. O(1), but for
/// databases with hashes whose fields have deadlines: there O(keys).
pub(super) fn drop_table(state: &mut State, slot: u16) -> Option<usize> {
    let heard = state.effects.listening != Targets::NONE
        || !state.modules.is_empty()
        || !state.tracking.is_idle()
        || !state.watches.is_empty();
    // A snapshot that holds the keys is to be told how much memory that is.
    let held = state.config.maxmemory != 0 && state.keyspace.env().live_snapshots() > 0;
    if heard || held {
        return None;
    }
    let table = state.keyspace[DbId(0)].take_slot(slot);
    let keys = table.len();
    state.dirty += keys as u64;
    state.lazyfree.free(table, keys);
    Some(keys)
}

/// Ends the subscriptions of shard channels whose slots have left; subscribers are told.
#[doc(alias = "removeChannelsInSlot")]
pub(super) fn leave_channels(state: &mut State, slots: &SlotSet) {
    let names = state.pubsub.names(Kind::Shard);
    let gone = names.filter(|name| slots.has(key_hash_slot(name)));
    let gone: Vec<Box<[u8]>> = gone.map(Box::from).collect();
    for name in gone {
        state
            .pubsub
            .end_channel(&mut state.clients, Kind::Shard, &name);
    }
}

/// Unblocks the clients that wait for keys in vain, with the error that tells them where to go.
pub(super) fn redirect_blocked(state: &mut State) {
    let blocked = state.clients.iter().filter(|client| client.blocked());
    let blocked: Vec<ClientKey> = blocked.map(|client| client.key).collect();
    for client in blocked {
        let machine = state.cluster.machine();
        let refused = machine.and_then(|machine| route::refuse_blocked(state, machine, client));
        if let Some(refusal) = refused {
            clients::act::waits::end_wait_with(state, client, Some(refusal.error()));
        }
    }
}
