//! CLUSTER, and the commands that exist only in cluster mode: READONLY, READWRITE, ASKING.
//!
//! Mirrors: `clusterCommand` of cluster.c and cluster_legacy.c.
//! Differs: subcommands that need another node do not exist, for there is no cluster bus.

use super::prelude::*;
use crate::clients::ClientFlags;
use crate::cluster;
use crate::config::ClusterPreferredEndpointType as EndpointType;
use crate::state::State;
use crate::util::crc16::{SLOTS, key_hash_slot};

pub const COMMANDS: &[&Command] = &[&CLUSTER, &ASKING, &READONLY, &READWRITE];

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
        &CLUSTER_ADDSLOTS,
        &CLUSTER_ADDSLOTSRANGE,
        &CLUSTER_BUMPEPOCH,
        &CLUSTER_COUNT_FAILURE_REPORTS,
        &CLUSTER_COUNTKEYSINSLOT,
        &CLUSTER_DELSLOTS,
        &CLUSTER_DELSLOTSRANGE,
        &CLUSTER_FLUSHSLOTS,
        &CLUSTER_GETKEYSINSLOT,
        &CLUSTER_HELP,
        &CLUSTER_INFO,
        &CLUSTER_KEYSLOT,
        &CLUSTER_LINKS,
        &CLUSTER_MYID,
        &CLUSTER_MYSHARDID,
        &CLUSTER_NODES,
        &CLUSTER_RESET,
        &CLUSTER_SAVECONFIG,
        &CLUSTER_SET_CONFIG_EPOCH,
        &CLUSTER_SHARDS,
        &CLUSTER_SLOTS,
    ],
    ..Command::BASE
};

const CLUSTER_ADDSLOTS: Command = Command {
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
    assign(ctx, &slots, true)
}

const CLUSTER_ADDSLOTSRANGE: Command = Command {
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
    needs_cluster(ctx.state)?;
    let slots = slots_of_ranges(args, "addslotsrange")?;
    assign(ctx, &slots, true)
}

