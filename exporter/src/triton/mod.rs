//! A model repository for Triton (and `KServe`, which runs Triton): the unrolled graph, its configuration, a guide.
//! Owns the folder's layout and its writing whole or not at all; leaves the graph to [`export()`] and
//! `config.pbtxt`'s fields to `config`.

mod config;
mod guide;
mod text_proto;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use models::checkpoint::PuzzleEmbeddings;
use models::{Checkpoint, ModelError};

use crate::runtime::SessionOptions;
use crate::{
    ExportError, ExportOptions, ExportedGraph, Flavor, GraphKind, GraphMetadata, Precision, check, export, runtime,
};

/// Triton's configuration file of a model.
pub const CONFIG_FILE: &str = "config.pbtxt";
/// The graph's name inside a version's folder: what Triton looks for.
pub const GRAPH_FILE: &str = "model.onnx";
/// The version that is written; a newer export of the same model may be put beside it as `2`.
pub const VERSION: &str = "1";
/// What the repository's reader should know.
pub const GUIDE_FILE: &str = "README.md";
/// The body of a request that the model answers.
pub const REQUEST_FILE: &str = "request.json";

/// Where Triton computes a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// On the GPUs where there are any, else on the processor.
    #[default]
    Auto,
    /// On the processor.
    Cpu,
    /// On the GPUs, or not at all.
    Gpu,
}

/// How Triton is to run a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TritonOptions {
    /// Name of the model, which its clients use; the checkpoint's folder gives it where none is chosen.
    pub name: Option<String>,
    /// Supervision steps; the model's `halt_max_steps` where none are chosen.
    pub halt_steps: Option<usize>,
    /// Which operators.
    pub flavor: Flavor,
    /// What products are computed in.
    pub precision: Precision,
    /// Whether the logits are an output too.
    pub logits: bool,
    /// Most puzzles in one run of the graph, 1 to 1024.
    pub max_batch_size: usize,
    /// Copies of the model that run side by side, on each GPU or on the processor, 1 to 64.
    pub instances: usize,
    /// Where they run.
    pub device: Device,
    /// Microseconds that a request may wait for others to share a batch with.
    pub max_queue_delay_us: u64,
    /// Whether a model of that name in the repository is replaced.
    pub overwrite: bool,
}

impl Default for TritonOptions {
    fn default() -> Self {
        Self {
            name: None,
            halt_steps: None,
            flavor: Flavor::Fused,
            precision: Precision::Float32,
            logits: false,
            max_batch_size: 8,
            instances: 1,
            device: Device::Auto,
            max_queue_delay_us: 1000,
            overwrite: false,
        }
    }
}

/// Why no repository was written.
#[derive(Debug, thiserror::Error)]
pub enum TritonError {
    /// The checkpoint cannot be exported, or its graph does not run.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A name that is neither a folder nor part of an address.
    #[error(
        "`{name}` cannot be a model's name in Triton: use 1 to 128 letters, digits, `-`, `_` and inner `.`; choose one with --name"
    )]
    Name {
        /// What was found.
        name: String,
    },
    /// A number out of its range.
    #[error("{option} is {found}, must lie in 1..={limit}")]
    Range {
        /// Which option.
        option: &'static str,
        /// What was asked for.
        found: usize,
        /// The largest that makes sense.
        limit: usize,
    },
    /// Something is there already.
    #[error("{}: {problem}", path.display())]
    Target {
        /// The model's folder.
        path: PathBuf,
        /// What is there, and what to do.
        problem: &'static str,
    },
}

impl From<ModelError> for TritonError {
    fn from(error: ModelError) -> Self {
        Self::Export(error.into())
    }
}

/// What was written.
#[derive(Debug, Clone)]
pub struct TritonModel {
    /// Name of the model.
    pub name: String,
    /// Its folder inside the repository.
    pub folder: PathBuf,
    /// The graph.
    pub graph: ExportedGraph,
}

