//! Memory of all clients together, and the largest of them: for `maxmemory-clients`.
//!
//! ```text
//!   bucket 0    under 32 KB    [ c7 c1 c9 c4 … ]
//!          1    under 64 KB    [ c2 ]                 a client moves when its size passes a power of two
//!          …
//!          18   4 GB and more  [ ]
//!   total       bytes of normal and pubsub clients    at or over the limit: close from the largest bucket down
//! ```
//!
//! The sizes are kept only while there is a limit. Then a client is weighed when its buffers may have changed: after
//! it sent a request, got a reply or a message, or read some of it. O(1) each.
//!
//! Invariant: a client that may be evicted is in exactly one bucket, at the place it remembers; `total` is the sum of
//! the bytes that normal and pubsub clients were last counted with.
//!
//! Mirrors: updateClientMemUsageAndBucket(), getMemUsageBucket() of server.c. evictClients() of networking.c is in
//! `act/evict.rs`.
//! Differs: buckets are vectors, and a client remembers its place; Redis has linked lists.

use super::{ClientFlags, ClientKey, ClientKind, Clients};
use crate::config::Config;

/// Clients below `1 << MIN_LOG` bytes share the first bucket.
#[doc(alias = "CLIENT_MEM_USAGE_BUCKET_MIN_LOG")]
const MIN_LOG: u32 = 15;
/// Clients from `1 << (MAX_LOG - 1)` bytes on share the last.
#[doc(alias = "CLIENT_MEM_USAGE_BUCKET_MAX_LOG")]
const MAX_LOG: u32 = 33;
const BUCKETS: usize = (MAX_LOG - MIN_LOG + 1) as usize;

/// The bytes and the bucket that a client was counted with last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counted {
    bytes: usize,
    /// Bucket, and place in it.
    place: Option<(u8, u32)>,
}

/// The sum and the buckets.
#[derive(Debug, Default)]
pub struct Usage {
    pub(super) on: bool,
    pub(super) total: usize,
    buckets: [Vec<ClientKey>; BUCKETS],
}

/// The smallest limit: below it no client could send a command.
const MIN_LIMIT: u64 = 128 * 1024;

/// Bytes that all clients together may take, if there is a limit.
#[doc(alias = "getClientEvictionLimit")]
pub fn eviction_limit(config: &Config) -> Option<u64> {
    let limit = config.maxmemory_clients.limit_bytes(config.maxmemory);
    limit.map(|limit| limit.max(MIN_LIMIT))
}

fn bucket_of(bytes: usize) -> usize {
    let log = usize::BITS - bytes.leading_zeros();
    (log.clamp(MIN_LOG, MAX_LOG) - MIN_LOG) as usize
}

impl Usage {
    /// Bytes of normal and pubsub clients; 0 while there is no limit.
    pub fn total(&self) -> usize {
        self.total
    }

    /// For each bucket: its smallest and largest size, the number of clients in it, and their bytes.
    pub fn buckets<'a>(
        &'a self,
        clients: &'a Clients,
    ) -> impl Iterator<Item = (usize, Option<usize>, usize, usize)> {
        self.buckets.iter().enumerate().map(|(i, bucket)| {
            let log = MIN_LOG + i as u32;
            let from = if i == 0 { 0 } else { 1 << (log - 1) };
            let upto = (i + 1 < BUCKETS).then(|| (1 << log) - 1);
            let bytes = bucket.iter().filter_map(|key| clients.get(*key));
            let bytes = bytes.map(|client| client.counted.bytes).sum();
            (from, upto, bucket.len(), bytes)
        })
    }
}

impl Clients {
    /// Begins to weigh clients, or ends it.
    pub fn weigh(&mut self, on: bool) {
        if on == self.usage.on {
            return;
        }
        self.usage = Usage {
            on,
            ..Usage::default()
        };
        for client in self.iter_mut() {
            client.counted = Counted::default();
        }
        for key in self.connected_keys() {
            self.weigh_client(key);
        }
    }

