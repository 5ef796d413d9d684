//! Metadata of keys, which modules attach, in front of a key's type.
//!
//! ```text
//!   KEY_META  count  (spec: 4 bytes  what the class wrote  0)*
//! ```
//!
//! A class writes numbers and strings, each behind a word that tells which, as modules' values do. So a reader without
//! the class can walk over its bytes.
//!
//! Mirrors: rdbSaveKeyMetadata() and rdbLoadKeyMetadata() of keymeta.c.

use super::read_value::raw_module_value;
use super::write_value::{self, Unwritten};
use super::{Decoder, Encoder, Error, opcode};
use crate::types::foreign::Place;
use crate::types::meta::{CLASSES_MAX, Meta, RawMeta};

/// The oldest version in which metadata is written.
const WRITTEN_SINCE: u32 = 12;

/// Writes the metadata of a key, if it has any that is saved.
pub(super) fn write(
    enc: &mut Encoder<'_>,
    meta: Option<&Meta>,
    place: Place<'_>,
) -> write_value::Result {
    let Some(meta) = meta else {
        return Ok(());
    };
    let bytes = meta.get().save(place);
    let bytes = bytes.ok_or(Unwritten::NotInVersion("metadata of modules that are gone"))?;
    write_bytes(enc, &bytes);
    Ok(())
}

/// Writes what [`KeyMeta::save`](crate::types::meta::KeyMeta::save) gave.
pub(super) fn write_bytes(enc: &mut Encoder<'_>, bytes: &[u8]) {
    if !bytes.is_empty() && enc.version >= WRITTEN_SINCE {
        enc.byte(opcode::KEY_META);
        enc.raw(bytes);
    }
}

/// Reads what follows the opcode.
pub(super) fn read(dec: &mut Decoder<'_>) -> Result<Vec<RawMeta>, Error> {
    let count = dec.length()?;
    if count > CLASSES_MAX as u64 {
        return Err(dec.corrupt("Too many metadata classes"));
    }
    let mut all = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let spec = u32::from_le_bytes(dec.array()?);
        let bytes = raw_module_value(dec)?;
        all.push(RawMeta { spec, bytes });
    }
    Ok(all)
}
