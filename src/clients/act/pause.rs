//! CLIENT PAUSE, and pauses that the server itself asks for: clients are held back and let go.
//!
//! Mirrors: pauseActions() and updatePausedActions() of networking.c.
//! Differs: in nothing that a client sees.

use crate::clients::{ClientFlags, ClientKey, PauseMode, PausePurpose};
use crate::keyspace::Ms;
use crate::state::State;

/// Holds clients back until a moment, or lets them go ([`PauseMode::None`]).
#[doc(alias = "pauseActions")]
pub fn pause_clients(state: &mut State, purpose: PausePurpose, mode: PauseMode, end: Ms) {
    state.pauses.set(purpose, mode, end);
    update_pauses(state);
}

#[doc(alias = "updatePausedActions")]
pub fn update_pauses(state: &mut State) {
    let released = state.pauses.update(state.clock.unix_ms());
    hide_or_expire(state);
    let_go(state, released);
}

/// Lets all clients go whose requests were held back; each request is judged anew.
pub fn release(state: &mut State) {
    let released = state.pauses.release();
    let_go(state, released);
}

fn let_go(state: &mut State, released: Vec<ClientKey>) {
    for key in released {
        if let Some(client) = state.clients.get_mut(key) {
            client.flags.clear(ClientFlags::PAUSED);
            state.clients.resume(key);
        }
    }
}

/// While writes are held back, expired keys are hidden but stay in the keyspace, because their deletion is a write. A
/// replica does the same at all times, because its primary deletes them.
pub(crate) fn hide_or_expire(state: &State) {
    let paused = state.pauses.mode() != PauseMode::None;
    state
        .keyspace
        .env()
        .set_hide_only(paused || state.config.is_replica());
}
