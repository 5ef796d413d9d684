//! CLUSTER subcommands about nodes: they meet, follow, take over, are forgotten.
//!
//! Mirrors: `clusterCommandSpecial` of cluster_legacy.c.

use std::net::IpAddr;

use super::super::prelude::*;
use super::{needs_cluster, obey};
use crate::cluster::BUS_PORT_OFFSET;
use crate::cluster::machine::{Command as Order, FailoverKind};
use crate::util::num::parse_i64;

pub(super) const CLUSTER_MEET: Command = Command {
    name: "meet",
    arity: Arity::AtLeast(4),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[
        arg::string("ip"),
        arg::integer("port"),
        arg::integer("cluster-bus-port").optional().since("4.0.0"),
    ],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Starts to get acquainted with another node.",
        ..Docs::BASE
    },
    run: cluster_meet,
    ..Command::BASE
};

/// Starts a handshake with the node at an address, which must be spelled in numbers. Answers at once; the handshake goes
/// on in the background.
fn cluster_meet(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let all = args;
    if args.len() > 3 {
        return Err(Error::WrongArity("cluster|meet".into()));
    }
    let (ip, port) = (args.bytes()?, args.bytes()?);
    let invalid = |what: &str, text: &[u8]| {
        Error::quoting(&format!("ERR Invalid {what} port specified: "), text, "")
    };
    let number = parse_i64(port).ok_or_else(|| invalid("base", port))?;
    let bus = match args.next() {
        Some(bus) => parse_i64(bus).ok_or_else(|| invalid("bus", bus))?,
        None => number.saturating_add(i64::from(BUS_PORT_OFFSET)),
    };
    let address: Option<IpAddr> = std::str::from_utf8(ip).ok().and_then(|ip| ip.parse().ok());
    let port_of = |number| u16::try_from(number).ok().filter(|port| *port != 0);
    match (address, port_of(number), port_of(bus)) {
        (Some(ip), Some(port), Some(bus_port)) => {
            obey(ctx, all, Order::Meet { ip, port, bus_port })
        }
        _ => {
            let text = [ip, b":", port].concat();
            Err(Error::quoting(
                "ERR Invalid node address specified: ",
                &text,
                "",
            ))
        }
    }
}

pub(super) const CLUSTER_FORGET: Command = Command {
    name: "forget",
    arity: Arity::Exactly(3),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::string("node-id")],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Removes a node from the cluster.",
        ..Docs::BASE
    },
    run: cluster_forget,
    ..Command::BASE
};

/// Forgets a node for a minute at least, and has the other nodes forget it.
fn cluster_forget(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let all = args;
    obey(ctx, all, Order::Forget(args.bytes()?))
}

pub(super) const CLUSTER_REPLICATE: Command = Command {
    name: "replicate",
    arity: Arity::Exactly(3),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::string("node-id")],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Makes this node a replica of another.",
        ..Docs::BASE
    },
    run: cluster_replicate,
    ..Command::BASE
};

/// Makes this node a replica of a primary. A primary with keys or slots refuses.
fn cluster_replicate(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let all = args;
    let empty = ctx.db().is_empty();
    let id = args.bytes()?;
    obey(ctx, all, Order::Replicate { id, empty })
}

pub(super) const CLUSTER_FAILOVER: Command = Command {
    name: "failover",
    arity: Arity::AtLeast(2),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::one_of(
        "options",
        &[
            arg::word("force", "FORCE"),
            arg::word("takeover", "TAKEOVER"),
        ],
    )
    .optional()],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Makes this replica the primary of its shard.",
        ..Docs::BASE
    },
    run: cluster_failover,
    ..Command::BASE
};

/// Makes this replica take the place of its primary: together with it, without it (FORCE), or without even the votes of
/// others (TAKEOVER). Answers at once; the failover goes on in the background.
fn cluster_failover(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    args.at_most(1)?;
    let all = args;
    let kind = match () {
        () if args.is_empty() => FailoverKind::Agreed,
        () if args.word("FORCE") => FailoverKind::Force,
        () if args.word("TAKEOVER") => FailoverKind::Takeover,
        () => return Err(Error::Syntax),
    };
    obey(ctx, all, Order::Failover(kind))
}

