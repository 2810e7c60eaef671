//! Counters, histograms and the recent rate of one engine: written by its thread, read by others without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::Answer;

/// Upper bounds of steps per answer: close where models usually halt.
const STEPS: &[u64] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024, 4096];

/// Upper bounds of latencies in microseconds.
const MICROSECONDS: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// Counters since the engine started.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) accepted: Counter,
    pub(super) rejected: Counter,
    pub(super) cancelled: Counter,
    pub(super) expired: Counter,
    pub(super) failed: Counter,
    pub(super) answered: Counter,
    pub(super) verified: Counter,
    pub(super) restarted: Counter,
    pub(super) turns: Counter,
    pub(super) rows: Counter,
    pub(super) padding_rows: Counter,
    /// Rows that hold a chain now.
    slots_in_use: AtomicUsize,
    rate: Rate,
    model_ns: Counter,
    busy_ns: Counter,
    steps: Histogram,
    queue_micros: Histogram,
    compute_micros: Histogram,
    total_micros: Histogram,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, amount: u64) {
        // Counters are statistics: no other memory is published through them.
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What [`Engine::metrics`](super::Engine::metrics) shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MetricsSnapshot {
    /// Requests that entered the queue.
    pub accepted: u64,
    /// Requests that found the queue full.
    pub rejected: u64,
    /// Requests whose client went away.
    pub cancelled: u64,
    /// Requests whose deadline passed before their first step.
    pub expired: u64,
    /// Requests that a failing model took along.
    pub failed: u64,
    /// Requests that got an answer.
    pub answered: u64,
    /// Answers that obey the rules.
    pub verified: u64,
    /// Answers that took more than one chain.
    pub restarted: u64,
    /// Batches run.
    pub turns: u64,
    /// Steps run: occupied rows over all batches.
    pub rows: u64,
    /// Rows that were computed only to fill a fixed batch size.
    pub padding_rows: u64,
    /// Time inside the model, in seconds.
    pub model_seconds: f64,
    /// Time inside turns, the model included, in seconds.
    pub busy_seconds: f64,
    /// Puzzles that wait now.
    pub waiting: usize,
    /// Slots that hold a chain now.
    pub slots_in_use: usize,
}

/// What [`Engine::histograms`](super::Engine::histograms) shows: how the answers so far are distributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histograms {
    /// Supervision steps of all chains of an answer.
    pub steps: HistogramSnapshot,
    /// Microseconds from submission to the first step.
    pub queue_micros: HistogramSnapshot,
    /// Microseconds from the first step to the answer.
    pub compute_micros: HistogramSnapshot,
    /// Microseconds from submission to the answer.
    pub total_micros: HistogramSnapshot,
}

impl Default for Metrics {
    fn default() -> Self {
        let micros = || Histogram::new(MICROSECONDS);
        Self {
            accepted: Counter::default(),
            rejected: Counter::default(),
            cancelled: Counter::default(),
            expired: Counter::default(),
            failed: Counter::default(),
            answered: Counter::default(),
            verified: Counter::default(),
            restarted: Counter::default(),
            turns: Counter::default(),
            rows: Counter::default(),
            padding_rows: Counter::default(),
            slots_in_use: AtomicUsize::new(0),
            rate: Rate::default(),
            model_ns: Counter::default(),
            busy_ns: Counter::default(),
            steps: Histogram::new(STEPS),
            queue_micros: micros(),
            compute_micros: micros(),
            total_micros: micros(),
        }
    }
}

impl Metrics {
    pub(super) fn add_answer(&self, answer: Option<&Answer>) {
        let Some(answer) = answer else { return };
        self.answered.add(1);
        self.verified.add(u64::from(answer.verified));
        self.restarted.add(u64::from(answer.chains > 1));
        self.steps.add(answer.total_steps as u64);
        self.queue_micros.add_micros(answer.timings.queue);
        self.compute_micros.add_micros(answer.timings.compute);
        self.total_micros.add_micros(answer.timings.total());
    }

