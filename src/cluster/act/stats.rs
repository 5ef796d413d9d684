//! Counts what commands, the replication stream and messages cost, slot by slot (CLUSTER SLOT-STATS).
//!
//! Mirrors: clusterSlotStatsAddCpuDuration(), clusterSlotStatsAddNetworkBytesIn… and …Out… of cluster_slot_stats.c.

use super::route;
use crate::clients::{ClientFlags, ClientKey};
use crate::cluster::stats::Inside;
use crate::command::table::CommandId;
use crate::command::{Flag, Said, Targets};
use crate::resp::argv::Argv;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// The bytes of `*1 $5 MULTI`, which EXEC counts with its own.
const MULTI_BYTES: u64 = 15;

/// A command that has run.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    /// For whom.
    pub client: ClientKey,
    /// Which command.
    pub id: CommandId,
    /// Its words.
    pub argv: Argv<'a>,
    /// How long it took.
    pub elapsed_ns: u64,
    /// Bytes of its reply.
    pub replied: u64,
    /// Whether the client was blocked before: its request came some time ago.
    pub again: bool,
}

/// Begins or ends counting, as `cluster-slot-stats-enabled` says now.
pub fn configure(state: &mut State) {
    let wanted = state.config.cluster_slot_stats_enabled;
    state.cluster.stats.on = state.config.cluster_enabled && (wanted.cpu || wanted.network);
}

/// Counts a command that a client sent.
pub fn command(state: &mut State, ran: Ran<'_>) {
    let inside = std::mem::take(&mut state.cluster.stats.inside);
    let inside_bytes = std::mem::take(&mut state.cluster.stats.inside_bytes);
    let Some(flags) = state.clients.get(ran.client).map(|client| client.flags) else {
        return;
    };
    // A command that blocked is counted when it is served.
    if flags.has(ClientFlags::BLOCKED) {
        return;
    }
    let entry = state.commands[ran.id].flags;
    let mut slots = match entry.any(&[Flag::ScriptRunner, Flag::QueueRunner]) {
        true => inside,
        false => Inside::Nothing,
    };
    for key in route::keys(state, ran.id, ran.argv).iter() {
        slots.add(key_hash_slot(ran.argv.get(key.position)));
    }
    let Inside::Slot(slot) = slots else {
        return;
    };
    let wanted = state.config.cluster_slot_stats_enabled;
    let stats = &mut state.cluster.stats;
    let mut came = match ran.again {
        true => wire_bytes(ran.argv.iter()),
        false => stats.request_bytes,
    };
    if entry.has(Flag::QueueRunner) {
        came += MULTI_BYTES + inside_bytes;
    }
    let Some(figures) = stats.of_mut(slot) else {
        return;
    };
    if wanted.cpu {
        // As INFO COMMANDSTATS counts: whole microseconds of each call.
        figures.cpu_ns += ran.elapsed_ns / 1000 * 1000;
    }
    if wanted.network {
        figures.bytes_in += came;
        figures.bytes_out += ran.replied;
    }
}

/// Notes the slots of a command inside a transaction (`queued`) or a script.
pub fn inner_command(state: &mut State, id: CommandId, argv: Argv<'_>, queued: bool) {
    for key in route::keys(state, id, argv).iter() {
        let slot = key_hash_slot(argv.get(key.position));
        state.cluster.stats.inside.add(slot);
    }
    if queued {
        state.cluster.stats.inside_bytes += wire_bytes(argv.iter());
    }
}

/// Counts the bytes that replicas get.
pub fn replicated(state: &mut State, unit: &[Said]) {
    let replicas = state.replication.replicas.len() as u64;
    if replicas == 0
        || state.config.is_replica()
        || !state.config.cluster_slot_stats_enabled.network
    {
        return;
    }
    for said in unit
        .iter()
        .filter(|said| said.targets.any(Targets::REPLICAS))
    {
        let argv = said.argv.as_argv();
        let Ok(id) = state.commands.lookup(argv) else {
            continue;
        };
        let first = route::keys(state, id, argv)
            .iter()
            .next()
            .map(|key| key.position);
        let slot = first.map(|position| key_hash_slot(argv.get(position)));
        if let Some(figures) = slot.and_then(|slot| state.cluster.stats.of_mut(slot)) {
            figures.bytes_out += replicas * wire_bytes(argv.iter());
        }
    }
}

/// Counts the bytes that subscribers of a shard channel get.
pub fn published(state: &mut State, channel: &[u8], text: &[u8], receivers: usize) {
    if !state.cluster.stats.on || !state.config.cluster_slot_stats_enabled.network {
        return;
    }
    let bytes = wire_bytes([&b"smessage"[..], channel, text].into_iter());
    if let Some(figures) = state.cluster.stats.of_mut(key_hash_slot(channel)) {
        figures.bytes_out += bytes * receivers as u64;
    }
}

/// The bytes of words as an array of bulk strings.
fn wire_bytes<'a>(words: impl Iterator<Item = &'a [u8]>) -> u64 {
    let digits = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 1;
    let (mut bytes, mut count) = (0, 0);
    for word in words {
        bytes += 1 + digits(word.len()) + 2 + word.len() + 2;
        count += 1;
    }
    (bytes + 1 + digits(count) + 2) as u64
}

#[cfg(test)]
mod tests {
    use super::wire_bytes;

    #[test]
    fn bytes_of_a_request_are_counted_without_writing_it() {
        // *3 $3 SET $3 key $10 0123456789
        let words = [&b"SET"[..], b"key", b"0123456789"];
        assert_eq!(wire_bytes(words.into_iter()), 4 + 4 + 5 + 4 + 5 + 5 + 12);
    }
}
