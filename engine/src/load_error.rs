//! Why a model could not be loaded or served.

use std::path::PathBuf;

/// Everything that can go wrong before the first request.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
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
    Engine(#[from] crate::EngineError),
    /// The model solves something that is not served.
    #[error(
        "{checkpoint}: expected a model for Sudoku (4x4, 6x6, 9x9, 16x16), square mazes or ARC, found task `{task}` with {seq_len} tokens of {vocab_size} kinds"
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
    /// A data set of ARC is missing or malformed.
    #[error(transparent)]
    Dataset(#[from] datasets::DatasetError),
    /// The names in a data set are not those of a model's puzzle-embedding table.
    #[error(
        "{}: expected as many names in identifiers.json as a loaded ARC model has rows in its puzzle-embedding \
         table, found {names} ({models}); name the folder that the model was trained on", folder.display()
    )]
    ArcData {
        /// The data set.
        folder: PathBuf,
        /// Its identifiers.
        names: usize,
        /// The ARC models and their rows.
        models: String,
    },
    /// Requests could not tell two models apart.
    #[error("two checkpoints are called `{name}`; rename one's folder")]
    SameName {
        /// The name of both.
        name: String,
    },
    /// There are no kernels for that.
    #[error("int8 was asked for on a GPU, for which there are no kernels; leave --quantize or --cuda-device out")]
    QuantizedOnGpu,
    /// There is nothing to serve.
    #[error(
        "no model found: {searched}; name one with --checkpoint DIR (a folder with manifest.json and model.safetensors)"
    )]
    NoModel {
        /// Where it was looked for.
        searched: String,
    },
}
