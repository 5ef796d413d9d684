//! The state that lookups read and count, shared by all databases: the time, the access clock, hits and misses.
//!
//! Everything here is a [`Cell`], because looking a key up changes it: a hit is counted, a key found dead is noted.
//! One thread owns the keyspace, so cells are all it takes.
//!
//! The access clock is 24 bits in every entry, as in Redis:
//!
//! ```text
//!   LRU   [ unix time in seconds, lowest 24 bits ]
//!   LRM   the same, moved by changes alone
//!   LFU   [ 16 bits: unix time in minutes ][ 8 bits: logarithmic counter ]
//! ```
//!
//! For example, at Unix time 1,700,000,000, `lfu-log-factor` 10 and `lfu-decay-time` 1:
//!
//! ```text
//!   LRU   new key    53f100                the seconds
//!   LFU   new key    5515 05               minute 0x5515, counter 5
//!         a read     5515 06               from 5 for certain, from 6 with 1/11, from 7 with 1/21, …
//!         3 minutes later, read by OBJECT FREQ: 6 - 3 = 3
//! ```
//!
//! Mirrors: `lookupKey()` (db.c) for the bookkeeping; LRU and LFU clocks of evict.c.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{DbId, Ms};
use crate::config::Config;
use crate::util::rng::splitmix64;

const CLOCK_MASK: u32 = (1 << 24) - 1;

/// The LFU counter of a new key, so that it is not the first to be evicted.
#[doc(alias = "LFU_INIT_VAL")]
pub const LFU_INIT: u8 = 5;

/// The surroundings of all databases of one keyspace.
#[derive(Debug)]
pub struct Env {
    now_ms: Cell<Ms>,
    /// The same in seconds and in minutes, as access clocks count them.
    seconds: Cell<u32>,
    minutes: Cell<u32>,
    lfu: Cell<bool>,
    lrm: Cell<bool>,
    lfu_log_factor: Cell<u32>,
    lfu_decay_minutes: Cell<u32>,
    no_touch: Cell<bool>,
    hide_only: Cell<bool>,
    see_expired: Cell<bool>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    random: Cell<u64>,
    /// Keys that a lookup found dead, to be deleted (and the deletion propagated) when the command is over.
    expired: RefCell<Vec<(DbId, Box<[u8]>)>>,
    /// Bytes of removed entries that only snapshots hold; an estimate.
    held: Cell<u64>,
    /// [`crate::collections::shared::copied_bytes`] when the first of the snapshots out was taken.
    pub(super) copied_before: Cell<u64>,
    /// Snapshots out. Zero is a hint that lets reads write access clocks; correctness does not hang on it.
    pub(super) snapshots: Arc<AtomicU32>,
    /// Keys that were looked up, while a test wants to know.
    #[cfg(test)]
    pub(crate) looked_up: RefCell<Option<std::collections::BTreeSet<Vec<u8>>>>,
}

impl Env {
    pub(super) fn new(seed: u64) -> Env {
        Env {
            now_ms: Cell::new(0),
            seconds: Cell::new(0),
            minutes: Cell::new(0),
            lfu: Cell::new(false),
            lrm: Cell::new(false),
            lfu_log_factor: Cell::new(10),
            lfu_decay_minutes: Cell::new(1),
            no_touch: Cell::new(false),
            hide_only: Cell::new(false),
            see_expired: Cell::new(false),
            hits: Cell::new(0),
            misses: Cell::new(0),
            random: Cell::new(seed),
            expired: RefCell::default(),
            held: Cell::new(0),
            copied_before: Cell::new(0),
            snapshots: Arc::default(),
            #[cfg(test)]
            looked_up: RefCell::default(),
        }
    }

    /// The time lookups go by.
    pub fn now_ms(&self) -> Ms {
        self.now_ms.get()
    }

    /// To be called once per turn of the loop; frozen while a script or a transaction runs.
    pub fn set_now(&self, now: Ms) {
        self.now_ms.set(now);
        self.seconds.set((now / 1000) as u32 & CLOCK_MASK);
        self.minutes.set((now / 60_000) as u32 & 0xFFFF);
    }

