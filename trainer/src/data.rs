//! Where a run's examples come from: a folder in the reference's format or an endless generator, for training and for
//! evaluation. Owns that choice; leaves reading and drawing to `datasets`.

use std::path::PathBuf;

use datasets::batch::{Batch, TrainingSource};
use datasets::loader::{self, FolderSource, LoaderOptions, TestBatches};
use datasets::store::{DatasetMetadata, Split};
use datasets::{IGNORE_LABEL_ID, Task};
use models::{ArchitectureConfig, ModelDims, SizeRange};

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::generator::Generator;
use crate::learner::Turn;

/// Held-out puzzles of an evaluation where the run does not say.
const DEFAULT_EVAL_COUNT: usize = 1_000;

/// A run's training sources and how long the run is.
pub struct TrainingData {
    /// Batches for this rank, of each source: the folders, then a generator for each size.
    pub sources: Vec<Box<dyn TrainingSource>>,
    /// Carried batches of each source, in units of `carried_batches`.
    pub weights: Vec<usize>,
    /// Whether each source draws its examples, each rank others.
    pub generated: Vec<bool>,
    /// Processes that share every batch.
    pub world_size: usize,
    /// Optimizer steps of the run.
    pub total_steps: u64,
    /// Optimizer steps between evaluations.
    pub eval_interval_steps: u64,
    /// No evaluation before this step.
    pub first_eval_step: u64,
    /// Optimizer steps of an epoch; of an evaluation interval where the data has no end.
    pub epoch_steps: f64,
    /// The data in words, for manifests.
    pub description: String,
}

impl TrainingData {
    /// Opens the sources that `config` names, for one rank of `world_size`.
    ///
    /// # Errors
    /// When a folder cannot be read or a setting does not fit it.
    pub fn open(config: &PretrainConfig, rank: usize, world_size: usize) -> Result<Self, TrainError> {
        let (mut sources, mut weights, mut described) = (Vec::<Box<dyn TrainingSource>>::new(), Vec::new(), Vec::new());
        if !config.global_batch_size.is_multiple_of(world_size) {
            let problem = format!(
                "is {}, which {world_size} ranks cannot share evenly; set a multiple of {world_size}",
                config.global_batch_size
            );
            return Err(TrainError::setting("global_batch_size", problem));
        }
        // The reference evaluates whole intervals of epochs and draws each interval's order at once.
        let epochs_per_iter = config.eval_interval.unwrap_or(config.epochs).min(config.epochs);
        let mut steps_of: Box<dyn Fn(u64) -> u64> = Box::new(|_| 1);
        for (paths, weight) in config.folder_groups() {
            let options = LoaderOptions {
                seed: config.seed,
                epochs_per_iter: epochs_per_iter as usize,
                rank,
                world_size,
                ..LoaderOptions::new(config.global_batch_size)
            };
            let mut source = FolderSource::open(&paths, options.clone())?;
            let rows = evenly(config.rows_at(source.metadata().seq_len)?, world_size);
            if rows != config.global_batch_size {
                source = FolderSource::open(&paths, LoaderOptions { global_batch_size: rows, ..options })?;
            }
            if sources.is_empty() {
                let metadata = source.metadata().clone();
                steps_of = Box::new(move |epochs| loader::total_steps(&metadata, epochs, rows).max(1));
            }
            described.push(display_paths(&paths));
            sources.push(Box::new(source));
            weights.push(weight);
        }
        for (generator, weight) in config.generators() {
            let generator = generator.seeded(config.seed);
            sources.push(generator.source(rank, world_size)?);
            described.push(generator.description());
            weights.push(weight);
        }
        let generated = (0..sources.len()).map(|number| number >= config.folder_groups().len()).collect();
        let total_steps = config.max_steps.unwrap_or_else(|| steps_of(config.epochs));
        let by_epochs = if config.generator.is_some() { total_steps } else { steps_of(epochs_per_iter) };
        // A pass over the first folder.
        let examples = sources
            .first()
            .filter(|_| !config.data_paths.is_empty())
            .map(|source| source.metadata().total_groups as f64 * source.metadata().mean_puzzle_examples);
        let eval_interval_steps = config.eval_interval_steps.unwrap_or(by_epochs);
        Ok(Self {
            sources,
            weights,
            generated,
            world_size,
            total_steps,
            epoch_steps: examples
                .map_or(eval_interval_steps as f64, |examples| examples / config.global_batch_size as f64),
            eval_interval_steps,
            first_eval_step: eval_interval_steps.saturating_mul(config.min_eval_interval.saturating_add(1)),
            description: described.join("; "),
        })
    }

