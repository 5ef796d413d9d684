//! Requests that would fail in a cluster, counted on a server without one: INFO's `cluster_incompatible_ops`.
//!
//! Before a data set moves to a cluster, an operator wants to know which of its clients use keys of several slots at
//! once. `cluster-compatibility-sample-ratio` says how many percent of the requests are looked at; 0, the default, costs
//! one test per request.
//!
//! ```text
//!   MSET foo 1 bar 2                    counts: foo is in slot 12182, bar in slot 5061
//!   MSET {u}foo 1 {u}bar 2              does not: one slot
//!   EVAL "redis.call('del', 'bar')" 1 foo    counts: the script leaves the slot of its keys
//! ```
//!
//! Mirrors: the uses of `cluster_compatibility_sample_ratio` in processCommand() of server.c, script.c and sort.c.

use crate::clients::ClientKey;
use crate::command::Flag;
use crate::command::keys::{Keys, Search};
use crate::command::table::CommandId;
use crate::resp::argv::Argv;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// The slot that the requests looked at are in so far: `Ok(None)` before the first key, an error after the second
/// slot.
type OneSlot = Result<Option<u16>, CrossSlot>;

/// Keys of more than one slot.
struct CrossSlot;

/// Draws whether something is looked at.
pub(crate) fn is_sampled(state: &mut State) -> bool {
    match state.config.cluster_compatibility_sample_ratio {
        0 => false,
        100.. => true,
        percent => state.rng.below(100) < u64::from(percent),
    }
}

/// Looks at a request that is about to run, perhaps: the option says how many are looked at. O(keys).
#[doc(alias = "areCommandKeysInSameSlot")]
pub(crate) fn note_request(state: &mut State, client: ClientKey, id: CommandId, argv: Argv<'_>) {
    state.scripts.request_slot = None;
    let entry = &state.commands[id];
    let runs_queue = entry.flags.has(Flag::QueueRunner);
    let names_keys = !entry.decl.keys.is_empty() || entry.flags.has(Flag::MovableKeys);
    if !(runs_queue || names_keys) || state.config.cluster_enabled || !is_sampled(state) {
        return;
    }
    let queued = state.clients[client].transaction.as_ref();
    let found = match queued.filter(|_| runs_queue) {
        Some(transaction) => transaction
            .queued()
            .try_fold(None, |slot, (id, argv)| join(state, id, argv, slot)),
        None => join(state, id, argv, None),
    };
    match found {
        Ok(slot) => state.scripts.request_slot = Some(slot),
        Err(CrossSlot) => state.stats.cluster_incompatible_ops += 1,
    }
}

/// Looks at a command of a script, if the request that runs the script is looked at. A script counts once.
#[doc(alias = "scriptCheckClusterCompatibility")]
pub(crate) fn note_script_call(state: &mut State, id: CommandId, argv: Argv<'_>) {
    let Some(before) = state.scripts.request_slot else {
        return;
    };
    let one_slot = state.scripts.run.as_ref().is_some_and(|run| run.one_slot);
    let found = match one_slot {
        true => join(state, id, argv, before),
        // The script says that it uses several slots, which a cluster allows if each command uses one.
        false => join(state, id, argv, None).map(|_| before),
    };
    state.scripts.request_slot = match found {
        Ok(slot) => Some(slot),
        Err(CrossSlot) => {
            state.stats.cluster_incompatible_ops += 1;
            None
        }
    };
}

/// The slot so far, joined by the keys of one more command.
fn join(state: &State, id: CommandId, argv: Argv<'_>, slot: Option<u16>) -> OneSlot {
    let search = Search {
        not_keys: true,
        ..Search::default()
    };
    let keys = Keys::of(state.commands[id].decl, argv, search).unwrap_or_default();
    keys.iter().try_fold(slot, |slot, key| {
        let found = key_hash_slot(argv.get(key.position));
        match slot {
            Some(slot) if slot != found => Err(CrossSlot),
            _ => Ok(Some(found)),
        }
    })
}
