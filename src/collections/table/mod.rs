//! The table: every key's home. Grows by one segment at a time, is frozen in microseconds, scanned exactly once.
//!
//! ```text
//!   top                 2^d words: the first d bits of a key's hash choose one
//!    |
//!    +-> block          2^w words: the next w <= 8 bits choose one
//!         |
//!         +-> segment   1..16 cache lines of entry words: sixteen more bits choose the word
//!              |
//!              +-> entry   key, deadline, value in one allocation
//! ```
//!
//! This is extendible hashing (Fagin, Nievergelt, Pippenger, Strong: "Extendible Hashing", 1979) on two levels. A
//! segment that is full splits into two by one more bit of the hash; when its block has no word for the second half
//! the block doubles, and when a block has all its 256 words it splits into two, for which the top may double. Each
//! of these steps moves at most 127 words or copies a few kilobytes, so there is no rehash, incremental or otherwise,
//! and no insert that waits for one. Deletes do the same backwards.
//!
//! A key's *position* is its hash read from the most significant bit, and never changes. Segments are ranges of
//! positions. A scan walks positions, so it can stop anywhere and go on later, whatever has split in between.
//!
//! For example, these are the first bits of six hashes (seed 0). The segment that serves "1…" is full, so it splits by
//! the next bit; its block, whose words were all used, first doubles from two words to four. (A real segment takes 107
//! keys before it splits.)
//!
//! ```text
//!   cherry a415… = 1010…   date a83a… = 1010…   user:1 a4f1… = 1010…
//!   user:3 b056… = 1011…   user:2 c131… = 1100…   user:4 d714… = 1101…
//!
//!   before   [0] -> "0…"         [1] -> "1…"  cherry date user:1 user:2 user:3 user:4
//!   after    [00] [01] -> "0…"   [10] -> "10…"  cherry date user:1 user:3     [11] -> "11…"  user:2 user:4
//! ```
//!
//! Blocks, segments and entries are counted (`collections/shared`). Cloning a table copies the top and raises the
//! counts of the blocks; from then on the side that writes copies block, segment and entry on its way down, each when
//! it is shared and only then. Invariants:
//! 1. A node that a table can reach has one count for that (segments one per block, whatever the number of words
//!    naming it), and is written only while that count is the only one.
//! 2. Clones of a table share a *family* token. While it has one owner, all blocks and segments have one owner too, and
//!    the walk down need not look at counts: that is what a write costs when no snapshot is out.
//! 3. An entry is looked at all the same: besides the table, the holder of a [`Handle`] owns it, to find the same
//!    key in an order of its own without a second copy.
//!
//! Mirrors: dict.c, kvstore.c, and the expires table of db.c.
//! Differs: dict.c has chains in one array and rehashes it bucket by bucket into one of twice the size. Per key we
//! pay about 11 bytes above the entry, where it pays 8 to 16 and a 24-byte node; and a scan returns no key twice.
//! Figures (`benches/keyspace.rs`, a million 16-byte keys, read as ratios): 43, 75 and 139 bytes per key with values
//! of 3, 32 and 100 bytes, all included. A lookup takes 0.76 of what it takes in the standard library's table of boxed
//! keys, sixteen prefetched together 0.22; a miss 1.4. The worst of a million inserts from nothing takes 18 us. While
//! a snapshot is out, a write takes 0.2 us more in the median and 2.5 us in all at the 99th percentile.
#![allow(unsafe_code)]

mod block;
mod entry;
mod hash;
mod segment;
#[cfg(test)]
mod tests;
mod walk;
mod word;

use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use self::block::Block;
use self::entry::Raw;
use self::segment::Segment;
use self::word::Word;
use super::shared::{Shared, TooLarge, count_copied};
use crate::util::num::IntBuf;

pub use self::entry::{Entry, Handle, INLINE_MAX, Moved, NewValue, Removed, StrRef, ValueRef};
pub use self::hash::hash;
pub use self::walk::{Iter, SegmentStats};

/// A value other than a string. Cloning one must be cheap: it happens when a snapshot shares the entry.
pub trait Payload: Clone + Send + Sync {}

impl<T: Clone + Send + Sync> Payload for T {}

/// For tables whose values are strings or nothing: sets, hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoObject {}