const CLUSTER_BUMPEPOCH: Command = Command {
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

/// Gives this node an epoch greater than any other and writes `nodes.conf`; STILL if it has one already.
fn cluster_bumpepoch(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let line = match ctx.state.cluster.bump_epoch() {
        Some(epoch) => {
            cluster::act::node::save_cluster_file(ctx.state);
            format!("BUMPED {epoch}")
        }
        None => format!("STILL {}", ctx.state.cluster.epoch()),
    };
    ctx.reply.simple(&line);
    Ok(())
}

const CLUSTER_COUNT_FAILURE_REPORTS: Command = Command {
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
    let name = args.bytes()?;
    if !name.eq_ignore_ascii_case(ctx.state.cluster.id().as_bytes()) {
        return Err(Error::quoting("ERR Unknown node ", name, ""));
    }
    ctx.reply.integer(0);
    Ok(())
}

const CLUSTER_COUNTKEYSINSLOT: Command = Command {
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

const CLUSTER_DELSLOTS: Command = Command {
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

fn cluster_delslots(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let slots = listed_slots(args)?;
    assign(ctx, &slots, false)
}

const CLUSTER_DELSLOTSRANGE: Command = Command {
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
    needs_cluster(ctx.state)?;
    let slots = slots_of_ranges(args, "delslotsrange")?;
    assign(ctx, &slots, false)
}

const CLUSTER_FLUSHSLOTS: Command = Command {
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
fn cluster_flushslots(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    if !ctx.db().is_empty() {
        return Err(Error::once(
            "DB must be empty to perform CLUSTER FLUSHSLOTS.",
        ));
    }
    for slot in 0..SLOTS {
        ctx.state.cluster.assign(slot, false);
    }
    cluster::act::node::save_cluster_file(ctx.state);
    ctx.reply.ok();
    Ok(())
}

const CLUSTER_GETKEYSINSLOT: Command = Command {
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
            "FLUSHSLOTS",
            "    Makes this node give up all slots.",
            "GETKEYSINSLOT <slot> <count>",
            "    Some keys of a slot.",
            "INFO",
            "    How the cluster fares.",
            "KEYSLOT <key>",
            "    The slot of a key.",
            "LINKS",
            "    Connections to other nodes.",
            "MYID",
            "    The name of this node.",
            "MYSHARDID",
            "    The name of this node's shard.",
            "NODES",
            "    The nodes, a line each:",
            "    <id> <ip:port@bus-port> <flags> <primary> <ping> <pong> <epoch> <link> <slots> ...",
            "RESET [HARD|SOFT]",
            "    Makes this node a new one; its name stays unless HARD is said.",
            "SAVECONFIG",
            "    Writes the node's file.",
            "SET-CONFIG-EPOCH <epoch>",
            "    Gives a new node its epoch.",
            "SHARDS",
            "    Slots and nodes, shard by shard.",
            "SLOTS",
            "    Which node serves which slots.",
        ],
    );
    Ok(())
}

const CLUSTER_INFO: Command = Command {
    name: "info",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Tells how the cluster fares, seen from this node.",
        ..Docs::BASE
    },
    run: cluster_info,
    ..Command::BASE
};

fn cluster_info(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let text = info_text(ctx.state);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// The lines of CLUSTER INFO.
pub(super) fn info_text(state: &State) -> String {
    let (cluster, config) = (&state.cluster, &state.config);
    let up = cluster.is_up(config.cluster_require_full_coverage);
    let slots = cluster.assigned();
    format!(
        "cluster_state:{}\r\n\
         cluster_slots_assigned:{slots}\r\n\
         cluster_slots_ok:{slots}\r\n\
         cluster_slots_pfail:0\r\n\
         cluster_slots_fail:0\r\n\
         cluster_known_nodes:1\r\n\
         cluster_size:{}\r\n\
         cluster_current_epoch:{}\r\n\
         cluster_my_epoch:{}\r\n\
         cluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\n\
         total_cluster_links_buffer_limit_exceeded:0\r\n",
        if up { "ok" } else { "fail" },
        u8::from(slots > 0),
        cluster.current_epoch(),
        cluster.epoch(),
    )
}

const CLUSTER_KEYSLOT: Command = Command {
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

const CLUSTER_LINKS: Command = Command {
    name: "links",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "7.0.0",
        complexity: "O(nodes)",
        summary: "Lists the connections to other nodes.",
        ..Docs::BASE
    },
    run: cluster_links,
    ..Command::BASE
};

fn cluster_links(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    ctx.reply.array(0);
    Ok(())
}

const CLUSTER_MYID: Command = Command {
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
    needs_cluster(ctx.state)?;
    ctx.reply.bulk(ctx.state.cluster.id().as_bytes());
    Ok(())
}

const CLUSTER_MYSHARDID: Command = Command {
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
    needs_cluster(ctx.state)?;
    ctx.reply.bulk(ctx.state.cluster.shard_id().as_bytes());
    Ok(())
}

const CLUSTER_NODES: Command = Command {
    name: "nodes",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(nodes and slots)",
        summary: "Describes the nodes, a line each.",
        ..Docs::BASE
    },
    run: cluster_nodes,
    ..Command::BASE
};

fn cluster_nodes(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let address = cluster::act::node::cluster_address(ctx.state);
    let line = ctx.state.cluster.describe(&address) + "\n";
    ctx.reply.verbatim("txt", line);
    Ok(())
}

const CLUSTER_RESET: Command = Command {
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

/// Gives up all slots and writes `nodes.conf`. With HARD this node becomes a new one, with another name and epoch 0.
/// Fails if it has keys.
fn cluster_reset(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let hard = match () {
        () if args.is_empty() || args.word("SOFT") => false,
        () if args.word("HARD") => true,
        () => return Err(Error::Syntax),
    };
    args.end()?;
    if !ctx.db().is_empty() {
        return Err(Error::once(
            "CLUSTER RESET can't be called with master nodes containing keys",
        ));
    }
    let state = &mut *ctx.state;
    state.cluster.reset(hard.then_some(&mut state.entropy));
    cluster::act::node::save_cluster_file(state);
    ctx.reply.ok();
    Ok(())
}

const CLUSTER_SAVECONFIG: Command = Command {
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

fn cluster_saveconfig(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    if !cluster::act::node::save_cluster_file(ctx.state) {
        return Err(Error::once("error saving the cluster node config"));
    }
    ctx.reply.ok();
    Ok(())
}

const CLUSTER_SET_CONFIG_EPOCH: Command = Command {
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

/// Gives a new node its epoch. Fails if it has one already.
fn cluster_set_config_epoch(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let epoch = args.integer()?;
    let Ok(epoch) = u64::try_from(epoch) else {
        return Err(Error::once(format!(
            "Invalid config epoch specified: {epoch}"
        )));
    };
    if ctx.state.cluster.epoch() != 0 {
        return Err(Error::once("Node config epoch is already non-zero"));
    }
    ctx.state.cluster.set_epoch(epoch);
    cluster::act::node::save_cluster_file(ctx.state);
    ctx.reply.ok();
    Ok(())
}

const CLUSTER_SHARDS: Command = Command {
    name: "shards",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "7.0.0",
        complexity: "O(nodes and slots)",
        summary: "Describes the shards: their slots and nodes.",
        ..Docs::BASE
    },
    run: cluster_shards,
    ..Command::BASE
};

/// Answers the slots and nodes of each shard; here there is one of each.
fn cluster_shards(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let (state, reply) = (&*ctx.state, &mut *ctx.reply);
    let ranges = state.cluster.ranges();
    let (ip, port, _) = cluster::act::node::cluster_endpoint(state);
    reply.array(1);
    reply.map(2);
    reply.bulk(b"slots");
    reply.array(ranges.len() * 2);
    for range in &ranges {
        reply.integer(i64::from(*range.start()));
        reply.integer(i64::from(*range.end()));
    }
    reply.bulk(b"nodes");
    reply.array(1);
    let name = state.config.cluster_announce_hostname.as_deref();
    reply.map(7 + usize::from(name.is_some()));
    let mut field = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    field("id", state.cluster.id());
    field("ip", ip);
    field("endpoint", preferred_endpoint(state).unwrap_or(""));
    if let Some(name) = name {
        field("hostname", name);
    }
    field("role", "master");
    field("health", "online");
    reply.bulk(b"port");
    reply.integer(i64::from(port));
    reply.bulk(b"replication-offset");
    reply.integer(state.replication.offset as i64);
    Ok(())
}

const CLUSTER_SLOTS: Command = Command {
    name: "slots",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(nodes and slots)",
        summary: "Maps ranges of slots to nodes.",
        deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
        ..Docs::BASE
    },
    run: cluster_slots,
    ..Command::BASE
};

/// Answers for each range of slots this node: the endpoint for clients, the port, the name, and other ways to reach it.
fn cluster_slots(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let (state, reply) = (&*ctx.state, &mut *ctx.reply);
    let ranges = state.cluster.ranges();
    let (ip, port, _) = cluster::act::node::cluster_endpoint(state);
    let config = &state.config;
    let mut more = Vec::new();
    if config.cluster_preferred_endpoint_type != EndpointType::Ip && !ip.is_empty() {
        more.push(("ip", ip));
    }
    if let Some(name) = config.cluster_announce_hostname.as_deref()
        && config.cluster_preferred_endpoint_type != EndpointType::Hostname
    {
        more.push(("hostname", name));
    }
    reply.array(ranges.len());
    for range in &ranges {
        reply.array(3);
        reply.integer(i64::from(*range.start()));
        reply.integer(i64::from(*range.end()));
        reply.array(4);
        match preferred_endpoint(state) {
            Some(endpoint) => reply.bulk(endpoint.as_bytes()),
            None => reply.null(),
        }
        reply.integer(i64::from(port));
        reply.bulk(state.cluster.id().as_bytes());
        reply.map(more.len());
        for (name, value) in &more {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    }
    Ok(())
}

const READONLY: Command = Command {
    name: "readonly",
    arity: Arity::Exactly(1),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Lets the connection read from a replica's slots.",
        ..Docs::BASE
    },
    run: readonly,
    ..Command::BASE
};

fn readonly(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    ctx.state.clients[ctx.client]
        .flags
        .set(ClientFlags::READONLY);
    ctx.reply.ok();
    Ok(())
}

const READWRITE: Command = Command {
    name: "readwrite",
    arity: Arity::Exactly(1),
    flags: &[Loading, Stale, Fast],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Ends READONLY.",
        ..Docs::BASE
    },
    run: readwrite,
    ..Command::BASE
};

fn readwrite(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    ctx.state.clients[ctx.client]
        .flags
        .clear(ClientFlags::READONLY);
    ctx.reply.ok();
    Ok(())
}

const ASKING: Command = Command {
    name: "asking",
    arity: Arity::Exactly(1),
    flags: &[Fast],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(1)",
        summary: "Announces that the next request was redirected here.",
        ..Docs::BASE
    },
    run: asking,
    ..Command::BASE
};

