//! The primary's half carried out: replicas register, continue or start anew, acknowledge, leave.
//!
//! A replica continues (partial resynchronisation) if the stream it names is ours and the first byte it lacks is
//! still in the backlog. The offset in PSYNC is the number of that byte, counted from 1; positions in this room are
//! the number of bytes before it, so one less:
//!
//! ```text
//!   primary   id 8371b4…, offset 1040, backlog holds the bytes 513 … 1040 (positions 512 ..= 1040)
//!
//!   replica   applied 1000 bytes, lost its connection, comes back:
//!     ─► PSYNC 8371b4… 1001        position 1000: inside 512 ..= 1040
//!     ◄─ +CONTINUE 8371b4…         then the bytes 1001 … 1040, and whatever follows
//!
//!   replica   was away for longer, applied 300 bytes:
//!     ─► PSYNC 8371b4… 301         position 300: byte 301 has been trimmed
//!     ◄─ +FULLRESYNC 8371b4… 1040  then a snapshot taken at 1040, then the bytes from 1041 on
//!
//!   after a failover the primary has a new id (c0ffee…) and remembers id2 = 8371b4…, valid up to offset 1041:
//!     ─► PSYNC 8371b4… 1041        everything up to 1040 is common history
//!     ◄─ +CONTINUE c0ffee…         the replica takes over the new id
//!     ─► PSYNC 8371b4… 1050        this replica applied bytes of the old primary that we never saw
//!     ◄─ +FULLRESYNC c0ffee… 1040
//! ```
//!
//! Mirrors: syncCommand(), masterTryPartialResynchronization() and replconfCommand() of replication.c.
//! Differs: a replica that continues becomes a position in the backlog; Redis gives it a reference to a block.

use super::{failover, full_sync, stream, waiting};
use crate::clients::{ClientFlags, ClientId, ClientKey};
use crate::command::Said;
use crate::keyspace::Ms;
use crate::modules::{EventData, EventId, kinds};
use crate::replication::backlog::Backlog;
use crate::replication::primary::{Answer, Asked, PIECE};
use crate::replication::{Phase, Replica};
use crate::state::State;

/// Goes at the backlog in one turn of the cron.
const TRIMS: usize = 10;

/// Gives the stream a new name: no replica can continue from the old one.
pub fn change_stream(state: &mut State) {
    state
        .log
        .notice("Changing replication IDs after receiving change-repl-id");
    state.replication.change_id(&mut state.entropy);
    state.replication.clear_id2();
}

/// Hands each replica the next part of the stream, as far as it has room for it.
#[doc(alias = "writeToReplica")]
pub(crate) fn serve_replicas(state: &mut State) {
    if state.replication.replicas.is_empty() {
        return;
    }
    waiting::ask_for_acks(state);
    full_sync::pass_on_save(state);
    full_sync::send_files(state);
    let (replication, clients) = (&mut state.replication, &mut state.clients);
    let Some(backlog) = &replication.backlog else {
        return;
    };
    let mut piece = Vec::new();
    for replica in &mut replication.replicas {
        if !replica.phase.reads() || replica.next >= backlog.end() {
            continue;
        }
        let Some(client) = clients.get(replica.client) else {
            continue;
        };
        if client.out.len() >= PIECE {
            continue;
        }
        piece.clear();
        let read = backlog.read(replica.next, PIECE, &mut piece);
        replica.next += read as u64;
        state.stats.net_repl_output_bytes += read as u64;
        clients.send(replica.client, |reply| reply.raw(&piece));
    }
}

/// Whether some replica could be handed more at once: the loop must not sleep.
pub(crate) fn replicas_wait_for_us(state: &State) -> bool {
    let end = state.replication.backlog.as_ref().map_or(0, Backlog::end);
    state.replication.replicas.iter().any(|replica| {
        let has_more = match replica.phase {
            Phase::Sending(_) => true,
            ref phase => phase.reads() && replica.next < end,
        };
        has_more
            && state.clients.get(replica.client).is_some_and(|client| {
                let stuck = ClientFlags::AWAITS_ROOM | ClientFlags::CLOSE_ASAP;
                !client.flags.any(stuck)
            })
    }) || full_sync::save_waits_for_us(state)
}

/// Whether all replicas have everything.
#[doc(alias = "isReadyToShutdown")]
pub fn replicas_caught_up(state: &State) -> bool {
    let offset = state.replication.offset;
    let mut replicas = state.replication.replicas.iter();
    replicas.all(|replica| replica.acked == offset)
}