    /// `ended`: requests that the turn brought to their end.
    pub(super) fn add_turn(&self, model: Duration, busy: Duration, ended: usize) {
        self.rate.add_turn(busy, ended);
        self.turns.add(1);
        self.model_ns.add(model.as_nanos() as u64);
        self.busy_ns.add(busy.as_nanos() as u64);
    }

    /// Busy time per answer of late; `None` before the first answer.
    pub(super) fn time_per_answer(&self) -> Option<Duration> {
        self.rate.time_each()
    }

    pub(super) fn snapshot(&self, waiting: usize) -> MetricsSnapshot {
        MetricsSnapshot {
            accepted: self.accepted.get(),
            rejected: self.rejected.get(),
            cancelled: self.cancelled.get(),
            expired: self.expired.get(),
            failed: self.failed.get(),
            answered: self.answered.get(),
            verified: self.verified.get(),
            restarted: self.restarted.get(),
            turns: self.turns.get(),
            rows: self.rows.get(),
            padding_rows: self.padding_rows.get(),
            model_seconds: Duration::from_nanos(self.model_ns.get()).as_secs_f64(),
            busy_seconds: Duration::from_nanos(self.busy_ns.get()).as_secs_f64(),
            waiting,
            slots_in_use: self.slots_in_use.load(Ordering::Relaxed),
        }
    }

    pub(super) fn histograms(&self) -> Histograms {
        Histograms {
            steps: self.steps.snapshot(),
            queue_micros: self.queue_micros.snapshot(),
            compute_micros: self.compute_micros.snapshot(),
            total_micros: self.total_micros.snapshot(),
        }
    }

    pub(super) fn set_slots_in_use(&self, count: usize) {
        self.slots_in_use.store(count, Ordering::Relaxed);
    }
}

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

/// Work and what came of it, older work counting less: half of it is forgotten after [`HALF_LIFE`] of work.
///
/// Written by the engine's thread alone; a reader may see one number of this turn and one of the last.
#[derive(Debug, Default)]
pub(super) struct Rate {
    busy_seconds: AtomicFloat,
    ended: AtomicFloat,
}

/// Long enough for hundreds of answers of a small model, short enough to notice that puzzles have become harder.
const HALF_LIFE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct AtomicFloat(AtomicU64);

impl AtomicFloat {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Rate {
    /// Takes note of a turn after which `ended` requests needed nothing more.
    pub(super) fn add_turn(&self, busy: Duration, ended: usize) {
        let kept = (-busy.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        self.busy_seconds.set(kept * self.busy_seconds.get() + busy.as_secs_f64());
        self.ended.set(kept * self.ended.get() + ended as f64);
    }

    /// Work per request; `None` before the first has ended.
    pub(super) fn time_each(&self) -> Option<Duration> {
        let ended = self.ended.get();
        (ended > 0.0).then(|| Duration::try_from_secs_f64(self.busy_seconds.get() / ended).unwrap_or(Duration::MAX))
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

    #[test]
    fn the_rate_follows_the_last_seconds_of_work() {
        let rate = Rate::default();
        assert_eq!(rate.time_each(), None);
        let turns = |count, milliseconds, ended| {
            for _ in 0..count {
                rate.add_turn(Duration::from_millis(milliseconds), ended);
            }
            rate.time_each().unwrap().as_secs_f64()
        };
        assert!((turns(1000, 10, 2) - 0.005).abs() < 1e-9);
        // After one half-life of turns that end nothing, half of the answers are left, and half of the ten seconds
        // that a long past amounts to plus five of the new: the weights 2^(-t/5) sum up to 5 / ln 2 seconds.
        let all = 5.0 / std::f64::consts::LN_2;
        let expected = all / (0.5 * (1.0 - 0.25) * all / 0.005);
        assert!((turns(500, 10, 0) / expected - 1.0).abs() < 0.15, "{expected}");
        assert!((turns(5000, 10, 1) - 0.01).abs() < 1e-3);
    }
}