pub(super) const CLUSTER_RESET: Command = Command {
    name: "reset",
    arity: Arity::AtLeast(2),
    flags: &[Admin, NoScript, Stale],
    args: &[arg::one_of(
        "reset-type",
        &[arg::word("hard", "HARD"), arg::word("soft", "SOFT")],
    )
    .optional()],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(slots)",
        summary: "Makes this node a new one.",
        ..Docs::BASE
    },
    run: cluster_reset,
    ..Command::BASE
};

/// Gives up all slots and forgets all nodes. With HARD this node becomes a new one, with another name and epoch 0. A
/// replica becomes a primary, and its data is dropped; a primary with keys refuses.
fn cluster_reset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    args.at_most(1)?;
    let all = args;
    let hard = match () {
        () if args.is_empty() || args.word("SOFT") => false,
        () if args.word("HARD") => true,
        () => return Err(Error::Syntax),
    };
    let empty = ctx.db().is_empty();
    obey(ctx, all, Order::Reset { hard, empty })
}

pub(super) const CLUSTER_BUMPEPOCH: Command = Command {
    name: "bumpepoch",
    arity: Arity::Exactly(2),
    flags: &[Admin, Stale, NoAsyncLoading],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Moves this node on to a configuration epoch of its own.",
        ..Docs::BASE
    },
    run: cluster_bumpepoch,
    ..Command::BASE
};

/// Gives this node an epoch greater than any other; STILL if it has one already.
fn cluster_bumpepoch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    obey(ctx, args, Order::BumpEpoch)
}

pub(super) const CLUSTER_SET_CONFIG_EPOCH: Command = Command {
    name: "set-config-epoch",
    arity: Arity::Exactly(3),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::integer("config-epoch")],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Gives a new node its configuration epoch.",
        ..Docs::BASE
    },
    run: cluster_set_config_epoch,
    ..Command::BASE
};

/// Gives a new node its epoch. Fails if it has one already, or knows other nodes.
fn cluster_set_config_epoch(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let all = args;
    let epoch = args.integer()?;
    obey(ctx, all, Order::SetConfigEpoch(epoch))
}

pub(super) const CLUSTER_SAVECONFIG: Command = Command {
    name: "saveconfig",
    arity: Arity::Exactly(2),
    flags: &[Admin, Stale, NoAsyncLoading],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(slots)",
        summary: "Writes the node's file.",
        ..Docs::BASE
    },
    run: cluster_saveconfig,
    ..Command::BASE
};

/// Writes `nodes.conf`. The reply waits until the file is on disk.
fn cluster_saveconfig(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    obey(ctx, args, Order::SaveConfig)
}

pub(super) const CLUSTER_COUNT_FAILURE_REPORTS: Command = Command {
    name: "count-failure-reports",
    arity: Arity::Exactly(3),
    flags: &[Admin, Loading, Stale],
    args: &[arg::string("node-id")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(reports)",
        summary: "Counts the nodes that report a node as failing.",
        ..Docs::BASE
    },
    run: cluster_count_failure_reports,
    ..Command::BASE
};

fn cluster_count_failure_reports(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let all = args;
    obey(ctx, all, Order::CountFailureReports(args.bytes()?))
}

pub(super) const CLUSTER_MYID: Command = Command {
    name: "myid",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Tells the name of this node.",
        ..Docs::BASE
    },
    run: cluster_myid,
    ..Command::BASE
};

fn cluster_myid(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let myself = needs_cluster(ctx.state)?.myself();
    ctx.reply.bulk(myself.id.as_bytes());
    Ok(())
}

pub(super) const CLUSTER_MYSHARDID: Command = Command {
    name: "myshardid",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "7.2.0",
        complexity: "O(1)",
        summary: "Tells the name of this node's shard.",
        ..Docs::BASE
    },
    run: cluster_myshardid,
    ..Command::BASE
};

fn cluster_myshardid(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let myself = needs_cluster(ctx.state)?.myself();
    ctx.reply.bulk(myself.shard.as_bytes());
    Ok(())
}
