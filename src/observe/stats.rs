//! Counters of INFO's section `stats`. CONFIG RESETSTAT sets most of them back.
//!
//! Mirrors: the `stat_*` fields of server.h, resetServerStats() of server.c, incrementErrorCount() of networking.c.
//! Differs: kinds of errors are bounded as in Redis, by number and by the length of a code.

use std::collections::BTreeMap;

use super::metrics::{Durations, Metrics};
use crate::resp::Error;

/// Kinds of errors counted before counting stops (a client could invent codes through scripts).
const ERROR_KINDS_MAX: usize = 128;
/// Longest code of an error.
const ERROR_CODE_MAX: usize = 30;

/// Counters of a server.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections_received: u64,
    /// Connections refused, over `maxclients`.
    pub connections_rejected: u64,
    /// Commands run.
    pub commands_processed: u64,
    /// Bytes read from and written to clients.
    pub net_input_bytes: u64,
    /// Bytes written to clients.
    pub net_output_bytes: u64,
    /// Bytes read from and written to replication links.
    pub net_repl_input_bytes: u64,
    /// Bytes written to replicas.
    pub net_repl_output_bytes: u64,
    /// Keys that expired.
    pub expired_keys: u64,
    /// Hash fields that expired.
    pub expired_subkeys: u64,
    /// Hash fields of [`Stats::expired_subkeys`] that the active expire cycle found.
    pub expired_subkeys_active: u64,
    /// Keys of [`Stats::expired_keys`] that the active expire cycle found.
    pub expired_keys_active: u64,
    /// Requests that a cluster would refuse: of several slots, of another database than 0, scripts flagged `no-cluster`.
    /// Slots are looked at in a sample of requests (`cluster-compatibility-sample-ratio`).
    pub cluster_incompatible_ops: u64,
    /// Active expire cycles that ran out of time.
    pub expired_time_cap_reached: u64,
    /// Microseconds spent in active expire cycles.
    pub expire_cycle_us: u64,
    /// Estimated share of the volatile keys that are past their deadline and still there, in percent.
    pub expired_stale_perc: f64,
    /// Keys that were evicted.
    pub evicted_keys: u64,
    /// Clients that were evicted (`maxmemory-clients`).
    pub evicted_clients: u64,
    /// Scripts dropped from the cache.
    pub evicted_scripts: u64,
    /// Errors by their first word.
    pub errors: BTreeMap<String, u64>,
    /// Errors in all.
    pub error_replies: u64,
    /// The counters that were given up when there were too many kinds; the log gets them, and then they are dropped.
    pub errors_dropped: BTreeMap<String, u64>,
    /// Set once more than a bound of kinds appeared; counting by kind stops.
    pub errors_disabled: bool,
    /// Objects freed on helper threads.
    pub lazyfreed_objects: u64,
    /// Clients closed over `client-query-buffer-limit`.
    pub query_buffer_disconnections: u64,
    /// Clients closed over `client-output-buffer-limit`.
    pub output_buffer_disconnections: u64,
    /// Replies and requests processed, for INFO.
    pub reads_processed: u64,
    /// Writes processed.
    pub writes_processed: u64,
    /// Turns of the event loop, polling not counted.
    pub eventloop: Durations,
    /// Commands that are not part of another one.
    pub eventloop_commands: Durations,
    /// Turns of the cron.
    pub eventloop_cron: Durations,
    /// Writes of the append-only file.
    pub eventloop_aof: Durations,
    /// Most commands in one turn of the loop.
    pub commands_per_cycle_max: u64,
    /// Figures per second.
    pub metrics: Metrics,
    /// Most memory ever used.
    pub peak_memory: usize,
    /// Unix time in seconds when that was.
    pub peak_memory_s: i64,
    /// ACL denials: commands, keys, channels, authentication.
    pub acl_denied: [u64; 4],
    /// TLS clients whose certificate names no user that could be taken.
    pub acl_denied_tls_cert: u64,
    /// Snapshots started (`total_forks`).
    pub snapshots: u64,
    /// Full resyncs served.
    pub sync_full: u64,
    /// Partial resyncs served.
    pub sync_partial_ok: u64,
    /// Errors sent to our primary or to replicas.
    pub unexpected_error_replies: u64,
    /// Partial resyncs refused.
    pub sync_partial_err: u64,
    /// RESTORE payloads checked deeply.
    pub dump_payload_sanitizations: u64,
    /// Reply buffers grown.
    pub reply_buffer_expands: u64,
    /// Reply buffers shrunk.
    pub reply_buffer_shrinks: u64,
}

impl Stats {
    /// Counts an error reply under its code.
    pub fn count_error(&mut self, error: &Error) {
        if *error != Error::AlreadySaid {
            self.count_error_text(&error.to_string());
        }
    }

    /// Counts an error by its text: the first word, if it is short, is its code.
    #[doc(alias = "afterErrorReply")]
    pub fn count_error_text(&mut self, text: &str) {
        match text.split_once(' ') {
            Some((code, _)) if code.len() <= ERROR_CODE_MAX => self.count_error_code(code),
            _ => self.count_error_code("ERR"),
        }
    }

    /// Counts an error by its code. Too many kinds, and counting by kind ends until CONFIG RESETSTAT.
    #[doc(alias = "incrementErrorCount")]
    pub fn count_error_code(&mut self, code: &str) {
        self.error_replies += 1;
        if self.errors_disabled {
            return;
        }
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < ERROR_KINDS_MAX {
            self.errors.insert(code.to_owned(), 1);
        } else {
            self.errors_disabled = true;
            self.errors_dropped = std::mem::take(&mut self.errors);
            self.errors.insert("ERRORSTATS_DISABLED".into(), 1);
        }
    }

    /// CONFIG RESETSTAT: everything but the peak of memory.
    pub fn reset(&mut self) {
        *self = Stats {
            peak_memory: self.peak_memory,
            peak_memory_s: self.peak_memory_s,
            ..Stats::default()
        };
    }
}
