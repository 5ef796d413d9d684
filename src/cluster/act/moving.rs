//! Slots that move, as other rooms meet them: writes are given to the stream, held back, hidden; lost clients and refused
//! commands are told to the task. [`super::migration`] carries its acts out.
//!
//! Mirrors: cluster_asm.c, the functions that db.c, networking.c and replication.c call.

use super::node;
use crate::clients::ClientKey;
use crate::cluster::migration::{Channel, Task, export, import};
use crate::cluster::slots::SlotSet;
use crate::command::keys::{Keys as KeysOf, Search};
use crate::command::{Flag, Group, Said};
use crate::keyspace::DbId;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// The moment, by the machine's clock and since 1970.
pub(super) fn now(state: &State) -> (u64, u64) {
    (node::now_ms(state), state.clock.unix_ms().max(0) as u64)
}

/// CLUSTER MIGRATION CANCEL: ends the task of this name, or whatever runs. Returns how many there were.
pub fn cancel(state: &mut State, id: Option<&[u8]>, why: &str) -> usize {
    let (now, wall) = now(state);
    state.cluster.migrations.cancel(now, wall, id, why)
}

/// Tells the destination's side of an event.
pub fn import_step(state: &mut State, input: import::Input<'_>) {
    let (now, wall) = now(state);
    state.cluster.migrations.import_step(now, wall, input);
}

/// Tells the source's side of an event.
pub fn export_step(state: &mut State, input: export::Input<'_>) {
    let (now, wall) = now(state);
    state.cluster.migrations.export_step(now, wall, input);
}

/// The primary of this replica tells of its task (SYNCSLOTS CONF ASM-TASK), or a file does. False if the text is no task.
pub fn heard_of_task(state: &mut State, text: &[u8]) -> bool {
    let Some(task) = Task::of_text(text) else {
        return false;
    };
    let (_, wall) = now(state);
    state.cluster.migrations.heard(wall, task);
    true
}

/// A client has gone; a task that needs it learns of it.
pub fn client_left(state: &mut State, client: ClientKey) {
    let Some(channel) = state.cluster.channels.of_client(client) else {
        return;
    };
    state.cluster.channels.end(channel).client = None;
    import_step(state, import::Input::Down(channel, "connection lost"));
    export_step(state, export::Input::Lost(channel, "connection lost"));
}

/// A command of the snapshot or the stream was refused here: the task fails, because the keys would differ.
pub fn command_refused(state: &mut State, client: ClientKey, error: &str) {
    if state.cluster.migrations.import.is_some()
        && state.cluster.channels.of_client(client).is_some()
    {
        let why = format!("command failed: {error}");
        import_step(state, import::Input::Refused(&why));
    }
}

/// Gives the effects of a unit to the stream of a task, as far as they touch its slots. Transactions are taken apart:
/// nobody reads the slots at the other end before they are whole.
pub fn feed(state: &mut State, unit: &[Said]) {
    let Some(slots) = &state.cluster.channels.streams else {
        return;
    };
    let mut bytes = Vec::new();
    let mut everything = false;
    for said in unit {
        let argv = said.argv.as_argv();
        let Ok(id) = state.commands.lookup(argv) else {
            continue;
        };
        let keys = KeysOf::of(state.commands[id].decl, argv, Search::default());
        let keys = keys.unwrap_or_default();
        match keys.iter().next() {
            Some(key) if slots.has(key_hash_slot(argv.get(key.position))) => {
                argv.encode(&mut bytes)
            }
            Some(_) => {}
            // A library is every node's own affair, and TRIMSLOTS is about slots that are nobody's here.
            None => {
                let entry = &state.commands[id];
                let of_data = !matches!(entry.decl.docs.group, Group::Scripting | Group::Cluster);
                everything |= of_data && entry.flags.has(Flag::Write);
            }
        }
    }
    if everything {
        let (now, wall) = now(state);
        let why = "the data set was emptied";
        state.cluster.migrations.cancel(now, wall, None, why);
        return;
    }
    if bytes.is_empty() {
        return;
    }
    state.cluster.channels.sent += bytes.len() as u64;
    let Some(client) = state.cluster.channels.end(Channel::Main).client else {
        return;
    };
    state.clients.send(client, |reply| reply.raw(&bytes));
    let limit = state.config.client_output_buffer_limit.replica.hard_bytes;
    let waiting = state
        .clients
        .get(client)
        .map_or(0, |client| client.out.len() as u64);
    if limit > 0 && waiting > limit {
        let why = "too many bytes wait for the destination";
        export_step(state, export::Input::Lost(Channel::Main, why));
    }
}

