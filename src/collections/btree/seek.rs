//! Ways down a tree: by key, by position, along an edge.
//!
//! Mirrors: the walks of `zslGetRank()` and `zslGetElementByRank()` (t_zset.c), of quicklistIndex() and of raxSeek().

use std::cmp::Ordering;

use super::Item;
use super::node::Edge;
use super::slots::{Slot, partition};

/// Finds an item that is there. Asked for an edge at each inner node, from the top, then for a slot in the leaf.
pub(crate) trait Seek<I: Item> {
    fn edge<const L: usize, const M: usize>(&mut self, edges: &[Slot<Edge<I, L, M>>]) -> usize;
    /// `None`: the item is not in the tree.
    fn slot(&mut self, items: &[Slot<I>]) -> Option<usize>;
}

/// Finds where a new item goes.
pub(crate) trait Place<I: Item> {
    fn edge<const L: usize, const M: usize>(
        &mut self,
        item: &I,
        edges: &[Slot<Edge<I, L, M>>],
    ) -> usize;
    fn slot(&mut self, item: &I, items: &[Slot<I>]) -> usize;
}

/// The item whose key compares equal; the function says how a key stands to the one sought.
pub(crate) struct ByKey<F>(pub F);

impl<I: Item, F: Fn(&I::Key) -> Ordering> Seek<I> for ByKey<F> {
    fn edge<const L: usize, const M: usize>(&mut self, edges: &[Slot<Edge<I, L, M>>]) -> usize {
        partition(edges, |e| self.0(&e.first).is_le()).saturating_sub(1)
    }

    fn slot(&mut self, items: &[Slot<I>]) -> Option<usize> {
        let at = partition(items, |item| self.0(item.key()).is_lt());
        items
            .get(at)
            .is_some_and(|item| self.0(item.key()).is_eq())
            .then_some(at)
    }
}

/// The item that covers a position. Afterwards holds the offset of the position within that item.
pub(crate) struct At(pub u64);

impl<I: Item> Seek<I> for At {
    fn edge<const L: usize, const M: usize>(&mut self, edges: &[Slot<Edge<I, L, M>>]) -> usize {
        for (i, edge) in edges.iter().enumerate() {
            match self.0.checked_sub(edge.weight) {
                Some(rest) => self.0 = rest,
                None => return i,
            }
        }
        // Behind the end, and to stay so at every level below.
        self.0 = u64::MAX;
        edges.len() - 1
    }

    fn slot(&mut self, items: &[Slot<I>]) -> Option<usize> {
        for (i, item) in items.iter().enumerate() {
            match self.0.checked_sub(item.weight()) {
                Some(rest) => self.0 = rest,
                None => return Some(i),
            }
        }
        None
    }
}

/// The last item.
pub(crate) struct Last;

impl<I: Item> Seek<I> for Last {
    fn edge<const L: usize, const M: usize>(&mut self, edges: &[Slot<Edge<I, L, M>>]) -> usize {
        edges.len() - 1
    }

    fn slot(&mut self, items: &[Slot<I>]) -> Option<usize> {
        items.len().checked_sub(1)
    }
}

/// By the order of keys.
pub(crate) struct Sorted;

impl<I: Item<Key: Ord>> Place<I> for Sorted {
    fn edge<const L: usize, const M: usize>(
        &mut self,
        item: &I,
        edges: &[Slot<Edge<I, L, M>>],
    ) -> usize {
        partition(edges, |e| e.first < *item.key()).saturating_sub(1)
    }

    fn slot(&mut self, item: &I, items: &[Slot<I>]) -> usize {
        partition(items, |other| other.key() < item.key())
    }
}

/// Between two items, so that the new one begins at a position. The position must be a boundary between items.
pub(crate) struct Boundary(pub u64);

impl<I: Item> Place<I> for Boundary {
    fn edge<const L: usize, const M: usize>(
        &mut self,
        _: &I,
        edges: &[Slot<Edge<I, L, M>>],
    ) -> usize {
        for (i, edge) in edges.iter().enumerate() {
            if self.0 <= edge.weight {
                return i;
            }
            self.0 -= edge.weight;
        }
        panic!("a position beyond the tree");
    }

    fn slot(&mut self, _: &I, items: &[Slot<I>]) -> usize {
        for (i, item) in items.iter().enumerate() {
            if self.0 == 0 {
                return i;
            }
            let rest = self.0.checked_sub(item.weight());
            self.0 = rest.expect("a position between two items");
        }
        assert_eq!(self.0, 0, "a position within the tree");
        items.len()
    }
}

/// The place behind all other items.
pub(crate) struct Back;

impl<I: Item> Place<I> for Back {
    fn edge<const L: usize, const M: usize>(
        &mut self,
        _: &I,
        edges: &[Slot<Edge<I, L, M>>],
    ) -> usize {
        edges.len() - 1
    }

    fn slot(&mut self, _: &I, items: &[Slot<I>]) -> usize {
        items.len()
    }
}

/// The place before all other items.
pub(crate) struct Front;

impl<I: Item> Place<I> for Front {
    fn edge<const L: usize, const M: usize>(&mut self, _: &I, _: &[Slot<Edge<I, L, M>>]) -> usize {
        0
    }

    fn slot(&mut self, _: &I, _: &[Slot<I>]) -> usize {
        0
    }
}