    /// Follows the options that say what the access clock of a key means.
    pub fn tune(&self, config: &Config) {
        self.set_lfu(config.maxmemory_policy.is_lfu());
        self.set_lrm(config.maxmemory_policy.is_lrm());
        self.set_lfu_tuning(config.lfu_log_factor, config.lfu_decay_time);
    }

    /// Whether the access clock counts frequency (an LFU policy) instead of telling the last time.
    pub fn set_lfu(&self, on: bool) {
        self.lfu.set(on);
    }

    pub fn is_lfu(&self) -> bool {
        self.lfu.get()
    }

    /// Whether the access clock tells the last change (an LRM policy): reading leaves it alone.
    pub fn set_lrm(&self, on: bool) {
        self.lrm.set(on);
    }

    /// `lfu-log-factor` and `lfu-decay-time` (minutes).
    pub fn set_lfu_tuning(&self, log_factor: u32, decay_minutes: u32) {
        self.lfu_log_factor.set(log_factor);
        self.lfu_decay_minutes.set(decay_minutes);
    }

    /// CLIENT NO-TOUCH: lookups leave the access clock alone.
    pub fn set_no_touch(&self, on: bool) {
        self.no_touch.set(on);
    }

    pub fn is_no_touch(&self) -> bool {
        self.no_touch.get()
    }

    pub fn is_hide_only(&self) -> bool {
        self.hide_only.get()
    }

    /// A replica hides keys that have expired and waits for its primary to delete them.
    pub fn set_hide_only(&self, on: bool) {
        self.hide_only.set(on);
    }

    /// Lookups for the replication stream and for loading see what is there, expired or not.
    pub fn set_see_expired(&self, on: bool) -> bool {
        self.see_expired.replace(on)
    }

    /// The time by which fields of hashes are over: now, or never where expired keys are seen as well.
    pub fn field_time(&self) -> Ms {
        if self.see_expired.get() {
            Ms::MIN
        } else {
            self.now_ms.get()
        }
    }

