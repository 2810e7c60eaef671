//! Generated Sudoku puzzles written out: a dataset folder in the reference's format, or a puzzle list.
//! Owns numbering and splits; leaves drawing puzzles to [`crate::sudoku`].

use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::sudoku::metadata;
use crate::DatasetError;
use crate::store::{DType, DatasetWriter, Split, write_file};
use crate::sudoku::{Board, Puzzle, PuzzleRequest, SudokuError, SudokuRng, generate, solve};

/// Puzzles drawn at once, in parallel.
const CHUNK: u64 = 512;

/// Which puzzles to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedPuzzles {
    /// What each puzzle has to fulfil.
    pub request: PuzzleRequest,
    /// Blanks revealed afterwards, at random; all of them if there are fewer.
    pub extra_clues: usize,
    /// Seed of all draws: puzzle `index` depends on the seed, the request and its index only.
    pub seed: u64,
}

impl GeneratedPuzzles {
    /// Draws the puzzles of an index range, in parallel, and hands them over in order.
    pub fn for_each(
        &self,
        indices: Range<u64>,
        mut consume: impl FnMut(Puzzle) -> Result<(), DatasetError>,
    ) -> Result<(), DatasetError> {
        for start in indices.clone().step_by(CHUNK as usize) {
            let chunk = start..indices.end.min(start + CHUNK);
            let puzzles =
                chunk.into_par_iter().map(|index| self.puzzle(index)).collect::<Result<Vec<_>, SudokuError>>()?;
            puzzles.into_iter().try_for_each(&mut consume)?;
        }
        Ok(())
    }

    fn puzzle(&self, index: u64) -> Result<Puzzle, SudokuError> {
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
}

/// A dataset folder of generated puzzles; the test puzzles are numbered behind the training ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedBuild {
    /// Which puzzles.
    pub puzzles: GeneratedPuzzles,
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
pub fn build(config: &GeneratedBuild, mut progress: impl FnMut(Split, u64)) -> Result<(), DatasetError> {
    for (name, count) in [("count", config.train_count), ("test count", config.test_count)] {
        if count == 0 {
            return Err(DatasetError::argument(name, "at least 1 puzzle", count));
        }
    }
    let shape = config.puzzles.request.shape;
    let dataset = DatasetWriter::create(&config.output_dir, config.overwrite)?;
    let test_end = config.train_count.checked_add(config.test_count);
    let Some(test_end) = test_end else {
        return Err(DatasetError::argument("count", "fewer than 2^64 puzzles in all", config.train_count));
    };
    for (split, indices) in [(Split::Train, 0..config.train_count), (Split::Test, config.train_count..test_end)] {
        let mut writer = dataset.split(split, shape.cells(), DType::UInt8)?;
        let mut done = 0;
        config.puzzles.for_each(indices, |puzzle| {
            writer.example(&tokens(&puzzle.puzzle), &tokens(&puzzle.solution))?;
            writer.end_puzzle(0);
            writer.end_group();
            done += 1;
            progress(split, done);
            Ok(())
        })?;
        let metadata = metadata(shape, writer.groups());
        writer.finish(&metadata)?;
    }
    dataset.identifiers(&["<blank>"])?;
    dataset.publish()
}

/// Writes a puzzle list `source,question,answer,rating`; the rating is the solver's number of guesses.
pub fn write_csv(
    path: &Path,
    puzzles: &GeneratedPuzzles,
    count: u64,
    mut progress: impl FnMut(u64),
) -> Result<(), DatasetError> {
    write_file(path, |out| {
        let failed = |error| DatasetError::io("write", path)(error);
        out.write_all(b"source,question,answer,rating\n").map_err(failed)?;
        let mut index = 0;
        puzzles.for_each(0..count, |puzzle| {
            let rating = solve(&puzzle.puzzle).guesses;
            writeln!(out, "generated_{index},{},{},{rating}", puzzle.puzzle, puzzle.solution).map_err(failed)?;
            index += 1;
            progress(index);
            Ok(())
        })
    })
}

fn tokens(board: &Board) -> Vec<u8> {
    board.to_tokens().into_iter().map(|token| token as u8).collect()
}
