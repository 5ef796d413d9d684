//! The long list: blocks in a counted tree.
//!
//! Rules for where an element goes are quicklist.c's: into the block it belongs to, else into the neighbour at
//! that border, else into a new block; a full block is cut where the element belongs, and what became small is
//! merged with its neighbour. With `list-compress-depth` n, all blocks but n at each end are compressed with LZF,
//! as far as that saves anything; a block that is written to is opened for it and closed again.
//!
//! Mirrors: quicklist.c. Differs: the blocks hang in a counted tree, not in a linked list, so that an index is found
//! in O(log n) and a snapshot shares the blocks.

use std::ops::ControlFlow;

use super::{
    ENTRY_OVERHEAD, End, ListLimits, Needle, end_of, remove_from_pack, visit_pack, visit_pack_back,
};
use crate::collections::btree::{Item, Sequence};
use crate::collections::listpack::{Check, Listpack, LpEntry};
use crate::collections::shared::{BigStr, Blob, Shared};
use crate::util::lzf;

/// Blocks smaller than this are not compressed, nor those that would save less than [`MIN_SAVING`].
const MIN_COMPRESS: usize = 48;
const MIN_SAVING: usize = 8;
/// No element as long as this goes into a listpack, whatever limits say.
const HUGE: usize = 1 << 29;

/// A block.
#[derive(Debug, Clone)]
pub enum Node {
    /// A listpack, and how many elements it has.
    Packed { pack: Listpack, len: u32 },
    /// One huge element.
    Plain(BigStr),
    /// A compressed listpack.
    Squeezed { lzf: Shared<Squeezed>, len: u32 },
}

/// A listpack compressed with LZF.
#[derive(Debug, Clone)]
pub struct Squeezed {
    /// The compressed bytes.
    pub bytes: Blob,
    /// Their length once decompressed.
    pub raw_len: usize,
}

impl Item for Node {
    type Key = ();

    fn key(&self) -> &() {
        &()
    }

    fn weight(&self) -> u64 {
        self.len() as u64
    }
}

impl Node {
    pub(super) fn packed(pack: Listpack) -> Node {
        let len = pack.len() as u32;
        Node::Packed { pack, len }
    }

    fn single(element: &[u8]) -> Node {
        Node::packed(Listpack::from_entries([element]))
    }

    /// Number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Node::Packed { len, .. } | Node::Squeezed { len, .. } => *len as usize,
            Node::Plain(_) => 1,
        }
    }

    /// Bytes of the block when it is not compressed.
    pub fn raw_bytes(&self) -> usize {
        match self {
            Node::Packed { pack, .. } => pack.byte_len(),
            Node::Plain(element) => element.len(),
            Node::Squeezed { lzf, .. } => lzf.raw_len,
        }
    }

    fn allocated_bytes(&self) -> usize {
        match self {
            Node::Packed { pack, .. } => pack.blob().allocated_bytes(),
            Node::Plain(element) => element.allocated_bytes(),
            Node::Squeezed { lzf, .. } => {
                Shared::<Squeezed>::node_bytes() + lzf.bytes.allocated_bytes()
            }
        }
    }

    /// The elements as a listpack: shared, or decompressed; none of a huge element.
    pub fn listpack(&self) -> Option<Listpack> {
        match self {
            Node::Packed { pack, .. } => Some(pack.clone()),
            Node::Plain(_) => None,
            Node::Squeezed { lzf, .. } => {
                let bytes = lzf::decompress(&lzf.bytes, lzf.raw_len)?;
                Listpack::from_bytes(&bytes, Check::Shallow).ok()
            }
        }
    }

    /// The listpack to be written to. A huge element must not be asked.
    fn open(&mut self) -> &mut Listpack {
        if !matches!(self, Node::Packed { .. }) {
            let len = self.len() as u32;
            let pack = self.listpack().unwrap_or_default();
            *self = Node::Packed { pack, len };
        }
        match self {
            Node::Packed { pack, .. } => pack,
            Node::Plain(_) | Node::Squeezed { .. } => unreachable!("it was just opened"),
        }
    }

    /// Lets `change` write to the listpack and counts what is left.
    fn write<R>(&mut self, change: impl FnOnce(&mut Listpack) -> R) -> R {
        let result = change(self.open());
        if let Node::Packed { pack, len } = self {
            *len = if pack.is_empty() {
                0
            } else {
                pack.len() as u32
            };
        }
        result
    }

    /// Leaves nothing of it: the tree will drop it.
    fn spend(&mut self) {
        *self = Node::Packed {
            pack: Listpack::new(),
            len: 0,
        };
    }

    #[doc(alias = "quicklistCompressNode")]
    fn squeeze(&mut self, compressor: &mut lzf::Compressor) {
        let Node::Packed { pack, len } = self else {
            return;
        };
        let raw = pack.as_bytes();
        if raw.len() < MIN_COMPRESS {
            return;
        }
        let mut out = vec![0; raw.len() - MIN_SAVING];
        if let Some(n) = compressor.compress(raw, &mut out) {
            let squeezed = Squeezed {
                bytes: Blob::from_slice(&out[..n]),
                raw_len: raw.len(),
            };
            *self = Node::Squeezed {
                lzf: Shared::new(squeezed),
                len: *len,
            };
        }
    }

    /// Whether an element of so many bytes may join the block.
    #[doc(alias = "_quicklistNodeAllowInsert")]
    fn has_room(&self, element: usize, limits: ListLimits) -> bool {
        let bytes = self.raw_bytes() + element + ENTRY_OVERHEAD;
        !matches!(self, Node::Plain(_)) && !limits.exceeds(bytes, self.len() + 1)
    }

    fn visit<B>(
        &self,
        start: usize,
        end: usize,
        f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self {
            Node::Packed { pack, .. } => visit_pack(pack, start, end, f),
            Node::Plain(element) => f(LpEntry::Str(element.as_slice())),
            Node::Squeezed { .. } => match self.listpack() {
                Some(pack) => visit_pack(&pack, start, end, f),
                None => ControlFlow::Continue(()),
            },
        }
    }

    fn visit_back<B>(
        &self,
        end: usize,
        most: usize,
        f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let start = end.saturating_sub(most);
        match self {
            Node::Packed { pack, .. } => visit_pack_back(pack, start, end, f),
            Node::Plain(element) => f(LpEntry::Str(element.as_slice())),
            Node::Squeezed { .. } => match self.listpack() {
                Some(pack) => visit_pack_back(&pack, start, end, f),
                None => ControlFlow::Continue(()),
            },
        }
    }
}

