//! INFO: the server's figures, in sections of `name:value` lines.
//!
//! ```text
//!   INFO                   the sections of "default"
//!   INFO all | everything  those, and the statistics per command
//!   INFO a b …             just these, each once, in the order of the table
//! ```
//!
//! Mirrors: `genRedisInfoString` of server.c, with its fields in its order.
//! Differs: one function per section; where a figure describes what a forkless server does not have (a child, a fork),
//! its name stays and the figure describes the replacement (a snapshot).

use std::fmt::Write;

use super::prelude::*;
use crate::clients::ClientFlags;
use crate::command::table::Entry;
use crate::keyspace;
use crate::keyspace::Kind as KeyKind;
use crate::modules::Module;
use crate::observe::metrics::Metric;
use crate::persistence;
use crate::pubsub::Kind;
use crate::replication;
use crate::shutdown;
use crate::state::{InfoAsked, State};
use crate::sys::process::{self, CpuTime, Whose};
use crate::util::histogram::Histogram;

pub const COMMANDS: &[&Command] = &[&INFO];

type Section = (&'static str, Shown, fn(&State, &mut String));

/// The requests that show a section without naming it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    ByDefault,
    WithAll,
    OnlyNamed,
}

const SECTIONS: &[Section] = &[
    ("Server", Shown::ByDefault, server),
    ("Clients", Shown::ByDefault, clients),
    ("Memory", Shown::ByDefault, memory),
    ("Persistence", Shown::ByDefault, persistence),
    ("Threads", Shown::ByDefault, threads),
    ("Stats", Shown::ByDefault, stats),
    ("Replication", Shown::ByDefault, replication),
    ("CPU", Shown::ByDefault, cpu),
    ("Hotkeys", Shown::ByDefault, hotkeys),
    ("Modules", Shown::ByDefault, modules),
    ("Commandstats", Shown::WithAll, commandstats),
    ("Errorstats", Shown::ByDefault, errorstats),
    ("Latencystats", Shown::WithAll, latencystats),
    ("Cluster", Shown::ByDefault, cluster),
    ("Keyspace", Shown::ByDefault, keyspace),
    ("Keysizes", Shown::WithAll, keysizes),
    ("Debug", Shown::OnlyNamed, debug),
];

/// The sections that look at no key: for callers that ask often, or that cannot trust the data (crash reports).
pub const WITHOUT_KEYS: &[&[u8]] = &[b"default", b"commandstats", b"latencystats", b"debug"];

pub(super) const INFO: Command = Command {
    name: "info",
    arity: Arity::AtLeast(1),
    flags: &[Loading, Stale],
    acl: &[Category::Dangerous],
    args: &[arg::string("section").optional().multiple()],
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the server's figures.",
        ..Docs::BASE
    },
    run: info,
    ..Command::BASE
};

#[doc(alias = "infoCommand")]
fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let names: Vec<&[u8]> = args.collect();
    let text = full_report(ctx.state, &names);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// The sections that a sentinel has.
const SECTIONS_OF_SENTINEL: &[Section] = &[
    ("Server", Shown::ByDefault, server),
    ("Clients", Shown::ByDefault, clients),
    ("Stats", Shown::ByDefault, stats),
    ("CPU", Shown::ByDefault, cpu),
    ("Sentinel", Shown::ByDefault, super::sentinel::info_section),
];

/// The text of INFO for these arguments, sections of modules included: all of those for `everything` and `modules`,
/// otherwise those that are named.
pub fn full_report(state: &mut State, names: &[&[u8]]) -> String {
    let mut text = report(state, names);
    let named = |wanted: &str| {
        names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if state.modules.info.is_empty() || names.is_empty() {
        return text;
    }
    let all = named("everything") || named("modules");
    let asked = InfoAsked {
        names: (!all).then_some(names),
        crash: false,
    };
    let Some(doors) = state.module_doors else {
        return text;
    };
    let more = (doors.info)(state, &asked);
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\r\n");
    }
    text.push_str(&more);
    text
}

