//! The end of a client's transaction: EXEC, DISCARD, RESET, or the client's eviction.
//!
//! Mirrors: discardTransaction() of multi.c. Differs: in nothing that a client sees.

use crate::clients::{ClientFlags, ClientKey};
use crate::state::State;

/// Ends a client's transaction: its queue, its watches and its flags.
#[doc(alias = "discardTransaction")]
pub fn end_transaction(state: &mut State, key: ClientKey) {
    state.watches.unwatch_all(&mut state.clients, key);
    if let Some(client) = state.clients.get_mut(key) {
        client.transaction = None;
        let flags = ClientFlags::MULTI | ClientFlags::DIRTY_CAS | ClientFlags::DIRTY_EXEC;
        client.flags.clear(flags);
    }
}
