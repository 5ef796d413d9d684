//! The machine's view of this server (options, facts), and the view of clients on a node (endpoints).
//!
//! Mirrors: `deriveAnnouncedPorts`, `clusterUpdateMyselfFlags`, `clusterNodePreferredEndpoint` (cluster_legacy.c).

use crate::cluster::BUS_PORT_OFFSET;
use crate::cluster::machine::{Endpoint, Facts, Machine, Options, Sync};
use crate::cluster::node::NodeKey;
use crate::config::{ClusterPreferredEndpointType as EndpointType, Config};
use crate::replication::link::Step;
use crate::state::State;

/// The port that the bus is to listen on; `None` if there is no such port.
pub fn bus_port(config: &Config) -> Option<u16> {
    match config.cluster_port {
        0 => client_port(config).checked_add(BUS_PORT_OFFSET),
        port => Some(port),
    }
}

/// The port for clients of the cluster's own kind, TLS or not.
#[doc(alias = "defaultClientPort")]
pub fn client_port(config: &Config) -> u16 {
    match config.tls_cluster {
        true => config.tls_port,
        false => config.port,
    }
}

/// The options that the machine goes by.
#[doc(alias = "deriveAnnouncedPorts")]
pub fn options(state: &State) -> Options {
    let config = &state.config;
    let announced = |announced: u16, real: u16| if announced == 0 { real } else { announced };
    let real = if config.port == 0 && config.tls_port == 0 {
        state.tcp_port
    } else {
        config.port
    };
    let before = state.cluster.machine().map(Machine::options);
    Options {
        node_timeout_ms: config.cluster_node_timeout,
        ping_interval_ms: config.cluster_ping_interval,
        no_failover: config.cluster_replica_no_failover || state.modules.no_failover,
        validity_factor: u64::from(config.cluster_replica_validity_factor),
        replica_ping_ms: u64::from(config.repl_ping_replica_period) * 1000,
        migration_barrier: config.cluster_migration_barrier as usize,
        allow_replica_migration: config.cluster_allow_replica_migration,
        full_coverage: config.cluster_require_full_coverage,
        tls_cluster: config.tls_cluster,
        announce_ip: config
            .cluster_announce_ip
            .as_deref()
            .and_then(|ip| ip.parse().ok()),
        port: announced(config.cluster_announce_port, real),
        tls_port: announced(config.cluster_announce_tls_port, config.tls_port),
        bus_port: announced(config.cluster_announce_bus_port, state.cluster.bus_port),
        hostname: config.cluster_announce_hostname.clone().unwrap_or_default(),
        nodename: config
            .cluster_announce_human_nodename
            .clone()
            .unwrap_or_default(),
        drop_filter: before.and_then(|options| options.drop_filter),
        close_on_drop: before.is_some_and(|options| options.close_on_drop),
    }
}

/// The machine's clock: milliseconds since some moment, never 0.
pub fn now_ms(state: &State) -> u64 {
    state.clock.monotonic_ns() / 1_000_000 + 1
}

/// The facts of this moment.
pub fn facts(state: &State) -> Facts {
    let link = &state.replication.link;
    let now = state.clock.unix_ms();
    let client = link.client.and_then(|client| state.clients.get(client));
    let sync = match (state.config.is_replica(), client) {
        (false, _) => Sync::Nobody,
        (true, Some(client)) if link.step == Step::Connected => Sync::Up {
            silent_ms: now.saturating_sub(client.active_ms).max(0) as u64,
        },
        (true, _) => {
            // Data that never came is of any age.
            let since_ms = link.down_since_s.unwrap_or(0) * 1000;
            let for_ms = now.saturating_sub(since_ms).max(0) as u64;
            Sync::Down { for_ms }
        }
    };
    Facts {
        now_ms: now_ms(state),
        wall_ms: now.max(0) as u64,
        offset: offset(state),
        sync,
    }
}

/// The position in the replication stream that this node announces: 0 on a replica that has no data set of its primary
/// yet.
#[doc(alias = "replicationGetSlaveOffset")]
pub fn offset(state: &State) -> u64 {
    match state.config.is_replica() && !state.replication.link.has_position() {
        true => 0,
        false => state.replication.offset,
    }
}

/// Whether a client is told TLS ports: it came by TLS. Without a client (`None`), whether the cluster is under TLS.
#[doc(alias = "shouldReturnTlsInfo")]
pub fn wants_tls(state: &State, client: Option<crate::clients::ClientKey>) -> bool {
    use crate::clients::ClientFlags;
    let client = client.and_then(|client| state.clients.get(client));
    match client.filter(|client| !client.flags.has(ClientFlags::FAKE)) {
        Some(client) => client.flags.has(ClientFlags::TLS),
        None => state.config.tls_cluster,
    }
}

/// The endpoint that clients are told to connect to; `None` if they are to keep the address they used.
#[doc(alias = "clusterNodePreferredEndpoint")]
pub fn preferred(config: &Config, ip: String, hostname: &str) -> Option<String> {
    match config.cluster_preferred_endpoint_type {
        EndpointType::Ip => Some(ip),
        EndpointType::Hostname if hostname.is_empty() => Some("?".to_owned()),
        EndpointType::Hostname => Some(hostname.to_owned()),
        EndpointType::UnknownEndpoint => None,
    }
}

/// An address as people write it; nothing if it is unknown.
pub fn ip_text(endpoint: &Endpoint) -> String {
    endpoint.ip.map(|ip| ip.to_string()).unwrap_or_default()
}

/// `endpoint:port` of a node, as MOVED and ASK name it to a client.
pub fn redirection(
    state: &State,
    machine: &Machine,
    node: NodeKey,
    client: Option<crate::clients::ClientKey>,
) -> String {
    let Some(node) = machine.nodes().get(node) else {
        return String::new();
    };
    let port = match wants_tls(state, client) {
        true => node.tls_port,
        false => node.port,
    };
    let ip = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let endpoint = preferred(&state.config, ip, &node.hostname).unwrap_or_default();
    format!("{endpoint}:{port}")
}
