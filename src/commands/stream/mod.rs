//! Streams: XADD, XREAD, XREADGROUP and their kin.
//!
//! ```text
//!   add.rs       entries come                         XADD, and the memory of producers: XCFGSET XIDMPRECORD
//!   remove.rs    entries go                           XTRIM XDEL XDELEX XSETID
//!   read.rs      entries are read, at once or later   XLEN XRANGE XREVRANGE XREAD XREADGROUP
//!   group.rs     groups and consumers                 XGROUP ...
//!   pending.rs   entries delivered to consumers       XACK XACKDEL XNACK XPENDING XCLAIM XAUTOCLAIM
//!   info.rs      state of streams and groups          XINFO ...
//! ```
//!
//! A group reads a stream once for all its consumers. An entry that was delivered to a consumer is *pending* until that
//! consumer acknowledges it:
//!
//! ```text
//!   XADD s 1-0 f v                          the stream: 1-0
//!   XGROUP CREATE s g 0                     group g has read nothing yet
//!   XREADGROUP GROUP g ann STREAMS s >      1-0; pending for ann, delivered once
//!   XAUTOCLAIM s g bob 60000 0              after a minute bob takes it over: delivered twice
//!   XACK s g 1-0                            pending no more
//! ```
//!
//! A change that a group makes is not seen by WATCH or by client-side caching, as in Redis. It is counted as a change,
//! and propagated as the XCLAIM or XGROUP SETID that repeats it.
//!
//! Not propagated, as in Redis: when a consumer was seen last, that it read its own pending entries once more (their
//! time and their count of deliveries), and how often producers sent a message again.
//!
//! Mirrors: the command half of t_stream.c; the type itself is `types/stream`.

mod add;
mod group;
mod info;
mod old_words;
mod pending;
mod read;
mod remove;

use super::lookup::element;
use super::prelude::*;
use crate::clients::ClientFlags;
use crate::dispatch::CallOrigin;
use crate::resp::{Reply, up_to_zero};
use crate::state::State;
use crate::types::stream::{
    Entries, Entry, Group as ConsumerGroup, IdBuf, IdmpLimits, References, Stream, StreamId,
    StreamLimits,
};
use crate::util::num::IntBuf;

pub const COMMANDS: &[&Command] = &[
    &pending::XACK,
    &pending::XACKDEL,
    &add::XADD,
    &pending::XAUTOCLAIM,
    &add::XCFGSET,
    &pending::XCLAIM,
    &remove::XDEL,
    &remove::XDELEX,
    &group::XGROUP,
    &add::XIDMPRECORD,
    &info::XINFO,
    &read::XLEN,
    &pending::XNACK,
    &pending::XPENDING,
    &read::XRANGE,
    &read::XREAD,
    &read::XREADGROUP,
    &read::XREVRANGE,
    &remove::XSETID,
    &remove::XTRIM,
];

/// The configured limits of a stream's blocks, in bytes and in entries.
#[inline]
pub(in crate::commands) fn stream_limits(state: &State) -> StreamLimits {
    StreamLimits {
        block_bytes: state.config.stream_node_max_bytes,
        block_entries: state.config.stream_node_max_entries,
    }
}

/// The configured limits of a stream's memory of producers, which XCFGSET overrides.
pub(in crate::commands) fn idmp_limits(state: &State) -> IdmpLimits {
    IdmpLimits {
        duration_s: state.config.stream_idmp_duration,
        max_size: state.config.stream_idmp_maxsize,
    }
}

impl Ctx<'_> {
    /// Whether the command was decided elsewhere and must be carried out: it comes from the primary or from a file that
    /// is replayed.
    #[doc(alias = "mustObeyClient")]
    fn must_obey(&self) -> bool {
        self.origin == CallOrigin::Replay
            || self.state.clients[self.client]
                .flags
                .has(ClientFlags::PRIMARY)
    }
}

const INVALID_ID: Error = Error::Once(std::borrow::Cow::Borrowed(
    "Invalid stream ID specified as stream command argument",
));

