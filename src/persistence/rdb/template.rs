//! Hash templates: names of fields that many hashes share, written once. New in version 15, Redis 8.10's.
//!
//! ```text
//!   in a file     HASH_TEMPLATE            id count field…       before the keys that refer to it
//!                 HashTemplateListpackRef  listpack [id value…]
//!                 HashTemplateArrayRef     id value…
//!   in a payload  HashTemplateListpack     names listpack [id value…]
//!                 HashTemplateArray        names value…          names: 0 listpack [field…], or 1 count field…
//! ```
//!
//! Invariant: the fields of a template ascend, shorter ones first; so none is there twice.
//!
//! Mirrors: the templates of rdb.c and t_hash.c (8.10).
//! Differs: what refers to a template becomes an ordinary hash, with names of its own; we write none.
//! Cost: nothing is allocated for what is only claimed. Each key gets the names of its template, so a file that repeats
//! long names for next to nothing would grow without a bound in memory; `MOST_PER_BYTE` is that bound.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::read_value as layout;
use super::{Decoder, Error};
use crate::collections::listpack::Listpack;

type Result<T> = std::result::Result<T, Error>;

/// The names of the fields, ascending; never none.
pub type Fields = Vec<Box<[u8]>>;

/// How the names stand in a payload.
const NAMES_PACKED: u64 = 0;
const NAMES_COUNTED: u64 = 1;

/// Bytes of names lent to keys, for each byte of the file so far, at most; for names of a dozen bytes it is about five.
const MOST_PER_BYTE: u64 = 1024;
/// So many are lent without a look.
const NOT_COUNTED: u64 = 64 << 20;

/// The templates of a file, by their numbers, which may be any.
#[derive(Debug, Default)]
pub struct Templates {
    by_id: BTreeMap<u64, Fields>,
    /// Bytes of names that keys got.
    lent: Cell<u64>,
}

impl Templates {
    /// Reads what stands behind the opcode.
    pub fn define(&mut self, dec: &mut Decoder<'_>) -> Result<()> {
        let id = dec.length()?;
        let fields = counted(dec)?;
        match self.by_id.insert(id, fields) {
            None => Ok(()),
            Some(_) => Err(dec.corrupt("Duplicate hash template")),
        }
    }

    /// The fields of one, for a key. (A payload has none to refer to, so it cannot.)
    pub fn fields(&self, dec: &Decoder<'_>, id: u64) -> Result<&Fields> {
        let fields = self.by_id.get(&id);
        let fields = fields.ok_or_else(|| dec.corrupt("Hash with an unknown template"))?;
        let bytes: usize = fields.iter().map(|name| name.len()).sum();
        let lent = self.lent.get().saturating_add(bytes as u64);
        let most = dec.position().saturating_mul(MOST_PER_BYTE);
        if lent > most.saturating_add(NOT_COUNTED) {
            return Err(dec.corrupt("Hash templates out of proportion to the file"));
        }
        self.lent.set(lent);
        Ok(fields)
    }
}

/// The names in a payload.
pub fn fields(dec: &mut Decoder<'_>, deep: bool) -> Result<Fields> {
    match dec.length()? {
        NAMES_PACKED => {
            const BAD: &str = "Hash template listpack integrity check failed.";
            let bytes = dec.string()?;
            let names = layout::listpack(dec, &bytes, deep, BAD)?;
            let mut fields = Fields::new();
            for name in names.iter() {
                push(dec, &mut fields, &name.to_vec())?;
            }
            not_none(dec, fields)
        }
        NAMES_COUNTED => counted(dec),
        _ => Err(dec.corrupt("Hash template with an unknown format of its fields")),
    }
}

/// The values of a listpack, and perhaps the number of a template before them.
pub fn values(dec: &mut Decoder<'_>, deep: bool) -> Result<Listpack> {
    let bytes = dec.string()?;
    layout::listpack(dec, &bytes, deep, "Hash listpack integrity check failed.")
}

fn counted(dec: &mut Decoder<'_>) -> Result<Fields> {
    let (mut fields, mut name) = (Fields::new(), Vec::new());
    for _ in 0..dec.length()? {
        dec.string_into(&mut name)?;
        push(dec, &mut fields, &name)?;
    }
    not_none(dec, fields)
}

fn push(dec: &Decoder<'_>, fields: &mut Fields, name: &[u8]) -> Result<()> {
    let ascends = |last: &[u8]| last.len().cmp(&name.len()).then(last.cmp(name)) == Ordering::Less;
    if !fields.last().is_none_or(|last| ascends(last)) {
        return Err(dec.corrupt("Hash template with fields out of order"));
    }
    fields.push(name.into());
    Ok(())
}

fn not_none(dec: &Decoder<'_>, fields: Fields) -> Result<Fields> {
    if fields.is_empty() {
        return Err(dec.corrupt("Hash template without fields"));
    }
    Ok(fields)
}
