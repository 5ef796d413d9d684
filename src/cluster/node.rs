//! The nodes of a cluster as one of them sees them.
//!
//! ```text
//!   Nodes   cells   [ node, gen 0 ][ node, gen 4 ][ -, gen 1 ][ node, gen 0 ]
//!           ids     0c4f… → cell 3, gen 0     07c3… → cell 0, gen 0 …
//!   NodeKey         cell 1, gen 4
//! ```
//!
//! Nodes refer to each other (a replica to its primary, a report to its teller) by [`NodeKey`], a cell's number and how
//! often the cell was given away. A key outlives its node harmlessly: it finds nothing.
//!
//! Invariant: `ids` and the cells agree; `order` lists the occupied cells, oldest node first. All walks over nodes go
//! by `order`, never by the order of a hash: the same inputs give the same decisions.
//!
//! Mirrors: `clusterNode` and `clusterState.nodes` of cluster_legacy.h.
//! Differs: no pointers between nodes, so none can dangle; replicas are found by a walk instead of being kept twice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Index, IndexMut};

use super::id::NodeId;
use super::slots::SlotSet;

/// Flags of a node, with the bits they have on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// A primary.
    pub const PRIMARY: Flags = Flags(1);
    /// A replica.
    pub const REPLICA: Flags = Flags(1 << 1);
    /// This node cannot reach it.
    #[doc(alias = "CLUSTER_NODE_PFAIL")]
    pub const MAYBE_FAIL: Flags = Flags(1 << 2);
    /// A majority cannot reach it.
    pub const FAIL: Flags = Flags(1 << 3);
    /// The node that holds this table.
    pub const MYSELF: Flags = Flags(1 << 4);
    /// Its name is not known yet.
    pub const HANDSHAKE: Flags = Flags(1 << 5);
    /// Its address is not known, or turned out to be another node's.
    pub const NO_ADDRESS: Flags = Flags(1 << 6);
    /// Greet it with a MEET.
    pub const MEET: Flags = Flags(1 << 7);
    /// Replicas of others may move to it.
    pub const MIGRATE_TO: Flags = Flags(1 << 8);
    /// A replica that does not ask for votes.
    pub const NO_FAILOVER: Flags = Flags(1 << 9);
    /// Understands extensions.
    pub const EXTENSIONS: Flags = Flags(1 << 10);

    /// Bits that a gossiping peer may set on a node it tells of.
    const GOSSIPED: u16 = 0b11_0000_1111;

    /// The bits of a peer's message that mean something here; others are dropped, not echoed.
    pub fn of_wire(bits: u16) -> Flags {
        Flags(bits & 0x7ff)
    }

    /// The flags that gossip may set on a node heard of for the first time.
    pub fn of_gossip(bits: u16) -> Flags {
        Flags(bits & Flags::GOSSIPED)
    }

    /// The bits as they travel.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether any of these is set.
    pub fn any(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }

    /// Sets these.
    pub fn set(&mut self, flags: Flags) {
        self.0 |= flags.0;
    }

    /// Clears these.
    pub fn clear(&mut self, flags: Flags) {
        self.0 &= !flags.0;
    }

    /// Both.
    pub const fn and(self, flags: Flags) -> Flags {
        Flags(self.0 | flags.0)
    }

    /// Words of the flags that people see, in the order of CLUSTER NODES.
    pub const WORDS: [(Flags, &'static str); 8] = [
        (Flags::MYSELF, "myself"),
        (Flags::PRIMARY, "master"),
        (Flags::REPLICA, "slave"),
        (Flags::MAYBE_FAIL, "fail?"),
        (Flags::FAIL, "fail"),
        (Flags::HANDSHAKE, "handshake"),
        (Flags::NO_ADDRESS, "noaddr"),
        (Flags::NO_FAILOVER, "nofailover"),
    ];

    /// The flags as text: `myself,master`, or `noflags`.
    #[doc(alias = "representClusterNodeFlags")]
    pub fn words(self) -> String {
        let words = Flags::WORDS.iter().filter(|(flag, _)| self.any(*flag));
        let words: Vec<&str> = words.map(|(_, word)| *word).collect();
        match words.is_empty() {
            true => "noflags".to_owned(),
            false => words.join(","),
        }
    }
}

/// A report that a node is down: its teller and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The primary that reports it.
    pub by: NodeKey,
    /// The time of its last report, in milliseconds.
    pub at_ms: u64,
}

/// The number of a connection of the bus. Outgoing ones are numbered by the machine, incoming ones by the code that
/// accepts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkId {
    /// This node connected.
    Out(u64),
    /// The other one did.
    In(u64),
}

