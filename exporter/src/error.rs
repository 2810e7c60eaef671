//! What can go wrong between a checkpoint and a loaded graph. Every message names the thing, what was expected, what was
//! found and what to do.

use std::path::PathBuf;

use models::ModelError;

/// Why a checkpoint could not be exported, or a graph's metadata not be read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The checkpoint or its config is unfit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A step count that no graph is built for.
    #[error("halt_steps is {found}, must lie in 1..={MAX_HALT_STEPS}; a step graph has no limit")]
    HaltSteps {
        /// What was asked for.
        found: usize,
    },
    /// Protobuf ends at 2 GiB.
    #[error("the graph has {bytes} bytes, an ONNX file holds at most {MAX_GRAPH_BYTES}; use a smaller model")]
    TooLarge {
        /// Size of the graph.
        bytes: usize,
    },
    /// A graph without our metadata, or with metadata that contradicts itself.
    #[error("metadata `{key}` of the graph: {problem}")]
    Metadata {
        /// Which entry.
        key: &'static str,
        /// Expected, found, and what to do.
        problem: String,
    },
    /// A graph whose inputs or outputs are not what its metadata promises.
    #[error("the graph's {what}: {problem}; export it again with this release")]
    Interface {
        /// `inputs` or `outputs`.
        what: &'static str,
        /// Expected and found.
        problem: String,
    },
    /// ONNX Runtime could not be used.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Most steps of an unrolled graph.
pub(crate) const MAX_HALT_STEPS: usize = 1024;
/// Largest protobuf message.
pub(crate) const MAX_GRAPH_BYTES: usize = i32::MAX as usize;

/// Why ONNX Runtime could not be found, loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No library anywhere.
    #[error(
        "ONNX Runtime was not found ({searched}); run `cargo xtask setup --onnxruntime`, or set ORT_DYLIB_PATH to a libonnxruntime of version 1.{version} or later",
        version = ort::MINOR_VERSION
    )]
    Missing {
        /// Where it was looked for.
        searched: String,
    },
    /// A library that cannot be loaded, or is too old.
    #[error(
        "{path}: {problem}; run `cargo xtask setup --onnxruntime`, or set ORT_DYLIB_PATH to a libonnxruntime of version 1.{version} or later",
        path = .path.display(),
        version = ort::MINOR_VERSION
    )]
    Unusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        problem: String,
    },
    /// A graph that ONNX Runtime rejects, or options that it cannot follow.
    #[error("ONNX Runtime cannot {action}: {problem}")]
    Session {
        /// What was tried.
        action: String,
        /// What it said.
        problem: String,
    },
    /// An execution provider that this build or this library lacks.
    #[error("execution provider {provider}: {problem}")]
    Provider {
        /// Its name.
        provider: &'static str,
        /// What is missing and how to get it.
        problem: String,
    },
}

impl RuntimeError {
    /// Adapter for `map_err`: names what was tried.
    pub(crate) fn session<R>(action: impl Into<String>) -> impl FnOnce(ort::Error<R>) -> Self {
        let action = action.into();
        move |error| Self::Session { action, problem: error.to_string() }
    }
}
