//! `dataset.json`: the facts about a split that a model and a loader must agree on.
//! Owns its fields, validation and bytes; leaves the arrays they describe to [`super`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json;
use crate::DatasetError;

/// Generous bound for `dataset.json`, which holds ten numbers.
const MAX_METADATA_BYTES: u64 = 1 << 20;

/// What `dataset.json` of a split says, with the reference's field names and order (`PuzzleDatasetMetadata`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetMetadata {
    /// Token of padding cells and rows.
    pub pad_id: i32,
    /// Label value to be ignored by the loss, if the dataset has one.
    pub ignore_label_id: Option<i32>,
    /// Puzzle identifier of padding rows.
    pub blank_identifier_id: i32,
    /// Number of token values, padding included.
    pub vocab_size: usize,
    /// Tokens per example.
    pub seq_len: usize,
    /// Rows that a puzzle-embedding table needs, the blank one included.
    pub num_puzzle_identifiers: usize,
    /// Groups (original puzzles with their augmentations) over all sets.
    pub total_groups: usize,
    /// Average number of examples per puzzle; training lengths are computed from it.
    pub mean_puzzle_examples: f64,
    /// Puzzles over all sets. The Sudoku and maze builders write the number of groups here; HRM's builders do not write
    /// it, and [`read`](Self::read) takes the number of groups then.
    #[serde(default)]
    pub total_puzzles: usize,
    /// Names of the sets; each is one family of `{set}__{field}.npy` files.
    pub sets: Vec<String>,
}

impl DatasetMetadata {
    /// Reads and validates a `dataset.json`.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let mut metadata: Self = json::read(path, MAX_METADATA_BYTES)?;
        metadata.validate(path)?;
        if metadata.total_puzzles == 0 {
            metadata.total_puzzles = metadata.total_groups;
        }
        Ok(metadata)
    }

    /// The bytes that the reference's builder writes (`json.dump`).
    pub fn to_json_bytes(&self) -> Vec<u8> {
        json::to_python_bytes(self)
    }

    fn validate(&self, path: &Path) -> Result<(), DatasetError> {
        let limit = i32::MAX as usize;
        for (name, value) in [
            ("vocab_size", self.vocab_size),
            ("seq_len", self.seq_len),
            ("num_puzzle_identifiers", self.num_puzzle_identifiers),
        ] {
            if !(1..=limit).contains(&value) {
                return Err(DatasetError::format(path, format!("{name} in 1..={limit}"), value.to_string()));
            }
        }
        if !self.mean_puzzle_examples.is_finite() || self.mean_puzzle_examples < 0.0 {
            let found = self.mean_puzzle_examples.to_string();
            return Err(DatasetError::format(path, "mean_puzzle_examples at or above 0", found));
        }
        let vocabulary = 0..self.vocab_size as i64;
        if !vocabulary.contains(&i64::from(self.pad_id)) {
            let expected = format!("pad_id below vocab_size {}", self.vocab_size);
            return Err(DatasetError::format(path, expected, self.pad_id.to_string()));
        }
        if !(0..self.num_puzzle_identifiers as i64).contains(&i64::from(self.blank_identifier_id)) {
            let expected = format!("blank_identifier_id below num_puzzle_identifiers {}", self.num_puzzle_identifiers);
            return Err(DatasetError::format(path, expected, self.blank_identifier_id.to_string()));
        }
        if self.sets.is_empty() {
            return Err(DatasetError::format(path, "at least one name in sets", "none"));
        }
        for (index, set) in self.sets.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if set.is_empty() || set.len() > 128 || set.starts_with('.') || !set.chars().all(plain) {
                let expected = "set names made of letters, digits, '_', '-' and '.'";
                return Err(DatasetError::format(path, expected, format!("{set:?}")));
            }
            if self.sets[..index].contains(set) {
                return Err(DatasetError::format(path, "each set name once", format!("{set:?} twice")));
            }
        }
        Ok(())
    }
}
