//! Ranges by rank, by score or by member: ZRANGE, the seven commands it replaces, ZRANGESTORE.
//!
//! All bounds become a range of ranks; LIMIT then only moves the ends of that range. With `z` holding `a` 1, `b` 2, `c`
//! 3, `d` 4:
//!
//! ```text
//!   ZRANGE z (1 4 BYSCORE                     ranks 1..4           b c d
//!   ZRANGE z (1 4 BYSCORE LIMIT 1 1           ranks 2..3           c
//!   ZRANGE z 4 (1 BYSCORE REV LIMIT 0 2       ranks 2..4, down     d c
//! ```
//!
//! Mirrors: `zrangeGenericCommand()` of t_zset.c and the functions it dispatches to.
//! Differs: a negative offset of LIMIT is an empty range for every size of set.
//! Cost: O(log N) for the bounds, also with a large offset, and O(M) for M members shown.

use std::ops::Range;

use super::super::prelude::*;
use super::{between, lex_bound, members, score_bound, store_result};
use crate::types::zset::{Direction, LexBound, ScoreBound, Zset};
use crate::util::num::IntBuf;

/// The kind of a range's bounds.
#[doc(alias = "zrange_type")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// The bounds of a range, as they stand in the request.
#[derive(Clone, Copy)]
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

/// The arguments that follow the key.
struct Request<'a> {
    bounds: Bounds<'a>,
    direction: Direction,
    /// Offset, and the largest number of members; a negative number means all.
    limit: (i64, i64),
    scores: bool,
}

impl<'a> Request<'a> {
    /// Reads bounds and options. `by` and `direction` are given by older commands, which do not take the words.
    #[doc(alias = "zrangeGenericCommand")]
    fn take(
        args: &mut Args<'a>,
        by: Option<By>,
        direction: Option<Direction>,
        store: bool,
    ) -> Result<Self> {
        let (first, second) = (args.bytes()?, args.bytes()?);
        let (mut asked_by, mut asked_direction) = (by, direction);
        let (mut limit, mut scores) = ((0, -1), false);
        while !args.is_empty() {
            if !store && args.word("WITHSCORES") {
                scores = true;
            } else if args.word_with("LIMIT", 2) {
                limit = (args.integer()?, args.integer()?);
            } else if asked_direction.is_none() && args.word("REV") {
                asked_direction = Some(Direction::Down);
            } else if asked_by.is_none() && args.word("BYLEX") {
                asked_by = Some(By::Lex);
            } else if asked_by.is_none() && args.word("BYSCORE") {
                asked_by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
        }
        let by = asked_by.unwrap_or(By::Rank);
        let direction = asked_direction.unwrap_or(Direction::Up);
        if limit.1 != -1 && by == By::Rank {
            return Err(Error::once(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && by == By::Lex {
            return Err(Error::once(
                "syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // In a reversed range the upper bound comes first.
        let (min, max) = match direction {
            Direction::Up => (first, second),
            Direction::Down => (second, first),
        };
        let index = |word| crate::util::num::parse_i64(word).ok_or(Error::NotInteger);
        let bounds = match by {
            By::Rank => Bounds::Ranks(index(first)?, index(second)?),
            By::Score => Bounds::Scores(score_bound(min)?, score_bound(max)?),
            By::Lex => Bounds::Lex(lex_bound(min)?, lex_bound(max)?),
        };
        Ok(Request {
            bounds,
            direction,
            limit,
            scores,
        })
    }

    /// The ranks of the members that the request selects in a sorted set.
    fn ranks(&self, zset: &Zset) -> Range<u64> {
        let len = zset.len();
        let ranks = match self.bounds {
            Bounds::Ranks(start, stop) => {
                let ranks = between(start, stop, len);
                return match self.direction {
                    Direction::Down if !ranks.is_empty() => {
                        len as u64 - ranks.end..len as u64 - ranks.start
                    }
                    _ => ranks,
                };
            }
            Bounds::Scores(min, max) => zset.score_range(min, max),
            Bounds::Lex(min, max) => zset.lex_range(min, max, self.direction),
        };
        let found = ranks.end - ranks.start;
        let Ok(offset) = u64::try_from(self.limit.0) else {
            return 0..0;
        };
        let offset = offset.min(found);
        let count = u64::try_from(self.limit.1).map_or(found, |n| n.min(found));
        let count = count.min(found - offset);
        match self.direction {
            Direction::Up => ranks.start + offset..ranks.start + offset + count,
            Direction::Down => ranks.end - offset - count..ranks.end - offset,
        }
    }
}

/// ZRANGE and its kin: answers the members in the range, with their scores if wanted.
fn answer(
    ctx: &mut Ctx<'_>,
    mut args: Args<'_>,
    by: Option<By>,
    direction: Option<Direction>,
) -> Result {
    let key = args.key()?;
    let request = Request::take(&mut args, by, direction, false)?;
    let Some(zset) = ctx.state.keyspace[ctx.db].get_as::<Zset>(key)? else {
        ctx.missed(key);
        ctx.reply.array(0);
        return Ok(());
    };
    let ranks = request.ranks(zset);
    members(ctx.reply, zset, ranks, request.direction, request.scores);
    Ok(())
}

pub(super) const ZRANGE: Command = Command {
    name: "zrange",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("start"),
        arg::string("stop"),
        arg::one_of(
            "sortby",
            &[arg::word("byscore", "BYSCORE"), arg::word("bylex", "BYLEX")],
        )
        .optional()
        .since("6.2.0"),
        arg::word("rev", "REV").optional().since("6.2.0"),
        arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
            .token("LIMIT")
            .optional()
            .since("6.2.0"),
        arg::word("withscores", "WITHSCORES").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those returned",
        summary: "Returns the members of a range of ranks, scores or names, from either end.",
        ..Docs::BASE
    },
    run: zrange,
    ..Command::BASE
};

#[doc(alias = "zrangeCommand")]
fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, None, None)
}

pub(super) const ZRANGESTORE: Command = Command {
    name: "zrangestore",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ow, Update]), KeySpec::at(2, &[Ro, Access])],
    args: &[
        arg::key("dst"),
        arg::key("src").spec(1),
        arg::string("min"),
        arg::string("max"),
        arg::one_of(
            "sortby",
            &[arg::word("byscore", "BYSCORE"), arg::word("bylex", "BYLEX")],
        )
        .optional(),
        arg::word("rev", "REV").optional(),
        arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(log(N)+M*log(M)) where N is the number of members and M the number of those stored",
        summary: "Stores the members of a range under another key.",
        ..Docs::BASE
    },
    run: zrangestore,
    ..Command::BASE
};

/// Stores the members in a range, with their scores, under the destination, and answers how many there are. An empty
/// range deletes the destination. Propagated as it came.
///
/// Redis adds member after member to what begins as a listpack, unless the range is by index and so known to be too
/// large for one. A listpack has no minus zero, so the scores of those added before it becomes a skiplist lose their
/// sign.
#[doc(alias = "zrangestoreCommand")]
fn zrangestore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (destination, source) = (args.key()?, args.key()?);
    let request = Request::take(&mut args, None, None, true)?;
    let limits = super::zset_limits(ctx.state);
    let mut result = Zset::building(limits);
    match ctx.state.keyspace[ctx.db].get_as::<Zset>(source)? {
        Some(zset) => {
            let ranks = request.ranks(zset);
            let known = matches!(request.bounds, Bounds::Ranks(..));
            let mut packed = !known || ranks.end - ranks.start <= limits.entries as u64;
            let mut digits = IntBuf::new();
            for (stored, scored) in zset.range(ranks, request.direction).enumerate() {
                let member = scored.member.as_bytes(&mut digits);
                packed &= stored < limits.entries && member.len() <= limits.value;
                // Minus zero and zero are zero.
                let score = scored.score + if packed { 0.0 } else { -0.0 };
                result.push(member, score, limits);
            }
        }
        None => ctx.missed(source),
    }
    store_result(ctx, destination, result, "zrangestore", 1);
    Ok(())
}

