//! Generated puzzles written out: a dataset folder in the reference's format, or a puzzle list.
//! Owns numbering and splits; leaves drawing to [`crate::sudoku`] and [`crate::maze`].

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{maze, sudoku};
use crate::DatasetError;
use crate::maze::{Cell, MazeRequest, SolvedMaze};
use crate::store::{DType, DatasetMetadata, DatasetWriter, Split};
use crate::sudoku::{Board, Puzzle, PuzzleRequest, SudokuRng, generate, solve};

/// Puzzles drawn at once, in parallel.
const CHUNK: u64 = 512;

/// A kind of puzzles drawn by number, and their forms in files.
pub trait NumberedPuzzles: Sync {
    /// A drawn puzzle with its solution.
    type Puzzle: Send;

    /// Puzzle number `index`, whatever else is drawn.
    fn puzzle(&self, index: u64) -> Result<Self::Puzzle, DatasetError>;

    /// `[seq_len]` input and label tokens.
    fn tokens(puzzle: &Self::Puzzle) -> (Vec<u8>, Vec<u8>);

    /// Question, answer and rating of a puzzle list.
    fn row(puzzle: &Self::Puzzle) -> (String, String, u64);

    /// `dataset.json` for so many groups.
    fn metadata(&self, groups: usize) -> DatasetMetadata;

    /// Draws the puzzles of an index range, in parallel, and hands them over in order.
    fn for_each(
        &self,
        indices: Range<u64>,
        mut consume: impl FnMut(Self::Puzzle) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        for start in indices.clone().step_by(CHUNK as usize) {
            let chunk = start..indices.end.min(start + CHUNK);
            let puzzles = chunk.into_par_iter().map(|index| self.puzzle(index)).collect::<Result<Vec<_>, _>>()?;
            puzzles.into_iter().try_for_each(&mut consume)?;
        }
        Ok(())
    }
}

/// Which Sudoku puzzles to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedPuzzles {
    /// What each puzzle has to fulfil.
    pub request: PuzzleRequest,
    /// Blanks revealed afterwards, at random; all of them if there are fewer.
    pub extra_clues: usize,
    /// Seed of all draws: puzzle `index` depends on the seed, the request and its index only.
    pub seed: u64,
}

impl NumberedPuzzles for GeneratedPuzzles {
    type Puzzle = Puzzle;

    fn puzzle(&self, index: u64) -> Result<Puzzle, DatasetError> {
        let mut drawn = generate(&self.request, self.seed, index)?;
        if self.extra_clues > 0 {
            // The golden ratio keeps (seed, index) pairs apart; `generate` draws from streams of another kind.
            let mut rng = SudokuRng::from_seed(self.seed ^ index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let mut cells = drawn.puzzle.cells().to_vec();
            let mut blanks: Vec<usize> = (0..cells.len()).filter(|&cell| cells[cell] == 0).collect();
            rng.shuffle(&mut blanks);
            for &cell in blanks.iter().take(self.extra_clues) {
                cells[cell] = drawn.solution.cells()[cell];
            }
            drawn.puzzle = Board::from_cells(self.request.shape, cells)?;
        }
        Ok(drawn)
    }

    fn tokens(puzzle: &Puzzle) -> (Vec<u8>, Vec<u8>) {
        let tokens = |board: &Board| board.to_tokens().into_iter().map(|token| token as u8).collect();
        (tokens(&puzzle.puzzle), tokens(&puzzle.solution))
    }

    /// The rating is the solver's number of guesses.
    fn row(puzzle: &Puzzle) -> (String, String, u64) {
        let rating = u64::from(solve(&puzzle.puzzle).guesses);
        (puzzle.puzzle.to_string(), puzzle.solution.to_string(), rating)
    }

    fn metadata(&self, groups: usize) -> DatasetMetadata {
        sudoku::metadata(self.request.shape, groups)
    }
}

/// Which mazes to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedMazes {
    /// What each maze has to fulfil.
    pub request: MazeRequest,
    /// Seed of all draws: maze `index` depends on the seed, the request and its index only.
    pub seed: u64,
}

