//! Winds the watchdog, which reports a server that is stuck.
//!
//! Mirrors: applyWatchdogPeriod() of debug.c.
//! Differs: the report comes from a thread of its own (`stack_reporter`), not from a signal handler.

use crate::state::State;
use crate::sys::crash;

/// The watchdog barks unless it is wound again in time. A period shorter than two turns of the cron would have
/// it bark at an idle server.
#[doc(alias = "applyWatchdogPeriod")]
pub fn wind_watchdog(state: &State) {
    let shortest = 2 * 1000 / state.config.hz.max(1);
    crash::wind_watchdog(match state.config.watchdog_period {
        0 => 0,
        period => period.max(shortest),
    });
}
