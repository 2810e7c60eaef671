//! Random walls and corridors: which cells of a grid are open, before start and goal are set.
//! Owns the styles; leaves the choice of start and goal and what they must fulfil to [`super::generator`].

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{MazeError, MazeShape};
use crate::random::PuzzleRng;

/// Share of walls in [`MazeStyle::RandomWalls`], in percent: about where paths are longest, see `examples/maze_rate.rs`.
const WALL_PERCENT: (u32, u32) = (36, 44);
/// Share of the inner walls that [`MazeStyle::Loops`] opens, in percent.
const LOOP_PERCENT: (u32, u32) = (1, 8);
/// How often, in percent, a corridor goes on from its newest room instead of a random one: long corridors against many
/// short branches.
const NEWEST_PERCENT: (u32, u32) = (70, 100);

/// How a maze is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MazeStyle {
    /// Corridors one cell wide that form a tree: exactly one path between any two open cells.
    Perfect,
    /// A perfect maze with some of its inner walls opened.
    Loops,
    /// Every cell is a wall with the same probability; more walls lengthen the way where it is nearly long enough.
    RandomWalls,
    /// Mazes of Maze-Hard's distribution: random walls and two cells that are far from each other, nothing added.
    Hard,
}

impl MazeStyle {
    /// All styles.
    pub const ALL: [Self; 4] = [Self::Perfect, Self::Loops, Self::RandomWalls, Self::Hard];
    /// The styles of mazes for which none is named.
    pub const MIXED: [Self; 3] = [Self::Perfect, Self::Loops, Self::RandomWalls];

    const fn name(self) -> &'static str {
        match self {
            Self::Perfect => "perfect",
            Self::Loops => "loops",
            Self::RandomWalls => "random-walls",
            Self::Hard => "hard",
        }
    }
}

impl Display for MazeStyle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for MazeStyle {
    type Err = MazeError;

    fn from_str(name: &str) -> Result<Self, MazeError> {
        Self::ALL.into_iter().find(|style| style.name() == name).ok_or_else(|| MazeError::Option {
            name: "style",
            expected: "perfect, loops, random-walls or hard".to_owned(),
            found: format!("{:?}", name.chars().take(64).collect::<String>()),
        })
    }
}

/// `[cells]` whether each cell is open, of corridors that form a tree.
pub(super) fn perfect(shape: MazeShape, rng: &mut PuzzleRng) -> Vec<bool> {
    Corridors::grow(shape, rng).open
}

/// `[cells]` whether each cell is open, of corridors with loops.
pub(super) fn loops(shape: MazeShape, rng: &mut PuzzleRng) -> Vec<bool> {
    Corridors::grow(shape, rng).with_loops(rng)
}

/// `[cells]` whether each cell is open, where every cell is a wall with the same probability.
pub(super) fn random_walls(shape: MazeShape, rng: &mut PuzzleRng) -> Vec<bool> {
    let percent = between(WALL_PERCENT, rng);
    (0..shape.cells()).map(|_| rng.below(100) >= percent).collect()
}

/// Rooms on every second row and column, joined by passages through the cells between them.
struct Corridors {
    shape: MazeShape,
    /// Row and column of the first room.
    origin: (usize, usize),
    /// Rooms per column and per row.
    rooms: (usize, usize),
    open: Vec<bool>,
}

impl Corridors {
    /// A tree of all rooms, grown from a random one ("growing tree": mostly from the newest room, now and then from any).
    fn grow(shape: MazeShape, rng: &mut PuzzleRng) -> Self {
        let mut corridors = Self::closed(shape, rng);
        let newest = between(NEWEST_PERCENT, rng);
        let count = corridors.rooms.0 * corridors.rooms.1;
        let first = rng.below(count as u32) as usize;
        let mut growing = vec![first];
        let cell = corridors.cell_of(first);
        corridors.open[cell] = true;
        while let Some(last) = growing.len().checked_sub(1) {
            let chosen = if rng.below(100) < newest { last } else { rng.below(growing.len() as u32) as usize };
            let room = growing[chosen];
            let mut closed = [0; 4];
            let mut ways = 0;
            for next in corridors.adjacent(room) {
                if !corridors.open[corridors.cell_of(next)] {
                    closed[ways] = next;
                    ways += 1;
                }
            }
            if ways == 0 {
                growing.remove(chosen);
                continue;
            }
            let next = closed[rng.below(ways as u32) as usize];
            corridors.join(room, next);
            growing.push(next);
        }
        corridors
    }

    fn closed(shape: MazeShape, rng: &mut PuzzleRng) -> Self {
        let mut line = || {
            let first = usize::from(rng.coin());
            (first, (shape.side() - first).div_ceil(2))
        };
        let (rows, columns) = (line(), line());
        Self { shape, origin: (rows.0, columns.0), rooms: (rows.1, columns.1), open: vec![false; shape.cells()] }
    }

    fn with_loops(mut self, rng: &mut PuzzleRng) -> Vec<bool> {
        let percent = between(LOOP_PERCENT, rng);
        for room in 0..self.rooms.0 * self.rooms.1 {
            let (row, column) = (room / self.rooms.1, room % self.rooms.1);
            let right = (column + 1 < self.rooms.1).then_some(room + 1);
            let below = (row + 1 < self.rooms.0).then_some(room + self.rooms.1);
            for next in right.into_iter().chain(below) {
                if rng.below(100) < percent {
                    self.join(room, next);
                }
            }
        }
        self.open
    }

    fn cell_of(&self, room: usize) -> usize {
        let row = self.origin.0 + room / self.rooms.1 * 2;
        let column = self.origin.1 + room % self.rooms.1 * 2;
        row * self.shape.side() + column
    }

    fn adjacent(&self, room: usize) -> impl Iterator<Item = usize> {
        let (rows, columns) = self.rooms;
        let (row, column) = (room / columns, room % columns);
        [
            (row > 0, room.wrapping_sub(columns)),
            (column > 0, room.wrapping_sub(1)),
            (column + 1 < columns, room + 1),
            (row + 1 < rows, room + columns),
        ]
        .into_iter()
        .filter_map(|(exists, next)| exists.then_some(next))
    }

    /// Opens two neighbouring rooms and the cell between them.
    fn join(&mut self, room: usize, next: usize) {
        let (from, to) = (self.cell_of(room), self.cell_of(next));
        for cell in [from, usize::midpoint(from, to), to] {
            self.open[cell] = true;
        }
    }
}

/// A uniform number within inclusive bounds.
fn between((least, greatest): (u32, u32), rng: &mut PuzzleRng) -> u32 {
    least + rng.below(greatest - least + 1)
}
