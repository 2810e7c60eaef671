//! The steps of a server's answer: the model's answer after each of them.
//! Owns the reading of that JSON; leaves drawing the steps to [`super::files`].

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use datasets::Task;
use datasets::arc::Grid;
use datasets::maze::parse_cells;
use datasets::picture::MAX_FRAMES;
use datasets::sudoku::{Board, SudokuShape};
use serde::Deserialize;

use super::canvas_of;

const MAX_BYTES: u64 = 16 << 20;

/// What is read of an answer.
#[derive(Deserialize)]
struct Response {
    trace: Option<Vec<Step>>,
}

#[derive(Deserialize)]
struct Step {
    answer: Answer,
}

/// A board in one of the forms that a request may have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Text(String),
    Rows(Vec<Vec<u8>>),
    Cells(Vec<u8>),
}

/// The steps of a file as `[seq_len]` tokens each.
pub(super) fn read(path: &Path, task: Task) -> anyhow::Result<Vec<Vec<i32>>> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= MAX_BYTES, "expected at most {MAX_BYTES} bytes, found more");
    let response: Response = serde_json::from_str(&text).context("expected the server's answer to one puzzle")?;
    let Some(trace) = response.trace.filter(|trace| !trace.is_empty()) else {
        bail!("expected steps in \"trace\", found none; ask the server with \"trace\": true");
    };
    ensure!(trace.len() <= MAX_FRAMES, "expected at most {MAX_FRAMES} steps, found {}", trace.len());
    let steps = trace.into_iter().enumerate();
    steps.map(|(index, step)| tokens(step.answer, task).with_context(|| format!("step {}", index + 1))).collect()
}

fn tokens(answer: Answer, task: Task) -> anyhow::Result<Vec<i32>> {
    Ok(match (task, answer) {
        (Task::Sudoku(shape), Answer::Text(text)) => Board::parse_shape(shape, &text)?.to_tokens(),
        (Task::Sudoku(_), Answer::Rows(rows)) => Board::from_rows(&rows)?.to_tokens(),
        (Task::Sudoku(_), Answer::Cells(cells)) => {
            Board::from_cells(SudokuShape::from_cells(cells.len())?, cells)?.to_tokens()
        }
        (Task::Maze(_), Answer::Text(text)) => parse_cells(&text)?.1.iter().map(|cell| cell.token()).collect(),
        (Task::Arc, Answer::Rows(rows)) => canvas_of(&Grid::from_rows(&rows)?),
        (Task::Maze(_), _) => bail!("expected a maze as text"),
        (Task::Arc, _) => bail!("expected a grid as rows of colours 0 to 9"),
    })
}
