//! The metadata that modules attach to keys, by key, beside the keys themselves.
//!
//! ```text
//!   Db -- keys     "page:7" -> a hash, "page:8" -> a string
//!      '- metas    "page:7" -> Meta { NOTE: … }          an entry per key that has metadata; mostly there is none
//! ```
//!
//! A key without metadata pays nothing: no lookup of keys looks here. Metadata is taken out where modules hear of a key
//! that leaves ([`act::keys::leaving`](super::act::keys::leaving)), and follows a key where RENAME, MOVE and COPY say so.
//! It is a table like that of the keys, so that a snapshot shares it in the same way.
//!
//! Mirrors: the words in front of a kvobj (object.h, keymeta.c).

use super::{Db, RemovedTable};
use crate::collections::shared::Shared;
use crate::collections::table::{NewValue, Table};
use crate::types::meta::Meta;

/// The metadata of the keys of one database. Cloning is O(1): a clone is what was there at that moment.
#[derive(Clone, Debug)]
pub struct Metas(Shared<Table<Meta>>);

impl Metas {
    pub(super) fn new(seed: u64) -> Metas {
        Metas(Shared::new(Table::new(seed)))
    }

    pub(super) fn emptied(&self) -> Metas {
        Metas::new(self.0.seed())
    }

    /// No metadata, of no database.
    pub fn none() -> Metas {
        Metas::new(0)
    }

    /// Keys that have metadata.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key has metadata.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The metadata of a key. O(1).
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Meta> {
        match self.is_empty() {
            true => None,
            false => self.0.find(key)?.value().as_object(),
        }
    }

    fn set(&mut self, key: &[u8], meta: Meta) {
        self.0.make_mut().insert(key, NewValue::Object(meta));
    }

    fn take(&mut self, key: &[u8]) -> Option<Meta> {
        // A miss must not copy the root of a table that a snapshot shares.
        self.get(key)?;
        let removed = self.0.make_mut().delete(key)?;
        removed.value().as_object().cloned()
    }
}

impl Db {
    /// The metadata of this database's keys.
    pub fn metas(&self) -> &Metas {
        &self.metas
    }

    /// The metadata of a key, to be looked at.
    pub fn meta(&self, key: &[u8]) -> Option<&Meta> {
        self.metas.get(key)
    }

    /// Attaches metadata to a key in place of what it had.
    pub fn set_meta(&mut self, key: &[u8], meta: Meta) {
        self.metas.set(key, meta);
    }

    /// Takes the metadata of a key away. It is shared ([`Meta::is_shared`]) if a snapshot has it too.
    pub fn take_meta(&mut self, key: &[u8]) -> Option<Meta> {
        self.metas.take(key)
    }

    /// The keys that have metadata. O(keys that have).
    pub fn keys_with_metas(&self) -> Vec<Box<[u8]>> {
        self.metas
            .0
            .iter()
            .map(|entry| entry.key().into())
            .collect()
    }
}

impl RemovedTable {
    /// With the metadata of the keys, which is freed along with them.
    pub(super) fn with_metas(mut self, metas: Metas) -> RemovedTable {
        self.metas = (!metas.is_empty()).then_some(metas);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::{DbId, Keyspace};
    use crate::types::foreign::Place;
    use crate::types::meta::{Going, KeyMeta};
    use std::any::Any;

    #[derive(Debug)]
    struct Note(u64);

    impl KeyMeta for Note {
        fn save(&self, _: Place<'_>) -> Option<Vec<u8>> {
            Some(vec![self.0 as u8])
        }
        fn rewrite(&self, _: Place<'_>) -> Option<Vec<u8>> {
            None
        }
        fn memory(&self, _: Place<'_>, _: usize) -> usize {
            8
        }
        fn leave(&self, _: Place<'_>, _: bool) {}
        fn go(&self, _: Going, _: Place<'_>, _: Place<'_>, _: bool) -> Option<Meta> {
            None
        }
        fn copied(&self, _: Place<'_>, _: Place<'_>) -> Option<Meta> {
            None
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    fn note(meta: Option<&Meta>) -> Option<u64> {
        Some(meta?.downcast::<Note>()?.0)
    }

    #[test]
    fn a_snapshot_keeps_the_metadata_of_its_moment() {
        let mut keyspace = Keyspace::new(2, false, 7, 1);
        let (zero, one) = (DbId(0), DbId(1));
        for n in 0..1000u64 {
            keyspace[zero].set_meta(format!("k{n}").as_bytes(), Meta::new(Note(n)));
        }
        let snapshot = keyspace.snapshot();
        let before = snapshot.metas(zero);
        assert!(snapshot.metas(one).is_empty());
        let taken = keyspace[zero].take_meta(b"k7").expect("it is there");
        assert!(taken.is_shared(), "the snapshot has it too");
        keyspace[zero].set_meta(b"k8", Meta::new(Note(8000)));
        keyspace.swap(zero, one);
        let removed = keyspace[one].clear();
        assert_eq!(note(before.get(b"k7")), Some(7));
        assert_eq!(note(before.get(b"k8")), Some(8));
        assert_eq!(before.len(), 1000);
        assert_eq!(
            (keyspace[zero].metas().len(), keyspace[one].metas().len()),
            (0, 0)
        );
        drop((snapshot, before, removed));
        assert!(!taken.is_shared());
    }
}
