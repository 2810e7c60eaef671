//! The one list of architectures: which config and which name belong to which network, and all dispatch over them.
//! Leaves each architecture's arithmetic to its own file.

use serde::de::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hrm::{Hrm, HrmConfig};
use crate::lstm::{Lstm, LstmConfig};
use crate::outline::Outline;
use crate::transformer::{Transformer, TransformerConfig};
use crate::transformers_baseline::{TransformersBaseline, TransformersBaselineConfig};
use crate::trm::{Trm, TrmConfig};
use crate::trm_hier6::TrmHier6;
use crate::trm_singlez::TrmSinglez;
use crate::{
    Backend, ForwardDtype, HaltingRule, Mixer, ModelDims, ModelError, ParameterSource, ParameterSpec, SpecRecorder,
    StepInputs, StepOutput,
};

/// What a config says about its architecture's networks.
pub(crate) trait ArchitectureFields {
    /// What the code that runs a model needs to know.
    fn outline(&self) -> Outline;

    /// Checks the fields that only this config has.
    fn validate_own(&self) -> Result<(), ModelError>;
}

/// A network over the weights `W` of one backend: what the file of an architecture provides.
pub(crate) trait Architecture<W>: Sized {
    /// Its config.
    type Config: ArchitectureFields;

    /// Names of the recursion state, in order.
    const STATE_NAMES: &'static [&'static str];

    /// Checks what [`Outline::validate`] does not.
    fn validate(config: &Self::Config) -> Result<(), ModelError> {
        config.validate_own()
    }

    /// Builds the network that a valid `config` describes with the tensors of `source`.
    fn new(
        config: &Self::Config,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError>;

    /// `[hidden_size]` initial values, in the order of [`STATE_NAMES`](Self::STATE_NAMES).
    fn initial_states(&self) -> &[W];

    /// One supervision step from `state`.
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor>;
}

/// Writes what differs between architectures from the one list of them: config type and name of each. The network has
/// the variant's name.
macro_rules! architectures {
    ($($(#[$doc:meta])* $network:ident($config:ty) = $name:literal;)+) => {
        /// Config of any architecture, tagged by `name`.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name")]
        pub enum ArchitectureConfig {
            $($(#[$doc])* #[serde(rename = $name)] $network($config),)+
        }

        impl ArchitectureConfig {
            /// Every architecture's name.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// The config that an architecture has where nothing is said: the reference's `config/arch/{name}.yaml`.
            ///
            /// # Errors
            /// [`ModelError::Config`] listing the names, when `name` is none of them.
            pub fn default_of(name: &str) -> Result<Self, ModelError> {
                match name {
                    $($name => Ok(Self::$network(<$config>::default())),)+
                    _ => {
                        let problem = format!("unknown architecture `{name}`; expected one of {}", Self::NAMES.join(", "));
                        Err(ModelError::config("name", problem))
                    }
                }
            }

            /// The reference's short name (`trm`, `hrm`).
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$network(_) => $name,)+
                }
            }

            /// Names of the recursion state, in order.
            pub fn state_names(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$network(_) => <$network<()> as Architecture<()>>::STATE_NAMES,)+
                }
            }

            /// Checks the config against the data's dimensions.
            ///
            /// # Errors
            /// [`ModelError::Config`] naming the field and what to change.
            pub fn validate(&self, dims: &ModelDims) -> Result<(), ModelError> {
                match self {
                    $(Self::$network(config) => <$network<()> as Architecture<()>>::validate(config)?,)+
                }
                self.outline().validate(dims)
            }

            fn outline(&self) -> Outline {
                match self {
                    $(Self::$network(config) => config.outline(),)+
                }
            }
        }

        #[derive(Debug)]
        enum Network<W> {
            $($network($network<W>),)+
        }

        impl<W> Network<W> {
            fn new(
                config: &ArchitectureConfig,
                dims: &ModelDims,
                source: &mut impl ParameterSource<Weight = W>,
            ) -> Result<Self, ModelError> {
                Ok(match config {
                    $(ArchitectureConfig::$network(config) => Self::$network($network::new(config, dims, source)?),)+
                })
            }

            fn initial_states(&self) -> &[W] {
                match self {
                    $(Self::$network(network) => network.initial_states(),)+
                }
            }

            fn step<B: Backend<Weight = W>>(
                &self,
                backend: &B,
                inputs: &StepInputs<B::Tensor>,
                state: &[B::Tensor],
            ) -> StepOutput<B::Tensor> {
                match self {
                    $(Self::$network(network) => network.step(backend, inputs, state),)+
                }
            }
        }
    };
}

architectures! {
    /// Tiny Recursive Model.
    Trm(TrmConfig) = "trm";
    /// TRM with one state.
    TrmSinglez(TrmConfig) = "trm_singlez";
    /// TRM with a hierarchy of six latents.
    TrmHier6(TrmConfig) = "trm_hier6";
    /// Hierarchical Reasoning Model.
    Hrm(HrmConfig) = "hrm";
    /// The reference's recursive transformer.
    TransformersBaseline(TransformersBaselineConfig) = "transformers_baseline";
    /// LSTM baselines.
    Lstm(LstmConfig) = "lstm";
    /// Transformer encoder baseline.
    Transformer(TransformerConfig) = "transformer";
}

