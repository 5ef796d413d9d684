//! Commands that read a stream, at once or blocking: XLEN, XRANGE, XREVRANGE, XREAD, XREADGROUP.
//!
//! ```text
//!   XREAD … STREAMS a b  0-0 $        entries after these IDs, of each stream that has any
//!   XREADGROUP … STREAMS a  >         entries that no consumer had yet; they become pending for this one
//!                        a  0-0       entries that are pending for this consumer: its history
//! ```
//!
//! Reading for a group changes it, and is propagated as that change: an XCLAIM for each entry delivered and an XGROUP
//! SETID for all of them. The entries are written first and noted in the group afterwards, since the stream can not be
//! read and written at once.
//!
//! Mirrors: `xrangeGenericCommand()`, `xreadCommand()`, `streamReplyWithRange()` of t_stream.c.
//! Differs: a consumer that is created and gets nothing is propagated as XGROUP CREATECONSUMER.

use super::super::prelude::*;
use super::{
    Claim, consumer_created, lower_bound, no_group, reply_entries, reply_fields, reply_id,
    reply_one, say_claim, say_consumer, say_group_id, see_consumer, strict_id, upper_bound,
};
use crate::clients::{WaitKind, Waiting};
use crate::command::KeyRef;
use crate::keyspace::Ms;
use crate::resp::argv::Argv;
use crate::resp::{Mark, Reply};
use crate::types::Stream;
use crate::types::stream::{IdBuf, Name, StreamId};

pub(super) const XLEN: Command = Command {
    name: "xlen",
    arity: Arity::Exactly(2),
    flags: &[ReadOnly, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Ro])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Returns how many entries a stream has.",
        ..Docs::BASE
    },
    run: xlen,
    ..Command::BASE
};

#[doc(alias = "xlenCommand")]
fn xlen(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let len = ctx.db().get_as::<Stream>(key)?.map(Stream::len);
    if len.is_none() {
        ctx.missed(key);
    }
    ctx.reply.count(len.unwrap_or(0) as usize);
    Ok(())
}

pub(super) const XRANGE: Command = Command {
    name: "xrange",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("start"),
        arg::string("end"),
        arg::integer("count").token("COUNT").optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N entries returned",
        summary: "Returns the entries between two IDs.",
        ..Docs::BASE
    },
    run: xrange,
    ..Command::BASE
};

fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range(ctx, args, false)
}

pub(super) const XREVRANGE: Command = Command {
    name: "xrevrange",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("end"),
        arg::string("start"),
        arg::integer("count").token("COUNT").optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N entries returned",
        summary: "Returns the entries between two IDs, the latest first.",
        ..Docs::BASE
    },
    run: xrevrange,
    ..Command::BASE
};

fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    range(ctx, args, true)
}

/// XRANGE and XREVRANGE: answers the entries between two IDs, both included unless `(` stands before one. XREVRANGE
/// names the upper one first.
#[doc(alias = "xrangeGenericCommand")]
fn range(ctx: &mut Ctx<'_>, mut args: Args<'_>, back: bool) -> Result {
    let (key, first, second) = (args.key()?, args.bytes()?, args.bytes()?);
    let (from, to) = if back {
        (second, first)
    } else {
        (first, second)
    };
    let (from, to) = (lower_bound(from)?, upper_bound(to)?);
    let mut count = None;
    while !args.is_empty() {
        if !args.word_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        count = Some(args.integer()?.max(0) as usize);
    }
    let Some(stream) = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)? else {
        ctx.missed(key);
        ctx.reply.array(0);
        return Ok(());
    };
    match count {
        Some(0) => ctx.reply.null_array(),
        _ => {
            let entries = stream.entries(from, to, back);
            reply_entries(ctx.reply, entries, count.unwrap_or(0), |_| {});
        }
    }
    Ok(())
}

