//! XINFO: the state of streams, groups and consumers.
//!
//! Mirrors: `xinfoCommand()` of t_stream.c.
//! Differs: `radix-tree-nodes` counts the nodes of the tree we have; the six fields about producers are left out where
//! no producer ever named itself.

use super::super::prelude::*;
use super::{no_group, reply_entries, reply_entry, reply_id};
use crate::resp::Reply;
use crate::types::Stream;
use crate::types::stream::{Consumer, Group as ConsumerGroup, Idmp, IdmpLimits, StreamId, UNKNOWN};

pub(super) const XINFO: Command = Command {
    name: "xinfo",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "Depends on subcommand.",
        summary: "Tells of the inside of a stream.",
        ..Docs::BASE
    },
    subcommands: &[&XINFO_CONSUMERS, &XINFO_GROUPS, &XINFO_HELP, &XINFO_STREAM],
    ..Command::BASE
};

/// Looks up the stream that is asked about; a missing key is an error.
fn stream<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<&'a Stream> {
    if ctx.db().get_as::<Stream>(key)?.is_none() {
        ctx.missed(key);
        return Err(Error::NoSuchKey);
    }
    let stream = ctx.state.keyspace[ctx.db].peek_as::<Stream>(key)?;
    stream.ok_or(Error::NoSuchKey)
}

const XINFO_CONSUMERS: Command = Command {
    name: "consumers",
    arity: Arity::Exactly(4),
    flags: &[ReadOnly],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Ro, Access])],
    args: &[arg::key("key"), arg::string("group")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Lists the consumers of a group.",
        ..Docs::BASE
    },
    run: xinfo_consumers,
    ..Command::BASE
};

/// Answers for each consumer its pending entries, and the milliseconds since it last asked (`idle`) and since it last
/// got an entry (`inactive`, -1 for never). Fails with NOGROUP if there is no such group.
fn xinfo_consumers(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, name) = (args.key()?, args.bytes()?);
    let now_ms = ctx.now_ms();
    stream(ctx, key)?;
    let stream = ctx.state.keyspace[ctx.db].peek_as::<Stream>(key)?;
    let group = stream.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| {
        no_group(
            "No such consumer group '",
            name,
            "' for key name '",
            key,
            "'",
        )
    })?;
    let reply = &mut *ctx.reply;
    reply.array(group.consumers_len());
    for (name, consumer) in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"pending");
        reply.count(consumer.pel().len() as usize);
        reply.bulk(b"idle");
        reply.integer(now_ms.saturating_sub(consumer.seen_ms).max(0));
        reply.bulk(b"inactive");
        reply.integer(match consumer.active_ms {
            -1 => -1,
            active_ms => now_ms.saturating_sub(active_ms),
        });
    }
    Ok(())
}

const XINFO_GROUPS: Command = Command {
    name: "groups",
    arity: Arity::Exactly(3),
    flags: &[ReadOnly],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Ro, Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Lists the groups that read a stream.",
        ..Docs::BASE
    },
    run: xinfo_groups,
    ..Command::BASE
};

/// Answers for each group its consumers, pending entries, last ID, entries read and lag. Fails if the key is missing.
fn xinfo_groups(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    stream(ctx, key)?;
    let Some(stream) = ctx.state.keyspace[ctx.db].peek_as::<Stream>(key)? else {
        return Err(Error::NoSuchKey);
    };
    let reply = &mut *ctx.reply;
    reply.array(stream.groups_len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"consumers");
        reply.count(group.consumers_len());
        reply.bulk(b"pending");
        reply.count(group.pel().len() as usize);
        progress(reply, stream, group);
    }
    Ok(())
}

/// Writes how far a group has read, and how many entries it has yet to read (`lag`, null if unknown).
fn progress(reply: &mut Reply, stream: &Stream, group: &ConsumerGroup) {
    let number_or_null = |reply: &mut Reply, number: Option<i64>| match number {
        Some(number) => reply.integer(number),
        None => reply.null(),
    };
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id);
    reply.bulk(b"entries-read");
    let read = Some(group.entries_read).filter(|read| *read != UNKNOWN);
    number_or_null(reply, read);
    reply.bulk(b"lag");
    number_or_null(reply, stream.lag(group));
}

const XINFO_STREAM: Command = Command {
    name: "stream",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(2, &[Ro, Access])],
    args: &[
        arg::key("key"),
        arg::block(
            "full-block",
            &[
                arg::word("full", "FULL"),
                arg::integer("count").token("COUNT").optional(),
            ],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Tells of a stream, and in full of its entries and groups.",
        ..Docs::BASE
    },
    run: xinfo_stream,
    ..Command::BASE
};

