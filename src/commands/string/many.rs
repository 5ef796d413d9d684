//! Commands that work on several strings: MGET, MSET, MSETNX, MSETEX.
//!
//! Keys are looked up in batches: the memory of [`BATCH`] keys is requested before the first of them is used, so that
//! the processor waits for all of them at once.
//!
//! Mirrors: `mgetCommand()`, `msetGenericCommand()` and `msetexCommand()` of t_string.c; the batches,
//! memory_prefetch.c.
//! Differs: MSETEX is propagated as one SET for each key.

use super::super::prelude::*;
use super::options::{Dialect, Expiry, Options};
use crate::keyspace::{Db, Deadline, KeyHash};
use crate::util::num::IntBuf;

/// The number of keys whose memory is requested together.
const BATCH: usize = 16;

/// Brings the keys at the next places (every `step`th) on their way from memory before the first is looked up.
fn prefetch(db: &Db, args: &Args<'_>, step: usize) {
    let mut hashes = [KeyHash::default(); BATCH];
    let mut n = 0;
    for (hash, key) in hashes.iter_mut().zip((*args).step_by(step)) {
        *hash = db.hash(key);
        n += 1;
    }
    if n > 1 {
        db.prefetch(&hashes[..n]);
    }
}

pub(super) const MGET: Command = Command {
    name: "mget",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["request_policy:multi_shard"],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys.",
        summary: "Returns the strings of several keys, null for those that hold none.",
        ..Docs::BASE
    },
    run: mget,
    ..Command::BASE
};

/// Answers the string of each key, null for a missing key and for one of another type; never fails.
#[doc(alias = "mgetCommand")]
fn mget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    ctx.reply.array(args.len());
    let mut i = 0;
    while let Some(key) = args.peek() {
        let db = &ctx.state.keyspace[ctx.db];
        if i % BATCH == 0 {
            prefetch(db, &args, 1);
        }
        i += 1;
        args.key()?;
        match db.get(key) {
            Some(entry) => match entry.string() {
                Some(string) => ctx.reply.string(string),
                None => ctx.reply.null(),
            },
            None => {
                ctx.reply.null();
                ctx.missed(key);
            }
        }
    }
    Ok(())
}

/// Stores the remaining pairs of the request, with the same deadline for each.
fn store_all(ctx: &mut Ctx<'_>, mut args: Args<'_>, deadline: Deadline) -> Result {
    let mut i = 0;
    while !args.is_empty() {
        if i % BATCH == 0 {
            prefetch(&ctx.state.keyspace[ctx.db], &args, 2);
        }
        i += 1;
        let key = args.key()?;
        let value = args.value()?;
        ctx.store(key, value, deadline);
        if matches!(deadline, Deadline::Set(Some(_))) {
            ctx.notify(key, Event::EXPIRE);
        }
        ctx.modified(key, Event::SET);
    }
    Ok(())
}

/// Whether at least one of the keys (every second argument) exists, or with `present` false, is missing.
fn any_key(ctx: &Ctx<'_>, args: Args<'_>, present: bool) -> bool {
    let db = &ctx.state.keyspace[ctx.db];
    let mut keys = args.step_by(2);
    keys.any(|key| db.contains(key) == present)
}

pub(super) const MSET: Command = Command {
    name: "mset",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Update]).to(-1, 2)],
    args: &[arg::block("data", &[arg::key("key"), arg::string("value")]).multiple()],
    tips: &[
        "request_policy:multi_shard",
        "response_policy:all_succeeded",
    ],
    docs: Docs {
        group: Group::String,
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys.",
        summary: "Makes several keys hold strings, all at once.",
        ..Docs::BASE
    },
    run: mset,
    ..Command::BASE
};

/// Stores all pairs, in the order of the request; a key that comes twice ends with its last value. Never fails half
/// way: the number of arguments is checked first, and values of any type are overwritten.
#[doc(alias = "msetCommand")]
fn mset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    store_all(ctx, args, Deadline::Set(None))?;
    ctx.reply.ok();
    Ok(())
}

