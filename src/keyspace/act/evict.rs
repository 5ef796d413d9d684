//! Eviction carried out: keys are deleted until memory is below `maxmemory` or time is up.
//!
//! Which key goes is chosen by [`crate::keyspace::evict`]; each deletion is a unit of its own for the append-only file
//! and the replicas. The memory between turns is in [`crate::keyspace::eviction`], which explains the accounts.
//!
//! Mirrors: performEvictions() of evict.c.

use super::{keys, notify};
use crate::background::LazyFree;
use crate::keyspace::events::Event;
use crate::keyspace::eviction::Memory;
use crate::keyspace::{DbId, Entry, Removed};
use crate::state::State;
use crate::sys::alloc;
use crate::{command, observe};

/// Evictions between two looks at the clock.
const BATCH: usize = 16;

/// Elements looked at to estimate what a value takes.
const SAMPLES: usize = 5;

/// Bytes in use that `maxmemory` does not count.
#[doc(alias = "freeMemoryGetNotCountedMemory")]
pub fn not_counted_for_evict(state: &State) -> usize {
    let aof = match state.persistence.aof.is_on() {
        true => state.persistence.aof.buffer_memory(),
        false => 0,
    };
    let held = state.keyspace.held_by_snapshots() as usize;
    let size = state.config.repl_backlog_size;
    let output = state.replication.output_memory(&state.clients, size) + state.eviction.told_bytes;
    output + aof + held
}

/// Bytes over `maxmemory`; 0 when it is kept, or none is set.
#[doc(alias = "getMaxmemoryState")]
pub fn bytes_over_maxmemory(state: &State) -> usize {
    let (limit, used) = (state.config.maxmemory as usize, alloc::used());
    if limit == 0 || used <= limit {
        return 0;
    }
    let not_counted = not_counted_for_evict(state) + state.lazyfree.pending_bytes();
    used.saturating_sub(not_counted).saturating_sub(limit)
}

/// Whether keys may be evicted now. Not while a script runs for too long or a data set is loaded, not on a
/// replica whose primary does it, not while clients are held back.
#[doc(alias = "isSafeToPerformEvictions")]
fn may_evict(state: &State) -> bool {
    let left_to_primary = state.config.replicaof.is_some() && state.config.replica_ignore_maxmemory;
    !state.scripts.is_busy()
        && !state.persistence.is_loading()
        && !left_to_primary
        && !state.pauses.are_on()
}

/// Evicts keys while memory is over its limit, and as long as it may take.
#[doc(alias = "performEvictions")]
pub fn evict_keys(state: &mut State) -> Memory {
    if !may_evict(state) {
        return crate::keyspace::eviction::Memory::Fine;
    }
    let over = bytes_over_maxmemory(state);
    if over == 0 {
        if state.eviction.exceeded_since_ns.is_some() {
            state.eviction.note(
                crate::keyspace::eviction::Memory::Fine,
                state.clock.monotonic_ns(),
            );
        }
        return crate::keyspace::eviction::Memory::Fine;
    }
    shrink(state, over)
}

#[cold]
fn shrink(state: &mut State, over: usize) -> Memory {
    let start_ns = state.clock.monotonic_ns();
    let limit_us = time_limit_us(state.config.maxmemory_eviction_tenacity);
    // Invalidations of evicted keys go to every tracking client, even to the one whose request made the eviction
    // necessary.
    let client = state.current_client.take();
    let enough = evict_bytes(state, over, start_ns, limit_us);
    state.current_client = client;
    let memory = match enough {
        false if !lazily_freed_in_time(state, start_ns, limit_us) => {
            crate::keyspace::eviction::Memory::Exhausted
        }
        _ if state.eviction.running => crate::keyspace::eviction::Memory::Shrinking,
        _ => crate::keyspace::eviction::Memory::Fine,
    };
    let now_ns = state.clock.monotonic_ns();
    observe::act::calls::note_latency(state, "eviction-cycle", (now_ns - start_ns) / 1_000_000);
    state.eviction.note(memory, now_ns);
    memory
}

