//! From outcomes to figures: accuracies with their intervals, by difficulty and by givens, and latencies.

use std::collections::BTreeMap;
use std::time::Duration;

pub use datasets::scoring::Share;
use datasets::scoring::difficulty::{BucketKey, Spans, guesses_bucket};
use serde::{Deserialize, Serialize};

use super::measure::{EngineRun, RawOutcome};
use super::puzzle_set::EvaluationPuzzle;
use crate::engine::{Answer, Policy};
use crate::task::tokens_of;

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
    /// Share of cells that equal the label, givens included, after the last step.
    pub token_accuracy: f64,
    /// Share of puzzles whose halting signal after the last step says rightly whether the prediction is exact.
    pub q_halt_accuracy: f64,
    /// Mean first verified step over the puzzles that have one.
    pub mean_verified_step: Option<f64>,
    /// By guesses that our solver needs.
    pub by_guesses: Vec<Group>,
    /// By number of givens.
    pub by_givens: Vec<Group>,
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
    /// Share of puzzles that the first chain of thought did not solve within `max_steps`.
    pub restarted: f64,
    /// Supervision steps per puzzle, of all its chains.
    pub mean_steps: f64,
    /// Throughput.
    pub puzzles_per_second: f64,
    /// Median time from submission to answer.
    pub latency_p50_ms: f64,
    /// 99th percentile of the same (nearest rank).
    pub latency_p99_ms: f64,
}

/// Scores of a raw run, beside what the engine answered to the same puzzles, if it was asked.
pub fn score_raw(puzzles: &[EvaluationPuzzle], outcomes: &[RawOutcome], answers: Option<&[Answer]>) -> RawScore {
    let judge = |(index, (puzzle, outcome))| Judged::new(puzzle, outcome, answers.map(|answers| &answers[index]));
    let judged: Vec<Judged> = puzzles.iter().zip(outcomes).enumerate().map(judge).collect();
    let total = judged.len().max(1) as f64;
    let givens = Spans::new(judged.iter().map(|judged| judged.givens as u64));
    let steps: Vec<usize> = outcomes.iter().filter_map(|outcome| outcome.first_verified).collect();
    RawScore {
        overall: group("all".into(), judged.iter()),
        token_accuracy: judged.iter().map(|judged| judged.correct_cells).sum::<f64>() / total,
        q_halt_accuracy: judged.iter().filter(|judged| judged.q_is_right).count() as f64 / total,
        mean_verified_step: (!steps.is_empty()).then(|| steps.iter().sum::<usize>() as f64 / steps.len() as f64),
        by_guesses: grouped(&judged, |judged| guesses_bucket(u64::from(judged.guesses))),
        by_givens: grouped(&judged, |judged| givens.bucket(judged.givens as u64)),
    }
}

/// Scores of a run through the engine.
pub fn score_engine(run: &EngineRun, policy: Policy, clients: usize) -> EngineScore {
    let count = run.answers.len();
    let mut latencies: Vec<Duration> = run.answers.iter().map(|answer| answer.timings.total()).collect();
    latencies.sort_unstable();
    EngineScore {
        clients,
        policy,
        restarted: run.answers.iter().filter(|answer| answer.chains > 1).count() as f64 / count.max(1) as f64,
        verified: share(run.answers.iter().filter(|answer| answer.verified).count(), count),
        mean_steps: run.answers.iter().map(|answer| answer.total_steps).sum::<usize>() as f64 / count.max(1) as f64,
        puzzles_per_second: count as f64 / run.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
        latency_p50_ms: percentile(&latencies, 0.5),
        latency_p99_ms: percentile(&latencies, 0.99),
    }
}

/// One puzzle's facts and successes.
#[derive(Debug)]
struct Judged {
    guesses: u32,
    givens: usize,
    exact: bool,
    verified: bool,
    engine: Option<bool>,
    correct_cells: f64,
    q_is_right: bool,
}

impl Judged {
    fn new(puzzle: &EvaluationPuzzle, outcome: &RawOutcome, answer: Option<&Answer>) -> Self {
        let label = tokens_of(&puzzle.solution);
        let correct = label.iter().zip(&outcome.answer).filter(|(label, answer)| label == answer).count();
        let exact = correct == label.len();
        Self {
            guesses: puzzle.guesses,
            givens: puzzle.puzzle.givens(),
            exact,
            verified: outcome.first_verified.is_some(),
            engine: answer.map(|answer| answer.verified),
            correct_cells: correct as f64 / label.len() as f64,
            q_is_right: (outcome.q > 0.0) == exact,
        }
    }
}

fn group<'j>(label: String, judged: impl Iterator<Item = &'j Judged> + Clone) -> Group {
    let puzzles = judged.clone().count();
    Group {
        label,
        puzzles,
        raw: share(judged.clone().filter(|judged| judged.exact).count(), puzzles),
        verified: share(judged.clone().filter(|judged| judged.verified).count(), puzzles),
        engine: judged
            .map(|judged| judged.engine)
            .try_fold(0, |solved, engine| engine.map(|engine| solved + usize::from(engine)))
            .map(|solved| share(solved, puzzles)),
    }
}

/// Groups in the order of their buckets' numbers.
fn grouped(judged: &[Judged], bucket: impl Fn(&Judged) -> BucketKey) -> Vec<Group> {
    let mut groups: BTreeMap<BucketKey, Vec<&Judged>> = BTreeMap::new();
    for one in judged {
        groups.entry(bucket(one)).or_default().push(one);
    }
    groups.into_iter().map(|(key, members)| group(key.label, members.iter().copied())).collect()
}

fn share(successes: usize, total: usize) -> Share {
    Share::of(successes as u64, total as u64)
}

/// Nearest-rank percentile in milliseconds of sorted durations.
fn percentile(sorted: &[Duration], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
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
        RawOutcome { answer, q, first_verified }
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
        let score = score_raw(&puzzles, &outcomes, None);
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
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert!((percentile(&sorted, 0.5) - 100.0).abs() < 1e-9);
        assert!((percentile(&sorted, 0.99) - 198.0).abs() < 1e-9);
        assert!((percentile(&sorted[..1], 0.99) - 1.0).abs() < 1e-9);
        assert!(percentile(&[], 0.5).abs() < 1e-9);
    }
}
