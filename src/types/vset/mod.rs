//! Vector sets: members with a vector each, found by likeness.
//!
//! ```text
//!   Vset -> graph       slot -> vector, links, name, attribute        nearest members        (graph.rs)
//!           names       name -> slot                                  membership
//!           order       names by their bytes                          VRANGE, VRANDMEMBER
//!           projection  from the dimension of the input to another, if REDUCE was asked for
//! ```
//!
//! `clone()` raises a count; what is written afterwards copies the nodes on the way, once. So a search may run on another
//! thread over a clone while the set changes, and it sees the set as it was.
//!
//! Invariant: graph, names and order hold the same members. A set without members is not kept by its key.
//!
//! | file | |
//! |---|---|
//! | [`quant`] | vectors as bytes, and their distances |
//! | [`graph`] | nodes and links in memory |
//! | [`search`] | the walk to the nearest |
//! | `link` | insertion and deletion |
//! | [`filter`] | the language of FILTER |
//! | [`build`] | sets built from the nodes of a file, which are not trusted |
//!
//! Mirrors: modules/vector-sets of Redis: `struct vsetObject` of vset.c, hnsw.c, expr.c. Differs: snapshots instead of
//! locks between searches and writes; names in a table and a tree instead of a radix tree, so a random member is any
//! with equal likelihood.

pub mod build;
pub mod filter;
pub mod graph;
mod link;
mod project;
pub mod quant;
pub mod search;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::filter::Filter;
pub use self::graph::Shape;
pub use self::project::Projection;
pub use self::quant::{Quant, Stored};
pub use self::search::Near;

use self::graph::Graph;
use self::quant::encode;
use self::search::Limits;
use super::value::tag;
use crate::collections::btree::{LexBound, LexTree};
use crate::collections::shared::{Blob, Shared};
use crate::collections::table::{Handle, NewValue, NoObject, StrRef, Table};
use crate::util::rng::splitmix64;

/// Components of a vector at most.
pub const MAX_DIM: usize = 1 << 16;
/// Components before times components after a projection at most: a file holds a number for each.
pub const MAX_PRODUCTS: i64 = 1 << 26;
/// Links per node that may be asked for.
pub const M_RANGE: std::ops::RangeInclusive<u16> = 4..=4096;
/// Links per node unless asked otherwise.
#[doc(alias = "HNSW_DEFAULT_M")]
pub const DEFAULT_M: u16 = 16;
/// Candidates when adding, unless asked otherwise.
#[doc(alias = "VSET_DEFAULT_C_EF")]
pub const DEFAULT_ADD_EF: usize = 200;

/// A vector set.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Vset {
    tag: Tag,
    inner: Shared<Inner>,
}

/// The tag that tells a vector set from other values.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Tag {
    Vset = tag::VSET,
}

#[derive(Debug, Clone)]
struct Inner {
    graph: Graph,
    /// Dropped before the table, so that an entry of the table with one owner may be written.
    order: LexTree<Handle<NoObject>>,
    names: Table<NoObject>,
    projection: Option<Projection>,
    /// Members that have an attribute.
    attributes: u64,
    /// State of the generator of levels.
    rng: u64,
    /// Tells this set from others of this server.
    uid: u64,
}

/// The terms of a search.
#[derive(Debug, Clone)]
pub struct Query {
    row: Vec<u8>,
    /// Members to find at most.
    pub count: usize,
    /// Candidates to keep on the way.
    pub ef: usize,
    /// Condition on the attributes of a member (VSIM … FILTER).
    pub filter: Option<Filter>,
    /// Members to ask the filter about at most.
    pub filter_ef: u64,
    /// Compare with all members instead of following links.
    pub exact: bool,
}

/// The neighbours that a member to come may get, found in a clone of its set.
#[derive(Debug)]
pub struct Prepared {
    uid: u64,
    departures: u64,
    row: Vec<u8>,
    level: u8,
    candidates: Vec<Vec<Near>>,
}

