//! What leaves a machine: acts in order, and the barrier before the bus.
//!
//! ```text
//!   vote given ── dirty ──▶ Save 7 ──────────────▶ (disk) ──── Saved 7
//!                 ACK held ────────────── PONG held ─────────▶ ACK, PONG sent
//! ```
//!
//! A message that is encoded after a promise was made waits for the save that holds the promise. Messages keep their
//! order: whatever follows a held message is held as well.
//!
//! Invariant: a [`Act::Send`] goes out only while no durable save is wanted or under way.
//!
//! Mirrors: `clusterDoBeforeSleep`, `clusterBeforeSleep`, `clusterSendMessage` (cluster_legacy.c), where the one thread
//! saves before it writes to any socket. Differs: a slow disk holds back the bus alone, not the clients.

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
    /// Where the message goes.
    pub link: LinkId,
    bytes: Arc<[u8]>,
}

/// How a change is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// In the file, soon.
    Soon,
    /// On disk, before anything is said.
    Now,
}

/// Acts of this step, and what waits for the disk.
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

    /// Sends a message, once what it says is on disk.
    pub(super) fn send(&mut self, link: LinkId, kind: Kind, bytes: Arc<[u8]>) {
        if !self.links.contains_key(&link) {
            return;
        }
        self.counts.sent[kind as usize] += 1;
        let token = match (self.out.dirty, self.out.saving) {
            (Some(Keep::Now), _) => self.out.last_token + 1,
            (_, Some((token, Keep::Now))) => token,
            _ => return self.out.acts.push(Act::Send { link, bytes }),
        };
        self.out.held.push_back(Held { token, link, bytes });
    }

    /// Messages that wait for a save.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.out.held.iter()
    }

    /// The save that a client's answer should wait for, if what it was told is not on disk yet.
    pub fn barrier(&self) -> Option<u64> {
        match (self.out.dirty, self.out.saving) {
            (Some(Keep::Now), _) => Some(self.out.last_token + 1),
            (_, Some((token, Keep::Now))) => Some(token),
            _ => None,
        }
    }

    pub(super) fn saved(&mut self, token: u64) {
        if self.out.saving.is_some_and(|(under_way, _)| under_way <= token) {
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

    /// Starts the save that is wanted, unless one is under way. One that is not urgent waits for the next tick.
    pub(super) fn start_save(&mut self, at_tick: bool) {
        let urgent = self.out.dirty == Some(Keep::Now);
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
        let sync = keep == Keep::Now;
        self.out.acts.push(Act::Save { token, text, sync });
    }

    /// What has to be done before a step ends: in the order of `clusterBeforeSleep`.
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
