//! One client: its identity, its flags, its buffers, and what it has beyond them.
//!
//! ```text
//!   socket ──► query ──► parser ──► request ──► command ──► out ──► socket
//!                                      │
//!         waiting, transaction, tracking, subscriptions, fieldsets      one pointer each, none in an ordinary client
//! ```
//!
//! Invariant: a client whose `waiting` is present has [`ClientFlags::BLOCKED`], and parses no further request.
//!
//! Mirrors: `struct client` of server.h.
//! Differs: no socket. `server/` carries the bytes, so a client without a connection needs no exceptions.

use std::fmt;
use std::rc::Rc;

use super::subscriptions::Subscriptions;
use crate::acl::User;
use crate::clients::tracking::Tracked;
use crate::clients::transaction::Transaction;
use crate::clients::{ClientKey, Fieldsets};
use crate::command::table::CommandId;
use crate::keyspace::{DbId, Ms};
use crate::resp::request::{Parser, Request};
use crate::resp::{Output, Protocol};

/// A client's number: unique for the life of the server, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The class of a client, for output limits and CLIENT KILL TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// An ordinary one.
    Normal,
    /// A replica of ours.
    Replica,
    /// Subscribed to something.
    PubSub,
    /// Our own primary.
    Primary,
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl ClientFlags {
            $($(#[$doc])* pub const $name: ClientFlags = ClientFlags(1 << $bit);)*
        }
    };
}

/// A set of yes-or-no facts about a client.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientFlags(u64);

flags! {
    /// Close once everything queued is sent.
    CLOSE_AFTER_REPLY = 0;
    /// Close at the end of this loop turn, sent or not.
    CLOSE_ASAP = 1;
    /// In a transaction.
    MULTI = 2;
    /// A watched key changed: EXEC will fail.
    DIRTY_CAS = 3;
    /// An error while queueing: EXEC will fail.
    DIRTY_EXEC = 4;
    /// Blocked; parses no further requests.
    BLOCKED = 5;
    /// Registered among those with something to send.
    PENDING_WRITE = 6;
    /// CLIENT REPLY OFF.
    REPLY_OFF = 7;
    /// CLIENT REPLY SKIP: the next command is not answered.
    REPLY_SKIP_NEXT = 8;
    /// CLIENT REPLY SKIP: this command is not answered.
    REPLY_SKIP = 9;
    /// A MONITOR.
    MONITOR = 10;
    /// A replica of ours.
    REPLICA = 11;
    /// Our primary.
    PRIMARY = 12;
    /// Subscribed in some way; under RESP2 only some commands are allowed.
    PUBSUB = 13;
    /// The client sent READONLY (cluster).
    READONLY = 14;
    /// The client sent ASKING (cluster); holds for one command.
    ASKING = 15;
    /// CLIENT NO-EVICT ON.
    NO_EVICT = 16;
    /// CLIENT NO-TOUCH ON.
    NO_TOUCH = 17;
    /// CLIENT TRACKING ON; the details are in `tracking`.
    TRACKING = 18;
    /// No socket: scripts, AOF loading, in-process commands.
    FAKE = 19;
    /// Came through a Unix socket.
    UNIX_SOCKET = 20;
    /// Runs commands of a script or function.
    SCRIPT = 21;
    /// Held back by CLIENT PAUSE; its request is retried later.
    PAUSED = 22;
    /// Was unblocked and has requests to process.
    UNBLOCKED = 23;
    /// A command of this client may not be refused or paused: loading and replication feed it.
    MUST_OBEY = 24;
    /// Ended a request with an error in its protocol.
    PROTOCOL_ERROR = 25;
    /// Inside the execution of EXEC.
    IN_EXEC = 26;
    /// May send commands that only peers of a cluster or a replication link may send.
    INTERNAL = 27;
    /// Its request in progress is being re-run after it was blocked on keys.
    REEXECUTING = 28;
    /// Authenticated, or needs no authentication.
    AUTHENTICATED = 29;
    /// Its socket took no more; the rest is sent when there is room.
    AWAITS_ROOM = 30;
    /// Its script runs for too long: it is not read from, and stays though it may be gone.
    BUSY = 31;
    /// Its connection is under TLS, and the handshake is not over.
    HANDSHAKE = 32;
    /// Its connection is under TLS.
    TLS = 33;
    /// A module called its command and takes its reply later: it may block though it has no socket.
    MAY_BLOCK = 34;
    /// A module's call that does not ask for the limit of memory: it does not hold for scripts that it runs either.
    ALLOW_OOM = 35;
    /// Acts as a user that may not do everything.
    RESTRICTED = 40;
    /// Applies the keys and writes of slots that this node takes over.
    IMPORTS = 41;
    /// Another node's, which takes slots over from this one.
    EXPORTS = 42;
}