/// A hash table from byte strings to strings or `V`s, with optional deadlines.
///
/// Keys are given with their hash under [`Table::seed`], so that a caller who needs it twice computes it once.
pub struct Table<V: Payload> {
    /// Empty, or a power of two of words. A block shallower than that is named by several neighbouring words.
    top: Vec<Word>,
    len: usize,
    volatile: usize,
    /// Sum of all deadlines, for the average.
    deadlines: i128,
    seed: u64,
    /// Segments by depth; as long as the deepest one needs.
    depths: Vec<u32>,
    walks: Walks,
    /// Bytes in blocks and segments.
    node_bytes: usize,
    /// See invariant 2. Unset until the first clone.
    family: OnceLock<Shared<()>>,
    values: PhantomData<V>,
}

// SAFETY: the nodes are counted atomically and written only by the one table that reaches them; what they hold may
// itself be read (Sync) and dropped (Send) on any thread.
unsafe impl<V: Payload> Send for Table<V> {}
// SAFETY: as above; &Table only reads, the access clock excepted, which is atomic.
unsafe impl<V: Payload> Sync for Table<V> {}

/// The result of [`Table::set`].
#[derive(Debug)]
pub enum Inserted<V: Payload> {
    New,
    /// The old value was inline, and the new one has been written over it. The deadline it had.
    InPlace(Option<i64>),
    Replaced(Removed<V>),
}

/// The fate of an entry's deadline when its value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    Keep,
    Set(Option<i64>),
}

/// A step of a lookup, in order; each address is known only from the memory that the step before brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefetchStage {
    Block,
    Line,
    Entry,
}

impl PrefetchStage {
    pub const ALL: [PrefetchStage; 3] = [
        PrefetchStage::Block,
        PrefetchStage::Line,
        PrefetchStage::Entry,
    ];
}

/// The times of the active expiry, which the segments' bounds are read by; see [`segment::Due`].
#[derive(Clone, Copy)]
struct Walks {
    last_step: i64,
    began: i64,
    /// When the last walk that came to its end had begun: every segment has been looked at since.
    last_began: i64,
}

/// The way to a segment.
#[derive(Clone, Copy)]
struct Path {
    top: usize,
    block: Block,
    slot: usize,
    segment: Segment,
}

/// Two buddy segments with no more entries than this in all become one: 60 % of a full one.
const MERGE_AT: usize = segment::limit(segment::FULL_LINES) * 6 / 10;

/// Two buddy blocks no wider than this become one.
const MERGE_WIDTH: u32 = block::MAX_WIDTH - 3;

impl<V: Payload> Table<V> {
    /// An empty table, which owns no memory. `seed` should be random and secret where keys come from strangers.
    pub const fn new(seed: u64) -> Table<V> {
        Table {
            top: Vec::new(),
            len: 0,
            volatile: 0,
            deadlines: 0,
            walks: Walks {
                last_step: 0,
                began: 0,
                last_began: 0,
            },
            seed,
            depths: Vec::new(),
            node_bytes: 0,
            family: OnceLock::new(),
            values: PhantomData,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries with a deadline.
    pub fn volatile_len(&self) -> usize {
        self.volatile
    }

    /// The mean of all deadlines, in the deadlines' unit.
    pub fn mean_deadline(&self) -> Option<i64> {
        (self.volatile > 0).then(|| (self.deadlines / self.volatile as i128) as i64)
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash to pass with `key`.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash(self.seed, key)
    }

    /// Bytes in the nodes above the entries.
    pub fn node_bytes(&self) -> usize {
        self.node_bytes + self.top.capacity() * size_of::<Word>()
    }

    // ------------------------------------------------------------------------------------------ by key alone

    /// [`Table::get`] for a caller who has no hash at hand, as the next three.
    pub fn find(&self, key: &[u8]) -> Option<Entry<'_, V>> {
        self.get(self.hash(key), key)
    }

    pub fn find_mut(&mut self, key: &[u8]) -> Option<EntryMut<'_, V>> {
        self.get_mut(self.hash(key), key)
    }

    /// Inserts or overwrites a key that needs no access clock; a deadline it has goes.
    pub fn insert(&mut self, key: &[u8], value: NewValue<'_, V>) -> Inserted<V> {
        self.set(self.hash(key), key, value, Deadline::Set(None), |_| 0)
    }

