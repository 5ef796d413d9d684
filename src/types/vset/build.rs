//! Vector sets built from the nodes of a file.
//!
//! A file lists nodes with the numbers of their neighbours, which may be nodes that follow. So nodes are taken as they
//! come, and linked at the end. The file is not trusted: a link that would break an invariant of the graph is an error,
//! and no more memory is taken than a small multiple of what was read.
//!
//! Mirrors: `hnsw_insert_serialized` and `hnsw_deserialize_index` of hnsw.c. Differs: that links are mutual is found by
//! sorting them, not by a hash; the farthest neighbour is measured, not believed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::graph::MAX_LEVEL;
use super::{Projection, Quant, Shape, Stored, Vset};

/// Capacity of a record that a file of any version can name.
const MAX_CAPACITY: u64 = 4 * 4096;

/// A set in the making.
#[derive(Debug)]
pub struct Builder {
    set: Vset,
    slots: HashMap<u64, u32>,
    /// Numbers of neighbours, node by node, each level from 0 on.
    links: Vec<u64>,
    /// How many of them each node has on each of its levels.
    counts: Vec<u32>,
}

/// A node as a file tells it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub id: u64,
    pub name: &'a [u8],
    /// The attribute in JSON; empty if the element has none.
    pub attribute: &'a [u8],
    pub stored: Stored<'a>,
    /// Neighbours and room for them, level by level from 0 on.
    pub levels: &'a [(Vec<u64>, u64)],
}

impl Builder {
    /// A set without members.
    pub fn new(shape: Shape, projection: Option<Projection>, seed: u64) -> Builder {
        Builder {
            set: Vset::new(shape, projection, seed),
            slots: HashMap::new(),
            links: vec![],
            counts: vec![],
        }
    }

    /// Takes a node; an error names its fault.
    pub fn node(&mut self, told: Told<'_>) -> Result<(), &'static str> {
        let shape = self.set.shape();
        if told.levels.is_empty() || told.levels.len() > usize::from(MAX_LEVEL) + 1 {
            return Err("Vector set node level out of range");
        }
        for (level, (links, capacity)) in told.levels.iter().enumerate() {
            if links.len() as u64 > *capacity || *capacity > MAX_CAPACITY {
                return Err("Vector set node with more links than room");
            }
            if links.len() > shape.limit(level as u8) {
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
        let Entry::Vacant(entry) = self.slots.entry(told.id) else {
            return Err("Vector set node number used twice");
        };
        if inner.names.find(told.name).is_some() {
            return Err("Vector set member twice");
        }
        let level = (told.levels.len() - 1) as u8;
        let slot = inner.graph.enter(&stored.to_row(), level, told.id);
        entry.insert(slot);
        inner.enter(slot, told.name);
        if !told.attribute.is_empty() {
            inner.set_attribute(slot, Some(told.attribute));
        }
        for (links, _) in told.levels {
            self.counts.push(links.len() as u32);
            self.links.extend(links);
        }
        Ok(())
    }

    /// Links the nodes. O(links · log links).
    pub fn finish(mut self) -> Result<Vset, &'static str> {
        let graph = &mut self.set.inner.make_mut().graph;
        let mut counts = self.counts.iter();
        let mut ids = self.links.iter();
        // Each link as (smaller slot, larger slot, level, whether from the larger one).
        let mut ways: Vec<(u32, u32, u8, bool)> = Vec::with_capacity(self.links.len());
        let mut slots = vec![];
        for slot in 0..graph.slots() {
            for level in 0..=graph.level(slot) {
                let count = *counts.next().unwrap_or(&0) as usize;
                slots.clear();
                for id in ids.by_ref().take(count) {
                    let Some(&to) = self.slots.get(id) else {
                        return Err("Vector set link to a node that is missing");
                    };
                    if to == slot {
                        return Err("Vector set node linked to itself");
                    }
                    if graph.level(to) < level {
                        return Err("Vector set link to a node without this level");
                    }
                    slots.push(to);
                    ways.push((slot.min(to), slot.max(to), level, slot > to));
                }
                let worst = graph.farthest(slot, &slots);
                graph.set_links(slot, level, &slots, worst);
            }
        }
        ways.sort_unstable();
        let mutual = |pair: &[(u32, u32, u8, bool)]| match pair {
            [there, back] => {
                (there.0, there.1, there.2) == (back.0, back.1, back.2) && !there.3 && back.3
            }
            _ => false,
        };
        if !ways.chunks(2).all(mutual) {
            return Err("Vector set link without its way back");
        }
        Ok(self.set)
    }
}