    /// Weighs a client again, since its buffers may have changed.
    #[doc(alias = "updateClientMemUsageAndBucket")]
    #[inline]
    pub fn changed(&mut self, key: ClientKey) {
        if self.usage.on {
            self.weigh_client(key);
        }
    }

    fn weigh_client(&mut self, key: ClientKey) {
        let Some(client) = self.get(key) else {
            return;
        };
        let leaving = client
            .flags
            .any(ClientFlags::CLOSE_ASAP | ClientFlags::FAKE);
        let counts = matches!(client.kind(), ClientKind::Normal | ClientKind::PubSub);
        let bytes = match leaving || !counts {
            true => 0,
            false => client.memory(None, client.request.big_bytes()).total,
        };
        let evictable = bytes > 0 && !client.flags.has(ClientFlags::NO_EVICT);
        let bucket = evictable.then(|| bucket_of(bytes) as u8);
        let before = client.counted;
        self.usage.total = self.usage.total - before.bytes + bytes;
        let place = match (before.place, bucket) {
            (Some((at, place)), Some(bucket)) if at == bucket => Some((at, place)),
            (before, bucket) => {
                if let Some(before) = before {
                    self.leave_bucket(before);
                }
                bucket.map(|bucket| {
                    let keys = &mut self.usage.buckets[usize::from(bucket)];
                    keys.push(key);
                    (bucket, keys.len() as u32 - 1)
                })
            }
        };
        if let Some(client) = self.get_mut(key) {
            client.counted = Counted { bytes, place };
        }
    }

    fn leave_bucket(&mut self, (bucket, place): (u8, u32)) {
        let keys = &mut self.usage.buckets[usize::from(bucket)];
        keys.swap_remove(place as usize);
        if let Some(moved) = keys.get(place as usize).copied()
            && let Some(client) = self.get_mut(moved)
        {
            client.counted.place = Some((bucket, place));
        }
    }

    /// Stops counting a client that leaves.
    pub(super) fn weigh_no_more(&mut self, key: ClientKey) {
        let Some(client) = self.get_mut(key) else {
            return;
        };
        let counted = std::mem::take(&mut client.counted);
        self.usage.total -= counted.bytes;
        if let Some(place) = counted.place {
            self.leave_bucket(place);
        }
    }

    /// One of the largest clients that may be evicted.
    pub(super) fn largest(&self) -> Option<ClientKey> {
        let mut buckets = self.usage.buckets.iter().rev();
        buckets.find_map(|bucket| bucket.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_their_buckets() {
        let buckets = [0, 1, 32767, 32768, 65535, 65536, 1 << 32, usize::MAX].map(bucket_of);
        assert_eq!(buckets, [0, 0, 0, 1, 1, 2, 18, 18]);
    }

    #[test]
    fn clients_are_weighed_as_they_grow_and_go() {
        let mut clients = Clients::new();
        let keys: Vec<_> = (0..10)
            .map(|_| clients.insert(0, ClientFlags::NONE).key)
            .collect();
        clients.weigh(true);
        let small = clients.usage.total / 10;
        for (i, key) in keys.iter().enumerate() {
            clients[*key].query.reserve_exact(100_000 * (i + 1));
            clients.changed(*key);
        }
        assert_eq!(clients.usage.total, 10 * small + 55 * 100_000);
        clients[keys[9]].flags.set(ClientFlags::NO_EVICT);
        clients.changed(keys[9]);
        assert_eq!(
            clients.usage.total,
            10 * small + 55 * 100_000,
            "it counts all the same"
        );
        let mut gone = Vec::new();
        while let Some(key) = clients.largest() {
            clients.close_asap(key);
            gone.push(keys.iter().position(|k| *k == key).unwrap());
        }
        assert_eq!(gone.len(), 9);
        assert!(
            gone.iter().take(4).all(|i| *i >= 5),
            "the large ones first: {gone:?}"
        );
        assert_eq!(clients.usage.total, small + 1_000_000);
        clients.remove(keys[9]);
        assert_eq!(clients.usage.total, 0);
    }
}