impl ClientFlags {
    /// No flag.
    pub const NONE: ClientFlags = ClientFlags(0);

    /// Whether all of `other` are set.
    #[inline]
    pub fn has(self, other: ClientFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    #[inline]
    pub fn any(self, other: ClientFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// Sets flags.
    #[inline]
    pub fn set(&mut self, other: ClientFlags) {
        self.0 |= other.0;
    }

    /// Clears flags.
    #[inline]
    pub fn clear(&mut self, other: ClientFlags) {
        self.0 &= !other.0;
    }

    /// Sets or clears.
    pub fn put(&mut self, other: ClientFlags, on: bool) {
        if on {
            self.set(other)
        } else {
            self.clear(other)
        }
    }
}

impl std::ops::BitOr for ClientFlags {
    type Output = ClientFlags;
    fn bitor(self, other: ClientFlags) -> ClientFlags {
        ClientFlags(self.0 | other.0)
    }
}

impl fmt::Debug for ClientFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub id: ClientId,
    /// Its place in [`super::Clients`].
    pub key: ClientKey,
    /// Facts about it.
    pub flags: ClientFlags,
    /// The database it selected.
    pub db: DbId,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// Bytes that it has yet to be sent. While a command of this client runs, this queue is lent to the reply, and
    /// messages of others gather here in the meantime, to follow that reply.
    pub out: Output,
    /// Received bytes that are not a whole request yet, from a request's first byte on.
    pub query: Vec<u8>,
    /// Bytes in the buffer shared by all, while requests of this client are run from there.
    pub shared_query: usize,
    /// The parser of `query`, which remembers its position in it.
    pub parser: Parser,
    /// The request being parsed.
    pub request: Request,
    /// The last command it ran.
    pub last_command: Option<CommandId>,
    /// The commands that it queued since MULTI, and the keys that it watches.
    pub transaction: Option<Box<Transaction>>,
    /// Its part in client-side caching (CLIENT TRACKING).
    pub tracking: Option<Box<Tracked>>,
    /// The sets of field names that it prepared with HIMPORT PREPARE.
    pub fieldsets: Option<Box<Fieldsets>>,
    /// Its channels and patterns.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// The keys or the event that it is blocked on.
    pub waiting: Option<Box<super::Waiting>>,
    /// The position of the stream of effects behind its last write.
    pub written: u64,
    /// The facts that it announced with REPLCONF.
    pub announced: Option<Box<crate::clients::Announced>>,
    /// Name given by CLIENT SETNAME.
    pub name: Vec<u8>,
    /// Library name and version given by CLIENT SETINFO.
    pub library: (Vec<u8>, Vec<u8>),
    /// The user it acts as; none, and it may do everything.
    pub user: Option<Rc<User>>,
    /// Address of the other end, as CLIENT LIST prints it.
    pub address: String,
    /// Our address on this connection.
    pub local_address: String,
    /// The certificate that it showed, as PEM, on a TLS connection; modules are given it.
    pub certificate: Option<Box<str>>,
    /// The socket's descriptor; -1 for fake clients.
    pub fd: i32,
    /// Connected since, unix time.
    pub created_ms: Ms,
    /// Last request or byte received or sent, unix time.
    pub active_ms: Ms,
    /// Since when the output buffer is over its soft limit.
    pub soft_limit_since_ms: Option<Ms>,
    /// Requests processed.
    pub commands: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// The largest part of the reply buffer used lately, and since when (reply buffer resizing).
    pub reply_peak: (usize, Ms),
    /// The bytes that `maxmemory-clients` counted for it last.
    pub(super) counted: super::usage::Counted,
    /// The largest query buffer lately (query buffer resizing).
    pub query_peak: usize,
}

impl Client {
    pub(super) fn new(id: ClientId, key: ClientKey, now: Ms) -> Self {
        Client {
            id,
            key,
            flags: ClientFlags::NONE,
            db: DbId(0),
            protocol: Protocol::Resp2,
            out: Output::new(),
            query: Vec::new(),
            shared_query: 0,
            parser: Parser::default(),
            request: Request::default(),
            last_command: None,
            transaction: None,
            fieldsets: None,
            tracking: None,
            subscriptions: None,
            waiting: None,
            written: 0,
            announced: None,
            name: Vec::new(),
            library: (Vec::new(), Vec::new()),
            user: None,
            address: String::new(),
            local_address: String::new(),
            certificate: None,
            fd: -1,
            created_ms: now,
            active_ms: now,
            soft_limit_since_ms: None,
            commands: 0,
            bytes_in: 0,
            bytes_out: 0,
            reply_peak: (0, now),
            query_peak: 0,
            counted: super::usage::Counted::default(),
        }
    }

