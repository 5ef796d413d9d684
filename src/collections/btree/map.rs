//! An ordered map: the blocks of a stream by their first ID, pending entries by theirs.
//!
//! Mirrors: rax.c, as t_stream.c uses it, with keys of 128 bits; here, a key is anything ordered. Differs: counted,
//! so a clone is a snapshot, and the n-th entry, or the number of entries in a range, costs O(log n).

use std::cmp::Ordering;
use std::ops::Bound;

use super::seek::{At, ByKey, Sorted};
use super::{Backward, Cursor, Forward, Item, Tree};

/// An entry of an [`OrderedMap`].
#[derive(Debug, Clone)]
pub struct Pair<K, V> {
    /// The key by which the pair is found.
    pub key: K,
    /// The value under that key.
    pub value: V,
}

impl<K: Ord + Clone, V: Clone> Item for Pair<K, V> {
    type Key = K;
    fn key(&self) -> &K {
        &self.key
    }
}

/// Entries in the order of their keys. `L` of them to a leaf: pick it so that a leaf comes to about 1 KB, the size of
/// an inner node with keys of 16 bytes; a node takes the room of the larger kind. Where most maps are small, `M` edges
/// to an inner node may be fewer. A value that begins with a pointer or a `NonZero` saves its `Option`.
#[derive(Debug, Clone)]
pub struct OrderedMap<K: Ord + Clone, V: Clone, const L: usize = 30, const M: usize = 30>(
    Tree<Pair<K, V>, L, M>,
);

impl<K: Ord + Clone, V: Clone, const L: usize, const M: usize> Default for OrderedMap<K, V, L, M> {
    fn default() -> Self {
        OrderedMap(Tree::new())
    }
}

impl<K: Ord + Clone, V: Clone, const L: usize, const M: usize> OrderedMap<K, V, L, M> {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the nodes, without what the values point to.
    pub fn allocated_bytes(&self) -> usize {
        self.0.allocated_bytes()
    }

    /// The value of `key`. O(log n).
    pub fn get(&self, key: &K) -> Option<&V> {
        let pair = self.0.get(&mut ByKey(|k: &K| k.cmp(key)))?;
        Some(&pair.value)
    }

    /// There is such a key.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value of `key`, to be written to. Copies a shared path even if there is no such key. O(log n).
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let pair = self.0.get_mut(&mut ByKey(|k: &K| k.cmp(key)))?;
        Some(&mut pair.value)
    }

    /// The entry whose key compares equal; the function says how a key stands to the one sought. O(log n).
    pub fn find(&self, order: impl Fn(&K) -> Ordering) -> Option<&Pair<K, V>> {
        self.0.get(&mut ByKey(order))
    }

    /// As [`OrderedMap::find`], its value to be written to. Copies a shared path even if there is no such key.
    pub fn find_mut(&mut self, order: impl Fn(&K) -> Ordering) -> Option<&mut V> {
        let pair = self.0.get_mut(&mut ByKey(order))?;
        Some(&mut pair.value)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.0.nodes()
    }

    /// Sets the value of `key`, and returns the one it had. O(log n).
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.last().is_none_or(|last| last.key < key) {
            self.0.push_back(Pair { key, value });
            return None;
        }
        if self.contains(&key) {
            let old = self.get_mut(&key).expect("seen just now");
            return Some(std::mem::replace(old, value));
        }
        self.0.insert(Pair { key, value }, &mut Sorted);
        None
    }

    /// Removes `key`. O(log n).
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let pair = self.0.remove(&mut ByKey(|k: &K| k.cmp(key)))?;
        Some(pair.value)
    }

    /// The entry of the smallest key.
    pub fn first(&self) -> Option<&Pair<K, V>> {
        self.0.first()
    }

    /// The entry of the largest key.
    pub fn last(&self) -> Option<&Pair<K, V>> {
        self.0.last()
    }

    /// The value of the smallest key, to be written to.
    pub fn first_mut(&mut self) -> Option<&mut V> {
        Some(&mut self.0.get_mut(&mut At(0))?.value)
    }

    /// The value of the largest key, to be written to.
    pub fn last_mut(&mut self) -> Option<&mut V> {
        let at = self.len().checked_sub(1)?;
        Some(&mut self.0.get_mut(&mut At(at))?.value)
    }

    /// The entry at `index` in order.
    pub fn nth(&self, index: u64) -> Option<&Pair<K, V>> {
        self.0.get(&mut At(index))
    }

    /// Number of keys below `key`, itself counted among them if `or_equal`.
    fn index(&self, key: &K, or_equal: bool) -> u64 {
        self.0.position(|k| k < key || (or_equal && k == key))
    }

    /// The indices of the keys between two bounds. O(log n).
    pub fn index_range(&self, from: Bound<&K>, to: Bound<&K>) -> std::ops::Range<u64> {
        let start = match from {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.index(key, false),
            Bound::Excluded(key) => self.index(key, true),
        };
        let end = match to {
            Bound::Unbounded => self.len(),
            Bound::Included(key) => self.index(key, true),
            Bound::Excluded(key) => self.index(key, false),
        };
        start..end.max(start)
    }

    /// The entry of the largest key that is not above `key`: the block an ID falls into. O(log n).
    pub fn floor(&self, key: &K) -> Option<&Pair<K, V>> {
        self.nth(self.floor_index(key)?)
    }

    /// The index of the largest key that is not above `key`. O(log n).
    pub fn floor_index(&self, key: &K) -> Option<u64> {
        self.index(key, true).checked_sub(1)
    }

    /// The entry of the smallest key that is not below `key`. O(log n).
    pub fn ceiling(&self, key: &K) -> Option<&Pair<K, V>> {
        self.nth(self.index(key, false))
    }

    /// A cursor before the smallest key that is not below `key`. O(log n).
    pub fn cursor(&self, key: &K) -> Cursor<'_, Pair<K, V>, L, M> {
        self.0.cursor(self.index(key, false))
    }

    /// Entries from index `from` on, ascending.
    pub fn forward(&self, from: u64) -> Forward<'_, Pair<K, V>, L, M> {
        self.0.forward(from)
    }

    /// Entries below index `to`, descending.
    pub fn backward(&self, to: u64) -> Backward<'_, Pair<K, V>, L, M> {
        self.0.backward(to)
    }

    /// All entries, ascending.
    pub fn iter(&self) -> Forward<'_, Pair<K, V>, L, M> {
        self.forward(0)
    }

    /// Removes the entries at these indices, handing each to `sink`. O(log n + entries).
    pub fn remove_range(
        &mut self,
        indices: std::ops::Range<u64>,
        mut sink: impl FnMut(Pair<K, V>),
    ) {
        self.0.remove_range(indices.start, indices.end, &mut sink);
    }
}
