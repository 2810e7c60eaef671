//! The streams that Sudoku puzzles are drawn from, one kind per purpose.
//! Owns the names of the purposes; leaves drawing to [`crate::random`].

use super::SudokuShape;
use crate::random::PuzzleRng;

/// What a stream is drawn for; streams of different purposes never meet, whatever their seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Base puzzles of the endless training source, by puzzle index.
    TrainingPuzzle,
    /// Symmetry and revealed clues of the endless training source, by example index.
    TrainingExample,
    /// Evaluation puzzles, by puzzle index.
    HeldOut,
    /// Source and pool puzzle of the endless training source, by example index.
    TrainingMix,
    /// Chains of a search for rare training puzzles, by chain index.
    TrainingPool,
    /// Chains of a search for rare evaluation puzzles, by chain index.
    HeldOutPool,
    /// Puzzles on request (command line), by puzzle index.
    Request,
    /// Symmetric copies of evaluation puzzles, by copy and example.
    Copy,
    /// Guesses that are added to a puzzle, by number.
    Pin,
}

impl Purpose {
    /// The stream number `index` of this purpose, a seed and a board size.
    pub(super) fn stream(self, seed: u64, shape: SudokuShape, index: u64) -> PuzzleRng {
        let tag = match self {
            Self::TrainingPuzzle => b"training puzzle ",
            Self::TrainingExample => b"training example",
            Self::HeldOut => b"held-out puzzle ",
            Self::TrainingMix => b"training mix    ",
            Self::TrainingPool => b"training pool   ",
            Self::HeldOutPool => b"held-out pool   ",
            Self::Request => b"requested puzzle",
            Self::Copy => b"symmetric copies",
            Self::Pin => b"pinned guesses  ",
        };
        PuzzleRng::stream(tag, seed, shape.size(), index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_other_purposes_sizes_and_indices_differ() {
        let first = |purpose: Purpose, shape, index| purpose.stream(7, shape, index).below(1 << 30);
        let mut draws = vec![
            first(Purpose::TrainingPuzzle, SudokuShape::NINE, 0),
            first(Purpose::TrainingExample, SudokuShape::NINE, 0),
            first(Purpose::HeldOut, SudokuShape::NINE, 0),
            first(Purpose::Request, SudokuShape::NINE, 0),
            first(Purpose::TrainingMix, SudokuShape::NINE, 0),
            first(Purpose::TrainingPool, SudokuShape::NINE, 0),
            first(Purpose::HeldOutPool, SudokuShape::NINE, 0),
            first(Purpose::TrainingPuzzle, SudokuShape::FOUR, 0),
            first(Purpose::TrainingPuzzle, SudokuShape::NINE, 1),
            PuzzleRng::from_seed(7).below(1 << 30),
        ];
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 10);
    }
}
