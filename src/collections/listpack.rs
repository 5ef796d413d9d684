//! Listpack: a list of short strings and integers in one block of bytes, read from either end.
//!
//! The small encoding of hashes, sets and sorted sets, the node of lists, the block of streams. An entry carries
//! its own length at both ends, so a walk can go forwards and backwards without an index.
//!
//! ```text
//!   total bytes u32 | count u16 | entry | entry | … | 0xFF
//!
//!   entry = encoding (1-5 bytes) | string, if it is one | length of what stands before, to be read backwards
//!
//!   0xxxxxxx             0 to 127                     1110xxxx L           string below 4 KiB
//!   10xxxxxx             string below 64 bytes        11110000 L L L L     string below 4 GiB
//!   110xxxxx N           13-bit integer               1111 0001 … 0100     16, 24, 32, 64-bit integer
//! ```
//!
//! The listpack of "hi", 100 and 1024, sixteen bytes:
//!
//! ```text
//!   10 00 00 00   03 00    82 68 69  03    64  01    c4 00  02    ff
//!   16 bytes      3        "hi"       3    100  1    1024    2    end      each entry ends with its length so far
//! ```
//!
//! A count of 65,535 means "that many or more, walk to know". Strings that are the decimal form of an i64 are
//! stored as that integer and read back as the same text. Integers are little-endian, except the 13-bit one.
//!
//! Invariant: the block's length equals its header's total and its last byte is 0xFF ([`Check::Shallow`]); all else
//! about bytes that came from outside is doubted at every step. A walk that meets an impossible entry stops there, as
//! if the listpack ended; [`Listpack::is_sound`] tells whether that can happen. No function here reads or writes
//! outside the block, or panics on its content.
//!
//! Mirrors: listpack.c, byte for byte. Differs: the bytes live in a counted [`Blob`], so `clone()` is O(1) and
//! the first write after it copies; where C hands out pointers we hand out offsets ([`LpPos`]); a broken
//! payload ends a walk instead of the process.
//! Cost: find, seek and count beyond 65,534 are O(bytes); writes are O(bytes behind the place).

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::iter;

use crate::collections::shared::{Blob, BlobMut};
use crate::util::num::{IntBuf, parse_i64};

/// A counted, copy-on-write listpack; one pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct Listpack(Blob);

/// The bytes are not those of a listpack (or intset).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packed encoding integrity check failed")
    }
}

impl std::error::Error for Corrupt {}

/// How far bytes from outside are looked into before they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Header, total and terminator: O(1). Reading stays safe, but may end early.
    Shallow,
    /// Every entry, both its lengths, and the count: O(bytes).
    Deep,
}

/// One element: what is stored, and what may be stored.
#[derive(Debug, Clone, Copy)]
pub enum LpEntry<'a> {
    /// An element whose text is this number.
    Int(i64),
    /// Any other text. Storing one that happens to be a number stores the number.
    Str(&'a [u8]),
}

/// Where an entry begins. Good until the listpack is written to, except that the writing methods return the
/// position that takes its place. A position of another listpack, or a stale one, gives wrong answers or
/// [`None`], never a panic while it lies within the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LpPos(u32);

const HEADER: usize = 6;
const EOF: u8 = 0xFF;
/// In the header's count: more entries than it can hold.
const UNKNOWN: usize = u16::MAX as usize;
/// No listpack is let grow beyond this, to stay far from the limits of the header.
const SAFETY_LIMIT: usize = 1 << 30;
const EMPTY: [u8; HEADER + 1] = [HEADER as u8 + 1, 0, 0, 0, 0, 0, EOF];

impl<'a> From<&'a [u8]> for LpEntry<'a> {
    fn from(text: &'a [u8]) -> LpEntry<'a> {
        LpEntry::Str(text)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for LpEntry<'a> {
    fn from(text: &'a [u8; N]) -> LpEntry<'a> {
        LpEntry::Str(text)
    }
}

impl<'a> From<&'a Vec<u8>> for LpEntry<'a> {
    fn from(text: &'a Vec<u8>) -> LpEntry<'a> {
        LpEntry::Str(text)
    }
}

impl From<i64> for LpEntry<'_> {
    fn from(number: i64) -> Self {
        LpEntry::Int(number)
    }
}

impl<'a> LpEntry<'a> {
    /// The text of the element; numbers are written into `buf`.
    #[inline]
    pub fn as_bytes<'b>(self, buf: &'b mut IntBuf) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            LpEntry::Int(number) => buf.format(number),
            LpEntry::Str(text) => text,
        }
    }

    /// The text of the element, owned.
    pub fn to_vec(self) -> Vec<u8> {
        self.as_bytes(&mut IntBuf::default()).to_vec()
    }

    /// The element as a number, if its text is exactly one.
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        match self {
            LpEntry::Int(number) => Some(number),
            LpEntry::Str(text) => parse_i64(text),
        }
    }

    /// Length of the text in bytes.
    pub fn text_len(self) -> usize {
        self.as_bytes(&mut IntBuf::default()).len()
    }

    /// Bytes the entry takes in a listpack, both lengths included.
    pub fn packed_len(self) -> usize {
        Encoded::new(self).packed_len()
    }
}

