//! A node of a cluster as a machine: inputs go in, acts come out.
//!
//! ```text
//!            Input                                             Act
//!   Tick, Received, Closed, …  ──▶  [ nodes, owners, ]  ──▶  Send, Dial, Close, Save, Follow, Log, …
//!   Facts (clocks, offset)          [ epochs, votes  ]
//! ```
//!
//! The machine has no clock, no socket, no disk and no randomness of its own. Two machines with the same seed that get
//! the same inputs do the same, byte for byte; so hundreds of them run in one test on one seed (`tests/sim/`), and the
//! same code runs behind real sockets.
//!
//! **No promise leaves before it is on disk.** A node that forgets a vote in a crash can give it twice; a node that
//! forgets an epoch or a claim of slots can give the same slots away again. A step that makes a promise ends with
//! [`Act::Save`], and the messages that hold the promise wait until [`Input::Saved`] comes with the save's token (see
//! `out.rs`). Only messages of the bus wait, never a client.
//!
//! Invariants:
//! - `current_epoch` and `last_vote_epoch` never fall, except by CLUSTER RESET HARD.
//! - At most one vote is given per epoch, and its message is sent after the save that records it.
//! - A slot's owner changes to a higher epoch only, except by an operator's order (see `claims.rs`).
//! - No input from a peer panics. Nodes are forgotten at the end of a step, so a message that makes the node forget its
//!   sender is read to its end in peace (redis 15672).
//!
//! Mirrors: cluster_legacy.c. `step(Tick)` is `clusterCron`, `finish` is `clusterBeforeSleep`.
//! Differs: Redis calls sockets, clock and disk where it stands; see also the headers of the files of this room.

mod admin;
mod claims;
mod cron;
mod describe;
mod detect;
mod election;
mod gossip;
mod handover;
mod health;
mod join;
mod life;
mod manual;
mod orphans;
mod out;
mod receive;
mod roles;

pub use admin::{Command, FailoverKind, Reply, SlotOrder};
pub use describe::{Endpoint, LinkView, ShardNode, ShardView, SlotsView};
pub use out::Held;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::bus::SECRET_LEN;
use super::id::NodeId;
use super::node::{LinkId, Node, NodeKey, Nodes};
use super::owners::Owners;
use super::slots::SlotSet;
use crate::util::rng::Rng;
use election::Election;
use handover::Handover;
use health::Health;
use manual::Manual;
use out::Out;

/// Interval of ticks, in milliseconds.
pub const CRON_MS: u64 = 100;

/// The options of the server that the machine asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `cluster-node-timeout`, in milliseconds.
    pub node_timeout_ms: u64,
    /// `cluster-ping-interval`, in milliseconds; 0: half of the timeout.
    pub ping_interval_ms: u64,
    /// `cluster-replica-no-failover`.
    pub no_failover: bool,
    /// `cluster-replica-validity-factor`; 0: data of any age will do.
    pub validity_factor: u64,
    /// `repl-ping-replica-period`, in milliseconds.
    pub replica_ping_ms: u64,
    /// `cluster-migration-barrier`.
    pub migration_barrier: usize,
    /// `cluster-allow-replica-migration`.
    pub allow_replica_migration: bool,
    /// `cluster-require-full-coverage`.
    pub full_coverage: bool,
    /// `tls-cluster`: which of the two client ports is the cluster's own kind.
    pub tls_cluster: bool,
    /// `cluster-announce-ip`.
    pub announce_ip: Option<IpAddr>,
    /// The port for plain clients that is announced, 0 if there is none.
    pub port: u16,
    /// The port for TLS clients that is announced, 0 if there is none.
    pub tls_port: u16,
    /// The port of the bus that is announced.
    pub bus_port: u16,
    /// `cluster-announce-hostname`.
    pub hostname: String,
    /// `cluster-announce-human-nodename`.
    pub nodename: String,
    /// DEBUG DROP-CLUSTER-PACKET-FILTER: messages of this kind are ignored.
    pub drop_filter: Option<u16>,
    /// DEBUG CLOSE-CLUSTER-LINK-ON-PACKET-DROP: and their link is closed.
    pub close_on_drop: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            node_timeout_ms: 15_000,
            ping_interval_ms: 0,
            no_failover: false,
            validity_factor: 10,
            replica_ping_ms: 10_000,
            migration_barrier: 1,
            allow_replica_migration: true,
            full_coverage: true,
            tls_cluster: false,
            announce_ip: None,
            port: 6379,
            tls_port: 0,
            bus_port: 16_379,
            hostname: String::new(),
            nodename: String::new(),
            drop_filter: None,
            close_on_drop: false,
        }
    }
}

