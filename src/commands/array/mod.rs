//! Arrays: values at indexes, with holes between them.
//!
//! An index is unsigned: there is no counting from the end, and -1 is none. Ranges may be given from either side; the
//! reply comes in the order of the request.
//!
//! ```text
//!   ARSET a 5 x y            indexes 5 and 6; ARLEN is 7, ARCOUNT is 2
//!   ARGETRANGE a 7 4         null y x null        from 7 down to 4
//!   ARSCAN a 0 10            5 x 6 y              only what is set
//! ```
//!
//! Mirrors: t_array.c; the type itself is `types/array.rs`.

mod read;
mod search;
#[cfg(test)]
mod tests;
mod write;

use super::lookup::element;
use super::prelude::*;
use crate::collections::listpack::LpEntry;
use crate::resp::Reply;
use crate::types::Array;
use crate::types::array::INDEX_MAX;
use crate::util::num::parse_u64;

pub const COMMANDS: &[&Command] = &[
    &read::ARCOUNT,
    &write::ARDEL,
    &write::ARDELRANGE,
    &read::ARGET,
    &read::ARGETRANGE,
    &search::ARGREP,
    &read::ARINFO,
    &write::ARINSERT,
    &read::ARLASTITEMS,
    &read::ARLEN,
    &read::ARMGET,
    &write::ARMSET,
    &read::ARNEXT,
    &search::AROP,
    &write::ARRING,
    &read::ARSCAN,
    &write::ARSEEK,
    &write::ARSET,
];

const BAD_INDEX: Error = Error::Once(std::borrow::Cow::Borrowed("invalid array index"));

#[doc(alias = "getArrayIndexFromObject")]
fn parse_index(text: &[u8]) -> Result<u64> {
    let index = parse_u64(text).filter(|index| *index <= INDEX_MAX);
    index.ok_or(BAD_INDEX)
}

/// Takes an index.
fn index(args: &mut Args<'_>) -> Result<u64> {
    parse_index(args.bytes()?)
}

/// Takes all remaining arguments as indexes; an error if one of them is none.
fn indexes<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u64>> {
    words.map(parse_index).collect()
}

/// Takes the number behind LIMIT.
fn positive_limit(args: &mut Args<'_>) -> Result<u64> {
    match args.integer()? {
        limit @ 1.. => Ok(limit as u64),
        _ => Err(Error::once("LIMIT must be positive")),
    }
}

/// The array under a key. It is a snapshot, which costs a count.
fn array_or_miss(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<Option<Array>> {
    let found = ctx.state.keyspace[ctx.db].get_as::<Array>(key)?.cloned();
    if found.is_none() {
        ctx.missed(key);
    }
    Ok(found)
}

/// Changes the array under a key, made for it if need be; if the change fails, nothing happened.
#[doc(alias = "lookupArrayForWriteOrReply")]
fn change<R>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    change: impl FnOnce(&mut Array) -> Result<R>,
) -> Result<R> {
    if let Some(array) = ctx.db().get_mut_as::<Array>(key)? {
        return change(array);
    }
    let mut array = Array::new();
    let result = change(&mut array)?;
    ctx.create(key, array);
    Ok(result)
}

/// Writes a value with its index.
fn pair(reply: &mut Reply, index: u64, value: LpEntry<'_>) {
    reply.array(2);
    reply.unsigned(index);
    element(reply, value);
}
