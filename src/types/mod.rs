//! What a key can hold.
//!
//! A string is not a [`Value`]: the table's entry holds it itself (`collections/table/entry.rs`), inline while it is
//! short. Everything else is a `Value`, stored in the entry as it is, so a command gets a plain `&mut Value`.
//!
//! To add a type or an encoding: give the type an enum with one variant per encoding, each a single pointer
//! (`Blob`, `Shared<T>` or a newtype of one), name it in [`Value`] and answer its questions below. Nothing else: no
//! unsafe, no tags. What must hold is that `clone()` is cheap and shares (raise a count, copy nothing), because the
//! keyspace clones a value when a snapshot shares its entry, and that every change goes through `make_mut`.
//! An encoding that changes writes the new variant over the old: `*self = Set::Table(...)`.
//!
//! Mirrors: robj's type and encoding (server.h, object.c).

pub mod array;
pub mod bitmap;
pub mod elements;
pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod set;
pub mod stream;
pub mod string;
pub mod zset;

pub use self::array::Array;
pub use self::hash::Hash;
pub use self::list::List;
pub use self::set::Set;
pub use self::stream::Stream;
pub use self::zset::Zset;

/// A value that is not a string.
#[derive(Debug, Clone)]
pub enum Value {
    Array(Array),
    Hash(Hash),
    List(List),
    Set(Set),
    Stream(Stream),
    Zset(Zset),
}

/// With this and a key of 16 bytes an entry fits the allocator's 64-byte class.
const _: () = assert!(size_of::<Value>() <= 24);

/// The types a client can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
    Array,
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
        }
    }
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Value::Array(_) => Kind::Array,
            Value::Hash(_) => Kind::Hash,
            Value::List(_) => Kind::List,
            Value::Set(_) => Kind::Set,
            Value::Stream(_) => Kind::Stream,
            Value::Zset(_) => Kind::Zset,
        }
    }

    /// The name OBJECT ENCODING answers with.
    #[doc(alias = "strEncoding")]
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::Array(array) => array.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::List(list) => list.encoding(),
            Value::Set(set) => set.encoding(),
            Value::Stream(stream) => stream.encoding(),
            Value::Zset(zset) => zset.encoding(),
        }
    }

    /// Bytes in the allocator, the value's own few in the entry excluded. `samples` bounds how many elements are
    /// looked at (0: all).
    #[doc(alias = "objectComputeSize")]
    pub fn allocated_bytes(&self, samples: usize) -> usize {
        match self {
            Value::Array(array) => array.allocated_bytes(samples),
            Value::Hash(hash) => hash.allocated_bytes(samples),
            Value::List(list) => list.allocated_bytes(samples),
            Value::Set(set) => set.allocated_bytes(samples),
            Value::Stream(stream) => stream.allocated_bytes(samples),
            Value::Zset(zset) => zset.allocated_bytes(samples),
        }
    }

    /// How many elements it has: fields, members, entries.
    #[doc(alias = "getObjectLength")]
    pub fn count(&self) -> usize {
        match self {
            Value::Array(array) => array.len() as usize,
            Value::Hash(hash) => hash.len(),
            Value::List(list) => list.len(),
            Value::Set(set) => set.len(),
            Value::Stream(stream) => stream.len() as usize,
            Value::Zset(zset) => zset.len(),
        }
    }

    /// How many steps freeing it takes: above a handful it is worth a helper thread.
    #[doc(alias = "lazyfreeGetFreeEffort")]
    pub fn free_effort(&self) -> usize {
        match self {
            Value::Array(array) => array.free_effort(),
            Value::Hash(hash) => hash.free_effort(),
            Value::List(list) => list.free_effort(),
            Value::Set(set) => set.free_effort(),
            Value::Stream(stream) => stream.free_effort(),
            Value::Zset(zset) => zset.free_effort(),
        }
    }
}
