//! Oxidis: Redis to be read. A Redis-compatible server that never forks.
//!
//! This page is the table of contents of the crate. A reader begins with the [`manual`]: fourteen chapters of ten minutes, and
//! an index of where things are. A request goes
//! [`server`] → [`resp::request`] → [`dispatch`] → a handler in [`commands`] → [`keyspace`] →
//! [`resp::Reply`] → the client's output buffer → [`server`]. A room uses only rooms below it:
//!
//! | room | what it is |
//! |---|---|
//! | [`manual`] | the guided tour: documentation alone |
//! | [`server`] | the loop: the only room that polls or holds a socket |
//! | [`commands`] | one file per group of commands, each handler under its declaration |
//! | [`dispatch`] | how a command runs: its context, the gate before it, the call, the blocked clients it serves |
//! | `act` in each room | functions that act on a whole state, called by their path |
//! | [`state`] | all data of a server, except its sockets |
//! | [`clients`], [`observe`], [`background`] | connected clients; figures for operators; helper threads |
//! | [`wires`] | connections to other servers, without their sockets |
//! | [`pubsub`] | channels, patterns, shard channels |
//! | [`acl`] | users, their rules and passwords, the ACL log |
//! | [`persistence`], [`replication`] | RDB, AOF and backups; primaries and replicas |
//! | [`cluster`], [`sentinel`] | a node of a cluster and the bus between nodes; Sentinel |
//! | [`modules`] | commands, data types and callbacks that foreign code adds |
//! | [`scripting`], [`shutdown`] | Lua scripts, functions and their debugger; the end of a server |
//! | [`command`] | a command's declaration, the table of all, arguments, keys, effects |
//! | [`resp`] | the protocol: requests, replies, errors, the output buffer |
//! | [`keyspace`] | databases: find, add, replace, delete, expire and evict keys |
//! | [`types`] | the values a key can hold, with their encodings |
//! | [`collections`] | data structures that know nothing of Redis |
//! | [`config`], [`tls`] | each option declared once; certificates, keys and ciphers |
//! | [`sys`], [`util`] | the door to the operating system, and Lua; pure helpers |
//!
//! `tests/it/architecture.rs` lists the order of the rooms and fails when a room uses one above it.
//!
//! To embed a server, start at [`Server::builder`].
#![deny(unsafe_code)]
// Unit tests use real files and threads; the build without them is what `clippy.toml` watches.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]
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
pub mod modules;
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
pub const REDIS_VERSION: &str = "8.10.0";

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

/// The line the log begins with: our version, and the version of Redis we follow.
pub fn version() -> String {
    let (own, bits) = (env!("CARGO_PKG_VERSION"), usize::BITS);
    format!("Oxidis version={own}, Redis version={REDIS_VERSION}, bits={bits}")
}

pub use resp::Value;
pub use server::{Builder, Handle, Server, StartError};
