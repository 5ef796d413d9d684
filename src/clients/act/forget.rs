//! Removes a client from every subsystem that knows it.
//!
//! Mirrors: unlinkClient() and freeClient() of networking.c.
//! Differs: replicas and the primary have more to undo, which `leave.rs` does first.

use crate::clients::{ClientKey, WaitKind};
use crate::state::State;

/// Removes a client everywhere, and then the client itself. The client must be neither a replica nor the primary.
pub fn forget(state: &mut State, key: ClientKey) {
    if !state.modules.auth_watches.is_empty()
        && let Some(doors) = state.module_doors
    {
        (doors.user_changed)(state, Some(key));
    }
    state.monitors.retain(|k| *k != key);
    state.pubsub.forget(&mut state.clients, key);
    state.tracking.disable(&mut state.clients, key);
    state.watches.unwatch_all(&mut state.clients, key);
    state.pauses.forget(key);
    let waiting = state.blocked.unblock(&mut state.clients, key);
    if let Some(WaitKind::Module(handle)) = waiting.map(|waiting| waiting.kind)
        && let Some(doors) = state.module_doors
    {
        (doors.gone)(state, handle);
    }
    state.scripts.debugger.disarm(key);
    state.clients.remove(key);
}
