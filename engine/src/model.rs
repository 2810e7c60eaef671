//! From a checkpoint folder to a model that steps: what it is (its card), and its graph in a session.
//! Owns loading and the choice of shipped models; leaves running to the engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exporter::runtime::{self, Provider, SessionOptions};
use exporter::{ExportOptions, Flavor, GraphKind, Precision, metadata, providers};
use models::checkpoint::{InferenceDefaults, MANIFEST_FILE, PuzzleEmbeddings, WeightsKind};
use models::{ArchitectureConfig, Checkpoint, Manifest, ModelDims, ParameterKind};
use serde::{Deserialize, Serialize};

use crate::onnx::OnnxStepModel;
use crate::task::{self, Task, task_of, tasks_of};
use crate::{LoadError, Quantize};

/// What a loaded model is, for `/info`, reports and responses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Name of the checkpoint's folder.
    pub name: String,
    /// Hex sha256 of the weight file.
    pub sha256: String,
    /// What the tokens mean.
    pub task: String,
    /// Sizes that come from the data.
    #[serde(flatten)]
    pub dims: ModelDims,
    /// Trained weights, without the puzzle-embedding table.
    pub parameters: usize,
    /// Optimizer steps that the weights have seen.
    pub step: u64,
    /// EMA or raw weights.
    pub weights: WeightsKind,
    /// What it was trained on.
    pub dataset: String,
    /// Commit of the code that trained it, if known.
    pub git_commit: Option<String>,
    /// Results of the last evaluation in training, by metric name.
    pub metrics: BTreeMap<String, f64>,
    /// Name and config of the architecture.
    pub arch: ArchitectureConfig,
    /// What products are computed in; shown where it is not float32.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// The inference policy that was measured for the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceDefaults>,
}

/// A model ready to step.
#[derive(Debug)]
pub struct LoadedModel {
    /// What it is.
    pub card: ModelCard,
    /// What it solves.
    pub task: Task,
    /// Nodes of its graph by the execution provider that really computes them.
    pub providers: BTreeMap<String, usize>,
    /// Its graph in a session.
    pub step_model: OnnxStepModel,
    /// Every task that it solves, `task` among them.
    pub tasks: Vec<Task>,
}

impl ModelCard {
    /// What the model of a checkpoint is, whose products are computed in `precision`.
    ///
    /// # Errors
    /// When the manifest describes no network, or the weights cannot be read.
    pub fn of(checkpoint: &Checkpoint, precision: Precision) -> Result<Self, LoadError> {
        let manifest = checkpoint.manifest.clone();
        let directory = checkpoint.directory();
        let name = folder_name(directory);
        let is_weight = |spec: &&models::ParameterSpec| spec.kind == ParameterKind::Weight;
        Ok(Self {
            name,
            sha256: checkpoint.sha256()?,
            parameters: checkpoint
                .parameter_specs()
                .iter()
                .filter(is_weight)
                .map(models::ParameterSpec::element_count)
                .sum(),
            task: manifest.task,
            dims: manifest.dims,
            step: manifest.step,
            weights: manifest.weights,
            dataset: manifest.dataset,
            git_commit: manifest.git_commit,
            metrics: manifest.metrics,
            arch: manifest.arch,
            precision,
            inference: manifest.inference,
        })
    }

    /// The same model on the boards of `task`, one of those that it solves.
    #[must_use]
    pub fn for_task(self, task: Task) -> Self {
        Self { dims: self.arch.dims_at(&self.dims, task::side(task)), ..self }
    }
}

impl LoadedModel {
    /// The same model on the boards of `task`, one of its `tasks`.
    #[must_use]
    pub fn for_task(self, task: Task) -> Self {
        let card = self.card.for_task(task);
        Self { step_model: self.step_model.on_boards_of(card.dims.seq_len), card, task, ..self }
    }

    /// One for each of its tasks, which share the session; the model itself where it solves but one.
    pub fn for_every_task(self) -> Vec<Self> {
        if self.tasks.len() == 1 {
            return vec![self];
        }
        let of = |&task: &Task| {
            let Self { card, providers, step_model, tasks, .. } = &self;
            let (card, providers, tasks) = (card.clone(), providers.clone(), tasks.clone());
            let step_model = step_model.on_boards_of(card.dims.seq_len);
            Self { card, task: self.task, providers, step_model, tasks }.for_task(task)
        };
        self.tasks.iter().map(of).collect()
    }
}

