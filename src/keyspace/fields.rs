//! Which hashes have fields with deadlines, by the earliest of them.
//!
//! ```text
//!   Db -- keys       "cart:7" -> Hash { apples, pears until 12:00, plums until 13:00 }
//!      '- fields     "cart:7" until 12:00          an entry per hash that has a deadline inside; no values
//! ```
//!
//! The active expiry asks this index what is due, instead of looking at hashes. An entry's time is a lower bound: it may
//! be early (then the hash is asked, and entered again with a better one), never late. Entries follow their keys: where
//! a value enters a database or leaves it (set, put, removed, renamed, moved, loaded), [`Db`] enters or strikes it here;
//! where a command changes deadlines inside, it calls [`Db::track_fields`].
//!
//! Mirrors: `db->subexpires` (db.c) and `hashTypeDbActiveExpire()` (t_hash.c).
//! Differs: a table with deadlines, the structure keys have, instead of ebuckets.c.

use super::{Db, Ms, Removed};
use crate::collections::table::{Deadline, NewValue, NoObject, Table};
use crate::types::{Hash, Held};

/// The index of one database.
#[derive(Debug)]
pub(super) struct FieldIndex(Table<NoObject>);

impl FieldIndex {
    pub(super) fn new(seed: u64) -> FieldIndex {
        FieldIndex(Table::new(seed))
    }

    pub(super) fn emptied(&self) -> FieldIndex {
        FieldIndex::new(self.0.seed())
    }

    #[cold]
    pub(super) fn enter(&mut self, key: &[u8], earliest: Ms) {
        let hash = self.0.hash(key);
        let deadline = Deadline::Set(Some(earliest));
        self.0.set(hash, key, NewValue::Bytes(b""), deadline, |_| 0);
    }

    /// A key and its value are gone, or have become something else.
    #[inline]
    pub(super) fn strike(&mut self, removed: &Removed) {
        if !self.0.is_empty() && removed.value().as_object().and_then(Hash::of).is_some() {
            self.0.delete(removed.key());
        }
    }
}

impl Db {
    /// Hashes with a field that has a deadline: `subexpiry` of INFO.
    pub fn hashes_with_deadlines(&self) -> usize {
        self.fields.0.len()
    }

    /// A hash's fields got or lost deadlines: the earliest is now about here, or there is none.
    pub fn track_fields(&mut self, key: &[u8], earliest: Option<Ms>) {
        match earliest {
            Some(earliest) => self.fields.enter(key, earliest),
            None if self.fields.0.is_empty() => {}
            None => drop(self.fields.0.delete(key)),
        }
    }

    /// Strikes the hashes that may have expired fields at `now` off the index and returns their keys, the earliest
    /// deadline first. The caller expires their fields, and enters a hash again by [`Db::track_fields`] if fields with
    /// deadlines remain. Ends a block of the index after `at_most`. O(1) when nothing is due.
    pub fn take_hashes_due(&mut self, now: Ms, at_most: usize) -> Vec<Box<[u8]>> {
        let index = &mut self.fields.0;
        if index.earliest_deadline().is_none_or(|ms| ms >= now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        let mut cursor = 0;
        while due.len() < at_most {
            let step = index.expire_step(&mut cursor, now - 1, &mut |entry| {
                due.push((entry.deadline(), Box::from(entry.key())));
            });
            if step.wrapped {
                break;
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// The secret seed of this database's hash functions, for tables inside of values too.
    pub fn seed(&self) -> u64 {
        self.fields.0.seed()
    }

    /// A hash whose fields are to be expired: the access clock stays. `None` when the key itself has expired.
    pub fn hash_untouched(&mut self, key: &[u8]) -> Option<&mut Hash> {
        self.peek(key)?;
        let h = self.tables.hash(key);
        let (table, _) = self.tables.table_mut(h.slot)?;
        Hash::of_mut(table.get_mut(h.hash, key)?.into_object_mut()?)
    }
}
