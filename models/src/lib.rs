//! Recursive reasoning architectures, written once over the [`Backend`] trait, with their configs and checkpoints.
//!
//! Owns what a model *is*: its operations in order, its parameters' names and shapes, and the checkpoint folder.
//! Leaves how the operations are computed to the backends (`trainer`: libtorch, `exporter`: ONNX), and what the
//! tokens mean to `datasets`.

mod architecture;
mod backend;
pub mod benchmark;
pub mod checkpoint;
mod config;
mod error;
mod frame;
mod hrm;
pub mod import;
mod layers;
mod lstm;
pub mod names;
mod outline;
mod parameters;
mod sites;
pub mod torch_file;
mod transformer;
mod transformers_baseline;
mod trm;
mod trm_hier6;
mod trm_singlez;

pub use architecture::{ArchitectureConfig, Model};
pub use backend::Backend;
pub use checkpoint::{Checkpoint, Manifest};
pub use config::{ForwardDtype, HaltingRule, Mixer, ModelDims, PosEncodings, QHeadInput, SizeRange};
pub use error::ModelError;
pub use frame::{CERTAIN, MOVE_HEAD, MOVES};
pub use hrm::HrmConfig;
pub use layers::{
    Attention, LayerNorm, Linear, LocalMixing, LstmDirection, LstmLayer, PART_OF_KIND, Rope, STENCIL, SwiGlu,
    UNIT_KINDS, UNIT_PARTS, UNIT_SUM_SCALE, UnitsMixing, structured_inner_size, swiglu_inner_size,
};
pub use lstm::LstmConfig;
pub use parameters::{Init, Initializer, ParameterKind, ParameterSource, ParameterSpec, SpecRecorder};
pub use sites::{LiveSites, open_candidates};
pub use transformer::TransformerConfig;
pub use transformers_baseline::TransformersBaselineConfig;
pub use trm::TrmConfig;

/// What one supervision step reads besides the recursion state.
#[derive(Debug, Clone)]
pub struct StepInputs<T> {
    /// `[batch, seq_len]` integer tokens.
    pub tokens: T,
    /// `[batch, puzzle_emb_len, hidden_size]`, only for models with puzzle embeddings: the table's rows, zero-padded
    /// to whole positions.
    pub puzzle_embeddings: Option<T>,
}

/// What one supervision step gives.
#[derive(Debug, Clone)]
pub struct StepOutput<T> {
    /// Next recursion state, in the order of [`Model::state_names`], detached from the gradient;
    /// each `[batch, tokens, hidden_size]` (see [`ArchitectureConfig::state_tokens`]).
    pub state: Vec<T>,
    /// `[batch, seq_len, vocab_size]` in the forward dtype.
    pub logits: T,
    /// `[batch]` float32; positive means: halt, the answer is right.
    pub q_halt: T,
    /// `[batch]` float32; the value of going on, compared with `q_halt` under [`HaltingRule::QHaltOverContinue`].
    pub q_continue: T,
    /// `[batch, seq_len, 4]`: which moves (down, left, right, up) lead from a cell to the goal by a shortest path, where the
    /// model has a head for them and the backend [is training](Backend::is_training).
    pub moves: Option<T>,
}
