//! The table of client-side caching stays within `tracking-table-max-keys`.
//!
//! Mirrors: trackingLimitUsedSlots() of tracking.c. Differs: see [`crate::clients::tracking`].

use crate::state::State;

/// Keeps the table of cached keys within its bound: keys beyond it are invalidated.
#[doc(alias = "trackingLimitUsedSlots")]
pub fn limit_tracking(state: &mut State) {
    if state.tracking.clients() > 0 {
        let max_keys = state.config.tracking_table_max_keys;
        state
            .tracking
            .limit(&mut state.clients, max_keys, &mut state.rng);
    }
}
