//! What the backends are fed: random tokens, which no training has prepared a model for, and puzzles of its task.
//! The latter come from a file, or from the trainer, which knows datasets and generators.

use std::path::Path;

use models::ModelDims;
use models::names::{INPUTS, PUZZLE_IDENTIFIERS};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::outputs::TensorFile;
use super::{Job, VerifyError};

/// A set of puzzles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyInputs {
    /// Where they come from.
    pub name: String,
    /// `[rows, seq_len]` row-major tokens.
    pub tokens: Vec<i64>,
    /// `[rows]` rows of the puzzle table.
    pub puzzle_identifiers: Vec<usize>,
}

impl VerifyInputs {
    /// Puzzles in the set.
    pub fn rows(&self) -> usize {
        self.puzzle_identifiers.len()
    }

    /// Every token and every identifier with equal chance.
    pub fn random(dims: &ModelDims, rows: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tokens = (0..rows * dims.seq_len).map(|_| rng.random_range(0..dims.vocab_size) as i64).collect();
        let puzzle_identifiers = (0..rows).map(|_| rng.random_range(0..dims.num_puzzle_identifiers)).collect();
        Self { name: format!("random tokens, seed {seed}"), tokens, puzzle_identifiers }
    }

    /// The puzzles in a safetensors file: `inputs` `[rows, seq_len]` and, where puzzles have identifiers,
    /// `puzzle_identifiers` `[rows]`, both int32 or int64.
    ///
    /// # Errors
    /// When the file is malformed or its puzzles are not of the model's size.
    pub fn read(name: String, file: &TensorFile, dims: &ModelDims) -> Result<Self, VerifyError> {
        let tokens = file.integers(INPUTS)?;
        let rows = tokens.len() / dims.seq_len;
        let identifiers =
            if file.holds(PUZZLE_IDENTIFIERS) { file.integers(PUZZLE_IDENTIFIERS)? } else { vec![0; rows] };
        if rows == 0 || tokens.len() != identifiers.len() * dims.seq_len {
            let (found, expected) = (tokens.len(), dims.seq_len);
            let rows = identifiers.len();
            return Err(
                file.problem(format!("`inputs` holds {found} tokens for {rows} rows, the model takes {expected} each"))
            );
        }
        check(file, "token", &tokens, dims.vocab_size)?;
        check(file, "puzzle identifier", &identifiers, dims.num_puzzle_identifiers)?;
        let puzzle_identifiers = identifiers.into_iter().map(|identifier| identifier as usize).collect();
        Ok(Self { name, tokens, puzzle_identifiers })
    }
}

/// Random inputs, and the task's where there are any.
pub(super) fn sets(job: &Job<'_>, notes: &mut Vec<String>) -> Result<Vec<VerifyInputs>, VerifyError> {
    let (options, manifest) = (job.options, &job.checkpoint.manifest);
    let dims = &manifest.dims;
    let mut sets = vec![VerifyInputs::random(dims, options.rows, options.seed)];
    if let Some(path) = &options.inputs {
        sets.push(VerifyInputs::read(format!("puzzles of {}", path.display()), &TensorFile::open(path)?, dims)?);
    }
    match (&options.data, &options.trainer) {
        (Some(data), Some(trainer)) => {
            let name = format!("first puzzles of {}", data.display());
            sets.push(trainer.puzzles(job, name, Some(data))?);
        }
        (Some(data), None) => {
            return Err(VerifyError::file(
                data,
                "is read by the program `trainer`, which was not found; build it, name it with --trainer, or give puzzles as a file with --inputs",
            ));
        }
        (None, Some(trainer)) if manifest.task.starts_with("sudoku") && options.inputs.is_none() => {
            sets.push(trainer.puzzles(job, format!("generated puzzles of the task {}", manifest.task), None)?);
        }
        (None, _) if options.inputs.is_none() => notes.push(NO_PUZZLES.to_owned()),
        (None, _) => {}
    }
    Ok(sets)
}

/// What a report says that looked at random tokens alone.
const NO_PUZZLES: &str =
    "no puzzles of the task were looked at: give a file with --inputs, or a dataset folder with --data";

/// The first of `values` that the model does not know is named.
fn check(file: &TensorFile, what: &str, values: &[i64], limit: usize) -> Result<(), VerifyError> {
    match values.iter().find(|value| !(0..limit as i64).contains(value)) {
        None => Ok(()),
        Some(value) => Err(file.problem(format!("{what} {value} is none of the model's 0..{limit}"))),
    }
}

impl VerifyInputs {
    /// As the tensors of a file that `trainer forward` and [`read`](Self::read) read.
    pub(super) fn write(&self, path: &Path) -> Result<(), VerifyError> {
        use models::checkpoint::{HostTensor, write_tensors};
        let rows = self.rows();
        let tokens: Vec<i32> = self.tokens.iter().map(|&token| token as i32).collect();
        let identifiers: Vec<i32> = self.puzzle_identifiers.iter().map(|&identifier| identifier as i32).collect();
        let tensors = [
            (INPUTS.to_owned(), HostTensor::int32(&[rows, tokens.len() / rows.max(1)], &tokens)),
            (PUZZLE_IDENTIFIERS.to_owned(), HostTensor::int32(&[rows], &identifiers)),
        ];
        Ok(write_tensors(path, &tensors.into())?)
    }
}
