//! Gossip: which nodes a message tells of, to which nodes it goes, and which of its records are believed.
//!
//! A PING, PONG or MEET tells of a tenth of the nodes, at least three, drawn at random; and of every node that seems
//! down from here, so that a quorum meets while reports are fresh (redis 2285). In a cluster of up to ten nodes the
//! message tells of two: there every node hears each of the others itself, within seconds. A node that has just joined is
//! told to all others at once; in Redis it waits until enough random records have named it, seconds in a cluster of thirty.
//!
//! Mirrors: `clusterSendPing`, `clusterBroadcastPong`, `clusterProcessGossipSection`, `clusterProcessPingExtensions`,
//! `clusterBuildMessageHdr` (cluster_legacy.c).
//! Differs: a broadcast is encoded once for all receivers. Redis tells of three nodes in small clusters, too. A node
//! without address is repaired by gossip.

use std::sync::Arc;

use super::join::FORGET_S;
use super::out::Keep;
use super::{CRON_MS, Level, Machine};
use crate::cluster::bus::{Body, EXT_DATA, Extension, Gossip, Header, Kind, Message, PAUSED};
use crate::cluster::file::{valid_aux, valid_hostname};
use crate::cluster::node::{Flags, LinkId, Node, NodeKey};

/// A node that joined and has not connected in turn is introduced for so long.
const INTRODUCTION_MS: u64 = 60_000;

/// In a cluster of so few nodes a message tells of so few of them.
const FEW_NODES: usize = 10;
const FEW_TOLD: usize = 2;

/// Nodes of which one message tells when nodes are introduced: as many as a stranger may send.
const MOST_TOLD: usize = 500;

impl Machine {
    /// Encodes a message of this node.
    pub(super) fn message(&self, mflags: u8, body: Body<'_>) -> Arc<[u8]> {
        let me = self.myself();
        let speaks_for = &self.nodes[self.my_primary()];
        let (port, other_port) = self.ports(self.options.port, self.options.tls_port);
        let paused = match self.manual {
            Some(_) if me.is_primary() => PAUSED,
            _ => 0,
        };
        let header = Header {
            current_epoch: self.current_epoch,
            config_epoch: speaks_for.epoch,
            offset: self.facts.offset,
            sender: me.id,
            slots: speaks_for.slots.bitmap(),
            primary: self.id_of(me.primary),
            ip: self.options.announce_ip,
            port,
            other_port,
            bus_port: self.options.bus_port,
            flags: me.flags.bits() | Flags::EXTENSIONS.bits(),
            down: !self.health.up,
            mflags: mflags | paused | EXT_DATA,
        };
        Message { header, body }.encode().into()
    }

    /// Encodes a PING, PONG or MEET, without gossip about its receiver.
    fn news(&mut self, kind: Kind, to: Option<NodeKey>, extended: bool) -> Arc<[u8]> {
        let chosen = self.drawn(to);
        self.news_of(kind, &chosen, extended)
    }

    /// As [`Machine::news`], about these nodes.
    fn news_of(&mut self, kind: Kind, about: &[NodeKey], extended: bool) -> Arc<[u8]> {
        let gossip = about.iter().map(|key| self.told_of(*key)).collect();
        let me = self.myself();
        let mut extensions = Vec::new();
        if extended {
            if !me.hostname.is_empty() {
                extensions.push(Extension::Hostname(me.hostname.as_bytes()));
            }
            if !me.nodename.is_empty() {
                extensions.push(Extension::Nodename(me.nodename.as_bytes()));
            }
            for id in self.forgotten.keys() {
                if let Some(ttl_s) = self.is_forgotten(id) {
                    extensions.push(Extension::Forgotten { id: *id, ttl_s });
                }
            }
            extensions.push(Extension::Shard(me.shard));
            extensions.push(Extension::Secret(&self.secret));
        }
        let body = Body::News {
            kind,
            gossip,
            bad_ids: 0,
            extensions,
        };
        self.message(0, body)
    }