impl Query {
    /// The ten nearest to a vector, which is taken as [`Vset::query`] made it.
    pub fn new(row: Vec<u8>) -> Query {
        Query {
            row,
            count: 10,
            ef: 100,
            filter: None,
            filter_ef: 1000,
            exact: false,
        }
    }
}

impl Vset {
    /// A set without members. The seed decides on the levels of members to come.
    #[doc(alias = "createVectorSetObject")]
    pub fn new(shape: Shape, projection: Option<Projection>, seed: u64) -> Vset {
        let mut state = seed;
        let (rng, uid) = (splitmix64(&mut state), splitmix64(&mut state));
        Vset {
            tag: Tag::Vset,
            inner: Shared::new(Inner {
                graph: Graph::new(shape),
                order: LexTree::new(),
                names: Table::new(seed),
                projection,
                attributes: 0,
                rng,
                uid: uid >> 16,
            }),
        }
    }

    // ---- Figures

    /// Number of members.
    pub fn len(&self) -> usize {
        self.inner.graph.len()
    }

    /// No members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Quantisation, dimension and M.
    pub fn shape(&self) -> Shape {
        self.inner.graph.shape
    }

    /// How vectors of another dimension become vectors of this set.
    pub fn projection(&self) -> Option<&Projection> {
        self.inner.projection.as_ref()
    }

    /// Members that have an attribute.
    pub fn attributes(&self) -> u64 {
        self.inner.attributes
    }

    /// The highest level of the graph.
    pub fn max_level(&self) -> u8 {
        self.inner.graph.max_level()
    }

    /// The number of the newest node.
    pub fn last_id(&self) -> u64 {
        self.inner.graph.last_id
    }

    /// A number that tells this set from others of this server.
    pub fn uid(&self) -> u64 {
        self.inner.uid
    }

