//! The cluster as texts and tables: CLUSTER NODES, SLOTS, SHARDS, LINKS and INFO.
//!
//! This file changes no state. Which of a node's names a client is given (`cluster-preferred-endpoint-type`) and how
//! a table is written on the wire is the command's affair.
//!
//! Mirrors: `clusterGenNodesDescription`, `clusterCommandSlots`, `clusterCommandShards`, `genClusterInfoString`.
//! Differs: replicas are listed by name, so every node of a cluster shows the same order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Machine;
use crate::cluster::bus::Kind;
use crate::cluster::file::write_slots;
use crate::cluster::id::NodeId;
use crate::cluster::node::{Flags, LinkId, Node, NodeKey};
use crate::cluster::slots::SlotSet;
use crate::util::crc16::SLOTS;

/// The addresses at which clients find a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub id: NodeId,
    /// Its address, if known.
    pub ip: Option<IpAddr>,
    /// Its host name, or nothing.
    pub hostname: String,
    /// Its port for plain clients.
    pub port: u16,
    /// Its port for TLS clients.
    pub tls_port: u16,
}

impl Endpoint {
    fn of(node: &Node) -> Endpoint {
        Endpoint {
            id: node.id,
            ip: node.ip,
            hostname: node.hostname.clone(),
            port: node.port,
            tls_port: node.tls_port,
        }
    }
}

/// Neighbouring slots with one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsView {
    /// The slots.
    pub slots: RangeInclusive<u16>,
    /// The primary first, then its replicas that can serve.
    pub nodes: Vec<Endpoint>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardView {
    /// Its slots.
    pub slots: Vec<RangeInclusive<u16>>,
    /// Its nodes.
    pub nodes: Vec<ShardNode>,
}

/// A node of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Whether it is a primary.
    pub primary: bool,
    /// Its position in the replication stream.
    pub offset: u64,
    /// `online`, `loading` or `failed`.
    pub health: &'static str,
}

