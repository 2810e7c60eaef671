//! The forms in which people send a maze: text, an array of lines, a matrix, a picture. Mazes may have any number of rows
//! and columns: walls around them make the model's square, and the answer is cut out of it again. Leaves reading text and
//! pictures, cells and paths to `datasets`.

use datasets::maze::{Cell, MazeDrawing, MazeShape, Spelling, has_free_margin, looks_spaced};
use datasets::picture::read_maze;
use engine::task::Task;
use serde_json::Value;

use super::{BoardForm, Puzzle};
use crate::http::Problem;

/// A maze as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MazePuzzle {
    drawing: MazeDrawing,
    layout: Layout,
    /// How it is written back.
    spelling: Spelling,
}

/// How a maze was written, and is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// All cells in one line, as in the reference's lists.
    Line,
    /// One string with a line per row.
    Text,
    /// An array of a string per row.
    Lines,
    /// An array of rows of characters.
    Matrix,
    /// A picture, written back as lines.
    Picture,
}

impl Puzzle for MazePuzzle {
    const EXPECTED: &'static str = "expected {\"puzzle\": [\"#####\", \"#S G#\", \"#####\"]}, a string per row, or one string \
                                    with line breaks: '#' wall, ' ' or '.' free, 'S' start, 'G' goal";

    /// Of one line alone, the number of cells decides the square that it is.
    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_line = text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).count() < 2;
        Ok(Self::new(MazeDrawing::parse(text)?, if is_line { Layout::Line } else { Layout::Text }))
    }

    fn from_json(value: &Value) -> Result<Self, Problem> {
        let rows = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Array(rows) => rows,
            _ => {
                return Err(Problem::Malformed(format!(
                    "a maze is a string or an array of strings; {}",
                    Self::EXPECTED
                )));
            }
        };
        if let Some(lines) = rows.iter().map(Value::as_str).collect::<Option<Vec<&str>>>() {
            return Ok(Self::new(MazeDrawing::from_lines(&lines)?, Layout::Lines));
        }
        if rows.iter().all(Value::is_array) {
            return Ok(Self::new(MazeDrawing::from_matrix(matrix(rows)?)?, Layout::Matrix));
        }
        Err(Problem::Malformed(format!("the lines of a maze are strings; {}", Self::EXPECTED)))
    }

    fn from_tokens(tokens: &[i64]) -> Result<Self, Problem> {
        let shape = MazeShape::from_cells(tokens.len())?;
        let cell = |(position, &token): (usize, &i64)| {
            let cell = i32::try_from(token).ok().and_then(Cell::from_token);
            cell.ok_or_else(|| {
                Problem::Malformed(format!(
                    "cell {position} holds the token {token}; expected 1 to {}",
                    Cell::ALL.len()
                ))
            })
        };
        let cells = tokens.iter().enumerate().map(cell).collect::<Result<_, _>>()?;
        Ok(Self::new(MazeDrawing::from_cells(shape.side(), cells, Spelling::REFERENCE)?, Layout::Line))
    }

    fn from_picture(png: &[u8]) -> Result<Self, Problem> {
        Ok(Self::new(read_maze(png)?, Layout::Picture))
    }

    fn was_picture(&self) -> bool {
        self.layout == Layout::Picture
    }

    fn check(&self) -> Result<(), Problem> {
        self.drawing.to_maze()?.shortest_path()?;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("a {}x{} maze", self.drawing.rows(), self.drawing.columns())
    }

    fn fits(&self, task: Task) -> bool {
        matches!(task, Task::Maze(shape) if self.drawing.square_shape() <= shape)
    }

    fn columns(&self) -> usize {
        self.drawing.columns()
    }

    fn givens(&self) -> Vec<i32> {
        self.drawing.cells().iter().map(|cell| cell.token()).collect()
    }

    fn model_tokens(&self, task: Task) -> Vec<i64> {
        let shape = match task {
            Task::Maze(shape) => shape,
            _ => self.drawing.square_shape(),
        };
        self.drawing.walled_in(shape).into_iter().map(|cell| i64::from(cell.token())).collect()
    }

    fn cells(&self, task: Task, predicted: &[i64]) -> Vec<i32> {
        let rows = predicted.chunks(engine::task::side(task)).take(self.drawing.rows());
        let known = |&token: &i64| {
            let cell = i32::try_from(token).ok().and_then(Cell::from_token);
            cell.map_or(NO_CELL, Cell::token)
        };
        rows.flat_map(|row| row[..self.columns()].iter().map(known)).collect()
    }

    fn write(&self, cells: &[i32]) -> BoardForm {
        let lines = || cells.chunks(self.columns()).map(|row| line(row, self.spelling));
        match self.layout {
            Layout::Line => BoardForm::Text(lines().collect()),
            Layout::Text => BoardForm::Text(lines().collect::<Vec<_>>().join("\n")),
            Layout::Lines | Layout::Picture => BoardForm::Lines(lines().collect()),
            Layout::Matrix => BoardForm::Matrix(lines().map(|line| line.chars().map(String::from).collect()).collect()),
        }
    }

    fn drawing(&self, cells: &[i32]) -> String {
        cells.chunks(self.columns()).map(|row| line(row, Spelling::REFERENCE) + "\n").collect()
    }

    /// Pictures show squares.
    fn scene(&self, cells: &[i32]) -> (Task, Vec<i32>) {
        let shape = self.drawing.square_shape();
        let side = shape.side();
        let mut square = vec![Cell::Wall.token(); shape.cells()];
        for (row, into) in cells.chunks(self.columns()).zip(square.chunks_mut(side)) {
            into[..row.len()].copy_from_slice(row);
        }
        (Task::Maze(shape), square)
    }

    fn plain(&self) -> BoardForm {
        let spelling = Spelling { free: '.', ..Spelling::REFERENCE };
        BoardForm::Lines(self.givens().chunks(self.columns()).map(|row| line(row, spelling)).collect())
    }

    fn path_length(&self) -> Option<usize> {
        self.drawing.to_maze().ok()?.path_length()
    }
}