    /// The nodes that a message to a node tells of.
    fn drawn(&mut self, to: Option<NodeKey>) -> Vec<NodeKey> {
        let count = self.nodes.len();
        let mut fresh = count.saturating_sub(2);
        let wanted = match count {
            ..=FEW_NODES => FEW_TOLD,
            _ => (count / 10).max(3),
        };
        let wanted = wanted.min(fresh);
        let mut chosen: Vec<NodeKey> = Vec::with_capacity(wanted);
        let mut draws = wanted * 3;
        let hidden = Flags::HANDSHAKE.and(Flags::NO_ADDRESS);
        while fresh > 0 && chosen.len() < wanted && draws > 0 {
            draws -= 1;
            let place = self.rng.below(count as u64) as usize;
            let Some(key) = self.nodes.nth(place) else {
                break;
            };
            let node = &self.nodes[key];
            if key == self.me || Some(key) == to || node.flags.any(Flags::MAYBE_FAIL) {
                continue;
            }
            if node.flags.any(hidden) || node.link.is_none() && node.slots.is_empty() {
                fresh -= 1;
            } else if !chosen.contains(&key) {
                chosen.push(key);
                fresh -= 1;
            }
        }
        if self.ailing > 0 {
            let ailing = self
                .nodes
                .iter()
                .filter(|(_, node)| node.flags.any(Flags::MAYBE_FAIL) && !node.flags.any(hidden));
            chosen.extend(ailing.map(|(key, _)| key).filter(|key| Some(*key) != to));
        }
        chosen
    }

    fn told_of(&self, key: NodeKey) -> Gossip {
        let node = &self.nodes[key];
        let (port, other_port) = self.ports(node.port, node.tls_port);
        // With a long timeout the second is the nearest one, not the last: a receiver that believes a time half a second
        // too old asks that much sooner than it has to.
        let half = (self.timeout() / 30).min(500);
        let pong_ms =
            self.wall(node.pong_received_ms) + half * u64::from(node.pong_received_ms != 0);
        Gossip {
            id: node.id,
            ping_sent: (self.wall(node.ping_sent_ms) / 1000) as u32,
            pong_received: (pong_ms / 1000) as u32,
            ip: node.ip,
            port,
            other_port,
            bus_port: node.bus_port,
            flags: node.flags.bits(),
        }
    }

    /// Sends a PING or a MEET on the connection to a node. A question that is open already stays open since then.
    pub(super) fn ask(&mut self, key: NodeKey, kind: Kind) {
        let Some(link) = self.nodes[key].link else {
            return;
        };
        let now = self.now();
        let node = &mut self.nodes[key];
        if node.ping_sent_ms == 0 {
            node.ping_sent_ms = now;
        }
        let extended = node.flags.any(Flags::EXTENSIONS);
        let bytes = self.news(kind, Some(key), extended);
        self.send(link, kind, bytes);
        if let Some(link) = self.links.get_mut(&link) {
            link.asked += 1;
        }
    }

    /// Answers a PING or a MEET on the connection it came on.
    pub(super) fn answer(&mut self, link: LinkId, sender: Option<NodeKey>) {
        let node = sender.and_then(|key| self.nodes.get(key));
        let extended = node.is_some_and(|node| node.flags.any(Flags::EXTENSIONS));
        let bytes = self.news(Kind::Pong, sender, extended);
        self.send(link, Kind::Pong, bytes);
    }

    /// Sends bytes to every node that is known and connected.
    #[doc(alias = "clusterBroadcastMessage")]
    pub(super) fn broadcast(&mut self, kind: Kind, bytes: Arc<[u8]>) {
        for link in self.links_where(|_| true) {
            self.send(link, kind, bytes.clone());
        }
    }

