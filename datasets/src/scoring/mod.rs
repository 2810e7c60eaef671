//! What predictions are worth: votes over augmentations and passes, pass@K, accuracies with their intervals.
//! Owns prediction files, voting and scores; leaves running models to the trainer and the server.

mod ballot;
mod interval;
pub mod predictions;

pub use ballot::{Tally, VoteRule, halting_probability};
pub use interval::{Share, wilson_interval, wilson_interval_of_share};
