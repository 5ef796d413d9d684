//! Tables of slots that are built beside a keyspace, on any thread, and attached to it slot by slot.
//!
//! ```text
//!   helper thread   SlotBuilder ─► SlotTable of slot 7: { a, b, c }
//!   data thread     keyspace.attach(table)        slot 7 [ nothing ] becomes [ a b c ]; no key is looked at
//! ```
//!
//! Invariant: a table that is attached was built with the keyspace's own seed, so that its keys are where lookups look
//! for them. The seed is secret; a builder carries it, and shows it to nobody.
//!
//! Mirrors: no file of Redis, where a node that takes slots over runs a command for each key.
//! Cost: attaching is O(1), and O(1) more for each hash whose fields have deadlines.

use super::slots::Entries;
use super::{DbId, Deadline, Entry, Inserted, Keyspace, Ms, NewValue, encoded};
use crate::collections::shared::Shared;
use crate::collections::table::Table;
use crate::types::{Hash, Held};

/// Makes tables for the slots of one keyspace.
#[derive(Clone, Debug)]
pub struct SlotBuilder {
    seed: u64,
    /// The access clock of the keys.
    clock: u32,
}

/// The keys of one slot of one database, and of no keyspace yet. May be dropped on any thread.
#[derive(Debug)]
pub struct SlotTable {
    db: DbId,
    slot: u16,
    clock: u32,
    keys: Shared<Entries>,
    /// Hashes whose fields have deadlines, and the earliest of them.
    fields: Vec<(Box<[u8]>, Ms)>,
}

impl SlotBuilder {
    /// An empty table. The slot is a number below 16384.
    pub fn begin(&self, db: DbId, slot: u16) -> SlotTable {
        SlotTable {
            db,
            slot,
            clock: self.clock,
            keys: Shared::new(Table::new(self.seed)),
            fields: Vec::new(),
        }
    }
}

impl SlotTable {
    /// The database that the keys are for.
    pub fn db(&self) -> DbId {
        self.db
    }

    /// The slot of all keys.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// Keys in it.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a key, which the caller knows to be of this slot. Bytes that spell an integer are stored as one. Returns
    /// whether the key is new. O(1).
    pub fn add(&mut self, key: &[u8], value: NewValue<'_>, deadline: Option<Ms>) -> bool {
        let value = encoded(value);
        if let NewValue::Object(value) = &value
            && let Some(earliest) = Hash::of(value).and_then(Hash::earliest_bound)
        {
            self.fields.push((key.into(), earliest));
        }
        let keys = self.keys.make_mut();
        let hash = keys.hash(key);
        let clock = self.clock;
        let inserted = keys.set(hash, key, value, Deadline::Set(deadline), |_| clock);
        matches!(inserted, Inserted::New)
    }

    /// The keys alone, for another thread to read; the table may be attached meanwhile. O(1).
    pub fn frozen(&self) -> SlotTable {
        SlotTable {
            keys: self.keys.clone(),
            fields: Vec::new(),
            ..*self
        }
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.keys.iter().map(Entry)
    }
}

impl Keyspace {
    /// A builder of tables for this keyspace's slots; none outside of a cluster.
    pub fn slot_builder(&self) -> Option<SlotBuilder> {
        let seed = self.dbs.first()?.tables.slot_seed()?;
        let clock = self.env.new_clock();
        Some(SlotBuilder { seed, clock })
    }

    /// Makes a table that of its slot, which must have no key yet.
    ///
    /// # Errors
    /// The table itself, if the slot has keys or there is no such database.
    pub fn attach(&mut self, table: SlotTable) -> Result<(), SlotTable> {
        let Some(db) = self.dbs.get_mut(table.db.0 as usize) else {
            return Err(table);
        };
        if db.slot_len(table.slot) > 0 || db.tables.slot_seed() != Some(table.keys.seed()) {
            return Err(table);
        }
        let SlotTable {
            slot, keys, fields, ..
        } = table;
        db.put_slot(slot, keys, &fields);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::crc16::key_hash_slot;

    #[test]
    fn a_table_built_apart_is_found_where_lookups_look() {
        let mut keyspace = Keyspace::new(2, true, 7, 1);
        let builder = keyspace.slot_builder().expect("a cluster");
        let slot = key_hash_slot(b"{a}");
        let thread = std::thread::spawn(move || {
            let mut table = builder.begin(DbId(1), slot);
            for n in 0..1000 {
                let key = format!("{{a}}{n}");
                assert!(table.add(key.as_bytes(), NewValue::Bytes(b"17"), Some(5)));
            }
            assert!(!table.add(b"{a}1", NewValue::Bytes(b"x"), None));
            table
        });
        let table = thread.join().expect("it does not panic");
        let frozen = table.frozen();
        keyspace.attach(table).expect("the slot is empty");
        let db = &mut keyspace[DbId(1)];
        assert_eq!((db.len(), db.volatile_len()), (1000, 999));
        assert_eq!(db.slot_len(slot), 1000);
        let entry = db.peek_raw(b"{a}17").expect("it is there");
        assert_eq!((entry.encoding(), entry.deadline()), ("int", Some(5)));
        // A change leaves a reader of the frozen keys alone.
        db.remove(b"{a}17");
        assert_eq!((frozen.iter().count(), db.len()), (1000, 999));
        assert!(keyspace[DbId(0)].is_empty());
    }

    #[test]
    fn a_slot_that_has_keys_is_not_replaced() {
        let mut keyspace = Keyspace::new(1, true, 7, 1);
        let slot = key_hash_slot(b"{a}");
        keyspace[DbId(0)].set(b"{a}here", NewValue::Bytes(b"v"), None);
        let builder = keyspace.slot_builder().expect("a cluster");
        let table = builder.begin(DbId(0), slot);
        assert!(keyspace.attach(table).is_err());
        let of_another = Keyspace::new(1, true, 8, 1).slot_builder();
        let table = of_another.expect("a cluster").begin(DbId(0), 3);
        assert!(keyspace.attach(table).is_err());
        let table = builder.begin(DbId(1), 3);
        assert!(keyspace.attach(table).is_err(), "there is no such database");
        assert!(Keyspace::new(1, false, 7, 1).slot_builder().is_none());
    }
}
