//! Lists: LPUSH, LPOP, LRANGE and their kin. [`moving`] has the commands of two lists, [`waiting`] the ones that block.
//!
//! Invariant: a list without elements never stays under its key; [`removed`] deletes it.
//!
//! Mirrors: the command half of t_list.c; the type itself is `types/list`.

mod moving;
mod waiting;

use std::ops::{ControlFlow, Range};

use super::lookup::element;
use super::prelude::*;
use crate::collections::listpack::LpEntry;
use crate::resp::Reply;
use crate::state::State;
use crate::types::List;
use crate::types::list::{End, ListLimits};
use crate::util::num;

pub const COMMANDS: &[&Command] = &[
    &waiting::BLMOVE,
    &waiting::BLMOVEM,
    &waiting::BLMPOP,
    &waiting::BLPOP,
    &waiting::BRPOP,
    &waiting::BRPOPLPUSH,
    &LINDEX,
    &LINSERT,
    &LLEN,
    &moving::LMOVE,
    &moving::LMOVEM,
    &LMPOP,
    &LPOP,
    &LPOS,
    &LPUSH,
    &LPUSHX,
    &LRANGE,
    &LREM,
    &LSET,
    &LTRIM,
    &RPOP,
    &moving::RPOPLPUSH,
    &RPUSH,
    &RPUSHX,
];

/// The configured limits of a list's nodes: their size, their compression, and from which size on an element has a node
/// to itself.
#[inline]
pub fn list_limits(state: &State) -> ListLimits {
    ListLimits {
        fill: state.config.list_max_listpack_size,
        compress_depth: state.config.list_compress_depth,
        plain_from: state.list_plain_from,
    }
}

/// Writes a range of elements as an array, from its last to its first if it was taken from the tail.
#[doc(alias = "addListRangeReply")]
fn elements(reply: &mut Reply, list: &List, range: Range<usize>, end: End) {
    let mut missing = range.len();
    reply.array(missing);
    let mut write = |entry: LpEntry<'_>| {
        element(reply, entry);
        missing -= 1;
        ControlFlow::<()>::Continue(())
    };
    let _ = match end {
        End::Head => list.visit(range.start, range.end, &mut write),
        End::Tail => list.visit_back(range.start, range.end, &mut write),
    };
    // A damaged listpack may hold fewer elements than its header says.
    for _ in 0..missing {
        reply.null();
    }
}

/// The `count` elements next to an end, or all.
fn next_to(end: End, count: usize, len: usize) -> Range<usize> {
    let count = count.min(len);
    match end {
        End::Head => 0..count,
        End::Tail => len - count..len,
    }
}

/// The elements between two indexes, both included, which may count from the end.
fn between(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from = |index: i64| if index < 0 { index + len } else { index };
    let (start, stop) = (from(start).max(0), from(stop).min(len - 1));
    if start > stop {
        return 0..0;
    }
    start as usize..stop as usize + 1
}

fn pop_event(end: End) -> Event {
    match end {
        End::Head => Event::list("lpop"),
        End::Tail => Event::list("rpop"),
    }
}

fn push_event(end: End) -> Event {
    match end {
        End::Head => Event::list("lpush"),
        End::Tail => Event::list("rpush"),
    }
}

/// Takes LEFT or RIGHT.
#[doc(alias = "getListPositionFromObjectOrReply")]
fn end(args: &mut Args<'_>) -> Result<End> {
    if args.word("RIGHT") {
        Ok(End::Tail)
    } else if args.word("LEFT") {
        Ok(End::Head)
    } else {
        Err(Error::Syntax)
    }
}

/// The position of an index, which may count from the end; `None` if it is outside.
fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index + len as i64 } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

// ---- Adding ------------------------------------------------------------------------------------

const LPUSH: Command = Command {
    name: "lpush",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("element").multiple()],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements added",
        summary: "Adds elements at the front; a missing list is made.",
        ..Docs::BASE
    },
    run: lpush,
    ..Command::BASE
};

#[doc(alias = "lpushCommand")]
fn lpush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    push(ctx, &mut args, End::Head, false)
}

const RPUSH: Command = Command {
    name: "rpush",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("element").multiple()],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements added",
        summary: "Adds elements at the end; a missing list is made.",
        ..Docs::BASE
    },
    run: rpush,
    ..Command::BASE
};

#[doc(alias = "rpushCommand")]
fn rpush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    push(ctx, &mut args, End::Tail, false)
}

