//! Whether reads and writes are possible in the present state of replication. The gate asks before each command.
//!
//! Mirrors: checks of processCommand() of server.c: `min-replicas-to-write`, `replica-serve-stale-data`, read-only
//! replicas.
//! Differs: with `min-replicas-to-write` good replicas are counted at each write; Redis counts them once per second.

use crate::clients::ClientFlags;
use crate::keyspace::Ms;
use crate::replication::Replica;
use crate::replication::link::Step;
use crate::resp::Error;
use crate::state::State;

/// Whether the data set may be old (the link is down) and `replica-serve-stale-data no` forbids serving it.
pub fn is_stale(state: &State) -> bool {
    state.replication.link.step != Step::Connected && !state.config.replica_serve_stale_data
}

/// Bytes of the stream that arrived, applied or not.
pub fn received_offset(state: &State) -> u64 {
    let link = &state.replication.link;
    let client = link.client.and_then(|client| state.clients.get(client));
    let unread = client.map_or(0, |client| client.query_bytes().0);
    state.replication.offset + (link.held.len() + unread) as u64
}

/// Whether replication allows a client to write: not on a read-only replica, not with too few replicas.
#[inline]
pub fn may_write(state: &State, client: ClientFlags) -> Result<(), Error> {
    if state.config.is_replica() {
        return match state.config.replica_read_only && !client.has(ClientFlags::MUST_OBEY) {
            true => Err(Error::ReadOnly),
            false => Ok(()),
        };
    }
    match state.config.min_replicas_to_write {
        0 => Ok(()),
        _ => has_good_replicas(state),
    }
}

#[cold]
pub fn has_good_replicas(state: &State) -> Result<(), Error> {
    let wanted = state.config.min_replicas_to_write as usize;
    match state.config.min_replicas_max_lag > 0 && good_replicas(state) < wanted {
        true => Err(Error::NoReplicas),
        false => Ok(()),
    }
}

/// Replicas that are online and answered lately: those `min-replicas-to-write` counts.
#[doc(alias = "refreshGoodSlavesCount")]
pub fn good_replicas(state: &State) -> usize {
    let now = state.clock.unix_ms();
    let max_lag = Ms::from(state.config.min_replicas_max_lag);
    let good = |replica: &&Replica| {
        replica.phase.is_online() && now / 1000 - replica.acked_ms / 1000 <= max_lag
    };
    state.replication.replicas.iter().filter(good).count()
}
