//! A data set on its way to replicas: one save for all that wait for one.
//!
//! ```text
//!   to a file   snapshot ─► thread "bgsave" ─► dump.rdb ─► each replica, piece by piece ($<length>)
//!   to sockets  snapshot ─► thread "rdbpipe" ─► bounded channel ─► all replicas, the slowest sets the pace
//!                                                                  ($EOF:<mark> … <mark>)
//! ```
//!
//! Who comes while a file is being written joins it: the backlog still has what happened since its snapshot. Sockets
//! cannot be joined once the first byte is sent, so they begin a little later (`repl-diskless-sync-delay`), for those
//! who come meanwhile.
//!
//! Mirrors: startBgsaveForReplication(), updateSlavesWaitingBgsave(), sendBulkToSlave(), rdbPipeReadHandler() and
//! replicationStartPendingFork() of replication.c; rdbSaveToSlavesSockets() of rdb.c.
//! Differs: no child and no pipe; their log lines are kept, because operators and tools look for them.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::Phase;
use super::primary::PIECE;
use crate::background::Job;
use crate::clients::Announced;
use crate::clients::{ClientFlags, ClientKey};
use crate::config::disk;
use crate::keyspace::Ms;
use crate::persistence::files::SaveError;
use crate::persistence::rdb;
use crate::persistence::rdb::encoder::Sink;
use crate::persistence::saving::Purpose;
use crate::state::State;

/// Pieces written ahead of the slowest replica.
const AHEAD: usize = 2;
/// Bytes of a piece.
const PIPE_PIECE: usize = 64 * 1024;

/// The save for replicas that is under way.
#[derive(Debug)]
pub struct SyncSave {
    /// Its number among the jobs of persistence.
    job: u64,
    /// The position of its snapshot in the stream.
    offset: u64,
    wants: Wants,
    pipe: Option<Pipe>,
}

/// What goes into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wants {
    without_keys: bool,
    without_functions: bool,
}

impl Wants {
    fn of(announced: &Announced) -> Wants {
        Wants {
            without_keys: announced.without_keys,
            without_functions: announced.without_functions,
        }
    }

    fn is_filtered(self) -> bool {
        self != Wants::default()
    }
}

/// The way from the thread to the sockets.
#[derive(Debug)]
struct Pipe {
    pieces: Receiver<Vec<u8>>,
    mark: [u8; 40],
    /// There may be a piece for replicas that have room for it.
    may_have_more: bool,
    /// The thread wrote all it had.
    drained: bool,
    /// What the thread says it came to.
    result: Option<Result<(), SaveError>>,
}

impl SyncSave {
    /// Whether it goes to a file.
    pub(super) fn is_file(&self) -> bool {
        self.pipe.is_none()
    }
}

/// Where the thread puts what it writes.
struct PipeSink {
    pieces: SyncSender<Vec<u8>>,
    mailbox: crate::background::Mailbox,
    job: Job,
}

impl Sink for PipeSink {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIPE_PIECE) {
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

impl State {
    /// A replica waits for a data set: it joins the save that is under way, or one begins now or later.
    pub(super) fn arrange_full_sync(&mut self, client: ClientKey) {
        let announced = self.announced(client);
        let others_wait = self
            .replication
            .replicas
            .iter()
            .any(|replica| matches!(replica.phase, Phase::Writing));
        match &self.replication.save {
            Some(save) if save.is_file() => {
                if others_wait && save.wants == Wants::of(&announced) {
                    let offset = save.offset;
                    self.begin_writing(client, offset);
                    self.log.notice("Waiting for end of BGSAVE for SYNC");
                } else {
                    self.log.notice(
                        "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC",
                    );
                }
            }
            Some(_) => self
                .log
                .notice("Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC"),
            None => {
                let config = &self.config;
                if config.repl_diskless_sync && announced.eof && config.repl_diskless_sync_delay > 0
                {
                    self.log.notice("Delay next BGSAVE for diskless SYNC");
                    self.start_due_full_sync();
                } else if self.persistence.running.is_some() {
                    self.log.notice(
                        "No BGSAVE in progress, but another BG operation is active. BGSAVE for replication \
                         delayed",
                    );
                } else {
                    self.start_full_sync(Wants::of(&announced));
                }
            }
        }
    }