/// The state of the replication link to the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// This node is a primary.
    #[default]
    Nobody,
    /// The link stands; how long ago the last byte came.
    Up {
        /// In milliseconds.
        silent_ms: u64,
    },
    /// The link is down, or the data set is still on its way.
    Down {
        /// For so many milliseconds.
        for_ms: u64,
    },
}

/// Facts that the machine cannot know by itself, true at the moment of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// A clock that never goes back, in milliseconds; all decisions are made by it. Must be above 0.
    pub now_ms: u64,
    /// Milliseconds since 1970; for times that people and peers see.
    pub wall_ms: u64,
    /// The position of the replication stream: written as a primary, processed as a replica.
    pub offset: u64,
    /// The link to the primary.
    pub sync: Sync,
}

/// An event that a node learns of.
#[derive(Debug)]
pub enum Input<'a> {
    /// Time has passed: at [`Machine::wake_ms`] at the latest.
    Tick,
    /// A peer connected to the bus. The caller numbers the link.
    Accepted {
        /// The connection.
        link: LinkId,
        /// The address that it comes from.
        peer: IpAddr,
        /// The address of this node it came to.
        local: IpAddr,
    },
    /// A connection that was asked for stands.
    Connected {
        /// The connection.
        link: LinkId,
    },
    /// A connection is gone, or could not be made.
    Closed {
        /// The connection.
        link: LinkId,
    },
    /// A whole message arrived: as long as [`super::bus::frame`] said.
    Received {
        /// On which connection.
        link: LinkId,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A save is on disk.
    Saved {
        /// The token of the save.
        token: u64,
    },
    /// Options have changed.
    Configure(Box<Options>),
    /// A client published a message.
    Publish {
        /// Whether on a shard channel.
        shard: bool,
        /// The channel.
        channel: &'a [u8],
        /// The message.
        text: &'a [u8],
    },
    /// A module sends a message.
    Module {
        /// The receiver; all nodes if none is named.
        to: Option<NodeId>,
        /// The module's number.
        module: [u8; 8],
        /// Its own kind of message.
        kind: u8,
        /// Its content.
        payload: &'a [u8],
    },
}

/// The level of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For debugging the bus.
    Debug,
    /// More than most want.
    Verbose,
    /// Events that an operator wants to see.
    Notice,
    /// Events that an operator must see.
    Warning,
}

/// An act that a node wants done. Acts are done in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Connect to a bus port and say [`Input::Connected`] or [`Input::Closed`].
    Dial {
        /// The number of the new connection.
        link: LinkId,
        /// The address to connect to.
        ip: IpAddr,
        /// The port to connect to.
        port: u16,
    },
    /// Send a message. On a connection that does not stand yet it waits; on one that is gone it is lost.
    Send {
        /// On which connection.
        link: LinkId,
        /// The message, shared by all links it goes to.
        bytes: Arc<[u8]>,
    },
    /// Close a connection. No input about it may follow.
    Close {
        /// The connection.
        link: LinkId,
    },
    /// Write the cluster's file and say [`Input::Saved`].
    Save {
        /// The save's number.
        token: u64,
        /// The file's text.
        text: String,
        /// Whether it must be on disk, not only in the file.
        sync: bool,
    },
    /// Replicate a primary.
    Follow {
        /// Its address.
        ip: IpAddr,
        /// Its port for plain clients, 0 if none.
        port: u16,
        /// Its port for TLS clients, 0 if none.
        tls_port: u16,
    },
    /// Replicate no node: this one is a primary now.
    FollowNobody,
    /// Drop the whole data set (CLUSTER RESET of a replica).
    Empty,
    /// Slots of this node went to other nodes. If keys of them are here, [`Command::HandOver`] follows.
    SlotsLost(SlotSet),
    /// Enough nodes know that this one has taken slots ([`Command::Claim`]): it may change their keys.
    SlotsTaken,
    /// Delete the keys of slots that now belong to other nodes. Propagated as DEL to replicas.
    DeleteKeys(SlotSet),
    /// Slots have left: unsubscribe their shard channels, forget their statistics.
    SlotsLeft(SlotSet),
    /// Pause writes of clients, for a manual failover.
    Pause {
        /// Until then, by the machine's clock.
        until_ms: u64,
    },
    /// Go on.
    Unpause,
    /// The cluster answers, or no longer does.
    StateChanged {
        /// Whether it is up now.
        up: bool,
    },
    /// Give a message to the subscribers here.
    Publish {
        /// Whether of a shard channel.
        shard: bool,
        /// The channel.
        channel: Vec<u8>,
        /// The message.
        text: Vec<u8>,
    },
    /// Give a message to the modules here.
    Module {
        /// The sender.
        from: NodeId,
        /// The module's number.
        module: [u8; 8],
        /// The module's own kind of message.
        kind: u8,
        /// Its content.
        payload: Vec<u8>,
    },
    /// Write a line into the log.
    Log {
        /// Its level.
        level: Level,
        /// The line.
        text: String,
    },
}

