//! Datasets in the reference's format, made from published puzzle lists or from generated puzzles.
//! Owns what a task's builder of the reference does, byte for byte; leaves staging and file names to [`crate::store`].

pub mod arc;
pub mod generated;
pub mod maze;
pub mod puzzle_csv;
mod puzzle_list;
pub mod sudoku;
pub mod sudoku_pool;

pub use puzzle_list::{BuildProgress, PuzzleListSource};
