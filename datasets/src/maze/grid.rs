//! A maze and its spellings: text and tokens.
//! Owns parsing, printing and the promise of one start and one goal; leaves paths to [`super::path`] and [`super::rules`].

use std::fmt::{self, Display};
use std::str::FromStr;

use super::{MazeError, MazeShape};

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

    /// The cell of a token; `None` for padding and whatever else is no cell.
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
    /// When the text is no square of maze cells, start or goal is missing or stands twice, or a cell is marked as path.
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
    /// When the length is no square, a token is no cell, or as [`from_cells`](Self::from_cells).
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

    /// The maze as a drawing, a text line per row, ending in a newline.
    pub fn to_grid(&self) -> String {
        let line = |row: &[Cell]| row.iter().map(|cell| cell.character()).chain(['\n']).collect::<String>();
        self.cells.chunks(self.shape.side()).map(line).collect()
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

/// Reads the cells of a maze or an answer: `#`, space, `S`, `G`, `o`, all on one line as in the reference's lists, or a
/// line per row. Spaces that are missing at the end of a row are free cells, since editors strip them; the longest line
/// must have as many cells as there are lines.
///
/// # Errors
/// When a character is no cell or the cells are no square.
pub fn parse_cells(text: &str) -> Result<(MazeShape, Vec<Cell>), MazeError> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let most = MazeShape::MAX_SIDE * MazeShape::MAX_SIDE;
    if text.len() > 2 * most {
        return Err(MazeError::CellCount { found: text.chars().count() });
    }
    if let [line] = lines[..] {
        let shape = MazeShape::from_cells(line.chars().count())?;
        let cells = line.chars().enumerate().map(|(index, character)| cell_of(character, shape.place_of(index)));
        return Ok((shape, cells.collect::<Result<_, _>>()?));
    }
    let shape = MazeShape::from_side(lines.len())?;
    let side = shape.side();
    let lengths = lines.iter().map(|line| line.chars().count()).enumerate();
    // Of equally long lines the first is named.
    let (longest, length) = lengths.rev().max_by_key(|&(_, length)| length).unwrap_or_default();
    if length != side {
        return Err(MazeError::LineLength { line: longest + 1, found: length, side });
    }
    let mut cells = Vec::with_capacity(shape.cells());
    for (row, line) in lines.iter().enumerate() {
        for (column, character) in line.chars().enumerate() {
            cells.push(cell_of(character, (row, column))?);
        }
        cells.resize((row + 1) * side, Cell::Free);
    }
    Ok((shape, cells))
}

fn cell_of(character: char, (row, column): (usize, usize)) -> Result<Cell, MazeError> {
    Cell::from_character(character).ok_or(MazeError::Character { character, row: row + 1, column: column + 1 })
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
