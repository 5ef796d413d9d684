//! Replication, the primary's side: a replica is given the data set as a file, then the stream of effects.
//!
//! ```text
//!   SYNC ─► snapshot ─► thread "fullsync": a file ─► sent piece by piece ─► online: every effect as it is said
//!                └────── effects said meanwhile wait, and follow the file ──────┘
//! ```
//!
//! Invariant: between the snapshot and its replica's going online, every effect is either in the snapshot or in that
//! replica's waiting bytes, never in both: both are decided in one turn, by one thread.
//!
//! Mirrors: the primary's half of replication.c. Differs: no child writes the file and no pipe carries it; each
//! replica has a snapshot of its own moment, and nothing of the file is held in memory. There is no backlog yet, so
//! every resynchronisation is a full one.

mod primary;

use std::fs::File;

use crate::background::Job;
use crate::clients::{ClientKey, Clients};
use crate::dispatch::args::OwnedArgv;
use crate::dispatch::{Said, Targets};
use crate::keyspace::{DbId, Ms};
use crate::util::rng::Rng;

/// What a server knows of its replicas and of the stream they read.
#[derive(Debug)]
pub struct Replication {
    /// The stream's name: 40 hex digits.
    pub id: String,
    /// Bytes of the stream so far.
    pub offset: u64,
    /// Those who read it, in the order they came.
    pub replicas: Vec<Replica>,
    /// The database the stream's last SELECT chose; none makes the next effect say it again.
    stream_db: Option<DbId>,
    /// Tells one full synchronisation's answer from another's.
    next_sync: u64,
    last_ping_ms: Ms,
}

/// A replica.
#[derive(Debug)]
pub struct Replica {
    /// Its connection.
    pub client: ClientKey,
    /// How far it is.
    pub phase: Phase,
    /// Effects said since its snapshot, until its file is sent.
    waiting: Vec<u8>,
    /// What it acknowledged, and when.
    pub acked: u64,
    /// When it last said anything, unix time.
    pub acked_ms: Ms,
}

/// How far a replica is.
#[derive(Debug)]
pub enum Phase {
    /// Its snapshot is being written to a file.
    Writing {
        /// Which synchronisation the file is for.
        sync: u64,
        /// The thread at work.
        job: Job,
    },
    /// The file is being sent.
    Sending(File),
    /// It has the file and reads the stream.
    Online,
}

impl Phase {
    /// The word in INFO.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Writing { .. } => "wait_bgsave",
            Phase::Sending(_) => "send_bulk",
            Phase::Online => "online",
        }
    }
}

impl Replication {
    /// A stream that nobody reads, with a fresh name.
    pub fn new(rng: &mut Rng) -> Self {
        let mut id = vec![0; 40];
        rng.fill_hex(&mut id);
        Replication {
            id: String::from_utf8(id).expect("hex digits are ASCII"),
            offset: 0,
            replicas: Vec::new(),
            stream_db: None,
            next_sync: 0,
            last_ping_ms: 0,
        }
    }

    /// A replica by its connection.
    pub fn replica(&mut self, client: ClientKey) -> Option<&mut Replica> {
        self.replicas
            .iter_mut()
            .find(|replica| replica.client == client)
    }

    /// Bytes of memory on their way to replicas. O(replicas).
    pub fn output_memory(&self, clients: &Clients) -> usize {
        let of_one = |replica: &Replica| {
            let out = clients.get(replica.client).map(|client| &client.out);
            out.map_or(0, |out| out.memory()) + replica.waiting.capacity()
        };
        self.replicas.iter().map(of_one).sum()
    }

    /// Tells a unit of effects to the replicas. Encoded once, whatever their number. One that waits for its file may
    /// fall behind by `limit` bytes (0: no limit), as `client-output-buffer-limit` has it; then it must start anew.
    #[doc(alias = "replicationFeedSlaves")]
    pub fn feed(&mut self, clients: &mut Clients, unit: &[Said], limit: u64) {
        let mut bytes = Vec::new();
        for said in unit
            .iter()
            .filter(|said| said.targets.any(Targets::REPLICAS))
        {
            if let Some(db) = said.db.filter(|db| self.stream_db != Some(*db)) {
                self.stream_db = Some(db);
                let select = OwnedArgv::from_words(["SELECT", &db.0.to_string()]);
                select.as_argv().encode(&mut bytes);
            }
            said.argv.as_argv().encode(&mut bytes);
        }
        if bytes.is_empty() {
            return;
        }
        self.offset += bytes.len() as u64;
        for replica in &mut self.replicas {
            match replica.phase {
                Phase::Online => clients.send(replica.client, |reply| reply.raw(&bytes)),
                _ if limit > 0 && (replica.waiting.len() + bytes.len()) as u64 > limit => {
                    replica.waiting = Vec::new();
                    clients.close_asap(replica.client);
                }
                _ => replica.waiting.extend_from_slice(&bytes),
            }
        }
    }
}
