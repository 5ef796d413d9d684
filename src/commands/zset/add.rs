//! Commands that change members and scores: ZADD, ZINCRBY, ZREM, ZREMRANGEBYRANK and its siblings.
//!
//! Mirrors: `zaddGenericCommand()`, `zremCommand()` and `zremrangeGenericCommand()` of t_zset.c.

use super::super::prelude::*;
use super::{between, lex_bounds, score_bounds};
use crate::types::zset::{Added, Conditions, Direction, NotANumber, Zset};

pub(super) const ZADD: Command = Command {
    name: "zadd",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::one_of("condition", &[arg::word("nx", "NX"), arg::word("xx", "XX")])
            .optional()
            .since("3.0.2"),
        arg::one_of(
            "comparison",
            &[arg::word("gt", "GT"), arg::word("lt", "LT")],
        )
        .optional()
        .since("6.2.0"),
        arg::word("change", "CH").optional().since("3.0.2"),
        arg::word("increment", "INCR").optional().since("3.0.2"),
        arg::block("data", &[arg::double("score"), arg::string("member")]).multiple(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)) for each member, N being the members there are",
        summary: "Adds members with their scores, or gives members that are there other scores.",
        ..Docs::BASE
    },
    run: zadd,
    ..Command::BASE
};

#[doc(alias = "zaddCommand")]
fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    add(ctx, args, Conditions::default())
}

pub(super) const ZINCRBY: Command = Command {
    name: "zincrby",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Access, Update])],
    args: &[
        arg::key("key"),
        arg::integer("increment"),
        arg::string("member"),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Adds a number to a member's score; a missing member counts as 0.",
        ..Docs::BASE
    },
    run: zincrby,
    ..Command::BASE
};

#[doc(alias = "zincrbyCommand")]
fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let conditions = Conditions {
        increment: true,
        ..Conditions::default()
    };
    add(ctx, args, conditions)
}

/// ZADD and ZINCRBY: reads options, then all scores, then adds. A wrong option or score changes nothing.
///
/// GT and LT keep an existing member's score unless the new one is greater, or less; they always let new members in.
/// With `z` holding `a` with score 5:
///
/// ```text
///   ZADD z GT CH 3 a 3 b      1    a keeps 5, b is new
///   ZADD z GT CH 7 a          1    a gets 7
///   ZADD z LT CH 9 a          0    a keeps 7
///   ZADD z XX CH 1 a 1 c      1    a gets 1, c is not added
///   ZADD z NX CH 2 a 2 d      1    a keeps 1, d is new
///   ZADD z GT INCR -1 a       null the condition refused the sum
/// ```
///
/// Answers how many members are new, with CH also those whose score changed; with INCR the new score, or null.
/// Propagated as it came, if something changed.
#[doc(alias = "zaddGenericCommand")]
fn add(ctx: &mut Ctx<'_>, mut args: Args<'_>, mut conditions: Conditions) -> Result {
    let key = args.key()?;
    let mut changes = false;
    loop {
        if args.word("NX") {
            conditions.only_new = true;
        } else if args.word("XX") {
            conditions.only_old = true;
        } else if args.word("CH") {
            changes = true;
        } else if args.word("INCR") {
            conditions.increment = true;
        } else if args.word("GT") {
            conditions.only_greater = true;
        } else if args.word("LT") {
            conditions.only_less = true;
        } else {
            break;
        }
    }
    if args.is_empty() || !args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let Conditions {
        only_new: nx,
        only_old: xx,
        only_greater: gt,
        only_less: lt,
        increment,
    } = conditions;
    if nx && xx {
        return Err(Error::once(
            "XX and NX options at the same time are not compatible",
        ));
    }
    if [gt, lt, nx].into_iter().filter(|given| *given).count() > 1 {
        return Err(Error::once(
            "GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if increment && args.len() > 2 {
        return Err(Error::once(
            "INCR option supports a single increment-element pair",
        ));
    }
    // All scores are checked before anything changes; reading a number twice is cheaper than keeping it.
    let mut ahead = args;
    while !ahead.is_empty() {
        ahead.float()?;
        ahead.bytes()?;
    }

    let count = args.len() / 2;
    let pairs = std::iter::from_fn(|| Some((args.float().ok()?, args.bytes().ok()?)));
    add_all(ctx, key, conditions, changes, count, pairs)
}

/// Adds pairs of score and member and answers as ZADD does. GEOADD comes here too.
pub(in crate::commands) fn add_all<'a>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    conditions: Conditions,
    count_changes: bool,
    count: usize,
    mut pairs: impl Iterator<Item = (f64, &'a [u8])>,
) -> Result {
    let limits = super::zset_limits(ctx.state);
    let (mut added, mut moved, mut last) = (0, 0, None);
    let mut fill = |zset: &mut Zset, score: f64, member: &[u8]| -> Result {
        match zset.add(member, score, conditions, limits) {
            Ok(Added::New(score)) => (added, last) = (added + 1, Some(score)),
            Ok(Added::Moved(score)) => (moved, last) = (moved + 1, Some(score)),
            Ok(Added::Same(score)) => last = Some(score),
            Ok(Added::Refused) => {}
            Err(NotANumber) => {
                return Err(Error::once("resulting score is not a number (NaN)"));
            }
        }
        Ok(())
    };
    match ctx.db().get_mut_as::<Zset>(key)? {
        Some(zset) => {
            zset.grow_for(count, limits);
            for (score, member) in pairs {
                fill(zset, score, member)?;
            }
        }
        None if conditions.only_old => {}
        None => {
            if let Some((score, member)) = pairs.next() {
                let mut zset = Zset::new(count, member.len(), limits);
                fill(&mut zset, score, member)?;
                for (score, member) in pairs {
                    fill(&mut zset, score, member)?;
                }
                ctx.create(key, zset);
            }
        }
    }
    if added + moved > 0 {
        let event = if conditions.increment {
            "zincr"
        } else {
            "zadd"
        };
        ctx.modified_n(key, Event::zset(event), added + moved);
    }
    match last {
        Some(score) if conditions.increment => ctx.reply.double(score),
        None if conditions.increment => ctx.reply.null(),
        _ => ctx
            .reply
            .count(added + if count_changes { moved } else { 0 }),
    }
    Ok(())
}

pub(super) const ZREM: Command = Command {
    name: "zrem",
    arity: Arity::AtLeast(3),
    flags: &[Write, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::string("member").multiple()],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(M*log(N)) where N is the number of members and M the number of those removed",
        summary: "Removes members; the sorted set goes with its last one.",
        ..Docs::BASE
    },
    run: zrem,
    ..Command::BASE
};

/// Removes members and answers how many existed. The key is deleted with its last member.
#[doc(alias = "zremCommand")]
fn zrem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let Some(zset) = ctx.db().get_mut_as::<Zset>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let mut removed = 0;
    for member in args {
        removed += usize::from(zset.remove(member));
        if zset.is_empty() {
            break;
        }
    }
    let empty = zset.is_empty();
    gone(ctx, key, "zrem", removed, empty);
    Ok(())
}

