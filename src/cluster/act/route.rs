//! The routing of a request by its slot: served here, or refused.
//!
//! Mirrors: getNodeByQuery() of cluster.c. Differs: a node knows only its own slots, so no request is redirected.

use crate::clients::ClientKey;
use crate::cluster::route::Refusal;
use crate::command::keys::Search;
use crate::command::table::CommandId;
use crate::resp::argv::Argv;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// Finds the slot of a client's request, those queued for EXEC included; the slot if it names keys.
pub(crate) fn route_request(
    state: &State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
) -> Result<Option<u16>, Refusal> {
    let flags = state.commands[id].flags;
    let mut slot = None;
    let mut writes = flags.has(crate::command::Flag::Write);
    let mut shard_channels = true;
    let queued = state.clients[client].transaction.as_ref();
    match queued.filter(|_| flags.has(crate::command::Flag::QueueRunner)) {
        Some(transaction) => {
            for (id, argv) in transaction.queued() {
                writes |= state.commands[id].flags.has(crate::command::Flag::Write);
                shard_channels &= join_slots(state, id, argv, &mut slot)?;
            }
        }
        None => shard_channels = join_slots(state, id, argv, &mut slot)?,
    }
    if slot.is_some() {
        answers(state, writes, shard_channels)?;
    }
    Ok(slot)
}

/// As [`route_request`], for one command a script calls.
pub(crate) fn route_call(
    state: &State,
    id: CommandId,
    argv: Argv<'_>,
) -> Result<Option<u16>, Refusal> {
    let mut slot = None;
    let shard_channels = join_slots(state, id, argv, &mut slot)?;
    if slot.is_some() {
        answers(
            state,
            state.commands[id].flags.has(crate::command::Flag::Write),
            shard_channels,
        )?;
    }
    Ok(slot)
}

/// Checks the keys of a command against the slot found so far. Returns whether they are all shard channels.
fn join_slots(
    state: &State,
    id: CommandId,
    argv: Argv<'_>,
    slot: &mut Option<u16>,
) -> Result<bool, Refusal> {
    let search = Search {
        not_keys: true,
        ..crate::command::keys::Search::default()
    };
    let keys =
        crate::command::keys::Keys::of(state.commands[id].decl, argv, search).unwrap_or_default();
    let mut channels = true;
    for key in keys.iter() {
        channels &= key.flags.contains(&crate::command::KeyFlag::NotKey);
        let found = key_hash_slot(argv.get(key.position));
        match *slot {
            Some(slot) if slot != found => return Err(Refusal::CrossSlot),
            Some(_) => {}
            None if state.cluster.owns(found) => *slot = Some(found),
            None => return Err(Refusal::Unbound),
        }
    }
    Ok(channels)
}

fn answers(state: &State, writes: bool, shard_channels: bool) -> Result<(), Refusal> {
    let config = &state.config;
    if state.cluster.is_up(config.cluster_require_full_coverage)
        || shard_channels && config.cluster_allow_pubsubshard_when_down
    {
        return Ok(());
    }
    match (config.cluster_allow_reads_when_down, writes) {
        (false, _) => Err(Refusal::Down),
        (true, true) => Err(Refusal::ReadOnly),
        (true, false) => Ok(()),
    }
}
