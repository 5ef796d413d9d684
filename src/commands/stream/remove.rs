//! Commands by which entries go: XTRIM, XDEL, XDELEX; and XSETID, which sets a stream's counters.
//!
//! Mirrors: `xtrimCommand()`, `xdelCommand()`, `xdelexCommand()` and `xsetidCommand()` of t_stream.c.

use super::super::prelude::*;
use super::add::{Options, rewrite};
use super::{id, ids, old_words, references_and_ids, strict_id};
use crate::types::Stream;
use crate::types::stream::{Counters, References, StreamId, Trimmed};

pub(super) const XTRIM: Command = Command {
    name: "xtrim",
    arity: Arity::AtLeast(4),
    flags: &[Write],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[
        arg::key("key"),
        arg::block(
            "trim",
            &[
                arg::one_of(
                    "strategy",
                    &[
                        arg::word("maxlen", "MAXLEN"),
                        arg::word("minid", "MINID").since("6.2.0"),
                    ],
                ),
                arg::one_of(
                    "operator",
                    &[arg::word("equal", "="), arg::word("approximately", "~")],
                )
                .optional(),
                arg::string("threshold"),
                arg::integer("count")
                    .token("LIMIT")
                    .optional()
                    .since("6.2.0"),
                arg::one_of(
                    "condition",
                    &[
                        arg::word("keepref", "KEEPREF"),
                        arg::word("delref", "DELREF"),
                        arg::word("acked", "ACKED"),
                    ],
                )
                .optional(),
            ],
        ),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) with N entries trimmed",
        summary: "Deletes the oldest entries of a stream.",
        ..Docs::BASE
    },
    run: xtrim,
    ..Command::BASE
};

/// Deletes entries from the start until the length or the first ID fits, and answers how many. An approximate trimming
/// is propagated as the exact one that it came to, one that looks at references as [`old_words`] says. An emptied
/// stream stays, with its groups.
#[doc(alias = "xtrimCommand")]
fn xtrim(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let options = Options::take(ctx, &mut args, false)?;
    let trim = options.trim(ctx);

    let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?;
    let (Some(stream), Some(trim)) = (stream, trim) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let trimmed = stream.trim(&trim);
    let exact = options.exact_trim(stream);
    let trimmed_to = old_words::trimmed_to(stream, &trimmed);
    let entries = trimmed.entries as usize;
    if entries > 0 {
        ctx.modified_n(key, Event::stream("xtrim"), entries);
        match options.names_references() {
            true => old_words::say_trim(ctx, key, &trimmed, trimmed_to),
            false => rewrite(ctx, args.argv(), exact, None),
        }
    }
    ctx.reply.count(entries);
    Ok(())
}

pub(super) const XDEL: Command = Command {
    name: "xdel",
    arity: Arity::AtLeast(3),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[arg::key("key"), arg::string("id").multiple()],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1) for each entry",
        summary: "Deletes entries of a stream.",
        ..Docs::BASE
    },
    run: xdel,
    ..Command::BASE
};

/// Deletes entries and answers how many existed. Entries that are pending stay pending. Propagated as it came.
#[doc(alias = "xdelCommand")]
fn xdel(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let ids = ids(&mut args)?;
    let deleted = ids.iter().filter(|id| stream.delete(**id)).count();
    if deleted > 0 {
        ctx.modified_n(key, Event::stream("xdel"), deleted);
    }
    ctx.reply.count(deleted);
    Ok(())
}

/// The outcome of deleting one entry, as XDELEX and XACKDEL answer it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Missing = -1,
    Deleted = 1,
    /// A group has yet to read or to acknowledge it.
    Stays = 2,
}

/// Deletes an entry under one of three policies: KEEPREF leaves it pending where it is, DELREF removes it from all
/// lists of pending entries, ACKED deletes it only if every group has read and acknowledged it.
pub(super) fn delete(
    stream: &mut Stream,
    id: StreamId,
    references: References,
    gone: &mut Trimmed,
) -> Fate {
    // Asked of a missing entry as well: an ID that a group has yet to reach counts as referenced.
    if references == References::Respect && stream.is_referenced(id) {
        return Fate::Stays;
    }
    if references == References::Drop {
        let groups = stream.drop_references(id);
        gone.dropped
            .extend(groups.into_iter().map(|group| (group, id)));
    }
    if !stream.delete(id) {
        return Fate::Missing;
    }
    gone.entries += 1;
    gone.ids.push(id);
    Fate::Deleted
}

