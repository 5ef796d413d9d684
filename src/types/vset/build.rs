//! Vector sets built from the nodes of a file.
//!
//! A file lists nodes with the numbers of their neighbours, which may be nodes that follow. So each node is entered as
//! it comes, with labels in the place of its links, and at the end every label is replaced by the slot it stands for. A
//! label is the neighbour's number itself, unless that needs more than 31 bits. The file is not trusted: a link that would
//! break an invariant of the graph is an error, and no more memory is taken than a small multiple of what was read.
//!
//! That links are mutual is seen in a sum: each adds a hash of its two nodes in one direction, and takes it away in the
//! other. The hash is that of the names, whose key no file can know.
//!
//! Mirrors: `hnsw_insert_serialized` and `hnsw_deserialize_index` of hnsw.c. Differs: the farthest neighbour that a file
//! names is believed only if it is as far as the file says; else all are measured.

use std::collections::HashMap;
use std::ops::Range;

use super::graph::{Graph, MAX_LEVEL, NONE, UNTOLD};
use super::{Projection, Quant, Shape, Stored, Vset};
use crate::collections::kernels::prefetch;
use crate::collections::table::{Handle, NoObject};

/// Capacity of a record that a file of any version can name.
const MAX_CAPACITY: u64 = 4 * 4096;

/// Nodes that are linked together: their records fit the nearest cache.
const BLOCK: usize = 64;

/// A set in the making. Links are labels.
#[derive(Debug)]
pub struct Builder {
    set: Vset,
    labels: Labels,
    /// Labels of nodes, by slot.
    nodes: Vec<u32>,
    /// Their highest levels.
    tops: Vec<u8>,
    /// Their names, to be put in order.
    names: Vec<Handle<NoObject>>,
    /// Room for the labels of one level, and for a row.
    links: Vec<u32>,
    row: Vec<u8>,
}

/// The farthest neighbour on a level, as a file names it.
#[derive(Debug, Clone, Copy)]
pub struct Farthest {
    /// Its place among the links.
    pub place: u32,
    pub distance: f32,
}

/// Neighbours of a node on a level, as a file tells them.
#[derive(Debug, Clone, Default)]
pub struct ToldLevel {
    /// Their numbers.
    pub links: Vec<u64>,
    /// The number of neighbours that there is room for.
    pub capacity: u64,
    /// Missing in older files.
    pub farthest: Option<Farthest>,
}

/// A node as a file tells it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub id: u64,
    pub name: &'a [u8],
    /// The attribute in JSON; empty if the element has none.
    pub attribute: &'a [u8],
    pub stored: Stored<'a>,
    /// Neighbours, level by level from 0 on.
    pub levels: &'a [ToldLevel],
}

impl Builder {
    /// A set without members.
    pub fn new(shape: Shape, projection: Option<Projection>, seed: u64) -> Builder {
        Builder {
            set: Vset::new(shape, projection, seed),
            labels: Labels::default(),
            nodes: vec![],
            tops: vec![],
            names: vec![],
            links: vec![],
            row: vec![],
        }
    }

