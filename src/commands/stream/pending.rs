//! Entries that were delivered to consumers and not acknowledged: XACK, XACKDEL, XNACK, XPENDING, XCLAIM, XAUTOCLAIM.
//!
//! Each group has a list of pending entries (PEL): the entry's ID, the consumer that has it, when it was delivered last
//! and how often. A claim moves an entry to another consumer; it is propagated as an XCLAIM that sets the time and the
//! count of deliveries, whatever they were before.
//!
//! Mirrors: the commands of the same names in t_stream.c.

use std::ops::Bound;

use super::super::prelude::*;
use super::remove::{Fate, delete};
use super::{
    Claim, consumer_created, counted_ids, ids, lower_bound, no_such_group, old_words,
    references_and_ids, reply_id, reply_one, say_claim, say_consumer, say_group_id, see_consumer,
    strict_id, upper_bound,
};
use crate::keyspace;
use crate::resp::Reply;
use crate::types::Stream;
use crate::types::stream::{Group as ConsumerGroup, IdBuf, Name, Pending, StreamId, Trimmed};

pub(super) const XACK: Command = Command {
    name: "xack",
    arity: Arity::AtLeast(4),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::string("id").multiple(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1) for each ID",
        summary: "Notes that entries were processed: they are no longer pending.",
        ..Docs::BASE
    },
    run: xack,
    ..Command::BASE
};

/// Removes entries from a group's list of pending entries and answers how many were on it. A missing key or group
/// answers 0. Propagated as it came.
#[doc(alias = "xackCommand")]
fn xack(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let missed = stream.is_none();
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        if missed {
            ctx.missed(key);
        }
        ctx.reply.integer(0);
        return Ok(());
    }
    let ids = ids(&mut args)?;
    let group = group_mut(ctx, key, name)?;
    let acknowledged = ids.into_iter().filter(|id| group.ack(*id)).count();
    ctx.state.dirty += acknowledged as u64;
    ctx.reply.count(acknowledged);
    Ok(())
}

/// Looks up a group for a change. The caller has checked that it exists.
fn group_mut<'a>(ctx: &'a mut Ctx<'_>, key: &[u8], name: &[u8]) -> Result<&'a mut ConsumerGroup> {
    let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?;
    stream
        .and_then(|stream| stream.group_mut(name))
        .ok_or_else(|| no_such_group(key, name))
}

pub(super) const XACKDEL: Command = Command {
    name: "xackdel",
    arity: Arity::AtLeast(6),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update, Delete])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::one_of(
            "condition",
            &[
                arg::word("keepref", "KEEPREF"),
                arg::word("delref", "DELREF"),
                arg::word("acked", "ACKED"),
            ],
        )
        .optional(),
        arg::block(
            "ids",
            &[arg::integer("numids"), arg::string("id").multiple()],
        )
        .token("IDS"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "8.2.0",
        complexity: "O(1) for each ID",
        summary: "Notes that entries were processed and deletes them, if the groups' references allow it.",
        ..Docs::BASE
    },
    run: xackdel,
    ..Command::BASE
};

/// Acknowledges entries for a group and deletes those that it acknowledged, under KEEPREF, DELREF or ACKED. Answers for
/// each entry: -1 it was not pending in this group, 1 it is deleted, 2 it stays, because another group has yet to read
/// or to acknowledge it.
///
/// A missing key or group answers -1 for each. Propagated as XACK, and XDEL of the entries deleted.
#[doc(alias = "xackdelCommand")]
fn xackdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let (references, mut words) = references_and_ids(&mut args)?;
    let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let missed = stream.is_none();
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        if missed {
            ctx.missed(key);
        }
        ctx.reply.array(words.len());
        words.for_each(|_| ctx.reply.integer(-1));
        return Ok(());
    }
    let ids = ids(&mut words)?;
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        return Err(no_such_group(key, name));
    };
    ctx.reply.array(ids.len());
    let group = Name::new(name);
    let mut gone = Trimmed::default();
    let mut changes = 0;
    for id in ids {
        let acknowledged = stream.group_mut(name).is_some_and(|group| group.ack(id));
        let fate = match acknowledged {
            true => {
                gone.dropped.push((group.clone(), id));
                delete(stream, id, references, &mut gone)
            }
            false => Fate::Missing,
        };
        // An entry that had been deleted before was acknowledged nevertheless.
        let fate = match fate {
            Fate::Missing if acknowledged => Fate::Deleted,
            fate => fate,
        };
        changes += u64::from(acknowledged);
        ctx.reply.integer(fate as i64);
    }
    ctx.state.dirty += changes;
    if gone.entries > 0 {
        keyspace::act::notify::modified(ctx.state, ctx.db, key, Event::stream("xdel"));
    }
    old_words::say_deleted(ctx, key, &gone);
    ctx.suppress();
    Ok(())
}

