//! The commands of the program `datasets`, one file each.
//! Leaves parsing of the top level to `main`.

pub(crate) mod build;
pub(crate) mod generate;
pub(crate) mod score;
mod score_table;
pub(crate) mod show;

/// Puzzles between two updates of a bar: a bar that is asked at every puzzle costs more than the puzzle.
const UPDATE_EVERY: u64 = 256;