    /// Begins the save that replicas wait for, if it is time.
    #[doc(alias = "replicationStartPendingFork")]
    pub(crate) fn start_due_full_sync(&mut self) {
        if self.persistence.running.is_some() || self.replication.save.is_some() {
            return;
        }
        let now = self.clock.unix_ms();
        let (mut waiting, mut longest_ms, mut all_eof) = (0, 0, true);
        let mut wants = None;
        for replica in &self.replication.replicas {
            let Phase::Waits { since_ms } = replica.phase else {
                continue;
            };
            let announced = self.announced(replica.client);
            // One save serves those who want the same.
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
        let config = &self.config;
        let enough = config.repl_diskless_sync_max_replicas;
        let due = !config.repl_diskless_sync
            || !all_eof
            || enough > 0 && waiting >= enough
            || longest_ms >= Ms::from(config.repl_diskless_sync_delay) * 1000;
        if due {
            self.start_full_sync(wants);
        }
    }

    /// Begins a save for all replicas that wait for one like it.
    #[doc(alias = "startBgsaveForReplication")]
    fn start_full_sync(&mut self, wants: Wants) {
        let waiting: Vec<ClientKey> = self
            .replication
            .replicas
            .iter()
            .filter(|replica| matches!(replica.phase, Phase::Waits { .. }))
            .map(|replica| replica.client)
            .filter(|client| Wants::of(&self.announced(*client)) == wants)
            .collect();
        let all_eof = waiting.iter().all(|client| self.announced(*client).eof);
        let to_sockets = (self.config.repl_diskless_sync || wants.is_filtered()) && all_eof;
        let target = if to_sockets {
            "replicas sockets"
        } else {
            "disk"
        };
        self.log.notice(format_args!(
            "Starting BGSAVE for SYNC with target: {target}"
        ));
        let offset = self.replication.offset;
        let started = if to_sockets {
            self.save_to_sockets(wants)
        } else {
            let started = self.run_save(Purpose::Sync);
            let running = self.persistence.running.as_ref();
            running
                .filter(|_| started)
                .map(|running| (running.id, None))
        };
        // Whoever reads the stream from here on must be told the database first.
        self.replication.stream_db = None;
        let Some((job, pipe)) = started else {
            self.log.warning("BGSAVE for replication failed");
            for client in waiting {
                self.clients.send(client, |reply| {
                    reply.error_text("ERR BGSAVE failed, replication can't continue");
                });
                self.clients[client]
                    .flags
                    .set(ClientFlags::CLOSE_AFTER_REPLY);
            }
            return;
        };
        let mark = pipe.as_ref().map(|pipe| pipe.mark);
        self.replication.save = Some(SyncSave {
            job,
            offset,
            wants,
            pipe,
        });
        for client in waiting {
            self.begin_writing(client, offset);
            if let Some(mark) = mark {
                self.clients.send(client, |reply| {
                    reply.raw(&[b"$EOF:".as_slice(), &mark, b"\r\n"].concat());
                });
            }
        }
    }

    /// A replica is told at which position of the stream its data set is taken, and waits for it.
    #[doc(alias = "replicationSetupSlaveForFullResync")]
    fn begin_writing(&mut self, client: ClientKey, offset: u64) {
        let id = &self.replication.id;
        let line = format!("+FULLRESYNC {id} {offset}\r\n");
        let Some(replica) = self.replication.replica(client) else {
            return;
        };
        replica.phase = Phase::Writing;
        replica.next = offset;
        if !replica.silent {
            self.clients
                .send(client, |reply| reply.raw(line.as_bytes()));
        }
    }

    /// Begins a save that goes to sockets; its number and the way to it.
    #[doc(alias = "rdbSaveToSlavesSockets")]
    fn save_to_sockets(&mut self, wants: Wants) -> Option<(u64, Option<Pipe>)> {
        let mut options = self.save_options(false);
        if wants.without_functions {
            options.functions.clear();
        }
        options.without_keys = wants.without_keys;
        let (running, snapshot) = self.enter_job(Purpose::Sync);
        let (sender, pieces) = sync_channel(AHEAD);
        let mark = self.entropy.name();
        let (job, id) = (running.job.clone(), running.id);
        let mailbox = self.mailbox.clone();
        let started = Job::begin("rdbpipe", move || {
            let mut sink = PipeSink {
                pieces: sender,
                mailbox: mailbox.clone(),
                job: job.clone(),
            };
            let saved = rdb::save::save(snapshot, &options, &mut sink, &job);
            drop(sink);
            let result = saved.map(|_| ()).map_err(|error| SaveError {
                line: format!("Error saving DB: {error}"),
                cancelled: matches!(error.reason, rdb::Reason::Cancelled),
            });
            mailbox.send(move |state| state.sockets_written(id, result));
        });
        if let Err(error) = started {
            let reason = disk::reason(&error);
            self.log
                .warning(format_args!("Can't save in background: thread: {reason}"));
            return None;
        }
        let pid = std::process::id();
        self.log
            .notice(format_args!("Background RDB transfer started by pid {pid}"));
        self.persistence.running = Some(running);
        let pipe = Pipe {
            pieces,
            mark,
            may_have_more: true,
            drained: false,
            result: None,
        };
        Some((id, Some(pipe)))
    }

    /// The thread that writes to sockets has ended; what it wrote may still be on its way.
    fn sockets_written(&mut self, id: u64, result: Result<(), SaveError>) {
        let save = self.replication.save.as_mut();
        let pipe = save
            .filter(|save| save.job == id)
            .and_then(|save| save.pipe.as_mut());
        if let Some(pipe) = pipe {
            pipe.result = Some(result);
            pipe.may_have_more = true;
            self.pass_on_save();
        }
    }

    /// Passes the next pieces of the data set to all replicas that wait for it, once each of them took the last one.
    #[doc(alias = "rdbPipeReadHandler")]
    pub(super) fn pass_on_save(&mut self) {
        loop {
            if !self.all_took_their_piece() {
                return;
            }
            let Some(pipe) = self
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
                    for client in self.writing_replicas() {
                        self.clients.send(client, |reply| reply.raw(&piece));
                    }
                    return;
                }
                Err(TryRecvError::Empty) => {
                    pipe.may_have_more = false;
                    return;
                }
                Err(TryRecvError::Disconnected) => {
                    if !std::mem::replace(&mut pipe.drained, true) {
                        let left = self.writing_replicas().len();
                        self.log.notice(format_args!(
                            "Diskless rdb transfer, done reading from pipe, {left} replicas still up."
                        ));
                        continue;
                    }
                    pipe.may_have_more = false;
                    if let Some(result) = pipe.result.take() {
                        self.sockets_done(result);
                    }
                    return;
                }
            }
        }
    }