    /// The name OBJECT ENCODING answers with.
    pub fn encoding(&self) -> &'static str {
        "raw"
    }

    /// Bytes in the allocator; `samples` names and attributes are looked at (0: all).
    #[doc(alias = "VectorSetMemUsage")]
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        let Inner {
            graph,
            order,
            names,
            ..
        } = &*self.inner;
        let looked_at = if samples == 0 { usize::MAX } else { samples };
        let (mut seen, mut bytes) = (0, 0);
        for slot in graph.live().take(looked_at) {
            let head = graph.head(slot);
            seen += 1;
            bytes += head.name.as_ref().map_or(0, Handle::entry_bytes);
            bytes += graph.attribute(slot).map_or(0, Blob::allocated_bytes);
        }
        let texts = (bytes * self.len()).checked_div(seen).unwrap_or(0);
        let projection = self.projection().map_or(0, Projection::allocated_bytes);
        let nodes = graph.allocated_bytes() + order.allocated_bytes() + names.node_bytes();
        Shared::<Inner>::node_bytes() + nodes + texts + projection
    }

    /// How many steps freeing it takes.
    pub fn free_effort(&self) -> usize {
        self.len() + self.inner.graph.memory_nodes()
    }

    // ---- Members

    fn slot(&self, name: &[u8]) -> Option<u32> {
        let entry = self.inner.names.find(name)?;
        match entry.value().as_string() {
            Some(StrRef::Int(slot)) => Some(slot as u32),
            _ => unreachable!("names lead to slots"),
        }
    }

    /// Whether there is such a member.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.inner.names.find(name).is_some()
    }

    /// The name of a node.
    pub fn name(&self, slot: u32) -> &[u8] {
        let name = &self.inner.graph.head(slot).name;
        name.as_ref().map_or(&[], Handle::key)
    }

    /// The attribute of a node.
    pub fn attribute_of(&self, slot: u32) -> Option<&[u8]> {
        self.inner.graph.attribute(slot).map(Blob::as_slice)
    }

    /// The attribute of a member, or none; `None` without such a member.
    pub fn attribute(&self, name: &[u8]) -> Option<Option<&[u8]>> {
        Some(self.attribute_of(self.slot(name)?))
    }

    /// The vector of a member as it is stored.
    pub fn stored(&self, name: &[u8]) -> Option<Stored<'_>> {
        Some(self.inner.graph.stored(self.slot(name)?))
    }

    /// Adds a member, or gives it another vector; whether it is new. The vector has the set's dimension, and only finite
    /// numbers. An attribute, if given, replaces the one there is; an empty one takes it away.
    ///
    /// O(ef · M · d) distances, and twice that with deletion if the member existed.
    #[doc(alias = "vectorSetInsert")]
    pub fn add(
        &mut self,
        name: &[u8],
        vector: Vec<f32>,
        ef: usize,
        attribute: Option<&[u8]>,
    ) -> bool {
        let existing = self.slot(name);
        let inner = self.inner.make_mut();
        let row = encode(inner.graph.shape.quant, vector);
        let level = Graph::draw_level(&mut inner.rng);
        match existing {
            Some(slot) => {
                inner.graph.update(slot, &row, level, ef);
                if let Some(attribute) = attribute {
                    let attribute = Some(attribute).filter(|text| !text.is_empty());
                    inner.set_attribute(slot, attribute);
                }
                false
            }
            None => {
                let slot = inner.graph.insert(&row, level, ef);
                inner.join(slot, name, attribute);
                true
            }
        }
    }

    /// Looks for the neighbours of a member to come, which may take long. A set flag ends it early, with a result that is
    /// of no use. The seed decides on the level.
    pub fn prepare(
        &self,
        vector: Vec<f32>,
        ef: usize,
        seed: u64,
        cancelled: &AtomicBool,
    ) -> Prepared {
        let graph = &self.inner.graph;
        let row = encode(graph.shape.quant, vector);
        let mut rng = seed;
        let level = Graph::draw_level(&mut rng);
        let limits = Limits {
            filtered: None,
            cancelled: Some(cancelled),
        };
        Prepared {
            uid: self.uid(),
            departures: graph.departures,
            candidates: graph.candidates(&row, level, ef, limits),
            row,
            level,
        }
    }

    /// As [`Vset::add`], with neighbours that were looked for before. They are looked for again if members have left
    /// since, or if the set is another, whose rows may have another length.
    pub fn add_prepared(
        &mut self,
        name: &[u8],
        vector: Vec<f32>,
        prepared: &Prepared,
        ef: usize,
        attribute: Option<&[u8]>,
    ) -> bool {
        let same = prepared.uid == self.uid() && prepared.departures == self.inner.graph.departures;
        if !same || self.contains(name) {
            return self.add(name, vector, ef, attribute);
        }
        let inner = self.inner.make_mut();
        let Prepared { row, level, .. } = prepared;
        let slot = inner.graph.insert_beside(row, *level, &prepared.candidates);
        inner.join(slot, name, attribute);
        true
    }
}

impl Inner {
    /// Gives a new node its name and attribute.
    fn join(&mut self, slot: u32, name: &[u8], attribute: Option<&[u8]>) {
        self.enter(slot, name);
        // A file cannot tell an empty attribute from none.
        if let Some(attribute) = attribute.filter(|text| !text.is_empty()) {
            self.set_attribute(slot, Some(attribute));
        }
    }
}

