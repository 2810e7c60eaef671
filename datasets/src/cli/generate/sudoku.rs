//! `datasets generate sudoku`: flags of the Sudoku generator.
//! Owns names and defaults; leaves output to [`super`] and drawing to [`datasets::sudoku`].

use clap::Args;
use datasets::builder::generated::GeneratedPuzzles;
use datasets::sudoku::{PuzzleRequest, SudokuShape};

use super::Destination;

/// Flags of `datasets generate sudoku`.
#[derive(Args)]
pub(crate) struct Sudoku {
    /// Cells per side: 4, 6, 9 or 16.
    #[arg(long, default_value_t = 9)]
    size: usize,
    /// Least difficulty: guesses that a solver with naked and hidden singles needs (before --extra-clues are given).
    #[arg(long, default_value_t = 0)]
    min_guesses: u32,
    /// Exact number of givens [default: as few as the minimal puzzle has].
    #[arg(long, conflicts_with = "extra_clues")]
    givens: Option<usize>,
    /// Blanks of the minimal puzzle to reveal.
    #[arg(long, default_value_t = 0)]
    extra_clues: usize,
    /// Puzzles to draw for each puzzle before giving up.
    #[arg(long, default_value_t = PuzzleRequest::minimal(SudokuShape::NINE).max_attempts)]
    max_attempts: u32,
    #[command(flatten)]
    output: Destination,
}

impl Sudoku {
    /// Generates to the folder, the file or standard output.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let puzzles = GeneratedPuzzles {
            request: PuzzleRequest {
                givens: self.givens,
                min_guesses: self.min_guesses,
                max_attempts: self.max_attempts,
                ..PuzzleRequest::minimal(SudokuShape::from_size(self.size)?)
            },
            extra_clues: self.extra_clues,
            seed: self.output.seed,
        };
        self.output.write(puzzles, |puzzle| format!("{}\n", puzzle.puzzle))
    }
}
