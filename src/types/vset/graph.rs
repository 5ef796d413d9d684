//! The graph: nodes on levels, and links between them.
//!
//! ```text
//!   slot     a node's number: the row of its head, its vector and its links on level 0
//!   heads    [ id | level | first upper record | name ]
//!   attributes                                                        as far as the last slot that ever had one
//!   vectors  [ range | l2 | components ]
//!   base     [ meta | worst distance | link link … ]                  links are slots
//!   upper    [ meta | worst distance | link link … | record above ]   one per level above 0
//!   overflow (slot, level) -> links, of the few nodes that have more than a record holds
//! ```
//!
//! Every part is a [`Pages`], so that a clone of the graph is a snapshot of it, and an insertion under a snapshot
//! copies the chunks of the nodes it links. Slots and upper records of deleted nodes form lists of free ones.
//!
//! Invariants, checked by `Graph::check` in the tests: links are mutual, name no node twice, never the node itself,
//! and only nodes that have the level; `worst` is the farthest of a node's links on a level, unless a file named another
//! of them; the entry is a node of the highest level there is.
//!
//! Mirrors: `HNSW` and `hnswNode` of hnsw.h; Malkov and Yashunin, "Efficient and robust approximate nearest neighbor
//! search using Hierarchical Navigable Small World graphs", 2016. Differs: nodes are numbers, not pointers, and marks
//! of visited nodes belong to a search, not to the node, so that many threads may search while none writes.

use super::quant::{MANY, Measure, Quant, Stored};
use crate::collections::btree::OrderedMap;
use crate::collections::kernels::{Kernel, prefetch};
use crate::collections::run::{Pages, Part, Run};
use crate::collections::shared::Blob;
use crate::collections::table::{Handle, NoObject};

/// The highest level a node can have.
#[doc(alias = "HNSW_MAX_LEVEL")]
pub const MAX_LEVEL: u8 = 16;
/// Links that a record holds at most; a node with more has them in the overflow. So M may be as large as Redis allows
/// without every node paying for it.
const INLINE: usize = 128;
/// The number that stands for "no slot" and "no record".
pub(super) const NONE: u32 = u32::MAX;
/// The place of a farthest neighbour that is not known: past any link, and the largest that a record can tell.
pub(super) const UNTOLD: usize = 0x7FFF;
/// Levels from here on have few enough nodes to keep them in an ordered map, where a new entry is found at once.
const RARE_LEVEL: u8 = 3;

/// Chunks are about so large: a write under a snapshot copies one.
const LINKS_CHUNK: usize = 2 << 10;
const VECTORS_CHUNK: usize = 32 << 10;
const HEADS_CHUNK: usize = 512;

/// Properties that all nodes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub quant: Quant,
    /// Components of a stored vector.
    pub dim: u32,
    /// Links a node aims at on a level (M).
    pub m: u16,
}

impl Shape {
    /// How many links a node may have on a level before others must go for new ones.
    pub fn capacity(&self, level: u8) -> usize {
        match level {
            0 => 2 * usize::from(self.m),
            _ => usize::from(self.m),
        }
    }

    /// How many it may have at the very most: what a neighbour in need can get.
    pub fn limit(&self, level: u8) -> usize {
        self.capacity(level) + usize::from(self.m)
    }
}

/// A node but for its vector and links.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Serial number, never used again; 0 when the slot is free.
    pub id: u64,
    /// The record of level 1, or of a free slot the next free one.
    pub upper: u32,
    pub level: u8,
    /// The element's name; present while the slot is taken.
    pub name: Option<Handle<NoObject>>,
}

impl Part for Head {
    fn warm(&self) {
        std::hint::black_box(self.name.as_ref().map(|name| name.key().len()));
    }
}

impl Part for Option<Blob> {
    fn warm(&self) {
        std::hint::black_box(self.as_ref().map(Blob::len));
    }
}

