//! Commands that change an array: ARSET ARMSET ARDEL ARDELRANGE ARINSERT ARRING ARSEEK.
//!
//! All arguments are read before anything is changed.
//!
//! ```text
//!   ARINSERT a x y      answers 1: x at 0, y at 1
//!   ARSEEK a 10         the next insertion goes to 10
//!   ARINSERT a z        answers 10
//!   ARRING r 3 a b c d  answers 0: a b c at 0 1 2, then d replaces a
//! ```
//!
//! Mirrors: the writing commands of t_array.c.

use super::super::prelude::*;
use super::{BAD_INDEX, change, index, indexes};
use crate::types::Array;
use crate::types::array::INDEX_MAX;
use crate::util::num::parse_u64;

pub(super) const ARSET: Command = Command {
    name: "arset",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::integer("index"),
        arg::string("value").multiple(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of values.",
        summary: "Sets values of an array at consecutive indexes, and counts those that were not set.",
        ..Docs::BASE
    },
    run: arset,
    ..Command::BASE
};

/// Sets consecutive items from an index on and answers how many of them were holes. Fails if the last index is too
/// large.
#[doc(alias = "arsetCommand")]
fn arset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let start = index(&mut args)?;
    let count = args.len();
    let last = start.checked_add(count as u64 - 1);
    if last.is_none_or(|last| last > INDEX_MAX) {
        return Err(Error::once("array index overflow"));
    }
    let new = change(ctx, key, |array| {
        let values = (start..=INDEX_MAX).zip(args);
        Ok(values
            .filter(|(index, value)| array.set(*index, value))
            .count())
    })?;
    ctx.modified_n(key, Event::array("arset"), count);
    ctx.reply.count(new);
    Ok(())
}

pub(super) const ARMSET: Command = Command {
    name: "armset",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::block("data", &[arg::integer("index"), arg::string("value")]).multiple(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of pairs.",
        summary: "Sets values of an array at any indexes, and counts those that were not set.",
        ..Docs::BASE
    },
    run: armset,
    ..Command::BASE
};

/// Sets items at given indexes and answers how many of them were holes.
#[doc(alias = "armsetCommand")]
fn armset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    let values = args.skip(1).step_by(2);
    let indexes = indexes(args.step_by(2))?;
    let count = indexes.len();
    let new = change(ctx, key, |array| {
        let pairs = indexes.into_iter().zip(values);
        Ok(pairs
            .filter(|(index, value)| array.set(*index, value))
            .count())
    })?;
    ctx.modified_n(key, Event::array("armset"), count);
    ctx.reply.count(new);
    Ok(())
}

pub(super) const ARDEL: Command = Command {
    name: "ardel",
    arity: Arity::AtLeast(3),
    flags: &[Write, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::integer("index").multiple()],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of indexes.",
        summary: "Deletes values of an array; an array without values is deleted, too.",
        ..Docs::BASE
    },
    run: ardel,
    ..Command::BASE
};

#[doc(alias = "ardelCommand")]
fn ardel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let indexes = indexes(args)?;
    delete(ctx, key, Event::array("ardel"), |array| {
        indexes.iter().filter(|index| array.remove(**index)).count() as u64
    })
}

/// Deletes items by the given function and answers how many there were; deletes the key of an array that is left empty.
fn delete(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    event: Event,
    delete: impl FnOnce(&mut Array) -> u64,
) -> Result {
    let Some(array) = ctx.db().get_mut_as::<Array>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let deleted = delete(array);
    let empty = array.is_empty();
    if deleted > 0 {
        if empty {
            ctx.delete_emptied(key);
        }
        ctx.modified_n(key, event, deleted as usize);
        if empty {
            ctx.notify(key, Event::DEL);
        }
    }
    ctx.reply.unsigned(deleted);
    Ok(())
}

