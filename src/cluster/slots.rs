//! A set of hash slots, kept as the 2048 bytes that travel on the bus.
//!
//! ```text
//!   slot 0   byte 0, bit 0 (the lowest)        slot 9   byte 1, bit 1        slot 16383   byte 2047, bit 7
//! ```
//!
//! An empty set owns no memory: most nodes of a cluster's table are replicas and have no slots of their own.
//!
//! Invariant: `count` is the number of set bits; `bits` is `None` or 2048 bytes.
//!
//! Mirrors: `clusterNode.slots`, `numslots` and the bitmap helpers of cluster_legacy.c.
//! Differs: an empty set owns no memory; Redis has 2048 bytes in every node.
//! Cost: a test or a change is O(1); equality compares memory; ranges are found a word at a time.

use std::fmt;
use std::ops::RangeInclusive;

use crate::util::crc16::SLOTS;

/// Bytes of a bitmap of all slots.
pub const BITMAP_LEN: usize = SLOTS as usize / 8;

/// The bits of all slots, as they travel: the lowest bit of the first byte is slot 0.
pub type Bitmap = [u8; BITMAP_LEN];

static EMPTY: Bitmap = [0; BITMAP_LEN];

/// A set of slots.
#[derive(Clone, Default)]
pub struct SlotSet {
    bits: Option<Box<Bitmap>>,
    count: u16,
}

impl SlotSet {
    /// The set without any slot.
    pub fn new() -> SlotSet {
        SlotSet::default()
    }

    /// The set a peer announced.
    pub fn from_bitmap(bitmap: &Bitmap) -> SlotSet {
        let count = bitmap.iter().map(|byte| byte.count_ones() as u16).sum();
        SlotSet {
            bits: (count > 0).then(|| Box::new(*bitmap)),
            count,
        }
    }

    /// Its bits as they travel.
    pub fn bitmap(&self) -> &Bitmap {
        self.bits.as_deref().unwrap_or(&EMPTY)
    }

    /// Number of slots in it.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether it has no slot.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a slot is in it. A number out of range is in no set.
    pub fn has(&self, slot: u16) -> bool {
        has(self.bitmap(), slot)
    }

    /// Puts a slot in. Returns whether it was missing.
    pub fn insert(&mut self, slot: u16) -> bool {
        if slot >= SLOTS || self.has(slot) {
            return false;
        }
        let bits = self.bits.get_or_insert_with(|| Box::new(EMPTY));
        bits[usize::from(slot) / 8] |= 1 << (slot % 8);
        self.count += 1;
        true
    }

    /// Takes a slot out. Returns whether it was there.
    pub fn remove(&mut self, slot: u16) -> bool {
        if !self.has(slot) {
            return false;
        }
        if let Some(bits) = &mut self.bits {
            bits[usize::from(slot) / 8] &= !(1 << (slot % 8));
        }
        self.count -= 1;
        if self.count == 0 {
            self.bits = None;
        }
        true
    }

    /// Takes all slots out.
    pub fn clear(&mut self) {
        *self = SlotSet::default();
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        iter(self.bitmap())
    }

    /// The slots in order, neighbours together.
    pub fn ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for slot in self.iter() {
            match ranges.last_mut() {
                Some(last) if *last.end() + 1 == slot => *last = *last.start()..=slot,
                _ => ranges.push(slot..=slot),
            }
        }
        ranges
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> SlotSet {
        let mut set = SlotSet::new();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl PartialEq for SlotSet {
    fn eq(&self, other: &SlotSet) -> bool {
        self.count == other.count && self.bitmap() == other.bitmap()
    }
}

impl Eq for SlotSet {}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

/// Whether a slot's bit is set in a bitmap. A number out of range is set in none.
pub fn has(bitmap: &Bitmap, slot: u16) -> bool {
    let byte = bitmap.get(usize::from(slot) / 8);
    byte.is_some_and(|byte| byte >> (slot % 8) & 1 != 0)
}

/// The slots whose bits are set, in order. O(words + slots).
pub fn iter(bitmap: &Bitmap) -> impl Iterator<Item = u16> + '_ {
    let words = bitmap.chunks_exact(8).enumerate();
    words.flat_map(|(index, chunk)| {
        let mut word = u64::from_le_bytes(chunk.try_into().expect("a chunk of eight bytes"));
        std::iter::from_fn(move || {
            if word == 0 {
                return None;
            }
            let bit = word.trailing_zeros();
            word &= word - 1;
            Some(index as u16 * 64 + bit as u16)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn behaves_as_a_set_of_numbers() {
        let mut rng = Rng::new(7);
        let (mut set, mut model) = (SlotSet::new(), BTreeSet::new());
        for _ in 0..5000 {
            let slot = rng.below(400) as u16 * 41;
            match rng.below(3) {
                0 => assert_eq!(set.remove(slot), model.remove(&slot)),
                _ => assert_eq!(set.insert(slot), slot < SLOTS && model.insert(slot)),
            }
            assert_eq!(set.has(slot), model.contains(&slot));
            assert_eq!(set.len(), model.len());
        }
        assert!(set.iter().eq(model.iter().copied()));
        assert_eq!(SlotSet::from_bitmap(set.bitmap()), set);
    }

    #[test]
    fn the_lowest_bit_comes_first() {
        let set: SlotSet = [0, 9, 16383].into_iter().collect();
        let bits = set.bitmap();
        assert_eq!((bits[0], bits[1], bits[2047]), (1, 2, 128));
        assert!(!set.has(16384) && !set.has(u16::MAX));
    }

    #[test]
    fn neighbours_are_one_range() {
        let set: SlotSet = (0..=5).chain([7]).chain(100..SLOTS).collect();
        assert_eq!(set.ranges(), [0..=5, 7..=7, 100..=SLOTS - 1]);
        assert!(SlotSet::new().ranges().is_empty());
    }
}