/// The first word of a record: how many links, which of them is the farthest, and whether they are elsewhere.
#[derive(Clone, Copy)]
struct Meta(u32);

impl Meta {
    const OVERFLOW: u32 = 1 << 31;

    fn new(count: usize, worst: usize) -> Meta {
        Meta(count as u32 | (worst as u32) << 16)
    }

    fn count(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }

    fn worst(self) -> usize {
        (self.0 >> 16) as usize & UNTOLD
    }

    fn overflows(self) -> bool {
        self.0 & Self::OVERFLOW != 0
    }
}

/// The nodes of a vector set.
#[derive(Debug, Clone)]
pub(super) struct Graph {
    pub shape: Shape,
    kernel: Kernel,
    pub heads: Pages<Head>,
    /// The attributes by slot, as far as the last slot that ever had one: a set without attributes has no bytes for them.
    attributes: Pages<Option<Blob>>,
    vectors: Pages<u8>,
    base: Pages<u32>,
    upper: Pages<u32>,
    overflow: OrderedMap<u64, Run<u32>>,
    /// Nodes of the levels from [`RARE_LEVEL`] on, by level and slot.
    rare: OrderedMap<u64, ()>,
    /// How many nodes have which level as their highest.
    levels: [u32; MAX_LEVEL as usize + 1],
    entry: u32,
    len: u32,
    free: u32,
    free_upper: u32,
    pub last_id: u64,
    /// How many nodes have left a slot: a slot that was seen before may hold another node since.
    pub departures: u64,
}

impl Graph {
    pub(super) fn new(shape: Shape) -> Graph {
        let inline = |level| shape.capacity(level).min(INLINE);
        Graph {
            shape,
            kernel: Kernel::best(),
            heads: Pages::new(1, HEADS_CHUNK),
            attributes: Pages::new(1, HEADS_CHUNK),
            vectors: Pages::new(shape.quant.row_bytes(shape.dim as usize), VECTORS_CHUNK),
            base: Pages::new(2 + inline(0), LINKS_CHUNK),
            upper: Pages::new(3 + inline(1), LINKS_CHUNK),
            overflow: OrderedMap::new(),
            rare: OrderedMap::new(),
            levels: [0; MAX_LEVEL as usize + 1],
            entry: NONE,
            len: 0,
            free: NONE,
            free_upper: NONE,
            last_id: 0,
            departures: 0,
        }
    }

    // ---- Nodes

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Slots, the free ones included.
    pub(super) fn slots(&self) -> u32 {
        self.heads.len()
    }

    /// The highest level of a node; 0 without nodes.
    pub(super) fn max_level(&self) -> u8 {
        match self.entry {
            NONE => 0,
            entry => self.level(entry),
        }
    }

    /// Where searches begin.
    pub(super) fn entry(&self) -> Option<u32> {
        (self.entry != NONE).then_some(self.entry)
    }

    #[inline]
    pub(super) fn head(&self, slot: u32) -> &Head {
        &self.heads.row(slot)[0]
    }

    pub(super) fn head_mut(&mut self, slot: u32) -> &mut Head {
        &mut self.heads.row_mut(slot)[0]
    }

    /// The attribute of a slot.
    #[inline]
    pub(super) fn attribute(&self, slot: u32) -> Option<&Blob> {
        match slot < self.attributes.len() {
            true => self.attributes.row(slot)[0].as_ref(),
            false => None,
        }
    }

    /// Gives a slot an attribute, or takes it away; the one that it had. O(1), or O(slots) the first time.
    pub(super) fn set_attribute(&mut self, slot: u32, new: Option<Blob>) -> Option<Blob> {
        if new.is_none() && self.attribute(slot).is_none() {
            return None;
        }
        while self.attributes.len() <= slot {
            self.attributes.push(&[None]);
        }
        std::mem::replace(&mut self.attributes.row_mut(slot)[0], new)
    }

    pub(super) fn level(&self, slot: u32) -> u8 {
        self.head(slot).level
    }

