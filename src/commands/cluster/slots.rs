//! CLUSTER subcommands about slots: which node serves them, and the keys in them.
//!
//! Mirrors: `clusterCommandSpecial` and `clusterCommand` of cluster_legacy.c and cluster.c.

use std::ops::RangeInclusive;

use super::super::prelude::*;
use super::{in_bounds, needs_cluster, obey, slot};
use crate::cluster::machine::{Command as Order, Machine, SlotOrder};
use crate::util::crc16::{SLOTS, key_hash_slot};

pub(super) const CLUSTER_ADDSLOTS: Command = Command {
    name: "addslots",
    arity: Arity::AtLeast(3),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::integer("slot").multiple()],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(slots)",
        summary: "Makes this node serve slots.",
        ..Docs::BASE
    },
    run: cluster_addslots,
    ..Command::BASE
};

fn cluster_addslots(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let slots = listed_slots(args)?;
    obey(ctx, args, Order::AddSlots(&slots))
}

pub(super) const CLUSTER_ADDSLOTSRANGE: Command = Command {
    name: "addslotsrange",
    arity: Arity::AtLeast(4),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::block(
        "range",
        &[arg::integer("start-slot"), arg::integer("end-slot")],
    )
    .multiple()],
    docs: Docs {
        group: Group::Cluster,
        since: "7.0.0",
        complexity: "O(slots)",
        summary: "Makes this node serve ranges of slots.",
        ..Docs::BASE
    },
    run: cluster_addslotsrange,
    ..Command::BASE
};

fn cluster_addslotsrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let machine = needs_cluster(ctx.state)?;
    let slots = changeable_ranges(machine, args, "addslotsrange", true)?;
    obey(ctx, args, Order::AddSlots(&slots))
}

pub(super) const CLUSTER_DELSLOTS: Command = Command {
    name: "delslots",
    arity: Arity::AtLeast(3),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::integer("slot").multiple()],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(slots)",
        summary: "Makes this node give up slots.",
        ..Docs::BASE
    },
    run: cluster_delslots,
    ..Command::BASE
};

/// Takes slots from whichever node serves them, in the view of this node alone.
fn cluster_delslots(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let slots = listed_slots(args)?;
    obey(ctx, args, Order::DelSlots(&slots))
}

pub(super) const CLUSTER_DELSLOTSRANGE: Command = Command {
    name: "delslotsrange",
    arity: Arity::AtLeast(4),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::block(
        "range",
        &[arg::integer("start-slot"), arg::integer("end-slot")],
    )
    .multiple()],
    docs: Docs {
        group: Group::Cluster,
        since: "7.0.0",
        complexity: "O(slots)",
        summary: "Makes this node give up ranges of slots.",
        ..Docs::BASE
    },
    run: cluster_delslotsrange,
    ..Command::BASE
};

fn cluster_delslotsrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let machine = needs_cluster(ctx.state)?;
    let slots = changeable_ranges(machine, args, "delslotsrange", false)?;
    obey(ctx, args, Order::DelSlots(&slots))
}

pub(super) const CLUSTER_FLUSHSLOTS: Command = Command {
    name: "flushslots",
    arity: Arity::Exactly(2),
    flags: &[Admin, Stale, NoAsyncLoading],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Makes this node give up all its slots.",
        ..Docs::BASE
    },
    run: cluster_flushslots,
    ..Command::BASE
};

/// Makes this node give up all slots. Fails if it has keys.
fn cluster_flushslots(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let empty = ctx.db().is_empty();
    obey(ctx, args, Order::FlushSlots { empty })
}

pub(super) const CLUSTER_SETSLOT: Command = Command {
    name: "setslot",
    arity: Arity::AtLeast(4),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[
        arg::integer("slot"),
        arg::one_of(
            "subcommand",
            &[
                arg::string("importing")
                    .token("IMPORTING")
                    .shown_as("node-id"),
                arg::string("migrating")
                    .token("MIGRATING")
                    .shown_as("node-id"),
                arg::string("node").token("NODE").shown_as("node-id"),
                arg::word("stable", "STABLE"),
            ],
        ),
    ],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Opens a slot for a move of its keys, closes it, or gives it to a node.",
        ..Docs::BASE
    },
    run: cluster_setslot,
    ..Command::BASE
};