/// A connection of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// The connection; its owner outside of the machine knows its queues.
    pub link: LinkId,
    /// The other end.
    pub node: NodeId,
    /// The time since which it exists, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Machine {
    /// CLUSTER NODES, every node, `\n` after each line. `tls`: for a client that came by TLS.
    pub fn nodes_text(&self, tls: bool) -> String {
        let mut text = String::new();
        for (key, _) in self.nodes.by_id() {
            text.push_str(&self.node_line(key, tls));
            text.push('\n');
        }
        text
    }

    /// CLUSTER REPLICAS: the lines of a primary's replicas.
    pub fn replica_lines(&self, of: NodeKey, tls: bool) -> Vec<String> {
        let replicas = self.nodes.replicas(of);
        replicas.map(|(key, _)| self.node_line(key, tls)).collect()
    }

    /// One node's line, without line break.
    #[doc(alias = "clusterGenNodeDescription")]
    pub fn node_line(&self, key: NodeKey, tls: bool) -> String {
        let node = &self.nodes[key];
        let port = if tls { node.tls_port } else { node.port };
        let ip = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let mut line = format!("{} {ip}:{port}@{}", node.id, node.bus_port);
        if !node.hostname.is_empty() {
            let _ = write!(line, ",{}", node.hostname);
        }
        let primary = self.id_of(node.primary);
        let primary = primary.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let link = match self.connected_to(key) {
            true => "connected",
            false => "disconnected",
        };
        let _ = write!(
            line,
            " {} {primary} {} {} {} {link}",
            node.flags.words(),
            self.wall(node.ping_sent_ms),
            self.wall(node.pong_received_ms),
            self.shown_epoch(key)
        );
        write_slots(&node.slots, &mut line);
        if key == self.me {
            for (table, arrow) in [
                (&self.owners.migrating, "->-"),
                (&self.owners.importing, "-<-"),
            ] {
                for (slot, other) in table {
                    if let Some(id) = self.id_of(Some(*other)) {
                        let _ = write!(line, " [{slot}{arrow}{id}]");
                    }
                }
            }
        }
        line
    }

    /// CLUSTER SLOTS. `offset`: this node's own position just now.
    #[doc(alias = "clusterCommandSlots")]
    pub fn slots_view(&self, offset: u64) -> Vec<SlotsView> {
        let mut nodes: BTreeMap<NodeKey, Vec<Endpoint>> = BTreeMap::new();
        let mut views = Vec::new();
        let mut start = 0;
        while start < SLOTS {
            let owner = self.owners.of(start);
            let mut end = start;
            while end + 1 < SLOTS && self.owners.of(end + 1) == owner {
                end += 1;
            }
            if let Some(owner) = owner {
                let nodes = nodes
                    .entry(owner)
                    .or_insert_with(|| self.servers(owner, offset));
                views.push(SlotsView {
                    slots: start..=end,
                    nodes: nodes.clone(),
                });
            }
            start = end + 1;
        }
        views
    }

    fn servers(&self, owner: NodeKey, offset: u64) -> Vec<Endpoint> {
        let mut servers = vec![Endpoint::of(&self.nodes[owner])];
        // A replica without an offset is still in its first synchronisation.
        let ready = self.nodes.replicas(owner).filter(|(key, node)| {
            let offset = if *key == self.me { offset } else { node.offset };
            !node.failed() && offset != 0
        });
        servers.extend(ready.map(|(_, node)| Endpoint::of(node)));
        servers
    }

    /// CLUSTER SHARDS. `offset`: this node's own position just now.
    #[doc(alias = "clusterCommandShards")]
    pub fn shards_view(&self, offset: u64) -> Vec<ShardView> {
        let mut shards: BTreeMap<NodeId, (SlotSet, Vec<ShardNode>)> = BTreeMap::new();
        for (key, node) in self.nodes.by_id().filter(|(_, node)| !node.in_handshake()) {
            let (slots, nodes) = shards.entry(node.shard).or_default();
            for slot in node.slots.iter() {
                slots.insert(slot);
            }
            let offset = if key == self.me { offset } else { node.offset };
            let health = match (node.failed(), node.is_replica() && offset == 0) {
                (true, _) => "fail",
                (false, true) => "loading",
                (false, false) => "online",
            };
            nodes.push(ShardNode {
                endpoint: Endpoint::of(node),
                primary: !node.is_replica(),
                offset,
                health,
            });
        }
        let shards = shards.into_values();
        let views = shards.map(|(slots, nodes)| ShardView {
            slots: slots.ranges(),
            nodes,
        });
        views.collect()
    }

    /// CLUSTER LINKS: connections whose other end is known.
    pub fn links_view(&self) -> Vec<LinkView> {
        let links = self.links.iter().filter(|(_, link)| link.up);
        let links = links.filter_map(|(id, link)| {
            Some(LinkView {
                link: *id,
                node: self.id_of(link.node)?,
                since_ms: link.since_wall_ms,
            })
        });
        links.collect()
    }

    /// The lines of CLUSTER INFO up to the messages received; what links and migrations count is appended by others.
    #[doc(alias = "genClusterInfoString")]
    pub fn info_text(&self) -> String {
        let (mut fail, mut maybe) = (0, 0);
        for (_, node) in self.nodes.iter() {
            match (node.failed(), node.flags.any(Flags::MAYBE_FAIL)) {
                (true, _) => fail += node.slots.len(),
                (false, true) => maybe += node.slots.len(),
                (false, false) => {}
            }
        }
        let assigned = self.owners.assigned();
        let mut text = String::new();
        for (name, value) in [
            ("slots_assigned", assigned as u64),
            ("slots_ok", (assigned - fail - maybe) as u64),
            ("slots_pfail", maybe as u64),
            ("slots_fail", fail as u64),
            ("known_nodes", self.nodes.len() as u64),
            ("size", self.size() as u64),
            ("current_epoch", self.current_epoch),
            ("my_epoch", self.shown_epoch(self.me)),
        ] {
            let _ = write!(text, "cluster_{name}:{value}\r\n");
        }
        let state = if self.health.up { "ok" } else { "fail" };
        let mut text = format!("cluster_state:{state}\r\n{text}");
        for (counts, way) in [
            (&self.counts.sent, "sent"),
            (&self.counts.received, "received"),
        ] {
            for kind in Kind::ALL {
                let count = counts[kind as usize];
                if count > 0 {
                    let word = kind.word();
                    let _ = write!(text, "cluster_stats_messages_{word}_{way}:{count}\r\n");
                }
            }
            let all: u64 = counts.iter().sum();
            let _ = write!(text, "cluster_stats_messages_{way}:{all}\r\n");
        }
        text
    }
}
