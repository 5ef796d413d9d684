//! The messages of the cluster bus, as values and as bytes.
//!
//! ```text
//!   0     4       8     10    12    14     16            24           32      40       80        2128
//!   RCmb  length  ver   port  type  count  currentEpoch  configEpoch  offset  sender   slots     primary …
//!   2168    2214        2216      2246   2248      2250   2252   2253    2256
//!   own ip  extensions  reserved  pport  bus port  flags  state  mflags  body: gossip and extensions, or one record
//! ```
//!
//! Messages follow each other on a stream; [`frame`] says how long the next one is, [`peek`] which kind it is, and
//! [`decode`](decode()) turns its bytes into a [`Message`], whose [`Message::encode`] gives the bytes back.
//!
//! Invariant: nothing a peer sends makes this room panic, loop or allocate more than a small multiple of the bytes that
//! arrived. A length is read once, checked, and kept as a slice; it is never read again. Names inside a decoded message
//! are valid (`[0-9a-z]`, forty bytes), addresses are addresses or absent.
//!
//! Mirrors: `clusterMsg` of cluster_legacy.h and the first half of `clusterProcessPacket` (cluster_legacy.c).
//! Differs: Redis casts the receive buffer to a struct and walks it again in every handler. A length there was checked
//! as 16 bits and used as 32, and `channel_len + message_len` overflowed; both are impossible here.

mod decode;
mod encode;
mod extension;
mod refused;

pub use decode::{STRANGER_LIMIT, decode, frame, peek};
pub use extension::{Extension, SECRET_LEN};
pub use refused::Refused;

use std::net::IpAddr;

use super::id::NodeId;
use super::slots::Bitmap;

/// Bytes of a message before its body.
pub const HEADER_LEN: usize = 2256;

/// Bytes of one record of gossip.
pub const GOSSIP_LEN: usize = 104;

/// The version of the protocol.
#[doc(alias = "CLUSTER_PROTO_VER")]
pub const VERSION: u16 = 1;

/// In `mflags`: the primary has paused its clients for a manual failover.
pub const PAUSED: u8 = 1;
/// In `mflags`: vote although the primary is up, for its replica asks by order of an operator.
pub const FORCE_ACK: u8 = 2;
/// In `mflags`: the sender understands extensions. Set on every message since Redis 7.0.
pub const EXT_DATA: u8 = 4;

/// The kinds of message, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// News, to be answered with a PONG.
    Ping,
    /// The answer, or news without a question.
    Pong,
    /// A PING of a node that wants to be taken in.
    Meet,
    /// A node is down: a quorum found it so.
    Fail,
    /// A message for all subscribers of a channel.
    Publish,
    /// A replica asks for a vote.
    AuthRequest,
    /// The vote.
    AuthAck,
    /// Slots belong to another node since a later epoch.
    Update,
    /// A replica asks its primary to pause for a manual failover.
    MfStart,
    /// A message between modules.
    Module,
    /// A message for the subscribers of a shard channel.
    PublishShard,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Kind; 11] = [
        Kind::Ping,
        Kind::Pong,
        Kind::Meet,
        Kind::Fail,
        Kind::Publish,
        Kind::AuthRequest,
        Kind::AuthAck,
        Kind::Update,
        Kind::MfStart,
        Kind::Module,
        Kind::PublishShard,
    ];

    /// The kind of a number; `None` for one this version does not know.
    pub fn of(number: u16) -> Option<Kind> {
        Kind::ALL.get(usize::from(number)).copied()
    }

    /// Whether it carries the bytes of a client or a module, of which there may be many: news of the nodes themselves do
    /// not wait behind it.
    pub fn is_freight(self) -> bool {
        matches!(self, Kind::Publish | Kind::PublishShard | Kind::Module)
    }

    /// The word for it in CLUSTER INFO and in the log.
    #[doc(alias = "clusterGetMessageTypeString")]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Ping => "ping",
            Kind::Pong => "pong",
            Kind::Meet => "meet",
            Kind::Fail => "fail",
            Kind::Publish => "publish",
            Kind::AuthRequest => "auth-req",
            Kind::AuthAck => "auth-ack",
            Kind::Update => "update",
            Kind::MfStart => "mfstart",
            Kind::Module => "module",
            Kind::PublishShard => "publishshard",
        }
    }
}