impl PartialEq for LpEntry<'_> {
    /// Equal texts, however stored.
    fn eq(&self, other: &LpEntry<'_>) -> bool {
        match (*self, *other) {
            (LpEntry::Int(a), LpEntry::Int(b)) => a == b,
            (LpEntry::Str(a), LpEntry::Str(b)) => a == b,
            (LpEntry::Int(number), LpEntry::Str(text))
            | (LpEntry::Str(text), LpEntry::Int(number)) => parse_i64(text) == Some(number),
        }
    }
}

impl Eq for LpEntry<'_> {}

impl PartialEq<[u8]> for LpEntry<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        *self == LpEntry::Str(other)
    }
}

/// The text searched for and, worked out once, the number it may be stored as.
#[derive(Debug, Clone, Copy)]
struct Needle<'a> {
    text: &'a [u8],
    number: Option<i64>,
}

impl Needle<'_> {
    #[inline]
    fn is(&self, entry: LpEntry<'_>) -> bool {
        match entry {
            LpEntry::Int(number) => self.number == Some(number),
            LpEntry::Str(text) => self.text == text,
        }
    }
}

impl Default for Listpack {
    fn default() -> Listpack {
        Listpack::new()
    }
}

impl Listpack {
    /// An empty listpack: 7 bytes.
    pub fn new() -> Listpack {
        Listpack(Blob::from_slice(&EMPTY))
    }

    /// Takes bytes from outside (RDB, RESTORE, a peer). Empty listpacks are taken too; whether a value may be
    /// empty is the caller's rule.
    pub fn from_blob(blob: Blob, check: Check) -> Result<Listpack, Corrupt> {
        let total = blob.first_chunk().map(|b| u32::from_le_bytes(*b) as usize);
        if blob.len() < EMPTY.len() || total != Some(blob.len()) || blob.last() != Some(&EOF) {
            return Err(Corrupt);
        }
        let listpack = Listpack(blob);
        if check == Check::Deep && !listpack.is_sound() {
            return Err(Corrupt);
        }
        Ok(listpack)
    }

    /// As [`Listpack::from_blob`], from a copy of `bytes`, made only if they pass.
    pub fn from_bytes(bytes: &[u8], check: Check) -> Result<Listpack, Corrupt> {
        let blob = Blob::try_from_slice(bytes).map_err(|_| Corrupt)?;
        Listpack::from_blob(blob, check)
    }

    /// A listpack of these elements, with one allocation.
    pub fn from_entries<'a, E: Into<LpEntry<'a>>>(
        entries: impl IntoIterator<Item = E, IntoIter: Clone>,
    ) -> Listpack {
        let mut listpack = Listpack::new();
        listpack.extend(entries);
        listpack
    }

    /// Whether every entry decodes, from both sides, and the count is right. O(bytes).
    #[doc(alias = "lpValidateIntegrity")]
    pub fn is_sound(&self) -> bool {
        let body = self.body();
        let (mut at, mut count) = (HEADER, 0);
        while at < body.len() {
            match decode(body, at) {
                Some((_, next)) if entry_before(body, next) == Some(at) => at = next,
                _ => return false,
            }
            count += 1;
        }
        let stored = self.stored_count();
        stored == UNKNOWN || stored == count
    }

    /// The whole block, as it is written to RDB and DUMP.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The counted bytes themselves.
    pub fn blob(&self) -> &Blob {
        &self.0
    }

    /// Bytes of the block, header and terminator included.
    #[doc(alias = "lpBytes")]
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// Whether `add` bytes more keep the listpack below the limit of 1 GB. Callers ask before growing
    /// one by something a client sent; a header overflown is the end of the process.
    #[doc(alias = "lpSafeToAdd")]
    pub fn would_fit(&self, add: usize) -> bool {
        self.byte_len().saturating_add(add) <= SAFETY_LIMIT
    }

    /// Number of elements. O(1) below 65,535, else O(bytes).
    #[doc(alias = "lpLength")]
    pub fn len(&self) -> usize {
        match self.stored_count() {
            UNKNOWN => self.positions().count(),
            count => count,
        }
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.byte_len() == EMPTY.len()
    }

    // ---- Reading -------------------------------------------------------------------------------------

