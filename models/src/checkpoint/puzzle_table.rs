//! The puzzle-embedding table of a checkpoint, which stays in its file: rows for the model's input, and another number
//! of rows for other data. ARC's has 876,406 rows (1.8 GB), of which a batch needs a few.

use std::fmt;
use std::sync::Arc;

use super::{Checkpoint, WeightFile};
use crate::{ModelError, ParameterKind, ParameterSpec};

/// The model's input `puzzle_embeddings`, read row by row.
#[derive(Debug, Clone)]
pub struct PuzzleEmbeddings {
    checkpoint: Arc<Checkpoint>,
    table: ParameterSpec,
    row_len: usize,
}

impl PuzzleEmbeddings {
    /// Those of `checkpoint`; `None` where its model takes none.
    pub fn of(checkpoint: Arc<Checkpoint>) -> Option<Self> {
        let arch = &checkpoint.manifest.arch;
        let row_len = arch.puzzle_emb_len() * arch.hidden_size();
        let table = checkpoint.puzzle_table()?.clone();
        Some(Self { checkpoint, table, row_len })
    }

    /// Rows of the table.
    pub fn num_puzzle_identifiers(&self) -> usize {
        self.table.shape[0]
    }

    /// `[identifiers.len(), puzzle_emb_len, hidden_size]` row-major: rows of the table, zero-padded to whole positions.
    ///
    /// # Errors
    /// [`ModelError::TensorRow`] when an identifier lies outside of the table.
    pub fn rows(&self, identifiers: &[usize]) -> Result<Vec<f32>, ModelError> {
        let rows = self.checkpoint.rows(&self.table, identifiers)?;
        let width = self.table.shape[1];
        if width == self.row_len {
            return Ok(rows);
        }
        let mut padded = vec![0.0; identifiers.len() * self.row_len];
        for (target, row) in padded.chunks_exact_mut(self.row_len).zip(rows.chunks_exact(width)) {
            target[..width].copy_from_slice(row);
        }
        Ok(padded)
    }
}

/// How a table becomes one for another number of puzzles: all rows are the mean of its rows, as the reference's
/// `load_checkpoint` does it, since puzzles of other data have nothing to do with those that the rows were learned for.
#[derive(Debug, Clone, PartialEq)]
pub struct TableResize {
    found: usize,
    expected: usize,
    mean: Vec<f32>,
}

impl TableResize {
    /// `[puzzle_emb_ndim]`: every row of the new table.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// `[expected, puzzle_emb_ndim]`: the new table.
    pub fn table(&self) -> Vec<f32> {
        self.mean.repeat(self.expected)
    }
}

/// The warning that belongs to it.
impl fmt::Display for TableResize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.found == self.expected {
            return write!(f, "each of the {} rows of the puzzle table becomes the mean of all", self.found);
        }
        write!(
            f,
            "the puzzle table has {} rows, {} are needed: every row becomes the mean of the old ones, what was learned about single puzzles is dropped",
            self.found, self.expected
        )
    }
}

impl Checkpoint {
    /// The spec of the puzzle-embedding table, if the model has one.
    pub fn puzzle_table(&self) -> Option<&ParameterSpec> {
        self.specs.iter().find(|spec| spec.kind == ParameterKind::PuzzleTable)
    }

    /// Rows `indices` of the matrix `spec`, row-major: for tables that are larger than the memory.
    ///
    /// # Errors
    /// When the tensor is missing, of another shape, of a type that is not a float, or has no such row.
    pub fn rows(&self, spec: &ParameterSpec, indices: &[usize]) -> Result<Vec<f32>, ModelError> {
        self.weights.check(spec)?;
        self.weights.rows(&spec.name, indices)
    }

    /// What becomes of the puzzle table for `num_puzzle_identifiers` puzzles; `None` where it stays, or is none.
    ///
    /// # Errors
    /// When it cannot be read, or would have no rows.
    pub fn resize_puzzle_table(&self, num_puzzle_identifiers: usize) -> Result<Option<TableResize>, ModelError> {
        let Some(table) = self.puzzle_table() else { return Ok(None) };
        self.weights.resize_puzzle_table(&table.name, num_puzzle_identifiers)
    }

    /// The puzzle table for `num_puzzle_identifiers` puzzles that are new, also where it has as many rows; `None` where
    /// the model has none.
    ///
    /// # Errors
    /// As [`resize_puzzle_table`](Self::resize_puzzle_table).
    pub fn mean_puzzle_table(&self, num_puzzle_identifiers: usize) -> Result<Option<TableResize>, ModelError> {
        let Some(table) = self.puzzle_table() else { return Ok(None) };
        self.weights.mean_puzzle_table(&table.name, num_puzzle_identifiers).map(Some)
    }
}

impl WeightFile {
    /// What becomes of the matrix `name`, a puzzle table, for `num_puzzle_identifiers` puzzles; `None` where it stays.
    ///
    /// # Errors
    /// When it is missing, no matrix, cannot be read, or would have no rows.
    pub fn resize_puzzle_table(
        &self,
        name: &str,
        num_puzzle_identifiers: usize,
    ) -> Result<Option<TableResize>, ModelError> {
        let (found, _) = self.matrix_shape(name)?;
        if found == num_puzzle_identifiers {
            return Ok(None);
        }
        self.mean_puzzle_table(name, num_puzzle_identifiers).map(Some)
    }

    /// The matrix `name`, a puzzle table, for `num_puzzle_identifiers` puzzles that are new.
    ///
    /// # Errors
    /// As [`resize_puzzle_table`](Self::resize_puzzle_table).
    pub fn mean_puzzle_table(&self, name: &str, num_puzzle_identifiers: usize) -> Result<TableResize, ModelError> {
        let (found, width) = self.matrix_shape(name)?;
        let expected = num_puzzle_identifiers;
        if expected == 0 {
            return Err(ModelError::config("num_puzzle_identifiers", "is 0, a puzzle table has at least one row"));
        }
        let mut sums = vec![0.0_f64; width];
        self.for_each_piece(name, |values| {
            for row in values.chunks_exact(width) {
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            Ok(())
        })?;
        let mean = sums.iter().map(|sum| (sum / found as f64) as f32).collect();
        Ok(TableResize { found, expected, mean })
    }

    /// Rows and columns.
    fn matrix_shape(&self, name: &str) -> Result<(usize, usize), ModelError> {
        let &[rows, columns] = self.layout(name)?.shape.as_slice() else {
            return Err(ModelError::format(self.path(), format!("holds no matrix `{name}`")));
        };
        Ok((rows, columns))
    }
}
