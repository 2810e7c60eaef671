//! Votes for the output of one ARC test input: predictions are cropped, their augmentation is undone, equal grids add up.
//! Owns that; leaves which prediction belongs to which input to the scorer and the server.

use super::ballot::{Ballot, VoteRule, halting_probability};
use super::packed::PackedGrid;
use crate::arc::{Augmentation, Grid, crop};

/// A candidate for the answer of a test pair.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedGrid {
    /// The answer; empty when a prediction starts with no colour.
    pub grid: Grid,
    /// Predictions that gave it.
    pub votes: u32,
    /// Mean of their halting probabilities.
    pub mean_q: f64,
}

/// The candidates for one output, in the order of their first votes.
#[derive(Debug, Clone, Default)]
pub struct GridBallot(Ballot<PackedGrid>);

impl GridBallot {
    /// Counts a predicted canvas of the puzzle that `augmentation` made.
    ///
    /// # Panics
    /// When `prediction` is not a canvas.
    pub fn vote<T: Copy + Into<i64>>(&mut self, augmentation: Augmentation, prediction: &[T], q_halt_logit: f64) {
        self.vote_packed(original(augmentation, prediction), q_halt_logit);
    }

    /// The best `most` candidates, best first.
    pub fn ranked(&self, rule: VoteRule, most: usize) -> Vec<RankedGrid> {
        let candidate = |index: usize| {
            let (grid, tally) = self.0.candidate(index);
            RankedGrid { grid: grid.unpack(), votes: tally.votes, mean_q: tally.mean_q() }
        };
        self.0.ranking(rule).into_iter().take(most).map(candidate).collect()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn vote_packed(&mut self, candidate: PackedGrid, q_halt_logit: f64) {
        self.0.vote(candidate, halting_probability(q_halt_logit));
    }

    /// Place of a candidate in the ranking, from 0.
    pub(super) fn place_of(&self, candidate: &PackedGrid, rule: VoteRule) -> Option<usize> {
        self.0.place_of(candidate, rule)
    }
}

/// The grid on a canvas of the puzzle that `augmentation` made, as it is in the puzzle itself.
pub(super) fn original<T: Copy + Into<i64>>(augmentation: Augmentation, tokens: &[T]) -> PackedGrid {
    PackedGrid::new(&augmentation.undo(&crop(tokens)))
}
