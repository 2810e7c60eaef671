//! One chain of thought: a row of the batch, the copy of the puzzle that it sees, and how far it has come.
//! Leaves what its answers are worth to its search.

use super::{Halting, Noise, Policy, Rules, SymmetricCopy};

/// Names a search among those in flight.
pub(super) type SearchId = u64;

/// A chain in a row.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) search: SearchId,
    /// Position among the chains of its search; 0 sees the puzzle as it is.
    pub(super) index: usize,
    /// Row of the last step that holds its state; `None` before its first step.
    pub(super) state_row: Option<usize>,
    pub(super) steps: usize,
    copy: Option<SymmetricCopy>,
    /// The model as it was trained, without noise.
    is_quiet: bool,
    max_steps: usize,
    last: Vec<i64>,
    /// Steps in a row that gave `last`.
    unchanged: usize,
}

/// Whether a chain goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainEnd {
    Q,
    Stable,
    Steps,
}

impl Chain {
    /// Chain number `index` of a search for the solution of `inputs`: first the puzzle, then its copies, then rollouts, then
    /// the puzzle again, deep.
    pub(super) fn new(search: SearchId, index: usize, inputs: &[i64], policy: &Policy, rules: &dyn Rules) -> Self {
        let is_copy = (1..=policy.restarts.augmentations).contains(&index);
        let copy = is_copy.then(|| rules.copy(inputs, policy.seed, index as u64)).flatten();
        let is_quiet = index == 0 || policy.deep_chain() == Some(index);
        let max_steps = policy.steps_of(index);
        Self { search, index, state_row: None, steps: 0, copy, is_quiet, max_steps, last: Vec::new(), unchanged: 0 }
    }

    /// What the model sees of the puzzle `inputs`.
    pub(super) fn tokens<'a>(&'a self, inputs: &'a [i64]) -> &'a [i64] {
        self.copy.as_ref().map_or(inputs, |copy| &copy.tokens)
    }

    /// The noise of the next step.
    pub(super) fn noise(&self, policy: &Policy) -> Option<Noise> {
        // The initial state lies inside the graph.
        if self.is_quiet || self.steps == 0 || policy.restarts.sigma == 0.0 {
            return None;
        }
        let stream = (self.index as u64) << 32 | self.steps as u64;
        Some(Noise { seed: policy.seed, stream, sigma: policy.restarts.sigma, target: policy.restarts.noise })
    }

    /// Takes note of a step in `row` and gives its answer in the frame of the puzzle.
    pub(super) fn advance(&mut self, row: usize, answer: &[i64]) -> &[i64] {
        self.state_row = Some(row);
        self.steps += 1;
        let answer = self.copy.as_ref().map_or_else(|| answer.to_vec(), |copy| (copy.undo)(answer));
        self.unchanged = if answer == self.last { self.unchanged + 1 } else { 1 };
        self.last = answer;
        &self.last
    }

    /// The last answer, in the frame of the puzzle.
    pub(super) fn answer(&self) -> &[i64] {
        &self.last
    }

    /// Why the chain ends here without regard to the rules; `None` when it goes on.
    pub(super) fn end(&self, q: f32, policy: &Policy) -> Option<ChainEnd> {
        match policy.halting {
            Halting::Q if q > 0.0 => Some(ChainEnd::Q),
            Halting::Stable if self.unchanged >= policy.stable_steps => Some(ChainEnd::Stable),
            _ if self.steps >= self.max_steps => Some(ChainEnd::Steps),
            _ => None,
        }
    }
}
