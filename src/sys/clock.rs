//! Time: unix time cached for expiry, monotonic time for measuring.
//!
//! A server has a [`Clock`] of its own, and all that a command or a cron sees of time comes from it. The functions beside
//! it read the machine's clocks for those who have no server or wait for what is real: tools, the loop's poll, helper
//! threads, sessions of TLS.
//!
//! Mirrors: `ustime`, `updateCachedTime` (server.c) and monotonic.c.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A server's clock: the machine's, or one that a test moves by hand.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    unix_us: i64,
}

#[derive(Debug)]
enum Source {
    Machine(Instant),
    Manual { unix_us: i64, monotonic_ns: u64 },
}

impl Clock {
    /// The machine's clock.
    pub fn machine() -> Self {
        let mut clock = Clock {
            source: Source::Machine(Instant::now()),
            unix_us: 0,
        };
        clock.refresh();
        clock
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn manual(unix_us: i64) -> Self {
        Clock {
            source: Source::Manual {
                unix_us,
                monotonic_ns: 0,
            },
            unix_us,
        }
    }

    /// Moves a manual clock.
    pub fn advance(&mut self, us: u64) {
        if let Source::Manual {
            unix_us,
            monotonic_ns,
        } = &mut self.source
        {
            *unix_us += us as i64;
            *monotonic_ns += us * 1000;
        }
        self.refresh();
    }

    /// Reads unix time anew; what the cached readings give until the next call.
    pub fn refresh(&mut self) {
        self.unix_us = match &self.source {
            Source::Manual { unix_us, .. } => *unix_us,
            Source::Machine(_) => unix_us(),
        };
    }

    /// Lets time pass, the thread doing nothing.
    pub fn sleep(&mut self, us: u64) {
        match self.source {
            Source::Machine(_) => nap(Duration::from_micros(us)),
            Source::Manual { .. } => self.advance(us),
        }
    }

    /// Cached unix time in milliseconds.
    #[inline]
    pub fn unix_ms(&self) -> i64 {
        self.unix_us / 1000
    }

    /// Cached unix time in microseconds.
    pub fn unix_us(&self) -> i64 {
        self.unix_us
    }

    /// Cached unix time in seconds.
    pub fn unix_seconds(&self) -> i64 {
        self.unix_us / 1_000_000
    }

    /// Nanoseconds since some moment in the past, read now.
    #[inline]
    pub fn monotonic_ns(&self) -> u64 {
        match &self.source {
            Source::Machine(start) => start.elapsed().as_nanos() as u64,
            Source::Manual { monotonic_ns, .. } => *monotonic_ns,
        }
    }
}

/// The machine's unix time in microseconds; 0 before 1970.
pub fn unix_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

/// The machine's monotonic clock.
#[inline]
pub fn instant() -> Instant {
    Instant::now()
}

/// The time that passed since an [`instant`].
#[inline]
pub fn since(start: Instant) -> Duration {
    start.elapsed()
}

/// Stops this thread for a while. The thread that owns the data uses [`Clock::sleep`] instead.
pub fn nap(time: Duration) {
    std::thread::sleep(time);
}