/// The figures DEBUG OBJECT tells of a quicklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuickStats {
    pub nodes: u64,
    pub elements: u64,
    /// The fill it was made with.
    pub fill: i32,
    pub compress_depth: u32,
    pub uncompressed_bytes: usize,
}

/// Blocks in order, and the limits they were made under.
#[derive(Debug, Clone)]
pub(super) struct Quicklist {
    seq: Sequence<Node>,
    fill: i32,
    compress_depth: u32,
}

impl Quicklist {
    pub fn new(limits: ListLimits) -> Self {
        Quicklist {
            seq: Sequence::new(),
            fill: limits.clamped_fill(),
            compress_depth: limits.compress_depth,
        }
    }

    pub fn len(&self) -> u64 {
        self.seq.len()
    }

    pub fn blocks(&self) -> u64 {
        self.seq.blocks()
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.seq.forward(0)
    }

    /// The one listpack there is, if there is but one. No elements at all are an empty one.
    pub fn only_pack(&self) -> Option<Listpack> {
        match (self.blocks(), self.seq.first()) {
            (0, _) => Some(Listpack::new()),
            (1, Some(Node::Packed { pack, .. })) => Some(pack.clone()),
            _ => None,
        }
    }

    pub fn allocated_bytes(&self, samples: usize) -> usize {
        let most = if samples == 0 { usize::MAX } else { samples };
        let (mut seen, mut bytes) = (0, 0);
        for node in self.nodes().take(most) {
            seen += 1;
            bytes += node.allocated_bytes();
        }
        let blocks = self.blocks() as usize;
        self.seq.allocated_bytes() + (bytes * blocks).checked_div(seen).unwrap_or(0)
    }

    pub fn stats(&self) -> QuickStats {
        QuickStats {
            nodes: self.blocks(),
            elements: self.len(),
            fill: self.fill,
            compress_depth: self.compress_depth,
            uncompressed_bytes: self.nodes().map(Node::raw_bytes).sum(),
        }
    }

    /// The limits this list was made under; only what is huge is judged by today's.
    fn limits(&self, now: ListLimits) -> ListLimits {
        ListLimits {
            fill: self.fill,
            ..now
        }
    }

    fn is_large(limits: ListLimits, len: usize) -> bool {
        limits.is_large(len) || len >= HUGE
    }

    // ---- Reading -------------------------------------------------------------------------------------

    pub fn visit<B>(
        &self,
        start: usize,
        end: usize,
        f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some((_, mut at)) = self.seq.get(start as u64) else {
            return ControlFlow::Continue(());
        };
        let mut left = end.saturating_sub(start);
        for node in self.seq.forward(start as u64) {
            if left == 0 {
                break;
            }
            let here = (node.len() - at).min(left);
            node.visit(at, at + here, f)?;
            left -= here;
            at = 0;
        }
        ControlFlow::Continue(())
    }