/// The arguments of XREAD or XREADGROUP.
struct Request<'a> {
    /// The keys, and as many IDs in `ids`.
    keys: Args<'a>,
    ids: Args<'a>,
    /// The largest number of entries of one stream; 0 is all.
    count: usize,
    /// The largest number of entries of all streams together.
    max_count: Option<usize>,
    /// The size of the answer in bytes after which no entry follows.
    max_size: Option<usize>,
    /// BLOCK: the deadline, or `None` inside for no deadline.
    block: Option<Option<Ms>>,
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    /// NOACK: delivered entries do not become pending.
    no_ack: bool,
    /// CLAIM: entries that have been pending and idle for at least so many milliseconds come first.
    claim: Option<i64>,
}

impl<'a> Request<'a> {
    fn take(ctx: &Ctx<'_>, args: &mut Args<'a>, grouped: bool) -> Result<Request<'a>> {
        let mut asked = Request {
            keys: *args,
            ids: *args,
            count: 0,
            max_count: None,
            max_size: None,
            block: None,
            group: None,
            no_ack: false,
            claim: None,
        };
        let only_grouped = |option: &str| {
            Error::once(format!(
                "The {option} option is only supported by XREADGROUP. You called XREAD instead."
            ))
        };
        loop {
            if args.word_with("BLOCK", 1) {
                asked.block = Some(ctx.timeout_ms(args)?);
            } else if args.word_with("COUNT", 1) {
                asked.count = args.integer()?.max(0) as usize;
            } else if args.word_with("MAXCOUNT", 1) {
                asked.max_count = Some(limit(args, "MAXCOUNT")?);
            } else if args.word_with("MAXSIZE", 1) {
                asked.max_size = Some(limit(args, "MAXSIZE")?);
            } else if args.word_with("STREAMS", 1) {
                break;
            } else if args.word_with("GROUP", 2) {
                if !grouped {
                    return Err(only_grouped("GROUP"));
                }
                asked.group = Some((args.bytes()?, args.bytes()?));
            } else if args.word("NOACK") {
                if !grouped {
                    return Err(only_grouped("NOACK"));
                }
                asked.no_ack = true;
            } else if args.word_with("CLAIM", 1) {
                if !grouped {
                    return Err(only_grouped("CLAIM"));
                }
                let idle = args.integer_or(Error::once(
                    "min-idle-time is not an integer or out of range",
                ))?;
                if idle < 0 {
                    return Err(Error::once("min-idle-time must be a positive integer"));
                }
                asked.claim = Some(idle);
            } else {
                return Err(Error::Syntax);
            }
        }
        if !args.len().is_multiple_of(2) {
            let (name, ids) = match grouped {
                true => ("xreadgroup", "ID or '>'"),
                false => ("xread", "ID, '+', or '$'"),
            };
            return Err(Error::once(format!(
                "Unbalanced '{name}' list of streams: for each stream key an {ids} must be specified."
            )));
        }
        if grouped && asked.group.is_none() {
            return Err(Error::once("Missing GROUP option for XREADGROUP"));
        }
        let half = args.len() / 2;
        (asked.keys, asked.ids) = (args.take(half)?, args.take(half)?);
        Ok(asked)
    }

    /// The number of entries of a stream that may still be written; 0 is all.
    fn room(&self, served: &Served) -> usize {
        match self.max_count.map(|most| most - served.entries.min(most)) {
            None => self.count,
            Some(left) if self.count == 0 => left,
            Some(left) => left.min(self.count),
        }
    }

    fn is_full(&self, reply: &Reply, served: &Served) -> bool {
        self.max_count.is_some_and(|most| served.entries >= most)
            || served.entries > 0
                && self
                    .max_size
                    .is_some_and(|most| reply.len() - served.start >= most)
    }
}

fn limit(args: &mut Args<'_>, name: &str) -> Result<usize> {
    let number = args.integer()?;
    usize::try_from(number)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| Error::once(format!("{name} must be a positive integer")))
}

/// The part of the answer that has been written.
struct Served {
    mark: Option<Mark>,
    streams: usize,
    entries: usize,
    start: usize,
}

impl Served {
    fn new(reply: &Reply) -> Served {
        Served {
            mark: None,
            streams: 0,
            entries: 0,
            start: reply.len(),
        }
    }

