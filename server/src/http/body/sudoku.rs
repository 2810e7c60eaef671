//! The forms in which people send a Sudoku: text, nested or flat arrays. Owns arrays and writing them back; leaves text and
//! what a board may hold to `datasets`.

use datasets::sudoku::{Board, ListedPuzzle, Notation, SudokuShape, Verdict, read_list, solve_with_budget};
use engine::task::{Task, board_from_tokens, tokens_of};
use serde_json::Value;

use super::{BoardForm, Puzzle};
use crate::http::Problem;

/// A Sudoku as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudokuPuzzle {
    board: Board,
    form: Form,
}

/// How a board was written, and is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One character per cell.
    Text(Notation),
    /// An array of a string per row.
    Lines(Notation),
    /// An array of rows.
    Rows,
    /// One array of all cells.
    Flat,
}

impl Puzzle for SudokuPuzzle {
    const EXPECTED: &'static str = "expected {\"puzzle\": \"53..7....6..195...\"}, with one character per cell, row by row, \
                                    '.' or '0' for blanks, or an array of rows";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let ListedPuzzle { puzzle, notation, .. } = ListedPuzzle::parse(text, None)?;
        Ok(Self { board: puzzle, form: Form::Text(notation) })
    }

    fn list_from_text(text: &str, max_puzzles: usize) -> Result<Option<Vec<Self>>, Problem> {
        let Some(list) = read_list(text, max_puzzles) else { return Ok(None) };
        let listed = list?;
        if listed.len() > max_puzzles {
            return Err(Problem::TooManyPuzzles { found: text.lines().count(), limit: max_puzzles });
        }
        let puzzle = |ListedPuzzle { puzzle, notation, .. }| Self { board: puzzle, form: Form::Text(notation) };
        Ok(Some(listed.into_iter().map(puzzle).collect()))
    }

    fn from_json(value: &Value) -> Result<Self, Problem> {
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Array(rows) if rows.iter().all(Value::is_array) => {
                let rows = rows.iter().enumerate().map(|(row, cells)| {
                    let cells = cells.as_array().map_or(&[][..], Vec::as_slice);
                    cells.iter().enumerate().map(|(column, cell)| cell_from_json(cell, row, column)).collect()
                });
                let rows = rows.collect::<Result<Vec<Vec<u8>>, _>>()?;
                Ok(Self { board: Board::from_rows(&rows)?, form: Form::Rows })
            }
            Value::Array(rows) if is_rows_as_strings(rows) => {
                let lines: Vec<&str> = rows.iter().filter_map(Value::as_str).collect();
                let ListedPuzzle { puzzle, notation, .. } = ListedPuzzle::parse(&lines.join("\n"), None)?;
                Ok(Self { board: puzzle, form: Form::Lines(notation) })
            }
            Value::Array(cells) => {
                let shape = SudokuShape::from_cells(cells.len())?;
                let numbered = cells.iter().enumerate();
                let cells = numbered.map(|(cell, value)| cell_from_json(value, shape.row_of(cell), shape.col_of(cell)));
                Ok(Self { board: Board::from_cells(shape, cells.collect::<Result<_, _>>()?)?, form: Form::Flat })
            }
            _ => Err(Problem::Malformed(format!("a puzzle is a string or an array; {}", Self::EXPECTED))),
        }
    }

    fn from_tokens(tokens: &[i64]) -> Result<Self, Problem> {
        // What fits no token of any board is -1, which is none either.
        let tokens: Vec<i32> = tokens.iter().map(|&token| i32::try_from(token).unwrap_or(-1)).collect();
        Ok(Self { board: Board::from_tokens(&tokens)?, form: Form::Flat })
    }

    fn from_picture(_: &[u8]) -> Result<Self, Problem> {
        Err(Problem::UnsupportedMedia("a Sudoku is not read from pictures; send its digits, see GET /docs".into()))
    }

    fn check(&self) -> Result<(), Problem> {
        self.board.contradictions().first().map_or(Ok(()), |&first| Err(Problem::Contradictory(first)))
    }

    fn describe(&self) -> String {
        format!("a {0}x{0} Sudoku", self.board.shape().size())
    }

    fn fits(&self, task: Task) -> bool {
        task == Task::Sudoku(self.board.shape())
    }

    fn columns(&self) -> usize {
        self.board.shape().size()
    }

    fn givens(&self) -> Vec<i32> {
        self.board.to_tokens()
    }

    fn model_tokens(&self, _: Task) -> Vec<i64> {
        tokens_of(&self.board)
    }

    fn cells(&self, _: Task, predicted: &[i64]) -> Vec<i32> {
        board_from_tokens(self.board.shape(), predicted).to_tokens()
    }

    fn write(&self, cells: &[i32]) -> BoardForm {
        let board = self.board_of(cells);
        match self.form {
            Form::Text(notation) => BoardForm::Text(board.to_text(notation)),
            Form::Lines(notation) => {
                let cells: Vec<char> = board.to_text(notation).chars().collect();
                BoardForm::Lines(cells.chunks(board.shape().size()).map(|row| row.iter().collect()).collect())
            }
            Form::Rows => BoardForm::Rows(board.to_rows()),
            Form::Flat => BoardForm::Flat(board.cells().to_vec()),
        }
    }

    fn drawing(&self, cells: &[i32]) -> String {
        self.board_of(cells).to_grid()
    }

    fn scene(&self, cells: &[i32]) -> (Task, Vec<i32>) {
        (Task::Sudoku(self.board.shape()), cells.to_vec())
    }

    fn plain(&self) -> BoardForm {
        BoardForm::Text(self.board.to_string())
    }

    fn path_length(&self) -> Option<usize> {
        None
    }

    fn is_unique(&self) -> Option<bool> {
        let budget = if self.board.shape() == SudokuShape::SIXTEEN { UNIQUE_BUDGET / 4 } else { UNIQUE_BUDGET };
        match solve_with_budget(&self.board, budget).verdict {
            Verdict::Unique => Some(true),
            Verdict::Multiple => Some(false),
            Verdict::None | Verdict::BudgetExhausted => None,
        }
    }
}