    /// All elements, from both ends.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.positions())
    }

    /// All elements with their positions, from both ends.
    pub fn positions(&self) -> Positions<'_> {
        Positions {
            body: self.body(),
            front: HEADER,
            back: self.body().len(),
        }
    }

    /// The elements from `pos` to the end, with positions.
    pub fn positions_from(&self, pos: LpPos) -> Positions<'_> {
        Positions {
            front: pos.offset(),
            ..self.positions()
        }
    }

    /// The elements from the first through `pos`, with positions; to be walked backwards from `pos`.
    pub fn positions_through(&self, pos: LpPos) -> Positions<'_> {
        let back = decode(self.body(), pos.offset()).map_or(HEADER, |(_, end)| end);
        Positions {
            back,
            ..self.positions()
        }
    }

    /// The element at `pos`.
    #[doc(alias = "lpGet")]
    #[inline]
    pub fn entry(&self, pos: LpPos) -> Option<LpEntry<'_>> {
        decode(self.body(), pos.offset()).map(|(entry, _)| entry)
    }

    /// The element `index` places from the front, or, counting from -1, from the back. O(distance).
    pub fn get(&self, index: i64) -> Option<LpEntry<'_>> {
        self.entry(self.seek(index)?)
    }

    /// The position of the element `index` places from the front, or, counting from -1, from the back. Walks from
    /// the nearer end.
    #[doc(alias = "lpSeek")]
    pub fn seek(&self, index: i64) -> Option<LpPos> {
        let (from_back, steps) = match self.stored_count() as i64 {
            // An unknown count: each sign is walked from its own end.
            count if count == UNKNOWN as i64 => (index < 0, index.max(-(index + 1))),
            count => {
                let index = if index < 0 { index + count } else { index };
                if index < 0 || index >= count {
                    return None;
                }
                let from_back = index > count / 2;
                (from_back, if from_back { count - 1 - index } else { index })
            }
        };
        let steps = usize::try_from(steps).ok()?;
        let mut positions = self.positions();
        let found = if from_back {
            positions.nth_back(steps)
        } else {
            positions.nth(steps)
        };
        found.map(|(pos, _)| pos)
    }

    /// The first position.
    pub fn first(&self) -> Option<LpPos> {
        Some(self.positions().next()?.0)
    }

    /// The last position.
    pub fn last(&self) -> Option<LpPos> {
        Some(self.positions().next_back()?.0)
    }

    /// The position after `pos`.
    pub fn next(&self, pos: LpPos) -> Option<LpPos> {
        let (_, next) = decode(self.body(), pos.offset())?;
        decode(self.body(), next).map(|_| LpPos::new(next))
    }

    /// The position before `pos`.
    pub fn prev(&self, pos: LpPos) -> Option<LpPos> {
        entry_before(self.body(), pos.offset()).map(LpPos::new)
    }

    /// The first position holding `text`, looking at one element, then skipping `skip` (1 for the fields of a
    /// hash, 0 for a set), and so on. O(bytes).
    #[doc(alias = "lpFind")]
    pub fn find(&self, text: &[u8], skip: usize) -> Option<LpPos> {
        self.find_from(LpPos::new(HEADER), text, skip)
    }

    /// As [`Listpack::find`], beginning at `pos`.
    pub fn find_from(&self, pos: LpPos, text: &[u8], skip: usize) -> Option<LpPos> {
        let needle = Needle {
            text,
            number: parse_i64(text),
        };
        let body = self.body();
        let mut at = pos.offset();
        while let Some((entry, next)) = decode(body, at) {
            if needle.is(entry) {
                return Some(LpPos::new(at));
            }
            at = next;
            for _ in 0..skip {
                at = skip_entry(body, at)?;
            }
        }
        None
    }

    // ---- Writing -------------------------------------------------------------------------------------
    // Every write copies the block first if it is shared, and panics or aborts only on what the caller could
    // have prevented: growth that `would_fit` refuses, memory that does not exist.

    /// Adds an element at the end.
    #[doc(alias = "lpAppend")]
    pub fn push_back<'a>(&mut self, entry: impl Into<LpEntry<'a>>) -> LpPos {
        self.insert_at(self.body().len(), entry.into())
    }

    /// Adds an element at the front.
    #[doc(alias = "lpPrepend")]
    pub fn push_front<'a>(&mut self, entry: impl Into<LpEntry<'a>>) -> LpPos {
        self.insert_at(HEADER, entry.into())
    }

    /// Adds an element before the one at `pos`; returns where it is.
    pub fn insert_before<'a>(&mut self, pos: LpPos, entry: impl Into<LpEntry<'a>>) -> LpPos {
        self.insert_at(pos.offset(), entry.into())
    }

    /// Adds an element after the one at `pos`; returns where it is.
    pub fn insert_after<'a>(&mut self, pos: LpPos, entry: impl Into<LpEntry<'a>>) -> LpPos {
        let at = skip_entry(self.body(), pos.offset());
        self.insert_at(at.unwrap_or(self.body().len()), entry.into())
    }

    /// Puts another element in the place of the one at `pos`, where it then is.
    #[doc(alias = "lpReplace")]
    pub fn replace<'a>(&mut self, pos: LpPos, entry: impl Into<LpEntry<'a>>) -> LpPos {
        let encoded = Encoded::new(entry.into());
        let at = pos.offset();
        let old_len = skip_entry(self.body(), at).map_or(0, |end| end - at);
        let replaced = usize::from(old_len > 0);
        encoded.write(self.reshape(at, old_len, replaced, encoded.packed_len(), 1));
        pos
    }

    /// Removes the element at `pos` and returns the position of the one that followed it.
    #[doc(alias = "lpDelete")]
    pub fn delete(&mut self, pos: LpPos) -> Option<LpPos> {
        self.delete_from(pos, 1)
    }

    /// Removes up to `count` elements beginning at `pos`; returns the position of the first one behind them.
    #[doc(alias = "lpDeleteRangeWithEntry")]
    pub fn delete_from(&mut self, pos: LpPos, count: usize) -> Option<LpPos> {
        let at = pos.offset();
        let (mut end, mut deleted) = (at, 0);
        while deleted < count
            && let Some(next) = skip_entry(self.body(), end)
        {
            end = next;
            deleted += 1;
        }
        if deleted > 0 {
            self.reshape(at, end - at, deleted, 0, 0);
        }
        decode(self.body(), at).map(|_| pos)
    }

    /// Removes up to `count` elements beginning at `index`, which may count from the back.
    #[doc(alias = "lpDeleteRange")]
    pub fn delete_range(&mut self, index: i64, count: usize) {
        if count > 0
            && let Some(pos) = self.seek(index)
        {
            self.delete_from(pos, count);
        }
    }

    /// Removes the elements at these positions, given in ascending order, in one pass: O(bytes), not O(bytes) each.
    #[doc(alias = "lpBatchDelete")]
    pub fn delete_many(&mut self, positions: &[LpPos]) {
        let Some(first) = positions.first() else {
            return;
        };
        let old_count = self.stored_count();
        let mut bytes = self.0.make_mut();
        let body_len = bytes.len() - 1;
        let (mut read, mut write, mut deleted) = (first.offset(), first.offset(), 0);
        for pos in positions {
            let at = pos.offset();
            let Some(end) = skip_entry(&bytes[..body_len], at).filter(|_| at >= read) else {
                continue;
            };
            bytes.copy_within(read..at, write);
            write += at - read;
            read = end;
            deleted += 1;
        }
        bytes.remove(write, read - write);
        stamp(&mut bytes, old_count, deleted, 0);
    }

    /// Adds elements at the end, with at most one reallocation.
    #[doc(alias = "lpBatchAppend")]
    pub fn extend<'a, E: Into<LpEntry<'a>>>(
        &mut self,
        entries: impl IntoIterator<Item = E, IntoIter: Clone>,
    ) {
        self.insert_many_at(self.body().len(), entries.into_iter().map(Into::into));
    }

    /// Adds elements before the one at `pos`, with at most one reallocation; the first of them is at `pos` then.
    #[doc(alias = "lpBatchInsert")]
    pub fn insert_many<'a, E: Into<LpEntry<'a>>>(
        &mut self,
        pos: LpPos,
        entries: impl IntoIterator<Item = E, IntoIter: Clone>,
    ) {
        self.insert_many_at(pos.offset(), entries.into_iter().map(Into::into));
    }

    /// Adds all elements of `other` at the end: a copy of bytes.
    #[doc(alias = "lpMerge")]
    pub fn append(&mut self, other: &Listpack) {
        let packed = &other.body()[HEADER..];
        let at = self.body().len();
        self.reshape(at, 0, 0, packed.len(), other.len())
            .copy_from_slice(packed);
    }

    /// Adds all elements of `other` at the front: a copy of bytes.
    pub fn prepend(&mut self, other: &Listpack) {
        let packed = &other.body()[HEADER..];
        self.reshape(HEADER, 0, 0, packed.len(), other.len())
            .copy_from_slice(packed);
    }

    /// Cuts before `pos`: what stood from there on is returned.
    pub fn split_off(&mut self, pos: LpPos) -> Listpack {
        let (at, end) = (pos.offset(), self.body().len());
        let moved = self.positions_from(pos).count();
        let mut tail = Listpack::new();
        tail.reshape(HEADER, 0, 0, end - at, moved)
            .copy_from_slice(&self.body()[at..]);
        self.reshape(at, end - at, moved, 0, 0);
        tail
    }

    // ---- Inside --------------------------------------------------------------------------------------

    /// Everything but the terminator; offsets are those of the block.
    #[inline]
    fn body(&self) -> &[u8] {
        let bytes = self.0.as_slice();
        &bytes[..bytes.len() - 1]
    }

    fn stored_count(&self) -> usize {
        let header = self.0.as_slice();
        usize::from(u16::from_le_bytes([header[4], header[5]]))
    }

    fn insert_at(&mut self, at: usize, entry: LpEntry<'_>) -> LpPos {
        let encoded = Encoded::new(entry);
        encoded.write(self.reshape(at, 0, 0, encoded.packed_len(), 1));
        LpPos::new(at)
    }

    fn insert_many_at<'a>(
        &mut self,
        at: usize,
        entries: impl Iterator<Item = LpEntry<'a>> + Clone,
    ) {
        let (added, count) = entries
            .clone()
            .fold((0, 0), |(bytes, n), e| (bytes + e.packed_len(), n + 1));
        let mut room = self.reshape(at, 0, 0, added, count);
        for entry in entries {
            let encoded = Encoded::new(entry);
            let here;
            (here, room) = room.split_at_mut(encoded.packed_len());
            encoded.write(here);
        }
    }

    /// Turns `old_len` bytes at `at`, being `removed` entries, into room for `added` entries of `new_len` bytes, and
    /// brings the header up to date. The only door to a write that changes a length.
    fn reshape(
        &mut self,
        at: usize,
        old_len: usize,
        removed: usize,
        new_len: usize,
        added: usize,
    ) -> &mut [u8] {
        let old_count = self.stored_count();
        let total = self.byte_len() - old_len + new_len;
        let mut bytes = self.0.make_mut();
        if new_len > old_len {
            bytes
                .insert_zeroed(at + old_len, new_len - old_len)
                .unwrap_or_else(|_| out_of_memory(total));
        } else {
            bytes.remove(at + new_len, old_len - new_len);
        }
        stamp(&mut bytes, old_count, removed, added);
        &mut bytes.into_slice()[at..at + new_len]
    }
}

