//! Reading one prediction file in chunks, checked against the dataset that it claims to answer.
//! Owns shape and row checks; leaves byte layouts to the formats beside it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::column::Column;
use super::{ARRAYS, INPUTS, PREDS, npy, safetensors_file};
use crate::store::DatasetMetadata;
use crate::{Batch, DatasetError};

/// Rows read at once: 15 MB of 900-cell rows at their widest type.
const CHUNK_ROWS: usize = 1024;

/// Some rows of a prediction file.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRows {
    /// Tokens per row.
    pub seq_len: usize,
    /// Number of the first row in its file.
    pub first_row: usize,
    /// `[rows, seq_len]` input tokens.
    pub inputs: Vec<u8>,
    /// `[rows, seq_len]` predicted tokens.
    pub preds: Vec<u8>,
    /// `[rows]` rows of the puzzle-embedding table.
    pub puzzle_identifiers: Vec<u32>,
    /// `[rows]` halting logits, none of them NaN.
    pub q_halt_logits: Vec<f64>,
}

impl PredictionRows {
    /// The real rows of a batch with what a model answered: `[rows, seq_len]` predictions, `[rows]` logits.
    ///
    /// # Panics
    /// When the lengths disagree, or a token or an identifier is negative or a token exceeds 255.
    pub fn of_batch(batch: &Batch, preds: &[i32], q_halt_logits: &[f32]) -> Self {
        assert_eq!((preds.len(), q_halt_logits.len()), (batch.inputs.len(), batch.rows()), "an answer for each row");
        let (rows, tokens) = (batch.real_rows, batch.real_rows * batch.seq_len);
        Self {
            seq_len: batch.seq_len,
            first_row: 0,
            inputs: batch.inputs[..tokens].iter().map(|&token| byte(token)).collect(),
            preds: preds[..tokens].iter().map(|&token| byte(token)).collect(),
            puzzle_identifiers: batch.puzzle_identifiers[..rows]
                .iter()
                .map(|&identifier| u32::try_from(identifier).expect("identifiers are rows of a table"))
                .collect(),
            q_halt_logits: q_halt_logits[..rows].iter().copied().map(f64::from).collect(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.puzzle_identifiers.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.puzzle_identifiers.is_empty()
    }

    /// Input tokens of a row.
    pub fn input(&self, row: usize) -> &[u8] {
        &self.inputs[row * self.seq_len..(row + 1) * self.seq_len]
    }

    /// Predicted tokens of a row.
    pub fn pred(&self, row: usize) -> &[u8] {
        &self.preds[row * self.seq_len..(row + 1) * self.seq_len]
    }
}

fn byte(token: i32) -> u8 {
    u8::try_from(token).expect("tokens of all tasks are below 256")
}

/// Where predictions come from, for messages, and how often they answer each puzzle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionSource {
    /// The file; any name for predictions that never were in one.
    pub path: PathBuf,
    /// Symmetric copies that were predicted of every puzzle and undone, at least 1.
    pub augmentations: usize,
}

/// An opened prediction file; iterates over its rows in chunks, of which one at a time lies in memory.
pub struct PredictionFile {
    source: PredictionSource,
    rows: usize,
    read: usize,
    seq_len: usize,
    vocab_size: usize,
    num_puzzle_identifiers: usize,
    columns: Columns,
}

struct Columns {
    inputs: Column,
    puzzle_identifiers: Column,
    q_halt_logits: Column,
    preds: Column,
}

/// What a format finds in a file.
pub(super) struct Contents {
    /// The four arrays in the order of [`ARRAYS`].
    pub(super) arrays: Vec<StoredArray>,
    /// Copies per puzzle, where the file says so.
    pub(super) augmentations: Option<String>,
}

/// An array as it is stored.
pub(super) struct StoredArray {
    pub(super) element: super::column::Element,
    pub(super) shape: Vec<usize>,
    pub(super) reader: Box<dyn Read + Send>,
}

impl PredictionFile {
    /// Opens a prediction file (or a folder of `.npy` arrays) and checks its shapes against a dataset's metadata.
    ///
    /// # Errors
    /// When the file is of no known format, truncated, lacks an array, or has rows of another length.
    pub fn open(path: &Path, metadata: &DatasetMetadata) -> Result<Self, DatasetError> {
        let contents = open_any(path)?;
        let fail = |expected: String, found: String| DatasetError::format(path, expected, found);
        let mut rows = None;
        let mut columns = Vec::with_capacity(ARRAYS.len());
        for (name, array) in ARRAYS.into_iter().zip(contents.arrays) {
            let width = if matches!(name, INPUTS | PREDS) { metadata.seq_len } else { 1 };
            let fits = match *array.shape {
                [_, columns] => columns == width,
                [_] => width == 1,
                _ => false,
            };
            if !fits {
                let expected = match name {
                    INPUTS | PREDS => format!("{name} of shape [rows, {width}], the dataset's seq_len"),
                    _ => format!("{name} of shape [rows]"),
                };
                return Err(fail(expected, format!("shape {:?}", array.shape)));
            }
            let found = array.shape[0];
            if *rows.get_or_insert(found) != found {
                let expected = format!("{name} of {} rows as in {}", rows.unwrap_or_default(), ARRAYS[0]);
                return Err(fail(expected, format!("{found} rows")));
            }
            let column = Column::new(name, array.element, width, array.reader);
            columns.push(column.map_err(|(expected, found)| fail(expected, found))?);
        }
        let augmentations = match contents.augmentations {
            None => 1,
            Some(text) => match text.parse() {
                Ok(copies) if copies > 0 => copies,
                _ => {
                    return Err(fail("a positive number of augmentations in its metadata".into(), format!("{text:?}")));
                }
            },
        };
        let [inputs, puzzle_identifiers, q_halt_logits, preds] =
            <[Column; 4]>::try_from(columns).unwrap_or_else(|_| unreachable!("a column was made for every name"));
        Ok(Self {
            source: PredictionSource { path: path.to_owned(), augmentations },
            rows: rows.unwrap_or_default(),
            read: 0,
            seq_len: metadata.seq_len,
            vocab_size: metadata.vocab_size,
            num_puzzle_identifiers: metadata.num_puzzle_identifiers,
            columns: Columns { inputs, puzzle_identifiers, q_halt_logits, preds },
        })
    }

