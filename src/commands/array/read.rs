//! Commands that read an array: ARGET ARMGET ARGETRANGE ARLEN ARCOUNT ARNEXT ARLASTITEMS ARINFO ARSCAN.
//!
//! Mirrors: the reading commands of t_array.c.
//! Differs: ARINFO reports pieces of 64 indexes where Redis has slices.

use std::ops::ControlFlow;

use super::super::lookup::element;
use super::super::prelude::*;
use super::{array_or_miss, index, indexes, pair, positive_limit};
use crate::collections::listpack::LpEntry;
use crate::resp::Reply;
use crate::types::array::Shape;

/// The largest number of items in a reply that includes holes, since a hole costs no memory in the array but a null in
/// the reply.
#[doc(alias = "AR_MAX_REPLY_ITEMS")]
const REPLY_MAX: u64 = 1_000_000;

fn value(reply: &mut Reply, found: Option<LpEntry<'_>>) {
    match found {
        Some(found) => element(reply, found),
        None => reply.null(),
    }
}

pub(super) const ARGET: Command = Command {
    name: "arget",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("index")],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(1)",
        summary: "Returns the value of an array at an index.",
        ..Docs::BASE
    },
    run: arget,
    ..Command::BASE
};

#[doc(alias = "argetCommand")]
fn arget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let found = array_or_miss(ctx, key)?;
    let index = index(&mut args)?;
    value(ctx.reply, found.as_ref().and_then(|array| array.get(index)));
    Ok(())
}

pub(super) const ARMGET: Command = Command {
    name: "armget",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("index").multiple()],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of indexes.",
        summary: "Returns the values of an array at several indexes.",
        ..Docs::BASE
    },
    run: armget,
    ..Command::BASE
};

#[doc(alias = "armgetCommand")]
fn armget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let found = array_or_miss(ctx, key)?;
    let indexes = indexes(args)?;
    ctx.reply.array(indexes.len());
    for index in indexes {
        value(ctx.reply, found.as_ref().and_then(|array| array.get(index)));
    }
    Ok(())
}

pub(super) const ARGETRANGE: Command = Command {
    name: "argetrange",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("start"), arg::integer("end")],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the length of the range.",
        summary: "Returns the values of an array in a range of indexes, holes included.",
        ..Docs::BASE
    },
    run: argetrange,
    ..Command::BASE
};

/// Answers every item between two indexes, null for holes, from the first index towards the second. Fails above
/// [`REPLY_MAX`] items.
#[doc(alias = "argetrangeCommand")]
fn argetrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, end) = (index(&mut args)?, index(&mut args)?);
    let found = array_or_miss(ctx, key)?;
    let len = start.abs_diff(end) + 1;
    if len > REPLY_MAX {
        return Err(Error::once(format!(
            "range exceeds maximum of {REPLY_MAX} items"
        )));
    }
    ctx.reply.array(len as usize);
    let Some(array) = found else {
        (0..len).for_each(|_| ctx.reply.null());
        return Ok(());
    };
    let mut next = start;
    let step = |index: u64| {
        if start > end {
            index.wrapping_sub(1)
        } else {
            index + 1
        }
    };
    let _ = array.visit(start, end, &mut |index, found| {
        while next != index {
            ctx.reply.null();
            next = step(next);
        }
        element(ctx.reply, found);
        next = step(next);
        ControlFlow::<()>::Continue(())
    });
    while next != step(end) {
        ctx.reply.null();
        next = step(next);
    }
    Ok(())
}

pub(super) const ARLEN: Command = Command {
    name: "arlen",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(1)",
        summary: "Returns one more than the largest index of an array that is set.",
        ..Docs::BASE
    },
    run: arlen,
    ..Command::BASE
};

#[doc(alias = "arlenCommand")]
fn arlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let len = array_or_miss(ctx, key)?.map_or(0, |array| array.len());
    ctx.reply.unsigned(len);
    Ok(())
}

pub(super) const ARCOUNT: Command = Command {
    name: "arcount",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(1)",
        summary: "Counts the values of an array.",
        ..Docs::BASE
    },
    run: arcount,
    ..Command::BASE
};

#[doc(alias = "arcountCommand")]
fn arcount(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = array_or_miss(ctx, key)?.map_or(0, |array| array.count());
    ctx.reply.unsigned(count);
    Ok(())
}

pub(super) const ARNEXT: Command = Command {
    name: "arnext",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(1)",
        summary: "Tells where the next value would be inserted in an array.",
        ..Docs::BASE
    },
    run: arnext,
    ..Command::BASE
};

