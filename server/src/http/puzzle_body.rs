//! The forms in which people send a Sudoku: text, a string, nested or flat arrays, alone or many at once.
//! Owns parsing of untrusted bodies (bounded by the body limit before it gets here) and writing boards back in the
//! form they came in; leaves solving to the route.

use datasets::sudoku::{Board, SudokuShape};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Problem;
use crate::engine::{Halting, NoiseTarget, Policy, Restarts};

/// How a board was written, and is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One character per cell.
    Text,
    /// An array of rows.
    Rows,
    /// One array of all cells.
    Flat,
}

/// A board as sent.
#[derive(Debug, Clone)]
pub(super) struct Puzzle {
    pub(super) board: Board,
    pub(super) form: Form,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct SolveRequest {
    pub(super) puzzles: Vec<Puzzle>,
    /// Whether the answer is one object or a list.
    pub(super) is_batch: bool,
    pub(super) options: SolveOptions,
}

/// What a request may say besides its puzzles.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SolveOptions {
    puzzle: Option<Value>,
    puzzles: Option<Vec<Value>>,
    /// Most supervision steps.
    max_steps: Option<usize>,
    /// When to stop earlier.
    halting: Option<Halting>,
    /// Equal answers in a row that `"halting": "stable"` waits for.
    stable_steps: Option<usize>,
    /// Further chains on symmetric copies.
    augmentations: Option<usize>,
    /// Further chains on the puzzle itself, with noise.
    rollouts: Option<usize>,
    /// Deviation of the noise.
    sigma: Option<f32>,
    /// States that get noise.
    noise: Option<NoiseTarget>,
    /// Steps that the first chain may take while further ones are tried.
    depth: Option<usize>,
    /// Fixes copies and noise.
    seed: Option<u64>,
    /// Milliseconds after which the answer so far will do.
    pub(super) deadline_ms: Option<u64>,
    /// Also every step's answer.
    pub(super) trace: bool,
    /// Also the answer as a drawing.
    pub(super) grid: bool,
}

impl SolveRequest {
    /// Reads a body. JSON begins with `{`, `[` or `"`, no puzzle in plain text does, so the content type, which
    /// `curl -d` gets wrong, need not be asked.
    pub(super) fn parse(body: &[u8], max_puzzles: usize) -> Result<Self, Problem> {
        let text =
            str::from_utf8(body).map_err(|error| Problem::Malformed(format!("the body is no UTF-8: {error}")))?;
        let text = text.trim();
        match text.chars().next() {
            None => Err(Problem::Malformed(format!("the body is empty; {EXPECTED}"))),
            Some('{') => Self::from_options(from_json(text)?, max_puzzles),
            Some('[' | '"') => Ok(Self::single(puzzle_from_json(&from_json(text)?)?, SolveOptions::default())),
            Some(_) => Ok(Self::single(puzzle_from_text(text)?, SolveOptions::default())),
        }
    }

    fn single(puzzle: Puzzle, options: SolveOptions) -> Self {
        Self { puzzles: vec![puzzle], is_batch: false, options }
    }

    fn from_options(mut options: SolveOptions, max_puzzles: usize) -> Result<Self, Problem> {
        match (options.puzzle.take(), options.puzzles.take()) {
            (Some(puzzle), None) => Ok(Self::single(puzzle_from_json(&puzzle)?, options)),
            (None, Some(puzzles)) if puzzles.is_empty() => {
                Err(Problem::Malformed("\"puzzles\" is empty; send at least one".into()))
            }
            (None, Some(puzzles)) if puzzles.len() > max_puzzles => {
                Err(Problem::TooManyPuzzles { found: puzzles.len(), limit: max_puzzles })
            }
            (None, Some(puzzles)) => {
                let numbered = puzzles.iter().enumerate();
                let puzzles = numbered.map(|(index, value)| puzzle_from_json(value).map_err(|e| e.in_puzzle(index)));
                Ok(Self { puzzles: puzzles.collect::<Result<_, _>>()?, is_batch: true, options })
            }
            (Some(_), Some(_)) => Err(Problem::Malformed("send either \"puzzle\" or \"puzzles\", not both".into())),
            (None, None) => Err(Problem::Malformed(format!("\"puzzle\" is missing; {EXPECTED}"))),
        }
    }
}

