//! Where a run's examples come from: a folder in the reference's format or an endless generator, for training and for
//! evaluation. Owns that choice; leaves reading and drawing to `datasets`.

use std::path::PathBuf;

use datasets::batch::{Batch, TrainingSource};
use datasets::loader::{FolderSource, LoaderOptions, TestBatches};
use datasets::store::{DatasetMetadata, Split};
use datasets::{IGNORE_LABEL_ID, Task};
use models::ModelDims;

use crate::TrainError;
use crate::config::PretrainConfig;
use crate::generator::Generator;

/// Held-out puzzles of an evaluation where the run does not say.
const DEFAULT_EVAL_COUNT: usize = 1_000;

/// A run's training source and how long the run is.
pub struct TrainingData {
    /// Batches for this rank.
    pub source: Box<dyn TrainingSource>,
    /// Optimizer steps of the run.
    pub total_steps: u64,
    /// Optimizer steps between evaluations.
    pub eval_interval_steps: u64,
    /// No evaluation before this step.
    pub first_eval_step: u64,
    /// The data in words, for manifests.
    pub description: String,
}

impl TrainingData {
    /// Opens the source that `config` names, for one rank of `world_size`.
    ///
    /// # Errors
    /// When a folder cannot be read or a setting does not fit it.
    pub fn open(config: &PretrainConfig, rank: usize, world_size: usize) -> Result<Self, TrainError> {
        if let Some(generator) = &config.generator {
            let generator = generator.seeded(config.seed);
            let total_steps = config.max_steps.unwrap_or_default();
            return Ok(Self {
                source: generator.source(rank, world_size)?,
                total_steps,
                eval_interval_steps: config.eval_interval_steps.unwrap_or(total_steps),
                first_eval_step: 0,
                description: generator.description(),
            });
        }
        // The reference evaluates whole intervals of epochs and draws each interval's order at once.
        let epochs_per_iter = config.eval_interval.unwrap_or(config.epochs).min(config.epochs);
        let options = LoaderOptions {
            seed: config.seed,
            epochs_per_iter: epochs_per_iter as usize,
            rank,
            world_size,
            ..LoaderOptions::new(config.global_batch_size)
        };
        let source = FolderSource::open(&config.data_paths, options)?;
        let steps_of = |epochs: u64| source.total_steps(epochs).max(1);
        let total_steps = config.max_steps.unwrap_or_else(|| steps_of(config.epochs));
        Ok(Self {
            total_steps,
            eval_interval_steps: config.eval_interval_steps.unwrap_or_else(|| steps_of(epochs_per_iter)),
            first_eval_step: if config.min_eval_interval == 0 { 0 } else { steps_of(config.min_eval_interval) },
            description: display_paths(&config.data_paths),
            source: Box::new(source),
        })
    }

    /// Sizes that the model takes from the data.
    pub fn dims(&self) -> ModelDims {
        dims_of(self.source.metadata())
    }

    /// What the tokens mean.
    ///
    /// # Errors
    /// When no task has this vocabulary and length.
    pub fn task(&self) -> Result<Task, TrainError> {
        task_of(self.source.metadata())
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
    /// The evaluation data of a run; `None` where the folders have no test split.
    ///
    /// # Errors
    /// When held-out puzzles cannot be drawn.
    pub fn of_run(config: &PretrainConfig) -> Result<Option<Self>, TrainError> {
        if let Some(generator) = &config.generator {
            let count = config.eval_count.unwrap_or(DEFAULT_EVAL_COUNT);
            let mut generator = generator.clone();
            if let Generator::Sudoku(options) = &mut generator {
                // Held-out puzzles are minimal whatever the training mix was, and come from a stream of their own.
                options.extra_clues = (0, 0);
            }
            return Ok(Some(Self::held_out(&generator, count, config.global_batch_size)?));
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
        let puzzles = generator.held_out(count)?;
        let batches = puzzles.chunks(batch_size.max(1)).map(|chunk| Batch {
            seq_len: chunk[0].0.len(),
            inputs: chunk.iter().flat_map(|(input, _)| input).copied().collect(),
            labels: chunk.iter().flat_map(|(_, label)| label).copied().collect(),
            puzzle_identifiers: vec![0; chunk.len()],
            real_rows: chunk.len(),
        });
        Ok(Self::Memory(batches.collect()))
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
        match self {
            Self::Folders { paths, batch_size, limit } => {
                let mut left = *limit;
                let batches = TestBatches::open(paths, Split::Test, LoaderOptions::new(*batch_size))?;
                Ok(Box::new(batches.map_while(move |batch| {
                    if left == 0 {
                        return None;
                    }
                    Some(batch.map_err(TrainError::from).map(|test| {
                        let mut batch = test.batch;
                        truncate(&mut batch, left);
                        left -= batch.real_rows;
                        batch
                    }))
                })))
            }
            Self::Memory(batches) => Ok(Box::new(batches.iter().cloned().map(Ok))),
        }
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

fn task_of(metadata: &DatasetMetadata) -> Result<Task, TrainError> {
    Task::infer(metadata.vocab_size, metadata.seq_len).ok_or_else(|| {
        TrainError::setting(
            "data_paths",
            format!(
                "vocab_size {} with seq_len {} belongs to no known task (sudoku, maze, arc); rebuild the data set",
                metadata.vocab_size, metadata.seq_len
            ),
        )
    })
}

fn display_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
