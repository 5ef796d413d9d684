//! Death by memory: how much is too much, and evicting until it is not.
//!
//! Asked before every command while `maxmemory` is set. What is over the limit is evicted key by key, each deletion
//! a unit of its own for the AOF and the replicas, until enough is freed or time is up
//! (`maxmemory-eviction-tenacity`); then the loop goes on with it in its next turns, between requests.
//!
//! ```text
//!   counted = in use - what eviction must not chase ─► above maxmemory? evict : go on
//!                       ├ output on its way to replicas, the AOF's buffer: an eviction makes them longer
//!                       ├ garbage the lazy-free thread has yet to drop
//!                       └ what only a snapshot still holds: it is freed when the snapshot is over
//! ```
//!
//! Invariant: each eviction makes `counted` smaller by what the key takes, whoever else holds its memory, so the
//! work ends: see `docs/decisions/eviction-under-a-snapshot.md`.
//!
//! Mirrors: `getMaxmemoryState()`, `freeMemoryGetNotCountedMemory()`, `performEvictions()` of evict.c.
//! Differs: garbage on its way to be freed counts as freed, where Redis evicts more keys until the thread is done.

use std::time::Duration;

use super::State;
use crate::background::LazyFree;
use crate::command::Targets;
use crate::keyspace::events::Event;
use crate::keyspace::evict::Chooser;
use crate::keyspace::{DbId, Entry, Removed};
use crate::resp::argv::OwnedArgv;
use crate::sys::alloc;

/// Evictions between two looks at the clock.
const BATCH: usize = 16;

/// Elements looked at to estimate what a value takes.
const SAMPLES: usize = 5;

/// How memory stands after [`State::evict_keys`].
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

/// What eviction remembers.
#[derive(Debug, Default)]
pub struct Eviction {
    chooser: Chooser,
    /// Evicting goes on in every turn of the loop.
    #[doc(alias = "isEvictionProcRunning")]
    pub running: bool,
    /// Memory was exhausted when the current request began; its scripts go by this.
    #[doc(alias = "pre_command_oom_state")]
    pub out_of_memory: bool,
    /// Since when memory has been over the limit.
    exceeded_since_ns: Option<u64>,
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