    pub fn delete(&mut self, key: &[u8]) -> Option<Removed<V>> {
        self.remove(self.hash(key), key)
    }

    // ------------------------------------------------------------------------------------------ reading

    /// The entry of `key`. O(1): one line of the table and the entry.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<Entry<'_, V>> {
        let path = self.path(hash)?;
        let slot = path.segment.find::<V>(hash, key)?;
        // SAFETY: the word of an entry in this table, which the borrow keeps from changing.
        Some(unsafe { Entry::new(Raw::of(path.segment.get(slot))) })
    }

    /// Brings what lookups of these keys will read into the cache, all of them at once.
    ///
    /// Worth it from two keys on; from sixteen on a lookup costs a fifth of what it costs alone.
    pub fn prefetch(&self, hashes: &[u64]) {
        for stage in PrefetchStage::ALL {
            for &hash in hashes {
                self.prefetch_stage(stage, hash);
            }
        }
    }

    /// One stage of [`Table::prefetch`] for one key: for callers whose keys lie in several tables. All keys should
    /// have passed a stage before the first enters the next, so that their misses overlap.
    pub fn prefetch_stage(&self, stage: PrefetchStage, hash: u64) {
        if self.top.is_empty() {
            return;
        }
        let block = self.block(hash).1;
        match stage {
            PrefetchStage::Block => block.prefetch(hash),
            PrefetchStage::Line => block.segment(block.index(hash)).prefetch_home(hash),
            PrefetchStage::Entry => block.segment(block.index(hash)).prefetch_matches(hash),
        }
    }

    fn top_bits(&self) -> u32 {
        self.top.len().trailing_zeros()
    }

    /// The table must not be empty of nodes.
    #[inline]
    fn block(&self, hash: u64) -> (usize, Block) {
        let top = (hash >> 1 >> (63 - self.top_bits())) as usize;
        // SAFETY: a word of our top, and we live.
        (top, unsafe { Block::of(self.top[top]) })
    }

    #[inline]
    fn path(&self, hash: u64) -> Option<Path> {
        if self.top.is_empty() {
            return None;
        }
        let (top, block) = self.block(hash);
        let slot = block.index(hash);
        Some(Path {
            top,
            block,
            slot,
            segment: block.segment(slot),
        })
    }

    /// All blocks, each once.
    fn blocks(&self) -> impl Iterator<Item = Block> {
        let mut top = 0;
        std::iter::from_fn(move || {
            let word = *self.top.get(top)?;
            // SAFETY: a word of our top, and we live.
            let block = unsafe { Block::of(word) };
            top += 1 << (self.top_bits() - block.depth);
            Some(block)
        })
    }

    // ------------------------------------------------------------------------------------------ writing

    /// Inserts `key` or changes its value. `clock` is given the old access clock and says the new one. O(1).
    pub fn set(
        &mut self,
        hash: u64,
        key: &[u8],
        value: NewValue<'_, V>,
        deadline: Deadline,
        clock: impl FnOnce(Option<u32>) -> u32,
    ) -> Inserted<V> {
        let checked = self.is_checked();
        loop {
            let Some(path) = self.own_path(hash, checked) else {
                self.plant();
                continue;
            };
            if let Some(slot) = path.segment.find::<V>(hash, key) {
                return self.overwrite(&path, slot, value, deadline, clock);
            }
            if path.segment.len() < segment::limit(path.segment.lines) {
                let deadline = match deadline {
                    Deadline::Keep => None,
                    Deadline::Set(at) => at,
                };
                let raw = Raw::build(key, value, deadline, clock(None));
                self.link(&path, hash, raw);
                return Inserted::New;
            }
            self.make_room(&path);
        }
    }

    /// Adds a key known not to be there, and returns a handle of its entry. O(1).
    pub fn add(&mut self, hash: u64, key: &[u8], value: NewValue<'_, V>) -> Handle<V> {
        debug_assert!(self.get(hash, key).is_none());
        let raw = Raw::build(key, value, None, 0);
        let checked = self.is_checked();
        loop {
            match self.own_path(hash, checked) {
                None => self.plant(),
                Some(path) if path.segment.len() < segment::limit(path.segment.lines) => {
                    self.link(&path, hash, raw);
                    // SAFETY: the entry is in the table, which has a count of it.
                    return unsafe { Entry::new(raw) }.handle();
                }
                Some(path) => self.make_room(&path),
            }
        }
    }

    /// Puts a removed entry in, under the key it has or another, with its value, deadline and access clock.
    /// An entry that was there under that key is returned.
    pub fn put(&mut self, hash: u64, key: &[u8], entry: Removed<V>) -> Option<Removed<V>> {
        let old = self.remove(hash, key);
        let mut raw = entry.into_raw();
        if !raw.count().is_one() || raw.key::<V>() != key {
            raw = raw.remade::<V>(Some(key), raw.deadline());
        }
        let checked = self.is_checked();
        loop {
            match self.own_path(hash, checked) {
                None => self.plant(),
                Some(path) if path.segment.len() < segment::limit(path.segment.lines) => {
                    self.link(&path, hash, raw);
                    return old;
                }
                Some(path) => self.make_room(&path),
            }
        }
    }

    /// The entry of `key`, to be changed. Unshares the way to it. O(1).
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<EntryMut<'_, V>> {
        // Found first, so that a miss copies nothing.
        let slot = self.path(hash)?.segment.find::<V>(hash, key)?;
        let checked = self.is_checked();
        let path = self.own_path(hash, checked)?;
        Some(EntryMut {
            table: self,
            hash,
            path,
            slot,
            checked,
        })
    }

    /// Takes an entry out. O(1).
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Removed<V>> {
        Some(self.get_mut(hash, key)?.remove())
    }

    /// Whether nodes may have owners besides us (invariant 2).
    #[inline]
    fn is_checked(&mut self) -> bool {
        match self.family.get() {
            None => false,
            Some(token) if token.is_unique() => {
                self.family.take();
                false
            }
            Some(_) => true,
        }
    }

    /// The way to a segment, block and segment written to by us alone.
    #[inline]
    fn own_path(&mut self, hash: u64, checked: bool) -> Option<Path> {
        let path = self.path(hash)?;
        Some(if checked { self.unshare(path) } else { path })
    }

    #[cold]
    fn unshare(&mut self, mut path: Path) -> Path {
        if !path.block.count().is_one() {
            let old = path.block;
            path.block = old.copy();
            count_copied(old.bytes());
            self.place(path.top, path.block);
            // SAFETY: the count our top had, whose words now name the copy.
            unsafe { old.release::<V>() };
        }
        if !path.segment.count().is_one() {
            let old = path.segment;
            path.segment = old.copy();
            count_copied(old.bytes());
            path.block.place(path.slot, path.segment);
            // SAFETY: the count our block had, whose words now name the copy.
            unsafe { old.release::<V>() };
        }
        path
    }

    /// Names `block` in all top words of its range around `top`.
    fn place(&mut self, top: usize, block: Block) {
        let span = 1 << (self.top_bits() - block.depth);
        let start = top & !(span - 1);
        self.top[start..start + span].fill(block.word());
    }

    /// The first block and segment.
    fn plant(&mut self) {
        self.lay_out(0, 1);
    }

    /// Lays out the nodes that so many entries will need, so that none has to be split or moved as they come. Of a
    /// table that has had entries, nothing is changed. O(entries / 64).
    #[doc(alias = "dictExpand")]
    pub fn expect(&mut self, entries: usize) {
        // Segments are between 43 and 85 % full then, as where they grow by themselves.
        const EACH: usize = segment::limit(segment::FULL_LINES) * 85 / 100;
        if self.top.is_empty() && entries > EACH {
            let depth = entries.div_ceil(EACH).next_power_of_two().trailing_zeros();
            let depth = depth.min(segment::MAX_DEPTH);
            self.lay_out(depth, segment::lines_for(entries >> depth));
        }
    }

    /// The first nodes: 2^depth empty segments.
    fn lay_out(&mut self, depth: u32, lines: usize) {
        let width = depth.min(block::MAX_WIDTH);
        let blocks = 1usize << (depth - width);
        let mut bytes = 0;
        let top = (0..blocks).map(|_| {
            let block = Block::laid_out(depth - width, width, || Segment::new(lines, depth));
            bytes += block.bytes() + ((lines * 64) << width);
            block.word()
        });
        self.top = top.collect();
        self.node_bytes += bytes;
        self.count_depth(depth, 1 << depth);
    }

    fn link(&mut self, path: &Path, hash: u64, raw: Raw) {
        let deadline = raw.deadline();
        let tag = segment::tag_of(hash, path.segment.depth);
        path.segment
            .insert(raw.word(segment::with_volatile(tag, deadline.is_some())));
        self.len += 1;
        self.account(path, None, deadline);
    }

    /// Books a change of deadline in the block and in the totals; the segment has counted its words already.
    #[inline]
    fn account(&mut self, path: &Path, old: Option<i64>, new: Option<i64>) {
        if old == new {
            return;
        }
        let block = path.block;
        if let Some(ms) = old {
            self.volatile -= 1;
            self.deadlines -= i128::from(ms);
            block.add_volatile(-1);
        }
        if let Some(ms) = new {
            self.volatile += 1;
            self.deadlines += i128::from(ms);
            block.add_volatile(1);
            path.segment.add_due(ms, self.walks.last_step);
            // Within the horizon, so that no segment goes unseen for longer.
            let bound = ms.min(self.walks.last_step + segment::Due::HORIZON_MS);
            block.set_earliest(block.earliest().min(bound));
        }
    }

    fn overwrite(
        &mut self,
        path: &Path,
        slot: usize,
        mut value: NewValue<'_, V>,
        deadline: Deadline,
        clock: impl FnOnce(Option<u32>) -> u32,
    ) -> Inserted<V> {
        // SAFETY: the word of an entry in this table.
        let raw = unsafe { Raw::of(path.segment.get(slot)) };
        let old_deadline = raw.deadline();
        let new_deadline = match deadline {
            Deadline::Keep => old_deadline,
            Deadline::Set(at) => at,
        };
        let clock = clock(Some(raw.clock()));
        if raw.count().is_one() {
            // SAFETY: sole owner, and &mut self; `value` cannot point into an entry of a table borrowed uniquely.
            match unsafe { raw.overwrite(value, new_deadline, clock) } {
                Ok(()) => {
                    self.retag(path, slot, old_deadline, new_deadline);
                    return Inserted::InPlace(old_deadline);
                }
                Err(back) => value = back,
            }
        }
        let new = Raw::build(raw.key::<V>(), value, new_deadline, clock);
        let old = self.exchange(path, slot, new);
        // SAFETY: the count the segment had.
        Inserted::Replaced(unsafe { Removed::new(old) })
    }

    /// After the deadline of the entry in `slot` changed in place.
    fn retag(&mut self, path: &Path, slot: usize, old: Option<i64>, new: Option<i64>) {
        if old != new {
            let word = path.segment.get(slot);
            let tag = segment::with_volatile(word.tag(), new.is_some());
            path.segment.replace(slot, word.with_tag(tag));
            self.account(path, old, new);
        }
    }

    /// Puts another entry of the same key in a slot; the caller gets the old one's count.
    fn exchange(&mut self, path: &Path, slot: usize, new: Raw) -> Raw {
        let word = path.segment.get(slot);
        // SAFETY: the word of an entry in this table.
        let old = unsafe { Raw::of(word) };
        let (old_deadline, new_deadline) = (old.deadline(), new.deadline());
        path.segment.replace(
            slot,
            new.word(segment::with_volatile(word.tag(), new_deadline.is_some())),
        );
        self.account(path, old_deadline, new_deadline);
        old
    }

    /// Takes the entry out of a slot, without tidying up after it.
    fn unlink(&mut self, path: &Path, slot: usize) -> Removed<V> {
        let word = path.segment.remove(slot);
        // SAFETY: the word of an entry that was in this table; its count is now ours to give away.
        let removed = unsafe { Removed::new(Raw::of(word)) };
        self.len -= 1;
        self.account(path, removed.deadline(), None);
        removed
    }

    // ------------------------------------------------------------------------------------------ growing

    fn count_depth(&mut self, depth: u32, change: i32) {
        let depth = depth as usize;
        if self.depths.len() <= depth {
            self.depths.resize(depth + 1, 0);
        }
        self.depths[depth] = self.depths[depth].wrapping_add_signed(change);
        while self.depths.last() == Some(&0) {
            self.depths.pop();
        }
    }

    /// One step towards room for one more entry in a full segment: it grows, or splits, or what it hangs from does.
    fn make_room(&mut self, path: &Path) {
        let Path {
            top,
            block,
            slot,
            segment,
        } = *path;
        if segment.lines < segment::FULL_LINES {
            self.resize_segment(path, segment::lines_for(segment.len() + 1));
        } else if segment.depth >= segment::depth_limit(self.len) {
            self.resize_segment(path, segment::grown(segment.lines));
        } else if segment.depth < block.depth + block.width {
            let old_bytes = segment.bytes();
            let span = block.span(segment);
            let start = slot & !(span - 1);
            self.count_depth(segment.depth, -1);
            let (low, high) = segment.split::<V>(self.seed);
            block.place(start, low);
            block.place(start + span / 2, high);
            self.count_depth(low.depth, 2);
            self.node_bytes = self.node_bytes + low.bytes() + high.bytes() - old_bytes;
        } else if block.width < block::MAX_WIDTH {
            self.node_bytes -= block.bytes();
            let block = block.widened();
            self.node_bytes += block.bytes();
            self.place(top, block);
        } else if block.depth < self.top_bits() {
            let span = 1usize << (self.top_bits() - block.depth);
            let start = top & !(span - 1);
            self.node_bytes -= block.bytes();
            let (low, high) = block.split();
            self.node_bytes += low.bytes() + high.bytes();
            self.place(start, low);
            self.place(start + span / 2, high);
        } else {
            self.top = self.top.iter().flat_map(|&w| [w, w]).collect();
        }
    }

    fn resize_segment(&mut self, path: &Path, lines: usize) {
        self.node_bytes -= path.segment.bytes();
        let new = path.segment.resized::<V>(lines);
        self.node_bytes += new.bytes();
        path.block.place(path.slot, new);
    }

    // ------------------------------------------------------------------------------------------ shrinking

    /// After a removal near `hash`: at most one merge of segments and what that allows above.
    ///
    /// Not while a clone is out: it would copy nodes to save memory.
    fn tidy(&mut self, hash: u64, checked: bool) {
        if self.len == 0 {
            self.clear_nodes();
            return;
        }
        let Some(path) = self.path(hash) else { return };
        let Path {
            block,
            slot,
            segment,
            ..
        } = path;
        // Looking at the buddy may be a cache miss: once in four removals will do.
        if checked || !segment.len().is_multiple_of(4) {
            return;
        }
        if segment.len() <= MERGE_AT / 2 && segment.depth > block.depth {
            let span = block.span(segment);
            let slot = slot & !(span - 1);
            let buddy = block.segment(slot ^ span);
            if buddy.depth == segment.depth && segment.len() + buddy.len() <= MERGE_AT {
                self.merge(
                    &path,
                    slot & !span,
                    if slot & span == 0 {
                        (segment, buddy)
                    } else {
                        (buddy, segment)
                    },
                );
                return;
            }
        }
        let lines = segment::lines_for(segment.len() * 4 / 3 + 1);
        if lines < segment.lines && segment.len() <= segment::limit(segment.lines) / 2 {
            self.resize_segment(&path, lines);
        }
    }

    #[cold]
    fn merge(&mut self, path: &Path, slot: usize, (low, high): (Segment, Segment)) {
        let block = path.block;
        let deepest = low.depth == block.depth + block.width;
        self.node_bytes -= low.bytes() + high.bytes();
        self.count_depth(low.depth, -2);
        let one = low.merged::<V>(high, self.seed);
        self.count_depth(one.depth, 1);
        self.node_bytes += one.bytes();
        block.place(slot, one);

        // The block halves when no segment needs all its words, two narrow blocks become one, the top halves.
        if !deepest
            || block
                .segments()
                .any(|(_, s)| s.depth == block.depth + block.width)
        {
            return;
        }
        self.node_bytes -= block.bytes();
        let block = block.narrowed();
        self.node_bytes += block.bytes();
        self.place(path.top, block);
        if block.depth == 0 || block.width > MERGE_WIDTH {
            return;
        }
        let span = 1usize << (self.top_bits() - block.depth);
        // SAFETY: a word of our top, and we live.
        let buddy = unsafe { Block::of(self.top[path.top ^ span]) };
        if buddy.depth != block.depth || buddy.width > MERGE_WIDTH {
            return;
        }
        self.node_bytes -= block.bytes() + buddy.bytes();
        let one = if path.top & span == 0 {
            block.merged(buddy)
        } else {
            buddy.merged(block)
        };
        self.node_bytes += one.bytes();
        self.place(path.top, one);
        if self.blocks().all(|b| b.depth < self.top_bits()) {
            self.top = self.top.iter().copied().step_by(2).collect();
        }
    }

    /// Gives up all nodes.
    fn clear_nodes(&mut self) {
        let blocks: Vec<Block> = self.blocks().collect();
        self.forget_nodes();
        for block in blocks {
            // SAFETY: the count our top had, which names it no longer.
            unsafe { block.release::<V>() };
        }
    }

    /// Becomes empty; the blocks' counts are the caller's.
    fn forget_nodes(&mut self) {
        self.top = Vec::new();
        self.depths = Vec::new();
        (self.len, self.volatile, self.deadlines, self.node_bytes) = (0, 0, 0, 0);
    }
}