pub(super) const XNACK: Command = Command {
    name: "xnack",
    arity: Arity::AtLeast(7),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::one_of(
            "mode",
            &[
                arg::word("silent", "SILENT"),
                arg::word("fail", "FAIL"),
                arg::word("fatal", "FATAL"),
            ],
        ),
        arg::block(
            "ids",
            &[arg::integer("numids"), arg::string("id").multiple()],
        )
        .token("IDS"),
        arg::integer("count").token("RETRYCOUNT").optional(),
        arg::word("force", "FORCE").optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "8.8.0",
        complexity: "O(1) for each ID",
        summary: "Gives pending entries back, for any consumer to claim at once.",
        ..Docs::BASE
    },
    run: xnack,
    ..Command::BASE
};

/// How XNACK counts the delivery that failed.
#[derive(Clone, Copy)]
enum Blame {
    /// The delivery is not counted.
    Silent,
    /// The delivery counts.
    Fail,
    /// The entry counts as delivered so often that it is hopeless.
    Fatal,
}

/// The count of deliveries of an entry that shall not be tried again.
const HOPELESS: u64 = i64::MAX as u64;

/// Gives entries back to the group: they stay pending, but for no consumer, and may be claimed at once. Answers how
/// many were given back. With FORCE an entry that is not pending becomes so.
///
/// The count of deliveries is RETRYCOUNT if given. Otherwise, for an entry that was delivered three times: SILENT makes
/// it 2, FAIL keeps 3, FATAL makes it the largest number. Clients blocked in XREADGROUP with CLAIM are served.
/// Propagated as it came. Fails with NOGROUP if the key or group is missing.
#[doc(alias = "xnackCommand")]
fn xnack(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let blame = if args.word("SILENT") {
        Blame::Silent
    } else if args.word("FAIL") {
        Blame::Fail
    } else if args.word("FATAL") {
        Blame::Fatal
    } else {
        return Err(Error::Syntax);
    };
    let (mut ids, mut count, mut force) = (None, None, false);
    while !args.is_empty() {
        if ids.is_none() && args.word_with("IDS", 2) {
            ids = Some(self::ids(&mut counted_ids(&mut args)?)?);
        } else if args.word_with("RETRYCOUNT", 1) {
            let retries = args.integer()?;
            let error = Error::once("RETRYCOUNT must be a non-negative integer");
            count = Some(u64::try_from(retries).map_err(|_| error)?);
        } else if args.word("FORCE") {
            force = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    let ids = ids.ok_or(Error::Syntax)?;
    let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?;
    let stream = stream.filter(|stream| stream.group(name).is_some());
    let stream = stream.ok_or_else(|| no_such_group(key, name))?;
    let mut released = 0;
    for id in ids {
        let known = stream.group(name).and_then(|group| group.pel().get(&id));
        let known = known.map(Pending::deliveries);
        if known.is_none() && !(force && stream.contains(id)) {
            continue;
        }
        let before = known.unwrap_or(0);
        let deliveries = count.unwrap_or(match blame {
            Blame::Silent => before.saturating_sub(1),
            Blame::Fail => before,
            Blame::Fatal => HOPELESS,
        });
        if let Some(group) = stream.group_mut(name) {
            group.release(id, deliveries);
        }
        released += 1;
    }
    ctx.state.dirty += released as u64;
    if released > 0 {
        // A client that is blocked in XREADGROUP with CLAIM may take it.
        ctx.state.blocked.touch(ctx.db, key);
    }
    ctx.reply.count(released);
    Ok(())
}

pub(super) const XPENDING: Command = Command {
    name: "xpending",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::block(
            "filters",
            &[
                arg::integer("min-idle-time")
                    .token("IDLE")
                    .optional()
                    .since("6.2.0"),
                arg::string("start"),
                arg::string("end"),
                arg::integer("count"),
                arg::string("consumer").optional(),
            ],
        )
        .optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N entries returned, O(1) for the summary",
        summary: "Tells what was delivered to a group and not acknowledged.",
        ..Docs::BASE
    },
    run: xpending,
    ..Command::BASE
};

/// The arguments of the longer form of XPENDING.
struct Range<'a> {
    from: StreamId,
    to: StreamId,
    count: usize,
    min_idle: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Range<'a> {
    fn take(args: &mut Args<'a>) -> Result<Range<'a>> {
        let mut min_idle = 0;
        let words = args.len();
        if args.word("IDLE") {
            min_idle = args.integer()?;
            if words < 5 {
                return Err(Error::Syntax);
            }
        }
        let (from, to) = (args.bytes()?, args.bytes()?);
        let count = args.integer()?.max(0) as usize;
        Ok(Range {
            from: lower_bound(from)?,
            to: upper_bound(to)?,
            count,
            min_idle,
            consumer: args.next(),
        })
    }
}

/// Answers a summary of a group's pending entries, or with a range up to `count` of them: ID, consumer, milliseconds
/// since the last delivery, number of deliveries. Changes nothing. Fails with NOGROUP if the key or group is missing.
///
/// ```text
///   XPENDING s g                        3, 1-0, 5-0, [[ann, "2"], [bob, "1"]]
///   XPENDING s g IDLE 60000 - + 10      [[1-0, ann, 74000, 2]]
/// ```
///
/// An entry that XNACK gave back has an empty consumer and an idle time of -1, and passes every IDLE.
#[doc(alias = "xpendingCommand")]
fn xpending(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let range = match args.len() {
        0 => None,
        3..=6 => Some(Range::take(&mut args)?),
        _ => return Err(Error::Syntax),
    };
    let now_ms = ctx.now_ms();
    let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let missed = stream.is_none();
    let Some(group) = stream.and_then(|stream| stream.group(name)) else {
        if missed {
            ctx.missed(key);
        }
        return Err(no_such_group(key, name));
    };
    let Some(range) = range else {
        summary(ctx.reply, group);
        return Ok(());
    };
    let index = |from: &StreamId, to: &StreamId| (from <= to).then_some(());
    let Some(()) = index(&range.from, &range.to).filter(|_| range.count > 0) else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (from, to) = (Bound::Included(&range.from), Bound::Included(&range.to));
    let own = match range.consumer {
        None => None,
        Some(name) => match group.consumer(name) {
            Some(consumer) => Some(consumer.pel()),
            None => {
                ctx.reply.array(0);
                return Ok(());
            }
        },
    };
    let pel = group.pel();
    let mark = ctx.reply.open();
    let mut written = 0;
    let mut write = |id: StreamId, pending: &Pending| {
        let idle = match pending.owner() {
            Some(_) => now_ms.saturating_sub(pending.delivered_ms),
            // No consumer has the entry, so it passes every minimum of idle time.
            None => i64::MAX,
        };
        if range.min_idle != 0 && idle < range.min_idle {
            return true;
        }
        let reply = &mut *ctx.reply;
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(pending.owner().map_or(b"", |name| &name[..]));
        reply.integer(match pending.owner() {
            Some(_) => idle.max(0),
            None => -1,
        });
        reply.integer(pending.deliveries() as i64);
        written += 1;
        written < range.count && !reply.overflowed()
    };
    match own {
        Some(own) => {
            let at = own.index_range(from, to);
            let ids = own.forward(at.start).take((at.end - at.start) as usize);
            let mut pending = ids.filter_map(|pair| Some((pair.key, pel.get(&pair.key)?)));
            let _ = pending.all(|(id, pending)| write(id, pending));
        }
        None => {
            let at = pel.index_range(from, to);
            let mut pending = pel.forward(at.start).take((at.end - at.start) as usize);
            let _ = pending.all(|pair| write(pair.key, &pair.value));
        }
    }
    ctx.reply.close_array(mark, written);
    Ok(())
}

/// Writes the number of pending entries, the first and last of their IDs, and the number of each consumer.
fn summary(reply: &mut crate::resp::Reply, group: &ConsumerGroup) {
    let pel = group.pel();
    reply.array(4);
    reply.count(pel.len() as usize);
    let (Some(first), Some(last)) = (pel.first(), pel.last()) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first.key);
    reply_id(reply, last.key);
    let busy = || group.consumers().filter(|(_, c)| !c.pel().is_empty());
    reply.array(busy().count());
    for (name, consumer) in busy() {
        reply.array(2);
        reply.bulk(name);
        reply.bulk_integer(consumer.pel().len() as i64);
    }
}

