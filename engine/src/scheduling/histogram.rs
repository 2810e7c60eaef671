//! A histogram that a thread may fill while others read it: counters only, no lock.

use std::time::Duration;

use super::metrics::Counter;

/// Counts of whole numbers by upper bound.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what exceeds them all.
    counts: Box<[Counter]>,
    sum: Counter,
}

/// What has been counted so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bounds, inclusive, in the unit of the values.
    pub bounds: &'static [u64],
    /// `[bounds.len() + 1]`: values up to each bound and above the one before; the last are above all bounds.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum: Counter::default() }
    }

    pub(super) fn add(&self, value: u64) {
        self.counts[self.bounds.partition_point(|&bound| bound < value)].add(1);
        self.sum.add(value);
    }

    pub(super) fn add_micros(&self, duration: Duration) {
        self.add(duration.as_micros() as u64);
    }

    pub(super) fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.counts.iter().map(Counter::get).collect();
        HistogramSnapshot { bounds: self.bounds, counts, sum: self.sum.get() }
    }
}

impl HistogramSnapshot {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_the_first_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new(&[1, 4, 16]);
        for value in [0, 1, 2, 4, 5, 16, 17, 1000] {
            histogram.add(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.counts, [2, 2, 2, 2]);
        assert_eq!((snapshot.sum, snapshot.count()), (1045, 8));
    }
}
