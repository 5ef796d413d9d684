//! Commands that combine several sets: SUNION, SINTER, SDIFF, their STORE and CARD forms.
//!
//! ```text
//!   a = { x, y }    b = { y, z }    c is missing
//!   SUNION a b c      x y z
//!   SINTER a b        y              SINTER a b c    nothing: a missing key is an empty set
//!   SDIFF  a b c      x              members of the first set that no other has
//! ```
//!
//! `types/set/ops.rs` walks the sets and hands each member of the result over: to the reply, to the set that is stored,
//! or to a counter.
//!
//! Mirrors: `sinterGenericCommand()` and `sunionDiffGenericCommand()` of t_set.c.

use std::ops::ControlFlow;

use super::super::lookup::element;
use super::super::prelude::*;
use super::set_limits;
use crate::collections::listpack::LpEntry;
use crate::keyspace::{Db, Deadline, NewValue};
use crate::resp::Reply;
use crate::types::Set;
use crate::types::hyperloglog;
use crate::types::set::Member;
use crate::types::set::ops::{self, Found};
use crate::util::num;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Union,
    Inter,
    Diff,
}

/// The sets under these keys, `None` for a missing one, which counts as empty. A key of another type is an error.
fn lookup<'a>(db: &'a Db, keys: Args<'_>) -> Result<Vec<Option<&'a Set>>> {
    keys.map(|key| db.get_as::<Set>(key)).collect()
}

/// Publishes a miss for each missing key.
fn tell_missing(ctx: &mut Ctx<'_>, keys: Args<'_>) {
    for key in keys {
        if ctx.db().peek_raw(key).is_none() {
            ctx.missed(key);
        }
    }
}

/// Hands the members of the result to `f`.
fn combine(op: Op, sets: &[Option<&Set>], seed: u64, f: &mut Found<'_>) {
    match op {
        Op::Union => {
            let sets: Vec<&Set> = sets.iter().flatten().copied().collect();
            ops::union(&sets, seed, f);
        }
        Op::Inter => {
            let all: Option<Vec<&Set>> = sets.iter().copied().collect();
            if let Some(mut sets) = all {
                ops::intersection(&mut sets, f);
            }
        }
        Op::Diff => {
            if let Some((Some(first), others)) = sets.split_first() {
                let mut others: Vec<&Set> = others.iter().flatten().copied().collect();
                ops::difference(first, &mut others, seed, f);
            }
        }
    }
}

/// SUNION, SINTER and SDIFF: answers with the result.
#[doc(alias = "sunionDiffGenericCommand")]
#[doc(alias = "sinterGenericCommand")]
fn show(ctx: &mut Ctx<'_>, keys: Args<'_>, op: Op) -> Result {
    let seed = ctx.state.member_seed;
    let sets = lookup(&ctx.state.keyspace[ctx.db], keys)?;
    let some_missing = sets.iter().any(Option::is_none);
    let reply: &mut Reply = ctx.reply;
    let mark = reply.open();
    let mut len = 0;
    combine(op, &sets, seed, &mut |member: Member<'_>| {
        element(reply, member);
        len += 1;
        ControlFlow::Continue(())
    });
    reply.close_set(mark, len);
    if some_missing {
        tell_missing(ctx, keys);
    }
    Ok(())
}

/// The STORE forms: replaces the destination by the result, or deletes it if the result is empty, and answers the
/// number of members. The destination may be one of the sources, and may hold another type. Propagated as it came.
fn store(ctx: &mut Ctx<'_>, destination: &[u8], keys: Args<'_>, op: Op) -> Result {
    let limits = set_limits(ctx.state);
    let sets = lookup(&ctx.state.keyspace[ctx.db], keys)?;
    let some_missing = sets.iter().any(Option::is_none);
    // An intersection has at most the members of its smallest set, so it begins with that set's encoding.
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let mut result = match smallest {
        Some(set) if op == Op::Inter && set.as_intset().is_none() => Set::packed(),
        _ => Set::intset(),
    };
    let mut numbers = true;
    combine(op, &sets, limits.seed, &mut |member: Member<'_>| {
        numbers = numbers && member.as_int().is_some();
        result.add_member(member, limits);
        ControlFlow::Continue(())
    });
    if op == Op::Inter && numbers {
        result.become_intset(limits);
    }
    if some_missing {
        tell_missing(ctx, keys);
    }

    let len = result.len();
    if len > 0 {
        let value = NewValue::Object(result.into());
        ctx.store(destination, value, Deadline::Set(None));
        let event = match op {
            Op::Union => "sunionstore",
            Op::Inter => "sinterstore",
            Op::Diff => "sdiffstore",
        };
        ctx.modified(destination, Event::set(event));
    } else if ctx.delete(destination, ctx.state.config.lazyfree_lazy_server_del) {
        ctx.modified(destination, Event::DEL);
    }
    ctx.reply.count(len);
    Ok(())
}