/// The text of INFO for these arguments, without the sections of modules.
#[doc(alias = "genRedisInfoString")]
pub fn report(state: &State, names: &[&[u8]]) -> String {
    report_of(SECTIONS, state, names)
}

/// As [`report`], of a sentinel.
pub(super) fn report_of_sentinel(state: &State, names: &[&[u8]]) -> String {
    report_of(SECTIONS_OF_SENTINEL, state, names)
}

fn report_of(sections: &[Section], state: &State, names: &[&[u8]]) -> String {
    let named = |wanted: &str| {
        let wanted = wanted.as_bytes();
        names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
    };
    let all = named("all") || named("everything");
    let default = names.is_empty() || named("default");
    let mut text = String::new();
    for (name, shown, write) in sections {
        let implied = match shown {
            Shown::ByDefault => all || default,
            Shown::WithAll => all,
            Shown::OnlyNamed => false,
        };
        let by_other_name = *name == "Modules" && named("module_list");
        if implied || named(name) || by_other_name {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {name}\r\n");
            write(state, &mut text);
        }
    }
    text
}

/// Appends lines `name:value`. Writing to a string cannot fail.
macro_rules! lines {
    ($out:expr, $($name:literal: $value:expr),* $(,)?) => {
        $( let _ = write!($out, concat!($name, ":{}\r\n"), $value); )*
    };
}

/// INFO without the sections that look at keys, and in lines of the same form further figures for monitoring: limits,
/// the slow log, the latest spike of each event. These further lines are not part of INFO.
pub fn figures(state: &State) -> String {
    let mut text = report(state, WITHOUT_KEYS);
    let out = &mut text;
    let slow = state.slowlog.iter().max_by_key(|entry| entry.id);
    lines!(out,
        "start_time_seconds": state.started_ms / 1000,
        "config_maxmemory": state.config.maxmemory,
        "config_maxclients": state.config.maxclients,
        "config_io_threads": state.config.io_threads,
        "slowlog_length": state.slowlog.len(),
        "slowlog_last_id": slow.map_or(0, |entry| entry.id),
        "last_slow_execution_usec": slow.map_or(0, |entry| entry.duration_us),
    );
    for (event, series) in state.latency.iter() {
        if let Some(last) = series.last() {
            let (time, ms) = (last.time, last.latency_ms);
            let _ = write!(out, "latencyspike_{event}:last={time},ms={ms}\r\n");
        }
    }
    if state.config.cluster_enabled {
        text.push_str(&super::cluster::info_text(state));
    }
    text
}

/// A number shown with two digits after the point.
struct Fixed(f64);

impl std::fmt::Display for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

fn server(state: &State, out: &mut String) {
    let config = &state.config;
    let now_us = state.clock.unix_us();
    let uptime = (state.clock.unix_ms() - state.started_ms) / 1000;
    let supervised = String::from_utf8_lossy(&shown(state, "supervised")).into_owned();
    let executable = std::env::current_exe().unwrap_or_default();
    let file = config.file.clone().unwrap_or_default();
    lines!(out,
        "redis_version": crate::REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": env!("CARGO_PKG_VERSION"),
        "oxidis_version": env!("CARGO_PKG_VERSION"),
        "redis_mode": state.config.mode(),
        "os": process::system_name(),
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": MULTIPLEXING,
        "atomicvar_api": "rust-std",
        "gcc_version": "0.0.0",
        "process_id": std::process::id(),
        "process_supervised": supervised,
        "run_id": state.run_id,
        "tcp_port": if state.tcp_port != 0 { state.tcp_port } else { config.tls_port },
        "server_time_usec": now_us,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "hz": if state.hz > 0 { state.hz } else { config.hz },
        "configured_hz": config.hz,
        "lru_clock": state.clock.unix_seconds() & 0xFF_FFFF,
        "executable": executable.display(),
        "config_file": file.display(),
        "io_threads_active": 0,
    );
    if let Some(ms) = shutdown::act::in_ms(state) {
        let _ = write!(out, "shutdown_in_milliseconds:{ms}\r\n");
    }
    let mut listeners = 0;
    if state.tcp_port != 0 {
        let _ = write!(out, "listener{listeners}:name=tcp");
        for address in &config.bind {
            let _ = write!(out, ",bind={address}");
        }
        let _ = write!(out, ",port={}\r\n", state.tcp_port);
        listeners += 1;
    }
    if let Some(path) = &config.unixsocket {
        let _ = write!(out, "listener{listeners}:name=unix,bind={path}\r\n");
        listeners += 1;
    }
    if config.tls_port != 0 {
        let _ = write!(out, "listener{listeners}:name=tls");
        for address in &config.bind {
            let _ = write!(out, ",bind={address}");
        }
        let _ = write!(out, ",port={}\r\n", config.tls_port);
    }
}

