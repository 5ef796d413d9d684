//! CLUSTER subcommands that show the cluster: NODES, SLOTS, SHARDS, LINKS, INFO, REPLICAS.
//!
//! The tables come from the machine (`cluster/machine/describe.rs`); here they are written for one client, with the
//! ports and the kind of endpoint that it is to use.
//!
//! Mirrors: `clusterReplyMultiBulkSlots`, `clusterCommandShards`, `addReplyClusterLinksDescription`.

use super::super::prelude::*;
use super::needs_cluster;
use crate::cluster;
use crate::cluster::machine::{Endpoint, ShardNode};
use crate::cluster::node::LinkId;
use crate::config::{ClusterPreferredEndpointType as EndpointType, Config};
use crate::resp::Reply;
use crate::state::State;

pub(super) const CLUSTER_INFO: Command = Command {
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

/// The lines of CLUSTER INFO; nothing outside of a cluster.
#[doc(alias = "genClusterInfoString")]
pub fn info_text(state: &State) -> String {
    let Some(machine) = state.cluster.machine() else {
        return String::new();
    };
    let mut text = machine.info_text();
    let over = state.cluster.links.over_limit;
    text.push_str(&format!(
        "total_cluster_links_buffer_limit_exceeded:{over}\r\n"
    ));
    text.push_str(&cluster::act::moving::info_text(state));
    text
}

pub(super) const CLUSTER_LINKS: Command = Command {
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

/// Lists the connections of the bus whose other end is known: two for each node.
#[doc(alias = "addReplyClusterLinksDescription")]
fn cluster_links(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let links = needs_cluster(ctx.state)?.links_view();
    let (state, reply) = (&*ctx.state, &mut *ctx.reply);
    reply.array(links.len());
    for view in &links {
        let wire = state.cluster.links.wire(view.link);
        let unsent = wire.map_or(0, |wire| cluster::act::links::unsent(state, wire));
        let allocated = wire.map_or(0, |wire| cluster::act::links::memory_of(state, wire));
        reply.map(6);
        reply.bulk(b"direction");
        reply.bulk(match view.link {
            LinkId::Out(_) => b"to",
            LinkId::In(_) => b"from",
        });
        reply.bulk(b"node");
        reply.bulk(view.node.as_bytes());
        reply.bulk(b"create-time");
        reply.integer(view.since_ms as i64);
        reply.bulk(b"events");
        reply.bulk(if unsent > 0 { b"rw" } else { b"r" });
        reply.bulk(b"send-buffer-allocated");
        reply.count(allocated);
        reply.bulk(b"send-buffer-used");
        reply.count(unsent);
    }
    Ok(())
}

pub(super) const CLUSTER_NODES: Command = Command {
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
    let tls = cluster::act::node::wants_tls(ctx.state, Some(ctx.client));
    let text = needs_cluster(ctx.state)?.nodes_text(tls);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

pub(super) const CLUSTER_REPLICAS: Command = Command {
    name: "replicas",
    arity: Arity::Exactly(3),
    flags: &[Admin, Loading, Stale],
    args: &[arg::string("node-id")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "5.0.0",
        complexity: "O(nodes)",
        summary: "Describes the replicas of a primary, a line each.",
        ..Docs::BASE
    },
    run: cluster_replicas,
    ..Command::BASE
};

/// Answers the lines of CLUSTER NODES for the replicas of a primary.
fn cluster_replicas(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let tls = cluster::act::node::wants_tls(ctx.state, Some(ctx.client));
    let machine = needs_cluster(ctx.state)?;
    let id = args.bytes()?;
    let unknown = || Error::quoting("ERR Unknown node ", id, "");
    let key = machine.named(id).ok_or_else(unknown)?;
    if machine.nodes()[key].is_replica() {
        return Err(Error::once("The specified node is not a master"));
    }
    let lines = machine.replica_lines(key, tls);
    ctx.reply.array(lines.len());
    lines
        .iter()
        .for_each(|line| ctx.reply.bulk(line.as_bytes()));
    Ok(())
}

pub(super) const CLUSTER_SLAVES: Command = Command {
    name: "slaves",
    arity: Arity::Exactly(3),
    flags: &[Admin, Loading, Stale],
    args: &[arg::string("node-id")],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "O(nodes)",
        summary: "The former name of CLUSTER REPLICAS.",
        deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
        ..Docs::BASE
    },
    run: cluster_replicas,
    ..Command::BASE
};

pub(super) const CLUSTER_SHARDS: Command = Command {
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

/// Answers for each shard its slots and its nodes.
#[doc(alias = "clusterCommandShards")]
fn cluster_shards(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let offset = cluster::act::node::offset(ctx.state);
    let shards = needs_cluster(ctx.state)?.shards_view(offset);
    let (config, reply) = (&ctx.state.config, &mut *ctx.reply);
    reply.array(shards.len());
    for shard in &shards {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(shard.slots.len() * 2);
        for range in &shard.slots {
            reply.integer(i64::from(*range.start()));
            reply.integer(i64::from(*range.end()));
        }
        reply.bulk(b"nodes");
        reply.array(shard.nodes.len());
        for node in &shard.nodes {
            shard_node(config, node, reply);
        }
    }
    Ok(())
}

#[doc(alias = "addNodeDetailsToShardReply")]
fn shard_node(config: &Config, node: &ShardNode, reply: &mut Reply) {
    let at = &node.endpoint;
    let ports = [("port", at.port), ("tls-port", at.tls_port)];
    let ports = ports.iter().filter(|(_, port)| *port != 0);
    reply.map(6 + ports.clone().count() + usize::from(!at.hostname.is_empty()));
    let text = |reply: &mut Reply, name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    text(reply, "id", at.id.as_str());
    for (name, port) in ports {
        reply.bulk(name.as_bytes());
        reply.integer(i64::from(*port));
    }
    let ip = cluster::act::node::ip_text(at);
    text(reply, "ip", &ip);
    let endpoint = cluster::act::node::preferred(config, ip, &at.hostname);
    text(reply, "endpoint", &endpoint.unwrap_or_default());
    if !at.hostname.is_empty() {
        text(reply, "hostname", &at.hostname);
    }
    let role = if node.primary { "master" } else { "replica" };
    text(reply, "role", role);
    reply.bulk(b"replication-offset");
    reply.integer(node.offset as i64);
    text(reply, "health", node.health);
}

pub(super) const CLUSTER_SLOTS: Command = Command {
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

/// Answers for each range of slots the nodes that serve it, the primary first: the endpoint for clients, the port, the
/// name, and other ways to reach it.
#[doc(alias = "clusterCommandSlots")]
fn cluster_slots(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let offset = cluster::act::node::offset(ctx.state);
    let tls = cluster::act::node::wants_tls(ctx.state, Some(ctx.client));
    let views = needs_cluster(ctx.state)?.slots_view(offset);
    let (config, reply) = (&ctx.state.config, &mut *ctx.reply);
    reply.array(views.len());
    for view in &views {
        reply.array(2 + view.nodes.len());
        reply.integer(i64::from(*view.slots.start()));
        reply.integer(i64::from(*view.slots.end()));
        for node in &view.nodes {
            server(config, node, tls, reply);
        }
    }
    Ok(())
}

#[doc(alias = "addNodeToNodeReply")]
fn server(config: &Config, node: &Endpoint, tls: bool, reply: &mut Reply) {
    let ip = cluster::act::node::ip_text(node);
    let kind = config.cluster_preferred_endpoint_type;
    reply.array(4);
    match cluster::act::node::preferred(config, ip.clone(), &node.hostname) {
        Some(endpoint) => reply.bulk(endpoint.as_bytes()),
        None => reply.null(),
    }
    reply.integer(i64::from(if tls { node.tls_port } else { node.port }));
    reply.bulk(node.id.as_bytes());
    let mut more = Vec::new();
    if kind != EndpointType::Ip {
        more.push(("ip", &ip));
    }
    if kind != EndpointType::Hostname && !node.hostname.is_empty() {
        more.push(("hostname", &node.hostname));
    }
    reply.map(more.len());
    for (name, value) in more {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}
