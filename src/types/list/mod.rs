//! Lists: byte strings in order, cheap at both ends.
//!
//! ```text
//!   short   Listpack                                     one block of bytes
//!   long    Quicklist    [block][block] … [block]        listpacks of a bounded size in a counted B+tree
//!                         raw    LZF        raw          list-compress-depth: the inner ones compressed
//!                                [one huge element]      too large for a listpack: a block of its own
//! ```
//!
//! A list begins as a listpack and becomes a quicklist when it outgrows `list-max-listpack-size`; it becomes a
//! listpack again when a single block is left that is at most half of that, so that a list at the border does
//! not flap. `OBJECT ENCODING` calls the two `listpack` and `quicklist`.
//!
//! Invariant: the keyspace holds no empty list; a block of the quicklist is never empty.
//!
//! Mirrors: the upper half of t_list.c, quicklist.c. Differs: blocks hang in a tree, not on a chain: element n
//! costs O(log n), and a snapshot shares all blocks. The answers are Redis's, the borders between blocks need
//! not be.

mod quick;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use super::value::tag;
use crate::collections::listpack::{Check, Corrupt, Listpack, LpEntry};
use crate::collections::shared::{BigStr, Blob, Shared};

use quick::Quicklist;
pub use quick::{Node, QuickStats};

/// The configured limits of a list's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    /// `list-max-listpack-size`: elements in a block, or for -1 to -5 a size of 4 to 64 KiB.
    pub fill: i32,
    /// `list-compress-depth`: blocks at each end that are never compressed; 0 compresses none.
    pub compress_depth: u32,
    /// Elements of so many bytes are blocks of their own (DEBUG QUICKLIST-PACKED-THRESHOLD); 0 leaves it to
    /// `fill`.
    pub plain_from: usize,
}

/// Blocks limited by a number of elements are limited by this size as well.
const SAFETY_SIZE: usize = 8192;
/// Bytes that an element is assumed to add to a block besides its own.
const ENTRY_OVERHEAD: usize = 8;

impl ListLimits {
    /// Block sizes for the fills -1 to -5.
    const SIZES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];

    fn clamped_fill(&self) -> i32 {
        self.fill.clamp(-5, (1 << 15) - 1)
    }

    /// Most bytes and most elements of a block.
    #[doc(alias = "quicklistNodeLimit")]
    fn block(&self) -> (usize, usize) {
        match self.fill {
            0 => (usize::MAX, 1),
            fill @ 1.. => (usize::MAX, fill as usize),
            fill => (Self::SIZES[(-fill.max(-5) - 1) as usize], usize::MAX),
        }
    }

    /// Whether a block of so many bytes and elements is too large.
    #[doc(alias = "quicklistNodeExceedsLimit")]
    fn exceeds(&self, bytes: usize, count: usize) -> bool {
        let (most_bytes, most) = self.block();
        if most == usize::MAX {
            bytes > most_bytes
        } else {
            bytes > SAFETY_SIZE || count > most
        }
    }

    /// Whether an element is to be a block of its own.
    #[doc(alias = "isLargeElement")]
    fn is_large(&self, len: usize) -> bool {
        if self.plain_from > 0 {
            len >= self.plain_from
        } else if self.fill >= 0 {
            len > SAFETY_SIZE
        } else {
            len > self.block().0
        }
    }
}

impl Default for ListLimits {
    fn default() -> Self {
        ListLimits {
            fill: -2,
            compress_depth: 0,
            plain_from: 0,
        }
    }
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The front: LEFT.
    Head,
    /// The back: RIGHT.
    Tail,
}

/// A list.
#[derive(Debug, Clone)]
#[repr(transparent)]
pub struct List(Body);

#[derive(Debug, Clone)]
#[repr(u8)]
enum Body {
    Packed(Listpack) = tag::LIST,
    Quick(Shared<Quicklist>) = tag::LIST + 1,
}

impl Default for List {
    fn default() -> Self {
        List::new()
    }
}

/// A needle, its number worked out once.
#[derive(Clone, Copy)]
struct Needle<'a> {
    text: &'a [u8],
    number: Option<i64>,
}

impl<'a> Needle<'a> {
    fn new(text: &'a [u8]) -> Self {
        Needle {
            text,
            number: crate::util::num::parse_i64(text),
        }
    }

