//! Lists: LPUSH, LPOP, LRANGE and their kin, the blocking ones included.
//!
//! A blocking command first does what its plain twin does. Only when there is nothing to take it lets the client
//! wait ([`Ctx::block_on_keys`]); it is run again, whole, when one of its keys has changed. What it took is
//! propagated as the plain command.
//!
//! Mirrors: the command half of t_list.c.

use std::ops::{ControlFlow, Range};

use super::lookup::element;
use super::prelude::*;
use crate::clients::WaitKind;
use crate::collections::listpack::LpEntry;
use crate::keyspace::Ms;
use crate::resp::Reply;
use crate::state::State;
use crate::types::List;
use crate::types::list::{End, ListLimits};
use crate::util::num;

pub const COMMANDS: &[&Command] = &[
    &BLMOVE,
    &BLMOVEM,
    &BLMPOP,
    &BLPOP,
    &BRPOP,
    &BRPOPLPUSH,
    &LINDEX,
    &LINSERT,
    &LLEN,
    &LMOVE,
    &LMOVEM,
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
    &RPOPLPUSH,
    &RPUSH,
    &RPUSHX,
];

impl State {
    /// What configuration says about the shape of lists.
    #[inline]
    pub fn list_limits(&self) -> ListLimits {
        ListLimits {
            fill: self.config.list_max_listpack_size,
            compress_depth: self.config.list_compress_depth,
            plain_from: self.list_plain_from,
        }
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
    // A broken listpack may hold fewer than it says.
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

/// An index that may count from the end, as a position; none when it is outside.
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

#[doc(alias = "pushGenericCommand")]
fn push(ctx: &mut Ctx<'_>, args: &mut Args<'_>, end: End, only_existing: bool) -> Result {
    let key = args.key()?;
    let limits = ctx.state.list_limits();
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

#[doc(alias = "linsertCommand")]
fn linsert(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let after = args.word("AFTER");
    if !after && !args.word("BEFORE") {
        return Err(Error::Syntax);
    }
    let (pivot, new) = (args.bytes()?, args.bytes()?);

    let limits = ctx.state.list_limits();
    let Some(list) = ctx.db().get_mut_as::<List>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    // As in Redis, also when the pivot will not be found.
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

#[doc(alias = "lsetCommand")]
fn lset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let limits = ctx.state.list_limits();
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
    let list = ctx.db().get_as::<List>(key)?;
    let len = list.map_or(0, List::len);
    ctx.reply.count(len);
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

#[doc(alias = "lindexCommand")]
fn lindex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let Some(list) = ctx.state.keyspace[ctx.db].get_as::<List>(key)? else {
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
        None => ctx.reply.array(0),
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
    // The matches to pass over, and those to report.
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

#[doc(alias = "popGenericCommand")]
fn pop(ctx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Result {
    let key = args.key()?;
    let count = match args.len() {
        0 => None,
        1 => Some(args.positive()? as usize),
        _ => return Err(Error::WrongArity(ctx.name())),
    };
    let limits = ctx.state.list_limits();
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

/// What follows when elements were taken away: the event, and the end of a list without any.
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

#[doc(alias = "lremCommand")]
fn lrem(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let count = args.integer_within(-i64::MAX, i64::MAX)?;
    let unwanted = args.bytes()?;
    let limits = ctx.state.list_limits();
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

#[doc(alias = "ltrimCommand")]
fn ltrim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (start, stop) = (args.integer()?, args.integer()?);
    let limits = ctx.state.list_limits();
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

/// Takes from the first list that has something and answers with its key; `false` if none has. Without a count a
/// single element is taken and shown as itself, with one an array is.
#[doc(alias = "mpopGenericCommand")]
fn pop_first(ctx: &mut Ctx<'_>, keys: Args<'_>, end: End, count: Option<usize>) -> Result<bool> {
    let limits = ctx.state.list_limits();
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

// ---- Moving ------------------------------------------------------------------------------------

const LMOVE: Command = Command {
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

#[doc(alias = "lmoveCommand")]
fn lmove(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (source, destination) = (args.key()?, args.key()?);
    let (from, to) = (end(&mut args)?, end(&mut args)?);
    if !shift(ctx, source, destination, from, to)? {
        ctx.reply.null();
    }
    Ok(())
}

const RPOPLPUSH: Command = Command {
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

/// Moves an element and answers with it; `false` if there is none.
#[doc(alias = "lmoveGenericCommand")]
fn shift(ctx: &mut Ctx<'_>, source: &[u8], destination: &[u8], from: End, to: End) -> Result<bool> {
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
struct Moved<'a> {
    source: &'a [u8],
    destination: &'a [u8],
    from: End,
    to: End,
}

impl Moved<'_> {
    /// Takes `count` elements off the source and adds `elements`, which are the same in the order they shall have.
    fn run<E: AsRef<[u8]>>(&self, ctx: &mut Ctx<'_>, count: usize, elements: &[E]) -> Result {
        let limits = ctx.state.list_limits();
        let db = ctx.db();
        // Nothing may be taken if it cannot be put down.
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
        ctx.state
            .modified(ctx.db, self.destination, push_event(self.to));
        removed(ctx, self.source, pop_event(self.from), count, empty);
        Ok(())
    }
}

const LMOVEM: Command = Command {
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
struct HowMany {
    count: usize,
    exactly: bool,
    /// One by one: each is put down before the next, as a stack would have it; else their order is kept.
    one_by_one: bool,
}

impl HowMany {
    #[doc(alias = "lmovemParseOptions")]
    fn take(args: &mut Args<'_>) -> Result<HowMany> {
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
    fn run(&self, ctx: &mut Ctx<'_>, moved: &Moved<'_>) -> Result<Option<usize>> {
        let Some(list) = ctx.db().get_mut_as::<List>(moved.source)? else {
            return Ok(None);
        };
        let Some(count) = self.of(list.len()) else {
            return Ok(None);
        };
        let range = next_to(moved.from, count, list.len());
        let mut elements = Vec::with_capacity(count);
        let _ = list.visit(range.start, range.end, &mut |entry| {
            elements.push(entry.to_vec());
            ControlFlow::<()>::Continue(())
        });
        // Taken from the end where they are put down, one by one they come to lie the other way round.
        if self.one_by_one && moved.from == moved.to {
            elements.reverse();
        }
        moved.run(ctx, count, &elements)?;
        ctx.reply.array(elements.len());
        for element in &elements {
            ctx.reply.bulk(element);
        }
        Ok(Some(count))
    }
}

// ---- Waiting -----------------------------------------------------------------------------------

const BLPOP: Command = Command {
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

const BRPOP: Command = Command {
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

#[doc(alias = "blockingPopGenericCommand")]
fn blocking_pop(ctx: &mut Ctx<'_>, args: &mut Args<'_>, end: End) -> Result {
    let keys = args.take(args.len() - 1)?;
    let deadline = ctx.timeout_seconds(args)?;
    if !pop_first(ctx, keys, end, None)? {
        wait(ctx, args, deadline, keys);
    }
    Ok(())
}

/// Nothing was found: waits for one of the keys, or answers as if the time were over.
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

const BLMPOP: Command = Command {
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

const BLMOVE: Command = Command {
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

const BRPOPLPUSH: Command = Command {
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

const BLMOVEM: Command = Command {
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
    match how_many.run(ctx, &moved)? {
        Some(count) => {
            let argv = args.argv();
            let order: &[u8] = if how_many.one_by_one { b"OBO" } else { b"BULK" };
            let mut digits = num::IntBuf::new();
            let count = digits.format(count as i64);
            let (from, to) = (argv.get(3), argv.get(4));
            ctx.rewrite([
                b"LMOVEM",
                source,
                destination,
                from,
                to,
                b"EXACTLY",
                count,
                order,
            ]);
        }
        None => wait(ctx, &args, deadline, [source]),
    }
    Ok(())
}
