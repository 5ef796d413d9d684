//! A consumer group: who reads the stream for it, and what was delivered and not yet acknowledged.
//!
//! ```text
//!   Group   last_id, entries_read
//!           pel         { ID: when, how often, by whom }      every delivery that is pending
//!           consumers   { name: seen, active, pel { ID } }    the same, by consumer
//!           by_age      { (when, ID) }                        the same, oldest first; only once CLAIM asked for it
//! ```
//!
//! Invariants: an entry of `pel` that has an owner is in that consumer's, and in no other's; one without an owner (XNACK)
//! is in none. `by_age`, if there is one, holds each entry of `pel` under the time it has there.
//!
//! Mirrors: `streamCG`, `streamConsumer`, `streamNACK` of stream.h. Differs: the maps are copied in pieces, so that a
//! snapshot costs a write one path; a delivery is no node shared by two maps, but a value in one and a key in the other.
//! Redis 8.4 indexes every group by time; we do so for those that use it.

use std::ops::{Bound, Deref};

use super::StreamId;
use crate::collections::btree::OrderedMap;
use crate::collections::shared::Blob;

/// A counted name: copies share its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Blob);

impl Name {
    /// A name of these bytes.
    pub fn new(name: &[u8]) -> Name {
        Name(Blob::from_slice(name))
    }

    /// Bytes in the allocator.
    pub(super) fn allocated_bytes(&self) -> usize {
        self.0.allocated_bytes()
    }
}

impl Deref for Name {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self[..].cmp(&other[..])
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

/// Set in the count of deliveries of an entry without owner (XNACK); no count gets as far.
const UNOWNED: u64 = 1 << 63;
const MOST: u64 = UNOWNED - 1;

/// A delivery that was not acknowledged yet.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Unix time in milliseconds of the last delivery.
    pub delivered_ms: i64,
    /// How often it was delivered, and [`UNOWNED`].
    count: u64,
    /// The consumer it was delivered to last.
    consumer: Name,
}

impl Pending {
    /// How often it was delivered.
    pub fn deliveries(&self) -> u64 {
        self.count & !UNOWNED
    }

    /// The consumer that has it; `None` after XNACK.
    pub fn owner(&self) -> Option<&Name> {
        (self.count & UNOWNED == 0).then_some(&self.consumer)
    }
}

/// The pending entries of a group, by ID.
pub type Pel = OrderedMap<StreamId, Pending, 24>;
/// The IDs of a consumer's pending entries.
pub type OwnPel = OrderedMap<StreamId, (), 40>;

/// The same, by when they were delivered.
type ByAge = OrderedMap<(i64, StreamId), (), 37>;

/// Consumers are few, mostly.
type Consumers = OrderedMap<Name, Consumer, 8, 16>;

/// A consumer of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Unix time in milliseconds of its last attempt.
    pub seen_ms: i64,
    /// And of its last success; -1 is never.
    pub active_ms: i64,
    pel: OwnPel,
}

impl Consumer {
    /// The IDs of entries delivered to it and not yet acknowledged.
    pub fn pel(&self) -> &OwnPel {
        &self.pel
    }
}

/// A consumer group: its position in the stream, its consumers, and the entries pending for them.
#[derive(Debug, Clone)]
pub struct Group {
    /// The last entry delivered.
    pub last_id: StreamId,
    /// How many entries of the stream's life lie behind it; -1 is unknown.
    pub entries_read: i64,
    pel: Pel,
    consumers: Consumers,
    by_age: Option<ByAge>,
}

/// [`Group::entries_read`] is not known.
#[doc(alias = "SCG_INVALID_ENTRIES_READ")]
pub const UNKNOWN: i64 = -1;

impl Group {
    /// A group that begins behind an entry.
    #[doc(alias = "streamCreateCG")]
    pub fn new(last_id: StreamId, entries_read: i64) -> Group {
        Group {
            last_id,
            entries_read,
            pel: Pel::new(),
            consumers: OrderedMap::new(),
            by_age: None,
        }
    }

