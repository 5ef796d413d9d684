//! Counted B+tree: the order behind sorted sets, the sequence of blocks in lists, the index of streams.
//!
//! Redis keeps three structures for these: a skiplist with spans, a linked list of listpacks, a radix tree. One
//! tree does all three, because all three ask the same two questions: where is the item with this *key*, and
//! where is the element at this *position*? An inner node therefore remembers two things about each child, its
//! smallest key and its weight, the number of elements below it.
//!
//! ```text
//!                  [ first -, weight 5 | first m, weight 4 ]              an inner node: Edge, Edge
//!                     |                   |
//!        [ (1.0 a) (1.0 b) (2.5 k) … ]  [ (3.0 m) (7.5 c) … ]             leaves: items, in order
//!
//!   rank of (7.5 c)      go down by key, adding up the weights of the edges passed on the left: 5 + 1
//!   element at rank 6    go down by weight, subtracting the same weights: second edge, item 1
//! ```
//!
//! | used as | item | key | weight | instead of |
//! |---|---|---|---|---|
//! | [`RankTree`]: order of a sorted set | score and member | the same | 1 | skiplist with spans |
//! | [`LexTree`]: names of a vector set | a name | the same | 1 | rax |
//! | [`Sequence`]: blocks of a list | a packed block | none | elements in the block | quicklist |
//! | [`OrderedMap`]: stream, pending entries | ID and value | the ID | 1 | rax |
//!
//! Every node is [`Shared`], about 1 KB, a constant per use: small enough to copy before a write, large enough
//! that a tree of a million has five levels. Cloning a tree clones one pointer; that clone is a snapshot. A write
//! walks down with `make_mut`, so a tree that has a snapshot copies the nodes on the way to the place, once, and
//! shares the rest.
//!
//! Invariants, checked after every step by the tests:
//! - all leaves are equally deep; no leaf is empty, no inner node has fewer than two edges;
//! - an edge's `first` is the key of the first item below it, its `weight` the sum of the weights below it;
//! - a node that a removal leaves below a quarter is merged or evened out with its neighbour.
//!
//! A full node is cut in the middle, except at the outer edges of the tree: there it is cut at the end, so that
//! ascending (or descending) inserts leave full nodes behind them. For the same reason no leaf is linked to the
//! next: a link would have to be rewritten, and its node copied, whenever a neighbour is. A cursor that leaves a
//! leaf goes down from the root again, which costs little once per leaf.
//!
//! Mirrors: `zskiplist` (t_zset.c, server.h), quicklist.c, rax.c as t_stream.c uses it.
//! Differs: see above. At a million members an insert costs a quarter of the skiplist's, a range of a hundred a
//! tenth, 77 bytes an element instead of 102 (`docs/decisions/btree-instead-of-skiplist.md`). After Bayer & McCreight 1972;
//! subtree counts as in Knuth, vol. 3, 6.2.3; path copying after Driscoll et al., "Making data structures
//! persistent", 1989.

mod cursor;
mod lex;
mod map;
mod node;
mod ranked;
mod seek;
mod sequence;
mod slots;
#[cfg(test)]
mod tests;

use std::fmt;

pub use cursor::{Backward, Cursor, Forward};
pub use lex::LexTree;
pub use map::{OrderedMap, Pair};
pub use ranked::{LexBound, RankTree, Ranked, ScoreBound};
pub use sequence::Sequence;

use crate::collections::shared::Shared;
use node::{Change, Node};
use seek::{Place, Seek};
use slots::partition;

/// An item of a tree.
pub trait Item: Clone {
    /// The part of a subtree's first item that an inner node remembers. `()` in a tree without order.
    type Key: Clone;

    /// The key of this item; in an ordered tree, ascending and unique.
    fn key(&self) -> &Self::Key;

    /// How many positions the item takes. Zero means it is spent, and removed.
    fn weight(&self) -> u64 {
        1
    }

    /// Reads the memory that `clone` will write to, such as a reference count. Only a matter of speed.
    fn warm(&self) {}
}

/// The tree itself, knowing neither order nor purpose; its users give it those. `L` items to a leaf, `M` edges to
/// an inner node: choose both so that the two kinds of node are equally large.
pub struct Tree<I: Item, const L: usize, const M: usize> {
    /// The topmost node; an empty tree has none.
    root: Option<Shared<Node<I, L, M>>>,
    weight: u64,
    len: u64,
}

impl<I: Item, const L: usize, const M: usize> Clone for Tree<I, L, M> {
    /// A snapshot: O(1).
    fn clone(&self) -> Self {
        Tree {
            root: self.root.clone(),
            ..*self
        }
    }
}

impl<I: Item, const L: usize, const M: usize> Default for Tree<I, L, M> {
    fn default() -> Self {
        Tree::new()
    }
}

impl<I: Item, const L: usize, const M: usize> Tree<I, L, M> {
    /// An empty tree, without an allocation.
    pub const fn new() -> Self {
        Tree {
            root: None,
            weight: 0,
            len: 0,
        }
    }

    /// Sum of the weights of all items: the number of positions.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Number of items.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// No items.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Bytes of the tree's own nodes (not of what the items point to). O(len / L).
    pub fn allocated_bytes(&self) -> usize {
        self.nodes() * Shared::<Node<I, L, M>>::node_bytes()
    }

