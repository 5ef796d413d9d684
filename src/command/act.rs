//! The end of a unit of execution: its effects go to the append-only file and to the replicas.
//!
//! A unit is a command, a transaction or a script. [`super::effects`] collects what it did; here is the one place where
//! the readers of that stream get it.
//!
//! Mirrors: propagateNow() of server.c.

use crate::command::Said;
use crate::state::State;
use crate::{persistence, replication};

/// A unit of execution (a command, a transaction, a script) is complete: its effects go to
/// their readers.
#[inline]
pub fn after_unit(state: &mut State) {
    if !state.effects.is_empty() {
        let unit = state.effects.take_unit();
        feed_unit(state, &unit);
    }
}

/// The one place where effects reach their readers. A unit of several is already wrapped in
/// MULTI and EXEC.
#[doc(alias = "propagateNow")]
pub fn feed_unit(state: &mut State, unit: &[Said]) {
    persistence::act::append::feed(state, unit);
    replication::act::stream::feed_replicas(state, unit);
    if let Some(client) = state
        .current_client
        .and_then(|key| state.clients.get_mut(key))
    {
        client.written = state.replication.offset;
    }
}