/// Evicts until so many bytes are freed or time is up; false when there was nothing left to evict.
fn evict_bytes(state: &mut State, bytes: usize, start_ns: u64, limit_us: u64) -> bool {
    let (mut freed, mut evicted) = (0, 0);
    while freed < bytes {
        let (config, rng) = (&state.config, &mut state.rng);
        let (policy, samples) = (config.maxmemory_policy, config.maxmemory_samples as usize);
        let chooser = &mut state.eviction.chooser;
        let chosen = chooser.choose(&state.keyspace, policy, samples, &mut || rng.next_u64());
        let Some((db, key)) = chosen else {
            return false;
        };
        freed += evict(state, db, &key);
        state.eviction.chooser.reuse(key);
        evicted += 1;
        if evicted % BATCH == 0 {
            // Other threads free memory, too, so the limit is checked again.
            if bytes_over_maxmemory(state) == 0 {
                break;
            }
            if (state.clock.monotonic_ns() - start_ns) / 1000 > limit_us {
                state.eviction.running = true;
                break;
            }
        }
    }
    true
}

/// Evicts a key and propagates the deletion; returns the bytes that are or will be freed.
#[doc(alias = "deleteEvictedKeyAndPropagate")]
fn evict(state: &mut State, db: DbId, key: &[u8]) -> usize {
    let watched = state.config.latency_monitor_threshold != 0;
    let start_ns = if watched {
        state.clock.monotonic_ns()
    } else {
        0
    };
    let lazy = state.config.lazyfree_lazy_eviction;
    let before = alloc::used();
    // Modules may do something about the key, which belongs to the unit of its eviction.
    state.effects.enter();
    super::keys::leaving(state, super::keys::KeyLeft::Evicted, db, key);
    let Some(removed) = state.keyspace[db].remove(key) else {
        state.effects.leave();
        return 0;
    };
    let freed = release(state, removed, lazy, before);
    if watched {
        let ms = (state.clock.monotonic_ns() - start_ns) / 1_000_000;
        observe::act::calls::note_latency(state, "eviction-del", ms);
    }
    state.stats.evicted_keys += 1;
    let before = alloc::used();
    notify::notify(state, Event::EVICTED, db, key);
    notify::touched(state, db, key);
    state.eviction.told_bytes += alloc::used().saturating_sub(before);
    let word = if lazy { "UNLINK" } else { "DEL" };
    super::expire::say_deleted(state, db, word, key);
    if state.effects.leave() {
        command::act::after_unit(state);
    }
    freed
}

/// Drops what was taken out of its table while `before` bytes were in use; returns the bytes that brings, now
/// or later.
fn release(state: &mut State, removed: Removed, lazy: bool, before: usize) -> usize {
    if state.keyspace.env().live_snapshots() > 0 {
        return release_shared(state, removed, lazy);
    }
    if is_lazy(&removed, lazy) {
        let bytes = size_of_entry(&removed);
        state.lazyfree.free_bytes(removed, 1, bytes);
        return bytes;
    }
    drop(removed);
    before.saturating_sub(alloc::used())
}

/// As [`release`], while a snapshot may hold the same memory: what is not freed now is freed when the
/// snapshot is over, and does not count until then.
pub(crate) fn release_shared(state: &mut State, removed: Removed, lazy: bool) -> usize {
    let bytes = size_of_entry(&removed);
    if is_lazy(&removed, lazy) && removed.is_unique() {
        state.lazyfree.free_bytes(removed, 1, bytes);
        return bytes;
    }
    let before = alloc::used();
    drop(removed);
    let freed = before.saturating_sub(alloc::used());
    let held = bytes.saturating_sub(freed);
    state.keyspace.env().hold_for_snapshots(held as u64);
    bytes
}

/// Whether the lazy-free thread brings memory within its limit while there is time.
fn lazily_freed_in_time(state: &mut State, start_ns: u64, limit_us: u64) -> bool {
    if state.lazyfree.pending() == 0 {
        return false;
    }
    let wait_ns = state.clock.monotonic_ns();
    let mut enough = false;
    while state.lazyfree.pending() > 0 && !enough {
        let now_ns = state.clock.monotonic_ns();
        if (now_ns - start_ns) / 1000 >= limit_us {
            break;
        }
        state.clock.sleep(limit_us.min(1000));
        enough = bytes_over_maxmemory(state) == 0;
    }
    let ms = (state.clock.monotonic_ns() - wait_ns) / 1_000_000;
    observe::act::calls::note_latency(state, "eviction-lazyfree", ms);
    enough
}

/// The turn of the loop in which eviction goes on.
#[doc(alias = "evictionTimeProc")]
pub fn go_on_evicting(state: &mut State) {
    if state.eviction.running && evict_keys(state) != crate::keyspace::eviction::Memory::Shrinking {
        state.eviction.running = false;
    }
}

/// Another policy judges keys by something else.
pub fn maxmemory_policy_changed(state: &mut State) {
    keys::tune_access_clock(state);
    state.eviction.chooser.forget();
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