/// Guesses of the search for a second solution: a few milliseconds, and more than proper 9×9 puzzles need. Those of 16×16
/// boards take longer.
const UNIQUE_BUDGET: u32 = 2_000;

/// Whether an array holds rows of several cells as strings, and not all cells, each as a string.
fn is_rows_as_strings(values: &[Value]) -> bool {
    let length = |value: &Value| value.as_str().map(|text| text.trim().chars().count());
    values.iter().all(Value::is_string) && values.iter().any(|value| length(value) > Some(2))
}

impl SudokuPuzzle {
    fn board_of(&self, cells: &[i32]) -> Board {
        let tokens: Vec<i64> = cells.iter().map(|&token| i64::from(token)).collect();
        board_from_tokens(self.board.shape(), &tokens)
    }
}

/// A number, `null` or `""` or `"."` for a blank, or a digit or letter as a string.
fn cell_from_json(value: &Value, row: usize, column: usize) -> Result<u8, Problem> {
    let cell = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_u64().and_then(|number| u8::try_from(number).ok()),
        Value::String(text) => match text.trim() {
            "" | "." => Some(0),
            text => text.parse().ok().or_else(|| letter(text)),
        },
        _ => None,
    };
    cell.ok_or_else(|| {
        let (row, column) = (row + 1, column + 1);
        let found: String = value.to_string().chars().take(40).collect();
        Problem::Malformed(format!(
            "row {row}, column {column} holds {found}; expected a digit, or 0 or null for a blank"
        ))
    })
}

/// `A` to `G`, the digits from 10 on.
fn letter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [letter] => matches!(letter.to_ascii_uppercase(), b'A'..=b'G').then(|| letter.to_ascii_uppercase() - b'A' + 10),
        _ => None,
    }
}
