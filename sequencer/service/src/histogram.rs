//! Counts of values by size: what a monitor needs to tell a slow hundredth from a slow whole.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Values by their upper bounds, in whole units. Adding one is two atomic additions.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: the last counts what is beyond all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// One reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bound and how many values are at most that large, rising.
    pub cumulative: Vec<(u64, u64)>,
    pub count: u64,
    pub sum: u64,
}

/// Bounds for times, in microseconds: from half a millisecond to ten seconds.
pub const LATENCY_US: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];
/// Bounds for sizes, in bytes: from 256 B to 16 MiB.
pub const SIZE_BYTES: &[u64] =
    &[256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
/// Bounds for counts.
pub const COUNTS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1000];

impl Histogram {
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Adds a time, in microseconds.
    pub fn observe_time(&self, took: Duration) {
        self.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn read(&self) -> Distribution {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(self.bounds.len());
        for (bound, held) in self.bounds.iter().zip(&self.counts) {
            count += held.load(Relaxed);
            cumulative.push((*bound, count));
        }
        count += self.counts[self.bounds.len()].load(Relaxed);
        Distribution { cumulative, count, sum: self.sum.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_its_bound_and_every_larger_one() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 1000] {
            histogram.observe(value);
        }
        let read = histogram.read();
        assert_eq!(read.cumulative, [(1, 2), (10, 4), (100, 5)]);
        assert_eq!((read.count, read.sum), (6, 1024));
    }
}