pub(super) const XCLAIM: Command = Command {
    name: "xclaim",
    arity: Arity::AtLeast(6),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::string("consumer"),
        arg::string("min-idle-time"),
        arg::string("id").multiple(),
        arg::integer("ms").token("IDLE").optional(),
        arg::unix_time("unix-time-milliseconds")
            .token("TIME")
            .optional(),
        arg::integer("count").token("RETRYCOUNT").optional(),
        arg::word("force", "FORCE").optional(),
        arg::word("justid", "JUSTID").optional(),
        arg::string("lastid").token("LASTID").optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(log N) for each ID, with N pending entries",
        summary: "Gives pending entries that lie idle to another consumer.",
        ..Docs::BASE
    },
    run: xclaim,
    ..Command::BASE
};

/// The options of XCLAIM.
#[derive(Default)]
struct ClaimOptions {
    delivered_ms: Option<i64>,
    retries: Option<i64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl ClaimOptions {
    fn take(args: &mut Args<'_>, now_ms: i64) -> Result<ClaimOptions> {
        let mut options = ClaimOptions::default();
        let number = |args: &mut Args<'_>, option: &str| {
            let text = format!("Invalid {option} option argument for XCLAIM");
            args.integer_or(Error::once(text))
        };
        while let Some(word) = args.peek() {
            if args.word("FORCE") {
                options.force = true;
            } else if args.word("JUSTID") {
                options.just_id = true;
            } else if args.word_with("IDLE", 1) {
                let idle = number(args, "IDLE")?;
                options.delivered_ms = Some(now_ms.wrapping_sub(idle));
            } else if args.word_with("TIME", 1) {
                options.delivered_ms = Some(number(args, "TIME")?);
            } else if args.word_with("RETRYCOUNT", 1) {
                options.retries = Some(number(args, "RETRYCOUNT")?);
            } else if args.word_with("LASTID", 1) {
                options.last_id = strict_id(args.bytes()?)?;
            } else {
                let before = "ERR Unrecognized XCLAIM option '";
                return Err(Error::quoting(before, word, "'"));
            }
        }
        // Clients compute times with clocks of their own; a time in the future or before 1970 becomes the present.
        let told = options.delivered_ms.filter(|ms| (0..=now_ms).contains(ms));
        options.delivered_ms = told;
        Ok(options)
    }
}

