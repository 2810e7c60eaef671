//! One model through every backend at hand, compared step by step: the parity report behind `exporter verify`.
//! Owns which backends there are, the comparison and what is promised about it (`promise`); leaves libtorch to the
//! program `trainer`, which is called where it is found, so that this crate never links it.

mod compare;
mod inputs;
mod libtorch;
mod onnx;
mod outputs;
mod promise;
mod report;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use models::checkpoint::PuzzleEmbeddings;
use models::{Checkpoint, Mixer, ModelError};
use serde::Serialize;

pub use compare::StepComparison;
pub use inputs::VerifyInputs;
pub use libtorch::Trainer;
pub use outputs::TensorFile;
pub use promise::Arithmetic;

use crate::{ExportError, Flavor, Precision, RuntimeError};

use self::promise::{DISTURBED_RUNS, Promise, Yardstick};

/// What computes a column of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `trainer forward`.
    LibTorch {
        /// Type of activations.
        arithmetic: Arithmetic,
        /// Without fused operations.
        plain: bool,
    },
    /// An exported graph.
    Onnx {
        /// All steps in one graph, else one step per run.
        unrolled: bool,
        /// Which operators.
        flavor: Flavor,
        /// Type of weights and activations.
        precision: Precision,
    },
}

impl Backend {
    /// Every backend that a checkpoint with that mixer is verified on, reference first.
    pub fn all(mixer: Mixer, with_libtorch: bool) -> Vec<Self> {
        let libtorch = |arithmetic, plain| Self::LibTorch { arithmetic, plain };
        let mut backends = Vec::new();
        if with_libtorch {
            backends.extend([
                libtorch(Arithmetic::Float64, true),
                libtorch(Arithmetic::Float32, true),
                libtorch(Arithmetic::Float32, false),
                libtorch(Arithmetic::BFloat16, true),
                libtorch(Arithmetic::BFloat16, false),
            ]);
        }
        for (unrolled, precision) in [(false, Precision::Float32), (true, Precision::Float32), (false, Precision::Int8)]
        {
            // Portable first: it is the reference where libtorch is not there.
            let own = (Flavor::fastest(mixer, precision) == Flavor::Kernels).then_some(Flavor::Kernels);
            for flavor in [Flavor::Portable, Flavor::Fused].into_iter().chain(own) {
                backends.push(Self::Onnx { unrolled, flavor, precision });
            }
        }
        backends
    }

    /// Type that it computes in.
    pub fn arithmetic(&self) -> Arithmetic {
        match self {
            Self::LibTorch { arithmetic, .. } => *arithmetic,
            Self::Onnx { precision: Precision::Float32, .. } => Arithmetic::Float32,
            Self::Onnx { precision: Precision::Int8, .. } => Arithmetic::Int8,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LibTorch { arithmetic: Arithmetic::Float64, .. } => write!(f, "libtorch float64"),
            Self::LibTorch { arithmetic, plain } => {
                write!(f, "libtorch {} {}", arithmetic.name(), if *plain { "plain" } else { "fused" })
            }
            Self::Onnx { unrolled, flavor, precision } => {
                let graph = if *unrolled { "unrolled" } else { "step" };
                write!(f, "onnx {graph} {} {}", flavor.name(), precision.name())
            }
        }
    }
}

/// What one supervision step gave, `[rows, …]` row-major.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepValues {
    /// `[rows, seq_len, vocab_size]`.
    pub logits: Vec<f64>,
    /// `[rows]`, halt where positive: `q_halt`, less `q_continue` where the architecture weighs the two.
    pub halt_margin: Vec<f64>,
    /// `[rows, seq_len]`, as the backend took them from the logits.
    pub preds: Vec<i64>,
    /// The recursion states of the first rows, one after the other; empty where the backend keeps them to itself.
    pub state: Vec<Vec<f32>>,
}

/// What to verify on.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Rows of each set of inputs.
    pub rows: usize,
    /// Supervision steps.
    pub steps: usize,
    /// Safetensors file with puzzles of the task.
    pub inputs: Option<PathBuf>,
    /// Dataset folder with puzzles of the task, which the trainer reads. With neither of the two, the trainer generates
    /// puzzles where it can.
    pub data: Option<PathBuf>,
    /// The program that computes with libtorch.
    pub trainer: Option<Trainer>,
    /// Threads of each backend; 0: one per core.
    pub threads: usize,
    /// Seed of the random inputs.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Folder of the checkpoint.
    pub checkpoint: String,
    /// Hex sha256 of its weight file.
    pub checkpoint_sha256: String,
    /// What the others are compared with.
    pub reference: String,
    /// One for each set of inputs.
    pub sets: Vec<SetReport>,
    /// What could not be looked at, in words.
    pub notes: Vec<String>,
}

