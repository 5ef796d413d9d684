//! Commands on the members of one set: SADD, SREM, SMOVE, SISMEMBER, SCARD, SMEMBERS, SSCAN and their kin.
//!
//! Mirrors: the first half of t_set.c.

use super::super::lookup::element;
use super::super::prelude::*;
use super::set_limits;
use crate::types::Set;
use crate::util::glob::{self, Case};
use crate::util::num;

pub(super) const SADD: Command = Command {
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

pub(super) const SREM: Command = Command {
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

pub(super) const SMOVE: Command = Command {
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

pub(super) const SISMEMBER: Command = Command {
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

pub(super) const SMISMEMBER: Command = Command {
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

pub(super) const SCARD: Command = Command {
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

pub(super) const SMEMBERS: Command = Command {
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

pub(super) const SSCAN: Command = Command {
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
/// [`keys`](super::super::keys); an intset or listpack is shown whole in one call.
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
