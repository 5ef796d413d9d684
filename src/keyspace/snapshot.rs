//! The frozen keyspace that a background job reads.
//!
//! Taking one raises a few counts; nothing is copied. From then on the writing side copies each node it would change
//! and leaves the old one to the snapshot. The job may read on another thread, and drops the snapshot there: what only
//! it still holds is freed there too.
//!
//! Mirrors: the child of `rdbSaveBackground()` (rdb.c), seen from inside.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::slots::Tables;
use super::{Db, DbId, Entry, Env, Metas};

/// All databases as they were at one moment.
#[derive(Debug)]
pub struct Snapshot {
    // First, so that the count falls when the tables are gone.
    dbs: Vec<Tables>,
    /// Metadata of keys, by database.
    metas: Vec<Metas>,
    _live: Live,
}

/// One snapshot in [`Env::live_snapshots`].
#[derive(Debug)]
struct Live(Arc<AtomicU32>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Snapshot {
    pub(super) fn of<'a>(dbs: impl Iterator<Item = &'a Db> + Clone, env: &Env) -> Snapshot {
        env.snapshots.fetch_add(1, Ordering::Relaxed);
        let live = Live(Arc::clone(&env.snapshots));
        Snapshot {
            metas: dbs.clone().map(|db| db.metas().clone()).collect(),
            dbs: dbs.map(|db| db.tables().clone()).collect(),
            _live: live,
        }
    }

    /// Some slots of all databases.
    pub(super) fn of_slots<'a>(
        dbs: impl Iterator<Item = &'a Db> + Clone,
        env: &Env,
        slots: &[u16],
    ) -> Snapshot {
        env.snapshots.fetch_add(1, Ordering::Relaxed);
        let live = Live(Arc::clone(&env.snapshots));
        Snapshot {
            metas: dbs.clone().map(|db| db.metas().clone()).collect(),
            dbs: dbs.map(|db| db.tables().only(slots)).collect(),
            _live: live,
        }
    }

    /// The tables of all databases, by number.
    pub(super) fn tables_of_all(&self) -> impl Iterator<Item = &Tables> {
        self.dbs.iter()
    }

    /// The metadata of a database's keys; of slots, that of other slots too. O(1).
    pub fn metas(&self, db: DbId) -> Metas {
        let metas = self.metas.get(db.0 as usize);
        metas.map_or_else(Metas::none, Clone::clone)
    }

    /// The databases that are not empty.
    pub fn dbs(&self) -> impl Iterator<Item = DbId> {
        (0..)
            .map(DbId)
            .zip(&self.dbs)
            .filter(|(_, t)| t.len() > 0)
            .map(|(id, _)| id)
    }

    /// Keys of a database, those that have expired included.
    pub fn len(&self, db: DbId) -> usize {
        self.tables(db).map_or(0, Tables::len)
    }

    /// No keys in any database.
    pub fn is_empty(&self) -> bool {
        self.dbs().next().is_none()
    }

    /// Keys of a database that have a deadline.
    pub fn volatile_len(&self, db: DbId) -> usize {
        self.tables(db).map_or(0, Tables::volatile_len)
    }

    /// The entries of a database, slot by slot in a cluster.
    pub fn iter_db(&self, db: DbId) -> impl Iterator<Item = Entry<'_>> {
        self.iter_slots(db).flat_map(|(_, entries)| entries)
    }

    /// The entries of a database by slot (one slot 0 outside of a cluster).
    pub fn iter_slots(
        &self,
        db: DbId,
    ) -> impl Iterator<Item = (u16, impl ExactSizeIterator<Item = Entry<'_>>)> {
        self.tables(db)
            .into_iter()
            .flat_map(|tables| tables.iter())
            .filter(|(_, table)| !table.is_empty())
            .map(|(slot, table)| (slot, table.iter().map(Entry)))
    }

    /// Keys of each slot of a database that has any, and how many of them have a deadline.
    pub fn slot_counts(&self, db: DbId) -> BTreeMap<u16, (usize, usize)> {
        let tables = self.tables(db).into_iter().flat_map(|tables| tables.iter());
        tables
            .filter(|(_, table)| !table.is_empty())
            .map(|(slot, table)| (slot, (table.len(), table.volatile_len())))
            .collect()
    }

    /// Hands all entries of a database and their slots to `f`, and lets go of them block by block: what has been
    /// written is no longer copied when it changes. Ends early, and lets go of the rest, when `f` says so.
    ///
    /// The way to read for a job that reads once. Of a database nobody has written to since, nothing is let go: there is
    /// nothing to gain.
    pub fn consume_db(
        &mut self,
        db: DbId,
        f: &mut dyn FnMut(u16, Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.dbs.get_mut(db.0 as usize) {
            None => ControlFlow::Continue(()),
            Some(tables) => tables.consume(f),
        }
    }

    fn tables(&self, db: DbId) -> Option<&Tables> {
        self.dbs.get(db.0 as usize)
    }
}
