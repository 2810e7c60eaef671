//! The endless training source of Sudoku: what example number `i` is.
//! Owns the options and the draw of one example; leaves numbering and batches to [`crate::endless`] and what a puzzle is to
//! [`super::generator`].

use serde::{Deserialize, Serialize};

use super::board::token_of;
use super::draw::Purpose;
use super::generator::{Puzzle, minimal_puzzle, reveal};
use super::{Board, SudokuError, SudokuRng, SudokuShape, Symmetry};
use crate::endless::{DrawExample, DrawnExample, EndlessSource};
use crate::error::DatasetError;

/// An endless source of Sudoku puzzles.
pub type GeneratedSource = EndlessSource<SudokuExamples>;

/// What a [`GeneratedSource`] or a held-out set is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorOptions {
    /// Cells per side: 4, 6, 9 or 16.
    pub size: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// Least and greatest number (inclusive) of blanks revealed on top of a minimal puzzle, drawn per example;
    /// a number beyond the blanks there are reveals them all.
    pub extra_clues: (usize, usize),
    /// Consecutive examples made from one minimal puzzle, each with its own symmetry and revealed clues.
    /// A higher number costs less and repeats puzzles (never visibly: a 9×9 puzzle has 1.2 · 10^12 arrangements).
    pub symmetries_per_puzzle: u64,
}

impl Default for GeneratorOptions {
    /// Minimal 9×9 puzzles, each seen once: several arrangements in a row make the batches of a small model alike, and
    /// drawing a puzzle (0.2 ms) costs little beside learning from it.
    fn default() -> Self {
        Self { size: 9, seed: 0, extra_clues: (0, 0), symmetries_per_puzzle: 1 }
    }
}

impl GeneratorOptions {
    /// Checks every option and gives the board shape.
    ///
    /// # Errors
    /// When the size is unsupported, the clue bounds are reversed or exceed the board, or no example per puzzle is
    /// asked for.
    pub fn validate(&self) -> Result<SudokuShape, SudokuError> {
        let shape = SudokuShape::from_size(self.size)?;
        let (least, greatest) = self.extra_clues;
        if least > greatest || greatest > shape.cells() {
            return Err(SudokuError::Option {
                name: "extra_clues",
                expected: format!("two numbers (least, greatest) with least <= greatest <= {}", shape.cells()),
                found: format!("({least}, {greatest})"),
            });
        }
        if self.symmetries_per_puzzle == 0 {
            return Err(SudokuError::Option {
                name: "symmetries_per_puzzle",
                expected: "1 or more".to_owned(),
                found: "0".to_owned(),
            });
        }
        Ok(shape)
    }

    /// The number of clues to reveal in one example.
    pub(super) fn draw_extra_clues(&self, rng: &mut SudokuRng) -> usize {
        let (least, greatest) = self.extra_clues;
        least + rng.below((greatest - least + 1) as u32) as usize
    }
}

/// Draws examples by number and remembers the minimal puzzle that neighbours share.
#[derive(Debug, Clone)]
pub struct SudokuExamples {
    options: GeneratorOptions,
    shape: SudokuShape,
    base: Option<(u64, Puzzle)>,
}

impl GeneratedSource {
    /// A source at its first example.
    ///
    /// # Errors
    /// When the options are invalid or `rank` is not below `world_size`.
    pub fn new(options: GeneratorOptions, rank: usize, world_size: usize) -> Result<Self, DatasetError> {
        let shape = options.validate()?;
        Self::of(SudokuExamples { options, shape, base: None }, rank, world_size)
    }
}

impl DrawExample for SudokuExamples {
    fn seq_len(&self) -> usize {
        self.shape.cells()
    }

    fn vocab_size(&self) -> usize {
        self.shape.vocab_size()
    }

    fn draw(&mut self, index: u64) -> Result<DrawnExample, DatasetError> {
        let seed = self.options.seed;
        let number = index / self.options.symmetries_per_puzzle;
        let base = match self.base.take() {
            Some((known, base)) if known == number => base,
            _ => minimal_puzzle(self.shape, &mut Purpose::TrainingPuzzle.stream(seed, self.shape, number))?,
        };
        let mut rng = Purpose::TrainingExample.stream(seed, self.shape, index);
        let symmetry = Symmetry::random(self.shape, &mut rng);
        let mut example = Puzzle { puzzle: symmetry.apply(&base.puzzle)?, solution: symmetry.apply(&base.solution)? };
        let extra_clues = self.options.draw_extra_clues(&mut rng);
        example.puzzle = reveal(&example, extra_clues, &mut rng);
        self.base = Some((number, base));
        Ok(DrawnExample { inputs: tokens(&example.puzzle), labels: tokens(&example.solution) })
    }
}

fn tokens(board: &Board) -> Vec<u8> {
    board.cells().iter().map(|&value| token_of(value) as u8).collect()
}