/// A line for each module: whose functions it uses, who uses its own, and the options it set.
#[doc(alias = "genModulesInfoString")]
fn modules(state: &State, out: &mut String) {
    const OPTIONS: [(i32, &str); 3] = [
        (Module::HANDLE_IO_ERRORS, "handle-io-errors"),
        (Module::HANDLE_ASYNC_LOAD, "handle-repl-async-load"),
        (Module::NO_IMPLICIT_SIGNAL, "no-implicit-signal-modified"),
    ];
    let modules = &state.modules;
    for loaded in &modules.loaded {
        let module = &loaded.module;
        let filters = modules.filters.iter();
        let filters = filters
            .filter(|filter| filter.module.id == module.id)
            .count();
        let used = modules.uses.iter().filter(|(user, _)| *user == module.id);
        let used: Vec<&str> = used
            .filter_map(|(_, owner)| modules.loaded.iter().find(|l| l.module.id == *owner))
            .map(|loaded| loaded.module.name.as_str())
            .collect();
        let options = OPTIONS.iter().filter(|(bit, _)| module.has(*bit));
        let options: Vec<&str> = options.map(|(_, name)| *name).collect();
        let _ = write!(
            out,
            "module:name={},ver={},api={},filters={filters},usedby=[{}],using=[{}],options=[{}]\r\n",
            module.name,
            module.version,
            module.api,
            modules.users_of(module.id).join("|"),
            used.join("|"),
            options.join("|"),
        );
    }
}

const MULTIPLEXING: &str = if cfg!(any(target_os = "linux", target_os = "android")) {
    "epoll"
} else {
    "kqueue"
};

/// A configuration value as CONFIG GET shows it.
fn shown(state: &State, name: &str) -> Vec<u8> {
    let option = crate::config::find(name.as_bytes());
    option.map_or_else(Vec::new, |option| option.show(&state.config))
}

/// Figures summed up over all clients.
#[derive(Default)]
struct ClientTotals {
    blocked: usize,
    max_input: usize,
    max_output: usize,
    replicas: usize,
    normal_memory: usize,
    replica_memory: usize,
}

fn client_totals(state: &State) -> ClientTotals {
    let mut totals = ClientTotals::default();
    for client in state.clients.iter() {
        if client.flags.has(ClientFlags::FAKE) {
            continue;
        }
        let has = |flag| usize::from(client.flags.has(flag));
        totals.blocked += has(ClientFlags::BLOCKED) | has(ClientFlags::PAUSED);
        let memory = client.memory(None, 0);
        let (query, room) = client.query_bytes();
        totals.max_input = totals.max_input.max(query + room);
        totals.max_output = totals.max_output.max(memory.output);
        if client.kind() == crate::clients::ClientKind::Replica {
            totals.replicas += 1;
            totals.replica_memory += memory.total;
        } else {
            totals.normal_memory += memory.total;
        }
    }
    totals
}

/// Connections of the cluster's bus: two for each other node.
fn cluster_connections(state: &State) -> usize {
    let machine = state.cluster.machine();
    machine.map_or(0, |machine| 2 * (machine.nodes().len() - 1))
}

