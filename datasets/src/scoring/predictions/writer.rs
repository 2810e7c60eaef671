//! Writing a prediction file batch by batch, in place: no more than a batch lies in memory.
//! Owns the layout; leaves staging and renaming to the store.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::read::PredictionRows;
use super::safetensors_file::header_bytes;
use super::{AUGMENTATIONS, INPUTS, PREDS, PUZZLE_IDENTIFIERS, Q_HALT_LOGITS};
use crate::DatasetError;
use crate::store::StagedFile;

/// A prediction file under construction, visible only once it is complete.
#[derive(Debug)]
pub struct PredictionWriter {
    file: StagedFile,
    rows: usize,
    written: usize,
    seq_len: usize,
    /// Where each array starts in the file.
    offsets: Offsets,
}

#[derive(Debug)]
struct Offsets {
    q_halt_logits: u64,
    puzzle_identifiers: u64,
    inputs: u64,
    preds: u64,
}

impl PredictionWriter {
    /// Prepares a file of exactly `rows` rows at `path`: tokens as uint8, identifiers int32, logits float32.
    ///
    /// `augmentations` symmetric copies were predicted of every puzzle and undone; 1 is the puzzle itself alone.
    ///
    /// # Errors
    /// When the file cannot be created or is too large for the file system.
    pub fn create(path: &Path, rows: usize, seq_len: usize, augmentations: usize) -> Result<Self, DatasetError> {
        let Some(tokens) = rows.checked_mul(seq_len).filter(|tokens| tokens.checked_mul(4).is_some()) else {
            return Err(DatasetError::argument("rows", "fewer than 2^62 tokens in all", rows));
        };
        let mut tensors = Vec::new();
        let mut end = 0;
        for (name, dtype, shape, bytes) in [
            (Q_HALT_LOGITS, Dtype::F32, vec![rows], 4 * rows),
            (PUZZLE_IDENTIFIERS, Dtype::I32, vec![rows], 4 * rows),
            (INPUTS, Dtype::U8, vec![rows, seq_len], tokens),
            (PREDS, Dtype::U8, vec![rows, seq_len], tokens),
        ] {
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
        let offsets = Offsets {
            q_halt_logits: data + starts[0],
            puzzle_identifiers: data + starts[1],
            inputs: data + starts[2],
            preds: data + starts[3],
        };
        Ok(Self { file, rows, written: 0, seq_len, offsets })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When the file would get more rows than announced or the disk is full.
    ///
    /// # Panics
    /// When the rows have another length.
    pub fn append(&mut self, rows: &PredictionRows) -> Result<(), DatasetError> {
        assert_eq!(rows.seq_len, self.seq_len, "rows of the length that was announced");
        if rows.len() > self.rows - self.written {
            return Err(self.wrong_rows(self.written + rows.len()));
        }
        let (first, token) = (self.written as u64, (self.written * self.seq_len) as u64);
        let logits: Vec<u8> = rows.q_halt_logits.iter().flat_map(|&logit| (logit as f32).to_le_bytes()).collect();
        let identifiers: Vec<u8> = rows.puzzle_identifiers.iter().flat_map(|id| id.to_le_bytes()).collect();
        for (bytes, offset) in [
            (&logits, self.offsets.q_halt_logits + 4 * first),
            (&identifiers, self.offsets.puzzle_identifiers + 4 * first),
            (&rows.inputs, self.offsets.inputs + token),
            (&rows.preds, self.offsets.preds + token),
        ] {
            self.file.file().write_all_at(bytes, offset).map_err(DatasetError::io("write", self.file.target()))?;
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
        self.file.publish()
    }

    fn wrong_rows(&self, found: usize) -> DatasetError {
        DatasetError::format(self.file.target(), format!("{} rows of predictions", self.rows), found.to_string())
    }
}
