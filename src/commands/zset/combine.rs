//! Commands that combine several sorted sets: ZUNION, ZINTER, ZDIFF, ZINTERCARD and the STORE forms. A set counts as a
//! sorted set whose members have score 1.
//!
//! ```text
//!   a = { x: 1, y: 2 }    b = { y: 10, z: 3 }
//!   ZUNION 2 a b WEIGHTS 2 1 WITHSCORES                  x 2, z 3, y 14      (y: 2 * 2 + 1 * 10)
//!   ZINTER 2 a b AGGREGATE MAX WITHSCORES                y 10
//!   ZDIFF  2 a b WITHSCORES                              x 1                 scores of the first input
//! ```
//!
//! Scores are collected in the very table that the result will keep; the order is made once, at the end.
//!
//! Mirrors: `zunionInterDiffGenericCommand()` of t_zset.c and what it calls.
//! Cost: a union O(N log N) for N members in all; an intersection looks each member of the smallest input up in the
//! others.

use super::super::prelude::*;
use super::{members, store_result};
use crate::keyspace::{Db, Entry};
use crate::resp::argv::OwnedArgv;
use crate::types::zset::{Collector, Direction, Limits, Zset};
use crate::types::{Set, Typed, Value};
use crate::util::num::{self, IntBuf};

/// How the inputs are combined.
#[doc(alias = "SET_OP_UNION")]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// How the scores of a member in several inputs become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The sum of the weights, whatever the scores.
    Count,
}

impl Aggregate {
    /// The part that an input adds to a member's score.
    #[doc(alias = "zuiWeightedScore")]
    fn share(self, score: f64, weight: f64) -> f64 {
        match self {
            Aggregate::Count => weight,
            _ => number(score * weight),
        }
    }

    #[doc(alias = "zunionInterAggregate")]
    fn merge(self, old: f64, new: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Count => number(old + new),
            Aggregate::Min if new < old => new,
            Aggregate::Max if new > old => new,
            Aggregate::Min | Aggregate::Max => old,
        }
    }
}

