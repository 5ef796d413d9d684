//! Values out: written in the encoding they have in memory.
//!
//! Mirrors: rdbSaveObjectType() and rdbSaveObject() of rdb.c.
//! Differs: only the layouts are here; `connect` decides which value takes which.

use std::io;

use super::stream::Id;
use super::{Encoder, Type};
use crate::collections::intset::Intset;
use crate::collections::listpack::Listpack;
use crate::keyspace::{StrRef, ValueRef};

/// Why a value was not written.
#[derive(Debug)]
pub enum Unwritten {
    Io(io::Error),
    /// The version asked for has no layout for it.
    NotInVersion(&'static str),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Unwritten {
        Unwritten::Io(error)
    }
}

pub type Result = std::result::Result<(), Unwritten>;

/// The type byte of a value in the encoder's version.
#[doc(alias = "rdbSaveObjectType")]
pub fn type_of(value: ValueRef<'_>, version: u32) -> std::result::Result<Type, Unwritten> {
    match value {
        ValueRef::String(_) => Ok(Type::String),
        ValueRef::Object(value) => super::connect::type_of(value, version),
    }
}

/// Writes a value behind its type byte.
#[doc(alias = "rdbSaveObject")]
pub fn write(enc: &mut Encoder<'_>, ty: Type, value: ValueRef<'_>) -> Result {
    match value {
        ValueRef::String(string) => write_string(enc, string)?,
        ValueRef::Object(value) => super::connect::write(enc, ty, value)?,
    }
    Ok(())
}

fn write_string(enc: &mut Encoder<'_>, string: StrRef<'_>) -> io::Result<()> {
    match string {
        StrRef::Int(n) => enc.integer(n),
        _ => enc.string(string.stored_bytes().unwrap_or_default()),
    }
    enc.spill()
}

// ---------------------------------------------------------------------------------------------- layouts

/// One listpack is the whole value.
pub fn packed(enc: &mut Encoder<'_>, packed: &Listpack) -> io::Result<()> {
    enc.string(packed.as_bytes());
    enc.spill()
}

pub fn intset(enc: &mut Encoder<'_>, set: &Intset) -> io::Result<()> {
    enc.string(set.as_bytes());
    enc.spill()
}

/// A sorted set; the highest first makes loading it cheap for a skiplist.
pub fn scored<'e>(
    enc: &mut Encoder<'_>,
    len: usize,
    elements: impl Iterator<Item = (&'e [u8], f64)>,
) -> io::Result<()> {
    enc.length(len as u64);
    for (element, score) in elements {
        enc.string(element);
        enc.double(score);
        enc.spill()?;
    }
    Ok(())
}

/// A hash; `earliest` is `Some` if any field has a deadline, and the least of them.
pub fn fields<'e>(
    enc: &mut Encoder<'_>,
    len: usize,
    earliest: Option<i64>,
    fields: impl Iterator<Item = (StrRef<'e>, StrRef<'e>, Option<i64>)>,
) -> io::Result<()> {
    if let Some(earliest) = earliest {
        enc.millis(earliest);
    }
    enc.length(len as u64);
    for (field, value, deadline) in fields {
        if let Some(earliest) = earliest {
            // 0 says "none", so the earliest is 1.
            enc.length(deadline.map_or(0, |at| (at - earliest + 1).max(1) as u64));
        }
        write_string(enc, field)?;
        write_string(enc, value)?;
    }
    Ok(())
}

/// A node of a list; `len` of them behind the count.
pub fn plain_node(enc: &mut Encoder<'_>, element: &[u8]) -> io::Result<()> {
    enc.length(1);
    enc.string(element);
    enc.spill()
}

/// See [`plain_node`].
pub fn packed_node(enc: &mut Encoder<'_>, node: &Listpack) -> io::Result<()> {
    enc.length(2);
    enc.string(node.as_bytes());
    enc.spill()
}

/// One node of a stream.
pub fn stream_node(enc: &mut Encoder<'_>, id: Id, node: &Listpack) -> io::Result<()> {
    enc.length(16);
    enc.id_bytes(id);
    enc.string(node.as_bytes());
    enc.spill()
}