impl Vset {
    /// Removes a member; whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(slot) = self.slot(name) else {
            return false;
        };
        let inner = self.inner.make_mut();
        inner.set_attribute(slot, None);
        inner.graph.delete(slot);
        inner.order.remove(name);
        inner.names.delete(name);
        true
    }

    /// Gives a member an attribute, or takes it away; whether there is such a member.
    pub fn set_attribute(&mut self, name: &[u8], attribute: Option<&[u8]>) -> bool {
        let Some(slot) = self.slot(name) else {
            return false;
        };
        self.inner.make_mut().set_attribute(slot, attribute);
        true
    }

    /// The ranks, in the order of their bytes, of the members between two bounds. O(log n).
    pub fn lex_range(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<u64> {
        self.inner.order.range_of(min, max)
    }

    /// The names at these ranks. O(log n + names).
    pub fn names(&self, ranks: Range<u64>) -> impl Iterator<Item = &[u8]> + '_ {
        self.inner.order.range(ranks).map(Handle::key)
    }

    /// The name at a rank. O(log n).
    pub fn nth(&self, rank: u64) -> Option<&[u8]> {
        self.inner.order.get(rank).map(Handle::key)
    }

    /// The neighbours of a member and their distances, level by level, highest first.
    pub fn links(&self, name: &[u8]) -> Option<Vec<Vec<Near>>> {
        let (graph, slot) = (&self.inner.graph, self.slot(name)?);
        let measure = graph.measure(graph.row(slot));
        let levels = (0..=graph.level(slot)).rev();
        let near = |slot: &u32| Near {
            distance: measure.to(graph.row(*slot)),
            slot: *slot,
        };
        Some(
            levels
                .map(|level| graph.links(slot, level).iter().map(near).collect())
                .collect(),
        )
    }

    // ---- Search

    /// A vector of the set's dimension, ready to be searched for.
    pub fn query(&self, vector: Vec<f32>) -> Query {
        Query::new(encode(self.shape().quant, vector))
    }

    /// The vector of a member, ready to be searched for. It goes the way of any vector, so that scores are the same.
    pub fn query_of(&self, name: &[u8]) -> Option<Query> {
        let shape = self.shape();
        let stored = self.stored(name)?;
        Some(self.query(stored.components(shape.quant, shape.dim as usize)))
    }

    /// The nearest members, nearest first. A set flag ends it early, with anything or nothing.
    #[doc(alias = "VSIM_execute")]
    pub fn search(&self, query: &Query, cancelled: Option<&AtomicBool>) -> Vec<Near> {
        self.find(query, cancelled, &mut |_| true)
    }

    /// As [`Vset::search`]; none if the filter would have to look at more than so many bytes.
    pub fn search_within(&self, query: &Query, mut bytes: u64) -> Option<Vec<Near>> {
        let exhausted = AtomicBool::new(false);
        let found = self.find(query, Some(&exhausted), &mut |effort| {
            match bytes.checked_sub(effort) {
                Some(left) => bytes = left,
                None => exhausted.store(true, Ordering::Relaxed),
            }
            !exhausted.load(Ordering::Relaxed)
        });
        (!exhausted.into_inner()).then_some(found)
    }

    /// `affords` is told what each use of the filter costs, and says whether it may be used.
    fn find(
        &self,
        query: &Query,
        cancelled: Option<&AtomicBool>,
        affords: &mut dyn FnMut(u64) -> bool,
    ) -> Vec<Near> {
        let graph = &self.inner.graph;
        let measure = graph.measure(&query.row);
        let limits = Limits {
            filtered: query.filter.as_ref().map(|_| query.filter_ef),
            cancelled,
        };
        let mut accept = query.filter.as_ref().map(|filter| {
            |slot: u32| {
                // One use may take as long as the whole walk without a filter, so it is asked before each.
                self.attribute_of(slot).is_some_and(|attribute| {
                    !limits.is_cancelled()
                        && affords(filter.effort(attribute.len()))
                        && filter.matches(attribute)
                })
            }
        });
        let accept = accept
            .as_mut()
            .map(|accept| accept as &mut dyn FnMut(u32) -> bool);
        if query.exact {
            return graph.scan(&measure, query.count, limits, accept);
        }
        let ef = query.ef.max(query.count).min(self.len());
        let mut found = graph.search(&measure, ef, limits, accept);
        found.truncate(query.count);
        found
    }

    /// About how long it takes to find the neighbours of a new member among so many candidates, in nanoseconds.
    pub fn insert_cost_ns(&self, ef: usize) -> u64 {
        let mut query = Query::new(Vec::new());
        (query.ef, query.count) = (ef, 1);
        self.cost_ns(&query)
    }

    /// About how long a search takes, in nanoseconds: distances to compute, times what one costs in a set of this size.
    pub fn cost_ns(&self, query: &Query) -> u64 {
        /// Sets up to so many bytes of vectors are mostly in the cache.
        const CACHED: u64 = 16 << 20;
        let (shape, len) = (self.shape(), self.len() as u64);
        let bytes = shape.quant.bytes(shape.dim as usize) as u64;
        let miss = if len * bytes > CACHED { 150 } else { 0 };
        let distances = match query.exact {
            true => len,
            false => {
                let ef = query.ef.max(query.count) as u64;
                let walked = match &query.filter {
                    Some(_) => ef.max(query.filter_ef),
                    None => ef,
                };
                walked.saturating_mul(u64::from(shape.m) + 4).min(len)
            }
        };
        let filter = if query.filter.is_some() { 200 } else { 0 };
        distances.saturating_mul(20 + bytes / 24 + miss + filter)
    }

    // ---- Files

    /// Every node, for a writer.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> + '_ {
        self.inner.graph.live().map(|slot| Node { set: self, slot })
    }

    /// The numbers of nodes by slot, side by side: a writer asks for those of all neighbours. O(nodes).
    pub fn ids(&self) -> Vec<u64> {
        let graph = &self.inner.graph;
        (0..graph.slots()).map(|slot| graph.head(slot).id).collect()
    }
}

