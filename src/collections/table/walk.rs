//! Walking the table: iteration, scans by position, random picks, deadlines that have passed.
//!
//! Everything here goes segment by segment in the order of positions, and asks the cache for a segment's entries
//! before it looks at the first.
//!
//! A scan's cursor is a position, the first bits of a hash. With 48 bits, seed 0 and the keys of the example in
//! `mod.rs`:
//!
//! ```text
//!   cherry a4154a646513   user:1 a4f105960e8b   date a83aa37534a3   user:3 b0563d35de72   user:2 c1…   user:4 d7…
//!
//!   SCAN 0 COUNT 3                 cherry, user:1, date, and the cursor 193884440616562 = 0xb0563d35de72
//!   … the segment "1…" splits …    no key changes its position
//!   SCAN 193884440616562 COUNT 3   user:3, user:2, user:4, and the cursor 0
//! ```
//!
//! Mirrors: `dictScan()` and `dictGetFairRandomKey()` of dict.c, and the walk of `activeExpireCycle()` (expire.c).
//! Differs: dictScan() counts buckets with their bits reversed and may return a key twice when the table grows or
//! shrinks; a position never changes, so each key comes once.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use super::block::Block;
use super::entry::{Entry, Raw, Removed};
use super::segment::{Due, FULL_LINES, Segment, is_volatile, limit};
use super::word::Word;
use super::{Path, Payload, Table};

/// Shape of a table, for a human to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentStats {
    /// Words in the top, blocks, segments, slots for entries.
    pub top: usize,
    pub blocks: usize,
    pub segments: usize,
    pub slots: usize,
    /// Segments by depth.
    pub depths: Vec<u32>,
}

/// The result of one step of the active expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpireStep {
    /// Entries whose deadline was read.
    pub examined: usize,
    pub expired: usize,
    /// The walk came to the end and begins anew.
    pub wrapped: bool,
}

/// The first hash after a segment, `None` after the last.
fn after(hash: u64, segment: Segment) -> Option<u64> {
    let depth = segment.depth;
    if depth == 0 {
        return None;
    }
    let next = (hash >> (64 - depth)) + 1;
    (next >> depth == 0).then(|| next << (64 - depth))
}

