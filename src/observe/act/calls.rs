//! Figures of a command that has run: its calls, its time, its entry in the slow log; and the samples of INFO's rates.
//!
//! Mirrors: the end of call() and trackInstantaneousMetric() of server.c.
//! Differs: one function for calls of every origin; the caller passes the facts as [`crate::observe::Ran`].

use crate::observe::{Ran, SlowlogLimits, metrics};
use crate::state::State;
use crate::util::histogram::Histogram;

/// Notes that something took long, if it took as long as `latency-monitor-threshold`.
#[inline]
pub fn note_latency(state: &mut State, event: &'static str, ms: u64) {
    let threshold = state.config.latency_monitor_threshold;
    state
        .latency
        .note(event, ms, threshold, state.clock.unix_seconds());
}

/// Ten times a second: samples what INFO shows per second.
pub(crate) fn sample_metrics(state: &mut State) {
    use metrics::Metric;
    let now_us = state.clock.monotonic_ns() / 1000;
    let stats = &mut state.stats;
    let per_second = [
        (Metric::Commands, stats.commands_processed),
        (
            Metric::Input,
            stats.net_input_bytes + stats.net_repl_input_bytes,
        ),
        (
            Metric::Output,
            stats.net_output_bytes + stats.net_repl_output_bytes,
        ),
        (Metric::ReplicationInput, stats.net_repl_input_bytes),
        (Metric::ReplicationOutput, stats.net_repl_output_bytes),
        (Metric::Cycles, stats.eventloop.count),
    ];
    for (metric, value) in per_second {
        stats.metrics.sample(metric, value, now_us, 1_000_000);
    }
    let (sum, cycles) = (stats.eventloop.sum_us(), stats.eventloop.count);
    stats.metrics.sample(Metric::CycleDuration, sum, cycles, 1);
}

/// Tells the log once that errors come in too many kinds to be counted by kind.
pub(crate) fn report_dropped_errors(state: &mut State) {
    if state.stats.errors_dropped.is_empty() {
        return;
    }
    let dropped = std::mem::take(&mut state.stats.errors_dropped);
    let codes: Vec<&str> = dropped.keys().map(String::as_str).collect();
    state.log.warning(
        "Errorstats stopped adding new errors because the number of errors reached the limit, \
         may be misuse of lua error_reply, please check INFO ERRORSTATS, this can be re-enabled \
         via CONFIG RESETSTAT.",
    );
    state.log.warning(format_args!(
        "Current errors code list: {}",
        codes.join(", ")
    ));
    let count = dropped.len();
    state.lazyfree.free(dropped, count);
}

/// Counts a command that ran: its calls, its time, its place in the slow log.
#[inline]
pub fn after_call(state: &mut State, ran: Ran<'_>) {
    let entry = &mut state.commands[ran.id];
    let flags = entry.flags;
    let us = ran.elapsed_ns / 1000;
    entry.stats.calls += 1;
    entry.stats.usec += us;
    entry.stats.failed += u64::from(!ran.ok);
    if state.config.latency_tracking {
        let latencies = entry
            .stats
            .latencies
            .get_or_insert_with(|| Box::new(Histogram::new()));
        latencies.record(ran.elapsed_ns);
    }
    state.stats.commands_processed += 1;
    if ran.outermost {
        state.stats.eventloop_commands.add(ran.elapsed_ns);
    }
    // A negative threshold is beyond every duration when it is read without a sign.
    let slow = us >= state.config.slowlog_log_slower_than as u64;
    let late = us / 1000 >= state.config.latency_monitor_threshold;
    if (slow || late && state.config.latency_monitor_threshold != 0) && !ran.replayed {
        let kind = if flags.has(crate::command::Flag::Fast) {
            "fast-command"
        } else {
            "command"
        };
        note_latency(state, kind, us / 1000);
        if slow && !flags.has(crate::command::Flag::SkipSlowlog) {
            note_slow(state, ran);
        }
    }
}

#[cold]
fn note_slow(state: &mut State, ran: Ran<'_>) {
    let config = &state.config;
    let limits = SlowlogLimits {
        len: config.slowlog_max_len,
        argc: config.slowlog_entry_max_argc,
        word: config.slowlog_entry_max_string_len,
    };
    if limits.len == 0 {
        return;
    }
    let client = state.clients.get(ran.client);
    let client = client.map_or(("", &b""[..]), |c| (&c.address, &c.name));
    let us = ran.elapsed_ns / 1000;
    let now = state.clock.unix_seconds();
    state
        .slowlog
        .push(ran.argv, ran.redacted, us, now, client, limits);
}
