//! Which messages producers sent already: an XADD that is sent again is answered with the ID it got the first time.
//!
//! ```text
//!   Idmp    duration, size      { producer: Producer }
//!   Producer                    by_iid { iid: number }      by_number { number: (iid, ID of the entry) }
//! ```
//!
//! A producer's oldest message is forgotten when it has more than `max_size`, or when the entry's own time lies more
//! than `duration` back. A producer without messages is forgotten too.
//!
//! Invariant: the two maps of a producer hold the same messages; it has at least one.
//!
//! Mirrors: the IDMP part of t_stream.c in Redis 8.6.

use super::{Name, StreamId};
use crate::collections::btree::OrderedMap;
use crate::collections::shared::Shared;

/// Limits of the memory for producers' messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdmpLimits {
    /// For how many seconds.
    pub duration_s: u64,
    /// How many messages of a producer.
    pub max_size: u64,
}

impl Default for IdmpLimits {
    fn default() -> Self {
        IdmpLimits {
            duration_s: 100,
            max_size: 100,
        }
    }
}

/// The messages that a stream remembers, by producer.
#[derive(Debug, Clone)]
pub struct Idmp {
    limits: IdmpLimits,
    producers: OrderedMap<Name, Shared<Producer>>,
    /// Messages of all producers now.
    tracked: u64,
    /// Messages ever noted.
    pub added: u64,
    /// Messages ever found to be sent again.
    pub duplicates: u64,
}

/// The messages of one producer that are still remembered.
#[derive(Debug, Clone, Default)]
pub struct Producer {
    by_iid: OrderedMap<Name, u64>,
    by_number: OrderedMap<u64, (Name, StreamId)>,
    next: u64,
}

impl Producer {
    /// Its messages, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = (&Name, StreamId)> {
        self.by_number
            .iter()
            .map(|pair| (&pair.value.0, pair.value.1))
    }

    /// Number of its messages.
    pub fn messages_len(&self) -> u64 {
        self.by_number.len()
    }

    fn forget_first(&mut self) {
        if let Some(number) = self.by_number.first().map(|pair| pair.key)
            && let Some((iid, _)) = self.by_number.remove(&number)
        {
            self.by_iid.remove(&iid);
        }
    }
}

impl Idmp {
    /// No message yet.
    pub fn new(limits: IdmpLimits) -> Idmp {
        Idmp {
            limits,
            producers: OrderedMap::new(),
            tracked: 0,
            added: 0,
            duplicates: 0,
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> IdmpLimits {
        self.limits
    }

    /// Changes how much is remembered; other limits than before begin with nothing.
    pub fn set_limits(&mut self, limits: IdmpLimits) {
        if limits != self.limits {
            self.limits = limits;
            self.producers = OrderedMap::new();
            self.tracked = 0;
        }
    }

    /// Number of producers.
    pub fn producers_len(&self) -> u64 {
        self.producers.len()
    }

    /// The producers in the order of their names.
    pub fn producers(&self) -> impl Iterator<Item = (&Name, &Producer)> {
        self.producers.iter().map(|pair| (&pair.key, &*pair.value))
    }

    /// Number of messages remembered.
    pub fn tracked(&self) -> u64 {
        self.tracked
    }

    /// The entry a message became. O(log n).
    pub fn get(&self, pid: &[u8], iid: &[u8]) -> Option<StreamId> {
        let producer = &self.producers.find(|key| key[..].cmp(pid))?.value;
        let number = producer.by_iid.find(|key| key[..].cmp(iid))?.value;
        Some(producer.by_number.get(&number)?.1)
    }

    /// Notes what a message became; it must be new. O(log n).
    pub fn insert(&mut self, pid: &[u8], iid: &[u8], id: StreamId) {
        if self.producers.find(|key| key[..].cmp(pid)).is_none() {
            self.producers.insert(Name::new(pid), Shared::default());
        }
        let Some(producer) = self.producers.find_mut(|key| key[..].cmp(pid)) else {
            return;
        };
        let producer = producer.make_mut();
        let (iid, number) = (Name::new(iid), producer.next);
        producer.next += 1;
        if producer.by_iid.insert(iid.clone(), number).is_some() {
            return;
        }
        producer.by_number.insert(number, (iid, id));
        self.tracked += 1;
        while producer.by_number.len() > self.limits.max_size {
            producer.forget_first();
            self.tracked -= 1;
        }
    }

    /// Forgets a producer's messages whose time is over, and a producer without messages. O(forgotten · log n).
    pub fn expire(&mut self, pid: &[u8], now_ms: u64) {
        let oldest = now_ms.saturating_sub(self.limits.duration_s.saturating_mul(1000));
        let is_over = |producer: &Producer| {
            let first = producer.by_number.first();
            first.is_none_or(|pair| pair.value.1.ms < oldest)
        };
        let Some(pair) = self.producers.find(|key| key[..].cmp(pid)) else {
            return;
        };
        if !is_over(&pair.value) {
            return;
        }
        let name = pair.key.clone();
        if let Some(producer) = self.producers.get_mut(&name) {
            let producer = producer.make_mut();
            while !producer.by_number.is_empty() && is_over(producer) {
                producer.forget_first();
                self.tracked -= 1;
            }
            if producer.by_number.is_empty() {
                self.producers.remove(&name);
            }
        }
    }

    /// As [`Idmp::expire`], for all producers. O(producers).
    pub fn expire_all(&mut self, now_ms: u64) {
        let names: Vec<Name> = self.producers().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.expire(&name, now_ms);
        }
    }

    /// Bytes in the allocator.
    pub(super) fn allocated_bytes(&self) -> usize {
        let producers = self.producers().map(|(name, producer)| {
            let iids = producer.messages().map(|(iid, _)| iid.allocated_bytes());
            name.allocated_bytes()
                + size_of::<Producer>()
                + producer.by_iid.allocated_bytes()
                + producer.by_number.allocated_bytes()
                + iids.sum::<usize>()
        });
        size_of::<Idmp>() + self.producers.allocated_bytes() + producers.sum::<usize>()
    }
}
