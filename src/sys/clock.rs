//! Time: unix time cached for expiry, monotonic time for measuring.
//!
//! Mirrors: `ustime`, `updateCachedTime` (server.c) and monotonic.c.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
            Source::Machine(_) => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_micros() as i64,
                Err(_) => 0,
            },
        };
    }

    /// Lets time pass, the thread doing nothing.
    pub fn sleep(&mut self, us: u64) {
        match self.source {
            Source::Machine(_) => std::thread::sleep(std::time::Duration::from_micros(us)),
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
