//! Sets: SADD, SPOP, SINTER and their kin.
//!
//! Invariant: a set without members never stays under its key. A command whose outcome depends on chance is propagated
//! as the outcome: SPOP becomes SREM of the members that were taken.
//!
//! Mirrors: the command half of t_set.c; the type itself is `types/set`.

use std::ops::ControlFlow;

use super::lookup::element;
use super::prelude::*;
use crate::collections::listpack::LpEntry;
use crate::keyspace::{Db, Deadline, NewValue};
use crate::resp::Reply;
use crate::resp::argv::OwnedArgv;
use crate::state::State;
use crate::types::Set;
use crate::types::hyperloglog;
use crate::types::set::ops::{self, Found};
use crate::types::set::{Member, SetLimits};
use crate::util::glob::{self, Case};
use crate::util::num;

pub const COMMANDS: &[&Command] = &[
    &SADD,
    &SCARD,
    &SDIFF,
    &SDIFFCARD,
    &SDIFFSTORE,
    &SINTER,
    &SINTERCARD,
    &SINTERSTORE,
    &SISMEMBER,
    &SMEMBERS,
    &SMISMEMBER,
    &SMOVE,
    &SPOP,
    &SRANDMEMBER,
    &SREM,
    &SSCAN,
    &SUNION,
    &SUNIONCARD,
    &SUNIONSTORE,
];

/// The configured limits up to which a set is stored as an intset or a listpack.
#[inline]
pub fn set_limits(state: &State) -> SetLimits {
    SetLimits {
        intset_entries: state.config.set_max_intset_entries,
        listpack_entries: state.config.set_max_listpack_entries,
        listpack_value: state.config.set_max_listpack_value,
        seed: state.member_seed,
    }
}

// ---- Members -----------------------------------------------------------------------------------

const SADD: Command = Command {
    name: "sadd",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("member").multiple()],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members given",
        summary: "Adds members; a missing set is made.",
        ..Docs::BASE
    },
    run: sadd,
    ..Command::BASE
};

/// Adds members and answers how many are new. Propagated as it came, if there are any.
#[doc(alias = "saddCommand")]
fn sadd(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let limits = set_limits(ctx.state);
    let count = args.len();
    let added = match ctx.db().get_mut_as::<Set>(key)? {
        Some(set) => {
            set.expect(count, limits);
            args.map(|member| usize::from(set.add(member, limits)))
                .sum()
        }
        None => {
            let mut set = Set::for_members(args.peek().unwrap_or_default(), count, limits);
            for member in args {
                set.add(member, limits);
            }
            let added = set.len();
            ctx.create(key, set);
            added
        }
    };
    if added > 0 {
        ctx.modified_n(key, Event::set("sadd"), added);
    }
    ctx.reply.count(added);
    Ok(())
}

const SREM: Command = Command {
    name: "srem",
    arity: Arity::AtLeast(3),
    flags: &[Write, Fast],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::string("member").multiple()],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members given",
        summary: "Removes members; the set goes with its last one.",
        ..Docs::BASE
    },
    run: srem,
    ..Command::BASE
};

/// Removes members and answers how many existed. The key is deleted with its last member.
#[doc(alias = "sremCommand")]
fn srem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let Some(set) = ctx.db().get_mut_as::<Set>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let mut removed = 0;
    for member in args {
        removed += usize::from(set.remove(member));
        if set.is_empty() {
            break;
        }
    }
    let empty = set.is_empty();
    if removed > 0 {
        ctx.modified_n(key, Event::set("srem"), removed);
        if empty {
            ctx.emptied(key);
        }
    }
    ctx.reply.count(removed);
    Ok(())
}

const SMOVE: Command = Command {
    name: "smove",
    arity: Arity::Exactly(4),
    flags: &[Write, Fast],
    acl: &[Category::Set],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Rw, Insert]),
    ],
    args: &[
        arg::key("source"),
        arg::key("destination").spec(1),
        arg::string("member"),
    ],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Moves a member from one set to another.",
        ..Docs::BASE
    },
    run: smove,
    ..Command::BASE
};