    /// The slots that are taken, in ascending order.
    pub(super) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.slots()).filter(|slot| self.head(*slot).id != 0)
    }

    #[inline]
    pub(super) fn row(&self, slot: u32) -> &[u8] {
        self.vectors.row(slot)
    }

    pub(super) fn stored(&self, slot: u32) -> Stored<'_> {
        Stored::of_row(self.row(slot))
    }

    /// Measures against a row.
    #[inline]
    pub(super) fn measure<'a>(&self, row: &'a [u8]) -> Measure<'a> {
        Measure::new(self.kernel, self.shape.quant, self.shape.dim, row)
    }

    /// The distance of two nodes.
    #[inline]
    pub(super) fn distance(&self, a: u32, b: u32) -> f32 {
        self.measure(self.row(a)).to(self.row(b))
    }

    /// Takes a slot for a node without links. O(1), or O(level).
    pub(super) fn enter(&mut self, row: &[u8], level: u8, id: u64) -> u32 {
        let slot = match self.free {
            NONE => {
                let slot = self.vectors.push(row);
                self.heads.push(&[Head {
                    id: 0,
                    upper: NONE,
                    level: 0,
                    name: None,
                }]);
                let words = vec![0; 2 + self.shape.capacity(0).min(INLINE)];
                self.base.push(&words);
                slot
            }
            slot => {
                self.free = self.head(slot).upper;
                self.vectors.row_mut(slot).copy_from_slice(row);
                slot
            }
        };
        self.len += 1;
        self.place(slot, level, id);
        slot
    }

    /// Gives the node of a slot its level and its number; it has no links, and no records above level 0.
    fn place(&mut self, slot: u32, level: u8, id: u64) {
        self.base.row_mut(slot)[..2].fill(0);
        let mut above = NONE;
        for _ in 0..level {
            above = self.take_record(above);
        }
        let head = self.head_mut(slot);
        (head.id, head.level, head.upper) = (id, level, above);
        self.last_id = self.last_id.max(id);
        self.levels[usize::from(level)] += 1;
        if level >= RARE_LEVEL {
            self.rare.insert(rare_key(level, slot), ());
        }
        if self.entry == NONE || level > self.level(self.entry) {
            self.entry = slot;
        }
    }

    /// A record of an upper level without links, below the one given.
    fn take_record(&mut self, above: u32) -> u32 {
        let last = 2 + self.shape.capacity(1).min(INLINE);
        let record = match self.free_upper {
            NONE => {
                let words = vec![0; last + 1];
                self.upper.push(&words)
            }
            record => {
                self.free_upper = self.upper.row(record)[last];
                record
            }
        };
        let words = self.upper.row_mut(record);
        words[..2].fill(0);
        words[last] = above;
        record
    }

    /// Takes a node without links out of its levels; its slot stays taken. Another entry is chosen if need be.
    pub(super) fn displace(&mut self, slot: u32, hint: Option<u32>) {
        let (level, mut record) = (self.level(slot), self.head(slot).upper);
        while record != NONE {
            let words = self.upper.row_mut(record);
            let last = words.len() - 1;
            let above = std::mem::replace(&mut words[last], self.free_upper);
            self.free_upper = record;
            record = above;
        }
        self.levels[usize::from(level)] -= 1;
        if level >= RARE_LEVEL {
            self.rare.remove(&rare_key(level, slot));
        }
        let head = self.head_mut(slot);
        (head.id, head.level, head.upper) = (0, 0, NONE);
        if self.entry == slot {
            self.entry = self.new_entry(hint);
        }
    }

    /// A node of the highest level there is. `hint` was linked to the last one on its highest level, and is right
    /// unless the level is gone. O(1); O(slots) if the level is low and the hint wrong.
    fn new_entry(&self, hint: Option<u32>) -> u32 {
        let Some(level) = self.levels.iter().rposition(|nodes| *nodes > 0) else {
            return NONE;
        };
        let is_top = |slot: &u32| {
            let head = self.head(*slot);
            head.id != 0 && usize::from(head.level) == level
        };
        if let Some(slot) = hint.filter(|slot| is_top(slot)) {
            return slot;
        }
        if level >= usize::from(RARE_LEVEL) {
            let last = self.rare.last().expect("levels are counted");
            return last.key as u32;
        }
        let mut slots = 0..self.slots();
        slots.find(is_top).expect("levels are counted")
    }

    /// Chooses another entry than a node that is about to go; it stays if it is the only one of its kind.
    pub(super) fn retire(&mut self, slot: u32, hint: Option<u32>) {
        let level = usize::from(self.level(slot));
        self.levels[level] -= 1;
        // For as long as it takes to choose, the node is not there.
        let id = std::mem::replace(&mut self.head_mut(slot).id, 0);
        let key = rare_key(level as u8, slot);
        let was_rare = self.rare.remove(&key).is_some();
        let entry = self.new_entry(hint);
        if entry != NONE {
            self.entry = entry;
        }
        if was_rare {
            self.rare.insert(key, ());
        }
        self.head_mut(slot).id = id;
        self.levels[level] += 1;
    }

    /// Gives up the slot of a node without links.
    pub(super) fn leave(&mut self, slot: u32, hint: Option<u32>) {
        self.displace(slot, hint);
        let free = self.free;
        let head = self.head_mut(slot);
        (head.name, head.upper) = (None, free);
        self.set_attribute(slot, None);
        self.free = slot;
        self.len -= 1;
    }

    /// Has a node that was displaced come back with another vector, level and number.
    pub(super) fn come_back(&mut self, slot: u32, row: &[u8], level: u8, id: u64) {
        self.vectors.row_mut(slot).copy_from_slice(row);
        self.place(slot, level, id);
    }

    // ---- Links

    /// The record of a node on a level that it has.
    #[inline]
    fn record(&self, slot: u32, level: u8) -> &[u32] {
        if level == 0 {
            return self.base.row(slot);
        }
        self.upper.row(self.upper_record(slot, level))
    }

    fn upper_record(&self, slot: u32, level: u8) -> u32 {
        let mut record = self.head(slot).upper;
        for _ in 1..level {
            record = self.upper.row(record).last().copied().unwrap_or(NONE);
        }
        record
    }

    fn record_mut(&mut self, slot: u32, level: u8) -> &mut [u32] {
        if level == 0 {
            return self.base.row_mut(slot);
        }
        let record = self.upper_record(slot, level);
        self.upper.row_mut(record)
    }

    /// The words of a record, for fetching them ahead.
    #[inline]
    pub(super) fn base_row(&self, slot: u32) -> &[u32] {
        self.base.row(slot)
    }

    /// The neighbours of a node on a level that it has.
    #[inline]
    pub(super) fn links(&self, slot: u32, level: u8) -> &[u32] {
        let record = self.record(slot, level);
        let meta = Meta(record[0]);
        if meta.overflows() {
            let links = self.overflow.get(&overflow_key(slot, level));
            return links.map_or(&[], Run::as_slice);
        }
        &record[2..2 + meta.count()]
    }

    /// The number of a node's links on a level.
    #[inline]
    pub(super) fn degree(&self, slot: u32, level: u8) -> usize {
        Meta(self.record(slot, level)[0]).count()
    }

    /// The farthest neighbour, and how far it is.
    pub(super) fn worst(&self, slot: u32, level: u8) -> Option<(u32, f32)> {
        let record = self.record(slot, level);
        let worst = self.links(slot, level).get(Meta(record[0]).worst())?;
        Some((*worst, f32::from_bits(record[1])))
    }

    /// The place of the farthest neighbour among the links.
    pub(super) fn worst_place(&self, slot: u32, level: u8) -> usize {
        Meta(self.record(slot, level)[0]).worst()
    }

    /// Replaces the links of a node, the farthest of which is given.
    pub(super) fn set_links(&mut self, slot: u32, level: u8, links: &[u32], worst: (usize, f32)) {
        let room = self.shape.capacity(level).min(INLINE);
        let record = self.record_mut(slot, level);
        let overflowed = Meta(record[0]).overflows();
        let mut meta = Meta::new(links.len(), worst.0);
        let overflows = links.len() > room;
        if overflows {
            meta.0 |= Meta::OVERFLOW;
        } else {
            record[2..2 + links.len()].copy_from_slice(links);
        }
        (record[0], record[1]) = (meta.0, worst.1.to_bits());
        if overflows {
            let links = Run::from_slice(links);
            self.overflow.insert(overflow_key(slot, level), links);
        } else if overflowed {
            self.overflow.remove(&overflow_key(slot, level));
        }
    }

    /// Puts as many other links in the place of those a node has on a level, and leaves the farthest where it is.
    pub(super) fn rename_links(&mut self, slot: u32, level: u8, links: &[u32]) {
        let record = self.record_mut(slot, level);
        if Meta(record[0]).overflows() {
            let links = Run::from_slice(links);
            self.overflow.insert(overflow_key(slot, level), links);
        } else {
            record[2..2 + links.len()].copy_from_slice(links);
        }
    }

    /// The place and distance of the farthest of some nodes from another; O(links).
    pub(super) fn farthest(&self, slot: u32, links: &[u32]) -> (usize, f32) {
        let measure = self.measure(self.row(slot));
        let mut worst = (0, 0f32);
        let (mut rows, mut distances) = ([&[][..]; MANY], [0f32; MANY]);
        for (part, links) in links.chunks(MANY).enumerate() {
            for (row, link) in rows.iter_mut().zip(links) {
                *row = self.row(*link);
                prefetch(row);
            }
            measure.many(&rows[..links.len()], &mut distances);
            for (n, &distance) in distances[..links.len()].iter().enumerate() {
                let at = part * MANY + n;
                if at == 0 || distance > worst.1 {
                    worst = (at, distance);
                }
            }
        }
        worst
    }

    fn add_half(&mut self, from: u32, level: u8, to: u32, distance: f32) {
        let room = self.shape.capacity(level).min(INLINE);
        let record = self.record_mut(from, level);
        let meta = Meta(record[0]);
        let count = meta.count();
        if count < room {
            record[2 + count] = to;
            let worst = match meta.worst() {
                worst if count > 0 && f32::from_bits(record[1]) >= distance => worst,
                _ => {
                    record[1] = distance.to_bits();
                    count
                }
            };
            record[0] = Meta::new(count + 1, worst).0;
            return;
        }
        let mut worst = (meta.worst(), f32::from_bits(record[1]));
        let mut links = self.links(from, level).to_vec();
        if distance > worst.1 {
            worst = (links.len(), distance);
        }
        links.push(to);
        self.set_links(from, level, &links, worst);
    }

    fn remove_half(&mut self, from: u32, level: u8, to: u32) {
        let links = self.links(from, level);
        let Some(at) = links.iter().position(|link| *link == to) else {
            return;
        };
        let mut links = links.to_vec();
        links.swap_remove(at);
        let (worst, distance) = (
            self.worst_place(from, level),
            f32::from_bits(self.record(from, level)[1]),
        );
        let worst = if worst == at {
            self.farthest(from, &links)
        } else if worst == links.len() {
            (at, distance)
        } else {
            (worst, distance)
        };
        self.set_links(from, level, &links, worst);
    }

    /// Links two nodes on a level that both have, both ways.
    pub(super) fn link(&mut self, a: u32, b: u32, level: u8, distance: f32) {
        self.add_half(a, level, b, distance);
        self.add_half(b, level, a, distance);
    }

    /// Cuts all links of a node on a level; who they led to.
    pub(super) fn cut_off(&mut self, slot: u32, level: u8) -> Vec<u32> {
        let links = self.links(slot, level).to_vec();
        for link in &links {
            self.remove_half(*link, level, slot);
        }
        self.set_links(slot, level, &[], (0, 0.0));
        links
    }

    /// Puts `new` in the place of the farthest neighbour of `slot`, which loses it. O(links).
    pub(super) fn replace(&mut self, slot: u32, old: u32, new: u32, level: u8, distance: f32) {
        self.remove_half(old, level, slot);
        let mut links = self.links(slot, level).to_vec();
        if let Some(link) = links.iter_mut().find(|link| **link == old) {
            *link = new;
        }
        let worst = self.farthest(slot, &links);
        self.set_links(slot, level, &links, worst);
        self.add_half(new, level, slot, distance);
    }

    // ---- Figures

    /// Bytes of all parts, names and attributes aside. O(chunks / 64).
    pub(super) fn allocated_bytes(&self) -> usize {
        self.heads.allocated_bytes()
            + self.attributes.allocated_bytes()
            + self.vectors.allocated_bytes()
            + self.base.allocated_bytes()
            + self.upper.allocated_bytes()
            + self.overflow.allocated_bytes()
            + self.rare.allocated_bytes()
    }

    /// Number of nodes of memory.
    pub(super) fn memory_nodes(&self) -> usize {
        let links = self.base.nodes() + self.upper.nodes();
        self.heads.nodes() + self.attributes.nodes() + self.vectors.nodes() + links
    }

    /// Says which invariant does not hold. O(links²).
    #[cfg(test)]
    pub(super) fn check(&self) {
        let live: Vec<u32> = self.live().collect();
        assert_eq!(live.len(), self.len());
        for &slot in &live {
            let head = self.head(slot);
            assert!(head.level <= self.max_level());
            for level in 0..=head.level {
                let links = self.links(slot, level);
                assert_eq!(links.len(), self.degree(slot, level));
                assert!(links.len() <= self.shape.limit(level), "too many links");
                for (at, &link) in links.iter().enumerate() {
                    assert_ne!(link, slot, "a link to itself");
                    assert_ne!(self.head(link).id, 0, "a link to nobody");
                    assert!(self.level(link) >= level, "no such level");
                    assert!(!links[..at].contains(&link), "twice the same link");
                    let back = self.links(link, level);
                    assert!(back.contains(&slot), "a link without its way back");
                }
                if let Some((_, distance)) = self.worst(slot, level) {
                    let worst = self.farthest(slot, links);
                    assert_eq!(worst.1, distance, "the farthest is another");
                }
            }
        }
        let max = live.iter().map(|slot| self.level(*slot)).max();
        assert_eq!(max.unwrap_or(0), self.max_level());
        assert_eq!(self.entry == NONE, live.is_empty());
        let mut free = 0;
        let mut slot = self.free;
        while slot != NONE {
            assert_eq!(self.head(slot).id, 0);
            free += 1;
            slot = self.head(slot).upper;
        }
        assert_eq!(free + live.len(), self.slots() as usize);
    }

    /// How many nodes cannot be reached from the entry on level 0.
    #[cfg(test)]
    pub(super) fn unreachable(&self) -> usize {
        let mut seen = vec![false; self.slots() as usize];
        let mut todo: Vec<u32> = self.entry().into_iter().collect();
        let mut count = 0;
        while let Some(slot) = todo.pop() {
            if std::mem::replace(&mut seen[slot as usize], true) {
                continue;
            }
            count += 1;
            todo.extend(self.links(slot, 0));
        }
        self.len() - count
    }
}

fn rare_key(level: u8, slot: u32) -> u64 {
    u64::from(level) << 32 | u64::from(slot)
}

fn overflow_key(slot: u32, level: u8) -> u64 {
    u64::from(slot) << 8 | u64::from(level)
}