/// SUNIONCARD, SINTERCARD and SDIFFCARD: answers the size of the result, and stops counting at LIMIT (0 is no limit).
/// APPROX, for a union, estimates it in constant memory.
#[doc(alias = "sinterCardCommand")]
fn count(ctx: &mut Ctx<'_>, args: &mut Args<'_>, op: Op) -> Result {
    let keys = match num::parse_i64(args.bytes()?) {
        Some(n @ 1..) => n as usize,
        _ => return Err(Error::once("numkeys should be greater than 0")),
    };
    if keys > args.len() {
        return Err(Error::once(
            "Number of keys can't be greater than number of args",
        ));
    }
    let keys = args.take(keys)?;
    let (mut limit, mut approximate) = (0, false);
    while !args.is_empty() {
        if args.word_with("LIMIT", 1) {
            limit = match num::parse_i64(args.bytes()?) {
                Some(n @ 0..) => n as usize,
                _ => return Err(Error::once("LIMIT can't be negative")),
            };
        } else if op == Op::Union && args.word("APPROX") {
            approximate = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    if limit == 0 {
        limit = usize::MAX;
    }

    let seed = ctx.state.member_seed;
    let sets = lookup(&ctx.state.keyspace[ctx.db], keys)?;
    let some_missing = sets.iter().any(Option::is_none);
    let len = if approximate {
        estimate(&sets).min(limit)
    } else {
        let mut len = 0;
        combine(op, &sets, seed, &mut |_: Member<'_>| {
            len += 1;
            match len < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        len
    };
    if some_missing {
        tell_missing(ctx, keys);
    }
    ctx.reply.count(len);
    Ok(())
}

/// Estimates the number of members of the union by a HyperLogLog.
fn estimate(sets: &[Option<&Set>]) -> usize {
    let mut hll = hyperloglog::create();
    for member in sets.iter().flatten().flat_map(|set| set.iter()) {
        let mut buf = num::IntBuf::new();
        // This HyperLogLog was created here, so it cannot be corrupt.
        let _ = hyperloglog::add(&mut hll, LpEntry::as_bytes(member, &mut buf), 0);
    }
    hyperloglog::count(&hll).unwrap_or(0) as usize
}

/// The declaration that SUNION, SINTER and SDIFF share.
const SHOWN: Command = Command {
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const SUNION: Command = Command {
    name: "sunion",
    docs: Docs {
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Returns the members that any set has.",
        ..SHOWN.docs
    },
    run: sunion,
    ..SHOWN
};

#[doc(alias = "sunionCommand")]
fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show(ctx, args, Op::Union)
}

pub(super) const SINTER: Command = Command {
    name: "sinter",
    docs: Docs {
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        summary: "Returns the members that all sets have.",
        ..SHOWN.docs
    },
    run: sinter,
    ..SHOWN
};

#[doc(alias = "sinterCommand")]
fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show(ctx, args, Op::Inter)
}

pub(super) const SDIFF: Command = Command {
    name: "sdiff",
    docs: Docs {
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Returns the members of the first set that no other has.",
        ..SHOWN.docs
    },
    run: sdiff,
    ..SHOWN
};

#[doc(alias = "sdiffCommand")]
fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show(ctx, args, Op::Diff)
}

/// The declaration that SUNIONSTORE, SINTERSTORE and SDIFFSTORE share.
const STORED: Command = Command {
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom],
    acl: &[Category::Set],
    keys: &[
        KeySpec::at(1, &[Ow, Update]),
        KeySpec::at(2, &[Ro, Access]).to(-1, 1),
    ],
    args: &[arg::key("destination"), arg::key("key").spec(1).multiple()],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const SUNIONSTORE: Command = Command {
    name: "sunionstore",
    docs: Docs {
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Stores the members that any set has.",
        ..STORED.docs
    },
    run: sunionstore,
    ..STORED
};

#[doc(alias = "sunionstoreCommand")]
fn sunionstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.key()?;
    store(ctx, destination, args, Op::Union)
}

pub(super) const SINTERSTORE: Command = Command {
    name: "sinterstore",
    docs: Docs {
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        summary: "Stores the members that all sets have.",
        ..STORED.docs
    },
    run: sinterstore,
    ..STORED
};

#[doc(alias = "sinterstoreCommand")]
fn sinterstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.key()?;
    store(ctx, destination, args, Op::Inter)
}

pub(super) const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    docs: Docs {
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Stores the members of the first set that no other has.",
        ..STORED.docs
    },
    run: sdiffstore,
    ..STORED
};

#[doc(alias = "sdiffstoreCommand")]
fn sdiffstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.key()?;
    store(ctx, destination, args, Op::Diff)
}

/// The declaration that SUNIONCARD, SINTERCARD and SDIFFCARD share.
const COUNTED: Command = Command {
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    docs: Docs {
        group: Group::Set,
        ..Docs::BASE
    },
    ..Command::BASE
};

pub(super) const SUNIONCARD: Command = Command {
    name: "sunioncard",
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::word("approx", "APPROX").optional(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        since: "8.10.0",
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Counts the members that any set has, exactly or about.",
        ..COUNTED.docs
    },
    run: sunioncard,
    ..COUNTED
};

#[doc(alias = "sunionCardCommand")]
fn sunioncard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    count(ctx, &mut args, Op::Union)
}

pub(super) const SINTERCARD: Command = Command {
    name: "sintercard",
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        since: "7.0.0",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        summary: "Counts the members that all sets have.",
        ..COUNTED.docs
    },
    run: sintercard,
    ..COUNTED
};

#[doc(alias = "sinterCardCommand")]
fn sintercard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    count(ctx, &mut args, Op::Inter)
}

pub(super) const SDIFFCARD: Command = Command {
    name: "sdiffcard",
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        since: "8.10.0",
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Counts the members of the first set that no other has.",
        ..COUNTED.docs
    },
    run: sdiffcard,
    ..COUNTED
};

#[doc(alias = "sdiffCardCommand")]
fn sdiffcard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    count(ctx, &mut args, Op::Diff)
}