    /// Takes a node; an error names its fault.
    pub fn node(&mut self, told: Told<'_>) -> Result<(), &'static str> {
        let shape = self.set.shape();
        if told.levels.is_empty() || told.levels.len() > usize::from(MAX_LEVEL) + 1 {
            return Err("Vector set node level out of range");
        }
        for (level, told) in told.levels.iter().enumerate() {
            if told.links.len() as u64 > told.capacity || told.capacity > MAX_CAPACITY {
                return Err("Vector set node with more links than room");
            }
            if told.links.len() > shape.limit(level as u8) {
                return Err("Vector set node with too many links");
            }
        }
        let mut stored = told.stored;
        if shape.quant != Quant::Q8 {
            // Redis writes there whatever its memory held.
            stored.range = 0.0;
        }
        let Stored { bytes, l2, range } = stored;
        if bytes.len() != shape.quant.bytes(shape.dim as usize) {
            return Err("Vector set vector of another dimension");
        }
        let finite = |word: &[u8]| {
            word.try_into()
                .is_ok_and(|word| f32::from_le_bytes(word).is_finite())
        };
        let numbers = shape.quant != Quant::F32 || bytes.chunks_exact(4).all(finite);
        if !numbers || !range.is_finite() || range < 0.0 || l2.is_nan() {
            return Err("Vector set vector with components that are no numbers");
        }
        if told.id == 0 || told.id > i64::MAX as u64 {
            return Err("Vector set node number out of range");
        }
        let inner = self.set.inner.make_mut();
        let hash = inner.names.hash(told.name);
        if inner.names.get(hash, told.name).is_some() {
            return Err("Vector set member twice");
        }
        let top = (told.levels.len() - 1) as u8;
        stored.write_row(&mut self.row);
        let slot = inner.graph.enter(&self.row, top, told.id);
        self.nodes.push(self.labels.of(told.id)?);
        self.tops.push(top);
        self.names.push(inner.give_name(slot, hash, told.name));
        if !told.attribute.is_empty() {
            inner.set_attribute(slot, Some(told.attribute));
        }
        for (level, told) in (0..).zip(told.levels) {
            self.links.clear();
            for id in &told.links {
                self.links.push(self.labels.of(*id)?);
            }
            let worst = told.farthest.map_or((UNTOLD, 0.0), |farthest| {
                ((farthest.place as usize).min(UNTOLD), farthest.distance)
            });
            inner.graph.set_links(slot, level, &self.links, worst);
        }
        Ok(())
    }

    /// Links the nodes. O(links + nodes · log nodes); at worst O(log M) for a link.
    pub fn finish(mut self) -> Result<Vset, &'static str> {
        let known = Slots::new(&self.nodes)?;
        let inner = self.set.inner.make_mut();
        let mut linker = Linker {
            graph: &mut inner.graph,
            known,
            tops: &self.tops,
            sums: [0; MAX_LEVEL as usize + 1],
            slots: vec![],
            sorted: vec![],
        };
        let count = self.tops.len();
        for first in (0..count).step_by(BLOCK) {
            let block = first as u32..(first + BLOCK).min(count) as u32;
            linker.link(block, |pair| inner.names.hash(&pair.to_le_bytes()))?;
        }
        if linker.sums.iter().any(|sum| *sum != 0) {
            return Err("Vector set link without its way back");
        }
        self.names.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        for name in self.names {
            inner.order.push_back(name);
        }
        Ok(self.set)
    }
}

/// Replaces labels by slots.
struct Linker<'a> {
    graph: &'a mut Graph,
    known: Slots,
    tops: &'a [u8],
    /// By level, the sum of the hashes of the links: 0 at the end, when all links have their way back.
    sums: [u64; MAX_LEVEL as usize + 1],
    /// Room for the links of a node on a level, as they come and in order.
    slots: Vec<u32>,
    sorted: Vec<u32>,
}

impl Linker<'_> {
    /// Links the nodes of some slots; `hash` is that of a pair of slots.
    fn link(&mut self, block: Range<u32>, hash: impl Fn(u64) -> u64) -> Result<(), &'static str> {
        for slot in block.clone() {
            for level in 0..=self.tops[slot as usize] {
                self.link_level(slot, level, &hash)?;
            }
        }
        // The farthest neighbours lie anywhere, so all of a block are fetched before the first is measured.
        for slot in block.clone() {
            if let Some((farthest, _)) = self.graph.worst(slot, 0) {
                prefetch(self.graph.row(farthest));
            }
        }
        for slot in block {
            for level in 0..=self.tops[slot as usize] {
                let named = self.graph.worst(slot, level);
                if named.is_some_and(|(to, distance)| self.graph.distance(slot, to) == distance) {
                    continue;
                }
                self.slots.clear();
                self.slots.extend_from_slice(self.graph.links(slot, level));
                let farthest = self.graph.farthest(slot, &self.slots);
                self.graph.set_links(slot, level, &self.slots, farthest);
            }
        }
        Ok(())
    }

    fn link_level(
        &mut self,
        slot: u32,
        level: u8,
        hash: impl Fn(u64) -> u64,
    ) -> Result<(), &'static str> {
        let sum = &mut self.sums[usize::from(level)];
        let mut met = Met::default();
        self.slots.clear();
        for label in self.graph.links(slot, level) {
            let Some(to) = self.known.get(*label) else {
                return Err("Vector set link to a node that is missing");
            };
            if to == slot {
                return Err("Vector set node linked to itself");
            }
            if level > 0 && self.tops[to as usize] < level {
                return Err("Vector set link to a node without this level");
            }
            let hash = hash(u64::from(slot.min(to)) << 32 | u64::from(slot.max(to)));
            // 1 or -1. Which of the two it is no processor can foresee, so it is no branch.
            let sign = (u64::from(slot < to) * 2).wrapping_sub(1);
            *sum = sum.wrapping_add(hash.wrapping_mul(sign));
            met.add(to);
            self.slots.push(to);
        }
        if met.perhaps_twice {
            self.sorted.clone_from(&self.slots);
            self.sorted.sort_unstable();
            if self.sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err("Vector set link that comes twice");
            }
        }
        self.graph.rename_links(slot, level, &self.slots);
        Ok(())
    }
}

