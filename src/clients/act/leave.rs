//! A client leaves, or begins anew with RESET.
//!
//! Stands above replication, because a client that leaves may be a replica or the primary.
//!
//! Mirrors: unlinkClient() and clearClientConnectionState() of networking.c.
//! Differs: split in two, so that subsystems below replication can forget a client as well (`forget.rs`).

use super::forget;
use super::transaction;
use crate::clients::{Client, ClientFlags, ClientKey};
use crate::keyspace::DbId;
use crate::modules::{EventData, EventId};
use crate::state::State;
use crate::{acl, cluster, replication};

/// Removes a client everywhere, replication included, and then the client itself.
pub fn forget_client(state: &mut State, key: ClientKey) {
    let real = |client: &Client| !client.flags.has(ClientFlags::FAKE);
    if state.clients.get(key).is_some_and(real) {
        state.tell_modules(EventId::Client, 1, EventData::Client(key));
    }
    replication::act::primary::forget_replica(state, key);
    replication::act::link::primary_lost(state, key);
    cluster::act::moving::client_left(state, key);
    forget::forget(state, key);
}

/// RESET: the connection is as new, but for its library's name.
#[doc(alias = "clearClientConnectionState")]
pub fn reset_client(state: &mut State, key: ClientKey) {
    state.monitors.retain(|monitor| *monitor != key);
    transaction::end_transaction(state, key);
    state.pubsub.forget(&mut state.clients, key);
    state.tracking.disable(&mut state.clients, key);
    acl::act::act_as_default(state, key);
    let client = &mut state.clients[key];
    client.flags.clear(
        ClientFlags::MONITOR
            | ClientFlags::ASKING
            | ClientFlags::READONLY
            | ClientFlags::REPLY_OFF
            | ClientFlags::REPLY_SKIP_NEXT
            | ClientFlags::NO_TOUCH
            | ClientFlags::NO_EVICT,
    );
    client.db = DbId(0);
    client.protocol = crate::resp::Protocol::Resp2;
    client.name.clear();
    client.fieldsets = None;
}
