//! Death by time, made known: counted, published, told to the AOF and the replicas.
//!
//! A lookup only hides a key whose deadline has passed and notes it in the keyspace's `Env`; [`State::reap_expired`]
//! does the deleting, once the lookup's borrow is over and before the command's own effect is said.
//! [`State::expire_some`] deletes keys that nobody looks up.
//!
//! Mirrors: `expireIfNeeded()` and `deleteExpiredKeyAndPropagate()` of db.c, the working half of
//! `activeExpireCycle()` in expire.c.

use super::State;
use crate::command::Targets;
use crate::keyspace::events::Event;
use crate::keyspace::{DbId, Pace, Removed};
use crate::resp::argv::OwnedArgv;

/// Keys deleted in one go, between two looks at the clock.
const BATCH: usize = 128;

impl State {
    /// Whether keys may be deleted because their time has come. Not while writes are paused, and not on a replica,
    /// whose primary decides: there they are only hidden.
    #[doc(alias = "isPausedActionsWithUpdate")]
    pub fn may_expire(&self) -> bool {
        !self.keyspace.env().is_hide_only()
    }

    /// Deletes the keys that lookups found past their deadline, and says so.
    #[inline]
    pub fn reap_expired(&mut self) {
        if self.keyspace.env().has_expired() {
            self.reap();
        }
    }

    #[cold]
    fn reap(&mut self) {
        for (db, key) in self.keyspace.env().take_expired() {
            if !self.may_expire() {
                continue;
            }
            let now = self.keyspace.env().now_ms();
            let db_mut = &mut self.keyspace[db];
            // A key may have been noted twice, or overwritten since.
            if db_mut
                .peek_raw(&key)
                .is_some_and(|entry| entry.is_expired(now))
                && let Some(removed) = db_mut.remove(&key)
            {
                self.bury(db, removed);
            }
        }
    }

    /// A key was taken out of its database because its time has come: the world learns of it, as a unit of its own
    /// unless a command is running.
    #[doc(alias = "deleteExpiredKeyAndPropagate")]
    fn bury(&mut self, db: DbId, removed: Removed) {
        let alone = self.effects.depth() == 0;
        self.effects.enter();
        self.say_expired(db, removed.key());
        self.discard(removed, self.config.lazyfree_lazy_expire);
        if self.effects.leave() && alone {
            self.after_unit();
        }
    }

    /// Deletes a key that is over, though we are a replica: it is of our own making.
    pub(crate) fn expire_own_key(&mut self, db: DbId, key: &[u8]) {
        if let Some(removed) = self.keyspace[db].remove(key) {
            self.bury(db, removed);
        }
    }

    /// Counts, publishes and propagates the death of a key that is gone already.
    pub(super) fn say_expired(&mut self, db: DbId, key: &[u8]) {
        self.stats.expired_keys += 1;
        self.notify(Event::EXPIRED, db, key);
        self.touched(db, key);
        let word = self.expire_word();
        if self.effects.listening != crate::command::Targets::NONE {
            let argv = crate::resp::argv::OwnedArgv::from_words([word.as_bytes(), key]);
            self.effects
                .say(db, argv.as_argv(), crate::command::Targets::ALL);
        }
    }

    /// The command that repeats the deletion of an expired key.
    pub fn expire_word(&self) -> &'static str {
        if self.config.lazyfree_lazy_expire {
            "UNLINK"
        } else {
            "DEL"
        }
    }

    /// One turn of the active expiry.
    #[doc(alias = "activeExpireCycle")]
    pub(super) fn expire_some(&mut self, pace: Pace) {
        if !self.active_expire || !self.may_expire() {
            return;
        }
        let start_ns = self.clock.monotonic_ns();
        let effort = self.config.active_expire_effort;
        let Some(budget) = self.expire_cycle.begin(pace, effort, start_ns / 1000) else {
            return;
        };
        let now = self.clock.unix_ms();
        let databases = self.keyspace.len_dbs();
        let (mut examined, mut expired, mut visited) = (0, 0, 0);
        let mut ran_out = false;
        for _ in 0..databases {
            if visited == budget.databases || ran_out {
                break;
            }
            let id = DbId((self.expire_cycle.next_db % databases) as u32);
            // Moved on at once: if time runs out in this database, the next call begins with the next one.
            self.expire_cycle.next_db = (id.0 as usize + 1) % databases;
            if self.keyspace[id].volatile_len() == 0 {
                continue;
            }
            visited += 1;
            let (mut seen, mut died) = (0, 0);
            loop {
                let mut dead = Vec::new();
                let step = self.keyspace[id].expire_cycle(
                    now,
                    &mut |so_far| so_far.expired < BATCH && so_far.examined < BATCH * BATCH,
                    &mut |removed| dead.push(removed),
                );
                seen += step.examined;
                died += step.expired;
                self.stats.expired_keys_active += dead.len() as u64;
                for removed in dead {
                    self.bury(id, removed);
                }
                if step.complete || budget.is_enough(seen, died) {
                    break;
                }
                if self.clock.monotonic_ns() - start_ns > budget.time_us * 1000 {
                    ran_out = true;
                    self.stats.expired_time_cap_reached += 1;
                    break;
                }
            }
            examined += seen;
            expired += died;
        }
        self.expire_cycle.end(examined, expired, ran_out);
        self.stats.expired_stale_perc = self.expire_cycle.stale_percent;
        let took_us = (self.clock.monotonic_ns() - start_ns) / 1000;
        self.stats.expire_cycle_us += took_us;
        self.note_latency("expire-cycle", took_us / 1000);
    }
}
