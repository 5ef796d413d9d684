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
use crate::{clients, command, keyspace, replication};

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

/// Deletes the keys of slots that left: as whole tables if nobody has to hear of each key, else as [`delete_keys`] does.
#[doc(alias = "asmTrimSlots")]
pub(crate) fn trim(state: &mut State, slots: &SlotSet) {
    if drops_tables(state) {
        drop_tables(state, slots);
    } else {
        delete_keys(state, slots);
    }
}

/// Whether the tables of slots may be taken away as a whole: no module, no client that watches or tracks keys has to hear
/// of each key, and the readers of the stream understand TRIMSLOTS.
pub(super) fn drops_tables(state: &State) -> bool {
    let heard = !state.modules.is_empty() || !state.tracking.is_idle() || !state.watches.is_empty();
    // A snapshot that holds the keys is to be told how much memory that is.
    let held = state.config.maxmemory != 0 && state.keyspace.env().live_snapshots() > 0;
    !heard && !held && readers_trim(state)
}

/// Whether all readers of the stream understand TRIMSLOTS, which came with Redis 8.4: the append-only file unless it is
/// written for an older Redis, and replicas that have said so. One that is away may be of any kind.
fn readers_trim(state: &State) -> bool {
    let listening = state.effects.listening;
    let machine = state.cluster.machine();
    let of_shard = machine.map_or(0, |machine| {
        machine.nodes().replicas(machine.my_key()).count()
    });
    let file = !listening.any(Targets::AOF) || state.config.rdb_version == 0;
    let replicas = !listening.any(Targets::REPLICAS)
        || replication::act::stream::replicas_trim(state).is_some_and(|count| count >= of_shard);
    file && replicas
}

/// Takes the tables of slots away and has a thread free them. Propagated as TRIMSLOTS, without an event. Returns how many
/// keys that were. O(1) for each slot, but for databases with hashes whose fields have deadlines: there O(keys).
pub(super) fn drop_tables(state: &mut State, slots: &SlotSet) -> usize {
    let db = DbId(0);
    let alone = state.effects.depth() == 0;
    state.effects.enter();
    let mut keys = 0;
    for slot in slots.iter().filter(|slot| *slot < SLOTS) {
        let table = state.keyspace[db].take_slot(slot);
        let of_slot = table.len();
        keys += of_slot;
        state.lazyfree.free(table, of_slot);
    }
    state.dirty += keys as u64;
    if keys > 0 && state.effects.listening != Targets::NONE {
        let ranges = slots.ranges();
        let mut words = vec!["TRIMSLOTS".to_owned(), "RANGES".to_owned()];
        words.push(ranges.len().to_string());
        let ends = ranges.iter().flat_map(|range| [range.start(), range.end()]);
        words.extend(ends.map(u16::to_string));
        let argv = OwnedArgv::from_words(words);
        state.effects.say(db, argv.as_argv(), Targets::ALL);
    }
    if state.effects.leave() && alone {
        command::act::after_unit(state);
    }
    keys
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
