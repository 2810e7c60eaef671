//! The maze task: grids, the rules of a path, scores, generator, and the endless training source made of them.
//! Owns everything that knows what a wall is; leaves files and folders to [`crate::store`] and [`crate::builder`].

mod bits;
mod drawing;
mod error;
mod generator;
mod grid;
mod hard;
mod layout;
mod marks;
mod matrix;
mod path;
mod rules;
mod score;
mod shape;
mod source;
mod text;

pub use drawing::{MazeDrawing, Spelling, has_free_margin, looks_spaced};
pub use error::{MazeError, PathFlaw};
pub use generator::{DEFAULT_MAX_ATTEMPTS, MazeRequest, ShortestPaths, SolvedMaze, draw_maze};
pub use grid::{Cell, Maze, parse_cells};
pub use layout::MazeStyle;
pub use score::{MazeScore, score};
pub use shape::MazeShape;
pub use source::{MazeExamples, MazeOptions, MazeSource, MinLength, generate, held_out, held_out_at};
