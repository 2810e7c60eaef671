//! `datasets generate maze`: flags of the maze generator.
//! Owns names and defaults; leaves output to [`super`] and drawing to [`datasets::maze`].

use clap::{Args, ValueEnum};
use datasets::builder::generated::GeneratedMazes;
use datasets::maze::{DEFAULT_MAX_ATTEMPTS, MazeRequest, MazeShape, MazeStyle, ShortestPaths, SolvedMaze};

use super::Destination;

/// Flags of `datasets generate maze`.
#[derive(Args)]
pub(crate) struct Maze {
    /// Cells per side: 5 to 40; 4 to 64 with style hard.
    #[arg(long, default_value_t = MazeShape::HARD.side())]
    size: usize,
    /// How walls are drawn: perfect (one path between any two cells), loops (some of those walls opened), random-walls
    /// (more of them where the way is too short), hard (Maze-Hard's distribution) [default: one of the first three for
    /// each maze].
    #[arg(long)]
    style: Option<MazeStyle>,
    /// Least length of the shortest path, in cells between start and goal [default: 111 on 30x30, growing with the side's
    /// 1.5th power; with style hard 108, as in Maze-Hard].
    #[arg(long)]
    min_length: Option<usize>,
    /// How many shortest paths a maze has.
    #[arg(long, value_enum, default_value_t = Paths::Any)]
    shortest_paths: Paths,
    /// Grids to draw for each maze before giving up.
    #[arg(long, default_value_t = DEFAULT_MAX_ATTEMPTS)]
    max_attempts: u32,
    /// One line per maze, as in puzzle lists, instead of a drawing.
    #[arg(long, conflicts_with = "output")]
    lines: bool,
    #[command(flatten)]
    output: Destination,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Paths {
    Any,
    Unique,
    Several,
}

impl Maze {
    /// Generates to the folder, the file or standard output.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let default = MazeRequest::of_style(MazeShape::from_side(self.size)?, self.style);
        let request = MazeRequest {
            min_length: self.min_length.unwrap_or(default.min_length),
            shortest_paths: match self.shortest_paths {
                Paths::Any => ShortestPaths::Any,
                Paths::Unique => ShortestPaths::Unique,
                Paths::Several => ShortestPaths::Several,
            },
            max_attempts: self.max_attempts,
            ..default
        };
        request.validate()?;
        let print = if self.lines { |solved: &SolvedMaze| format!("{}\n", solved.maze) } else { drawing };
        let mazes = GeneratedMazes { request, seed: self.output.seed };
        self.output.write(mazes, print)
    }
}

/// A line per row and an empty one behind.
fn drawing(solved: &SolvedMaze) -> String {
    format!("{}\n", solved.maze.to_grid())
}
