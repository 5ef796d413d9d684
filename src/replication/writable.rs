//! Keys with a deadline that only a writable replica has.
//!
//! A replica leaves the deletion of expired keys to its primary. Of a key that a client wrote to the replica itself
//! the primary knows nothing, so the replica remembers those that have a deadline, and deletes them.
//!
//! Mirrors: rememberSlaveKeyWithExpire() and expireSlaveKeys() of expire.c.
//! Differs: one ordered set of database and name; Redis has a dictionary from names to bitmaps of databases.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::keyspace::DbId;

/// Keys looked at in one turn of the cron.
const AT_ONCE: usize = 4096;

/// The keys, and where the cron goes on.
#[derive(Debug, Default)]
pub struct OwnKeys {
    pub(super) keys: BTreeSet<(DbId, Box<[u8]>)>,
    next: Option<(DbId, Box<[u8]>)>,
}

impl OwnKeys {
    /// How many (`slave_expires_tracked_keys`).
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The next ones to look at, going round.
    pub(super) fn batch(&mut self) -> Vec<(DbId, Box<[u8]>)> {
        let from = match self.next.take() {
            Some(next) => Bound::Included(next),
            None => Bound::Unbounded,
        };
        let mut keys = self.keys.range((from, Bound::Unbounded));
        let batch = keys.by_ref().take(AT_ONCE).cloned().collect();
        self.next = keys.next().cloned();
        batch
    }
}
