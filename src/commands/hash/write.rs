//! Commands that change a hash: HSET HSETNX HMSET HDEL HINCRBY HINCRBYFLOAT.
//!
//! Mirrors: the writing commands of t_hash.c.

use super::super::prelude::*;
use super::{HDEL_EVENT, HSET_EVENT, bury_if_over, change, limits, live, set_all, value_at};
use crate::keyspace;
use crate::types::Hash;
use crate::types::hash::NewValue;
use crate::util::long_double::LongDouble;
use crate::util::num::IntBuf;

pub(super) const HSET: Command = Command {
    name: "hset",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::block("data", &[arg::string("field"), arg::string("value")]).multiple(),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields being set.",
        summary: "Sets fields of a hash, and counts those that are new.",
        ..Docs::BASE
    },
    run: hset,
    ..Command::BASE
};

#[doc(alias = "hsetCommand")]
fn hset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let new = set_fields(ctx, &mut args)?;
    ctx.reply.count(new);
    Ok(())
}

pub(super) const HMSET: Command = Command {
    name: "hmset",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::block("data", &[arg::string("field"), arg::string("value")]).multiple(),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields being set.",
        summary: "Sets fields of a hash.",
        deprecated: Some(("4.0.0", "`HSET` with several fields")),
        ..Docs::BASE
    },
    run: hmset,
    ..Command::BASE
};

fn hmset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    set_fields(ctx, &mut args)?;
    ctx.reply.ok();
    Ok(())
}

/// HSET and HMSET: sets all fields, in the order of the request, and returns how many are new. A field that is
/// overwritten loses its deadline. Propagated as it came.
fn set_fields(ctx: &mut Ctx<'_>, args: &mut Args<'_>) -> Result<usize> {
    let key = args.key()?;
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    let (limits, pairs) = (limits(ctx), *args);
    let new = change(ctx, key, |hash| {
        hash.prepare(pairs.len() / 2, pairs, &limits);
        set_all(hash, pairs, &limits)
    })?;
    ctx.modified_n(key, HSET_EVENT, pairs.len() / 2);
    ctx.notify_fields(key, HSET_EVENT, pairs.step_by(2));
    Ok(new)
}

pub(super) const HSETNX: Command = Command {
    name: "hsetnx",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("field"), arg::string("value")],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Sets a field of a hash unless it is there.",
        ..Docs::BASE
    },
    run: hsetnx,
    ..Command::BASE
};

/// Sets a field that is missing or has expired; otherwise answers 0 and propagates nothing. The deletion of an expired
/// field is propagated before the HSETNX.
#[doc(alias = "hsetnxCommand")]
fn hsetnx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let pair = args;
    let name = args.bytes()?;
    if live(ctx, key, name)?.is_some() {
        ctx.reply.integer(0);
        return Ok(());
    }
    bury_if_over(ctx, key, name)?;
    let limits = limits(ctx);
    change(ctx, key, |hash| {
        hash.prepare(1, pair, &limits);
        hash.set(name, value_at(&args, args.position()), false, &limits)
    })?;
    ctx.modified(key, HSET_EVENT);
    ctx.notify_fields(key, HSET_EVENT, std::iter::once(name));
    ctx.reply.integer(1);
    Ok(())
}

pub(super) const HDEL: Command = Command {
    name: "hdel",
    arity: Arity::AtLeast(3),
    flags: &[Write, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::string("field").multiple()],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields named.",
        summary: "Deletes fields of a hash; a hash without fields is deleted, too.",
        ..Docs::BASE
    },
    run: hdel,
    ..Command::BASE
};