    #[inline]
    fn is(&self, entry: LpEntry<'_>) -> bool {
        match entry {
            LpEntry::Int(number) => self.number == Some(number),
            LpEntry::Str(text) => self.text == text,
        }
    }
}

impl List {
    /// An empty list.
    pub fn new() -> List {
        List(Body::Packed(Listpack::new()))
    }

    /// From a listpack that came from outside (RDB, RESTORE). An empty one is refused.
    pub fn from_listpack(blob: Blob, check: Check, limits: ListLimits) -> Result<List, Corrupt> {
        let pack = Listpack::from_blob(blob, check)?;
        if holds_nothing(&pack) {
            return Err(Corrupt);
        }
        let mut list = List(Body::Packed(pack));
        list.grow_for(0, 0, limits);
        Ok(list)
    }

    /// An empty quicklist to be filled with [`List::append_listpack`] and [`List::append_plain`];
    /// [`List::finish`] gives it the encoding it deserves.
    pub fn builder(limits: ListLimits) -> List {
        List(Body::Quick(Shared::new(Quicklist::new(limits))))
    }

    /// Adds a block of elements at the end. An empty one is refused. Only for lists made by [`List::builder`].
    #[doc(alias = "quicklistAppendListpack")]
    pub fn append_listpack(&mut self, blob: Blob, check: Check) -> Result<(), Corrupt> {
        let pack = Listpack::from_blob(blob, check)?;
        match &mut self.0 {
            Body::Quick(quick) if !holds_nothing(&pack) => {
                quick.make_mut().append(Node::packed(pack));
                Ok(())
            }
            _ => Err(Corrupt),
        }
    }

    /// Adds a huge element at the end as a block of its own. Only for lists made by [`List::builder`].
    #[doc(alias = "quicklistAppendPlainNode")]
    pub fn append_plain(&mut self, element: BigStr) {
        if let Body::Quick(quick) = &mut self.0 {
            quick.make_mut().append(Node::Plain(element));
        }
    }

    /// Ends what [`List::builder`] began: a single small block becomes a listpack.
    #[doc(alias = "LIST_CONV_AUTO")]
    pub fn finish(&mut self, limits: ListLimits) {
        match &self.0 {
            Body::Quick(_) => self.shrink(limits, false),
            Body::Packed(_) => self.grow_for(0, 0, limits),
        }
    }

