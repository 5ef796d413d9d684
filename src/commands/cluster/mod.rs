//! CLUSTER, and the commands that exist only in cluster mode: READONLY, READWRITE, ASKING.
//!
//! An order of an operator goes to the machine, which carries it out or refuses it ([`obey`]). A change that other nodes
//! must not hear of before it is on disk is answered when it is; inside a transaction or a script, where no client can be
//! made to wait, the reply comes at once and only the other nodes wait.
//!
//! | file | |
//! |---|---|
//! | `slots` | which node serves which slots; keys of a slot |
//! | `nodes` | nodes meet, follow, take over, are forgotten |
//! | `migration` | slots move as a whole |
//! | `show` | the cluster as texts and tables |
//! | `stats` | keys per slot, and what commands on them cost |
//! | `sflush` | the keys of slots are deleted |
//! | `asking` | how a connection is routed |
//!
//! Mirrors: `clusterCommand` of cluster.c and cluster_legacy.c.

mod asking;
mod migration;
mod nodes;
mod sflush;
mod show;
mod slots;
mod stats;

pub(super) use show::info_text;

use super::prelude::*;
use crate::clients::{WaitKind, Waiting};
use crate::cluster;
use crate::cluster::machine::{Command as Order, Machine};
use crate::state::State;
use crate::util::crc16::SLOTS;

pub const COMMANDS: &[&Command] = &[
    &CLUSTER,
    &asking::ASKING,
    &asking::READONLY,
    &asking::READWRITE,
    &migration::TRIMSLOTS,
    &sflush::SFLUSH,
];

const CLUSTER: Command = Command {
    name: "cluster",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "Depends on the subcommand",
        summary: "What concerns the cluster.",
        ..Docs::BASE
    },
    subcommands: &[
        &slots::CLUSTER_ADDSLOTS,
        &slots::CLUSTER_ADDSLOTSRANGE,
        &nodes::CLUSTER_BUMPEPOCH,
        &nodes::CLUSTER_COUNT_FAILURE_REPORTS,
        &slots::CLUSTER_COUNTKEYSINSLOT,
        &slots::CLUSTER_DELSLOTS,
        &slots::CLUSTER_DELSLOTSRANGE,
        &nodes::CLUSTER_FAILOVER,
        &slots::CLUSTER_FLUSHSLOTS,
        &nodes::CLUSTER_FORGET,
        &slots::CLUSTER_GETKEYSINSLOT,
        &CLUSTER_HELP,
        &show::CLUSTER_INFO,
        &slots::CLUSTER_KEYSLOT,
        &show::CLUSTER_LINKS,
        &nodes::CLUSTER_MEET,
        &migration::CLUSTER_MIGRATION,
        &nodes::CLUSTER_MYID,
        &nodes::CLUSTER_MYSHARDID,
        &show::CLUSTER_NODES,
        &show::CLUSTER_REPLICAS,
        &nodes::CLUSTER_REPLICATE,
        &nodes::CLUSTER_RESET,
        &nodes::CLUSTER_SAVECONFIG,
        &nodes::CLUSTER_SET_CONFIG_EPOCH,
        &slots::CLUSTER_SETSLOT,
        &show::CLUSTER_SHARDS,
        &show::CLUSTER_SLAVES,
        &show::CLUSTER_SLOTS,
        &stats::CLUSTER_SLOT_STATS,
        &migration::CLUSTER_SYNCSLOTS,
    ],
    ..Command::BASE
};

const CLUSTER_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Cluster,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Shows the subcommands.",
        ..Docs::BASE
    },
    run: cluster_help,
    ..Command::BASE
};