/// Says which replicas lack something of the stream that ends now.
pub fn log_lagging_replicas(state: &State) {
    let replication = &state.replication;
    let now = state.clock.unix_ms();
    let (all, mut in_sync) = (replication.replicas.len(), 0);
    for replica in &replication.replicas {
        if replica.acked == replication.offset {
            in_sync += 1;
            continue;
        }
        let lag = match replica.phase.is_online() {
            true => (now / 1000 - replica.acked_ms / 1000).max(0),
            false => 0,
        };
        state.log.notice(format_args!(
            "Lagging replica {} reported offset {} behind master, lag={lag}, state={}.",
            stream::replica_name(state, replica.client),
            replication.offset.saturating_sub(replica.acked),
            replica.phase.name()
        ));
    }
    if all > 0 {
        state.log.notice(format_args!(
            "{in_sync} of {all} replicas are in sync when shutting down."
        ));
    }
}

/// A client asks to read the stream. The caller saw to it that it may.
#[doc(alias = "syncCommand")]
pub fn replica_asks(state: &mut State, client: ClientKey, asked: Asked<'_>) -> Answer {
    let name = stream::replica_name(state, client);
    state
        .log
        .notice(format_args!("Replica {name} asks for synchronization"));
    if let Asked::Psync { id, wanted } = asked {
        let is_channel = stream::announced(state, client).rdb_channel;
        if let Some(position) = can_continue(state, &name, id, wanted, is_channel) {
            return Answer::Continue(continue_replica(state, client, position));
        }
        if id != "?" {
            state.stats.sync_partial_err += 1;
        }
    }
    let announced = stream::announced(state, client);
    let now = state.clock.unix_ms();
    let asks_twice = announced.rdb_channel_repl && matches!(asked, Asked::Psync { .. });
    let phase = match asks_twice {
        true => Phase::AwaitsChannel,
        false => Phase::Waits { since_ms: now },
    };
    // The second connection of such a replica is what counts as a full synchronisation.
    state.stats.sync_full += u64::from(!asks_twice);
    enter_replica(
        state,
        Replica {
            client,
            phase,
            next: state.replication.offset,
            acked: 0,
            acked_aof: 0,
            acked_ms: now,
            silent: matches!(asked, Asked::Sync),
            rdb_only: announced.rdb_only,
        },
    );
    if state.replication.replicas.len() == 1 && state.replication.backlog.is_none() {
        state.replication.change_id(&mut state.entropy);
        state.replication.clear_id2();
        // So that 0 stands for a replica without a data set, and a stream that begins is never mistaken for one that
        // went on before it.
        state.replication.offset += 1;
        stream::create_backlog(state);
        let replication = &state.replication;
        state.log.notice(format_args!(
            "Replication backlog created, my new replication IDs are '{}' and '{}'",
            replication.id, replication.id2
        ));
    }
    if asks_twice {
        state.log.notice(format_args!(
            "Replica {name} is capable of rdb channel synchronization, and partial sync isn't possible. Full sync will \
             continue with dedicated rdb channel."
        ));
        return Answer::OverChannel(state.clients[client].id);
    }
    full_sync::arrange_full_sync(state, client);
    Answer::Full
}

/// The client of a number, if it is the main channel of a replica that is to open its second connection.
pub fn awaiting_channel(state: &State, id: i64) -> Option<ClientId> {
    let id = ClientId(u64::try_from(id).ok()?);
    let client = state.clients.by_id(id)?;
    let mut replicas = state.replication.replicas.iter();
    let awaits = |replica: &Replica| {
        replica.client == client.key && matches!(replica.phase, Phase::AwaitsChannel)
    };
    replicas.any(awaits).then_some(id)
}

fn enter_replica(state: &mut State, replica: Replica) {
    let client = &mut state.clients[replica.client];
    client.flags.set(ClientFlags::REPLICA);
    if state.config.repl_disable_tcp_nodelay
        && let Some(host) = &mut state.host
    {
        host.collect_packets(replica.client);
    }
    if state.replication.replicas.is_empty() {
        state.replication.last_ping_ms = replica.acked_ms;
    }
    state.replication.replicas.push(replica);
}