fn asking(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    // No slot ever migrates here, so ASKING has nothing to allow.
    needs_cluster(ctx.state)?;
    ctx.reply.ok();
    Ok(())
}

fn needs_cluster(state: &State) -> Result {
    match state.config.cluster_enabled {
        true => Ok(()),
        false => Err(Error::once("This instance has cluster support disabled")),
    }
}

fn in_bounds(slot: i64) -> Option<u16> {
    u16::try_from(slot).ok().filter(|slot| *slot < SLOTS)
}

#[doc(alias = "getSlotOrReply")]
fn slot(args: &mut Args<'_>) -> Result<u16> {
    let invalid = || Error::once("Invalid or out of range slot");
    in_bounds(args.integer_or(invalid())?).ok_or(invalid())
}

fn listed_slots(mut args: Args<'_>) -> Result<Vec<u16>> {
    let mut slots = Vec::new();
    while !args.is_empty() {
        slots.push(slot(&mut args)?);
        bounded(&slots)?;
    }
    Ok(slots)
}

fn slots_of_ranges(mut args: Args<'_>, subcommand: &str) -> Result<Vec<u16>> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(format!("cluster|{subcommand}")));
    }
    let mut slots = Vec::new();
    while !args.is_empty() {
        let (first, last) = (slot(&mut args)?, slot(&mut args)?);
        if first > last {
            return Err(Error::once(format!(
                "start slot number {first} is greater than end slot number {last}"
            )));
        }
        slots.extend(first..=last);
        bounded(&slots)?;
    }
    Ok(slots)
}

