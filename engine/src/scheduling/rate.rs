//! How fast an engine has been of late: what it tells clients who have to wait or come again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Work and what came of it, older work counting less: half of it is forgotten after [`HALF_LIFE`] of work.
///
/// Written by the engine's thread alone; whoever reads may see one number of this turn and one of the last.
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