impl Inner {
    /// Gives a node its name, in its place among the others.
    fn enter(&mut self, slot: u32, name: &[u8]) {
        let hash = self.names.hash(name);
        let handle = self.give_name(slot, hash, name);
        self.order.insert(handle);
    }

    /// Gives a node its name, which is new and has this hash.
    fn give_name(&mut self, slot: u32, hash: u64, name: &[u8]) -> Handle<NoObject> {
        let handle = self.names.add(hash, name, NewValue::Int(slot.into()));
        self.graph.head_mut(slot).name = Some(handle.clone());
        handle
    }

    /// The one place where attributes are counted.
    fn set_attribute(&mut self, slot: u32, attribute: Option<&[u8]>) {
        let new = attribute.map(Blob::from_slice);
        let old = self.graph.set_attribute(slot, new);
        self.attributes += u64::from(attribute.is_some());
        self.attributes -= u64::from(old.is_some());
    }
}

/// A node, to be written to a file.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    set: &'a Vset,
    slot: u32,
}

impl<'a> Node<'a> {
    /// The node's number in the graph.
    pub fn id(&self) -> u64 {
        self.set.inner.graph.head(self.slot).id
    }

    /// Its highest level.
    pub fn level(&self) -> u8 {
        self.set.inner.graph.level(self.slot)
    }

    /// The member's name.
    pub fn name(&self) -> &'a [u8] {
        self.set.name(self.slot)
    }

    /// The member's attribute.
    pub fn attribute(&self) -> Option<&'a [u8]> {
        self.set.attribute_of(self.slot)
    }

    /// The member's vector.
    pub fn stored(&self) -> Stored<'a> {
        self.set.inner.graph.stored(self.slot)
    }

    /// The slots of its neighbours on a level that it has.
    pub fn links(&self, level: u8) -> &'a [u32] {
        self.set.inner.graph.links(self.slot, level)
    }

    /// The number of neighbours for which a file declares room.
    pub fn capacity(&self, level: u8) -> usize {
        let graph = &self.set.inner.graph;
        let capacity = graph.shape.capacity(level);
        capacity.max(graph.degree(self.slot, level))
    }

    /// Place and distance of the farthest neighbour on a level; zeros without neighbours.
    pub fn worst(&self, level: u8) -> (usize, f32) {
        let graph = &self.set.inner.graph;
        match graph.worst(self.slot, level) {
            Some((_, distance)) => (graph.worst_place(self.slot, level), distance),
            None => (0, 0.0),
        }
    }
}
