//! Walking a tree: a place between two items, moved either way.
//!
//! Mirrors: raxIterator (rax.h) and quicklistIter (quicklist.h). Differs: a cursor that leaves a leaf goes down from
//! the root again, for leaves are not linked.

use std::iter::FusedIterator;

use super::Item;
use super::node::Node;
use super::slots::Slot;

/// A place between two items. Holds one leaf; to enter the next it goes down from the root again, O(log n) once
/// per leaf, which is cheaper than carrying the path along.
pub struct Cursor<'a, I: Item, const L: usize, const M: usize> {
    root: Option<&'a Node<I, L, M>>,
    weight: u64,
    leaf: &'a [Slot<I>],
    /// Positions at which the leaf begins and ends.
    start: u64,
    end: u64,
    /// Items of the leaf before the cursor.
    at: usize,
}

impl<I: Item, const L: usize, const M: usize> Clone for Cursor<'_, I, L, M> {
    fn clone(&self) -> Self {
        Cursor { ..*self }
    }
}

impl<'a, I: Item, const L: usize, const M: usize> Cursor<'a, I, L, M> {
    pub(super) fn new(root: Option<&'a Node<I, L, M>>, weight: u64, position: u64) -> Self {
        let mut cursor = Cursor {
            root,
            weight,
            leaf: &[],
            start: 0,
            end: 0,
            at: 0,
        };
        if weight > 0 {
            let last = position >= weight;
            cursor.enter(position.min(weight - 1));
            let mut left = position.saturating_sub(cursor.start);
            cursor.at = cursor
                .leaf
                .iter()
                .take_while(|item| {
                    let passed = left.checked_sub(item.weight());
                    left = passed.unwrap_or(0);
                    passed.is_some()
                })
                .count();
            debug_assert!(!last || cursor.at == cursor.leaf.len());
        }
        cursor
    }

    /// Takes hold of the leaf that covers `position`.
    fn enter(&mut self, position: u64) {
        let (mut node, mut start, mut end) = (self.root, 0, self.weight);
        while let Some(Node::Inner(edges)) = node {
            let mut i = 0;
            while start + edges[i].weight <= position {
                start += edges[i].weight;
                i += 1;
            }
            end = start + edges[i].weight;
            node = Some(&edges[i].node);
        }
        if let Some(Node::Leaf(items)) = node {
            self.leaf = items;
            (self.start, self.end) = (start, end);
        }
    }

    /// The item behind the cursor, which moves past it.
    #[inline]
    #[allow(clippy::should_implement_trait)] // Goes both ways; see Forward.
    pub fn next(&mut self) -> Option<&'a I> {
        if self.at == self.leaf.len() {
            if self.end >= self.weight {
                return None;
            }
            self.enter(self.end);
            self.at = 0;
        }
        self.at += 1;
        Some(&self.leaf[self.at - 1])
    }

    /// The item before the cursor, which moves back past it.
    #[inline]
    pub fn prev(&mut self) -> Option<&'a I> {
        if self.at == 0 {
            if self.start == 0 {
                return None;
            }
            self.enter(self.start - 1);
            self.at = self.leaf.len();
        }
        self.at -= 1;
        Some(&self.leaf[self.at])
    }

    /// The item behind the cursor, which stays.
    pub fn peek(&self) -> Option<&'a I> {
        self.clone().next()
    }

    /// The weight of everything before the cursor. O(L).
    pub fn position(&self) -> u64 {
        self.start + self.leaf[..self.at].iter().map(|i| i.weight()).sum::<u64>()
    }
}

impl<I: Item, const L: usize, const M: usize> std::fmt::Debug for Cursor<'_, I, L, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cursor").field(&self.position()).finish()
    }
}

/// The items from a cursor to the end.
#[derive(Debug, Clone)]
pub struct Forward<'a, I: Item, const L: usize, const M: usize>(pub(super) Cursor<'a, I, L, M>);

impl<'a, I: Item, const L: usize, const M: usize> Iterator for Forward<'a, I, L, M> {
    type Item = &'a I;
    #[inline]
    fn next(&mut self) -> Option<&'a I> {
        self.0.next()
    }
}

impl<I: Item, const L: usize, const M: usize> FusedIterator for Forward<'_, I, L, M> {}

/// The items from a cursor back to the first.
#[derive(Debug, Clone)]
pub struct Backward<'a, I: Item, const L: usize, const M: usize>(pub(super) Cursor<'a, I, L, M>);

impl<'a, I: Item, const L: usize, const M: usize> Iterator for Backward<'a, I, L, M> {
    type Item = &'a I;
    #[inline]
    fn next(&mut self) -> Option<&'a I> {
        self.0.prev()
    }
}

impl<I: Item, const L: usize, const M: usize> FusedIterator for Backward<'_, I, L, M> {}
