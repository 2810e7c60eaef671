//! The samples of a site, drawn when it is written: the generators are not scripts.

use std::ops::RangeInclusive;

use datasets::DatasetError;
use datasets::builder::generated::{GeneratedMazes, GeneratedPuzzles, NumberedPuzzles};
use datasets::maze::MazeRequest;
use datasets::sudoku::PuzzleRequest;
use engine::task::{self, Task};
use serde::Serialize;

use super::SiteModel;

/// Clues more than a puzzle needs, as the page offers them; on small boards a quarter of the cells at most.
const EXTRA_CLUES: [usize; 3] = [0, 8, 20];
/// Sides of the mazes that the page offers besides the largest.
const MAZE_SIDES: [usize; 3] = [9, 15, 21];
/// Sides that the generator draws.
const DRAWN_SIDES: RangeInclusive<usize> = 5..=40;
/// Mazes that are drawn in vain before it fails.
const MAX_ATTEMPTS: u32 = 2_000;
/// Fixes the samples: the same models and count give the same file.
const SEED: u64 = 20_261_129;

/// Samples by kind.
#[derive(Debug, Serialize)]
pub(super) struct Samples {
    sudoku: Vec<SampleSet>,
    maze: Vec<SampleSet>,
}

/// Samples of one size.
#[derive(Debug, Serialize)]
struct SampleSet {
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_clues: Option<usize>,
    /// A Sudoku as one character per cell, a maze as lines.
    puzzles: Vec<String>,
}

/// Draws `count` samples of each kind that the models solve.
pub(super) fn draw(models: &[(Task, SiteModel)], count: u64) -> Result<Samples, DatasetError> {
    let mut samples = Samples { sudoku: Vec::new(), maze: Vec::new() };
    let mut most = None;
    for (task, _) in models {
        match *task {
            Task::Sudoku(shape) if samples.sudoku.iter().all(|set| set.size != shape.size()) => {
                for clues in EXTRA_CLUES {
                    let request = PuzzleRequest::minimal(shape);
                    let drawn = GeneratedPuzzles { request, extra_clues: clues.min(shape.cells() / 4), seed: SEED };
                    let puzzles = collect(&drawn, count, |drawn| drawn.puzzle.to_string())?;
                    samples.sudoku.push(SampleSet { size: shape.size(), extra_clues: Some(clues), puzzles });
                }
            }
            Task::Maze(_) => most = most.max(Some(task::side(*task))),
            _ => {}
        }
    }
    let Some(most) = most else { return Ok(samples) };
    let sides = MAZE_SIDES.into_iter().filter(|&side| side < most).chain([most]);
    for size in sides.filter(|side| DRAWN_SIDES.contains(side)) {
        let request = MazeRequest {
            max_attempts: MAX_ATTEMPTS,
            ..MazeRequest::hard(datasets::maze::MazeShape::from_side(size)?)
        };
        let drawn = GeneratedMazes { request, seed: SEED };
        let puzzles = collect(&drawn, count, |drawn| drawn.maze.to_grid().trim_end_matches('\n').to_owned())?;
        samples.maze.push(SampleSet { size, extra_clues: None, puzzles });
    }
    Ok(samples)
}

fn collect<P: NumberedPuzzles>(
    source: &P,
    count: u64,
    text: impl Fn(P::Puzzle) -> String,
) -> Result<Vec<String>, DatasetError> {
    let mut texts = Vec::new();
    source.for_each(0..count, |drawn| {
        texts.push(text(drawn));
        Ok(())
    })?;
    Ok(texts)
}
