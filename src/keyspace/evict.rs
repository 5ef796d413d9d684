//! The choice of the key to evict: the eviction pool, and a random choice for the policies without one.
//!
//! No order of all keys by use is kept. A few keys are sampled, and the best candidates seen so far are remembered
//! from one eviction to the next in a small pool; the best of the pool goes.
//!
//! ```text
//!   sample 5 keys of each database ─► score ─► pool  [ 12 | 40 | 41 | … | 977 ]   16 candidates, best last
//!                                                                          └─► evicted, if it is still there
//!   score    LRU, LRM: idle time    LFU: 255 - frequency    TTL: the sooner the deadline, the higher
//! ```
//!
//! Invariant: scores ascend; the pool holds names only, so a candidate may be a ghost (gone since it was sampled)
//! or have been used since. A ghost is skipped. A used one is evicted all the same, as Redis does.
//!
//! Mirrors: `evictionPoolPopulate()` and the choosing half of `performEvictions()` in evict.c; the other half is
//! `keyspace/act/evict.rs`. (`keyspace/eviction.rs` has the figures: how much memory is over the limit.)
//! Differs: the pool belongs to a server, not to the process. No second lookup finds the value of a volatile key: the
//! deadline lies in the entry.

use super::{Db, DbId, Env, Keyspace};
use crate::config::MaxmemoryPolicy;

/// Candidates remembered.
#[doc(alias = "EVPOOL_SIZE")]
const POOL: usize = 16;

/// Names longer than this do not keep their room when their place in the pool is free again.
#[doc(alias = "EVPOOL_CACHED_SDS_SIZE")]
const ROOM_KEPT: usize = 255;

#[derive(Debug)]
struct Candidate {
    score: u64,
    db: DbId,
    key: Vec<u8>,
}

/// The memory of the choice between two evictions: pool, and the next database for a random policy.
#[derive(Debug, Default)]
pub struct Chooser {
    /// Ascending by score.
    pool: Vec<Candidate>,
    /// An emptied name, for its room.
    spare: Vec<u8>,
    /// The database a random choice took last.
    last_db: usize,
}

impl Chooser {
    /// The key to evict next, if the policy allows any to be. O(databases * samples).
    pub fn choose(
        &mut self,
        keyspace: &Keyspace,
        policy: MaxmemoryPolicy,
        samples: usize,
        rng: &mut dyn FnMut() -> u64,
    ) -> Option<(DbId, Vec<u8>)> {
        match policy {
            MaxmemoryPolicy::NoEviction => None,
            MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom => {
                self.at_random(keyspace, policy, rng)
            }
            _ => self.best(keyspace, policy, samples, rng),
        }
    }

    /// Forgets the candidates: the next policy scores by something else.
    pub fn forget(&mut self) {
        self.pool.clear();
    }

    /// Gives the room of a name that [`Chooser::choose`] returned back.
    pub fn reuse(&mut self, mut key: Vec<u8>) {
        if key.capacity() <= ROOM_KEPT {
            key.clear();
            self.spare = key;
        }
    }

    /// A key at random, from each database in turn.
    fn at_random(
        &mut self,
        keyspace: &Keyspace,
        policy: MaxmemoryPolicy,
        rng: &mut dyn FnMut() -> u64,
    ) -> Option<(DbId, Vec<u8>)> {
        for _ in 0..keyspace.len_dbs() {
            self.last_db = (self.last_db + 1) % keyspace.len_dbs();
            let id = DbId(self.last_db as u32);
            let db = &keyspace[id];
            let mut key = std::mem::take(&mut self.spare);
            if policy.volatile_only() {
                let mut found = false;
                db.sample(rng, 1, true, &mut |entry| {
                    key.extend_from_slice(entry.key());
                    found = true;
                });
                if found {
                    return Some((id, key));
                }
            } else if let Some(entry) = db.random(rng) {
                key.extend_from_slice(entry.key());
                return Some((id, key));
            }
            self.spare = key;
        }
        None
    }

    fn best(
        &mut self,
        keyspace: &Keyspace,
        policy: MaxmemoryPolicy,
        samples: usize,
        rng: &mut dyn FnMut() -> u64,
    ) -> Option<(DbId, Vec<u8>)> {
        loop {
            let mut candidates = 0;
            for db in keyspace.iter() {
                let keys = eligible(db, policy);
                if keys > 0 {
                    candidates += keys;
                    self.populate(db, keyspace.env(), policy, samples, rng);
                }
            }
            if candidates == 0 {
                return None;
            }
            // A pool of ghosts is filled anew: what was just sampled is there.
            while let Some(candidate) = self.pool.pop() {
                let Candidate { db, key, .. } = candidate;
                let there = keyspace[db].peek_raw(&key);
                let volatile = |deadline: Option<_>| deadline.is_some() || !policy.volatile_only();
                if there.is_some_and(|entry| volatile(entry.deadline())) {
                    return Some((db, key));
                }
                self.reuse(key);
            }
        }
    }

