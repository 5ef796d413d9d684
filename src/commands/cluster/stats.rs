//! CLUSTER SLOT-STATS: figures of the slots that this shard serves.
//!
//! Mirrors: cluster_slot_stats.c.
//! Differs: a slot's memory (`memory-bytes`) is not counted while keys change. It is summed up when it is asked for, over
//! [`LOOKS`] keys at most.

use super::super::prelude::*;
use super::{needs_cluster, slot};
use crate::cluster::machine::Machine;
use crate::config::SlotStats;
use crate::keyspace::DbId;
use crate::state::State;
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
        summary: "Tells how many keys are in slots, and what commands on them cost.",
        ..Docs::BASE
    },
    run: cluster_slot_stats,
    ..Command::BASE
};

/// Keys looked at for the memory of all slots of one request: about 10 ms. Where there are more, those of a slot that are
/// looked at stand for its others.
const LOOKS: usize = 1 << 16;

/// A figure of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Keys,
    Memory,
    Cpu,
    BytesIn,
    BytesOut,
}

impl Metric {
    const ALL: [Metric; 5] = [
        Metric::Keys,
        Metric::Memory,
        Metric::Cpu,
        Metric::BytesIn,
        Metric::BytesOut,
    ];

    fn word(self) -> &'static str {
        match self {
            Metric::Keys => "key-count",
            Metric::Memory => "memory-bytes",
            Metric::Cpu => "cpu-usec",
            Metric::BytesIn => "network-bytes-in",
            Metric::BytesOut => "network-bytes-out",
        }
    }

    /// Whether it is counted now.
    fn is_on(self, wanted: SlotStats) -> bool {
        match self {
            Metric::Keys => true,
            Metric::Memory => wanted.memory,
            Metric::Cpu => wanted.cpu,
            Metric::BytesIn | Metric::BytesOut => wanted.network,
        }
    }

    /// The figure of a slot. `looks`: the most keys that may be looked at for it.
    fn of(self, state: &State, db: DbId, slot: u16, looks: usize) -> u64 {
        let figures = state.cluster.stats.of(slot);
        match self {
            Metric::Keys => state.keyspace[db].slot_len(slot) as u64,
            Metric::Memory => state.keyspace[db].slot_bytes(slot, looks),
            Metric::Cpu => figures.cpu_ns / 1000,
            Metric::BytesIn => figures.bytes_in,
            Metric::BytesOut => figures.bytes_out,
        }
    }
}

/// Answers for each slot that this shard serves, in a range (SLOTSRANGE) or the largest or smallest ones (ORDERBY), its
/// number and its figures: the count of its keys, and those that `cluster-slot-stats-enabled` names.
#[doc(alias = "clusterSlotStatsCommand")]
fn cluster_slot_stats(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let machine = needs_cluster(ctx.state)?;
    let wanted = ctx.state.config.cluster_slot_stats_enabled;
    let metrics = Metric::ALL
        .into_iter()
        .filter(|metric| metric.is_on(wanted));
    let metrics: Vec<Metric> = metrics.collect();
    let mut chosen: Vec<u16> = served(machine);
    let mut looks = looks_for(chosen.len());
    if args.word("SLOTSRANGE") {
        if args.len() != 2 {
            return Err(args.wrong_subcommand());
        }
        let (first, last) = (slot(&mut args)?, slot(&mut args)?);
        if first > last {
            return Err(Error::once(format!(
                "Start slot number {first} is greater than end slot number {last}"
            )));
        }
        chosen.retain(|slot| (first..=last).contains(slot));
        looks = looks_for(chosen.len());
    } else if args.word("ORDERBY") {
        let name = args.bytes()?;
        let named = |metric: &&Metric| name.eq_ignore_ascii_case(metric.word().as_bytes());
        let metric = metrics.iter().find(named);
        let metric = *metric.ok_or(Error::once("Unrecognized sort metric for ORDERBY."))?;
        let (limit, ascending) = order(&mut args)?;
        let figure = |slot: &u16| metric.of(ctx.state, ctx.db, *slot, looks);
        // A stable sort: slots with equal figures stay in the order of their numbers.
        match ascending {
            true => chosen.sort_by_cached_key(figure),
            false => chosen.sort_by_cached_key(|slot| std::cmp::Reverse(figure(slot))),
        }
        chosen.truncate(limit);
    } else {
        return Err(args.wrong_subcommand());
    }
    let (state, db, reply) = (&*ctx.state, ctx.db, &mut *ctx.reply);
    reply.array(chosen.len());
    for slot in chosen {
        reply.array(2);
        reply.integer(i64::from(slot));
        reply.map(metrics.len());
        for metric in &metrics {
            reply.bulk(metric.word().as_bytes());
            reply.integer(metric.of(state, db, slot, looks) as i64);
        }
    }
    Ok(())
}

/// The keys that may be looked at for the memory of each of so many slots.
fn looks_for(slots: usize) -> usize {
    (LOOKS / slots.max(1)).max(8)
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