/// One node. Times are milliseconds of the clock handed to the machine; 0 is "never".
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name; a random one while in handshake.
    pub id: NodeId,
    /// The name of its shard.
    pub shard: NodeId,
    /// Its flags.
    pub flags: Flags,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Its port for plain clients, 0 if none.
    pub port: u16,
    /// Its port for TLS clients, 0 if none.
    pub tls_port: u16,
    /// Its port for the bus.
    pub bus_port: u16,
    /// The host name it announces, or nothing.
    pub hostname: String,
    /// The name people gave it, or nothing.
    pub nodename: String,
    /// Its primary, if it is a replica and the primary is known.
    pub primary: Option<NodeKey>,
    /// The epoch of its claims.
    pub epoch: u64,
    /// The highest current epoch it spoke of: a message with a lower one is late.
    pub seen_epoch: u64,
    /// Slots bound to it.
    pub slots: SlotSet,
    /// The time at which this node first heard of it.
    pub created_ms: u64,
    /// The time of the PING that it has not answered yet.
    pub ping_sent_ms: u64,
    /// The time at which it was last known to answer.
    pub pong_received_ms: u64,
    /// The time of the last byte from it.
    pub data_received_ms: u64,
    /// The time at which it was found to have failed.
    pub fail_ms: u64,
    /// The time at which this node last voted for one of its replicas.
    pub voted_ms: u64,
    /// For whom.
    pub voted_for: Option<NodeId>,
    /// The time since which it has slots and no working replica.
    pub orphaned_ms: u64,
    /// Since when it says it is a replica although it was seen as a primary of a later epoch.
    pub doubted_ms: u64,
    /// Its position in the replication stream.
    pub offset: u64,
    /// The time at which it announced that position.
    pub offset_ms: u64,
    /// The time of the last MEET to it, which may have to be repeated.
    pub met_ms: u64,
    /// The connection to it.
    pub link: Option<LinkId>,
    /// The connection from it.
    pub inbound: Option<LinkId>,
    /// Primaries that say it is down.
    pub reports: Vec<Report>,
}

impl Node {
    /// A node without address, heard of at `now_ms`.
    pub fn new(id: NodeId, shard: NodeId, flags: Flags, now_ms: u64) -> Node {
        Node {
            id,
            shard,
            flags,
            ip: None,
            port: 0,
            tls_port: 0,
            bus_port: 0,
            hostname: String::new(),
            nodename: String::new(),
            primary: None,
            epoch: 0,
            seen_epoch: 0,
            slots: SlotSet::new(),
            created_ms: now_ms,
            ping_sent_ms: 0,
            pong_received_ms: 0,
            data_received_ms: 0,
            fail_ms: 0,
            voted_ms: 0,
            voted_for: None,
            orphaned_ms: 0,
            doubted_ms: 0,
            offset: 0,
            offset_ms: 0,
            met_ms: 0,
            link: None,
            inbound: None,
            reports: Vec::new(),
        }
    }

    /// Whether it is a primary.
    pub fn is_primary(&self) -> bool {
        self.flags.any(Flags::PRIMARY)
    }

    /// Whether it is a replica.
    pub fn is_replica(&self) -> bool {
        self.flags.any(Flags::REPLICA)
    }

    /// Whether its name is still unknown.
    pub fn in_handshake(&self) -> bool {
        self.flags.any(Flags::HANDSHAKE)
    }

    /// Whether a majority found it down.
    pub fn failed(&self) -> bool {
        self.flags.any(Flags::FAIL)
    }

    /// Whether it is down, or seems so from here.
    pub fn ailing(&self) -> bool {
        self.flags.any(Flags::FAIL.and(Flags::MAYBE_FAIL))
    }

    /// Whether it has a vote: primaries that serve slots have.
    pub fn votes(&self) -> bool {
        self.is_primary() && !self.slots.is_empty()
    }

    /// Whether its address is known.
    pub fn has_address(&self) -> bool {
        !self.flags.any(Flags::NO_ADDRESS) && self.ip.is_some()
    }

    /// Name and, in brackets, the name that people know: `07c3… (cache-3)`, as the log has it.
    pub fn called(&self) -> String {
        format!("{} ({})", self.id, self.nodename)
    }
}

/// A node's place in [`Nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    cell: u16,
    generation: u16,
}

#[derive(Clone, Debug, Default)]
struct Cell {
    generation: u16,
    node: Option<Box<Node>>,
}

/// More nodes than this are not taken in: an address book, not a flood.
pub const MAX_NODES: usize = 16_384;

/// All nodes known.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    cells: Vec<Cell>,
    free: Vec<u16>,
    order: Vec<NodeKey>,
    ids: BTreeMap<NodeId, NodeKey>,
}

impl Nodes {
    /// Number of nodes, this one and those in handshake included.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no node, not even this one.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// A node by its key.
    pub fn get(&self, key: NodeKey) -> Option<&Node> {
        let cell = self.cells.get(usize::from(key.cell))?;
        cell.node
            .as_deref()
            .filter(|_| cell.generation == key.generation)
    }

    /// A node by its key, to be changed. Its `id` is changed by [`Nodes::rename`] alone.
    pub fn get_mut(&mut self, key: NodeKey) -> Option<&mut Node> {
        let cell = self.cells.get_mut(usize::from(key.cell))?;
        let current = cell.generation == key.generation;
        cell.node.as_deref_mut().filter(|_| current)
    }