impl NumberedPuzzles for GeneratedMazes {
    type Puzzle = SolvedMaze;

    fn puzzle(&self, index: u64) -> Result<SolvedMaze, DatasetError> {
        Ok(crate::maze::generate(&self.request, self.seed, index)?)
    }

    fn tokens(puzzle: &SolvedMaze) -> (Vec<u8>, Vec<u8>) {
        let tokens = |cells: &[Cell]| cells.iter().map(|&cell| cell as u8).collect();
        (tokens(puzzle.maze.cells()), tokens(&puzzle.answer()))
    }

    /// The rating is the length of the path, in cells between start and goal.
    fn row(puzzle: &SolvedMaze) -> (String, String, u64) {
        let answer = puzzle.answer().into_iter().map(Cell::character).collect();
        (puzzle.maze.to_string(), answer, puzzle.length() as u64)
    }

    fn metadata(&self, groups: usize) -> DatasetMetadata {
        maze::metadata(self.request.shape, groups)
    }
}

/// A dataset folder of generated puzzles; the test puzzles are numbered behind the training ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedBuild<P> {
    /// Which puzzles.
    pub puzzles: P,
    /// Training puzzles.
    pub train_count: u64,
    /// Test puzzles.
    pub test_count: u64,
    /// Folder that the dataset appears in.
    pub output_dir: PathBuf,
    /// Whether an existing dataset may be replaced.
    pub overwrite: bool,
}

/// Builds both splits and publishes the dataset; `progress` is called after every puzzle with the split's count.
pub fn build<P: NumberedPuzzles>(
    config: &GeneratedBuild<P>,
    mut progress: impl FnMut(Split, u64),
) -> Result<(), DatasetError> {
    for (name, count) in [("count", config.train_count), ("test count", config.test_count)] {
        if count == 0 {
            return Err(DatasetError::argument(name, "at least 1 puzzle", count));
        }
    }
    let dataset = DatasetWriter::create(&config.output_dir, config.overwrite)?;
    let test_end = config.train_count.checked_add(config.test_count);
    let Some(test_end) = test_end else {
        return Err(DatasetError::argument("count", "fewer than 2^64 puzzles in all", config.train_count));
    };
    let seq_len = config.puzzles.metadata(0).seq_len;
    for (split, indices) in [(Split::Train, 0..config.train_count), (Split::Test, config.train_count..test_end)] {
        let mut writer = dataset.split(split, seq_len, DType::UInt8)?;
        let mut done = 0;
        config.puzzles.for_each(indices, |puzzle| {
            let (inputs, labels) = P::tokens(&puzzle);
            writer.example(&inputs, &labels)?;
            writer.end_puzzle(0);
            writer.end_group();
            done += 1;
            progress(split, done);
            Ok(())
        })?;
        let metadata = config.puzzles.metadata(writer.groups());
        writer.finish(&metadata)?;
    }
    dataset.identifiers(["<blank>"])?;
    dataset.publish()
}

/// Writes a puzzle list `source,question,answer,rating`.
pub fn write_csv<P: NumberedPuzzles>(
    path: &Path,
    puzzles: &P,
    count: u64,
    mut progress: impl FnMut(u64),
) -> Result<(), DatasetError> {
    files::write_with(path, |out| {
        let failed = |error| DatasetError::io("write", path)(error);
        out.write_all(b"source,question,answer,rating\n").map_err(failed)?;
        let mut index = 0;
        puzzles.for_each(0..count, |puzzle| {
            let (question, answer, rating) = P::row(&puzzle);
            writeln!(out, "generated_{index},{question},{answer},{rating}").map_err(failed)?;
            index += 1;
            progress(index);
            Ok(())
        })
    })
}
