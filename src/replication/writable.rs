//! Keys that only a writable replica has.
//!
//! A replica leaves the deletion of expired keys to its primary. Of a key that a client wrote to the replica itself
//! the primary knows nothing, so the replica remembers those that have a deadline, and deletes them.
//!
//! Mirrors: rememberSlaveKeyWithExpire() and expireSlaveKeys() of expire.c.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::clients::{ClientFlags, ClientKey};
use crate::command::keys::{Keys, Search};
use crate::command::table::CommandId;
use crate::keyspace::DbId;
use crate::resp::argv::Argv;
use crate::state::State;

/// Keys looked at in one turn of the cron.
const AT_ONCE: usize = 4096;

/// The keys, and where the cron goes on.
#[derive(Debug, Default)]
pub struct OwnKeys {
    keys: BTreeSet<(DbId, Box<[u8]>)>,
    next: Option<(DbId, Box<[u8]>)>,
}

impl OwnKeys {
    /// How many (`slave_expires_tracked_keys`).
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The next ones to look at, going round.
    fn batch(&mut self) -> Vec<(DbId, Box<[u8]>)> {
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

impl State {
    /// A command changed something on this replica.
    #[doc(alias = "rememberSlaveKeyWithExpire")]
    pub(crate) fn remember_own_keys(
        &mut self,
        client: ClientKey,
        db: DbId,
        id: CommandId,
        argv: Argv<'_>,
    ) {
        let asker = self.current_client.unwrap_or(client);
        let asker = self.clients.get(asker);
        let primary = asker.is_some_and(|asker| asker.flags.has(ClientFlags::PRIMARY));
        if self.config.replica_read_only || primary {
            return;
        }
        let keys = crate::command::keys::Keys::of(
            self.commands[id].decl,
            argv,
            crate::command::keys::Search::default(),
        )
        .unwrap_or_default();
        for key in keys.iter() {
            let key = argv.get(key.position);
            let entry = self.keyspace[db].peek_raw(key);
            if entry.is_some_and(|entry| entry.deadline().is_some()) {
                self.replication.own_keys.keys.insert((db, key.into()));
            }
        }
    }

    /// Deletes the keys of our own that are over.
    #[doc(alias = "expireSlaveKeys")]
    pub(crate) fn expire_own_keys(&mut self) {
        if self.replication.own_keys.keys.is_empty() {
            return;
        }
        let now = self.clock.unix_ms();
        for (db, key) in self.replication.own_keys.batch() {
            let entry = self.keyspace[db].peek_raw(&key);
            let deadline = entry.and_then(|entry| entry.deadline());
            let over = deadline.is_some_and(|deadline| now > deadline);
            if over {
                self.expire_own_key(db, &key);
            }
            if over || deadline.is_none() {
                self.replication.own_keys.keys.remove(&(db, key));
            }
        }
    }
}
