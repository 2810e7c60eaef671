//! The models that are served, each with its own engine.

use std::path::Path;
use std::sync::Arc;

use datasets::sudoku::SudokuShape;
use exporter::runtime::SessionOptions;
use serde::Serialize;

use crate::ServerError;
use crate::engine::{Engine, EngineOptions, Policy, PolicyLimits, Restarts, StepModel};
use crate::model::{self, ModelCard};
use crate::sudoku::SudokuRules;

/// A Sudoku model and the engine that runs it.
#[derive(Debug)]
pub struct SudokuModel {
    /// What it is.
    pub card: ModelCard,
    /// Board that it solves.
    pub shape: SudokuShape,
    /// What runs it.
    pub engine: Engine,
}

/// All models of a server; at most one for each board size.
#[derive(Debug)]
pub struct Registry {
    models: Vec<SudokuModel>,
}

/// Limits that every engine of a server gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EngineLimits {
    /// Puzzles that think at the same time.
    pub slots: usize,
    /// Puzzles that may wait.
    pub queue_capacity: usize,
    /// Largest step budget that a request may name.
    pub max_steps_limit: usize,
    /// Most chains of thought of one request besides the first.
    pub chains_limit: usize,
    /// What follows when the first chain has found no answer that obeys the rules.
    pub restarts: Restarts,
}

impl EngineLimits {
    /// Limits of an engine whose requests get one chain of thought, unless they ask for more.
    pub const fn plain(slots: usize, queue_capacity: usize, max_steps_limit: usize) -> Self {
        Self { slots, queue_capacity, max_steps_limit, chains_limit: 128, restarts: Restarts::NONE }
    }
}

impl SudokuModel {
    /// Starts an engine on `step_model`.
    ///
    /// # Errors
    /// When a limit lies outside its range.
    pub fn start(
        card: ModelCard,
        shape: SudokuShape,
        step_model: impl StepModel + 'static,
        limits: EngineLimits,
    ) -> Result<Self, ServerError> {
        let halt_max_steps = card.arch.halt_max_steps();
        let default_policy = Policy { restarts: limits.restarts, ..Policy::plain(halt_max_steps) };
        let max_steps = limits.max_steps_limit.max(halt_max_steps).max(limits.restarts.depth);
        let options = EngineOptions {
            slots: limits.slots,
            queue_capacity: limits.queue_capacity,
            default_policy,
            limits: PolicyLimits { max_steps, chains: limits.chains_limit.max(limits.restarts.chains()) },
        };
        let engine = Engine::start(step_model, Arc::new(SudokuRules(shape)), options)?;
        Ok(Self { card, shape, engine })
    }

    /// Loads the checkpoint in `directory` and starts its engine.
    ///
    /// # Errors
    /// As [`model::load`] and [`start`](Self::start).
    pub fn load(directory: &Path, session: &SessionOptions, limits: EngineLimits) -> Result<Self, ServerError> {
        let loaded = model::load(directory, session)?;
        Self::start(loaded.card, loaded.shape, loaded.step_model, limits)
    }
}

impl Registry {
    /// The given models, smallest board first.
    ///
    /// # Errors
    /// When there is none, or two are for the same board size.
    pub fn new(mut models: Vec<SudokuModel>) -> Result<Self, ServerError> {
        models.sort_by_key(|model| model.shape.size());
        if models.is_empty() {
            return Err(ServerError::NoModel { searched: "the list of checkpoints is empty".into() });
        }
        if let Some([first, second]) = models.array_windows().find(|[first, second]| first.shape == second.shape) {
            let [first_name, second_name] = [first, second].map(|model| model.card.name.clone());
            return Err(ServerError::SameSize { first: first_name, second: second_name, size: first.shape.size() });
        }
        Ok(Self { models })
    }

    /// All models, smallest board first.
    pub fn models(&self) -> &[SudokuModel] {
        &self.models
    }

    /// The model for a board.
    pub fn for_shape(&self, shape: SudokuShape) -> Option<&SudokuModel> {
        self.models.iter().find(|model| model.shape == shape)
    }
}