fn clients(state: &State, out: &mut String) {
    let totals = client_totals(state);
    lines!(out,
        "connected_clients": state.clients.connected() - totals.replicas,
        "cluster_connections": cluster_connections(state),
        "maxclients": state.config.maxclients,
        "client_recent_max_input_buffer": totals.max_input,
        "client_recent_max_output_buffer": totals.max_output,
        "blocked_clients": totals.blocked,
        "tracking_clients": state.tracking.clients(),
        "pubsub_clients": state.pubsub.clients(),
        "watching_clients": state.watches.clients(),
        "clients_in_timeout_table": state.blocked.with_deadline(),
        "total_watched_keys": state.watches.keys(),
        "total_blocking_keys": state.blocked.keys(),
        "total_blocking_keys_on_nokey": state.blocked.keys_even_without(),
    );
}

/// The figures behind INFO memory, MEMORY STATS and MEMORY DOCTOR, in bytes unless a name says otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryOverview {
    pub used: usize,
    pub peak: usize,
    /// Unix time in seconds of that peak.
    pub peak_time_s: i64,
    pub startup: usize,
    pub resident: usize,
    pub clients_normal: usize,
    pub clients_replicas: usize,
    /// The part of the replication stream that counts as the backlog; `replication_buffers` is all that is kept of it.
    pub backlog: usize,
    pub replication_buffers: usize,
    /// Tables of the databases, by number.
    pub tables: Vec<(u32, usize)>,
    pub keys: usize,
    /// All memory that is not data.
    pub overhead: usize,
    pub dataset: usize,
    pub replicas: usize,
    /// Text of scripts and libraries; the interpreters are not counted, as in Redis.
    pub scripts: usize,
    pub functions: usize,
    /// The interpreters of scripts and of libraries.
    pub interpreters: usize,
    /// Bytes that wait to be written to the append-only file.
    pub aof_buffer: usize,
}

#[doc(alias = "getMemoryOverheadData")]
pub(super) fn memory_overview(state: &State) -> MemoryOverview {
    let used = crate::sys::alloc::used();
    let totals = client_totals(state);
    let dbs = state.keyspace.iter().filter(|db| db.was_used());
    let tables: Vec<(u32, usize)> = dbs.map(|db| (db.id().0, db.mem().table_bytes)).collect();
    let table_bytes: usize = tables.iter().map(|(_, bytes)| bytes).sum();
    let startup = state.initial_memory;
    let scripts = state.scripts.cache_memory();
    let functions = state.scripts.libraries.memory();
    let clients = totals.normal_memory + totals.replica_memory;
    let replication_buffers = state.replication.buffer_memory();
    let backlog = replication_buffers.min(state.config.repl_backlog_size as usize);
    // The part of the stream beyond the backlog is kept for slow replicas, so it counts as theirs.
    let lag = match totals.replicas {
        0 => 0,
        _ => replication_buffers - backlog,
    };
    let aof = &state.persistence.aof;
    let aof_buffer = if aof.is_on() { aof.buffer_memory() } else { 0 };
    let overhead =
        startup + clients + backlog + lag + table_bytes + scripts + functions + aof_buffer;
    MemoryOverview {
        used,
        peak: state.stats.peak_memory.max(used),
        peak_time_s: match used > state.stats.peak_memory {
            true => state.clock.unix_seconds(),
            false => state.stats.peak_memory_s,
        },
        startup,
        resident: match state.resident_bytes {
            0 => process::resident_bytes(),
            sampled => sampled,
        },
        clients_normal: totals.normal_memory,
        clients_replicas: totals.replica_memory + lag,
        backlog,
        replication_buffers,
        tables,
        keys: state.keyspace.keys(),
        overhead,
        dataset: used.saturating_sub(overhead),
        replicas: totals.replicas,
        scripts,
        functions,
        interpreters: state.scripts.eval_memory() + state.scripts.libraries.engine_memory(),
        aof_buffer,
    }
}

impl MemoryOverview {
    /// Share of the data in what was allocated since the start, in percent.
    pub(super) fn dataset_percent(&self) -> f64 {
        let net = self.used.saturating_sub(self.startup).max(1);
        self.dataset as f64 * 100.0 / net as f64
    }

    /// Memory in use now, in percent of the most there ever was.
    pub(super) fn peak_percent(&self) -> f64 {
        self.used as f64 * 100.0 / self.peak.max(1) as f64
    }