const LPUSHX: Command = Command {
    name: "lpushx",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("element").multiple()],
    docs: Docs {
        group: Group::List,
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements added",
        summary: "Adds elements at the front of a list that exists.",
        ..Docs::BASE
    },
    run: lpushx,
    ..Command::BASE
};

#[doc(alias = "lpushxCommand")]
fn lpushx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    push(ctx, &mut args, End::Head, true)
}

const RPUSHX: Command = Command {
    name: "rpushx",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[arg::key("key"), arg::string("element").multiple()],
    docs: Docs {
        group: Group::List,
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements added",
        summary: "Adds elements at the end of a list that exists.",
        ..Docs::BASE
    },
    run: rpushx,
    ..Command::BASE
};

#[doc(alias = "rpushxCommand")]
fn rpushx(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    push(ctx, &mut args, End::Tail, true)
}

/// LPUSH, RPUSH and their X forms: adds elements one by one and answers the new length. `LPUSH k a b` makes `[b, a]`.
///
/// The X forms answer 0 and change nothing if the key is missing. A client blocked on the key is served after this
/// command.
#[doc(alias = "pushGenericCommand")]
fn push(ctx: &mut Ctx<'_>, args: &mut Args<'_>, end: End, only_existing: bool) -> Result {
    let key = args.key()?;
    let limits = list_limits(ctx.state);
    let count = args.len();
    let bytes = (*args).map(<[u8]>::len).sum();
    let add = |list: &mut List| {
        list.grow_for(bytes, count, limits);
        for element in *args {
            list.push(end, element, limits);
        }
        list.len()
    };
    let len = match ctx.db().get_mut_as::<List>(key)? {
        Some(list) => add(list),
        None if only_existing => 0,
        None => {
            let mut list = List::new();
            let len = add(&mut list);
            ctx.create(key, list);
            len
        }
    };
    if len > 0 {
        ctx.modified_n(key, push_event(end), count);
    }
    ctx.reply.count(len);
    Ok(())
}

const LINSERT: Command = Command {
    name: "linsert",
    arity: Arity::Exactly(5),
    flags: &[Write, DenyOom],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Insert])],
    args: &[
        arg::key("key"),
        arg::one_of(
            "where",
            &[arg::word("before", "BEFORE"), arg::word("after", "AFTER")],
        ),
        arg::string("pivot"),
        arg::string("element"),
    ],
    docs: Docs {
        group: Group::List,
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements seen before the pivot",
        summary: "Puts an element before or after another.",
        ..Docs::BASE
    },
    run: linsert,
    ..Command::BASE
};

/// Inserts an element before or after the first one equal to the pivot. Answers the new length, -1 if there is no such
/// element, 0 if there is no such key.
#[doc(alias = "linsertCommand")]
fn linsert(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let after = args.word("AFTER");
    if !after && !args.word("BEFORE") {
        return Err(Error::Syntax);
    }
    let (pivot, new) = (args.bytes()?, args.bytes()?);

    let limits = list_limits(ctx.state);
    let Some(list) = ctx.db().get_mut_as::<List>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    // The list may change its encoding even if the pivot is not found, as in Redis.
    list.grow_for(new.len(), 1, limits);
    let Some(at) = list.find(pivot) else {
        ctx.reply.integer(-1);
        return Ok(());
    };
    list.insert(at + usize::from(after), new, limits);
    let len = list.len();
    ctx.modified(key, Event::list("linsert"));
    ctx.reply.count(len);
    Ok(())
}

const LSET: Command = Command {
    name: "lset",
    arity: Arity::Exactly(4),
    flags: &[Write, DenyOom],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::integer("index"),
        arg::string("element"),
    ],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of blocks, or of elements in one block",
        summary: "Puts another element at an index.",
        ..Docs::BASE
    },
    run: lset,
    ..Command::BASE
};

/// Replaces the element at an index. Fails if the key is missing or the index is outside.
#[doc(alias = "lsetCommand")]
fn lset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let limits = list_limits(ctx.state);
    let Some(list) = ctx.db().get_mut_as::<List>(key)? else {
        return Err(Error::NoSuchKey);
    };
    let index = args.integer()?;
    let new = args.bytes()?;
    list.grow_for(new.len(), 1, limits);
    let at = position(index, list.len()).ok_or(Error::IndexOutOfRange)?;
    if !list.replace(at, new, limits) {
        return Err(Error::IndexOutOfRange);
    }
    ctx.modified(key, Event::list("lset"));
    ctx.reply.ok();
    Ok(())
}

// ---- Looking -----------------------------------------------------------------------------------

