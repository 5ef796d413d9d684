//! The link to our own primary: its state, without its socket.
//!
//! ```text
//!   Off ─ REPLICAOF ─► Connect ─► Connecting ─► Ping ─► Auth ─► Port ─► Ip ─► Capa ─► Psync
//!                        ▲                                                              │ +FULLRESYNC
//!                        │ anything goes wrong                        +CONTINUE         ▼
//!                        └──────────────────────── Connected ◄───────────┴────────── Transfer (transfer.rs)
//! ```
//!
//! The connection is a wire ([`crate::wires`]): the loop owns its socket, sends what is appended to it, and tells what
//! came and what became of the connection. Each attempt has a number, so that an answer of a helper thread to an
//! attempt given up is dropped. Once connected, the primary is a client like others
//! ([`ClientFlags::PRIMARY`](crate::clients::ClientFlags::PRIMARY)) whose requests are run without being judged, and
//! whose replies go nowhere.
//!
//! Invariant: [`super::Replication::offset`] counts the bytes of requests that were run, transactions as a whole; the
//! same bytes were appended to our own stream. So whatever happens to the link, name and offset tell where to go on.
//!
//! Mirrors: syncWithMaster(), slaveTryPartialResynchronization(), replicationSetMaster(), replicationUnsetMaster() and
//! the replica's half of replicationCron() in replication.c.
//! Differs: no reply is waited for; the lines of the handshake are read as they come.

use super::channel::{Channel, StreamBuffer};
use super::transfer::{Secured, Transfer};
use crate::clients::ClientKey;
use crate::keyspace::{DbId, Ms};
use crate::wires::WireKey;

/// The word of REPLCONF capa by which a replica says that it understands TRIMSLOTS. A primary of another kind ignores it.
pub const CAPA_TRIMSLOTS: &str = "oxidis-trimslots";

/// How far the link is.
#[doc(alias = "repl_state")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// We are no replica.
    #[default]
    Off,
    /// To be connected.
    Connect,
    Connecting,
    /// Answers outstanding: to PING,
    Ping,
    /// to AUTH,
    Auth,
    /// to REPLCONF listening-port,
    Port,
    /// to REPLCONF ip-address,
    Ip,
    /// to REPLCONF capa,
    Capa,
    /// to PSYNC.
    Psync,
    /// The data set comes, or is being loaded.
    Transfer,
    /// The stream comes.
    Connected,
}

impl Step {
    /// The word in ROLE.
    pub fn name(self) -> &'static str {
        match self {
            Step::Off => "none",
            Step::Connect => "connect",
            Step::Connecting => "connecting",
            Step::Transfer => "sync",
            Step::Connected => "connected",
            _ => "handshake",
        }
    }

    /// Whether an answer of the handshake is outstanding.
    pub(super) fn is_handshake(self) -> bool {
        self.name() == "handshake"
    }
}

impl Link {
    /// Whether the position of the stream is known: the link is up, or was, and may go on from there. A data set that is
    /// on its way replaces what the position was about.
    pub fn has_position(&self) -> bool {
        self.client.is_some() || self.cached.is_some() && self.step != Step::Transfer
    }
}

/// The link to our primary.
#[derive(Debug, Default)]
pub struct Link {
    pub step: Step,
    /// Grows with every connection that is begun or given up.
    pub attempt: u64,
    /// The connection, until the primary is a client.
    pub wire: Option<WireKey>,
    /// The beginning of a line.
    pub(super) line: Vec<u8>,
    /// The primary, once connected.
    pub client: Option<ClientKey>,
    /// When something last came from it, unix time.
    pub last_io_ms: Ms,
    /// Since when there is no connection, unix time; none if there never was.
    pub down_since_s: Option<i64>,
    pub(super) transfer: Option<Transfer>,
    /// The second connection of a full synchronisation, until the stream that came meanwhile has been run.
    pub(super) channel: Option<Channel>,
    /// That part of the stream.
    pub buffer: StreamBuffer,
    /// The database selected where the stream stopped: it may go on from there.
    pub(super) cached: Option<DbId>,
    /// The stream's name and position as +FULLRESYNC says.
    pub(super) announced: Option<(String, u64)>,
    /// The data set is on disk, or not: to be looked at between two commands.
    pub(super) secured: Option<Secured>,
    /// Bytes that came behind the data set or behind +CONTINUE: the beginning of the stream, not yet run.
    pub rest: Vec<u8>,
    /// Bytes of a transaction that is not whole yet: applied, and passed on, when it is.
    pub(super) held: Vec<u8>,
    pub(super) said_auth: bool,
    pub(super) said_ip: bool,
}