    /// Sizes that the model takes from the data: those of the source with the largest boards.
    ///
    /// # Errors
    /// When sources differ in size and the architecture takes one size only.
    ///
    /// # Panics
    /// Never: settings without a source are refused.
    pub fn dims(&self, arch: &ArchitectureConfig) -> Result<ModelDims, TrainError> {
        let all: Vec<ModelDims> = self.sources.iter().map(|source| dims_of(source.metadata())).collect();
        let largest = all.iter().copied().max_by_key(|dims| dims.seq_len).expect("a run has a source");
        if arch.mixer().is_size_free() {
            let sides = all.iter().map(|dims| dims.seq_len.isqrt());
            let least = sides.min().expect("a run has a source");
            let sizes = Some(SizeRange { least, greatest: largest.seq_len.isqrt() });
            return Ok(ModelDims { sizes, ..largest });
        }
        match all.iter().find(|dims| **dims != largest) {
            None => Ok(largest),
            Some(other) => {
                let problem = format!(
                    "takes one size, but the data has {} and {} tokens; set arch.mixer to units or local",
                    other.seq_len, largest.seq_len
                );
                Err(TrainError::setting("arch.mixer", problem))
            }
        }
    }

    /// The first round of carried batches: `carried_batches` for each unit of a source's weight, spread evenly.
    ///
    /// # Errors
    /// When a batch would have no row.
    pub fn turns(&self, config: &PretrainConfig) -> Result<Vec<Turn>, TrainError> {
        let mut turns = Vec::new();
        for (number, (source, weight)) in self.sources.iter().zip(&self.weights).enumerate() {
            let seq_len = source.metadata().seq_len;
            let rows = evenly(config.rows_at(seq_len)?, self.world_size) / self.world_size;
            let turn = Turn { source: number, seq_len, rows };
            let count = config.carried_batches * weight;
            turns.extend((0..count).map(|index| ((2 * index + 1) as f64 / (2 * count) as f64, turn)));
        }
        turns.sort_by(|left, right| left.0.total_cmp(&right.0));
        Ok(turns.into_iter().map(|(_, turn)| turn).collect())
    }

    /// What the tokens mean, on the largest boards; `None` where no task has this vocabulary and length. Such data is
    /// trained on like any other.
    pub fn task(&self) -> Option<Task> {
        let largest = self.sources.iter().map(|source| source.metadata()).max_by_key(|metadata| metadata.seq_len);
        largest.and_then(|metadata| Task::infer(metadata.vocab_size, metadata.seq_len))
    }
}

/// Batches to evaluate on.
#[derive(Debug)]
pub enum EvaluationData {
    /// Test splits of folders.
    Folders {
        /// The folders.
        paths: Vec<PathBuf>,
        /// Rows of a batch.
        batch_size: usize,
        /// Most rows to look at.
        limit: usize,
    },
    /// Examples in memory.
    Memory(Vec<Batch>),
}

impl EvaluationData {
    /// The evaluation data of a run; `None` where the folders have no test split, or nothing is to be evaluated.
    ///
    /// # Errors
    /// When held-out puzzles cannot be drawn.
    pub fn of_run(config: &PretrainConfig) -> Result<Option<Self>, TrainError> {
        if config.eval_count == Some(0) {
            return Ok(None);
        }
        if config.data_paths.is_empty() && config.generator.is_some() {
            let count = config.eval_count.unwrap_or(DEFAULT_EVAL_COUNT);
            let generators = config.generators();
            let mut all = Vec::new();
            for (mut generator, _) in generators.clone() {
                if let Generator::Sudoku(options) = &mut generator {
                    // Held-out puzzles are minimal whatever the training mix was, and come from a stream of their own.
                    options.extra_clues = (0, 0);
                }
                let share = count.div_ceil(generators.len());
                all.extend(held_out_batches(&generator, share, config.global_batch_size)?);
            }
            return Ok(Some(Self::Memory(all)));
        }
        let paths = if config.data_paths_test.is_empty() { &config.data_paths } else { &config.data_paths_test };
        if !paths.iter().all(|path| path.join("test").is_dir()) {
            return Ok(None);
        }
        Ok(Some(Self::folders(paths.clone(), config.global_batch_size, config.eval_count)))
    }

    /// The test splits of `paths`.
    pub fn folders(paths: Vec<PathBuf>, batch_size: usize, limit: Option<usize>) -> Self {
        Self::Folders { paths, batch_size, limit: limit.unwrap_or(usize::MAX) }
    }

    /// `count` generated puzzles that no training seed draws.
    ///
    /// # Errors
    /// When the options are impossible.
    pub fn held_out(generator: &Generator, count: usize, batch_size: usize) -> Result<Self, TrainError> {
        Ok(Self::Memory(held_out_batches(generator, count, batch_size)?))
    }

