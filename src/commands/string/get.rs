//! Commands that read one string and may change its key on the way: GET, GETDEL, GETEX, GETRANGE, STRLEN.
//!
//! Mirrors: the commands of the same names in t_string.c. Cost: a whole long string is not copied into the reply; the
//! reply shares it with the keyspace.

use super::super::prelude::*;
use super::options::{Dialect, Expiry, Options};
use crate::keyspace;
use crate::keyspace::StrRef;
use crate::types::string::range;
use crate::util::num::IntBuf;

pub(super) const GET: Command = Command {
    name: "get",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the string a key holds.",
        ..Docs::BASE
    },
    run: get,
    ..Command::BASE
};

#[doc(alias = "getCommand")]
fn get(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match ctx.state.keyspace[ctx.db].get_string(key)? {
        Some(string) => ctx.reply.string(string),
        None => absent(ctx, key),
    }
    Ok(())
}

#[cold]
fn absent(ctx: &mut Ctx<'_>, key: &[u8]) {
    ctx.missed(key);
    ctx.reply.null();
}

pub(super) const GETDEL: Command = Command {
    name: "getdel",
    arity: Arity::Exactly(2),
    flags: &[Write, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Returns the string a key holds, and deletes the key.",
        ..Docs::BASE
    },
    run: getdel,
    ..Command::BASE
};

/// Answers the string and deletes its key; a missing key answers null and propagates nothing.
///
/// The command is propagated as DEL. The value is freed here, not on a worker thread.
#[doc(alias = "getdelCommand")]
fn getdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match ctx.state.keyspace[ctx.db].get_string(key)? {
        Some(string) => ctx.reply.string(string),
        None => {
            absent(ctx, key);
            return Ok(());
        }
    }
    ctx.delete(key, false);
    ctx.rewrite_as(&[b"DEL", key]);
    ctx.modified(key, Event::DEL);
    Ok(())
}

pub(super) const GETEX: Command = Command {
    name: "getex",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::one_of(
            "expiration",
            &[
                arg::integer("seconds").token("EX"),
                arg::integer("milliseconds").token("PX"),
                arg::unix_time("unix-time-seconds").token("EXAT"),
                arg::unix_time("unix-time-milliseconds").token("PXAT"),
                arg::word("persist", "PERSIST"),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::String,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Returns the string a key holds, and sets or removes the key's deadline.",
        ..Docs::BASE
    },
    run: getex,
    ..Command::BASE
};

/// Answers the string and may change when its key expires. A plain `GETEX key` changes nothing and propagates nothing.
///
/// | request | what is propagated | event |
/// |---|---|---|
/// | `GETEX k EX 10`, `PX 10000`, `EXAT …`, `PXAT …` | `PEXPIREAT k <unix time in ms>` | `expire` |
/// | `GETEX k EXAT 1` (a moment in the past) | DEL or UNLINK; the string is answered first | `del` |
/// | `GETEX k PERSIST`, if there was a deadline | `PERSIST k` | `persist` |
///
/// A relative time becomes an absolute one, so that a replica that applies it a second later agrees on the deadline.
#[doc(alias = "getexCommand")]
fn getex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let options = Options::read(&mut args, Dialect::GetEx)?;

    if ctx.state.keyspace[ctx.db].get_string(key)?.is_none() {
        absent(ctx, key);
        return Ok(());
    }
    let deadline = options.expiry.deadline(ctx)?;
    let gone = match (options.expiry, deadline) {
        (Expiry::At(unit, _), Some(at)) => unit.is_absolute() && ctx.is_past(at),
        _ => false,
    };
    let db = &mut ctx.state.keyspace[ctx.db];
    let Some(mut entry) = db.get_mut(key) else {
        return Ok(());
    };
    // The reply is written before the key may be deleted below.
    if let Some(string) = entry.string() {
        ctx.reply.string(string);
    }

    if gone {
        ctx.delete(key, ctx.state.config.lazyfree_lazy_expire);
        ctx.rewrite_as(&[
            keyspace::act::expire::expire_word(ctx.state).as_bytes(),
            key,
        ]);
        ctx.modified(key, Event::DEL);
    } else if let Some(at) = deadline {
        entry.set_deadline(Some(at));
        ctx.rewrite_as(&[b"PEXPIREAT", key, IntBuf::new().format(at)]);
        ctx.modified(key, Event::EXPIRE);
    } else if options.expiry == Expiry::Persist && entry.set_deadline(None) {
        ctx.rewrite_as(&[b"PERSIST", key]);
        ctx.modified(key, Event::PERSIST);
    }
    Ok(())
}

pub(super) const GETRANGE: Command = Command {
    name: "getrange",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("start"), arg::integer("end")],
    docs: Docs {
        group: Group::String,
        since: "2.4.0",
        complexity: "O(N) where N is the length of the result.",
        summary: "Returns a part of the string a key holds; negative positions count from its end.",
        ..Docs::BASE
    },
    run: getrange,
    ..Command::BASE
};

pub(super) const SUBSTR: Command = Command {
    name: "substr",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("start"), arg::integer("end")],
    docs: Docs {
        group: Group::String,
        since: "1.0.0",
        complexity: "O(N) where N is the length of the result.",
        summary: "Returns a part of the string a key holds.",
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        ..Docs::BASE
    },
    run: getrange,
    ..Command::BASE
};

/// Answers a part of a string: both positions are included, -1 is the last byte, and a range outside of the string is
/// an empty reply. `GETRANGE k 0 -1` is all of it.
#[doc(alias = "getrangeCommand")]
fn getrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let start = args.integer()?;
    let end = args.integer()?;

    let Some(string) = ctx.state.keyspace[ctx.db].get_string(key)? else {
        ctx.missed(key);
        ctx.reply.bulk(b"");
        return Ok(());
    };
    match range(start, end, string.len()) {
        // A range of the whole string is answered without copying it.
        Some(all) if all.len() == string.len() => ctx.reply.string(string),
        Some(part) => ctx.reply.bulk(&string.as_bytes(&mut IntBuf::new())[part]),
        None => ctx.reply.bulk(b""),
    }
    Ok(())
}

pub(super) const STRLEN: Command = Command {
    name: "strlen",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::String,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Returns how many bytes the string of a key has.",
        ..Docs::BASE
    },
    run: strlen,
    ..Command::BASE
};

#[doc(alias = "strlenCommand")]
fn strlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let string = ctx.state.keyspace[ctx.db].get_string(key)?;
    let len = string.as_ref().map(StrRef::len);
    if len.is_none() {
        ctx.missed(key);
    }
    ctx.reply.count(len.unwrap_or(0));
    Ok(())
}
