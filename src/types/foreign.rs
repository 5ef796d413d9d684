//! A value of a type that foreign code brings: a module's, or an embedder's.
//!
//! The server knows of it only what [`ForeignValue`] answers. Like every other value it is cheap to clone: a snapshot
//! shares it, and whoever changes it unshares it before ([`Foreign::is_unique`]).
//!
//! Mirrors: moduleValue and moduleType of server.h.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::value::tag;

/// Where a value is, for types whose answers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The number of its database; -1 when it is in none.
    pub db: i32,
    /// Its key.
    pub key: Option<&'a [u8]>,
}

impl Place<'_> {
    /// Nowhere: a value that is not in the keyspace.
    pub const NOWHERE: Place<'static> = Place { db: -1, key: None };
}

/// The questions that the server asks a value of a foreign type.
pub trait ForeignValue: fmt::Debug + Send + Sync + Any {
    /// The name of the type: nine characters.
    fn type_name(&self) -> &'static str;

    /// The number of the type in RDB files: the name and a version.
    fn rdb_id(&self) -> u64;

    /// The value as RDB files have it behind the number of its type, up to and with the end mark. `None` when it
    /// cannot be had any more.
    fn save(&self, place: Place<'_>) -> Option<Vec<u8>>;

    /// The commands that make the value anew, as RESP; `None` when it is to be restored from what [`ForeignValue::save`]
    /// gives.
    fn rewrite(&self, place: Place<'_>) -> Option<Vec<u8>> {
        let _ = place;
        None
    }

    /// Bytes that it takes.
    fn memory(&self, place: Place<'_>, samples: usize) -> usize {
        let _ = (place, samples);
        0
    }

    /// How many steps freeing it takes.
    fn free_effort(&self, place: Place<'_>) -> usize {
        let _ = place;
        1
    }

    /// Hears that its key is about to be deleted or replaced.
    fn unlinked(&self, place: Place<'_>) {
        let _ = place;
    }

    /// A copy for another key; `None` when the type has none.
    fn copy(&self, from: Place<'_>, to: Place<'_>) -> Option<Foreign> {
        let _ = (from, to);
        None
    }

    /// A digest of the content; `None` when the type has none.
    fn digest(&self, place: Place<'_>) -> Option<[u8; 20]> {
        let _ = place;
        None
    }

    /// The value as what it is.
    fn as_any(&self) -> &dyn Any;

    /// As [`ForeignValue::as_any`], to be changed.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    Foreign = tag::FOREIGN,
}

/// A value of a foreign type.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Foreign {
    tag: Tag,
    held: Arc<Box<dyn ForeignValue>>,
}

impl Foreign {
    /// A value nobody else has.
    pub fn new(value: impl ForeignValue) -> Foreign {
        Foreign {
            tag: Tag::Foreign,
            held: Arc::new(Box::new(value)),
        }
    }

    /// The value.
    pub fn get(&self) -> &dyn ForeignValue {
        &**self.held
    }

    /// The value as a type of its own.
    pub fn downcast<T: Any>(&self) -> Option<&T> {
        self.get().as_any().downcast_ref()
    }

    /// The value, to be changed; `None` while it is shared.
    pub fn get_mut(&mut self) -> Option<&mut Box<dyn ForeignValue>> {
        Arc::get_mut(&mut self.held)
    }

    /// Whether no snapshot shares it.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.held) == 1
    }

    /// Whether both are one value.
    pub fn is(&self, other: &Foreign) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }
}

/// A value of a type that is not known yet: as an RDB file has it. It is turned into a value of its type, or refused,
/// before anybody sees it.
#[derive(Debug)]
pub struct Raw {
    /// The number of the type.
    pub id: u64,
    /// What follows that number, with the end mark.
    pub bytes: Vec<u8>,
}

impl ForeignValue for Raw {
    fn type_name(&self) -> &'static str {
        "unknown"
    }

    fn rdb_id(&self) -> u64 {
        self.id
    }

    fn save(&self, _: Place<'_>) -> Option<Vec<u8>> {
        Some(self.bytes.clone())
    }

    fn memory(&self, _: Place<'_>, _: usize) -> usize {
        self.bytes.len()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The largest version of a type's encoding.
const ENCVER_MAX: i32 = 1023;

/// The number of a type: nine characters of six bits, ten bits of version. `None` for a name that is none.
#[doc(alias = "moduleTypeEncodeId")]
pub fn encode_id(name: &[u8], version: i32) -> Option<u64> {
    const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if name.len() != 9 || !(0..=ENCVER_MAX).contains(&version) {
        return None;
    }
    let mut id = 0u64;
    for byte in name {
        let at = CHARS.iter().position(|known| known == byte)?;
        id = id << 6 | at as u64;
    }
    Some(id << 10 | version as u64)
}