impl<V: Payload> Clone for Table<V> {
    /// Shares all nodes: O(blocks), a few microseconds for ten million keys.
    fn clone(&self) -> Table<V> {
        count_copied(self.top.len() * size_of::<Word>());
        let family = self.family.get_or_init(|| Shared::new(())).clone();
        self.blocks().for_each(|b| b.count().acquire());
        Table {
            top: self.top.clone(),
            len: self.len,
            volatile: self.volatile,
            deadlines: self.deadlines,
            walks: self.walks,
            seed: self.seed,
            depths: self.depths.clone(),
            node_bytes: self.node_bytes,
            family: OnceLock::from(family),
            values: PhantomData,
        }
    }
}

impl<V: Payload> Drop for Table<V> {
    /// The nodes go first, then (as a field) the family token: who sees the token alone sees the nodes alone.
    fn drop(&mut self) {
        self.clear_nodes();
    }
}

impl<V: Payload> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} entries)", self.len)
    }
}

// ---------------------------------------------------------------------------------------------- EntryMut

/// An entry for changing. The way to it belongs to this table alone; the entry itself is unshared on demand.
pub struct EntryMut<'a, V: Payload> {
    table: &'a mut Table<V>,
    hash: u64,
    path: Path,
    slot: usize,
    checked: bool,
}

