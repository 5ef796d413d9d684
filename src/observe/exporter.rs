//! INFO in the words of Prometheus, under the names of the exporter that people run beside Redis.
//!
//! ```text
//!   used_memory:1024                         redis_memory_used_bytes 1024
//!   rdb_last_bgsave_status:ok        ──►     redis_rdb_last_bgsave_status 1
//!   cmdstat_get:calls=3,usec=2000            redis_commands_total{cmd="get"} 3
//! ```
//!
//! The table below is the list of all figures: a name that charts and alerts rely on is a line of it. It says which
//! field of INFO a figure comes from, whether it only grows, and what a unit of the field is in units of the name.
//! Figures that INFO does not have (the slow log, limits, the moment of the start) are lines that
//! `figures` of `commands/info.rs` adds.
//!
//! Mirrors: nothing in Redis. Names and kinds are those of redis_exporter, where it has one.

use std::fmt::Write;

/// `name kind field`, and the factor where it is not 1. A counter never falls but when the server starts anew.
const FIGURES: &str = "\
uptime_in_seconds                       gauge   uptime_in_seconds
start_time_seconds                      gauge   start_time_seconds
process_id                              gauge   process_id
io_threads_active                       gauge   io_threads_active
config_maxmemory                        gauge   config_maxmemory
config_maxclients                       gauge   config_maxclients
config_io_threads                       gauge   config_io_threads
connected_clients                       gauge   connected_clients
max_clients                             gauge   maxclients
blocked_clients                         gauge   blocked_clients
tracking_clients                        gauge   tracking_clients
pubsub_clients                          gauge   pubsub_clients
watching_clients                        gauge   watching_clients
clients_in_timeout_table                gauge   clients_in_timeout_table
total_watched_keys                      gauge   total_watched_keys
total_blocking_keys                     gauge   total_blocking_keys
total_blocking_keys_on_nokey            gauge   total_blocking_keys_on_nokey
client_recent_max_output_buffer_bytes   gauge   client_recent_max_output_buffer
client_recent_max_input_buffer_bytes    gauge   client_recent_max_input_buffer
allocator_active_bytes                  gauge   allocator_active
allocator_allocated_bytes               gauge   allocator_allocated
allocator_resident_bytes                gauge   allocator_resident
allocator_muzzy_bytes                   gauge   allocator_muzzy
allocator_frag_ratio                    gauge   allocator_frag_ratio
allocator_frag_bytes                    gauge   allocator_frag_bytes
allocator_rss_ratio                     gauge   allocator_rss_ratio
allocator_rss_bytes                     gauge   allocator_rss_bytes
memory_used_bytes                       gauge   used_memory
memory_used_rss_bytes                   gauge   used_memory_rss
memory_used_peak_bytes                  gauge   used_memory_peak
memory_used_lua_bytes                   gauge   used_memory_lua
memory_used_vm_eval_bytes               gauge   used_memory_vm_eval
memory_used_scripts_eval_bytes          gauge   used_memory_scripts_eval
memory_used_vm_functions_bytes          gauge   used_memory_vm_functions
memory_used_vm_total_bytes              gauge   used_memory_vm_total
memory_used_functions_bytes             gauge   used_memory_functions
memory_used_overhead_bytes              gauge   used_memory_overhead
memory_used_startup_bytes               gauge   used_memory_startup
memory_used_dataset_bytes               gauge   used_memory_dataset
memory_used_scripts_bytes               gauge   used_memory_scripts
number_of_cached_scripts                gauge   number_of_cached_scripts
number_of_functions                     gauge   number_of_functions
number_of_libraries                     gauge   number_of_libraries
memory_max_bytes                        gauge   maxmemory
total_system_memory_bytes               gauge   total_system_memory
mem_fragmentation_ratio                 gauge   mem_fragmentation_ratio
mem_fragmentation_bytes                 gauge   mem_fragmentation_bytes
mem_clients_slaves                      gauge   mem_clients_slaves
mem_clients_normal                      gauge   mem_clients_normal
mem_cluster_links_bytes                 gauge   mem_cluster_links
mem_aof_buffer_bytes                    gauge   mem_aof_buffer
mem_replication_backlog_bytes           gauge   mem_replication_backlog
mem_total_replication_buffers_bytes     gauge   mem_total_replication_buffers
mem_not_counted_for_eviction_bytes      gauge   mem_not_counted_for_evict
lazyfree_pending_objects                gauge   lazyfree_pending_objects
lazyfreed_objects                       gauge   lazyfreed_objects
active_defrag_running                   gauge   active_defrag_running
migrate_cached_sockets_total            gauge   migrate_cached_sockets
defrag_hits                             gauge   active_defrag_hits
defrag_misses                           gauge   active_defrag_misses
defrag_key_hits                         gauge   active_defrag_key_hits
defrag_key_misses                       gauge   active_defrag_key_misses
loading_dump_file                       gauge   loading
async_loading                           gauge   async_loading
rdb_changes_since_last_save             gauge   rdb_changes_since_last_save
rdb_bgsave_in_progress                  gauge   rdb_bgsave_in_progress
rdb_last_save_timestamp_seconds         gauge   rdb_last_save_time
rdb_last_bgsave_status                  gauge   rdb_last_bgsave_status
rdb_last_bgsave_duration_sec            gauge   rdb_last_bgsave_time_sec
rdb_current_bgsave_duration_sec         gauge   rdb_current_bgsave_time_sec
rdb_saves_total                         counter rdb_saves
rdb_saves_consecutive_failures          gauge   rdb_saves_consecutive_failures
rdb_last_cow_size_bytes                 gauge   rdb_last_cow_size
rdb_last_load_expired_keys              gauge   rdb_last_load_keys_expired
rdb_last_load_loaded_keys               gauge   rdb_last_load_keys_loaded
aof_enabled                             gauge   aof_enabled
aof_rewrite_in_progress                 gauge   aof_rewrite_in_progress
aof_rewrite_scheduled                   gauge   aof_rewrite_scheduled
aof_last_rewrite_duration_sec           gauge   aof_last_rewrite_time_sec
aof_current_rewrite_duration_sec        gauge   aof_current_rewrite_time_sec
aof_last_bgrewrite_status               gauge   aof_last_bgrewrite_status
aof_last_write_status                   gauge   aof_last_write_status
aof_last_cow_size_bytes                 gauge   aof_last_cow_size
aof_current_size_bytes                  gauge   aof_current_size
aof_base_size_bytes                     gauge   aof_base_size
aof_pending_rewrite                     gauge   aof_pending_rewrite
aof_buffer_length                       gauge   aof_buffer_length
aof_pending_bio_fsync                   gauge   aof_pending_bio_fsync
aof_delayed_fsync                       gauge   aof_delayed_fsync
module_fork_in_progress                 gauge   module_fork_in_progress
module_fork_last_cow_size               gauge   module_fork_last_cow_size
current_cow_peak_bytes                  gauge   current_cow_peak
current_cow_size_bytes                  gauge   current_cow_size
current_cow_size_age                    gauge   current_cow_size_age
current_fork_perc                       gauge   current_fork_perc
current_save_keys_processed             gauge   current_save_keys_processed
current_save_keys_total                 gauge   current_save_keys_total
connections_received_total              counter total_connections_received
rejected_connections_total              counter rejected_connections
commands_processed_total                counter total_commands_processed
instantaneous_ops_per_sec               gauge   instantaneous_ops_per_sec
instantaneous_input_kbps                gauge   instantaneous_input_kbps
instantaneous_output_kbps               gauge   instantaneous_output_kbps
net_input_bytes_total                   counter total_net_input_bytes
net_output_bytes_total                  counter total_net_output_bytes
net_repl_input_bytes_total              counter total_net_repl_input_bytes
net_repl_output_bytes_total             counter total_net_repl_output_bytes
expired_subkeys_total                   counter expired_subkeys
expired_keys_total                      counter expired_keys
expired_stale_percentage                gauge   expired_stale_perc
expired_time_cap_reached_total          counter expired_time_cap_reached_count
expire_cycle_cpu_time_ms_total          counter expire_cycle_cpu_milliseconds
evicted_keys_total                      counter evicted_keys
evicted_clients_total                   counter evicted_clients
evicted_scripts_total                   counter evicted_scripts
eviction_exceeded_time_total_seconds    counter total_eviction_exceeded_time 1e-3
current_eviction_exceeded_time_ms       gauge   current_eviction_exceeded_time
keyspace_hits_total                     counter keyspace_hits
keyspace_misses_total                   counter keyspace_misses
pubsub_channels                         gauge   pubsub_channels
pubsub_patterns                         gauge   pubsub_patterns
pubsubshard_channels                    gauge   pubsubshard_channels
latest_fork_usec                        gauge   latest_fork_usec
latest_fork_seconds                     gauge   latest_fork_usec 1e-6
tracking_total_keys                     gauge   tracking_total_keys
tracking_total_items                    gauge   tracking_total_items
tracking_total_prefixes                 gauge   tracking_total_prefixes
unexpected_error_replies                counter unexpected_error_replies
total_error_replies                     counter total_error_replies
dump_payload_sanitizations              counter dump_payload_sanitizations
total_reads_processed                   counter total_reads_processed
total_writes_processed                  counter total_writes_processed
io_threaded_reads_processed             counter io_threaded_reads_processed
io_threaded_writes_processed            counter io_threaded_writes_processed
client_query_buffer_limit_disconnections_total  counter client_query_buffer_limit_disconnections
client_output_buffer_limit_disconnections_total counter client_output_buffer_limit_disconnections
reply_buffer_shrinks                    counter reply_buffer_shrinks
reply_buffer_expands                    counter reply_buffer_expands
eventloop_cycles                        counter eventloop_cycles
eventloop_duration_sum                  counter eventloop_duration_sum
eventloop_duration_cmd_sum              counter eventloop_duration_cmd_sum
instantaneous_eventloop_cycles_per_sec  gauge   instantaneous_eventloop_cycles_per_sec
instantaneous_eventloop_duration_usec   gauge   instantaneous_eventloop_duration_usec
acl_access_denied_auth_total            counter acl_access_denied_auth
acl_access_denied_cmd_total             counter acl_access_denied_cmd
acl_access_denied_key_total             counter acl_access_denied_key
acl_access_denied_channel_total         counter acl_access_denied_channel
connected_slaves                        gauge   connected_slaves
replication_backlog_bytes               gauge   repl_backlog_size
repl_backlog_is_active                  gauge   repl_backlog_active
repl_backlog_first_byte_offset          gauge   repl_backlog_first_byte_offset
repl_backlog_history_bytes              gauge   repl_backlog_histlen
master_repl_offset                      gauge   master_repl_offset
second_repl_offset                      gauge   second_repl_offset
slave_expires_tracked_keys              gauge   slave_expires_tracked_keys
slave_priority                          gauge   slave_priority
replica_resyncs_full                    gauge   sync_full
replica_partial_resync_accepted         gauge   sync_partial_ok
replica_partial_resync_denied           gauge   sync_partial_err
cpu_sys_seconds_total                   counter used_cpu_sys
cpu_user_seconds_total                  counter used_cpu_user
cpu_sys_children_seconds_total          counter used_cpu_sys_children
cpu_user_children_seconds_total         counter used_cpu_user_children
cpu_sys_main_thread_seconds_total       counter used_cpu_sys_main_thread
cpu_user_main_thread_seconds_total      counter used_cpu_user_main_thread
cluster_enabled                         gauge   cluster_enabled
cluster_state                           gauge   cluster_state
cluster_slots_assigned                  gauge   cluster_slots_assigned
cluster_slots_ok                        gauge   cluster_slots_ok
cluster_slots_pfail                     gauge   cluster_slots_pfail
cluster_slots_fail                      gauge   cluster_slots_fail
cluster_known_nodes                     gauge   cluster_known_nodes
cluster_size                            gauge   cluster_size
cluster_current_epoch                   gauge   cluster_current_epoch
cluster_my_epoch                        gauge   cluster_my_epoch
cluster_messages_sent_total             gauge   cluster_stats_messages_sent
cluster_messages_received_total         gauge   cluster_stats_messages_received
slowlog_length                          gauge   slowlog_length
slowlog_last_id                         gauge   slowlog_last_id
last_slow_execution_duration_seconds    gauge   last_slow_execution_usec 1e-6
";

