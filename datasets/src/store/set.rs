//! Reading a split: its metadata and its sets of memory-mapped examples, with every index checked on opening.
//! Owns the relation example → puzzle → group; leaves the order in which examples are visited to [`crate::loader`].

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::metadata::DatasetMetadata;
use super::npy::{DType, NpyArray};
use crate::{DatasetError, IGNORE_LABEL_ID};

/// The two halves of a dataset folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `train/`
    Train,
    /// `test/`
    Test,
}

impl Split {
    /// Both splits, in the order in which builders write them.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// Name of the folder and of the CSV the split is built from.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// One opened split of a dataset folder.
#[derive(Debug)]
pub struct DatasetSplit {
    metadata: DatasetMetadata,
    sets: Vec<PuzzleSet>,
}

impl DatasetSplit {
    /// Opens `root/{train,test}`: maps the examples, loads and checks the indices.
    pub fn open(root: &Path, split: Split) -> Result<Self, DatasetError> {
        let folder = root.join(split.name());
        let metadata = DatasetMetadata::read(&folder.join("dataset.json"))?;
        let sets =
            metadata.sets.iter().map(|name| PuzzleSet::open(&folder, name, &metadata)).collect::<Result<_, _>>()?;
        Ok(Self { metadata, sets })
    }

    /// What `dataset.json` says.
    pub fn metadata(&self) -> &DatasetMetadata {
        &self.metadata
    }

    /// The sets in the order of the metadata.
    pub fn sets(&self) -> &[PuzzleSet] {
        &self.sets
    }

    /// Gives up the split for its sets.
    pub fn into_sets(self) -> Vec<PuzzleSet> {
        self.sets
    }
}

/// The examples of one set, grouped into puzzles (same identifier) and groups (same original puzzle).
#[derive(Debug)]
pub struct PuzzleSet {
    name: String,
    inputs: NpyArray,
    labels: NpyArray,
    puzzle_identifiers: Vec<i32>,
    puzzle_indices: Vec<usize>,
    group_indices: Vec<usize>,
    seq_len: usize,
    vocab_size: usize,
    ignore_label_id: Option<i32>,
}

impl PuzzleSet {
    fn open(folder: &Path, name: &str, metadata: &DatasetMetadata) -> Result<Self, DatasetError> {
        let file = |field: &str| field_path(folder, name, field);
        let inputs = open_examples(&file("inputs"), metadata.seq_len, None)?;
        let examples = inputs.shape()[0];
        let labels = open_examples(&file("labels"), metadata.seq_len, Some(examples))?;
        let puzzle_indices = open_boundaries(&file("puzzle_indices"), examples, "examples")?;
        let puzzles = puzzle_indices.len() - 1;
        let group_indices = open_boundaries(&file("group_indices"), puzzles, "puzzles")?;
        let puzzle_identifiers = open_identifiers(&file("puzzle_identifiers"), puzzles, metadata)?;
        Ok(Self {
            name: name.to_owned(),
            inputs,
            labels,
            puzzle_identifiers,
            puzzle_indices,
            group_indices,
            seq_len: metadata.seq_len,
            vocab_size: metadata.vocab_size,
            ignore_label_id: metadata.ignore_label_id,
        })
    }

    /// Name of the set as in the metadata.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.inputs.shape()[0]
    }

    /// Number of puzzles.
    pub fn puzzles(&self) -> usize {
        self.puzzle_identifiers.len()
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.group_indices.len() - 1
    }

    /// Element type of the stored inputs.
    pub fn dtype(&self) -> DType {
        self.inputs.dtype()
    }

    /// Puzzles of a group.
    pub fn puzzles_of(&self, group: usize) -> Range<usize> {
        self.group_indices[group]..self.group_indices[group + 1]
    }

    /// Examples of a puzzle.
    pub fn examples_of(&self, puzzle: usize) -> Range<usize> {
        self.puzzle_indices[puzzle]..self.puzzle_indices[puzzle + 1]
    }

    /// The puzzle that an example belongs to.
    pub fn puzzle_of(&self, example: usize) -> usize {
        self.puzzle_indices.partition_point(|&start| start <= example) - 1
    }

    /// Identifier of a puzzle: its row in the puzzle-embedding table.
    pub fn puzzle_identifier(&self, puzzle: usize) -> i32 {
        self.puzzle_identifiers[puzzle]
    }

    /// Appends the `[seq_len]` input tokens of an example; a token outside the vocabulary is an error.
    pub fn append_input(&self, example: usize, out: &mut Vec<i32>) -> Result<(), DatasetError> {
        if let Some(row) = self.inputs.byte_row(example).filter(|row| self.are_tokens(row)) {
            out.extend(row.iter().map(|&token| i32::from(token)));
            return Ok(());
        }
        let start = out.len();
        self.inputs.append_row(example, out);
        let vocabulary = 0..self.vocab_size as i32;
        match out[start..].iter().position(|token| !vocabulary.contains(token)) {
            None => Ok(()),
            Some(position) => Err(self.bad_token(&self.inputs, example, position, out[start + position])),
        }
    }

