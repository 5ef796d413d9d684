//! Commands, one file per group, each handler under its declaration.
//!
//! A group's `COMMANDS` lists its declarations; [`GROUPS`] lists the groups. A declaration left out of
//! its list is reported by the compiler as unused.
//!
//! How a handler reads: its arguments first, then the lookup, then the change, then the reply. After a change it calls
//! [`Ctx::modified`](crate::dispatch::Ctx::modified) once, which counts the change, fails transactions that WATCH the
//! key, invalidates client-side caches and publishes the event. The command is propagated as it came, unless the
//! handler rewrites it.
//!
//! Mirrors: the lower halves of t_string.c, t_list.c, t_set.c, t_zset.c, t_hash.c, t_stream.c, db.c and others; each
//! file names its own.

mod acl;
mod array;
mod backup;
mod bitmap;
mod client;
mod cluster;
mod command;
pub mod config;
mod connection;
mod debug;
mod debug_cluster;
mod debug_values;
mod function;
mod geo;
mod hash;
mod hotkeys;
mod hyperloglog;
pub(crate) mod info;
mod keys;
mod latency;
mod list;
pub mod lookup;
mod memory;
mod migrate;
mod module;
mod persistence;
mod prelude;
mod pubsub;
mod replication;
mod scripting;
pub mod sentinel;
mod server;
mod set;
mod slowlog;
mod sort;
mod stream;
mod string;
mod tracking;
mod transaction;
mod vset;
mod zset;

use crate::command::Command;

/// Every command, group by group.
pub const GROUPS: &[&[&Command]] = &[
    acl::COMMANDS,
    array::COMMANDS,
    backup::COMMANDS,
    bitmap::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    geo::COMMANDS,
    hash::COMMANDS,
    hotkeys::COMMANDS,
    hyperloglog::COMMANDS,
    info::COMMANDS,
    keys::COMMANDS,
    latency::COMMANDS,
    memory::COMMANDS,
    migrate::COMMANDS,
    module::COMMANDS,
    function::COMMANDS,
    persistence::COMMANDS,
    pubsub::COMMANDS,
    scripting::COMMANDS,
    list::COMMANDS,
    replication::COMMANDS,
    server::COMMANDS,
    set::COMMANDS,
    slowlog::COMMANDS,
    sort::COMMANDS,
    stream::COMMANDS,
    string::COMMANDS,
    transaction::COMMANDS,
    vset::COMMANDS,
    zset::COMMANDS,
];

#[cfg(test)]
mod declared_keys;
#[cfg(test)]
mod tests;
