//! Slots that change hands: their keys stay at the old owner, and writes wait at the new one, until enough nodes know.
//! The machine says when that is ([`crate::cluster::machine`]).
//!
//! Mirrors: nothing of Redis; docs/decisions/handing-slots-over.md tells why.

use super::carry;
use super::moving::{not_moving, now};
use crate::clients;
use crate::cluster::machine::Command;
use crate::cluster::slots::SlotSet;
use crate::keyspace::DbId;
use crate::state::State;

/// Slots went to other nodes: the keys of them that are here stay until enough nodes know.
pub(super) fn lost(state: &mut State, slots: SlotSet) {
    let slots = not_moving(state, slots);
    let db = &state.keyspace[DbId(0)];
    let slots: SlotSet = slots.iter().filter(|slot| db.slot_len(*slot) > 0).collect();
    if !slots.is_empty() {
        // It is never refused.
        let _ = carry::order(state, Command::HandOver(&slots));
    }
}

/// Slots are about to become this node's: writes of them wait until enough nodes know, as long as a source would pause.
pub(super) fn taking(state: &mut State, slots: &SlotSet) {
    let until = now(state).0 + state.config.cluster_slot_migration_write_pause_timeout;
    state.cluster.taken = Some((slots.clone(), until));
}

/// Enough nodes know that slots are this node's, or they are not: clients that waited go on.
pub(super) fn taken(state: &mut State) {
    if state.cluster.taken.take().is_some() {
        clients::act::pause::release(state);
    }
}

/// Lets clients go on although too few nodes have answered in time.
pub(super) fn release_overdue(state: &mut State) {
    let overdue = |(_, until): &(SlotSet, u64)| now(state).0 >= *until;
    if state.cluster.taken.as_ref().is_some_and(overdue) {
        taken(state);
    }
}
