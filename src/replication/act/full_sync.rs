//! Full synchronisation carried out, the primary's half: a save for replicas is started, written to a file or to
//! sockets, and sent. [`crate::replication::full_sync`] has the writer that feeds sockets.
//!
//! Mirrors: startBgsaveForReplication() and updateSlavesWaitingBgsave() of replication.c.
//! Differs: the save is a thread that reads a snapshot, so its result comes as a message, not as the exit status of a
//! child.

use std::io;
use std::io::Read;
use std::sync::mpsc::{SyncSender, TryRecvError, sync_channel};

use super::stream;
use crate::background::Job;
use crate::clients::{ClientFlags, ClientKey};
use crate::config::disk;
use crate::keyspace::Ms;
use crate::modules::{EventData, EventId, kinds};
use crate::persistence;
use crate::persistence::files::SaveError;
use crate::persistence::rdb;
use crate::persistence::rdb::encoder::Sink;
use crate::persistence::saving::Purpose;
use crate::replication::Phase;
use crate::replication::full_sync::{Pipe, SyncSave, Wants};
use crate::replication::primary::PIECE;
use crate::state::State;

/// Pieces written ahead of the slowest replica.
const AHEAD: usize = 2;

/// Bytes of a piece.
const PIPE_PIECE: usize = 64 * 1024;

/// The sink of a thread whose bytes go to sockets: it puts pieces into the bounded channel, and wakes the loop.
pub(crate) struct PipeSink {
    pub(crate) pieces: SyncSender<Vec<u8>>,
    pub(crate) mailbox: crate::state::Mailbox,
    pub(crate) job: Job,
    /// Bytes of a piece.
    pub(crate) piece_bytes: usize,
}

impl Sink for PipeSink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(self.piece_bytes) {
            if self.job.is_cancelled() || self.pieces.send(piece.to_vec()).is_err() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.job.wrote(piece.len() as u64);
            // Wakes the loop, which looks into the pipe before it sleeps.
            self.mailbox.send(|_| {});
        }
        Ok(())
    }
}

/// Finds a data set for a replica: it joins the save that is under way, or a new save begins now or later.
pub(in crate::replication) fn arrange_full_sync(state: &mut State, client: ClientKey) {
    let announced = stream::announced(state, client);
    let others_wait = state
        .replication
        .replicas
        .iter()
        .any(|replica| matches!(replica.phase, Phase::Writing));
    match &state.replication.save {
        Some(save) if save.is_file() => {
            if others_wait && save.wants == Wants::of(&announced) {
                let offset = save.offset;
                begin_writing(state, client, offset);
                state.log.notice("Waiting for end of BGSAVE for SYNC");
            } else {
                state.log.notice(
                    "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC",
                );
            }
        }
        Some(_) => state
            .log
            .notice("Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC"),
        None => {
            let config = &state.config;
            if config.repl_diskless_sync && announced.eof && config.repl_diskless_sync_delay > 0 {
                state.log.notice("Delay next BGSAVE for diskless SYNC");
                start_due_full_sync(state);
            } else if state.persistence.running.is_some() {
                state.log.notice(
                    "No BGSAVE in progress, but another BG operation is active. BGSAVE for replication \
                     delayed",
                );
            } else {
                start_full_sync(state, Wants::of(&announced));
            }
        }
    }
}

/// Begins the save that replicas wait for, if it is time.
#[doc(alias = "replicationStartPendingFork")]
pub(crate) fn start_due_full_sync(state: &mut State) {
    if state.persistence.running.is_some() || state.replication.save.is_some() {
        return;
    }
    let now = state.clock.unix_ms();
    let (mut waiting, mut longest_ms, mut all_eof) = (0, 0, true);
    let mut wants = None;
    for replica in &state.replication.replicas {
        let Phase::Waits { since_ms } = replica.phase else {
            continue;
        };
        let announced = stream::announced(state, replica.client);
        // One save serves all replicas that want the same contents.
        if *wants.get_or_insert(Wants::of(&announced)) != Wants::of(&announced) {
            continue;
        }
        waiting += 1;
        longest_ms = longest_ms.max(now - since_ms);
        all_eof &= announced.eof;
    }
    let Some(wants) = wants else {
        return;
    };
    let config = &state.config;
    let enough = config.repl_diskless_sync_max_replicas;
    let due = !config.repl_diskless_sync
        || !all_eof
        || enough > 0 && waiting >= enough
        || longest_ms >= Ms::from(config.repl_diskless_sync_delay) * 1000;
    if due {
        start_full_sync(state, wants);
    }
}

