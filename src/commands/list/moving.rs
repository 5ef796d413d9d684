//! Elements that go from one list to another: LMOVE, LMOVEM, RPOPLPUSH.
//!
//! LMOVEM with OBO moves one by one, so elements that are taken from and put to the same end come out reversed; BULK
//! keeps their order. From `src` holding `a b c` to a missing `dst`:
//!
//! ```text
//!   LMOVEM src dst LEFT LEFT COUNT 2 OBO     dst: b a
//!   LMOVEM src dst LEFT LEFT COUNT 2 BULK    dst: a b
//!   LMOVEM src dst LEFT LEFT EXACTLY 5 OBO   null, nothing moves: there are only three
//! ```
//!
//! Mirrors: `lmoveGenericCommand` and `lmovemMoveAndReply` of t_list.c.

use std::ops::ControlFlow;

use super::super::prelude::*;
use super::{at_least_one, end, next_to, pop_event, push_event, removed};
use crate::keyspace;
use crate::resp::argv::OwnedArgv;
use crate::types::List;
use crate::types::list::End;
use crate::util::num::IntBuf;

pub(super) const LMOVE: Command = Command {
    name: "lmove",
    arity: Arity::Exactly(5),
    flags: &[Write, DenyOom],
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
    ],
    docs: Docs {
        group: Group::List,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Moves an element from an end of one list to an end of another and returns it.",
        ..Docs::BASE
    },
    run: lmove,
    ..Command::BASE
};

/// Moves one element from an end of a list to an end of another, or of the same, and answers it; null if there is none.
/// Propagated as it came.
#[doc(alias = "lmoveCommand")]
fn lmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let (from, to) = (end(&mut args)?, end(&mut args)?);
    if !shift(ctx, source, destination, from, to)? {
        ctx.reply.null();
    }
    Ok(())
}

pub(super) const RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    arity: Arity::Exactly(3),
    flags: &[Write, DenyOom],
    acl: &[Category::List],
    keys: &[
        KeySpec::at(1, &[Rw, Access, Delete]),
        KeySpec::at(2, &[Rw, Insert]),
    ],
    args: &[arg::key("source"), arg::key("destination").spec(1)],
    docs: Docs {
        group: Group::List,
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Moves the last element of a list to the front of another and returns it.",
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        ..Docs::BASE
    },
    run: rpoplpush,
    ..Command::BASE
};

#[doc(alias = "rpoplpushCommand")]
fn rpoplpush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    if !shift(ctx, source, destination, End::Tail, End::Head)? {
        ctx.reply.null();
    }
    Ok(())
}

/// Moves one element and answers with it; `false`, and no answer, if the source is missing. Fails before it takes
/// anything if the destination is no list. Source and destination may be the same list, which is rotated.
#[doc(alias = "lmoveGenericCommand")]
pub(super) fn shift(
    ctx: &mut Ctx<'_>,
    source: &[u8],
    destination: &[u8],
    from: End,
    to: End,
) -> Result<bool> {
    let Some(list) = ctx.db().get_mut_as::<List>(source)? else {
        return Ok(false);
    };
    let Some(element) = list.with_end(from, |entry| entry.to_vec()) else {
        return Ok(false);
    };
    let moved = Moved {
        source,
        destination,
        from,
        to,
    };
    moved.run(ctx, 1, &[&element])?;
    ctx.reply.bulk(&element);
    Ok(true)
}

/// A move of elements from one list to another, or the same.
pub(super) struct Moved<'a> {
    pub source: &'a [u8],
    pub destination: &'a [u8],
    pub from: End,
    pub to: End,
}