    /// A node by its name. O(log n).
    pub fn find(&self, id: &NodeId) -> Option<NodeKey> {
        self.ids.get(id).copied()
    }

    /// Takes a node in; `None` if its name is known or the table is full.
    pub fn insert(&mut self, node: Node) -> Option<NodeKey> {
        if self.len() >= MAX_NODES || self.ids.contains_key(&node.id) {
            return None;
        }
        let cell = self.free.pop().unwrap_or_else(|| {
            self.cells.push(Cell::default());
            (self.cells.len() - 1) as u16
        });
        let place = &mut self.cells[usize::from(cell)];
        let generation = place.generation;
        let key = NodeKey { cell, generation };
        self.ids.insert(node.id, key);
        self.order.push(key);
        place.node = Some(Box::new(node));
        Some(key)
    }

    /// Forgets a node. References to it elsewhere are the caller's to clear.
    pub fn remove(&mut self, key: NodeKey) -> Option<Node> {
        self.get(key)?;
        let cell = &mut self.cells[usize::from(key.cell)];
        let node = cell.node.take()?;
        cell.generation = cell.generation.wrapping_add(1);
        self.free.push(key.cell);
        self.ids.remove(&node.id);
        self.order.retain(|other| *other != key);
        Some(*node)
    }

    /// Gives a node its real name; false if another has it.
    pub fn rename(&mut self, key: NodeKey, id: NodeId) -> bool {
        if self.ids.contains_key(&id) {
            return false;
        }
        let Some(node) = self.get_mut(key) else {
            return false;
        };
        let old = std::mem::replace(&mut node.id, id);
        self.ids.remove(&old);
        self.ids.insert(id, key);
        true
    }

    /// Keys, oldest node first.
    pub fn keys(&self) -> Vec<NodeKey> {
        self.order.clone()
    }

    /// The key at a place of that order.
    pub fn nth(&self, place: usize) -> Option<NodeKey> {
        self.order.get(place).copied()
    }

    /// Nodes, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (NodeKey, &Node)> {
        self.order.iter().map(|key| (*key, &self[*key]))
    }

    /// Nodes by name: the same order on every node of a cluster.
    pub fn by_id(&self) -> impl Iterator<Item = (NodeKey, &Node)> {
        self.ids.values().map(|key| (*key, &self[*key]))
    }

    /// Replicas of a node, by name. O(n).
    pub fn replicas(&self, of: NodeKey) -> impl Iterator<Item = (NodeKey, &Node)> {
        let nodes = self.by_id();
        nodes.filter(move |(_, node)| node.is_replica() && node.primary == Some(of))
    }

    /// Replicas of a node that are neither down nor seem so.
    #[doc(alias = "clusterCountNonFailingSlaves")]
    pub fn good_replicas(&self, of: NodeKey) -> usize {
        let nodes = self.iter();
        nodes
            .filter(|(_, node)| {
                node.is_replica() && node.primary == Some(of) && !node.flags.any(Flags::FAIL)
            })
            .count()
    }
}

/// A key that was looked up in this step names a node: nodes are forgotten between steps only.
impl Index<NodeKey> for Nodes {
    type Output = Node;

    fn index(&self, key: NodeKey) -> &Node {
        self.get(key).expect("a key of this step names a node")
    }
}

impl IndexMut<NodeKey> for Nodes {
    fn index_mut(&mut self, key: NodeKey) -> &mut Node {
        self.get_mut(key).expect("a key of this step names a node")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    #[test]
    fn a_key_does_not_find_the_next_node_of_its_cell() {
        let mut rng = Rng::new(1);
        let mut nodes = Nodes::default();
        let mut node = || {
            let id = NodeId::random(&mut rng);
            Node::new(id, id, Flags::PRIMARY, 1)
        };
        let first = nodes.insert(node()).expect("there is room");
        let second = nodes.insert(node()).expect("there is room");
        let gone = nodes.remove(first).expect("it was there");
        assert!(nodes.find(&gone.id).is_none());
        let third = nodes.insert(node()).expect("there is room");
        assert_eq!(third.cell, first.cell);
        assert!(nodes.get(first).is_none() && nodes.remove(first).is_none());
        assert_eq!(nodes.keys(), [second, third]);
        let name = nodes[second].id;
        assert!(!nodes.rename(third, name));
        assert!(nodes.rename(third, gone.id));
        assert_eq!(nodes.find(&gone.id), Some(third));
        assert_eq!(nodes.len(), 2);
    }

    #[test]
    fn flags_in_words() {
        let mut flags = Flags::MYSELF.and(Flags::PRIMARY).and(Flags::MIGRATE_TO);
        assert_eq!(flags.words(), "myself,master");
        flags.set(Flags::FAIL);
        assert_eq!(flags.words(), "myself,master,fail");
        assert_eq!(Flags::default().words(), "noflags");
        assert_eq!(Flags::of_wire(0xffff).bits(), 0x7ff);
        assert!(
            !Flags::of_gossip(0xffff).any(Flags::MYSELF.and(Flags::HANDSHAKE).and(Flags::MEET))
        );
    }
}