    pub fn visit_back<B>(
        &self,
        start: usize,
        end: usize,
        f: &mut impl FnMut(LpEntry<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let end = (end as u64).min(self.len());
        let mut left = (end as usize).saturating_sub(start);
        let Some((node, at)) = end.checked_sub(1).and_then(|last| self.seq.get(last)) else {
            return ControlFlow::Continue(());
        };
        if left == 0 {
            return ControlFlow::Continue(());
        }
        node.visit_back(at + 1, left, f)?;
        left = left.saturating_sub(at + 1);
        for node in self.seq.backward(end - 1 - at as u64) {
            if left == 0 {
                break;
            }
            node.visit_back(node.len(), left, f)?;
            left = left.saturating_sub(node.len());
        }
        ControlFlow::Continue(())
    }

    pub fn with<R>(&self, index: u64, f: impl FnOnce(LpEntry<'_>) -> R) -> Option<R> {
        let (node, at) = self.seq.get(index)?;
        match node {
            Node::Packed { pack, .. } => pack.get(at as i64).map(f),
            Node::Plain(element) => Some(f(LpEntry::Str(element.as_slice()))),
            Node::Squeezed { .. } => node.listpack()?.get(at as i64).map(f),
        }
    }

    pub fn with_end<R>(&self, end: End, f: impl FnOnce(LpEntry<'_>) -> R) -> Option<R> {
        let node = match end {
            End::Head => self.seq.first(),
            End::Tail => self.seq.last(),
        };
        match node? {
            Node::Packed { pack, .. } => end_of(pack, end).map(f),
            Node::Plain(element) => Some(f(LpEntry::Str(element.as_slice()))),
            squeezed => end_of(&squeezed.listpack()?, end).map(f),
        }
    }

    // ---- Writing -------------------------------------------------------------------------------------

    /// Adds a block at the end.
    pub fn append(&mut self, node: Node) {
        self.seq.push_back(node);
        self.settle_ends();
    }

    pub fn push(&mut self, end: End, element: &[u8], now: ListLimits) {
        let limits = self.limits(now);
        if Self::is_large(limits, element.len()) {
            return self.push_node(end, Node::Plain(BigStr::from_slice(element)));
        }
        let add = |node: &mut Node| {
            let room = node.has_room(element.len(), limits);
            if room {
                match (end, &mut *node) {
                    (End::Tail, Node::Packed { pack, len }) => {
                        pack.push_back(element);
                        *len += 1;
                    }
                    (End::Head, Node::Packed { pack, len }) => {
                        pack.push_front(element);
                        *len += 1;
                    }
                    (End::Tail, _) => node.write(|pack| _ = pack.push_back(element)),
                    (End::Head, _) => node.write(|pack| _ = pack.push_front(element)),
                }
            }
            room
        };
        let added = match end {
            End::Head => self.seq.update_first(add),
            End::Tail => self.seq.update_last(add),
        };
        if added != Some(true) {
            self.push_node(end, Node::single(element));
        }
    }

    fn push_node(&mut self, end: End, node: Node) {
        match end {
            End::Head => self.seq.push_front(node),
            End::Tail => self.seq.push_back(node),
        }
        self.settle_ends();
    }

    pub fn pop<R>(&mut self, end: End, f: impl FnOnce(LpEntry<'_>) -> R) -> Option<R> {
        let blocks = self.blocks();
        let take = |node: &mut Node| {
            if let Node::Plain(element) = node {
                let shown = f(LpEntry::Str(element.as_slice()));
                node.spend();
                return Some(shown);
            }
            let pack = node.open();
            let pos = match end {
                End::Head => pack.first(),
                End::Tail => pack.last(),
            };
            let shown = pos.and_then(|pos| pack.entry(pos)).map(f);
            match (pos, &mut *node) {
                (Some(pos), Node::Packed { pack, len }) if *len > 1 => {
                    pack.delete(pos);
                    *len -= 1;
                }
                // The last element, or a block whose header counts more than it has.
                _ => node.spend(),
            }
            shown
        };
        let shown = match end {
            End::Head => self.seq.update_first(take),
            End::Tail => self.seq.update_last(take),
        };
        if self.blocks() != blocks {
            self.settle_ends();
        }
        shown.flatten()
    }

    #[doc(alias = "quicklistDelRange")]
    pub fn remove_range(&mut self, start: u64, end: u64) {
        let mut left = end.min(self.len()).saturating_sub(start);
        // A range that begins inside a block first cuts the end of that block.
        if let Some((node, at)) = self.seq.get(start)
            && at > 0
        {
            let here = (node.len() - at).min(left as usize);
            self.cut(start, here);
            left -= here as u64;
        }
        let before = self.len();
        if left > 0 {
            self.seq.remove_range(start, start + left);
            left -= before - self.len();
        }
        if left > 0 {
            self.cut(start, left as usize);
        }
        self.settle_ends();
        self.settle_around(start);
    }

    /// Removes `count` elements from `position` on, all of one block.
    fn cut(&mut self, position: u64, count: usize) {
        self.seq.update(position, |node, at| {
            if matches!(node, Node::Plain(_)) || count >= node.len() {
                node.spend();
            } else {
                node.write(|pack| pack.delete_range(at as i64, count));
            }
        });
    }

    #[doc(alias = "_quicklistInsert")]
    pub fn insert(&mut self, index: u64, element: &[u8], now: ListLimits) {
        let limits = self.limits(now);
        let Some((node, at)) = self.seq.get(index) else {
            return self.push(End::Tail, element, now);
        };
        if index == 0 {
            return self.push(End::Head, element, now);
        }
        let large = Self::is_large(limits, element.len());
        if !large && node.has_room(element.len(), limits) {
            self.add(index, at, element);
        } else if at == 0 {
            let before = self.seq.get(index - 1);
            let fits = before.is_some_and(|(node, _)| node.has_room(element.len(), limits));
            if large {
                self.seq
                    .insert(index, Node::Plain(BigStr::from_slice(element)));
            } else if fits {
                self.seq.update(index - 1, |node, _| {
                    node.write(|pack| _ = pack.push_back(element));
                });
            } else {
                self.seq.insert(index, Node::single(element));
            }
        } else {
            self.split(index);
            if large {
                self.seq
                    .insert(index, Node::Plain(BigStr::from_slice(element)));
            } else {
                self.add(index, 0, element);
                self.merge_around(index, limits);
            }
        }
        self.settle_ends();
        self.settle_around(index);
    }

    /// Adds an element to the block that holds `position`, before its element `at`.
    fn add(&mut self, position: u64, at: usize, element: &[u8]) {
        self.seq.update(position, |node, _| {
            node.write(|pack| match pack.seek(at as i64) {
                Some(pos) => pack.insert_before(pos, element),
                None => pack.push_back(element),
            });
        });
    }

    /// Makes a border between blocks before `index`.
    #[doc(alias = "_quicklistSplitNode")]
    fn split(&mut self, index: u64) {
        let tail = self.seq.update(index, |node, at| {
            node.write(|pack| {
                let pos = pack.seek(at as i64)?;
                Some(pack.split_off(pos))
            })
        });
        if let Some(Some(tail)) = tail
            && !tail.is_empty()
        {
            self.seq.insert(index.min(self.len()), Node::packed(tail));
        }
    }

    /// Merges the blocks around a place with their neighbours, as far as limits allow.
    #[doc(alias = "_quicklistMergeNodes")]
    fn merge_around(&mut self, index: u64, limits: ListLimits) {
        let Some((node, at)) = self.seq.get(index) else {
            return;
        };
        let (start, end) = (index - at as u64, index - at as u64 + node.len() as u64);
        // The farther border first: merging at the nearer one moves it.
        self.merge_at(end, limits);
        if self.merge_at(start, limits) {
            let Some((_, at)) = self.seq.get(start) else {
                return;
            };
            self.merge_at(start - at as u64, limits);
        }
    }

    /// Makes one of the two blocks that meet at `border` if that is not too much.
    #[doc(alias = "_quicklistListpackMerge")]
    fn merge_at(&mut self, border: u64, limits: ListLimits) -> bool {
        let Some((left, _)) = border.checked_sub(1).and_then(|i| self.seq.get(i)) else {
            return false;
        };
        let Some((right, _)) = self.seq.get(border) else {
            return false;
        };
        if matches!(left, Node::Plain(_)) || matches!(right, Node::Plain(_)) {
            return false;
        }
        // One header and one terminator go.
        let bytes = left.raw_bytes() + right.raw_bytes() - 7;
        if limits.exceeds(bytes, left.len() + right.len()) {
            return false;
        }
        let Some(pack) = self.seq.remove(border).and_then(|node| node.listpack()) else {
            return false;
        };
        self.seq.update(border - 1, |node, _| {
            node.write(|left| left.append(&pack));
        });
        true
    }

    #[doc(alias = "quicklistReplaceEntry")]
    pub fn replace(&mut self, index: u64, element: &[u8], now: ListLimits) {
        let limits = self.limits(now);
        let large = Self::is_large(limits, element.len());
        let done = self.seq.update(index, |node, at| {
            if let Node::Plain(_) = node {
                *node = match large {
                    true => Node::Plain(BigStr::from_slice(element)),
                    false => Node::single(element),
                };
                return true;
            }
            if large {
                return false;
            }
            node.write(|pack| match pack.seek(at as i64) {
                Some(pos) if pack.would_fit(element.len() + ENTRY_OVERHEAD) => {
                    pack.replace(pos, element);
                    true
                }
                _ => false,
            })
        });
        if done == Some(false) {
            self.cut(index, 1);
            self.insert(index, element, now);
        }
        self.settle_ends();
        self.settle_around(index);
    }

    pub fn remove_equal(&mut self, needle: Needle<'_>, from: End, most: usize) -> usize {
        let mut removed = 0;
        let mut next = match from {
            End::Head => 0,
            End::Tail => self.len(),
        };
        while removed < most {
            let place = match from {
                End::Head => Some(next),
                End::Tail => next.checked_sub(1),
            };
            let Some((node, at)) = place.and_then(|place| self.seq.get(place)) else {
                break;
            };
            let len = node.len() as u64;
            let start = place.unwrap_or(0) - at as u64;
            let hit = node.visit(0, usize::MAX, &mut |entry| match needle.is(entry) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
            let mut here = 0;
            if hit.is_break() {
                let before = self.len();
                self.seq.update(start, |node, _| match node {
                    Node::Plain(_) => node.spend(),
                    _ => {
                        node.write(|pack| remove_from_pack(pack, needle, from, most - removed));
                    }
                });
                here = before - self.len();
                removed += here as usize;
                self.settle_around(start);
            }
            next = match from {
                End::Head => start + len - here,
                End::Tail => start,
            };
        }
        self.settle_ends();
        removed
    }

    // ---- Compression ---------------------------------------------------------------------------------

    /// After blocks came or went: opens those at the ends and closes the first ones behind them.
    #[doc(alias = "__quicklistCompress")]
    fn settle_ends(&mut self) {
        if self.compress_depth > 0 {
            self.settle_ends_slow();
        }
    }

    fn settle_ends_slow(&mut self) {
        let depth = u64::from(self.compress_depth);
        let inner = self.blocks() > 2 * depth;
        let mut open = Vec::new();
        let mut close = Vec::new();
        let mut note = |i: u64, position: u64, node: &Node| match node {
            Node::Squeezed { .. } if i < depth => open.push(position),
            Node::Packed { .. } if i == depth && inner => close.push(position),
            _ => {}
        };
        let mut position = 0;
        for (i, node) in (0..=depth).zip(self.seq.forward(0)) {
            note(i, position, node);
            position += node.weight();
        }
        let mut position = self.len();
        for (i, node) in (0..=depth).zip(self.seq.backward(self.len())) {
            position -= node.weight();
            note(i, position, node);
        }
        for position in open {
            self.seq.update(position, |node, _| _ = node.open());
        }
        self.close(&close);
    }

    /// After blocks around a place were opened to be written to: closes those that are not at the ends.
    fn settle_around(&mut self, position: u64) {
        if self.compress_depth == 0 || self.is_empty() {
            return;
        }
        let depth = self.compress_depth as usize;
        let ends = |nodes: &mut dyn Iterator<Item = &Node>| -> u64 {
            nodes.take(depth).map(Item::weight).sum()
        };
        let from = ends(&mut self.seq.forward(0));
        let to = self
            .len()
            .saturating_sub(ends(&mut self.seq.backward(self.len())));
        let mut close = Vec::new();
        let position = position.min(self.len() - 1);
        let Some((_, at)) = self.seq.get(position) else {
            return;
        };
        let here = position - at as u64;
        let mut end = here;
        for node in self.seq.backward(here).take(2) {
            end -= node.weight();
            if end >= from && end < to && matches!(node, Node::Packed { .. }) {
                close.push(end);
            }
        }
        let mut start = here;
        for node in self.seq.forward(here).take(3) {
            if start >= from && start < to && matches!(node, Node::Packed { .. }) {
                close.push(start);
            }
            start += node.weight();
        }
        self.close(&close);
    }

    fn close(&mut self, positions: &[u64]) {
        if positions.is_empty() {
            return;
        }
        let mut compressor = lzf::Compressor::new();
        for position in positions {
            self.seq
                .update(*position, |node, _| node.squeeze(&mut compressor));
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