/// Lists the subcommands, a line of syntax and a line of explanation each.
fn cluster_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "CLUSTER",
        &[
            "ADDSLOTS <slot> [<slot> ...]",
            "    Makes this node serve slots.",
            "ADDSLOTSRANGE <first> <last> [<first> <last> ...]",
            "    The same for ranges of slots.",
            "BUMPEPOCH",
            "    Moves this node on to an epoch of its own.",
            "COUNT-FAILURE-REPORTS <node-id>",
            "    How many nodes report that one as failing.",
            "COUNTKEYSINSLOT <slot>",
            "    How many keys are in a slot.",
            "DELSLOTS <slot> [<slot> ...]",
            "    Makes this node give up slots.",
            "DELSLOTSRANGE <first> <last> [<first> <last> ...]",
            "    The same for ranges of slots.",
            "FAILOVER [FORCE|TAKEOVER]",
            "    Makes this replica the primary of its shard.",
            "FLUSHSLOTS",
            "    Makes this node give up all slots.",
            "FORGET <node-id>",
            "    Removes a node from the cluster.",
            "GETKEYSINSLOT <slot> <count>",
            "    Some keys of a slot.",
            "INFO",
            "    How the cluster fares.",
            "KEYSLOT <key>",
            "    The slot of a key.",
            "LINKS",
            "    Connections to other nodes.",
            "MEET <ip> <port> [<bus-port>]",
            "    Gets acquainted with another node.",
            "MIGRATION (IMPORT <first> <last> [...] | STATUS (ALL|ID <task>) | CANCEL (ALL|ID <task>))",
            "    Takes slots over from their owner with their keys, as a whole.",
            "MYID",
            "    The name of this node.",
            "MYSHARDID",
            "    The name of this node's shard.",
            "NODES",
            "    The nodes, a line each:",
            "    <id> <ip:port@bus-port> <flags> <primary> <ping> <pong> <epoch> <link> <slots> ...",
            "REPLICAS <node-id>",
            "    The replicas of a node, a line each.",
            "REPLICATE <node-id>",
            "    Makes this node a replica of another.",
            "RESET [HARD|SOFT]",
            "    Makes this node a new one; its name stays unless HARD is said.",
            "SAVECONFIG",
            "    Writes the node's file.",
            "SET-CONFIG-EPOCH <epoch>",
            "    Gives a new node its epoch.",
            "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)",
            "    Opens a slot for a move of its keys, closes it, or gives it to a node.",
            "SHARDS",
            "    Slots and nodes, shard by shard.",
            "SLOT-STATS (SLOTSRANGE <first> <last>|ORDERBY <metric> [LIMIT <count>] [ASC|DESC])",
            "    How many keys slots have, and what commands on them cost.",
            "SLOTS",
            "    Which node serves which slots.",
        ],
    );
    Ok(())
}

/// Has the machine carry out an order, and answers. `args` are the words of the request, for a client that is blocked
/// until the change is on disk.
fn obey(ctx: &mut Ctx<'_>, args: Args<'_>, order: Order<'_>) -> Result {
    let carried = cluster::act::carry::order(ctx.state, order);
    let (reply, save) = carried.map_err(Error::once)?;
    match save.filter(|_| ctx.may_block()) {
        Some(token) => {
            let kind = WaitKind::Saved(token);
            let waiting = Waiting::new(kind, ctx.command, args.argv().to_owned(), None);
            ctx.block(waiting, []);
            cluster::act::save::reply_when_saved(ctx.state, token, ctx.client, reply);
        }
        None => cluster::act::save::write(ctx.reply, reply),
    }
    Ok(())
}

/// This node.
fn needs_cluster(state: &State) -> Result<&Machine> {
    let none = Error::once("This instance has cluster support disabled");
    state.cluster.machine().ok_or(none)
}

fn in_bounds(slot: i64) -> Option<u16> {
    u16::try_from(slot).ok().filter(|slot| *slot < SLOTS)
}

#[doc(alias = "getSlotOrReply")]
fn slot(args: &mut Args<'_>) -> Result<u16> {
    let invalid = || Error::once("Invalid or out of range slot");
    in_bounds(args.integer_or(invalid())?).ok_or(invalid())
}