const LLEN: Command = Command {
    name: "llen",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the number of elements.",
        ..Docs::BASE
    },
    run: llen,
    ..Command::BASE
};

#[doc(alias = "llenCommand")]
fn llen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let list = ctx.state.keyspace[ctx.db].get_as::<List>(key)?;
    let found = list.map(List::len);
    if found.is_none() {
        ctx.missed(key);
    }
    ctx.reply.count(found.unwrap_or(0));
    Ok(())
}

const LINDEX: Command = Command {
    name: "lindex",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("index")],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of blocks, or of elements in one block",
        summary: "Returns the element at an index.",
        ..Docs::BASE
    },
    run: lindex,
    ..Command::BASE
};

/// Answers the element at an index, which may count from the end; null if it is outside.
#[doc(alias = "lindexCommand")]
fn lindex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let Some(list) = ctx.state.keyspace[ctx.db].get_as::<List>(key)? else {
        ctx.missed(key);
        ctx.reply.null();
        return Ok(());
    };
    let index = args.integer()?;
    let reply = &mut *ctx.reply;
    let shown =
        position(index, list.len()).and_then(|at| list.with(at, |entry| element(reply, entry)));
    if shown.is_none() {
        ctx.reply.null();
    }
    Ok(())
}

const LRANGE: Command = Command {
    name: "lrange",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[arg::key("key"), arg::integer("start"), arg::integer("stop")],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(S+N) where S is the distance to the start and N the number of elements returned",
        summary: "Returns the elements between two indexes.",
        ..Docs::BASE
    },
    run: lrange,
    ..Command::BASE
};

#[doc(alias = "lrangeCommand")]
fn lrange(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, stop) = (args.integer()?, args.integer()?);
    match ctx.state.keyspace[ctx.db].get_as::<List>(key)? {
        Some(list) => elements(ctx.reply, list, between(start, stop, list.len()), End::Head),
        None => {
            ctx.missed(key);
            ctx.reply.array(0);
        }
    }
    Ok(())
}

const LPOS: Command = Command {
    name: "lpos",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("element"),
        arg::integer("rank").token("RANK").optional(),
        arg::integer("num-matches").token("COUNT").optional(),
        arg::integer("len").token("MAXLEN").optional(),
    ],
    docs: Docs {
        group: Group::List,
        since: "6.0.6",
        complexity: "O(N) where N is the number of elements looked at",
        summary: "Returns where an element is found.",
        ..Docs::BASE
    },
    run: lpos,
    ..Command::BASE
};

/// Answers the position of an element, or with COUNT an array of positions (COUNT 0: all). RANK picks the first match
/// to report and, if negative, searches from the end; MAXLEN bounds how many elements are compared.
///
/// With `k` holding `a b c a b c a`:
///
/// ```text
///   LPOS k a                     0
///   LPOS k a RANK 2              3
///   LPOS k a RANK -1             6
///   LPOS k a RANK -1 COUNT 2     6 3
///   LPOS k a COUNT 0 MAXLEN 4    0 3
/// ```
///
/// Positions always count from the head.
#[doc(alias = "lposCommand")]
fn lpos(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let wanted = args.bytes()?;
    let (mut rank, mut most, mut max_len) = (1, None, 0);
    while !args.is_empty() {
        if args.word_with("RANK", 1) {
            rank = args.integer_within(-i64::MAX, i64::MAX)?;
            if rank == 0 {
                return Err(Error::once(
                    "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or \
                     use negative to start from the end of the list",
                ));
            }
        } else if args.word_with("COUNT", 1) {
            most = Some(not_negative(&mut args, "COUNT can't be negative")?);
        } else if args.word_with("MAXLEN", 1) {
            max_len = not_negative(&mut args, "MAXLEN can't be negative")?;
        } else {
            return Err(Error::Syntax);
        }
    }

    let Some(list) = ctx.state.keyspace[ctx.db].get_as::<List>(key)? else {
        ctx.missed(key);
        match most {
            Some(_) => ctx.reply.array(0),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let number = num::parse_i64(wanted);
    let len = list.len();
    let look_at = if max_len == 0 { len } else { len.min(max_len) };
    let mark = most.map(|_| ctx.reply.open());
    // `pass` counts the matches that RANK leaves out, `found` the ones reported.
    let mut pass = rank.unsigned_abs() - 1;
    let (mut seen, mut found, mut last) = (0, 0, None);
    let mut look = |entry: LpEntry<'_>| {
        seen += 1;
        let is = match entry {
            LpEntry::Int(n) => number == Some(n),
            LpEntry::Str(text) => text == wanted,
        };
        if !is {
            return ControlFlow::Continue(());
        }
        if pass > 0 {
            pass -= 1;
            return ControlFlow::Continue(());
        }
        let at = if rank > 0 { seen - 1 } else { len - seen };
        found += 1;
        match most {
            Some(most) => {
                ctx.reply.count(at);
                if found == most {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            }
            None => {
                last = Some(at);
                ControlFlow::Break(())
            }
        }
    };
    let _ = match rank {
        1.. => list.visit(0, look_at, &mut look),
        _ => list.visit_back(len - look_at, len, &mut look),
    };
    match (mark, last) {
        (Some(mark), _) => ctx.reply.close_array(mark, found),
        (None, Some(at)) => ctx.reply.count(at),
        (None, None) => ctx.reply.null(),
    }
    Ok(())
}

fn not_negative(args: &mut Args<'_>, error: &'static str) -> Result<usize> {
    match num::parse_i64(args.bytes()?) {
        Some(n @ 0..) => Ok(n as usize),
        _ => Err(Error::once(error)),
    }
}

// ---- Taking ------------------------------------------------------------------------------------

const LPOP: Command = Command {
    name: "lpop",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[
        arg::key("key"),
        arg::integer("count").optional().since("6.2.0"),
    ],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements returned",
        summary: "Takes elements from the front and returns them.",
        ..Docs::BASE
    },
    run: lpop,
    ..Command::BASE
};

#[doc(alias = "lpopCommand")]
fn lpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    pop(ctx, &mut args, End::Head)
}

