//! A segment: up to sixteen cache lines of entry words, the unit that splits, merges and is copied on write.
//!
//! ```text
//!   line 0   [ head ][word][word][word][word][word][word][word]
//!   line 1   [ word ][word] ...                                     1, 2, 4, 8, 10, 12, 14 or 16 lines
//!
//!   line n   [ len | volatile ][ unused ... ]                       behind 64, 128, 256 ... lines of a wide one
//! ```
//!
//! Keys whose hashes agree in many bits cannot be separated by splitting. A segment of such keys grows past sixteen
//! lines instead ([`grown`]), and past 31 lines it is *wide*: its counters are too large for the head, so they have
//! one more line to themselves, behind the others. Lookups in it are slow, O(keys with that hash); nothing else
//! changes. No random keys make a wide segment; an attacker who knows the seed could.
//!
//! A key's *home* is a line, computed from its word's tag alone; when that line is full the key lives in the first
//! later line (cyclically) with room. Invariant: every line between a key's home and its place is full. So a
//! lookup stops at the first line with a hole, and a removal pulls back what had been pushed out.
//!
//! The tag of an entry word: `volatile 1 | occupied 1 | nibble 4 | low 10`. Low = low hash bits, which also give
//! the home line. Nibble = the four position bits that the next splits look at, so that three splits of four need
//! not look at the entries.
//!
//! Mirrors: a bucket of dict.c. Differs: no chains and no pointers between entries, so a lookup is one line of DRAM and
//! the entry.
#![allow(unsafe_code)]

use std::alloc::{self, Layout, handle_alloc_error};
use std::ptr::NonNull;

use super::Payload;
use super::entry::Raw;
use super::word::{Word, prefetch};
use crate::collections::shared::Count;

/// Words per line.
const LINE: usize = 8;

/// Lines of a segment that has reached its usual full size.
pub(super) const FULL_LINES: usize = 16;

/// Beyond this depth a segment grows instead of splitting; see [`depth_limit`] for the bound that is met before.
pub(super) const MAX_DEPTH: u32 = 36;

/// Lines of a segment that is not wide; its slots must be countable in a u8.
const NARROW_LINES: usize = 31;

const VOLATILE: u16 = 1 << 15;
const OCCUPIED: u16 = 1 << 14;
const NIBBLE_AT: u32 = 10;
const LOW: u16 = (1 << NIBBLE_AT) - 1;

/// A segment's address, with what the word in the block says about it.
///
/// A promise as [`Raw`] is: whoever makes one keeps the segment alive, and writes only to one it owns alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    at: NonNull<u8>,
    pub(super) lines: usize,
    /// Leading hash bits that all keys in here share.
    pub(super) depth: u32,
}

#[repr(C)]
struct Head {
    count: Count,
    len: u8,
    volatile: u8,
    due: u16,
}

/// A lower bound of the deadlines in a segment, in sixteen bits: units of 256 ms, modulo 2^16, so that it tells time
/// only around a known moment. It lets the active expiry pass a segment by after one look at its head.
///
/// Bookings are kept within [`Due::HORIZON_MS`] after the last walk, and a walk looks again at whatever is due, so
/// what is booked is never older than the walk before last: while that is less than two hours ago ([`Due::TRUST_MS`]),
/// 2.3 hours either way are enough to tell. Otherwise the walk looks at everything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Due(u16);

impl Due {
    const UNIT_BITS: u32 = 8;
    pub(super) const HORIZON_MS: i64 = 90 * 60_000;
    pub(super) const TRUST_MS: i64 = 120 * 60_000;

    fn of(ms: i64) -> Due {
        Due((ms >> Due::UNIT_BITS) as u16)
    }

    /// The moment meant, if it is within 2.3 hours of `now`; never later than what was booked.
    pub(super) fn at(self, now: i64) -> i64 {
        let ahead = self.0.wrapping_sub(Due::of(now).0) as i16;
        ((now >> Due::UNIT_BITS) + i64::from(ahead)) << Due::UNIT_BITS
    }

    fn earlier(self, other: Due) -> Due {
        if (self.0.wrapping_sub(other.0) as i16) < 0 {
            self
        } else {
            other
        }
    }
}

/// How deep segments of a table with so many entries may be. Random keys stay five bits below it. Without it some
/// hundred keys with one hash would make the table as deep as hashes are long, and its top billions of words wide.
pub(super) fn depth_limit(entries: usize) -> u32 {
    MAX_DEPTH.min(entries.max(1).ilog2() + 3)
}

