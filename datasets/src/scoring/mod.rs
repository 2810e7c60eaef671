//! What predictions are worth: votes over augmentations and passes, pass@K, accuracies with their intervals.
//! Owns prediction files, voting and scores; leaves running models to the trainer and the server.

mod arc;
mod arc_report;
mod ballot;
mod board;
mod board_report;
mod cells;
mod copies;
pub mod difficulty;
mod grid_ballot;
mod interval;
mod packed;
pub mod predictions;
mod ratings;
mod report;
mod scorer;

pub use arc::ArcScorer;
pub use arc_report::Submission;
pub use ballot::{Ballot, Tally, VoteRule, halting_probability};
pub use board::{BoardScorer, BoardVerdict};
pub use copies::{BoardSymmetry, SymmetricCopies, puzzle_seed};
pub use grid_ballot::{GridBallot, RankedGrid};
pub use interval::{Share, wilson_interval, wilson_interval_of_share};
pub use ratings::read_ratings;
pub use report::{Accuracy, Bucket, Coverage, Criterion, DEFAULT_PASS_KS, ReportOptions, ScoreReport, Unit};
pub use scorer::Scorer;