/// The outcome of a claim for one entry, to be propagated.
struct Claimed {
    /// The consumer that has the entry, or had it before it was deleted; `None` for an entry that XNACK gave back.
    consumer: Option<Name>,
    id: StreamId,
    delivered_ms: i64,
    deliveries: u64,
}

impl Claimed {
    fn of(id: StreamId, pending: &Pending) -> Claimed {
        Claimed {
            consumer: pending.owner().cloned(),
            id,
            delivered_ms: pending.delivered_ms,
            deliveries: pending.deliveries(),
        }
    }
}

/// Whether a pending entry was last delivered at least `min_idle` milliseconds ago. One that no consumer has is idle.
fn is_idle(pending: &Pending, min_idle: i64, now_ms: i64) -> bool {
    let idle = now_ms.saturating_sub(pending.delivered_ms);
    pending.owner().is_none() || min_idle <= 0 || idle >= min_idle
}

/// Makes an entry pending for a consumer. Returns the claim, to be propagated.
fn deliver(
    group: &mut ConsumerGroup,
    consumer: &Name,
    id: StreamId,
    delivered_ms: i64,
    deliveries: u64,
) -> Claimed {
    group.deliver(id, consumer, delivered_ms, deliveries);
    Claimed {
        consumer: Some(consumer.clone()),
        id,
        delivered_ms,
        deliveries,
    }
}

