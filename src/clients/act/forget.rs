//! Undoes what a client left behind in the subsystems that know it.

use crate::clients::ClientKey;
use crate::state::State;

/// Undoes all that a client left behind, and the client itself; it was neither a replica nor a primary.
pub fn forget(state: &mut State, key: ClientKey) {
    state.monitors.retain(|k| *k != key);
    state.pubsub.forget(&mut state.clients, key);
    state.tracking.disable(&mut state.clients, key);
    state.watches.unwatch_all(&mut state.clients, key);
    state.pauses.forget(key);
    state.blocked.unblock(&mut state.clients, key);
    state.scripts.debugger.disarm(key);
    state.clients.remove(key);
}
