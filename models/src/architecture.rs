//! The closed list of architectures: which config belongs to which model, and the one dispatch over them.
//! Leaves each architecture's arithmetic to its own file.

use serde::{Deserialize, Serialize};

use crate::{
    Backend, ForwardDtype, ModelDims, ModelError, ParameterSource, ParameterSpec, SpecRecorder, StepInputs, StepOutput,
    Trm, TrmConfig,
};

/// Config of any architecture, tagged by `name`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum ArchitectureConfig {
    /// Tiny Recursive Model.
    Trm(TrmConfig),
}

impl ArchitectureConfig {
    /// The reference's short name (`trm`).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trm(_) => "trm",
        }
    }

    /// Type that activations are computed in.
    pub fn forward_dtype(&self) -> ForwardDtype {
        match self {
            Self::Trm(config) => config.forward_dtype,
        }
    }

    /// Most supervision steps that an example gets in training.
    pub fn halt_max_steps(&self) -> usize {
        match self {
            Self::Trm(config) => config.halt_max_steps,
        }
    }

    /// Chance that a training row must go on past its first halt.
    pub fn halt_exploration_prob(&self) -> f64 {
        match self {
            Self::Trm(config) => config.halt_exploration_prob,
        }
    }

    /// Width of an activation.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::Trm(config) => config.hidden_size,
        }
    }

    /// Width of a row of the puzzle-embedding table; 0 without one.
    pub fn puzzle_emb_ndim(&self) -> usize {
        match self {
            Self::Trm(config) => config.puzzle_emb_ndim,
        }
    }

    /// Positions that the puzzle embedding takes before the tokens.
    pub fn puzzle_emb_len(&self) -> usize {
        match self {
            Self::Trm(config) => config.puzzle_positions(),
        }
    }

    /// Names of the recursion state, in order.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self {
            Self::Trm(_) => &Trm::<()>::STATE_NAMES,
        }
    }

    /// Checks the config against the data's dimensions.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field and what to change.
    pub fn validate(&self, dims: &ModelDims) -> Result<(), ModelError> {
        match self {
            Self::Trm(config) => config.validate(dims),
        }
    }

    /// Every tensor of the model, in order of construction.
    ///
    /// # Errors
    /// When the config is invalid.
    pub fn parameter_specs(&self, dims: &ModelDims) -> Result<Vec<ParameterSpec>, ModelError> {
        let mut recorder = SpecRecorder::default();
        Model::new(self, dims, &mut recorder)?;
        Ok(recorder.specs)
    }
}

/// A model of any architecture, over the weights of one backend.
#[derive(Debug)]
pub enum Model<W> {
    /// Tiny Recursive Model.
    Trm(Trm<W>),
}

impl<W> Model<W> {
    /// Builds the model that `config` describes with the tensors of `source`.
    ///
    /// # Errors
    /// When the config is invalid or the source lacks a tensor.
    pub fn new(
        config: &ArchitectureConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        match config {
            ArchitectureConfig::Trm(config) => Ok(Self::Trm(Trm::new(config, dims, source)?)),
        }
    }

    /// Names of the recursion state, in order.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self {
            Self::Trm(_) => &Trm::<()>::STATE_NAMES,
        }
    }

    /// `[hidden_size]` initial value of state `index`.
    pub fn initial_state(&self, index: usize) -> &W {
        match self {
            Self::Trm(model) => model.initial_state(index),
        }
    }

    /// The state with every row of `reset` (`[batch]` bool) back at its initial value.
    pub fn reset_state<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        reset: &B::Tensor,
        state: &[B::Tensor],
    ) -> Vec<B::Tensor> {
        let reset_one = |(index, tensor)| backend.reset_rows(reset, self.initial_state(index), tensor);
        state.iter().enumerate().map(reset_one).collect()
    }

    /// One supervision step from `state` (in the order of [`state_names`](Self::state_names)).
    pub fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        match self {
            Self::Trm(model) => model.step(backend, inputs, state),
        }
    }
}
