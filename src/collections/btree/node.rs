//! The nodes of the tree and what happens to them on the way down and up again.
//!
//! Each operation goes down one path. Three facts come back up to the level above: by how much the weight changed,
//! whether the first key did, and, after an insert, the right half of a node that had to be cut.
//!
//! Mirrors: `zslInsert()` and `zslDelete()` of t_zset.c, which keep spans where an edge here keeps a weight.

use std::hint::black_box;

use super::Item;
use super::seek::{Place, Seek};
use super::slots::Slots;
use crate::collections::shared::{Shared, count_copied};

/// A leaf or an inner node, always behind a [`Shared`]. One type for both, so that a link is one word.
pub(crate) enum Node<I: Item, const L: usize, const M: usize> {
    Leaf(Slots<I, L>),
    Inner(Slots<Edge<I, L, M>, M>),
}

/// A child, and what its parent knows of it without looking.
#[derive(Clone)]
pub(crate) struct Edge<I: Item, const L: usize, const M: usize> {
    pub(super) node: Shared<Node<I, L, M>>,
    pub(super) weight: u64,
    pub(super) first: I::Key,
}

/// The change below a node, for the level above.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Change {
    /// Difference in weight, modulo 2^64.
    pub(super) weight: u64,
    /// Items removed.
    pub(super) removed: usize,
    /// Another item is the first now.
    pub(super) new_first: bool,
}

/// Which outer edges of the tree a node lies on: there, a full node is not halved.
#[derive(Clone, Copy)]
struct Outer {
    left: bool,
    right: bool,
}

impl<I: Item, const L: usize, const M: usize> Clone for Node<I, L, M> {
    /// A node is cloned because a snapshot holds it too, and then raises as many counts as it has items, each in
    /// memory of its own. An increment waits for its cache line and holds up the next one; reads do not, so all of
    /// them are read first.
    fn clone(&self) -> Self {
        match self {
            Node::Leaf(items) => {
                items.iter().for_each(|item| item.warm());
                Node::Leaf(items.clone())
            }
            Node::Inner(edges) => {
                for edge in edges.iter() {
                    black_box(edge.node.is_unique());
                }
                Node::Inner(edges.clone())
            }
        }
    }
}

impl<I: Item, const L: usize, const M: usize> Edge<I, L, M> {
    fn new(node: Shared<Node<I, L, M>>) -> Self {
        Edge {
            weight: node.weight(),
            first: node.first_key(),
            node,
        }
    }
}

impl<I: Item, const L: usize, const M: usize> Node<I, L, M> {
    /// A leaf of one item.
    pub(super) fn leaf(item: I) -> Self {
        let mut items = Slots::new();
        items.push(item);
        Node::Leaf(items)
    }