/// Takes an ID; a missing second part is 0.
fn id(args: &mut Args<'_>) -> Result<StreamId> {
    strict_id(args.bytes()?)
}

fn strict_id(word: &[u8]) -> Result<StreamId> {
    StreamId::parse(word, 0).ok_or(INVALID_ID)
}

/// Takes the lower end of a range of IDs, `(` before it if the ID itself lies outside.
#[doc(alias = "streamParseIntervalIDOrReply")]
fn lower_bound(word: &[u8]) -> Result<StreamId> {
    match word {
        [b'(', rest @ ..] if !rest.is_empty() => strict_id(rest)?
            .next()
            .ok_or(Error::once("invalid start ID for the interval")),
        _ => StreamId::parse_bound(word, 0).ok_or(INVALID_ID),
    }
}

/// Takes the upper end of a range of IDs, in the same form.
fn upper_bound(word: &[u8]) -> Result<StreamId> {
    match word {
        [b'(', rest @ ..] if !rest.is_empty() => StreamId::parse(rest, u64::MAX)
            .ok_or(INVALID_ID)?
            .prev()
            .ok_or(Error::once("invalid end ID for the interval")),
        _ => StreamId::parse_bound(word, u64::MAX).ok_or(INVALID_ID),
    }
}

/// Takes all remaining arguments as IDs; an error if one of them is no ID.
fn ids(args: &mut Args<'_>) -> Result<Vec<StreamId>> {
    args.map(strict_id).collect()
}

/// Takes the number and the IDs that follow the word IDS. The IDs are not parsed yet, because a missing key is answered
/// before they are looked at.
fn counted_ids<'a>(args: &mut Args<'a>) -> Result<Args<'a>> {
    let error = Error::once("Number of IDs must be a positive integer");
    let count = args.integer_or(error.clone())?;
    let count = usize::try_from(count)
        .ok()
        .filter(|n| *n > 0)
        .ok_or(error)?;
    if count > args.len() {
        return Err(Error::once(
            "The `numids` parameter must match the number of arguments",
        ));
    }
    args.take(count)
}

/// Takes KEEPREF, DELREF or ACKED, if it is the next word.
fn references(args: &mut Args<'_>) -> Option<References> {
    if args.word("KEEPREF") {
        Some(References::Keep)
    } else if args.word("DELREF") {
        Some(References::Drop)
    } else if args.word("ACKED") {
        Some(References::Respect)
    } else {
        None
    }
}

/// Takes the options of XDELEX and XACKDEL, in any order.
fn references_and_ids<'a>(args: &mut Args<'a>) -> Result<(References, Args<'a>)> {
    let (mut how, mut which) = (None, None);
    while !args.is_empty() {
        match references(args) {
            Some(said) if how.is_none() => how = Some(said),
            None if which.is_none() && args.word_with("IDS", 1) => which = Some(counted_ids(args)?),
            _ => return Err(Error::Syntax),
        }
    }
    Ok((how.unwrap_or_default(), which.ok_or(Error::Syntax)?))
}

/// Writes an ID.
fn reply_id(reply: &mut Reply, id: StreamId) {
    reply.bulk(IdBuf::new().format(id));
}

/// Writes an entry's fields and values. Missing parts of a damaged entry are written as empty strings.
fn reply_fields(reply: &mut Reply, entries: &mut Entries<'_>, entry: Entry) {
    reply.array(2 * entry.fields);
    for _ in 0..entry.fields {
        match entries.field() {
            Some((field, value)) => {
                element(reply, field);
                element(reply, value);
            }
            None => {
                reply.bulk(b"");
                reply.bulk(b"");
            }
        }
    }
}

/// Writes an entry.
fn reply_entry(reply: &mut Reply, entries: &mut Entries<'_>, entry: Entry) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply_fields(reply, entries, entry);
}

/// Writes the entry of an ID; false, and no answer, if there is none.
fn reply_one(reply: &mut Reply, stream: &Stream, id: StreamId) -> bool {
    let mut entries = stream.entries(id, id, false);
    let Some(entry) = entries.next() else {
        return false;
    };
    reply_entry(reply, &mut entries, entry);
    true
}