pub(super) const XDELEX: Command = Command {
    name: "xdelex",
    arity: Arity::AtLeast(5),
    flags: &[Write, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Delete])],
    args: &[
        arg::key("key"),
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
        complexity: "O(1) for each entry",
        summary: "Deletes entries of a stream, if the groups' references allow it.",
        ..Docs::BASE
    },
    run: xdelex,
    ..Command::BASE
};

/// Deletes entries under KEEPREF (the default), DELREF or ACKED, and answers a [`Fate`] for each. Propagated as XDEL of
/// the deleted entries and XACK of the references that were dropped.
#[doc(alias = "xdelexCommand")]
fn xdelex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    ctx.state.keyspace[ctx.db].get_as::<Stream>(key)?;
    let (references, mut words) = references_and_ids(&mut args)?;
    let Some(stream) = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)? else {
        ctx.reply.array(words.len());
        words.for_each(|_| ctx.reply.integer(-1));
        return Ok(());
    };
    let ids = ids(&mut words)?;
    ctx.reply.array(ids.len());
    let mut gone = Trimmed::default();
    for id in ids {
        let fate = delete(stream, id, references, &mut gone);
        ctx.reply.integer(fate as i64);
    }
    if gone.entries > 0 {
        ctx.modified_n(key, Event::stream("xdel"), gone.entries as usize);
    } else {
        ctx.state.dirty += gone.dropped.len() as u64;
    }
    old_words::say_deleted(ctx, key, &gone);
    ctx.suppress();
    Ok(())
}

pub(super) const XSETID: Command = Command {
    name: "xsetid",
    arity: Arity::AtLeast(3),
    flags: &[Write, DenyOom, Fast],
    acl: &[Category::Stream],
    keys: &[KeySpec::at(1, &[Rw, Update])],
    args: &[
        arg::key("key"),
        arg::string("last-id"),
        arg::integer("entries-added")
            .token("ENTRIESADDED")
            .optional()
            .since("7.0.0"),
        arg::string("max-deleted-id")
            .token("MAXDELETEDID")
            .optional()
            .since("7.0.0"),
    ],
    docs: Docs {
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Sets what a stream remembers of its last entry; used to rebuild one.",
        ..Docs::BASE
    },
    run: xsetid,
    ..Command::BASE
};

/// Sets the last ID of a stream, and with options the number of entries ever added and the greatest ID deleted. A
/// rewritten AOF uses it to restore counters that the entries alone do not tell.
///
/// Fails if the key is missing or the numbers contradict the entries that are there. Propagated as it came.
#[doc(alias = "xsetidCommand")]
fn xsetid(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let last_id = id(&mut args)?;
    let (mut added, mut max_deleted, mut times) = (None, StreamId::MIN, 0);
    while !args.is_empty() {
        if args.word_with("ENTRIESADDED", 1) {
            let entries = args.integer()?;
            let error = Error::once("entries_added must be positive");
            added = Some(u64::try_from(entries).map_err(|_| error)?);
        } else if args.word_with("MAXDELETEDID", 1) {
            max_deleted = strict_id(args.bytes()?)?;
            times += 1;
            if last_id < max_deleted {
                return Err(Error::once(
                    "The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::Syntax);
        }
    }
    let stream = ctx.state.keyspace[ctx.db].get_mut_as::<Stream>(key)?;
    let stream = stream.ok_or(Error::NoSuchKey)?;
    let counters = stream.counters();
    if last_id < counters.max_deleted_id {
        return Err(Error::once(
            "The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if !stream.is_empty() {
        if stream.last_valid_id().is_some_and(|top| last_id < top) {
            return Err(Error::once(
                "The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < stream.len()) {
            return Err(Error::once(
                "The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    stream.set_counters(Counters {
        last_id,
        entries_added: added.unwrap_or(counters.entries_added),
        max_deleted_id: match (max_deleted, times) {
            // 0-0 counts as not given, unless it is given twice: see `old_words`.
            (StreamId::MIN, ..2) => counters.max_deleted_id,
            (id, _) => id,
        },
        ..counters
    });
    ctx.state.dirty += 1;
    ctx.notify(key, Event::stream("xsetid"));
    ctx.reply.ok();
    Ok(())
}
