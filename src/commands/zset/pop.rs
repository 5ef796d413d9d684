//! Taking members from an end: ZPOPMIN, ZPOPMAX, ZMPOP, and BZPOPMIN, BZPOPMAX, BZMPOP, which block if there are none.
//!
//! A blocking command is propagated as the pop that it became: ZPOPMIN or ZPOPMAX of one key.
//!
//! ```text
//!   client 1   BZPOPMIN jobs 0                  blocked: jobs does not exist
//!   client 2   ZADD jobs 3 mend                 1
//!   client 1                                    jobs, mend, 3;  propagated: ZADD jobs 3 mend, ZPOPMIN jobs
//! ```
//!
//! Mirrors: `genericZpopCommand()` and `blockingGenericZpopCommand()` of t_zset.c.

use super::super::lookup::element;
use super::super::prelude::*;
use super::members;
use crate::clients::WaitKind;
use crate::keyspace::Ms;
use crate::types::zset::{Direction, Zset};

/// The end from which members are taken: `Up` takes the lowest scores, `Down` the highest.
type End = Direction;

fn event(end: End) -> Event {
    match end {
        End::Up => Event::zset("zpopmin"),
        End::Down => Event::zset("zpopmax"),
    }
}

/// The form of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// member, score, member, score …; under RESP3 of pairs, if a count was given.
    Members { counted: bool },
    /// key, member, score
    KeyAndOne,
    /// key, [[member, score], …]
    KeyAndPairs,
}

/// Takes up to `count` members from the sorted set under a key and answers with them; returns how many. `None`, and no
/// answer, if the key is missing. The key is deleted with its last member.
#[doc(alias = "genericZpopCommand")]
fn pop(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize, form: Form) -> Result<Option<usize>> {
    let state = &mut *ctx.state;
    let Some(zset) = state.keyspace[ctx.db].get_mut_as::<Zset>(key)? else {
        return Ok(None);
    };
    let reply = &mut *ctx.reply;
    let len = zset.len();
    let count = count.min(len);
    let ranks = match end {
        End::Up => 0..count as u64,
        End::Down => (len - count) as u64..len as u64,
    };
    match form {
        Form::Members { counted } if counted || !reply.resp3() => {
            members(reply, zset, ranks.clone(), end, true);
        }
        Form::Members { .. } => {
            reply.array(2 * count);
            for scored in zset.range(ranks.clone(), end) {
                element(reply, scored.member);
                reply.double(scored.score);
            }
        }
        Form::KeyAndOne => {
            reply.array(1 + 2 * count);
            reply.bulk(key);
            for scored in zset.range(ranks.clone(), end) {
                element(reply, scored.member);
                reply.double(scored.score);
            }
        }
        Form::KeyAndPairs => {
            reply.array(2);
            reply.bulk(key);
            reply.array(count);
            for scored in zset.range(ranks.clone(), end) {
                reply.array(2);
                element(reply, scored.member);
                reply.double(scored.score);
            }
        }
    }
    if count > 0 {
        zset.remove_range(ranks);
        let empty = zset.is_empty();
        ctx.modified_n(key, event(end), count);
        if empty {
            ctx.emptied(key);
        }
    }
    Ok(Some(count))
}

/// Takes from the first key that holds a sorted set, and returns whether there was one. Propagated as a pop from that
/// key.
fn pop_first(ctx: &mut Ctx<'_>, keys: Args<'_>, end: End, count: Option<usize>) -> Result<bool> {
    let form = match count {
        Some(_) => Form::KeyAndPairs,
        None => Form::KeyAndOne,
    };
    for key in keys {
        let Some(taken) = pop(ctx, key, end, count.unwrap_or(1), form)? else {
            continue;
        };
        let name: &[u8] = match end {
            End::Up => b"ZPOPMIN",
            End::Down => b"ZPOPMAX",
        };
        ctx.rewrite_with(|words| {
            words.push(name);
            words.push(key);
            if count.is_some() {
                words.push_integer(taken as i64);
            }
        });
        return Ok(true);
    }
    Ok(false)
}

pub(super) const ZPOPMIN: Command = Command {
    name: "zpopmin",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[arg::key("key"), arg::integer("count").optional()],
    docs: Docs {
        group: Group::SortedSet,
        since: "5.0.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those taken",
        summary: "Takes the members of lowest score.",
        ..Docs::BASE
    },
    run: zpopmin,
    ..Command::BASE
};

#[doc(alias = "zpopminCommand")]
fn zpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop_one_key(ctx, args, End::Up)
}

pub(super) const ZPOPMAX: Command = Command {
    name: "zpopmax",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[arg::key("key"), arg::integer("count").optional()],
    docs: Docs {
        group: Group::SortedSet,
        since: "5.0.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those taken",
        summary: "Takes the members of highest score.",
        ..Docs::BASE
    },
    run: zpopmax,
    ..Command::BASE
};

#[doc(alias = "zpopmaxCommand")]
fn zpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    pop_one_key(ctx, args, End::Down)
}

/// ZPOPMIN and ZPOPMAX: a missing key answers an empty array. Propagated as it came.
#[doc(alias = "zpopMinMaxCommand")]
fn pop_one_key(ctx: &mut Ctx<'_>, mut args: Args<'_>, end: End) -> Result {
    let key = args.key()?;
    if args.len() > 1 {
        return Err(Error::Syntax);
    }
    let counted = !args.is_empty();
    let count = if counted { args.positive()? } else { 1 };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if pop(ctx, key, end, count, Form::Members { counted })?.is_none() {
        ctx.reply.array(0);
    }
    Ok(())
}