/// Begins a save for all waiting replicas that want the same contents.
#[doc(alias = "startBgsaveForReplication")]
fn start_full_sync(state: &mut State, wants: Wants) {
    let waiting: Vec<ClientKey> = state
        .replication
        .replicas
        .iter()
        .filter(|replica| matches!(replica.phase, Phase::Waits { .. }))
        .map(|replica| replica.client)
        .filter(|client| Wants::of(&stream::announced(state, *client)) == wants)
        .collect();
    let all_eof = waiting
        .iter()
        .all(|client| stream::announced(state, *client).eof);
    let to_sockets = (state.config.repl_diskless_sync || wants.is_filtered()) && all_eof;
    let target = if to_sockets {
        "replicas sockets"
    } else {
        "disk"
    };
    let channel = if wants.over_channel {
        " (rdb-channel)"
    } else {
        ""
    };
    state.log.notice(format_args!(
        "Starting BGSAVE for SYNC with target: {target}{channel}"
    ));
    let offset = state.replication.offset;
    let started = if to_sockets {
        save_to_sockets(state, wants)
    } else {
        let started = persistence::act::saving::run_save(state, Purpose::Sync, after_save);
        let running = state.persistence.running.as_ref();
        running
            .filter(|_| started)
            .map(|running| (running.id, None))
    };
    // Replicas that read the stream from here on start without a selected database, so the next effect is preceded by
    // a SELECT.
    state.replication.stream_db = None;
    let Some((job, pipe)) = started else {
        state.log.warning("BGSAVE for replication failed");
        for client in waiting {
            state.clients.send(client, |reply| {
                reply.error_text("ERR BGSAVE failed, replication can't continue");
            });
            state.clients[client]
                .flags
                .set(ClientFlags::CLOSE_AFTER_REPLY);
        }
        return;
    };
    let mark = pipe.as_ref().map(|pipe| pipe.mark);
    state.replication.save = Some(SyncSave {
        job,
        offset,
        wants,
        pipe,
    });
    for client in waiting {
        begin_writing(state, client, offset);
        if let Some(mark) = mark {
            state.clients.send(client, |reply| {
                reply.raw(&[b"$EOF:".as_slice(), &mark, b"\r\n"].concat());
            });
        }
    }
    if state.debug.replication_pauses.after_fork {
        super::channel::pause_process(state);
    }
}

/// Sends +FULLRESYNC with the position of the snapshot to a replica, which then waits for the data set.
#[doc(alias = "replicationSetupSlaveForFullResync")]
fn begin_writing(state: &mut State, client: ClientKey, offset: u64) {
    let id = &state.replication.id;
    let line = format!("+FULLRESYNC {id} {offset}\r\n");
    let Some(replica) = state.replication.replica(client) else {
        return;
    };
    replica.phase = Phase::Writing;
    replica.next = offset;
    if !replica.silent {
        begin_streaming_to(state, client, offset);
        state
            .clients
            .send(client, |reply| reply.raw(line.as_bytes()));
    }
}

/// The data set is going to a second connection: from its position on, the stream goes to the first one.
fn begin_streaming_to(state: &mut State, client: ClientKey, offset: u64) {
    let announced = stream::announced(state, client);
    if !announced.rdb_channel {
        return;
    }
    let main = announced
        .main_channel
        .and_then(|id| state.clients.by_id(id))
        .map(|client| client.key);
    let main = main.and_then(|main| state.replication.replica(main));
    let Some(main) = main.filter(|main| matches!(main.phase, Phase::AwaitsChannel)) else {
        let name = stream::replica_name(state, client);
        return state.log.warning(format_args!(
            "Starting to deliver RDB to replica {name} but it has no associated main channel"
        ));
    };
    main.phase = Phase::Streaming;
    main.next = offset;
    let main = main.client;
    let name = stream::replica_name(state, main);
    state.log.notice(format_args!(
        "Starting to deliver RDB and replication stream to replica: {name}"
    ));
}