/// Makes 0 of a sum or product that is no number (infinity less infinity, zero times infinity), as Redis does.
fn number(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

/// A value among the inputs.
#[derive(Clone, Copy)]
enum Members<'a> {
    None,
    Zset(&'a Zset),
    Set(&'a Set),
}

impl<'a> Members<'a> {
    fn of(entry: Option<Entry<'a>>) -> Result<Self> {
        let value = entry.map(|entry| entry.value().as_object().map(Value::typed));
        match value {
            None => Ok(Members::None),
            Some(Some(Typed::Zset(zset))) => Ok(Members::Zset(zset)),
            Some(Some(Typed::Set(set))) => Ok(Members::Set(set)),
            Some(_) => Err(Error::WrongType),
        }
    }

    #[doc(alias = "zuiLength")]
    fn len(self) -> usize {
        match self {
            Members::None => 0,
            Members::Zset(zset) => zset.len(),
            Members::Set(set) => set.len(),
        }
    }

    #[doc(alias = "zuiFind")]
    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Members::None => None,
            Members::Zset(zset) => zset.score(member),
            Members::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Shows each member with its score, until `f` answers false.
    #[doc(alias = "zuiNext")]
    fn each(self, f: &mut dyn FnMut(&[u8], f64) -> bool) {
        match self {
            Members::None => {}
            Members::Zset(zset) => {
                let mut digits = IntBuf::new();
                for scored in zset.iter() {
                    if !f(scored.member.as_bytes(&mut digits), scored.score) {
                        return;
                    }
                }
            }
            Members::Set(set) => {
                let mut digits = IntBuf::new();
                let _ = set
                    .iter()
                    .all(|member| f(member.as_bytes(&mut digits), 1.0));
            }
        }
    }

    /// Whether both are the same value: one key named twice.
    fn is(self, other: Members<'_>) -> bool {
        match (self, other) {
            (Members::Zset(a), Members::Zset(b)) => std::ptr::eq(a, b),
            (Members::Set(a), Members::Set(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }
}

/// One input of the command, with its weight.
#[derive(Clone, Copy)]
struct Source<'a> {
    members: Members<'a>,
    weight: f64,
}

/// The arguments of a command of this file.
struct Request<'a> {
    keys: Args<'a>,
    /// One for each key; all 1 if there are none.
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
    /// Of ZINTERCARD; 0 is none.
    limit: u64,
}

/// The options that a command takes after its keys.
#[derive(Clone, Copy)]
struct Takes {
    weights: bool,
    scores: bool,
    limit: bool,
}

impl<'a> Request<'a> {
    /// Reads keys and options, and looks the keys up. A key of another type is reported before a wrong option, as in
    /// Redis.
    fn take(ctx: &mut Ctx<'_>, args: &mut Args<'a>, takes: Takes) -> Result<Self> {
        let count = args.integer()?;
        if count < 1 {
            return Err(Error::once(format!(
                "at least 1 input key is needed for '{}' command",
                ctx.name()
            )));
        }
        let count = usize::try_from(count).map_err(|_| Error::Syntax)?;
        let keys = Args::take(args, count)?;
        for key in keys {
            if let Members::None = Members::of(ctx.db().get(key))? {
                ctx.missed(key);
            }
        }
        let mut request = Request {
            keys,
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            scores: false,
            limit: 0,
        };
        while !args.is_empty() {
            if takes.weights && args.word_with("WEIGHTS", count) {
                request.weights.clear();
                for _ in 0..count {
                    let weight = args.float();
                    let weight = weight.map_err(|_| Error::once("weight value is not a float"))?;
                    request.weights.push(weight);
                }
            } else if takes.weights && args.word_with("AGGREGATE", 1) {
                request.aggregate = if args.word("SUM") {
                    Aggregate::Sum
                } else if args.word("MIN") {
                    Aggregate::Min
                } else if args.word("MAX") {
                    Aggregate::Max
                } else if args.word("COUNT") {
                    Aggregate::Count
                } else {
                    return Err(Error::Syntax);
                };
            } else if takes.scores && args.word("WITHSCORES") {
                request.scores = true;
            } else if takes.limit && args.word_with("LIMIT", 1) {
                let limit = args.positive();
                let limit = limit.map_err(|_| Error::once("LIMIT can't be negative"))?;
                request.limit = limit as u64;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(request)
    }

    fn sources<'b>(&self, db: &'b Db) -> Result<Vec<Source<'b>>> {
        let mut sources = Vec::with_capacity(self.keys.len());
        for (i, key) in self.keys.enumerate() {
            sources.push(Source {
                members: Members::of(db.peek(key))?,
                weight: self.weights.get(i).copied().unwrap_or(1.0),
            });
        }
        Ok(sources)
    }

    fn run(&self, ctx: &Ctx<'_>, operation: Operation) -> Result<Zset> {
        let limits = super::zset_limits(ctx.state);
        let mut sources = self.sources(&ctx.state.keyspace[ctx.db])?;
        let result = match operation {
            Operation::Diff => diff(&sources, limits),
            Operation::Inter => {
                sources.sort_by_key(|source| source.members.len());
                let mut result = Zset::collector(limits);
                inter(&sources, self.aggregate, &mut |member, score| {
                    result.merge(member, score, |old| old);
                    true
                });
                result
            }
            Operation::Union => {
                // The smallest input comes first, as in Redis: the order of additions decides how sums are rounded.
                sources.sort_by_key(|source| source.members.len());
                let mut result = Zset::collector(limits);
                for source in &sources {
                    source.members.each(&mut |member, score| {
                        let share = self.aggregate.share(score, source.weight);
                        result.merge(member, share, |old| self.aggregate.merge(old, share));
                        true
                    });
                }
                result
            }
        };
        Ok(result.finish())
    }
}

/// Shows the members that all sources have, until `f` answers false. The smallest source must be the first.
fn inter(sources: &[Source<'_>], aggregate: Aggregate, f: &mut dyn FnMut(&[u8], f64) -> bool) {
    let Some((first, others)) = sources.split_first() else {
        return;
    };
    first.members.each(&mut |member, score| {
        let mut sum = aggregate.share(score, first.weight);
        for other in others {
            let Some(score) = other.members.score(member) else {
                return true;
            };
            let share = match aggregate {
                Aggregate::Count => other.weight,
                _ => score * other.weight,
            };
            sum = aggregate.merge(sum, share);
        }
        f(member, sum)
    });
}

/// The members of the first source that no other has. Either each of them is looked for in the others, or the
/// others' members are taken away one by one, whichever promises less work.
#[doc(alias = "zsetChooseDiffAlgorithm")]
fn diff(sources: &[Source<'_>], limits: Limits) -> Collector {
    let mut result = Zset::collector(limits);
    let Some((first, others)) = sources.split_first() else {
        return result;
    };
    if others.iter().any(|other| other.members.is(first.members)) {
        return result;
    }
    let looking = first.members.len() * sources.len() / 2;
    let removing: usize = sources.iter().map(|source| source.members.len()).sum();
    if looking <= removing {
        first.members.each(&mut |member, score| {
            if others.iter().all(|o| o.members.score(member).is_none()) {
                result.merge(member, score, |old| old);
            }
            true
        });
        return result;
    }
    first.members.each(&mut |member, score| {
        result.merge(member, score, |old| old);
        true
    });
    for other in others {
        other.members.each(&mut |member, _| {
            result.remove(member);
            !result.is_empty()
        });
    }
    result
}

/// ZUNION, ZINTER and ZDIFF: combines and answers, ordered by score.
fn answer(ctx: &mut Ctx<'_>, mut args: Args<'_>, operation: Operation) -> Result {
    let takes = Takes {
        weights: operation != Operation::Diff,
        scores: true,
        limit: false,
    };
    let request = Request::take(ctx, &mut args, takes)?;
    let result = request.run(ctx, operation)?;
    let ranks = 0..result.len() as u64;
    members(ctx.reply, &result, ranks, Direction::Up, request.scores);
    Ok(())
}

/// The STORE forms: replaces the destination by the result, or deletes it if the result is empty, and answers the
/// number of members. The destination may be one of the inputs. Propagated as it came.
#[doc(alias = "zunionInterDiffGenericCommand")]
fn store(
    ctx: &mut Ctx<'_>,
    mut args: Args<'_>,
    operation: Operation,
    event: &'static str,
) -> Result {
    let destination = args.key()?;
    let takes = Takes {
        weights: operation != Operation::Diff,
        scores: false,
        limit: false,
    };
    let request = Request::take(ctx, &mut args, takes)?;
    let result = request.run(ctx, operation)?;
    let counted = request.aggregate == Aggregate::Count;
    let told = counted.then(|| as_zadd(destination, &result));
    store_result(ctx, destination, result, event, 1);
    match told.flatten() {
        Some(zadd) => {
            ctx.also([b"DEL", destination]);
            ctx.rewrite_with(|out| *out = zadd);
        }
        None if counted => ctx.rewrite([b"DEL", destination]),
        None => {}
    }
    Ok(())
}

/// The ZADD that builds a sorted set, which tells the result of AGGREGATE COUNT to a Redis before 8.8. `None` for an
/// empty one.
fn as_zadd(key: &[u8], zset: &Zset) -> Option<OwnedArgv> {
    if zset.is_empty() {
        return None;
    }
    let mut argv = OwnedArgv::from_words([&b"ZADD"[..], key]);
    for scored in zset.iter() {
        argv.push(num::format_f64(scored.score).as_bytes());
        argv.push(&scored.member.to_vec());
    }
    Some(argv)
}

pub(super) const ZUNION: Command = Command {
    name: "zunion",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("weight")
            .token("WEIGHTS")
            .optional()
            .multiple(),
        arg::one_of(
            "aggregate",
            &[
                arg::word("sum", "SUM"),
                arg::word("min", "MIN"),
                arg::word("max", "MAX"),
                arg::word("count", "COUNT").since("8.8.0"),
            ],
        )
        .token("AGGREGATE")
        .optional(),
        arg::word("withscores", "WITHSCORES").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(N+M*log(M)) where N is the number of members of all inputs and M the number of members of the result",
        summary: "Returns the members of any of several sorted sets.",
        ..Docs::BASE
    },
    run: zunion,
    ..Command::BASE
};

#[doc(alias = "zunionCommand")]
fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Operation::Union)
}

pub(super) const ZINTER: Command = Command {
    name: "zinter",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("weight")
            .token("WEIGHTS")
            .optional()
            .multiple(),
        arg::one_of(
            "aggregate",
            &[
                arg::word("sum", "SUM"),
                arg::word("min", "MIN"),
                arg::word("max", "MAX"),
                arg::word("count", "COUNT").since("8.8.0"),
            ],
        )
        .token("AGGREGATE")
        .optional(),
        arg::word("withscores", "WITHSCORES").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(N*K+M*log(M)) where N is the number of members of the smallest input, K the number of inputs, M the number of members of the result",
        summary: "Returns the members that all of several sorted sets have.",
        ..Docs::BASE
    },
    run: zinter,
    ..Command::BASE
};

#[doc(alias = "zinterCommand")]
fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Operation::Inter)
}