pub(super) const ARDELRANGE: Command = Command {
    name: "ardelrange",
    arity: Arity::AtLeast(4),
    flags: &[Write],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[
        arg::key("key"),
        arg::block("range", &[arg::integer("start"), arg::integer("end")]).multiple(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of values deleted, whatever the ranges span.",
        summary: "Deletes the values of an array in ranges of indexes.",
        ..Docs::BASE
    },
    run: ardelrange,
    ..Command::BASE
};

/// Deletes all items in one or more ranges, whose ends may be given in either order, and answers how many there were.
#[doc(alias = "ardelrangeCommand")]
fn ardelrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    let ends = indexes(args)?;
    delete(ctx, key, Event::array("ardelrange"), |array| {
        let ranges = ends.chunks_exact(2);
        ranges
            .map(|ends| array.remove_range(ends[0].min(ends[1])..=ends[0].max(ends[1])))
            .sum()
    })
}

pub(super) const ARINSERT: Command = Command {
    name: "arinsert",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[arg::key("key"), arg::string("value").multiple()],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(N) where N is the number of values.",
        summary: "Sets values of an array behind its cursor, which moves along.",
        ..Docs::BASE
    },
    run: arinsert,
    ..Command::BASE
};

/// Sets items after the one inserted last and answers the last index. Fails, and changes nothing, if there is no room.
#[doc(alias = "arinsertCommand")]
fn arinsert(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = args.len();
    let last = change(ctx, key, |array| {
        let next = array.next_insert();
        let last = next.and_then(|next| next.checked_add(count as u64 - 1));
        let (Some(next), Some(last)) = (next, last.filter(|last| *last <= INDEX_MAX)) else {
            return Err(Error::once("insert index overflow"));
        };
        for (index, value) in (next..=last).zip(args) {
            array.set(index, value);
        }
        array.set_last_insert(Some(last));
        Ok(last)
    })?;
    ctx.modified_n(key, Event::array("arinsert"), count);
    ctx.reply.unsigned(last);
    Ok(())
}

pub(super) const ARRING: Command = Command {
    name: "arring",
    arity: Arity::AtLeast(4),
    flags: &[Write, DenyOom],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::integer("size"),
        arg::string("value").multiple(),
    ],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(M) where M is the number of values; O(N+M) when the ring of N places gets another size.",
        summary: "Sets values behind an array's cursor, which goes round in so many places.",
        ..Docs::BASE
    },
    run: arring,
    ..Command::BASE
};

/// Inserts items into a ring of `size` indexes, beginning again at 0 after the last, and answers the last index
/// written.
#[doc(alias = "arringCommand")]
fn arring(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let size = args.integer_or(Error::once("invalid size"))?;
    if size <= 0 {
        return Err(Error::once("size must be positive"));
    }
    let (size, count) = (size as u64, args.len());
    let last = change(ctx, key, |array| {
        array.fit_ring(size);
        let places = args.map(|value| array.insert_in_ring(size, value));
        Ok(places.last().unwrap_or(0))
    })?;
    ctx.modified_n(key, Event::array("arring"), count);
    ctx.reply.unsigned(last);
    Ok(())
}

pub(super) const ARSEEK: Command = Command {
    name: "arseek",
    arity: Arity::Exactly(3),
    flags: &[Write, Fast],
    acl: &[Category::Array],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[arg::key("key"), arg::integer("index")],
    docs: Docs {
        group: Group::Array,
        since: "8.8.0",
        complexity: "O(1)",
        summary: "Says where the next value is inserted in an array.",
        ..Docs::BASE
    },
    run: arseek,
    ..Command::BASE
};

/// Sets the index of the next insertion and answers 1, or 0 if the key is missing.
#[doc(alias = "arseekCommand")]
fn arseek(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    // The number may be one more than the largest index: then nothing can be inserted any more.
    let next = parse_u64(args.bytes()?).ok_or(BAD_INDEX)?;
    let Some(array) = ctx.db().get_mut_as::<Array>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    array.set_last_insert(next.checked_sub(1));
    ctx.modified(key, Event::array("arseek"));
    ctx.reply.integer(1);
    Ok(())
}