    /// Physical memory per byte in use.
    pub(super) fn fragmentation(&self) -> f64 {
        self.resident as f64 / self.used.max(1) as f64
    }

    /// Physical memory beyond what is in use.
    pub(super) fn fragmentation_bytes(&self) -> i64 {
        self.resident as i64 - self.used as i64
    }
}

fn memory(state: &State, out: &mut String) {
    let overview = memory_overview(state);
    let machine = process::machine_bytes();
    let policy = String::from_utf8_lossy(&shown(state, "maxmemory-policy")).into_owned();
    let (used, resident) = (overview.used, overview.resident);
    let maxmemory = state.config.maxmemory as usize;
    let (scripts, libraries) = (&state.scripts, &state.scripts.libraries);
    let (vm_eval, vm_functions) = (scripts.eval_memory(), libraries.engine_memory());
    let scripts_all = scripts.cache_memory() + libraries.memory();
    lines!(out,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": overview.peak,
        "used_memory_peak_human": human(overview.peak),
        "used_memory_peak_time": overview.peak_time_s,
        "used_memory_peak_perc": format_args!("{:.2}%", overview.peak_percent()),
        "used_memory_overhead": overview.overhead,
        "used_memory_startup": overview.startup,
        "used_memory_dataset": overview.dataset,
        "used_memory_dataset_perc": format_args!("{:.2}%", overview.dataset_percent()),
        "allocator_allocated": used,
        "allocator_active": used,
        "allocator_resident": resident,
        "allocator_muzzy": 0,
        "total_system_memory": machine,
        "total_system_memory_human": human(machine),
        "used_memory_lua": vm_eval,
        "used_memory_vm_eval": vm_eval,
        "used_memory_lua_human": human(vm_eval),
        "used_memory_scripts_eval": scripts.cache_memory(),
        "number_of_cached_scripts": scripts.cached(),
        "number_of_functions": libraries.functions(),
        "number_of_libraries": libraries.iter().len(),
        "used_memory_vm_functions": vm_functions,
        "used_memory_vm_total": vm_eval + vm_functions,
        "used_memory_vm_total_human": human(vm_eval + vm_functions),
        "used_memory_functions": libraries.memory(),
        "used_memory_scripts": scripts_all,
        "used_memory_scripts_human": human(scripts_all),
        "maxmemory": maxmemory,
        "maxmemory_human": human(maxmemory),
        "maxmemory_policy": policy,
        "allocator_frag_ratio": Fixed(1.0),
        "allocator_frag_bytes": 0,
        "allocator_rss_ratio": Fixed(overview.fragmentation()),
        "allocator_rss_bytes": overview.fragmentation_bytes(),
        "rss_overhead_ratio": Fixed(1.0),
        "rss_overhead_bytes": 0,
        "mem_fragmentation_ratio": Fixed(overview.fragmentation()),
        "mem_fragmentation_bytes": overview.fragmentation_bytes(),
        "mem_not_counted_for_evict": keyspace::act::evict::not_counted_for_evict(state),
        "mem_replication_backlog": overview.backlog,
        "mem_total_replication_buffers": overview.replication_buffers,
        "mem_replica_full_sync_buffer": state.replication.link.buffer.size(),
        "mem_clients_slaves": overview.clients_replicas,
        "mem_clients_normal": overview.clients_normal,
        "mem_cluster_slot_migration_output_buffer": crate::cluster::act::moving::unsent_bytes(state),
        "mem_cluster_slot_migration_input_buffer": state.cluster.channels.kept_bytes(),
        "mem_cluster_slot_migration_input_buffer_peak": state.cluster.channels.kept_peak,
        "mem_cluster_links": crate::cluster::act::links::memory(state),
        "mem_aof_buffer": overview.aof_buffer,
        "mem_allocator": crate::sys::alloc::name(),
        "mem_overhead_db_hashtable_rehashing": 0,
        "active_defrag_running": 0,
        "lazyfree_pending_objects": state.lazyfree.pending(),
        "lazyfreed_objects": state.stats.lazyfreed_objects,
    );
}