/// A request with more slots than there are must name one of them twice, so the rest need not be collected.
fn bounded(slots: &[u16]) -> Result {
    match slots.len() <= usize::from(SLOTS) {
        true => Ok(()),
        false => unique(slots),
    }
}

fn unique(slots: &[u16]) -> Result {
    let mut seen = vec![false; usize::from(SLOTS)];
    for slot in slots {
        if std::mem::replace(&mut seen[usize::from(*slot)], true) {
            return Err(Error::once(format!("Slot {slot} specified multiple times")));
        }
    }
    Ok(())
}

/// Takes the slots, or gives them up: all of them or none.
fn assign(ctx: &mut Ctx<'_>, slots: &[u16], take: bool) -> Result {
    let cluster = &mut ctx.state.cluster;
    for slot in slots {
        if cluster.owns(*slot) == take {
            let state = if take { "busy" } else { "unassigned" };
            return Err(Error::once(format!("Slot {slot} is already {state}")));
        }
    }
    unique(slots)?;
    slots.iter().for_each(|slot| cluster.assign(*slot, take));
    cluster::act::node::save_cluster_file(ctx.state);
    ctx.reply.ok();
    Ok(())
}

/// The endpoint that clients are told to connect to; `None` if they are to keep the address they used.
#[doc(alias = "clusterNodePreferredEndpoint")]
fn preferred_endpoint(state: &State) -> Option<&str> {
    let config = &state.config;
    match config.cluster_preferred_endpoint_type {
        EndpointType::Ip => Some(cluster::act::node::cluster_endpoint(state).0),
        EndpointType::Hostname => Some(config.cluster_announce_hostname.as_deref().unwrap_or("?")),
        EndpointType::UnknownEndpoint => None,
    }
}