/// Publishes that members were removed, deletes the key if it is `empty`, and answers how many were removed.
fn gone(ctx: &mut Ctx<'_>, key: &[u8], event: &'static str, removed: usize, empty: bool) {
    if removed > 0 {
        ctx.modified_n(key, Event::zset(event), removed);
        if empty {
            ctx.emptied(key);
        }
    }
    ctx.reply.count(removed);
}

pub(super) const ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    arity: Arity::Exactly(4),
    flags: &[Write],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::integer("start"), arg::integer("stop")],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.0.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those removed",
        summary: "Removes the members between two ranks.",
        ..Docs::BASE
    },
    run: zremrangebyrank,
    ..Command::BASE
};

#[doc(alias = "zremrangebyrankCommand")]
fn zremrangebyrank(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, stop) = (args.integer()?, args.integer()?);
    remove_range(ctx, key, "zremrangebyrank", |zset| {
        between(start, stop, zset.len())
    })
}

pub(super) const ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    arity: Arity::Exactly(4),
    flags: &[Write],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::double("min"), arg::double("max")],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those removed",
        summary: "Removes the members between two scores.",
        ..Docs::BASE
    },
    run: zremrangebyscore,
    ..Command::BASE
};

#[doc(alias = "zremrangebyscoreCommand")]
fn zremrangebyscore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (min, max) = score_bounds(&mut args)?;
    remove_range(ctx, key, "zremrangebyscore", |zset| {
        zset.score_range(min, max)
    })
}

pub(super) const ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    arity: Arity::Exactly(4),
    flags: &[Write],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::string("min"), arg::string("max")],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those removed",
        summary: "Removes the members between two others, all of one score.",
        ..Docs::BASE
    },
    run: zremrangebylex,
    ..Command::BASE
};

#[doc(alias = "zremrangebylexCommand")]
fn zremrangebylex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (min, max) = lex_bounds(&mut args)?;
    remove_range(ctx, key, "zremrangebylex", |zset| {
        zset.lex_range(min, max, Direction::Up)
    })
}

/// ZREMRANGEBYRANK, -BYSCORE and -BYLEX: removes the members at the ranks that `ranks` computes, and answers how many
/// there were. The key is deleted with its last member.
#[doc(alias = "zremrangeGenericCommand")]
fn remove_range(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    event: &'static str,
    ranks: impl FnOnce(&Zset) -> std::ops::Range<u64>,
) -> Result {
    let Some(zset) = ctx.db().get_mut_as::<Zset>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let ranks = ranks(zset);
    let removed = zset.remove_range(ranks);
    let empty = zset.is_empty();
    gone(ctx, key, event, removed, empty);
    Ok(())
}
