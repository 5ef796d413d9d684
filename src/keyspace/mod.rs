//! The keyspace: numbered databases of keys, values and deadlines, and their frozen twins.
//!
//! ```text
//!   Keyspace -- Db 0 -- one table, or in a cluster one per hash slot      (collections/table)
//!            |- Db 1 ...
//!            '- Env    the time, the access clock, hits and misses; read and counted by every lookup
//!
//!   Snapshot = the same roots, cloned: what they reach is never written again while it lives
//! ```
//!
//! Commands find keys here and nothing else: they see no words, segments or counts. Deleting what has expired is not
//! done by lookups, which only hide and note it ([`Env::take_expired`]), because a deletion has to be propagated to the
//! AOF, the replicas and clients that watch the key, and this room knows none of them.
//!
//! Mirrors: redisDb (server.h), db.c, and kvstore.c for the slots.
//! Differs: no expires table, no rehashing cron; a snapshot instead of `fork()`.

pub mod act;
mod apart;
pub mod db;
pub mod env;
pub mod events;
pub mod evict;
pub mod eviction;
pub mod expire;
mod fields;
mod metas;
pub mod slots;
pub mod snapshot;

use std::ops::{Index, IndexMut};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::collections::shared::copied_bytes;
use crate::collections::table;
use crate::types::Value;

pub use self::apart::{SlotBuilder, SlotTable};
pub use self::db::{Db, Entry, EntryMut, ExpireStats, StringMut, encoded};
pub use self::env::Env;
pub use self::expire::{ExpireCycle, Pace};
pub use self::metas::Metas;
pub use self::slots::{KeyHash, RemovedTable};
pub use self::snapshot::Snapshot;
pub use crate::collections::table::{Deadline, INLINE_MAX, Inserted, Moved, SegmentStats, StrRef};
pub use crate::types::Kind;

/// Unix time in milliseconds.
pub type Ms = i64;

/// A value on its way in; integers and short strings are stored inline, see `collections/table/entry.rs`.
pub type NewValue<'a> = table::NewValue<'a, Value>;

/// A value as it is stored.
pub type ValueRef<'a> = table::ValueRef<'a, Value>;

/// A key taken out of its database, with its value and deadline. May be dropped on any thread.
pub type Removed = table::Removed<Value>;

/// The number SELECT takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbId(pub u32);

/// The key holds another type than the command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongType;

/// All databases of a server.
#[derive(Debug)]
pub struct Keyspace {
    dbs: Vec<Db>,
    env: Rc<Env>,
}

/// Memory and sizes of one database, without looking at its entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemStats {
    pub keys: usize,
    pub volatile: usize,
    /// Bytes of the tables above the entries.
    pub table_bytes: usize,
}

impl Keyspace {
    /// Empty databases. `cluster`: a table per hash slot. `seed` should be random and
    /// secret: it keys the hash. `dice` is where the numbers behind the LFU counters begin, which OBJECT FREQ shows.
    pub fn new(databases: usize, cluster: bool, seed: u64, dice: u64) -> Keyspace {
        let env = Rc::new(Env::new(dice));
        let dbs = (0..databases as u32)
            .map(|i| Db::new(DbId(i), cluster, seed, Rc::clone(&env)))
            .collect();
        Keyspace { dbs, env }
    }

    pub fn env(&self) -> &Env {
        &self.env
    }

    pub fn len_dbs(&self) -> usize {
        self.dbs.len()
    }

    pub fn get(&self, id: DbId) -> Option<&Db> {
        self.dbs.get(id.0 as usize)
    }

    pub fn get_mut(&mut self, id: DbId) -> Option<&mut Db> {
        self.dbs.get_mut(id.0 as usize)
    }

    /// SWAPDB: two databases exchange their content and keep their numbers. O(1).
    pub fn swap(&mut self, a: DbId, b: DbId) {
        let (a, b) = (a.0 as usize, b.0 as usize);
        if a != b {
            let [a, b] = self
                .dbs
                .get_disjoint_mut([a, b])
                .expect("two numbers of databases that exist");
            a.swap_content(b);
        }
    }

    /// Empty databases in the same surroundings, to be filled while these go on, and then to take their place
    /// ([`Keyspace::exchange`]).
    #[doc(alias = "disklessLoadInitTempDb")]
    pub fn twin(&self) -> Keyspace {
        Keyspace {
            dbs: self.dbs.iter().map(Db::twin).collect(),
            env: Rc::clone(&self.env),
        }
    }

    /// All databases exchange their content with those of a twin. O(databases).
    #[doc(alias = "swapMainDbWithTempDb")]
    pub fn exchange(&mut self, twin: &mut Keyspace) {
        for (db, other) in self.dbs.iter_mut().zip(&mut twin.dbs) {
            db.swap_content(other);
        }
    }

    /// Makes the databases those of a snapshot, which may be another server's, and keeps the environment. No key is
    /// copied: each side copies the nodes that it changes and the other holds. O(databases).
    pub fn adopt(&mut self, snapshot: &Snapshot) {
        for (db, tables) in self.dbs.iter_mut().zip(snapshot.tables_of_all()) {
            db.tables = tables.clone();
            db.metas = snapshot.metas(db.id());
        }
        // For ever: how long the other side lives is not known here, and reads must not write to what it holds.
        self.env.snapshots.fetch_add(1, Ordering::Relaxed);
    }

    /// Empties all databases. The keys are the caller's to drop.
    pub fn clear(&mut self) -> Vec<RemovedTable> {
        let cleared = self.dbs.iter_mut().map(Db::clear);
        cleared.filter(|table| !table.is_empty()).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Db> {
        self.dbs.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Db> {
        self.dbs.iter_mut()
    }

    /// Keys in all databases.
    pub fn keys(&self) -> usize {
        self.dbs.iter().map(Db::len).sum()
    }

    /// Freezes all databases as they are. O(databases), nothing is copied; writes copy what they meet from then on.
    pub fn snapshot(&mut self) -> Snapshot {
        if self.env.live_snapshots() == 0 {
            self.env.hold_nothing(copied_bytes());
        }
        Snapshot::of(self.dbs.iter(), &self.env)
    }

    /// Freezes some slots of all databases, for a node that takes them over. O(databases and slots named).
    pub fn snapshot_of_slots(&mut self, slots: &[u16]) -> Snapshot {
        if self.env.live_snapshots() == 0 {
            self.env.hold_nothing(copied_bytes());
        }
        Snapshot::of_slots(self.dbs.iter(), &self.env, slots)
    }

    /// Bytes that only snapshots still hold, as far as they are known: copied nodes, and what was removed. They are
    /// freed when the snapshots are over. O(1).
    pub fn held_by_snapshots(&self) -> u64 {
        if self.env.live_snapshots() == 0 {
            return 0;
        }
        self.env.held() + copied_bytes().saturating_sub(self.env.copied_before.get())
    }

    /// Bytes that snapshots have cost so far: copied because a snapshot shared them, inside of values as well, and held
    /// by a snapshot alone. Take the difference around a snapshot.
    pub fn snapshot_cost(&self) -> u64 {
        copied_bytes() + self.env.held()
    }
}

impl Index<DbId> for Keyspace {
    type Output = Db;
    /// Clients can only name databases that exist (SELECT checks), so another number is a bug.
    fn index(&self, id: DbId) -> &Db {
        &self.dbs[id.0 as usize]
    }
}

impl IndexMut<DbId> for Keyspace {
    fn index_mut(&mut self, id: DbId) -> &mut Db {
        &mut self.dbs[id.0 as usize]
    }
}

#[cfg(test)]
mod tests;
