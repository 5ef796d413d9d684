//! CLUSTER SLOT-STATS: figures of the slots that this shard serves.
//!
//! Mirrors: cluster_slot_stats.c.
//! Differs: keys are counted, nothing else: time and bytes per slot (`cluster-slot-stats-enabled`) are not.

use super::super::prelude::*;
use super::{needs_cluster, slot};
use crate::cluster::machine::Machine;
use crate::util::crc16::SLOTS;

pub(super) const CLUSTER_SLOT_STATS: Command = Command {
    name: "slot-stats",
    arity: Arity::AtLeast(4),
    flags: &[Loading, Stale],
    args: &[arg::one_of(
        "filter",
        &[
            arg::block(
                "slotsrange",
                &[arg::integer("start-slot"), arg::integer("end-slot")],
            )
            .token("SLOTSRANGE"),
            arg::block(
                "orderby",
                &[
                    arg::string("metric"),
                    arg::integer("limit").token("LIMIT").optional(),
                    arg::one_of(
                        "order",
                        &[arg::word("asc", "ASC"), arg::word("desc", "DESC")],
                    )
                    .optional(),
                ],
            )
            .token("ORDERBY"),
        ],
    )],
    tips: &["nondeterministic_output", "request_policy:all_shards"],
    docs: Docs {
        group: Group::Cluster,
        since: "8.2.0",
        complexity: "O(slots) with SLOTSRANGE, O(slots log slots) with ORDERBY",
        summary: "Tells how many keys are in slots.",
        ..Docs::BASE
    },
    run: cluster_slot_stats,
    ..Command::BASE
};

/// Answers for each slot that this shard serves, in a range (SLOTSRANGE) or the largest or smallest ones (ORDERBY), its
/// number and the count of its keys.
#[doc(alias = "clusterSlotStatsCommand")]
fn cluster_slot_stats(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let machine = needs_cluster(ctx.state)?;
    let wrong = || {
        Error::once(
            "unknown subcommand or wrong number of arguments for 'slot-stats'. Try CLUSTER HELP.",
        )
    };
    let mut chosen: Vec<u16> = served(machine);
    if args.word("SLOTSRANGE") {
        if args.len() != 2 {
            return Err(wrong());
        }
        let (first, last) = (slot(&mut args)?, slot(&mut args)?);
        if first > last {
            return Err(Error::once(format!(
                "Start slot number {first} is greater than end slot number {last}"
            )));
        }
        chosen.retain(|slot| (first..=last).contains(slot));
    } else if args.word("ORDERBY") {
        let metric = args.bytes()?;
        if !metric.eq_ignore_ascii_case(b"key-count") {
            return Err(Error::once("Unrecognized sort metric for ORDERBY."));
        }
        let (limit, ascending) = order(&mut args)?;
        let db = &ctx.state.keyspace[ctx.db];
        // A stable sort: slots with as many keys stay in the order of their numbers.
        chosen.sort_by_key(|slot| {
            let keys = db.slot_len(*slot) as i64;
            if ascending { keys } else { -keys }
        });
        chosen.truncate(limit);
    } else {
        return Err(wrong());
    }
    let (db, reply) = (&ctx.state.keyspace[ctx.db], &mut *ctx.reply);
    reply.array(chosen.len());
    for slot in chosen {
        reply.array(2);
        reply.integer(i64::from(slot));
        reply.map(1);
        reply.bulk(b"key-count");
        reply.count(db.slot_len(slot));
    }
    Ok(())
}

/// The slots of this node's shard.
fn served(machine: &Machine) -> Vec<u16> {
    let key = machine.myself().primary.unwrap_or(machine.my_key());
    let node = machine.nodes().get(key);
    node.map(|node| node.slots.iter().collect())
        .unwrap_or_default()
}

/// `[LIMIT n] [ASC|DESC]` in any order, each once: how many slots, and whether the smallest.
fn order(args: &mut Args<'_>) -> Result<(usize, bool)> {
    let twice = || Error::once("Multiple filters of the same type are disallowed.");
    let (mut limit, mut ascending) = (None, None);
    while !args.is_empty() {
        if args.word("LIMIT") {
            let wrong = || {
                Error::once("Limit has to lie in between 1 and 16384 (maximum number of slots).")
            };
            let number = args.integer_or(wrong())?;
            let number = usize::try_from(number).ok();
            let number = number.filter(|n| (1..=usize::from(SLOTS)).contains(n));
            if limit.replace(number.ok_or_else(wrong)?).is_some() {
                return Err(twice());
            }
        } else {
            let asc = match () {
                () if args.word("ASC") => true,
                () if args.word("DESC") => false,
                () => return Err(Error::Syntax),
            };
            if ascending.replace(asc).is_some() {
                return Err(twice());
            }
        }
    }
    Ok((
        limit.unwrap_or(usize::from(SLOTS)),
        ascending.unwrap_or(false),
    ))
}
