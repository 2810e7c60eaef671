//! From outcomes to figures: accuracies with their intervals, by difficulty and by givens, and latencies.

use std::collections::BTreeMap;

pub use datasets::scoring::Share;
use datasets::scoring::difficulty::{BucketKey, Spans, guesses_bucket};
use serde::{Deserialize, Serialize};

use super::tally::{Kind, Solved};
use engine::Policy;

/// Accuracies of a group of puzzles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What the puzzles have in common.
    pub label: String,
    /// How many there are.
    pub puzzles: usize,
    /// Every cell of the prediction after the last step equals the label.
    pub raw: Share,
    /// Some step's prediction obeys the rules and keeps the givens.
    pub verified: Share,
    /// The engine's answer does, restarts included; `None` without a run through the engine.
    pub engine: Option<Share>,
}

/// What all steps of all puzzles gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawScore {
    /// Over all puzzles.
    pub overall: Group,
    /// The prediction after the last step obeys the rules; of a maze with several shortest paths, any of them counts.
    pub rules_accuracy: Share,
    /// Share of cells that equal the label, givens included, after the last step.
    pub token_accuracy: f64,
    /// Share of puzzles whose halting signal after the last step says rightly whether the prediction is exact.
    pub q_halt_accuracy: f64,
    /// Mean first verified step over the puzzles that have one.
    pub mean_verified_step: Option<f64>,
    /// Sudoku: by guesses that our solver needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_guesses: Vec<Group>,
    /// 9×9 Sudoku: by the weakest logic that solves them, and guesses on average; see
    /// [`hardness_bucket`](datasets::scoring::difficulty::hardness_bucket).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hardness: Vec<Group>,
    /// Sudoku: by number of givens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_givens: Vec<Group>,
    /// Mazes: by cells between start and goal on a shortest path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_length: Vec<Group>,
}

/// What the engine did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineScore {
    /// Puzzles that were solved at the same time.
    pub clients: usize,
    /// How the puzzles were solved.
    pub policy: Policy,
    /// Answers that obey the rules.
    pub verified: Share,
    /// Answers that equal the label.
    pub exact: Share,
    /// Share of puzzles that the first chain did not solve within `max_steps`.
    pub restarted: f64,
    /// Supervision steps per puzzle, of all its chains.
    pub mean_steps: f64,
    /// Throughput.
    pub puzzles_per_second: f64,
    /// Median time from a puzzle's first step to its answer.
    pub latency_p50_ms: f64,
    /// 99th percentile of the same (nearest rank).
    pub latency_p99_ms: f64,
}

/// Kinds of puzzles, to be put into groups.
#[derive(Debug)]
pub(super) struct Grouping<'k> {
    pub(super) kinds: &'k BTreeMap<Kind, Solved>,
    /// Whether the engine was asked, too.
    pub(super) has_engine: bool,
}

impl Grouping<'_> {
    pub(super) fn overall(&self) -> Group {
        let mut all = Solved::default();
        self.kinds.values().for_each(|solved| all.add(*solved));
        all.group("all".into(), self.has_engine)
    }

    /// Groups of Sudoku by our solver's guesses.
    pub(super) fn by_guesses(&self) -> Vec<Group> {
        self.grouped(|kind| kind.givens.map(|_| guesses_bucket(kind.hardness)))
    }

    /// Groups of rated Sudoku by the buckets of their ratings.
    pub(super) fn by_hardness(&self) -> Vec<Group> {
        self.grouped(|kind| kind.rating.clone())
    }

    /// Groups of Sudoku by givens.
    pub(super) fn by_givens(&self) -> Vec<Group> {
        let spans = Spans::new(self.kinds.keys().filter_map(|kind| kind.givens));
        self.grouped(|kind| kind.givens.map(|givens| spans.bucket(givens)))
    }

    /// Groups of mazes by the length of their shortest paths.
    pub(super) fn by_length(&self) -> Vec<Group> {
        let length = |kind: &Kind| kind.givens.is_none().then_some(kind.hardness);
        let spans = Spans::new(self.kinds.keys().filter_map(length));
        self.grouped(|kind| length(kind).map(|length| spans.bucket(length)))
    }

    /// Groups in the order of their buckets' numbers.
    fn grouped(&self, bucket: impl Fn(&Kind) -> Option<BucketKey>) -> Vec<Group> {
        let mut groups: BTreeMap<BucketKey, Solved> = BTreeMap::new();
        for (kind, solved) in self.kinds {
            if let Some(key) = bucket(kind) {
                groups.entry(key).or_default().add(*solved);
            }
        }
        groups.into_iter().map(|(key, solved)| solved.group(key.label, self.has_engine)).collect()
    }
}

/// Nearest-rank percentile in milliseconds of sorted microseconds.
pub(super) fn percentile(sorted_us: &[u64], quantile: f64) -> f64 {
    let rank = (quantile * sorted_us.len() as f64).ceil().max(1.0) as usize;
    sorted_us.get(rank - 1).map_or(0.0, |&us| us as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<u64> = (1..=200).map(|ms| 1000 * ms).collect();
        assert!((percentile(&sorted, 0.5) - 100.0).abs() < 1e-9);
        assert!((percentile(&sorted, 0.99) - 198.0).abs() < 1e-9);
        assert!((percentile(&sorted[..1], 0.99) - 1.0).abs() < 1e-9);
        assert!(percentile(&[], 0.5).abs() < 1e-9);
    }
}
