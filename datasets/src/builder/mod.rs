//! Datasets in the reference's format, made from published puzzle lists or from generated puzzles.
//! Owns what a task's builder of the reference does, byte for byte; leaves staging and file names to [`crate::store`].

pub mod generated;
pub mod hub;
pub mod puzzle_csv;
pub mod sudoku;