/// Deletes fields and answers how many existed, expired ones included. The key is deleted with its last field.
#[doc(alias = "hdelCommand")]
fn hdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    if ctx.db().get_mut_as::<Hash>(key)?.is_none() {
        ctx.reply.integer(0);
        return Ok(());
    }
    let told = keyspace::act::fields::hears_fields(ctx.state, HDEL_EVENT);
    let mut names = Vec::new();
    let (deleted, empty) = change(ctx, key, |hash| {
        let deleted = args.filter(|name| hash.remove(name));
        let deleted = deleted.inspect(|name| {
            if told {
                names.push(*name);
            }
        });
        (deleted.count(), hash.is_empty())
    })?;
    if deleted > 0 {
        if empty {
            ctx.delete_emptied(key);
        }
        ctx.modified_n(key, HDEL_EVENT, deleted);
        ctx.notify_fields(key, HDEL_EVENT, names.iter().copied());
        if empty {
            ctx.notify(key, Event::DEL);
        }
    }
    ctx.reply.count(deleted);
    Ok(())
}

pub(super) const HINCRBY: Command = Command {
    name: "hincrby",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::string("field"),
        arg::integer("increment"),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Adds an integer to the number in a field of a hash; a missing field counts as 0.",
        ..Docs::BASE
    },
    run: hincrby,
    ..Command::BASE
};

/// Adds to the integer of a field; a missing or expired field counts as 0. Fails, and changes nothing, if the value is
/// no integer or the sum leaves the range of 64 bits. The deadline stays.
#[doc(alias = "hincrbyCommand")]
fn hincrby(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let by = args.integer()?;
    let old = match live(ctx, key, name)? {
        Some(found) => found
            .value
            .parse_int()
            .ok_or_else(|| Error::once("hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::IncrementOverflow)?;
    bury_if_over(ctx, key, name)?;
    let limits = limits(ctx);
    change(ctx, key, |hash| {
        hash.set(name, NewValue::Int(new), true, &limits)
    })?;
    let event = Event::hash("hincrby");
    ctx.modified(key, event);
    ctx.notify_fields(key, event, std::iter::once(name));
    ctx.reply.integer(new);
    Ok(())
}

pub(super) const HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::string("field"),
        arg::double("increment"),
    ],
    docs: Docs {
        group: Group::Hash,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Adds a floating-point number to the one in a field of a hash; a missing field counts as 0.",
        ..Docs::BASE
    },
    run: hincrbyfloat,
    ..Command::BASE
};

/// Adds to the number of a field in extended precision and answers the sum. Fails if a number is not finite.
///
/// Propagated as its result, since another machine might round otherwise. HSET would remove the field's deadline, so a
/// hash with deadlines is propagated as HSETEX KEEPTTL, as in Redis 8. A hash without them is propagated as HSET, which
/// replicas of every version understand.
#[doc(alias = "hincrbyfloatCommand")]
fn hincrbyfloat(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let by = LongDouble::parse(args.bytes()?).ok_or(Error::NotFloat)?;
    if !by.is_finite() {
        return Err(Error::once("value is NaN or Infinity"));
    }
    let old = match live(ctx, key, name)? {
        Some(found) => LongDouble::parse(found.value.as_bytes(&mut IntBuf::new()))
            .ok_or_else(|| Error::once("hash value is not a float"))?,
        None => LongDouble::from(0),
    };
    let new = old
        .checked_add(by)
        .filter(LongDouble::is_finite)
        .ok_or(Error::NanOrInfinity)?
        .format();
    bury_if_over(ctx, key, name)?;
    let limits = limits(ctx);
    let timed = change(ctx, key, |hash| {
        hash.set(name, NewValue::Bytes(new.as_bytes()), true, &limits);
        hash.has_deadlines()
    })?;
    let event = Event::hash("hincrbyfloat");
    ctx.modified(key, event);
    ctx.notify_fields(key, event, std::iter::once(name));
    if timed {
        let keep: &[&[u8]] = &[b"KEEPTTL", b"FIELDS", b"1", name, new.as_bytes()];
        ctx.rewrite([&[b"HSETEX" as &[u8], key], keep].concat());
    } else {
        ctx.rewrite([b"HSET", key, name, new.as_bytes()]);
    }
    ctx.reply.bulk(new.as_bytes());
    Ok(())
}
