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
//! `format.rs` turns one entry into bytes and back, `walk.rs` goes from entry to entry; here are the operations.
//!
//! Mirrors: listpack.c, byte for byte. Differs: the bytes live in a counted [`Blob`], so `clone()` is O(1) and
//! the first write after it copies; where C hands out pointers we hand out offsets ([`LpPos`]); a broken
//! payload ends a walk instead of the process.
//! Cost: find, seek and count beyond 65,534 are O(bytes); writes are O(bytes behind the place).

mod format;
#[cfg(test)]
mod tests;
mod walk;

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;

use crate::collections::shared::{Blob, BlobMut};
use crate::util::num::{IntBuf, parse_i64};
use format::{EOF, Encoded, HEADER, decode, entry_before, skip_entry};
pub use walk::{Iter, Positions};

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
        Iter::new(self.positions())
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
