//! Mazes by number: the endless training source, evaluation mazes, and mazes on request.
//! Owns the options and which stream is for what; leaves numbering of batches to [`crate::endless`] and drawing to
//! [`super::generator`].

use std::fmt;

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
    /// Cells per side: 5 to 40; 4 to 64 with style hard.
    pub size: usize,
    /// Seed of all draws.
    pub seed: u64,
    /// How walls are drawn; none draws one of [`MazeStyle::MIXED`] for each maze.
    pub style: Option<MazeStyle>,
    /// Least length of a shortest path; none takes [`MazeRequest::least_length`].
    pub min_length: Option<MinLength>,
    /// How many shortest paths each maze has. Where there are several, the label is one of them.
    pub shortest_paths: ShortestPaths,
}

/// Least length of a shortest path, in cells between start and goal: `3`, or `[3, 21]` as configurations write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MinLength {
    /// The same for all mazes.
    Same(usize),
    /// Drawn anew for each maze between the two, both included: a share of long paths among paths of all lengths.
    Between(usize, usize),
}

impl MinLength {
    fn bounds(self) -> (usize, usize) {
        match self {
            Self::Same(length) => (length, length),
            Self::Between(least, most) => (least, most),
        }
    }
}

impl fmt::Display for MinLength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(length) => write!(formatter, "length {length} on"),
            Self::Between(least, most) => write!(formatter, "lengths {least} to {most} on"),
        }
    }
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
    /// Checks every option.
    ///
    /// # Errors
    /// When no such maze can exist.
    pub fn validate(&self) -> Result<(), MazeError> {
        self.request_of(self.min_lengths()?.1)?.validate()
    }

    /// Least and greatest of the least lengths.
    fn min_lengths(&self) -> Result<(usize, usize), MazeError> {
        let default = MazeRequest::least_length(MazeShape::from_side(self.size)?, self.style);
        let (least, most) = self.min_length.map_or((default, default), MinLength::bounds);
        if least > most {
            let expected = "the lesser number first".to_owned();
            return Err(MazeError::Option { name: "min_length", expected, found: format!("[{least}, {most}]") });
        }
        Ok((least, most))
    }

    fn request_of(&self, min_length: usize) -> Result<MazeRequest, MazeError> {
        let default = MazeRequest::of_style(MazeShape::from_side(self.size)?, self.style);
        Ok(MazeRequest { min_length, shortest_paths: self.shortest_paths, ..default })
    }

    fn draw(&self, purpose: Purpose, index: u64) -> Result<SolvedMaze, MazeError> {
        let (least, most) = self.min_lengths()?;
        let mut rng = purpose.stream(self.seed, self.size, index);
        // A single length draws nothing: runs and held-out sets of earlier versions keep their mazes.
        let min_length = if least == most { least } else { least + rng.below((most - least + 1) as u32) as usize };
        draw_maze(&self.request_of(min_length)?, &mut rng)
    }
}

/// Draws training examples by number.
#[derive(Debug, Clone)]
pub struct MazeExamples {
    options: MazeOptions,
    shape: MazeShape,
}

impl MazeSource {
    /// A source at its first example.
    ///
    /// # Errors
    /// When the options are invalid or `rank` is not below `world_size`.
    pub fn new(options: &MazeOptions, rank: usize, world_size: usize) -> Result<Self, DatasetError> {
        options.validate()?;
        let shape = MazeShape::from_side(options.size)?;
        Self::of(MazeExamples { options: options.clone(), shape }, rank, world_size)
    }
}

impl DrawExample for MazeExamples {
    fn seq_len(&self) -> usize {
        self.shape.cells()
    }

    fn vocab_size(&self) -> usize {
        MazeShape::VOCAB_SIZE
    }

    fn draw(&mut self, index: u64) -> Result<DrawnExample, DatasetError> {
        let solved = self.options.draw(Purpose::Training, index)?;
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
    options.validate()?;
    options.draw(Purpose::HeldOut, index)
}

/// Maze number `index` of a seed: a pure function of its arguments, so that ranges can be drawn in parallel.
///
/// # Errors
/// When the request is impossible or `max_attempts` grids held no such maze.
pub fn generate(request: &MazeRequest, seed: u64, index: u64) -> Result<SolvedMaze, MazeError> {
    draw_maze(request, &mut Purpose::Request.stream(seed, request.shape.side(), index))
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
    fn stream(self, seed: u64, side: usize, index: u64) -> PuzzleRng {
        let tag = match self {
            Self::Training => b"training maze   ",
            Self::HeldOut => b"held-out maze   ",
            Self::Request => b"requested maze  ",
        };
        PuzzleRng::stream(tag, seed, side, index)
    }
}