    fn writing_replicas(&self) -> Vec<ClientKey> {
        let replicas = self.replication.replicas.iter();
        replicas
            .filter(|replica| matches!(replica.phase, Phase::Writing))
            .map(|replica| replica.client)
            .collect()
    }

    fn all_took_their_piece(&self) -> bool {
        let replicas = self.replication.replicas.iter();
        let mut writing = replicas.filter(|replica| matches!(replica.phase, Phase::Writing));
        writing.all(|replica| {
            let client = self.clients.get(replica.client);
            client.is_none_or(|client| {
                client.out.is_empty() || client.flags.has(ClientFlags::CLOSE_ASAP)
            })
        })
    }

    /// Whether the next piece could be passed on at once.
    pub(super) fn save_waits_for_us(&self) -> bool {
        let save = self.replication.save.as_ref();
        let pipe = save.and_then(|save| save.pipe.as_ref());
        pipe.is_some_and(|pipe| pipe.may_have_more) && self.all_took_their_piece()
    }

    /// All was passed on: the mark, and the replicas have their data set.
    #[doc(alias = "updateSlavesWaitingBgsave")]
    fn sockets_done(&mut self, result: Result<(), SaveError>) {
        let Some(save) = self.replication.save.take() else {
            return;
        };
        self.leave_job(save.job);
        let now = self.clock.unix_ms();
        let ok = match &result {
            Ok(()) => {
                self.log
                    .notice("Background RDB transfer terminated with success");
                true
            }
            Err(error) => {
                if !error.cancelled {
                    self.log.warning(&error.line);
                }
                self.log.warning("Background transfer error");
                false
            }
        };
        let mark = save.pipe.map(|pipe| pipe.mark).unwrap_or([0; 40]);
        for client in self.writing_replicas() {
            if !ok {
                self.log
                    .warning("SYNC failed. BGSAVE child returned an error");
                self.clients.close_asap(client);
                continue;
            }
            self.clients.send(client, |reply| reply.raw(&mark));
            let name = self.replica_name(client);
            let Some(replica) = self.replication.replica(client) else {
                continue;
            };
            replica.acked_ms = now;
            if replica.rdb_only {
                replica.phase = Phase::Done;
                self.say_rdb_only(&name);
            } else {
                replica.phase = Phase::Online { reads: false };
                self.log.notice(format_args!(
                    "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF ACK \
                     from replica to enable streaming"
                ));
            }
        }
        self.start_due_full_sync();
    }