/// Writes entries as an array, no more than `count` (0: all of them). Tells `each` their IDs.
fn reply_entries(
    reply: &mut Reply,
    mut entries: Entries<'_>,
    count: usize,
    mut each: impl FnMut(StreamId),
) {
    let mark = reply.open();
    let mut written = 0;
    while (count == 0 || written < count)
        && !reply.overflowed()
        && let Some(entry) = entries.next()
    {
        reply_entry(reply, &mut entries, entry);
        each(entry.id);
        written += 1;
    }
    reply.close_array(mark, written);
}

/// An error that names a key and a group.
fn no_group(before: &str, first: &[u8], between: &str, second: &[u8], after: &str) -> Error {
    Error::Quoting(
        [
            b"NOGROUP ",
            before.as_bytes(),
            up_to_zero(first),
            between.as_bytes(),
            up_to_zero(second),
            after.as_bytes(),
        ]
        .concat(),
    )
}

/// The error for a missing key or a missing group.
fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    no_group("No such key '", key, "' or consumer group '", group, "'")
}

/// Propagates that an entry is pending for a consumer: an XCLAIM that sets the time and the count of deliveries,
/// whatever they were before.
#[doc(alias = "streamPropagateXCLAIM")]
fn say_claim(ctx: &mut Ctx<'_>, key: &[u8], group_name: &[u8], claim: &Claim<'_>) {
    let (mut id, mut last_id) = (IdBuf::new(), IdBuf::new());
    let (mut time, mut count) = (IntBuf::new(), IntBuf::new());
    let words: [&[u8]; 14] = [
        b"XCLAIM",
        key,
        group_name,
        claim.consumer,
        b"0",
        id.format(claim.id),
        b"TIME",
        time.format(claim.delivered_ms),
        b"RETRYCOUNT",
        count.format(claim.deliveries as i64),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        last_id.format(claim.last_id),
    ];
    ctx.also(words);
}

/// The facts that [`say_claim`] propagates.
struct Claim<'a> {
    consumer: &'a [u8],
    id: StreamId,
    delivered_ms: i64,
    deliveries: u64,
    last_id: StreamId,
}

/// Propagates how far a group has read, as XGROUP SETID.
#[doc(alias = "streamPropagateGroupID")]
fn say_group_id(ctx: &mut Ctx<'_>, key: &[u8], group_name: &[u8], last_id: StreamId, read: i64) {
    let (mut id, mut count) = (IdBuf::new(), IntBuf::new());
    let words: [&[u8]; 7] = [
        b"XGROUP",
        b"SETID",
        key,
        group_name,
        id.format(last_id),
        b"ENTRIESREAD",
        count.format(read),
    ];
    ctx.also(words);
}

/// Notes that a consumer was seen now; creates it if it is missing, and returns whether it did.
#[doc(alias = "streamCreateConsumer")]
fn see_consumer(group: &mut ConsumerGroup, name: &[u8], now_ms: i64) -> bool {
    let created = group.create_consumer(name, now_ms, -1);
    if !created && let Some(consumer) = group.consumer_mut(name) {
        consumer.seen_ms = now_ms;
    }
    created
}

/// Propagates that a consumer was created. An XCLAIM that names the consumer creates it as well. A read that finds
/// nothing (redis 14963) and a claim of nothing have no XCLAIM, so without this replicas and the append-only file would
/// lack the consumer.
fn say_consumer(ctx: &mut Ctx<'_>, key: &[u8], group_name: &[u8], consumer: &[u8]) {
    let words: [&[u8]; 5] = [b"XGROUP", b"CREATECONSUMER", key, group_name, consumer];
    ctx.also(words);
}

/// Counts and publishes that a consumer was created.
fn consumer_created(ctx: &mut Ctx<'_>, key: &[u8]) {
    ctx.state.dirty += 1;
    ctx.notify(key, Event::stream("xgroup-createconsumer"));
}
