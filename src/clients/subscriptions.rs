//! The subscriptions that a client holds: channels, patterns, shard channels.
//!
//! A client holds its names; `pubsub.rs` holds, for each name, the clients.
//!
//! Mirrors: `pubsub_channels`, `pubsub_patterns` and `pubsubshard_channels` of the client in server.h.

use std::collections::BTreeSet;

use super::ClientKey;

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel by its name.
    Channel,
    /// All channels that match a glob.
    Pattern,
    /// A channel that belongs to the slot of its name.
    Shard,
}

/// The subscriptions of a client, by [`Kind`].
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Box<[u8]>>; 3],
    /// Bytes of all names.
    bytes: usize,
}

impl Subscriptions {
    /// How many of a kind.
    pub fn len(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }

    /// The number a confirmation tells: channels and patterns together, shard channels apart.
    pub(crate) fn told(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.len(Kind::Shard),
            _ => self.len(Kind::Channel) + self.len(Kind::Pattern),
        }
    }

    /// The names of a kind, in order.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.names[kind as usize].iter().map(|name| &**name)
    }

    /// Bytes held, the two entries per name counted. O(1).
    #[doc(alias = "pubsubMemOverhead")]
    pub fn memory(&self) -> usize {
        let names: usize = self.names.iter().map(BTreeSet::len).sum();
        2 * self.bytes + names * (2 * size_of::<Box<[u8]>>() + size_of::<ClientKey>())
    }

    pub(crate) fn insert(&mut self, kind: Kind, name: &[u8]) -> bool {
        let new = self.names[kind as usize].insert(name.into());
        self.bytes += if new { name.len() } else { 0 };
        new
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &[u8]) -> bool {
        let was = self.names[kind as usize].remove(name);
        self.bytes -= if was { name.len() } else { 0 };
        was
    }
}
