//! Vector sets built from the nodes of a file.
//!
//! A file lists nodes with the numbers of their neighbours, which may be nodes that follow. So nodes are taken as they
//! come, and linked at the end. The file is not trusted: a link that would break an invariant of the graph is an error,
//! and no more memory is taken than a small multiple of what was read.
//!
//! That links are mutual is seen in a sum: each adds a hash of its two nodes in one direction, and takes it away in the
//! other. The hash is that of the names, whose key no file can know.
//!
//! Mirrors: `hnsw_insert_serialized` and `hnsw_deserialize_index` of hnsw.c. Differs: the farthest neighbour that a file
//! names is believed only if it is as far as the file says; else all are measured.

use std::collections::HashMap;

use super::graph::{MAX_LEVEL, NONE};
use super::{Inner, Projection, Quant, Shape, Stored, Vset};
use crate::collections::table::{Handle, NoObject};

/// Capacity of a record that a file of any version can name.
const MAX_CAPACITY: u64 = 4 * 4096;

/// A set in the making.
#[derive(Debug)]
pub struct Builder {
    set: Vset,
    /// Numbers of nodes, by slot.
    ids: Vec<u64>,
    /// Their highest levels.
    tops: Vec<u8>,
    /// Their names, to be put in order.
    names: Vec<Handle<NoObject>>,
    /// Numbers of neighbours, node by node, each level from 0 on.
    links: Vec<u64>,
    /// Each level of each node, as the file tells it.
    levels: Vec<Level>,
}

/// A level of a node.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The number of links.
    links: u32,
    farthest: Farthest,
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
            ids: vec![],
            tops: vec![],
            names: vec![],
            links: vec![],
            levels: vec![],
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
        let level = (told.levels.len() - 1) as u8;
        let slot = inner.graph.enter(&stored.to_row(), level, told.id);
        self.ids.push(told.id);
        self.tops.push(level);
        self.names.push(inner.give_name(slot, hash, told.name));
        if !told.attribute.is_empty() {
            inner.set_attribute(slot, Some(told.attribute));
        }
        for told in told.levels {
            self.links.extend(&told.links);
            self.levels.push(Level {
                links: told.links.len() as u32,
                farthest: told.farthest.unwrap_or(Farthest {
                    place: u32::MAX,
                    distance: 0.0,
                }),
            });
        }
        Ok(())
    }

    /// Links the nodes. O(links · log M + nodes · log nodes).
    pub fn finish(mut self) -> Result<Vset, &'static str> {
        let known = Slots::new(&self.ids)?;
        let Inner {
            graph,
            names,
            order,
            ..
        } = self.set.inner.make_mut();
        let (mut levels, mut ids) = (self.levels.iter(), self.links.iter());
        let mut sums = [0u64; MAX_LEVEL as usize + 1];
        let (mut slots, mut sorted) = (vec![], vec![]);
        for (slot, &top) in (0u32..).zip(&self.tops) {
            for level in 0..=top {
                let Some(told) = levels.next() else {
                    return Err("Vector set node level out of range");
                };
                let sum = &mut sums[usize::from(level)];
                slots.clear();
                for id in ids.by_ref().take(told.links as usize) {
                    let Some(to) = known.get(*id) else {
                        return Err("Vector set link to a node that is missing");
                    };
                    if to == slot {
                        return Err("Vector set node linked to itself");
                    }
                    if level > 0 && self.tops[to as usize] < level {
                        return Err("Vector set link to a node without this level");
                    }
                    let pair = u64::from(slot.min(to)) << 32 | u64::from(slot.max(to));
                    let hash = names.hash(&pair.to_le_bytes());
                    *sum = match slot < to {
                        true => sum.wrapping_add(hash),
                        false => sum.wrapping_sub(hash),
                    };
                    slots.push(to);
                }
                sorted.clone_from(&slots);
                sorted.sort_unstable();
                if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err("Vector set link that comes twice");
                }
                let Farthest { place, distance } = told.farthest;
                let named = slots.get(place as usize);
                let worst = match named.is_some_and(|to| graph.distance(slot, *to) == distance) {
                    true => (place as usize, distance),
                    false => graph.farthest(slot, &slots),
                };
                graph.set_links(slot, level, &slots, worst);
            }
        }
        if sums.iter().any(|sum| *sum != 0) {
            return Err("Vector set link without its way back");
        }
        self.names.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        for name in self.names {
            order.push_back(name);
        }
        Ok(self.set)
    }
}

/// The slot of each node's number.
enum Slots {
    /// By the number, if few numbers are left out.
    Dense(Vec<u32>),
    Sparse(HashMap<u64, u32>),
}

impl Slots {
    /// Numbers of the nodes in the order of their slots. An error if one comes twice.
    fn new(ids: &[u64]) -> Result<Slots, &'static str> {
        const TWICE: &str = "Vector set node number used twice";
        let last = ids.iter().max().map_or(0, |last| *last as usize);
        if last > 4 * ids.len() + 1024 {
            let mut known = HashMap::with_capacity(ids.len());
            for (slot, id) in ids.iter().enumerate() {
                if known.insert(*id, slot as u32).is_some() {
                    return Err(TWICE);
                }
            }
            return Ok(Slots::Sparse(known));
        }
        let mut known = vec![NONE; last + 1];
        for (slot, id) in ids.iter().enumerate() {
            if std::mem::replace(&mut known[*id as usize], slot as u32) != NONE {
                return Err(TWICE);
            }
        }
        Ok(Slots::Dense(known))
    }

    #[inline]
    fn get(&self, id: u64) -> Option<u32> {
        match self {
            Slots::Dense(known) => {
                let slot = *known.get(usize::try_from(id).ok()?)?;
                (slot != NONE).then_some(slot)
            }
            Slots::Sparse(known) => known.get(&id).copied(),
        }
    }
}
