//! Latency events: delays that clients felt, the worst of each second and kind, for LATENCY.
//!
//! ```text
//!   latency-monitor-threshold 100
//!   "command"       [ 12:00:01 250 ms ][ 12:07:30 110 ms ] …   the last 160 seconds with an event
//!   "expire-cycle"  [ 12:03:11 130 ms ]
//! ```
//!
//! Mirrors: latency.c.
//! Differs: the samples of an event are a queue that grows to its bound; Redis has a ring of 160 from the first
//! sample on.

use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Samples kept per event.
const SAMPLES: usize = 160;

/// The worst delay within one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix time in seconds.
    pub time: i64,
    /// Milliseconds.
    pub latency_ms: u64,
}

/// The samples of one event.
#[derive(Debug, Default)]
pub struct Series {
    samples: VecDeque<Sample>,
    /// The worst since the last reset, in milliseconds.
    pub max_ms: u64,
}

impl Series {
    /// Oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The latest.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }

    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.latency_ms);
        if let Some(last) = self.samples.back_mut()
            && last.time == sample.time
        {
            last.latency_ms = last.latency_ms.max(sample.latency_ms);
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The statistics of the samples; `now` in unix seconds.
    #[doc(alias = "analyzeLatencyForEvent")]
    pub fn summary(&self, now: i64) -> Summary {
        let count = self.samples.len() as u64;
        if count == 0 {
            return Summary::default();
        }
        let latencies = || self.samples.iter().map(|s| s.latency_ms);
        let mean = latencies().sum::<u64>() / count;
        let oldest = self.samples.front().map_or(now, |s| s.time);
        Summary {
            count,
            mean_ms: mean,
            deviation_ms: latencies().map(|ms| ms.abs_diff(mean)).sum::<u64>() / count,
            period_seconds: (now - oldest).max(1),
        }
    }
}

/// The statistics of an event's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Mean, in milliseconds.
    pub mean_ms: u64,
    /// Mean absolute deviation from it.
    pub deviation_ms: u64,
    /// Seconds since the oldest sample.
    pub period_seconds: i64,
}

/// All latency events of a server.
#[derive(Debug, Default)]
pub struct Latency {
    events: BTreeMap<&'static str, Series>,
}

impl Latency {
    /// Notes a delay, if it is at least the threshold (0: nothing is noted).
    #[doc(alias = "latencyAddSampleIfNeeded")]
    #[inline]
    pub fn note(&mut self, event: &'static str, latency_ms: u64, threshold: u64, now: i64) {
        if threshold != 0 && latency_ms >= threshold {
            let sample = Sample {
                time: now,
                latency_ms,
            };
            self.events.entry(event).or_default().add(sample);
        }
    }

    /// The events noted so far, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &Series)> {
        self.events.iter().map(|(name, series)| (*name, series))
    }

    /// The samples of an event.
    pub fn get(&self, event: &[u8]) -> Option<(&'static str, &Series)> {
        self.iter().find(|(name, _)| name.as_bytes() == event)
    }

    /// Forgets one event, or all; returns how many there were.
    pub fn reset(&mut self, event: Option<&[u8]>) -> usize {
        let before = self.events.len();
        match event {
            None => self.events.clear(),
            Some(event) => {
                let other = |name: &str| !name.as_bytes().eq_ignore_ascii_case(event);
                self.events.retain(|name, _| other(name));
            }
        }
        before - self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_a_second_the_worst() {
        let mut latency = Latency::default();
        latency.note("command", 99, 100, 5);
        latency.note("command", 100, 0, 5);
        assert_eq!(latency.iter().len(), 0);
        for (ms, now) in [(100, 5), (300, 5), (200, 5), (100, 9)] {
            latency.note("command", ms, 100, now);
        }
        let (_, series) = latency.get(b"command").unwrap();
        let samples: Vec<_> = series.iter().map(|s| (s.time, s.latency_ms)).collect();
        assert_eq!(samples, [(5, 300), (9, 100)]);
        let summary = Summary {
            count: 2,
            mean_ms: 200,
            deviation_ms: 100,
            period_seconds: 5,
        };
        assert_eq!(series.summary(10), summary);
        for now in 0..400 {
            latency.note("fork", 500, 100, now);
        }
        assert_eq!(latency.get(b"fork").unwrap().1.iter().len(), SAMPLES);
        assert_eq!((latency.reset(Some(b"FORK")), latency.reset(None)), (1, 1));
    }
}
