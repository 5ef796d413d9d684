//! Commands that look one member up, or count members: ZSCORE, ZRANK, ZCOUNT, ZSCAN, ZRANDMEMBER and the like.
//!
//! Mirrors: the reading commands of t_zset.c. Cost: the number of members in a range of scores is the difference of two
//! ranks, O(log N) each.

use std::collections::HashSet;

use super::super::lookup::element;
use super::super::prelude::*;
use super::{begin_members, lex_bounds, members, one_member, score_bounds};
use crate::types::zset::{Direction, Scored, Zset};
use crate::util::glob::{self, Case};
use crate::util::num::{FloatBuf, IntBuf};

/// The number of members that a call of ZSCAN looks at, unless COUNT is given.
const SCAN_COUNT: usize = 10;

/// A sorted set with more than this many times the members asked for is drawn from at random ranks; a smaller one is
/// walked, and members are chosen in passing.
#[doc(alias = "ZRANDMEMBER_SUB_STRATEGY_MUL")]
const DRAW_FROM: u64 = 3;

pub(super) const ZCARD: Command = Command {
    name: "zcard",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Counts the members.",
        ..Docs::BASE
    },
    run: zcard,
    ..Command::BASE
};

#[doc(alias = "zcardCommand")]
fn zcard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    count(ctx, key, |zset| zset.len() as u64)
}

pub(super) const ZCOUNT: Command = Command {
    name: "zcount",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::double("min"), arg::double("max")],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.0.0",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Counts the members between two scores.",
        ..Docs::BASE
    },
    run: zcount,
    ..Command::BASE
};

#[doc(alias = "zcountCommand")]
fn zcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (min, max) = score_bounds(&mut args)?;
    count(ctx, key, |zset| {
        let ranks = zset.score_range(min, max);
        ranks.end - ranks.start
    })
}

pub(super) const ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("min"), arg::string("max")],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.8.9",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Counts the members between two others, all of one score.",
        ..Docs::BASE
    },
    run: zlexcount,
    ..Command::BASE
};

#[doc(alias = "zlexcountCommand")]
fn zlexcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (min, max) = lex_bounds(&mut args)?;
    count(ctx, key, |zset| {
        let ranks = zset.lex_range(min, max, Direction::Up);
        ranks.end - ranks.start
    })
}

/// Answers a count, 0 for a missing key.
fn count(ctx: &mut Ctx<'_>, key: &[u8], count: impl FnOnce(&Zset) -> u64) -> Result {
    match ctx.db().get_as::<Zset>(key)?.map(count) {
        Some(n) => ctx.reply.integer(n as i64),
        None => {
            ctx.missed(key);
            ctx.reply.integer(0);
        }
    }
    Ok(())
}

pub(super) const ZSCORE: Command = Command {
    name: "zscore",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("member")],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Returns the score of a member.",
        ..Docs::BASE
    },
    run: zscore,
    ..Command::BASE
};

#[doc(alias = "zscoreCommand")]
fn zscore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, member) = (args.key()?, args.bytes()?);
    match ctx.db().get_as::<Zset>(key)?.map(|zset| zset.score(member)) {
        Some(Some(score)) => ctx.reply.double(score),
        Some(None) => ctx.reply.null(),
        None => {
            ctx.missed(key);
            ctx.reply.null();
        }
    }
    Ok(())
}

pub(super) const ZMSCORE: Command = Command {
    name: "zmscore",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("member").multiple()],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(N) where N is the number of members asked for",
        summary: "Returns the scores of several members.",
        ..Docs::BASE
    },
    run: zmscore,
    ..Command::BASE
};

/// Answers the score of each member, null for a missing one.
#[doc(alias = "zmscoreCommand")]
fn zmscore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let zset = ctx.state.keyspace[ctx.db].get_as::<Zset>(key)?;
    let missing = zset.is_none();
    ctx.reply.array(args.len());
    for member in args {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    if missing {
        ctx.missed(key);
    }
    Ok(())
}

pub(super) const ZRANK: Command = Command {
    name: "zrank",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("member"),
        arg::word("withscore", "WITHSCORE").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.0.0",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Returns how many members stand before one, counted from the lowest score.",
        ..Docs::BASE
    },
    run: zrank,
    ..Command::BASE
};

#[doc(alias = "zrankCommand")]
fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    rank(ctx, args, Direction::Up)
}

pub(super) const ZREVRANK: Command = Command {
    name: "zrevrank",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("member"),
        arg::word("withscore", "WITHSCORE").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.0.0",
        complexity: "O(log(N)) where N is the number of members",
        summary: "Returns how many members stand before one, counted from the highest score.",
        ..Docs::BASE
    },
    run: zrevrank,
    ..Command::BASE
};

#[doc(alias = "zrevrankCommand")]
fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    rank(ctx, args, Direction::Down)
}

/// ZRANK and ZREVRANK: answers the number of members before a member, null if it is missing; with WITHSCORE its score
/// too.
#[doc(alias = "zrankGenericCommand")]
fn rank(ctx: &mut Ctx<'_>, mut args: Args<'_>, direction: Direction) -> Result {
    let (key, member) = (args.key()?, args.bytes()?);
    if args.len() > 1 {
        return Err(Error::WrongArity(ctx.name()));
    }
    let with_score = args.word("WITHSCORE");
    args.end()?;

    let found = ctx.db().get_as::<Zset>(key)?.map(|zset| {
        let (rank, score) = zset.rank(member)?;
        Some(match direction {
            Direction::Up => (rank, score),
            Direction::Down => ((zset.len() as u64).saturating_sub(1 + rank), score),
        })
    });
    if found.is_none() {
        ctx.missed(key);
    }
    match found.flatten() {
        Some((rank, score)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.integer(rank as i64);
            if with_score {
                ctx.reply.double(score);
            }
        }
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) const ZSCAN: Command = Command {
    name: "zscan",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("cursor"),
        arg::pattern("pattern").token("MATCH").optional(),
        arg::integer("count").token("COUNT").optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.8.0",
        complexity: "O(1) for each call; O(N) for a whole walk through N members",
        summary: "Returns some members with their scores, and the cursor to go on with.",
        ..Docs::BASE
    },
    run: zscan,
    ..Command::BASE
};