fn out_of_memory(bytes: usize) -> ! {
    match Layout::array::<u8>(bytes) {
        Ok(layout) => handle_alloc_error(layout),
        Err(_) => panic!("listpack larger than the address space"),
    }
}

/// Writes total and count after `removed` entries went and `added` came. An unknown count stays unknown; a wrong
/// one (bytes that passed only the shallow check) may get more wrong, not negative.
fn stamp(bytes: &mut BlobMut<'_>, old_count: usize, removed: usize, added: usize) {
    let total = bytes.len() as u32;
    bytes[..4].copy_from_slice(&total.to_le_bytes());
    if old_count != UNKNOWN {
        let count = (old_count.saturating_sub(removed) + added).min(UNKNOWN) as u16;
        bytes[4..HEADER].copy_from_slice(&count.to_le_bytes());
    }
}

impl fmt::Debug for Listpack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for entry in self {
            list.entry(&entry.to_vec().escape_ascii().to_string());
        }
        list.finish()
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = LpEntry<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl LpPos {
    fn new(offset: usize) -> LpPos {
        LpPos(offset as u32)
    }

    fn offset(self) -> usize {
        self.0 as usize
    }
}

/// Elements with their positions, from both ends. Ends early where the bytes make no sense.
#[derive(Debug, Clone)]
pub struct Positions<'a> {
    body: &'a [u8],
    /// Offset of the next entry from the front, and of the end of the next one from the back.
    front: usize,
    back: usize,
}

