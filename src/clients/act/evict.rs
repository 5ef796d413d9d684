//! `maxmemory-clients`: the largest clients are closed until all together cost less than the limit.
//!
//! [`crate::clients::usage`] keeps the sizes that this file compares.
//!
//! Mirrors: evictClients() of networking.c.
//! Differs: a client's memory is freed at once, its connection at the end of the turn of the loop.

use super::transaction;
use crate::clients::usage::eviction_limit;
use crate::observe;
use crate::resp::Output;
use crate::resp::request::{Parser, Request};
use crate::state::State;

/// Follows a change of `maxmemory-clients`.
#[doc(alias = "applyClientMaxMemoryUsage")]
pub fn maxmemory_clients_changed(state: &mut State) {
    let on = eviction_limit(&state.config).is_some();
    state.clients.weigh(on);
}

/// Closes clients, the largest first, until all together cost less than `maxmemory-clients`. Their memory is freed at
/// once, their connections end with the turn of the loop. Returns whether any client was closed.
#[doc(alias = "evictClients")]
#[inline]
pub fn evict_clients(state: &mut State) -> bool {
    state.clients.usage.on && evict_largest_clients(state)
}

fn evict_largest_clients(state: &mut State) -> bool {
    let Some(limit) = eviction_limit(&state.config) else {
        return false;
    };
    let before = state.stats.evicted_clients;
    while state.clients.usage.total as u64 >= limit {
        let Some(client) = state
            .clients
            .largest()
            .and_then(|key| state.clients.get(key))
        else {
            state
                .log
                .warning("Over client maxmemory after evicting all evictable clients");
            break;
        };
        let (key, line) = (
            client.key,
            observe::act::clients::describe_client(state, client, None),
        );
        state.log.notice(format_args!("Evicting client: {line}"));
        state.stats.evicted_clients += 1;
        state.clients.close_asap(key);
        let client = &mut state.clients[key];
        client.out = Output::new();
        client.query = Vec::new();
        client.parser = Parser::default();
        client.request = Request::default();
        transaction::end_transaction(state, key);
    }
    state.stats.evicted_clients > before
}
