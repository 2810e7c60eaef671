//! A "model" that copies the givens for two steps and then knows the solution, so that HTTP tests are about HTTP.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use datasets::sudoku::{SudokuShape, solve};
use models::checkpoint::WeightsKind;
use models::{ArchitectureConfig, ModelDims, TrmConfig};
use server::engine::{StepBatch, StepError, StepModel, StepOutcome};
use server::model::ModelCard;
use server::task::{board_from_tokens, tokens_of};

/// Step at which the oracle speaks.
pub(crate) const STEPS: usize = 3;

pub(crate) struct Oracle {
    shape: SudokuShape,
    steps: Vec<usize>,
    gate: Option<Receiver<()>>,
}

impl Oracle {
    pub(crate) fn new(shape: SudokuShape) -> Self {
        Self { shape, steps: Vec::new(), gate: None }
    }

    /// An oracle that takes one step for each message; it goes on freely when the sender is dropped.
    pub(crate) fn gated(shape: SudokuShape) -> (Self, Sender<()>) {
        let (sender, gate) = channel();
        (Self { gate: Some(gate), ..Self::new(shape) }, sender)
    }
}

impl StepModel for Oracle {
    fn seq_len(&self) -> usize {
        self.shape.cells()
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        if let Some(gate) = &self.gate {
            // A dropped sender means: go on.
            let _ = gate.recv();
        }
        let mut outcome = StepOutcome::default();
        self.steps = batch.carried.iter().map(|from| from.map_or(0, |row| self.steps[row]) + 1).collect();
        for (tokens, &steps) in batch.tokens.chunks(self.shape.cells()).zip(&self.steps) {
            let solution = solve(&board_from_tokens(self.shape, tokens)).first.filter(|_| steps >= STEPS);
            outcome.answers.extend(solution.map_or_else(|| tokens.to_vec(), |board| tokens_of(&board)));
            outcome.q_halt.push(steps as f32 - 2.5);
        }
        Ok(outcome)
    }
}

pub(crate) fn card(name: &str, shape: SudokuShape) -> ModelCard {
    ModelCard {
        name: name.into(),
        sha256: "5eed".repeat(16),
        task: "sudoku".into(),
        dims: ModelDims { vocab_size: shape.vocab_size(), seq_len: shape.cells(), num_puzzle_identifiers: 1 },
        parameters: 0,
        step: 1,
        weights: WeightsKind::Ema,
        dataset: "none".into(),
        git_commit: None,
        metrics: BTreeMap::new(),
        arch: ArchitectureConfig::Trm(TrmConfig::default()),
        inference: None,
    }
}
