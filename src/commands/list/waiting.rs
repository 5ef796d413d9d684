//! Lists that clients block on: BLPOP, BLMOVE and their kin.
//!
//! A blocking command first does what its plain twin does. Only when there is nothing to take it blocks the client
//! ([`Ctx::block_on_keys`]); it runs again, whole, when one of its keys has changed. It is propagated as the plain
//! command that it became.
//!
//! ```text
//!   client 1   BLPOP a b 5        blocked on a and b, for 5 seconds at most
//!   client 2   RPUSH b x y        2
//!   client 1                      b, x;  propagated: RPUSH b x y, LPOP b
//! ```
//!
//! Mirrors: `blockingPopGenericCommand` and `blmoveGenericCommand` of t_list.c.

use super::super::prelude::*;
use super::moving::{HowMany, Moved, shift};
use super::{end, many_keys, pop_first};
use crate::clients::WaitKind;
use crate::keyspace::Ms;
use crate::types::list::End;

pub(super) const BLPOP: Command = Command {
    name: "blpop",
    arity: Arity::AtLeast(3),
    flags: &[Write, Blocking],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete]).to(-2, 1)],
    args: &[arg::key("key").multiple(), arg::double("timeout")],
    docs: Docs {
        group: Group::List,
        since: "2.0.0",
        complexity: "O(N) where N is the number of keys",
        summary: "Takes the first element of the first list that has one, or waits for it.",
        ..Docs::BASE
    },
    run: blpop,
    ..Command::BASE
};

#[doc(alias = "blpopCommand")]
fn blpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    blocking_pop(ctx, &mut args, End::Head)
}

pub(super) const BRPOP: Command = Command {
    name: "brpop",
    arity: Arity::AtLeast(3),
    flags: &[Write, Blocking],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete]).to(-2, 1)],
    args: &[arg::key("key").multiple(), arg::double("timeout")],
    docs: Docs {
        group: Group::List,
        since: "2.0.0",
        complexity: "O(N) where N is the number of keys",
        summary: "Takes the last element of the first list that has one, or waits for it.",
        ..Docs::BASE
    },
    run: brpop,
    ..Command::BASE
};

#[doc(alias = "brpopCommand")]
fn brpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    blocking_pop(ctx, &mut args, End::Tail)
}

/// BLPOP and BRPOP: takes one element from the first list that exists, in the order of the request, or blocks on all
/// keys. A timeout of 0 never ends. Answers null after the timeout.
#[doc(alias = "blockingPopGenericCommand")]
fn blocking_pop(ctx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Result {
    let keys = args.take(args.len() - 1)?;
    let deadline = ctx.timeout_seconds(args)?;
    if !pop_first(ctx, keys, end, None)? {
        wait(ctx, args, deadline, keys);
    }
    Ok(())
}

/// Blocks the client on the keys after nothing was found; where blocking is not allowed (in a transaction or a script),
/// answers null as after a timeout.
fn wait<'a>(
    ctx: &mut Ctx<'_>,
    args: &Args<'_>,
    deadline: Option<Ms>,
    keys: impl IntoIterator<Item = &'a [u8]>,
) {
    if ctx.may_block() {
        ctx.block_on_keys(WaitKind::List, args.argv().to_owned(), deadline, keys);
    } else {
        ctx.reply.null_array();
    }
}

pub(super) const BLMPOP: Command = Command {
    name: "blmpop",
    arity: Arity::AtLeast(5),
    flags: &[Write, Blocking, MovableKeys],
    acl: &[Category::List],
    keys: &[KeySpec::at(2, &[Rw, Access, Delete]).counted(0, 1, 1)],
    args: &[
        arg::double("timeout"),
        arg::integer("numkeys"),
        arg::key("key").multiple(),
        arg::one_of(
            "where",
            &[arg::word("left", "LEFT"), arg::word("right", "RIGHT")],
        ),
        arg::integer("count").token("COUNT").optional(),
    ],
    docs: Docs {
        group: Group::List,
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
        summary: "As LMPOP, but waits for an element if all lists are empty.",
        ..Docs::BASE
    },
    run: blmpop,
    ..Command::BASE
};

/// LMPOP that blocks if all lists are missing.
#[doc(alias = "blmpopCommand")]
fn blmpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut timeout = Args::take(&mut args, 1)?;
    let (keys, end, count) = many_keys(&mut args)?;
    let deadline = ctx.timeout_seconds(&mut timeout)?;
    if !pop_first(ctx, keys, end, Some(count))? {
        wait(ctx, &args, deadline, keys);
    }
    Ok(())
}

