//! Members drawn at random: SPOP takes them, SRANDMEMBER only shows them.
//!
//! ```text
//!   s = { a, b, c, d }
//!   SPOP s           c                propagated as: SREM s c
//!   SPOP s 2         a, d             propagated as: SREM s a d
//!   SPOP s 10        b                propagated as: DEL s, or UNLINK s with lazyfree-lazy-server-del
//! ```
//!
//! Mirrors: `spopCommand()` and `srandmemberCommand()` of t_set.c; the choice of the members is `types/set/ops.rs`.

use super::super::lookup::element;
use super::super::prelude::*;
use super::set_limits;
use crate::resp::argv::OwnedArgv;
use crate::types::Set;
use crate::util::num;

pub(super) const SPOP: Command = Command {
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
                said.push(OwnedArgv::from_words([b"SREM", key]));
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

pub(super) const SRANDMEMBER: Command = Command {
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
