//! The effect of a message that comes in.
//!
//! Every message of a known node is a sign of life and may raise epochs; what else it does depends on its kind. Nodes
//! are looked up once, and none is removed before the step ends.
//!
//! Mirrors: `clusterProcessPacket` (cluster_legacy.c).
//! Differs: the first PONG of a handshake is read like any other, slots and gossip included, so a cluster forms one
//! round of messages sooner.

use super::out::Keep;
use super::{Act, Level, Machine};
use crate::cluster::bus::{self, Body, EXT_DATA, Extension, Gossip, Header, Kind, Message, PAUSED};
use crate::cluster::node::{Flags, LinkId, NodeKey};

impl Machine {
    pub(super) fn received(&mut self, link: LinkId, bytes: &[u8]) {
        let now = self.now();
        let Some(connection) = self.links.get_mut(&link) else {
            return;
        };
        connection.heard_ms = now;
        let peer = connection.peer;
        let message = match bus::peek(bytes) {
            Ok(number) => {
                if let Some(kind) = Kind::of(number) {
                    self.counts.received[kind as usize] += 1;
                }
                if self.options.drop_filter == Some(number) {
                    self.counts.refused += 1;
                    self.log(
                        Level::Warning,
                        "Dropping packet that matches debug drop filter".to_owned(),
                    );
                    if self.options.close_on_drop {
                        self.close(link);
                    }
                    return;
                }
                bus::decode(bytes)
            }
            Err(refused) => Err(refused),
        };
        match message {
            Ok(message) => self.take(link, &message),
            Err(refused) => {
                self.counts.refused += 1;
                if !refused.silent() {
                    let from = peer.map(|ip| format!(" from {ip}")).unwrap_or_default();
                    self.log(Level::Warning, format!("{refused}{from}"));
                }
                if refused.closes() {
                    self.close(link);
                }
            }
        }
    }

    fn take(&mut self, link: LinkId, message: &Message<'_>) {
        let header = &message.header;
        let target = match link {
            LinkId::Out(_) => self.links.get(&link).and_then(|link| link.node),
            LinkId::In(_) => None,
        };
        let known = self.nodes.find(&header.sender);
        let known = known.filter(|key| !self.nodes[*key].in_handshake());
        if known == Some(self.me) {
            return self.met_myself(link, target, message);
        }
        let news = matches!(message.body, Body::News { .. });
        let sender = match target.filter(|key| self.nodes.get(*key).is_some()) {
            None => known,
            Some(target) if self.nodes[target].in_handshake() => {
                if !news {
                    return;
                }
                match known {
                    Some(known) => return self.knew_already(target, known, link, header),
                    None => self.completes(target, header),
                }
            }
            Some(target) if known == Some(target) => known,
            Some(target) => {
                if news {
                    self.lose_address(target, link);
                }
                return;
            }
        };
        let Some(sender) = sender else {
            return self.take_of_stranger(link, message);
        };
        self.claim_inbound(link, sender);
        let late = self.hear_header(sender, header);
        if matches!(message.body, Body::AuthRequest | Body::MfStart) && !late {
            // A node that asks for votes or for a pause names its primary in the same message: its last PING may be
            // older.
            self.learn_role(sender, header);
        }
        match &message.body {
            Body::News {
                kind,
                gossip,
                bad_ids,
                extensions,
            } => {
                if *bad_ids > 0 {
                    let text = format!(
                        "Node {} gossiped {bad_ids} nodes with invalid IDs.",
                        self.nodes[sender].called()
                    );
                    self.log(Level::Warning, text);
                }
                self.take_news(link, sender, header, (*kind, late), gossip, extensions);
            }
            Body::Fail(about) => self.take_fail(sender, about),
            Body::Publish {
                shard,
                channel,
                text,
            } => self.out.acts.push(Act::Publish {
                shard: *shard,
                channel: channel.to_vec(),
                text: text.to_vec(),
            }),
            Body::AuthRequest => self.asked_for_vote(sender, header),
            Body::AuthAck => self.got_vote(sender, header.current_epoch),
            Body::Update { epoch, id, slots } => {
                if let Some(about) = self.nodes.find(id) {
                    self.updated(about, *epoch, slots);
                }
            }
            Body::MfStart => self.asked_to_pause(sender, link),
            Body::Module {
                module,
                kind,
                payload,
            } => self.out.acts.push(Act::Module {
                from: header.sender,
                module: *module,
                kind: *kind,
                payload: payload.to_vec(),
            }),
            Body::Unknown(number) => {
                let text = format!("Received unknown packet type: {number}");
                self.log(Level::Warning, text);
            }
        }
    }

