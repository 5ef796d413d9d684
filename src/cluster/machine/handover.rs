//! Slots that change hands with their keys: until enough nodes know the new owner, it takes no writes, and the old owner
//! keeps the keys.
//!
//! ```text
//!   new owner   claims slot 7 ─── PING to all nodes ───────────▶ … their PONGs are here: it takes writes
//!   old owner   sees the claim ── UPDATE and PING to all nodes ─▶ … their PONGs are here: it deletes the keys
//! ```
//!
//! A node that answers a PING has read what was sent before it on that connection. Once a quorum has answered, no election
//! can give the slots back: a winner needs the vote of a node that knows the later claim, and such a node refuses. Before,
//! a failover of the old owner may win with an epoch above the claim's. The slots then return to its shard, where all keys
//! still are, and the new owner has taken no write that would be lost (valkey 2724).
//!
//! All other nodes that live are waited for as well, so that the replicas of the new owner know its slots before they may
//! have to replace it.
//!
//! Mirrors: nothing of Redis, whose source deletes the keys as soon as it sees the claim.

use std::collections::BTreeMap;

use super::{Act, Machine};
use crate::cluster::bus::Kind;
use crate::cluster::node::{Flags, LinkId, NodeKey};
use crate::cluster::slots::SlotSet;

/// Slots whose new owner is being made known.
#[derive(Debug)]
pub(super) struct Handover {
    /// The new owner; this node itself if it has taken the slots.
    owner: NodeKey,
    slots: SlotSet,
    /// Nodes that have not answered yet: on which connection, and how many answers it must have brought then. `None` if
    /// they are still to be told.
    waits: BTreeMap<NodeKey, Option<(LinkId, u64)>>,
}

impl Machine {
    /// Whether the keys of a slot that has left must stay for now.
    pub fn hands_over(&self, slot: u16) -> bool {
        let mut lost = self.handovers.iter().filter(|over| over.owner != self.me);
        lost.any(|over| over.slots.has(slot))
    }

    /// Whether slots of this node are about to be another's, or are so and too few nodes know.
    pub(super) fn is_handing_over(&self) -> bool {
        self.awaits_claim || self.handovers.iter().any(|over| over.owner != self.me)
    }

    /// Notes that a destination may claim slots of this node any time, or no longer.
    pub fn await_claim(&mut self, awaits: bool) {
        self.awaits_claim = awaits;
    }

    /// Makes the new owners of slots known. Slots that are this node's or nobody's are left out.
    pub(super) fn hand_over(&mut self, slots: &SlotSet) {
        let mut owners: Vec<(NodeKey, SlotSet)> = Vec::new();
        for slot in slots.iter().filter(|slot| !self.hands_over(*slot)) {
            let Some(owner) = self.owners.of(slot).filter(|owner| *owner != self.me) else {
                continue;
            };
            match owners.iter_mut().find(|(key, _)| *key == owner) {
                Some((_, all)) => _ = all.insert(slot),
                None => owners.push((owner, [slot].into_iter().collect())),
            }
        }
        for (owner, slots) in owners {
            self.begin_handover(owner, slots);
        }
    }

    /// Makes the owner of slots known, and ends when enough nodes know.
    pub(super) fn begin_handover(&mut self, owner: NodeKey, slots: SlotSet) {
        let hidden = Flags::HANDSHAKE.and(Flags::NO_ADDRESS);
        let nodes = self
            .nodes
            .iter()
            .filter(|(key, node)| *key != self.me && *key != owner && !node.flags.any(hidden));
        let waits = nodes.map(|(key, _)| (key, None)).collect();
        self.handovers.push(Handover {
            owner,
            slots,
            waits,
        });
        self.tell_owners();
        self.tend_handovers();
    }

    /// Tells the nodes that were not told yet, or whose connection has broken since.
    pub(super) fn tell_owners(&mut self) {
        let mut handovers = std::mem::take(&mut self.handovers);
        for over in &mut handovers {
            for (key, wait) in &mut over.waits {
                let link = self.nodes.get(*key).and_then(|node| node.link);
                let up = link.filter(|id| self.links.get(id).is_some_and(|link| link.up));
                let Some(link) = up.filter(|link| wait.is_none_or(|(on, _)| on != *link)) else {
                    continue;
                };
                // A PING of the new owner says it all in its header.
                if over.owner != self.me && self.nodes.get(over.owner).is_some() {
                    self.send_update(*key, over.owner);
                }
                self.ask(*key, Kind::Ping);
                let asked = self.links.get(&link).map_or(0, |link| link.asked);
                *wait = Some((link, asked));
            }
        }
        self.handovers = handovers;
    }

    /// Ends handovers that enough nodes know of.
    pub(super) fn tend_handovers(&mut self) {
        if self.handovers.is_empty() {
            return;
        }
        if self.myself().is_replica() {
            // The keys are those of the primary now.
            self.handovers.clear();
            return;
        }
        let mut handovers = std::mem::take(&mut self.handovers);
        handovers.retain_mut(|over| {
            let owner = over.owner;
            let left = over.slots.iter();
            let left: SlotSet = left
                .filter(|slot| self.owners.of(*slot) == Some(owner))
                .collect();
            over.slots = left;
            over.waits.retain(|key, wait| !self.knows(*key, *wait));
            if over.slots.is_empty() {
                // Clients that wait for slots that are gone again are sent on.
                self.handed_over(owner, SlotSet::new());
                return false;
            }
            let open = self.is_open(over);
            if !open {
                self.handed_over(owner, std::mem::take(&mut over.slots));
            }
            open
        });
        self.handovers = handovers;
    }

    /// Whether a node has answered what it was asked behind the news. A node that was forgotten is not waited for.
    fn knows(&self, key: NodeKey, wait: Option<(LinkId, u64)>) -> bool {
        let Some(node) = self.nodes.get(key) else {
            return true;
        };
        wait.is_some_and(|(link, answers)| {
            let same = node.link == Some(link);
            same && self
                .links
                .get(&link)
                .is_some_and(|link| link.answered >= answers)
        })
    }

    /// Whether too few nodes know: no quorum of the voters, or not all nodes that live.
    fn is_open(&self, over: &Handover) -> bool {
        let voters = self.nodes.iter().filter(|(_, node)| node.votes());
        let know = voters.filter(|(key, _)| !over.waits.contains_key(key));
        let lives = |key: &NodeKey| self.nodes.get(*key).is_some_and(|node| !node.ailing());
        know.count() < self.quorum() || over.waits.keys().any(lives)
    }

    fn handed_over(&mut self, owner: NodeKey, mut slots: SlotSet) {
        if owner == self.me {
            self.out.acts.push(Act::SlotsTaken);
            return;
        }
        let importing: Vec<u16> = self.owners.importing.keys().copied().collect();
        for slot in importing {
            slots.remove(slot);
        }
        if !slots.is_empty() {
            self.out.acts.push(Act::DeleteKeys(slots));
        }
    }

    /// Ends the wait for slots whose keys are about to come from elsewhere: the old ones are deleted before.
    pub(super) fn end_handover(&mut self, slots: &SlotSet) {
        let mut gone = SlotSet::new();
        for over in self
            .handovers
            .iter_mut()
            .filter(|over| over.owner != self.me)
        {
            for slot in slots.iter() {
                if over.slots.remove(slot) {
                    gone.insert(slot);
                }
            }
        }
        if !gone.is_empty() {
            self.out.acts.push(Act::DeleteKeys(gone));
        }
    }
}
