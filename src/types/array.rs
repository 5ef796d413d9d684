//! Arrays: byte strings by index, anywhere between 0 and 2^64 - 2, holes for free.
//!
//! ```text
//!   index 5, 64, 70, 9 000 000        block = index / 64
//!
//!   blocks   0       -> used 00…100000   [a]            an ordered map of blocks by their number
//!            1       -> used 00…1000001  [b c]          used: which of its 64 indexes hold something
//!            140625  -> used 00…1        [d]            values: those alone, in order, in a listpack
//! ```
//!
//! The value of an index is found by its block, and in the block by how many bits below its own are set. A block whose
//! values outgrow `PACK_MAX` keeps each in an allocation of its own. Besides, an array remembers where the last
//! insertion went: appending and the ring go on from there.
//!
//! Invariant: no block is empty; `count` is the number of bits set in all of them. The keyspace holds no empty array: a
//! command that removes the last value removes the key.
//!
//! Mirrors: sparsearray.c. Differs: Redis has slices of 4096 slots, eight bytes a slot, short values inside it, long
//! ones behind it, and lists of offsets where a slice holds few. Here a million consecutive numbers of five digits
//! take five bytes each instead of eight, and a write under a snapshot copies a block and its path, not 32 KB.

use std::ops::{ControlFlow, RangeInclusive};

use super::value::tag;
use crate::collections::btree::OrderedMap;
use crate::collections::listpack::{Listpack, LpEntry};
use crate::collections::shared::{BigStr, Shared, count_copied};

/// The largest index; one more is no index, so that a length fits 64 bits.
pub const INDEX_MAX: u64 = u64::MAX - 1;

/// Indexes in a block: the bits of a word.
const BLOCK: u64 = 64;
/// Values of a block together; beyond, each has its own allocation.
const PACK_MAX: usize = 4096;
/// Bytes that a value adds to a listpack besides its own, at most.
const ENTRY_OVERHEAD: usize = 11;

type Blocks = OrderedMap<u64, Block, 30>;

/// An array.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Array {
    tag: Tag,
    inner: Shared<Inner>,
}

/// The tag that tells an array from other values.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Tag {
    Array = tag::ARRAY,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    blocks: Blocks,
    count: u64,
    last_insert: Option<u64>,
}

#[derive(Debug, Clone)]
struct Block {
    used: u64,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Packed(Listpack),
    Apart(Shared<Vec<BigStr>>),
}

/// The figures of the blocks for ARINFO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    pub blocks: u64,
    /// Blocks more than half of whose indexes hold something, and how many do.
    pub dense: u64,
    pub dense_values: u64,
    pub sparse_values: u64,
}

impl Shape {
    /// Indexes in a block.
    pub const BLOCK: u64 = BLOCK;
}

fn place(index: u64) -> (u64, u32) {
    (index / BLOCK, (index % BLOCK) as u32)
}

