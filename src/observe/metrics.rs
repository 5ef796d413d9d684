//! Figures per second, from samples the cron takes ten times a second: `instantaneous_*` of INFO.
//!
//! Mirrors: `trackInstantaneousMetric` and `getInstantaneousMetric` of server.c.
//! Differs: in nothing that INFO shows: the mean of 16 samples, as in Redis.

/// Samples averaged.
const SAMPLES: usize = 16;

/// A rate that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Commands per second.
    Commands,
    /// Bytes read per second.
    Input,
    /// Bytes written per second.
    Output,
    /// Bytes read from the primary per second.
    ReplicationInput,
    /// Bytes written to replicas per second.
    ReplicationOutput,
    /// Turns of the loop per second.
    Cycles,
    /// Microseconds per turn of the loop.
    CycleDuration,
}

const METRICS: usize = 7;

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    last_value: u64,
    last_base: u64,
    samples: [u64; SAMPLES],
    next: usize,
}

/// The samples of every metric.
#[derive(Debug, Default)]
pub struct Metrics([Track; METRICS]);

impl Metrics {
    /// Samples a counter: how much it grew per `factor` of growth of the base since the last time.
    pub fn sample(&mut self, metric: Metric, value: u64, base: u64, factor: u64) {
        let track = &mut self.0[metric as usize];
        if track.last_base > 0 {
            let grown = value.saturating_sub(track.last_value);
            let over = base.saturating_sub(track.last_base);
            let rate = u128::from(grown) * u128::from(factor) / u128::from(over.max(1));
            track.samples[track.next] = if over > 0 { rate as u64 } else { 0 };
            track.next = (track.next + 1) % SAMPLES;
        }
        track.last_value = value;
        track.last_base = base;
    }

    /// The mean of the last samples.
    pub fn get(&self, metric: Metric) -> u64 {
        self.0[metric as usize].samples.iter().sum::<u64>() / SAMPLES as u64
    }
}

/// How often something was measured, how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    /// Times.
    pub count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl Durations {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, ns: u64) {
        self.count += 1;
        self.sum_ns += ns;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Microseconds in all.
    pub fn sum_us(&self) -> u64 {
        self.sum_ns / 1000
    }

    /// Microseconds of the longest.
    pub fn max_us(&self) -> u64 {
        self.max_ns / 1000
    }
}