/// Figures of which there are several, told apart by a label: `name kind prefix-of-the-field label part`, and the
/// factor. The rest of the field's name is the label's value.
const FAMILIES: &str = "\
commands_total                          counter cmdstat_   cmd calls
commands_duration_seconds_total         counter cmdstat_   cmd usec 1e-6
commands_rejected_calls_total           counter cmdstat_   cmd rejected_calls
commands_failed_calls_total             counter cmdstat_   cmd failed_calls
errors_total                            counter errorstat_ err count
db_keys                                 gauge   db         db  keys
db_keys_expiring                        gauge   db         db  expires
db_avg_ttl_seconds                      gauge   db         db  avg_ttl 1e-3
latency_spike_last                      gauge   latencyspike_ event_name last
latency_spike_duration_seconds          gauge   latencyspike_ event_name ms 1e-3
";

/// Figures about the link of a replica to its primary, labelled with where that is.
const LINK: &str = "\
master_link_up                          gauge   master_link_status
master_last_io_seconds_ago              gauge   master_last_io_seconds_ago
master_sync_in_progress                 gauge   master_sync_in_progress
slave_repl_offset                       gauge   slave_repl_offset
";

/// Fields that are words: labels of one figure that is always 1.
const WORDS: &[&str] = &[
    "redis_version",
    "redis_build_id",
    "oxidis_version",
    "redis_mode",
    "role",
    "os",
    "process_id",
    "run_id",
    "tcp_port",
    "maxmemory_policy",
];

