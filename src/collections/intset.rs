//! Intset: a sorted array of integers, all as wide as the widest needs.
//!
//! The encoding of small sets that hold nothing but integers.
//!
//! ```text
//!   width u32 = 2, 4 or 8 | count u32 | integer | integer | …        all little-endian, ascending, no two alike
//! ```
//!
//! Inserting an integer that needs more width rewrites the set at that width, once; widths never go back.
//!
//! For example, SADD of 5, -3, 100, and then of 70000, which needs four bytes:
//!
//! ```text
//!   02 00 00 00  03 00 00 00   fd ff         05 00         64 00                          width 2, count 3: -3 5 100
//!   04 00 00 00  04 00 00 00   fd ff ff ff   05 00 00 00   64 00 00 00   70 11 01 00      width 4, count 4: … 70000
//! ```
//!
//! Invariant: the block is exactly as long as width and count say ([`Check::Shallow`]). Order is checked only
//! by [`Check::Deep`]; without it a search may miss, but nothing reads outside the block.
//!
//! Mirrors: intset.c, byte for byte. Differs: the bytes are a counted [`Blob`]: `clone()` is O(1) and the first
//! write after it copies.
//! Cost: find O(log n); insert and remove O(n) moved bytes.

use std::fmt;

use crate::collections::listpack::{Check, Corrupt};
use crate::collections::shared::{Blob, BlobMut};

/// A counted, copy-on-write set of integers; one pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct Intset(Blob);

const HEADER: usize = 8;

impl Default for Intset {
    fn default() -> Intset {
        Intset::new()
    }
}

impl Intset {
    /// The empty set.
    pub fn new() -> Intset {
        Intset(Blob::from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]))
    }

    /// Takes bytes from outside. As in Redis, an empty set does not pass.
    #[doc(alias = "intsetValidateIntegrity")]
    pub fn from_blob(blob: Blob, check: Check) -> Result<Intset, Corrupt> {
        if blob.len() < HEADER {
            return Err(Corrupt);
        }
        let set = Intset(blob);
        let (width, len) = (set.width(), set.len());
        if !matches!(width, 2 | 4 | 8) || len == 0 || set.0.len() - HEADER != len * width {
            return Err(Corrupt);
        }
        let ascending = || set.iter().zip(set.iter().skip(1)).all(|(a, b)| a < b);
        if check == Check::Deep && !ascending() {
            return Err(Corrupt);
        }
        Ok(set)
    }

    /// As [`Intset::from_blob`], from a copy of `bytes`.
    pub fn from_bytes(bytes: &[u8], check: Check) -> Result<Intset, Corrupt> {
        let blob = Blob::try_from_slice(bytes).map_err(|_| Corrupt)?;
        Intset::from_blob(blob, check)
    }

    /// The whole block, as it is written to RDB and DUMP.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The counted bytes themselves.
    pub fn blob(&self) -> &Blob {
        &self.0
    }

    /// Bytes of the block.
    #[doc(alias = "intsetBlobLen")]
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// Number of integers.
    pub fn len(&self) -> usize {
        self.header(4) as usize
    }

    /// No integers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integer at `index` in ascending order; a random member is this with a random index.
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| read(&self.0, self.width(), index))
    }

    /// The smallest.
    pub fn min(&self) -> Option<i64> {
        self.get(0)
    }

    /// The largest.
    pub fn max(&self) -> Option<i64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All integers, ascending, from both ends.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone + '_ {
        let (bytes, width) = (self.0.as_slice(), self.width());
        (0..self.len()).map(move |index| read(bytes, width, index))
    }

    /// Whether `value` is a member. O(log n).
    #[doc(alias = "intsetFind")]
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Its index, or the index it would get.
    pub fn search(&self, value: i64) -> Result<usize, usize> {
        let (bytes, width, len) = (self.0.as_slice(), self.width(), self.len());
        // Ascending inserts are common; ask the end first.
        if len > 0 && value > read(bytes, width, len - 1) {
            return Err(len);
        }
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = low + (high - low) / 2;
            if read(bytes, width, middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low < len && read(bytes, width, low) == value {
            Ok(low)
        } else {
            Err(low)
        }
    }

    /// Adds `value`; `false` if it was there. O(n). Callers keep sets small (`set-max-intset-entries`).
    #[doc(alias = "intsetAdd")]
    pub fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.search(value) else {
            return false;
        };
        let needed = width_of(value);
        if needed > self.width() {
            self.widen(needed);
        }
        let width = self.width();
        let len = self.len() as u32 + 1;
        let mut bytes = self.0.make_mut();
        let le = value.to_le_bytes();
        bytes
            .insert(HEADER + index * width, &le[..width])
            .expect("a set of integers stays far below the size of a blob");
        set_header(&mut bytes, 4, len);
        true
    }

    /// Removes `value`; `false` if it was not there. O(n).
    #[doc(alias = "intsetRemove")]
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else {
            return false;
        };
        let width = self.width();
        let len = self.len() as u32 - 1;
        let mut bytes = self.0.make_mut();
        bytes.remove(HEADER + index * width, width);
        set_header(&mut bytes, 4, len);
        true
    }

    #[doc(alias = "intsetUpgradeAndAdd")]
    fn widen(&mut self, width: usize) {
        let mut bytes = Vec::with_capacity(HEADER + self.len() * width);
        bytes.extend_from_slice(&(width as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.len() as u32).to_le_bytes());
        for value in self.iter() {
            bytes.extend_from_slice(&value.to_le_bytes()[..width]);
        }
        self.0 = Blob::from_slice(&bytes);
    }

    fn width(&self) -> usize {
        self.header(0) as usize
    }

    #[inline]
    fn header(&self, at: usize) -> u32 {
        let bytes = &self.0.as_slice()[at..at + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }
}

