//! Fields of hashes that die of time, made known: deleted, counted, published, told to the AOF and the replicas.
//!
//! A command that comes upon a field past its deadline answers as if it were not there and then has it deleted
//! ([`State::bury_fields`]); [`State::expire_due_fields`] deletes fields nobody asks for. Each is told as an HDEL.
//! On a replica, and while writes are paused, fields are only hidden.
//!
//! Mirrors: the deleting half of `hashTypeGetValue()`, `hashTypeExpire()` and `hashTypeActiveExpire()` of t_hash.c,
//! `activeSubexpiresCycle()` of expire.c.
//! Differs: the active cycle's bound is time, not a number of fields per second.

use super::State;
use crate::dispatch::Targets;
use crate::dispatch::args::OwnedArgv;
use crate::keyspace::DbId;
use crate::keyspace::events::Event;
use crate::types::Hash;

/// Hashes, and fields of one hash, between two looks at the clock.
const BATCH: usize = 512;

/// The active cycle takes at most this part of the time between two calls.
const TIME_SHARE: u64 = 4;

impl State {
    /// Deletes fields a command found to be over; the key, when none is left.
    pub fn bury_fields(&mut self, db: DbId, key: &[u8], names: &[&[u8]]) {
        if names.is_empty() || !self.may_expire() {
            return;
        }
        let mut gone = Vec::new();
        self.change_untouched(db, key, |hash| {
            gone.extend(names.iter().copied().filter(|name| hash.remove(name)));
        });
        self.say_fields_expired(db, key, &gone);
    }

    /// Deletes all fields of a hash that are over; the key, when none is left.
    #[doc(alias = "hashTypeExpireIfNeeded")]
    pub fn expire_fields_of(&mut self, db: DbId, key: &[u8]) {
        if self.may_expire() {
            let now = self.keyspace.env().field_time();
            while self.expire_batch(db, key, now, BATCH) >= BATCH {}
        }
    }

    /// One turn of the active expiry of fields; `hz`: how many there are in a second.
    #[doc(alias = "activeExpireHashFieldCycle")]
    pub(super) fn expire_due_fields(&mut self, hz: u32) {
        if !self.active_expire || !self.may_expire() {
            return;
        }
        let budget_ns = 1_000_000_000 / u64::from(hz.max(1)) / TIME_SHARE;
        let start_ns = self.clock.monotonic_ns();
        let now = self.clock.unix_ms();
        for db in (0..self.keyspace.len_dbs() as u32).map(DbId) {
            if self.keyspace[db].hashes_with_deadlines() == 0 {
                continue;
            }
            loop {
                let due = self.keyspace[db].take_hashes_due(now, BATCH);
                let last = due.len() < BATCH;
                let mut out_of_time = false;
                for key in due {
                    while !out_of_time && self.expire_batch(db, &key, now, BATCH) >= BATCH {
                        out_of_time = self.clock.monotonic_ns() - start_ns > budget_ns;
                    }
                    out_of_time = out_of_time || self.clock.monotonic_ns() - start_ns > budget_ns;
                    // Struck off the index, but not seen to its end.
                    if let Some(hash) = self.keyspace[db].hash_untouched(&key) {
                        let earliest = hash.earliest_bound();
                        self.keyspace[db].track_fields(&key, earliest);
                    }
                }
                if out_of_time {
                    return;
                }
                if last {
                    break;
                }
            }
        }
    }

    /// Deletes some fields of a hash that are over; returns how many.
    fn expire_batch(&mut self, db: DbId, key: &[u8], now: i64, at_most: usize) -> usize {
        let mut gone: Vec<Box<[u8]>> = Vec::new();
        self.change_untouched(db, key, |hash| {
            hash.expire(now, at_most, &mut |name| gone.push(name.into()));
        });
        let names: Vec<&[u8]> = gone.iter().map(|name| &**name).collect();
        self.say_fields_expired(db, key, &names);
        gone.len()
    }

    fn change_untouched(&mut self, db: DbId, key: &[u8], change: impl FnOnce(&mut Hash)) {
        let db = &mut self.keyspace[db];
        if let Some(hash) = db.hash_untouched(key) {
            let before = hash.earliest_bound();
            change(hash);
            let after = hash.earliest_bound();
            if before != after {
                db.track_fields(key, after);
            }
        }
    }

    /// Fields are gone because their time has come: the world learns of it. A key left empty goes, too.
    #[doc(alias = "propagateHashFieldDeletion")]
    fn say_fields_expired(&mut self, db: DbId, key: &[u8], names: &[&[u8]]) {
        if names.is_empty() {
            return;
        }
        self.stats.expired_subkeys += names.len() as u64;
        if self.effects.listening != Targets::NONE {
            for name in names {
                let argv = OwnedArgv::from_words([b"HDEL", key, name]);
                self.effects.say(db, argv.as_argv(), Targets::ALL);
                // Nobody asked for them together, so they are no transaction.
                if self.effects.depth() == 0 {
                    self.after_unit();
                }
            }
        }
        self.notify(Event::hash("hexpired"), db, key);
        let left_empty = self.keyspace[db]
            .hash_untouched(key)
            .is_some_and(|hash| hash.is_empty());
        if left_empty {
            self.keyspace[db].remove(key);
            self.notify(Event::DEL, db, key);
        }
        self.touched(db, key);
    }
}