/// A line of a table, cut into its words; the number at its end, if there is one, is the factor.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = ([&'static str; N], f64)> {
    table.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let mut row = [""; N];
        for word in &mut row {
            *word = words.next()?;
        }
        let factor = words.next().map_or(Some(1.0), |word| word.parse().ok())?;
        Some((row, factor))
    })
}

/// The fields of INFO, by name.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn of(info: &'a str) -> Self {
        let lines = info.lines().filter(|line| !line.starts_with('#'));
        Fields(
            lines
                .filter_map(|line| line.trim_end().split_once(':'))
                .collect(),
        )
    }

    fn word(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.word(name).and_then(figure)
    }
}

/// A number, or a word that stands for one.
fn figure(text: &str) -> Option<f64> {
    match text {
        "ok" | "up" => Some(1.0),
        "err" | "fail" | "down" => Some(0.0),
        number => number.parse().ok(),
    }
}

/// INFO's text as Prometheus reads it. A field that is not there is left out.
pub fn translate(info: &str) -> String {
    let fields = Fields::of(info);
    let mut out = String::with_capacity(16 << 10);
    one(&mut out, "up", "gauge", "", 1.0);
    one(
        &mut out,
        "exporter_last_scrape_error",
        "gauge",
        "{err=\"\"}",
        0.0,
    );
    let words = WORDS
        .iter()
        .filter_map(|name| Some(format!("{name}=\"{}\"", label(fields.word(name)?))));
    let labels = words.collect::<Vec<_>>().join(",");
    one(
        &mut out,
        "instance_info",
        "gauge",
        &format!("{{{labels}}}"),
        1.0,
    );
    for ([name, kind, field], factor) in rows(FIGURES) {
        if let Some(value) = fields.figure(field) {
            one(&mut out, name, kind, "", value * factor);
        }
    }
    for ([name, kind, prefix, label_name, part], factor) in rows(FAMILIES) {
        family(
            &mut out,
            &fields,
            name,
            kind,
            (prefix, label_name, part),
            factor,
        );
    }
    replication(&mut out, &fields);
    out
}

