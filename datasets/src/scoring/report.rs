//! What a score says: every accuracy under the name of its variant, with its interval.
//! Owns the form of reports, which is also that of `--json`; leaves counting to the scorers.

use std::collections::HashMap;

use serde::Serialize;

use super::Share;

/// K of pass@K as the paper's evaluator reports it.
pub const DEFAULT_PASS_KS: [usize; 6] = [1, 2, 5, 10, 100, 1000];

/// What a report says beyond the figures that it always has.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// Candidates of which one must be right: the K of pass@K.
    pub pass_ks: Vec<usize>,
    /// Ratings of puzzles, by their input tokens; difficulty is then measured by them as well.
    pub ratings: HashMap<Vec<u8>, u64>,
}

impl Default for ReportOptions {
    /// The K of the paper's evaluator, no ratings.
    fn default() -> Self {
        Self { pass_ks: DEFAULT_PASS_KS.to_vec(), ratings: HashMap::new() }
    }
}

/// What one trial of an accuracy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One row of a prediction file.
    Prediction,
    /// One Sudoku or maze of the test set.
    Puzzle,
    /// One ARC task, which counts by the share of its test pairs that are right (the reference's average).
    Task,
    /// One ARC test pair, all tasks pooled.
    Pair,
}

/// What makes an answer count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Every labelled token equals the label.
    Exact,
    /// The answer obeys the puzzle's rules and keeps its givens, whatever the label.
    Valid,
    /// A valid path of a maze than which none is shorter.
    Shortest,
    /// Labelled tokens that equal the label, as a mean over predictions.
    Token,
    /// The sign of the halting logit says whether the prediction is exact.
    QHalt,
}

impl Criterion {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Valid => "valid",
            Self::Shortest => "shortest",
            Self::Token => "token",
            Self::QHalt => "q_halt",
        }
    }
}

/// One accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// The name of the figure; the reference's where it has one (`ARC/pass@2`, `exact_accuracy`).
    pub name: String,
    /// What a trial is.
    pub unit: Unit,
    /// What makes a trial a success.
    pub criterion: Criterion,
    /// How predictions became candidates: `none` (each prediction for itself), the name of a
    /// [`VoteRule`](super::VoteRule), `cell` (a vote per cell) or `sampled` (as many predictions drawn at random).
    pub vote: &'static str,
    /// Candidates of which one must be right; `None` for figures without voting.
    pub k: Option<usize>,
    /// Number of trials.
    pub trials: u64,
    /// Mean over the trials and its Wilson 95 % interval.
    #[serde(flatten)]
    pub share: Share,
}

/// How many rows and puzzles a score is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Rows that took part.
    pub rows: u64,
    /// Rows of padding, which don't.
    pub padding_rows: u64,
    /// Rows whose input is not a test puzzle of the dataset.
    pub unmatched_rows: u64,
    /// Test pairs (ARC) or puzzles of the dataset.
    pub puzzles: u64,
    /// Those that no row answers. In ARC they count as wrong, elsewhere not at all.
    pub puzzles_without_predictions: u64,
}

/// Accuracies of the puzzles of one difficulty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bucket {
    /// What difficulty is measured by.
    pub by: &'static str,
    /// The bucket's values, for people.
    pub label: String,
    /// Accuracies of the best candidate, one per criterion.
    pub accuracies: Vec<Accuracy>,
}

/// Everything that one set of votes gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreReport {
    /// The dataset's task.
    pub task: String,
    /// The predictions that voted together.
    pub predictions: Vec<String>,
    /// Rows and puzzles.
    pub coverage: Coverage,
    /// All accuracies, the most important first.
    pub accuracies: Vec<Accuracy>,
    /// By difficulty, easiest first; empty for ARC.
    pub buckets: Vec<Bucket>,
}

impl ScoreReport {
    /// The accuracy of a name.
    pub fn accuracy(&self, name: &str) -> Option<&Accuracy> {
        self.accuracies.iter().find(|accuracy| accuracy.name == name)
    }
}