/// Propagates claims. An entry that was deleted is propagated as an XCLAIM too: it finds no entry and removes the ID
/// from the list of pending entries. Without a consumer to name it is propagated as XACK.
fn say_all(ctx: &mut Ctx<'_>, key: &[u8], name: &[u8], last_id: StreamId, claimed: &[Claimed]) {
    ctx.state.dirty += claimed.len() as u64;
    for claimed in claimed {
        let Some(consumer) = &claimed.consumer else {
            let mut id = IdBuf::new();
            let words: [&[u8]; 4] = [b"XACK", key, name, id.format(claimed.id)];
            ctx.also(words);
            continue;
        };
        let claim = Claim {
            consumer,
            id: claimed.id,
            delivered_ms: claimed.delivered_ms,
            deliveries: claimed.deliveries,
            last_id,
        };
        say_claim(ctx, key, name, &claim);
    }
}

/// Moves pending entries to a consumer, if they were last delivered at least `min-idle-time` milliseconds ago, and
/// answers the entries, with JUSTID their IDs. The consumer is created if it is missing.
///
/// Without JUSTID the count of deliveries grows by one; RETRYCOUNT, IDLE and TIME set it and the time of delivery.
/// FORCE makes an entry pending that was not. An entry that was deleted from the stream is removed from the list of
/// pending entries.
///
/// Each claim is propagated as an XCLAIM with TIME, RETRYCOUNT, FORCE, JUSTID and LASTID; a consumer that was created
/// and got nothing, as XGROUP CREATECONSUMER. Fails with NOGROUP if the key or group is missing.
#[doc(alias = "xclaimCommand")]
fn xclaim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, consumer_name) = (args.key()?, args.bytes()?, args.bytes()?);
    let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let missed = stream.is_none();
    if stream.and_then(|stream| stream.group(name)).is_none() {
        if missed {
            ctx.missed(key);
        }
        return Err(no_such_group(key, name));
    }
    let error = Error::once("Invalid min-idle-time argument for XCLAIM");
    let min_idle = args.integer_or(error)?.max(0);
    let mut ids = Vec::new();
    while let Some(id) = args.peek().and_then(|word| StreamId::parse(word, 0)) {
        ids.push(id);
        args.next();
    }
    let now_ms = ctx.now_ms();
    let options = ClaimOptions::take(&mut args, now_ms)?;
    let delivered_ms = options.delivered_ms.unwrap_or(now_ms);

    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        return Err(no_such_group(key, name));
    };
    let Some(group) = stream.group_mut(name) else {
        return Err(no_such_group(key, name));
    };
    let advanced = options.last_id > group.last_id;
    if advanced {
        group.last_id = options.last_id;
    }
    let created = see_consumer(group, consumer_name, now_ms);
    let (last_id, read) = (group.last_id, group.entries_read);
    let Some(consumer) = group.consumer_name(consumer_name).cloned() else {
        return Ok(());
    };

    let mark = ctx.reply.open();
    let (mut written, mut claimed) = (0, Vec::new());
    for id in ids {
        let known = stream
            .group(name)
            .and_then(|group| group.pel().get(&id))
            .cloned();
        if !stream.contains(id) {
            // An entry that was deleted is no longer pending.
            if let Some(known) = known {
                claimed.push(Claimed::of(id, &known));
                if let Some(group) = stream.group_mut(name) {
                    group.ack(id);
                }
            }
            continue;
        }
        let before = match &known {
            Some(known) if !is_idle(known, min_idle, now_ms) => continue,
            Some(known) => known.deliveries(),
            None if options.force => 1,
            None => continue,
        };
        let deliveries = match options.retries {
            Some(retries) if retries >= 0 => retries as u64,
            _ => before + u64::from(!options.just_id),
        };
        if options.just_id {
            reply_id(ctx.reply, id);
        } else {
            reply_one(ctx.reply, stream, id);
        }
        written += 1;
        if let Some(group) = stream.group_mut(name) {
            claimed.push(deliver(group, &consumer, id, delivered_ms, deliveries));
            if let Some(consumer) = group.consumer_mut(&consumer) {
                consumer.active_ms = now_ms;
            }
        }
    }
    ctx.reply.close_array(mark, written);
    if created {
        consumer_created(ctx, key);
        if written == 0 {
            say_consumer(ctx, key, name, consumer_name);
        }
    }
    say_all(ctx, key, name, last_id, &claimed);
    // The LASTID of an XCLAIM propagates how far the group is; if only XACKs were propagated, that is left to do.
    if advanced && claimed.iter().all(|claimed| claimed.consumer.is_none()) {
        say_group_id(ctx, key, name, last_id, read);
        ctx.state.dirty += 1;
    }
    ctx.suppress();
    Ok(())
}

