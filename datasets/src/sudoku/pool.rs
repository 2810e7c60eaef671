//! Files of 9×9 puzzles, one a line, from which training examples are drawn as symmetric copies.
//! Owns reading and checking them; leaves searching for puzzles and writing files to [`crate::builder::sudoku_pool`].

use std::path::Path;

use super::bitboard::Bitboard;
use super::generator::Puzzle;
use super::vicinity::{Cells, Clues};
use super::{ListedPuzzle, SudokuError, SudokuShape};
use crate::DatasetError;
use crate::store::read_text;

/// Largest pool file that is read, about two million puzzles.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Proper puzzles in memory, 162 bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PuzzlePool {
    puzzles: Vec<Clues>,
}

impl PuzzlePool {
    /// The first `limit` puzzles of a file (all of them without a limit): one a line, with
    /// whatever [`ListedPuzzle::parse`] passes over; blank lines and whatever follows a `#` are skipped. `.gz` files are unpacked.
    ///
    /// # Errors
    /// When the file is unreadable, a line is not a 9×9 puzzle with exactly one solution, or there are fewer puzzles
    /// than `limit`, or none.
    pub fn read(path: &Path, limit: Option<usize>) -> Result<Self, DatasetError> {
        let text = read_text(path, MAX_FILE_BYTES)?;
        let puzzles = puzzle_lines(&text)
            .take(limit.unwrap_or(usize::MAX))
            .map(|(line, content)| {
                let listed = ListedPuzzle::parse(content, Some(SudokuShape::NINE));
                listed.and_then(|listed| proper(listed.puzzle.cells())).map_err(|error| {
                    DatasetError::format(path, "a proper 9x9 puzzle a line", format!("on line {line}: {error}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let expected = limit.unwrap_or(1).max(1);
        if puzzles.len() < expected {
            let found = format!("{}; name the file that the run began with, or a longer one", puzzles.len());
            return Err(DatasetError::format(path, format!("{expected} puzzles or more"), found));
        }
        Ok(Self { puzzles })
    }

    /// How many puzzles a file has, without checking them.
    ///
    /// # Errors
    /// When the file is unreadable.
    pub fn count(path: &Path) -> Result<usize, DatasetError> {
        Ok(puzzle_lines(&read_text(path, MAX_FILE_BYTES)?).count())
    }

    /// Number of puzzles.
    pub fn len(&self) -> usize {
        self.puzzles.len()
    }

    /// Whether there is none; never after [`read`](Self::read).
    pub fn is_empty(&self) -> bool {
        self.puzzles.is_empty()
    }

    /// Puzzle number `index` of the file.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn puzzle(&self, index: usize) -> Puzzle {
        self.puzzles[index].to_puzzle()
    }
}

/// Lines (from 1) that hold more than blanks and comments, without them.
fn puzzle_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let content = |line: &'_ str| line.find('#').unwrap_or(line.len());
    let lines = text.lines().map(move |line| line[..content(line)].trim());
    (1..).zip(lines).filter(|(_, content)| !content.is_empty())
}

/// The puzzle with its only solution.
fn proper(givens: &[u8]) -> Result<Clues, SudokuError> {
    let mut cells: Cells = [0; 81];
    cells.copy_from_slice(givens);
    let mut solution = None;
    let several = Bitboard::of_givens(givens).descend(&mut |board| solution.replace(board.to_cells()).is_some());
    match solution {
        Some(solution) if !several => Ok(Clues { cells, solution }),
        _ => Err(SudokuError::NotProper { several }),
    }
}
