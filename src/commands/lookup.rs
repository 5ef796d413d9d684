//! Keys as the types commands work on: one set of lookups for all of them.
//!
//! ```text
//!   db.get_as::<List>(key)?       reading: counts a hit or a miss, moves the access clock
//!   db.peek_as::<List>(key)?      looking without leaving a trace
//!   db.get_mut_as::<List>(key)?   writing
//!   ctx.create(key, list)         a key that was not there
//!   ctx.emptied(key)              the last element went: the key goes too
//! ```
//!
//! Each answers WRONGTYPE for a key of another type. A value is never left empty under its key.
//!
//! Mirrors: `lookupKey{Read,Write}`, `checkType` and `dbAdd` of db.c and object.c.

use super::prelude::*;
use crate::collections::listpack::LpEntry;
use crate::keyspace::{Db, Deadline, NewValue};
use crate::resp::Reply;
use crate::types::{Held, Value};

impl Db {
    /// The lookup of a reading command.
    #[doc(alias = "lookupKeyRead")]
    #[inline]
    pub fn get_as<T: Held>(&self, key: &[u8]) -> Result<Option<&T>> {
        match self.get(key) {
            None => Ok(None),
            Some(entry) => held(entry.value().as_object()),
        }
    }

    /// A lookup that counts and touches nothing.
    #[inline]
    pub fn peek_as<T: Held>(&self, key: &[u8]) -> Result<Option<&T>> {
        match self.peek(key) {
            None => Ok(None),
            Some(entry) => held(entry.value().as_object()),
        }
    }

    /// The lookup of a writing command.
    #[doc(alias = "lookupKeyWrite")]
    #[inline]
    pub fn get_mut_as<T: Held>(&mut self, key: &[u8]) -> Result<Option<&mut T>> {
        match self.get_mut(key) {
            None => Ok(None),
            Some(entry) => match entry.into_value_mut().and_then(T::of_mut) {
                Some(value) => Ok(Some(value)),
                None => Err(Error::WrongType),
            },
        }
    }
}

fn held<T: Held>(value: Option<&Value>) -> Result<Option<&T>> {
    match value.and_then(T::of) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::WrongType),
    }
}

impl Ctx<'_> {
    /// Stores a value, which must not be empty, under a key that was missing. To be followed by [`Ctx::modified`].
    #[doc(alias = "dbAdd")]
    pub fn create(&mut self, key: &[u8], value: impl Held) {
        let value = NewValue::Object(value.into());
        self.store(key, value, Deadline::Set(None));
    }

    /// Deletes a key whose value has lost its last element. To be called after [`Ctx::modified`].
    pub fn emptied(&mut self, key: &[u8]) {
        self.delete_emptied(key);
        self.notify(key, Event::DEL);
    }
}

/// Writes an element of a list, a member of a set.
#[inline]
pub(super) fn element(reply: &mut Reply, entry: LpEntry<'_>) {
    match entry {
        LpEntry::Int(number) => reply.bulk_integer(number),
        LpEntry::Str(text) => reply.bulk(text),
    }
}