/// A number below `bound`, from 64 random bits (Lemire's multiplication; the bias is below 2^-40 here).
fn below(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

impl<V: Payload> Table<V> {
    /// # Safety
    /// The word is from a segment of this table.
    unsafe fn entry(&self, word: Word) -> Entry<'_, V> {
        // SAFETY: by the promise above, and &self keeps the table as it is.
        unsafe { Entry::new(Raw::of(word)) }
    }

    fn hash_of(&self, word: Word) -> u64 {
        // SAFETY: callers pass words of this table.
        self.hash(unsafe { self.entry(word) }.key())
    }

    /// All entries, by segments in the order of positions, within a segment in no order.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter {
            table: self,
            next: Some(0),
            segment: None,
            slot: 0,
            left: self.len,
            values: PhantomData,
        }
    }

    /// Hands all entries to `f` in the order of [`Table::iter`] and gives each block up as soon as it is done, so that
    /// another table which shares it stops copying what it writes there. Ends early, and gives up the rest, when `f`
    /// says so.
    pub fn consume(
        &mut self,
        f: &mut dyn FnMut(Entry<'_, V>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let blocks: Vec<Block> = self.blocks().collect();
        // From here on the blocks' counts are ours, not the table's; a panic in `f` leaks them, which is safe.
        self.forget_nodes();
        let mut flow = ControlFlow::Continue(());
        for block in blocks {
            for (_, segment) in block.segments() {
                if flow.is_break() {
                    break;
                }
                segment.prefetch_entries();
                for word in segment.words() {
                    // SAFETY: the block, whose count we hold, keeps its entries alive and unwritten.
                    flow = f(unsafe { Entry::new(Raw::of(word)) });
                    if flow.is_break() {
                        break;
                    }
                }
            }
            // SAFETY: our count, given up.
            unsafe { block.release::<V>() };
        }
        flow
    }

    /// Calls `f` for up to `count` entries (more only where positions are equal) from position `from` on, in the order
    /// of positions, and returns the position to go on from, `None` at the end.
    ///
    /// A position is the first `bits` bits of a hash. It never changes, so an entry that is there from the first call
    /// to the last is returned exactly once, whatever else comes, goes, splits or merges. Stateless. O(count), plus
    /// one segment's keys hashed per call.
    pub fn scan(
        &self,
        from: u64,
        bits: u32,
        count: usize,
        f: &mut dyn FnMut(Entry<'_, V>),
    ) -> Option<u64> {
        debug_assert!(bits > super::segment::MAX_DEPTH && bits < 64);
        if from >> bits != 0 {
            return None;
        }
        let mut left = count.max(1);
        let mut hash = from << (64 - bits);
        let mut batch: Vec<(u64, Word)> = Vec::new();
        loop {
            let segment = self.path(hash)?.segment;
            segment.prefetch_entries();
            batch.clear();
            batch.extend(segment.words().map(|w| (self.hash_of(w) >> (64 - bits), w)));
            batch.retain(|&(position, _)| position >= from);
            batch.sort_unstable_by_key(|&(position, _)| position);
            let mut last = None;
            for &(position, word) in &batch {
                if left == 0 && last != Some(position) {
                    return Some(position);
                }
                // SAFETY: a word of this table.
                f(unsafe { self.entry(word) });
                left = left.saturating_sub(1);
                last = Some(position);
            }
            hash = after(hash, segment)?;
            if left == 0 {
                return Some(hash >> (64 - bits));
            }
        }
    }

    /// One entry, each with the same probability.
    ///
    /// A random position finds a segment; a segment is the likelier the wider it is, not the fuller, so it is
    /// accepted with a probability that makes up for that. Some two tries on average.
    pub fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<Entry<'_, V>> {
        let deepest = self.depths.len().checked_sub(1)? as u32;
        for _ in 0..10_000 {
            let segment = self.path(rng())?.segment;
            let len = segment.len() as u64;
            let bound = if deepest == 0 {
                len
            } else {
                (limit(FULL_LINES) as u64) << (deepest - segment.depth)
            };
            let mut pick = below(rng(), bound.max(1));
            if pick < len {
                if len > bound {
                    // Keys with one hash; there are more of them than such a number tells apart.
                    pick = below(rng(), len);
                }
                let word = segment.words().nth(pick as usize)?;
                // SAFETY: a word of this table.
                return Some(unsafe { self.entry(word) });
            }
        }
        // A table that was emptied under a snapshot may have next to nothing in very many segments.
        self.iter().next()
    }

    /// Calls `f` for up to `n` entries near a random place; cheaper than `n` random ones, and nearly as random.
    /// `volatile_only` skips blocks and segments without deadlines unseen. Returns how many it found.
    pub fn sample(
        &self,
        rng: &mut dyn FnMut() -> u64,
        n: usize,
        volatile_only: bool,
        f: &mut dyn FnMut(Entry<'_, V>),
    ) -> usize {
        let n = n.min(if volatile_only {
            self.volatile
        } else {
            self.len
        });
        let mut hash = rng();
        let mut found = 0;
        while found < n {
            let Some(path) = self.path(hash) else { break };
            if volatile_only && path.block.volatile() == 0 {
                hash = after_block(hash, &path).unwrap_or(0);
                continue;
            }
            let segment = path.segment;
            if !volatile_only || segment.volatile() > 0 {
                let capacity = segment.capacity();
                let first = below(rng(), capacity as u64) as usize;
                for i in 0..capacity {
                    let word = segment.get(1 + (first + i) % capacity);
                    if word.is_empty() || volatile_only && !is_volatile(word) {
                        continue;
                    }
                    // SAFETY: a word of this table.
                    f(unsafe { self.entry(word) });
                    found += 1;
                    if found == n {
                        return n;
                    }
                }
            }
            // Around the end; a full circle finds the same ones again, but n is at most what there is.
            hash = after(hash, segment).unwrap_or(0);
        }
        found
    }

    /// Looks at one block for entries whose deadline is `now` or earlier, takes them out and hands them to `f`.
    ///
    /// `cursor` is where the walk goes on; begin with 0. A block whose earliest deadline lies ahead costs one look, in
    /// other blocks so does a segment; entries are read only in segments where something is (nearly) due.
    pub fn expire_step(
        &mut self,
        cursor: &mut u64,
        now: i64,
        f: &mut dyn FnMut(Removed<V>),
    ) -> ExpireStep {
        let mut step = ExpireStep::default();
        if *cursor == 0 {
            self.walks.began = now;
        }
        self.walks.last_step = now;
        let mut gone: Vec<(u64, Removed<V>)> = Vec::new();
        let mut end = None;
        let checked = self.is_checked();
        if let Some(path) = self.path(*cursor) {
            end = after_block(*cursor, &path);
            if path.block.volatile() > 0 && path.block.earliest() <= now {
                step.examined = self.expire_block(&path, *cursor, end, now, checked, &mut gone);
                step.expired = gone.len();
            }
        }
        step.wrapped = end.is_none();
        *cursor = end.unwrap_or(0);
        if step.wrapped {
            self.walks.last_began = self.walks.began;
        }
        for (hash, removed) in gone {
            f(removed);
            self.tidy(hash, checked);
        }
        step
    }

    fn expire_block(
        &mut self,
        path: &Path,
        cursor: u64,
        end: Option<u64>,
        now: i64,
        checked: bool,
        gone: &mut Vec<(u64, Removed<V>)>,
    ) -> usize {
        let trusted = (0..Due::TRUST_MS).contains(&(now - self.walks.last_began));
        let depth = path.block.depth;
        let first = if depth == 0 {
            0
        } else {
            cursor >> (64 - depth) << (64 - depth)
        };
        let (mut examined, mut earliest) = (0, now + Due::HORIZON_MS);
        path.block.segments().for_each(|(_, s)| s.prefetch_head());
        let mut next = Some(first);
        while let Some(at) = next.filter(|&h| end.is_none_or(|end| h < end)) {
            let Some(Path { segment, .. }) = self.path(at) else {
                break;
            };
            next = after(at, segment);
            if segment.volatile() == 0 {
                continue;
            }
            let due = segment.due().at(now);
            if trusted && due > now {
                earliest = earliest.min(due);
                continue;
            }
            let volatile = || segment.words().filter(|&w| is_volatile(w));
            volatile().for_each(Word::prefetch);
            let (mut dead, mut ahead) = (Vec::new(), now + Due::HORIZON_MS);
            for word in volatile() {
                examined += 1;
                // SAFETY: a word of this table.
                let entry = unsafe { self.entry(word) };
                match entry.deadline() {
                    Some(ms) if ms <= now => dead.push(self.hash(entry.key())),
                    Some(ms) => ahead = ahead.min(ms),
                    None => {}
                }
            }
            dead.sort_unstable();
            dead.dedup();
            for hash in dead {
                self.unlink_expired(hash, now, checked, gone);
            }
            // A bound is not worth a copy of a shared node, before it gets too old to be read.
            let old = due < now - Due::TRUST_MS / 2;
            if let Some(Path { segment, .. }) = self.path(at)
                && (!checked || segment.count().is_one() || old)
                && let Some(Path { segment, .. }) = self.own_path(at, checked)
            {
                segment.set_due(ahead, now);
            }
            earliest = earliest.min(ahead);
        }
        if let Some(Path { block, .. }) = self.path(first)
            && (!checked || block.count().is_one())
        {
            block.set_earliest(earliest);
        }
        examined
    }

    /// Takes out all expired entries of one hash.
    fn unlink_expired(
        &mut self,
        hash: u64,
        now: i64,
        checked: bool,
        gone: &mut Vec<(u64, Removed<V>)>,
    ) {
        let Some(path) = self.own_path(hash, checked) else {
            return;
        };
        let tag = super::segment::tag_of(hash, path.segment.depth);
        let mut slot = 1;
        while slot < path.segment.slots() {
            let word = path.segment.get(slot);
            if super::segment::with_volatile(word.tag(), false) == tag && is_volatile(word) {
                // SAFETY: a word of this table.
                let entry = unsafe { self.entry(word) };
                if entry.deadline().is_some_and(|ms| ms <= now) && self.hash(entry.key()) == hash {
                    gone.push((hash, self.unlink(&path, slot)));
                    // Another word may have moved here.
                    continue;
                }
            }
            slot += 1;
        }
    }

    /// No deadline is earlier than this, which may lie up to an hour and a half before the first. O(blocks).
    pub fn earliest_deadline(&self) -> Option<i64> {
        self.blocks()
            .filter(|b| b.volatile() > 0)
            .map(|b| b.earliest())
            .min()
    }

    /// O(segments): for a debugging command.
    pub fn stats(&self) -> SegmentStats {
        let mut stats = SegmentStats {
            top: self.top.len(),
            depths: self.depths.clone(),
            ..Default::default()
        };
        for block in self.blocks() {
            stats.blocks += 1;
            for (_, segment) in block.segments() {
                stats.segments += 1;
                stats.slots += segment.capacity();
            }
        }
        stats
    }
}

/// The first hash after a block, `None` after the last.
fn after_block(hash: u64, path: &Path) -> Option<u64> {
    let depth = path.block.depth;
    if depth == 0 {
        return None;
    }
    let next = (hash >> (64 - depth)) + 1;
    (next >> depth == 0).then(|| next << (64 - depth))
}

/// All entries of a table; see [`Table::iter`].
pub struct Iter<'a, V: Payload> {
    table: &'a Table<V>,
    /// Where the next segment begins.
    next: Option<u64>,
    segment: Option<Segment>,
    slot: usize,
    left: usize,
    values: PhantomData<&'a V>,
}

impl<V: Payload> fmt::Debug for Iter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iter({} left)", self.left)
    }
}

impl<'a, V: Payload> Iterator for Iter<'a, V> {
    type Item = Entry<'a, V>;

    fn next(&mut self) -> Option<Entry<'a, V>> {
        loop {
            if let Some(segment) = self.segment {
                while self.slot < segment.slots() {
                    let word = segment.get(self.slot);
                    self.slot += 1;
                    if !word.is_empty() {
                        self.left -= 1;
                        // SAFETY: a word of the table, borrowed for 'a.
                        return Some(unsafe { Entry::new(Raw::of(word)) });
                    }
                }
            }
            let at = self.next?;
            let segment = self.table.path(at)?.segment;
            segment.prefetch_entries();
            self.next = after(at, segment);
            self.segment = Some(segment);
            self.slot = 1;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<V: Payload> ExactSizeIterator for Iter<'_, V> {}

impl<'a, V: Payload> IntoIterator for &'a Table<V> {
    type Item = Entry<'a, V>;
    type IntoIter = Iter<'a, V>;
    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}
