//! Sizes of a client's buffers, about once a second: the query buffer and the reply buffer are fitted to their use.
//! The output limit of each class of clients is here, too; `act/cron.rs` compares.
//!
//! Mirrors: clientsCronResizeQueryBuffer(), clientsCronResizeOutputBuffer() of server.c,
//! checkClientOutputBufferLimits() of networking.c, with Redis's figures.
//! Differs: the functions are pure; the clock and the configuration are arguments.

use super::{Client, ClientKind};
use crate::config::{Config, OutputLimit};
use crate::keyspace::Ms;
use crate::resp::{TAIL_MAX, TAIL_MIN};

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

impl Config {
    /// The output limit of a class of clients.
    pub fn output_limit(&self, kind: ClientKind) -> OutputLimit {
        let limits = &self.client_output_buffer_limit;
        match kind {
            ClientKind::Normal | ClientKind::Primary => limits.normal,
            ClientKind::PubSub => limits.pubsub,
            // A limit below the size of the backlog would cut off replicas that cost nothing.
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

/// The change to a reply buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resized {
    No,
    Shrunk,
    Expanded,
}

impl Client {
    #[doc(alias = "clientsCronResizeQueryBuffer")]
    pub(super) fn fit_query_buffer(&mut self, now: Ms) {
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
    pub(super) fn fit_reply_buffer(&mut self, now: Ms, peak_reset: Option<Ms>) -> Resized {
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