/// Entries a segment of so many lines takes before it grows or splits: 84 % of its slots, all of a single line.
pub(super) const fn limit(lines: usize) -> usize {
    if lines == 1 {
        LINE - 1
    } else {
        (lines * LINE - 1) * 84 / 100 + 1
    }
}

/// The lines of a segment that is full, has `lines` of them, and cannot split.
pub(super) fn grown(lines: usize) -> usize {
    match lines {
        0..FULL_LINES => FULL_LINES,
        FULL_LINES..NARROW_LINES => (lines + 2).min(NARROW_LINES),
        // 32 would hold hardly more.
        NARROW_LINES => 64,
        _ => lines * 2,
    }
}

/// The number of lines that suits `len` entries.
pub(super) fn lines_for(len: usize) -> usize {
    const SIZES: [usize; 8] = [1, 2, 4, 8, 10, 12, 14, 16];
    let usual = SIZES.into_iter().find(|&n| len <= limit(n));
    usual.unwrap_or_else(|| {
        let mut lines = FULL_LINES;
        while limit(lines) < len {
            lines = grown(lines);
        }
        lines
    })
}

/// How a word of a block says a number of lines in eight bits: as it is, or, of a wide segment, by its power of two.
fn code_of(lines: usize) -> u16 {
    match lines {
        ..=NARROW_LINES => lines as u16,
        _ => NARROW_LINES as u16 + (lines / (NARROW_LINES + 1)).ilog2() as u16 + 1,
    }
}

#[inline]
fn lines_of(code: usize) -> usize {
    if code <= NARROW_LINES {
        code
    } else {
        wide_lines_of(code)
    }
}

#[cold]
fn wide_lines_of(code: usize) -> usize {
    (NARROW_LINES + 1) << (code - NARROW_LINES - 1)
}

/// The tag of the word for a key with this hash in a segment of this depth, without the volatile bit.
#[inline]
pub(super) fn tag_of(hash: u64, depth: u32) -> u16 {
    OCCUPIED | nibble(hash, depth) << NIBBLE_AT | hash as u16 & LOW
}

pub(super) fn with_volatile(tag: u16, volatile: bool) -> u16 {
    if volatile {
        tag | VOLATILE
    } else {
        tag & !VOLATILE
    }
}

pub(super) fn is_volatile(word: Word) -> bool {
    word.tag() & VOLATILE != 0
}

#[inline]
fn nibble(hash: u64, depth: u32) -> u16 {
    (hash >> (60 - (depth & !3)) & 15) as u16
}

#[inline]
fn home(tag: u16, lines: usize) -> usize {
    (usize::from(tag & 0xFF) * lines) >> 8
}

impl Segment {
    fn layout(lines: usize) -> Layout {
        let counters = usize::from(lines > NARROW_LINES);
        Layout::from_size_align((lines + counters) * 64, 64).expect("fewer lines than entries")
    }

    /// An empty segment with a count of one.
    pub(super) fn new(lines: usize, depth: u32) -> Segment {
        debug_assert!(lines >= 1 && lines_of(usize::from(code_of(lines))) == lines);
        let layout = Segment::layout(lines);
        // SAFETY: never of size zero. Zeroed words are empty words.
        let raw = unsafe { alloc::alloc_zeroed(layout) };
        let at = NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: fresh, aligned, larger than the head.
        unsafe {
            at.cast::<Head>().write(Head {
                count: Count::one(),
                len: 0,
                volatile: 0,
                due: 0,
            })
        };
        Segment { at, lines, depth }
    }

    /// # Safety
    /// The word is a segment word of a live block, and the segment stays alive while the result is in use.
    #[inline]
    pub(super) unsafe fn of(word: Word) -> Segment {
        let tag = word.tag();
        Segment {
            at: word.to(),
            lines: lines_of(usize::from(tag & 0xFF)),
            depth: u32::from(tag >> 8),
        }
    }

    /// The word a block keeps: address, lines, depth.
    pub(super) fn word(self) -> Word {
        Word::new(self.at, code_of(self.lines) | (self.depth as u16) << 8)
    }

    pub(super) fn bytes(self) -> usize {
        Segment::layout(self.lines).size()
    }

    #[inline]
    pub(super) fn count<'a>(self) -> &'a Count {
        // SAFETY: a live segment begins with its count, which is only ever accessed as one.
        unsafe { self.at.cast::<Count>().as_ref() }
    }

