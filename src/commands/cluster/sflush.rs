//! SFLUSH: the keys of slots are deleted at once.
//!
//! Mirrors: sflushCommand() of cluster.c in Redis 8.0, where it is marked as an experiment.

use super::super::prelude::*;
use super::migration::slots_of;
use super::needs_cluster;
use super::slots::ranges;
use crate::keyspace;

pub(super) const SFLUSH: Command = Command {
    name: "sflush",
    arity: Arity::AtLeast(3),
    flags: &[Write],
    acl: &[Category::Keyspace, Category::Dangerous],
    args: &[
        arg::block(
            "data",
            &[arg::integer("slot-start"), arg::integer("slot-last")],
        )
        .multiple(),
        arg::one_of(
            "flush-type",
            &[arg::word("async", "ASYNC"), arg::word("sync", "SYNC")],
        )
        .optional(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "8.0.0",
        complexity: "O(slots); freeing N keys takes O(N), with ASYNC on another thread.",
        summary: "Deletes all keys of this node, if the slots named are all that it serves.",
        ..Docs::BASE
    },
    run: sflush,
    ..Command::BASE
};

/// Empties this node, if the ranges cover every slot that it serves; the reply is the ranges of those slots. Otherwise
/// nothing is deleted and the reply is empty: a client whose map of the slots is old does no harm. Propagated as
/// FLUSHDB.
#[doc(alias = "sflushCommand")]
fn sflush(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let count = args.len();
    let last = args.argv().get(args.argv().len() - 1);
    let (mut lazy, mut named) = (ctx.state.config.lazyfree_lazy_user_flush, count);
    for (word, then) in [("ASYNC", true), ("SYNC", false)] {
        if last.eq_ignore_ascii_case(word.as_bytes()) {
            (lazy, named) = (then, count - 1);
        }
    }
    if named == 0 || !named.is_multiple_of(2) {
        return Err(Error::WrongArity(ctx.name()));
    }
    let named = slots_of(ranges(Args::take(&mut args, named)?, "sflush")?)?;
    let machine = needs_cluster(ctx.state)?;
    let own = &machine.myself().slots;
    if own.is_empty() || own.iter().any(|slot| !named.has(slot)) {
        ctx.reply.array(0);
        return Ok(());
    }
    let served = own.ranges();
    let gone = keyspace::act::keys::empty(ctx.state, Some(ctx.db));
    let keys: usize = gone.iter().map(|table| table.len()).sum();
    ctx.state.dirty += keys as u64;
    // Propagated even if there was nothing to delete here, since a replica may have keys to delete.
    ctx.forced = crate::command::Targets::ALL;
    ctx.rewrite(["FLUSHDB"]);
    match lazy {
        true => ctx.state.lazyfree.free(gone, keys),
        false => drop(gone),
    }
    ctx.reply.array(served.len());
    for range in served {
        ctx.reply.array(2);
        ctx.reply.integer(i64::from(*range.start()));
        ctx.reply.integer(i64::from(*range.end()));
    }
    Ok(())
}