    /// Number of elements. O(1).
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Body::Packed(pack) => pack.len(),
            Body::Quick(quick) => quick.len() as usize,
        }
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        match &self.0 {
            Body::Packed(_) => "listpack",
            Body::Quick(_) => "quicklist",
        }
    }

    /// Bytes in the allocator.
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        match &self.0 {
            Body::Packed(pack) => pack.blob().allocated_bytes(),
            Body::Quick(quick) => {
                Shared::<Quicklist>::node_bytes() + quick.allocated_bytes(samples)
            }
        }
    }

    /// How many steps freeing it takes.
    pub fn free_effort(&self) -> usize {
        match &self.0 {
            Body::Packed(_) => 1,
            Body::Quick(quick) => quick.blocks() as usize,
        }
    }

    /// The shape of a quicklist, for DEBUG OBJECT.
    pub fn quick_stats(&self) -> Option<QuickStats> {
        match &self.0 {
            Body::Packed(_) => None,
            Body::Quick(quick) => Some(quick.stats()),
        }
    }

    /// The listpack, while the list is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match &self.0 {
            Body::Packed(pack) => Some(pack),
            Body::Quick(_) => None,
        }
    }

    /// The blocks of a quicklist, in order; none while the list is a listpack.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let quick = match &self.0 {
            Body::Packed(_) => None,
            Body::Quick(quick) => Some(quick.nodes()),
        };
        quick.into_iter().flatten()
    }

    // ---- Reading -------------------------------------------------------------------------------------

    /// Hands the elements from `start` to before `end` to `f`, until it breaks. O(log n + elements).
    pub fn visit<B>(
        &self,
        start: usize,
        end: usize,
        f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match &self.0 {
            Body::Packed(pack) => visit_pack(pack, start, end, f),
            Body::Quick(quick) => quick.visit(start, end, f),
        }
    }

    /// As [`List::visit`], from the last of these elements to the first.
    pub fn visit_back<B>(
        &self,
        start: usize,
        end: usize,
        f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match &self.0 {
            Body::Packed(pack) => visit_pack_back(pack, start, end, f),
            Body::Quick(quick) => quick.visit_back(start, end, f),
        }
    }

    /// Hands all elements to `f`.
    pub fn for_each(&self, mut f: impl FnMut(LpEntry<'_>)) {
        let _ = self.visit(0, self.len(), &mut |entry| {
            f(entry);
            ControlFlow::<()>::Continue(())
        });
    }

    /// Shows the element at `index` to `f`. O(log n).
    pub fn with<R>(&self, index: usize, f: impl FnOnce(LpEntry<'_>) -> R) -> Option<R> {
        match &self.0 {
            Body::Packed(pack) => pack.get(index as i64).map(f),
            Body::Quick(quick) => quick.with(index as u64, f),
        }
    }

    /// Shows the element at an end to `f`. O(1), or of a quicklist O(log blocks).
    #[inline]
    pub fn with_end<R>(&self, end: End, f: impl FnOnce(LpEntry<'_>) -> R) -> Option<R> {
        match &self.0 {
            Body::Packed(pack) => end_of(pack, end).map(f),
            Body::Quick(quick) => quick.with_end(end, f),
        }
    }

    /// Position of the first element that is `text`. O(n).
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let needle = Needle::new(text);
        let mut at = 0;
        self.visit(0, usize::MAX, &mut |entry| {
            if needle.is(entry) {
                return ControlFlow::Break(at);
            }
            at += 1;
            ControlFlow::Continue(())
        })
        .break_value()
    }

    // ---- Writing -------------------------------------------------------------------------------------

    /// Gets ready for elements of so many bytes in all: a listpack they would make too large becomes a quicklist.
    #[doc(alias = "listTypeTryConversionAppend")]
    #[inline]
    pub fn grow_for(&mut self, bytes: usize, count: usize, limits: ListLimits) {
        if let Body::Packed(pack) = &mut self.0
            && limits.exceeds(pack.byte_len() + bytes, pack.len() + count)
        {
            let pack = std::mem::take(pack);
            let mut quick = Quicklist::new(limits);
            if !holds_nothing(&pack) {
                quick.append(Node::packed(pack));
            }
            self.0 = Body::Quick(Shared::new(quick));
        }
    }

    /// After elements went: a quicklist of one small block becomes a listpack.
    #[doc(alias = "LIST_CONV_SHRINKING")]
    #[inline]
    fn shrink(&mut self, limits: ListLimits, by_half: bool) {
        if let Body::Quick(quick) = &self.0
            && quick.blocks() <= 1
            && let Some(pack) = quick.only_pack()
        {
            let (bytes, count) = limits.block();
            let part = if by_half { 2 } else { 1 };
            if pack.byte_len() <= bytes / part && pack.len() <= count / part {
                self.0 = Body::Packed(pack);
            }
        }
    }

    /// Adds an element at an end. [`List::grow_for`] must have been told of it.
    #[inline]
    pub fn push(&mut self, end: End, element: &[u8], limits: ListLimits) {
        match &mut self.0 {
            Body::Packed(pack) => {
                match end {
                    End::Head => pack.push_front(element),
                    End::Tail => pack.push_back(element),
                };
            }
            Body::Quick(quick) => quick.make_mut().push(end, element, limits),
        }
    }

    /// Takes the element at an end away after showing it to `f`.
    #[inline]
    pub fn pop<R>(
        &mut self,
        end: End,
        limits: ListLimits,
        f: impl FnOnce(LpEntry<'_>) -> R,
    ) -> Option<R> {
        let shown = match &mut self.0 {
            Body::Packed(pack) => {
                let pos = match end {
                    End::Head => pack.first()?,
                    End::Tail => pack.last()?,
                };
                let shown = pack.entry(pos).map(f);
                pack.delete(pos);
                shown
            }
            Body::Quick(quick) => quick.make_mut().pop(end, f),
        };
        self.shrink(limits, true);
        shown
    }

    /// Removes the elements from `start` to before `end`. O(log n + blocks).
    #[doc(alias = "listTypeDelRange")]
    pub fn remove_range(&mut self, start: usize, end: usize, limits: ListLimits) {
        let end = end.min(self.len());
        if start >= end {
            return;
        }
        match &mut self.0 {
            Body::Packed(pack) => pack.delete_range(start as i64, end - start),
            Body::Quick(quick) => quick.make_mut().remove_range(start as u64, end as u64),
        }
        self.shrink(limits, true);
    }

    /// Adds an element so that it will be at `index`, which is at most the length. [`List::grow_for`] must have been
    /// told of it.
    pub fn insert(&mut self, index: usize, element: &[u8], limits: ListLimits) {
        match &mut self.0 {
            Body::Packed(pack) => {
                match pack.seek(index as i64) {
                    Some(pos) => pack.insert_before(pos, element),
                    None => pack.push_back(element),
                };
            }
            Body::Quick(quick) => quick.make_mut().insert(index as u64, element, limits),
        }
    }

    /// Puts another element in the place of the one at `index`; `false` if there is none. [`List::grow_for`] must
    /// have been told of it.
    pub fn replace(&mut self, index: usize, element: &[u8], limits: ListLimits) -> bool {
        if index >= self.len() {
            return false;
        }
        match &mut self.0 {
            Body::Packed(pack) => {
                let Some(pos) = pack.seek(index as i64) else {
                    return false;
                };
                pack.replace(pos, element);
            }
            Body::Quick(quick) => quick.make_mut().replace(index as u64, element, limits),
        }
        self.shrink(limits, true);
        true
    }

    /// Removes up to `most` elements that are `text`, beginning at an end; returns how many. O(n).
    pub fn remove_equal(
        &mut self,
        text: &[u8],
        from: End,
        most: usize,
        limits: ListLimits,
    ) -> usize {
        let needle = Needle::new(text);
        let removed = match &mut self.0 {
            Body::Packed(pack) => remove_from_pack(pack, needle, from, most),
            Body::Quick(quick) => {
                // Looked for first, so that a miss copies nothing.
                let found = quick.visit(0, usize::MAX, &mut |entry| match needle.is(entry) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                });
                match found {
                    ControlFlow::Break(()) => quick.make_mut().remove_equal(needle, from, most),
                    ControlFlow::Continue(()) => 0,
                }
            }
        };
        if removed > 0 {
            self.shrink(limits, true);
        }
        removed
    }
}

/// Whether a listpack has no elements, or its header counts none.
fn holds_nothing(pack: &Listpack) -> bool {
    let count = pack.len();
    pack.is_empty() || count == 0
}

#[inline]
fn end_of(pack: &Listpack, end: End) -> Option<LpEntry<'_>> {
    let mut iter = pack.iter();
    match end {
        End::Head => iter.next(),
        End::Tail => iter.next_back(),
    }
}

