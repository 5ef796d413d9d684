//! A node of a cluster: other nodes, the slots that each serves, failover.
//!
//! ```text
//!   server/wires ── bytes ──▶ links ── messages ──▶ [ machine ] ── acts ──▶ act/carry ──▶ sockets, disk, replication, …
//!   commands ──── CLUSTER … ──────────────────────▶ [         ]
//!   dispatch/gate ── which slot? ──▶ act/route ───▶ decide(machine)
//! ```
//!
//! [`machine`] holds all decisions and touches nothing; [`act`] does what it says. The files between are the bus's
//! bytes ([`bus`]), `nodes.conf` ([`file`](mod@file)), and the table of connections ([`links`]). Slots move from node to node as a
//! whole by [`migration`].
//!
//! Mirrors: cluster.c and cluster_legacy.c.
//! Differs: the state of the cluster is a value without sockets and files, so that tests run hundreds of nodes in one
//! process (`tests/sim/cluster`).

pub mod act;
pub mod bus;
pub mod decide;
pub mod file;
pub mod id;
pub mod links;
pub mod machine;
pub mod migration;
pub mod node;
pub mod owners;
mod route;
pub mod slots;
pub mod stats;

pub use route::Refusal;

use std::collections::VecDeque;

use crate::clients::ClientKey;
use crate::sys::files::Lock;
use links::Links;
use machine::{Act, Machine, Reply};
use migration::Migrations;
use migration::channels::Channels;

/// Distance of the bus port from the port of clients, unless an option names the bus port.
#[doc(alias = "CLUSTER_PORT_INCR")]
pub const BUS_PORT_OFFSET: u16 = 10_000;

/// The part of this server in its cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    /// This node. None outside of cluster mode, and until the server has started.
    pub machine: Option<Box<Machine>>,
    /// The connections of the bus.
    pub links: Links,
    /// The port that the bus listens on.
    pub bus_port: u16,
    /// Keeps other processes from the node's file.
    pub lock: Option<Lock>,
    /// Slots on their way from or to another node as a whole.
    pub migrations: Migrations,
    /// The connections that they move over.
    pub channels: Channels,
    /// Slots that this node has claimed while too few nodes know, and how long their writes wait for that.
    pub taken: Option<(slots::SlotSet, u64)>,
    /// Whether the data set of the start was searched for keys in slots of other nodes.
    pub data_checked: bool,
    /// Figures of slots.
    pub stats: stats::SlotStats,
    /// Clients whose order is carried out, and whose reply waits until that is on disk.
    unsaved: Vec<Unsaved>,
    /// Acts that change data while a script runs: they wait for its end.
    postponed: VecDeque<Act>,
    /// The latest time that the machine was told, by its own clock.
    told_ms: u64,
    /// A save that the disk refused, to be tried again.
    refused_save: Option<RefusedSave>,
}

/// A reply that waits for a save.
#[derive(Debug)]
struct Unsaved {
    token: u64,
    client: ClientKey,
    reply: Reply,
}

/// A save that failed.
#[derive(Debug)]
struct RefusedSave {
    token: u64,
    text: String,
    /// When to try again, by the machine's clock.
    again_ms: u64,
}

impl Cluster {
    /// This node, in a server that has started in cluster mode.
    #[inline]
    pub fn machine(&self) -> Option<&Machine> {
        self.machine.as_deref()
    }
}