/// The header of a message: facts about its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The highest epoch the sender heard of.
    pub current_epoch: u64,
    /// The epoch under which the sender, or its primary, claims `slots`.
    pub config_epoch: u64,
    /// The position of the replication stream: written by a primary, processed by a replica.
    pub offset: u64,
    /// Its name.
    pub sender: NodeId,
    /// The slots of the sender, or of its primary.
    pub slots: &'a Bitmap,
    /// Its primary; `None` if it is one itself.
    pub primary: Option<NodeId>,
    /// The address it announces; `None` to take the one the connection comes from.
    pub ip: Option<IpAddr>,
    /// Its client port of the cluster's kind: plain, or TLS with `tls-cluster`.
    pub port: u16,
    /// Its client port of the other kind, 0 if it has none.
    pub other_port: u16,
    /// Its port for the bus.
    pub bus_port: u16,
    /// Flags of itself as a node; see [`super::node::Flags`].
    pub flags: u16,
    /// Whether it finds the cluster down.
    pub down: bool,
    /// [`PAUSED`], [`FORCE_ACK`], [`EXT_DATA`].
    pub mflags: u8,
}

/// One record of gossip: facts about another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gossip {
    /// The other's name.
    pub id: NodeId,
    /// When the teller sent it a PING that is not answered yet, in seconds of the wall clock; 0 if none is outstanding.
    pub ping_sent: u32,
    /// When the teller last got a PONG of it, in seconds of the wall clock.
    pub pong_received: u32,
    /// Its address; `None` if unknown or not an address.
    pub ip: Option<IpAddr>,
    /// Client port of the cluster's kind.
    pub port: u16,
    /// Client port of the other kind.
    pub other_port: u16,
    /// Bus port.
    pub bus_port: u16,
    /// The flags of that node as the sender sees it; see [`super::node::Flags`].
    pub flags: u16,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// PING, PONG or MEET.
    News {
        /// Which of the three.
        kind: Kind,
        /// Facts about other nodes.
        gossip: Vec<Gossip>,
        /// Names in the gossip that are none. With one, none of the gossip is believed and `gossip` is empty.
        bad_ids: usize,
        /// Facts about the sender beyond the header.
        extensions: Vec<Extension<'a>>,
    },
    /// A node is down.
    Fail(NodeId),
    /// A published message.
    Publish {
        /// Whether it is of a shard channel.
        shard: bool,
        /// The channel.
        channel: &'a [u8],
        /// The message.
        text: &'a [u8],
    },
    /// Vote for me.
    AuthRequest,
    /// I vote for you.
    AuthAck,
    /// A node's slots since an epoch.
    Update {
        /// The epoch.
        epoch: u64,
        /// The node.
        id: NodeId,
        /// Its slots.
        slots: &'a Bitmap,
    },
    /// Pause: I will take over.
    MfStart,
    /// A module's message.
    Module {
        /// The module's number, passed through as the bytes it came in.
        module: [u8; 8],
        /// The module's own kind of message.
        kind: u8,
        /// The rest is the module's affair.
        payload: &'a [u8],
    },
    /// A kind of message that this version does not know.
    Unknown(u16),
}

impl Body<'_> {
    /// The message's kind.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Body::News { kind, .. } => *kind,
            Body::Fail(_) => Kind::Fail,
            Body::Publish { shard: false, .. } => Kind::Publish,
            Body::Publish { shard: true, .. } => Kind::PublishShard,
            Body::AuthRequest => Kind::AuthRequest,
            Body::AuthAck => Kind::AuthAck,
            Body::Update { .. } => Kind::Update,
            Body::MfStart => Kind::MfStart,
            Body::Module { .. } => Kind::Module,
            Body::Unknown(_) => return None,
        })
    }
}

/// One message of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its sender.
    pub header: Header<'a>,
    /// Its content.
    pub body: Body<'a>,
}

#[cfg(test)]
mod tests;
