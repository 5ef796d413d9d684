//! The payload of DUMP and RESTORE: one value, with the metadata of its key, the version, a checksum.
//!
//! Mirrors: createDumpPayload() and verifyDumpPayload() of cluster.c.
//! Differs: every entry of a listpack in a payload is walked before the value is used; see
//! [`super::read_value`].

use super::read_value::{self, Reading};
use super::template::Templates;
use super::write_value::{self, Unwritten};
use super::{Decoder, Encoder, Error, NEWEST_READ, Reason, Type, metadata, opcode};
use crate::keyspace::{NewValue, ValueRef};
use crate::types::meta::RawMeta;
use crate::util::crc64::crc64;

const FOOTER: usize = 10;

/// The payload of a value without metadata.
pub fn dump(value: ValueRef<'_>, version: u32, compress: bool) -> Result<Vec<u8>, Unwritten> {
    dump_with(value, &[], version, compress)
}

/// The payload of a value. `meta`: the metadata of its key, as [`KeyMeta::save`](crate::types::meta::KeyMeta::save) gives
/// it.
#[doc(alias = "createDumpPayload")]
pub fn dump_with(
    value: ValueRef<'_>,
    meta: &[u8],
    version: u32,
    compress: bool,
) -> Result<Vec<u8>, Unwritten> {
    let mut enc = Encoder::to_memory(compress);
    enc.version = version;
    let ty = write_value::type_of(value, version)?;
    metadata::write_bytes(&mut enc, meta);
    enc.byte(ty as u8);
    write_value::write(&mut enc, ty, value)?;
    enc.raw(&(version as u16).to_le_bytes());
    let checksum = enc.checksum();
    enc.raw(&checksum.to_le_bytes());
    Ok(enc.into_bytes())
}

/// Whether a payload is whole and of a version we know; `skip_checksum` is DEBUG SET-SKIP-CHECKSUM-VALIDATION. A
/// checksum of 0 says that there is none, as in payloads between nodes since Redis 8.4.
#[doc(alias = "verifyDumpPayload")]
pub fn is_intact(payload: &[u8], skip_checksum: bool) -> bool {
    let Some([low, high, stored @ ..]) = payload.last_chunk::<FOOTER>() else {
        return false;
    };
    let version = u32::from(u16::from_le_bytes([*low, *high]));
    if version > NEWEST_READ {
        return false;
    }
    let stored = u64::from_le_bytes(*stored);
    let absent = stored == 0;
    skip_checksum || absent || crc64(0, &payload[..payload.len() - 8]) == stored
}

/// The content of an intact payload.
#[derive(Debug)]
pub struct Restored<'t> {
    /// The value.
    pub value: NewValue<'t>,
    /// The metadata of its key.
    pub metas: Vec<RawMeta>,
}

/// The content of an intact payload, and a remark if the value is broken but taken all the same. Bytes behind the value are
/// ignored, as in Redis.
pub fn restore<'t>(
    payload: &[u8],
    reading: &Reading,
    scratch: &'t mut Vec<u8>,
) -> (Result<Restored<'t>, Error>, Option<&'static str>) {
    let body = &payload[..payload.len().saturating_sub(FOOTER)];
    let mut dec = Decoder::from_slice(body);
    let restored = read(&mut dec, reading, scratch);
    (restored, dec.take_remark())
}

fn read<'t>(
    dec: &mut Decoder<'_>,
    reading: &Reading,
    scratch: &'t mut Vec<u8>,
) -> Result<Restored<'t>, Error> {
    let mut metas = Vec::new();
    let mut byte = dec.byte()?;
    if byte == opcode::KEY_META {
        metas = metadata::read(dec)?;
        byte = dec.byte()?;
    }
    let ty = Type::from_byte(byte).ok_or_else(|| dec.corrupt("Bad data format"))?;
    match read_value::read(dec, ty, reading, &Templates::default(), scratch) {
        // A key without elements is skipped in a file; a payload of one is corrupt.
        Err(Error {
            reason: Reason::EmptyKey,
            offset,
        }) => Err(Error::new(offset, Reason::Corrupt("Empty key"))),
        other => Ok(Restored {
            value: other?,
            metas,
        }),
    }
}
