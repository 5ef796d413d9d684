//! The blocks of a stream, in the order of their IDs: all but the last in a tree, the last at hand.
//!
//! ```text
//!   index    0 … n - 1                    n
//!            OrderedMap<ID, Listpack>     tail: where XADD writes
//! ```
//!
//! Nearly every write of a stream goes to its end. With the last block outside, it costs no way down the tree, and a
//! stream of one block has no tree at all.
//!
//! Invariant: there is a tail exactly if there are blocks; its ID is above all in the tree.
//!
//! Mirrors: the `rax` of a `stream` (stream.h).

use super::StreamId;
use crate::collections::btree::OrderedMap;
use crate::collections::listpack::Listpack;

/// A leaf of the tree comes to about 1 KB.
const LEAF: usize = 40;

/// The blocks of a stream, each under the ID of its first entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    tree: OrderedMap<StreamId, Listpack, LEAF>,
    tail: Option<(StreamId, Listpack)>,
}

impl Blocks {
    /// Number of blocks.
    pub(super) fn len(&self) -> u64 {
        self.tree.len() + u64::from(self.tail.is_some())
    }

    /// Nodes of the tree; the tail counts as one.
    pub(super) fn nodes(&self) -> usize {
        self.tree.nodes() + usize::from(self.tail.is_some())
    }

    /// Bytes of the tree's nodes.
    pub(super) fn tree_bytes(&self) -> usize {
        self.tree.allocated_bytes()
    }

    /// The block at an index. O(log n).
    pub(super) fn nth(&self, index: u64) -> Option<(StreamId, &Listpack)> {
        if index == self.tree.len() {
            return self.tail.as_ref().map(|(id, block)| (*id, block));
        }
        let pair = self.tree.nth(index)?;
        Some((pair.key, &pair.value))
    }

    /// The block at an index, to be written to. O(log n).
    pub(super) fn nth_mut(&mut self, index: u64) -> Option<&mut Listpack> {
        if index == self.tree.len() {
            return self.tail.as_mut().map(|(_, block)| block);
        }
        let id = self.tree.nth(index)?.key;
        self.tree.get_mut(&id)
    }

    /// The index of the last block that does not begin behind an ID. O(log n).
    pub(super) fn floor(&self, id: StreamId) -> Option<u64> {
        match &self.tail {
            Some((tail, _)) if *tail <= id => Some(self.tree.len()),
            _ => self.tree.floor_index(&id),
        }
    }

    /// The last block.
    pub(super) fn tail(&self) -> Option<(StreamId, &Listpack)> {
        self.tail.as_ref().map(|(id, block)| (*id, block))
    }

    /// The last block, to be written to.
    pub(super) fn tail_mut(&mut self) -> Option<&mut Listpack> {
        self.tail.as_mut().map(|(_, block)| block)
    }

    /// Adds a block behind all others.
    pub(super) fn push(&mut self, id: StreamId, block: Listpack) {
        if let Some((id, block)) = self.tail.replace((id, block)) {
            self.tree.insert(id, block);
        }
    }

    /// Removes the block at an index. O(log n).
    pub(super) fn remove(&mut self, index: u64) {
        if index < self.tree.len() {
            self.tree.remove_range(index..index + 1, |_| {});
            return;
        }
        self.tail = None;
        if let Some(last) = self.tree.last().map(|pair| pair.key) {
            self.tail = self.tree.remove(&last).map(|block| (last, block));
        }
    }

    /// All blocks in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (StreamId, &Listpack)> {
        let tree = self.tree.iter().map(|pair| (pair.key, &pair.value));
        tree.chain(self.tail())
    }
}
