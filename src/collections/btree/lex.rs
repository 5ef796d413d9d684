//! The order of names by their bytes: a [`RankTree`](super::RankTree) without scores, at half the bytes.
//!
//! The tree does not own the names: it holds whatever cheap handle another table holds too.
//!
//! Mirrors: the radix tree of names in vset.c, as VRANGE walks it.

use std::cmp::Ordering;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;

use super::ranked::{LexBound, lex_range};
use super::seek::{At, ByKey, Sorted};
use super::{Item, Tree};

/// A name in its place.
#[derive(Debug, Clone)]
struct Name<M>(M);

impl<M: AsRef<[u8]>> PartialEq for Name<M> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<M: AsRef<[u8]>> Eq for Name<M> {}

impl<M: AsRef<[u8]>> PartialOrd for Name<M> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M: AsRef<[u8]>> Ord for Name<M> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_ref().cmp(other.0.as_ref())
    }
}

impl<M: Clone + AsRef<[u8]>> Item for Name<M> {
    type Key = Self;
    fn key(&self) -> &Self {
        self
    }
    fn warm(&self) {
        black_box(self.0.as_ref().len());
    }
}

/// Names by their bytes, with ranks.
#[derive(Clone)]
pub struct LexTree<M: Clone + AsRef<[u8]>>(Tree<Name<M>, 124, 41>);

impl<M: Clone + AsRef<[u8]>> Default for LexTree<M> {
    fn default() -> Self {
        LexTree(Tree::new())
    }
}

impl<M: Clone + AsRef<[u8]>> LexTree<M> {
    /// An empty order.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of names.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// No names.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the nodes, without the names. O(n / 124).
    pub fn allocated_bytes(&self) -> usize {
        self.0.allocated_bytes()
    }

    /// Adds a name, which must not be there yet. O(log n).
    pub fn insert(&mut self, name: M) {
        match self.last().is_none_or(|last| last.as_ref() < name.as_ref()) {
            true => self.0.push_back(Name(name)),
            false => self.0.insert(Name(name), &mut Sorted),
        }
    }

    /// Adds a name that comes behind all others. O(log n), without a comparison.
    pub fn push_back(&mut self, name: M) {
        self.0.push_back(Name(name));
    }

    /// Removes a name. O(log n).
    pub fn remove(&mut self, name: &[u8]) -> Option<M> {
        let mut sought = ByKey(|key: &Name<M>| key.0.as_ref().cmp(name));
        Some(self.0.remove(&mut sought)?.0)
    }

    /// The name at `rank`, from 0. O(log n).
    pub fn get(&self, rank: u64) -> Option<&M> {
        self.0.get(&mut At(rank)).map(|name| &name.0)
    }

    /// The last.
    pub fn last(&self) -> Option<&M> {
        self.0.last().map(|name| &name.0)
    }

    /// The ranks of the names between the bounds. O(log n).
    pub fn range_of(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<u64> {
        lex_range(&self.0, |key| key.0.as_ref(), min, max)
    }

    /// The names at these ranks, ascending. O(log n + names).
    pub fn range(&self, ranks: Range<u64>) -> impl Iterator<Item = &M> + Clone + '_ {
        let n = ranks.end.saturating_sub(ranks.start) as usize;
        self.0.forward(ranks.start).take(n).map(|name| &name.0)
    }
}

impl<M: Clone + AsRef<[u8]>> fmt::Debug for LexTree<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &M| name.as_ref().escape_ascii().to_string();
        f.debug_set()
            .entries(self.range(0..self.len()).map(text))
            .finish()
    }
}