    /// Begins the entries of a stream.
    fn begin(&mut self, reply: &mut Reply, key: &[u8]) {
        if self.mark.is_none() {
            self.mark = Some(reply.open());
        }
        self.streams += 1;
        if !reply.resp3() {
            reply.array(2);
        }
        reply.bulk(key);
    }

    /// Ends the answer; false, and no answer, if no stream had entries.
    fn end(self, reply: &mut Reply) -> bool {
        match self.mark {
            None => return false,
            Some(mark) if reply.resp3() => reply.close_map(mark, self.streams),
            Some(mark) => reply.close_array(mark, self.streams),
        }
        true
    }
}

/// Finds the keys that follow STREAMS. A group or a consumer may be named STREAMS too, so options are read one by one.
#[doc(alias = "xreadGetKeys")]
fn stream_keys(argv: Argv<'_>, found: &mut Vec<KeyRef>) -> Result {
    let mut at = 1;
    while at < argv.len() {
        let word = argv.get(at);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        at += 1;
        if is("STREAMS") {
            let keys = at..at + (argv.len() - at) / 2;
            found.extend(keys.map(|position| KeyRef {
                position,
                flags: &[Ro, Access],
            }));
            return Ok(());
        }
        at += if is("NOACK") {
            0
        } else if is("GROUP") {
            2
        } else {
            1
        };
    }
    Err(Error::Syntax)
}

pub(super) const XREAD: Command = Command {
    name: "xread",
    arity: Arity::AtLeast(4),
    flags: &[ReadOnly, Blocking, MovableKeys],
    acl: &[Category::Stream],
    keys: &[KeySpec::after("STREAMS", 1, &[Ro, Access, Doubtful]).part(-1, 1, 2)],
    find_keys: Some(stream_keys),
    args: &[
        arg::integer("count").token("COUNT").optional(),
        arg::integer("maxcount")
            .token("MAXCOUNT")
            .optional()
            .since("8.10.0"),
        arg::integer("maxsize")
            .token("MAXSIZE")
            .optional()
            .since("8.10.0"),
        arg::integer("milliseconds").token("BLOCK").optional(),
        arg::block(
            "streams",
            &[arg::key("key").multiple(), arg::string("id").multiple()],
        )
        .token("STREAMS"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N entries returned",
        summary: "Returns the entries behind given IDs of several streams, or waits for some.",
        ..Docs::BASE
    },
    run: xread,
    ..Command::BASE
};

/// Answers the entries after an ID, of each stream that has any. `$` stands for the last ID at the time of the call,
/// `+` asks for the last entry.
///
/// Blocks with BLOCK if no stream has any; the ID that `$` stood for is fixed then, so an entry added meanwhile is not
/// missed. Without BLOCK, after the timeout, or where blocking is not allowed, answers null. Changes nothing.
#[doc(alias = "xreadCommand")]
fn xread(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let asked = Request::take(ctx, &mut args, false)?;
    let mut after = Vec::with_capacity(asked.keys.len());
    for (key, word) in asked.keys.zip(asked.ids) {
        let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
        let missed = stream.is_none();
        after.push(match word {
            b"$" => stream.map_or(StreamId::MIN, Stream::last_id),
            b"+" => {
                let last = stream.and_then(Stream::last_valid_id);
                last.and_then(StreamId::prev).unwrap_or(StreamId::MIN)
            }
            b">" => {
                return Err(Error::once(
                    "The > ID can be specified only when calling XREADGROUP using the GROUP \
                     <group> <consumer> option.",
                ));
            }
            _ => strict_id(word)?,
        });
        if missed {
            ctx.missed(key);
        }
    }
    let mut served = Served::new(ctx.reply);
    for (key, after) in asked.keys.zip(&after) {
        let Some(stream) = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)? else {
            ctx.missed(key);
            continue;
        };
        let Some(from) = after.next() else {
            continue;
        };
        let last = stream.last_valid_id();
        if asked.is_full(ctx.reply, &served) || last.is_none_or(|last| last < from) {
            continue;
        }
        served.begin(ctx.reply, key);
        write_behind(ctx.reply, stream, from, &asked, &mut served, false);
    }
    if served.end(ctx.reply) {
        return Ok(());
    }
    wait(ctx, &asked, args.argv(), &after);
    Ok(())
}