/// Slots that were met, by their last bits.
struct Met {
    bits: [u64; 64],
    /// Two had the same last bits, so that one may have come twice.
    perhaps_twice: bool,
}

impl Default for Met {
    fn default() -> Met {
        Met {
            bits: [0; 64],
            perhaps_twice: false,
        }
    }
}

impl Met {
    #[inline]
    fn add(&mut self, slot: u32) {
        let (word, bit) = (&mut self.bits[(slot / 64 % 64) as usize], 1 << (slot % 64));
        self.perhaps_twice |= *word & bit != 0;
        *word |= bit;
    }
}

/// Numbers of nodes as words of 32 bits.
#[derive(Debug, Default)]
struct Labels {
    /// Labels of numbers that have more than 31 bits.
    large: HashMap<u64, u32>,
}

impl Labels {
    /// The first label of a large number; smaller labels are the numbers themselves.
    const LARGE: u32 = 1 << 31;

    /// The label of a number, the same each time.
    #[inline]
    fn of(&mut self, id: u64) -> Result<u32, &'static str> {
        match u32::try_from(id) {
            Ok(id) if id < Self::LARGE => Ok(id),
            _ => self.of_large(id),
        }
    }

    #[cold]
    fn of_large(&mut self, id: u64) -> Result<u32, &'static str> {
        let next = u32::try_from(self.large.len()).ok();
        let next = next.and_then(|next| next.checked_add(Self::LARGE));
        let label = self.large.get(&id).copied().or(next);
        let label = label.ok_or("Vector set with too many nodes")?;
        self.large.insert(id, label);
        Ok(label)
    }
}

/// The slot of each node's label.
enum Slots {
    /// By the label, if few numbers are left out.
    Dense(Vec<u32>),
    Sparse(HashMap<u32, u32>),
}

impl Slots {
    /// From the labels of the nodes in the order of their slots. An error if one comes twice.
    fn new(labels: &[u32]) -> Result<Slots, &'static str> {
        const TWICE: &str = "Vector set node number used twice";
        let last = labels.iter().max().map_or(0, |last| *last as usize);
        if last > 4 * labels.len() + 1024 {
            let mut known = HashMap::with_capacity(labels.len());
            for (slot, label) in labels.iter().enumerate() {
                if known.insert(*label, slot as u32).is_some() {
                    return Err(TWICE);
                }
            }
            return Ok(Slots::Sparse(known));
        }
        let mut known = vec![NONE; last + 1];
        for (slot, label) in labels.iter().enumerate() {
            if std::mem::replace(&mut known[*label as usize], slot as u32) != NONE {
                return Err(TWICE);
            }
        }
        Ok(Slots::Dense(known))
    }

    #[inline]
    fn get(&self, label: u32) -> Option<u32> {
        match self {
            Slots::Dense(known) => {
                let slot = *known.get(label as usize)?;
                (slot != NONE).then_some(slot)
            }
            Slots::Sparse(known) => known.get(&label).copied(),
        }
    }
}