pub(super) const XAUTOCLAIM: Command = Command {
    name: "xautoclaim",
    arity: Arity::AtLeast(6),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[
        arg::key("key"),
        arg::string("group"),
        arg::string("consumer"),
        arg::string("min-idle-time"),
        arg::string("start"),
        arg::integer("count").token("COUNT").optional(),
        arg::word("justid", "JUSTID").optional(),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Stream,
        since: "6.2.0",
        complexity: "O(1) if COUNT is small",
        summary: "Gives pending entries that lie idle to another consumer, going on from an ID.",
        ..Docs::BASE
    },
    run: xautoclaim,
    ..Command::BASE
};

/// The number of pending entries looked at for each entry asked for.
const ATTEMPTS: usize = 10;
/// There is no memory for the IDs of more deleted entries than this.
const MOST_IDS: i64 = 1 << 43;

/// Claims entries that have been idle for long enough, wherever they are in the list of pending entries, a step at a
/// time. Answers the cursor for the next step (`0-0` at the end), the entries claimed, and the IDs of pending entries
/// that had been deleted from the stream, which are pending no more.
///
/// A step ends after COUNT entries were claimed or found deleted, or after [`ATTEMPTS`] times as many were looked at.
/// With 1-0 idle for 90 seconds, 2-0 for 5, 3-0 deleted from the stream, 4-0 idle for 90:
///
/// ```text
///   XAUTOCLAIM s g bob 60000 0 COUNT 2      4-0, [1-0 …], [3-0]     2-0 is passed over
///   XAUTOCLAIM s g bob 60000 4-0 COUNT 2    0-0, [4-0 …], []        begins at the cursor, and ends
/// ```
///
/// Propagated as XCLAIM does. Fails with NOGROUP if the key or group is missing.
#[doc(alias = "xautoclaimCommand")]
fn xautoclaim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name, consumer_name) = (args.key()?, args.bytes()?, args.bytes()?);
    let error = Error::once("Invalid min-idle-time argument for XAUTOCLAIM");
    let min_idle = args.integer_or(error)?.max(0);
    let from = lower_bound(args.bytes()?)?;
    let (count, just_id) = step_options(&mut args)?;
    let now_ms = ctx.now_ms();
    let stream = ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let missed = stream.is_none();
    if stream.and_then(|stream| stream.group(name)).is_none() {
        if missed {
            ctx.missed(key);
        }
        return Err(no_such_group(key, name));
    }
    if count > MOST_IDS {
        return Err(Error::once(
            "Insufficient memory, failed allocating transient memory, COUNT too high.",
        ));
    }
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        return Err(no_such_group(key, name));
    };
    let Some(group) = stream.group_mut(name) else {
        return Err(no_such_group(key, name));
    };
    let created = see_consumer(group, consumer_name, now_ms);
    let last_id = group.last_id;
    let Some(consumer) = group.consumer_name(consumer_name).cloned() else {
        return Ok(());
    };
    // The outcome of each entry is decided first, then the answer is written, then the group is changed.
    let step = Step::decide(stream, name, from, count as usize, |pending| {
        let idle = is_idle(pending, min_idle, now_ms);
        idle.then(|| pending.deliveries() + u64::from(!just_id))
    });
    step.write(ctx.reply, stream, just_id);
    let in_vain = step.taken.is_empty();
    let mut claimed = match stream.group_mut(name) {
        Some(group) => step.carry_out(group, &consumer, now_ms),
        None => Vec::new(),
    };
    // Propagated in the order in which the entries were met.
    claimed.sort_unstable_by_key(|claimed| claimed.id);
    if created {
        consumer_created(ctx, key);
        if in_vain {
            say_consumer(ctx, key, name, consumer_name);
        }
    }
    say_all(ctx, key, name, last_id, &claimed);
    ctx.suppress();
    Ok(())
}