    /// Appends the `[seq_len]` labels of an example, ignored ones as [`IGNORE_LABEL_ID`].
    pub fn append_label(&self, example: usize, out: &mut Vec<i32>) -> Result<(), DatasetError> {
        if let Some(row) = self.labels.byte_row(example).filter(|row| self.are_tokens(row)) {
            match self.ignore_label_id.map(u8::try_from) {
                Some(Ok(ignored)) => out
                    .extend(row.iter().map(|&label| if label == ignored { IGNORE_LABEL_ID } else { i32::from(label) })),
                _ => out.extend(row.iter().map(|&label| i32::from(label))),
            }
            return Ok(());
        }
        let start = out.len();
        self.labels.append_row(example, out);
        if let Some(ignored) = self.ignore_label_id {
            for label in &mut out[start..] {
                if *label == ignored {
                    *label = IGNORE_LABEL_ID;
                }
            }
        }
        let allowed = |label: &i32| (0..self.vocab_size as i32).contains(label) || *label == IGNORE_LABEL_ID;
        match out[start..].iter().position(|label| !allowed(label)) {
            None => Ok(()),
            Some(position) => Err(self.bad_token(&self.labels, example, position, out[start + position])),
        }
    }

    /// Whether all bytes are below `vocab_size`; the maximum is looked for because that takes no branch per byte.
    fn are_tokens(&self, row: &[u8]) -> bool {
        usize::from(row.iter().fold(0, |highest, &token| highest.max(token))) < self.vocab_size
    }

    fn bad_token(&self, array: &NpyArray, example: usize, position: usize, token: i32) -> DatasetError {
        let expected = format!("tokens below vocab_size {}", self.vocab_size);
        debug_assert!(position < self.seq_len);
        DatasetError::format(array.path(), expected, format!("{token} in row {example}, column {position}"))
    }
}

/// `{set}__{field}.npy` in a split's folder.
pub(super) fn field_path(folder: &Path, set: &str, field: &str) -> PathBuf {
    folder.join(format!("{set}__{field}.npy"))
}

/// Opens `[examples, seq_len]` tokens.
fn open_examples(path: &Path, seq_len: usize, examples: Option<usize>) -> Result<NpyArray, DatasetError> {
    let array = NpyArray::open(path)?;
    let fits = match *array.shape() {
        [rows, columns] => columns == seq_len && examples.is_none_or(|examples| rows == examples),
        _ => false,
    };
    if fits {
        return Ok(array);
    }
    let rows = examples.map_or("examples".to_owned(), |examples| examples.to_string());
    Err(DatasetError::format(path, format!("shape [{rows}, {seq_len}]"), format!("shape {:?}", array.shape())))
}

/// Opens boundaries `0 < … < end` that cut `end` items into non-empty ranges.
fn open_boundaries(path: &Path, end: usize, items: &str) -> Result<Vec<usize>, DatasetError> {
    let array = open_vector(path)?;
    if array.shape()[0] > end + 1 {
        let expected = format!("at most {} indices for {end} {items}", end + 1);
        return Err(DatasetError::format(path, expected, array.shape()[0].to_string()));
    }
    let values = array.to_vec(|value| value as usize);
    // Stored values are signed; the checks below let none pass that is not an index.
    let signed = |index: usize| values[index] as i64;
    let found = |index: usize| format!("{} at index {index}", signed(index));
    if values.first() != Some(&0) {
        let found = values.first().map_or("an empty array".to_owned(), |_| found(0));
        return Err(DatasetError::format(path, "0 at index 0", found));
    }
    if let Some(index) = (1..values.len()).position(|index| signed(index - 1) >= signed(index)) {
        let expected = format!("strictly increasing indices (more than {} here)", values[index]);
        return Err(DatasetError::format(path, expected, found(index + 1)));
    }
    if values[values.len() - 1] != end {
        let expected = format!("the number of {items}, {end}, as last index");
        return Err(DatasetError::format(path, expected, found(values.len() - 1)));
    }
    Ok(values)
}

fn open_identifiers(path: &Path, puzzles: usize, metadata: &DatasetMetadata) -> Result<Vec<i32>, DatasetError> {
    let array = open_vector(path)?;
    if array.shape()[0] != puzzles {
        let expected = format!("{puzzles} identifiers, one per puzzle");
        return Err(DatasetError::format(path, expected, array.shape()[0].to_string()));
    }
    // What does not fit is out of range in any case: there are at most 2^31 - 1 identifiers.
    let values = array.to_vec(|value| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }));
    let known = 0..metadata.num_puzzle_identifiers as i64;
    if let Some(index) = values.iter().position(|&value| !known.contains(&i64::from(value))) {
        let expected = format!("identifiers below num_puzzle_identifiers {}", metadata.num_puzzle_identifiers);
        return Err(DatasetError::format(path, expected, format!("{} at index {index}", values[index])));
    }
    Ok(values)
}

fn open_vector(path: &Path) -> Result<NpyArray, DatasetError> {
    let array = NpyArray::open(path)?;
    if array.shape().len() == 1 {
        return Ok(array);
    }
    Err(DatasetError::format(path, "one dimension", format!("shape {:?}", array.shape())))
}