/// What stands for a prediction that is not a cell: the pad token.
const NO_CELL: i32 = 0;

impl MazePuzzle {
    /// A path in what was sent is a former answer, or a solved picture: its cells are free.
    fn new(drawing: MazeDrawing, layout: Layout) -> Self {
        let drawing = drawing.without_path();
        let (cells, columns, spelling) = (drawing.cells(), drawing.columns(), drawing.spelling());
        // Written back, blanks have to be read as what they are.
        let hides_cells = match layout {
            Layout::Text => has_free_margin(cells, columns) || looks_spaced(cells, columns),
            Layout::Lines | Layout::Picture => looks_spaced(cells, columns),
            // A line of blanks alone shows nothing: what was all path is written back as dots.
            Layout::Line => cells.iter().all(|&cell| cell == Cell::Free),
            Layout::Matrix => false,
        };
        let free = if hides_cells && spelling.free == ' ' { '.' } else { spelling.free };
        Self { spelling: Spelling { free, ..spelling }, drawing, layout }
    }
}

/// The characters of a JSON array of arrays: strings of one character, and the numbers of a matrix.
fn matrix(rows: &[Value]) -> Result<Vec<Vec<char>>, Problem> {
    let cell = |row: usize, column: usize, value: &Value| {
        let text = match value {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => String::new(),
        };
        let mut characters = text.chars();
        if let (Some(only), None) = (characters.next(), characters.next()) {
            return Ok(only);
        }
        let found: String = value.to_string().chars().take(40).collect();
        Err(Problem::Malformed(format!(
            "row {}, column {} holds {found}; expected one character, or 0 or 1 of a matrix",
            row + 1,
            column + 1
        )))
    };
    // Longer rows are not a maze, whatever they hold.
    let most = MazeShape::MAX_SIDE + 1;
    let row = |(row, values): (usize, &Value)| {
        let values = values.as_array().map_or(&[][..], Vec::as_slice);
        values.iter().take(most).enumerate().map(|(column, value)| cell(row, column, value)).collect()
    };
    rows.iter().take(most).enumerate().map(row).collect()
}

fn line(row: &[i32], spelling: Spelling) -> String {
    row.iter().map(|&token| Cell::from_token(token).map_or('?', |cell| spelling.character(cell))).collect()
}