/// Moves a member from one set to another and answers 1, or 0 if the source is missing or lacks it. A source or
/// destination of another type is an error, and nothing is changed. Source and destination may be the same key, which
/// stays as it is.
#[doc(alias = "smoveCommand")]
fn smove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let member = args.bytes()?;
    let limits = set_limits(ctx.state);
    let db = ctx.db();
    let Some(set) = db.get_mut_as::<Set>(source)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let found = set.contains(member);
    let missing = db.get_mut_as::<Set>(destination)?.is_none();
    if source == destination || !found {
        ctx.reply.integer(found.into());
        return Ok(());
    }

    let mut empty = false;
    if let Some(set) = db.get_mut_as::<Set>(source)? {
        set.remove(member);
        empty = set.is_empty();
    }
    ctx.modified(source, Event::set("srem"));
    if empty {
        ctx.emptied(source);
    }
    let added = if missing {
        let mut set = Set::for_members(member, 1, limits);
        set.add(member, limits);
        ctx.create(destination, set);
        true
    } else {
        let set = ctx.db().get_mut_as::<Set>(destination)?;
        set.is_some_and(|set| set.add(member, limits))
    };
    if added {
        ctx.modified(destination, Event::set("sadd"));
    }
    ctx.reply.integer(1);
    Ok(())
}

const SISMEMBER: Command = Command {
    name: "sismember",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key"), arg::string("member")],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Tells whether something is a member.",
        ..Docs::BASE
    },
    run: sismember,
    ..Command::BASE
};

#[doc(alias = "sismemberCommand")]
fn sismember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, member) = (args.key()?, args.bytes()?);
    let found = match ctx.db().get_as::<Set>(key)? {
        Some(set) => set.contains(member),
        None => {
            ctx.missed(key);
            false
        }
    };
    ctx.reply.integer(found.into());
    Ok(())
}

const SMISMEMBER: Command = Command {
    name: "smismember",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("member").multiple()],
    docs: Docs {
        group: Group::Set,
        since: "6.2.0",
        complexity: "O(N) where N is the number of members asked for",
        summary: "Tells of several things whether they are members.",
        ..Docs::BASE
    },
    run: smismember,
    ..Command::BASE
};

/// Answers 1 or 0 for each member; all 0 for a missing key.
#[doc(alias = "smismemberCommand")]
fn smismember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let set = ctx.state.keyspace[ctx.db].get_as::<Set>(key)?;
    ctx.reply.array(args.len());
    for member in args {
        let found = set.is_some_and(|set| set.contains(member));
        ctx.reply.integer(found.into());
    }
    if set.is_none() {
        ctx.missed(key);
    }
    Ok(())
}

const SCARD: Command = Command {
    name: "scard",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the number of members.",
        ..Docs::BASE
    },
    run: scard,
    ..Command::BASE
};

#[doc(alias = "scardCommand")]
fn scard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let len = match ctx.db().get_as::<Set>(key)? {
        Some(set) => set.len(),
        None => {
            ctx.missed(key);
            0
        }
    };
    ctx.reply.count(len);
    Ok(())
}

const SMEMBERS: Command = Command {
    name: "smembers",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members",
        summary: "Returns all members.",
        ..Docs::BASE
    },
    run: smembers,
    ..Command::BASE
};

/// Answers all members, in no promised order. O(N).
#[doc(alias = "smembersCommand")]
fn smembers(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match ctx.state.keyspace[ctx.db].get_as::<Set>(key)? {
        Some(set) => {
            ctx.reply.set(set.len());
            let mut left = set.len();
            for member in set {
                element(ctx.reply, member);
                left -= 1;
            }
            // A damaged listpack may hold fewer members than its header says.
            (0..left).for_each(|_| ctx.reply.null());
        }
        None => {
            ctx.missed(key);
            ctx.reply.set(0);
        }
    }
    Ok(())
}

const SSCAN: Command = Command {
    name: "sscan",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("cursor"),
        arg::pattern("pattern").token("MATCH").optional(),
        arg::integer("count").token("COUNT").optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Set,
        since: "2.8.0",
        complexity: "O(1) for each call; O(N) for a whole walk through N members",
        summary: "Returns some members, and the cursor to go on with.",
        ..Docs::BASE
    },
    run: sscan,
    ..Command::BASE
};