/// Answers the next cursor and the members found on this step, with their scores. For what the cursor guarantees see
/// [`keys`](crate::commands::keys); a sorted set in a listpack is shown whole in one call.
#[doc(alias = "zscanCommand")]
fn zscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let cursor = args.cursor()?;
    let Some(zset) = ctx.state.keyspace[ctx.db].get_as::<Zset>(key)? else {
        ctx.missed(key);
        ctx.reply.array(2);
        ctx.reply.bulk(b"0");
        ctx.reply.array(0);
        return Ok(());
    };
    let (mut pattern, mut count) = (None, SCAN_COUNT);
    while !args.is_empty() {
        if args.word_with("COUNT", 1) {
            count = usize::try_from(args.integer()?).map_err(|_| Error::Syntax)?;
            if count == 0 {
                return Err(Error::Syntax);
            }
        } else if args.word_with("MATCH", 1) {
            pattern = args.next().filter(|pattern| *pattern != b"*");
        } else if args.word("NOVALUES") {
            return Err(Error::once("NOVALUES option can only be used in HSCAN"));
        } else {
            return Err(Error::Syntax);
        }
    }

    // The cursor comes first in the reply but is known last, so the members are gathered before they are written.
    let (mut words, mut ends) = (Vec::new(), Vec::new());
    let next = zset.scan(cursor, count, &mut |scored| {
        let mut digits = IntBuf::new();
        let name = scored.member.as_bytes(&mut digits);
        if pattern.is_none_or(|p| glob::matches(p, name, Case::Sensitive)) {
            words.extend_from_slice(name);
            ends.push(words.len());
            words.extend_from_slice(FloatBuf::new().format(scored.score));
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

pub(super) const ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::block(
            "options",
            &[
                arg::integer("count"),
                arg::word("withscores", "WITHSCORES").optional(),
            ],
        )
        .optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(N*log(M)) where N is the number of members returned and M the number there are",
        summary: "Returns members picked at random, each as likely as the others.",
        ..Docs::BASE
    },
    run: zrandmember,
    ..Command::BASE
};

/// Answers one member at random, null for a missing key; with a count, see [`some_random`].
#[doc(alias = "zrandmemberCommand")]
fn zrandmember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    if !args.is_empty() {
        return some_random(ctx, key, args);
    }
    let state = &mut *ctx.state;
    let Some(zset) = state.keyspace[ctx.db].get_as::<Zset>(key)? else {
        ctx.missed(key);
        ctx.reply.null();
        return Ok(());
    };
    match zset.get(state.rng.below(zset.len() as u64)) {
        Some(scored) => element(ctx.reply, scored.member),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// ZRANDMEMBER with a count: a positive count answers distinct members, at most all of them; a negative one answers
/// exactly so many, which may repeat.
#[doc(alias = "zrandmemberWithCountCommand")]
fn some_random(ctx: &mut Ctx<'_>, key: &[u8], mut args: Args<'_>) -> Result {
    let count = args.integer()?;
    if count == i64::MIN {
        let bound = i64::MAX;
        return Err(Error::once(format!(
            "value is out of range, value must between -{bound} and {bound}"
        )));
    }
    let scores = args.word("WITHSCORES");
    args.end()?;
    if scores && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(Error::OutOfRange);
    }

    let state = &mut *ctx.state;
    let Some(zset) = state.keyspace[ctx.db].get_as::<Zset>(key)? else {
        ctx.missed(key);
        ctx.reply.array(0);
        return Ok(());
    };
    let (rng, reply) = (&mut state.rng, &mut *ctx.reply);
    let (distinct, count) = (count >= 0, count.unsigned_abs());
    let len = zset.len() as u64;
    if count == 0 || len == 0 {
        reply.array(0);
    } else if !distinct || count == 1 {
        begin_members(reply, count as usize, scores);
        // A listpack is walked once, however many are drawn from it.
        let all: Option<Vec<Scored<'_>>> = zset.as_listpack().map(|_| zset.iter().collect());
        for _ in 0..count {
            if reply.overflowed() {
                break;
            }
            let at = rng.below(len);
            let drawn = match &all {
                Some(all) => all.get(at as usize).copied(),
                None => zset.get(at),
            };
            if let Some(scored) = drawn {
                one_member(reply, scored.member, scores.then_some(scored.score));
            }
        }
    } else if count >= len {
        members(reply, zset, 0..len, Direction::Down, scores);
    } else if count * DRAW_FROM > len {
        // Each member is chosen with the probability that leaves the right number at the end: of 3 wanted among 5 left,
        // 3/5.
        begin_members(reply, count as usize, scores);
        let (mut wanted, mut left) = (count, len);
        for scored in zset.iter() {
            if rng.below(left) < wanted {
                one_member(reply, scored.member, scores.then_some(scored.score));
                wanted -= 1;
            }
            left -= 1;
        }
    } else {
        begin_members(reply, count as usize, scores);
        let mut drawn = HashSet::with_capacity(count as usize);
        while (drawn.len() as u64) < count {
            let at = rng.below(len);
            if drawn.insert(at)
                && let Some(scored) = zset.get(at)
            {
                one_member(reply, scored.member, scores.then_some(scored.score));
            }
        }
    }
    Ok(())
}