/// The position from which a replica can go on that knows a stream up to before byte `wanted`.
#[doc(alias = "masterTryPartialResync")]
fn can_continue(state: &State, name: &str, id: &str, wanted: i64, is_channel: bool) -> Option<u64> {
    let replication = &state.replication;
    let same = id.eq_ignore_ascii_case(&replication.id);
    let known_before = id.eq_ignore_ascii_case(&replication.id2)
        && replication.id2 != crate::replication::NO_ID
        && replication
            .second_offset
            .is_some_and(|valid| wanted >= 0 && wanted as u64 <= valid);
    if !same && !known_before {
        if id == "?" {
            let channel = match is_channel {
                true => " (rdb-channel)",
                false => "",
            };
            state.log.notice(format_args!(
                "Full resync requested by replica {name}{channel}"
            ));
        } else if id.eq_ignore_ascii_case(&replication.id2) {
            state.log.notice(format_args!(
                "Partial resynchronization not accepted: Requested offset for second ID was {wanted}, \
                 but I can reply up to {}",
                replication.second_offset.unwrap_or(0)
            ));
        } else {
            state.log.notice(format_args!(
                "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for \
                 '{id}', my replication IDs are '{}' and '{}')",
                replication.id, replication.id2
            ));
        }
        return None;
    }
    let position = u64::try_from(wanted).ok().and_then(|n| n.checked_sub(1));
    let covered = position.filter(|position| {
        let backlog = replication.backlog.as_ref();
        backlog.is_some_and(|backlog| backlog.covers(*position))
    });
    if covered.is_none() {
        state.log.notice(format_args!(
            "Unable to partial resync with replica {name} for lack of backlog (Replica request was: \
             {wanted})."
        ));
        if wanted > replication.offset as i64 {
            state.log.warning(format_args!(
                "Warning: replica {name} tried to PSYNC with an offset that is greater than the master \
                 replication offset."
            ));
        }
    }
    covered
}

fn continue_replica(state: &mut State, client: ClientKey, position: u64) -> String {
    state.stats.sync_partial_ok += 1;
    let announced = stream::announced(state, client);
    let name = stream::replica_name(state, client);
    let now = state.clock.unix_ms();
    enter_replica(
        state,
        Replica {
            client,
            phase: Phase::Online { reads: true },
            next: position,
            acked: 0,
            acked_aof: 0,
            acked_ms: now,
            silent: false,
            rdb_only: announced.rdb_only,
        },
    );
    let bytes = state.replication.offset.saturating_sub(position);
    state.log.notice(format_args!(
        "Partial resynchronization request from {name} accepted. Sending {bytes} bytes of backlog \
         starting from offset {}.",
        position + 1
    ));
    full_sync::is_online(state);
    match announced.psync2 {
        true => format!("CONTINUE {}", state.replication.id),
        false => "CONTINUE".to_owned(),
    }
}

/// A replica says how far it is.
#[doc(alias = "replconfCommand")]
pub fn replica_acks(state: &mut State, client: ClientKey, offset: u64, aof: Option<u64>) {
    let now = state.clock.unix_ms();
    let Some(replica) = state.replication.replica(client) else {
        return;
    };
    replica.acked = replica.acked.max(offset);
    replica.acked_aof = replica.acked_aof.max(aof.unwrap_or(0));
    replica.acked_ms = now;
    // The data set was sent without a length: only now is it sure that what follows is taken for the stream.
    if let Phase::Online {
        reads: reads @ false,
    } = &mut replica.phase
    {
        *reads = true;
        let name = stream::replica_name(state, client);
        state.log.notice(format_args!(
            "Synchronization with replica {name} succeeded"
        ));
    } else if matches!(replica.phase, Phase::Streaming) {
        full_sync::main_channel_online(state, client);
    }
}

/// A replica sent an empty line: it is busy with its data set, and there.
pub fn replica_is_alive(state: &mut State, client: ClientKey) {
    let now = state.clock.unix_ms();
    if let Some(replica) = state.replication.replica(client) {
        replica.acked_ms = now;
    }
}