impl Positions<'_> {
    /// Ends the walk for good, whether it met the end or nonsense.
    fn stop<T>(&mut self) -> Option<T> {
        self.front = self.back;
        None
    }
}

impl<'a> Iterator for Positions<'a> {
    type Item = (LpPos, LpEntry<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match decode(self.body, self.front) {
            Some((entry, next)) if next <= self.back => {
                let pos = LpPos::new(self.front);
                self.front = next;
                Some((pos, entry))
            }
            _ => self.stop(),
        }
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        for _ in 0..n {
            match skip_entry(self.body, self.front) {
                Some(next) if next <= self.back => self.front = next,
                _ => return self.stop(),
            }
        }
        self.next()
    }

    fn count(mut self) -> usize {
        let mut n = 0;
        while let Some(next) = skip_entry(self.body, self.front)
            && next <= self.back
        {
            self.front = next;
            n += 1;
        }
        n
    }
}

impl DoubleEndedIterator for Positions<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match entry_before(self.body, self.back).filter(|&at| at >= self.front) {
            Some(at) => {
                let (entry, _) = decode(self.body, at)?;
                self.back = at;
                Some((LpPos::new(at), entry))
            }
            None => self.stop(),
        }
    }
}

impl iter::FusedIterator for Positions<'_> {}

/// Elements, from both ends.
#[derive(Debug, Clone)]
pub struct Iter<'a>(Positions<'a>);

impl<'a> Iterator for Iter<'a> {
    type Item = LpEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<LpEntry<'a>> {
        Some(self.0.next()?.1)
    }

    fn nth(&mut self, n: usize) -> Option<LpEntry<'a>> {
        Some(self.0.nth(n)?.1)
    }

    fn count(self) -> usize {
        self.0.count()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(self.0.next_back()?.1)
    }
}

impl iter::FusedIterator for Iter<'_> {}

// ---- The format --------------------------------------------------------------------------------------

/// An entry about to be written: its encoding (or the whole of it, for a number), then the text.
struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    text: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    fn new(entry: LpEntry<'a>) -> Encoded<'a> {
        match entry {
            LpEntry::Int(number) => Encoded::number(number),
            LpEntry::Str(text) => match parse_i64(text) {
                Some(number) => Encoded::number(number),
                None => Encoded::text(text),
            },
        }
    }

    fn number(n: i64) -> Encoded<'a> {
        let le = n.to_le_bytes();
        let mut head = [0; 9];
        let head_len = match n {
            0..=127 => {
                head[0] = le[0];
                1
            }
            -4096..=4095 => {
                head[0] = 0xC0 | (le[1] & 0x1F);
                head[1] = le[0];
                2
            }
            _ => {
                let (tag, width) = match n {
                    -0x8000..=0x7FFF => (0xF1, 2),
                    -0x80_0000..=0x7F_FFFF => (0xF2, 3),
                    -0x8000_0000..=0x7FFF_FFFF => (0xF3, 4),
                    _ => (0xF4, 8),
                };
                head[0] = tag;
                head[1..=width].copy_from_slice(&le[..width]);
                1 + width
            }
        };
        Encoded {
            head,
            head_len,
            text: &[],
        }
    }

    fn text(text: &'a [u8]) -> Encoded<'a> {
        let le = (text.len() as u32).to_le_bytes();
        let mut head = [0; 9];
        let head_len = match text.len() {
            0..64 => {
                head[0] = 0x80 | le[0];
                1
            }
            64..4096 => {
                head[0] = 0xE0 | le[1];
                head[1] = le[0];
                2
            }
            _ => {
                head[0] = 0xF0;
                head[1..5].copy_from_slice(&le);
                5
            }
        };
        Encoded {
            head,
            head_len,
            text,
        }
    }

    fn forward_len(&self) -> usize {
        self.head_len + self.text.len()
    }

    fn packed_len(&self) -> usize {
        self.forward_len() + backlen_size(self.forward_len())
    }

    /// Fills `room`, which is `packed_len` bytes.
    #[inline]
    fn write(&self, room: &mut [u8]) {
        let (head, rest) = room.split_at_mut(self.head_len);
        head.copy_from_slice(&self.head[..self.head_len]);
        let (text, backlen) = rest.split_at_mut(self.text.len());
        text.copy_from_slice(self.text);
        // Seven bits a byte, the highest first; all but the first marked, so that they can be read backwards.
        let mut left = self.forward_len();
        for (i, byte) in backlen.iter_mut().enumerate().rev() {
            *byte = (left & 0x7F) as u8 | if i > 0 { 0x80 } else { 0 };
            left >>= 7;
        }
    }
}

