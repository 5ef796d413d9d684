//! Sets of field names that a client prepares once, for the hashes it will import: HIMPORT PREPARE and HIMPORT SET.
//!
//! Mirrors: `himportFieldsets` of t_hash.c (8.10).
//! Differs: Redis keeps the names in a registry shared by all clients and by the keys made from them.

use std::collections::HashMap;

/// The names of a hash's fields, in the order a client told them.
type Names = Box<[Box<[u8]>]>;

/// The fieldsets of one connection, by name.
#[derive(Debug, Default)]
pub struct Fieldsets {
    sets: HashMap<Box<[u8]>, Names>,
    /// Bytes of names and fields.
    bytes: usize,
}

impl Fieldsets {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether the client has no fieldset.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Memory in bytes, for `tot-mem` and `maxmemory-clients`.
    pub fn memory(&self) -> usize {
        self.bytes + self.sets.capacity() * size_of::<(Box<[u8]>, Names)>()
    }

    /// The fields of a set, in the order they were told.
    pub fn get(&self, name: &[u8]) -> Option<&[Box<[u8]>]> {
        self.sets.get(name).map(|fields| &**fields)
    }

    /// Remembers a set, instead of one of the same name.
    pub fn insert(&mut self, name: &[u8], fields: Names) {
        self.remove(name);
        self.bytes += bytes_of(name, &fields);
        self.sets.insert(name.into(), fields);
    }

    /// Forgets a set. Returns whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let removed = self.sets.remove(name);
        if let Some(fields) = &removed {
            self.bytes -= bytes_of(name, fields);
        }
        removed.is_some()
    }
}

fn bytes_of(name: &[u8], fields: &[Box<[u8]>]) -> usize {
    let of_fields = fields
        .iter()
        .map(|field| field.len() + size_of::<Box<[u8]>>());
    name.len() + of_fields.sum::<usize>()
}
