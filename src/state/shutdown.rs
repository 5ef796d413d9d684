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

use super::{ServerRequest, State};
use crate::clients::{ClientKey, PauseMode, PausePurpose, WaitKind};
use crate::config::ShutdownFlags;
use crate::keyspace::Ms;

/// A shutdown that is asked for.
#[derive(Debug, Default)]
pub struct Shutdown {
    /// A signal asks for it.
    signalled: Option<ShutdownFlags>,
    /// It waits for replicas, until then.
    waits: Option<(ShutdownFlags, Ms)>,
}

impl Shutdown {
    /// Whether a signal asks for it, and it has not begun.
    pub fn is_signalled(&self) -> bool {
        self.signalled.is_some() && self.waits.is_none()
    }
}

/// What became of a request to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The loop ends after this turn.
    Over,
    /// Replicas are waited for.
    Waits,
    /// The log says why not.
    Failed,
}

/// What clients are told whose SHUTDOWN came to nothing.
pub const SHUTDOWN_FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

impl State {
    /// A signal asks the server to end.
    pub fn end_by_signal(&mut self, how: ShutdownFlags) {
        self.shutdown.signalled = Some(how);
    }

    /// Begins to end the server.
    #[doc(alias = "prepareForShutdown")]
    pub fn begin_shutdown(&mut self, how: ShutdownFlags) -> Ending {
        if self.shutdown.waits.is_some() {
            return Ending::Waits;
        }
        self.log.warning("User requested shutdown...");
        let timeout_s = self.config.shutdown_timeout;
        if !how.now && timeout_s != 0 && !self.replicas_caught_up() {
            let end = self.clock.unix_ms() + Ms::from(timeout_s) * 1000;
            self.shutdown.waits = Some((how, end));
            if self.pauses.mode() == PauseMode::None {
                self.want_acks();
            }
            self.ask_for_acks();
            self.pause_clients(PausePurpose::Shutdown, PauseMode::Write, Ms::MAX);
            self.log
                .notice("Waiting for replicas before shutting down.");
            return Ending::Waits;
        }
        self.finish_shutdown(how)
    }

    #[doc(alias = "finishShutdown")]
    fn finish_shutdown(&mut self, how: ShutdownFlags) -> Ending {
        self.log_lagging_replicas();
        if !self.save_before_end(how) {
            self.log.warning(
                "Errors trying to shut down the server. Check the logs for more information.",
            );
            self.call_shutdown_off();
            return Ending::Failed;
        }
        self.requests.push(ServerRequest::Exit(0));
        Ending::Over
    }

    /// A shutdown does not take place.
    #[doc(alias = "cancelShutdown")]
    fn call_shutdown_off(&mut self) {
        self.shutdown = Shutdown::default();
        let waiting: Vec<ClientKey> = self
            .blocked
            .others()
            .filter(|client| {
                let client = self.clients.get(*client);
                let waiting = client.and_then(|client| client.waiting.as_ref());
                waiting.is_some_and(|waiting| waiting.kind == WaitKind::Shutdown)
            })
            .collect();
        for client in waiting {
            self.end_wait_with(client, Some(SHUTDOWN_FAILED));
        }
        self.pause_clients(PausePurpose::Shutdown, PauseMode::None, 0);
    }

    /// SHUTDOWN ABORT. False when there is none to call off.
    #[doc(alias = "abortShutdown")]
    pub fn abort_shutdown(&mut self) -> bool {
        if self.shutdown.waits.is_none() && self.shutdown.signalled.is_none() {
            return false;
        }
        self.call_shutdown_off();
        self.log.notice("Shutdown manually aborted.");
        true
    }

    /// Goes on with a shutdown that was asked for by a signal, or that waits.
    pub(crate) fn shutdown_cron(&mut self) {
        if let Some(how) = self
            .shutdown
            .signalled
            .take_if(|_| self.shutdown.waits.is_none())
        {
            self.begin_shutdown(how);
        } else if let Some((how, end)) = self.shutdown.waits
            && (self.clock.unix_ms() >= end || self.replicas_caught_up())
        {
            self.finish_shutdown(how);
        }
    }

    /// Milliseconds until replicas are not waited for any longer.
    pub fn shutdown_in_ms(&self) -> Option<Ms> {
        let (_, end) = self.shutdown.waits?;
        Some(end - self.clock.unix_ms())
    }
}
