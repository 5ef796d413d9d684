//! Timers of modules: one-shot, in the order in which they are due.
//!
//! Mirrors: RM_CreateTimer() and moduleTimerHandler() of module.c.

use crate::keyspace::Ms;
use crate::modules::abi;
use crate::state::State;

/// Fires the timers that are due. One that a callback makes meanwhile fires in a later turn.
#[doc(alias = "moduleTimerHandler")]
pub fn fire(state: &mut State) {
    if state.modules.timers.is_empty() {
        return;
    }
    let now_us = state.clock.monotonic_ns() / 1000;
    let until = (now_us, u64::MAX);
    let due: Vec<(u64, u64)> = state
        .modules
        .timers
        .range(..=until)
        .map(|(at, _)| *at)
        .collect();
    for at in due {
        // A callback before may have stopped it.
        if let Some(timer) = state.modules.timers.remove(&at) {
            abi::callbacks::timer(state, &timer);
        }
    }
}

/// When the next timer is due, in unix milliseconds.
pub fn next_deadline(state: &State) -> Option<Ms> {
    let ((due_us, _), _) = state.modules.timers.first_key_value()?;
    let now_us = state.clock.monotonic_ns() / 1000;
    let wait_ms = due_us.saturating_sub(now_us) / 1000;
    // The loop wakes in the millisecond after a deadline.
    Some(state.clock.unix_ms() + wait_ms as Ms - 1)
}