pub(super) const ZDIFF: Command = Command {
    name: "zdiff",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::word("withscores", "WITHSCORES").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(L+M*log(M)) where L is the number of members of all inputs and M the number of members of the result",
        summary: "Returns the members of the first sorted set that no other has.",
        ..Docs::BASE
    },
    run: zdiff,
    ..Command::BASE
};

#[doc(alias = "zdiffCommand")]
fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    answer(ctx, args, Operation::Diff)
}

pub(super) const ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[
        KeySpec::at(1, &[Ow, Update]),
        KeySpec::at(2, &[Ro, Access]).counted(0, 1, 1),
    ],
    args: &[
        arg::key("destination"),
        arg::integer("numkeys"),
        arg::key("key").spec(1).multiple(),
        arg::integer("weight")
            .token("WEIGHTS")
            .optional()
            .multiple(),
        arg::one_of(
            "aggregate",
            &[
                arg::word("sum", "SUM"),
                arg::word("min", "MIN"),
                arg::word("max", "MAX"),
                arg::word("count", "COUNT").since("8.8.0"),
            ],
        )
        .token("AGGREGATE")
        .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.0.0",
        complexity: "O(N+M*log(M)) where N is the number of members of all inputs and M the number of members of the result",
        summary: "Stores the members of any of several sorted sets.",
        ..Docs::BASE
    },
    run: zunionstore,
    ..Command::BASE
};