const RPOP: Command = Command {
    name: "rpop",
    arity: Arity::AtLeast(2),
    flags: &[Write, Fast],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete])],
    args: &[
        arg::key("key"),
        arg::integer("count").optional().since("6.2.0"),
    ],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements returned",
        summary: "Takes elements from the end and returns them.",
        ..Docs::BASE
    },
    run: rpop,
    ..Command::BASE
};

#[doc(alias = "rpopCommand")]
fn rpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    pop(ctx, &mut args, End::Tail)
}

/// LPOP and RPOP: takes one element, or with a count an array of at most so many. Propagated as it came; the key is
/// deleted with its last element. A missing key answers null.
#[doc(alias = "popGenericCommand")]
fn pop(ctx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Result {
    let key = args.key()?;
    let count = match args.len() {
        0 => None,
        1 => Some(args.positive()? as usize),
        _ => return Err(Error::WrongArity(ctx.name())),
    };
    let limits = list_limits(ctx.state);
    let Some(list) = ctx.state.keyspace[ctx.db].get_mut_as::<List>(key)? else {
        match count {
            Some(_) => ctx.reply.null_array(),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let popped = match count {
        Some(0) => {
            ctx.reply.array(0);
            return Ok(());
        }
        Some(count) => {
            let range = next_to(end, count, list.len());
            elements(ctx.reply, list, range.clone(), end);
            list.remove_range(range.start, range.end, limits);
            range.len()
        }
        None => {
            let reply = &mut *ctx.reply;
            if list
                .pop(end, limits, |entry| element(reply, entry))
                .is_none()
            {
                ctx.reply.null();
            }
            1
        }
    };
    let empty = list.is_empty();
    removed(ctx, key, pop_event(end), popped, empty);
    Ok(())
}

/// Publishes that elements were removed, and deletes the key if the list is `empty`.
#[doc(alias = "listElementsRemoved")]
#[inline]
fn removed(ctx: &mut Ctx<'_>, key: &[u8], event: Event, count: usize, empty: bool) {
    ctx.modified_n(key, event, count);
    if empty {
        ctx.emptied(key);
    }
}

const LREM: Command = Command {
    name: "lrem",
    arity: Arity::Exactly(4),
    flags: &[Write],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[
        arg::key("key"),
        arg::integer("count"),
        arg::string("element"),
    ],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N+M) where N is the length and M the number of elements removed",
        summary: "Removes elements that equal a value.",
        ..Docs::BASE
    },
    run: lrem,
    ..Command::BASE
};

/// Removes elements equal to a value: all for 0, the first `count` from the head, or from the tail if it is negative.
/// Answers how many were removed.
#[doc(alias = "lremCommand")]
fn lrem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = args.integer_within(-i64::MAX, i64::MAX)?;
    let unwanted = args.bytes()?;
    let limits = list_limits(ctx.state);
    let Some(list) = ctx.db().get_mut_as::<List>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let (from, most) = match count {
        0 => (End::Head, usize::MAX),
        1.. => (End::Head, count as usize),
        _ => (End::Tail, count.unsigned_abs() as usize),
    };
    let gone = list.remove_equal(unwanted, from, most, limits);
    let empty = list.is_empty();
    if gone > 0 {
        removed(ctx, key, Event::list("lrem"), gone, empty);
    }
    ctx.reply.count(gone);
    Ok(())
}