/// Writes the entries from an ID on, as many as the request allows, and returns their IDs (only for a group). `timed`
/// entries have two numbers more, which are 0: their idle time and their deliveries.
fn write_behind(
    reply: &mut Reply,
    stream: &Stream,
    from: StreamId,
    asked: &Request<'_>,
    served: &mut Served,
    timed: bool,
) -> Vec<StreamId> {
    let mut ids = Vec::new();
    if asked.max_size.is_none() && !timed {
        let entries = stream.entries(from, StreamId::MAX, false);
        let wanted = asked.group.is_some();
        let mut written = 0;
        reply_entries(reply, entries, asked.room(served), |id| {
            written += 1;
            if wanted {
                ids.push(id);
            }
        });
        served.entries += written;
        return ids;
    }
    let mark = reply.open();
    ids = write_some(reply, stream, from, asked, served, timed);
    reply.close_array(mark, ids.len());
    ids
}

fn write_some(
    reply: &mut Reply,
    stream: &Stream,
    from: StreamId,
    asked: &Request<'_>,
    served: &mut Served,
    timed: bool,
) -> Vec<StreamId> {
    let (mut ids, room) = (Vec::new(), asked.room(served));
    let mut entries = stream.entries(from, StreamId::MAX, false);
    while (room == 0 || ids.len() < room)
        && !asked.is_full(reply, served)
        && !reply.overflowed()
        && let Some(entry) = entries.next()
    {
        reply.array(if timed { 4 } else { 2 });
        reply_id(reply, entry.id);
        reply_fields(reply, &mut entries, entry);
        if timed {
            reply.integer(0);
            reply.integer(0);
        }
        ids.push(entry.id);
        served.entries += 1;
    }
    ids
}

/// The moment at which the first pending entry will have been idle for long enough (CLAIM).
fn again_at(ctx: &mut Ctx<'_>, asked: &Request<'_>) -> Option<Ms> {
    let (idle, (group, _)) = asked.claim.zip(asked.group)?;
    let now_ms = ctx.now_ms();
    let mut earliest: Option<Ms> = None;
    for key in asked.keys {
        let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key).ok()?;
        let group = stream.and_then(|stream| stream.group_mut(group));
        let next = group.and_then(|group| group.delivered_after(now_ms.saturating_sub(idle)));
        let next = next.map(|ms| ms.saturating_add(idle));
        earliest = earliest.into_iter().chain(next).min();
    }
    earliest
}

/// Blocks the client after nothing was found; without BLOCK, or where blocking is not allowed (in a transaction or a
/// script), answers null as after a timeout.
fn wait(ctx: &mut Ctx<'_>, asked: &Request<'_>, argv: Argv<'_>, after: &[StreamId]) {
    let Some(deadline) = asked.block.filter(|_| ctx.may_block()) else {
        ctx.reply.null_array();
        return;
    };
    // `$` keeps the ID that it stood for at the first run when the command runs again.
    let first_id = argv.len() - asked.ids.len();
    let mut words = crate::resp::argv::OwnedArgv::default();
    for i in 0..argv.len() {
        match i.checked_sub(first_id).and_then(|at| after.get(at)) {
            Some(id) if argv.get(i) == b"$" => words.push(IdBuf::new().format(*id)),
            _ => words.push_word(argv, i),
        }
    }
    let mut waiting = Waiting::new(WaitKind::Stream, ctx.command, words, deadline);
    waiting.even_without_key = asked.group.is_some();
    waiting.again_at = again_at(ctx, asked);
    ctx.block(waiting, asked.keys);
}