/// The care for replicas, once a second. A PING every `repl-ping-replica-period` shows online replicas that the link
/// lives; an empty line does so for replicas that wait for their data set; a replica that was silent for
/// `repl-timeout` is disconnected.
#[doc(alias = "replicationCron")]
pub(in crate::replication) fn care_for_replicas(state: &mut State) {
    let now = state.clock.unix_ms();
    let period_ms = Ms::from(state.config.repl_ping_replica_period) * 1000;
    if !state.replication.replicas.is_empty()
        && now - state.replication.last_ping_ms >= period_ms
        && !state.config.is_replica()
        && !failover::failover_holds_stream(state)
    {
        state.replication.last_ping_ms = now;
        stream::feed_replicas(
            state,
            &[Said {
                db: None,
                argv: crate::resp::argv::OwnedArgv::from_words(["PING"]),
                targets: crate::command::Targets::REPLICAS,
            }],
        );
    }
    let to_disk = state
        .replication
        .save
        .as_ref()
        .is_none_or(crate::replication::full_sync::SyncSave::is_file);
    let timeout_ms = Ms::from(state.config.repl_timeout) * 1000;
    let mut late = Vec::new();
    for replica in &state.replication.replicas {
        let client = replica.client;
        match replica.phase {
            Phase::Waits { .. } => state.clients.send(client, |reply| reply.raw(b"\n")),
            Phase::Writing if to_disk => state.clients.send(client, |reply| reply.raw(b"\n")),
            Phase::Writing => {
                let stuck = state.clients.get(client).is_some_and(|client| {
                    client.flags.has(ClientFlags::AWAITS_ROOM)
                        && now - client.active_ms > timeout_ms
                });
                if stuck {
                    late.push((client, "full sync"));
                }
            }
            Phase::Online { .. } if !replica.silent && now - replica.acked_ms > timeout_ms => {
                late.push((client, "streaming sync"));
            }
            _ => {}
        }
    }
    for (client, what) in late {
        let name = stream::replica_name(state, client);
        state.log.warning(format_args!(
            "Disconnecting timedout replica ({what}): {name}"
        ));
        state.clients.close_asap(client);
    }
    for _ in 0..TRIMS {
        trim_backlog(state);
    }
    expire_backlog(state, now);
    full_sync::start_due_full_sync(state);
}

/// Frees the backlog if no replica came back for `repl-backlog-ttl` seconds.
fn expire_backlog(state: &mut State, now: Ms) {
    let ttl_s = state.config.repl_backlog_ttl;
    let idle_s = (now - state.replication.no_replicas_since_ms).max(0) as u64 / 1000;
    if !state.replication.replicas.is_empty()
        || ttl_s == 0
        || idle_s <= ttl_s
        || state.replication.backlog.is_none()
        || state.config.is_replica()
    {
        return;
    }
    // The stream goes on without a backlog to record it. The id changes as well, because two different streams must
    // never share one id.
    state.replication.change_id(&mut state.entropy);
    state.replication.clear_id2();
    state.replication.backlog = None;
    stream::listen_for_replicas(state);
    state.log.notice(format_args!(
        "Replication backlog freed after {ttl_s} seconds without connected replicas."
    ));
}

/// Ends the connections of all replicas; they come back and ask where they stand.
#[doc(alias = "disconnectSlaves")]
pub fn disconnect_replicas(state: &mut State) {
    for replica in &state.replication.replicas {
        state.clients.close_asap(replica.client);
    }
}

/// Forgets a client that leaves, if it was a replica: its save may stop, and its part of the backlog may go.
pub fn forget_replica(state: &mut State, client: ClientKey) {
    let replicas = &mut state.replication.replicas;
    let Some(index) = replicas.iter().position(|replica| replica.client == client) else {
        return;
    };
    let name = stream::replica_name(state, client);
    let replica = state.replication.replicas.remove(index);
    let channel = match stream::announced(state, client).rdb_channel {
        true => " (rdbchannel)",
        false => "",
    };
    state.log.notice(format_args!(
        "Connection with replica{channel} {name} lost."
    ));
    if state.replication.replicas.is_empty() {
        state.replication.no_replicas_since_ms = state.clock.unix_ms();
    }
    if matches!(replica.phase, Phase::Writing) {
        full_sync::sync_save_lost_one(state);
    }
    trim_backlog(state);
    if replica.phase.is_online() {
        state.tell_modules(EventId::Replica, kinds::replica::OFFLINE, EventData::None);
    }
}

/// Frees the part of the backlog that no replica needs and that exceeds `repl-backlog-size`.
fn trim_backlog(state: &mut State) {
    let needed = crate::replication::needed(&state.replication.replicas);
    let size = state.config.repl_backlog_size;
    if let Some(backlog) = &mut state.replication.backlog {
        backlog.trim(size, needed);
    }
}