    /// The counters of a wide segment, `[len, volatile]`; of another one, nothing.
    #[inline]
    fn wide_counts(self) -> Option<*mut [u32; 2]> {
        // SAFETY: within the line behind the entries, which wide segments alone have.
        (self.lines > NARROW_LINES).then(|| unsafe { self.at.as_ptr().add(self.lines * 64).cast() })
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        if let Some(counts) = self.wide_counts() {
            // SAFETY: a live wide segment has these counters; only its sole owner writes them.
            return unsafe { (*counts)[0] } as usize;
        }
        // SAFETY: a live segment has a head; only its sole owner writes this byte.
        usize::from(unsafe { (*self.at.cast::<Head>().as_ptr()).len })
    }

    pub(super) fn volatile(self) -> usize {
        if let Some(counts) = self.wide_counts() {
            // SAFETY: as above.
            return unsafe { (*counts)[1] } as usize;
        }
        // SAFETY: as above.
        usize::from(unsafe { (*self.at.cast::<Head>().as_ptr()).volatile })
    }

    pub(super) fn due(self) -> Due {
        // SAFETY: as above.
        Due(unsafe { (*self.at.cast::<Head>().as_ptr()).due })
    }

    /// Books that no deadline is earlier than `ms`. The last walk was at `walked`.
    pub(super) fn set_due(self, ms: i64, walked: i64) {
        self.write_due(Due::of(ms.clamp(walked - 1, walked + Due::HORIZON_MS)));
    }

    /// Books one more deadline, already counted. The bookings of a segment without deadlines are meaningless.
    pub(super) fn add_due(self, ms: i64, walked: i64) {
        if self.volatile() <= 1 || ms < self.due().at(walked) {
            self.set_due(ms, walked);
        }
    }

    fn write_due(self, due: Due) {
        // SAFETY: callers own the segment alone.
        unsafe { (*self.at.cast::<Head>().as_ptr()).due = due.0 };
    }

    fn add(self, len: i32, volatile: i32) {
        if let Some(counts) = self.wide_counts() {
            // SAFETY: callers own the segment alone.
            let counts = unsafe { &mut *counts };
            counts[0] = counts[0].wrapping_add_signed(len);
            counts[1] = counts[1].wrapping_add_signed(volatile);
            return;
        }
        // SAFETY: callers own the segment alone; the raw place is accessed without a reference to the whole head,
        // whose count other threads never touch then.
        unsafe {
            let head = self.at.cast::<Head>().as_ptr();
            (*head).len = (i32::from((*head).len) + len) as u8;
            (*head).volatile = (i32::from((*head).volatile) + volatile) as u8;
        }
    }

    /// The end of the slots. Slot 0 is the head; entries have those behind it.
    pub(super) fn slots(self) -> usize {
        self.lines * LINE
    }

    /// Slots for entries.
    pub(super) fn capacity(self) -> usize {
        self.slots() - 1
    }

    #[inline]
    fn at(self, slot: usize) -> *mut Word {
        debug_assert!(slot >= 1 && slot < self.slots());
        // SAFETY: within the segment.
        unsafe { self.at.cast::<Word>().as_ptr().add(slot) }
    }

    #[inline]
    pub(super) fn get(self, slot: usize) -> Word {
        // SAFETY: an initialised word of a live segment.
        unsafe { self.at(slot).read() }
    }

    #[inline]
    fn set(self, slot: usize, word: Word) {
        // SAFETY: callers own the segment alone.
        unsafe { self.at(slot).write(word) };
    }

    /// All occupied slots.
    pub(super) fn words(self) -> impl Iterator<Item = Word> {
        (1..self.slots())
            .map(move |i| self.get(i))
            .filter(|w| !w.is_empty())
    }

    pub(super) fn prefetch_home(self, hash: u64) {
        let line = home(tag_of(hash, self.depth), self.lines);
        prefetch(self.at.as_ptr().wrapping_add(line * 64));
    }

    /// Asks the cache for the entries that may be this key's.
    pub(super) fn prefetch_matches(self, hash: u64) {
        let tag = tag_of(hash, self.depth);
        let line = home(tag, self.lines);
        let (mut hits, _) = self.probe(line, tag);
        while hits != 0 {
            self.get(line * LINE + hits.trailing_zeros() as usize)
                .prefetch();
            hits &= hits - 1;
        }
    }

    pub(super) fn prefetch_head(self) {
        prefetch(self.at.as_ptr());
    }

    pub(super) fn prefetch_entries(self) {
        self.words().for_each(Word::prefetch);
    }