pub(super) const BLMOVE: Command = Command {
    name: "blmove",
    arity: Arity::Exactly(6),
    flags: &[Write, DenyOom, Blocking],
    acl: &[Category::List],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Rw, Insert]),
    ],
    args: &[
        arg::key("source"),
        arg::key("destination").spec(1),
        arg::one_of(
            "wherefrom",
            &[arg::word("left", "LEFT"), arg::word("right", "RIGHT")],
        ),
        arg::one_of(
            "whereto",
            &[arg::word("left", "LEFT"), arg::word("right", "RIGHT")],
        ),
        arg::double("timeout"),
    ],
    docs: Docs {
        group: Group::List,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "As LMOVE, but waits for an element if the source has none.",
        ..Docs::BASE
    },
    run: blmove,
    ..Command::BASE
};

#[doc(alias = "blmoveCommand")]
fn blmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let ends = (end(&mut args)?, end(&mut args)?);
    let deadline = ctx.timeout_seconds(&mut args)?;
    blocking_move(ctx, &args, source, destination, ends, deadline)
}

pub(super) const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom, Blocking],
    acl: &[Category::List],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Rw, Insert]),
    ],
    args: &[
        arg::key("source"),
        arg::key("destination").spec(1),
        arg::double("timeout"),
    ],
    docs: Docs {
        group: Group::List,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "As RPOPLPUSH, but waits for an element if the source has none.",
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        ..Docs::BASE
    },
    run: brpoplpush,
    ..Command::BASE
};

#[doc(alias = "brpoplpushCommand")]
fn brpoplpush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let ends = (End::Tail, End::Head);
    let deadline = ctx.timeout_seconds(&mut args)?;
    blocking_move(ctx, &args, source, destination, ends, deadline)
}

/// BLMOVE and BRPOPLPUSH: moves an element, or blocks on the source. Propagated as LMOVE or RPOPLPUSH.
#[doc(alias = "blmoveGenericCommand")]
fn blocking_move(
    ctx: &mut Ctx<'_>,
    args: &Args<'_>,
    source: &[u8],
    destination: &[u8],
    (from, to): (End, End),
    deadline: Option<Ms>,
) -> Result {
    if shift(ctx, source, destination, from, to)? {
        // BLMOVE names the ends, BRPOPLPUSH does not.
        let argv = args.argv();
        match argv.len() {
            4 => ctx.rewrite([b"RPOPLPUSH", source, destination]),
            _ => ctx.rewrite([b"LMOVE", source, destination, argv.get(3), argv.get(4)]),
        }
    } else if ctx.may_block() {
        wait(ctx, args, deadline, [source]);
    } else {
        ctx.reply.null();
    }
    Ok(())
}

pub(super) const BLMOVEM: Command = Command {
    name: "blmovem",
    arity: Arity::AtLeast(6),
    flags: &[Write, DenyOom, Blocking],
    acl: &[Category::List],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Rw, Insert]),
    ],
    args: &[
        arg::key("source"),
        arg::key("destination").spec(1),
        arg::one_of(
            "wherefrom",
            &[arg::word("left", "LEFT"), arg::word("right", "RIGHT")],
        ),
        arg::one_of(
            "whereto",
            &[arg::word("left", "LEFT"), arg::word("right", "RIGHT")],
        ),
        arg::double("timeout"),
        arg::block(
            "how-many",
            &[
                arg::one_of(
                    "selector",
                    &[
                        arg::integer("count").token("COUNT"),
                        arg::integer("exactly").token("EXACTLY"),
                    ],
                ),
                arg::one_of(
                    "ordering",
                    &[arg::word("obo", "OBO"), arg::word("bulk", "BULK")],
                ),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::List,
        since: "8.10.0",
        complexity: "O(N) where N is the number of elements moved",
        summary: "As LMOVEM, but waits until there are enough elements.",
        ..Docs::BASE
    },
    run: blmovem,
    ..Command::BASE
};

/// LMOVEM that blocks on the source if it has too few elements. Propagated as LMOVEM is.
#[doc(alias = "blmovemCommand")]
fn blmovem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let (from, to) = (end(&mut args)?, end(&mut args)?);
    let mut timeout = Args::take(&mut args, 1)?;
    let how_many = HowMany::take(&mut args)?;
    let deadline = ctx.timeout_seconds(&mut timeout)?;
    let moved = Moved {
        source,
        destination,
        from,
        to,
    };
    if how_many.run(ctx, &moved)?.is_none() {
        wait(ctx, &args, deadline, [source]);
    }
    Ok(())
}
