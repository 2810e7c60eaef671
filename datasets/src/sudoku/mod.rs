//! The Sudoku task: boards, rules, solver, symmetries, generator, and the endless training source made of them.
//! Owns everything that knows what a digit is; leaves files and folders to [`crate::store`] and [`crate::builder`].

mod bitboard;
mod board;
mod draw;
mod error;
mod generator;
mod held_out;
mod layout;
mod rules;
mod shape;
mod solver;
mod source;
mod symmetry;
mod unavoidable;

pub use crate::random::PuzzleRng as SudokuRng;
pub use board::Board;
pub use error::SudokuError;
pub use generator::{Puzzle, PuzzleRequest, generate, is_minimal, minimal_puzzle};
pub use held_out::{HeldOutPuzzle, held_out, held_out_at};
pub use rules::{Contradiction, Unit};
pub use shape::SudokuShape;
pub use solver::{DEFAULT_GUESS_BUDGET, Solutions, Verdict, solve, solve_with_budget};
pub use source::{GeneratedSource, GeneratorOptions, SudokuExamples};
pub use symmetry::Symmetry;
