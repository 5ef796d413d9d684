//! The values a key can hold: strings, lists, sets, hashes and the other types, with their encodings.
//!
//! A string is not a [`Value`]: the table's entry holds it itself (`collections/table/entry.rs`), inline while it is
//! short. Everything else is a `Value`, stored in the entry as it is, so a command gets a plain `&mut Value`.
//!
//! To add a type or an encoding: give the type an enum with one variant per encoding, each a single pointer
//! (`Blob`, `Shared<T>` or a newtype of one) under a tag of its own (`value.rs`), and answer a value's questions below.
//! Two rules hold for each: `clone()` is cheap and shares (raises a count, copies nothing), because the keyspace clones
//! a value when a snapshot shares its entry, and every change goes through `make_mut`. An encoding that changes writes
//! the new variant over the old: `self.0 = Body::Table(...)`.
//!
//! Mirrors: robj's type and encoding (server.h, object.c).

pub mod array;
pub mod bitmap;
pub mod elements;
pub mod foreign;
pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod meta;
pub mod set;
pub mod stream;
pub mod string;
mod value;
pub mod vset;
pub mod zset;

pub use self::array::Array;
pub use self::foreign::Foreign;
pub use self::hash::Hash;
pub use self::list::List;
pub use self::set::Set;
pub use self::stream::Stream;
pub use self::value::{Held, Typed, Value};
pub use self::vset::Vset;
pub use self::zset::Zset;

/// The types as clients know them (TYPE, SCAN … TYPE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
    Array,
    Vset,
    /// A type that foreign code brings; see [`foreign`].
    Module,
}

impl Kind {
    /// The name TYPE answers with.
    #[doc(alias = "getObjectTypeName")]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
            Kind::Array => "array",
            Kind::Vset => "vectorset",
            Kind::Module => "module",
        }
    }
}

impl Value {
    /// The name TYPE answers with: a foreign type has its own.
    #[doc(alias = "getObjectTypeName")]
    pub fn type_name(&self) -> &'static str {
        match self.typed() {
            Typed::Foreign(value) => value.get().type_name(),
            _ => self.kind().name(),
        }
    }

    pub fn kind(&self) -> Kind {
        match self.typed() {
            Typed::Array(_) => Kind::Array,
            Typed::Foreign(_) => Kind::Module,
            Typed::Hash(_) => Kind::Hash,
            Typed::List(_) => Kind::List,
            Typed::Set(_) => Kind::Set,
            Typed::Stream(_) => Kind::Stream,
            Typed::Vset(_) => Kind::Vset,
            Typed::Zset(_) => Kind::Zset,
        }
    }

    /// The name OBJECT ENCODING answers with.
    #[doc(alias = "strEncoding")]
    pub fn encoding(&self) -> &'static str {
        match self.typed() {
            Typed::Array(array) => array.encoding(),
            Typed::Foreign(_) => "raw",
            Typed::Hash(hash) => hash.encoding(),
            Typed::List(list) => list.encoding(),
            Typed::Set(set) => set.encoding(),
            Typed::Stream(stream) => stream.encoding(),
            Typed::Vset(set) => set.encoding(),
            Typed::Zset(zset) => zset.encoding(),
        }
    }

    /// Bytes in the allocator, the value's own few in the entry excluded. `samples` bounds how many elements are
    /// looked at (0: all).
    #[doc(alias = "objectComputeSize")]
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        match self.typed() {
            Typed::Array(array) => array.allocated_bytes(samples),
            Typed::Foreign(value) => value.get().memory(foreign::Place::NOWHERE, samples),
            Typed::Hash(hash) => hash.allocated_bytes(samples),
            Typed::List(list) => list.allocated_bytes(samples),
            Typed::Set(set) => set.allocated_bytes(samples),
            Typed::Stream(stream) => stream.allocated_bytes(samples),
            Typed::Vset(set) => set.allocated_bytes(samples),
            Typed::Zset(zset) => zset.allocated_bytes(samples),
        }
    }

    /// How many elements it has: fields, members, entries.
    #[doc(alias = "getObjectLength")]
    pub fn count(&self) -> usize {
        match self.typed() {
            Typed::Array(array) => array.len() as usize,
            Typed::Foreign(_) => 0,
            Typed::Hash(hash) => hash.len(),
            Typed::List(list) => list.len(),
            Typed::Set(set) => set.len(),
            Typed::Stream(stream) => stream.len() as usize,
            Typed::Vset(set) => set.len(),
            Typed::Zset(zset) => zset.len(),
        }
    }

    /// How many steps freeing it takes: above a handful it is worth a helper thread.
    #[doc(alias = "lazyfreeGetFreeEffort")]
    pub fn free_effort(&self) -> usize {
        match self.typed() {
            Typed::Array(array) => array.free_effort(),
            Typed::Foreign(value) => value.get().free_effort(foreign::Place::NOWHERE),
            Typed::Hash(hash) => hash.free_effort(),
            Typed::List(list) => list.free_effort(),
            Typed::Set(set) => set.free_effort(),
            Typed::Stream(stream) => stream.free_effort(),
            Typed::Vset(set) => set.free_effort(),
            Typed::Zset(zset) => zset.free_effort(),
        }
    }
}
