//! A block: a small directory of segments, the node between the table's top and its segments.
//!
//! ```text
//!   [ count | volatile | earliest ][ word ][ word ] ... 2^width segment words, width 0..=8
//! ```
//!
//! A block of depth `b` serves the keys whose hash begins with its `b` bits; the next `width` bits index the words. A
//! segment that is less deep than that is named by several neighbouring words, all equal, and is counted once.
//! Depth and width are kept in the tag of the words that point here, so that a lookup need not read the head.
//!
//! `earliest` is a lower bound of the deadlines below: the active expiry skips the block until then.
//!
//! Mirrors: no file of Redis; `ht_table` of dict.c is one array for all keys.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::ptr::{self, NonNull};

use super::Payload;
use super::segment::Segment;
use super::word::{Word, prefetch};
use crate::collections::shared::{Count, good_size};

/// Up to 2^8 words: a copy under a snapshot is 2 KB.
pub(super) const MAX_WIDTH: u32 = 8;

/// A block's address, with what the word in the top says about it. The same promise as [`Segment`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    at: NonNull<u8>,
    pub(super) depth: u32,
    pub(super) width: u32,
}

#[repr(C)]
struct Head {
    count: Count,
    volatile: u32,
    earliest: i64,
}

impl Block {
    fn layout(width: u32) -> Layout {
        let size = size_of::<Head>() + (size_of::<Word>() << width);
        Layout::from_size_align(good_size(size), align_of::<Head>()).expect("a few kilobytes")
    }

    /// A block with a count of one; the caller sets all its words next.
    fn allocate(depth: u32, width: u32) -> Block {
        let layout = Block::layout(width);
        // SAFETY: never of size zero. Zeroed words are empty words.
        let raw = unsafe { alloc::alloc_zeroed(layout) };
        let at = NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: fresh, aligned, larger than the head.
        unsafe {
            at.cast::<Head>().write(Head {
                count: Count::one(),
                volatile: 0,
                earliest: i64::MAX,
            })
        };
        Block { at, depth, width }
    }

    /// A block of segments as deep as its words can tell apart.
    pub(super) fn laid_out(depth: u32, width: u32, mut segment: impl FnMut() -> Segment) -> Block {
        let block = Block::allocate(depth, width);
        for slot in 0..block.slots() {
            block.set(slot, segment().word());
        }
        block
    }

    /// # Safety
    /// The word is from the top of a live table, and the block stays alive while the result is in use.
    #[inline]
    pub(super) unsafe fn of(word: Word) -> Block {
        let tag = word.tag();
        Block {
            at: word.to(),
            depth: u32::from(tag >> 4),
            width: u32::from(tag & 15),
        }
    }

    pub(super) fn word(self) -> Word {
        Word::new(self.at, (self.depth as u16) << 4 | self.width as u16)
    }

    pub(super) fn bytes(self) -> usize {
        Block::layout(self.width).size()
    }

    #[inline]
    pub(super) fn count<'a>(self) -> &'a Count {
        // SAFETY: a live block begins with its count, which is only ever accessed as one.
        unsafe { self.at.cast::<Count>().as_ref() }
    }

    pub(super) fn volatile(self) -> u32 {
        // SAFETY: a live block has a head; only its sole owner writes this field.
        unsafe { (*self.at.cast::<Head>().as_ptr()).volatile }
    }

    pub(super) fn earliest(self) -> i64 {
        // SAFETY: as above.
        unsafe { (*self.at.cast::<Head>().as_ptr()).earliest }
    }

    pub(super) fn set_earliest(self, ms: i64) {
        // SAFETY: callers own the block alone.
        unsafe { (*self.at.cast::<Head>().as_ptr()).earliest = ms };
    }

    pub(super) fn set_volatile(self, n: u32) {
        // SAFETY: callers own the block alone.
        unsafe { (*self.at.cast::<Head>().as_ptr()).volatile = n };
    }

    pub(super) fn add_volatile(self, n: i32) {
        self.set_volatile(self.volatile().wrapping_add_signed(n));
    }

    pub(super) fn slots(self) -> usize {
        1 << self.width
    }

    #[inline]
    fn at(self, slot: usize) -> *mut Word {
        debug_assert!(slot < self.slots());
        // SAFETY: within the block.
        unsafe {
            self.at
                .as_ptr()
                .add(size_of::<Head>())
                .cast::<Word>()
                .add(slot)
        }
    }

    #[inline]
    fn get(self, slot: usize) -> Word {
        // SAFETY: an initialised word of a live block.
        unsafe { self.at(slot).read() }
    }

    #[inline]
    fn set(self, slot: usize, word: Word) {
        // SAFETY: callers own the block alone.
        unsafe { self.at(slot).write(word) };
    }

