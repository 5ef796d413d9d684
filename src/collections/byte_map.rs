//! Maps from bytes to something small: channels, watched keys, scripts. The standard hash map under
//! the keyspace's hash function and a seed of the server's own, so that one seed gives one order.
//!
//! Mirrors: dict.c where a dict is no keyspace.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use super::table::hash;

/// A map from bytes; made with [`ByteMap::with_hasher`] and a [`Seed`].
pub type ByteMap<V> = HashMap<Box<[u8]>, V, Seed>;

/// The seed of a map's hash function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seed(pub u64);

impl BuildHasher for Seed {
    type Hasher = ByteHasher;

    fn build_hasher(&self) -> ByteHasher {
        ByteHasher(self.0)
    }
}

/// The state of hashing one key.
#[derive(Clone, Copy, Debug)]
pub struct ByteHasher(u64);

impl Hasher for ByteHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(self.0, bytes);
    }

    /// The length that slices put before their bytes: the bytes' hash depends on it already.
    #[inline]
    fn write_usize(&mut self, _: usize) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
