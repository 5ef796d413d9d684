//! Linking: how a node gets its neighbours, and how its neighbours do without it.
//!
//! A node wants M links on each of its levels. All links are mutual, so a neighbour that has no room must give one up,
//! and nobody may be left with too few. How far that goes is a matter of insistence:
//!
//! | insistence | wants | skips a candidate that | a full candidate gives up its farthest neighbour if |
//! |---|---|---|---|
//! | first | M | is nearer to one already linked than to the node | the node is nearer, and the farthest keeps more than M/2 |
//! | second | M/2 | | the farthest keeps more than M/4 |
//! | third | M/4 | | it, or else another neighbour, keeps more than M/4; if none does, the candidate gets more room |
//!
//! The second and third are for level 0, and for nodes that have too few links after the one before. The first rule of
//! the table makes links go into different directions, which is what makes a greedy search arrive.
//!
//! Deleting a node leaves its neighbours with a link less each. They are linked among themselves, best pairs first: near
//! to each other, and with neighbours that are far. One that finds no partner is searched for new neighbours.
//!
//! Mirrors: `select_neighbors`, `hnsw_reconnect_nodes`, `hnsw_unlink_node` of hnsw.c. Differs: how lonely a node is shows
//! in the distance of its farthest neighbour, which is known, instead of the mean over all, which would have to be
//! measured.

use std::collections::HashSet;

use super::graph::{Graph, MAX_LEVEL};
use super::search::{Limits, Near};
use crate::util::rng::splitmix64;

/// Candidates to search for when a neighbour of a deleted node needs new links.
const RESCUE_EF: usize = 200;

/// How far to look whether the neighbours of a deleted node still reach each other, in nodes.
const MAINLAND: usize = 512;
/// The largest group of nodes that is recognised as cut off from the rest.
const ISLAND: usize = 64;

/// The degree to which a node wants to be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Insistence {
    First,
    Second,
    Third,
}

impl Graph {
    /// The level of a new node: each is a quarter as likely as the one below.
    #[doc(alias = "random_level")]
    pub(super) fn draw_level(rng: &mut u64) -> u8 {
        let zeros = splitmix64(rng).trailing_zeros() / 2;
        (zeros as u8).min(MAX_LEVEL)
    }

    /// Adds a node that finds its neighbours among `ef` candidates per level; its slot.
    #[doc(alias = "hnsw_insert")]
    pub(super) fn insert(&mut self, row: &[u8], level: u8, ef: usize) -> u32 {
        let candidates = self.candidates(row, level, ef, Limits::default());
        self.insert_beside(row, level, &candidates)
    }

    /// Adds a node whose candidates were found before. No node has left since.
    pub(super) fn insert_beside(&mut self, row: &[u8], level: u8, candidates: &[Vec<Near>]) -> u32 {
        let slot = self.enter(row, level, self.last_id + 1);
        self.connect(slot, candidates);
        slot
    }

    /// Gives a node another vector: it goes, and comes back as a new one under the same slot.
    pub(super) fn update(&mut self, slot: u32, row: &[u8], level: u8, ef: usize) {
        let hint = self.detach(slot);
        self.displace(slot, hint);
        // The node is taken out of its slot first, so that the search cannot find it.
        let candidates = self.candidates(row, level, ef, Limits::default());
        self.come_back(slot, row, level, self.last_id + 1);
        self.connect(slot, &candidates);
    }

    /// Removes a node.
    #[doc(alias = "hnsw_delete_node")]
    pub(super) fn delete(&mut self, slot: u32) {
        let hint = self.detach(slot);
        self.leave(slot, hint);
    }

    /// For each level of a new node, lowest first, the nodes it may be linked to, nearest first.
    pub(super) fn candidates(
        &self,
        row: &[u8],
        level: u8,
        ef: usize,
        limits: Limits<'_>,
    ) -> Vec<Vec<Near>> {
        let query = self.measure(row);
        let level = level.min(self.max_level());
        let Some(mut start) = self.descend(&query, level) else {
            return vec![];
        };
        let mut found = vec![];
        for level in (0..=level).rev() {
            let near = self.search_level(&query, start, level, ef, limits, None);
            start = near.first().copied().unwrap_or(start);
            found.push(near);
        }
        found.reverse();
        found
    }

