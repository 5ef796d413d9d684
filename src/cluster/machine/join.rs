//! Connections, handshakes, addresses and forgotten nodes.
//!
//! ```text
//!   A: CLUSTER MEET B        A has a node of a random name, flags handshake and MEET
//!   A ── MEET ──▶ B          B has a node of a random name for A, flag handshake; answers
//!   A ◀── PONG ── B          A renames its node: it knows B
//!   B ── PING ──▶ A          on B's own connection; A answers without learning anything
//!   B ◀── PONG ── A          B renames its node: both know each other
//! ```
//!
//! Mirrors: `clusterAcceptHandler`, `clusterLinkConnectHandler`, `clusterStartHandshake`, `nodeUpdateAddressIfNeeded`,
//! `clusterBlacklistAddNode`, `clusterReset` (cluster_legacy.c).
//! Differs: a MEET is repeated until the other node has connected in turn; in Redis a lost PONG leaves one side without
//! the other for ever (valkey 461, 1251, 2840). Strangers are limited in number, in bytes and in time.

use std::net::IpAddr;

use super::out::Keep;
use super::{Act, Level, Link, Machine};
use crate::cluster::bus::{Header, Kind};
use crate::cluster::id::NodeId;
use crate::cluster::node::{Flags, LinkId, Node, NodeKey};

/// Handshakes at once, and connections of unknown peers.
const STRANGERS: usize = 512;

/// Seconds for which a forgotten node stays away.
#[doc(alias = "CLUSTER_BLACKLIST_TTL")]
pub(super) const FORGET_S: u64 = 60;

/// The longest time a peer may ask for, and the most names remembered.
const FORGET_LIMIT_S: u64 = 3600;
const FORGET_LIMIT: usize = 4096;

impl Machine {
    /// Milliseconds that a handshake may take.
    pub(super) fn handshake_ms(&self) -> u64 {
        self.timeout().max(1000)
    }

    pub(super) fn accepted(&mut self, link: LinkId, peer: IpAddr, local: IpAddr) {
        let mut links = self.links.iter();
        let unknown =
            |(id, link): &(&LinkId, &Link)| matches!(id, LinkId::In(_)) && link.node.is_none();
        let full = links.by_ref().filter(unknown).count() >= STRANGERS;
        if full || matches!(link, LinkId::Out(_)) || self.links.contains_key(&link) {
            self.out.acts.push(Act::Close { link });
            return;
        }
        let connection = Link {
            node: None,
            peer: Some(peer),
            local: Some(local),
            since_ms: self.now(),
            since_wall_ms: self.facts.wall_ms,
            heard_ms: self.now(),
            up: true,
            asked: 0,
            answered: 0,
        };
        self.links.insert(link, connection);
    }

    /// The bytes of the longest message that may come in on a link; see [`crate::cluster::bus::frame`].
    pub fn receive_limit(&self, link: LinkId) -> usize {
        let known = self.links.get(&link).and_then(|link| link.node);
        match known.and_then(|key| self.nodes.get(key)) {
            Some(node) if !node.in_handshake() => usize::MAX,
            _ => crate::cluster::bus::STRANGER_LIMIT,
        }
    }

    /// Opens the connection to a node.
    pub(super) fn dial(&mut self, key: NodeKey) {
        let node = &self.nodes[key];
        let (Some(ip), port) = (node.ip, node.bus_port) else {
            return;
        };
        let link = LinkId::Out(self.next_link);
        self.next_link += 1;
        let connection = Link {
            node: Some(key),
            peer: None,
            local: None,
            since_ms: self.now(),
            since_wall_ms: self.facts.wall_ms,
            heard_ms: 0,
            up: false,
            asked: 0,
            answered: 0,
        };
        self.links.insert(link, connection);
        self.nodes[key].link = Some(link);
        self.out.acts.push(Act::Dial { link, ip, port });
    }

    pub(super) fn connected(&mut self, link: LinkId) {
        let now = self.now();
        let Some(connection) = self.links.get_mut(&link) else {
            return;
        };
        connection.up = true;
        let Some(key) = connection.node.filter(|key| self.nodes.get(*key).is_some()) else {
            return;
        };
        let node = &mut self.nodes[key];
        let meet = node.flags.any(Flags::MEET);
        node.flags.clear(Flags::MEET);
        if meet {
            node.met_ms = now;
        }
        self.ask(key, if meet { Kind::Meet } else { Kind::Ping });
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, link: LinkId) {
        let Some(connection) = self.links.remove(&link) else {
            return;
        };
        self.drop_held(link);
        let Some(key) = connection.node.filter(|key| self.nodes.get(*key).is_some()) else {
            return;
        };
        let now = self.now();
        let half = self.timeout() / 2;
        let node = &mut self.nodes[key];
        if node.inbound == Some(link) {
            node.inbound = None;
        }
        if node.link == Some(link) {
            node.link = None;
            if node.ping_sent_ms == 0 {
                // No question can be asked now; its silence counts from its last sign of life.
                let alive = node.data_received_ms.max(node.pong_received_ms);
                node.ping_sent_ms = alive.max(now.saturating_sub(half)).max(1);
            }
            // Whether it is gone shows at once if it is asked at once.
            let stood = connection.up && now.saturating_sub(connection.since_ms) > super::CRON_MS;
            if stood && node.has_address() && !node.in_handshake() {
                self.dial(key);
            }
        }
    }

