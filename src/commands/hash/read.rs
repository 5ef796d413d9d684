//! Commands that read a hash: HGET HMGET HGETALL HKEYS HVALS HLEN HEXISTS HSTRLEN HSCAN.
//!
//! An expired field is never shown. HGET, HMGET, HEXISTS and HSTRLEN delete the expired fields that they meet; HGETALL
//! and HSCAN pass over them, and HLEN counts them.
//!
//! Mirrors: the reading commands of t_hash.c.

use super::super::prelude::*;
use super::field_time;
use crate::keyspace;
use crate::resp::Reply;
use crate::types::Hash;
use crate::types::hash::{Found, is_past};
use crate::util::glob::{self, Case};
use crate::util::num::IntBuf;

/// The number of fields that a call of HSCAN looks at, unless COUNT is given.
const DEFAULT_COUNT: usize = 10;

pub(super) const HGET: Command = Command {
    name: "hget",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("field")],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Returns the value of a field of a hash.",
        ..Docs::BASE
    },
    run: hget,
    ..Command::BASE
};

#[doc(alias = "hgetCommand")]
fn hget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    one_field(ctx, key, name, |reply, found| match found {
        Some(found) => reply.string(found.value),
        None => reply.null(),
    })
}

pub(super) const HEXISTS: Command = Command {
    name: "hexists",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key"), arg::string("field")],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Tells whether a hash has a field.",
        ..Docs::BASE
    },
    run: hexists,
    ..Command::BASE
};

#[doc(alias = "hexistsCommand")]
fn hexists(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    one_field(ctx, key, name, |reply, found| {
        reply.integer(i64::from(found.is_some()));
    })
}

pub(super) const HSTRLEN: Command = Command {
    name: "hstrlen",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key"), arg::string("field")],
    docs: Docs {
        group: Group::Hash,
        since: "3.2.0",
        complexity: "O(1)",
        summary: "Returns the length of the value of a field of a hash.",
        ..Docs::BASE
    },
    run: hstrlen,
    ..Command::BASE
};

#[doc(alias = "hstrlenCommand")]
fn hstrlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    one_field(ctx, key, name, |reply, found| {
        reply.count(found.map_or(0, |found| found.value.len()));
    })
}

/// Looks one field up and hands it to `answer`; an expired field is handed over as missing, and deleted.
#[inline]
fn one_field(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    name: &[u8],
    answer: impl FnOnce(&mut Reply, Option<Found<'_>>),
) -> Result {
    let now = field_time(ctx);
    let Some(hash) = ctx.state.keyspace[ctx.db].get_as::<Hash>(key)? else {
        ctx.missed(key);
        answer(ctx.reply, None);
        return Ok(());
    };
    match hash.get(name) {
        Some(found) if is_past(found.deadline, now) => {
            answer(ctx.reply, None);
            keyspace::act::fields::bury_fields(ctx.state, ctx.db, key, &[name]);
        }
        found => answer(ctx.reply, found),
    }
    Ok(())
}

pub(super) const HMGET: Command = Command {
    name: "hmget",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("field").multiple()],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields named.",
        summary: "Returns the values of fields of a hash, nil for those it lacks.",
        ..Docs::BASE
    },
    run: hmget,
    ..Command::BASE
};

/// Answers the values of fields, null for missing ones. Expired fields are deleted, and their deletion is propagated.
#[doc(alias = "hmgetCommand")]
fn hmget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let now = field_time(ctx);
    let Some(hash) = ctx.state.keyspace[ctx.db].get_as::<Hash>(key)? else {
        ctx.missed(key);
        ctx.reply.array(args.len());
        args.for_each(|_| ctx.reply.null());
        return Ok(());
    };
    ctx.reply.array(args.len());
    let mut over = Vec::new();
    for name in args {
        match hash.get(name) {
            Some(found) if is_past(found.deadline, now) => {
                over.push(name);
                ctx.reply.null();
            }
            Some(found) => ctx.reply.string(found.value),
            None => ctx.reply.null(),
        }
    }
    keyspace::act::fields::bury_fields(ctx.state, ctx.db, key, &over);
    Ok(())
}

pub(super) const HLEN: Command = Command {
    name: "hlen",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Counts the fields of a hash.",
        ..Docs::BASE
    },
    run: hlen,
    ..Command::BASE
};

#[doc(alias = "hlenCommand")]
fn hlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match ctx.state.keyspace[ctx.db].get_as::<Hash>(key)? {
        Some(hash) => ctx.reply.count(hash.len()),
        None => {
            ctx.missed(key);
            ctx.reply.integer(0);
        }
    }
    Ok(())
}

pub(super) const HGETALL: Command = Command {
    name: "hgetall",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields.",
        summary: "Returns all fields and values of a hash.",
        ..Docs::BASE
    },
    run: hgetall,
    ..Command::BASE
};