#[doc(alias = "arnextCommand")]
fn arnext(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    match array_or_miss(ctx, key)?.map_or(Some(0), |array| array.next_insert()) {
        Some(next) => ctx.reply.unsigned(next),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) const ARLASTITEMS: Command = Command {
    name: "arlastitems",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("count"),
        arg::word("rev", "REV").optional(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of values asked for.",
        summary: "Returns the values inserted last in an array.",
        ..Docs::BASE
    },
    run: arlastitems,
    ..Command::BASE
};

/// Answers the last `count` items up to the one inserted last, oldest first, newest first with REV. In a ring that has
/// begun again, it goes on from index 0 back to the last index.
#[doc(alias = "arlastitemsCommand")]
fn arlastitems(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = args.integer_or(Error::once("invalid COUNT"))?;
    if count <= 0 {
        ctx.reply.array(0);
        return Ok(());
    }
    if args.len() > 1 {
        return Err(Error::WrongArity(ctx.name()));
    }
    let newest_first = args.word("REV");
    args.end()?;
    let Some(array) = array_or_miss(ctx, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let len = array.len();
    let count = (count as u64).min(len);
    // Holes are answered, too, so their number is bounded.
    if count > array.count() && count > REPLY_MAX {
        return Err(Error::once(format!(
            "count exceeds maximum of {REPLY_MAX} items"
        )));
    }
    let inserted = array.last_insert().filter(|last| *last < len);
    let latest = inserted.unwrap_or(len.saturating_sub(1));
    // Steps back from the latest item; the step before index 0 is the last index.
    let back = |steps: u64| {
        let before = latest.checked_sub(steps);
        before.unwrap_or_else(|| len - (steps - latest))
    };
    ctx.reply.array(count as usize);
    for i in 0..count {
        let steps = if newest_first { i } else { count - 1 - i };
        value(ctx.reply, array.get(back(steps)));
    }
    Ok(())
}

pub(super) const ARINFO: Command = Command {
    name: "arinfo",
    arity: Arity::AtLeast(2),
    flags: &[ReadOnly],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::word("full", "FULL").optional()],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(1), or with FULL O(N) where N is the number of pieces the array consists of.",
        summary: "Tells how large an array is and what it consists of.",
        ..Docs::BASE
    },
    run: arinfo,
    ..Command::BASE
};

/// Answers figures about an array, with FULL also about its pieces. Fails if the key is missing.
#[doc(alias = "arinfoCommand")]
fn arinfo(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let full = args.word("FULL");
    args.end()?;
    let Some(array) = array_or_miss(ctx, key)? else {
        return Err(Error::NoSuchKey);
    };
    let shape = array.shape(full);
    let reply = &mut *ctx.reply;
    reply.map(if full { 12 } else { 7 });
    let numbers = [
        ("count", array.count()),
        ("len", array.len()),
        ("next-insert-index", array.next_insert().unwrap_or(0)),
        ("slices", shape.blocks),
        ("directory-size", shape.blocks),
        ("super-dir-entries", 0),
        ("slice-size", Shape::BLOCK),
    ];
    for (name, n) in numbers {
        reply.bulk(name.as_bytes());
        reply.unsigned(n);
    }
    if !full {
        return Ok(());
    }
    let sparse = shape.blocks - shape.dense;
    for (name, n) in [("dense-slices", shape.dense), ("sparse-slices", sparse)] {
        reply.bulk(name.as_bytes());
        reply.unsigned(n);
    }
    let mean = |all: u64, of: u64| if of == 0 { 0.0 } else { all as f64 / of as f64 };
    let dense_slots = shape.dense * Shape::BLOCK;
    let means = [
        ("avg-dense-size", mean(dense_slots, shape.dense)),
        ("avg-dense-fill", mean(shape.dense_values, dense_slots)),
        ("avg-sparse-size", mean(shape.sparse_values, sparse)),
    ];
    for (name, mean) in means {
        reply.bulk(name.as_bytes());
        reply.double(mean);
    }
    Ok(())
}

pub(super) const ARSCAN: Command = Command {
    name: "arscan",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::integer("start"),
        arg::integer("end"),
        arg::integer("limit").token("LIMIT").optional(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of values in the range.",
        summary: "Returns the values of an array in a range with their indexes, leaving out holes.",
        ..Docs::BASE
    },
    run: arscan,
    ..Command::BASE
};

/// Answers index and value of all items that are set between two indexes, at most LIMIT of them.
#[doc(alias = "arscanCommand")]
fn arscan(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, end) = (index(&mut args)?, index(&mut args)?);
    let mut limit = u64::MAX;
    match args.len() {
        0 => {}
        2 if args.word("LIMIT") => limit = positive_limit(&mut args)?,
        2 => return Err(Error::Syntax),
        _ => return Err(Error::WrongArity(ctx.name())),
    }
    let Some(array) = array_or_miss(ctx, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (mut count, mark) = (0, ctx.reply.open());
    let _ = array.visit(start, end, &mut |index, found| {
        pair(ctx.reply, index, found);
        count += 1;
        if count as u64 >= limit || ctx.reply.overflowed() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    ctx.reply.close_array(mark, count);
    Ok(())
}