/// Exports the model of `checkpoint` unrolled, runs it once, and writes it as a model of the repository `repository`:
/// `<name>/1/model.onnx`, `<name>/config.pbtxt`, `<name>/README.md`, `<name>/request.json`.
///
/// Source of the layout and of the configuration: `docs/user_guide/model_repository.md` and `model_configuration.md` of
/// Triton's server.
///
/// # Errors
/// When the checkpoint is unfit, an option out of range, the folder taken, or the disk refuses. Nothing is written then.
pub fn write_repository(
    checkpoint: Checkpoint,
    repository: &Path,
    options: &TritonOptions,
) -> Result<TritonModel, TritonError> {
    check_range("max_batch_size", options.max_batch_size, 1024)?;
    check_range("instances", options.instances, 64)?;
    let name = model_name(&checkpoint, options)?;
    let folder = repository.join(&name);
    check_target(&folder, options.overwrite)?;

    let halt_steps = options.halt_steps.unwrap_or(checkpoint.manifest.arch.halt_max_steps());
    let graph = GraphKind::Unrolled { halt_steps };
    let graph = export(
        &checkpoint,
        &ExportOptions { graph, flavor: options.flavor, precision: options.precision, logits: options.logits },
    )?;
    let mut session = runtime::open_bytes(&graph.bytes, &SessionOptions::default()).map_err(ExportError::from)?;
    let metadata = check::run_once(&mut session)?;

    let config = config::text(&name, &metadata, options);
    let request = guide::request(&metadata, example_embedding(checkpoint)?.as_deref());
    let guide = guide::text(&name, &metadata, options);
    files::write_folder(&folder, |staging| {
        let version = staging.join(VERSION);
        let files: [(PathBuf, &[u8]); 4] = [
            (version.join(GRAPH_FILE), &graph.bytes),
            (staging.join(CONFIG_FILE), config.as_bytes()),
            (staging.join(GUIDE_FILE), guide.as_bytes()),
            (staging.join(REQUEST_FILE), request.as_bytes()),
        ];
        files.into_iter().try_for_each(|(path, content)| files::write(&path, content))
    })
    .map_err(ModelError::from)?;
    Ok(TritonModel { name, folder, graph })
}

fn check_range(option: &'static str, found: usize, limit: usize) -> Result<(), TritonError> {
    if (1..=limit).contains(&found) { Ok(()) } else { Err(TritonError::Range { option, found, limit }) }
}

/// The chosen name, else that of the checkpoint's folder and how it is quantised.
fn model_name(checkpoint: &Checkpoint, options: &TritonOptions) -> Result<String, TritonError> {
    let directory = checkpoint.directory();
    // `.` and `..` have no name of their own.
    let resolved = || directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let suffix = match options.precision {
        Precision::Float32 => "",
        Precision::Int8 => "-int8",
    };
    let of_folder =
        || resolved().file_name().map(|name| name.to_string_lossy().into_owned() + suffix).unwrap_or_default();
    let name = options.name.clone().unwrap_or_else(of_folder);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_fit = (1..=128).contains(&name.len())
        && name.chars().all(fits)
        && !name.starts_with(['.', '-'])
        && !name.ends_with('.');
    if is_fit { Ok(name) } else { Err(TritonError::Name { name }) }
}

fn check_target(folder: &Path, overwrite: bool) -> Result<(), TritonError> {
    let refused = |problem| Err(TritonError::Target { path: folder.to_owned(), problem });
    match (folder.exists(), folder.join(CONFIG_FILE).is_file()) {
        (false, _) => Ok(()),
        (true, true) if overwrite => Ok(()),
        (true, true) => {
            refused("the repository has a model of this name; choose another --name, or replace it with --overwrite")
        }
        (true, false) => refused("is there already and no model of Triton's; choose another --name"),
    }
}

/// `[puzzle_emb_len, hidden_size]` of puzzle identifier 0, for models that take one.
fn example_embedding(checkpoint: Checkpoint) -> Result<Option<Vec<f32>>, ModelError> {
    PuzzleEmbeddings::of(Arc::new(checkpoint)).map(|embeddings| embeddings.rows(&[0])).transpose()
}

/// Puzzles in a row of the batches that are worth waiting for and are run before the model is ready: powers of two,
/// and the largest batch.
fn batch_sizes(max_batch_size: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(1), |size| Some(size * 2)).take_while(|&size| size < max_batch_size).collect();
    sizes.push(max_batch_size);
    sizes
}

/// As the graph's metadata says it was unrolled.
fn steps_of(metadata: &GraphMetadata) -> usize {
    match metadata.graph {
        GraphKind::Unrolled { halt_steps } => halt_steps,
        GraphKind::Step => unreachable!("`write_repository` exports unrolled graphs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_are_powers_of_two_and_the_largest() {
        assert_eq!(batch_sizes(1), [1]);
        assert_eq!(batch_sizes(2), [1, 2]);
        assert_eq!(batch_sizes(8), [1, 2, 4, 8]);
        assert_eq!(batch_sizes(12), [1, 2, 4, 8, 12]);
    }
}