pub(super) const XREADGROUP: Command = Command {
    name: "xreadgroup",
    arity: Arity::AtLeast(7),
    flags: &[Write, Blocking, MovableKeys],
    acl: &[Category::Stream],
    keys: &[KeySpec::after("STREAMS", 4, &[Ro, Access, Doubtful]).part(-1, 1, 2)],
    find_keys: Some(stream_keys),
    args: &[
        arg::block(
            "group-block",
            &[arg::string("group"), arg::string("consumer")],
        )
        .token("GROUP"),
        arg::integer("count").token("COUNT").optional(),
        arg::integer("maxcount")
            .token("MAXCOUNT")
            .optional()
            .since("8.10.0"),
        arg::integer("maxsize")
            .token("MAXSIZE")
            .optional()
            .since("8.10.0"),
        arg::integer("milliseconds").token("BLOCK").optional(),
        arg::integer("min-idle-time")
            .token("CLAIM")
            .optional()
            .since("8.4.0"),
        arg::word("noack", "NOACK").optional(),
        arg::block(
            "streams",
            &[arg::key("key").multiple(), arg::string("id").multiple()],
        )
        .token("STREAMS"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(M) for each stream, with M entries returned",
        summary: "Returns entries that no consumer of a group has had yet, or waits for some.",
        ..Docs::BASE
    },
    run: xreadgroup,
    ..Command::BASE
};

/// Reads for a consumer of a group. The ID decides which entries, for each stream:
///
/// ```text
///   XREADGROUP GROUP g ann STREAMS s >       new entries 1-0, 2-0; pending for ann, delivered once
///   XACK s g 1-0
///   XREADGROUP GROUP g ann STREAMS s 0       ann's history: 2-0, delivered twice now; 1-0 is acknowledged
///   XREADGROUP GROUP g bob STREAMS s 0       [s, []]: bob has no history
///   XREADGROUP GROUP g bob STREAMS s >       null: nothing is new; with BLOCK bob is blocked
/// ```
///
/// The history is answered at once, also if it is empty, and shows null for an entry that was deleted. Only `>` blocks.
/// A missing consumer is created. Fails with NOGROUP if a key or its group is missing, and when it disappears while the
/// client is blocked.
///
/// Deliveries are propagated as XCLAIM and XGROUP SETID, the reading of history not at all.
fn xreadgroup(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let asked = Request::take(ctx, &mut args, true)?;
    let (group, _) = asked.group.unwrap_or_default();
    let mut after = Vec::with_capacity(asked.keys.len());
    for (key, word) in asked.keys.zip(asked.ids) {
        let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
        if stream.is_none_or(|stream| stream.group(group).is_none()) {
            if stream.is_none() {
                ctx.missed(key);
            }
            let after = "' in XREADGROUP with GROUP option";
            return Err(no_group(
                "No such key '",
                key,
                "' or consumer group '",
                group,
                after,
            ));
        }
        let meaningless = |id: &str| {
            Error::once(format!(
                "The {id} ID is meaningless in the context of XREADGROUP: you want to read the \
                 history of this consumer by specifying a proper ID, or use the > ID to get new \
                 messages. The {id} ID would just return an empty result set."
            ))
        };
        after.push(match word {
            b"$" => return Err(meaningless("$")),
            b"+" => return Err(meaningless("+")),
            b">" => StreamId::MAX,
            _ => strict_id(word)?,
        });
    }
    let mut served = Served::new(ctx.reply);
    for (key, after) in asked.keys.zip(&after) {
        serve_consumer(ctx, &asked, key, *after, &mut served)?;
    }
    ctx.suppress();
    if !served.end(ctx.reply) {
        wait(ctx, &asked, args.argv(), &after);
    }
    Ok(())
}

/// Serves one stream. The greatest ID as `after` stands for `>`.
fn serve_consumer(
    ctx: &mut Ctx<'_>,
    asked: &Request<'_>,
    key: &[u8],
    after: StreamId,
    served: &mut Served,
) -> Result {
    let (group_name, consumer_name) = asked.group.unwrap_or_default();
    let now_ms = ctx.now_ms();
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        return Ok(());
    };
    let Some(group) = stream.group_mut(group_name) else {
        return Ok(());
    };
    let created = see_consumer(group, consumer_name, now_ms);
    let Some(consumer) = group.consumer_name(consumer_name).cloned() else {
        return Ok(());
    };
    if created {
        consumer_created(ctx, key);
    }
    let claimed = match after.next() {
        Some(from) => serve_history(ctx, asked, key, from, served).map(|()| false),
        None => serve_new(ctx, asked, key, &consumer, served),
    }?;
    if created && !claimed {
        say_consumer(ctx, key, group_name, consumer_name);
    }
    Ok(())
}

