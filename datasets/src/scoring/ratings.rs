//! Published ratings of puzzles, read from the list that a dataset was built from (datasets hold none).
//! Owns joining them to inputs; leaves buckets to [`super::difficulty`].

use std::collections::HashMap;
use std::path::Path;

use crate::builder::puzzle_csv::PuzzleCsv;
use crate::maze::Maze;
use crate::sudoku::Board;
use crate::{DatasetError, Task};

/// Ratings by input tokens, from a list `source,question,answer,rating`; negative ratings count as 0.
///
/// # Errors
/// When the list is unreadable, a question is not a puzzle of the task, or the task has no such lists (ARC).
pub fn read_ratings(path: &Path, task: Task) -> Result<HashMap<Vec<u8>, u64>, DatasetError> {
    let mut list = PuzzleCsv::open(path)?;
    let mut ratings = HashMap::new();
    while let Some(row) = list.next() {
        let row = row?;
        let tokens = tokens_of(task, &row.question)
            .map_err(|problem| list.row_error(row.line, format!("a question of task {task}"), problem))?;
        ratings.insert(tokens, u64::try_from(row.rating).unwrap_or(0));
    }
    Ok(ratings)
}

fn tokens_of(task: Task, question: &str) -> Result<Vec<u8>, String> {
    let tokens = match task {
        Task::Sudoku(shape) => Board::parse_shape(shape, question).map_err(|error| error.to_string())?.to_tokens(),
        Task::Maze(shape) => {
            let maze = Maze::parse(question).map_err(|error| error.to_string())?;
            if maze.shape() != shape {
                return Err(format!("a maze of {}", maze.shape()));
            }
            maze.to_tokens()
        }
        Task::Arc => return Err("a list of questions, which ARC has not".to_owned()),
    };
    Ok(tokens.into_iter().map(|token| u8::try_from(token).expect("tokens of both tasks are small")).collect())
}
