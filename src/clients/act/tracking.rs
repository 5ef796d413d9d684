//! The table of client-side caching stays within `tracking-table-max-keys`.

use crate::state::State;

/// Keeps the table of who caches what within its bound.
#[doc(alias = "trackingLimitUsedSlots")]
pub fn limit_tracking(state: &mut State) {
    if state.tracking.clients() > 0 {
        let max_keys = state.config.tracking_table_max_keys;
        state
            .tracking
            .limit(&mut state.clients, max_keys, &mut state.rng);
    }
}
