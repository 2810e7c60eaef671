//! The cells of a maze or an answer with any number of rows and columns, and the marks that they were written with.
//! Owns writing them so that they are read again as they are; leaves reading to [`super::text`], paths to [`super::Maze`].

use super::{Cell, Maze, MazeError, MazeShape};

/// The characters that stand for the cells of one maze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spelling {
    /// Stands for a wall.
    pub wall: char,
    /// Stands for a free cell.
    pub free: char,
    /// Stands for the start.
    pub start: char,
    /// Stands for the goal.
    pub goal: char,
}

impl Spelling {
    /// The characters of the reference's files.
    pub const REFERENCE: Self = Self { wall: '#', free: ' ', start: 'S', goal: 'G' };

    /// The character of a cell.
    pub fn character(self, cell: Cell) -> char {
        match cell {
            Cell::Wall => self.wall,
            Cell::Free => self.free,
            Cell::Start => self.start,
            Cell::Goal => self.goal,
            Cell::Path => Cell::Path.character(),
        }
    }
}

/// A maze or an answer as it was written or seen: a rectangle of cells, whose ends are not checked yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MazeDrawing {
    /// `[rows * columns]`
    cells: Vec<Cell>,
    columns: usize,
    spelling: Spelling,
}

impl MazeDrawing {
    /// A drawing of row-major cells.
    ///
    /// # Errors
    /// When there are no rows of `columns` cells, more than [`MazeShape::MAX_SIDE`] rows or columns, or less than two cells.
    pub fn from_cells(columns: usize, cells: Vec<Cell>, spelling: Spelling) -> Result<Self, MazeError> {
        let rows = cells.len() / columns.max(1);
        let sides = 1..=MazeShape::MAX_SIDE;
        let is_maze = sides.contains(&rows) && sides.contains(&columns) && cells.len() >= MazeShape::MIN_SIDE;
        if !is_maze || rows * columns != cells.len() {
            return Err(MazeError::Size { rows, columns });
        }
        Ok(Self { cells, columns, spelling })
    }

    /// All cells, row-major.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Cells from top to bottom.
    pub fn rows(&self) -> usize {
        self.cells.len() / self.columns
    }

    /// Cells from left to right.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The characters that it was written with.
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// The drawing as a question: the path of a former answer is free.
    #[must_use]
    pub fn without_path(mut self) -> Self {
        self.cells.iter_mut().filter(|cell| **cell == Cell::Path).for_each(|cell| *cell = Cell::Free);
        self
    }

    /// The smallest square that holds all cells.
    ///
    /// # Panics
    /// Never: the sides were checked when the drawing was made.
    pub fn square_shape(&self) -> MazeShape {
        MazeShape::from_side(self.rows().max(self.columns)).expect("the sides were checked when the drawing was made")
    }

    /// `[side * side]` the cells in the upper left of a square of walls: every cell keeps its place, and no path changes.
    ///
    /// # Panics
    /// When the drawing has more rows or columns than the square.
    pub fn walled_in(&self, shape: MazeShape) -> Vec<Cell> {
        let side = shape.side();
        assert!(self.rows() <= side && self.columns <= side, "the drawing does not fit into {shape}");
        let mut square = vec![Cell::Wall; shape.cells()];
        for (row, into) in self.cells.chunks(self.columns).zip(square.chunks_mut(side)) {
            into[..self.columns].copy_from_slice(row);
        }
        square
    }

    /// The maze in the smallest square.
    ///
    /// # Errors
    /// When start or goal is missing or stands twice, or a cell is marked as path.
    pub fn to_maze(&self) -> Result<Maze, MazeError> {
        let shape = self.square_shape();
        Maze::from_cells(shape, self.walled_in(shape))
    }

    /// The drawing with a text line per row, ending in a newline, which is read again as these cells.
    pub fn to_text(&self) -> String {
        lines(&self.cells, self.columns, self.spelling).map(|line| line + "\n").collect()
    }
}

/// The lines of a drawing. Where blanks would not show that they are cells, free cells are dots.
pub(super) fn lines(cells: &[Cell], columns: usize, spelling: Spelling) -> impl Iterator<Item = String> {
    let hides_cells = spelling.free == ' ' && (has_free_margin(cells, columns) || looks_spaced(cells, columns));
    let spelling = Spelling { free: if hides_cells { '.' } else { spelling.free }, ..spelling };
    cells.chunks(columns).map(move |row| row.iter().map(|&cell| spelling.character(cell)).collect())
}

/// Whether the first or last row or column has free cells only: blanks there are no part of a drawing that people see.
pub fn has_free_margin(cells: &[Cell], columns: usize) -> bool {
    let rows = cells.len() / columns;
    let is_free = |&cell: &Cell| cell == Cell::Free;
    let column = |column: usize| cells.iter().skip(column).step_by(columns).all(is_free);
    let row = |row: usize| cells[row * columns..][..columns].iter().all(is_free);
    row(0) || row(rows - 1) || column(0) || column(columns - 1)
}

/// Whether every second column has free cells only: blanks there are taken for spaces between cells.
pub fn looks_spaced(cells: &[Cell], columns: usize) -> bool {
    let is_free = |(place, cell): (usize, &Cell)| (place % columns).is_multiple_of(2) || *cell == Cell::Free;
    columns >= SPACED_COLUMNS && columns % 2 == 1 && cells.iter().enumerate().all(is_free)
}

/// Narrower drawings have a free column between two others as often as not.
pub(super) const SPACED_COLUMNS: usize = 5;