    /// Pending entries of all consumers (PEL).
    pub fn pel(&self) -> &Pel {
        &self.pel
    }

    /// Number of consumers.
    pub fn consumers_len(&self) -> usize {
        self.consumers.len() as usize
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = (&Name, &Consumer)> {
        self.consumers.iter().map(|pair| (&pair.key, &pair.value))
    }

    /// A consumer. O(log n).
    #[doc(alias = "streamLookupConsumer")]
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        Some(&self.consumers.find(|key| key[..].cmp(name))?.value)
    }

    /// A consumer's own copy of its name.
    pub fn consumer_name(&self, name: &[u8]) -> Option<&Name> {
        Some(&self.consumers.find(|key| key[..].cmp(name))?.key)
    }

    /// A consumer, to have its times changed.
    pub fn consumer_mut(&mut self, name: &[u8]) -> Option<&mut Consumer> {
        self.consumers.find_mut(|key| key[..].cmp(name))
    }

    /// Adds a consumer; false if there is one of that name.
    #[doc(alias = "streamCreateConsumer")]
    pub fn create_consumer(&mut self, name: &[u8], seen_ms: i64, active_ms: i64) -> bool {
        if self.consumer(name).is_some() {
            return false;
        }
        let consumer = Consumer {
            seen_ms,
            active_ms,
            pel: OwnPel::new(),
        };
        self.consumers.insert(Name::new(name), consumer);
        true
    }

    /// Removes a consumer and forgets what it had; how much that was. O(pending · log n).
    #[doc(alias = "streamDelConsumer")]
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<u64> {
        let key = self.consumer_name(name)?.clone();
        let consumer = self.consumers.remove(&key)?;
        for pair in consumer.pel.iter() {
            if let Some(pending) = self.pel.remove(&pair.key)
                && let Some(by_age) = &mut self.by_age
            {
                by_age.remove(&(pending.delivered_ms, pair.key));
            }
        }
        Some(consumer.pel.len())
    }

    /// Notes a delivery, whoever had the entry before. The consumer must exist. O(log n).
    pub fn deliver(&mut self, id: StreamId, to: &Name, delivered_ms: i64, deliveries: u64) {
        let pending = Pending {
            delivered_ms,
            count: deliveries.min(MOST),
            consumer: to.clone(),
        };
        let old = self.pel.insert(id, pending);
        if let Some(old) = &old
            && let Some(owner) = old.owner()
            && owner != to
        {
            Self::disown(&mut self.consumers, owner, id);
        }
        if old.is_none_or(|old| {
            self.age(id, Some(old.delivered_ms), None);
            old.owner() != Some(to)
        }) && let Some(consumer) = self.consumers.find_mut(|key| key.cmp(to))
        {
            consumer.pel.insert(id, ());
        }
        self.age(id, None, Some(delivered_ms));
    }

    /// Leaves an entry pending without an owner, for the first consumer that claims it. O(log n).
    #[doc(alias = "xnackCommand")]
    pub fn release(&mut self, id: StreamId, deliveries: u64) {
        let old = self.pel.get(&id).cloned();
        if let Some(owner) = old.as_ref().and_then(Pending::owner) {
            Self::disown(&mut self.consumers, owner, id);
        }
        let consumer = match &old {
            Some(old) => old.consumer.clone(),
            None => Name::new(b""),
        };
        let pending = Pending {
            delivered_ms: 0,
            count: deliveries.min(MOST) | UNOWNED,
            consumer,
        };
        self.pel.insert(id, pending);
        self.age(id, old.map(|old| old.delivered_ms), Some(0));
    }

