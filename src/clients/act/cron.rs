//! Periodic care for clients: idle ones and those over a limit are closed, their buffers fitted to their use.
//!
//! An output limit has a hard half, which closes at once, and a soft half, which closes after more than so many
//! seconds without a break. With `client-output-buffer-limit pubsub 32mb 8mb 60`, a subscriber that reads too slowly:
//!
//! ```text
//!   12:00:00   9 MB queued    over the soft limit: the clock starts
//!   12:00:40   7 MB queued    below it: the clock is forgotten
//!   12:00:50  10 MB queued    the clock starts anew
//!   12:01:50  12 MB queued    60 seconds: not more than 60 yet
//!   12:01:51  12 MB queued    61 seconds: closed, and counted in client_output_buffer_limit_disconnections
//!   any time  32 MB queued    the hard limit: closed, without any wait
//! ```
//!
//! The limit is looked at whenever something is queued and in the cron, so a soft limit holds for a silent client,
//! too.
//!
//! Mirrors: clientsCron() of server.c, closeClientOnOutputBufferLimitReached() of networking.c.
//! Differs: the output of a replica is the part of the backlog it has yet to be sent, not bytes in a buffer of its
//! own.

use crate::clients::cron::{Resized, UNAUTHENTICATED_OUTPUT};
use crate::clients::{Client, ClientFlags, ClientKey, ClientKind};
use crate::keyspace::Ms;
use crate::state::State;
use crate::{acl, observe};

/// Clients looked at in each turn, at least.
const CLIENTS_MIN: usize = 5;

/// Milliseconds from the first byte of a connection under TLS to the end of its handshake.
const HANDSHAKE_MS: Ms = 10_000;

/// A turn: `1 / hz` of the clients.
#[doc(alias = "clientsCron")]
pub(crate) fn cron(state: &mut State, hz: u32) {
    let now = state.clock.unix_ms();
    let share = state.clients.connected().div_ceil(hz.max(1) as usize);
    for key in state.clients.next_for_cron(share.max(CLIENTS_MIN)) {
        if close_if_idle(state, key, now) {
            continue;
        }
        let debug = state.debug;
        if let Some(client) = state.clients.get_mut(key) {
            client.fit_query_buffer(now);
            if debug.reply_buffer_resizing {
                match client.fit_reply_buffer(now, debug.reply_buffer_peak_reset) {
                    Resized::Shrunk => state.stats.reply_buffer_shrinks += 1,
                    Resized::Expanded => state.stats.reply_buffer_expands += 1,
                    Resized::No => {}
                }
            }
        }
        state.clients.changed(key);
        check_output_limit(state, key);
    }
}

/// Closes a client that is idle for longer than `timeout`, or does not come to the end of its handshake.
fn close_if_idle(state: &mut State, key: ClientKey, now: Ms) -> bool {
    let slow = |client: &&Client| {
        client.flags.has(ClientFlags::HANDSHAKE) && now - client.created_ms > HANDSHAKE_MS
    };
    if let Some(client) = state.clients.get(key).filter(slow) {
        let (address, local) = (&client.address, &client.local_address);
        state.log.verbose(format_args!(
            "Error accepting a client connection: the handshake takes too long (addr={address} laddr={local})"
        ));
        state.clients.close_asap(key);
        return true;
    }
    let timeout = Ms::from(state.config.timeout);
    let Some(client) = state.clients.get(key).filter(|_| timeout > 0) else {
        return false;
    };
    let patient = ClientFlags::REPLICA
        | ClientFlags::MONITOR
        | ClientFlags::PRIMARY
        | ClientFlags::BLOCKED
        | ClientFlags::PAUSED
        | ClientFlags::PUBSUB;
    let idle = now / 1000 - client.active_ms / 1000 > timeout;
    let close = idle && !client.flags.any(patient);
    if close {
        state.log.verbose("Closing idle client");
        state.clients.close_asap(key);
    }
    close
}

/// Closes a client whose output is over a limit: the hard one, or the soft one for too long.
#[doc(alias = "closeClientOnOutputBufferLimitReached")]
pub fn check_output_limit(state: &mut State, key: ClientKey) {
    let now = state.clock.unix_ms();
    let Some(client) = state.clients.get(key) else {
        return;
    };
    let limit = state.config.output_limit(client.kind());
    let kind = client.kind();
    let used = match kind {
        ClientKind::Replica => state.replication.unsent(&state.clients, key),
        _ => client.out.list_memory() as u64,
    };
    let stranger = acl::act::owes_auth(state, client) && used > UNAUTHENTICATED_OUTPUT as u64;
    let Some(client) = state.clients.get_mut(key) else {
        return;
    };
    let hard = stranger || limit.hard_bytes > 0 && used >= limit.hard_bytes;
    let mut soft = limit.soft_bytes > 0 && used >= limit.soft_bytes;
    if soft {
        let since = *client.soft_limit_since_ms.get_or_insert(now);
        let seconds = now / 1000 - since / 1000;
        soft = seconds > limit.soft_seconds as Ms;
    } else {
        client.soft_limit_since_ms = None;
    }
    if hard || soft {
        state.clients.note_over_limit(key);
        close_over_limit(state);
    }
}

/// Closes the clients noted to be over their limit.
#[inline]
pub fn close_over_limit(state: &mut State) {
    for key in state.clients.take_over_limit() {
        let Some(client) = state.clients.get(key) else {
            continue;
        };
        if client.flags.has(ClientFlags::CLOSE_ASAP) {
            continue;
        }
        let line = observe::act::clients::describe_client(state, client, None);
        state.log.warning(format_args!(
            "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
        ));
        state.stats.output_buffer_disconnections += 1;
        state.clients.close_asap(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Clients;
    use crate::resp::{TAIL_MAX, TAIL_MIN};

    #[test]
    fn buffers_follow_their_use() {
        let mut clients = Clients::new();
        let client = clients.insert(0, ClientFlags::NONE);
        client.out.push(b"+OK\r\n");
        client.out.advance(5);
        assert_eq!(client.out.tail_capacity(), TAIL_MIN);
        for _ in 0..9 {
            client.reply_peak.0 = 40_000;
            client.fit_reply_buffer(0, None);
        }
        assert_eq!(client.out.tail_capacity(), TAIL_MAX);
        client.reply_peak.0 = 0;
        for _ in 0..9 {
            client.fit_reply_buffer(0, None);
        }
        assert_eq!(client.out.tail_capacity(), TAIL_MIN);

        client.query.reserve_exact(100_000);
        client.query_peak = 60_000;
        client.fit_query_buffer(1000);
        assert_eq!(client.query.capacity(), 100_000);
        client.query_peak = 10_000;
        client.fit_query_buffer(1000);
        assert_eq!(client.query.capacity(), 10_000);
        client.fit_query_buffer(9000);
        assert_eq!(client.query.capacity(), 0);
    }
}