/// What was found on one set of inputs.
#[derive(Debug, Clone, Serialize)]
pub struct SetReport {
    /// Where the inputs come from.
    pub inputs: String,
    /// Rows.
    pub rows: usize,
    /// One for each backend but the reference.
    pub columns: Vec<ColumnReport>,
}

/// What was found about one backend.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnReport {
    /// The backend.
    pub backend: String,
    /// One for each supervision step.
    pub steps: Vec<StepComparison>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn is_kept(&self) -> bool {
        let columns = self.sets.iter().flat_map(|set| &set.columns);
        columns.flat_map(|column| &column.steps).all(StepComparison::is_kept)
    }
}

/// Why a checkpoint could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The checkpoint is unfit.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// ONNX Runtime is missing or fails.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A file of inputs or outputs.
    #[error("{path}: {problem}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Expected, found, and what to do.
        problem: String,
    },
    /// The program `trainer`.
    #[error("{program}: {problem}", program = .program.display())]
    Trainer {
        /// The program.
        program: PathBuf,
        /// What it said.
        problem: String,
    },
}

impl VerifyError {
    fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::File { path: path.into(), problem: problem.into() }
    }
}

/// Runs the model of `checkpoint` through every backend at hand; `progress` is called with what begins.
///
/// # Errors
/// When the checkpoint, a backend or the data fail. A broken promise is not an error but part of the report.
pub fn verify(
    checkpoint: Checkpoint,
    options: &VerifyOptions,
    mut progress: impl FnMut(&str),
) -> Result<Report, VerifyError> {
    let checkpoint = Arc::new(checkpoint);
    let job = Job { checkpoint: &checkpoint, embeddings: PuzzleEmbeddings::of(Arc::clone(&checkpoint)), options };
    let mut notes = Vec::new();
    if options.trainer.is_none() {
        notes.push(libtorch::ABSENT.to_owned());
    }
    let sets = inputs::sets(&job, &mut notes)?;
    let backends = Backend::all(checkpoint.manifest.arch.mixer(), options.trainer.is_some());
    let (reference, others) = (backends[0], &backends[1..]);
    let mut reports = Vec::new();
    for set in &sets {
        progress(&format!("{}: how far a disturbance carries", set.name));
        let undisturbed = onnx::run(&job, set, PORTABLE_STEP)?;
        let disturbed = (0..DISTURBED_RUNS).map(|run| onnx::run_disturbed(&job, set, run));
        let yardstick = Yardstick::of(&disturbed.collect::<Result<Vec<_>, _>>()?, &undisturbed);
        progress(&format!("{}: {reference}", set.name));
        let expected = job.run(reference, set)?;
        let mut columns = Vec::new();
        for backend in others {
            progress(&format!("{}: {backend}", set.name));
            let found = job.run(*backend, set)?;
            let promise = Promise::of(backend.arithmetic(), reference.arithmetic(), &yardstick);
            let steps = compare::columns(&found, &expected, promise, &checkpoint.manifest.dims);
            columns.push(ColumnReport { backend: backend.to_string(), steps });
        }
        reports.push(SetReport { inputs: set.name.clone(), rows: set.rows(), columns });
    }
    Ok(Report {
        checkpoint: checkpoint.directory().display().to_string(),
        checkpoint_sha256: checkpoint.sha256()?,
        reference: reference.to_string(),
        sets: reports,
        notes,
    })
}

/// The graph of standard operators: the reference where libtorch is not there, and what is disturbed.
const PORTABLE_STEP: Backend =
    Backend::Onnx { unrolled: false, flavor: Flavor::Portable, precision: Precision::Float32 };

/// A verification under way.
struct Job<'a> {
    checkpoint: &'a Checkpoint,
    embeddings: Option<PuzzleEmbeddings>,
    options: &'a VerifyOptions,
}

/// Rows whose recursion states are compared: a state is a thousand times larger than what it leads to.
const STATE_ROWS: usize = 2;

impl Job<'_> {
    fn run(&self, backend: Backend, inputs: &VerifyInputs) -> Result<Vec<StepValues>, VerifyError> {
        match (backend, &self.options.trainer) {
            (Backend::LibTorch { arithmetic, plain }, Some(trainer)) => {
                trainer.forward(self, inputs, arithmetic, plain)
            }
            (Backend::LibTorch { .. }, None) => {
                Err(VerifyError::Trainer { program: "trainer".into(), problem: libtorch::ABSENT.into() })
            }
            (Backend::Onnx { .. }, _) => onnx::run(self, inputs, backend),
        }
    }
}