/// A figure that stands alone; `labels` in braces, or nothing.
fn one(out: &mut String, name: &str, kind: &str, labels: &str, value: f64) {
    declare(out, name, kind);
    sample(out, name, labels, value);
}

fn declare(out: &mut String, name: &str, kind: &str) {
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "# TYPE redis_{name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &str, value: f64) {
    let _ = writeln!(out, "redis_{name}{labels} {value}");
}

/// The value of `part` in `part=1,other=2`.
fn part_of<'a>(values: &'a str, part: &str) -> Option<&'a str> {
    let pairs = values.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .into_iter()
        .find_map(|(name, value)| (name == part).then_some(value))
}

fn family(
    out: &mut String,
    fields: &Fields<'_>,
    name: &str,
    kind: &str,
    (prefix, label_name, part): (&str, &str, &str),
    factor: f64,
) {
    let mut declared = false;
    for (field, values) in &fields.0 {
        let Some(which) = field.strip_prefix(prefix) else {
            continue;
        };
        let Some(value) = part_of(values, part).and_then(figure) else {
            continue;
        };
        if !std::mem::replace(&mut declared, true) {
            declare(out, name, kind);
        }
        // Databases go by their whole name.
        let which = if label_name == "db" { field } else { which };
        let labels = format!("{{{label_name}=\"{}\"}}", label(which));
        sample(out, name, &labels, value * factor);
    }
}