/// Exports the checkpoint in `directory` to a float32 step graph in memory and opens a session on it.
///
/// # Errors
/// When the checkpoint is unusable or of a task that is not served, or ONNX Runtime is missing or refuses the graph.
pub fn load(directory: &Path, options: &SessionOptions) -> Result<LoadedModel, LoadError> {
    load_as(directory, Quantize::Float32, options)
}

/// As [`load`], with products computed in what `quantize` chooses.
///
/// # Errors
/// As [`load`]; also when a GPU is to compute in int8, which has no kernels for it.
pub fn load_as(directory: &Path, quantize: Quantize, options: &SessionOptions) -> Result<LoadedModel, LoadError> {
    if quantize == Quantize::Int8 && options.provider != Provider::Cpu {
        return Err(LoadError::QuantizedOnGpu);
    }
    let checkpoint = Checkpoint::open(directory)?;
    let manifest = &checkpoint.manifest;
    let task = task_of(manifest).ok_or_else(|| LoadError::Task {
        checkpoint: directory.to_owned(),
        task: manifest.task.clone(),
        seq_len: manifest.dims.seq_len,
        vocab_size: manifest.dims.vocab_size,
    })?;
    let tasks = tasks_of(manifest);
    let precision = quantize.precision(manifest, &checkpoint.sha256()?, options.provider);
    let card = ModelCard::of(&checkpoint, precision)?;
    let flavor = match options.provider {
        Provider::Cpu => Flavor::fastest(manifest.arch.mixer(), precision),
        Provider::Cuda { .. } => Flavor::Fused,
    };
    let export = ExportOptions { graph: GraphKind::Step, flavor, precision, logits: false };
    let graph = exporter::export(&checkpoint, &export)?;
    let session = runtime::open_bytes(&graph.bytes, options)?;
    let metadata = metadata::read(&session)?;
    let providers = providers::assigned_nodes(&session)?;
    let step_model = OnnxStepModel::new(session, &metadata, PuzzleEmbeddings::of(Arc::new(checkpoint)));
    Ok(LoadedModel { card, task, providers, step_model, tasks })
}

/// Folder of the shipped models: `named` if given, else `models/shipped` in or above the current folder or that of
/// the program, else the one in the source tree that this program was built from.
///
/// # Errors
/// [`LoadError::NoModel`] when there is no such folder.
pub fn shipped_directory(named: Option<&Path>) -> Result<PathBuf, LoadError> {
    if let Some(named) = named {
        let searched = || LoadError::NoModel { searched: format!("{} is not a folder", named.display()) };
        return if named.is_dir() { Ok(named.to_owned()) } else { Err(searched()) };
    }
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let folders = starts.iter().flatten().flat_map(|start| start.ancestors()).map(|folder| folder.join(SHIPPED));
    folders
        .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SHIPPED)])
        .find(|path| path.is_dir())
        .ok_or_else(|| LoadError::NoModel {
            searched: format!(
                "no folder {SHIPPED} in or above the current folder or that of the program, TRM_MODELS_DIR is not set"
            ),
        })
}

/// The checkpoints in a folder of models, by name.
///
/// # Errors
/// [`LoadError::NoModel`] when there is none.
pub fn checkpoints_in(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let is_checkpoint = |path: &PathBuf| path.join(MANIFEST_FILE).is_file();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_checkpoint).collect();
    if found.is_empty() {
        return Err(LoadError::NoModel { searched: format!("{} holds no checkpoint", directory.display()) });
    }
    found.sort();
    Ok(found)
}

/// The first shipped checkpoint of a task that `fits`, `wanted` in words; `named` as in [`shipped_directory`].
///
/// # Errors
/// [`LoadError::NoModel`] when none is shipped, or the error of a damaged manifest.
pub fn shipped_for(wanted: &str, fits: impl Fn(Task) -> bool, named: Option<&Path>) -> Result<PathBuf, LoadError> {
    let directory = shipped_directory(named)?;
    for checkpoint in checkpoints_in(&directory)? {
        let manifest = Manifest::read(&checkpoint.join(MANIFEST_FILE))?;
        if tasks_of(&manifest).into_iter().any(&fits) {
            return Ok(checkpoint);
        }
    }
    Err(LoadError::NoModel { searched: format!("{} holds no model for {wanted}", directory.display()) })
}

/// What a checkpoint's model is called: as its folder.
pub fn folder_name(directory: &Path) -> String {
    // `.` and `..` have no name of their own.
    let resolved = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    resolved.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned())
}

const SHIPPED: &str = "models/shipped";

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
