//! Sorted sets: ZADD, ZRANGE, ZUNIONSTORE and their kin.
//!
//! ```text
//!   add.rs       members come, get other scores and go     ZADD ZINCRBY ZREM ZREMRANGEBY*
//!   read.rs      one member, or a count of members       ZSCORE ZRANK ZCOUNT ZSCAN ZRANDMEMBER ...
//!   range.rs     ranges by rank, score or member           ZRANGE and its seven older forms, ZRANGESTORE
//!   combine.rs   several sorted sets (and sets) at once    ZUNION ZINTER ZDIFF, their STORE and CARD
//!   pop.rs       taking from an end, or blocking         ZPOPMIN ZMPOP BZPOPMIN BZMPOP ...
//! ```
//!
//! All ranges are ranges of ranks (`types/zset`), streamed from the sorted set straight into the reply.
//!
//! Mirrors: the command half of t_zset.c.

mod add;
mod combine;
mod pop;
mod range;
mod read;

use std::ops::Range;

use super::lookup::element;
use super::prelude::*;
use crate::collections::listpack::LpEntry;
use crate::keyspace::{DbId, Deadline, NewValue};
use crate::resp::Reply;
use crate::state::State;
use crate::types::zset::{Direction, LexBound, Limits, ScoreBound, Zset};
use crate::util::num::parse_f64;

pub(super) use add::add_all;

pub const COMMANDS: &[&Command] = &[
    &pop::BZMPOP,
    &pop::BZPOPMAX,
    &pop::BZPOPMIN,
    &add::ZADD,
    &read::ZCARD,
    &read::ZCOUNT,
    &combine::ZDIFF,
    &combine::ZDIFFSTORE,
    &add::ZINCRBY,
    &combine::ZINTER,
    &combine::ZINTERCARD,
    &combine::ZINTERSTORE,
    &read::ZLEXCOUNT,
    &pop::ZMPOP,
    &read::ZMSCORE,
    &pop::ZPOPMAX,
    &pop::ZPOPMIN,
    &read::ZRANDMEMBER,
    &range::ZRANGE,
    &range::ZRANGEBYLEX,
    &range::ZRANGEBYSCORE,
    &range::ZRANGESTORE,
    &read::ZRANK,
    &add::ZREM,
    &add::ZREMRANGEBYLEX,
    &add::ZREMRANGEBYRANK,
    &add::ZREMRANGEBYSCORE,
    &range::ZREVRANGE,
    &range::ZREVRANGEBYLEX,
    &range::ZREVRANGEBYSCORE,
    &read::ZREVRANK,
    &read::ZSCAN,
    &read::ZSCORE,
    &combine::ZUNION,
    &combine::ZUNIONSTORE,
];

/// The configured limits up to which a sorted set is stored as a listpack.
#[inline]
pub fn zset_limits(state: &State) -> Limits {
    Limits {
        entries: state.config.zset_max_listpack_entries,
        value: state.config.zset_max_listpack_value,
        seed: state.keyspace[DbId(0)].seed(),
    }
}

/// Begins an array of `len` members. With scores it is flat under RESP2, and an array of pairs under RESP3.
fn begin_members(reply: &mut Reply, len: usize, scores: bool) {
    let flat = scores && !reply.resp3();
    reply.array(if flat { 2 * len } else { len });
}

/// Writes one member of such an array.
#[inline]
fn one_member(reply: &mut Reply, entry: LpEntry<'_>, score: Option<f64>) {
    match score {
        Some(score) => {
            if reply.resp3() {
                reply.array(2);
            }
            element(reply, entry);
            reply.double(score);
        }
        None => element(reply, entry),
    }
}

/// Writes the members at these ranks as an array.
fn members(reply: &mut Reply, zset: &Zset, ranks: Range<u64>, direction: Direction, scores: bool) {
    let mut missing = ranks.end.saturating_sub(ranks.start) as usize;
    begin_members(reply, missing, scores);
    for scored in zset.range(ranks, direction) {
        one_member(reply, scored.member, scores.then_some(scored.score));
        missing -= 1;
    }
    // A damaged listpack may hold fewer members than its header says.
    for _ in 0..missing {
        one_member(reply, LpEntry::Str(b""), scores.then_some(0.0));
    }
}

/// Stores the result of a command under a key, or deletes the key if the result is empty; answers the number of
/// members. `changes` is added to the count of changes since the last save.
pub(super) fn store_result(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    mut zset: Zset,
    event: &'static str,
    changes: usize,
) {
    let len = zset.len();
    if len > 0 {
        zset.settle(zset_limits(ctx.state));
        let value = NewValue::Object(zset.into());
        ctx.store(key, value, Deadline::Set(None));
        ctx.modified_n(key, Event::zset(event), changes);
    } else {
        let lazy = ctx.state.config.lazyfree_lazy_server_del;
        if ctx.delete(key, lazy) {
            ctx.modified(key, Event::DEL);
        }
    }
    ctx.reply.count(len);
}

/// The ranks between two indexes, both included, which may count from the end.
fn between(start: i64, stop: i64, len: usize) -> Range<u64> {
    let len = len as i64;
    let from = |index: i64| if index < 0 { index + len } else { index };
    let (start, stop) = (from(start).max(0), from(stop).min(len - 1));
    if start > stop {
        return 0..0;
    }
    start as u64..stop as u64 + 1
}

const NOT_SCORES: Error = Error::Once(std::borrow::Cow::Borrowed("min or max is not a float"));
const NOT_LEX: Error = Error::Once(std::borrow::Cow::Borrowed(
    "min or max not valid string range item",
));

/// One end of a range of scores: a number, `(` before it if the number itself lies outside.
#[doc(alias = "zslParseRange")]
fn score_bound(text: &[u8]) -> Result<ScoreBound> {
    // To C the text ends at a zero byte.
    let text = text.split(|byte| *byte == 0).next().unwrap_or(text);
    let (exclusive, digits) = match text {
        [b'(', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    let score = bound_score(digits).ok_or(NOT_SCORES)?;
    Ok(ScoreBound { score, exclusive })
}

/// Reads the number of a bound. Empty digits are 0, and a number too large for a float is infinite.
fn bound_score(digits: &[u8]) -> Option<f64> {
    if digits.is_empty() {
        return Some(0.0);
    }
    // A score may be given in hexadecimal digits, a bound may not, as in Redis.
    if digits.iter().any(|byte| byte.eq_ignore_ascii_case(&b'x')) {
        return None;
    }
    parse_f64(digits).or_else(|| {
        let plain = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
        let plain = digits.iter().all(plain);
        plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    })
}

/// Both ends of a range of scores.
fn score_bounds(args: &mut Args<'_>) -> Result<(ScoreBound, ScoreBound)> {
    Ok((score_bound(args.bytes()?)?, score_bound(args.bytes()?)?))
}

/// One end of a range of members: `-`, `+`, `[member` or `(member`.
#[doc(alias = "zslParseLexRangeItem")]
fn lex_bound(text: &[u8]) -> Result<LexBound<'_>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Ok(LexBound::Min),
        [b'+'] | [b'+', 0, ..] => Ok(LexBound::Max),
        [b'[', member @ ..] => Ok(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Ok(LexBound::Exclusive(member)),
        _ => Err(NOT_LEX),
    }
}

/// Both ends of a range of members.
fn lex_bounds<'a>(args: &mut Args<'a>) -> Result<(LexBound<'a>, LexBound<'a>)> {
    Ok((lex_bound(args.bytes()?)?, lex_bound(args.bytes()?)?))
}