const LTRIM: Command = Command {
    name: "ltrim",
    arity: Arity::Exactly(4),
    flags: &[Write],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::integer("start"), arg::integer("stop")],
    docs: Docs {
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) where N is the number of elements removed",
        summary: "Keeps only the elements between two indexes.",
        ..Docs::BASE
    },
    run: ltrim,
    ..Command::BASE
};

/// Keeps the elements between two indexes, both included, and removes all others. An empty range deletes the key.
#[doc(alias = "ltrimCommand")]
fn ltrim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, stop) = (args.integer()?, args.integer()?);
    let limits = list_limits(ctx.state);
    let Some(list) = ctx.db().get_mut_as::<List>(key)? else {
        ctx.reply.ok();
        return Ok(());
    };
    let len = list.len();
    let kept = between(start, stop, len);
    list.remove_range(kept.end, len, limits);
    list.remove_range(0, kept.start, limits);
    let empty = list.is_empty();
    removed(ctx, key, Event::list("ltrim"), len - kept.len(), empty);
    ctx.reply.ok();
    Ok(())
}

const LMPOP: Command = Command {
    name: "lmpop",
    arity: Arity::AtLeast(4),
    flags: &[Write, MovableKeys],
    acl: &[Category::List],
    keys: &[KeySpec::at(1, &[Rw, Access, Delete]).counted(0, 1, 1)],
    args: &[
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
        summary: "Takes elements from an end of the first list that has any.",
        ..Docs::BASE
    },
    run: lmpop,
    ..Command::BASE
};

/// Takes from the first of several lists that exists, or answers null. Propagated as LPOP or RPOP of that list, with
/// the number of elements taken.
#[doc(alias = "lmpopCommand")]
fn lmpop(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (keys, end, count) = many_keys(&mut args)?;
    if !pop_first(ctx, keys, end, Some(count))? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// Takes `numkeys key [key …] LEFT|RIGHT [COUNT count]`.
#[doc(alias = "lmpopGenericCommand")]
fn many_keys<'a>(args: &mut Args<'a>) -> Result<(Args<'a>, End, usize)> {
    let keys = at_least_one(args, "numkeys should be greater than 0")?;
    let keys = args.take(keys)?;
    let end = end(args)?;
    let mut count = None;
    while !args.is_empty() {
        if count.is_some() || !args.word_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        count = Some(at_least_one(args, "count should be greater than 0")?);
    }
    Ok((keys, end, count.unwrap_or(1)))
}

fn at_least_one(args: &mut Args<'_>, error: &'static str) -> Result<usize> {
    match num::parse_i64(args.bytes()?) {
        Some(n @ 1..) => Ok(n as usize),
        _ => Err(Error::once(error)),
    }
}

/// Takes from the first list that exists and answers with its key and what was taken; `false`, and no answer, if none
/// exists. Without a count one element is taken and answered as itself, with a count as an array. Propagated as LPOP or
/// RPOP of that list.
#[doc(alias = "mpopGenericCommand")]
fn pop_first(ctx: &mut Ctx<'_>, keys: Args<'_>, end: End, count: Option<usize>) -> Result<bool> {
    let limits = list_limits(ctx.state);
    for key in keys {
        let Some(list) = ctx.state.keyspace[ctx.db].get_mut_as::<List>(key)? else {
            continue;
        };
        let range = next_to(end, count.unwrap_or(1), list.len());
        if range.is_empty() {
            continue;
        }
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        match count {
            Some(_) => {
                elements(ctx.reply, list, range.clone(), end);
                list.remove_range(range.start, range.end, limits);
            }
            None => {
                let reply = &mut *ctx.reply;
                if list
                    .pop(end, limits, |entry| element(reply, entry))
                    .is_none()
                {
                    ctx.reply.null();
                }
            }
        }
        let empty = list.is_empty();
        removed(ctx, key, pop_event(end), range.len(), empty);
        let name: &[u8] = match end {
            End::Head => b"LPOP",
            End::Tail => b"RPOP",
        };
        match count {
            Some(_) => ctx.rewrite([name, key, num::IntBuf::new().format(range.len() as i64)]),
            None => ctx.rewrite([name, key]),
        }
        return Ok(true);
    }
    Ok(false)
}