/// The links of a replica to its primary, and of a primary to its replicas.
fn replication(out: &mut String, fields: &Fields<'_>) {
    if let (Some(host), Some(port)) = (fields.word("master_host"), fields.word("master_port")) {
        let labels = format!(
            "master_host=\"{}\",master_port=\"{}\"",
            label(host),
            label(port)
        );
        for ([name, kind, field], factor) in rows(LINK) {
            if let Some(value) = fields.figure(field) {
                one(out, name, kind, &format!("{{{labels}}}"), value * factor);
            }
        }
        let read_only = label(fields.word("slave_read_only").unwrap_or_default());
        let labels = format!("{{{labels},read_only=\"{read_only}\"}}");
        one(out, "slave_info", "gauge", &labels, 1.0);
    }
    let replicas = |field: &&(&str, &str)| {
        let number = field.0.strip_prefix("slave");
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    for (name, part) in [
        ("connected_slave_offset_bytes", "offset"),
        ("connected_slave_lag_seconds", "lag"),
    ] {
        let mut declared = false;
        for (_, values) in fields.0.iter().filter(replicas) {
            let word = |name| label(part_of(values, name).unwrap_or_default());
            let Some(value) = part_of(values, part).and_then(figure) else {
                continue;
            };
            if !std::mem::replace(&mut declared, true) {
                declare(out, name, "gauge");
            }
            let labels = format!(
                "{{slave_ip=\"{}\",slave_port=\"{}\",slave_state=\"{}\"}}",
                word("ip"),
                word("port"),
                word("state")
            );
            sample(out, name, &labels, value);
        }
    }
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
             total_eviction_exceeded_time:1500\r\nrdb_last_bgsave_status:err\r\n\
             aof_last_write_status:ok\r\n# Commandstats\r\n\
             cmdstat_get:calls=3,usec=2000000,usec_per_call=1.00,rejected_calls=0,failed_calls=1\r\n\
             cmdstat_set:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\r\n\
             errorstat_A\"B:count=2\r\ndb0:keys=5,expires=1,avg_ttl=2500,subexpiry=0\r\n\
             slave0:ip=::1,port=7000,state=online,offset=14,lag=1\r\n\
             master_host:h\r\nmaster_port:1\r\nmaster_link_status:down\r\nslave_read_only:1\r\n\
             latencyspike_command:last=1700000000,ms=250\r\n",
        );
        for line in [
            "redis_up 1",
            "redis_instance_info{redis_version=\"7.4.0\",role=\"master\"} 1",
            "# TYPE redis_memory_used_bytes gauge",
            "redis_memory_used_bytes 1024",
            "redis_eviction_exceeded_time_total_seconds 1.5",
            "redis_rdb_last_bgsave_status 0",
            "redis_aof_last_write_status 1",
            "redis_commands_total{cmd=\"get\"} 3",
            "redis_commands_duration_seconds_total{cmd=\"get\"} 2",
            "redis_errors_total{err=\"A\\\"B\"} 2",
            "redis_db_keys{db=\"db0\"} 5",
            "redis_db_avg_ttl_seconds{db=\"db0\"} 2.5",
            "redis_connected_slave_lag_seconds{slave_ip=\"::1\",slave_port=\"7000\",slave_state=\"online\"} 1",
            "redis_master_link_up{master_host=\"h\",master_port=\"1\"} 0",
            "redis_slave_info{master_host=\"h\",master_port=\"1\",read_only=\"1\"} 1",
            "redis_latency_spike_last{event_name=\"command\"} 1700000000",
            "redis_latency_spike_duration_seconds{event_name=\"command\"} 0.25",
        ] {
            assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
        }
        assert_eq!(text.matches("# TYPE redis_commands_total ").count(), 1);
    }

    #[test]
    fn the_tables_are_well_formed_and_name_nothing_twice() {
        let mut names = std::collections::BTreeSet::new();
        let single = rows::<3>(FIGURES).chain(rows::<3>(LINK));
        let single = single.map(|([name, kind, _], _)| (name, kind));
        let families = rows::<5>(FAMILIES).map(|([name, kind, ..], _)| (name, kind));
        for (name, kind) in single.chain(families) {
            assert!(matches!(kind, "gauge" | "counter"), "{name}: {kind}");
            assert!(names.insert(name), "{name} twice");
        }
        let written = [FIGURES, FAMILIES, LINK].map(|table| table.lines().count());
        assert_eq!(
            names.len(),
            written.iter().sum::<usize>(),
            "each line is understood"
        );
    }
}