/// Answers the next cursor and the members found on this step. For what the cursor guarantees see
/// [`keys`](super::keys); an intset or listpack is shown whole in one call.
#[doc(alias = "sscanCommand")]
fn sscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let cursor = args.cursor()?;
    let Some(set) = ctx.state.keyspace[ctx.db].get_as::<Set>(key)? else {
        ctx.missed(key);
        ctx.reply.array(2);
        ctx.reply.bulk(b"0");
        ctx.reply.array(0);
        return Ok(());
    };
    let (mut pattern, mut count) = (None, 10);
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
    let mut texts = Vec::new();
    let mut ends = Vec::new();
    let next = set.scan(cursor, count, &mut |member| {
        let mut buf = num::IntBuf::new();
        let text = member.as_bytes(&mut buf);
        if pattern.is_none_or(|p| glob::matches(p, text, Case::Sensitive)) {
            texts.extend_from_slice(text);
            ends.push(texts.len());
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(num::IntBuf::new().format_u64(next));
    ctx.reply.array(ends.len());
    let mut start = 0;
    for end in ends {
        ctx.reply.bulk(&texts[start..end]);
        start = end;
    }
    Ok(())
}

// ---- Chance ------------------------------------------------------------------------------------

const SPOP: Command = Command {
    name: "spop",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[
        arg::key("key"),
        arg::integer("count").optional().since("3.2.0"),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members taken",
        summary: "Takes random members and returns them.",
        ..Docs::BASE
    },
    run: spop,
    ..Command::BASE
};

/// Takes one member at random, or with a count several ([`pop_many`]). Propagated as SREM of that member, since a
/// replica would draw another one.
#[doc(alias = "spopCommand")]
fn spop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match args.len() {
        0 => {}
        1 => {
            let count = args.positive()? as usize;
            return pop_many(ctx, key, count);
        }
        _ => return Err(Error::Syntax),
    }
    let state = &mut *ctx.state;
    let Some(set) = state.keyspace[ctx.db].get_mut_as::<Set>(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let listening = state.effects.is_listened_to();
    let reply = &mut *ctx.reply;
    let taken = set.pop_random(&mut state.rng, |member| {
        element(reply, member);
        listening.then(|| member.to_vec())
    });
    let empty = set.is_empty();
    let Some(taken) = taken else {
        ctx.reply.null();
        return Ok(());
    };
    ctx.modified(key, Event::set("spop"));
    if empty {
        ctx.emptied(key);
    }
    if let Some(member) = taken {
        ctx.rewrite([b"SREM", key, &member]);
    }
    Ok(())
}

/// The number of members in one propagated SREM.
const BATCH: usize = 1024;

/// SPOP with a count: takes distinct members at random. A count of at least the set's size takes all of them and
/// deletes the key, which is propagated as DEL or UNLINK; fewer are propagated as SREM, [`BATCH`] members at a time.
#[doc(alias = "spopWithCountCommand")]
fn pop_many(ctx: &mut Ctx<'_>, key: &[u8], count: usize) -> Result {
    let limits = set_limits(ctx.state);
    let state = &mut *ctx.state;
    let Some(set) = state.keyspace[ctx.db].get_mut_as::<Set>(key)? else {
        ctx.reply.set(0);
        return Ok(());
    };
    if count == 0 {
        ctx.reply.set(0);
        return Ok(());
    }
    let len = set.len();
    if count >= len {
        ctx.reply.set(len);
        let mut left = len;
        for member in &*set {
            element(ctx.reply, member);
            left -= 1;
        }
        (0..left).for_each(|_| ctx.reply.null());
        let lazy = state.config.lazyfree_lazy_server_del;
        ctx.modified_n(key, Event::set("spop"), len);
        ctx.delete(key, lazy);
        ctx.notify(key, Event::DEL);
        let delete: &[u8] = if lazy { b"UNLINK" } else { b"DEL" };
        ctx.rewrite([delete, key]);
        return Ok(());
    }

    let listening = state.effects.is_listened_to();
    let mut said: Vec<OwnedArgv> = Vec::new();
    let mut shown = 0;
    ctx.reply.set(count);
    let reply = &mut *ctx.reply;
    set.pop_sample(count, limits, &mut state.rng, &mut |member| {
        element(reply, member);
        if listening {
            if shown % BATCH == 0 {
                said.push(crate::resp::argv::OwnedArgv::from_words([b"SREM", key]));
            }
            if let Some(argv) = said.last_mut() {
                argv.push(member.as_bytes(&mut num::IntBuf::new()));
            }
        }
        shown += 1;
    });
    for _ in shown..count {
        ctx.reply.null();
    }
    ctx.modified_n(key, Event::set("spop"), count);
    for argv in said {
        ctx.also_argv(ctx.db, argv.as_argv());
    }
    ctx.suppress();
    Ok(())
}

const SRANDMEMBER: Command = Command {
    name: "srandmember",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("count").optional().since("2.6.0"),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members returned",
        summary: "Returns random members.",
        ..Docs::BASE
    },
    run: srandmember,
    ..Command::BASE
};

/// Answers one member at random, or with a count several: a positive count draws distinct members, at most all of them;
/// a negative count draws exactly so many, and a member may come more than once. Changes nothing.
#[doc(alias = "srandmemberCommand")]
fn srandmember(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = match args.len() {
        0 => None,
        1 => Some(args.integer_within(-i64::MAX, i64::MAX)?),
        _ => return Err(Error::Syntax),
    };
    let state = &mut *ctx.state;
    let rng = &mut state.rng;
    let Some(set) = state.keyspace[ctx.db].get_as::<Set>(key)? else {
        ctx.missed(key);
        match count {
            Some(_) => ctx.reply.array(0),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    match count {
        None => match set.random(rng) {
            Some(member) => element(ctx.reply, member),
            None => ctx.reply.null(),
        },
        Some(count @ 0..) => {
            let count = (count as usize).min(set.len());
            ctx.reply.array(count);
            let mut left = count;
            set.sample(count, rng, &mut |member| {
                element(ctx.reply, member);
                left -= 1;
            });
            (0..left).for_each(|_| ctx.reply.null());
        }
        // A negative count: the same member may be drawn twice.
        Some(count) => {
            let count = count.unsigned_abs() as usize;
            ctx.reply.array(count);
            for _ in 0..count {
                // The client is over its output limit, and will be closed.
                if ctx.reply.overflowed() {
                    break;
                }
                match set.random(rng) {
                    Some(member) => element(ctx.reply, member),
                    None => ctx.reply.null(),
                }
            }
        }
    }
    Ok(())
}

// ---- Several sets ------------------------------------------------------------------------------

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

const SUNION: Command = Command {
    name: "sunion",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Returns the members that any set has.",
        ..Docs::BASE
    },
    run: sunion,
    ..Command::BASE
};

#[doc(alias = "sunionCommand")]
fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show(ctx, args, Op::Union)
}

const SINTER: Command = Command {
    name: "sinter",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        summary: "Returns the members that all sets have.",
        ..Docs::BASE
    },
    run: sinter,
    ..Command::BASE
};