/// The bits from `low` to `high`, both included.
fn bits(low: u32, high: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

impl Block {
    fn new() -> Block {
        Block {
            used: 0,
            values: Values::Packed(Listpack::new()),
        }
    }

    fn has(&self, bit: u32) -> bool {
        self.used >> bit & 1 != 0
    }

    /// How many values stand before this bit's.
    fn rank(&self, bit: u32) -> usize {
        (self.used & !(u64::MAX << bit)).count_ones() as usize
    }

    fn value(&self, rank: usize) -> Option<LpEntry<'_>> {
        match &self.values {
            Values::Packed(pack) => pack.get(rank as i64),
            Values::Apart(values) => values.get(rank).map(|value| LpEntry::Str(value.as_slice())),
        }
    }

    /// Sets a value; whether there was none.
    fn set(&mut self, bit: u32, text: &[u8]) -> bool {
        let (rank, new) = (self.rank(bit), !self.has(bit));
        if let Values::Packed(pack) = &self.values
            && pack.byte_len() + text.len() + ENTRY_OVERHEAD > PACK_MAX
        {
            let apart = pack
                .iter()
                .map(|value| BigStr::from_slice(&value.to_vec()))
                .collect();
            self.values = Values::Apart(Shared::new(apart));
        }
        match &mut self.values {
            Values::Packed(pack) => {
                match pack.seek(rank as i64) {
                    Some(pos) if new => pack.insert_before(pos, text),
                    Some(pos) => pack.replace(pos, text),
                    None => pack.push_back(text),
                };
            }
            Values::Apart(values) => {
                let (values, text) = (own_words(values), BigStr::from_slice(text));
                match values.get_mut(rank) {
                    Some(value) if !new => *value = text,
                    _ => values.insert(rank.min(values.len()), text),
                }
            }
        }
        self.used |= 1 << bit;
        new
    }

    /// Removes the values of some neighbouring bits; returns how many there were.
    fn remove(&mut self, low: u32, high: u32) -> u64 {
        let gone = self.used & bits(low, high);
        let count = gone.count_ones() as usize;
        if count == 0 {
            return 0;
        }
        let rank = self.rank(low);
        match &mut self.values {
            Values::Packed(pack) => pack.delete_range(rank as i64, count),
            Values::Apart(values) => {
                own_words(values).drain(rank..rank + count);
            }
        }
        self.used &= !gone;
        self.pack_again();
        count as u64
    }

    /// Values that became few and short go into a listpack.
    fn pack_again(&mut self) {
        if let Values::Apart(values) = &self.values {
            let bytes: usize = values
                .iter()
                .map(|value| value.len() + ENTRY_OVERHEAD)
                .sum();
            if bytes <= PACK_MAX / 2 {
                self.values =
                    Values::Packed(Listpack::from_entries(values.iter().map(BigStr::as_slice)));
            }
        }
    }

    /// Hands the values of these bits to `f`, with their bits, from either end.
    fn visit<B>(
        &self,
        mask: u64,
        reversed: bool,
        f: &mut impl FnMut(u32, LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let bit = |n: usize| nth_bit(self.used, n);
        let mut one = |n: usize, value: LpEntry<'_>| match bit(n) {
            Some(bit) if mask >> bit & 1 != 0 => f(bit, value),
            _ => ControlFlow::Continue(()),
        };
        match &self.values {
            Values::Packed(pack) if reversed => {
                let last = self.used.count_ones() as usize;
                let mut entries = pack.iter().rev().enumerate();
                entries.try_for_each(|(n, value)| match last.checked_sub(n + 1) {
                    Some(n) => one(n, value),
                    None => ControlFlow::Continue(()),
                })
            }
            Values::Packed(pack) => pack
                .iter()
                .enumerate()
                .try_for_each(|(n, value)| one(n, value)),
            Values::Apart(values) => {
                let len = values.len();
                (0..len).try_for_each(|n| {
                    let n = if reversed { len - 1 - n } else { n };
                    one(n, LpEntry::Str(values[n].as_slice()))
                })
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.values {
            Values::Packed(pack) => pack.blob().allocated_bytes(),
            Values::Apart(values) => {
                let each = values.iter().map(BigStr::allocated_bytes).sum::<usize>();
                Shared::<Vec<BigStr>>::node_bytes() + values.capacity() * size_of::<BigStr>() + each
            }
        }
    }
}

/// The words to write to; a copy of their row counts as one.
fn own_words(words: &mut Shared<Vec<BigStr>>) -> &mut Vec<BigStr> {
    if !words.is_unique() {
        count_copied(words.len() * size_of::<BigStr>());
    }
    words.make_mut()
}

/// The `n`th bit that is set.
fn nth_bit(mut word: u64, n: usize) -> Option<u32> {
    for _ in 0..n {
        word &= word.wrapping_sub(1);
    }
    (word != 0).then(|| word.trailing_zeros())
}

impl Default for Array {
    fn default() -> Self {
        Array::new()
    }
}

impl Array {
    /// An empty array.
    pub fn new() -> Array {
        Array {
            tag: Tag::Array,
            inner: Shared::new(Inner::default()),
        }
    }

    /// How many indexes hold something. O(1).
    pub fn count(&self) -> u64 {
        self.inner.count
    }

    /// Whether no index holds a value.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// One more than the largest index that holds something, or 0. O(log n).
    pub fn len(&self) -> u64 {
        self.inner.blocks.last().map_or(0, |last| {
            last.key * BLOCK + u64::from(64 - last.value.used.leading_zeros())
        })
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        "sliced-array"
    }

    /// Where the last insertion went, or the cursor was put; none: the next goes to 0.
    pub fn last_insert(&self) -> Option<u64> {
        self.inner.last_insert
    }

    /// Puts the cursor: the next insertion goes behind this index.
    pub fn set_last_insert(&mut self, index: Option<u64>) {
        self.inner.make_mut().last_insert = index;
    }

    /// Where the next insertion goes; none when there is no index left.
    pub fn next_insert(&self) -> Option<u64> {
        match self.inner.last_insert {
            None => Some(0),
            Some(last) => last.checked_add(1).filter(|next| *next <= INDEX_MAX),
        }
    }

    /// The value at an index. O(log n).
    pub fn get(&self, index: u64) -> Option<LpEntry<'_>> {
        let (number, bit) = place(index);
        let block = self.inner.blocks.get(&number)?;
        if !block.has(bit) {
            return None;
        }
        block.value(block.rank(bit))
    }

    /// Sets the value at an index; whether there was none. O(log n).
    pub fn set(&mut self, index: u64, text: &[u8]) -> bool {
        let (number, bit) = place(index);
        let inner = self.inner.make_mut();
        let new = if inner.blocks.contains(&number) {
            inner
                .blocks
                .get_mut(&number)
                .is_some_and(|block| block.set(bit, text))
        } else {
            let mut block = Block::new();
            block.set(bit, text);
            inner.blocks.insert(number, block);
            true
        };
        inner.count += u64::from(new);
        new
    }

    /// Removes the value at an index; whether there was one. O(log n).
    pub fn remove(&mut self, index: u64) -> bool {
        // A miss must copy nothing that a snapshot shares.
        self.get(index).is_some() && self.remove_range(index..=index) == 1
    }

    /// Removes the values at these indexes; returns how many there were. O(log n + blocks).
    pub fn remove_range(&mut self, range: RangeInclusive<u64>) -> u64 {
        use std::ops::Bound::Excluded;
        let (low, high) = (*range.start(), *range.end());
        if low > high || self.is_empty() {
            return 0;
        }
        let ((first, low_bit), (last, high_bit)) = (place(low), place(high));
        let inner = self.inner.make_mut();
        let mut removed = 0;
        if first == last {
            removed += remove_in(&mut inner.blocks, first, low_bit, high_bit);
        } else {
            removed += remove_in(&mut inner.blocks, first, low_bit, 63);
            removed += remove_in(&mut inner.blocks, last, 0, high_bit);
            let between = inner.blocks.index_range(Excluded(&first), Excluded(&last));
            inner.blocks.remove_range(between, |pair| {
                removed += u64::from(pair.value.used.count_ones());
            });
        }
        inner.count -= removed;
        removed
    }

    /// Hands the values from one index to another to `f`, each with its index, until it breaks; downwards if the first
    /// is the larger. Visits no holes: O(log n + blocks).
    pub fn visit<B>(
        &self,
        from: u64,
        to: u64,
        f: &mut impl FnMut(u64, LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        use std::ops::Bound::Included;
        let (low, high, reversed) = (from.min(to), from.max(to), from > to);
        let ((first, low_bit), (last, high_bit)) = (place(low), place(high));
        let blocks = &self.inner.blocks;
        let range = blocks.index_range(Included(&first), Included(&last));
        let len = (range.end - range.start) as usize;
        let mut one = |number: u64, block: &Block| {
            let low_bit = if number == first { low_bit } else { 0 };
            let high_bit = if number == last { high_bit } else { 63 };
            block.visit(bits(low_bit, high_bit), reversed, &mut |bit, value| {
                f(number * BLOCK + u64::from(bit), value)
            })
        };
        if reversed {
            let mut pairs = blocks.backward(range.end).take(len);
            pairs.try_for_each(|pair| one(pair.key, &pair.value))
        } else {
            let mut pairs = blocks.forward(range.start).take(len);
            pairs.try_for_each(|pair| one(pair.key, &pair.value))
        }
    }

    /// Hands all values to `f`, lowest index first.
    pub fn for_each(&self, mut f: impl FnMut(u64, LpEntry<'_>)) {
        let _ = self.visit(0, INDEX_MAX, &mut |index, value| {
            f(index, value);
            ControlFlow::<()>::Continue(())
        });
    }

    /// Inserts the next value of a ring of `size` places; returns where it went. [`Array::fit_ring`] comes first.
    pub fn insert_in_ring(&mut self, size: u64, text: &[u8]) -> u64 {
        let next = match self.inner.last_insert {
            None => 0,
            Some(last) => last.wrapping_add(1) % size.max(1),
        };
        self.set(next, text);
        self.inner.make_mut().last_insert = Some(next);
        next
    }

    /// Makes the array a ring of `size` places, if it is not: a smaller ring keeps the latest values, a larger one lays
    /// the values of a ring that had wrapped around in order, so that there is room behind them. Values beyond a hole,
    /// going back from the latest, are dropped. O(1), or O(size · log n) when it must be laid out anew.
    #[doc(alias = "arRingRework")]
    pub fn fit_ring(&mut self, size: u64) {
        let len = self.len();
        let wrapped = match self.inner.last_insert {
            // A cursor put back to 0 by hand is taken as it is.
            None => false,
            Some(last) => last.wrapping_add(1) < len,
        };
        if len == 0 || size == len || (size > len && !wrapped) {
            return;
        }
        let keep = size.min(len);
        let latest = self.inner.last_insert.map_or(len - 1, |last| last % len);
        let before = |index: u64| index.checked_sub(1).unwrap_or(len - 1);
        let (mut kept, mut at) = (Vec::new(), latest);
        while (kept.len() as u64) < keep
            && let Some(value) = self.get(at)
        {
            kept.push(value.to_vec());
            at = before(at);
        }
        let mut ring = Array::new();
        for (index, value) in kept.iter().rev().enumerate() {
            ring.set(index as u64, value);
        }
        ring.set_last_insert((kept.len() as u64).checked_sub(1));
        *self = ring;
    }

    /// The shape of its blocks. O(blocks) if `full`, else only how many there are.
    pub fn shape(&self, full: bool) -> Shape {
        let blocks = &self.inner.blocks;
        let mut shape = Shape {
            blocks: blocks.len(),
            ..Shape::default()
        };
        if full {
            for pair in blocks.iter() {
                let values = u64::from(pair.value.used.count_ones());
                if values > BLOCK / 2 {
                    shape.dense += 1;
                    shape.dense_values += values;
                } else {
                    shape.sparse_values += values;
                }
            }
        }
        shape
    }

    /// Bytes in the allocator, estimated from `samples` blocks (0: all).
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        let blocks = &self.inner.blocks;
        let len = blocks.len() as usize;
        let seen = if samples == 0 { len } else { samples.min(len) };
        let bytes: usize = blocks
            .iter()
            .take(seen)
            .map(|pair| pair.value.bytes())
            .sum();
        let values = (bytes * len).checked_div(seen).unwrap_or(0);
        Shared::<Inner>::node_bytes() + blocks.allocated_bytes() + values
    }

    /// How many steps freeing it takes.
    pub fn free_effort(&self) -> usize {
        self.inner.blocks.len() as usize
    }
}

/// Removes some bits of a block, and the block if it is left empty.
fn remove_in(blocks: &mut Blocks, number: u64, low: u32, high: u32) -> u64 {
    let mask = bits(low, high);
    if blocks
        .get(&number)
        .is_none_or(|block| block.used & mask == 0)
    {
        return 0;
    }
    let Some(block) = blocks.get_mut(&number) else {
        return 0;
    };
    let removed = block.remove(low, high);
    if block.used == 0 {
        blocks.remove(&number);
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;
    use std::collections::BTreeMap;

    type Model = BTreeMap<u64, Vec<u8>>;

    fn contents(array: &Array) -> Model {
        let mut all = Model::new();
        array.for_each(|index, value| {
            all.insert(index, value.to_vec());
        });
        all
    }

    fn index(rng: &mut Rng) -> u64 {
        match rng.below(10) {
            0 => INDEX_MAX - rng.below(100),
            1 => rng.below(INDEX_MAX),
            2..=4 => 4096 + rng.below(200),
            _ => rng.below(300),
        }
    }

    fn value(rng: &mut Rng) -> Vec<u8> {
        match rng.below(12) {
            0 => vec![b'x'; rng.below(6000) as usize],
            1 => Vec::new(),
            2..=6 => rng.below(100_000).to_string().into_bytes(),
            _ => vec![b'a' + rng.below(26) as u8; rng.below(30) as usize],
        }
    }

    #[test]
    fn races_a_model_with_snapshots() {
        for seed in 0..30 {
            let mut rng = Rng::new(seed);
            let (mut array, mut model) = (Array::new(), Model::new());
            let mut held: Vec<(Array, Model)> = Vec::new();
            for _ in 0..1500 {
                let at = index(&mut rng);
                match rng.below(20) {
                    0..=11 => {
                        let text = value(&mut rng);
                        let new = model.insert(at, text.clone()).is_none();
                        assert_eq!(array.set(at, &text), new, "seed {seed}");
                    }
                    12..=15 => {
                        assert_eq!(array.remove(at), model.remove(&at).is_some(), "seed {seed}");
                    }
                    16 => {
                        let to = if rng.below(3) == 0 {
                            index(&mut rng)
                        } else {
                            at.saturating_add(rng.below(150))
                        };
                        let (low, high) = (at.min(to), at.max(to));
                        let before = model.len();
                        model.retain(|index, _| !(low..=high).contains(index));
                        let removed = array.remove_range(low..=high);
                        assert_eq!(removed as usize, before - model.len(), "seed {seed}");
                    }
                    17 => {
                        let to = index(&mut rng);
                        let mut seen = Vec::new();
                        let _ = array.visit(at, to, &mut |index, value| {
                            seen.push((index, value.to_vec()));
                            ControlFlow::<()>::Continue(())
                        });
                        let (low, high) = (at.min(to), at.max(to));
                        let mut wanted: Vec<(u64, Vec<u8>)> = model
                            .range(low..=high)
                            .map(|(index, value)| (*index, value.clone()))
                            .collect();
                        if at > to {
                            wanted.reverse();
                        }
                        assert_eq!(seen, wanted, "seed {seed}");
                    }
                    18 if held.len() < 3 => held.push((array.clone(), model.clone())),
                    _ => {
                        let found = array.get(at).map(LpEntry::to_vec);
                        assert_eq!(found.as_ref(), model.get(&at), "seed {seed}");
                    }
                }
                assert_eq!(array.count() as usize, model.len());
                let len = model.last_key_value().map_or(0, |(index, _)| index + 1);
                assert_eq!(array.len(), len, "seed {seed}");
            }
            assert_eq!(contents(&array), model, "seed {seed}");
            for (array, model) in held {
                assert_eq!(contents(&array), model, "seed {seed}");
            }
        }
    }

    fn ring(values: &[&str]) -> (Array, String) {
        let mut array = Array::new();
        for value in values {
            array.fit_ring(3);
            array.insert_in_ring(3, value.as_bytes());
        }
        let text = shown(&array);
        (array, text)
    }

    fn shown(array: &Array) -> String {
        let mut text = Vec::new();
        array.for_each(|index, value| {
            text.push(format!(
                "{index}{}",
                String::from_utf8_lossy(&value.to_vec())
            ));
        });
        text.join(" ")
    }

    #[test]
    fn rings_turn_grow_and_shrink() {
        assert_eq!(ring(&["a", "b"]).1, "0a 1b");
        let (array, text) = ring(&["a", "b", "c", "d"]);
        assert_eq!(text, "0d 1b 2c");
        let mut larger = array.clone();
        larger.fit_ring(5);
        assert_eq!(shown(&larger), "0b 1c 2d");
        assert_eq!(larger.insert_in_ring(5, b"e"), 3);
        let mut smaller = array.clone();
        smaller.fit_ring(2);
        assert_eq!(shown(&smaller), "0c 1d");
        assert_eq!(smaller.insert_in_ring(2, b"e"), 0);
        let mut holed = array;
        holed.remove(2);
        holed.fit_ring(1);
        assert_eq!(
            (shown(&holed).as_str(), holed.last_insert()),
            ("0d", Some(0))
        );
        let mut last = Array::new();
        last.set(0, b"a");
        last.set_last_insert(Some(INDEX_MAX));
        assert_eq!((last.next_insert(), last.len()), (None, 1));
        assert_eq!(last.insert_in_ring(4, b"b"), u64::MAX % 4);
    }
}