    /// Found and not found by reading lookups.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    pub fn reset_hits_and_misses(&self) {
        self.hits.set(0);
        self.misses.set(0);
    }

    /// The keys that lookups found dead since the last call. A key may come more than once, and may have been
    /// overwritten since: the deletion checks again.
    pub fn take_expired(&self) -> Vec<(DbId, Box<[u8]>)> {
        self.expired.take()
    }

    pub fn has_expired(&self) -> bool {
        !self.expired.borrow().is_empty()
    }

    /// Snapshots that have not been dropped.
    pub fn live_snapshots(&self) -> u32 {
        self.snapshots.load(Ordering::Relaxed)
    }

    /// Removed entries take so many bytes that only a snapshot holds: they are freed when it is over.
    pub fn hold_for_snapshots(&self, bytes: u64) {
        self.held.set(self.held.get().saturating_add(bytes));
    }

    /// Bytes given to [`Env::hold_for_snapshots`] since the first of the present snapshots was taken.
    pub(super) fn held(&self) -> u64 {
        self.held.get()
    }

    /// The first of the snapshots out is being taken.
    pub(super) fn hold_nothing(&self, copied: u64) {
        self.held.set(0);
        self.copied_before.set(copied);
    }

    pub(super) fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.set(counter.get() + 1);
    }

    /// Whether a lookup must not show a key with this deadline. A deadline is the last millisecond of a life.
    #[doc(alias = "keyIsExpired")]
    pub(super) fn hides(&self, deadline: Option<Ms>) -> bool {
        deadline.is_some_and(|ms| self.now_ms.get() > ms) && !self.see_expired.get()
    }

    pub(super) fn found_expired(&self, db: DbId, key: &[u8]) {
        if !self.hide_only.get() {
            self.expired.borrow_mut().push((db, key.into()));
        }
    }

    /// As [`Env::may_touch`], for a lookup that only reads.
    #[inline]
    pub(super) fn may_touch_by_reading(&self) -> bool {
        self.may_touch() && !self.lrm.get()
    }

    /// Lookups may write access clocks: CLIENT NO-TOUCH is off, and no snapshot shares the entries' memory.
    #[inline]
    pub(super) fn may_touch(&self) -> bool {
        !self.no_touch.get() && self.snapshots.load(Ordering::Relaxed) == 0
    }

    fn minutes(&self) -> u32 {
        self.minutes.get()
    }

    fn seconds(&self) -> u32 {
        self.seconds.get()
    }

    /// The clock of a key that is new.
    pub fn new_clock(&self) -> u32 {
        if self.lfu.get() {
            self.minutes() << 8 | u32::from(LFU_INIT)
        } else {
            self.seconds()
        }
    }

    /// The clock of a key that had this one and is used now.
    #[doc(alias = "updateLFU")]
    #[inline]
    pub(super) fn touched(&self, clock: u32) -> u32 {
        if !self.lfu.get() {
            return self.seconds();
        }
        let counter = self.bumped(self.frequency(clock));
        self.minutes() << 8 | u32::from(counter)
    }

    /// The LFU counter of a clock, decayed by the time since it was last touched.
    #[doc(alias = "LFUDecrAndReturn")]
    pub fn frequency(&self, clock: u32) -> u8 {
        let counter = clock as u8;
        let elapsed = self.minutes().wrapping_sub(clock >> 8) & 0xFFFF;
        let periods = elapsed
            .checked_div(self.lfu_decay_minutes.get())
            .unwrap_or(0);
        counter.saturating_sub(periods.min(255) as u8)
    }

    /// The counter, perhaps one higher: the higher it is, the less likely it grows. At factor 10 it takes 11 accesses
    /// on average from 6 to 7, 105 from 5 to 10, and 311,500 from 5 to 255.
    #[doc(alias = "LFULogIncr")]
    fn bumped(&self, counter: u8) -> u8 {
        if counter == u8::MAX {
            return counter;
        }
        let above = f64::from(counter.saturating_sub(LFU_INIT));
        let likelihood = 1.0 / (above * f64::from(self.lfu_log_factor.get()) + 1.0);
        let mut state = self.random.get();
        let random = (splitmix64(&mut state) >> 11) as f64 / (1u64 << 53) as f64;
        self.random.set(state);
        if random < likelihood {
            counter + 1
        } else {
            counter
        }
    }

    /// Milliseconds since the last use that an LRU clock tells of.
    #[doc(alias = "estimateObjectIdleTime")]
    pub fn idle_ms(&self, clock: u32) -> u64 {
        u64::from(self.seconds().wrapping_sub(clock) & CLOCK_MASK) * 1000
    }

    /// The LRU clock of a key last used so many milliseconds ago (RESTORE, loading).
    pub fn clock_for_idle(&self, idle_ms: u64) -> u32 {
        self.seconds().wrapping_sub((idle_ms / 1000) as u32) & CLOCK_MASK
    }

    /// The LFU clock of a key with this counter (RESTORE, loading).
    pub fn clock_for_frequency(&self, counter: u8) -> u32 {
        self.minutes() << 8 | u32::from(counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lru_clock_tells_idle_time_across_its_wrap() {
        let env = Env::new(1);
        env.set_now(((1 << 24) - 5) * 1000);
        let clock = env.new_clock();
        env.set_now(((1 << 24) + 7) * 1000);
        assert_eq!(env.idle_ms(clock), 12_000);
        assert_eq!(env.idle_ms(env.clock_for_idle(90_000)), 90_000);
    }

    #[test]
    fn lfu_counter_grows_slowly_and_decays() {
        let env = Env::new(1);
        env.set_lfu(true);
        env.set_now(60_000 * 70_000);
        let mut clock = env.new_clock();
        for _ in 0..1000 {
            clock = env.touched(clock);
        }
        let counter = env.frequency(clock);
        assert!(
            (10..40).contains(&counter),
            "about 18 after a thousand hits, not {counter}"
        );
        env.set_now(60_000 * 70_003);
        assert_eq!(env.frequency(clock), counter - 3);
        env.set_lfu_tuning(10, 0);
        assert_eq!(env.frequency(clock), counter);
    }
}
