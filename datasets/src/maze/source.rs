//! Mazes by number: the endless training source, evaluation mazes, and mazes on request.
//! Owns the options and which stream is for what; leaves numbering of batches to [`crate::endless`] and drawing to
//! [`super::generator`].

use serde::{Deserialize, Serialize};

use super::generator::draw_maze;
use super::{Cell, MazeError, MazeRequest, MazeShape, MazeStyle, ShortestPaths, SolvedMaze};
use crate::DatasetError;
use crate::endless::{DrawExample, DrawnExample, EndlessSource};
use crate::random::PuzzleRng;

/// An endless source of mazes.
pub type MazeSource = EndlessSource<MazeExamples>;

/// What a [`MazeSource`] or a held-out set is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MazeOptions {
    /// Cells per side: 5 to 40.
    pub size: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// How walls are drawn; none draws a style for each maze.
    pub style: Option<MazeStyle>,
    /// Least length of a shortest path, in cells between start and goal; none takes
    /// [`MazeRequest::hard_length`].
    pub min_length: Option<usize>,
    /// How many shortest paths each maze shall have. Where there are several, the label is one of them.
    pub shortest_paths: ShortestPaths,
}

impl Default for MazeOptions {
    /// Mazes as hard as Maze-Hard, of all styles.
    fn default() -> Self {
        Self {
            size: MazeShape::HARD.side(),
            seed: 0,
            style: None,
            min_length: None,
            shortest_paths: ShortestPaths::Any,
        }
    }
}

impl MazeOptions {
    /// Checks every option and gives what each maze has to fulfil.
    ///
    /// # Errors
    /// When no such maze can exist.
    pub fn validate(&self) -> Result<MazeRequest, MazeError> {
        let hard = MazeRequest::hard(MazeShape::from_side(self.size)?);
        let request = MazeRequest {
            style: self.style,
            min_length: self.min_length.unwrap_or(hard.min_length),
            shortest_paths: self.shortest_paths,
            ..hard
        };
        request.validate()?;
        Ok(request)
    }
}

/// Draws training examples by number.
#[derive(Debug, Clone)]
pub struct MazeExamples {
    request: MazeRequest,
    seed: u64,
}

impl MazeSource {
    /// A source at its first example.
    ///
    /// # Errors
    /// When the options are invalid or `rank` is not below `world_size`.
    pub fn new(options: &MazeOptions, rank: usize, world_size: usize) -> Result<Self, DatasetError> {
        let request = options.validate()?;
        Self::of(MazeExamples { request, seed: options.seed }, rank, world_size)
    }
}

impl DrawExample for MazeExamples {
    fn seq_len(&self) -> usize {
        self.request.shape.cells()
    }

    fn vocab_size(&self) -> usize {
        MazeShape::VOCAB_SIZE
    }

    fn draw(&mut self, index: u64) -> Result<DrawnExample, DatasetError> {
        let solved = Purpose::Training.draw(&self.request, self.seed, index)?;
        let tokens = |cells: &[Cell]| cells.iter().map(|&cell| cell as u8).collect();
        Ok(DrawnExample { inputs: tokens(solved.maze.cells()), labels: tokens(&solved.answer()) })
    }
}

/// The first `count` evaluation mazes of the options.
///
/// They come from streams of their own: no seed of a [`MazeSource`] or of [`generate`] reaches them, so from 10×10 on a
/// maze seen in training is as good as impossible. Maze `i` does not depend on `count`.
///
/// # Errors
/// When the options are invalid.
pub fn held_out(options: &MazeOptions, count: usize) -> Result<Vec<SolvedMaze>, MazeError> {
    options.validate()?;
    (0..count as u64).map(|index| held_out_at(options, index)).collect()
}

/// Maze number `index` of [`held_out`].
///
/// # Errors
/// When the options are invalid.
pub fn held_out_at(options: &MazeOptions, index: u64) -> Result<SolvedMaze, MazeError> {
    Purpose::HeldOut.draw(&options.validate()?, options.seed, index)
}

/// Maze number `index` of a seed: a pure function of its arguments, so that ranges can be drawn in parallel.
///
/// # Errors
/// When the request is impossible or `max_attempts` grids held no such maze.
pub fn generate(request: &MazeRequest, seed: u64, index: u64) -> Result<SolvedMaze, MazeError> {
    Purpose::Request.draw(request, seed, index)
}

/// What a stream is drawn for; streams of different purposes never meet, whatever their seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The endless training source, by example index.
    Training,
    /// Evaluation mazes, by index.
    HeldOut,
    /// Mazes on request (command line), by index.
    Request,
}

impl Purpose {
    fn draw(self, request: &MazeRequest, seed: u64, index: u64) -> Result<SolvedMaze, MazeError> {
        let tag = match self {
            Self::Training => b"training maze   ",
            Self::HeldOut => b"held-out maze   ",
            Self::Request => b"requested maze  ",
        };
        draw_maze(request, &mut PuzzleRng::stream(tag, seed, request.shape.side(), index))
    }
}