/// Bytes of the backward length. The limits are Redis's, one less than seven bits a byte would allow.
#[inline]
fn backlen_size(forward_len: usize) -> usize {
    match forward_len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Length of encoding and text of an entry, if its encoding is one and fits.
#[inline]
fn forward_len(entry: &[u8]) -> Option<usize> {
    Some(match *entry.first()? {
        0x00..=0x7F => 1,
        tag @ 0x80..=0xBF => 1 + usize::from(tag & 0x3F),
        0xC0..=0xDF => 2,
        tag @ 0xE0..=0xEF => 2 + (usize::from(tag & 0x0F) << 8 | usize::from(*entry.get(1)?)),
        0xF0 => 5 + u32::from_le_bytes(*entry.get(1..)?.first_chunk()?) as usize,
        0xF1 => 3,
        0xF2 => 4,
        0xF3 => 5,
        0xF4 => 9,
        _ => return None,
    })
}

/// Offset behind the entry at `at`; `None` at the end, or when there is no whole entry.
#[inline]
fn skip_entry(body: &[u8], at: usize) -> Option<usize> {
    let len = forward_len(body.get(at..)?)?;
    Some(at + len + backlen_size(len)).filter(|&end| end <= body.len())
}

/// The entry at `at` and the offset behind it; `None` at the end, or when there is no whole entry.
// Inlined by force: handed back through memory, the entry would cost more to pass than to decode (18 ns to 4).
#[inline(always)]
fn decode(body: &[u8], at: usize) -> Option<(LpEntry<'_>, usize)> {
    let rest = body.get(at..)?;
    let len = forward_len(rest)?;
    let packed_len = len + backlen_size(len);
    if packed_len > rest.len() {
        return None;
    }
    let bytes = &rest[..len];
    let entry = match bytes[0] {
        tag @ 0x00..=0x7F => LpEntry::Int(i64::from(tag)),
        0x80..=0xBF => LpEntry::Str(&bytes[1..]),
        // Thirteen bits, shifted up and down again to repeat their sign.
        tag @ 0xC0..=0xDF => {
            let bits = u16::from_be_bytes([tag & 0x1F, bytes[1]]);
            LpEntry::Int(i64::from((bits << 3) as i16 >> 3))
        }
        0xE0..=0xEF => LpEntry::Str(&bytes[2..]),
        0xF0 => LpEntry::Str(&bytes[5..]),
        _ => {
            let mut le = [0; 8];
            let width = len - 1;
            le[8 - width..].copy_from_slice(&bytes[1..]);
            LpEntry::Int(i64::from_le_bytes(le) >> (8 * (8 - width)))
        }
    };
    Some((entry, at + packed_len))
}

/// Offset of the entry that ends at `end`; `None` at the front, or when the two lengths disagree.
#[inline]
fn entry_before(body: &[u8], end: usize) -> Option<usize> {
    let mut len = 0;
    let mut shift = 0;
    for &byte in body.get(HEADER..end)?.iter().rev().take(5) {
        len |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let at = end.checked_sub(len + backlen_size(len))?;
            return (at >= HEADER && skip_entry(body, at) == Some(end)).then_some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::testing::Rng;

    /// Texts of all encodings, among them numbers, near-numbers, and few enough to be found again.
    fn text(rng: &mut Rng) -> Vec<u8> {
        match rng.below(8) {
            0 => rng.below(200).to_string().into_bytes(),
            1 => ((rng.next() as i64) >> rng.below(64))
                .to_string()
                .into_bytes(),
            2 => format!("0{}", rng.below(10)).into_bytes(),
            3 => vec![b'x'; [0, 1, 62, 63, 64, 65, 125, 126, 127][rng.below(9)]],
            4 => vec![b'y'; [4090, 4095, 4096, 4097][rng.below(4)] / (1 + 50 * rng.below(2))],
            _ => (0..rng.below(12)).map(|_| rng.next() as u8).collect(),
        }
    }

    fn texts(listpack: &Listpack) -> Vec<Vec<u8>> {
        listpack.iter().map(LpEntry::to_vec).collect()
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect()
    }

    fn fnv(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| {
            (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        })
    }

    #[test]
    fn same_bytes_as_redis() {
        // The bytes Redis 7.0.15 dumped for a hash of these fields and values.
        let texts = "0|127|128|-1|-4096|4095|4096|-4097|32767|-32768|32768|-32769|8388607|-8388608|8388608|\
                     -8388609|2147483647|-2147483648|2147483648|-2147483649|9223372036854775807|\
                     -9223372036854775808|9223372036854775808||a|-0|007|+5|hello world|end";
        let texts: Vec<&[u8]> = texts.split('|').map(str::as_bytes).collect();
        let dumped = unhex(concat!(
            "b40000001e0000017f01c08002dfff02d00002cfff02f1001003f1ffef03f1ff7f03f1008003f200800004f2ff7fff04",
            "f2ffff7f04f200008004f30000800005f3ffff7fff05f3ffffff7f05f30000008005f4000000800000000009f4ffffff",
            "7fffffffff09f4ffffffffffffff7f09f4000000000000008009933932323333373230333638353437373538303814",
            "8001816102822d30038330303704822b35038b68656c6c6f20776f726c640c83656e6404ff",
        ));
        let listpack = Listpack::from_entries(texts.iter().copied());
        assert_eq!(listpack.as_bytes(), dumped);
        assert_eq!(
            listpack,
            Listpack::from_bytes(&dumped, Check::Deep).unwrap()
        );
        assert!(listpack.iter().eq(texts.iter().map(|t| LpEntry::Str(t))));
    }

    #[test]
    fn same_bytes_as_redis_around_every_length_limit() {
        // Likewise, of a hash k0..k21 with values of these lengths; only a checksum is kept.
        let lengths = [
            62, 63, 64, 65, 124, 125, 126, 127, 128, 4095, 4096, 16376, 16377, 16378, 16379, 16383,
            16384, 2_097_144, 2_097_145, 2_097_146, 2_097_147, 2_097_152,
        ];
        let mut listpack = Listpack::new();
        for (i, len) in lengths.into_iter().enumerate() {
            listpack.push_back(&format!("k{i}").into_bytes());
            listpack.push_back(&vec![b'x'; len]);
        }
        assert_eq!(listpack.byte_len(), 10_593_321);
        assert_eq!(fnv(listpack.as_bytes()), 0x993e_c700_2f11_01e2);
        assert!(listpack.is_sound());
    }

    #[test]
    fn races_a_model() {
        for seed in 1..40u64 {
            let mut rng = Rng::new(seed);
            let mut listpack = Listpack::new();
            let mut model: Vec<Vec<u8>> = Vec::new();
            let mut snapshots = Vec::new();
            for step in 0..150 {
                let fresh = text(&mut rng);
                let at = rng.below(model.len());
                let pos = listpack.seek(at as i64);
                assert_eq!(pos.is_some(), at < model.len(), "seed {seed} step {step}");
                match (rng.below(16), pos) {
                    (0 | 1, _) => {
                        listpack.push_back(&fresh);
                        model.push(fresh);
                    }
                    (2, _) => {
                        listpack.push_front(&fresh);
                        model.insert(0, fresh);
                    }
                    (3 | 4, Some(pos)) => {
                        let new = listpack.insert_before(pos, &fresh);
                        assert_eq!(new, pos);
                        model.insert(at, fresh);
                    }
                    (5, Some(pos)) => {
                        let new = listpack.insert_after(pos, &fresh);
                        assert_eq!(listpack.prev(new), Some(pos));
                        model.insert(at + 1, fresh);
                    }
                    (6, Some(pos)) => {
                        listpack.replace(pos, &fresh);
                        model[at] = fresh;
                    }
                    (7, Some(pos)) => {
                        let next = listpack.delete(pos);
                        assert_eq!(next.is_some(), at + 1 < model.len());
                        model.remove(at);
                    }
                    (8, Some(_)) => {
                        let n = rng.below(4);
                        let end = (at + n).min(model.len());
                        listpack.delete_range(at as i64 - model.len() as i64, n);
                        model.drain(at..end);
                    }
                    (9, Some(_)) => {
                        let chosen: Vec<bool> = model.iter().map(|_| rng.below(4) == 0).collect();
                        let positions: Vec<LpPos> = listpack
                            .positions()
                            .zip(&chosen)
                            .filter_map(|((pos, _), &chosen)| chosen.then_some(pos))
                            .collect();
                        listpack.delete_many(&positions);
                        let mut chosen = chosen.into_iter();
                        model.retain(|_| !chosen.next().unwrap());
                    }
                    (10, Some(pos)) => {
                        let more = [text(&mut rng), text(&mut rng), text(&mut rng)];
                        listpack.insert_many(pos, &more);
                        model.splice(at..at, more);
                    }
                    (11, _) => {
                        let more = [text(&mut rng), text(&mut rng)];
                        listpack.extend(&more);
                        model.extend(more);
                    }
                    (12, Some(pos)) => {
                        let tail = listpack.split_off(pos);
                        let tail_model = model.split_off(at);
                        assert_eq!(texts(&tail), tail_model);
                        if rng.below(2) == 0 {
                            listpack.append(&tail);
                            model.extend(tail_model);
                        } else {
                            listpack.prepend(&tail);
                            model.splice(0..0, tail_model);
                        }
                    }
                    (13, _) => snapshots.push((listpack.clone(), model.clone())),
                    _ => {
                        for skip in 0..3 {
                            let needle = model.get(at).unwrap_or(&fresh);
                            let expected = model.iter().step_by(skip + 1).position(|t| t == needle);
                            let expected = expected.map(|i| (i * (skip + 1)) as i64);
                            let found = listpack.find(needle, skip);
                            assert_eq!(found, expected.and_then(|i| listpack.seek(i)));
                        }
                    }
                }
                assert!(listpack.is_sound(), "seed {seed} step {step}");
                assert_eq!(listpack.len(), model.len(), "seed {seed} step {step}");
                if model.len() > 60 {
                    listpack.delete_range(0, 30);
                    model.drain(..30);
                }
            }
            snapshots.push((listpack, model));
            for (listpack, model) in snapshots {
                assert_eq!(texts(&listpack), model, "seed {seed}");
                assert!(
                    listpack
                        .iter()
                        .rev()
                        .eq(model.iter().rev().map(LpEntry::from))
                );
                let rebuilt = Listpack::from_entries(&model);
                assert_eq!(rebuilt.as_bytes(), listpack.as_bytes(), "seed {seed}");
                for i in 0..model.len() {
                    let pos = listpack.seek(i as i64).unwrap();
                    assert!(
                        listpack
                            .positions_from(pos)
                            .map(|e| e.1)
                            .eq(listpack.iter().skip(i))
                    );
                    let back = listpack.positions_through(pos).rev().map(|e| e.1.to_vec());
                    assert!(back.eq(model[..=i].iter().rev().cloned()));
                    assert_eq!(
                        listpack
                            .get(i as i64 - model.len() as i64)
                            .unwrap()
                            .to_vec(),
                        model[i]
                    );
                }
                assert_eq!(listpack.get(model.len() as i64), None);
                assert_eq!(listpack.get(-(model.len() as i64) - 1), None);
            }
        }
    }

    #[test]
    fn counts_past_what_the_header_holds() {
        let mut listpack = Listpack::from_entries((0..65_534).map(|i| LpEntry::Int(i % 100)));
        assert_eq!(listpack.len(), 65_534);
        listpack.push_back(1);
        listpack.push_back(2);
        assert_eq!(listpack.as_bytes()[4..6], [0xFF, 0xFF]);
        assert_eq!(listpack.len(), 65_536);
        assert_eq!(listpack.get(65_535), Some(LpEntry::Int(2)));
        assert_eq!(listpack.get(-1), Some(LpEntry::Int(2)));
        assert_eq!(listpack.get(-65_536), Some(LpEntry::Int(0)));
        assert_eq!(listpack.get(-65_537), None);
        assert!(listpack.get(65_536).is_none() && listpack.get(i64::MIN).is_none());
        listpack.delete_range(-65_000, 65_000);
        assert_eq!(listpack.len(), 536);
        assert!(listpack.is_sound());
    }

    /// Calls everything there is on a listpack that may be nonsense; returning is the test.
    fn exercise(mut listpack: Listpack, rng: &mut Rng) {
        let walk = listpack.positions().map(|(pos, _)| pos);
        let mut places: Vec<LpPos> = walk.collect();
        places.extend(listpack.positions().rev().map(|(pos, _)| pos));
        places.push(LpPos::new(HEADER + rng.below(listpack.byte_len() - HEADER)));
        let _ = (listpack.len(), listpack.is_sound(), listpack.find(b"12", 1));
        let _ = (listpack.get(3), listpack.get(-2), format!("{listpack:?}"));
        for _ in 0..4 {
            let pos = places[rng.below(places.len())];
            let mut other = listpack.clone();
            let _ = (other.next(pos), other.prev(pos), other.entry(pos));
            let _ = other.positions_from(pos).count() + other.positions_through(pos).rev().count();
            match rng.below(8) {
                0 => drop(other.replace(pos, b"replaced")),
                1 => drop(other.delete(pos)),
                2 => drop(other.insert_after(pos, 77)),
                3 => other.delete_many(&places),
                4 => drop(other.split_off(pos)),
                5 => other.append(&listpack),
                6 => other.delete_range(-3, 2),
                _ => drop(other.delete_from(pos, 3)),
            }
            let _ = (other.iter().count(), other.iter().rev().count());
        }
        listpack.push_front(1);
    }

    #[test]
    fn nonsense_never_panics() {
        let mut rng = Rng::new(0xDEAD_BEEF);
        for round in 0..3000 {
            let mut bytes = if round % 2 == 0 {
                let body: Vec<u8> = (0..rng.below(60)).map(|_| rng.next() as u8).collect();
                [&[0, 0, 0, 0, 0, 0][..], &body, &[EOF]].concat()
            } else {
                let all: Vec<Vec<u8>> = (0..rng.below(12)).map(|_| text(&mut rng)).collect();
                Listpack::from_entries(&all).as_bytes().to_vec()
            };
            for _ in 0..1 + rng.below(3) {
                let at = 4 + rng.below(bytes.len() - 5);
                bytes[at] = rng.next() as u8;
            }
            let total = (bytes.len() as u32).to_le_bytes();
            bytes[..4].copy_from_slice(&total);
            let deep = Listpack::from_bytes(&bytes, Check::Deep);
            let shallow = Listpack::from_bytes(&bytes, Check::Shallow).expect("header is right");
            if let Ok(sound) = deep {
                assert!(sound.iter().rev().count() == sound.iter().count());
            }
            exercise(shallow, &mut rng);
        }
        for bytes in [
            &b""[..],
            &EMPTY[..6],
            b"\x07\0\0\0\0\0\0",
            b"\x08\0\0\0\0\0\xff",
        ] {
            assert_eq!(Listpack::from_bytes(bytes, Check::Shallow), Err(Corrupt));
        }
    }

    #[test]
    fn knows_its_limit() {
        let listpack = Listpack::new();
        assert!(listpack.would_fit(SAFETY_LIMIT - 7));
        assert!(!listpack.would_fit(SAFETY_LIMIT - 6));
        assert!(!listpack.would_fit(usize::MAX));
        assert_eq!(LpEntry::Int(5).packed_len(), 2);
        assert_eq!(LpEntry::Str(b"5").packed_len(), 2);
        assert_eq!(LpEntry::Str(b"abc").packed_len(), 5);
    }
}