/// A main channel whose second connection has the data set counts as online.
#[doc(alias = "replicaPutOnline")]
pub(in crate::replication) fn main_channel_online(state: &mut State, client: ClientKey) {
    let now = state.clock.unix_ms();
    if let Some(replica) = state.replication.replica(client) {
        replica.phase = Phase::Online { reads: true };
        replica.acked_ms = now;
    }
    is_online(state);
    let name = stream::replica_name(state, client);
    state.log.notice(format_args!(
        "Synchronization with replica {name} succeeded"
    ));
}

/// A replica has its data set: modules hear of it.
pub(in crate::replication) fn is_online(state: &mut State) {
    state.tell_modules(EventId::Replica, kinds::replica::ONLINE, EventData::None);
}

/// The main channels of replicas whose second connection is sent the data set.
fn streaming_replicas(state: &State) -> Vec<ClientKey> {
    let replicas = state.replication.replicas.iter();
    replicas
        .filter(|replica| matches!(replica.phase, Phase::Streaming))
        .map(|replica| replica.client)
        .collect()
}

/// Begins a save that goes to sockets; its number and the way to it.
#[doc(alias = "rdbSaveToSlavesSockets")]
fn save_to_sockets(state: &mut State, wants: Wants) -> Option<(u64, Option<Pipe>)> {
    persistence::act::saving::tell(state, kinds::persistence::RDB_START);
    let mut options = persistence::act::saving::save_options(state, false);
    if wants.without_functions {
        options.functions.clear();
    }
    options.without_keys = wants.without_keys;
    let (running, snapshot) = persistence::act::saving::enter_job(state, Purpose::Sync);
    let (sender, pieces) = sync_channel(AHEAD);
    let mark = state.entropy.name();
    let (job, id) = (running.job.clone(), running.id);
    let mailbox = state.mailbox.clone();
    let started = Job::begin("rdbpipe", move || {
        let mut sink = PipeSink {
            pieces: sender,
            mailbox: mailbox.clone(),
            job: job.clone(),
            piece_bytes: PIPE_PIECE,
        };
        let saved = rdb::save::save(snapshot, &options, &mut sink, &job);
        drop(sink);
        let result = saved.map(|_| ()).map_err(|error| SaveError {
            line: format!("Error saving DB: {error}"),
            cancelled: matches!(error.reason, rdb::Reason::Cancelled),
        });
        mailbox.send(move |state| sockets_written(state, id, result));
    });
    if let Err(error) = started {
        let reason = disk::reason(&error);
        state
            .log
            .warning(format_args!("Can't save in background: thread: {reason}"));
        persistence::act::saving::tell(state, kinds::persistence::FAILED);
        return None;
    }
    let pid = std::process::id();
    let to = match wants.over_channel {
        true => "replica socket",
        false => "parent process pipe",
    };
    state.log.notice(format_args!(
        "Background RDB transfer started by pid {pid} to {to}"
    ));
    state.persistence.running = Some(running);
    let pipe = Pipe {
        pieces,
        mark,
        may_have_more: true,
        drained: false,
        result: None,
    };
    Some((id, Some(pipe)))
}

/// The thread that writes to sockets has ended; its last pieces may still be on their way.
fn sockets_written(state: &mut State, id: u64, result: Result<(), SaveError>) {
    let save = state.replication.save.as_mut();
    let pipe = save
        .filter(|save| save.job == id)
        .and_then(|save| save.pipe.as_mut());
    if let Some(pipe) = pipe {
        pipe.result = Some(result);
        pipe.may_have_more = true;
        pass_on_save(state);
    }
}