    /// Its class.
    pub fn kind(&self) -> ClientKind {
        if self.flags.has(ClientFlags::PRIMARY) {
            ClientKind::Primary
        } else if self.flags.has(ClientFlags::REPLICA) && !self.flags.has(ClientFlags::MONITOR) {
            ClientKind::Replica
        } else if self.flags.has(ClientFlags::PUBSUB) {
            ClientKind::PubSub
        } else {
            ClientKind::Normal
        }
    }

    /// Whether it may be given bytes to parse now.
    #[inline]
    pub fn runnable(&self) -> bool {
        const STOPPED: ClientFlags = ClientFlags(
            ClientFlags::BLOCKED.0
                | ClientFlags::PAUSED.0
                | ClientFlags::BUSY.0
                | ClientFlags::CLOSE_ASAP.0
                | ClientFlags::CLOSE_AFTER_REPLY.0,
        );
        !self.flags.any(STOPPED)
    }

    /// Bytes it sent that are not used up, and room for more.
    pub fn query_bytes(&self) -> (usize, usize) {
        let (arriving, room) = self.parser.arriving_bytes();
        let len = self.query.len() + arriving;
        (len, self.query.capacity() - self.query.len() + room)
    }

    /// Whether its replies go nowhere.
    #[inline]
    pub fn silent(&self) -> bool {
        self.flags.any(
            ClientFlags::REPLY_OFF
                | ClientFlags::REPLY_SKIP
                | ClientFlags::PRIMARY
                | ClientFlags::IMPORTS,
        )
    }

    /// Whether it is on this machine: a Unix socket, a loopback address, or no socket at all.
    pub fn is_local(&self) -> bool {
        self.flags.any(ClientFlags::UNIX_SOCKET | ClientFlags::FAKE)
            || self
                .address
                .parse()
                .is_ok_and(|a: std::net::SocketAddr| a.ip().is_loopback())
    }

    /// Whether it is trusted with internal commands: another node of the cluster, a primary, the append-only file.
    pub fn is_internal(&self) -> bool {
        self.flags
            .any(ClientFlags::INTERNAL | ClientFlags::MUST_OBEY)
    }

    /// Whether it is our primary or a replica of ours.
    #[inline]
    pub fn is_peer(&self) -> bool {
        self.flags.any(ClientFlags::PRIMARY | ClientFlags::REPLICA)
    }

    /// Whether it is blocked.
    pub fn blocked(&self) -> bool {
        self.flags.has(ClientFlags::BLOCKED)
    }
}

/// The facts that a client announces before it asks to be a replica.
#[derive(Debug, Default, Clone)]
pub struct Announced {
    /// The port and address on which it listens.
    pub port: u16,
    pub ip: Option<String>,
    /// The node of the cluster that it is (SYNCSLOTS CONF NODE-ID).
    pub node: Option<crate::cluster::id::NodeId>,
    /// The newest version of RDB that it makes tables of (SYNCSLOTS CONF CAPA).
    pub reads_rdb: Option<u32>,
    /// It understands a data set of unknown length that ends with a mark.
    pub eof: bool,
    /// It understands that the stream's name may change.
    pub psync2: bool,
    /// It understands TRIMSLOTS.
    pub trims: bool,
    pub rdb_only: bool,
    /// It can have the data set over a second connection, and the stream over this one meanwhile.
    pub rdb_channel_repl: bool,
    /// This is such a second connection,
    pub rdb_channel: bool,
    /// and this the number of the first one.
    pub main_channel: Option<ClientId>,
    /// It wants no keys; it wants no function libraries.
    pub without_keys: bool,
    pub without_functions: bool,
}
