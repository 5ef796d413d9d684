//! What an operator sees: counters, the slow log, latency, MONITOR.
//!
//! Mirrors: the `stat_*` fields of server.h, slowlog.c, latency.c.

mod clients;
pub mod stats;

pub use clients::{ClientMemory, Running};
pub use stats::Stats;

use crate::clients::ClientKey;
use crate::dispatch::CallOrigin;
use crate::dispatch::args::Argv;
use crate::dispatch::table::CommandId;
use crate::state::State;
use crate::util::histogram::Histogram;

/// Counts a command that ran: its calls, its time, its place in the slow log.
#[inline]
pub fn after_call(
    state: &mut State,
    client: ClientKey,
    id: CommandId,
    argv: Argv<'_>,
    elapsed_ns: u64,
    ok: bool,
    origin: CallOrigin,
) {
    let stats = &mut state.commands[id].stats;
    stats.calls += 1;
    stats.usec += elapsed_ns / 1000;
    stats.failed += u64::from(!ok);
    if state.config.latency_tracking {
        let latencies = stats
            .latencies
            .get_or_insert_with(|| Box::new(Histogram::new()));
        latencies.record(elapsed_ns);
    }
    state.stats.commands_processed += 1;
    let _ = (client, argv, origin);
}
