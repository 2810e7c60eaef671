//! Several dataset folders seen as one, as the reference merges its `data_paths`.
//! Owns which folders fit together and the merged metadata; leaves their files to [`crate::store`].

use std::path::PathBuf;

use crate::DatasetError;
use crate::store::{DatasetMetadata, DatasetSplit, PuzzleSet, Split};

/// The sets of one or more folders and the metadata that describes them together.
#[derive(Debug)]
pub(super) struct MergedDataset {
    pub(super) metadata: DatasetMetadata,
    /// `(name, set)`; sets of later folders carry the folder's index behind their name.
    pub(super) sets: Vec<(String, PuzzleSet)>,
}

impl MergedDataset {
    /// Opens one split of every folder.
    ///
    /// Puzzle identifiers are used as stored: datasets whose puzzles differ must have been built with identifiers
    /// that don't overlap (the reference's `--puzzle-identifiers-start`).
    pub(super) fn open(paths: &[PathBuf], split: Split) -> Result<Self, DatasetError> {
        let splits = paths.iter().map(|path| DatasetSplit::open(path, split)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = splits.first() else {
            return Err(DatasetError::argument("data_paths", "at least one dataset folder", "none"));
        };
        let mut metadata = first.metadata().clone();
        for (path, other) in paths.iter().zip(&splits).skip(1) {
            let file = path.join(split.name()).join("dataset.json");
            merge_metadata(&mut metadata, other.metadata())
                .map_err(|(expected, found)| DatasetError::format(&file, expected, found))?;
        }
        let mut folders: Vec<_> = splits.into_iter().map(|split| split.into_sets().into_iter()).collect();
        let mut sets = Vec::new();
        for name in &metadata.sets {
            for (index, folder) in folders.iter_mut().enumerate() {
                let name = if index == 0 { name.clone() } else { format!("{name}{index}") };
                sets.extend(folder.next().map(|set| (name, set)));
            }
        }
        Ok(Self { metadata, sets })
    }
}

/// Adds up counts; everything that shapes a model must agree. The error is `(expected, found)`.
fn merge_metadata(merged: &mut DatasetMetadata, other: &DatasetMetadata) -> Result<(), (String, String)> {
    agree("seq_len", &merged.seq_len, &other.seq_len)?;
    agree("vocab_size", &merged.vocab_size, &other.vocab_size)?;
    agree("pad_id", &merged.pad_id, &other.pad_id)?;
    agree("ignore_label_id", &merged.ignore_label_id, &other.ignore_label_id)?;
    agree("blank_identifier_id", &merged.blank_identifier_id, &other.blank_identifier_id)?;
    agree("sets", &merged.sets, &other.sets)?;
    let total_puzzles = merged.total_puzzles.saturating_add(other.total_puzzles);
    if total_puzzles > 0 {
        let examples = merged.mean_puzzle_examples * merged.total_puzzles as f64
            + other.mean_puzzle_examples * other.total_puzzles as f64;
        merged.mean_puzzle_examples = examples / total_puzzles as f64;
    }
    merged.total_puzzles = total_puzzles;
    merged.total_groups = merged.total_groups.saturating_add(other.total_groups);
    merged.num_puzzle_identifiers = merged.num_puzzle_identifiers.saturating_add(other.num_puzzle_identifiers);
    Ok(())
}

fn agree<T: PartialEq + std::fmt::Debug>(name: &str, expected: &T, found: &T) -> Result<(), (String, String)> {
    if expected == found {
        return Ok(());
    }
    Err((format!("{name} {expected:?} as in the first of data_paths"), format!("{found:?}")))
}
