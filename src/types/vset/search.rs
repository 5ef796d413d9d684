//! Searching: from the entry down to level 0, nearer with every step.
//!
//! ```text
//!   level 2   entry -> · -> A                    greedy: on to a neighbour while one is nearer
//!   level 1            A -> · -> B
//!   level 0                      B -> · · · ·    the `ef` nearest seen so far; ends when the nearest
//!                                                node not yet looked at is farther than all of them
//! ```
//!
//! Distances and slots are packed into one integer that orders by distance, then by slot, so that equal distances
//! come in an order that does not depend on chance.
//!
//! The graph is not written to: a thread that has a clone of it can search it.
//!
//! Mirrors: `search_layer_with_filter` and `hnsw_search` of hnsw.c. Differs: the queue of candidates has no limit of
//! 256; vectors of a node's neighbours are fetched into the cache together before the first is measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::graph::Graph;
use super::quant::{MANY, Measure};
use crate::collections::kernels::prefetch;

/// A node and its distance from a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    pub distance: f32,
    pub slot: u32,
}

impl Near {
    /// Packs distance and slot into an integer that orders as they do.
    #[inline]
    fn pack(self) -> u64 {
        let bits = self.distance.to_bits();
        // Flips a negative number wholly, a positive one in its sign: then integers order as floats do.
        let ordered = bits ^ (((bits as i32 >> 31) as u32) | 1 << 31);
        u64::from(ordered) << 32 | u64::from(self.slot)
    }

    #[inline]
    fn unpack(packed: u64) -> Near {
        let ordered = (packed >> 32) as u32;
        let bits = match ordered >> 31 {
            1 => ordered ^ 1 << 31,
            _ => !ordered,
        };
        Near {
            distance: f32::from_bits(bits),
            slot: packed as u32,
        }
    }
}

/// Marks of visited slots.
struct Visited(Vec<u64>);

impl Visited {
    fn new(slots: u32) -> Visited {
        Visited(vec![0; slots as usize / 64 + 1])
    }