    /// Links a node that has no links yet.
    #[doc(alias = "select_neighbors")]
    fn connect(&mut self, slot: u32, candidates: &[Vec<Near>]) {
        let m = usize::from(self.shape.m);
        for (level, near) in candidates.iter().enumerate() {
            let level = level as u8;
            self.offer(slot, level, near, Insistence::First, m);
            if level == 0 && self.degree(slot, 0) < m / 2 {
                self.offer(slot, 0, near, Insistence::Second, m / 2);
            }
            if level == 0 && self.degree(slot, 0) < m / 4 {
                self.offer(slot, 0, near, Insistence::Third, m / 4);
            }
        }
    }

    /// Links a node to candidates, nearest first, until it has as many links as it wants.
    fn offer(&mut self, slot: u32, level: u8, near: &[Near], insistence: Insistence, want: usize) {
        let capacity = self.shape.capacity(level);
        for &Near { distance, slot: to } in near {
            if self.degree(slot, level) >= want {
                break;
            }
            let links = self.links(slot, level);
            if to == slot || links.contains(&to) {
                continue;
            }
            if insistence == Insistence::First {
                let measure = self.measure(self.row(to));
                if links
                    .iter()
                    .any(|link| measure.to(self.row(*link)) < distance)
                {
                    continue;
                }
            }
            if self.degree(to, level) < capacity {
                self.link(slot, to, level, distance);
                continue;
            }
            match self.victim(to, level, distance, insistence) {
                Some(old) => self.replace(to, old, slot, level, distance),
                None if insistence == Insistence::Third
                    && self.degree(to, level) < self.shape.limit(level) =>
                {
                    self.link(slot, to, level, distance);
                }
                None => {}
            }
        }
    }

    /// The neighbour that a full node gives up for a new one at this distance.
    fn victim(&self, full: u32, level: u8, distance: f32, insistence: Insistence) -> Option<u32> {
        let m = usize::from(self.shape.m);
        let (worst, farthest) = self.worst(full, level)?;
        let keeps = |slot: u32, more_than: usize| self.degree(slot, level) > more_than;
        match insistence {
            Insistence::First => (distance < farthest && keeps(worst, m / 2)).then_some(worst),
            Insistence::Second => keeps(worst, m / 4).then_some(worst),
            Insistence::Third => {
                if keeps(worst, m / 4) {
                    return Some(worst);
                }
                let links = self.links(full, level).iter().copied();
                let rich = links.filter(|link| keeps(*link, m / 4));
                let far = rich.map(|link| (self.distance(full, link), link));
                let farthest = far.max_by(|a, b| a.0.total_cmp(&b.0));
                farthest.map(|(_, link)| link)
            }
        }
    }

    /// Takes a node out of all its levels; its neighbours are linked among themselves. The slot it returns, a former
    /// neighbour, helps to find another entry.
    #[doc(alias = "hnsw_unlink_node")]
    fn detach(&mut self, slot: u32) -> Option<u32> {
        self.departures += 1;
        let mut hint = None;
        let mut orphans = vec![];
        for level in (0..=self.level(slot)).rev() {
            let links = self.cut_off(slot, level);
            // The first is of the highest level on which there are any.
            hint = hint.or(links.first().copied());
            orphans.push((level, links));
        }
        if self.entry() == Some(slot) {
            // A walk to rescue an orphan must not begin at a node without links.
            self.retire(slot, hint);
        }
        for (level, links) in orphans {
            self.reconnect(&links, level, slot);
        }
        hint
    }