/// Passes the next pieces of the data set to the replicas of the running save, once each of them took the last piece.
#[doc(alias = "rdbPipeReadHandler")]
pub(in crate::replication) fn pass_on_save(state: &mut State) {
    loop {
        if !all_took_their_piece(state) {
            return;
        }
        let Some(pipe) = state
            .replication
            .save
            .as_mut()
            .and_then(|save| save.pipe.as_mut())
        else {
            return;
        };
        let received = match pipe.drained {
            true => Err(TryRecvError::Disconnected),
            false => pipe.pieces.try_recv(),
        };
        match received {
            Ok(piece) => {
                pipe.may_have_more = true;
                for client in writing_replicas(state) {
                    state.clients.send(client, |reply| reply.raw(&piece));
                }
                return;
            }
            Err(TryRecvError::Empty) => {
                pipe.may_have_more = false;
                return;
            }
            Err(TryRecvError::Disconnected) => {
                if !std::mem::replace(&mut pipe.drained, true) {
                    let left = writing_replicas(state).len();
                    state.log.notice(format_args!(
                        "Diskless rdb transfer, done reading from pipe, {left} replicas still up."
                    ));
                    continue;
                }
                pipe.may_have_more = false;
                if let Some(result) = pipe.result.take() {
                    sockets_done(state, result);
                }
                return;
            }
        }
    }
}

fn writing_replicas(state: &State) -> Vec<ClientKey> {
    let replicas = state.replication.replicas.iter();
    replicas
        .filter(|replica| matches!(replica.phase, Phase::Writing))
        .map(|replica| replica.client)
        .collect()
}

fn all_took_their_piece(state: &State) -> bool {
    let replicas = state.replication.replicas.iter();
    let mut writing = replicas.filter(|replica| matches!(replica.phase, Phase::Writing));
    writing.all(|replica| {
        let client = state.clients.get(replica.client);
        client
            .is_none_or(|client| client.out.is_empty() || client.flags.has(ClientFlags::CLOSE_ASAP))
    })
}

/// Whether the next piece could be passed on at once.
pub(in crate::replication) fn save_waits_for_us(state: &State) -> bool {
    let save = state.replication.save.as_ref();
    let pipe = save.and_then(|save| save.pipe.as_ref());
    pipe.is_some_and(|pipe| pipe.may_have_more) && all_took_their_piece(state)
}

/// All was passed on: the mark, and the replicas have their data set.
#[doc(alias = "updateSlavesWaitingBgsave")]
fn sockets_done(state: &mut State, result: Result<(), SaveError>) {
    let Some(save) = state.replication.save.take() else {
        return;
    };
    persistence::act::saving::leave_job(state, save.job);
    let now = state.clock.unix_ms();
    let ok = match &result {
        Ok(()) => {
            state
                .log
                .notice("Background RDB transfer terminated with success");
            true
        }
        Err(error) => {
            if !error.cancelled {
                state.log.warning(&error.line);
            }
            state.log.warning("Background transfer error");
            false
        }
    };
    persistence::act::saving::tell(state, kinds::persistence::end(ok));
    let mark = save.pipe.map(|pipe| pipe.mark).unwrap_or([0; 40]);
    for client in streaming_replicas(state) {
        match ok {
            true => main_channel_online(state, client),
            false => state.clients.close_asap(client),
        }
    }
    for client in writing_replicas(state) {
        if !ok {
            state
                .log
                .warning("SYNC failed. BGSAVE child returned an error");
            state.clients.close_asap(client);
            continue;
        }
        state.clients.send(client, |reply| reply.raw(&mark));
        let name = stream::replica_name(state, client);
        let Some(replica) = state.replication.replica(client) else {
            continue;
        };
        replica.acked_ms = now;
        if replica.rdb_only {
            replica.phase = Phase::Done;
            say_rdb_only(state, &name);
            state.clients[client]
                .flags
                .set(ClientFlags::CLOSE_AFTER_REPLY);
        } else {
            replica.phase = Phase::Online { reads: false };
            state.log.notice(format_args!(
                "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF ACK \
                 from replica to enable streaming"
            ));
            is_online(state);
        }
    }
    start_due_full_sync(state);
}

fn say_rdb_only(state: &State, name: &str) {
    state.log.notice(format_args!(
        "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
    ));
}

