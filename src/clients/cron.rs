//! What the cron does for each client, about once a second: it is closed when idle for too long, its
//! buffers are fitted to what it needs, and its output is held against the limits.
//!
//! Mirrors: `clientsCron`, `clientsCronResizeQueryBuffer`, `clientsCronResizeOutputBuffer` (server.c),
//! `checkClientOutputBufferLimits` (networking.c), with Redis's figures.

use super::{Client, ClientFlags, ClientKey, ClientKind};
use crate::config::{Config, OutputLimit};
use crate::keyspace::Ms;
use crate::resp::{TAIL_MAX, TAIL_MIN};
use crate::state::State;

/// Clients looked at in each turn, at least.
const CLIENTS_MIN: usize = 5;
/// A query buffer with less room than this is left alone.
const QUERY_WASTE: usize = 4 * 1024;
/// A query buffer in use is only shrunk from this size on.
#[doc(alias = "PROTO_RESIZE_THRESHOLD")]
const QUERY_BIG: usize = 32 * 1024;
/// Milliseconds after which a query buffer is not in use.
const QUERY_IDLE_MS: Ms = 2999;

/// Bytes that may wait in the reply list of a client that has not logged in.
pub(crate) const UNAUTHENTICATED_OUTPUT: usize = 1024;
/// Bytes of requests that may wait of a client that has not logged in.
pub(crate) const UNAUTHENTICATED_QUERY: usize = 1 << 20;
/// Milliseconds from the first byte of a connection under TLS to the end of its handshake.
const HANDSHAKE_MS: Ms = 10_000;

impl Config {
    /// The limit of a class of clients.
    pub fn output_limit(&self, kind: ClientKind) -> OutputLimit {
        let limits = &self.client_output_buffer_limit;
        match kind {
            ClientKind::Normal | ClientKind::Primary => limits.normal,
            ClientKind::PubSub => limits.pubsub,
            // Less than the backlog would cut replicas off that are no burden.
            ClientKind::Replica => {
                let mut limit = limits.replica;
                if limit.hard_bytes > 0 {
                    limit.hard_bytes = limit.hard_bytes.max(self.repl_backlog_size);
                }
                limit
            }
        }
    }
}

impl State {
    /// A turn: `1 / hz` of the clients.
    #[doc(alias = "clientsCron")]
    pub(crate) fn clients_cron(&mut self, hz: u32) {
        let now = self.clock.unix_ms();
        let share = self.clients.connected().div_ceil(hz.max(1) as usize);
        for key in self.clients.next_for_cron(share.max(CLIENTS_MIN)) {
            if self.close_if_idle(key, now) {
                continue;
            }
            let debug = self.debug;
            if let Some(client) = self.clients.get_mut(key) {
                client.fit_query_buffer(now);
                if debug.reply_buffer_resizing {
                    match client.fit_reply_buffer(now, debug.reply_buffer_peak_reset) {
                        Resized::Shrunk => self.stats.reply_buffer_shrinks += 1,
                        Resized::Expanded => self.stats.reply_buffer_expands += 1,
                        Resized::No => {}
                    }
                }
            }
            self.clients.changed(key);
            self.check_output_limit(key);
        }
    }

    /// Closes a client that is idle for longer than `timeout`, or does not come to the end of its handshake.
    fn close_if_idle(&mut self, key: ClientKey, now: Ms) -> bool {
        let slow = |client: &&Client| {
            client.flags.has(ClientFlags::HANDSHAKE) && now - client.created_ms > HANDSHAKE_MS
        };
        if let Some(client) = self.clients.get(key).filter(slow) {
            let (address, local) = (&client.address, &client.local_address);
            self.log.verbose(format_args!(
                "Error accepting a client connection: the handshake takes too long (addr={address} laddr={local})"
            ));
            self.clients.close_asap(key);
            return true;
        }
        let timeout = Ms::from(self.config.timeout);
        let Some(client) = self.clients.get(key).filter(|_| timeout > 0) else {
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
            self.log.verbose("Closing idle client");
            self.clients.close_asap(key);
        }
        close
    }

    /// Closes a client whose output is over a limit: the hard one, or the soft one for too long.
    #[doc(alias = "closeClientOnOutputBufferLimitReached")]
    pub fn check_output_limit(&mut self, key: ClientKey) {
        let now = self.clock.unix_ms();
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let limit = self.config.output_limit(client.kind());
        let kind = client.kind();
        let used = match kind {
            ClientKind::Replica => self.replication.unsent(&self.clients, key),
            _ => client.out.list_memory() as u64,
        };
        let stranger = self.owes_auth(client) && used > UNAUTHENTICATED_OUTPUT as u64;
        let Some(client) = self.clients.get_mut(key) else {
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
            self.clients.note_over_limit(key);
            self.close_over_limit();
        }
    }

    /// Closes the clients noted to be over their limit.
    #[inline]
    pub fn close_over_limit(&mut self) {
        for key in self.clients.take_over_limit() {
            let Some(client) = self.clients.get(key) else {
                continue;
            };
            if client.flags.has(ClientFlags::CLOSE_ASAP) {
                continue;
            }
            let line = self.describe_client(client, None);
            self.log.warning(format_args!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            ));
            self.stats.output_buffer_disconnections += 1;
            self.clients.close_asap(key);
        }
    }
}

/// What became of a reply buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resized {
    No,
    Shrunk,
    Expanded,
}

impl Client {
    #[doc(alias = "clientsCronResizeQueryBuffer")]
    fn fit_query_buffer(&mut self, now: Ms) {
        let (len, room) = self.query_bytes();
        let idle = now / 1000 - self.active_ms / 1000 > QUERY_IDLE_MS / 1000;
        if room > QUERY_WASTE {
            if idle {
                self.query.shrink_to_fit();
                self.parser.shrink_arriving();
            } else if len + room > QUERY_BIG && (len + room) / 2 > self.query_peak {
                self.query.shrink_to(self.query_peak.max(self.query.len()));
            }
        }
        self.query_peak = self.query.len();
    }

    /// Halves a reply buffer that is hardly used, doubles one that is used up.
    #[doc(alias = "clientsCronResizeOutputBuffer")]
    fn fit_reply_buffer(&mut self, now: Ms, peak_reset: Option<Ms>) -> Resized {
        let size = self.out.tail_capacity();
        let peak = self.reply_peak.0;
        let new = if size / 2 >= TAIL_MIN && peak < size / 2 {
            Some((TAIL_MIN.max(peak + 1), Resized::Shrunk))
        } else if size > 0 && size * 2 < TAIL_MAX * 2 && peak >= size {
            Some((TAIL_MAX.min(size * 2), Resized::Expanded))
        } else {
            None
        };
        if peak_reset.is_some_and(|after| now - self.reply_peak.1 >= after) {
            self.reply_peak = (self.out.tail_len(), now);
        }
        let Some((new, resized)) = new else {
            return Resized::No;
        };
        self.out.resize_tail(new.max(self.out.tail_len()));
        resized
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Clients;

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