    /// A root above two nodes.
    pub(super) fn pair(left: Shared<Self>, right: Edge<I, L, M>) -> Self {
        let mut edges = Slots::new();
        edges.push(Edge::new(left));
        edges.push(right);
        Node::Inner(edges)
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(edges) => edges.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Node::Leaf(_) => L,
            Node::Inner(_) => M,
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Node::Leaf(items) => items.iter().map(|item| item.weight()).sum(),
            Node::Inner(edges) => edges.iter().map(|edge| edge.weight).sum(),
        }
    }

    /// A node in the tree has one: it is not empty.
    fn first_key(&self) -> I::Key {
        match self {
            Node::Leaf(items) => items[0].key().clone(),
            Node::Inner(edges) => edges[0].first.clone(),
        }
    }

    pub(super) fn count_nodes(&self) -> usize {
        match self {
            Node::Leaf(_) => 1,
            Node::Inner(edges) => match &*edges[0].node {
                Node::Leaf(_) => 1 + edges.len(),
                Node::Inner(_) => 1 + edges.iter().map(|e| e.node.count_nodes()).sum::<usize>(),
            },
        }
    }

    /// Inserts below the root `this`; returns the right half if the root had to be cut.
    pub(super) fn insert(
        this: &mut Shared<Self>,
        item: I,
        place: &mut impl Place<I>,
    ) -> Option<Edge<I, L, M>> {
        let outer = Outer {
            left: true,
            right: true,
        };
        Self::insert_below(this, item, place, outer).0
    }

    /// Returns the right half of a node that had to be cut, and whether the first item is a new one.
    fn insert_below(
        this: &mut Shared<Self>,
        item: I,
        place: &mut impl Place<I>,
        outer: Outer,
    ) -> (Option<Edge<I, L, M>>, bool) {
        match this.make_mut() {
            Node::Leaf(items) => {
                let at = place.slot(&item, items);
                let right = insert_or_cut(items, at, item, outer, 0);
                let right = right.map(|items| Edge::new(Shared::new(Node::Leaf(items))));
                (right, at == 0)
            }
            Node::Inner(edges) => {
                let i = place.edge(&item, edges);
                let outer_child = Outer {
                    left: outer.left && i == 0,
                    right: outer.right && i + 1 == edges.len(),
                };
                let edge = &mut edges[i];
                edge.weight += item.weight();
                let (cut, new_first) = Self::insert_below(&mut edge.node, item, place, outer_child);
                if new_first {
                    edge.first = edge.node.first_key();
                }
                let new_first = new_first && i == 0;
                let Some(cut) = cut else {
                    return (None, new_first);
                };
                edge.weight -= cut.weight;
                let right = insert_or_cut(edges, i + 1, cut, outer, 1);
                let right = right.map(|edges| Edge::new(Shared::new(Node::Inner(edges))));
                (right, new_first)
            }
        }
    }

    /// Lets `change` write to the item that `seek` finds, and removes it if that leaves it without weight.
    pub(super) fn update<S: Seek<I>, R>(
        this: &mut Shared<Self>,
        seek: &mut S,
        change: impl FnOnce(&mut I, &mut S) -> R,
    ) -> (Change, Option<R>) {
        match this.make_mut() {
            Node::Leaf(items) => {
                let Some(at) = seek.slot(items) else {
                    return (Change::default(), None);
                };
                let item = &mut items[at];
                let before = item.weight();
                let result = change(item, seek);
                let after = item.weight();
                if after == 0 {
                    items.remove(at);
                }
                let done = Change {
                    weight: after.wrapping_sub(before),
                    removed: usize::from(after == 0),
                    new_first: at == 0,
                };
                (done, Some(result))
            }
            Node::Inner(edges) => {
                let i = seek.edge(edges);
                let (done, result) = Self::update(&mut edges[i].node, seek, change);
                (Self::settle(edges, i, done), result)
            }
        }
    }

    /// Removes the item that `seek` finds and those behind it in the same leaf, as long as `goes` says so.
    pub(super) fn remove(
        this: &mut Shared<Self>,
        seek: &mut impl Seek<I>,
        goes: &mut impl FnMut(&I) -> bool,
        sink: &mut impl FnMut(I),
    ) -> Change {
        match this.make_mut() {
            Node::Leaf(items) => {
                let Some(at) = seek.slot(items) else {
                    return Change::default();
                };
                let going = items[at..].iter().take_while(|item| goes(item));
                let (n, weight) = going.fold((0, 0u64), |(n, w), item| (n + 1, w + item.weight()));
                items.drain(at, n, sink);
                Change {
                    weight: weight.wrapping_neg(),
                    removed: n,
                    new_first: at == 0,
                }
            }
            Node::Inner(edges) => {
                let i = seek.edge(edges);
                let done = Self::remove(&mut edges[i].node, seek, goes, sink);
                Self::settle(edges, i, done)
            }
        }
    }

    /// Takes note of what happened below edge `i`, and mends a child that got too small.
    fn settle(edges: &mut Slots<Edge<I, L, M>, M>, i: usize, done: Change) -> Change {
        let edge = &mut edges[i];
        edge.weight = edge.weight.wrapping_add(done.weight);
        let (len, capacity) = (edge.node.len(), edge.node.capacity());
        if len == 0 {
            edges.remove(i);
        } else {
            if done.new_first {
                edge.first = edge.node.first_key();
            }
            // An inner node of one edge could not mend its child; it must not stay, whatever the quarter is.
            let least = (capacity / 4).max(2);
            if done.removed > 0 && len < least && edges.len() > 1 {
                Self::mend(edges, i.saturating_sub(1));
            }
        }
        Change {
            new_first: done.new_first && i == 0,
            ..done
        }
    }

    /// Merges the children `i` and `i + 1`, or evens them out if they are too many for one node.
    fn mend(edges: &mut Slots<Edge<I, L, M>, M>, i: usize) {
        let total = edges[i].node.len() + edges[i + 1].node.len();
        if total <= edges[i].node.capacity() {
            let right = edges.remove(i + 1);
            let left = &mut edges[i];
            left.weight += right.weight;
            left.node.make_mut().append(owned(right.node));
            return;
        }
        let (left, right) = edges.split_at_mut(i + 1);
        let (left, right) = (&mut *left[i], &mut *right[0]);
        let weight = left.weight + right.weight;
        left.node.make_mut().even_out(right.node.make_mut());
        left.weight = left.node.weight();
        right.weight = weight - left.weight;
        right.first = right.node.first_key();
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Node::Leaf(a), Node::Leaf(b)) => a.append(b),
            (Node::Inner(a), Node::Inner(b)) => a.append(b),
            _ => unreachable!("siblings are equally high"),
        }
    }

    fn even_out(&mut self, right: &mut Self) {
        match (self, right) {
            (Node::Leaf(a), Node::Leaf(b)) => even_out(a, b),
            (Node::Inner(a), Node::Inner(b)) => even_out(a, b),
            _ => unreachable!("siblings are equally high"),
        }
    }
}