    /// Links nodes that lost a common neighbour.
    #[doc(alias = "hnsw_reconnect_nodes")]
    fn reconnect(&mut self, orphans: &[u32], level: u8, gone: u32) {
        let mut pairs: Vec<(f32, f32, usize, usize)> = vec![];
        for (i, &a) in orphans.iter().enumerate() {
            let measure = self.measure(self.row(a));
            let linked = self.links(a, level);
            let lonely = self.worst(a, level).map_or(2.0, |(_, distance)| distance);
            for (j, &b) in orphans.iter().enumerate().skip(i + 1) {
                if linked.contains(&b) {
                    continue;
                }
                let distance = measure.to(self.row(b));
                let other = self.worst(b, level).map_or(2.0, |(_, distance)| distance);
                let score = 0.7 * (2.0 - distance) + 0.3 * (lonely + other) / 2.0;
                pairs.push((score, distance, i, j));
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut served = vec![false; orphans.len()];
        let capacity = self.shape.capacity(level);
        for (_, distance, i, j) in pairs {
            let (a, b) = (orphans[i], orphans[j]);
            let full = |slot| self.degree(slot, level) >= capacity;
            if served[i] || served[j] || full(a) || full(b) {
                continue;
            }
            self.link(a, b, level, distance);
            (served[i], served[j]) = (true, true);
        }
        for (_, &slot) in served.iter().zip(orphans).filter(|(served, _)| !**served) {
            self.rescue(slot, level, orphans, gone);
        }
        if level == 0 {
            self.bridge(orphans);
        }
    }

    /// Links islands to the rest: where the deleted node was the only way between two parts of the graph, the pairs may
    /// all have been found on one side. An island of more than [`ISLAND`] nodes is not recognised.
    fn bridge(&mut self, orphans: &[u32]) {
        let Some((&first, others)) = orphans.split_first() else {
            return;
        };
        let mut near_first = self.around(first, MAINLAND, others);
        for &slot in others {
            if near_first.contains(&slot) {
                continue;
            }
            let island = self.around(slot, ISLAND, &[]);
            // One of the two is the island; if both are large, nobody can tell whether they are one.
            if island.len().min(near_first.len()) >= ISLAND {
                continue;
            }
            let pairs = island
                .iter()
                .flat_map(|a| near_first.iter().map(move |b| (*a, *b)));
            let near = pairs.map(|(a, b)| (self.distance(a, b), a, b));
            let Some((distance, a, b)) = near.min_by(|a, b| a.0.total_cmp(&b.0)) else {
                continue;
            };
            // More than it has room for is better than out of reach.
            let limit = self.shape.limit(0);
            if self.degree(a, 0) < limit && self.degree(b, 0) < limit {
                self.link(a, b, 0, distance);
            }
            near_first = self.around(first, MAINLAND, others);
        }
    }

    /// Up to `most` nodes that can be reached from one on level 0, nearest in links first; ends as soon as all of
    /// `wanted` are among them.
    fn around(&self, start: u32, most: usize, wanted: &[u32]) -> Vec<u32> {
        let mut seen = HashSet::from([start]);
        let mut missing = wanted.iter().filter(|slot| **slot != start).count();
        let mut reached = vec![start];
        let mut next = 0;
        while let Some(&slot) = reached.get(next)
            && reached.len() < most
            && (missing > 0 || wanted.is_empty())
        {
            next += 1;
            for &link in self.links(slot, 0) {
                if seen.insert(link) {
                    missing -= usize::from(wanted.contains(&link));
                    reached.push(link);
                }
            }
        }
        reached
    }

    /// Links a node that lost a neighbour and found no partner among those who lost the same one.
    fn rescue(&mut self, slot: u32, level: u8, orphans: &[u32], gone: u32) {
        let m = usize::from(self.shape.m);
        let want = (self.degree(slot, level) + 1).min(self.shape.capacity(level));
        let measure = self.measure(self.row(slot));
        let mut near: Vec<Near> = orphans
            .iter()
            .map(|&slot| Near {
                distance: measure.to(self.row(slot)),
                slot,
            })
            .collect();
        near.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        self.offer(slot, level, &near, Insistence::Second, want);
        if self.degree(slot, level) >= want || self.degree(slot, level) > m / 2 {
            return;
        }
        let query = self.measure(self.row(slot));
        let Some(start) = self.descend(&query, level) else {
            return;
        };
        let mut near = self.search_level(&query, start, level, RESCUE_EF, Limits::default(), None);
        near.retain(|near| near.slot != slot && near.slot != gone);
        self.offer(slot, level, &near, Insistence::Second, want);
        if self.degree(slot, level) < want {
            self.offer(slot, level, &near, Insistence::Third, want);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Shape;
    use super::super::quant::{Quant, encode};
    use super::*;
    use crate::collections::testing::Rng;

    fn vector(rng: &mut Rng, dim: usize) -> Vec<f32> {
        (0..dim)
            .map(|_| rng.next() as f32 / u64::MAX as f32 - 0.5)
            .collect()
    }

    fn insert(graph: &mut Graph, seed: &mut u64, row: &[u8]) -> u32 {
        let level = Graph::draw_level(seed);
        graph.insert(row, level, 200)
    }

    /// redis 15424: small graphs whose entry goes again and again. After every step all invariants hold.
    #[test]
    fn small_graphs_under_churn_stay_whole() {
        for seed in 0..60u64 {
            let mut rng = Rng::new(seed);
            let mut levels = seed;
            let quant = [Quant::F32, Quant::Q8, Quant::Bin][rng.below(3)];
            let (dim, m) = (1 + rng.below(70), 4 + rng.below(13) as u16);
            let mut graph = Graph::new(Shape {
                quant,
                dim: dim as u32,
                m,
            });
            let mut live = vec![];
            for step in 0..400 {
                let grow = live.len() < 20 && rng.below(2) == 0;
                if grow || live.is_empty() {
                    let row = encode(quant, vector(&mut rng, dim));
                    live.push(insert(&mut graph, &mut levels, &row));
                } else {
                    let at = rng.below(live.len());
                    let slot = live.swap_remove(at);
                    if rng.below(4) == 0 {
                        let row = encode(quant, vector(&mut rng, dim));
                        let level = Graph::draw_level(&mut levels);
                        graph.update(slot, &row, level, 200);
                        live.push(slot);
                    } else {
                        graph.delete(slot);
                    }
                }
                graph.check();
                assert_eq!(graph.unreachable(), 0, "seed {seed} step {step} m {m}");
            }
        }
    }

    /// A large one, all of it deleted and added again, under snapshots: recall stays, snapshots stay.
    #[test]
    fn a_large_graph_keeps_its_recall() {
        let mut rng = Rng::new(3);
        let mut levels = 3;
        let (dim, n) = (24, 2000);
        let shape = Shape {
            quant: Quant::Q8,
            dim: dim as u32,
            m: 16,
        };
        let mut graph = Graph::new(shape);
        let mut rows: Vec<(u32, Vec<u8>)> = vec![];
        for _ in 0..n {
            let row = encode(shape.quant, vector(&mut rng, dim));
            rows.push((insert(&mut graph, &mut levels, &row), row));
        }
        graph.check();
        let queries: Vec<Vec<u8>> = (0..50)
            .map(|_| encode(shape.quant, vector(&mut rng, dim)))
            .collect();
        let recall = |graph: &Graph| {
            let hits: usize = queries
                .iter()
                .map(|row| {
                    let query = graph.measure(row);
                    let found = graph.search(&query, 100, Limits::default(), None);
                    let exact = graph.scan(&query, 10, Limits::default(), None);
                    let found = &found[..10];
                    exact.iter().filter(|near| found.contains(near)).count()
                })
                .sum();
            hits as f64 / (queries.len() * 10) as f64
        };
        let before = recall(&graph);
        assert!(before > 0.97, "{before}");
        let snapshot = graph.clone();
        for (slot, row) in &mut rows {
            graph.delete(*slot);
            *slot = insert(&mut graph, &mut levels, row);
        }
        graph.check();
        assert!(graph.unreachable() <= n / 1000);
        let after = recall(&graph);
        assert!(after > before - 0.02, "{before} {after}");
        snapshot.check();
        assert_eq!(recall(&snapshot), before);
    }
}