    /// Marks a slot; whether it was not marked before.
    #[inline]
    fn insert(&mut self, slot: u32) -> bool {
        let (word, bit) = (&mut self.0[slot as usize / 64], 1 << (slot % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// The bounds of a search.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits<'a> {
    /// Nodes to be given to the filter at most.
    pub filtered: Option<u64>,
    /// Set when no client waits for the result any more.
    pub cancelled: Option<&'a AtomicBool>,
}

impl Limits<'_> {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

/// Up to so many candidates one sorted list is faster than two heaps.
const LIST: usize = 512;

/// How often a search looks whether it is still wanted.
const LOOK: u32 = 64;

impl Graph {
    /// The nearest node that a greedy walk finds on the levels above `floor`.
    pub(super) fn descend(&self, query: &Measure<'_>, floor: u8) -> Option<Near> {
        let slot = self.entry()?;
        let mut best = Near {
            distance: query.to(self.row(slot)),
            slot,
        };
        for level in (floor + 1..=self.max_level()).rev() {
            loop {
                let links = self.links(best.slot, level);
                links.iter().for_each(|link| prefetch(self.row(*link)));
                let from = best.slot;
                for &slot in links {
                    let distance = query.to(self.row(slot));
                    if distance < best.distance {
                        best = Near { distance, slot };
                    }
                }
                if best.slot == from {
                    break;
                }
            }
        }
        Some(best)
    }

    /// The `ef` nearest nodes of a level that a search from `start` finds, nearest first; of those that `accept` takes,
    /// if there is a filter.
    #[doc(alias = "search_layer")]
    pub(super) fn search_level(
        &self,
        query: &Measure<'_>,
        start: Near,
        level: u8,
        ef: usize,
        limits: Limits<'_>,
        accept: Option<&mut dyn FnMut(u32) -> bool>,
    ) -> Vec<Near> {
        let mut walk = Walk {
            graph: self,
            query,
            level,
            visited: Visited::new(self.slots()),
            fresh: Vec::with_capacity(64),
        };
        walk.visited.insert(start.slot);
        match accept {
            None if ef <= LIST => walk.by_list(start, ef, limits),
            accept => walk.by_heaps(start, ef, limits, accept),
        }
    }

    /// The `ef` nearest nodes, nearest first.
    #[doc(alias = "hnsw_search")]
    pub(super) fn search(
        &self,
        query: &Measure<'_>,
        ef: usize,
        limits: Limits<'_>,
        accept: Option<&mut dyn FnMut(u32) -> bool>,
    ) -> Vec<Near> {
        match self.descend(query, 0) {
            Some(start) => self.search_level(query, start, 0, ef.max(1), limits, accept),
            None => vec![],
        }
    }

    /// The `count` nearest of all nodes, without using the links. O(nodes).
    #[doc(alias = "hnsw_ground_truth_with_filter")]
    pub(super) fn scan(
        &self,
        query: &Measure<'_>,
        count: usize,
        limits: Limits<'_>,
        mut accept: Option<&mut dyn FnMut(u32) -> bool>,
    ) -> Vec<Near> {
        let mut found = BinaryHeap::with_capacity(count.min(4096) + 1);
        for slot in self.live() {
            if slot.is_multiple_of(LOOK * 64) && limits.is_cancelled() {
                break;
            }
            let distance = query.to(self.row(slot));
            let near = Near { distance, slot }.pack();
            if found.len() >= count && found.peek().is_some_and(|worst| near >= *worst) {
                continue;
            }
            if accept.as_mut().is_some_and(|accept| !accept(slot)) {
                continue;
            }
            found.push(near);
            if found.len() > count {
                found.pop();
            }
        }
        let found = found.into_sorted_vec();
        found.into_iter().map(Near::unpack).collect()
    }
}

/// A walk over the nodes of a level.
struct Walk<'a> {
    graph: &'a Graph,
    query: &'a Measure<'a>,
    level: u8,
    visited: Visited,
    /// Neighbours seen for the first time, with their rows.
    fresh: Vec<(u32, &'a [u8])>,
}

impl<'a> Walk<'a> {
    /// Measures the neighbours of a node that were not visited before, and hands them on.
    #[inline]
    fn expand(&mut self, slot: u32, mut each: impl FnMut(u64)) {
        let graph = self.graph;
        self.fresh.clear();
        for &slot in graph.links(slot, self.level) {
            if self.visited.insert(slot) {
                let row = graph.row(slot);
                prefetch(row);
                self.fresh.push((slot, row));
            }
        }
        let (mut rows, mut distances) = ([&[][..]; MANY], [0f32; MANY]);
        for part in self.fresh.chunks(MANY) {
            for ((_, row), out) in part.iter().zip(&mut rows) {
                *out = row;
            }
            self.query.many(&rows[..part.len()], &mut distances);
            for (&(slot, _), &distance) in part.iter().zip(&distances) {
                each(Near { distance, slot }.pack());
            }
        }
    }

    /// One sorted list of the nearest so far, each with a mark whether its neighbours were looked at. A node that is
    /// pushed out of the list would never be looked at, for all in it are nearer.
    fn by_list(mut self, start: Near, ef: usize, limits: Limits<'_>) -> Vec<Near> {
        let mut list: Vec<u64> = Vec::with_capacity(ef + 1);
        let mut done: Vec<bool> = Vec::with_capacity(ef + 1);
        list.push(start.pack());
        done.push(false);
        let (mut next, mut steps) = (0, 0u32);
        while next < list.len() {
            if done[next] {
                next += 1;
                continue;
            }
            steps += 1;
            if steps.is_multiple_of(LOOK) && limits.is_cancelled() {
                break;
            }
            done[next] = true;
            let mut first = list.len();
            self.expand(list[next] as u32, |near| {
                if list.len() >= ef {
                    if list.last().is_some_and(|last| near >= *last) {
                        return;
                    }
                    list.pop();
                    done.pop();
                }
                let at = list.partition_point(|other| *other < near);
                list.insert(at, near);
                done.insert(at, false);
                first = first.min(at);
            });
            next = (next + 1).min(first);
            if let Some(&near) = list.get(next)
                && self.level == 0
            {
                prefetch(self.graph.base_row(near as u32));
            }
        }
        list.into_iter().map(Near::unpack).collect()
    }

    /// Candidates in one heap, results in another: a filter makes them differ.
    fn by_heaps(
        mut self,
        start: Near,
        ef: usize,
        limits: Limits<'_>,
        mut accept: Option<&mut dyn FnMut(u32) -> bool>,
    ) -> Vec<Near> {
        let mut todo = BinaryHeap::with_capacity(ef.min(1024));
        let mut found = BinaryHeap::with_capacity(ef.min(4096) + 1);
        let (mut filtered, mut steps) = (1u64, 0u32);
        todo.push(Reverse(start.pack()));
        if accept.as_mut().is_none_or(|accept| accept(start.slot)) {
            found.push(start.pack());
        }
        // A candidate at or above the bound cannot enter a full result.
        let mut bound = match found.len() >= ef {
            true => start.pack(),
            false => u64::MAX,
        };
        while let Some(Reverse(nearest)) = todo.pop() {
            if nearest > bound {
                break;
            }
            steps += 1;
            if steps.is_multiple_of(LOOK) && limits.is_cancelled() {
                break;
            }
            self.expand(nearest as u32, |near| {
                if near >= bound {
                    return;
                }
                todo.push(Reverse(near));
                if let Some(accept) = accept.as_mut() {
                    filtered += 1;
                    if !accept(near as u32) {
                        return;
                    }
                }
                found.push(near);
                if found.len() > ef {
                    found.pop();
                }
                if found.len() >= ef {
                    bound = found.peek().copied().unwrap_or(u64::MAX);
                }
            });
            if limits.filtered.is_some_and(|limit| filtered >= limit) {
                break;
            }
        }
        let found = found.into_sorted_vec();
        found.into_iter().map(Near::unpack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_distances_order_as_numbers_do() {
        let distances = [-1e-7, -0.0, 0.0, 1e-9, 0.5, 1.0, 1.9999, 2.0];
        for (at, &distance) in distances.iter().enumerate() {
            let near = Near { distance, slot: 7 };
            assert_eq!(
                Near::unpack(near.pack()).distance.to_bits(),
                near.distance.to_bits()
            );
            for &larger in &distances[at + 1..] {
                let larger = Near {
                    distance: larger,
                    slot: 1,
                };
                assert!(near.pack() < larger.pack(), "{near:?} {larger:?}");
            }
        }
    }
}