impl ArchitectureConfig {
    /// The config that the reference's own program builds from the table `arch` of its config files: fields that the
    /// class of this architecture does not read are left out, `puzzle_emb_ndim` is 0 where it is missing.
    ///
    /// # Errors
    /// When `name` is not an architecture, or a field's value is none for it.
    pub fn from_reference(name: &str, fields: &Map<String, Value>) -> Result<Self, serde_json::Error> {
        let defaults = serde_json::to_value(Self::default_of(name).map_err(serde_json::Error::custom)?)?;
        let mut config = defaults.as_object().cloned().unwrap_or_default();
        if config.contains_key("puzzle_emb_ndim") {
            config.insert("puzzle_emb_ndim".into(), 0.into());
        }
        let ours_alone: &[&str] = if name == "hrm" { &["no_ACT_continue"] } else { &[] };
        for (field, value) in &mut config {
            if let Some(given) = fields.get(field)
                && field != "name"
                && !ours_alone.contains(&field.as_str())
            {
                value.clone_from(given);
            }
        }
        serde_json::from_value(Value::Object(config))
    }

    /// Whether a second head predicts the moves of mazes.
    pub fn has_move_head(&self) -> bool {
        self.outline().mixing.move_head
    }

    /// Type that activations are computed in.
    pub fn forward_dtype(&self) -> ForwardDtype {
        self.outline().forward_dtype
    }

    /// Most supervision steps that an example gets in training.
    pub fn halt_max_steps(&self) -> usize {
        self.outline().halting.halt_max_steps
    }

    /// Chance that a training row must go on past its first halt.
    pub fn halt_exploration_prob(&self) -> f64 {
        self.outline().halting.halt_exploration_prob
    }

    /// When a row may halt before the step limit.
    pub fn halting_rule(&self) -> HaltingRule {
        self.outline().halting.rule
    }

    /// Whether `q_continue` is trained, on the value of one more step.
    pub fn learns_q_continue(&self) -> bool {
        self.outline().halting.learns_q_continue
    }

    /// Whether `q_continue` means anything: it decides halting, or is trained.
    pub fn uses_q_continue(&self) -> bool {
        let halting = self.outline().halting;
        halting.learns_q_continue || halting.rule == HaltingRule::QHaltOverContinue
    }

    /// Whether training rows may halt before the step limit.
    pub fn act_enabled(&self) -> bool {
        self.outline().halting.act_enabled
    }

    /// Whether rows may halt before the step limit when the model is evaluated.
    pub fn act_inference(&self) -> bool {
        self.outline().halting.act_inference
    }

    /// Width of an activation.
    pub fn hidden_size(&self) -> usize {
        self.outline().hidden_size
    }

    /// Width of a row of the puzzle-embedding table; 0 without one.
    pub fn puzzle_emb_ndim(&self) -> usize {
        self.outline().puzzle_emb_ndim
    }

    /// Positions that the puzzle embedding takes before the tokens.
    pub fn puzzle_emb_len(&self) -> usize {
        self.outline().puzzle_positions()
    }

    /// How blocks mix tokens.
    pub fn mixer(&self) -> Mixer {
        self.outline().mixing.mixer
    }

    /// Positions of an activation for puzzles of `seq_len` tokens, which is the middle axis of a state:
    /// [`first_cell`](Self::first_cell) and the cells, and under [`Mixer::Units`] one for each candidate.
    pub fn state_tokens(&self, seq_len: usize) -> usize {
        match self.mixer() {
            Mixer::Units => seq_len * seq_len.isqrt(),
            Mixer::Attention | Mixer::Mlp | Mixer::Local => self.first_cell() + seq_len,
        }
    }

    /// Positions of a state before the first cell: those of the puzzle embedding, but for structured mixers, which add it
    /// to every site.
    pub fn first_cell(&self) -> usize {
        if self.mixer().is_size_free() { 0 } else { self.puzzle_emb_len() }
    }

    /// `dims` on boards of `side` cells a side, for a model that takes any; `sizes` stay those that were trained on.
    pub fn dims_at(&self, dims: &ModelDims, side: usize) -> ModelDims {
        let vocab_size = if self.mixer() == Mixer::Units { side + 2 } else { dims.vocab_size };
        ModelDims { vocab_size, seq_len: side * side, ..*dims }
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
pub struct Model<W> {
    network: Network<W>,
    state_names: &'static [&'static str],
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
        config.validate(dims)?;
        let network = Network::new(config, dims, source)?;
        Ok(Self { network, state_names: config.state_names() })
    }

    /// Names of the recursion state, in order.
    pub fn state_names(&self) -> &'static [&'static str] {
        self.state_names
    }

    /// `[hidden_size]` initial values, in the order of [`state_names`](Self::state_names).
    pub fn initial_states(&self) -> &[W] {
        self.network.initial_states()
    }

    /// The state with every row of `reset` (`[batch]` bool) back at its initial value.
    pub fn reset_state<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        reset: &B::Tensor,
        state: &[B::Tensor],
    ) -> Vec<B::Tensor> {
        self.initial_states().iter().zip(state).map(|(init, tensor)| backend.reset_rows(reset, init, tensor)).collect()
    }

    /// One supervision step from `state` (in the order of [`state_names`](Self::state_names)).
    pub fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        self.network.step(backend, inputs, state)
    }
}