/// Bytes for people: `1.50M`.
#[doc(alias = "bytesToHuman")]
pub(super) fn human(bytes: usize) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut figure = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G", "T", "P"] {
        if figure < 1024.0 {
            return format!("{figure:.2}{unit}");
        }
        figure /= 1024.0;
    }
    format!("{figure:.2}E")
}

fn persistence(state: &State, out: &mut String) {
    for (name, value) in persistence::act::info::describe(state) {
        out.push_str(name);
        out.push(':');
        out.push_str(&value);
        out.push_str("\r\n");
    }
}

/// The thread that serves sockets, which is the one that runs commands.
fn threads(state: &State, out: &mut String) {
    let (clients, stats) = (state.clients.connected(), &state.stats);
    let (reads, writes) = (stats.reads_processed, stats.writes_processed);
    let _ = write!(
        out,
        "io_thread_0:clients={clients},reads={reads},writes={writes}\r\n"
    );
}

fn stats(state: &State, out: &mut String) {
    let stats = &state.stats;
    let metric = |metric| stats.metrics.get(metric);
    let kilobytes = |what| Fixed(metric(what) as f64 / 1024.0);
    let (hits, misses) = state.keyspace.env().hits_and_misses();
    let (exceeded_ms, exceeding_ms) = state.eviction.exceeded_ms(state.clock.monotonic_ns());
    let [denied_command, denied_key, denied_channel, denied_auth] = stats.acl_denied;
    lines!(out,
        "total_connections_received": stats.connections_received,
        "total_commands_processed": stats.commands_processed,
        "instantaneous_ops_per_sec": metric(Metric::Commands),
        "total_net_input_bytes": stats.net_input_bytes + stats.net_repl_input_bytes,
        "total_net_output_bytes": stats.net_output_bytes + stats.net_repl_output_bytes,
        "total_net_repl_input_bytes": stats.net_repl_input_bytes,
        "total_net_repl_output_bytes": stats.net_repl_output_bytes,
        "instantaneous_input_kbps": kilobytes(Metric::Input),
        "instantaneous_output_kbps": kilobytes(Metric::Output),
        "instantaneous_input_repl_kbps": kilobytes(Metric::ReplicationInput),
        "instantaneous_output_repl_kbps": kilobytes(Metric::ReplicationOutput),
        "rejected_connections": stats.connections_rejected,
        "sync_full": stats.sync_full,
        "sync_partial_ok": stats.sync_partial_ok,
        "sync_partial_err": stats.sync_partial_err,
        "expired_subkeys": stats.expired_subkeys,
        "expired_subkeys_active": stats.expired_subkeys_active,
        "expired_keys": stats.expired_keys,
        "expired_keys_active": stats.expired_keys_active,
        "expired_stale_perc": Fixed(stats.expired_stale_perc),
        "expired_time_cap_reached_count": stats.expired_time_cap_reached,
        "expire_cycle_cpu_milliseconds": stats.expire_cycle_us / 1000,
        "evicted_keys": stats.evicted_keys,
        "evicted_clients": stats.evicted_clients,
        "evicted_scripts": stats.evicted_scripts,
        "total_eviction_exceeded_time": exceeded_ms,
        "current_eviction_exceeded_time": exceeding_ms,
        "keyspace_hits": hits,
        "keyspace_misses": misses,
        "pubsub_channels": state.pubsub.len(Kind::Channel),
        "pubsub_patterns": state.pubsub.len(Kind::Pattern),
        "pubsubshard_channels": state.pubsub.len(Kind::Shard),
        "latest_fork_usec": state.persistence.stats.last_snapshot_us,
        "total_forks": stats.snapshots,
        "migrate_cached_sockets": state.peers.len(),
        "slave_expires_tracked_keys": state.replication.own_keys.count(),
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
        "tracking_total_keys": state.tracking.total_keys(),
        "tracking_total_items": state.tracking.total_items(),
        "tracking_total_prefixes": state.tracking.total_prefixes(),
        "unexpected_error_replies": stats.unexpected_error_replies,
        "total_error_replies": stats.error_replies,
        "dump_payload_sanitizations": stats.dump_payload_sanitizations,
        "total_reads_processed": stats.reads_processed,
        "total_writes_processed": stats.writes_processed,
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "io_threaded_total_prefetch_batches": 0,
        "io_threaded_total_prefetch_entries": 0,
        "client_query_buffer_limit_disconnections": stats.query_buffer_disconnections,
        "client_output_buffer_limit_disconnections": stats.output_buffer_disconnections,
        "reply_buffer_shrinks": stats.reply_buffer_shrinks,
        "reply_buffer_expands": stats.reply_buffer_expands,
        "eventloop_cycles": stats.eventloop.count,
        "eventloop_duration_sum": stats.eventloop.sum_us(),
        "eventloop_duration_cmd_sum": stats.eventloop_commands.sum_us(),
        "instantaneous_eventloop_cycles_per_sec": metric(Metric::Cycles),
        "instantaneous_eventloop_duration_usec": metric(Metric::CycleDuration),
        "acl_access_denied_auth": denied_auth,
        "acl_access_denied_cmd": denied_command,
        "acl_access_denied_key": denied_key,
        "acl_access_denied_channel": denied_channel,
        "acl_access_denied_tls_cert": stats.acl_denied_tls_cert,
    );
    if !state.config.cluster_enabled && state.config.cluster_compatibility_sample_ratio > 0 {
        lines!(out, "cluster_incompatible_ops": stats.cluster_incompatible_ops);
    }
}

