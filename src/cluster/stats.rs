//! Figures of slots: the time that commands on their keys took, and the bytes that came and went for them.
//!
//! ```text
//!   SET {a}x 1        slot of the key          + time, + bytes of the request, + bytes of the reply
//!   EXEC, EVAL        slot of all keys inside  + the whole time once; nothing if the keys are of several slots
//!   the stream        slot of the key          + bytes for each replica
//!   SPUBLISH          slot of the channel      + bytes for each subscriber
//! ```
//!
//! The figures are kept while `cluster-slot-stats-enabled` is switched off, and shown again afterwards.
//!
//! Mirrors: cluster_slot_stats.c.
//! Differs: nothing is counted for a slot's memory; it is summed up when it is asked for.
//! Cost: 24 bytes per slot once switched on; O(1) per command.

use super::slots::SlotSet;
use crate::util::crc16::SLOTS;

/// The figures of one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Time that commands took, in nanoseconds.
    pub cpu_ns: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of replies, of the replication stream for each replica, and of messages for each subscriber.
    pub bytes_out: u64,
}

/// The slots that the commands inside a transaction or a script have named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inside {
    /// No slot yet.
    #[default]
    Nothing,
    /// One.
    Slot(u16),
    /// Several: nothing is counted.
    Several,
}

impl Inside {
    /// Adds the slot of a command.
    pub fn add(&mut self, slot: u16) {
        *self = match *self {
            Inside::Nothing => Inside::Slot(slot),
            Inside::Slot(one) if one == slot => Inside::Slot(one),
            _ => Inside::Several,
        };
    }
}

/// The figures of all slots.
#[derive(Debug, Default)]
pub struct SlotStats {
    /// Whether anything is counted now.
    pub on: bool,
    /// The commands of the transaction or script that runs.
    pub inside: Inside,
    /// Bytes of the queued requests of the transaction that runs.
    pub inside_bytes: u64,
    /// Bytes of the request that runs, as it came.
    pub request_bytes: u64,
    /// One entry per slot, once something was counted.
    figures: Vec<Figures>,
}

impl SlotStats {
    /// The figures of a slot.
    pub fn of(&self, slot: u16) -> Figures {
        let figures = self.figures.get(usize::from(slot));
        figures.copied().unwrap_or_default()
    }

    /// The figures of a slot, to be added to.
    pub fn of_mut(&mut self, slot: u16) -> Option<&mut Figures> {
        if self.figures.is_empty() {
            self.figures = vec![Figures::default(); usize::from(SLOTS)];
        }
        self.figures.get_mut(usize::from(slot))
    }

    /// Begins anew with all slots.
    pub fn reset(&mut self) {
        self.figures = Vec::new();
    }

    /// Begins anew with slots that have left.
    pub fn forget(&mut self, slots: &SlotSet) {
        for slot in slots.iter() {
            if let Some(figures) = self.figures.get_mut(usize::from(slot)) {
                *figures = Figures::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_several_slots_have_none() {
        let mut inside = Inside::default();
        inside.add(7);
        inside.add(7);
        assert_eq!(inside, Inside::Slot(7));
        inside.add(8);
        inside.add(7);
        assert_eq!(inside, Inside::Several);
    }

    #[test]
    fn a_slot_that_left_begins_anew() {
        let mut stats = SlotStats::default();
        assert_eq!(stats.of(3), Figures::default());
        for slot in [3, 4] {
            stats.of_mut(slot).expect("a slot").bytes_in += 5;
        }
        stats.forget(&[3].into_iter().collect());
        assert_eq!((stats.of(3).bytes_in, stats.of(4).bytes_in), (0, 5));
        assert!(stats.of_mut(SLOTS).is_none());
    }
}