/// A connection, as far as the machine cares.
#[derive(Clone, Debug)]
struct Link {
    /// The other end, once it is known.
    node: Option<NodeKey>,
    /// The address that an incoming link comes from.
    peer: Option<IpAddr>,
    /// The address of this node that it came to.
    local: Option<IpAddr>,
    since_ms: u64,
    /// The same by the wall clock, as people see it.
    since_wall_ms: u64,
    /// The time of the last message on it.
    heard_ms: u64,
    up: bool,
    /// PINGs and MEETs sent on it, and the PONGs that came back on it, one for each.
    asked: u64,
    answered: u64,
}

/// Counts for CLUSTER INFO, by kind of message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages sent.
    pub sent: [u64; 11],
    /// Messages received, faulty ones included.
    pub received: [u64; 11],
    /// Messages refused: damaged, of strangers, or dropped by a filter.
    pub refused: u64,
}

/// Work that is due before the step ends.
#[derive(Clone, Copy, Debug, Default)]
struct Todo {
    manual: bool,
    election: bool,
    state: bool,
    announce: bool,
    tell_fail: bool,
}

/// A node of a cluster.
#[derive(Debug)]
pub struct Machine {
    options: Options,
    facts: Facts,
    rng: Rng,
    nodes: Nodes,
    me: NodeKey,
    owners: Owners,
    current_epoch: u64,
    last_vote_epoch: u64,
    /// For whom that vote was, while this run remembers.
    last_vote_for: Option<NodeId>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    /// Nodes that may not come back before a time.
    forgotten: BTreeMap<NodeId, u64>,
    election: Option<Election>,
    /// No automatic election before.
    election_after_ms: u64,
    manual: Option<Manual>,
    health: Health,
    secret: [u8; SECRET_LEN],
    counts: Counts,
    next_cron_ms: u64,
    round: u64,
    /// Nodes that seemed down at the last tick: they go into every message.
    ailing: usize,
    told_fail_ms: u64,
    /// Nodes whose handshake with this one has ended: the others are to hear of them, and they of the others.
    introduced: Vec<NodeKey>,
    /// Slots whose new owner is being made known.
    handovers: Vec<Handover>,
    /// A destination has the whole stream of slots of this node, and may claim them any time.
    awaits_claim: bool,
    /// A replica that asked for a pause meanwhile, over which connection, and when.
    pause_asked: Option<(NodeKey, LinkId, u64)>,
    following: Option<NodeKey>,
    /// Whether a connection has confirmed this node's own address since the start.
    knows_own_ip: bool,
    /// When and why the log was last told that no failover is possible.
    excuse: Option<(election::Excuse, u64)>,
    out: Out,
    todo: Todo,
    doomed: Vec<NodeKey>,
    slots_left: SlotSet,
}