    /// Closes a connection from this side.
    pub(super) fn close(&mut self, link: LinkId) {
        if let Some(connection) = self.links.remove(&link) {
            self.drop_held(link);
            if let Some(node) = connection.node.and_then(|key| self.nodes.get_mut(key)) {
                if node.link == Some(link) {
                    node.link = None;
                }
                if node.inbound == Some(link) {
                    node.inbound = None;
                }
            }
            self.out.acts.push(Act::Close { link });
        }
    }

    /// Says whose an incoming connection is. A node has one: an older one is closed.
    #[doc(alias = "setClusterNodeToInboundClusterLink")]
    pub(super) fn claim_inbound(&mut self, link: LinkId, key: NodeKey) {
        let Some(connection) = self.links.get_mut(&link) else {
            return;
        };
        if connection.node.is_some() || matches!(link, LinkId::Out(_)) {
            return;
        }
        connection.node = Some(key);
        if let Some(old) = self.nodes[key].inbound.filter(|old| *old != link) {
            self.log(
                Level::Debug,
                format!(
                    "Replacing inbound link of node {}",
                    self.nodes[key].called()
                ),
            );
            self.close(old);
        }
        self.nodes[key].inbound = Some(link);
    }

    /// Starts a handshake with an address; false if one is under way, or too many are.
    #[doc(alias = "clusterStartHandshake")]
    pub(super) fn greet(
        &mut self,
        ip: IpAddr,
        ports: (u16, u16),
        bus_port: u16,
        meet: bool,
    ) -> bool {
        let running =
            |node: &Node| node.in_handshake() && node.ip == Some(ip) && node.bus_port == bus_port;
        if self.nodes.iter().any(|(_, node)| running(node)) {
            return false;
        }
        let handshakes = self.nodes.iter().filter(|(_, node)| node.in_handshake());
        if handshakes.count() >= STRANGERS {
            return false;
        }
        let (id, shard) = (NodeId::random(&mut self.rng), NodeId::random(&mut self.rng));
        let mut flags = Flags::HANDSHAKE;
        if meet {
            flags.set(Flags::MEET);
        }
        let mut node = Node::new(id, shard, flags, self.now());
        node.ip = Some(ip);
        (node.port, node.tls_port) = ports;
        node.bus_port = bus_port;
        self.nodes.insert(node).is_some()
    }

    /// The client ports that a message announces: plain, TLS.
    pub(super) fn ports(&self, own: u16, other: u16) -> (u16, u16) {
        match self.options.tls_cluster {
            true => (other, own),
            false => (own, other),
        }
    }

    /// A stranger asks to be taken in.
    pub(super) fn met(&mut self, link: LinkId, header: &Header<'_>) {
        let peer = self.links.get(&link).and_then(|link| link.peer);
        let Some(ip) = header.ip.or(peer) else {
            return self.close(link);
        };
        let ports = self.ports(header.port, header.other_port);
        if header.bus_port != 0 && self.greet(ip, ports, header.bus_port, false) {
            self.keep(Keep::Soon);
        }
    }

    /// Learns this node's own address from the connection that a MEET or the first PING since the start came on: a file
    /// that moved to another host with its node holds an address of old.
    pub(super) fn learn_own_ip(&mut self, link: LinkId, kind: Kind) {
        let own = self.myself().ip;
        let asks = kind == Kind::Meet || own.is_none() || !self.knows_own_ip;
        let Some(local) = self.links.get(&link).and_then(|link| link.local) else {
            return;
        };
        self.knows_own_ip = true;
        if Some(local) == own {
            return;
        }
        if asks && self.options.announce_ip.is_none() {
            self.nodes[self.me].ip = Some(local);
            self.log(
                Level::Notice,
                format!("IP address for this node updated to {local}"),
            );
            self.keep(Keep::Soon);
        }
    }