    /// Number of rows, padding included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The file, and how often it says that it answers each puzzle (once where it does not say).
    pub fn source(&self) -> &PredictionSource {
        &self.source
    }

    fn read_chunk(&mut self, rows: usize) -> Result<PredictionRows, DatasetError> {
        let (path, first_row) = (&self.source.path, self.read);
        let columns = &mut self.columns;
        Ok(PredictionRows {
            seq_len: self.seq_len,
            first_row,
            inputs: columns.inputs.tokens(path, rows, first_row, self.vocab_size)?,
            preds: columns.preds.tokens(path, rows, first_row, self.vocab_size)?,
            puzzle_identifiers: columns.puzzle_identifiers.identifiers(
                path,
                rows,
                first_row,
                self.num_puzzle_identifiers,
            )?,
            q_halt_logits: columns.q_halt_logits.logits(path, rows, first_row)?,
        })
    }
}

impl Iterator for PredictionFile {
    type Item = Result<PredictionRows, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = CHUNK_ROWS.min(self.rows - self.read);
        if rows == 0 {
            return None;
        }
        let chunk = self.read_chunk(rows);
        // Behind an error the columns no longer stand at the same row.
        self.read = if chunk.is_ok() { self.read + rows } else { self.rows };
        Some(chunk)
    }
}

/// Finds out what `path` is: a folder of arrays, an archive, or safetensors.
fn open_any(path: &Path) -> Result<Contents, DatasetError> {
    if path.is_dir() {
        return npy::open_folder(path);
    }
    let mut start = Vec::with_capacity(9);
    File::open(path)
        .map_err(DatasetError::io("open", path))?
        .take(9)
        .read_to_end(&mut start)
        .map_err(DatasetError::io("read", path))?;
    match *start {
        [b'P', b'K', 3, 4, ..] => npy::open_archive(path),
        [_, _, _, _, _, _, _, _, b'{'] => safetensors_file::open(path),
        _ => {
            let expected =
                format!("predictions as safetensors, .npz or a folder of .npy files ({})", ARRAYS.join(", "));
            Err(DatasetError::format(path, expected, format!("a file that starts with {start:02x?}")))
        }
    }
}

/// The message for an array that a file does not have.
pub(super) fn missing_array(path: &Path, name: &str, present: &[String]) -> DatasetError {
    let listed: Vec<&str> = present.iter().map(String::as_str).take(16).collect();
    let found = if listed.is_empty() { "no arrays".to_owned() } else { format!("only {}", listed.join(", ")) };
    DatasetError::format(path, format!("the arrays {} ({name} is missing)", ARRAYS.join(", ")), found)
}
