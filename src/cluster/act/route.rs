//! The routing of a request by its slot: served here, redirected, or refused.
//!
//! ```text
//!   GET {a}x            one slot                        → decide
//!   MGET {a}x {b}y      two slots                       → CROSSSLOT
//!   EXEC                the keys of all queued commands → as one request
//!   redis.call in EVAL  the keys of that command        → with READONLY and ASKING of the script's caller
//! ```
//!
//! Mirrors: getNodeByQuery() and clusterRedirectBlockedClientIfNeeded() of cluster.c.
//! Differs: the decision itself is pure ([`decide`]); here the keys are found, and those that are missing are looked for.

use super::node;
use crate::clients::{ClientFlags, ClientKey, WaitKind};
use crate::cluster::Refusal;
use crate::cluster::decide::{Missing, Route, Want, WhenDown, decide};
use crate::cluster::machine::Machine;
use crate::command::keys::{Keys, Search};
use crate::command::table::CommandId;
use crate::command::{Channels, Flag};
use crate::keyspace::DbId;
use crate::resp::argv::Argv;
use crate::state::State;
use crate::util::crc16::key_hash_slot;

/// Finds the slot of a client's request, those queued for EXEC included; the slot if it names keys. `writes`: whether
/// the request may change data.
pub(crate) fn route_request(
    state: &State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    writes: bool,
) -> Result<Option<u16>, Refusal> {
    let flags = state.commands[id].flags;
    let queued = state.clients[client].transaction.as_ref();
    let who = state.clients[client].flags;
    match queued.filter(|_| flags.has(Flag::QueueRunner)) {
        Some(transaction) => {
            let requests = || transaction.queued();
            route(state, client, who, requests, writes)
        }
        None => route(state, client, who, || std::iter::once((id, argv)), writes),
    }
}

/// As [`route_request`], for one command that a script calls for `caller`.
pub(crate) fn route_call(
    state: &State,
    caller: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
) -> Result<Option<u16>, Refusal> {
    let writes = state.commands[id].flags.has(Flag::Write);
    let who = state.clients.get(caller).map(|caller| caller.flags);
    let who = who.unwrap_or(ClientFlags::NONE);
    route(state, caller, who, || std::iter::once((id, argv)), writes)
}

/// Where requests that run as one are served. `requests` lists them, as often as it is called.
fn route<'a, I: Iterator<Item = (CommandId, Argv<'a>)>>(
    state: &State,
    client: ClientKey,
    who: ClientFlags,
    requests: impl Fn() -> I,
    writes: bool,
) -> Result<Option<u16>, Refusal> {
    let Some(machine) = state
        .cluster
        .machine()
        .filter(|_| !state.modules.no_redirection)
    else {
        return Ok(None);
    };
    let mut first: Option<(u16, &[u8])> = None;
    let (mut several_keys, mut channels) = (false, true);
    let (mut migrate, mut asking) = (false, who.has(ClientFlags::ASKING));
    for (id, argv) in requests() {
        let entry = &state.commands[id];
        asking |= entry.flags.has(Flag::Asking);
        migrate |= entry.decl.serves_open_slots;
        for key in keys(state, id, argv).iter() {
            channels &= key.flags.contains(&crate::command::KeyFlag::NotKey);
            let name = argv.get(key.position);
            let slot = key_hash_slot(name);
            match first {
                None if machine.owners().of(slot).is_none() => return Err(Refusal::Unbound),
                None => first = Some((slot, name)),
                Some((first, _)) if first != slot => return Err(Refusal::CrossSlot),
                Some((_, first)) => several_keys |= first != name,
            }
        }
    }
    let Some((slot, _)) = first else {
        return Ok(None);
    };
    let want = Want {
        slot,
        several_keys,
        write: writes,
        channels,
        migrate,
        asking,
        readonly: who.has(ClientFlags::READONLY),
    };
    let when_down = WhenDown {
        reads: state.config.cluster_allow_reads_when_down,
        channels: state.config.cluster_allow_pubsubshard_when_down,
    };
    let to = |key| node::redirection(state, machine, key, Some(client));
    match decide(machine, &want, when_down, || missing(state, requests())) {
        Route::Here => Ok(Some(slot)),
        Route::Moved(key) => Err(Refusal::Moved { slot, to: to(key) }),
        Route::Ask(key) => Err(Refusal::Ask { slot, to: to(key) }),
        Route::TryAgain => Err(Refusal::TryAgain),
        Route::Unbound => Err(Refusal::Unbound),
        Route::Down => Err(Refusal::Down),
        Route::DownForWrites => Err(Refusal::ReadOnly),
    }
}

/// The keys and shard channels that a request is routed by. A client may leave a shard channel (SUNSUBSCRIBE) wherever it
/// is.
pub(super) fn keys(state: &State, id: CommandId, argv: Argv<'_>) -> Keys {
    let decl = state.commands[id].decl;
    let search = Search {
        not_keys: decl.channels != Channels::None,
        ..Search::default()
    };
    Keys::of(decl, argv, search).unwrap_or_default()
}

/// Which keys of requests are not here. A key past its deadline counts as missing, and is not deleted by this look.
fn missing<'a>(state: &State, requests: impl Iterator<Item = (CommandId, Argv<'a>)>) -> Missing {
    let now = state.keyspace.env().now_ms();
    let (mut here, mut gone) = (false, false);
    for (id, argv) in requests {
        for key in keys(state, id, argv).iter() {
            let found = state.keyspace[DbId(0)].peek_raw(argv.get(key.position));
            let found = found.filter(|entry| !entry.is_expired(now));
            here |= found.is_some();
            gone |= found.is_none();
        }
    }
    match (here, gone) {
        (_, false) => Missing::None,
        (true, true) => Missing::Some,
        (false, true) => Missing::All,
    }
}

/// The reason why a client that is blocked on keys waits here in vain: the cluster is down, or the slot has gone.
#[doc(alias = "clusterRedirectBlockedClientIfNeeded")]
pub(crate) fn refuse_blocked(
    state: &State,
    machine: &Machine,
    client: ClientKey,
) -> Option<Refusal> {
    let who = state.clients.get(client)?;
    let waiting = who.waiting.as_ref()?;
    let redirected = matches!(
        waiting.kind,
        WaitKind::List | WaitKind::Zset | WaitKind::Stream | WaitKind::Module(_) | WaitKind::Change
    );
    if !redirected {
        return None;
    }
    if !machine.is_up() {
        // A write would have to serve the client, and none is taken.
        return Some(Refusal::Down);
    }
    let slot = key_hash_slot(waiting.keys().1.next()?);
    let Some(owner) = machine.owners().of(slot) else {
        return Some(Refusal::Unbound);
    };
    let reads = who.flags.has(ClientFlags::READONLY)
        && !state.commands[waiting.id].flags.has(Flag::Write)
        && machine.myself().primary == Some(owner);
    if owner == machine.my_key() || reads || machine.owners().importing.contains_key(&slot) {
        return None;
    }
    let to = node::redirection(state, machine, owner, Some(client));
    Some(Refusal::Moved { slot, to })
}