/// The options of XAUTOCLAIM: COUNT, and whether JUSTID is given.
fn step_options(args: &mut Args<'_>) -> Result<(i64, bool)> {
    let (mut count, mut just_id) = (100, false);
    while !args.is_empty() {
        if args.word_with("COUNT", 1) {
            let error = Error::once("COUNT must be > 0");
            count = args.integer_or(error.clone())?;
            if !(1..=i64::MAX / 16).contains(&count) {
                return Err(error);
            }
        } else if args.word("JUSTID") {
            just_id = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((count, just_id))
}

/// One step of XAUTOCLAIM, before anything is changed.
struct Step {
    /// The ID that the next step begins with; 0-0 at the end.
    cursor: StreamId,
    /// Entries to be claimed, each with its new count of deliveries.
    taken: Vec<(StreamId, u64)>,
    /// Pending entries that were deleted from the stream.
    gone: Vec<Claimed>,
}

impl Step {
    /// Looks at pending entries from an ID on, until `count` were claimed or found deleted, or [`ATTEMPTS`] times as many
    /// were looked at. `claim` returns the new count of deliveries of an entry that is to be claimed.
    fn decide(
        stream: &Stream,
        group_name: &[u8],
        from: StreamId,
        count: usize,
        claim: impl Fn(&Pending) -> Option<u64>,
    ) -> Step {
        let mut step = Step {
            cursor: StreamId::MIN,
            taken: Vec::new(),
            gone: Vec::new(),
        };
        let Some(group) = stream.group(group_name) else {
            return step;
        };
        let mut left = count;
        let mut attempts = left.saturating_mul(ATTEMPTS);
        let pel = group.pel();
        let range = pel.index_range(Bound::Included(&from), Bound::Unbounded);
        for pair in pel.forward(range.start) {
            if attempts == 0 || left == 0 {
                step.cursor = pair.key;
                break;
            }
            attempts -= 1;
            if !stream.contains(pair.key) {
                step.gone.push(Claimed::of(pair.key, &pair.value));
                left -= 1;
            } else if let Some(deliveries) = claim(&pair.value) {
                step.taken.push((pair.key, deliveries));
                left -= 1;
            }
        }
        step
    }

    /// Writes the cursor, the entries (or their IDs) and the IDs of deleted ones.
    fn write(&self, reply: &mut Reply, stream: &Stream, just_id: bool) {
        reply.array(3);
        reply_id(reply, self.cursor);
        reply.array(self.taken.len());
        for (id, _) in &self.taken {
            if just_id {
                reply_id(reply, *id);
            } else {
                reply_one(reply, stream, *id);
            }
        }
        reply.array(self.gone.len());
        self.gone.iter().for_each(|gone| reply_id(reply, gone.id));
    }

    /// Claims the entries for a consumer and acknowledges the deleted ones. Returns all of them, to be propagated.
    fn carry_out(self, group: &mut ConsumerGroup, consumer: &Name, now_ms: i64) -> Vec<Claimed> {
        let mut claimed = Vec::with_capacity(self.gone.len() + self.taken.len());
        if !self.taken.is_empty()
            && let Some(consumer) = group.consumer_mut(consumer)
        {
            consumer.active_ms = now_ms;
        }
        for (id, deliveries) in self.taken {
            claimed.push(deliver(group, consumer, id, now_ms, deliveries));
        }
        for gone in self.gone {
            group.ack(gone.id);
            claimed.push(gone);
        }
        claimed
    }
}