fn replication(state: &State, out: &mut String) {
    replication::act::info::describe(state, out);
}

fn cpu(_: &State, out: &mut String) {
    let figures = [
        (Whose::Process, ""),
        (Whose::Children, "_children"),
        (Whose::Thread, "_main_thread"),
    ];
    for (whose, suffix) in figures {
        let Some(CpuTime { system, user }) = process::cpu_time(whose) else {
            continue;
        };
        for (name, time) in [("sys", system), ("user", user)] {
            let (seconds, micros) = (time.as_secs(), time.subsec_micros());
            let _ = write!(out, "used_cpu_{name}{suffix}:{seconds}.{micros:06}\r\n");
        }
    }
}

fn commandstats(state: &State, out: &mut String) {
    for Entry { name, stats, .. } in state.commands.iter() {
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            continue;
        }
        let per_call = stats.usec as f64 / stats.calls.max(1) as f64;
        let _ = write!(
            out,
            "cmdstat_{}:calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},\
             failed_calls={}\r\n",
            safe(name),
            stats.calls,
            stats.usec,
            stats.rejected,
            stats.failed
        );
    }
}

/// Replaces characters that would break a line of INFO.
#[doc(alias = "getSafeInfoString")]
fn safe(name: &str) -> String {
    let unsafe_in_info = |c: char| "#:\n\r".contains(c);
    name.replace(unsafe_in_info, "_")
}

fn errorstats(state: &State, out: &mut String) {
    for (code, count) in &state.stats.errors {
        let _ = write!(out, "errorstat_{}:count={count}\r\n", safe(code));
    }
}

fn latencystats(state: &State, out: &mut String) {
    if !state.config.latency_tracking {
        return;
    }
    for entry in state.commands.iter() {
        if let Some(latencies) = &entry.stats.latencies {
            let figures = percentiles(state, latencies);
            let name = safe(&entry.name);
            let _ = write!(out, "latency_percentiles_usec_{name}:{figures}\r\n");
        }
    }
}

#[doc(alias = "fillPercentileDistributionLatencies")]
fn percentiles(state: &State, latencies: &Histogram) -> String {
    let wanted = &state.config.latency_tracking_info_percentiles;
    let figure = |percentile: &f64| {
        let microseconds = latencies.percentile(*percentile) as f64 / 1000.0;
        format!("p{percentile}={microseconds:.3}")
    };
    wanted.iter().map(figure).collect::<Vec<_>>().join(",")
}

fn cluster(state: &State, out: &mut String) {
    lines!(out, "cluster_enabled": u8::from(state.config.cluster_enabled));
}