#[inline]
fn visit_pack<B>(
    pack: &Listpack,
    start: usize,
    end: usize,
    f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let Some(pos) = pack.seek(start as i64) else {
        return ControlFlow::Continue(());
    };
    for (_, entry) in pack.positions_from(pos).take(end.saturating_sub(start)) {
        f(entry)?;
    }
    ControlFlow::Continue(())
}

fn visit_pack_back<B>(
    pack: &Listpack,
    start: usize,
    end: usize,
    f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let end = end.min(pack.len());
    let Some(pos) = end.checked_sub(1).and_then(|last| pack.seek(last as i64)) else {
        return ControlFlow::Continue(());
    };
    let entries = pack.positions_through(pos).rev();
    for (_, entry) in entries.take(end.saturating_sub(start)) {
        f(entry)?;
    }
    ControlFlow::Continue(())
}

/// Removes up to `most` elements from a listpack in one pass.
fn remove_from_pack(pack: &mut Listpack, needle: Needle<'_>, from: End, most: usize) -> usize {
    let mut hits = Vec::new();
    let matching = |(pos, entry)| needle.is(entry).then_some(pos);
    match from {
        End::Head => hits.extend(pack.positions().filter_map(matching).take(most)),
        End::Tail => {
            hits.extend(pack.positions().rev().filter_map(matching).take(most));
            hits.reverse();
        }
    }
    pack.delete_many(&hits);
    hits.len()
}
