//! Replication: replicas read the stream of effects of a primary and repeat it.
//!
//! ```text
//!   primary   effects ─► backlog ─┬─► replica 1        a replica that is new or was away for too long:
//!                                 └─► replica 2        snapshot ─► file or pipe ─► its connection, then the stream
//!
//!   replica   link: connect, handshake, PSYNC ─► data set ─► the primary as a client ─► commands, run like any other
//!                                                                   └─► the same bytes ─► backlog ─► its own replicas
//! ```
//!
//! A stream has a name (Redis: replication ID) of 40 hex digits and a position, the number of its bytes so far. A
//! replica that names both can go on where it stopped, if the bytes from there on are still in the backlog. A replica
//! that becomes a primary begins a stream of a new name and remembers the old one, with the position up to which both
//! are the same. `act/primary.rs` works through an example with real offsets.
//!
//! | file | |
//! |---|---|
//! | [`backlog`] | the last part of the stream, once for all readers |
//! | [`primary`] | those who read our stream: asking, going on, periodic care |
//! | [`full_sync`] | a data set on its way to replicas |
//! | [`failover`] | a primary and its replica change places |
//! | [`link`] | our own primary: from its address to its stream |
//! | [`transfer`] | the data set on its way to us |
//! | [`channel`] | the same with a connection of its own, while the stream comes over the first |
//! | [`writable`] | keys that only a writable replica has |
//! | `trouble` | what must not happen between a primary and its replicas |
//! | [`waiting`] | WAIT and WAITAOF |
//! | [`info`](crate::replication::act::info) | all of this in INFO |
//!
//! Invariant: between a snapshot and the position it was taken at lies nothing: both are taken in one turn, by one
//! thread.
//!
//! Mirrors: replication.c. Differs: no child writes the data set and no pipe of the system carries it; replicas share
//! the backlog by position instead of by counted blocks; names of hosts are looked up on a thread.

pub mod act;
pub mod backlog;
pub mod channel;
pub mod failover;
pub mod full_sync;
pub mod link;
pub mod primary;
pub mod transfer;
pub mod waiting;
pub mod writable;

use self::backlog::Backlog;
use self::failover::Failover;
use self::full_sync::SyncSave;
use self::link::Link;
use self::waiting::SafePositions;
use self::writable::OwnKeys;
use crate::clients::{ClientKey, Clients};
use crate::keyspace::{DbId, Ms};
use crate::sys::entropy::Entropy;
use crate::sys::files::File;

/// The name of no stream.
pub const NO_ID: &str = "0000000000000000000000000000000000000000";

/// The replication state of a server: its replicas, its primary, and the stream they share.
#[derive(Debug)]
pub struct Replication {
    /// The stream's name: 40 hex digits.
    pub id: String,
    /// The name it had before, and how far it is valid: bytes up to this one have the same number in both.
    pub id2: String,
    pub second_offset: Option<u64>,
    /// Bytes of the stream so far; on a replica, those that are applied.
    pub offset: u64,
    /// The end of the stream, if anybody has read it lately.
    pub backlog: Option<Backlog>,
    /// The replicas that read the stream, in the order they came.
    pub replicas: Vec<Replica>,
    /// Our own primary.
    pub link: Link,
    /// The data set being written for replicas.
    save: Option<SyncSave>,
    /// The database of the stream's last SELECT; with none, the next effect is preceded by one.
    stream_db: Option<DbId>,
    last_ping_ms: Ms,
    /// A client is blocked on acknowledgements, so replicas are asked for them before the loop sleeps.
    wants_acks: bool,
    safe_positions: SafePositions,
    pub failover: Failover,
    /// Keys with a deadline that were written here, on a writable replica: no primary will delete them.
    pub own_keys: OwnKeys,
    /// Since when the stream has no replica.
    no_replicas_since_ms: Ms,
}

/// A replica.
#[derive(Debug)]
pub struct Replica {
    /// Its connection.
    pub client: ClientKey,
    /// Its phase.
    pub phase: Phase,
    /// The position of the stream it is to be sent next.
    pub next: u64,
    /// The offsets it acknowledged with REPLCONF ACK (bytes applied) and FACK (bytes safe in its append-only file),
    /// and the time of the last acknowledgement.
    pub acked: u64,
    pub acked_aof: u64,
    pub acked_ms: Ms,
    /// It asked with SYNC, so it sends no acknowledgements.
    pub silent: bool,
    /// Only the data set is asked for, and the connection ends with it.
    pub rdb_only: bool,
}

impl Replica {
    /// Whether the stream from its position on is kept for it.
    #[doc(alias = "canFeedReplicaReplBuffer")]
    pub(super) fn holds_stream(&self) -> bool {
        let later = matches!(
            self.phase,
            Phase::Waits { .. } | Phase::AwaitsChannel | Phase::Done
        );
        !self.rdb_only && !later
    }
}