fn keyspace(state: &State, out: &mut String) {
    let now = state.clock.unix_ms();
    for db in state.keyspace.iter().filter(|db| !db.is_empty()) {
        let _ = write!(
            out,
            "db{}:keys={},expires={},avg_ttl={},subexpiry={}\r\n",
            db.id().0,
            db.len(),
            db.volatile_len(),
            db.avg_ttl_ms(now),
            db.hashes_with_deadlines()
        );
    }
}

/// How large values are, by type: for each power of two, how many have that size or up to the next. No counters are
/// kept for this: keys are looked at for 10 ms at most, and the seen ones stand for the others.
#[doc(alias = "dbGenKeysizesHistogram")]
fn keysizes(state: &State, out: &mut String) {
    const TIME_NS: u64 = 10_000_000;
    const BATCH: usize = 512;
    const TYPES: [(KeyKind, &str); 5] = [
        (KeyKind::String, "strings_sizes"),
        (KeyKind::List, "lists_items"),
        (KeyKind::Set, "sets_items"),
        (KeyKind::Zset, "zsets_items"),
        (KeyKind::Hash, "hashes_items"),
    ];
    let start_ns = state.clock.monotonic_ns();
    for db in state.keyspace.iter().filter(|db| !db.is_empty()) {
        // Bin 0 is size 0, bin n sizes of n bits.
        let mut bins = [[0u64; usize::BITS as usize + 1]; TYPES.len()];
        let mut seen = 0;
        for entry in db.iter() {
            let kind = entry.kind();
            if let Some(i) = TYPES.iter().position(|(known, _)| *known == kind) {
                let bits = usize::BITS - entry.size().leading_zeros();
                bins[i][bits as usize] += 1;
            }
            seen += 1;
            if seen % BATCH == 0 && state.clock.monotonic_ns() - start_ns > TIME_NS {
                break;
            }
        }
        for ((_, name), bins) in TYPES.iter().zip(&bins) {
            let filled = bins.iter().enumerate().filter(|(_, count)| **count > 0);
            let shown = filled.map(|(bits, count)| {
                let size = (1u64 << bits) >> 1;
                // Exact when all keys were seen.
                let count = u128::from(*count) * db.len() as u128 / seen as u128;
                format!("{}={count}", power(size))
            });
            let shown: Vec<String> = shown.collect();
            if !shown.is_empty() {
                let _ = write!(
                    out,
                    "db{}_distrib_{name}:{}\r\n",
                    db.id().0,
                    shown.join(",")
                );
            }
        }
    }
}

/// Formats a power of two in the largest unit that fits: 2048 is `2K`.
fn power(size: u64) -> String {
    const UNITS: [(u32, &str); 6] = [
        (60, "E"),
        (50, "P"),
        (40, "T"),
        (30, "G"),
        (20, "M"),
        (10, "K"),
    ];
    match UNITS.iter().find(|(shift, _)| size >> shift > 0) {
        Some((shift, unit)) => format!("{}{unit}", size >> shift),
        None => size.to_string(),
    }
}

fn hotkeys(state: &State, out: &mut String) {
    let Some(session) = &state.hotkeys else {
        return;
    };
    lines!(out,
        "tracking_active": u8::from(session.ended_ms.is_none()),
        "used_memory": session.memory(),
    );
}

fn debug(state: &State, out: &mut String) {
    let stats = &state.stats;
    lines!(out,
        "eventloop_duration_aof_sum": stats.eventloop_aof.sum_us(),
        "eventloop_duration_cron_sum": stats.eventloop_cron.sum_us(),
        "eventloop_duration_max": stats.eventloop.max_us(),
        "eventloop_cmd_per_cycle_max": stats.commands_per_cycle_max,
        "allocator_allocated_lua": 0,
        "allocator_active_lua": 0,
        "allocator_resident_lua": 0,
        "allocator_frag_bytes_lua": 0,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let shown = [0, 1023, 1024, 1 << 20, 1_610_612_736].map(human);
        assert_eq!(shown, ["0B", "1023B", "1.00K", "1.00M", "1.50G"]);
    }
}
