//! Active expiry: how much of it, and when.
//!
//! Keys past their deadline are found in two ways: by a lookup, and by a cycle that walks the databases. The cycle has
//! two paces. The slow one comes with the cron and may take a quarter of the time; the fast one comes before every
//! sleep of the loop, takes a millisecond at most, and only while the slow one cannot keep up. [`ExpireCycle`] holds
//! the rules; `keyspace/act/expire.rs` does the work.
//!
//! ```text
//!   share of dead keys among those looked at
//!      above what is acceptable     go on with this database
//!      below                        enough has been looked at? next database : go on
//!   time is up                      remember it: the fast cycles come, and the next call visits all databases
//! ```
//!
//! For example, at `hz` 10 and effort 1 the slow cycle has 25 ms of each 100 ms, and at effort 10 it has 43 ms. If it
//! finds 12 % dead keys it goes on, for 10 % are acceptable; if its 25 ms are over before that, each of the next
//! sleeps is preceded by a fast cycle of 1 ms, one in 2 ms at most.
//!
//! Mirrors: `activeExpireCycle()` of expire.c, with its constants and what `active-expire-effort` does to them.
//! Differs: Redis samples twenty keys at a time of a table of deadlines. Our walk knows which blocks of the table
//! hold a due deadline at all and skips the others unread, so a small database is cleaned exactly, and a large one
//! costs nothing while nothing in it is due.

/// The two kinds of expire cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// From the cron, so many times a second.
    Slow { hz: u32 },
    /// Before the loop sleeps.
    Fast,
}

#[doc(alias = "ACTIVE_EXPIRE_CYCLE_FAST_DURATION")]
const FAST_US: u64 = 1000;
#[doc(alias = "ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC")]
const SLOW_PERCENT: u64 = 25;
#[doc(alias = "ACTIVE_EXPIRE_CYCLE_ACCEPTABLE_STALE")]
const ACCEPTABLE_PERCENT: u64 = 10;
/// Keys looked at per database before an acceptable share of dead ones ends the visit: some 0.2 ms of work.
const ENOUGH: usize = 10_000;
/// Databases with deadlines visited per call, unless time ran out before.
#[doc(alias = "CRON_DBS_PER_CALL")]
const DATABASES: usize = 16;

/// The limits of one call of the cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub time_us: u64,
    /// Databases with deadlines to visit.
    pub databases: usize,
    acceptable_percent: u64,
    enough: usize,
}

impl Budget {
    /// Whether a database is done with, of which so many keys were looked at and so many were dead.
    pub fn is_enough(&self, examined: usize, expired: usize) -> bool {
        examined >= self.enough && expired as u64 * 100 <= examined as u64 * self.acceptable_percent
    }
}

/// The state of the cycle between its calls.
#[derive(Debug, Default)]
pub struct ExpireCycle {
    /// The database to visit next.
    pub next_db: usize,
    ran_out: bool,
    last_fast_us: u64,
    /// Share of dead keys among those looked at, in percent; a slow mean.
    pub stale_percent: f64,
}

impl ExpireCycle {
    /// The budget of a call at this pace; `None` if it should not run now. `effort` is `active-expire-effort`, 1 to 10;
    /// `now_us` any clock that only grows.
    pub fn begin(&mut self, pace: Pace, effort: u32, now_us: u64) -> Option<Budget> {
        let effort = u64::from(effort.clamp(1, 10) - 1);
        let acceptable_percent = ACCEPTABLE_PERCENT - effort;
        let fast_us = FAST_US + FAST_US / 4 * effort;
        let time_us = match pace {
            Pace::Slow { hz } => {
                ((SLOW_PERCENT + 2 * effort) * 10_000 / u64::from(hz.max(1))).max(1)
            }
            Pace::Fast => {
                if !self.ran_out && self.stale_percent < acceptable_percent as f64 {
                    return None;
                }
                if self.last_fast_us != 0 && now_us < self.last_fast_us + 2 * fast_us {
                    return None;
                }
                self.last_fast_us = now_us;
                fast_us
            }
        };
        Some(Budget {
            time_us,
            databases: if self.ran_out { usize::MAX } else { DATABASES },
            acceptable_percent,
            enough: ENOUGH * (1 + effort as usize),
        })
    }

    /// Ends a call: keys looked at, dead ones among them, and whether its time was up before its work.
    pub fn end(&mut self, examined: usize, expired: usize, ran_out: bool) {
        self.ran_out = ran_out;
        let percent = match examined {
            0 => 0.0,
            _ => expired as f64 * 100.0 / examined as f64,
        };
        self.stale_percent = percent * 0.05 + self.stale_percent * 0.95;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_cycle_takes_its_share_of_the_time() {
        let mut cycle = ExpireCycle::default();
        let at = |cycle: &mut ExpireCycle, hz, effort| {
            cycle.begin(Pace::Slow { hz }, effort, 0).map(|b| b.time_us)
        };
        assert_eq!(at(&mut cycle, 10, 1), Some(25_000));
        assert_eq!(at(&mut cycle, 500, 1), Some(500));
        assert_eq!(at(&mut cycle, 10, 10), Some(43_000));
    }

    #[test]
    fn the_fast_cycle_comes_only_when_the_slow_one_cannot_keep_up() {
        let mut cycle = ExpireCycle::default();
        assert_eq!(cycle.begin(Pace::Fast, 1, 1), None);
        cycle.end(100, 50, true);
        let budget = cycle.begin(Pace::Fast, 1, 10).expect("time ran out before");
        assert_eq!((budget.time_us, budget.databases), (1000, usize::MAX));
        cycle.end(100, 50, true);
        assert_eq!(cycle.begin(Pace::Fast, 1, 1_500), None, "not again so soon");
        assert!(cycle.begin(Pace::Fast, 1, 2_010).is_some());
        cycle.end(100, 0, false);
        assert_eq!(cycle.begin(Pace::Fast, 1, 9_000), None);
    }

    #[test]
    fn a_database_is_done_with_when_few_of_many_are_dead() {
        let mut cycle = ExpireCycle::default();
        let budget = cycle.begin(Pace::Slow { hz: 10 }, 1, 0).expect("slow");
        assert!(!budget.is_enough(100, 0), "small ones are cleaned exactly");
        assert!(budget.is_enough(20_000, 2_000));
        assert!(!budget.is_enough(20_000, 2_001));
    }
}