    /// Which word serves this hash.
    #[inline]
    pub(super) fn index(self, hash: u64) -> usize {
        // Two shifts, because one by 64 is not allowed.
        ((hash << self.depth) >> 1 >> (63 - self.width)) as usize
    }

    #[inline]
    pub(super) fn segment(self, slot: usize) -> Segment {
        // SAFETY: every word of a live block names a live segment.
        unsafe { Segment::of(self.get(slot)) }
    }

    pub(super) fn prefetch(self, hash: u64) {
        prefetch(self.at(self.index(hash)).cast_const().cast());
    }

    /// How many neighbouring words name this segment.
    #[inline]
    pub(super) fn span(self, segment: Segment) -> usize {
        1 << (self.depth + self.width - segment.depth)
    }

    /// Names `segment` in all words of its range around `slot`.
    pub(super) fn place(self, slot: usize, segment: Segment) {
        let span = self.span(segment);
        let start = slot & !(span - 1);
        for i in start..start + span {
            self.set(i, segment.word());
        }
    }

    /// Each segment once, with the first of its words.
    pub(super) fn segments(self) -> impl Iterator<Item = (usize, Segment)> {
        let mut slot = 0;
        std::iter::from_fn(move || {
            (slot < self.slots()).then(|| {
                let (at, segment) = (slot, self.segment(slot));
                slot += self.span(segment);
                (at, segment)
            })
        })
    }

    /// The same segments in a new block; each gains an owner. The old block is untouched.
    pub(super) fn copy(self) -> Block {
        let new = self.twin(self.width);
        // SAFETY: both blocks have this many words, and the new one is ours alone.
        unsafe { ptr::copy_nonoverlapping(self.at(0), new.at(0), self.slots()) };
        // The counts lie in as many cold lines as there are segments: asked for all at once, waited for once.
        self.segments().for_each(|(_, s)| s.prefetch_head());
        self.segments().for_each(|(_, s)| s.count().acquire());
        new
    }

    fn twin(self, width: u32) -> Block {
        let new = Block::allocate(self.depth, width);
        new.set_volatile(self.volatile());
        new.set_earliest(self.earliest());
        new
    }

    /// Twice the words for the same segments. The caller owns the block alone, and it is consumed.
    pub(super) fn widened(self) -> Block {
        let new = self.twin(self.width + 1);
        for i in 0..self.slots() {
            new.set(2 * i, self.get(i));
            new.set(2 * i + 1, self.get(i));
        }
        self.free_shell();
        new
    }

    /// Half the words. The caller owns the block alone and knows that no segment needs them; it is consumed.
    pub(super) fn narrowed(self) -> Block {
        let new = self.twin(self.width - 1);
        for i in 0..new.slots() {
            new.set(i, self.get(2 * i));
        }
        self.free_shell();
        new
    }

    /// Two blocks of half the words. The caller owns the block alone, no segment spans all of it; it is consumed.
    pub(super) fn split(self) -> (Block, Block) {
        let half = self.slots() / 2;
        let [low, high] = [0, half].map(|from| {
            let new = Block::allocate(self.depth + 1, self.width - 1);
            (0..half).for_each(|i| new.set(i, self.get(from + i)));
            new.set_volatile(new.segments().map(|(_, s)| s.volatile() as u32).sum());
            new.set_earliest(self.earliest());
            new
        });
        self.free_shell();
        (low, high)
    }

    /// One block from two buddies of one depth (the lower first). The caller owns both alone; they are consumed.
    pub(super) fn merged(self, high: Block) -> Block {
        let width = self.width.max(high.width) + 1;
        let new = Block::allocate(self.depth - 1, width);
        let half = new.slots() / 2;
        for (from, block) in [(0, self), (half, high)] {
            let repeat = half >> block.width;
            for i in 0..half {
                new.set(from + i, block.get(i / repeat));
            }
        }
        new.set_volatile(self.volatile() + high.volatile());
        new.set_earliest(self.earliest().min(high.earliest()));
        self.free_shell();
        high.free_shell();
        new
    }

    /// Gives up one count; with the last, the block and its counts of the segments go.
    ///
    /// # Safety
    /// The caller owns the count it gives up and does not use the block again.
    pub(super) unsafe fn release<V: Payload>(self) {
        if self.count().release() {
            for (_, segment) in self.segments() {
                // SAFETY: the block owned one count of each of its segments; the iterator has moved past this one.
                unsafe { segment.release::<V>() };
            }
            self.free_shell();
        }
    }

    /// Frees the memory of a block owned alone, whose counts of the segments have moved or been released.
    fn free_shell(self) {
        // SAFETY: allocated with this layout; sole owner by the callers' promise.
        unsafe { alloc::dealloc(self.at.as_ptr(), Block::layout(self.width)) };
    }
}