pub(super) const MSETNX: Command = Command {
    name: "msetnx",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Insert]).to(-1, 2)],
    args: &[arg::block("data", &[arg::key("key"), arg::string("value")]).multiple()],
    docs: Docs {
        group: Group::String,
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys.",
        summary: "Makes several keys hold strings, all at once, if none of them is there yet.",
        ..Docs::BASE
    },
    run: msetnx,
    ..Command::BASE
};

/// Stores all pairs, or none of them if at least one key exists. In the latter case the command is not propagated.
#[doc(alias = "msetnxCommand")]
fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    if any_key(ctx, args, true) {
        ctx.reply.integer(0);
        return Ok(());
    }
    store_all(ctx, args, Deadline::Set(None))?;
    ctx.reply.integer(1);
    Ok(())
}

pub(super) const MSETEX: Command = Command {
    name: "msetex",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ow, Update]).counted(0, 1, 2)],
    args: &[
        arg::integer("numkeys"),
        arg::block("data", &[arg::key("key"), arg::string("value")]).multiple(),
        arg::one_of("condition", &[arg::word("nx", "NX"), arg::word("xx", "XX")]).optional(),
        arg::one_of(
            "expiration",
            &[
                arg::integer("seconds").token("EX"),
                arg::integer("milliseconds").token("PX"),
                arg::unix_time("unix-time-seconds").token("EXAT"),
                arg::unix_time("unix-time-milliseconds").token("PXAT"),
                arg::word("keepttl", "KEEPTTL"),
            ],
        )
        .optional(),
    ],
    tips: &[
        "request_policy:multi_shard",
        "response_policy:all_succeeded",
    ],
    docs: Docs {
        group: Group::String,
        since: "8.4.0",
        complexity: "O(N) where N is the number of keys.",
        summary: "Makes several keys hold strings, all at once, with one deadline for all; if none of them is there yet, or all are, if wanted.",
        ..Docs::BASE
    },
    run: msetex,
    ..Command::BASE
};

/// Propagates pairs as one SET each, with the deadline as a moment: replicas of every version understand those.
fn say_sets(ctx: &mut Ctx<'_>, mut pairs: Args<'_>, deadline: Deadline) {
    let mut digits = IntBuf::new();
    while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
        let set: [&[u8]; 3] = [b"SET", key, value];
        match deadline {
            Deadline::Keep => ctx.also(set.into_iter().chain([&b"KEEPTTL"[..]])),
            Deadline::Set(None) => ctx.also(set),
            Deadline::Set(Some(at)) => {
                let pxat: [&[u8]; 2] = [b"PXAT", digits.format(at)];
                ctx.also(set.into_iter().chain(pxat));
            }
        }
    }
    ctx.suppress();
}

/// Stores all pairs with one deadline, if their keys meet the condition (NX: none exists, XX: all exist).
///
/// The condition has been decided when the command is propagated, so replicas receive plain SETs ([`say_sets`]). A
/// condition that does not hold answers 0 and propagates nothing.
#[doc(alias = "msetexCommand")]
fn msetex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let invalid = || Error::once("invalid numkeys value");
    let keys = args.integer_or(invalid())?;
    let keys = i32::try_from(keys).ok().filter(|n| *n >= 1);
    let words = 2 * keys.ok_or_else(invalid)? as usize;
    if args.len() < words {
        return Err(Error::once("wrong number of key-value pairs"));
    }
    let pairs = Args::take(&mut args, words)?;
    let options = Options::read(&mut args, Dialect::MSetEx)?;
    let at = options.expiry.deadline(ctx)?;

    if options.if_absent && any_key(ctx, pairs, true)
        || options.if_present && any_key(ctx, pairs, false)
    {
        ctx.reply.integer(0);
        return Ok(());
    }
    let deadline = match options.expiry {
        Expiry::Keep => Deadline::Keep,
        _ => Deadline::Set(at),
    };
    store_all(ctx, pairs, deadline)?;
    say_sets(ctx, pairs, deadline);
    ctx.reply.integer(1);
    Ok(())
}
