//! Roles: primaries, the replicas of each, and the shard they form.
//!
//! Invariant: a replica's shard is its primary's, as soon as the primary is known; a primary replicates nobody. This
//! node as a replica has no slots and no open slots.
//!
//! Mirrors: `clusterSetNodeAsMaster`, `clusterSetMaster`, `clusterNodeAddSlave`, `clusterNodeRemoveSlave`,
//! `updateShardId` and the role part of `clusterProcessPacket` (cluster_legacy.c).
//! Differs: a late message of a node does not turn its role back. A node's messages come over two connections, so an
//! old one can arrive after a new one; Redis then saw replicas of replicas and cycles (redis 8753, valkey 1015, 1777,
//! 2441).

use super::out::Keep;
use super::{Level, Machine};
use crate::cluster::bus::Header;
use crate::cluster::id::NodeId;
use crate::cluster::node::{Flags, Node, NodeKey};

/// Replicas of replicas are followed up so many steps. A cycle ends here.
const CHAIN_LIMIT: usize = 16;

impl Machine {
    /// Makes a node a primary in this node's table.
    #[doc(alias = "clusterSetNodeAsMaster")]
    pub(super) fn becomes_primary(&mut self, key: NodeKey) {
        if self.nodes[key].is_primary() {
            return;
        }
        if let Some(old) = self.nodes[key].primary.take() {
            self.detach(key, old);
            if key != self.me {
                self.nodes[key].flags.set(Flags::MIGRATE_TO);
            }
        }
        let flags = &mut self.nodes[key].flags;
        flags.clear(Flags::REPLICA);
        flags.set(Flags::PRIMARY);
        self.keep(Keep::Soon);
        self.todo.state = true;
    }

    /// A primary whose last replica leaves is no place for other replicas to move to.
    pub(super) fn detach(&mut self, replica: NodeKey, primary: NodeKey) {
        let others =
            |(key, node): (NodeKey, &Node)| key != replica && node.primary == Some(primary);
        let left = self.nodes.iter().any(others);
        if let Some(node) = self.nodes.get_mut(primary).filter(|_| !left) {
            node.flags.clear(Flags::MIGRATE_TO);
        }
    }

    /// Makes a node a replica of another in this node's table.
    pub(super) fn attach(&mut self, replica: NodeKey, primary: NodeKey) {
        let old = self.nodes[replica].primary;
        if old == Some(primary) || replica == primary {
            return;
        }
        if let Some(old) = old {
            self.detach(replica, old);
        }
        self.nodes[replica].primary = Some(primary);
        self.nodes[primary].flags.set(Flags::MIGRATE_TO);
        let shard = self.nodes[primary].shard;
        self.set_shard(replica, shard);
        self.keep(Keep::Soon);
    }

    /// Turns this node into a replica. It has given up its slots before.
    #[doc(alias = "clusterSetMaster")]
    pub(super) fn replicate(&mut self, primary: NodeKey) {
        if primary == self.me || !self.nodes[self.me].slots.is_empty() {
            return;
        }
        if self.nodes[self.me].is_primary() {
            let flags = &mut self.nodes[self.me].flags;
            flags.clear(Flags::PRIMARY.and(Flags::MIGRATE_TO));
            flags.set(Flags::REPLICA);
            self.owners.close_all();
        }
        self.attach(self.me, primary);
        self.end_manual();
        self.election = None;
        self.election_after_ms = 0;
        let stay = self.nodes[primary].slots.clone();
        self.only_these_stay(&stay);
        self.follow(primary);
        // The new primary has to know its replica before it gets an order of it.
        self.todo.announce = true;
        self.keep(Keep::Synced);
        self.todo.state = true;
    }

    /// A replica whose primary has become a replica follows that one's primary.
    pub(super) fn mend_chain(&mut self) {
        let Some(primary) = self.myself().primary else {
            return;
        };
        if self.nodes[primary].primary.is_none() {
            return;
        }
        let mut top = primary;
        for _ in 0..CHAIN_LIMIT {
            match self.nodes[top].primary {
                Some(next) if next == self.me => return,
                Some(next) => top = next,
                None => {
                    let called = self.nodes[top].called();
                    self.log(
                        Level::Notice,
                        format!(
                            "I'm a sub-replica! Reconfiguring myself as a replica of grandmaster {called}"
                        ),
                    );
                    return self.replicate(top);
                }
            }
        }
    }

