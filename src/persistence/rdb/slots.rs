//! The keys of slots that come from another node as an RDB, read into a table for each slot.
//!
//! ```text
//!   SELECTDB 0   slot 3: a b c   slot 7: d       ─►   table of slot 3, table of slot 7, each once it is complete
//! ```
//!
//! The sender is a node of the cluster, and is not believed: the keys of a slot have to come together, each key once, and
//! only keys of the slots that were asked for.
//!
//! Mirrors: rdbLoadRioWithLoadingCtx() of rdb.c, for a destination that Redis does not have.

use std::collections::HashSet;
use std::io::Read;
use std::ops::ControlFlow;

use super::load::{Item, Key, Loader};
use super::read_value::Reading;
use super::{Decoder, Error, Reason};
use crate::keyspace::{DbId, SlotBuilder, SlotTable};
use crate::util::crc16::key_hash_slot;

/// A part of what was read.
#[derive(Debug)]
pub enum Part {
    /// The code of all function libraries; first, if there are any.
    Libraries(Vec<Vec<u8>>),
    /// All keys of one slot of one database.
    Slot(SlotTable),
    /// A value is broken, and taken as far as it can be read: its key, and what is wrong.
    Broken(Vec<u8>, &'static str),
}

/// The keys that the sender was asked for, and how they are read.
#[derive(Debug)]
pub struct Wanted<W> {
    /// Makes the tables.
    pub builder: SlotBuilder,
    /// How values are checked.
    pub reading: Reading,
    /// Whether the checksum is compared.
    pub checksum: bool,
    /// Databases there are.
    pub databases: usize,
    /// Whether a slot's keys may come.
    pub slot: W,
}

/// Reads to the end, and hands over each part when it is complete. `take` may end it early; the result is then `Ok`.
/// O(bytes); the memory held here is the table of one slot.
///
/// # Errors
/// A malformed RDB, or one with other keys than those that were asked for.
pub fn read(
    input: impl Read,
    wanted: &Wanted<impl Fn(u16) -> bool>,
    take: &mut dyn FnMut(Part) -> ControlFlow<()>,
) -> Result<(), Error> {
    let decoder = Decoder::new(input, None, wanted.checksum);
    let mut loader = Loader::new(decoder, wanted.reading)?;
    let mut libraries = Vec::new();
    let mut table = None;
    let mut seen = HashSet::new();
    loop {
        let item = loader.next()?;
        if !matches!(item, Item::Aux(..) | Item::Function(_)) && !libraries.is_empty() {
            let all = std::mem::take(&mut libraries);
            if take(Part::Libraries(all)).is_break() {
                return Ok(());
            }
        }
        let entered = match item {
            Item::Key(key) => enter(key, wanted, &mut table, &mut seen, take),
            Item::Db(db) if db >= wanted.databases as u64 => Err(Reason::TooManyDatabases),
            Item::Function(code) => {
                libraries.push(code);
                Ok(ControlFlow::Continue(()))
            }
            Item::End(_) => break,
            Item::Db(_)
            | Item::Aux(..)
            | Item::Expect(..)
            | Item::EmptyKey(_)
            | Item::ModuleAux(_)
            | Item::ForeignAux { .. } => Ok(ControlFlow::Continue(())),
        };
        match entered {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(()),
            Err(reason) => return Err(Error::new(loader.position(), reason)),
        }
    }
    if let Some(complete) = table {
        let _ = take(Part::Slot(complete));
    }
    Ok(())
}

/// Puts a key into the table of its slot. The table before it is complete if this is another slot.
fn enter(
    key: Key<'_>,
    wanted: &Wanted<impl Fn(u16) -> bool>,
    table: &mut Option<SlotTable>,
    seen: &mut HashSet<(DbId, u16)>,
    take: &mut dyn FnMut(Part) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Reason> {
    let slot = key_hash_slot(key.key);
    let same = |table: &SlotTable| table.slot() == slot && table.db() == key.db;
    if !table.as_ref().is_some_and(same) {
        if let Some(complete) = table.take()
            && take(Part::Slot(complete)).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        if !(wanted.slot)(slot) {
            return Err(Reason::Corrupt("A key of a slot that was not asked for"));
        }
        if !seen.insert((key.db, slot)) {
            return Err(Reason::Corrupt("The keys of a slot do not come together"));
        }
    }
    if let Some(raw) = key.metas.iter().find(|raw| !raw.may_be_ignored()) {
        return Err(Reason::Module(String::from_utf8_lossy(&raw.name()).into()));
    }
    let table = table.get_or_insert_with(|| wanted.builder.begin(key.db, slot));
    if let Some(what) = key.remark
        && take(Part::Broken(key.key.to_vec(), what)).is_break()
    {
        return Ok(ControlFlow::Break(()));
    }
    match table.add(key.key, key.value, key.deadline) {
        true => Ok(ControlFlow::Continue(())),
        false => Err(Reason::DuplicateKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::Job;
    use crate::config::Config;
    use crate::keyspace::{Keyspace, NewValue};
    use crate::persistence::rdb::read_value::Limits;
    use crate::persistence::rdb::save::{self, Options};

    const KEYS: [&str; 5] = ["{a}1", "{a}2", "{b}1", "{c}1", "{c}2"];

    fn saved(slots: &[u16]) -> Vec<u8> {
        let mut keyspace = Keyspace::new(1, true, 3, 1);
        for key in KEYS {
            keyspace[DbId(0)].set(key.as_bytes(), NewValue::Bytes(b"value"), None);
        }
        let options = Options {
            version: super::super::VERSION,
            checksum: true,
            cluster: true,
            functions: vec![b"#!lua name=x".to_vec()],
            ..Options::default()
        };
        let snapshot = keyspace.snapshot_of_slots(slots);
        let mut bytes = Vec::new();
        save::save(snapshot, &options, &mut bytes, &Job::default()).expect("into memory");
        bytes
    }

    fn load(bytes: &[u8], slots: &[u16]) -> (Vec<String>, Result<(), Error>) {
        let keyspace = Keyspace::new(1, true, 9, 1);
        let wanted = Wanted {
            builder: keyspace.slot_builder().expect("a cluster"),
            reading: Reading {
                deep: true,
                limits: Limits::of(&Config::default(), 9),
                foreign: false,
            },
            checksum: true,
            databases: 1,
            slot: |slot| slots.contains(&slot),
        };
        let mut parts = Vec::new();
        let result = read(bytes, &wanted, &mut |part| {
            parts.push(match part {
                Part::Libraries(all) => format!("{} libraries", all.len()),
                Part::Slot(table) => format!("{} keys", table.len()),
                Part::Broken(..) => "broken".to_owned(),
            });
            ControlFlow::Continue(())
        });
        (parts, result)
    }

    #[test]
    fn slots_come_one_by_one() {
        let slots = ["a", "b", "c"].map(|tag| key_hash_slot(tag.as_bytes()));
        let bytes = saved(&slots);
        let (mut parts, result) = load(&bytes, &slots);
        result.expect("it is whole");
        assert_eq!(parts.remove(0), "1 libraries");
        parts.sort();
        assert_eq!(parts, ["1 keys", "2 keys", "2 keys"]);
    }

    #[test]
    fn keys_that_nobody_asked_for_are_refused() {
        let slots = ["a", "b", "c"].map(|tag| key_hash_slot(tag.as_bytes()));
        let (_, result) = load(&saved(&slots), &slots[..2]);
        let error = result.expect_err("one slot too many");
        assert!(error.to_string().contains("not asked for"), "{error}");
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let slots = ["a", "b", "c"].map(|tag| key_hash_slot(tag.as_bytes()));
        let whole = saved(&slots);
        for end in 0..whole.len() {
            assert!(load(&whole[..end], &slots).1.is_err(), "cut at {end}");
        }
        for at in 0..whole.len() - 8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            assert!(load(&bytes, &slots).1.is_err(), "changed at {at}");
        }
    }
}