/// The file that replicas wait for is there, or not.
#[doc(alias = "updateSlavesWaitingBgsave")]
fn sync_file_written(state: &mut State, ok: bool) {
    state.replication.save = None;
    let path = state.config.dir.join(&state.config.dbfilename);
    for client in writing_replicas(state) {
        let opened = match ok {
            true => state
                .disk
                .open(&path)
                .and_then(|file| Ok((file.len()?, file))),
            false => {
                state
                    .log
                    .warning("SYNC failed. BGSAVE child returned an error");
                state.clients.close_asap(client);
                continue;
            }
        };
        match opened {
            Ok((bytes, file)) => {
                if let Some(replica) = state.replication.replica(client) {
                    replica.phase = Phase::Sending(file);
                }
                let header = format!("${bytes}\r\n");
                state
                    .clients
                    .send(client, |reply| reply.raw(header.as_bytes()));
            }
            Err(error) => {
                state.log.warning(format_args!(
                    "SYNC failed. Can't open/stat DB after BGSAVE: {}",
                    disk::reason(&error)
                ));
                state.clients.close_asap(client);
            }
        }
    }
    start_due_full_sync(state);
}

/// Sends the next piece of each file that is on its way.
#[doc(alias = "sendBulkToSlave")]
pub(in crate::replication) fn send_files(state: &mut State) {
    let now = state.clock.unix_ms();
    let mut done = Vec::new();
    for replica in &mut state.replication.replicas {
        let Phase::Sending(file) = &mut replica.phase else {
            continue;
        };
        let Some(client) = state.clients.get(replica.client) else {
            continue;
        };
        if client.out.len() >= PIECE {
            continue;
        }
        let mut piece = Vec::with_capacity(PIECE);
        match file.take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => {
                replica.acked_ms = now;
                replica.phase = match replica.rdb_only {
                    true => Phase::Done,
                    false => Phase::Online { reads: true },
                };
                done.push((replica.client, replica.rdb_only));
            }
            Ok(_) => state
                .clients
                .send(replica.client, |reply| reply.raw(&piece)),
            Err(error) => {
                state.log.warning(format_args!(
                    "Read error sending DB to replica: {}",
                    disk::reason(&error)
                ));
                state.clients.close_asap(replica.client);
            }
        }
    }
    for (client, rdb_only) in done {
        let name = stream::replica_name(state, client);
        match rdb_only {
            true => say_rdb_only(state, &name),
            false => {
                is_online(state);
                state.log.notice(format_args!(
                    "Synchronization with replica {name} succeeded"
                ));
            }
        }
    }
}

/// A replica left during a save. If it was the last one, the save is cancelled, unless its file is one that save
/// points would have made anyway.
#[doc(alias = "checkChildrenDone")]
pub(in crate::replication) fn sync_save_lost_one(state: &mut State) {
    let Some(save) = &state.replication.save else {
        return;
    };
    if !writing_replicas(state).is_empty() {
        return;
    }
    if !save.is_file() {
        state
            .log
            .warning("Diskless rdb transfer, last replica dropped, killing fork child.");
        cancel_save(state);
        state.log.warning("Background transfer error");
    } else if state.config.save.is_empty() {
        cancel_save(state);
    }
}

/// A save in the background is over. Replicas that waited for its file get it; others may be due for one of their own.
pub fn after_save(state: &mut State, purpose: Purpose, ok: bool) {
    match purpose {
        Purpose::Sync => sync_file_written(state, ok),
        _ => start_due_full_sync(state),
    }
}

/// Cancels the save in the background, whoever it is for. Returns whether there was one.
pub fn cancel_save(state: &mut State) -> bool {
    let cancelled = persistence::act::saving::cancel_save(state);
    if cancelled == Some(Purpose::Sync) {
        sync_save_cancelled(state);
    }
    cancelled.is_some()
}

/// The save was cancelled: its replicas are disconnected, and ask again.
fn sync_save_cancelled(state: &mut State) {
    state.replication.save = None;
    for client in streaming_replicas(state) {
        state.clients.close_asap(client);
    }
    for client in writing_replicas(state) {
        state
            .log
            .warning("SYNC failed. BGSAVE child returned an error");
        state.clients.close_asap(client);
    }
}