impl<V: Payload> fmt::Debug for EntryMut<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry().fmt(f)
    }
}

impl<'a, V: Payload> EntryMut<'a, V> {
    #[inline]
    fn raw(&self) -> Raw {
        // SAFETY: the word of an entry in the table we borrow.
        unsafe { Raw::of(self.path.segment.get(self.slot)) }
    }

    /// The same entry, for reading.
    pub fn entry(&self) -> Entry<'_, V> {
        // SAFETY: the borrow of self keeps the table as it is.
        unsafe { Entry::new(self.raw()) }
    }

    /// Gives up writing for a longer look.
    pub fn into_entry(self) -> Entry<'a, V> {
        // SAFETY: the unique borrow of the table for 'a is what we hold, and we end here.
        unsafe { Entry::new(self.raw()) }
    }

    /// The entry with no other owner.
    #[inline]
    fn own(&mut self) -> Raw {
        let raw = self.raw();
        if raw.count().is_one() {
            return raw;
        }
        let new = raw.copy::<V>();
        count_copied(new.bytes::<V>());
        let old = self.table.exchange(&self.path, self.slot, new);
        // SAFETY: the count the segment had.
        unsafe { old.release::<V>() };
        new
    }

    /// Whether neither a clone of the table nor a handle shares the entry.
    pub fn is_unique(&self) -> bool {
        self.raw().count().is_one()
    }

    /// The object, if it is not a string.
    #[inline]
    pub fn object_mut(&mut self) -> Option<&mut V> {
        // SAFETY: `own` made us the only owner, and the result borrows self uniquely.
        unsafe { self.own().object_mut() }
    }

    /// As [`EntryMut::object_mut`], for as long as the table is borrowed.
    #[inline]
    pub fn into_object_mut(mut self) -> Option<&'a mut V> {
        // SAFETY: `own` made us the only owner, and the unique borrow of the table lasts for 'a.
        unsafe { self.own().object_mut() }
    }

    /// Changes the value, in place when it fits. Returns the old one if it was more than inline bytes.
    pub fn set(&mut self, value: NewValue<'_, V>, deadline: Deadline) -> Option<Removed<V>> {
        let path = self.path;
        match self
            .table
            .overwrite(&path, self.slot, value, deadline, |old| old.unwrap_or(0))
        {
            Inserted::Replaced(old) => Some(old),
            Inserted::New | Inserted::InPlace(_) => None,
        }
    }

    /// Sets or clears the deadline; `true` if that changed anything.
    pub fn set_deadline(&mut self, deadline: Option<i64>) -> bool {
        let old = self.raw().deadline();
        if old == deadline {
            return false;
        }
        if let Some(ms) = deadline
            && old.is_some()
        {
            // SAFETY: `own` made us the only owner, and we borrow the table uniquely.
            unsafe { self.own().rewrite_deadline(ms) };
            self.table.retag(&self.path, self.slot, old, deadline);
            return true;
        }
        // The entry changes shape. `remade` consumes the count the segment has, so the word is replaced at once.
        let raw = self.raw();
        let new = raw.remade::<V>(None, deadline);
        let word = self.path.segment.get(self.slot);
        let tag = segment::with_volatile(word.tag(), deadline.is_some());
        self.path.segment.replace(self.slot, new.word(tag));
        let path = self.path;
        self.table.account(&path, old, deadline);
        true
    }

    /// A string's bytes to write to, at least `len` of them (the new ones zero); `None` for an object.
    ///
    /// An integer becomes its digits. The value counts as edited from here on.
    pub fn bytes_mut(&mut self, len: usize) -> Result<Option<&mut [u8]>, TooLarge> {
        let mut scratch = IntBuf::new();
        let raw = self.raw();
        let ValueRef::String(string) = raw.value::<V>() else {
            return Ok(None);
        };
        if string.big().is_none() {
            let old = string.as_bytes(&mut scratch);
            if len > INLINE_MAX {
                let big = entry::extended(old, len, b"")?;
                self.set(NewValue::Big(big), Deadline::Keep);
            } else if len > old.len() || string.as_int().is_some() {
                let mut inline = [0; INLINE_MAX];
                inline[..old.len()].copy_from_slice(old);
                let len = len.max(old.len());
                self.set(NewValue::RawBytes(&inline[..len]), Deadline::Keep);
            }
        }
        let raw = self.own();
        // SAFETY: `own` made us the only owner, and the result borrows self uniquely.
        if let Some(big) = unsafe { raw.big_mut() } {
            if len > big.capacity() && len / 2 > big.len() {
                // Most of it will be zero: that is had for less than it is written.
                *big = entry::extended(big, len, b"")?;
            }
            let mut w = big.try_make_mut()?;
            if w.len() < len {
                let more = len - w.len();
                w.reserve(more)?;
                w.resize(len, 0)?;
            }
            return Ok(Some(w.into_slice()));
        }
        // SAFETY: as above.
        Ok(unsafe { raw.inline_mut::<V>() })
    }

    /// Appends to a string and returns its new length; `None` for an object. Amortised O(tail).
    pub fn append(&mut self, tail: &[u8]) -> Result<Option<usize>, TooLarge> {
        let mut scratch = IntBuf::new();
        let ValueRef::String(string) = self.raw().value::<V>() else {
            return Ok(None);
        };
        if string.big().is_some() {
            let raw = self.own();
            // SAFETY: `own` made us the only owner, and we borrow the table uniquely.
            let big = unsafe { raw.big_mut() }.expect("a long string");
            let mut w = big.try_make_mut()?;
            w.extend_from_slice(tail)?;
            return Ok(Some(w.len()));
        }
        let old = string.as_bytes(&mut scratch);
        let len = old.len() + tail.len();
        if len <= INLINE_MAX {
            let mut inline = [0; INLINE_MAX];
            inline[..old.len()].copy_from_slice(old);
            inline[old.len()..len].copy_from_slice(tail);
            self.set(NewValue::RawBytes(&inline[..len]), Deadline::Keep);
        } else {
            let big = entry::extended(old, len, tail)?;
            self.set(NewValue::Big(big), Deadline::Keep);
        }
        Ok(Some(len))
    }

    /// Takes the entry out of the table.
    pub fn remove(self) -> Removed<V> {
        let removed = self.table.unlink(&self.path, self.slot);
        self.table.tidy(self.hash, self.checked);
        removed
    }
}