/// Writes the entries after an ID that are pending for the consumer: its history. Counts a delivery of each.
#[doc(alias = "streamReplyWithRangeFromConsumerPEL")]
fn serve_history(
    ctx: &mut Ctx<'_>,
    asked: &Request<'_>,
    key: &[u8],
    from: StreamId,
    served: &mut Served,
) -> Result {
    let (group_name, consumer_name) = asked.group.unwrap_or_default();
    let now_ms = ctx.now_ms();
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        return Ok(());
    };
    let group = stream.group(group_name);
    let Some(consumer) = group.and_then(|group| group.consumer(consumer_name)) else {
        return Ok(());
    };
    served.begin(ctx.reply, key);
    let mark = ctx.reply.open();
    let room = match asked.room(served) {
        0 if asked.max_count.is_some() => 0,
        0 => usize::MAX,
        room => room,
    };
    let (mut found, mut written) = (Vec::new(), 0);
    let own = consumer.pel();
    let start = own.index_range(std::ops::Bound::Included(&from), std::ops::Bound::Unbounded);
    for pair in own.forward(start.start).take(room) {
        if asked.is_full(ctx.reply, served) || ctx.reply.overflowed() {
            break;
        }
        if reply_one(ctx.reply, stream, pair.key) {
            found.push(pair.key);
        } else {
            // The entry is pending, but was deleted from the stream.
            ctx.reply.array(2);
            reply_id(ctx.reply, pair.key);
            ctx.reply.null_array();
        }
        written += 1;
        served.entries += 1;
    }
    ctx.reply.close_array(mark, written);
    if let Some(group) = stream.group_mut(group_name) {
        for id in found {
            let deliveries = group
                .pel()
                .get(&id)
                .map_or(0, |pending| pending.deliveries());
            group.redeliver(id, now_ms, deliveries + 1);
        }
    }
    Ok(())
}

/// Delivers entries that have been idle for long enough (with CLAIM), then entries that no consumer had yet. Returns
/// whether an XCLAIM for the consumer was propagated.
fn serve_new(
    ctx: &mut Ctx<'_>,
    asked: &Request<'_>,
    key: &[u8],
    consumer: &Name,
    served: &mut Served,
) -> Result<bool> {
    let (group_name, _) = asked.group.unwrap_or_default();
    let now_ms = ctx.now_ms();
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        return Ok(false);
    };
    let Some(group) = stream.group_mut(group_name) else {
        return Ok(false);
    };
    let last_id = group.last_id;
    let old = match (asked.claim, asked.room(served)) {
        (None, _) => Vec::new(),
        (Some(idle), 0) if asked.max_count.is_none() => {
            find_idle(stream, group_name, now_ms.saturating_sub(idle), usize::MAX)
        }
        (Some(idle), room) => find_idle(stream, group_name, now_ms.saturating_sub(idle), room),
    };
    let new = stream.last_valid_id().is_some_and(|last| last > last_id);
    if asked.is_full(ctx.reply, served) || old.is_empty() && !new {
        return Ok(false);
    }
    served.begin(ctx.reply, key);
    let (mut claims, ids) = if asked.claim.is_some() {
        write_idle_and_new(ctx.reply, stream, asked, served, old, now_ms)
    } else {
        let from = last_id.next().unwrap_or(StreamId::MAX);
        let ids = write_behind(ctx.reply, stream, from, asked, served, false);
        (Vec::new(), ids)
    };

    let life = stream.life();
    let Some(group) = stream.group_mut(group_name) else {
        return Ok(false);
    };
    let claimed = claims.len();
    for (id, deliveries) in &claims {
        group.deliver(*id, consumer, now_ms, *deliveries);
    }
    for id in &ids {
        group.advance(*id, life);
        if !asked.no_ack {
            group.deliver(*id, consumer, now_ms, 1);
            claims.push((*id, 1));
        }
    }
    if !claims.is_empty()
        && let Some(consumer) = group.consumer_mut(consumer)
    {
        consumer.active_ms = now_ms;
    }
    let (last_after, read) = (group.last_id, group.entries_read);
    if !claims.is_empty() || !ids.is_empty() {
        ctx.state.dirty += 1;
    }
    for (i, (id, deliveries)) in claims.iter().enumerate() {
        let claim = Claim {
            consumer,
            id: *id,
            delivered_ms: now_ms,
            deliveries: *deliveries,
            last_id: if i < claimed { last_id } else { *id },
        };
        say_claim(ctx, key, group_name, &claim);
    }
    if !ids.is_empty() {
        say_group_id(ctx, key, group_name, last_after, read);
    }
    Ok(!claims.is_empty())
}