/// The lines of CLUSTER INFO about migrations.
pub fn info_text(state: &State) -> String {
    let (migrations, channels) = (&state.cluster.migrations, &state.cluster.channels);
    let trim = channels.trim;
    let running = !channels.trims.is_empty();
    let current = |n: u64| if running { n } else { 0 };
    let lines = [
        ("active_tasks", u64::from(migrations.is_busy())),
        ("active_trim_running", u64::from(running)),
        ("active_trim_current_job_keys", current(trim.keys)),
        ("active_trim_current_job_trimmed", current(trim.trimmed)),
        ("stats_active_trim_started", trim.started),
        ("stats_active_trim_completed", trim.completed),
        ("stats_active_trim_cancelled", 0),
    ];
    let line = |(name, n)| format!("cluster_slot_migration_{name}:{n}\r\n");
    lines.into_iter().map(line).collect()
}

/// Bytes that wait for the destination of a task.
pub fn unsent_bytes(state: &State) -> usize {
    let client = state.cluster.channels.client(Channel::Main);
    let export = state.cluster.migrations.export.as_ref().and(client);
    export
        .and_then(|client| state.clients.get(client))
        .map_or(0, |client| client.out.len())
}

/// Whether a request is held back because it may change slots that change hands right now.
pub fn holds_back(state: &State, slot: Option<u16>) -> bool {
    let leaving = state.cluster.channels.pauses.as_ref();
    let taken = state.cluster.taken.as_ref().map(|(slots, _)| slots);
    slot.is_some_and(|slot| {
        [leaving, taken]
            .into_iter()
            .flatten()
            .any(|slots| slots.has(slot))
    })
}

/// The slots of a list that do not leave with a task: the keys of those that do are deleted by the task.
pub(super) fn not_moving(state: &State, slots: SlotSet) -> SlotSet {
    let export = state.cluster.migrations.export.as_ref();
    let export = export.filter(|export| export.is_live());
    let trims = &state.cluster.channels.trims;
    let leaves =
        |slot: u16| trims.has(slot) || export.is_some_and(|export| export.slots().has(slot));
    slots.iter().filter(|slot| !leaves(*slot)).collect()
}

/// Notes that the destination may claim the slots of the export any time, or no longer.
pub(super) fn await_claim(state: &mut State, awaits: bool) {
    if let Some(machine) = &mut state.cluster.machine {
        machine.await_claim(awaits);
    }
}

/// Slots whose keys may be deleted now. Modules may hold all of them back.
pub(super) fn due_trims(state: &State) -> impl Iterator<Item = u16> {
    let held_back = !state.modules.trim_holds.is_empty();
    let machine = state.cluster.machine();
    let stays =
        move |slot: &u16| held_back || machine.is_some_and(|machine| machine.hands_over(*slot));
    let trims = state.cluster.channels.trims.iter();
    trims.filter(move |slot| !stays(slot))
}

/// The first slot whose keys may be deleted now.
pub(super) fn next_trim(state: &State) -> Option<u16> {
    due_trims(state).next()
}

/// Whether keys of a slot are here that clients are not to see: they are coming, or going.
pub fn hides(state: &State, slot: u16) -> bool {
    let cluster = &state.cluster;
    cluster.channels.trims.has(slot)
        || cluster
            .migrations
            .hidden()
            .is_some_and(|slots| slots.has(slot))
}

/// The number of keys that [`hides`] is true for. O(slots that move).
pub fn hidden_keys(state: &State) -> usize {
    if !hides_any(state) {
        return 0;
    }
    let mut hidden = state.cluster.channels.trims.clone();
    let coming = state.cluster.migrations.hidden();
    coming.into_iter().flat_map(SlotSet::iter).for_each(|slot| {
        hidden.insert(slot);
    });
    keys_in(state, &hidden) as usize
}

/// Whether there are such keys.
pub fn hides_any(state: &State) -> bool {
    !state.cluster.channels.trims.is_empty() || state.cluster.migrations.hidden().is_some()
}

pub(super) fn keys_in(state: &State, slots: &SlotSet) -> u64 {
    let db = &state.keyspace[DbId(0)];
    slots.iter().map(|slot| db.slot_len(slot) as u64).sum()
}
