//! Why a board, a puzzle request or a generator option is unusable.
//! Messages speak to the person who typed the puzzle or the option; files are the business of [`crate::DatasetError`].

/// Everything that can be wrong with Sudoku input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SudokuError {
    /// The number of cells belongs to no supported board.
    #[error(
        "a Sudoku board has 16, 36, 81 or 256 cells (4x4, 6x6, 9x9, 16x16), found {found}{}; write every cell, \
         blanks as '.' or '0'",
        if *.found > 256 { " or more" } else { "" }
    )]
    CellCount {
        /// Cells found; counting stops at 257.
        found: usize,
    },

    /// The side length belongs to no supported board.
    #[error("a Sudoku board has 4, 6, 9 or 16 rows, found {found}")]
    Size {
        /// The side length given.
        found: usize,
    },

    /// The box dimensions belong to no supported board.
    #[error("Sudoku boxes are 2x2, 2x3, 3x3 or 4x4 (rows x columns), found {box_rows}x{box_cols}")]
    BoxSize {
        /// Rows per box given.
        box_rows: usize,
        /// Columns per box given.
        box_cols: usize,
    },

    /// The board is of another size than the one asked for.
    #[error("expected a {expected}x{expected} board, found a {found}x{found} one")]
    WrongShape {
        /// Side length that is needed here.
        expected: usize,
        /// Side length of the board given.
        found: usize,
    },

    /// A character that is neither a digit of any board, nor a blank, nor grid decoration.
    #[error(
        "character {character:?} at line {line}, column {column} is not a Sudoku cell; use 1-9 (and A-G on 16x16 boards), \
         '.' or '0' for a blank"
    )]
    Character {
        /// The offending character.
        character: char,
        /// Line of the text, from 1.
        line: usize,
        /// Character within the line, from 1.
        column: usize,
    },

    /// Two characters stand for blanks.
    #[error(
        "{one:?} and {other:?} both stand where a digit or a blank is expected; one of them may be a digit or a slip of the \
         pen: write all blanks as '.'"
    )]
    Blanks {
        /// One of them.
        one: char,
        /// The other.
        other: char,
    },

    /// A zero that is neither a blank nor a digit.
    #[error(
        "0 is not a digit of a {size}x{size} board whose blanks are written otherwise; write digits as 1-9 (and A-G on 16x16 \
         boards) and blanks as '.'"
    )]
    Zero {
        /// Side length of the board.
        size: usize,
    },

    /// Cells hold several candidates each.
    #[error(
        "cells hold several candidates (pencil marks); expected one digit or a blank in each: send the givens alone"
    )]
    Candidates,

    /// The text can be read in two ways.
    #[error("{found}; {readings}")]
    Ambiguous {
        /// What was found.
        found: String,
        /// What it may mean, and how to write what is meant.
        readings: String,
    },

    /// Lines that are not rows differ in length.
    #[error("line {line} has {found} cells, the first one {first}; write a line per row, or all cells in one line")]
    Lines {
        /// The line, from 1; comments and rulers do not count.
        line: usize,
        /// Cells found in it.
        found: usize,
        /// Cells of the first line.
        first: usize,
    },

    /// The solution beside a puzzle is none.
    #[error(
        "the solution beside the puzzle breaks the rules or a given of the puzzle; correct or leave out the solution"
    )]
    WrongSolution,

    /// A value that the board's size does not have.
    #[error(
        "row {row}, column {column} holds {found}, but a {size}x{size} board has the digits 1 to {size} (0 = blank)"
    )]
    Digit {
        /// Row, from 1.
        row: usize,
        /// Column, from 1.
        column: usize,
        /// The value found.
        found: u32,
        /// Side length of the board.
        size: usize,
    },

    /// A row of a nested array is longer or shorter than the board.
    #[error("row {row} has {found} cells, but a board of {size} rows needs {size} in each")]
    RowLength {
        /// Row, from 1.
        row: usize,
        /// Cells found in it.
        found: usize,
        /// Side length of the board.
        size: usize,
    },

    /// A token outside the Sudoku vocabulary.
    #[error(
        "token {found} at position {position} is not a Sudoku cell; expected 1 (blank) to {} (digit {size})",
        .size + 1
    )]
    Token {
        /// Index in the token row, from 0.
        position: usize,
        /// The token found.
        found: i32,
        /// Side length of the board.
        size: usize,
    },

    /// A puzzle without exactly one solution where only a proper one makes sense.
    #[error(
        "expected a puzzle with exactly one solution, found one with {}; {}",
        if *.several { "several" } else { "none" },
        if *.several { "add givens" } else { "correct its givens" }
    )]
    NotProper {
        /// Several solutions rather than none.
        several: bool,
    },

    /// A generator option outside its domain.
    #[error("{name}: expected {expected}, found {found}")]
    Option {
        /// Name of the option.
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What was given.
        found: String,
    },

    /// No puzzle met the request within the attempts allowed.
    #[error("no {size}x{size} puzzle with {wanted} in {attempts} attempts; {advice}")]
    NotFound {
        /// Side length of the boards tried.
        size: usize,
        /// What the puzzle had to fulfil.
        wanted: String,
        /// Minimal puzzles drawn in vain.
        attempts: u32,
        /// What to change in the request.
        advice: &'static str,
    },
}
