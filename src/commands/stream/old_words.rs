//! Deletions of entries, propagated in words that Redis 7.0 knows: XDEL, XACK, MAXLEN, XSETID.
//!
//! KEEPREF, DELREF, ACKED, XDELEX and XACKDEL are of Redis 8.2. A replica of an older Redis would answer an error and
//! keep the entries.
//!
//! ```text
//!   XDELEX s DELREF IDS 2 1-1 7-7      XACK s g 1-1       a group had delivered it
//!                                      XDEL s 1-1         7-7 does not exist
//!
//!   XTRIM s ACKED MAXLEN 2             XTRIM s MAXLEN = 2     nothing had to stay before what went
//!                                or    XDEL s 2-1 3-1         1-1 had to stay
//!                                      XSETID s 9-1 MAXDELETEDID 0-0 MAXDELETEDID 0-0
//! ```
//!
//! A trimming leaves the greatest ID deleted as it is, XDEL does not, so XSETID puts it back. Redis takes 0-0 for an
//! option that is not given. Oxidis does so, too, but believes one that is given twice.
//!
//! Mirrors: no file of Redis, which propagates these commands as they came.

use std::collections::BTreeMap;

use super::super::prelude::*;
use crate::resp::argv::{Argv, OwnedArgv};
use crate::types::Stream;
use crate::types::stream::{Counters, IdBuf, Name, StreamId, Trimmed};
use crate::util::num::IntBuf;

/// The way to say a trimming after which a stream is as it is now.
pub(super) enum TrimmedTo {
    /// MAXLEN: what went stood before all that is there.
    Length(u64),
    /// XDEL: an entry before the last one that went had to stay.
    WithHoles(Counters),
}

/// How a trimming is to be propagated; `stream` is the trimmed one.
pub(super) fn trimmed_to(stream: &Stream, trimmed: &Trimmed) -> TrimmedTo {
    let counters = stream.counters();
    match trimmed.ids.last() {
        Some(last) if !stream.is_empty() && counters.first_id < *last => {
            TrimmedTo::WithHoles(counters)
        }
        _ => TrimmedTo::Length(stream.len()),
    }
}

/// Propagates an XTRIM.
pub(super) fn say_trim(ctx: &mut Ctx<'_>, key: &[u8], trimmed: &Trimmed, to: TrimmedTo) {
    let mut digits = IntBuf::new();
    match to {
        TrimmedTo::Length(len) => {
            say_acks(ctx, key, &trimmed.dropped);
            ctx.rewrite([b"XTRIM", key, b"MAXLEN", b"=", digits.format(len as i64)]);
        }
        TrimmedTo::WithHoles(counters) => {
            say_deleted(ctx, key, trimmed);
            say_max_deleted(ctx, key, counters);
            ctx.suppress();
        }
    }
}

/// Propagates an XADD of an entry, whose `pairs` are fields and values, and the trimming that came with it.
pub(super) fn say_add(
    ctx: &mut Ctx<'_>,
    pairs: Argv<'_>,
    (key, id): (&[u8], StreamId),
    trimmed: &Trimmed,
    to: TrimmedTo,
) {
    let mut add = OwnedArgv::from_words([&b"XADD"[..], key]);
    if let TrimmedTo::Length(len) = to
        && trimmed.entries > 0
    {
        add.push(b"MAXLEN");
        add.push(b"=");
        add.push_integer(len as i64);
    }
    add.push(IdBuf::new().format(id));
    for i in 0..pairs.len() {
        add.push_word(pairs, i);
    }
    match to {
        TrimmedTo::Length(_) => {
            say_acks(ctx, key, &trimmed.dropped);
            ctx.rewrite_with(|out| *out = add);
        }
        TrimmedTo::WithHoles(counters) => {
            ctx.also_argv(ctx.db, add.as_argv());
            say_deleted(ctx, key, trimmed);
            say_max_deleted(ctx, key, counters);
            ctx.suppress();
        }
    }
}

/// Propagates the deletion of single entries, and that groups forgot some.
pub(super) fn say_deleted(ctx: &mut Ctx<'_>, key: &[u8], gone: &Trimmed) {
    say_acks(ctx, key, &gone.dropped);
    if !gone.ids.is_empty() {
        ctx.also_argv(ctx.db, with_ids(&[b"XDEL", key], gone.ids.iter()).as_argv());
    }
}

fn say_acks(ctx: &mut Ctx<'_>, key: &[u8], dropped: &[(Name, StreamId)]) {
    let mut by_group: BTreeMap<&[u8], Vec<&StreamId>> = BTreeMap::new();
    for (group, id) in dropped {
        by_group.entry(group).or_default().push(id);
    }
    for (group, ids) in by_group {
        let argv = with_ids(&[b"XACK", key, group], ids.into_iter());
        ctx.also_argv(ctx.db, argv.as_argv());
    }
}

fn with_ids<'a>(words: &[&[u8]], ids: impl Iterator<Item = &'a StreamId>) -> OwnedArgv {
    let mut argv = OwnedArgv::from_words(words);
    ids.for_each(|id| argv.push(IdBuf::new().format(*id)));
    argv
}

fn say_max_deleted(ctx: &mut Ctx<'_>, key: &[u8], counters: Counters) {
    let (mut last, mut max) = (IdBuf::new(), IdBuf::new());
    let (last, max) = (
        last.format(counters.last_id),
        max.format(counters.max_deleted_id),
    );
    let option: &[u8] = b"MAXDELETEDID";
    ctx.also([b"XSETID", key, last, option, max, option, max]);
}
