//! A sequence of packed blocks, found by the position of an element: the body of a long list.
//!
//! Each block says how many elements it holds; the tree adds them up, so that "element 700,000" is a descent to
//! the block and an offset into it. The ends are cheap: pushing into the last block rewrites a few weights on the
//! way to it, O(log n) with a tiny constant.
//!
//! Mirrors: quicklist.c, whose nodes are a linked list. Differs: an index costs O(log n) instead of O(blocks).

use super::seek::{At, Boundary, Last};
use super::{Backward, Forward, Item, Tree};

/// Most blocks that share a leaf. Lists have few blocks, so leaves are small: half a kilobyte.
const LEAF: usize = 30;
const INNER: usize = 30;

/// Blocks in order; positions count the elements inside them.
#[derive(Debug, Clone)]
pub struct Sequence<B: Item<Key = ()>>(Tree<B, LEAF, INNER>);

impl<B: Item<Key = ()>> Default for Sequence<B> {
    fn default() -> Self {
        Sequence(Tree::new())
    }
}

impl<B: Item<Key = ()>> Sequence<B> {
    /// No blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of elements in all blocks.
    pub fn len(&self) -> u64 {
        self.0.weight()
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.0.len()
    }

    /// Bytes of the nodes, without the blocks.
    pub fn allocated_bytes(&self) -> usize {
        self.0.allocated_bytes()
    }

    /// The block that holds the element at `position`, and the element's index in it. O(log n).
    pub fn get(&self, position: u64) -> Option<(&B, usize)> {
        let mut at = At(position);
        let block = self.0.get(&mut at)?;
        Some((block, at.0 as usize))
    }

    /// The first block.
    pub fn first(&self) -> Option<&B> {
        self.0.first()
    }

    /// The last block.
    pub fn last(&self) -> Option<&B> {
        self.0.last()
    }

    /// Adds a block (not an empty one) at the end.
    pub fn push_back(&mut self, block: B) {
        self.0.push_back(block);
    }

    /// Adds a block (not an empty one) at the front.
    pub fn push_front(&mut self, block: B) {
        self.0.push_front(block);
    }

    /// Adds a block whose first element will be at `position`, which must lie between two blocks or at an end; that is
    /// the caller's business, and another position a panic.
    pub fn insert(&mut self, position: u64, block: B) {
        self.0.insert(block, &mut Boundary(position));
    }

    /// Lets `change` write to the block that holds the element at `position`, given its index in it. A block left
    /// without elements is removed. O(log n).
    pub fn update<R>(
        &mut self,
        position: u64,
        change: impl FnOnce(&mut B, usize) -> R,
    ) -> Option<R> {
        if position >= self.len() {
            return None;
        }
        let change = |block: &mut B, at: &mut At| change(block, at.0 as usize);
        self.0.update(&mut At(position), change)
    }

    /// As [`Sequence::update`], on the first block.
    pub fn update_first<R>(&mut self, change: impl FnOnce(&mut B) -> R) -> Option<R> {
        self.update(0, |block, _| change(block))
    }

    /// As [`Sequence::update`], on the last block.
    pub fn update_last<R>(&mut self, change: impl FnOnce(&mut B) -> R) -> Option<R> {
        self.0.update(&mut Last, |block, _| change(block))
    }

    /// Removes the block that holds the element at `position`.
    pub fn remove(&mut self, position: u64) -> Option<B> {
        if position >= self.len() {
            return None;
        }
        self.0.remove(&mut At(position))
    }

    /// Removes the blocks that lie wholly within these positions, the first of which begins at `start`.
    pub fn remove_range(&mut self, start: u64, end: u64) {
        self.0.remove_range(start, end, &mut drop);
    }

    /// The blocks from the one holding `position` on. An offset into the first is [`Sequence::get`]'s to tell.
    pub fn forward(&self, position: u64) -> Forward<'_, B, LEAF, INNER> {
        self.0.forward(position)
    }

    /// The blocks that end by `position`, last one first; `len()` begins with the last block.
    pub fn backward(&self, position: u64) -> Backward<'_, B, LEAF, INNER> {
        self.0.backward(position)
    }
}