#[doc(alias = "sinterCommand")]
fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show(ctx, args, Op::Inter)
}

const SDIFF: Command = Command {
    name: "sdiff",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).to(-1, 1)],
    args: &[arg::key("key").multiple()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Returns the members of the first set that no other has.",
        ..Docs::BASE
    },
    run: sdiff,
    ..Command::BASE
};

#[doc(alias = "sdiffCommand")]
fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    show(ctx, args, Op::Diff)
}

const SUNIONSTORE: Command = Command {
    name: "sunionstore",
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
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Stores the members that any set has.",
        ..Docs::BASE
    },
    run: sunionstore,
    ..Command::BASE
};

#[doc(alias = "sunionstoreCommand")]
fn sunionstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.key()?;
    store(ctx, destination, args, Op::Union)
}

const SINTERSTORE: Command = Command {
    name: "sinterstore",
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
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        summary: "Stores the members that all sets have.",
        ..Docs::BASE
    },
    run: sinterstore,
    ..Command::BASE
};

#[doc(alias = "sinterstoreCommand")]
fn sinterstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.key()?;
    store(ctx, destination, args, Op::Inter)
}

const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
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
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Stores the members of the first set that no other has.",
        ..Docs::BASE
    },
    run: sdiffstore,
    ..Command::BASE
};

#[doc(alias = "sdiffstoreCommand")]
fn sdiffstore(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let destination = args.key()?;
    store(ctx, destination, args, Op::Diff)
}

const SUNIONCARD: Command = Command {
    name: "sunioncard",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::word("approx", "APPROX").optional(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        group: Group::Set,
        since: "8.10.0",
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Counts the members that any set has, exactly or about.",
        ..Docs::BASE
    },
    run: sunioncard,
    ..Command::BASE
};

#[doc(alias = "sunionCardCommand")]
fn sunioncard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    count(ctx, &mut args, Op::Union)
}

const SINTERCARD: Command = Command {
    name: "sintercard",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        group: Group::Set,
        since: "7.0.0",
        complexity: "O(N*M) where N is the size of the smallest set and M the number of sets",
        summary: "Counts the members that all sets have.",
        ..Docs::BASE
    },
    run: sintercard,
    ..Command::BASE
};

#[doc(alias = "sinterCardCommand")]
fn sintercard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    count(ctx, &mut args, Op::Inter)
}

const SDIFFCARD: Command = Command {
    name: "sdiffcard",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, MovableKeys],
    acl: &[Category::Set],
    keys: &[KeySpec::at(1, &[Ro, Access]).counted(0, 1, 1)],
    args: &[
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        group: Group::Set,
        since: "8.10.0",
        complexity: "O(N) where N is the number of members of all sets",
        summary: "Counts the members of the first set that no other has.",
        ..Docs::BASE
    },
    run: sdiffcard,
    ..Command::BASE
};

#[doc(alias = "sdiffCardCommand")]
fn sdiffcard(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    count(ctx, &mut args, Op::Diff)
}
