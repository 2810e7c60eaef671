//! Counters of one engine, written by its thread and readable by everyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::Answer;

/// Counters since the engine started.
#[derive(Debug, Default)]
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
    model_ns: Counter,
    busy_ns: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, amount: u64) {
        // Counters are statistics: no other memory is published through them.
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
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
    /// Answers that took more than one chain of thought.
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
}

impl Metrics {
    pub(super) fn add_answer(&self, answer: Option<&Answer>) {
        let Some(answer) = answer else { return };
        self.answered.add(1);
        self.verified.add(u64::from(answer.verified));
        self.restarted.add(u64::from(answer.chains > 1));
    }

    pub(super) fn add_turn(&self, model: Duration, busy: Duration) {
        self.turns.add(1);
        self.model_ns.add(model.as_nanos() as u64);
        self.busy_ns.add(busy.as_nanos() as u64);
    }

    /// Busy time per answer so far; `None` before the first answer.
    pub(super) fn time_per_answer(&self) -> Option<Duration> {
        self.busy_ns.get().checked_div(self.answered.get()).map(Duration::from_nanos)
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
        }
    }
}
