//! Reports of Sudoku and maze scores: predictions for themselves, votes by board and by cell, draws, difficulty.
//! Owns which figures there are; leaves votes to [`super::board`] and the form to [`super::report`].

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use rayon::prelude::*;

use super::Share;
use super::ballot::{Tally, VoteRule};
use super::board::{BoardScorer, BoardVerdict, Puzzle, widened};
use super::cells::cell_vote;
use super::difficulty::{BucketKey, Spans, guesses_bucket};
use super::packed::Packed;
use super::report::{Accuracy, Bucket, Coverage, Criterion, ReportOptions, ScoreReport, Unit};
use crate::maze::Maze;
use crate::sudoku::{Board, solve};
use crate::{DatasetError, Task};

impl BoardScorer {
    /// What the votes so far give; `predictions` names them.
    ///
    /// # Errors
    /// When no row answers a puzzle of the dataset.
    pub fn report(&self, predictions: &[String], options: &ReportOptions) -> Result<ScoreReport, DatasetError> {
        let answered: Vec<(&Packed, &Puzzle)> =
            self.puzzles.iter().filter(|(_, puzzle)| !puzzle.ballot.is_empty()).collect();
        let sums = &self.sums;
        if answered.is_empty() {
            let found = format!("none in {} rows of {}", sums.rows + sums.unmatched_rows, predictions.join(", "));
            return Err(DatasetError::argument("predictions", "answers to puzzles of the dataset", found));
        }
        let mut accuracies = self.single_accuracies(answered.len() as u64);
        let places = Places::of(&answered);
        if answered.iter().any(|(_, puzzle)| votes_of(puzzle) > 1) {
            accuracies.extend(self.voted_accuracies(&answered, &places, &options.pass_ks));
        }
        Ok(ScoreReport {
            task: self.task.to_string(),
            predictions: predictions.to_vec(),
            coverage: Coverage {
                rows: sums.rows,
                padding_rows: sums.padding_rows,
                unmatched_rows: sums.unmatched_rows,
                puzzles: self.puzzles.len() as u64,
                puzzles_without_predictions: (self.puzzles.len() - answered.len()) as u64,
            },
            accuracies,
            buckets: self.buckets(&answered, &options.ratings),
        })
    }

    fn criteria(&self) -> &'static [Criterion] {
        match self.task {
            Task::Maze(_) => &[Criterion::Exact, Criterion::Valid, Criterion::Shortest],
            _ => &[Criterion::Exact, Criterion::Valid],
        }
    }

    /// Accuracies of predictions, each for itself. Copies of a puzzle are not independent trials: there are as many
    /// trials as puzzles.
    fn single_accuracies(&self, puzzles: u64) -> Vec<Accuracy> {
        let sums = &self.sums;
        let mean = |sum: f64| Share::of_mean(sum / sums.rows.max(1) as f64, puzzles);
        let single = |criterion: Criterion, name: &str, sum: f64| Accuracy {
            name: name.to_owned(),
            unit: Unit::Prediction,
            criterion,
            vote: "none",
            k: None,
            trials: puzzles,
            share: mean(sum),
        };
        let mut accuracies: Vec<Accuracy> = self
            .criteria()
            .iter()
            .map(|&criterion| match criterion {
                Criterion::Valid => single(criterion, "valid_accuracy", sums.valid as f64),
                Criterion::Shortest => single(criterion, "shortest_accuracy", sums.shortest as f64),
                _ => single(criterion, "exact_accuracy", sums.exact as f64),
            })
            .collect();
        accuracies.push(single(Criterion::Token, "accuracy", sums.token));
        accuracies.push(single(Criterion::QHalt, "q_halt_accuracy", sums.q_halt as f64));
        accuracies
    }

    fn voted_accuracies(&self, answered: &[(&Packed, &Puzzle)], places: &Places, pass_ks: &[usize]) -> Vec<Accuracy> {
        let total = answered.len() as u64;
        let mut accuracies = Vec::new();
        let most_candidates = answered.iter().map(|(_, puzzle)| puzzle.ballot.len()).max().unwrap_or(0);
        let fewest_votes = answered.iter().map(|(_, puzzle)| votes_of(puzzle)).min().unwrap_or(0);
        let by_cell: Vec<BoardVerdict> =
            answered.par_iter().map(|&(input, puzzle)| self.judge(input, puzzle, &self.cell_winner(puzzle))).collect();
        for &criterion in self.criteria() {
            let entry = |vote: &'static str, k: usize, share: Share| Accuracy {
                name: format!("{}_pass@{k}/{vote}", criterion.name()),
                unit: Unit::Puzzle,
                criterion,
                vote,
                k: Some(k),
                trials: total,
                share,
            };
            for rule in VoteRule::ALL {
                // Beyond all candidates there is nothing more to find.
                for &k in pass_ks.iter().filter(|&&k| k == 1 || k <= most_candidates) {
                    let right = places.first_right(rule, criterion).filter(|place| *place < k).count();
                    accuracies.push(entry(rule.name(), k, Share::of(right as u64, total)));
                }
            }
            let right = by_cell.iter().filter(|verdict| verdict.meets(criterion)).count();
            accuracies.push(entry("cell", 1, Share::of(right as u64, total)));
            for &k in pass_ks.iter().filter(|&&k| k as u64 <= fewest_votes) {
                let sum: f64 = answered.iter().map(|(_, puzzle)| chance_of_success(puzzle, criterion, k as u64)).sum();
                accuracies.push(entry("sampled", k, Share::of_mean(sum / total as f64, total)));
            }
        }
        accuracies
    }

    fn cell_winner(&self, puzzle: &Puzzle) -> Vec<u8> {
        let unpacked = |(candidate, tally): (&Packed, Tally)| (candidate.unpack(self.seq_len, self.vocab_size), tally);
        let candidates: Vec<(Vec<u8>, Tally)> = puzzle.ballot.iter().map(unpacked).collect();
        cell_vote(&candidates, self.vocab_size)
    }

    fn buckets(&self, answered: &[(&Packed, &Puzzle)], ratings: &HashMap<Vec<u8>, u64>) -> Vec<Bucket> {
        let inputs: Vec<Vec<u8>> =
            answered.iter().map(|(input, _)| input.unpack(self.seq_len, self.vocab_size)).collect();
        let best: Vec<BoardVerdict> = answered
            .iter()
            .map(|(_, puzzle)| puzzle.verdicts[puzzle.ballot.ranking(VoteRule::CountThenMeanQ)[0]])
            .collect();
        let mut buckets = Vec::new();
        let mut add = |by: &'static str, keys: Vec<Option<BucketKey>>| {
            let mut groups: BTreeMap<BucketKey, Vec<BoardVerdict>> = BTreeMap::new();
            for (key, &verdict) in keys.into_iter().zip(&best) {
                if let Some(key) = key {
                    groups.entry(key).or_default().push(verdict);
                }
            }
            buckets.extend(groups.into_iter().map(|(key, verdicts)| self.bucket(by, key.label, &verdicts)));
        };
        if !ratings.is_empty() {
            add("rating", in_spans(inputs.iter().map(|input| ratings.get(input).copied()).collect()));
        }
        match self.task {
            Task::Sudoku(_) => {
                let boards: Vec<Option<Board>> =
                    inputs.iter().map(|input| Board::from_tokens(&widened(input)).ok()).collect();
                let guesses = |board: &Option<Board>| board.as_ref().map(|board| u64::from(solve(board).guesses));
                let guesses: Vec<Option<u64>> = boards.par_iter().map(guesses).collect();
                add("guesses", guesses.into_iter().map(|guesses| guesses.map(guesses_bucket)).collect());
                let clues = |board: &Option<Board>| board.as_ref().map(|board| board.givens() as u64);
                add("clues", in_spans(boards.iter().map(clues).collect()));
            }
            Task::Maze(_) => {
                let length = |input: &Vec<u8>| Maze::from_tokens(&widened(input)).ok()?.path_length();
                let lengths: Vec<Option<usize>> = inputs.par_iter().map(length).collect();
                add(
                    "path_length",
                    in_spans(lengths.into_iter().map(|cells| cells.map(|cells| cells as u64)).collect()),
                );
            }
            Task::Arc => {}
        }
        buckets
    }

    fn bucket(&self, by: &'static str, label: String, verdicts: &[BoardVerdict]) -> Bucket {
        let total = verdicts.len() as u64;
        let accuracy = |&criterion: &Criterion| {
            let right = verdicts.iter().filter(|verdict| verdict.meets(criterion)).count();
            Accuracy {
                name: format!("{}_accuracy", criterion.name()),
                unit: Unit::Puzzle,
                criterion,
                vote: VoteRule::CountThenMeanQ.name(),
                k: Some(1),
                trials: total,
                share: Share::of(right as u64, total),
            }
        };
        Bucket { by, label, accuracies: self.criteria().iter().map(accuracy).collect() }
    }
}

