//! Why a maze, an answer or a generator option is unusable.
//! Messages speak to the person who wrote the maze or the option; files are the business of [`crate::DatasetError`].

use super::{Cell, MazeShape};

/// Everything that can be wrong with a maze.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MazeError {
    /// The side length belongs to no supported grid.
    #[error("a maze has {} to {} cells per side, found {found}", MazeShape::MIN_SIDE, MazeShape::MAX_SIDE)]
    Side {
        /// The side length given.
        found: usize,
    },

    /// The number of cells belongs to no square grid.
    #[error(
        "a maze is a square of {} to {} cells per side (900 cells for 30x30), found {found} cells; write every cell, free \
         ones as spaces",
        MazeShape::MIN_SIDE,
        MazeShape::MAX_SIDE
    )]
    CellCount {
        /// Cells found.
        found: usize,
    },

    /// A drawing of no possible size.
    #[error(
        "a maze has 1 to {} rows and columns and two cells or more, found {rows} rows and {columns} columns",
        MazeShape::MAX_SIDE
    )]
    Size {
        /// Rows found.
        rows: usize,
        /// Columns found; 0 where there are too many rows to look.
        columns: usize,
    },

    /// A drawing that is not a square where only a square is taken.
    #[error("expected as many rows as columns, found {rows} rows and {columns} columns")]
    NotSquare {
        /// Rows found.
        rows: usize,
        /// Columns found.
        columns: usize,
    },

    /// The lines of a drawing differ in length.
    #[error(
        "line {line} has {found} cells, the longest line {columns}; write every cell of a line, free ones as '.' where blanks \
         at the end are lost"
    )]
    Ragged {
        /// The line of the text, or the row of an array, from 1.
        line: usize,
        /// Cells found in it.
        found: usize,
        /// Cells of the longest line.
        columns: usize,
    },

    /// The text can be read in two ways.
    #[error("{found}; {readings}")]
    Ambiguous {
        /// What was found.
        found: String,
        /// What it may mean, and how to write what is meant.
        readings: &'static str,
    },

    /// A character that is not a cell.
    #[error(
        "character {character:?} at row {row}, column {column} is not a maze cell; use '#' (wall), ' ' or '.' (free), 'S' \
         (start), 'G' (goal) and, in answers, 'o' (path)"
    )]
    Character {
        /// The offending character.
        character: char,
        /// Row, from 1.
        row: usize,
        /// Column, from 1.
        column: usize,
    },

    /// A token outside the maze vocabulary.
    #[error(
        "token {found} at row {row}, column {column} is not a maze cell; expected 1 (wall), 2 (free), 3 (start), 4 (goal) or \
         5 (path)"
    )]
    Token {
        /// The token found.
        found: i32,
        /// Row, from 1.
        row: usize,
        /// Column, from 1.
        column: usize,
    },

    /// Start or goal is missing.
    #[error("the maze has no {missing} ('{}'); mark one cell with it", .missing.character())]
    Missing {
        /// What is missing: [`Cell::Start`] or [`Cell::Goal`].
        missing: Cell,
    },

    /// Start or goal stands twice.
    #[error(
        "the maze has two cells marked {cell} ('{}'): row {}, column {} and row {}, column {}; mark one only",
        .cell.character(), .first.0 + 1, .first.1 + 1, .second.0 + 1, .second.1 + 1
    )]
    Twice {
        /// What stands twice: [`Cell::Start`] or [`Cell::Goal`].
        cell: Cell,
        /// `(row, column)` of the first, from 0.
        first: (usize, usize),
        /// `(row, column)` of the second, from 0.
        second: (usize, usize),
    },

    /// A question holds path marks.
    #[error("row {row}, column {column} is marked as path ('o'), but a maze to be solved has no marks")]
    MarkInQuestion {
        /// Row, from 1.
        row: usize,
        /// Column, from 1.
        column: usize,
    },

    /// Walls separate start and goal.
    #[error("no path leads from the start (row {}, column {}) to the goal (row {}, column {})", .start.0 + 1, .start.1 + 1,
        .goal.0 + 1, .goal.1 + 1)]
    Separated {
        /// `(row, column)` of the start, from 0.
        start: (usize, usize),
        /// `(row, column)` of the goal, from 0.
        goal: (usize, usize),
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

    /// No maze met the request within the attempts allowed.
    #[error("no {shape} maze with {wanted} in {attempts} attempts; {advice}")]
    NotFound {
        /// Grids tried.
        shape: MazeShape,
        /// What the maze had to fulfil.
        wanted: String,
        /// Grids drawn in vain.
        attempts: u32,
        /// What to change in the request.
        advice: &'static str,
    },
}

/// Why an answer is not a path from start to goal. Places are `(row, column)` from 0; messages count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFlaw {
    /// The answer has another number of cells.
    #[error("the answer has {found} cells, the maze {expected}")]
    CellCount {
        /// Cells of the maze.
        expected: usize,
        /// Cells of the answer.
        found: usize,
    },
    /// A wall, the start or the goal was moved: only free cells may change, and only into path.
    #[error("row {}, column {} is {} in the maze, but token {found} ({}) in the answer", .place.0 + 1, .place.1 + 1, .expected, Cell::describe(*.found))]
    Changed {
        /// Where.
        place: (usize, usize),
        /// What the maze has there.
        expected: Cell,
        /// Token of the answer.
        found: i32,
    },
    /// Nothing is marked although start and goal are not neighbours, or the marks end before the goal.
    #[error("the marked cells do not connect the start with the goal; from the start they reach row {}, column {}", .reached.0 + 1, .reached.1 + 1)]
    Gap {
        /// The marked cell (or the start) nearest to the goal among those connected with the start.
        reached: (usize, usize),
    },
    /// A marked cell that no marked cells connect with the path.
    #[error("the marked cell at row {}, column {} is not connected with the path", .place.0 + 1, .place.1 + 1)]
    Stray {
        /// Where.
        place: (usize, usize),
    },
    /// A marked cell from which the path does not go on.
    #[error("the path has a dead end at row {}, column {}", .place.0 + 1, .place.1 + 1)]
    DeadEnd {
        /// Where.
        place: (usize, usize),
    },
    /// The marked cells cannot be walked through one after the other, each once.
    #[error("the path forks at row {}, column {}: the marked cells are not a single path", .place.0 + 1, .place.1 + 1)]
    Fork {
        /// The first cell, in reading order, with more marked neighbours than a path has.
        place: (usize, usize),
    },
}
