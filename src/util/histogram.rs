//! A latency histogram: nanoseconds to one second, two significant digits, for LATENCY HISTOGRAM and
//! INFO latencystats.
//!
//! ```text
//!   value      0 … 127 │ 128 … 255 │ 256 … 511 │ 512 … 1023 │ …        each row has 128 cells;
//!   cell width    1    │     1     │     2     │     4      │ …        a cell is at most 1/128
//!   row           0    │     1     │     2     │     3      │ … 23     of its values wide
//! ```
//!
//! A row is allocated when the first value falls in it: a command's times spread over a few powers of two,
//! so a histogram takes 5 KB where the whole table takes 24.
//!
//! Invariant: `total` is the sum of all cells.
//!
//! Mirrors: deps/hdr_histogram (Gil Tene's HdrHistogram) with the settings of server.h, and
//! `fillCommandCDF()` of latency.c; same cells, same answers. Differs: rows are allocated lazily, and only
//! what Redis asks of it is here.

const MIN_NS: u64 = 1;
/// Longer times are counted as this.
const MAX_NS: u64 = 1_000_000_000;

const CELLS_BITS: u32 = 7;
const CELLS: usize = 1 << CELLS_BITS;
/// Enough for `MAX_NS` < 2^30: row 0, and one for each highest bit from 7 to 29.
const ROWS: usize = 24;

type Row = Box<[u64; CELLS]>;

/// Counts of values by size. Recording is O(1), reading O(cells).
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    total: u64,
    rows: [Option<Row>; ROWS],
}

/// Row and cell of a value within range.
fn place(value: u64) -> (usize, usize) {
    let row = (64 - (value | (CELLS as u64 - 1)).leading_zeros() - CELLS_BITS) as usize;
    (row, (value >> row.saturating_sub(1)) as usize & (CELLS - 1))
}

/// The lowest value of a cell, and how many values it stands for.
fn span(row: usize, cell: usize) -> (u64, u64) {
    match row {
        0 => (cell as u64, 1),
        _ => (((CELLS + cell) as u64) << (row - 1), 1 << (row - 1)),
    }
}

impl Histogram {
    /// An empty one, without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration, moved into 1 ns … 1 s.
    pub fn record(&mut self, nanoseconds: u64) {
        let (row, cell) = place(nanoseconds.clamp(MIN_NS, MAX_NS));
        let row = self.rows[row].get_or_insert_with(|| Box::new([0; CELLS]));
        row[cell] += 1;
        self.total += 1;
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.rows.iter().flatten().count() * size_of::<[u64; CELLS]>()
    }

    /// The duration that `percentile` (0 to 100) of all durations do not exceed, in nanoseconds: the
    /// highest value of its cell (the lowest for percentile 0). 0 when nothing was counted.
    #[doc(alias = "hdr_value_at_percentile")]
    pub fn percentile(&self, percentile: f64) -> u64 {
        let wanted = (percentile.min(100.0) / 100.0 * self.total as f64 + 0.5) as u64;
        let wanted = wanted.max(1);
        let mut count = 0;
        for (row, cells) in self.allocated() {
            for (cell, &here) in cells.iter().enumerate() {
                count += here;
                if count >= wanted {
                    let (low, width) = span(row, cell);
                    return if percentile == 0.0 {
                        low
                    } else {
                        low + width - 1
                    };
                }
            }
        }
        0
    }

    /// For LATENCY HISTOGRAM: `(microseconds, durations so far)` at each power of two from 1,024 ns at which
    /// there are more than at the one before.
    #[doc(alias = "fillCommandCDF")]
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut points = Vec::new();
        let mut last = 0;
        // A limit is itself the lowest value of its row's first cell, which belongs to it as a whole.
        for row in 4..=ROWS {
            let below = self.rows[..row]
                .iter()
                .flatten()
                .flat_map(|cells| cells.iter());
            let at = self
                .rows
                .get(row)
                .and_then(Option::as_ref)
                .map_or(0, |cells| cells[0]);
            let so_far = below.sum::<u64>() + at;
            if so_far > last {
                let (low, width) = if row < ROWS {
                    span(row, 0)
                } else {
                    (1 << 30, 0)
                };
                points.push(((low + width - 1) / 1000, so_far));
                last = so_far;
            }
            if so_far == self.total {
                break;
            }
        }
        points
    }

    fn allocated(&self) -> impl Iterator<Item = (usize, &Row)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(index, row)| row.as_ref().map(|row| (index, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cover_the_values_without_a_gap() {
        let mut next = 0;
        for row in 0..ROWS {
            for cell in 0..CELLS {
                let (low, width) = span(row, cell);
                assert_eq!(low, next);
                assert_eq!(
                    (place(low), place(low + width - 1)),
                    ((row, cell), (row, cell))
                );
                next = low + width;
            }
        }
        assert_eq!(next, 1 << 30);
    }

    /// Asked of HdrHistogram itself, set up as Redis sets it up.
    #[test]
    fn known_answers() {
        let mut histogram = Histogram::new();
        assert_eq!(
            (histogram.percentile(50.0), histogram.cumulative()),
            (0, vec![])
        );
        histogram.record(4_096);
        histogram.record(4_194_304);
        let answers =
            [0.0, 50.0, 99.0, 100.0, 400.0].map(|percentile| histogram.percentile(percentile));
        assert_eq!(answers, [4_096, 4_127, 4_227_071, 4_227_071, 4_227_071]);
        assert_eq!(histogram.cumulative(), [(4, 1), (4_227, 2)]);

        let mut histogram = Histogram::new();
        histogram.record(67);
        histogram.record(u64::MAX);
        assert_eq!(
            (histogram.percentile(40.0), histogram.percentile(99.0)),
            (67, 1_002_438_655)
        );
        assert_eq!(histogram.cumulative(), [(1, 1), (1_073_741, 2)]);
        assert_eq!((histogram.count(), histogram.heap_bytes()), (2, 2048));
    }

    /// Against a sorted list: off by at most one part in 128.
    #[test]
    fn percentiles_are_close() {
        let mut rng = crate::util::rng::Rng::new(1);
        let mut values: Vec<u64> = (0..10_000)
            .map(|round| 1 + rng.below(1 << (round % 30)))
            .collect();
        let mut histogram = Histogram::new();
        for &value in &values {
            histogram.record(value);
        }
        values.sort_unstable();
        for percent in 1..=100 {
            let exact = values[percent * 100 - 1];
            let told = histogram.percentile(percent as f64);
            assert!(
                (exact..=exact + exact / 128 + 1).contains(&told),
                "{percent}: {exact} {told}"
            );
        }
        let points = histogram.cumulative();
        assert!(points.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(points.last().map(|point| point.1), Some(10_000));
    }
}