impl fmt::Debug for Intset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Bytes that `value` needs.
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

/// `index` is below the count, which the constructors compared with the length of the block.
#[inline]
fn read(bytes: &[u8], width: usize, index: usize) -> i64 {
    let at = HEADER + index * width;
    match width {
        2 => i64::from(i16::from_le_bytes([bytes[at], bytes[at + 1]])),
        4 => i64::from(i32::from_le_bytes(
            bytes[at..at + 4].try_into().expect("four bytes"),
        )),
        _ => i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")),
    }
}

fn set_header(bytes: &mut BlobMut<'_>, at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::testing::Rng;
    use std::collections::BTreeSet;

    fn check(set: &Intset, model: &BTreeSet<i64>, seed: u64) {
        assert!(set.iter().eq(model.iter().copied()), "seed {seed}");
        assert_eq!(set.len(), model.len(), "seed {seed}");
        assert_eq!(
            (set.min(), set.max()),
            (model.first().copied(), model.last().copied())
        );
        assert_eq!(set.get(set.len()), None);
        if !model.is_empty() {
            assert_eq!(
                Intset::from_bytes(set.as_bytes(), Check::Deep).as_ref(),
                Ok(set)
            );
        }
    }

    #[test]
    fn races_a_model() {
        for seed in 1..30u64 {
            let mut rng = Rng::new(seed);
            let (mut set, mut model, mut snapshots) = (Intset::new(), BTreeSet::new(), Vec::new());
            for step in 0..400 {
                // Wider values join as the race goes on, so that every upgrade is met with members in place.
                let bits = 8 + rng.next() % (56 * (step + 1) / 400 + 1);
                let value = (rng.next() as i64) >> (64 - bits);
                if rng.below(3) == 0 {
                    assert_eq!(
                        set.remove(value),
                        model.remove(&value),
                        "seed {seed} step {step}"
                    );
                } else {
                    assert_eq!(
                        set.insert(value),
                        model.insert(value),
                        "seed {seed} step {step}"
                    );
                }
                assert_eq!(set.contains(value), model.contains(&value));
                if rng.below(50) == 0 {
                    snapshots.push((set.clone(), model.clone()));
                }
            }
            snapshots.push((set, model));
            for (set, model) in &snapshots {
                check(set, model, seed);
            }
        }
    }

    #[test]
    fn same_bytes_as_redis() {
        // The bytes Redis 7.0.15 dumped for SADD 5 -3 100, then 70000, then -5000000000.
        let mut set = Intset::new();
        for value in [5, -3, 100] {
            set.insert(value);
        }
        assert_eq!(set.as_bytes(), b"\x02\0\0\0\x03\0\0\0\xfd\xff\x05\0\x64\0");
        set.insert(70_000);
        assert_eq!(
            set.as_bytes(),
            b"\x04\0\0\0\x04\0\0\0\xfd\xff\xff\xff\x05\0\0\0\x64\0\0\0\x70\x11\x01\0"
        );
        set.insert(-5_000_000_000);
        assert_eq!(
            set.as_bytes()[..16],
            *b"\x08\0\0\0\x05\0\0\0\0\x0e\xfa\xd5\xfe\xff\xff\xff"
        );
        check(
            &set,
            &BTreeSet::from([5, -3, 100, 70_000, -5_000_000_000]),
            0,
        );
    }

    #[test]
    fn refuses_nonsense() {
        for bytes in [
            &b"\x02\0\0\0"[..],
            b"\x02\0\0\0\0\0\0\0",
            b"\x03\0\0\0\x01\0\0\0\0\0\0",
            b"\x02\0\0\0\x02\0\0\0\0\0",
            b"\x08\0\0\0\xff\xff\xff\xff\0\0",
        ] {
            assert_eq!(Intset::from_bytes(bytes, Check::Shallow), Err(Corrupt));
        }
        let unordered = b"\x02\0\0\0\x02\0\0\0\x05\0\x04\0";
        assert_eq!(Intset::from_bytes(unordered, Check::Deep), Err(Corrupt));
        let mut set = Intset::from_bytes(unordered, Check::Shallow).unwrap();
        set.insert(4);
        set.remove(5);
        assert!(!set.contains(9));
    }
}
