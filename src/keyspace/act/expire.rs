//! Expired keys: deleted, counted, published as events, propagated to the AOF and the replicas.
//!
//! A lookup only hides a key whose deadline has passed and notes it in the keyspace's `Env`; [`reap_expired`]
//! does the deleting, once the lookup's borrow is over and before the command's own effect is propagated.
//! [`expire_some`] deletes keys that no client looks up.
//!
//! Mirrors: `expireIfNeeded()` and `deleteExpiredKeyAndPropagate()` of db.c, the working half of
//! `activeExpireCycle()` in expire.c.

use super::{keys, notify};
use crate::command::Targets;
use crate::keyspace::events::Event;
use crate::keyspace::{DbId, Pace, Removed};
use crate::resp::argv::OwnedArgv;
use crate::state::State;
use crate::{command, observe};

/// Keys deleted in one go, between two looks at the clock.
const BATCH: usize = 128;

/// Whether keys may be deleted because their time has come. Not while writes are paused, and not on a replica,
/// whose primary decides: there they are only hidden.
#[doc(alias = "isPausedActionsWithUpdate")]
pub fn may_expire(state: &State) -> bool {
    !state.keyspace.env().is_hide_only()
}

/// Deletes the keys that lookups found past their deadline, and propagates the deletions.
#[inline]
pub fn reap_expired(state: &mut State) {
    if state.keyspace.env().has_expired() {
        reap(state);
    }
}

#[cold]
fn reap(state: &mut State) {
    for (db, key) in state.keyspace.env().take_expired() {
        if !may_expire(state) {
            continue;
        }
        let now = state.keyspace.env().now_ms();
        let db_mut = &mut state.keyspace[db];
        // A key may have been noted twice, or overwritten since.
        if db_mut
            .peek_raw(&key)
            .is_some_and(|entry| entry.is_expired(now))
        {
            expire_own_key(state, db, &key);
        }
    }
}

/// A key was taken out of its database because it has expired: the deletion is propagated as a unit of its own
/// unless a command is running.
#[doc(alias = "deleteExpiredKeyAndPropagate")]
fn bury(state: &mut State, db: DbId, removed: Removed) {
    as_unit(state, |state| {
        say_expired(state, db, removed.key());
        keys::discard(state, removed, state.config.lazyfree_lazy_expire);
    });
}

/// Runs something as a unit of its own, or as a part of the command that runs.
fn as_unit(state: &mut State, f: impl FnOnce(&mut State)) {
    let alone = state.effects.depth() == 0;
    state.effects.enter();
    f(state);
    if state.effects.leave() && alone {
        command::act::after_unit(state);
    }
}

/// Deletes a key that is over, though we are a replica: it is of our own making.
pub(crate) fn expire_own_key(state: &mut State, db: DbId, key: &[u8]) {
    as_unit(state, |state| {
        keys::leaving(state, keys::KeyLeft::Expired, db, key);
        if let Some(removed) = state.keyspace[db].remove(key) {
            bury(state, db, removed);
        }
    });
}

/// Counts, publishes and propagates the expiry of a key that is already deleted.
pub(crate) fn say_expired(state: &mut State, db: DbId, key: &[u8]) {
    state.stats.expired_keys += 1;
    notify::notify(state, Event::EXPIRED, db, key);
    notify::touched(state, db, key);
    let word = expire_word(state);
    say_deleted(state, db, word, key);
}

/// Propagates the deletion of a key that no command asked for, also out of a call of a module that propagates nothing.
#[doc(alias = "propagateDeletion")]
pub(crate) fn say_deleted(state: &mut State, db: DbId, word: &str, key: &[u8]) {
    if state.effects.listening != Targets::NONE {
        let argv = OwnedArgv::from_words([word.as_bytes(), key]);
        let before = state.effects.allow_only(Targets::ALL);
        state.effects.say(db, argv.as_argv(), Targets::ALL);
        state.effects.allow_only(before);
    }
}

/// The command that repeats the deletion of an expired key.
pub fn expire_word(state: &State) -> &'static str {
    if state.config.lazyfree_lazy_expire {
        "UNLINK"
    } else {
        "DEL"
    }
}

/// One turn of the active expiry.
#[doc(alias = "activeExpireCycle")]
pub fn expire_some(state: &mut State, pace: Pace) {
    if !state.active_expire || !may_expire(state) {
        return;
    }
    let start_ns = state.clock.monotonic_ns();
    let effort = state.config.active_expire_effort;
    let Some(budget) = state.expire_cycle.begin(pace, effort, start_ns / 1000) else {
        return;
    };
    let now = state.clock.unix_ms();
    let databases = state.keyspace.len_dbs();
    let (mut examined, mut expired, mut visited) = (0, 0, 0);
    let mut ran_out = false;
    for _ in 0..databases {
        if visited == budget.databases || ran_out {
            break;
        }
        let id = DbId((state.expire_cycle.next_db % databases) as u32);
        // Moved on at once: if time runs out in this database, the next call begins with the next one.
        state.expire_cycle.next_db = (id.0 as usize + 1) % databases;
        if state.keyspace[id].volatile_len() == 0 {
            continue;
        }
        visited += 1;
        let (mut seen, mut died) = (0, 0);
        loop {
            let mut dead = Vec::new();
            let step = state.keyspace[id].expire_cycle(
                now,
                &mut |so_far| so_far.expired < BATCH && so_far.examined < BATCH * BATCH,
                &mut |removed| dead.push(removed),
            );
            seen += step.examined;
            died += step.expired;
            state.stats.expired_keys_active += dead.len() as u64;
            for removed in dead {
                if !state.modules.hears_of_keys() {
                    bury(state, id, removed);
                    continue;
                }
                // Modules read the key once more before it goes.
                let key = removed.key().to_vec();
                state.keyspace[id].put(&key, removed);
                expire_own_key(state, id, &key);
            }
            if step.complete || budget.is_enough(seen, died) {
                break;
            }
            if state.clock.monotonic_ns() - start_ns > budget.time_us * 1000 {
                ran_out = true;
                state.stats.expired_time_cap_reached += 1;
                break;
            }
        }
        examined += seen;
        expired += died;
    }
    state.expire_cycle.end(examined, expired, ran_out);
    state.stats.expired_stale_perc = state.expire_cycle.stale_percent;
    let took_us = (state.clock.monotonic_ns() - start_ns) / 1000;
    state.stats.expire_cycle_us += took_us;
    observe::act::calls::note_latency(state, "expire-cycle", took_us / 1000);
}