    fn note(&mut self, memory: Memory, now_ns: u64) {
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

impl State {
    /// Bytes in use that `maxmemory` does not count.
    #[doc(alias = "freeMemoryGetNotCountedMemory")]
    pub fn not_counted_for_evict(&self) -> usize {
        let aof = match self.persistence.aof.is_on() {
            true => self.persistence.aof.buffer_memory(),
            false => 0,
        };
        let held = self.keyspace.held_by_snapshots() as usize;
        let size = self.config.repl_backlog_size;
        self.replication.output_memory(&self.clients, size) + aof + held
    }

    /// Bytes over `maxmemory`; 0 when it is kept, or none is set.
    #[doc(alias = "getMaxmemoryState")]
    pub fn bytes_over_maxmemory(&self) -> usize {
        let (limit, used) = (self.config.maxmemory as usize, alloc::used());
        if limit == 0 || used <= limit {
            return 0;
        }
        let not_counted = self.not_counted_for_evict() + self.lazyfree.pending_bytes();
        used.saturating_sub(not_counted).saturating_sub(limit)
    }

    /// Whether keys may be evicted now. Not while a script runs for too long or a data set is loaded, not on a
    /// replica whose primary does it, not while clients are held back.
    #[doc(alias = "isSafeToPerformEvictions")]
    fn may_evict(&self) -> bool {
        let left_to_primary =
            self.config.replicaof.is_some() && self.config.replica_ignore_maxmemory;
        !self.scripts.is_busy() && !self.is_loading() && !left_to_primary && !self.pauses.are_on()
    }

    /// Evicts keys while memory is over its limit, and as long as it may take.
    #[doc(alias = "performEvictions")]
    pub fn evict_keys(&mut self) -> Memory {
        if !self.may_evict() {
            return Memory::Fine;
        }
        let over = self.bytes_over_maxmemory();
        if over == 0 {
            if self.eviction.exceeded_since_ns.is_some() {
                self.eviction.note(Memory::Fine, self.clock.monotonic_ns());
            }
            return Memory::Fine;
        }
        self.shrink(over)
    }

    #[cold]
    fn shrink(&mut self, over: usize) -> Memory {
        let start_ns = self.clock.monotonic_ns();
        let limit_us = time_limit_us(self.config.maxmemory_eviction_tenacity);
        // Whoever's request made it necessary did not change these keys.
        let client = self.current_client.take();
        let enough = self.evict_bytes(over, start_ns, limit_us);
        self.current_client = client;
        let memory = match enough {
            false if !self.lazily_freed_in_time(start_ns, limit_us) => Memory::Exhausted,
            _ if self.eviction.running => Memory::Shrinking,
            _ => Memory::Fine,
        };
        let now_ns = self.clock.monotonic_ns();
        self.note_latency("eviction-cycle", (now_ns - start_ns) / 1_000_000);
        self.eviction.note(memory, now_ns);
        memory
    }

    /// Evicts until so many bytes are freed or time is up; false when there was nothing left to evict.
    fn evict_bytes(&mut self, bytes: usize, start_ns: u64, limit_us: u64) -> bool {
        let (mut freed, mut evicted) = (0, 0);
        while freed < bytes {
            let (config, rng) = (&self.config, &mut self.rng);
            let (policy, samples) = (config.maxmemory_policy, config.maxmemory_samples as usize);
            let chooser = &mut self.eviction.chooser;
            let chosen = chooser.choose(&self.keyspace, policy, samples, &mut || rng.next_u64());
            let Some((db, key)) = chosen else {
                return false;
            };
            freed += self.evict(db, &key);
            self.eviction.chooser.reuse(key);
            evicted += 1;
            if evicted % BATCH == 0 {
                // Other threads free, too.
                if self.bytes_over_maxmemory() == 0 {
                    break;
                }
                if (self.clock.monotonic_ns() - start_ns) / 1000 > limit_us {
                    self.eviction.running = true;
                    break;
                }
            }
        }
        true
    }

    /// Evicts a key, and the world learns of it; returns the bytes that are or will be freed.
    #[doc(alias = "deleteEvictedKeyAndPropagate")]
    fn evict(&mut self, db: DbId, key: &[u8]) -> usize {
        let watched = self.config.latency_monitor_threshold != 0;
        let start_ns = if watched {
            self.clock.monotonic_ns()
        } else {
            0
        };
        let lazy = self.config.lazyfree_lazy_eviction;
        let before = alloc::used();
        let Some(removed) = self.keyspace[db].remove(key) else {
            return 0;
        };
        let freed = self.release(removed, lazy, before);
        if watched {
            let ms = (self.clock.monotonic_ns() - start_ns) / 1_000_000;
            self.note_latency("eviction-del", ms);
        }
        self.effects.enter();
        self.stats.evicted_keys += 1;
        self.notify(Event::EVICTED, db, key);
        self.touched(db, key);
        if self.effects.listening != crate::command::Targets::NONE {
            let word = if lazy { "UNLINK" } else { "DEL" };
            let argv = crate::resp::argv::OwnedArgv::from_words([word.as_bytes(), key]);
            self.effects
                .say(db, argv.as_argv(), crate::command::Targets::ALL);
        }
        if self.effects.leave() {
            self.after_unit();
        }
        freed
    }

    /// Drops what was taken out of its table while `before` bytes were in use; returns the bytes that brings, now
    /// or later.
    fn release(&mut self, removed: Removed, lazy: bool, before: usize) -> usize {
        if self.keyspace.env().live_snapshots() > 0 {
            return self.release_shared(removed, lazy);
        }
        if is_lazy(&removed, lazy) {
            let bytes = size_of_entry(&removed);
            self.lazyfree.free_bytes(removed, 1, bytes);
            return bytes;
        }
        drop(removed);
        before.saturating_sub(alloc::used())
    }

    /// As [`State::release`], while a snapshot may hold the same memory: what is not freed now is freed when the
    /// snapshot is over, and does not count until then.
    pub(super) fn release_shared(&mut self, removed: Removed, lazy: bool) -> usize {
        let bytes = size_of_entry(&removed);
        if is_lazy(&removed, lazy) && removed.is_unique() {
            self.lazyfree.free_bytes(removed, 1, bytes);
            return bytes;
        }
        let before = alloc::used();
        drop(removed);
        let freed = before.saturating_sub(alloc::used());
        let held = bytes.saturating_sub(freed);
        self.keyspace.env().hold_for_snapshots(held as u64);
        bytes
    }

    /// Whether the lazy-free thread brings memory within its limit while there is time.
    fn lazily_freed_in_time(&mut self, start_ns: u64, limit_us: u64) -> bool {
        if self.lazyfree.pending() == 0 {
            return false;
        }
        let wait_ns = self.clock.monotonic_ns();
        let mut enough = false;
        while self.lazyfree.pending() > 0 && !enough {
            let now_ns = self.clock.monotonic_ns();
            if (now_ns - start_ns) / 1000 >= limit_us {
                break;
            }
            std::thread::sleep(Duration::from_micros(limit_us.min(1000)));
            enough = self.bytes_over_maxmemory() == 0;
        }
        let ms = (self.clock.monotonic_ns() - wait_ns) / 1_000_000;
        self.note_latency("eviction-lazyfree", ms);
        enough
    }

    /// The turn of the loop in which eviction goes on.
    #[doc(alias = "evictionTimeProc")]
    pub fn go_on_evicting(&mut self) {
        if self.eviction.running && self.evict_keys() != Memory::Shrinking {
            self.eviction.running = false;
        }
    }

    /// Another policy judges keys by something else.
    pub fn maxmemory_policy_changed(&mut self) {
        self.tune_access_clock();
        self.eviction.chooser.forget();
    }
}

fn size_of_entry(removed: &Removed) -> usize {
    Entry::of(removed).mem_bytes(SAMPLES)
}

fn is_lazy(removed: &Removed, lazy: bool) -> bool {
    lazy && LazyFree::is_worth_it(Entry::of(removed).free_effort())
}

/// Microseconds an eviction may take: up to 0.5 ms in even steps, then 15 % more for each point; 100: no limit.
#[doc(alias = "evictionTimeLimitUs")]
fn time_limit_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => u64::from(tenacity) * 50,
        11..=99 => (500.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_is_a_time() {
        let limits = [0, 1, 10, 11, 99, 100].map(time_limit_us);
        assert_eq!(limits[..4], [0, 50, 500, 575]);
        assert!((60_000_000..200_000_000).contains(&limits[4]));
        assert_eq!(limits[5], u64::MAX);
    }
}