    /// A node of this node's own name: itself, met by its own address, or one that was started from a copy of its file.
    fn met_myself(&mut self, link: LinkId, target: Option<NodeKey>, message: &Message<'_>) {
        match target.and_then(|key| self.nodes.get(key).map(|node| (key, node.in_handshake()))) {
            Some((key, true)) => self.doom(key),
            Some((key, false)) => self.lose_address(key, link),
            None => match message.body {
                Body::News {
                    kind: Kind::Ping | Kind::Meet,
                    ..
                } => self.answer(link, None),
                _ => self.counts.refused += 1,
            },
        }
    }

    /// A handshake ends at a node that is known already: its address may be new.
    fn knew_already(&mut self, target: NodeKey, known: NodeKey, link: LinkId, header: &Header<'_>) {
        let text = format!(
            "Handshake: we already know node {}, updating the address if needed.",
            self.nodes[known].called()
        );
        self.log(Level::Verbose, text);
        self.learn_address(known, link, header);
        self.doom(target);
    }

    /// A handshake ends: the node's name is known now.
    fn completes(&mut self, target: NodeKey, header: &Header<'_>) -> Option<NodeKey> {
        if !self.nodes.rename(target, header.sender) {
            self.doom(target);
            return None;
        }
        let node = &mut self.nodes[target];
        node.flags.clear(Flags::HANDSHAKE.and(Flags::MEET));
        node.flags.set(match header.primary {
            None => Flags::PRIMARY,
            Some(_) => Flags::REPLICA,
        });
        let text = format!("Handshake with node {} completed.", header.sender);
        self.log(Level::Debug, text);
        self.keep(Keep::Soon);
        self.introduced.push(target);
        Some(target)
    }

    /// Answers a stranger, and starts a handshake if it asks for one. All other messages of a stranger are ignored.
    fn take_of_stranger(&mut self, link: LinkId, message: &Message<'_>) {
        match &message.body {
            Body::News { kind, .. } if *kind != Kind::Pong => {
                self.learn_own_ip(link, *kind);
                if *kind == Kind::Meet {
                    self.met(link, &message.header);
                }
                self.answer(link, None);
            }
            Body::News { .. } => {}
            Body::Fail(about) => {
                self.counts.refused += 1;
                let text = format!(
                    "Ignoring FAIL message from unknown node {} about {about}",
                    message.header.sender
                );
                self.log(Level::Notice, text);
            }
            _ => self.counts.refused += 1,
        }
    }

    /// Learns the facts in the header of a known node. Returns whether the message is older than facts known already.
    fn hear_header(&mut self, sender: NodeKey, header: &Header<'_>) -> bool {
        let now = self.now();
        let node = &mut self.nodes[sender];
        node.data_received_ms = now;
        if header.mflags & EXT_DATA != 0 {
            node.flags.set(Flags::EXTENSIONS);
        }
        let late = header.current_epoch < node.seen_epoch;
        node.seen_epoch = node.seen_epoch.max(header.current_epoch);
        node.offset = header.offset;
        node.offset_ms = now;
        self.hear_epoch(header.current_epoch);
        self.raise_epoch(sender, header.config_epoch);
        if header.mflags & PAUSED != 0 {
            self.heard_paused(sender, header.offset);
        }
        late
    }

    fn take_news(
        &mut self,
        link: LinkId,
        sender: NodeKey,
        header: &Header<'_>,
        (kind, late): (Kind, bool),
        gossip: &[Gossip],
        extensions: &[Extension<'_>],
    ) {
        if matches!(kind, Kind::Ping | Kind::Meet) {
            self.learn_own_ip(link, kind);
            self.answer(link, Some(sender));
        }
        let node = &mut self.nodes[sender];
        node.flags.clear(Flags::NO_FAILOVER);
        if Flags::of_wire(header.flags).any(Flags::NO_FAILOVER) {
            node.flags.set(Flags::NO_FAILOVER);
        }
        if kind == Kind::Ping {
            self.learn_address(sender, link, header);
        }
        let asked = self.nodes[sender].link == Some(link);
        if asked && kind == Kind::Pong {
            self.has_answered(sender);
            if let Some(link) = self.links.get_mut(&link) {
                link.answered += 1;
            }
        }
        if !late {
            self.learn_role(sender, header);
            self.weigh_claims(sender, header);
            self.resolve_collision(sender, header.config_epoch);
        }
        self.hear(sender, gossip);
        self.extend(sender, extensions, asked);
        self.mend_chain();
        self.tend_handovers();
        self.tend_pause();
    }

    fn take_fail(&mut self, sender: NodeKey, about: &crate::cluster::id::NodeId) {
        let Some(key) = self.nodes.find(about).filter(|key| *key != self.me) else {
            return;
        };
        if self.nodes[key].failed() {
            return;
        }
        let text = format!(
            "FAIL message received from {} about {}",
            self.nodes[sender].called(),
            self.nodes[key].called()
        );
        self.log(Level::Notice, text);
        self.has_failed(key);
    }
}
