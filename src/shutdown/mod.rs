//! The end of the server: asked for, waiting for replicas to catch up, saved, over; or called off.
//!
//! ```text
//!   SHUTDOWN, signal ─► replicas behind? ─ no ─► save ─► over
//!                            │ yes                └ fails ─► called off
//!                            └─► writes paused, GETACK ─► caught up, or `shutdown-timeout` ─► save …
//! ```
//!
//! A signal is only noted when it comes. The shutdown begins before the loop sleeps next, after the requests that
//! arrived with it: a SHUTDOWN ABORT among them comes too early. The cron only looks after a shutdown that waits for
//! replicas. While DEBUG PAUSE-CRON is on, a signal stays noted.
//!
//! Mirrors: prepareForShutdown(), finishShutdown(), abortShutdown() of server.c.
//! Differs: in Redis the cron begins a shutdown that a signal asked for.

pub mod act;

use crate::config::ShutdownFlags;
use crate::keyspace::Ms;

/// A shutdown that is asked for.
#[derive(Debug, Default)]
pub struct Shutdown {
    /// A signal asks for it.
    signalled: Option<ShutdownFlags>,
    /// The flags of a shutdown that waits for replicas, and the moment at which it stops waiting.
    waits: Option<(ShutdownFlags, Ms)>,
}

impl Shutdown {
    /// Whether a signal asks for it, and it has not begun.
    pub fn is_signalled(&self) -> bool {
        self.signalled.is_some() && self.waits.is_none()
    }
}

/// The result of a request to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The loop ends after this turn.
    Over,
    /// Waits for replicas to catch up.
    Waits,
    /// The log says why not.
    Failed,
}

/// The error for clients whose SHUTDOWN failed.
pub const SHUTDOWN_FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";