    /// Number of nodes. O(len / L).
    pub fn nodes(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.count_nodes())
    }

    /// The item that `seek` finds; `seek` itself keeps what it learned on the way.
    pub(crate) fn get(&self, seek: &mut impl Seek<I>) -> Option<&I> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Inner(edges) => node = &edges[seek.edge(edges)].node,
                Node::Leaf(items) => return Some(&items[seek.slot(items)?]),
            }
        }
    }

    /// As [`Tree::get`], to be written to; neither key nor weight may change.
    pub(crate) fn get_mut(&mut self, seek: &mut impl Seek<I>) -> Option<&mut I> {
        let mut node = self.root.as_mut()?.make_mut();
        loop {
            match node {
                Node::Inner(edges) => {
                    let i = seek.edge(edges);
                    node = edges[i].node.make_mut();
                }
                Node::Leaf(items) => {
                    let i = seek.slot(items)?;
                    return Some(&mut items[i]);
                }
            }
        }
    }

    /// Weight of the items whose key stands `before` a place: the position of that place. `before` must be true up
    /// to some item and false from there on. O(log n).
    pub(crate) fn position(&self, before: impl Fn(&I::Key) -> bool) -> u64 {
        let Some(mut node) = self.root.as_deref() else {
            return 0;
        };
        let mut position = 0;
        loop {
            match node {
                Node::Inner(edges) => {
                    let i = partition(edges, |e| before(&e.first)).saturating_sub(1);
                    position += edges[..i].iter().map(|e| e.weight).sum::<u64>();
                    node = &edges[i].node;
                }
                Node::Leaf(items) => {
                    let i = partition(items, |item| before(item.key()));
                    return position + items[..i].iter().map(|item| item.weight()).sum::<u64>();
                }
            }
        }
    }

    /// The first item.
    pub fn first(&self) -> Option<&I> {
        self.get(&mut seek::At(0))
    }

    /// The last item.
    pub fn last(&self) -> Option<&I> {
        self.get(&mut seek::At(self.weight.checked_sub(1)?))
    }

    /// A cursor before the item that covers `position`; at the end, if no item does.
    pub fn cursor(&self, position: u64) -> Cursor<'_, I, L, M> {
        Cursor::new(self.root.as_deref(), self.weight, position)
    }

    /// The items from the one that covers `position` to the last.
    pub fn forward(&self, position: u64) -> Forward<'_, I, L, M> {
        Forward(self.cursor(position))
    }

    /// The items from the last one wholly before `position` down to the first.
    pub fn backward(&self, position: u64) -> Backward<'_, I, L, M> {
        Backward(self.cursor(position))
    }

    /// Adds an item where `place` says. O(log n).
    pub(crate) fn insert(&mut self, item: I, place: &mut impl Place<I>) {
        debug_assert!(item.weight() > 0);
        self.weight += item.weight();
        self.len += 1;
        match &mut self.root {
            None => self.root = Some(Shared::new(Node::leaf(item))),
            Some(root) => {
                if let Some(right) = Node::insert(root, item, place) {
                    let left = root.clone();
                    *root = Shared::new(Node::pair(left, right));
                }
            }
        }
    }

    /// Adds an item behind all others. O(log n), and leaves full nodes behind.
    pub fn push_back(&mut self, item: I) {
        self.insert(item, &mut seek::Back);
    }

    /// Adds an item before all others.
    pub fn push_front(&mut self, item: I) {
        self.insert(item, &mut seek::Front);
    }

    /// Lets `change` write to the item that `seek` finds, weight and all; an item of weight zero is then removed.
    /// O(log n). A shared path is copied even if nothing is found: where misses are common, look first.
    pub(crate) fn update<S: Seek<I>, R>(
        &mut self,
        seek: &mut S,
        change: impl FnOnce(&mut I, &mut S) -> R,
    ) -> Option<R> {
        let (done, result) = Node::update(self.root.as_mut()?, seek, change);
        self.settle(done);
        result
    }

    /// Removes the item that `seek` finds. O(log n).
    pub(crate) fn remove(&mut self, seek: &mut impl Seek<I>) -> Option<I> {
        let (mut first, mut removed) = (true, None);
        let mut only_one = |_: &I| std::mem::take(&mut first);
        let done = Node::remove(self.root.as_mut()?, seek, &mut only_one, &mut |i| {
            removed = Some(i)
        });
        self.settle(done);
        removed
    }

    /// Removes the items that begin at `position` and end by `end`, handing each to `sink` in order. `position` must
    /// be where an item begins. O(log n + items): a leaf's worth at a time.
    pub fn remove_range(&mut self, position: u64, end: u64, sink: &mut impl FnMut(I)) {
        let mut left = end.min(self.weight).saturating_sub(position);
        let mut fits = |item: &I| match left.checked_sub(item.weight()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        while position < self.weight
            && let Some(root) = &mut self.root
        {
            let done = Node::remove(root, &mut seek::At(position), &mut fits, sink);
            self.settle(done);
            if done.removed == 0 {
                return;
            }
        }
    }

    /// Brings totals and root up to date after items changed or went.
    fn settle(&mut self, change: Change) {
        self.weight = self.weight.wrapping_add(change.weight);
        self.len -= change.removed as u64;
        while let Some(root) = &mut self.root {
            match &**root {
                Node::Leaf(items) if items.is_empty() => self.root = None,
                Node::Inner(edges) if edges.len() == 1 => {
                    let only = edges[0].node.clone();
                    *root = only;
                }
                _ => return,
            }
        }
    }
}

impl<I: Item, const L: usize, const M: usize> fmt::Debug for Tree<I, L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("len", &self.len)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