    /// Learns a node's address from a message that did not come on the connection to it.
    #[doc(alias = "nodeUpdateAddressIfNeeded")]
    pub(super) fn learn_address(&mut self, key: NodeKey, link: LinkId, header: &Header<'_>) {
        let node = &self.nodes[key];
        let peer = self.links.get(&link).and_then(|link| match link.peer {
            Some(peer) => Some(peer),
            None => link.node.and_then(|key| self.nodes.get(key)?.ip),
        });
        let Some(ip) = header.ip.or(peer) else {
            return;
        };
        let ports = self.ports(header.port, header.other_port);
        let known = (node.ip, (node.port, node.tls_port), node.bus_port);
        let same = known == (Some(ip), ports, header.bus_port);
        if node.link == Some(link) || key == self.me || same {
            return;
        }
        self.move_to(key, ip, ports, header.bus_port);
        let node = &self.nodes[key];
        let shown = self.ports(node.port, node.tls_port).0;
        let text = format!(
            "Address updated for node {}, now {ip}:{shown}",
            node.called()
        );
        self.log(Level::Notice, text);
    }

    /// Gives a node another address: the connection to the old one is closed, replication goes along.
    pub(super) fn move_to(&mut self, key: NodeKey, ip: IpAddr, ports: (u16, u16), bus_port: u16) {
        let node = &mut self.nodes[key];
        node.ip = Some(ip);
        (node.port, node.tls_port) = ports;
        node.bus_port = bus_port;
        node.flags.clear(Flags::NO_ADDRESS);
        if let Some(link) = node.link {
            self.close(link);
        }
        if self.myself().primary == Some(key) {
            self.follow(key);
        }
        self.keep(Keep::Soon);
        self.todo.state = true;
    }

    /// Another node answers under a node's address: the address is not that node's.
    pub(super) fn lose_address(&mut self, key: NodeKey, link: LinkId) {
        let node = &mut self.nodes[key];
        node.flags.set(Flags::NO_ADDRESS);
        node.ip = None;
        (node.port, node.tls_port, node.bus_port) = (0, 0, 0);
        let text = format!(
            "PONG contains mismatching sender ID. About node {} having flags {}",
            node.id,
            node.flags.bits()
        );
        self.log(Level::Debug, text);
        self.close(link);
        self.keep(Keep::Soon);
    }

    /// Keeps a name away for a while.
    #[doc(alias = "clusterBlacklistAddNode")]
    pub(super) fn forget(&mut self, id: NodeId, ttl_s: u64) {
        let now = self.now();
        self.forgotten.retain(|_, until| *until > now);
        if self.forgotten.len() < FORGET_LIMIT {
            let until = now.saturating_add(ttl_s.min(FORGET_LIMIT_S) * 1000);
            self.forgotten.insert(id, until);
        }
    }

    /// Whether a name is kept away, and for how many seconds more.
    pub(super) fn is_forgotten(&self, id: &NodeId) -> Option<u64> {
        let until = self.forgotten.get(id)?;
        let left = until.checked_sub(self.now())?;
        (left > 0).then_some(left.div_ceil(1000))
    }

    /// CLUSTER RESET: forgets the cluster; with `hard` also the node's own name and epoch.
    ///
    /// Differs: a replica leaves its primary's shard, as in Valkey. In Redis a soft reset leaves it there, and CLUSTER
    /// SHARDS shows two primaries in one shard once the nodes have met again.
    #[doc(alias = "clusterReset")]
    pub(super) fn reset(&mut self, hard: bool) {
        if self.myself().is_replica() {
            self.becomes_primary(self.me);
            self.nodes[self.me].shard = NodeId::random(&mut self.rng);
            self.following = None;
            self.out.acts.push(Act::FollowNobody);
            self.out.acts.push(Act::Empty);
        }
        self.owners.close_all();
        self.end_manual();
        self.election = None;
        for slot in 0..crate::util::crc16::SLOTS {
            self.unbind(slot);
        }
        for key in self.nodes.keys() {
            self.doom(key);
        }
        self.bury();
        self.forgotten.clear();
        if hard {
            self.current_epoch = 0;
            self.last_vote_epoch = 0;
            self.last_vote_for = None;
            self.nodes[self.me].epoch = 0;
            self.log(
                Level::Notice,
                "configEpoch set to 0 via CLUSTER RESET HARD".to_owned(),
            );
            let id = NodeId::random(&mut self.rng);
            self.nodes[self.me].shard = NodeId::random(&mut self.rng);
            self.nodes.rename(self.me, id);
            self.log(Level::Notice, format!("Node hard reset, now I'm {id}"));
            // Peers that still connect look for the node that this one was.
            let links: Vec<LinkId> = self.links.keys().copied().collect();
            for link in links {
                self.close(link);
            }
        }
        self.keep(Keep::Claimed);
        self.todo.state = true;
    }
}