    /// Puts a node into a shard; a primary takes its replicas along.
    #[doc(alias = "updateShardId")]
    pub(super) fn set_shard(&mut self, key: NodeKey, shard: NodeId) {
        if self.nodes[key].shard == shard {
            return;
        }
        match self.nodes[key].primary {
            Some(primary) if self.nodes[primary].shard != shard => return,
            Some(_) => self.nodes[key].shard = shard,
            None => {
                self.nodes[key].shard = shard;
                for other in self.nodes.keys() {
                    if self.nodes[other].primary == Some(key) {
                        self.nodes[other].shard = shard;
                    }
                }
            }
        }
        self.keep(Keep::Soon);
    }

    /// Learns a sender's role from its header.
    pub(super) fn learn_role(&mut self, sender: NodeKey, header: &Header<'_>) {
        let Some(primary_id) = &header.primary else {
            self.nodes[sender].doubted_ms = 0;
            return self.becomes_primary(sender);
        };
        let primary = self.nodes.find(primary_id).filter(|key| *key != sender);
        if self.nodes[sender].is_primary() {
            if !self.was_demoted(sender, primary, header) {
                return;
            }
            let flags = &mut self.nodes[sender].flags;
            flags.clear(Flags::PRIMARY.and(Flags::MIGRATE_TO));
            flags.set(Flags::REPLICA);
            self.keep(Keep::Soon);
            self.todo.state = true;
        } else {
            self.nodes[sender].flags.set(Flags::REPLICA);
        }
        if let Some(primary) = primary {
            self.attach(sender, primary);
        }
    }

    /// A primary announces that it is a replica now: its slots go to its new primary, or lose their owner. Returns
    /// false if the message is older than facts known already.
    fn was_demoted(
        &mut self,
        sender: NodeKey,
        primary: Option<NodeKey>,
        header: &Header<'_>,
    ) -> bool {
        let node = &self.nodes[sender];
        let (called, shard) = (node.called(), node.shard);
        if primary == Some(self.me) && self.myself().is_replica() {
            // Only its own election or its operator makes this node a primary.
            return false;
        }
        if node.epoch > header.config_epoch && !node.slots.is_empty() {
            let (said, known) = (header.config_epoch, node.epoch);
            // A late message is followed by a new one at once; a sender that repeats itself means it.
            let first = match node.doubted_ms {
                0 => self.now(),
                at_ms => at_ms,
            };
            self.nodes[sender].doubted_ms = first;
            if self.since(first) < self.timeout() {
                self.log(
                    Level::Notice,
                    format!(
                        "Ignore stale message from {called} in shard {shard}; gossip config epoch: {said}, current config epoch: {known}"
                    ),
                );
                return false;
            }
        }
        self.nodes[sender].doubted_ms = 0;
        match primary.filter(|primary| self.nodes[*primary].shard == shard) {
            Some(primary) => {
                let slots: Vec<u16> = self.nodes[sender].slots.iter().collect();
                for slot in &slots {
                    self.bind(*slot, primary);
                }
                self.becomes_primary(primary);
                self.raise_epoch(primary, header.config_epoch);
                let (to, count) = (self.nodes[primary].called(), slots.len());
                let epoch = self.nodes[primary].epoch;
                self.log(
                    Level::Notice,
                    format!(
                        "A failover occurred in shard {shard}; node {called} lost {count} slot(s) to node {to} with a config epoch of {epoch}"
                    ),
                );
            }
            None => {
                let count = self.unbind_all(sender);
                self.log(
                    Level::Notice,
                    format!(
                        "Node {called} is no longer master of shard {shard}; removed all {count} slot(s) it used to own"
                    ),
                );
                if let Some(shard) = primary.map(|primary| self.nodes[primary].shard) {
                    self.log(
                        Level::Notice,
                        format!("Node {called} is now part of shard {shard}"),
                    );
                }
            }
        }
        self.keep(Keep::Synced);
        true
    }
}
