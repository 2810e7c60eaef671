//! From outcomes to figures: accuracies with their intervals, by difficulty and by givens, and latencies.

use std::collections::BTreeMap;

pub use datasets::scoring::Share;
use datasets::scoring::difficulty::{BucketKey, Spans, guesses_bucket};
use datasets::sudoku::hardness;
use serde::{Deserialize, Serialize};

use super::measure::RawOutcome;
use super::puzzle_set::EvaluationPuzzle;
use super::records::{Entry, Facts, StepsRecord};
use super::tally::{Kind, Solved, StepsTally};
use engine::Policy;
use engine::task::tokens_of;

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
    /// Puzzles that thought at the same time.
    pub clients: usize,
    /// How the puzzles were thought about.
    pub policy: Policy,
    /// Answers that obey the rules.
    pub verified: Share,
    /// Answers that equal the label.
    pub exact: Share,
    /// Share of puzzles that the first chain of thought did not solve within `max_steps`.
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

/// Scores of a raw run, in which every puzzle took `steps` steps.
pub fn score_raw(puzzles: &[EvaluationPuzzle], outcomes: &[RawOutcome], steps: usize) -> RawScore {
    let mut tally = StepsTally::new(&[steps], steps);
    for (number, (puzzle, outcome)) in puzzles.iter().zip(outcomes).enumerate() {
        let label = tokens_of(&puzzle.solution);
        let correct = label.iter().zip(&outcome.answer).filter(|(label, answer)| label == answer).count();
        let at = |holds: bool| if holds { vec![steps] } else { Vec::new() };
        tally.add(Entry::Puzzle(StepsRecord {
            facts: Facts {
                puzzle: number as u64,
                hardness: u64::from(puzzle.guesses),
                givens: Some(puzzle.puzzle.givens() as u64),
                rating: hardness(&puzzle.puzzle).ok(),
            },
            exact_at: at(correct == label.len()),
            obeys_at: at(outcome.obeys),
            q_at: at(outcome.q > 0.0),
            first_verified: outcome.first_verified,
            correct_cells: correct,
            labelled_cells: label.len(),
        }));
    }
    tally.score(None)
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
    use datasets::scoring::wilson_interval;
    use datasets::sudoku::{Board, SudokuShape, solve};

    use super::*;

    fn puzzle(text: &str, guesses: u32) -> EvaluationPuzzle {
        let puzzle = Board::parse_shape(SudokuShape::FOUR, text).unwrap();
        EvaluationPuzzle { solution: solve(&puzzle).first.unwrap(), puzzle, guesses }
    }

    fn outcome(answer: Vec<i64>, q: f32, first_verified: Option<usize>) -> RawOutcome {
        RawOutcome { obeys: first_verified.is_some() && q > 0.0, answer, q, first_verified }
    }

    #[test]
    fn raw_and_verified_are_counted_apart() {
        let puzzles = [
            puzzle("1...............", 0),
            puzzle("12..............", 2),
            puzzle("123.............", 11),
            puzzle("12..............", 3),
        ];
        let right = |index: usize| tokens_of(&puzzles[index].solution);
        let mut off_by_one = right(1);
        off_by_one[15] = 1;
        let outcomes = [
            outcome(right(0), 1.0, Some(2)),
            // Was right at step 4 and spoiled it later: verified, not raw.
            outcome(off_by_one, -1.0, Some(4)),
            outcome(vec![1; 16], 1.0, None),
            outcome(right(3), -1.0, Some(3)),
        ];
        let score = score_raw(&puzzles, &outcomes, 16);
        assert!((score.overall.raw.accuracy - 0.5).abs() < 1e-12);
        assert!((score.overall.verified.accuracy - 0.75).abs() < 1e-12);
        assert_eq!(score.overall.raw.interval, wilson_interval(2, 4));
        assert!((score.token_accuracy - (1.0 + 15.0 / 16.0 + 0.0 + 1.0) / 4.0).abs() < 1e-12);
        assert!((score.q_halt_accuracy - 0.5).abs() < 1e-12);
        assert_eq!(score.mean_verified_step, Some(3.0));
        let labels = |groups: &[Group]| -> Vec<(String, usize)> {
            groups.iter().map(|group| (group.label.clone(), group.puzzles)).collect()
        };
        assert_eq!(labels(&score.by_guesses), [("0".into(), 1), ("1–3".into(), 2), ("11–30".into(), 1)]);
        assert_eq!(labels(&score.by_givens), [("1".into(), 1), ("2".into(), 2), ("3".into(), 1)]);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<u64> = (1..=200).map(|ms| 1000 * ms).collect();
        assert!((percentile(&sorted, 0.5) - 100.0).abs() < 1e-9);
        assert!((percentile(&sorted, 0.99) - 198.0).abs() < 1e-9);
        assert!((percentile(&sorted[..1], 0.99) - 1.0).abs() < 1e-9);
        assert!(percentile(&[], 0.5).abs() < 1e-9);
    }
}