    /// Sets when and how often an entry was delivered. O(log n).
    pub fn redeliver(&mut self, id: StreamId, delivered_ms: i64, deliveries: u64) {
        if let Some(pending) = self.pel.get_mut(&id) {
            let old = std::mem::replace(&mut pending.delivered_ms, delivered_ms);
            pending.count = deliveries.min(MOST) | pending.count & UNOWNED;
            self.age(id, Some(old), Some(delivered_ms));
        }
    }

    /// Forgets a delivery; whether there was one. O(log n).
    pub fn ack(&mut self, id: StreamId) -> bool {
        // Looked for first: a miss must not copy what a snapshot shares.
        if !self.pel.contains(&id) {
            return false;
        }
        let Some(pending) = self.pel.remove(&id) else {
            return false;
        };
        if let Some(owner) = pending.owner() {
            Self::disown(&mut self.consumers, owner, id);
        }
        self.age(id, Some(pending.delivered_ms), None);
        true
    }

    fn disown(consumers: &mut Consumers, owner: &Name, id: StreamId) {
        if let Some(consumer) = consumers.find_mut(|key| key.cmp(owner)) {
            consumer.pel.remove(&id);
        }
    }

    fn age(&mut self, id: StreamId, old: Option<i64>, new: Option<i64>) {
        let Some(by_age) = &mut self.by_age else {
            return;
        };
        if let Some(old) = old {
            by_age.remove(&(old, id));
        }
        if let Some(new) = new {
            by_age.insert((new, id), ());
        }
    }

    /// Pending entries delivered no later than a time, the longest idle first, at most `count`. The first time it is
    /// asked, O(pending); later O(log n + entries).
    pub fn oldest(&mut self, until_ms: i64, count: usize) -> Vec<StreamId> {
        let until = (until_ms, StreamId::MAX);
        let by_age = self.by_age();
        let old = by_age.index_range(Bound::Unbounded, Bound::Included(&until));
        let old = by_age.iter().take((old.end - old.start) as usize);
        old.take(count).map(|pair| pair.key.1).collect()
    }

    /// The earliest delivery after a time of what is pending. Costs as [`Group::oldest`].
    pub fn delivered_after(&mut self, ms: i64) -> Option<i64> {
        let from = (ms, StreamId::MAX);
        let by_age = self.by_age();
        let later = by_age.index_range(Bound::Excluded(&from), Bound::Unbounded);
        Some(by_age.nth(later.start)?.key.0)
    }

    fn by_age(&mut self) -> &ByAge {
        self.by_age.get_or_insert_with(|| {
            let pending = self.pel.iter();
            let mut times: Vec<_> = pending.map(|p| (p.value.delivered_ms, p.key)).collect();
            times.sort_unstable();
            let mut by_age = ByAge::new();
            for time in times {
                by_age.insert(time, ());
            }
            by_age
        })
    }

    /// Bytes in the allocator.
    pub(super) fn allocated_bytes(&self) -> usize {
        let consumers = self.consumers().map(|(name, consumer)| {
            // The last owner's name is counted once, here.
            name.allocated_bytes() + consumer.pel.allocated_bytes()
        });
        self.pel.allocated_bytes()
            + self.consumers.allocated_bytes()
            + self
                .by_age
                .as_ref()
                .map_or(0, |ages| ages.allocated_bytes())
            + consumers.sum::<usize>()
    }

    /// Panics if an invariant does not hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for pair in self.pel.iter() {
            for (name, consumer) in self.consumers() {
                let owned = pair.value.owner() == Some(name);
                assert_eq!(consumer.pel.contains(&pair.key), owned);
            }
            if let Some(by_age) = &self.by_age {
                assert!(by_age.contains(&(pair.value.delivered_ms, pair.key)));
            }
        }
        let owned = self.pel.iter().filter(|pair| pair.value.owner().is_some());
        let by_consumer = self.consumers().map(|(_, consumer)| consumer.pel.len());
        assert_eq!(owned.count() as u64, by_consumer.sum::<u64>());
        if let Some(by_age) = &self.by_age {
            assert_eq!(by_age.len(), self.pel.len());
        }
    }
}
