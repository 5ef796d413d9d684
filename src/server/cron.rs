//! Periodic work, `hz` times a second, each piece on a budget.
//!
//! Mirrors: `serverCron` and `clientsCron` of server.c.

use std::time::Duration;

use super::event_loop::Turn;
use super::turn;
use crate::sentinel;
use crate::sys::clock;

/// With more clients than this per turn of the cron, `dynamic-hz` raises the frequency.
const CLIENTS_PER_RUN: usize = 200;
const MAX_HZ: u32 = 500;

impl Turn<'_> {
    /// One turn of the cron.
    pub(super) fn cron(&mut self) {
        let hz = self.hz();
        self.sockets.next_cron =
            clock::instant() + Duration::from_micros(1_000_000 / u64::from(hz));
        if self.state.debug.pause_cron {
            return;
        }
        let started = self.state.clock.monotonic_ns();
        self.sockets.cron_runs += 1;
        turn::cron(self.state, self.sockets.cron_runs, hz);
        // Where there is a sentinel it sets the pace.
        if let Some(pause) = sentinel::act::tick(self.state) {
            self.sockets.next_cron = clock::instant() + pause;
        }
        let took = self.state.clock.monotonic_ns().saturating_sub(started);
        self.state.stats.eventloop_cron.add(took);
    }

    fn hz(&self) -> u32 {
        let mut hz = self.state.config.hz;
        if self.state.config.dynamic_hz {
            let clients = self.state.clients.connected();
            while hz < MAX_HZ && clients / hz as usize > CLIENTS_PER_RUN {
                hz = (hz * 2).min(MAX_HZ);
            }
        }
        hz
    }
}