impl Machine {
    /// Goes one step: takes an event, and returns the acts that follow from it, in order.
    pub fn step(&mut self, facts: &Facts, input: Input<'_>) -> Vec<Act> {
        self.facts = *facts;
        match input {
            Input::Tick => self.tick(),
            Input::Accepted { link, peer, local } => self.accepted(link, peer, local),
            Input::Connected { link } => self.connected(link),
            Input::Closed { link } => self.closed(link),
            Input::Received { link, bytes } => self.received(link, bytes),
            Input::Saved { token } => self.saved(token),
            Input::Configure(options) => self.configure(*options),
            Input::Publish {
                shard,
                channel,
                text,
            } => self.publish(shard, channel, text),
            Input::Module {
                to,
                module,
                kind,
                payload,
            } => self.module_message(to, module, kind, payload),
        }
        self.finish()
    }

    /// Carries out an order of CLUSTER. Returns the reply, and the acts that follow.
    ///
    /// # Errors
    /// The words of the refusal, without `ERR`.
    pub fn command(
        &mut self,
        facts: &Facts,
        command: Command<'_>,
    ) -> (Result<Reply, String>, Vec<Act>) {
        self.facts = *facts;
        let answer = self.order(command);
        (answer, self.finish())
    }

    /// The time at which the machine wants its next [`Input::Tick`] at the latest.
    pub fn wake_ms(&self) -> u64 {
        let election = self.election.as_ref().and_then(Election::wake_ms);
        election.map_or(self.next_cron_ms, |at| at.min(self.next_cron_ms))
    }

    /// Whether the periodic work is all that is due at [`Machine::wake_ms`]: it comes ten times a second, a little sooner or
    /// later.
    pub fn wakes_for_cron(&self) -> bool {
        self.wake_ms() == self.next_cron_ms
    }

    /// The options it goes by.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// This node.
    pub fn myself(&self) -> &Node {
        &self.nodes[self.me]
    }

    /// This node's key.
    pub fn my_key(&self) -> NodeKey {
        self.me
    }

    /// All nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The owner of each slot.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Whether a slot is this node's.
    pub fn owns(&self, slot: u16) -> bool {
        self.owners.of(slot) == Some(self.me)
    }

    /// The highest epoch heard of.
    pub fn current_epoch(&self) -> u64 {
        self.current_epoch
    }

    /// The epoch of the last vote.
    pub fn last_vote_epoch(&self) -> u64 {
        self.last_vote_epoch
    }

    /// Whether the cluster answers, as this node sees it.
    pub fn is_up(&self) -> bool {
        self.health.up
    }

    /// The secret of internal connections.
    pub fn secret(&self) -> &[u8; SECRET_LEN] {
        &self.secret
    }

    /// Messages sent, received and refused.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The epoch for which this node asks votes now, and the nodes that voted for it.
    pub fn election(&self) -> Option<(u64, Vec<NodeId>)> {
        let election = self.election.as_ref()?;
        let asked = election.asked.as_ref()?;
        let voters = asked.voters.iter().filter_map(|key| self.nodes.get(*key));
        Some((asked.epoch, voters.map(|node| node.id).collect()))
    }

    /// Whether a manual failover is under way here.
    pub fn in_manual_failover(&self) -> bool {
        self.manual.is_some()
    }

    /// The node whose slots this one speaks for: its primary, or itself.
    fn my_primary(&self) -> NodeKey {
        self.myself().primary.unwrap_or(self.me)
    }

    fn now(&self) -> u64 {
        self.facts.now_ms
    }

    /// Milliseconds since a time; 0 stands for long ago.
    fn since(&self, at_ms: u64) -> u64 {
        self.facts.now_ms.saturating_sub(at_ms)
    }

    fn timeout(&self) -> u64 {
        self.options.node_timeout_ms
    }

    fn log(&mut self, level: Level, text: String) {
        self.out.acts.push(Act::Log { level, text });
    }

    /// Primaries with slots, and how many of them are needed to decide.
    fn quorum(&self) -> usize {
        self.size() / 2 + 1
    }

    /// Primaries with slots.
    pub fn size(&self) -> usize {
        self.nodes.iter().filter(|(_, node)| node.votes()).count()
    }
}

#[cfg(test)]
mod tests;
