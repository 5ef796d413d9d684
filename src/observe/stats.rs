//! Counters of INFO's `stats` section. CONFIG RESETSTAT sets most of them back.

use std::collections::BTreeMap;

use crate::resp::Error;

/// Kinds of errors counted before counting stops (a client could invent codes through scripts).
const ERROR_KINDS_MAX: usize = 128;

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
    /// Keys that died of time.
    pub expired_keys: u64,
    /// Hash fields that died of time.
    pub expired_subkeys: u64,
    /// Active expire cycles that ran out of time.
    pub expired_time_cap_reached: u64,
    /// Microseconds spent in active expire cycles.
    pub expire_cycle_us: u64,
    /// Estimated share of the volatile keys that are past their deadline and still there, in percent.
    pub expired_stale_perc: f64,
    /// Keys that died of memory.
    pub evicted_keys: u64,
    /// Clients closed for memory.
    pub evicted_clients: u64,
    /// Scripts dropped from the cache.
    pub evicted_scripts: u64,
    /// Errors by their first word.
    pub errors: BTreeMap<String, u64>,
    /// Errors in all.
    pub error_replies: u64,
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
    /// Turns of the event loop.
    pub eventloop_cycles: u64,
    /// Microseconds in the loop, polling not counted.
    pub eventloop_duration_us: u64,
    /// Microseconds in commands.
    pub eventloop_cmd_duration_us: u64,
    /// Most memory ever used.
    pub peak_memory: usize,
    /// ACL denials: commands, keys, channels, authentication.
    pub acl_denied: [u64; 4],
    /// Snapshots started (`total_forks`).
    pub snapshots: u64,
    /// Full resyncs served.
    pub sync_full: u64,
    /// Partial resyncs served.
    pub sync_partial_ok: u64,
    /// Partial resyncs refused.
    pub sync_partial_err: u64,
    /// RESTORE payloads checked deeply.
    pub dump_payload_sanitizations: u64,
    /// Reply buffers grown and shrunk.
    pub reply_buffer_expands: u64,
    /// Reply buffers shrunk.
    pub reply_buffer_shrinks: u64,
}

impl Stats {
    /// Counts an error reply under its code.
    pub fn count_error(&mut self, error: &Error) {
        if *error == Error::AlreadySaid {
            return;
        }
        self.count_error_code(&error.code());
    }

    /// Counts an error by its code.
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
            self.errors.clear();
            self.errors.insert("ERRORSTATS_DISABLED".into(), 1);
        }
    }

    /// CONFIG RESETSTAT: everything but the peak of memory.
    pub fn reset(&mut self) {
        *self = Stats {
            peak_memory: self.peak_memory,
            ..Stats::default()
        };
    }
}