#[doc(alias = "hgetallCommand")]
fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    all_fields(ctx, args, true, true)
}

pub(super) const HKEYS: Command = Command {
    name: "hkeys",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields.",
        summary: "Returns the names of all fields of a hash.",
        ..Docs::BASE
    },
    run: hkeys,
    ..Command::BASE
};

#[doc(alias = "hkeysCommand")]
fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    all_fields(ctx, args, true, false)
}

pub(super) const HVALS: Command = Command {
    name: "hvals",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Hash,
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields.",
        summary: "Returns all values of a hash.",
        ..Docs::BASE
    },
    run: hvals,
    ..Command::BASE
};

#[doc(alias = "hvalsCommand")]
fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    all_fields(ctx, args, false, true)
}

/// HGETALL, HKEYS and HVALS: answers all names, all values, or both (a map under RESP3). Expired fields are left out
/// and stay until the active expiry deletes them.
#[doc(alias = "genericHgetallCommand")]
fn all_fields(ctx: &mut Ctx<'_>, mut args: Args<'_>, names: bool, values: bool) -> Result {
    let key = args.key()?;
    let now = field_time(ctx);
    let hash = ctx.state.keyspace[ctx.db].get_as::<Hash>(key)?;
    let len = hash.map_or(0, |hash| hash.live_len(now));
    if names && values {
        ctx.reply.map(len);
    } else {
        ctx.reply.array(len);
    }
    let Some(hash) = hash else {
        ctx.missed(key);
        return Ok(());
    };
    let fields = hash.iter().filter(|field| !is_past(field.deadline, now));
    // The header of a damaged listpack may count more entries than there are, or fewer.
    let mut shown = 0;
    for field in fields.take(len) {
        shown += 1;
        if names {
            ctx.reply.string(field.name);
        }
        if values {
            ctx.reply.string(field.value);
        }
    }
    for _ in (shown..len).flat_map(|_| 0..usize::from(names) + usize::from(values)) {
        ctx.reply.bulk(b"");
    }
    Ok(())
}

pub(super) const HSCAN: Command = Command {
    name: "hscan",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::Hash],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("cursor"),
        arg::pattern("pattern").token("MATCH").optional(),
        arg::integer("count").token("COUNT").optional(),
        arg::word("novalues", "NOVALUES").optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Hash,
        since: "2.8.0",
        complexity: "O(1) for each call; O(N) for a whole walk through N fields.",
        summary: "Returns some fields of a hash, and the cursor to go on with; a field that is there all the while is returned exactly once.",
        ..Docs::BASE
    },
    run: hscan,
    ..Command::BASE
};

/// Answers the next cursor and the fields found on this step, with their values unless NOVALUES is given. For what the
/// cursor guarantees see [`keys`](crate::commands::keys); a hash in a listpack is shown whole in one call.
///
/// Expired fields are left out, not deleted.
#[doc(alias = "hscanCommand")]
fn hscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let cursor = args.cursor()?;
    let now = field_time(ctx);
    let Some(hash) = ctx.state.keyspace[ctx.db].get_as::<Hash>(key)? else {
        ctx.missed(key);
        ctx.reply.array(2);
        ctx.reply.bulk(b"0");
        ctx.reply.array(0);
        return Ok(());
    };
    let (mut pattern, mut count, mut values) = (None, DEFAULT_COUNT, true);
    while !args.is_empty() {
        if args.word_with("COUNT", 1) {
            count = usize::try_from(args.integer()?).map_err(|_| Error::Syntax)?;
            if count == 0 {
                return Err(Error::Syntax);
            }
        } else if args.word_with("MATCH", 1) {
            pattern = args.next().filter(|pattern| *pattern != b"*");
        } else if args.word("NOVALUES") {
            values = false;
        } else {
            return Err(Error::Syntax);
        }
    }

    // The cursor comes first in the reply but is known last, so the fields are gathered before they are written.
    let (mut words, mut ends) = (Vec::new(), Vec::new());
    let next = hash.scan(cursor, count, &mut |field| {
        let mut scratch = IntBuf::new();
        let name = field.name.as_bytes(&mut scratch);
        if is_past(field.deadline, now)
            || pattern.is_some_and(|p| !glob::matches(p, name, Case::Sensitive))
        {
            return;
        }
        words.extend_from_slice(name);
        ends.push(words.len());
        if values {
            words.extend_from_slice(field.value.as_bytes(&mut scratch));
            ends.push(words.len());
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(IntBuf::new().format_u64(next));
    ctx.reply.array(ends.len());
    let mut start = 0;
    for end in ends {
        ctx.reply.bulk(&words[start..end]);
        start = end;
    }
    Ok(())
}