#[doc(alias = "zunionstoreCommand")]
fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    store(ctx, args, Operation::Union, "zunionstore")
}

pub(super) const ZINTERSTORE: Command = Command {
    name: "zinterstore",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[
        KeySpec::at(1, &[Ow, Update]),
        KeySpec::at(2, &[Ro, Access]).counted(0, 1, 1),
    ],
    args: &[
        arg::key("destination"),
        arg::integer("numkeys"),
        arg::key("key").spec(1).multiple(),
        arg::integer("weight")
            .token("WEIGHTS")
            .optional()
            .multiple(),
        arg::one_of(
            "aggregate",
            &[
                arg::word("sum", "SUM"),
                arg::word("min", "MIN"),
                arg::word("max", "MAX"),
                arg::word("count", "COUNT").since("8.8.0"),
            ],
        )
        .token("AGGREGATE")
        .optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "2.0.0",
        complexity: "O(N*K+M*log(M)) where N is the number of members of the smallest input, K the number of inputs, M the number of members of the result",
        summary: "Stores the members that all of several sorted sets have.",
        ..Docs::BASE
    },
    run: zinterstore,
    ..Command::BASE
};

#[doc(alias = "zinterstoreCommand")]
fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    store(ctx, args, Operation::Inter, "zinterstore")
}

pub(super) const ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[
        KeySpec::at(1, &[Ow, Update]),
        KeySpec::at(2, &[Ro, Access]).counted(0, 1, 1),
    ],
    args: &[
        arg::key("destination"),
        arg::integer("numkeys"),
        arg::key("key").spec(1).multiple(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "6.2.0",
        complexity: "O(L+M*log(M)) where L is the number of members of all inputs and M the number of members of the result",
        summary: "Stores the members of the first sorted set that no other has.",
        ..Docs::BASE
    },
    run: zdiffstore,
    ..Command::BASE
};

#[doc(alias = "zdiffstoreCommand")]
fn zdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    store(ctx, args, Operation::Diff, "zdiffstore")
}

pub(super) const ZINTERCARD: Command = Command {
    name: "zintercard",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::SortedSet],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        group: Group::SortedSet,
        since: "7.0.0",
        complexity: "O(N*K) where N is the number of members of the smallest input and K the number of inputs",
        summary: "Counts the members that all of several sorted sets have.",
        ..Docs::BASE
    },
    run: zintercard,
    ..Command::BASE
};

/// Answers how many members all inputs share, and stops counting at LIMIT (0 is no limit).
#[doc(alias = "zinterCardCommand")]
fn zintercard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let takes = Takes {
        weights: false,
        scores: false,
        limit: true,
    };
    let request = Request::take(ctx, &mut args, takes)?;
    let mut sources = request.sources(&ctx.state.keyspace[ctx.db])?;
    sources.sort_by_key(|source| source.members.len());
    let mut found = 0;
    inter(&sources, Aggregate::Sum, &mut |_, _| {
        found += 1;
        found != request.limit
    });
    ctx.reply.integer(found as i64);
    Ok(())
}