pub(super) const ZREVRANGE: Command = Command {
    name: "zrevrange",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("start"),
        arg::integer("stop"),
        arg::word("withscores", "WITHSCORES").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those returned",
        summary: "Returns the members between two ranks, the highest score first.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        ..Docs::BASE
    },
    run: zrevrange,
    ..Command::BASE
};

#[doc(alias = "zrevrangeCommand")]
fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Some(By::Rank), Some(Direction::Down))
}

pub(super) const ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::double("min"),
        arg::double("max"),
        arg::word("withscores", "WITHSCORES")
            .optional()
            .since("2.0.0"),
        arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "1.0.5",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those returned",
        summary: "Returns the members between two scores, the lowest first.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        ..Docs::BASE
    },
    run: zrangebyscore,
    ..Command::BASE
};

#[doc(alias = "zrangebyscoreCommand")]
fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Some(By::Score), Some(Direction::Up))
}

pub(super) const ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::double("max"),
        arg::double("min"),
        arg::word("withscores", "WITHSCORES").optional(),
        arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.2.0",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those returned",
        summary: "Returns the members between two scores, the highest first.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        ..Docs::BASE
    },
    run: zrevrangebyscore,
    ..Command::BASE
};

#[doc(alias = "zrevrangebyscoreCommand")]
fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Some(By::Score), Some(Direction::Down))
}

pub(super) const ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("min"),
        arg::string("max"),
        arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those returned",
        summary: "Returns the members between two others, all of one score, in the order of their bytes.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        ..Docs::BASE
    },
    run: zrangebylex,
    ..Command::BASE
};

#[doc(alias = "zrangebylexCommand")]
fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Some(By::Lex), Some(Direction::Up))
}

pub(super) const ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("max"),
        arg::string("min"),
        arg::block("limit", &[arg::integer("offset"), arg::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the number of members and M the number of those returned",
        summary: "Returns the members between two others, all of one score, against the order of their bytes.",
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        ..Docs::BASE
    },
    run: zrevrangebylex,
    ..Command::BASE
};

#[doc(alias = "zrevrangebylexCommand")]
fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Some(By::Lex), Some(Direction::Down))
}
