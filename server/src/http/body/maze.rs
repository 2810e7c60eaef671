//! The forms in which people send a maze: lines of text, an array of lines, a picture. Mazes may have any number of rows
//! and columns: walls around them make the model's square, and the answer is cut out of it again. Leaves cells, paths and
//! pictures to `datasets`.

use datasets::maze::{Cell, Maze, MazeError, MazeShape};
use datasets::picture::read_maze;
use serde_json::Value;

use super::{BoardForm, Puzzle};
use crate::http::Problem;
use crate::task::Task;

/// A maze as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MazePuzzle {
    /// `[rows * columns]`
    cells: Vec<Cell>,
    columns: usize,
    form: Form,
}

/// How a maze was written, and is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    layout: Layout,
    /// What stood for a free cell.
    free: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// All cells in one line, as in the reference's lists.
    Line,
    /// One string with a line per row.
    Text,
    /// An array of a string per row.
    Lines,
    /// A picture, written back as lines.
    Picture,
}

impl Puzzle for MazePuzzle {
    const EXPECTED: &'static str = "expected {\"puzzle\": [\"#####\", \"#S G#\", \"#####\"]}, a string per row, or one string \
                                    with line breaks: '#' wall, ' ' or '.' free, 'S' start, 'G' goal";

    /// Of one line alone, the number of cells decides the square that it is.
    fn from_text(text: &str) -> Result<Self, Problem> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.contains('\n') {
            let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
            return Self::from_lines(&lines, Layout::Text);
        }
        let side = MazeShape::from_cells(text.chars().count())?.side();
        let cells = text.chars().enumerate().map(|(cell, character)| cell_of(character, cell / side, cell % side));
        Ok(Self { cells: cells.collect::<Result<_, _>>()?, columns: side, form: Form::of(text, Layout::Line) })
    }

    fn from_json(value: &Value) -> Result<Self, Problem> {
        let strings = |lines: &[Value]| {
            let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
            lines.map(|lines| Self::from_lines(&lines, Layout::Lines))
        };
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Array(lines) => strings(lines).unwrap_or_else(|| {
                Err(Problem::Malformed(format!("the lines of a maze are strings; {}", Self::EXPECTED)))
            }),
            _ => Err(Problem::Malformed(format!("a maze is a string or an array of strings; {}", Self::EXPECTED))),
        }
    }

    fn from_picture(png: &[u8]) -> Result<Self, Problem> {
        let (shape, cells) = read_maze(png)?;
        // A solved picture may be sent to be solved again.
        let cells = cells.into_iter().map(|cell| if cell == Cell::Path { Cell::Free } else { cell }).collect();
        Ok(Self { cells, columns: shape.side(), form: Form { layout: Layout::Picture, free: ' ' } })
    }

    fn was_picture(&self) -> bool {
        self.form.layout == Layout::Picture
    }

    fn check(&self) -> Result<(), Problem> {
        self.square()?.shortest_path()?;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("a {}x{} maze", self.rows(), self.columns)
    }

    fn fits(&self, task: Task) -> bool {
        matches!(task, Task::Maze(shape) if self.longer_side() <= shape.side())
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn givens(&self) -> Vec<i32> {
        self.cells.iter().map(|cell| cell.token()).collect()
    }

    fn model_tokens(&self, task: Task) -> Vec<i64> {
        self.walled_in(&self.givens(), side_of(task)).into_iter().map(i64::from).collect()
    }

    fn cells(&self, task: Task, predicted: &[i64]) -> Vec<i32> {
        let rows = predicted.chunks(side_of(task)).take(self.rows());
        let known = |&token: &i64| {
            let cell = i32::try_from(token).ok().and_then(Cell::from_token);
            cell.map_or(NO_CELL, Cell::token)
        };
        rows.flat_map(|row| row[..self.columns].iter().map(known)).collect()
    }

    fn write(&self, cells: &[i32]) -> BoardForm {
        let lines = cells.chunks(self.columns).map(|row| line(row, self.form.free));
        match self.form.layout {
            Layout::Line => BoardForm::Text(lines.collect()),
            Layout::Text => BoardForm::Text(lines.collect::<Vec<_>>().join("\n")),
            Layout::Lines | Layout::Picture => BoardForm::Lines(lines.collect()),
        }
    }

    fn drawing(&self, cells: &[i32]) -> String {
        cells.chunks(self.columns).map(|row| line(row, ' ') + "\n").collect()
    }

    /// Pictures show squares.
    fn scene(&self, cells: &[i32]) -> (Task, Vec<i32>) {
        let shape = self.square_shape();
        (Task::Maze(shape), self.walled_in(cells, shape.side()))
    }

    fn path_length(&self) -> Option<usize> {
        self.square().ok()?.path_length()
    }
}

/// What stands for a prediction that is no cell: the pad token.
const NO_CELL: i32 = 0;

impl Form {
    fn of(text: &str, layout: Layout) -> Self {
        Self { layout, free: if text.contains('.') { '.' } else { ' ' } }
    }
}

impl MazePuzzle {
    /// Blanks that are missing at the end of a line are free cells, since editors strip them.
    fn from_lines(lines: &[&str], layout: Layout) -> Result<Self, Problem> {
        let columns = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let sides = 1..=MazeShape::MAX_SIDE;
        if !sides.contains(&columns) || !sides.contains(&lines.len()) || lines.len() * columns < MazeShape::MIN_SIDE {
            return Err(Problem::WrongSize(format!(
                "a maze has 1 to {0} rows and columns and two cells or more, found {1} rows and {columns} columns",
                MazeShape::MAX_SIDE,
                lines.len()
            )));
        }
        let mut cells = Vec::with_capacity(lines.len() * columns);
        for (row, line) in lines.iter().enumerate() {
            for (column, character) in line.chars().enumerate() {
                cells.push(cell_of(character, row, column)?);
            }
            cells.resize((row + 1) * columns, Cell::Free);
        }
        let free = if lines.iter().any(|line| line.contains('.')) { '.' } else { ' ' };
        Ok(Self { cells, columns, form: Form { layout, free } })
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.columns
    }

    fn longer_side(&self) -> usize {
        self.rows().max(self.columns)
    }

    fn square_shape(&self) -> MazeShape {
        MazeShape::from_side(self.longer_side()).expect("the sides were checked when the maze was read")
    }

    /// The maze in the smallest square, which keeps the place of every cell.
    fn square(&self) -> Result<Maze, MazeError> {
        let shape = self.square_shape();
        Maze::from_tokens(&self.walled_in(&self.givens(), shape.side()))
    }

    /// `[rows * columns]` cells in the upper left of a square of walls.
    fn walled_in(&self, cells: &[i32], side: usize) -> Vec<i32> {
        let mut square = vec![Cell::Wall.token(); side * side];
        for (row, into) in cells.chunks(self.columns).zip(square.chunks_mut(side)) {
            into[..self.columns].copy_from_slice(row);
        }
        square
    }
}

fn line(row: &[i32], free: char) -> String {
    let character = |&token: &i32| match Cell::from_token(token) {
        Some(Cell::Free) => free,
        Some(cell) => cell.character(),
        None => '?',
    };
    row.iter().map(character).collect()
}

fn side_of(task: Task) -> usize {
    crate::task::side(task)
}

/// A path in what was sent is a former answer: its cells are free.
fn cell_of(character: char, row: usize, column: usize) -> Result<Cell, MazeError> {
    match character {
        '.' | 'o' => Ok(Cell::Free),
        _ => {
            Cell::from_character(character).ok_or(MazeError::Character { character, row: row + 1, column: column + 1 })
        }
    }
}
