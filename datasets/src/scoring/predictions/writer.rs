//! Writing a prediction file batch by batch, in place: no more than a batch lies in memory.
//! Owns the layout; leaves staging and renaming to the store.

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use files::StagedFile;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::{Deserialize, Serialize};

use super::read::PredictionRows;
use super::safetensors_file::header_bytes;
use super::{AUGMENTATIONS, INPUTS, LABELS, PREDS, PUZZLE_IDENTIFIERS, Q_HALT_LOGITS};
use crate::DatasetError;

/// A prediction file under construction, visible only once it is complete.
#[derive(Debug)]
pub struct PredictionWriter {
    file: StagedFile,
    rows: usize,
    written: usize,
    seq_len: usize,
    /// Each array, and where it starts in the file.
    arrays: Vec<(PredictionArray, u64)>,
}

/// An array of a prediction file, in the order in which arrays lie: those of four bytes come first, aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionArray {
    /// Halting logits, float32.
    QHaltLogits,
    /// Rows of the puzzle table, int32.
    PuzzleIdentifiers,
    /// Labels, int32; -100 where there is none. Scoring takes them from the data set.
    Labels,
    /// Input tokens, uint8.
    Inputs,
    /// Predicted tokens, uint8.
    Preds,
}

impl PredictionArray {
    /// What scoring reads.
    pub const SCORED: [Self; 4] = [Self::QHaltLogits, Self::PuzzleIdentifiers, Self::Inputs, Self::Preds];

    fn info(self) -> (&'static str, Dtype) {
        match self {
            Self::QHaltLogits => (Q_HALT_LOGITS, Dtype::F32),
            Self::PuzzleIdentifiers => (PUZZLE_IDENTIFIERS, Dtype::I32),
            Self::Labels => (LABELS, Dtype::I32),
            Self::Inputs => (INPUTS, Dtype::U8),
            Self::Preds => (PREDS, Dtype::U8),
        }
    }

    fn has_tokens(self) -> bool {
        !matches!(self, Self::QHaltLogits | Self::PuzzleIdentifiers)
    }

    /// Bytes of a row of `seq_len` tokens.
    fn row_bytes(self, seq_len: usize) -> usize {
        let element = if matches!(self, Self::Inputs | Self::Preds) { 1 } else { 4 };
        if self.has_tokens() { element * seq_len } else { element }
    }
}

impl PredictionWriter {
    /// Prepares a file of exactly `rows` rows at `path` with the arrays that scoring reads.
    ///
    /// `augmentations` symmetric copies were predicted of every puzzle and undone; 1 is the puzzle itself alone.
    ///
    /// # Errors
    /// When the file cannot be created or is too large for the file system.
    pub fn create(path: &Path, rows: usize, seq_len: usize, augmentations: usize) -> Result<Self, DatasetError> {
        Self::create_with(path, rows, seq_len, augmentations, &PredictionArray::SCORED)
    }

    /// As [`create`](Self::create), with these arrays.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        path: &Path,
        rows: usize,
        seq_len: usize,
        augmentations: usize,
        arrays: &[PredictionArray],
    ) -> Result<Self, DatasetError> {
        if rows.checked_mul(seq_len).is_none_or(|tokens| tokens > usize::MAX >> 5) {
            return Err(DatasetError::argument("rows", "fewer than 2^59 tokens in all", rows));
        }
        let mut arrays = arrays.to_vec();
        arrays.sort_unstable();
        arrays.dedup();
        let mut tensors = Vec::new();
        let mut end = 0;
        for array in &arrays {
            let (name, dtype) = array.info();
            let shape = if array.has_tokens() { vec![rows, seq_len] } else { vec![rows] };
            let bytes = rows * array.row_bytes(seq_len);
            tensors.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (end, end + bytes) }));
            end += bytes;
        }
        let starts: Vec<u64> = tensors.iter().map(|(_, info)| info.data_offsets.0 as u64).collect();
        let metadata = HashMap::from([(AUGMENTATIONS.to_owned(), augmentations.to_string())]);
        let header = header_bytes(metadata, tensors);
        let data = header.len() as u64;
        let file = StagedFile::create(path)?;
        let fail = |error| DatasetError::io("write", path)(error);
        file.file().set_len(data + end as u64).map_err(fail)?;
        file.file().write_all_at(&header, 0).map_err(fail)?;
        let arrays = arrays.into_iter().zip(starts).map(|(array, start)| (array, data + start)).collect();
        Ok(Self { file, rows, written: 0, seq_len, arrays })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the file would get more rows than announced or the disk is full.
    ///
    /// # Panics
    /// When the rows have another length, or the file holds labels.
    pub fn append(&mut self, rows: &PredictionRows) -> Result<(), DatasetError> {
        self.append_with_labels(rows, &[])
    }

    /// As [`append`](Self::append), with the `[rows, seq_len]` labels of the rows for a file that holds them.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    ///
    /// # Panics
    /// When the rows have another length, or labels are missing.
    pub fn append_with_labels(&mut self, rows: &PredictionRows, labels: &[i32]) -> Result<(), DatasetError> {
        assert_eq!(rows.seq_len, self.seq_len, "rows of the length that was announced");
        if rows.len() > self.rows - self.written {
            return Err(self.wrong_rows(self.written + rows.len()));
        }
        for &(array, start) in &self.arrays {
            let bytes: Cow<[u8]> = match array {
                PredictionArray::QHaltLogits => {
                    rows.q_halt_logits.iter().flat_map(|&logit| (logit as f32).to_le_bytes()).collect()
                }
                PredictionArray::PuzzleIdentifiers => {
                    rows.puzzle_identifiers.iter().flat_map(|identifier| identifier.to_le_bytes()).collect()
                }
                PredictionArray::Labels => {
                    assert_eq!(labels.len(), rows.inputs.len(), "a label for each token");
                    labels.iter().flat_map(|label| label.to_le_bytes()).collect()
                }
                PredictionArray::Inputs => (&rows.inputs[..]).into(),
                PredictionArray::Preds => (&rows.preds[..]).into(),
            };
            let offset = start + (self.written * array.row_bytes(self.seq_len)) as u64;
            self.file.file().write_all_at(&bytes, offset).map_err(DatasetError::io("write", self.file.target()))?;
        }
        self.written += rows.len();
        Ok(())
    }

    /// Makes the file visible.
    ///
    /// # Errors
    /// When rows are missing, or it cannot be synced and renamed.
    pub fn finish(self) -> Result<(), DatasetError> {
        if self.written != self.rows {
            return Err(self.wrong_rows(self.written));
        }
        Ok(self.file.publish()?)
    }

    fn wrong_rows(&self, found: usize) -> DatasetError {
        DatasetError::format(self.file.target(), format!("{} rows of predictions", self.rows), found.to_string())
    }
}