/// The node itself, copied first if it has another owner.
fn owned<T: Clone>(node: Shared<T>) -> T {
    Shared::try_unwrap(node).unwrap_or_else(|shared| {
        count_copied(Shared::<T>::node_bytes());
        (*shared).clone()
    })
}

/// Inserts at `at`. A full row is cut first and its right part returned: in the middle, or, on an outer edge of the
/// tree, beside the new item, leaving at least `keep` + 1 there.
fn insert_or_cut<T, const N: usize>(
    row: &mut Slots<T, N>,
    at: usize,
    item: T,
    outer: Outer,
    keep: usize,
) -> Option<Slots<T, N>> {
    if !row.is_full() {
        row.insert(at, item);
        return None;
    }
    let cut = if outer.right && at == N {
        N - keep
    } else if outer.left && at == keep {
        keep
    } else {
        N / 2
    };
    let mut right = row.split_off(cut);
    if at < cut || (at == cut && !row.is_full()) {
        row.insert(at, item);
    } else {
        right.insert(at - cut, item);
    }
    Some(right)
}

/// Moves items between two neighbours until they are equally long.
fn even_out<T, const N: usize>(left: &mut Slots<T, N>, right: &mut Slots<T, N>) {
    let half = (left.len() + right.len()) / 2;
    if left.len() > half {
        let tail = left.split_off(half);
        let rest = std::mem::replace(right, tail);
        right.append(rest);
    } else {
        let rest = right.split_off(half - left.len());
        let head = std::mem::replace(right, rest);
        left.append(head);
    }
}

#[cfg(test)]
impl<I: Item, const L: usize, const M: usize> Node<I, L, M> {
    /// Walks the whole tree and asserts its invariants; returns height, items and the addresses of all nodes.
    pub(super) fn audit(
        this: &Shared<Self>,
        is_root: bool,
        nodes: &mut Vec<usize>,
    ) -> (usize, u64) {
        nodes.push(this.address());
        match &**this {
            Node::Leaf(items) => {
                assert!(!items.is_empty(), "an empty leaf");
                assert!(items.iter().all(|item| item.weight() > 0), "a spent item");
                (0, items.len() as u64)
            }
            Node::Inner(edges) => {
                assert!(
                    edges.len() >= 2,
                    "an inner node of {} edges, root: {is_root}",
                    edges.len()
                );
                let mut heights = Vec::new();
                let mut items = 0;
                for edge in edges.iter() {
                    assert_eq!(edge.weight, edge.node.weight());
                    let (height, n) = Self::audit(&edge.node, false, nodes);
                    heights.push(height);
                    items += n;
                }
                assert!(
                    heights.iter().all(|h| *h == heights[0]),
                    "uneven: {heights:?}"
                );
                (heights[0] + 1, items)
            }
        }
    }

    pub(super) fn audit_order(&self, check: &mut impl FnMut(&I::Key, &I::Key)) {
        if let Node::Inner(edges) = self {
            for edge in edges.iter() {
                check(&edge.first, &edge.node.first_key());
                edge.node.audit_order(check);
            }
        }
    }
}
