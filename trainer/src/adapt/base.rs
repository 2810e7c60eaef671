//! The model that an adaptation begins with: what it is, and whether it can learn ARC tasks by their embeddings.

use std::path::{Path, PathBuf};

use datasets::Task;
use datasets::arc::{SEQ_LEN, VOCAB_SIZE};
use models::checkpoint::{InferenceDefaults, MANIFEST_FILE};
use models::{ArchitectureConfig, Checkpoint, Mixer, ModelDims, ModelError};

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::losses::LossType;
use crate::run_directory::CONFIG_FILE;

/// A trained model, or nothing.
pub(super) struct Base(Option<Trained>);

struct Trained {
    directory: PathBuf,
    arch: ArchitectureConfig,
    sha256: String,
    inference: Option<InferenceDefaults>,
    loss_type: Option<LossType>,
}

impl Base {
    /// Opens the checkpoint in `directory`; nothing of it will change.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self, TrainError> {
        let Some(directory) = directory else { return Ok(Self(None)) };
        if !directory.join(MANIFEST_FILE).is_file() {
            let problem = "holds no manifest.json; name the folder of a checkpoint (checkpoints/RUN/last), and import \
                           published weights first (exporter import --weights FILE --out DIR)";
            return Err(TrainError::state(directory, problem));
        }
        let checkpoint = Checkpoint::open(directory)?;
        let manifest = &checkpoint.manifest;
        let dims = &manifest.dims;
        if Task::infer(dims.vocab_size, dims.seq_len) != Some(Task::Arc) {
            let (task, vocab_size, seq_len) = (&manifest.task, dims.vocab_size, dims.seq_len);
            let problem = format!(
                "is a model for {task} with {vocab_size} tokens on {seq_len} cells; adapt takes one for ARC, with \
                 {VOCAB_SIZE} tokens on {SEQ_LEN} cells"
            );
            return Err(TrainError::state(directory, problem));
        }
        if checkpoint.puzzle_table().is_none() {
            let problem = "has no puzzle embedding (arch.puzzle_emb_ndim is 0), by which a model tells tasks apart; \
                           adapt takes a model with one";
            return Err(TrainError::state(directory, problem));
        }
        // Links such as `last` lead elsewhere when their run goes on.
        let directory = directory.canonicalize().map_err(TrainError::io(directory))?;
        Ok(Self(Some(Trained {
            arch: manifest.arch.clone(),
            sha256: checkpoint.sha256()?,
            inference: manifest.inference.clone(),
            loss_type: loss_of_run(&directory),
            directory,
        })))
    }

    /// Where it lies, and the sha256 of its weights.
    pub(super) fn identity(&self) -> Option<(&Path, &str)> {
        self.0.as_ref().map(|trained| (trained.directory.as_path(), trained.sha256.as_str()))
    }

    /// Its architecture.
    pub(super) fn arch(&self) -> Option<&ArchitectureConfig> {
        self.0.as_ref().map(|trained| &trained.arch)
    }

    /// The token loss of the run that made it, where that is known.
    pub(super) fn loss_type(&self) -> Option<LossType> {
        self.0.as_ref()?.loss_type
    }

    /// The inference policy to ship with what becomes of it. Small models of local mixing take every step that they
    /// were trained for; the others follow the defaults for ARC.
    pub(super) fn inference(&self, arch: &ArchitectureConfig) -> Option<InferenceDefaults> {
        let own = self.0.as_ref().and_then(|trained| trained.inference.clone());
        own.or_else(|| (arch.mixer() == Mixer::Local).then(|| InferenceDefaults::of_steps(arch.halt_max_steps())))
    }

    /// Whether answers have the size of their questions; `scratch`: those of the model that begins with nothing do.
    pub(super) fn takes_same_size_only(&self, scratch: bool) -> bool {
        self.arch().map_or(scratch, |arch| arch.mixer() == Mixer::Local)
    }

    /// Checks that `arch`, with the user's changes, has a place for each of the weights.
    pub(super) fn check(&self, arch: &ArchitectureConfig) -> Result<(), TrainError> {
        let sizes = arch.mixer().is_size_free().then(|| {
            let side = SEQ_LEN.isqrt();
            models::SizeRange { least: side, greatest: side }
        });
        let dims = ModelDims { vocab_size: VOCAB_SIZE, seq_len: SEQ_LEN, num_puzzle_identifiers: 2, sizes };
        arch.validate(&dims)?;
        let specs = |arch: &ArchitectureConfig| -> Result<_, ModelError> { arch.parameter_specs(&dims) };
        let found = specs(arch)?;
        if !found.iter().any(|spec| spec.kind == models::ParameterKind::PuzzleTable) {
            return Err(TrainError::setting("arch.puzzle_emb_ndim", "is 0, must be at least 1 to tell tasks apart"));
        }
        match self.arch() {
            Some(own) if specs(own)? != found => {
                let problem = "has other weights than the checkpoint; leave out the arch.… settings that change shapes";
                Err(TrainError::setting("arch", problem))
            }
            _ => Ok(()),
        }
    }
}

/// Of a checkpoint that lies in the folder of its run.
fn loss_of_run(checkpoint: &Path) -> Option<LossType> {
    let settings = std::fs::read(checkpoint.parent()?.join(CONFIG_FILE)).ok()?;
    serde_json::from_slice::<PretrainConfig>(&settings).ok().map(|config| config.loss_type)
}
