//! Figures for Prometheus: INFO's fields under the names that people's charts use.
//!
//! ```text
//!   GET /metrics ─► metrics_port.rs ── letter ─► data thread: INFO ── text ─► table of names here ─► reply
//! ```
//!
//! The names are those of the exporter that people run beside Redis, so that their charts stay.
//!
//! Mirrors: nothing in Redis.

use std::fmt::Write as _;

pub(super) use super::metrics_port::serve;

#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}
use Kind::{Counter, Gauge};

/// Field of INFO, name here, kind, and what a unit of the field is in units of the name.
const FIGURES: &[(&str, &str, Kind, f64)] = &[
    ("uptime_in_seconds", "uptime_in_seconds", Gauge, 1.0),
    ("connected_clients", "connected_clients", Gauge, 1.0),
    ("maxclients", "config_maxclients", Gauge, 1.0),
    ("blocked_clients", "blocked_clients", Gauge, 1.0),
    ("tracking_clients", "tracking_clients", Gauge, 1.0),
    ("used_memory", "memory_used_bytes", Gauge, 1.0),
    ("used_memory_rss", "memory_used_rss_bytes", Gauge, 1.0),
    ("used_memory_peak", "memory_used_peak_bytes", Gauge, 1.0),
    (
        "used_memory_overhead",
        "memory_used_overhead_bytes",
        Gauge,
        1.0,
    ),
    (
        "used_memory_startup",
        "memory_used_startup_bytes",
        Gauge,
        1.0,
    ),
    (
        "used_memory_dataset",
        "memory_used_dataset_bytes",
        Gauge,
        1.0,
    ),
    (
        "used_memory_scripts",
        "memory_used_scripts_bytes",
        Gauge,
        1.0,
    ),
    ("maxmemory", "memory_max_bytes", Gauge, 1.0),
    (
        "mem_fragmentation_ratio",
        "mem_fragmentation_ratio",
        Gauge,
        1.0,
    ),
    (
        "mem_not_counted_for_evict",
        "mem_not_counted_for_eviction_bytes",
        Gauge,
        1.0,
    ),
    ("mem_clients_normal", "mem_clients_normal", Gauge, 1.0),
    ("mem_clients_slaves", "mem_clients_slaves", Gauge, 1.0),
    (
        "lazyfree_pending_objects",
        "lazyfree_pending_objects",
        Gauge,
        1.0,
    ),
    ("loading", "loading_dump_file", Gauge, 1.0),
    (
        "rdb_changes_since_last_save",
        "rdb_changes_since_last_save",
        Gauge,
        1.0,
    ),
    (
        "rdb_bgsave_in_progress",
        "rdb_bgsave_in_progress",
        Gauge,
        1.0,
    ),
    (
        "rdb_last_save_time",
        "rdb_last_save_timestamp_seconds",
        Gauge,
        1.0,
    ),
    (
        "rdb_last_bgsave_time_sec",
        "rdb_last_bgsave_duration_sec",
        Gauge,
        1.0,
    ),
    ("rdb_last_cow_size", "rdb_last_cow_size_bytes", Gauge, 1.0),
    ("aof_enabled", "aof_enabled", Gauge, 1.0),
    (
        "aof_rewrite_in_progress",
        "aof_rewrite_in_progress",
        Gauge,
        1.0,
    ),
    ("aof_current_size", "aof_current_size_bytes", Gauge, 1.0),
    (
        "total_connections_received",
        "connections_received_total",
        Counter,
        1.0,
    ),
    (
        "rejected_connections",
        "rejected_connections_total",
        Counter,
        1.0,
    ),
    (
        "total_commands_processed",
        "commands_processed_total",
        Counter,
        1.0,
    ),
    (
        "instantaneous_ops_per_sec",
        "instantaneous_ops_per_sec",
        Gauge,
        1.0,
    ),
    (
        "total_net_input_bytes",
        "net_input_bytes_total",
        Counter,
        1.0,
    ),
    (
        "total_net_output_bytes",
        "net_output_bytes_total",
        Counter,
        1.0,
    ),
    (
        "total_reads_processed",
        "total_reads_processed",
        Counter,
        1.0,
    ),
    (
        "total_writes_processed",
        "total_writes_processed",
        Counter,
        1.0,
    ),
    ("expired_keys", "expired_keys_total", Counter, 1.0),
    ("expired_stale_perc", "expired_stale_percentage", Gauge, 1.0),
    ("evicted_keys", "evicted_keys_total", Counter, 1.0),
    ("evicted_clients", "evicted_clients_total", Counter, 1.0),
    (
        "total_eviction_exceeded_time",
        "eviction_exceeded_time_total_seconds",
        Counter,
        1e-3,
    ),
    ("keyspace_hits", "keyspace_hits_total", Counter, 1.0),
    ("keyspace_misses", "keyspace_misses_total", Counter, 1.0),
    ("pubsub_channels", "pubsub_channels", Gauge, 1.0),
    ("pubsub_patterns", "pubsub_patterns", Gauge, 1.0),
    ("latest_fork_usec", "latest_fork_seconds", Gauge, 1e-6),
    ("total_error_replies", "total_error_replies", Counter, 1.0),
    (
        "acl_access_denied_auth",
        "acl_access_denied_auth_total",
        Counter,
        1.0,
    ),
    (
        "acl_access_denied_cmd",
        "acl_access_denied_cmd_total",
        Counter,
        1.0,
    ),
    (
        "acl_access_denied_key",
        "acl_access_denied_key_total",
        Counter,
        1.0,
    ),
    (
        "acl_access_denied_channel",
        "acl_access_denied_channel_total",
        Counter,
        1.0,
    ),
    ("connected_slaves", "connected_slaves", Gauge, 1.0),
    ("master_repl_offset", "master_repl_offset", Gauge, 1.0),
    ("repl_backlog_size", "replication_backlog_bytes", Gauge, 1.0),
    ("used_cpu_sys", "cpu_sys_seconds_total", Counter, 1.0),
    ("used_cpu_user", "cpu_user_seconds_total", Counter, 1.0),
    (
        "used_cpu_sys_main_thread",
        "cpu_sys_main_thread_seconds_total",
        Counter,
        1.0,
    ),
    (
        "used_cpu_user_main_thread",
        "cpu_user_main_thread_seconds_total",
        Counter,
        1.0,
    ),
    ("cluster_enabled", "cluster_enabled", Gauge, 1.0),
];

