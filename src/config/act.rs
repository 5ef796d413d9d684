//! Options whose change reaches into the process.
//!
//! Mirrors: `setOOMScoreAdj()` of server.c.

mod apply;

use crate::config::{ApplyError, OomScoreAdj, disk};
use crate::state::State;

/// Sets the process's out-of-memory score for the role it has.
#[doc(alias = "setOOMScoreAdj")]
pub fn set_oom_score(state: &mut State, name: &'static str) -> std::result::Result<(), ApplyError> {
    let scores = state.config.oom_score_adj_values;
    let score = match state.config.replicaof.is_some() {
        true => scores.replica,
        false => scores.primary,
    };
    let mode = state.config.oom_score_adj;
    let wanted = (mode != OomScoreAdj::No).then_some(score);
    let relative = mode == OomScoreAdj::Relative;
    state.oom_score.set(wanted, relative).map_err(|error| {
        let reason = disk::reason(&error);
        state
            .log
            .warning(format_args!("Unable to write oom_score_adj: {reason}"));
        ApplyError::new(
            name,
            "Failed to set current oom_score_adj. Check server logs.",
        )
    })
}
