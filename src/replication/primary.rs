//! A full synchronisation from request to the last byte of its file, and the periodic care of replicas.
//!
//! Mirrors: syncCommand(), startBgsaveForReplication(), sendBulkToSlave() and replicationCron() of replication.c.

use std::fs::{self, File};
use std::io::Read;

use super::{Phase, Replica};
use crate::background::Job;
use crate::clients::{ClientFlags, ClientKey};
use crate::dispatch::Said;
use crate::dispatch::Targets;
use crate::dispatch::args::OwnedArgv;
use crate::persistence::files::{self, Place, SaveError};
use crate::state::State;

/// How much of a file is on its way to a replica at a time.
const PIECE: usize = 256 * 1024;

impl State {
    /// Makes a client a replica and starts writing the data set for it.
    #[doc(alias = "startBgsaveForReplication")]
    pub fn begin_full_sync(&mut self, client: ClientKey) {
        let address = self.clients[client].address.clone();
        self.log
            .notice(format_args!("Replica {address} asks for synchronization"));
        self.log
            .notice(format_args!("Full resync requested by replica {address}"));
        self.log
            .notice("Starting BGSAVE for SYNC with target: disk");
        self.stats.sync_full += 1;

        let sync = self.replication.next_sync;
        self.replication.next_sync += 1;
        let place = Place {
            directory: self.config.dir.clone(),
            temporary: format!("temp-{}-sync{sync}.rdb", std::process::id()),
            name: format!("temp-{}-sync{sync}.done.rdb", std::process::id()),
            incremental_sync: false,
        };
        let mut options = self.save_options(false);
        let (id, offset) = (self.replication.id.clone(), self.replication.offset);
        options.replication = Some((-1, id, offset));
        let job = Job::default();
        job.set_delay(self.config.rdb_key_save_delay);
        let snapshot = self.keyspace.snapshot();
        self.stats.snapshots += 1;

        let (orders, mailbox) = (job.clone(), self.mailbox.clone());
        let file = place.directory.join(&place.name);
        let thread = std::thread::Builder::new().name("fullsync".into());
        let started = thread.spawn(move || {
            let written = files::write_rdb(&place, snapshot, &options, &orders);
            let file = written.and_then(|bytes| open_unlinked(&file).map(|file| (file, bytes)));
            mailbox.send(move |state| state.full_sync_written(sync, file));
        });
        if started.is_err() {
            self.log
                .warning("Can't start the thread of a full synchronization");
            self.clients.close_asap(client);
            return;
        }
        let now = self.clock.unix_ms();
        self.clients[client].flags.set(ClientFlags::REPLICA);
        if self.replication.replicas.is_empty() {
            self.replication.last_ping_ms = now;
        }
        // Whoever reads the stream from here on must be told the database first.
        self.replication.stream_db = None;
        self.replication.replicas.push(Replica {
            client,
            phase: Phase::Writing { sync, job },
            waiting: Vec::new(),
            acked: 0,
            acked_ms: now,
        });
        self.effects.listening = self.effects.listening.or(Targets::REPLICAS);
    }

    /// The file of a full synchronisation is there, or not.
    #[doc(alias = "updateSlavesWaitingBgsave")]
    fn full_sync_written(&mut self, sync: u64, written: Result<(File, u64), SaveError>) {
        let waits = |phase: &Phase| matches!(phase, Phase::Writing { sync: s, .. } if *s == sync);
        let replicas = &mut self.replication.replicas;
        let Some(replica) = replicas.iter_mut().find(|replica| waits(&replica.phase)) else {
            return;
        };
        match written {
            Ok((file, bytes)) => {
                replica.phase = Phase::Sending(file);
                let header = format!("${bytes}\r\n");
                self.clients
                    .send(replica.client, |reply| reply.raw(header.as_bytes()));
            }
            Err(error) => {
                self.log.warning(error.line);
                self.clients.close_asap(replica.client);
            }
        }
    }

    /// Sends the next piece of each file that is on its way.
    #[doc(alias = "sendBulkToSlave")]
    pub fn send_files(&mut self) {
        let State {
            replication,
            clients,
            log,
            ..
        } = self;
        for replica in &mut replication.replicas {
            let Phase::Sending(file) = &mut replica.phase else {
                continue;
            };
            let Some(client) = clients.get(replica.client) else {
                continue;
            };
            if client.out.len() >= PIECE {
                continue;
            }
            let mut piece = Vec::with_capacity(PIECE);
            match file.take(PIECE as u64).read_to_end(&mut piece) {
                Ok(0) => {
                    let waiting = std::mem::take(&mut replica.waiting);
                    clients.send(replica.client, |reply| reply.raw(&waiting));
                    replica.phase = Phase::Online;
                    if let Some(client) = clients.get(replica.client) {
                        let address = &client.address;
                        log.notice(format_args!(
                            "Synchronization with replica {address} succeeded"
                        ));
                    }
                }
                Ok(_) => clients.send(replica.client, |reply| reply.raw(&piece)),
                Err(error) => {
                    log.warning(format_args!("Read error sending DB to replica: {error}"));
                    clients.close_asap(replica.client);
                }
            }
        }
    }

    /// Once a second: a PING now and then tells replicas that the link lives, an empty line tells those that wait
    /// for their file.
    #[doc(alias = "replicationCron")]
    pub fn replication_cron(&mut self) {
        if self.replication.replicas.is_empty() {
            return;
        }
        let now = self.clock.unix_ms();
        let period_ms = i64::from(self.config.repl_ping_replica_period) * 1000;
        if now - self.replication.last_ping_ms >= period_ms {
            self.replication.last_ping_ms = now;
            let ping = Said {
                db: None,
                argv: OwnedArgv::from_words(["PING"]),
                targets: Targets::REPLICAS,
            };
            let limit = self.config.client_output_buffer_limit.replica.hard_bytes;
            self.replication.feed(&mut self.clients, &[ping], limit);
        }
        for replica in &self.replication.replicas {
            if let Phase::Writing { job, .. } = &replica.phase {
                job.set_delay(self.config.rdb_key_save_delay);
                self.clients.send(replica.client, |reply| reply.raw(b"\n"));
            }
        }
    }

    /// A client is gone; if it was a replica, nobody writes or keeps anything for it any more.
    pub fn forget_replica(&mut self, client: ClientKey) {
        let replicas = &mut self.replication.replicas;
        let Some(index) = replicas.iter().position(|replica| replica.client == client) else {
            return;
        };
        let replica = replicas.remove(index);
        if let Phase::Writing { job, .. } = replica.phase {
            job.cancel();
        }
        if self.replication.replicas.is_empty() {
            self.effects.listening = self.effects.listening.without(Targets::REPLICAS);
        }
        let address = self
            .clients
            .get(client)
            .map_or("", |client| &client.address);
        self.log
            .notice(format_args!("Connection with replica {address} lost."));
    }
}

/// Opens a file and takes its name away: it is gone once it is closed, however the process ends.
fn open_unlinked(path: &std::path::Path) -> Result<File, SaveError> {
    let opened = File::open(path);
    // If the name stays, it is a stray file and no harm.
    let _ = fs::remove_file(path);
    opened.map_err(|error| SaveError {
        line: format!("Can't open the DB file of a full synchronization: {error}"),
        cancelled: false,
    })
}
