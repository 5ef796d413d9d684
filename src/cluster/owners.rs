//! The owner of each slot, and the slots on their way to or from this node.
//!
//! ```text
//!   owner       [ A ][ A ][ B ] … [ - ]      one entry per slot
//!   unclaimed   { 2 }                        B still has slot 2 here, but no longer says so
//!   migrating   2 → C                        keys of slot 2 leave this node for C
//!   importing   9 ← B                        keys of slot 9 come to this node from B
//! ```
//!
//! Invariant: a slot's owner has the slot in its own [`SlotSet`], and only its owner has; [`Machine`] changes both in
//! one place. `unclaimed` holds owned slots only.
//!
//! Mirrors: `clusterState.slots`, `migrating_slots_to`, `importing_slots_from`, `owner_not_claiming_slot`.
//! Differs: an owner is a key, not a pointer, so no slot can refer to a node that was freed.
//!
//! [`Machine`]: super::machine::Machine

use std::collections::BTreeMap;
use std::fmt;

use super::node::NodeKey;
use super::slots::SlotSet;
use crate::util::crc16::SLOTS;

/// The owner of each slot.
#[derive(Clone)]
pub struct Owners {
    by_slot: Box<[Option<NodeKey>]>,
    assigned: usize,
    /// Slots whose owner stopped claiming them.
    pub unclaimed: SlotSet,
    /// Slots of this node whose keys go elsewhere.
    pub migrating: BTreeMap<u16, NodeKey>,
    /// Slots of other nodes whose keys come here.
    pub importing: BTreeMap<u16, NodeKey>,
}

impl Owners {
    /// A table where no slot has an owner.
    pub fn new() -> Owners {
        Owners {
            by_slot: vec![None; usize::from(SLOTS)].into_boxed_slice(),
            assigned: 0,
            unclaimed: SlotSet::new(),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
        }
    }

    /// The owner of a slot. O(1).
    pub fn of(&self, slot: u16) -> Option<NodeKey> {
        self.by_slot.get(usize::from(slot)).copied().flatten()
    }

    /// Slots that have an owner.
    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// Whether the next node that claims the slot gets it.
    #[doc(alias = "isSlotUnclaimed")]
    pub fn is_free(&self, slot: u16) -> bool {
        self.of(slot).is_none() || self.unclaimed.has(slot)
    }

    /// Writes an entry. The caller keeps the nodes' own sets in step.
    pub(super) fn put(&mut self, slot: u16, owner: Option<NodeKey>) {
        self.unclaimed.remove(slot);
        if let Some(place) = self.by_slot.get_mut(usize::from(slot)) {
            self.assigned -= usize::from(place.is_some());
            self.assigned += usize::from(owner.is_some());
            *place = owner;
        }
    }

    /// Forgets the slots on their way.
    #[doc(alias = "clusterCloseAllSlots")]
    pub fn close_all(&mut self) {
        self.migrating.clear();
        self.importing.clear();
    }
}

impl Default for Owners {
    fn default() -> Owners {
        Owners::new()
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners")
            .field("assigned", &self.assigned)
            .field("unclaimed", &self.unclaimed)
            .field("migrating", &self.migrating)
            .field("importing", &self.importing)
            .finish()
    }
}