pub(super) const ZMPOP: Command = Command {
    name: "zmpop",
    arity: Arity::AtLeast(4),
    flags: &[Write, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::one_of("where", &[arg::word("min", "MIN"), arg::word("max", "MAX")]),
        arg::integer("count").token("COUNT").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "7.0.0",
        complexity: "O(K+log(N)+M) where K is the number of keys, N the number of members and M the number of those taken",
        summary: "Takes members from an end of the first sorted set that has some.",
        ..Docs::BASE
    },
    run: zmpop,
    ..Command::BASE
};

/// Takes from the first of several keys that exists, or answers null. Propagated as ZPOPMIN or ZPOPMAX with the number
/// of members that were taken.
#[doc(alias = "zmpopCommand")]
fn zmpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (keys, end, count) = many_keys(&mut args)?;
    if !pop_first(ctx, keys, end, Some(count))? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// Reads the keys, MIN or MAX, and COUNT.
#[doc(alias = "zmpopGenericCommand")]
fn many_keys<'a>(args: &mut Args<'a>) -> Result<(Args<'a>, End, usize)> {
    const NO_KEYS: Error = Error::Once(std::borrow::Cow::Borrowed(
        "numkeys should be greater than 0",
    ));
    const NO_COUNT: Error =
        Error::Once(std::borrow::Cow::Borrowed("count should be greater than 0"));
    let keys = args.integer_or(NO_KEYS)?;
    if keys < 1 {
        return Err(NO_KEYS);
    }
    let keys = usize::try_from(keys).map_err(|_| Error::Syntax)?;
    let keys = Args::take(args, keys)?;
    let end = if args.word("MIN") {
        End::Up
    } else if args.word("MAX") {
        End::Down
    } else {
        return Err(Error::Syntax);
    };
    let mut count = None;
    while !args.is_empty() {
        if count.is_some() || !args.word_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        let n = args.integer_or(NO_COUNT)?;
        if n < 1 {
            return Err(NO_COUNT);
        }
        count = Some(usize::try_from(n).unwrap_or(usize::MAX));
    }
    Ok((keys, end, count.unwrap_or(1)))
}

pub(super) const BZPOPMIN: Command = Command {
    name: "bzpopmin",
    arity: Arity::AtLeast(3),
    flags: &[Write, Blocking, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete]).to(-2, 1)],
    args: &[arg::key("key").multiple(), arg::double("timeout")],
    docs: Docs {
        group: Group::SortedSet,
        since: "5.0.0",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Takes the member of lowest score of the first sorted set that has one, or waits for it.",
        ..Docs::BASE
    },
    run: bzpopmin,
    ..Command::BASE
};

#[doc(alias = "bzpopminCommand")]
fn bzpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    blocking_pop(ctx, args, End::Up)
}

pub(super) const BZPOPMAX: Command = Command {
    name: "bzpopmax",
    arity: Arity::AtLeast(3),
    flags: &[Write, Blocking, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete]).to(-2, 1)],
    args: &[arg::key("key").multiple(), arg::double("timeout")],
    docs: Docs {
        group: Group::SortedSet,
        since: "5.0.0",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Takes the member of highest score of the first sorted set that has one, or waits for it.",
        ..Docs::BASE
    },
    run: bzpopmax,
    ..Command::BASE
};

#[doc(alias = "bzpopmaxCommand")]
fn bzpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    blocking_pop(ctx, args, End::Down)
}

/// BZPOPMIN and BZPOPMAX: takes one member from the first key that exists, or blocks on all of them until the timeout.
/// The command runs again, whole, when one of the keys is written.
#[doc(alias = "blockingGenericZpopCommand")]
fn blocking_pop(ctx: &mut Ctx<'_>, mut args: Args<'_>, end: End) -> Result {
    let keys = args.len() - 1;
    let keys = Args::take(&mut args, keys)?;
    let deadline = ctx.timeout_seconds(&mut args)?;
    if !pop_first(ctx, keys, end, None)? {
        wait(ctx, &args, deadline, keys);
    }
    Ok(())
}

pub(super) const BZMPOP: Command = Command {
    name: "bzmpop",
    arity: Arity::AtLeast(5),
    flags: &[Write, Blocking, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(2, &[Rw, Access, Delete]).counted(0, 1, 1)],
    args: &[
        arg::double("timeout"),
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::one_of("where", &[arg::word("min", "MIN"), arg::word("max", "MAX")]),
        arg::integer("count").token("COUNT").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "7.0.0",
        complexity: "O(K+log(N)+M) where K is the number of keys, N the number of members and M the number of those taken",
        summary: "As ZMPOP, but waits for a member if there is none.",
        ..Docs::BASE
    },
    run: bzmpop,
    ..Command::BASE
};

/// ZMPOP that blocks if all keys are missing.
#[doc(alias = "bzmpopCommand")]
fn bzmpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut timeout = Args::take(&mut args, 1)?;
    let (keys, end, count) = many_keys(&mut args)?;
    let deadline = ctx.timeout_seconds(&mut timeout)?;
    if !pop_first(ctx, keys, end, Some(count))? {
        wait(ctx, &args, deadline, keys);
    }
    Ok(())
}

/// Blocks the client on the keys after nothing was found; where blocking is not allowed (in a transaction or a script),
/// answers null as after a timeout.
fn wait(ctx: &mut Ctx<'_>, args: &Args<'_>, deadline: Option<Ms>, keys: Args<'_>) {
    if ctx.may_block() {
        ctx.block_on_keys(WaitKind::Zset, args.argv().to_owned(), deadline, keys);
    } else {
        ctx.reply.null_array();
    }
}
