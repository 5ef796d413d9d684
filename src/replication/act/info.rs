//! The section `replication` of INFO: role, link, replicas, backlog.
//!
//! Mirrors: the section "replication" of genRedisInfoString() in server.c. Names and order of the lines are Redis's,
//! because tools parse them.

use std::fmt::Write;

use super::{standing, stream};
use crate::config::Primary;
use crate::replication::Phase;
use crate::replication::link::Step;
use crate::state::State;

/// The lines of INFO's section, in Redis's order.
pub fn describe(state: &State, out: &mut String) {
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{name}:{value}\r\n");
    };
    let (config, replication) = (&state.config, &state.replication);
    let role = if state.config.is_replica() {
        "slave"
    } else {
        "master"
    };
    line("role", &role);
    if let Some(Primary { host, port }) = &config.replicaof {
        let link = &replication.link;
        let now = state.clock.unix_ms();
        let up = link.step == Step::Connected;
        let idle_s = link
            .client
            .and_then(|client| state.clients.get(client))
            .map_or(-1, |client| (now - client.active_ms).max(0) / 1000);
        line("master_host", host);
        line("master_port", port);
        line("master_link_status", &if up { "up" } else { "down" });
        line("master_last_io_seconds_ago", &idle_s);
        line(
            "master_sync_in_progress",
            &u8::from(link.step == Step::Transfer),
        );
        line("slave_read_repl_offset", &standing::received_offset(state));
        line("slave_repl_offset", &replication.offset);
        line("replica_full_sync_buffer_size", &link.buffer.size());
        line("replica_full_sync_buffer_peak", &link.buffer.peak());
        if let (Step::Transfer, Some(transfer)) = (link.step, &link.transfer) {
            let total = transfer.total().map_or(-1, |total| total as i64);
            let left = (total - transfer.read as i64).max(-1);
            let percent = match total {
                1.. => transfer.read as f64 / total as f64 * 100.0,
                _ => 0.0,
            };
            line("master_sync_total_bytes", &total);
            line("master_sync_read_bytes", &transfer.read);
            line("master_sync_left_bytes", &if total < 0 { -1 } else { left });
            line("master_sync_perc", &format_args!("{percent:.2}"));
            line(
                "master_sync_last_io_seconds_ago",
                &((now - link.last_io_ms).max(0) / 1000),
            );
        }
        if !up {
            let down = link
                .down_since_s
                .map_or(-1, |since| state.clock.unix_seconds() - since);
            line("master_link_down_since_seconds", &down);
        }
        line("slave_priority", &config.replica_priority);
        line("slave_read_only", &u8::from(config.replica_read_only));
        line("replica_announced", &u8::from(config.replica_announced));
    }
    let replicas = replication.replicas.iter();
    let replicas: Vec<_> = replicas
        .filter(|replica| !stream::has_main_channel(state, replica.client))
        .collect();
    line("connected_slaves", &replicas.len());
    if config.min_replicas_to_write > 0 && config.min_replicas_max_lag > 0 {
        line("min_slaves_good_slaves", &standing::good_replicas(state));
    }
    let now = state.clock.unix_ms();
    for (i, replica) in replicas.into_iter().enumerate() {
        let Some(client) = state.clients.get(replica.client) else {
            continue;
        };
        let (ip, port) = stream::replica_listens(state, client.key);
        let lag = match replica.phase {
            Phase::Online { .. } => (now / 1000 - replica.acked_ms / 1000).max(0),
            _ => 0,
        };
        let (state, offset) = (replica.phase.name(), replica.acked);
        line(
            &format!("slave{i}"),
            &format_args!("ip={ip},port={port},state={state},offset={offset},lag={lag}"),
        );
    }
    let second = replication.second_offset.map_or(-1, |n| n as i64);
    let (active, first, len) = match &replication.backlog {
        Some(backlog) => (1, backlog.start() + 1, backlog.bytes()),
        None => (0, 0, 0),
    };
    line("master_failover_state", &replication.failover.stage.name());
    line("master_replid", &replication.id);
    line("master_replid2", &replication.id2);
    line("master_repl_offset", &replication.offset);
    line("second_repl_offset", &second);
    line("repl_backlog_active", &active);
    line("repl_backlog_size", &config.repl_backlog_size);
    line("repl_backlog_first_byte_offset", &first);
    line("repl_backlog_histlen", &len);
}
