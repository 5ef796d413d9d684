//! The end of a unit of execution: its effects go to the append-only file, to the replicas, and to the node of a cluster
//! that takes slots over.
//!
//! A unit is a command, a transaction or a script. [`super::effects`] collects what it did; here is the one place where
//! the readers of that stream get it.
//!
//! Mirrors: propagateNow() of server.c.
//! Differs: the command is encoded from one list of effects for all readers; Redis feeds each reader from the
//! client's arguments.

use crate::command::Said;
use crate::keyspace::DbId;
use crate::state::State;
use crate::{cluster, persistence, replication};

/// Hands the effects of a finished unit (a command, a transaction, a script) to the AOF and the replicas.
#[inline]
pub fn after_unit(state: &mut State) {
    if !state.modules.post_jobs.is_empty()
        && let Some(doors) = state.module_doors
    {
        (doors.post_jobs)(state);
    }
    if !state.effects.is_empty() {
        let unit = state.effects.take_unit();
        feed_unit(state, &unit);
    }
}

/// Hands the AOF and the replicas commands that were encoded elsewhere and happened in one database: the keys of a slot
/// that came as a table.
pub fn feed_commands(state: &mut State, db: DbId, commands: &[u8]) {
    persistence::act::append::feed_commands(state, db, commands);
    replication::act::stream::feed_commands(state, db, commands);
}

/// The one place where effects reach their readers. A unit of several effects comes wrapped in MULTI and EXEC
/// already.
#[doc(alias = "propagateNow")]
pub fn feed_unit(state: &mut State, unit: &[Said]) {
    persistence::act::append::feed(state, unit);
    replication::act::stream::feed_replicas(state, unit);
    cluster::act::moving::feed(state, unit);
    if state.cluster.stats.on {
        cluster::act::stats::replicated(state, unit);
    }
    if let Some(client) = state
        .current_client
        .and_then(|key| state.clients.get_mut(key))
    {
        client.written = state.replication.offset;
    }
}
