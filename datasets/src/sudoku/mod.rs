//! The Sudoku task: boards, rules, solver, symmetries, generator, and the endless training source made of them.
//! Owns everything that knows what a digit is; leaves files and folders to [`crate::store`] and [`crate::builder`].

mod bitboard;
mod board;
mod canonical;
mod draw;
mod eliminations;
mod error;
mod few_clues;
mod generator;
mod hardness;
mod held_out;
mod layout;
mod local_search;
mod pins;
mod pool;
mod rules;
mod search;
mod shape;
mod solver;
mod source;
mod symmetry;
mod text;
mod unavoidable;
mod vicinity;

pub use crate::random::PuzzleRng as SudokuRng;
pub use board::Board;
pub use canonical::{CanonicalPuzzle, canonical_form};
pub use error::SudokuError;
pub use generator::{Puzzle, PuzzleRequest, generate, is_minimal, minimal_puzzle};
pub use hardness::{HARDNESS_ORDERS, Hardness, LogicLevel, hardness};
pub use held_out::{HeldOutPuzzle, held_out, held_out_at};
pub use pins::pinned;
pub use pool::PuzzlePool;
pub use rules::{Contradiction, Unit};
pub use search::{FEW_CLUES, HARD_GUESSES, PoolDomain, PoolKind, RarePuzzle, search_chain};
pub use shape::SudokuShape;
pub use solver::{DEFAULT_GUESS_BUDGET, Solutions, Verdict, solve, solve_with_budget};
pub use source::{GeneratedSource, GeneratorOptions, SudokuExamples};
pub use symmetry::Symmetry;
pub use text::{ListedPuzzle, Notation, WrittenBoard, is_list_header, read_list};
