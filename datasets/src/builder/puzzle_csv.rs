//! Puzzle lists as the Sudoku-Extreme and Maze-Hard repositories publish them: CSV `source,question,answer,rating`.
//! Owns rows and their line numbers, in bounded memory; leaves what a question means to the task.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader};

use crate::DatasetError;

const COLUMNS: [&str; 4] = ["source", "question", "answer", "rating"];
/// Longest record: questions have at most 900 cells.
const MAX_RECORD_BYTES: usize = 1 << 16;

/// One puzzle of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PuzzleRow {
    /// Line in the file, counted from 1 with the header as line 1.
    pub line: u64,
    /// The puzzle as text.
    pub question: String,
    /// Its solution as text.
    pub answer: String,
    /// Difficulty as published; for Sudoku-Extreme the backtracks of a solver.
    pub rating: i64,
}

/// Iterator over the rows of a puzzle list.
#[derive(Debug)]
pub struct PuzzleCsv {
    path: PathBuf,
    input: BufReader<File>,
    reader: Reader,
    record: Vec<u8>,
    ends: [usize; COLUMNS.len() + 1],
    newlines: u64,
    failed: bool,
}

impl PuzzleCsv {
    /// Opens a list and checks its header.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = File::open(path).map_err(DatasetError::io("open", path))?;
        let mut list = Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(1 << 18, file),
            reader: Reader::new(),
            record: vec![0; MAX_RECORD_BYTES],
            ends: [0; COLUMNS.len() + 1],
            newlines: 0,
            failed: false,
        };
        match list.record()? {
            Some((_, header)) if header == COLUMNS => Ok(list),
            Some((line, header)) => Err(list.row_error(line, COLUMNS.join(","), format!("{:?}", header.join(",")))),
            None => {
                Err(DatasetError::format(path, format!("a CSV with header {}", COLUMNS.join(",")), "an empty file"))
            }
        }
    }

    /// A [`DatasetError::CsvRow`] of this file.
    pub fn row_error(&self, line: u64, expected: impl Into<String>, found: impl Into<String>) -> DatasetError {
        DatasetError::CsvRow { path: self.path.clone(), line, expected: expected.into(), found: found.into() }
    }

    fn row(&mut self) -> Result<Option<PuzzleRow>, DatasetError> {
        let Some((line, mut fields)) = self.record()? else {
            return Ok(None);
        };
        if fields.len() != COLUMNS.len() {
            let expected = format!("{} columns ({})", COLUMNS.len(), COLUMNS.join(","));
            return Err(self.row_error(line, expected, fields.len().to_string()));
        }
        let Ok(rating) = fields[3].trim().parse() else {
            return Err(self.row_error(line, "a whole number as rating", format!("{:?}", shorten(&fields[3]))));
        };
        let answer = std::mem::take(&mut fields[2]);
        let question = std::mem::take(&mut fields[1]);
        Ok(Some(PuzzleRow { line, question, answer, rating }))
    }

    /// The next record and the line it ends on; one field more than there are columns is kept to show the excess.
    fn record(&mut self) -> Result<Option<(u64, Vec<String>)>, DatasetError> {
        let (mut length, mut fields) = (0, 0);
        loop {
            let input = self.input.fill_buf().map_err(DatasetError::io("read", &self.path))?;
            let (result, consumed, written, ended) =
                self.reader.read_record(input, &mut self.record[length..], &mut self.ends[fields..]);
            let ends_line = input[..consumed].last() == Some(&b'\n');
            self.newlines += input[..consumed].split(|&byte| byte == b'\n').skip(1).count() as u64;
            self.input.consume(consumed);
            length += written;
            fields += ended;
            let line = self.newlines + u64::from(!ends_line);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    return Err(self.row_error(line, format!("at most {MAX_RECORD_BYTES} bytes per row"), "more"));
                }
                ReadRecordResult::OutputEndsFull => {
                    return Err(self.row_error(line, format!("{} columns", COLUMNS.len()), "more"));
                }
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    let starts = std::iter::once(0).chain(self.ends);
                    let bounds: Vec<_> = starts.zip(self.ends).take(fields).collect();
                    return bounds
                        .into_iter()
                        .map(|(start, end)| self.field(line, start, end))
                        .collect::<Result<_, _>>()
                        .map(|fields| Some((line, fields)));
                }
            }
        }
    }

    fn field(&self, line: u64, start: usize, end: usize) -> Result<String, DatasetError> {
        let bytes = &self.record[start..end];
        std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|_| {
            self.row_error(line, "text in UTF-8", format!("{:?}", shorten(&String::from_utf8_lossy(bytes))))
        })
    }
}

impl Iterator for PuzzleCsv {
    type Item = Result<PuzzleRow, DatasetError>;

    /// The first error ends the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.row().transpose();
        self.failed = matches!(row, Some(Err(_)));
        row
    }
}

/// The beginning of a text that an error message quotes.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
