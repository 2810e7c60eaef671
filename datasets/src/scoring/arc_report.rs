//! Figures and Kaggle submissions out of the votes on ARC test pairs.
//! Owns pass@K per task and per pair, and `submission.json`; leaves votes to [`super::arc`].

use std::path::Path;

use indexmap::IndexMap;

use super::Share;
use super::arc::{ArcPair, ArcScorer, ArcTask};
use super::ballot::VoteRule;
use super::grid_ballot::RankedGrid;
use super::report::{Accuracy, Coverage, Criterion, ScoreReport, Unit};
use crate::DatasetError;
use crate::store::to_python_bytes;

/// Answers of all tasks: for every test pair `attempt_1`, `attempt_2`, … as rows of colours.
pub type Submission = IndexMap<String, Vec<IndexMap<String, Vec<Vec<u8>>>>>;

impl ArcScorer {
    /// What the votes so far give, `pass_ks` being the K of pass@K; `predictions` names them.
    ///
    /// # Errors
    /// When no row answers a test pair of the dataset.
    pub fn report(&self, predictions: &[String], pass_ks: &[usize]) -> Result<ScoreReport, DatasetError> {
        let sums = self.sums;
        if sums.rows == 0 {
            let found = format!("none in {} rows of {}", sums.unmatched_rows, predictions.join(", "));
            return Err(DatasetError::argument("predictions", "answers to test pairs of the dataset", found));
        }
        let pairs: u64 = self.tasks.iter().map(|task| task.pairs.len() as u64).sum();
        let mut accuracies = Vec::new();
        for rule in VoteRule::ALL {
            let places: Vec<Vec<Option<usize>>> = self.tasks.iter().map(|task| self.places(task, rule)).collect();
            for unit in [Unit::Task, Unit::Pair] {
                accuracies.extend(pass_ks.iter().map(|&k| pass_at(k, rule, unit, &places)));
            }
        }
        accuracies.push(Accuracy {
            name: "ARC/exact_accuracy".to_owned(),
            unit: Unit::Prediction,
            criterion: Criterion::Exact,
            vote: "none",
            k: None,
            trials: sums.rows,
            share: Share::of(sums.exact, sums.rows),
        });
        Ok(ScoreReport {
            task: "arc".to_owned(),
            predictions: predictions.to_vec(),
            coverage: Coverage {
                rows: sums.rows,
                padding_rows: sums.padding_rows,
                unmatched_rows: sums.unmatched_rows,
                puzzles: pairs,
                puzzles_without_predictions: self.pairs().filter(|pair| self.is_unanswered(pair)).count() as u64,
            },
            accuracies,
            buckets: Vec::new(),
        })
    }

    /// The best `attempts` candidates of every test pair under the paper's rule, the best one repeated where there are
    /// fewer. A pair without predictions keeps its place: its attempts are Kaggle's placeholder, 2×2 cells of black.
    pub fn submission(&self, attempts: usize) -> Submission {
        let of_pair = |pair: &ArcPair| {
            let ranked = self.ranked(pair, VoteRule::CountThenMeanQ, attempts);
            let grid = |attempt: usize| ranked.get(attempt).or(ranked.first()).map_or_else(placeholder, rows_of);
            (0..attempts).map(|attempt| (format!("attempt_{}", attempt + 1), grid(attempt))).collect()
        };
        self.tasks.iter().map(|task| (task.name.clone(), task.pairs.iter().map(of_pair).collect())).collect()
    }

    /// Writes [`submission`](Self::submission) as the reference's evaluator does, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_submission(&self, path: &Path, attempts: usize) -> Result<(), DatasetError> {
        let bytes = to_python_bytes(&self.submission(attempts));
        Ok(files::write(path, bytes)?)
    }

    fn pairs(&self) -> impl Iterator<Item = &ArcPair> {
        self.tasks.iter().flat_map(|task| &task.pairs)
    }

    fn is_unanswered(&self, pair: &ArcPair) -> bool {
        self.inputs[pair.input as usize].ballot.is_empty()
    }

    /// Place of the right answer among the candidates of each pair of a task.
    fn places(&self, task: &ArcTask, rule: VoteRule) -> Vec<Option<usize>> {
        let place = |pair: &ArcPair| self.inputs[pair.input as usize].ballot.place_of(&pair.label, rule);
        task.pairs.iter().map(place).collect()
    }
}

fn pass_at(k: usize, rule: VoteRule, unit: Unit, places: &[Vec<Option<usize>>]) -> Accuracy {
    let right = |pairs: &Vec<Option<usize>>| pairs.iter().flatten().filter(|&&place| place < k).count();
    let (name, trials, share) = if unit == Unit::Task {
        // Added up in the reference's order, so that the last bit is the same.
        let sum = places.iter().fold(0.0, |sum, pairs| sum + right(pairs) as f64 / pairs.len() as f64);
        ("ARC/pass", places.len() as u64, Share::of_mean(sum / places.len() as f64, places.len() as u64))
    } else {
        let trials = places.iter().map(Vec::len).sum::<usize>() as u64;
        ("ARC/example_pass", trials, Share::of(places.iter().map(right).sum::<usize>() as u64, trials))
    };
    let rule_name = if rule == VoteRule::CountThenMeanQ { String::new() } else { format!("/{rule}") };
    Accuracy {
        name: format!("{name}@{k}{rule_name}"),
        unit,
        criterion: Criterion::Exact,
        vote: rule.name(),
        k: Some(k),
        trials,
        share,
    }
}

fn rows_of(ranked: &RankedGrid) -> Vec<Vec<u8>> {
    ranked.grid.lines().map(<[u8]>::to_vec).collect()
}

fn placeholder() -> Vec<Vec<u8>> {
    vec![vec![0; 2]; 2]
}
