//! Oxidis: Redis to be read. A Redis-compatible server that never forks.
//!
//! This page is the table of contents of the crate. A reader begins with the [`manual`]: twelve chapters of ten minutes, and
//! an index of where things are. A request goes
//! [`server`] → [`resp::request`] → [`dispatch`] → a handler in [`commands`] → [`keyspace`] →
//! [`resp::Reply`] → the client's output buffer → [`server`]. A room uses only rooms below it:
//!
//! | room | what it is |
//! |---|---|
//! | [`manual`] | the guided tour: documentation alone |
//! | [`server`] | the loop: the only room that polls or holds a socket |
//! | [`commands`] | one file per group, each handler under its declaration |
//! | [`dispatch`] | how a command runs: its context, the gate before it, the call, blocked clients that are served |
//! | `act` in each room | what acts on a whole state: free functions, called by their path |
//! | [`state`] | everything a server is, but its sockets: data |
//! | [`observe`], [`shutdown`] | what an operator sees; the end of the server |
//! | [`replication`] | the stream of effects: primaries, replicas, the backlog |
//! | [`persistence`] | snapshots and the append-only file |
//! | [`scripting`] | Lua scripts and functions |
//! | [`background`] | helper threads, and the mailbox through which they answer |
//! | [`cluster`], [`sentinel`] | a cluster's node and its machine; the machine of a sentinel |
//! | [`pubsub`] | channels, patterns, shard channels |
//! | [`wires`] | connections that the server opens itself, without their sockets |
//! | [`clients`] | who is connected, blocked, paused, in a transaction |
//! | [`acl`] | users and what they may do |
//! | [`command`] | what a command is: declaration, table, arguments, keys, effects |
//! | [`resp`] | the wire |
//! | [`keyspace`] | databases: find, add, replace, delete, expire |
//! | [`types`] | what a key can hold |
//! | [`config`], [`tls`] | each option declared once; what TLS connections are made with |
//! | [`sys`] | the door out of the process: files, time, threads, randomness |
//! | [`collections`] | data structures; have never heard of Redis |
//! | [`util`] | pure helpers |
//!
//! Which room stands above which is said, and watched, by `tests/it/architecture.rs`.
//!
//! To embed a server, start at [`Server::builder`].
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

pub mod acl;
pub mod background;
pub mod clients;
pub mod cluster;
pub mod collections;
pub mod command;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod keyspace;
pub mod manual;
pub mod observe;
pub mod persistence;
pub mod pubsub;
pub mod replication;
pub mod resp;
pub mod scripting;
pub mod sentinel;
pub mod server;
pub mod shutdown;
pub mod state;
pub mod sys;
pub mod tls;
pub mod types;
pub mod util;
pub mod wires;

/// The Redis release that the server says it is: in INFO, HELLO, the header of RDB files, scripts' `REDIS_VERSION` and
/// the crash report. Many commands and options of later releases are there as well.
pub const REDIS_VERSION: &str = "7.4.0";

/// The line that `--version` prints: Redis's, which tools read by its first words, with our own name and version at its
/// end. `build` changes with the version and with nothing else.
pub fn version_line() -> String {
    let (own, bits) = (env!("CARGO_PKG_VERSION"), usize::BITS);
    let allocator = sys::alloc::name();
    let build = util::crc64::crc64(0, own.as_bytes());
    format!(
        "Redis server v={REDIS_VERSION} sha=00000000:0 malloc={allocator} bits={bits} build={build:x} oxidis={own}"
    )
}

/// What the log begins with.
pub fn version() -> String {
    let (own, bits) = (env!("CARGO_PKG_VERSION"), usize::BITS);
    format!("Oxidis version={own}, Redis version={REDIS_VERSION}, bits={bits}")
}

pub use resp::Value;
pub use server::{Builder, Handle, Server, StartError};
