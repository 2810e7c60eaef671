//! A maze as cells and as tokens, with the promise of one start and one goal.
//! Leaves forms of text to [`super::text`], paths to [`super::path`] and [`super::rules`].

use std::fmt::{self, Display};
use std::str::FromStr;

use super::drawing::lines;
use super::{MazeDrawing, MazeError, MazeShape, Spelling};

/// What a cell of a maze or of an answer can be; the value is its token in the reference's order (`# SGo`), 0 is padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cell {
    /// `#`
    Wall = 1,
    /// A space.
    Free = 2,
    /// `S`
    Start = 3,
    /// `G`
    Goal = 4,
    /// `o`: on the path; only in answers.
    Path = 5,
}

impl Cell {
    /// All cells in the order of their tokens.
    pub const ALL: [Self; 5] = [Self::Wall, Self::Free, Self::Start, Self::Goal, Self::Path];

    /// The character of the reference's files.
    pub const fn character(self) -> char {
        match self {
            Self::Wall => '#',
            Self::Free => ' ',
            Self::Start => 'S',
            Self::Goal => 'G',
            Self::Path => 'o',
        }
    }

    /// The token.
    pub const fn token(self) -> i32 {
        self as i32
    }

    /// The cell of a token; `None` for padding and whatever else is not a cell.
    pub fn from_token(token: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|cell| cell.token() == token)
    }

    /// The cell of a character.
    pub fn from_character(character: char) -> Option<Self> {
        Self::ALL.into_iter().find(|cell| cell.character() == character)
    }

    /// A token in words, for messages.
    pub(super) fn describe(token: i32) -> String {
        Self::from_token(token).map_or_else(|| "no maze cell".to_owned(), |cell| cell.to_string())
    }
}

impl Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Wall => "wall",
            Self::Free => "free",
            Self::Start => "start",
            Self::Goal => "goal",
            Self::Path => "path",
        })
    }
}

/// A maze to be solved: walls, free cells, one start and one goal, which walls may still separate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Maze {
    shape: MazeShape,
    cells: Vec<Cell>,
    start: usize,
    goal: usize,
}

impl Maze {
    /// Reads a maze; see [`parse_cells`] for the forms.
    ///
    /// # Errors
    /// When the text is not a square of maze cells, start or goal is missing or stands twice, or a cell is marked as path.
    pub fn parse(text: &str) -> Result<Self, MazeError> {
        let (shape, cells) = parse_cells(text)?;
        Self::from_cells(shape, cells)
    }

    /// A maze from its row-major cells.
    ///
    /// # Errors
    /// When there are not as many as `shape` has, start or goal is missing or stands twice, or a cell is marked.
    pub fn from_cells(shape: MazeShape, cells: Vec<Cell>) -> Result<Self, MazeError> {
        if cells.len() != shape.cells() {
            return Err(MazeError::CellCount { found: cells.len() });
        }
        if let Some(marked) = cells.iter().position(|&cell| cell == Cell::Path) {
            let (row, column) = shape.place_of(marked);
            return Err(MazeError::MarkInQuestion { row: row + 1, column: column + 1 });
        }
        let start = only(shape, &cells, Cell::Start)?;
        let goal = only(shape, &cells, Cell::Goal)?;
        Ok(Self { shape, cells, start, goal })
    }

    /// A maze from a row of tokens; the length decides the shape.
    ///
    /// # Errors
    /// When the length is not a square, a token is not a cell, or as [`from_cells`](Self::from_cells).
    pub fn from_tokens(tokens: &[i32]) -> Result<Self, MazeError> {
        let shape = MazeShape::from_cells(tokens.len())?;
        let cells = tokens
            .iter()
            .enumerate()
            .map(|(index, &token)| {
                let (row, column) = shape.place_of(index);
                Cell::from_token(token).ok_or(MazeError::Token { found: token, row: row + 1, column: column + 1 })
            })
            .collect::<Result<_, _>>()?;
        Self::from_cells(shape, cells)
    }

    /// The grid's shape.
    pub fn shape(&self) -> MazeShape {
        self.shape
    }

    /// All cells, row-major.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Index of the start.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Index of the goal.
    pub fn goal(&self) -> usize {
        self.goal
    }

    /// Whether one may walk on a cell.
    pub fn is_open(&self, cell: usize) -> bool {
        self.cells[cell] != Cell::Wall
    }

    /// `[cells]` tokens.
    pub fn to_tokens(&self) -> Vec<i32> {
        self.cells.iter().map(|cell| cell.token()).collect()
    }

    /// The maze as a drawing, a text line per row, ending in a newline. Where a row or column at the edge is free, so that
    /// blanks would not show it, free cells are dots.
    pub fn to_grid(&self) -> String {
        lines(&self.cells, self.shape.side(), Spelling::REFERENCE).map(|line| line + "\n").collect()
    }

    /// The cells of the answer that marks `path`; start and goal among its cells keep their own tokens.
    ///
    /// # Panics
    /// When the path leaves the grid.
    pub fn marked(&self, path: &[usize]) -> Vec<Cell> {
        let mut cells = self.cells.clone();
        for &cell in path {
            if cells[cell] == Cell::Free {
                cells[cell] = Cell::Path;
            }
        }
        cells
    }

    /// Closes a free cell; start, goal and walls stay as they are.
    pub(super) fn wall_up(&mut self, cell: usize) {
        if self.cells[cell] == Cell::Free {
            self.cells[cell] = Cell::Wall;
        }
    }
}

impl Display for Maze {
    /// One character per cell, no line breaks: the form of the reference's lists.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.cells.iter().map(|cell| cell.character()).collect::<String>())
    }
}

impl FromStr for Maze {
    type Err = MazeError;

    fn from_str(text: &str) -> Result<Self, MazeError> {
        Self::parse(text)
    }
}

/// Reads the cells of a maze or an answer that is a square; [`MazeDrawing::parse`] says in which forms.
///
/// # Errors
/// When the text is not a maze, or not a square one.
pub fn parse_cells(text: &str) -> Result<(MazeShape, Vec<Cell>), MazeError> {
    let drawing = MazeDrawing::parse(text)?;
    let (rows, columns) = (drawing.rows(), drawing.columns());
    if rows != columns {
        return Err(MazeError::NotSquare { rows, columns });
    }
    Ok((MazeShape::from_side(rows)?, drawing.cells().to_vec()))
}

/// The one place of a start or goal.
fn only(shape: MazeShape, cells: &[Cell], wanted: Cell) -> Result<usize, MazeError> {
    let mut places = cells.iter().enumerate().filter(|(_, cell)| **cell == wanted).map(|(index, _)| index);
    let first = places.next().ok_or(MazeError::Missing { missing: wanted })?;
    match places.next() {
        None => Ok(first),
        Some(second) => {
            Err(MazeError::Twice { cell: wanted, first: shape.place_of(first), second: shape.place_of(second) })
        }
    }
}