    fn say_rdb_only(&self, name: &str) {
        self.log.notice(format_args!(
            "RDB transfer completed, rdb only replica ({name}) should be disconnected asap"
        ));
    }

    /// The file that replicas wait for is there, or not.
    #[doc(alias = "updateSlavesWaitingBgsave")]
    pub(crate) fn sync_file_written(&mut self, ok: bool) {
        self.replication.save = None;
        let path = self.config.dir.join(&self.config.dbfilename);
        for client in self.writing_replicas() {
            let opened = match ok {
                true => self
                    .disk
                    .open(&path)
                    .and_then(|file| Ok((file.len()?, file))),
                false => {
                    self.log
                        .warning("SYNC failed. BGSAVE child returned an error");
                    self.clients.close_asap(client);
                    continue;
                }
            };
            match opened {
                Ok((bytes, file)) => {
                    if let Some(replica) = self.replication.replica(client) {
                        replica.phase = Phase::Sending(file);
                    }
                    let header = format!("${bytes}\r\n");
                    self.clients
                        .send(client, |reply| reply.raw(header.as_bytes()));
                }
                Err(error) => {
                    self.log.warning(format_args!(
                        "SYNC failed. Can't open/stat DB after BGSAVE: {}",
                        disk::reason(&error)
                    ));
                    self.clients.close_asap(client);
                }
            }
        }
        self.start_due_full_sync();
    }

    /// Sends the next piece of each file that is on its way.
    #[doc(alias = "sendBulkToSlave")]
    pub(super) fn send_files(&mut self) {
        let now = self.clock.unix_ms();
        let mut done = Vec::new();
        for replica in &mut self.replication.replicas {
            let Phase::Sending(file) = &mut replica.phase else {
                continue;
            };
            let Some(client) = self.clients.get(replica.client) else {
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
                Ok(_) => self.clients.send(replica.client, |reply| reply.raw(&piece)),
                Err(error) => {
                    self.log.warning(format_args!(
                        "Read error sending DB to replica: {}",
                        disk::reason(&error)
                    ));
                    self.clients.close_asap(replica.client);
                }
            }
        }
        for (client, rdb_only) in done {
            let name = self.replica_name(client);
            match rdb_only {
                true => self.say_rdb_only(&name),
                false => self.log.notice(format_args!(
                    "Synchronization with replica {name} succeeded"
                )),
            }
        }
    }

    /// One of those who waited for a save is gone. When it was the last, the save is of no use, unless its file is
    /// one that would have been saved anyway.
    #[doc(alias = "checkChildrenDone")]
    pub(super) fn sync_save_lost_one(&mut self) {
        let Some(save) = &self.replication.save else {
            return;
        };
        if !self.writing_replicas().is_empty() {
            return;
        }
        if !save.is_file() {
            self.log
                .warning("Diskless rdb transfer, last replica dropped, killing fork child.");
            self.cancel_save();
        } else if self.config.save.is_empty() {
            self.cancel_save();
        }
    }

    /// The save was cancelled: nobody will be sent anything of it.
    pub(crate) fn sync_save_cancelled(&mut self) {
        self.replication.save = None;
        for client in self.writing_replicas() {
            self.log
                .warning("SYNC failed. BGSAVE child returned an error");
            self.clients.close_asap(client);
        }
    }
}
