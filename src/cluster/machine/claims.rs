//! Epochs, and the rule by which two nodes that claim one slot agree on its owner.
//!
//! ```text
//!   sender claims 0-99 with epoch 7     owner here: B with epoch 5     ──▶ the sender gets them
//!   sender claims 0-99 with epoch 4     owner here: B with epoch 5     ──▶ the sender gets an UPDATE about B
//!   two primaries with epoch 7                                         ──▶ that of the smaller name takes a new epoch
//! ```
//!
//! Mirrors: `clusterUpdateSlotsConfigWith`, `clusterHandleConfigEpochCollision`,
//! `clusterBumpConfigEpochWithoutConsensus` (cluster_legacy.c).
//! Differs: a slot that its owner claims again is noted as claimed although nothing else changed; one UPDATE is sent
//! for each owner of claimed slots, not for the first only.

use std::sync::Arc;

use super::out::Keep;
use super::{Act, Level, Machine};
use crate::cluster::bus::{Body, Header, Kind};
use crate::cluster::node::NodeKey;
use crate::cluster::slots::{self, Bitmap, SlotSet};

/// UPDATE messages sent for one message of a node with old claims.
const UPDATES: usize = 4;

impl Machine {
    /// Raises the current epoch to one heard of.
    pub(super) fn hear_epoch(&mut self, epoch: u64) {
        if epoch > self.current_epoch {
            self.current_epoch = epoch;
            self.keep(Keep::Synced);
        }
    }

    /// Raises the epoch of a node's claims.
    pub(super) fn raise_epoch(&mut self, key: NodeKey, epoch: u64) {
        if epoch > self.nodes[key].epoch && key != self.me {
            self.nodes[key].epoch = epoch;
            self.keep(Keep::Synced);
        }
    }

    /// Takes a new epoch without asking; false if this node has the highest already.
    #[doc(alias = "clusterBumpConfigEpochWithoutConsensus")]
    pub(super) fn bump_epoch(&mut self) -> bool {
        let highest = self.nodes.iter().map(|(_, node)| node.epoch).max();
        let highest = highest.unwrap_or(0).max(self.current_epoch);
        let own = self.myself().epoch;
        if own != 0 && own == highest {
            return false;
        }
        self.take_new_epoch();
        let epoch = self.myself().epoch;
        self.log(Level::Notice, format!("New configEpoch set to {epoch}"));
        true
    }

    fn take_new_epoch(&mut self) {
        self.current_epoch = self.current_epoch.saturating_add(1);
        self.nodes[self.me].epoch = self.current_epoch;
        self.keep(Keep::Claimed);
    }

    /// Two primaries with one epoch: the one with the smaller name takes another.
    #[doc(alias = "clusterHandleConfigEpochCollision")]
    pub(super) fn resolve_collision(&mut self, sender: NodeKey, epoch: u64) {
        let (me, other) = (self.myself(), &self.nodes[sender]);
        let both = me.is_primary() && other.is_primary();
        if !both || epoch != me.epoch || other.epoch != me.epoch || other.id <= me.id {
            return;
        }
        let called = other.called();
        self.take_new_epoch();
        let epoch = self.myself().epoch;
        let text = format!(
            "WARNING: configEpoch collision with node {called}. configEpoch set to {epoch}"
        );
        self.log(Level::Verbose, text);
    }

    /// Weighs the claims that a sender makes for itself or for its primary.
    pub(super) fn weigh_claims(&mut self, sender: NodeKey, header: &Header<'_>) {
        let node = &self.nodes[sender];
        let speaks_for = match node.is_primary() {
            true => Some(sender),
            false => node.primary,
        };
        let Some(speaks_for) = speaks_for else {
            return;
        };
        let same = self.nodes[speaks_for].slots.bitmap() == header.slots;
        if node.is_primary() && (!same || !self.owners.unclaimed.is_empty()) {
            self.claim(sender, header.config_epoch, header.slots);
        }
        if !same {
            self.correct(sender, header);
        }
    }

