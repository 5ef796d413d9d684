//! Hashes: HSET, HGET and their kin, deadlines of fields, imports.
//!
//! ```text
//!   write.rs      fields come and go                       HSET HSETNX HDEL HINCRBY HINCRBYFLOAT
//!   read.rs       fields are read                          HGET HMGET HGETALL HLEN HSCAN ...
//!   random.rs     fields are drawn                         HRANDFIELD
//!   expire.rs     deadlines of fields                      HEXPIRE HTTL HPERSIST and their kin
//!   expiring.rs   values and deadlines in one command      HSETEX HGETEX HGETDEL
//!   import.rs     many hashes of the same fields           HIMPORT
//! ```
//!
//! A field past its deadline is answered for as if it were not there, and deleted on that occasion
//! (`keyspace/act/fields.rs`), as Redis does: HLEN still counts it, HDEL deletes it like any other, HSET writes over
//! it.
//!
//! Invariant: a hash without fields never stays under its key; [`remove_if_empty`] deletes the key. A handler changes a
//! hash through [`change`], which enters its earliest deadline in the index of the active expiry.
//!
//! Mirrors: the command half of t_hash.c; the type itself is `types/hash`.
//! Differs: the index keeps a lower bound of the earliest deadline of a large hash, not the exact one.

mod expire;
mod expiring;
mod import;
mod random;
mod read;
#[cfg(test)]
mod tests;
mod write;

use super::prelude::*;
use crate::keyspace::{self, Ms};
use crate::types::Hash;
use crate::types::hash::{Found, Limits, NewValue};

pub const COMMANDS: &[&Command] = &[
    &write::HDEL,
    &read::HEXISTS,
    &expire::HEXPIRE,
    &expire::HEXPIREAT,
    &expire::HEXPIRETIME,
    &read::HGET,
    &read::HGETALL,
    &expiring::HGETDEL,
    &expiring::HGETEX,
    &import::HIMPORT,
    &write::HINCRBY,
    &write::HINCRBYFLOAT,
    &read::HKEYS,
    &read::HLEN,
    &read::HMGET,
    &write::HMSET,
    &expire::HPERSIST,
    &expire::HPEXPIRE,
    &expire::HPEXPIREAT,
    &expire::HPEXPIRETIME,
    &expire::HPTTL,
    &random::HRANDFIELD,
    &read::HSCAN,
    &write::HSET,
    &expiring::HSETEX,
    &write::HSETNX,
    &read::HSTRLEN,
    &expire::HTTL,
    &read::HVALS,
];

const HSET_EVENT: Event = Event::hash("hset");
const HDEL_EVENT: Event = Event::hash("hdel");

/// Finds a field that has not expired. Counts no hit or miss.
fn live<'a>(ctx: &'a mut Ctx<'_>, key: &[u8], name: &[u8]) -> Result<Option<Found<'a>>> {
    let now = field_time(ctx);
    let Some(hash) = ctx.db().get_mut_as::<Hash>(key)? else {
        return Ok(None);
    };
    Ok(hash
        .get(name)
        .filter(|found| found.deadline.is_none_or(|ms| ms >= now)))
}

/// Deletes a field if it has expired.
fn bury_if_over(ctx: &mut Ctx<'_>, key: &[u8], name: &[u8]) -> Result {
    let now = field_time(ctx);
    let found = ctx
        .db()
        .get_mut_as::<Hash>(key)?
        .and_then(|hash| hash.get(name));
    if found.is_some_and(|found| found.deadline.is_some_and(|ms| ms < now)) {
        keyspace::act::fields::bury_fields(ctx.state, ctx.db, key, &[name]);
    }
    Ok(())
}

/// The clock against which deadlines of fields are compared, in unix milliseconds.
#[inline]
fn field_time(ctx: &Ctx<'_>) -> Ms {
    ctx.state.keyspace.env().field_time()
}

fn limits(ctx: &Ctx<'_>) -> Limits {
    Limits {
        entries: ctx.state.config.hash_max_listpack_entries,
        value: ctx.state.config.hash_max_listpack_value,
        seed: ctx.state.keyspace[ctx.db].seed(),
    }
}

/// Changes the hash under a key; creates the key if it is missing and the hash ends with fields. Enters the earliest
/// deadline in the index of the active expiry.
fn change<R>(ctx: &mut Ctx<'_>, key: &[u8], f: impl FnOnce(&mut Hash) -> R) -> Result<R> {
    if let Some(hash) = ctx.db().get_mut_as::<Hash>(key)? {
        let before = hash.earliest_bound();
        let result = f(hash);
        let after = hash.earliest_bound();
        if before != after {
            ctx.db().track_fields(key, after);
        }
        return Ok(result);
    }
    let mut hash = Hash::new();
    let result = f(&mut hash);
    if !hash.is_empty() {
        ctx.create(key, hash);
    }
    Ok(result)
}

/// Deletes the key of a hash that has no fields left. To be called after [`Ctx::modified`].
fn remove_if_empty(ctx: &mut Ctx<'_>, key: &[u8]) {
    let empty = ctx
        .db()
        .get_mut_as::<Hash>(key)
        .is_ok_and(|hash| hash.is_some_and(|hash| hash.is_empty()));
    if empty {
        ctx.emptied(key);
    }
}

/// A word of the request as a field's value: a big one is shared, not copied.
fn value_at<'a>(args: &Args<'a>, position: usize) -> NewValue<'a> {
    match args.argv().value(position) {
        keyspace::NewValue::Int(n) => NewValue::Int(n),
        keyspace::NewValue::Bytes(bytes) => NewValue::Bytes(bytes),
        keyspace::NewValue::RawBytes(bytes) => NewValue::RawBytes(bytes),
        keyspace::NewValue::Big(big) => NewValue::Big(big),
        // A word is never an object.
        keyspace::NewValue::Object(_) => NewValue::Bytes(args.argv().get(position)),
    }
}

/// Sets the fields and values that `pairs` stands before, up to the request's end, after [`Hash::prepare`]; returns how
/// many fields are new.
fn set_all(hash: &mut Hash, mut pairs: Args<'_>, limits: &Limits) -> usize {
    let words = pairs.argv().skip(pairs.position());
    if let Some(new) = hash.fill(words.iter()) {
        return new;
    }
    let mut new = 0;
    while let Some(name) = pairs.next() {
        let value = value_at(&pairs, pairs.position());
        pairs.next();
        new += usize::from(hash.set(name, value, false, limits));
    }
    new
}