    /// Rows that an evaluation looks at.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn rows(&self) -> Result<usize, TrainError> {
        match self {
            Self::Folders { paths, batch_size, limit } => {
                let batches = TestBatches::open(paths, Split::Test, LoaderOptions::new(*batch_size))?;
                Ok(batches.total_examples().min(*limit))
            }
            Self::Memory(batches) => Ok(batches.iter().map(|batch| batch.real_rows).sum()),
        }
    }

    /// Tokens of a row.
    ///
    /// # Errors
    /// When a folder cannot be read, or rows are of several lengths, which no file of predictions holds.
    pub fn seq_len(&self) -> Result<usize, TrainError> {
        let lengths: std::collections::BTreeSet<usize> = match self {
            Self::Folders { .. } => self.dims()?.into_iter().map(|dims| dims.seq_len).collect(),
            Self::Memory(batches) => batches.iter().map(|batch| batch.seq_len).collect(),
        };
        let mut lengths = lengths.into_iter();
        if let (Some(length), None) = (lengths.next(), lengths.next()) {
            return Ok(length);
        }
        let problem = "saves rows of one length, and the evaluation has none or several; unset it";
        Err(TrainError::setting("eval_save_outputs", problem))
    }

    /// Checks that a file of predictions can hold the rows: one length, tokens below `most_tokens`.
    ///
    /// # Errors
    /// When it cannot, or a folder cannot be read.
    pub(crate) fn check_that_rows_fit_a_file(&self, most_tokens: usize) -> Result<(), TrainError> {
        self.seq_len()?;
        match self.dims()? {
            Some(dims) if dims.vocab_size > most_tokens => {
                let problem = format!("takes at most {most_tokens} tokens, the data has {}; unset it", dims.vocab_size);
                Err(TrainError::setting("eval_save_outputs", problem))
            }
            _ => Ok(()),
        }
    }

    /// Sizes of the data where it comes from folders.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn dims(&self) -> Result<Option<ModelDims>, TrainError> {
        match self {
            Self::Folders { paths, batch_size, .. } => {
                let batches = TestBatches::open(paths, Split::Test, LoaderOptions::new(*batch_size))?;
                Ok(Some(dims_of(batches.metadata())))
            }
            Self::Memory(_) => Ok(None),
        }
    }

    /// All batches, from the start.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn batches(&self) -> Result<Box<dyn Iterator<Item = Result<Batch, TrainError>> + '_>, TrainError> {
        self.batches_of(0, 1)
    }

    /// The rows of one rank in every batch, as many batches for each rank; one of them may have no row.
    ///
    /// # Errors
    /// When a folder cannot be read, or ranks cannot share a batch evenly.
    pub fn batches_of(
        &self,
        rank: usize,
        world_size: usize,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch, TrainError>> + '_>, TrainError> {
        match self {
            Self::Folders { paths, batch_size, limit } => {
                let mut left = *limit;
                let options = LoaderOptions { rank, world_size, ..LoaderOptions::new(*batch_size) };
                let batches = TestBatches::open(paths, Split::Test, options)?;
                Ok(Box::new(batches.map_while(move |batch| {
                    if left == 0 {
                        return None;
                    }
                    Some(batch.map_err(TrainError::from).map(|test| {
                        let mut batch = test.batch;
                        let before = rank * batch.rows();
                        truncate(&mut batch, left.saturating_sub(before));
                        left -= test.global_rows.min(left);
                        batch
                    }))
                })))
            }
            Self::Memory(batches) if world_size == 1 => Ok(Box::new(batches.iter().cloned().map(Ok))),
            Self::Memory(batches) => {
                Ok(Box::new(batches.iter().map(move |batch| Ok(rows_of_rank(batch, rank, world_size)))))
            }
        }
    }
}

fn held_out_batches(generator: &Generator, count: usize, batch_size: usize) -> Result<Vec<Batch>, TrainError> {
    let puzzles = generator.held_out(count)?;
    let batches = puzzles.chunks(batch_size.max(1)).map(|chunk| Batch {
        seq_len: chunk[0].0.len(),
        inputs: chunk.iter().flat_map(|(input, _)| input).copied().collect(),
        labels: chunk.iter().flat_map(|(_, label)| label).copied().collect(),
        puzzle_identifiers: vec![0; chunk.len()],
        real_rows: chunk.len(),
    });
    Ok(batches.collect())
}

/// The largest number of rows up to `rows` that `world_size` ranks share evenly, at least one each.
fn evenly(rows: usize, world_size: usize) -> usize {
    (rows - rows % world_size).max(world_size)
}

/// The part of `batch` that falls to `rank`: the ranks' parts follow each other, and the last may be empty.
fn rows_of_rank(batch: &Batch, rank: usize, world_size: usize) -> Batch {
    let share = batch.rows().div_ceil(world_size);
    let rows = (rank * share).min(batch.rows())..((rank + 1) * share).min(batch.rows());
    let cells = rows.start * batch.seq_len..rows.end * batch.seq_len;
    Batch {
        seq_len: batch.seq_len,
        inputs: batch.inputs[cells.clone()].to_vec(),
        labels: batch.labels[cells].to_vec(),
        puzzle_identifiers: batch.puzzle_identifiers[rows.clone()].to_vec(),
        real_rows: rows.len(),
    }
}

/// Turns rows past `limit` into padding.
fn truncate(batch: &mut Batch, limit: usize) {
    if batch.real_rows > limit {
        batch.labels[limit * batch.seq_len..].fill(IGNORE_LABEL_ID);
        batch.real_rows = limit;
    }
}

fn dims_of(metadata: &DatasetMetadata) -> ModelDims {
    ModelDims {
        vocab_size: metadata.vocab_size,
        seq_len: metadata.seq_len,
        num_puzzle_identifiers: metadata.num_puzzle_identifiers,
        sizes: None,
    }
}

fn display_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