/// For every rule and criterion, the place of each puzzle's first right candidate.
struct Places(IndexMap<(VoteRule, Criterion), Vec<usize>>);

impl Places {
    fn of(answered: &[(&Packed, &Puzzle)]) -> Self {
        let mut places: IndexMap<_, Vec<usize>> = IndexMap::new();
        for rule in VoteRule::ALL {
            for (_, puzzle) in answered {
                let ranking = puzzle.ballot.ranking(rule);
                for criterion in [Criterion::Exact, Criterion::Valid, Criterion::Shortest] {
                    let place = ranking.iter().position(|&index| puzzle.verdicts[index].meets(criterion));
                    places.entry((rule, criterion)).or_default().extend(place);
                }
            }
        }
        Self(places)
    }

    /// Places of the puzzles that have a right candidate at all.
    fn first_right(&self, rule: VoteRule, criterion: Criterion) -> impl Iterator<Item = usize> {
        self.0.get(&(rule, criterion)).into_iter().flatten().copied()
    }
}

fn votes_of(puzzle: &Puzzle) -> u64 {
    puzzle.ballot.iter().map(|(_, tally)| u64::from(tally.votes)).sum()
}

/// Chance that one of `k` predictions drawn without replacement meets the criterion: `1 - C(n - c, k) / C(n, k)` for
/// `c` right ones among `n` (the unbiased pass@k of Chen et al. 2021, arXiv 2107.03374).
fn chance_of_success(puzzle: &Puzzle, criterion: Criterion, k: u64) -> f64 {
    let votes = |(index, (_, tally)): (usize, (&Packed, Tally))| (puzzle.verdicts[index], u64::from(tally.votes));
    let (mut all, mut right) = (0, 0);
    for (verdict, votes) in puzzle.ballot.iter().enumerate().map(votes) {
        all += votes;
        right += if verdict.meets(criterion) { votes } else { 0 };
    }
    let wrong = all - right;
    1.0 - (0..k).map(|drawn| wrong.saturating_sub(drawn) as f64 / (all - drawn) as f64).product::<f64>()
}

fn in_spans(values: Vec<Option<u64>>) -> Vec<Option<BucketKey>> {
    let spans = Spans::new(values.iter().copied().flatten());
    values.into_iter().map(|value| value.map(|value| spans.bucket(value))).collect()
}
