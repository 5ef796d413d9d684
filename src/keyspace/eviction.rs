//! Eviction: how much memory counts as too much, and evicting keys until it no longer does.
//!
//! Memory is checked before every command while `maxmemory` is set. While it is over the limit, keys are evicted one by
//! one, each deletion a unit of its own for the AOF and the replicas, until enough is freed or time is up
//! (`maxmemory-eviction-tenacity`); then the loop goes on with it in its next turns, between requests.
//!
//! ```text
//!   counted = in use - what eviction must not chase ─► above maxmemory? evict : go on
//!                       ├ output on its way to replicas, the AOF's buffer: an eviction makes them longer
//!                       ├ messages to clients about evictions of this turn (invalidations, keyspace events)
//!                       ├ garbage the lazy-free thread has yet to drop
//!                       └ what only a snapshot still holds: it is freed when the snapshot is over
//! ```
//!
//! Invariant: each eviction makes `counted` smaller by what the key takes, whoever else holds its memory, so the
//! work ends: see `docs/decisions/eviction-under-a-snapshot.md`.
//!
//! Mirrors: `getMaxmemoryState()`, `freeMemoryGetNotCountedMemory()`, `performEvictions()` of evict.c.
//! Differs: garbage on its way to be freed counts as freed, where Redis evicts more keys until the thread is done.
//! Messages to clients about evictions do not count before they could be sent; in Redis a second command in the same
//! turn evicts more keys for them, and sends more.

use crate::keyspace::evict::Chooser;

/// How memory stands after [`evict::evict_keys`](crate::keyspace::act::evict::evict_keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "EVICT_OK")]
pub enum Memory {
    /// Within the limit, or nothing may be evicted now.
    Fine,
    /// Over the limit; more is evicted in the next turns of the loop.
    Shrinking,
    /// Over the limit, and there is nothing to evict.
    Exhausted,
}

/// The state of eviction between calls.
#[derive(Debug, Default)]
pub struct Eviction {
    pub(super) chooser: Chooser,
    /// Evicting goes on in every turn of the loop.
    #[doc(alias = "isEvictionProcRunning")]
    pub running: bool,
    /// Bytes of the messages that evictions sent to clients (invalidations, keyspace events) since output was last written
    /// to sockets.
    pub told_bytes: usize,
    /// Memory was exhausted when the current request began; its scripts go by this.
    #[doc(alias = "pre_command_oom_state")]
    pub out_of_memory: bool,
    /// Since when memory has been over the limit.
    pub(super) exceeded_since_ns: Option<u64>,
    /// Nanoseconds memory was over the limit before that.
    exceeded_ns: u64,
}

impl Eviction {
    /// Milliseconds that memory was over the limit: in all, and now without a break.
    pub fn exceeded_ms(&self, now_ns: u64) -> (u64, u64) {
        let current = self
            .exceeded_since_ns
            .map_or(0, |since| now_ns.saturating_sub(since));
        (
            (self.exceeded_ns + current) / 1_000_000,
            current / 1_000_000,
        )
    }

    /// CONFIG RESETSTAT.
    pub fn reset_figures(&mut self) {
        self.exceeded_ns = 0;
        self.exceeded_since_ns = None;
    }

    pub(super) fn note(&mut self, memory: Memory, now_ns: u64) {
        match memory {
            Memory::Fine => {
                if let Some(since) = self.exceeded_since_ns.take() {
                    self.exceeded_ns += now_ns.saturating_sub(since);
                }
            }
            Memory::Shrinking | Memory::Exhausted => {
                self.exceeded_since_ns.get_or_insert(now_ns);
            }
        }
    }
}