/// The phase of a replica.
#[derive(Debug)]
pub enum Phase {
    /// It waits for a save that begins later.
    Waits {
        /// Since when, unix time.
        since_ms: Ms,
    },
    /// It asked over its main channel, and is to ask for the data set over a second connection.
    AwaitsChannel,
    /// The data set is being written to a file, or sent as it is written.
    Writing,
    /// The main channel of a replica whose second connection is sent the data set: it is sent the stream meanwhile.
    Streaming,
    /// The file is being sent.
    Sending(File),
    /// It has the data set and follows the stream.
    Online {
        /// Whether it is sent the stream already. If not, its first acknowledgement after the data set starts that.
        reads: bool,
    },
    /// It has the data set and asked for no more.
    Done,
}

impl Phase {
    /// The word in INFO.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Waits { .. } | Phase::AwaitsChannel | Phase::Writing => "wait_bgsave",
            Phase::Streaming => "send_bulk_and_stream",
            Phase::Sending(_) => "send_bulk",
            Phase::Online { .. } => "online",
            Phase::Done => "rdb_transmitted",
        }
    }

    pub fn is_online(&self) -> bool {
        matches!(self, Phase::Online { .. })
    }

    /// Whether it is sent the stream.
    pub(super) fn reads(&self) -> bool {
        matches!(self, Phase::Online { reads: true } | Phase::Streaming)
    }
}

impl Replication {
    /// A stream without readers, with a fresh name.
    pub fn new(names: &mut Entropy) -> Self {
        Replication {
            id: names.name_text(),
            id2: NO_ID.to_owned(),
            second_offset: None,
            offset: 0,
            backlog: None,
            replicas: Vec::new(),
            link: Link::default(),
            save: None,
            stream_db: None,
            last_ping_ms: 0,
            wants_acks: false,
            safe_positions: SafePositions::default(),
            failover: Failover::default(),
            own_keys: OwnKeys::default(),
            no_replicas_since_ms: 0,
        }
    }

    /// A replica by its connection.
    pub fn replica(&mut self, client: ClientKey) -> Option<&mut Replica> {
        self.replicas
            .iter_mut()
            .find(|replica| replica.client == client)
    }

    /// Bytes of memory on their way to replicas: what their connections hold, and what the backlog keeps for them
    /// beyond its size. O(replicas).
    pub fn output_memory(&self, clients: &Clients, backlog_size: u64) -> usize {
        let of_one = |replica: &Replica| {
            let out = clients.get(replica.client).map(|client| &client.out);
            out.map_or(0, |out| out.memory())
        };
        let queued: usize = self.replicas.iter().map(of_one).sum();
        let size = usize::try_from(backlog_size).unwrap_or(usize::MAX);
        queued + self.buffer_memory().saturating_sub(size)
    }

    /// Gives the stream another name: no replica can continue from the old one.
    #[doc(alias = "changeReplicationId")]
    pub fn change_id(&mut self, names: &mut Entropy) {
        self.id = names.name_text();
    }

    #[doc(alias = "clearReplicationId2")]
    fn clear_id2(&mut self) {
        self.id2 = NO_ID.to_owned();
        self.second_offset = None;
    }

    /// The database that the stream has selected, for the header of an RDB file.
    pub fn stream_db(&self) -> Option<DbId> {
        self.stream_db
    }

    /// Bytes held for replicas, in memory.
    pub fn buffer_memory(&self) -> usize {
        self.backlog.as_ref().map_or(0, Backlog::memory)
    }

    /// Appends bytes to the stream, which were applied.
    fn append(&mut self, bytes: &[u8], backlog_size: u64) {
        let Some(backlog) = &mut self.backlog else {
            return;
        };
        self.offset += bytes.len() as u64;
        backlog.push(bytes, backlog_size);
        backlog.trim(backlog_size, needed(&self.replicas));
    }

    /// Bytes of the stream that a replica was not sent yet: what its output limit is about.
    pub fn unsent(&self, clients: &Clients, client: ClientKey) -> u64 {
        let Some(replica) = self.replicas.iter().find(|r| r.client == client) else {
            return 0;
        };
        let queued = match replica.phase {
            Phase::Online { .. } | Phase::Streaming => {
                clients.get(client).map_or(0, |client| client.out.len())
            }
            Phase::Waits { .. } | Phase::AwaitsChannel | Phase::Done => return 0,
            Phase::Writing | Phase::Sending(_) => 0,
        };
        self.offset.saturating_sub(replica.next) + queued as u64
    }
}

/// The first position of the stream that some replica has yet to be sent.
fn needed(replicas: &[Replica]) -> u64 {
    replicas
        .iter()
        .filter(|replica| replica.holds_stream())
        .map(|replica| replica.next)
        .min()
        .unwrap_or(u64::MAX)
}

/// Whether a word can be the name of a stream.
pub(crate) fn is_id(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