/// Lines of INFO that hold several figures of one thing: the line's prefix, the label, and the figures as above.
type Family = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str, Kind, f64)],
);

const FAMILIES: &[Family] = &[
    (
        "cmdstat_",
        "cmd",
        &[
            ("calls", "commands_total", Counter, 1.0),
            ("usec", "commands_duration_seconds_total", Counter, 1e-6),
            (
                "rejected_calls",
                "commands_rejected_calls_total",
                Counter,
                1.0,
            ),
            ("failed_calls", "commands_failed_calls_total", Counter, 1.0),
        ],
    ),
    (
        "errorstat_",
        "err",
        &[("count", "errors_total", Counter, 1.0)],
    ),
    (
        "db",
        "db",
        &[
            ("keys", "db_keys", Gauge, 1.0),
            ("expires", "db_keys_expiring", Gauge, 1.0),
            ("avg_ttl", "db_avg_ttl_seconds", Gauge, 1e-3),
        ],
    ),
];

/// Fields that are words: labels of one figure that is always 1.
const WORDS: &[&str] = &[
    "redis_version",
    "oxidis_version",
    "redis_mode",
    "role",
    "os",
    "process_id",
    "run_id",
    "tcp_port",
    "maxmemory_policy",
];

/// INFO's text in the words of Prometheus.
pub(super) fn translate(info: &str) -> String {
    let fields: Vec<(&str, &str)> = info
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.trim_end().split_once(':'))
        .collect();
    let field = |name: &str| {
        fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, v)| *v)
    };
    let mut out = String::from("# TYPE redis_up gauge\nredis_up 1\n");
    let labels: Vec<String> = WORDS
        .iter()
        .filter_map(|name| Some(format!("{name}=\"{}\"", label(field(name)?))))
        .collect();
    let _ = writeln!(
        out,
        "# TYPE redis_instance_info gauge\nredis_instance_info{{{}}} 1",
        labels.join(",")
    );
    for (known, name, kind, unit) in FIGURES {
        if let Some(value) = field(known).and_then(|value| value.parse::<f64>().ok()) {
            declare(&mut out, name, *kind);
            let _ = writeln!(out, "redis_{name} {}", value * unit);
        }
    }
    for (prefix, label_name, figures) in FAMILIES {
        for (part, name, kind, unit) in *figures {
            let mut declared = false;
            for (known, values) in &fields {
                let Some(which) = known.strip_prefix(prefix) else {
                    continue;
                };
                let of_part = |pair: &str| {
                    pair.split_once('=')
                        .filter(|(p, _)| p == part)
                        .map(|(_, v)| v.to_owned())
                };
                let value = values.split(',').find_map(of_part);
                let Some(value) = value.and_then(|value| value.parse::<f64>().ok()) else {
                    continue;
                };
                if !std::mem::replace(&mut declared, true) {
                    declare(&mut out, name, *kind);
                }
                let which = match *label_name {
                    "db" => known,
                    _ => which,
                };
                let which = label(which);
                let _ = writeln!(
                    out,
                    "redis_{name}{{{label_name}=\"{which}\"}} {}",
                    value * unit
                );
            }
        }
    }
    out
}

fn declare(out: &mut String, name: &str, kind: Kind) {
    let kind = match kind {
        Gauge => "gauge",
        Counter => "counter",
    };
    let _ = writeln!(out, "# TYPE redis_{name} {kind}");
}

/// A label's value: what would end it early is escaped.
fn label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_becomes_figures() {
        let text = translate(
            "# Server\r\nredis_version:7.4.0\r\nrole:master\r\nused_memory:1024\r\n\
             total_eviction_exceeded_time:1500\r\n# Commandstats\r\n\
             cmdstat_get:calls=3,usec=2000000,usec_per_call=1.00,rejected_calls=0,failed_calls=1\r\n\
             cmdstat_set:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\r\n\
             errorstat_A\"B:count=2\r\ndb0:keys=5,expires=1,avg_ttl=2500,subexpiry=0\r\n",
        );
        for line in [
            "redis_up 1",
            "redis_instance_info{redis_version=\"7.4.0\",role=\"master\"} 1",
            "# TYPE redis_memory_used_bytes gauge",
            "redis_memory_used_bytes 1024",
            "redis_eviction_exceeded_time_total_seconds 1.5",
            "redis_commands_total{cmd=\"get\"} 3",
            "redis_commands_duration_seconds_total{cmd=\"get\"} 2",
            "redis_errors_total{err=\"A\\\"B\"} 2",
            "redis_db_keys{db=\"db0\"} 5",
            "redis_db_avg_ttl_seconds{db=\"db0\"} 2.5",
        ] {
            assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
        }
        assert_eq!(text.matches("# TYPE redis_commands_total ").count(), 1);
    }
}