/// Finds up to `most` pending entries that were last delivered at `until_ms` or before, the longest idle first. Entries
/// that were deleted from the stream stay pending and are passed over; XCLAIM and XAUTOCLAIM remove them.
fn find_idle(stream: &mut Stream, group_name: &[u8], until_ms: i64, most: usize) -> Vec<StreamId> {
    let mut looked_at = most;
    loop {
        let group = stream.group_mut(group_name);
        let oldest = group.map_or(Vec::new(), |group| group.oldest(until_ms, looked_at));
        let all = oldest.len() < looked_at;
        let there = oldest.into_iter().filter(|id| stream.contains(*id));
        let old: Vec<StreamId> = there.take(most).collect();
        if all || old.len() == most {
            return old;
        }
        looked_at = looked_at.saturating_mul(2);
    }
}

/// Writes pending entries that were idle, then new ones, as one array, within the limits of the request. Returns the
/// idle ones with their next count of deliveries, and the new ones.
fn write_idle_and_new(
    reply: &mut Reply,
    stream: &Stream,
    asked: &Request<'_>,
    served: &mut Served,
    old: Vec<StreamId>,
    now_ms: i64,
) -> (Vec<(StreamId, u64)>, Vec<StreamId>) {
    let (group_name, _) = asked.group.unwrap_or_default();
    let group = stream.group(group_name);
    let mut claims = Vec::new();
    let mark = reply.open();
    for id in old {
        let pending = group.and_then(|group| group.pel().get(&id));
        let Some(pending) = pending.filter(|_| !asked.is_full(reply, served)) else {
            break;
        };
        write_claimed(reply, stream, id, pending, now_ms);
        served.entries += 1;
        claims.push((id, pending.deliveries() + 1));
    }
    let room = asked.count == 0 || claims.len() < asked.count;
    let new = match group.and_then(|group| group.last_id.next()) {
        Some(from) if room && !asked.is_full(reply, served) => {
            let left = Request {
                count: asked.count.saturating_sub(claims.len()),
                keys: asked.keys,
                ids: asked.ids,
                ..*asked
            };
            write_some(reply, stream, from, &left, served, true)
        }
        _ => Vec::new(),
    };
    reply.close_array(mark, claims.len() + new.len());
    (claims, new)
}

/// Writes an entry that had been pending, with its idle time and its number of deliveries.
fn write_claimed(
    reply: &mut Reply,
    stream: &Stream,
    id: StreamId,
    pending: &crate::types::stream::Pending,
    now_ms: i64,
) {
    let mut entries = stream.entries(id, id, false);
    let Some(entry) = entries.next() else {
        return;
    };
    reply.array(4);
    reply_id(reply, id);
    reply_fields(reply, &mut entries, entry);
    reply.integer(match pending.owner() {
        Some(_) => now_ms.saturating_sub(pending.delivered_ms).max(0),
        None => -1,
    });
    reply.integer(pending.deliveries() as i64);
}