    /// Looks at all words of a line at once: those with this tag (volatile or not), and the holes, a bit for each.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    fn probe(self, line: usize, tag: u16) -> (u32, u32) {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86-64. A line is 64 bytes, aligned to 64. Of line 0 the first word is the head, whose
        // count other threads may be changing: it is not read.
        unsafe {
            let at = self.at.as_ptr().cast::<__m128i>().add(line * 4);
            let first = match line {
                0 => _mm_slli_si128::<8>(_mm_loadl_epi64(at.byte_add(8))),
                _ => _mm_load_si128(at),
            };
            let mask = _mm_set1_epi64x(i64::from(!VOLATILE));
            let tags = |v| _mm_and_si128(_mm_srli_epi64::<48>(v), mask);
            // Packing signed 32-bit lanes twice leaves the eight tags, which are below 2^15, side by side.
            let [b, c, d] = [1, 2, 3].map(|i| tags(_mm_load_si128(at.add(i))));
            let low = _mm_packs_epi32(tags(first), b);
            let all = _mm_packs_epi32(low, _mm_packs_epi32(c, d));
            let hits = _mm_cmpeq_epi16(all, _mm_set1_epi16(tag as i16));
            let holes = _mm_cmpeq_epi16(all, _mm_setzero_si128());
            let both = _mm_movemask_epi8(_mm_packs_epi16(hits, holes)) as u32;
            (both & 0xFF, (both >> 8) & !u32::from(line == 0))
        }
    }

    /// Looks at all words of a line: those with this tag (volatile or not), and the holes, a bit for each.
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    #[inline]
    fn probe(self, line: usize, tag: u16) -> (u32, u32) {
        let (mut hits, mut holes) = (0, 0);
        for i in usize::from(line == 0)..LINE {
            let word = self.get(line * LINE + i);
            hits |= u32::from(word.tag() & !VOLATILE == tag) << i;
            holes |= u32::from(word.is_empty()) << i;
        }
        (hits, holes)
    }

    /// The line after one, the first after the last.
    #[inline]
    fn next_line(self, line: usize) -> usize {
        if line + 1 == self.lines { 0 } else { line + 1 }
    }

    /// The slot of `key`.
    #[inline]
    pub(super) fn find<V>(self, hash: u64, key: &[u8]) -> Option<usize> {
        let tag = tag_of(hash, self.depth);
        let mut line = home(tag, self.lines);
        for _ in 0..self.lines {
            let (mut hits, holes) = self.probe(line, tag);
            while hits != 0 {
                let slot = line * LINE + hits.trailing_zeros() as usize;
                // SAFETY: an occupied word of a live segment points to a live entry.
                if unsafe { Raw::of(self.get(slot)) }.key::<V>() == key {
                    return Some(slot);
                }
                hits &= hits - 1;
            }
            if holes != 0 {
                return None;
            }
            line = self.next_line(line);
        }
        None
    }

    /// Puts a word into the first hole from its home on; the caller knows that there is one. Returns the slot.
    pub(super) fn insert(self, word: Word) -> usize {
        debug_assert!(self.len() < self.capacity());
        let mut line = home(word.tag(), self.lines);
        loop {
            let (_, holes) = self.probe(line, 0);
            if holes != 0 {
                let slot = line * LINE + holes.trailing_zeros() as usize;
                self.set(slot, word);
                self.add(1, i32::from(is_volatile(word)));
                return slot;
            }
            line = self.next_line(line);
        }
    }

    /// Puts `word` in the place of another for the same key.
    pub(super) fn replace(self, slot: usize, word: Word) {
        let old = self.get(slot);
        self.add(
            0,
            i32::from(is_volatile(word)) - i32::from(is_volatile(old)),
        );
        self.set(slot, word);
    }

    /// Empties a slot and restores the invariant: whatever was pushed past it moves back.
    pub(super) fn remove(self, slot: usize) -> Word {
        let gone = self.get(slot);
        self.add(-1, -i32::from(is_volatile(gone)));
        let mut hole = slot;
        let mut hole_line = slot / LINE;
        // A line with another hole never pushed anything out.
        let mut pushed = !self.has_hole(hole_line);
        self.set(hole, Word::EMPTY);
        let mut line = hole_line;
        while pushed {
            line = self.next_line(line);
            if line == hole_line {
                break;
            }
            let distance = (line + self.lines - hole_line) % self.lines;
            let full = !self.has_hole(line);
            let candidate = ((line * LINE).max(1)..(line + 1) * LINE).find(|&i| {
                let word = self.get(i);
                !word.is_empty() && {
                    let home = home(word.tag(), self.lines);
                    let from_home = (line + self.lines - home) % self.lines;
                    from_home >= distance
                }
            });
            if let Some(i) = candidate {
                self.set(hole, self.get(i));
                self.set(i, Word::EMPTY);
                (hole, hole_line) = (i, line);
            }
            pushed = full;
        }
        gone
    }

    fn has_hole(self, line: usize) -> bool {
        self.probe(line, 0).1 != 0
    }

    /// The same entries in a new segment; each entry gains an owner. The old segment is untouched.
    pub(super) fn copy(self) -> Segment {
        self.prefetch_entries();
        let new = Segment::new(self.lines, self.depth);
        for slot in 1..self.slots() {
            let word = self.get(slot);
            if !word.is_empty() {
                // SAFETY: a word of a live segment.
                unsafe { Raw::of(word) }.count().acquire();
                new.set(slot, word);
            }
        }
        new.add(self.len() as i32, self.volatile() as i32);
        new.write_due(self.due());
        new
    }

    /// Moves all entries out, giving up the caller's count of the segment; each word returned owns a count.
    fn drain<V: Payload>(self) -> Vec<Word> {
        let mut words = Vec::with_capacity(self.len());
        words.extend(self.words());
        if self.count().is_one() {
            // SAFETY: sole owner, and the entries' counts have moved to `words`.
            unsafe { self.free_shell() };
        } else {
            for &word in &words {
                // SAFETY: a word of a live segment.
                unsafe { Raw::of(word) }.count().acquire();
            }
            // SAFETY: the caller's count, given up.
            unsafe { self.release::<V>() };
        }
        words
    }

    /// The same entries in a segment of another size. Consumes the caller's count.
    pub(super) fn resized<V: Payload>(self, lines: usize) -> Segment {
        let new = Segment::new(lines, self.depth);
        new.write_due(self.due());
        for word in self.drain::<V>() {
            new.insert(word);
        }
        new
    }

    /// Two segments, one bit deeper, each of the size that suits it. Consumes the caller's count.
    pub(super) fn split<V: Payload>(self, seed: u64) -> (Segment, Segment) {
        let depth = self.depth + 1;
        let bit = NIBBLE_AT + 3 - self.depth % 4;
        let new_nibble = depth.is_multiple_of(4);
        if new_nibble {
            self.prefetch_entries();
        }
        let (due, len) = (self.due(), self.len());
        let mut halves = [Vec::with_capacity(len), Vec::with_capacity(len)];
        for mut word in self.drain::<V>() {
            let half = usize::from(word.tag() >> bit & 1);
            if new_nibble {
                word = retagged::<V>(word, seed, depth);
            }
            halves[half].push(word);
        }
        let [low, high] = halves.map(|words| {
            // Everything may have gone to one side.
            let new = Segment::new(lines_for(words.len() + 1), depth);
            new.write_due(due);
            words.into_iter().for_each(|w| _ = new.insert(w));
            new
        });
        (low, high)
    }

    /// One segment, one bit shallower, from two buddies (the lower first). Consumes the caller's counts.
    pub(super) fn merged<V: Payload>(self, high: Segment, seed: u64) -> Segment {
        debug_assert_eq!(self.depth, high.depth);
        let depth = self.depth - 1;
        let new = Segment::new(lines_for(self.len() + high.len() + 1), depth);
        // The nibble of a depth that is a multiple of four lacks the bit that told the buddies apart.
        let new_nibble = self.depth.is_multiple_of(4);
        new.write_due(match (self.volatile(), high.volatile()) {
            (0, _) => high.due(),
            (_, 0) => self.due(),
            _ => self.due().earlier(high.due()),
        });
        for segment in [self, high] {
            for word in segment.drain::<V>() {
                new.insert(if new_nibble {
                    retagged::<V>(word, seed, depth)
                } else {
                    word
                });
            }
        }
        new
    }

    /// Gives up one count; with the last, the segment and its counts of the entries go.
    ///
    /// # Safety
    /// The caller owns the count it gives up and does not use the segment again.
    pub(super) unsafe fn release<V: Payload>(self) {
        if self.count().release() {
            self.prefetch_entries();
            for word in self.words() {
                // SAFETY: the segment owned one count of each of its entries.
                unsafe { Raw::of(word).release::<V>() };
            }
            // SAFETY: last owner, entries released.
            unsafe { self.free_shell() };
        }
    }

    /// # Safety
    /// Sole owner; the entries' counts have been moved or released.
    unsafe fn free_shell(self) {
        // SAFETY: allocated with this layout.
        unsafe { alloc::dealloc(self.at.as_ptr(), Segment::layout(self.lines)) };
    }
}

/// The word with the tag its key has at another depth.
fn retagged<V>(word: Word, seed: u64, depth: u32) -> Word {
    // SAFETY: callers hold the word of a live entry.
    let key = unsafe { Raw::of(word) }.key::<V>();
    let hash = super::hash(seed, key);
    word.with_tag(with_volatile(tag_of(hash, depth), is_volatile(word)))
}