    #[doc(alias = "evictionPoolPopulate")]
    fn populate(
        &mut self,
        db: &Db,
        env: &Env,
        policy: MaxmemoryPolicy,
        samples: usize,
        rng: &mut dyn FnMut() -> u64,
    ) {
        db.sample(rng, samples, policy.volatile_only(), &mut |entry| {
            let score = match policy {
                MaxmemoryPolicy::VolatileTtl => u64::MAX - entry.deadline().unwrap_or(0) as u64,
                _ if policy.is_lfu() => u64::from(u8::MAX - env.frequency(entry.clock())),
                _ => env.idle_ms(entry.clock()),
            };
            self.offer(score, db.id(), entry.key());
        });
    }

    /// Takes a candidate in, if there is room or it is better than the worst.
    fn offer(&mut self, score: u64, db: DbId, key: &[u8]) {
        let mut at = self.pool.partition_point(|known| known.score < score);
        if self.pool.len() == POOL {
            if at == 0 {
                return;
            }
            let worst = self.pool.remove(0);
            self.reuse(worst.key);
            at -= 1;
        }
        let mut name = std::mem::take(&mut self.spare);
        name.extend_from_slice(key);
        let candidate = Candidate {
            score,
            db,
            key: name,
        };
        self.pool.insert(at, candidate);
    }
}

/// Keys of a database that the policy may evict.
fn eligible(db: &Db, policy: MaxmemoryPolicy) -> usize {
    if policy.volatile_only() {
        db.volatile_len()
    } else {
        db.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::NewValue;
    use crate::util::rng::Rng;

    fn filled(keys: usize) -> Keyspace {
        let mut keyspace = Keyspace::new(2, false, 7, 1);
        for i in 0..keys {
            keyspace.env().set_now(1_000_000 + i as i64 * 1000);
            let deadline = (i % 2 == 0).then_some(9_000_000 - i as i64);
            let db = DbId((i % 2) as u32);
            keyspace[db].set(format!("{i}").as_bytes(), NewValue::Bytes(b"x"), deadline);
        }
        keyspace
    }

    fn evict(policy: MaxmemoryPolicy, keyspace: &mut Keyspace, n: usize) -> Vec<usize> {
        let (mut chooser, mut rng) = (Chooser::default(), Rng::new(3));
        let mut gone = Vec::new();
        for _ in 0..n {
            let chosen = chooser.choose(keyspace, policy, 5, &mut || rng.next_u64());
            let Some((db, key)) = chosen else { break };
            assert!(keyspace[db].remove(&key).is_some(), "chosen keys are there");
            gone.push(std::str::from_utf8(&key).unwrap().parse().unwrap());
            chooser.reuse(key);
        }
        gone
    }

    #[test]
    fn the_longest_idle_go_first() {
        let mut keyspace = filled(2000);
        let gone = evict(MaxmemoryPolicy::AllkeysLru, &mut keyspace, 500);
        let old = gone.iter().filter(|i| **i < 1000).count();
        assert!(old > 450, "{old} of 500 belong to the older half");
    }

    #[test]
    fn the_next_to_die_go_first() {
        let mut keyspace = filled(2000);
        let gone = evict(MaxmemoryPolicy::VolatileTtl, &mut keyspace, 250);
        let near = gone.iter().filter(|i| **i >= 1000).count();
        assert!(
            near > 225,
            "{near} of 250 belong to the half that dies sooner"
        );
    }

    #[test]
    fn a_volatile_policy_takes_all_that_is_volatile_and_nothing_else() {
        use MaxmemoryPolicy::*;
        for policy in [
            VolatileLru,
            VolatileLfu,
            VolatileLrm,
            VolatileRandom,
            VolatileTtl,
        ] {
            let mut keyspace = filled(300);
            let gone = evict(policy, &mut keyspace, 300);
            assert_eq!(gone.len(), 150, "{policy:?}");
            assert!(gone.iter().all(|i| i % 2 == 0), "{policy:?}");
        }
        for policy in [AllkeysLru, AllkeysLfu, AllkeysLrm, AllkeysRandom] {
            assert_eq!(
                evict(policy, &mut filled(300), 1000).len(),
                300,
                "{policy:?}"
            );
        }
        assert!(evict(NoEviction, &mut filled(3), 1).is_empty());
    }
}