    /// Sends an UPDATE for each owner of the claimed slots that has a later epoch.
    fn correct(&mut self, sender: NodeKey, header: &Header<'_>) {
        let mut later: Vec<NodeKey> = Vec::new();
        for slot in slots::iter(header.slots) {
            let owner = self.owners.of(slot).filter(|_| !self.owners.is_free(slot));
            let Some(owner) = owner.filter(|owner| *owner != sender) else {
                continue;
            };
            if self.nodes[owner].epoch > header.config_epoch && !later.contains(&owner) {
                later.push(owner);
                if later.len() == UPDATES {
                    break;
                }
            }
        }
        for owner in later {
            let text = format!(
                "Node {} has old slots configuration, sending an UPDATE message about {}",
                self.nodes[sender].called(),
                self.nodes[owner].id
            );
            self.log(Level::Verbose, text);
            self.send_update(sender, owner);
        }
    }

    #[doc(alias = "clusterSendUpdate")]
    pub(super) fn send_update(&mut self, to: NodeKey, about: NodeKey) {
        let Some(link) = self.nodes[to].link else {
            return;
        };
        let node = &self.nodes[about];
        // A slot that its owner no longer claims is left out.
        let mut claimed = node.slots.clone();
        for slot in self.owners.unclaimed.iter() {
            claimed.remove(slot);
        }
        let body = Body::Update {
            epoch: node.epoch,
            id: node.id,
            slots: claimed.bitmap(),
        };
        let bytes: Arc<[u8]> = self.message(0, body);
        self.send(link, Kind::Update, bytes);
    }

    /// Takes in an UPDATE: another node knows later claims of a third one.
    pub(super) fn updated(&mut self, about: NodeKey, epoch: u64, slots: &Bitmap) {
        if self.nodes[about].epoch >= epoch {
            return;
        }
        if about == self.me {
            self.log(
                Level::Notice,
                "Discarding UPDATE message about myself.".to_owned(),
            );
            return;
        }
        if self.nodes[about].is_replica() {
            self.becomes_primary(about);
        }
        self.raise_epoch(about, epoch);
        self.claim(about, epoch, slots);
    }

    /// Gives a claimer the slots that it claims under an epoch, where the owner has a lower epoch or there is no
    /// owner.
    #[doc(alias = "clusterUpdateSlotsConfigWith")]
    fn claim(&mut self, claimer: NodeKey, epoch: u64, bitmap: &Bitmap) {
        if claimer == self.me {
            return;
        }
        let mine = self.my_primary();
        let mut lost = SlotSet::new();
        let (mut claimed, mut from_mine) = (0, 0);
        for slot in slots::iter(bitmap) {
            claimed += 1;
            let owner = self.owners.of(slot);
            if owner == Some(claimer) {
                self.owners.unclaimed.remove(slot);
                continue;
            }
            // An open slot is closed by the operator alone.
            if self.owners.importing.contains_key(&slot) {
                continue;
            }
            let older = owner.is_none_or(|owner| self.nodes[owner].epoch < epoch);
            if !older && !self.owners.is_free(slot) {
                continue;
            }
            from_mine += usize::from(owner == Some(mine));
            if owner == Some(self.me) {
                lost.insert(slot);
                self.owners.migrating.remove(&slot);
            }
            self.bind(slot, claimer);
            self.keep(Keep::Synced);
            self.todo.state = true;
        }
        let silent: Vec<u16> = self.nodes[claimer].slots.iter().collect();
        for slot in silent.into_iter().filter(|slot| !slots::has(bitmap, *slot)) {
            self.owners.unclaimed.insert(slot);
        }
        let emptied = from_mine > 0 && self.nodes[mine].slots.is_empty();
        if emptied && (self.options.allow_replica_migration || claimed == from_mine) {
            self.yield_to(claimer);
        } else if self
            .myself()
            .primary
            .is_some_and(|p| self.nodes[p].primary.is_some())
        {
            self.mend_chain();
        } else if !lost.is_empty() {
            self.out.acts.push(Act::SlotsLost(lost));
        }
    }

    /// The last slot went to another node: this one replicates it.
    pub(super) fn yield_to(&mut self, claimer: NodeKey) {
        let text = format!(
            "Configuration change detected. Reconfiguring myself as a replica of {}",
            self.nodes[claimer].called()
        );
        self.log(Level::Notice, text);
        self.replicate(claimer);
    }
}