impl SolveOptions {
    /// How to think, where the request does not say it as `default` does.
    pub(super) fn policy(&self, default: &Policy) -> Policy {
        let halting = self.halting.unwrap_or(default.halting);
        // The default's further chains follow a failure, which only the rules can tell.
        let restarts = if halting == Halting::Verified { default.restarts } else { Restarts::NONE };
        Policy {
            max_steps: self.max_steps.unwrap_or(default.max_steps),
            halting,
            stable_steps: self.stable_steps.unwrap_or(default.stable_steps),
            restarts: Restarts {
                augmentations: self.augmentations.unwrap_or(restarts.augmentations),
                rollouts: self.rollouts.unwrap_or(restarts.rollouts),
                sigma: self.sigma.unwrap_or(default.restarts.sigma),
                noise: self.noise.unwrap_or(default.restarts.noise),
                depth: self.depth.unwrap_or(restarts.depth),
            },
            seed: self.seed.unwrap_or(default.seed),
        }
    }
}

impl Form {
    /// The board in this form.
    pub(super) fn write(self, board: &Board) -> Value {
        match self {
            Self::Text => json!(board.to_string()),
            Self::Rows => json!(board.to_rows()),
            Self::Flat => json!(board.cells()),
        }
    }
}

impl Problem {
    /// Says which puzzle of a batch is meant.
    pub(super) fn in_puzzle(self, index: usize) -> Self {
        let place = |text: String| format!("puzzles[{index}]: {text}");
        match self {
            Self::Malformed(text) => Self::Malformed(place(text)),
            Self::WrongSize(text) => Self::WrongSize(place(text)),
            other => other,
        }
    }
}

const EXPECTED: &str = "expected {\"puzzle\": \"53..7....6..195...\"}, with one character per cell, row by row, '.' or '0' \
                        for blanks, or an array of rows";

fn from_json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text)
        .map_err(|error| Problem::Malformed(format!("the body is no request: {error}; {EXPECTED}")))
}

fn puzzle_from_text(text: &str) -> Result<Puzzle, Problem> {
    Ok(Puzzle { board: Board::parse(text)?, form: Form::Text })
}

fn puzzle_from_json(value: &Value) -> Result<Puzzle, Problem> {
    match value {
        Value::String(text) => puzzle_from_text(text),
        Value::Array(rows) if rows.iter().all(Value::is_array) => {
            let rows = rows.iter().enumerate().map(|(row, cells)| {
                let cells = cells.as_array().map_or(&[][..], Vec::as_slice);
                cells.iter().enumerate().map(|(column, cell)| cell_from_json(cell, row, column)).collect()
            });
            let rows = rows.collect::<Result<Vec<Vec<u8>>, _>>()?;
            Ok(Puzzle { board: Board::from_rows(&rows)?, form: Form::Rows })
        }
        Value::Array(cells) => {
            let shape = SudokuShape::from_cells(cells.len())?;
            let place = |cell| (shape.row_of(cell), shape.col_of(cell));
            let cells = cells.iter().enumerate().map(|(index, cell)| {
                let (row, column) = place(index);
                cell_from_json(cell, row, column)
            });
            Ok(Puzzle { board: Board::from_cells(shape, cells.collect::<Result<_, _>>()?)?, form: Form::Flat })
        }
        _ => Err(Problem::Malformed(format!("a puzzle is a string or an array; {EXPECTED}"))),
    }
}

/// A number, `null` or `""` or `"."` for a blank, or a digit as a string.
fn cell_from_json(value: &Value, row: usize, column: usize) -> Result<u8, Problem> {
    let cell = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_u64().and_then(|number| u8::try_from(number).ok()),
        Value::String(text) => match text.trim() {
            "" | "." => Some(0),
            text => text.parse().ok(),
        },
        _ => None,
    };
    cell.ok_or_else(|| {
        let (row, column) = (row + 1, column + 1);
        Problem::Malformed(format!(
            "row {row}, column {column} holds {value}; expected a digit, or 0 or null for a blank"
        ))
    })
}