    pub(super) fn links_where(&self, wanted: impl Fn(&Node) -> bool) -> Vec<LinkId> {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|(key, node)| *key != self.me && !node.in_handshake());
        let links = nodes.filter_map(|(_, node)| node.link.filter(|_| wanted(node)));
        links.collect()
    }

    /// Sends news to these nodes, encoded once for nodes that understand extensions and once for the others.
    pub(super) fn spread(&mut self, kind: Kind, to: &[NodeKey]) {
        let mut encoded: [Option<Arc<[u8]>>; 2] = [None, None];
        for key in to {
            let node = &self.nodes[*key];
            let extended = node.flags.any(Flags::EXTENSIONS);
            let Some(link) = node
                .link
                .filter(|_| *key != self.me && !node.in_handshake())
            else {
                continue;
            };
            let bytes = match &encoded[usize::from(extended)] {
                Some(bytes) => bytes.clone(),
                None => self.news(kind, None, extended),
            };
            encoded[usize::from(extended)] = Some(bytes.clone());
            self.announce(link, kind, bytes);
        }
    }

    /// Broadcasts the role, epoch and slots of this node.
    #[doc(alias = "clusterBroadcastPong")]
    pub(super) fn broadcast_pong(&mut self) {
        self.spread(Kind::Pong, &self.nodes.keys());
    }

    /// Makes nodes that have joined through this one known: the others hear of them, and they of the others. It is done by
    /// the two nodes that met and by nobody else, so it costs two messages per node, whatever the number that join.
    pub(super) fn introduce(&mut self) {
        if self.introduced.is_empty() {
            return;
        }
        let hidden = Flags::HANDSHAKE.and(Flags::NO_ADDRESS);
        // A newcomer believes gossip once it knows this node, which it does soon after it has connected in turn.
        let ready = |machine: &Machine, key: NodeKey| {
            let inbound = machine.nodes[key]
                .inbound
                .and_then(|id| machine.links.get(&id));
            inbound.is_some_and(|link| machine.since(link.since_ms) >= CRON_MS / 2)
        };
        let (mut new, mut wait) = (Vec::new(), Vec::new());
        for key in std::mem::take(&mut self.introduced) {
            match self.nodes.get(key) {
                Some(_) if ready(self, key) => new.push(key),
                Some(node) if self.since(node.created_ms) < INTRODUCTION_MS => wait.push(key),
                _ => {}
            }
        }
        self.introduced = wait;
        if new.is_empty() {
            return;
        }
        let all: Vec<NodeKey> = self
            .nodes
            .iter()
            .filter(|(key, node)| *key != self.me && !node.flags.any(hidden))
            .map(|(key, _)| key)
            .collect();
        new.truncate(MOST_TOLD);
        let most = &all[..all.len().min(MOST_TOLD)];
        let for_others = self.news_of(Kind::Pong, &new, true);
        let for_new = self.news_of(Kind::Pong, most, true);
        for key in &all {
            let node = &self.nodes[*key];
            // Redis below 7.0 would refuse the message.
            let link = node.link.filter(|_| node.flags.any(Flags::EXTENSIONS));
            let bytes = if new.contains(key) {
                &for_new
            } else {
                &for_others
            };
            if let Some(link) = link {
                self.send(link, Kind::Pong, bytes.clone());
            }
        }
    }

    /// Publishes a client's message on the other nodes.
    #[doc(alias = "clusterPropagatePublish")]
    pub(super) fn publish(&mut self, shard: bool, channel: &[u8], text: &[u8]) {
        let body = Body::Publish {
            shard,
            channel,
            text,
        };
        let kind = body.kind().unwrap_or(Kind::Publish);
        let own = self.myself().shard;
        let mut links = self.links_where(|node| !shard || node.shard == own);
        // As in Redis, a node whose connection is being made does not get it.
        links.retain(|link| self.links.get(link).is_some_and(|link| link.up));
        if links.is_empty() {
            return;
        }
        let bytes = self.message(0, body);
        for link in links {
            self.send(link, kind, bytes.clone());
        }
    }

    /// Sends a module's message.
    #[doc(alias = "clusterSendModuleMessageToTarget")]
    pub(super) fn module_message(
        &mut self,
        to: Option<crate::cluster::id::NodeId>,
        module: [u8; 8],
        kind: u8,
        payload: &[u8],
    ) {
        let body = Body::Module {
            module,
            kind,
            payload,
        };
        let links = self.links_where(|node| to.is_none_or(|id| id == node.id));
        let bytes = self.message(0, body);
        for link in links {
            self.send(link, Kind::Module, bytes.clone());
        }
    }

    /// Believes what a known node tells of others, as far as it may be believed.
    #[doc(alias = "clusterProcessGossipSection")]
    pub(super) fn hear(&mut self, sender: NodeKey, gossip: &[Gossip]) {
        for told in gossip {
            match self.nodes.find(&told.id) {
                Some(key) if key == self.me => {}
                Some(key) => self.hear_of(sender, key, told),
                None => self.hear_of_new(told),
            }
        }
    }

    fn hear_of(&mut self, sender: NodeKey, key: NodeKey, told: &Gossip) {
        let flags = Flags::of_wire(told.flags);
        let ailing = flags.any(Flags::FAIL.and(Flags::MAYBE_FAIL));
        if self.nodes[sender].is_primary() && sender != key {
            let (by, about) = (&self.nodes[sender], &self.nodes[key]);
            if ailing {
                let text = || {
                    format!(
                        "Node {} reported node {} as not reachable.",
                        by.called(),
                        about.called()
                    )
                };
                let text = (!about.reports.iter().any(|report| report.by == sender)).then(text);
                self.report(key, sender);
                if let Some(text) = text {
                    self.log(Level::Verbose, text);
                }
                self.fail_if_agreed(key);
            } else if !about.reports.is_empty() && self.withdraw(key, sender) {
                let (by, about) = (self.nodes[sender].called(), self.nodes[key].called());
                let text = format!("Node {by} reported node {about} is back online.");
                self.log(Level::Verbose, text);
            }
        }
        let node = &self.nodes[key];
        if !ailing && node.ping_sent_ms == 0 && node.reports.is_empty() {
            // Others hear it answer: it need not be asked so often. Seconds of the wall clock, at most half of one
            // ahead.
            let wall = u64::from(told.pong_received) * 1000;
            let ahead = self.facts.wall_ms + 500;
            let at_ms = self
                .now()
                .saturating_sub(self.facts.wall_ms.saturating_sub(wall));
            if wall <= ahead && at_ms > node.pong_received_ms {
                self.nodes[key].pong_received_ms = at_ms;
            }
        }
        let node = &self.nodes[key];
        let lost = node.ailing() || node.flags.any(Flags::NO_ADDRESS);
        let ports = self.ports(told.port, told.other_port);
        let known = (node.ip, (node.port, node.tls_port), node.bus_port);
        let new = known != (told.ip, ports, told.bus_port);
        let Some(ip) = told.ip.filter(|_| told.bus_port != 0) else {
            return;
        };
        if lost && new && !ailing && !flags.any(Flags::NO_ADDRESS) && !node.in_handshake() {
            self.move_to(key, ip, ports, told.bus_port);
        }
    }

    fn hear_of_new(&mut self, told: &Gossip) {
        let Some(ip) = told.ip.filter(|_| told.bus_port != 0) else {
            return;
        };
        let hidden = Flags::of_wire(told.flags).any(Flags::NO_ADDRESS.and(Flags::HANDSHAKE));
        if hidden || self.is_forgotten(&told.id).is_some() {
            return;
        }
        let shard = crate::cluster::id::NodeId::random(&mut self.rng);
        let mut node = Node::new(told.id, shard, Flags::of_gossip(told.flags), self.now());
        node.ip = Some(ip);
        (node.port, node.tls_port) = self.ports(told.port, told.other_port);
        node.bus_port = told.bus_port;
        if node.failed() {
            node.fail_ms = self.now();
        }
        if self.nodes.insert(node).is_some() {
            self.keep(Keep::Soon);
        }
    }

    /// Takes in what a known node says of itself beyond the header. `trusted`: it came on a connection that this node
    /// made, so its other end is where this node looked for it.
    #[doc(alias = "clusterProcessPingExtensions")]
    pub(super) fn extend(&mut self, sender: NodeKey, extensions: &[Extension<'_>], trusted: bool) {
        let (mut hostname, mut nodename, mut shard) = (None, None, None);
        for extension in extensions {
            match extension {
                Extension::Hostname(name) if valid_hostname(name) => {
                    hostname = std::str::from_utf8(name).ok();
                }
                Extension::Nodename(name) if valid_aux(name) => {
                    nodename = std::str::from_utf8(name).ok();
                }
                Extension::Hostname(_) | Extension::Nodename(_) => {}
                Extension::Forgotten { id, ttl_s } => self.forget_by_peer(sender, id, *ttl_s),
                Extension::Shard(id) => shard = Some(*id),
                Extension::Secret(secret) if trusted && **secret < self.secret => {
                    self.secret = **secret;
                }
                Extension::Secret(_) => {}
                Extension::Unknown(number) => {
                    let text = format!("Received unknown extension type {number}");
                    self.log(Level::Verbose, text);
                }
            }
        }
        let node = &mut self.nodes[sender];
        let (hostname, nodename) = (hostname.unwrap_or(""), nodename.unwrap_or(""));
        if node.hostname != hostname || node.nodename != nodename {
            hostname.clone_into(&mut node.hostname);
            nodename.clone_into(&mut node.nodename);
            self.keep(Keep::Soon);
        }
        let primary = self.nodes[sender].primary;
        let shard = shard.or_else(|| primary.map(|primary| self.nodes[primary].shard));
        if let Some(shard) = shard {
            self.set_shard(sender, shard);
        }
    }

    /// An operator made another node forget a third: this node forgets it, too.
    fn forget_by_peer(&mut self, sender: NodeKey, id: &crate::cluster::id::NodeId, ttl_s: u64) {
        let Some(key) = self.nodes.find(id) else {
            return;
        };
        let mine = key == self.me || self.myself().primary == Some(key);
        // The sender is not forgotten by its own word: that freed the message under the reader's feet in redis 15672.
        if mine || key == sender || ttl_s == 0 {
            return;
        }
        self.forget(*id, ttl_s.min(FORGET_S));
        self.doom(key);
    }
}
