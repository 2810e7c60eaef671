//! Puzzle lists as CSV: `source,question,answer,rating` of the Sudoku-Extreme and Maze-Hard repositories, and what others
//! call the same columns (`quizzes,solutions`). Owns rows and their line numbers, in bounded memory; leaves what a question
//! means to the task.

use std::fmt;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader};

use crate::DatasetError;
use crate::store::open_text;

/// The columns of the published lists.
const COLUMNS: [&str; 4] = ["source", "question", "answer", "rating"];
/// Names of the column with the puzzles.
const QUESTIONS: [&str; 6] = ["question", "questions", "puzzle", "puzzles", "quiz", "quizzes"];
/// Names of the column with the solutions.
const ANSWERS: [&str; 4] = ["answer", "answers", "solution", "solutions"];
/// Columns of a list at most.
const MAX_COLUMNS: usize = 32;
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
    /// Difficulty as published, for Sudoku-Extreme the backtracks of a solver; 0 where the list has no ratings.
    pub rating: i64,
}

/// Iterator over the rows of a puzzle list.
pub struct PuzzleCsv {
    path: PathBuf,
    input: Box<dyn BufRead>,
    reader: Reader,
    record: Vec<u8>,
    ends: [usize; MAX_COLUMNS + 1],
    /// Names of the columns.
    header: Vec<String>,
    /// Which columns hold question, answer and, where there is one, rating.
    question: usize,
    answer: usize,
    rating: Option<usize>,
    newlines: u64,
    failed: bool,
}

impl PuzzleCsv {
    /// Opens a list and checks its header.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let mut list = Self {
            path: path.to_owned(),
            input: open_text(path)?,
            reader: Reader::new(),
            record: vec![0; MAX_RECORD_BYTES],
            ends: [0; MAX_COLUMNS + 1],
            header: Vec::new(),
            question: 0,
            answer: 0,
            rating: None,
            newlines: 0,
            failed: false,
        };
        let Some((line, header)) = list.record()? else {
            return Err(DatasetError::format(
                path,
                format!("a CSV with header {}", COLUMNS.join(",")),
                "an empty file",
            ));
        };
        let column = |names: &[&str]| {
            header.iter().position(|name| names.iter().any(|known| name.trim().eq_ignore_ascii_case(known)))
        };
        let (Some(question), Some(answer)) = (column(&QUESTIONS), column(&ANSWERS)) else {
            let expected = format!("{} (or quizzes,solutions) as names of columns", COLUMNS.join(","));
            return Err(list.row_error(line, expected, format!("{:?}", shorten(&header.join(",")))));
        };
        let rating = column(&["rating"]);
        Ok(Self { header, question, answer, rating, ..list })
    }

    /// A [`DatasetError::CsvRow`] of this file.
    pub fn row_error(&self, line: u64, expected: impl Into<String>, found: impl Into<String>) -> DatasetError {
        DatasetError::CsvRow { path: self.path.clone(), line, expected: expected.into(), found: found.into() }
    }

    fn row(&mut self) -> Result<Option<PuzzleRow>, DatasetError> {
        let Some((line, mut fields)) = self.record()? else {
            return Ok(None);
        };
        if fields.len() != self.header.len() {
            let expected = format!("{} columns ({})", self.header.len(), self.header.join(","));
            return Err(self.row_error(line, expected, fields.len().to_string()));
        }
        let rating = match self.rating.map(|column| (column, fields[column].trim().parse())) {
            None => 0,
            Some((_, Ok(rating))) => rating,
            Some((column, Err(_))) => {
                let found = format!("{:?}", shorten(&fields[column]));
                return Err(self.row_error(line, "a whole number as rating", found));
            }
        };
        let answer = std::mem::take(&mut fields[self.answer]);
        let question = std::mem::take(&mut fields[self.question]);
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
                    return Err(self.row_error(line, format!("at most {MAX_COLUMNS} columns"), "more"));
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

impl fmt::Debug for PuzzleCsv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PuzzleCsv")
            .field("path", &self.path)
            .field("header", &self.header)
            .finish_non_exhaustive()
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
