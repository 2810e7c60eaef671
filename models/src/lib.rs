//! Recursive reasoning architectures, written once over the [`Backend`] trait, with their configs and checkpoints.
//!
//! Owns what a model *is*: its operations in order, its parameters' names and shapes, and the checkpoint folder.
//! Leaves how the operations are computed to the backends (`trainer`: libtorch, `exporter`: ONNX), and what the
//! tokens mean to `datasets`.

mod architecture;
mod backend;
pub mod checkpoint;
mod config;
mod error;
mod layers;
mod parameters;
pub mod torch_file;
mod trm;

pub use architecture::{ArchitectureConfig, Model};
pub use backend::Backend;
pub use checkpoint::{Checkpoint, Manifest};
pub use config::{ForwardDtype, ModelDims, PosEncodings, QHeadInput, TrmConfig};
pub use error::ModelError;
pub use layers::{Attention, Linear, Rope, SwiGlu, swiglu_inner_size};
pub use parameters::{Init, Initializer, ParameterKind, ParameterSource, ParameterSpec, SpecRecorder};
pub use trm::Trm;

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
    /// each `[batch, seq_len + puzzle_emb_len, hidden_size]`.
    pub state: Vec<T>,
    /// `[batch, seq_len, vocab_size]` in the forward dtype.
    pub logits: T,
    /// `[batch]` float32; positive means: halt, the answer is right.
    pub q_halt: T,
    /// `[batch]` float32; the Q-learning alternative to halting, unused under `no_ACT_continue`.
    pub q_continue: T,
}
