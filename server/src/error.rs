//! Why a model could not be loaded or served.

use std::path::PathBuf;

/// Everything that can go wrong before the first request.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The checkpoint is missing or damaged.
    #[error(transparent)]
    Checkpoint(#[from] models::ModelError),
    /// No graph could be made of the checkpoint.
    #[error(transparent)]
    Export(#[from] exporter::ExportError),
    /// ONNX Runtime is missing or refuses the graph.
    #[error(transparent)]
    Runtime(#[from] exporter::RuntimeError),
    /// The engine refuses its options.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The model solves something that this program does not serve.
    #[error(
        "{checkpoint}: expected a sudoku model of 4x4, 6x6, 9x9 or 16x16 boards, found task `{task}` with {seq_len} tokens of {vocab_size} kinds"
    )]
    Task {
        /// Folder of the checkpoint.
        checkpoint: PathBuf,
        /// Task of its manifest.
        task: String,
        /// Tokens per example.
        seq_len: usize,
        /// Distinct tokens.
        vocab_size: usize,
    },
    /// Two models would answer the same requests.
    #[error("models `{first}` and `{second}` both solve {size}x{size} boards; load one of them")]
    SameSize {
        /// Name of one model.
        first: String,
        /// Name of the other.
        second: String,
        /// Side length of the boards.
        size: usize,
    },
    /// There is nothing to serve.
    #[error(
        "no model found: {searched}; name one with --checkpoint DIR (a folder with manifest.json and model.safetensors)"
    )]
    NoModel {
        /// Where it was looked for.
        searched: String,
    },
}