/// Answers counters of a stream with its first and last entry, or with FULL its first entries (10, COUNT of them, or
/// all for COUNT 0), its groups, their consumers and pending entries.
fn xinfo_stream(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    stream(ctx, key)?;
    let full = match args.len() {
        0 => None,
        1 | 3 if args.word("FULL") => match args.is_empty() {
            true => Some(10),
            false if args.word("COUNT") => Some(match args.integer()? {
                ..0 => 10,
                count => count as usize,
            }),
            false => return Err(wrong_subcommand(&args)),
        },
        _ => return Err(wrong_subcommand(&args)),
    };
    let defaults = super::idmp_limits(ctx.state);
    let Some(stream) = ctx.state.keyspace[ctx.db].peek_as::<Stream>(key)? else {
        return Err(Error::NoSuchKey);
    };
    let reply = &mut *ctx.reply;
    reply.map(if full.is_some() { 15 } else { 16 });
    let counters = stream.counters();
    reply.bulk(b"length");
    reply.count(stream.len() as usize);
    reply.bulk(b"radix-tree-keys");
    reply.count(stream.blocks_len() as usize);
    reply.bulk(b"radix-tree-nodes");
    reply.count(stream.tree_nodes());
    reply.bulk(b"last-generated-id");
    reply_id(reply, counters.last_id);
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, counters.max_deleted_id);
    reply.bulk(b"entries-added");
    reply.count(counters.entries_added as usize);
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, counters.first_id);
    producers(reply, stream.idmp(), defaults);
    match full {
        Some(count) => all(reply, stream, count),
        None => ends(reply, stream),
    }
    Ok(())
}

fn wrong_subcommand(args: &Args<'_>) -> Error {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    Error::quoting(before, args.argv().get(1), "'. Try XINFO HELP.")
}

/// Writes the figures about producers; without any, zeros and the limits that would be in force.
fn producers(reply: &mut Reply, idmp: Option<&Idmp>, defaults: IdmpLimits) {
    let limits = idmp.map_or(defaults, Idmp::limits);
    let figure = |read: fn(&Idmp) -> u64| idmp.map_or(0, read);
    let rows: [(&[u8], u64); 6] = [
        (b"idmp-duration", limits.duration_s),
        (b"idmp-maxsize", limits.max_size),
        (b"pids-tracked", figure(Idmp::producers_len)),
        (b"iids-tracked", figure(Idmp::tracked)),
        (b"iids-added", figure(|idmp| idmp.added)),
        (b"iids-duplicates", figure(|idmp| idmp.duplicates)),
    ];
    for (name, number) in rows {
        reply.bulk(name);
        reply.count(number as usize);
    }
}

/// Writes the number of groups, the first and the last entry.
fn ends(reply: &mut Reply, stream: &Stream) {
    reply.bulk(b"groups");
    reply.count(stream.groups_len());
    for (name, back) in [(&b"first-entry"[..], false), (b"last-entry", true)] {
        reply.bulk(name);
        let mut entries = stream.entries(StreamId::MIN, StreamId::MAX, back);
        match entries.next() {
            Some(entry) => reply_entry(reply, &mut entries, entry),
            None => reply.null(),
        }
    }
}

/// Writes the first `count` entries (0: all of them), all groups and consumers, and as many pending entries of each.
fn all(reply: &mut Reply, stream: &Stream, count: usize) {
    let most = if count == 0 { usize::MAX } else { count };
    reply.bulk(b"entries");
    let entries = stream.entries(StreamId::MIN, StreamId::MAX, false);
    reply_entries(reply, entries, count, |_| {});
    reply.bulk(b"groups");
    reply.array(stream.groups_len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        progress(reply, stream, group);
        let pel = group.pel();
        reply.bulk(b"pel-count");
        reply.count(pel.len() as usize);
        reply.bulk(b"pending");
        reply.array(most.min(pel.len() as usize));
        for pair in pel.iter().take(most) {
            reply.array(4);
            reply_id(reply, pair.key);
            reply.bulk(pair.value.owner().map_or(b"", |name| &name[..]));
            reply.integer(pair.value.delivered_ms);
            reply.integer(pair.value.deliveries() as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers_len());
        for (name, consumer) in group.consumers() {
            one_consumer(reply, group, name, consumer, most);
        }
    }
}

fn one_consumer(
    reply: &mut Reply,
    group: &ConsumerGroup,
    name: &[u8],
    consumer: &Consumer,
    most: usize,
) {
    let own = consumer.pel();
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(name);
    reply.bulk(b"seen-time");
    reply.integer(consumer.seen_ms);
    reply.bulk(b"active-time");
    reply.integer(consumer.active_ms);
    reply.bulk(b"pel-count");
    reply.count(own.len() as usize);
    reply.bulk(b"pending");
    reply.array(most.min(own.len() as usize));
    for pair in own.iter().take(most) {
        let pending = group.pel().get(&pair.key);
        reply.array(3);
        reply_id(reply, pair.key);
        reply.integer(pending.map_or(0, |pending| pending.delivered_ms));
        reply.integer(pending.map_or(0, |pending| pending.deliveries() as i64));
    }
}

const XINFO_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Stream],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Explains the subcommands.",
        ..Docs::BASE
    },
    run: xinfo_help,
    ..Command::BASE
};

fn xinfo_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "XINFO",
        &[
            "CONSUMERS <key> <groupname>",
            "    List the consumers of a group.",
            "GROUPS <key>",
            "    List the groups that read a stream.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Tell of a stream; in full, of its entries and groups too.",
        ],
    );
    Ok(())
}
