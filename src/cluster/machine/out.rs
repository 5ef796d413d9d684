//! Acts of a step in their order, and messages that wait for the disk.
//!
//! ```text
//!   vote given    ── Save 7 ─────────────▶ (disk) ──── Saved 7 ──▶ AUTH_ACK
//!   slots claimed ── Save 8 ─────────────▶ (disk) ──── Saved 8 ──▶ PONG with the claim, and all messages after it
//!   news of others── Save 9 ─────────────▶ (disk)                  nothing waits
//! ```
//!
//! A vote and a request for votes wait alone. An own claim (slots, epoch, name) stands in every header, so every
//! message waits. Learning the claims of other nodes is no promise: a node with a slow disk goes on answering, and is
//! not taken for dead.
//!
//! Invariant: a message that holds a promise is an [`Act::Send`] after [`Input::Saved`] of a save that holds it, too.
//!
//! Mirrors: `clusterDoBeforeSleep`, `clusterBeforeSleep`, `clusterSendMessage` (cluster_legacy.c), where the one
//! thread saves before it writes to any socket.
//! Differs: a slow disk holds back these messages alone, not the node.
//!
//! [`Input::Saved`]: super::Input::Saved

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Act, Machine};
use crate::cluster::bus::Kind;
use crate::cluster::node::LinkId;
use crate::cluster::slots::SlotSet;

/// A message that waits for a save.
#[derive(Clone, Debug)]
pub struct Held {
    /// The save.
    pub token: u64,
    /// The link that it goes to.
    pub link: LinkId,
    bytes: Arc<[u8]>,
    /// It tells the state of this node, as a later one does as well.
    announces: bool,
}

/// The urgency with which a change is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// In the file, soon.
    Soon,
    /// On its way to the disk at once. Nothing waits for it, for no other node's safety rests on it.
    Now,
    /// On disk, at once.
    Synced,
    /// On disk, before any further message leaves: an own claim.
    Claimed,
}

/// Acts of this step, and messages that wait for the disk.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) acts: Vec<Act>,
    held: VecDeque<Held>,
    dirty: Option<Keep>,
    /// The save under way, and how.
    saving: Option<(u64, Keep)>,
    last_token: u64,
}

impl Machine {
    /// Notes that the file is out of date.
    pub(super) fn keep(&mut self, keep: Keep) {
        self.out.dirty = self.out.dirty.max(Some(keep));
    }

    /// Sends a message, once the claims in its header are on disk.
    pub(super) fn send(&mut self, link: LinkId, kind: Kind, bytes: Arc<[u8]>) {
        match self.barrier() {
            Some(token) => self.hold(link, kind, bytes, (token, false)),
            None if self.links.contains_key(&link) => {
                self.counts.sent[kind as usize] += 1;
                self.out.acts.push(Act::Send { link, bytes });
            }
            None => {}
        }
    }

    /// Sends news of this node. While they wait for the disk, later ones that wait for the same save take their place: a
    /// tool that moves a thousand slots makes the others read one message, not a thousand.
    pub(super) fn announce(&mut self, link: LinkId, kind: Kind, bytes: Arc<[u8]>) {
        if let Some(token) = self.barrier() {
            let before = self.out.held.len();
            let out = &mut self.out.held;
            out.retain(|held| !(held.announces && held.token == token && held.link == link));
            self.counts.sent[kind as usize] -= (before - self.out.held.len()) as u64;
            self.hold(link, kind, bytes, (token, true));
            return;
        }
        self.send(link, kind, bytes);
    }

    /// Sends a message that is a promise by itself, once all that is known now is on disk.
    pub(super) fn send_when_kept(&mut self, link: LinkId, kind: Kind, bytes: Arc<[u8]>) {
        match (self.out.dirty, self.out.saving) {
            (Some(Keep::Synced | Keep::Claimed), _) => {
                self.hold(link, kind, bytes, (self.out.last_token + 1, false));
            }
            (_, Some((token, Keep::Synced | Keep::Claimed))) => {
                self.hold(link, kind, bytes, (token, false));
            }
            _ => self.send(link, kind, bytes),
        }
    }

    fn hold(
        &mut self,
        link: LinkId,
        kind: Kind,
        bytes: Arc<[u8]>,
        (token, announces): (u64, bool),
    ) {
        if self.links.contains_key(&link) {
            self.counts.sent[kind as usize] += 1;
            self.out.held.push_back(Held {
                token,
                link,
                bytes,
                announces,
            });
        }
    }

    /// Messages that wait for a save.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.out.held.iter()
    }

    /// The save that messages wait for, and a client's reply should, if an own claim is not on disk yet.
    pub fn barrier(&self) -> Option<u64> {
        match (self.out.dirty, self.out.saving) {
            (Some(Keep::Claimed), _) => Some(self.out.last_token + 1),
            (_, Some((token, Keep::Claimed))) => Some(token),
            _ => None,
        }
    }

    pub(super) fn saved(&mut self, token: u64) {
        if self
            .out
            .saving
            .is_some_and(|(under_way, _)| under_way <= token)
        {
            self.out.saving = None;
        }
        let free = |held: &Held| held.token <= token;
        while self.out.held.front().is_some_and(free) {
            let Some(Held { link, bytes, .. }) = self.out.held.pop_front() else {
                return;
            };
            if self.links.contains_key(&link) {
                self.out.acts.push(Act::Send { link, bytes });
            }
        }
    }

    /// Starts the wanted save, unless one is under way. A save that is not urgent waits for the next tick.
    pub(super) fn start_save(&mut self, at_tick: bool) {
        let urgent = self.out.dirty > Some(Keep::Soon);
        if self.out.saving.is_some() || !(urgent || at_tick) {
            return;
        }
        let Some(keep) = self.out.dirty.take() else {
            return;
        };
        self.out.last_token += 1;
        let token = self.out.last_token;
        self.out.saving = Some((token, keep));
        let text = self.file().write();
        let sync = keep > Keep::Now;
        self.out.acts.push(Act::Save { token, text, sync });
    }

    /// Does the work that is due before a step ends, in the order of `clusterBeforeSleep`, and returns the acts of
    /// the step.
    pub(super) fn finish(&mut self) -> Vec<Act> {
        if std::mem::take(&mut self.todo.manual) {
            self.tend_manual();
            self.todo.election = true;
        }
        if std::mem::take(&mut self.todo.election) {
            self.tend_election();
        }
        self.bury();
        if std::mem::take(&mut self.todo.state) {
            self.update_state();
        }
        if std::mem::take(&mut self.todo.announce) {
            self.broadcast_pong();
        }
        if std::mem::take(&mut self.todo.tell_fail) {
            self.tell_voters();
        }
        if !self.slots_left.is_empty() {
            let left = std::mem::take(&mut self.slots_left);
            self.out.acts.push(Act::SlotsLeft(left));
        }
        self.start_save(false);
        std::mem::take(&mut self.out.acts)
    }

    /// Notes that a slot left its owner.
    pub(super) fn slot_left(&mut self, slot: u16) {
        self.slots_left.insert(slot);
    }

    /// Notes that all slots but these are none of this shard's business any more.
    pub(super) fn only_these_stay(&mut self, stay: &SlotSet) {
        let all = 0..crate::util::crc16::SLOTS;
        for slot in all.filter(|slot| !stay.has(*slot)) {
            self.slots_left.insert(slot);
        }
    }

    /// Drops what was held for a link that is gone.
    pub(super) fn drop_held(&mut self, link: LinkId) {
        self.out.held.retain(|held| held.link != link);
    }
}