/// Opens a slot so that its keys can move (MIGRATING here, IMPORTING there), closes it (STABLE), or gives it to a node
/// (NODE). The reply waits for the disk only if this node takes a new epoch.
fn cluster_setslot(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let all = args;
    let machine = ctx.state.cluster.machine();
    if machine.is_some_and(|machine| machine.myself().is_replica()) {
        return Err(Error::once("Please use SETSLOT only with masters."));
    }
    let slot = slot(&mut args)?;
    let order = match () {
        () if args.len() == 2 && args.word("MIGRATING") => SlotOrder::Migrating(args.bytes()?),
        () if args.len() == 2 && args.word("IMPORTING") => SlotOrder::Importing(args.bytes()?),
        () if args.len() == 2 && args.word("NODE") => SlotOrder::Node(args.bytes()?),
        () if args.len() == 1 && args.word("STABLE") => SlotOrder::Stable,
        () => {
            return Err(Error::once(
                "Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
            ));
        }
    };
    let keys = ctx.db().slot_len(slot);
    obey(ctx, all, Order::SetSlot { slot, order, keys })
}

pub(super) const CLUSTER_COUNTKEYSINSLOT: Command = Command {
    name: "countkeysinslot",
    arity: Arity::Exactly(3),
    flags: &[Stale],
    args: &[arg::integer("slot")],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Counts the keys of a slot.",
        ..Docs::BASE
    },
    run: cluster_countkeysinslot,
    ..Command::BASE
};

fn cluster_countkeysinslot(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let slot = args.integer()?;
    let slot = in_bounds(slot).ok_or(Error::once("Invalid slot"))?;
    let n = ctx.db().slot_len(slot);
    ctx.reply.integer(n as i64);
    Ok(())
}

pub(super) const CLUSTER_GETKEYSINSLOT: Command = Command {
    name: "getkeysinslot",
    arity: Arity::Exactly(4),
    flags: &[Stale],
    args: &[arg::integer("slot"), arg::integer("count")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(n) for n keys returned",
        summary: "Returns some keys of a slot.",
        ..Docs::BASE
    },
    run: cluster_getkeysinslot,
    ..Command::BASE
};

fn cluster_getkeysinslot(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let (slot, count) = (args.integer()?, args.integer()?);
    let (Some(slot), Ok(count)) = (in_bounds(slot), usize::try_from(count)) else {
        return Err(Error::once("Invalid slot or number of keys"));
    };
    let keys = ctx.db().slot_keys(slot, count);
    ctx.reply.array(keys.len());
    keys.iter().for_each(|key| ctx.reply.bulk(key));
    Ok(())
}

pub(super) const CLUSTER_KEYSLOT: Command = Command {
    name: "keyslot",
    arity: Arity::Exactly(3),
    flags: &[Loading, Stale],
    args: &[arg::string("key")],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(length of the key)",
        summary: "Tells the slot of a key.",
        ..Docs::BASE
    },
    run: cluster_keyslot,
    ..Command::BASE
};

fn cluster_keyslot(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let slot = key_hash_slot(args.bytes()?);
    ctx.reply.integer(i64::from(slot));
    Ok(())
}

fn listed_slots(mut args: Args<'_>) -> Result<Vec<RangeInclusive<u16>>> {
    let mut slots = Vec::new();
    while !args.is_empty() {
        let slot = slot(&mut args)?;
        slots.push(slot..=slot);
        bounded(&slots)?;
    }
    Ok(slots)
}

/// As [`ranges`]. A range that cannot be changed is refused before a later one that cannot be read.
fn changeable_ranges(
    machine: &Machine,
    args: Args<'_>,
    subcommand: &str,
    add: bool,
) -> Result<Vec<RangeInclusive<u16>>> {
    let mut slots = Vec::new();
    let read = read_ranges(args, subcommand, &mut slots);
    if read.is_err() {
        machine.changeable(&slots, add).map_err(Error::once)?;
    }
    read.map(|()| slots)
}

/// Ranges of slots, two numbers each.
pub(super) fn ranges(args: Args<'_>, subcommand: &str) -> Result<Vec<RangeInclusive<u16>>> {
    let mut slots = Vec::new();
    read_ranges(args, subcommand, &mut slots)?;
    Ok(slots)
}

fn read_ranges(
    mut args: Args<'_>,
    subcommand: &str,
    slots: &mut Vec<RangeInclusive<u16>>,
) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(format!("cluster|{subcommand}")));
    }
    while !args.is_empty() {
        let (first, last) = (slot(&mut args)?, slot(&mut args)?);
        if first > last {
            return Err(Error::once(format!(
                "start slot number {first} is greater than end slot number {last}"
            )));
        }
        slots.push(first..=last);
        bounded(slots)?;
    }
    Ok(())
}

/// A request with more ranges than there are slots must name one slot twice, so the rest need not be collected.
fn bounded(ranges: &[RangeInclusive<u16>]) -> Result {
    if ranges.len() <= usize::from(SLOTS) {
        return Ok(());
    }
    let mut seen = vec![false; usize::from(SLOTS)];
    for slot in ranges.iter().cloned().flatten() {
        if std::mem::replace(&mut seen[usize::from(slot)], true) {
            return Err(Error::once(format!("Slot {slot} specified multiple times")));
        }
    }
    Ok(())
}