impl Moved<'_> {
    /// Removes `count` elements from the source and adds `elements` to the destination. `elements` are the removed
    /// ones, in the order that they shall have there.
    fn run<E: AsRef<[u8]>>(&self, ctx: &mut Ctx<'_>, count: usize, elements: &[E]) -> Result {
        let limits = super::list_limits(ctx.state);
        let db = ctx.db();
        // The destination is checked before an element is taken, so that a destination of another type loses nothing.
        let missing = db.get_mut_as::<List>(self.destination)?.is_none();
        let Some(list) = db.get_mut_as::<List>(self.source)? else {
            return Ok(());
        };
        let range = next_to(self.from, count, list.len());
        list.remove_range(range.start, range.end, limits);
        let empty = list.is_empty() && self.source != self.destination;

        let bytes = elements.iter().map(|e| e.as_ref().len()).sum();
        let add = |list: &mut List| {
            list.grow_for(bytes, count, limits);
            match self.to {
                End::Tail => elements
                    .iter()
                    .for_each(|e| list.push(End::Tail, e.as_ref(), limits)),
                End::Head => elements
                    .iter()
                    .rev()
                    .for_each(|e| list.push(End::Head, e.as_ref(), limits)),
            }
        };
        if missing {
            let mut list = List::new();
            add(&mut list);
            ctx.create(self.destination, list);
        } else if let Some(list) = db.get_mut_as::<List>(self.destination)? {
            add(list);
        }
        keyspace::act::notify::modified(ctx.state, ctx.db, self.destination, push_event(self.to));
        removed(ctx, self.source, pop_event(self.from), count, empty);
        Ok(())
    }

    /// Propagates a move of several elements as a pop and a push, because Redis before 8.10 does not know LMOVEM.
    ///
    /// Of a list that goes to itself as a whole the push comes first: a list that is emptied would lose its deadline.
    fn say(&self, ctx: &mut Ctx<'_>, elements: &[Vec<u8>], all: bool) {
        let mut digits = IntBuf::new();
        let count = digits.format(elements.len() as i64);
        let turns = all && self.source == self.destination;
        let (from, to) = match turns {
            true => (End::Head, End::Tail),
            false => (self.from, self.to),
        };
        let name: &[u8] = match from {
            End::Head => b"LPOP",
            End::Tail => b"RPOP",
        };
        let pop = [name, self.source, count];
        let mut push = OwnedArgv::from_words([match to {
            End::Head => b"LPUSH",
            End::Tail => b"RPUSH",
        }]);
        push.push(self.destination);
        match to {
            End::Head => elements.iter().rev().for_each(|element| push.push(element)),
            End::Tail => elements.iter().for_each(|element| push.push(element)),
        }
        match turns {
            true => {
                ctx.also_argv(ctx.db, push.as_argv());
                ctx.rewrite(pop);
            }
            false => {
                ctx.also(pop);
                ctx.rewrite_with(|out| *out = push);
            }
        }
    }
}

pub(super) const LMOVEM: Command = Command {
    name: "lmovem",
    arity: Arity::AtLeast(5),
    flags: &[Write, DenyOom],
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
        summary: "Moves several elements from an end of one list to an end of another and returns them.",
        ..Docs::BASE
    },
    run: lmovem,
    ..Command::BASE
};

/// Moves several elements and answers them in the order they have in the destination; null if there are too few.
/// Propagated as a pop and a push.
#[doc(alias = "lmovemCommand")]
fn lmovem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let (from, to) = (end(&mut args)?, end(&mut args)?);
    let how_many = HowMany::take(&mut args)?;
    let moved = Moved {
        source,
        destination,
        from,
        to,
    };
    if how_many.run(ctx, &moved)?.is_none() {
        ctx.reply.null_array();
    }
    Ok(())
}

/// `[COUNT|EXACTLY n OBO|BULK]`.
pub(super) struct HowMany {
    count: usize,
    exactly: bool,
    /// OBO: each element is added before the next is taken, as with repeated LMOVE; otherwise (BULK) their order is
    /// kept.
    one_by_one: bool,
}

impl HowMany {
    #[doc(alias = "lmovemParseOptions")]
    pub(super) fn take(args: &mut Args<'_>) -> Result<HowMany> {
        let mut how_many = HowMany {
            count: 1,
            exactly: false,
            one_by_one: true,
        };
        if args.is_empty() {
            return Ok(how_many);
        }
        how_many.exactly = args.word_with("EXACTLY", 1);
        if !how_many.exactly && !args.word_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        how_many.count = at_least_one(args, "count should be greater than 0")?;
        how_many.one_by_one = args.word("OBO");
        if !how_many.one_by_one && !args.word("BULK") {
            return Err(Error::Syntax);
        }
        args.end()?;
        Ok(how_many)
    }

    /// How many elements of a list would be moved; none if there are too few.
    fn of(&self, len: usize) -> Option<usize> {
        let too_few = len == 0 || self.exactly && len < self.count;
        (!too_few).then(|| self.count.min(len))
    }

    /// Moves and answers in the destination's order; how many were moved, none if there were too few.
    #[doc(alias = "lmovemMoveAndReply")]
    pub(super) fn run(&self, ctx: &mut Ctx<'_>, moved: &Moved<'_>) -> Result<Option<usize>> {
        let Some(list) = ctx.db().get_mut_as::<List>(moved.source)? else {
            return Ok(None);
        };
        let len = list.len();
        let Some(count) = self.of(len) else {
            return Ok(None);
        };
        let range = next_to(moved.from, count, len);
        let mut elements = Vec::with_capacity(count);
        let _ = list.visit(range.start, range.end, &mut |entry| {
            elements.push(entry.to_vec());
            ControlFlow::<()>::Continue(())
        });
        // Elements that are moved one by one between equal ends arrive in the opposite order.
        if self.one_by_one && moved.from == moved.to {
            elements.reverse();
        }
        let all = count == len;
        moved.run(ctx, count, &elements)?;
        moved.say(ctx, &elements, all);
        ctx.reply.array(elements.len());
        for element in &elements {
            ctx.reply.bulk(element);
        }
        Ok(Some(count))
    }
}
