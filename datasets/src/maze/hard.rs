//! Mazes of Maze-Hard's distribution: every cell is a wall with the same probability, and of all walls and pairs of cells
//! so far apart, each is as likely as any other.
//! Owns that draw; leaves labels and the number of shortest paths to [`super::generator`].
//!
//! The first walls that hold a long path favour short far ends: a grid with a thousand such pairs is found as readily as
//! one with a single pair, though it stands for a thousand mazes. A Markov chain corrects this. Each move redraws a few
//! walls, keeps them if the two cells are still far enough from each other, and then redraws one of the two among all
//! cells that are far enough from the other. Both steps leave the wanted distribution unchanged, so the chain tends to
//! it. `examples/maze_distribution.rs` compares the result with a list of mazes, `docs/datasets/maze.md` has the figures.

use super::bits::CellBits;
use super::{Cell, Maze, MazeRequest, MazeShape};
use crate::random::PuzzleRng;

/// Sides that this style draws.
pub(super) const SIDES: std::ops::RangeInclusive<usize> = 4..=super::bits::MAX_SIDE;
/// Share of open cells in 256ths, which leaves 29 to 45 % walls; beyond these hardly a grid holds a long way.
const OPEN_SHARES: (u8, u8) = (141, 182);
/// Least cells between start and goal on 30×30, as in Maze-Hard: 110 with the two.
const LENGTH: usize = 108;
/// Cells of the grid for each move of the chain: 150 moves on 30×30.
const CELLS_PER_MOVE: usize = 6;
/// Cells that a move redraws at most. Half of the moves are kept then.
const REDRAWN_CELLS: u32 = 32;
/// Cells that are tried for one that is open.
const FIRST_TRIES: u32 = 8;

/// Least cells between start and goal: 108 on 30×30, on smaller grids in proportion to the area, on larger ones to the
/// side. (In proportion to the area, one grid of 45,000 would do on 40×40.)
pub(super) fn least_length(shape: MazeShape) -> usize {
    let (side, hard) = (shape.side(), MazeShape::HARD.side());
    let (numerator, denominator) = if side <= hard { (side * side, hard * hard) } else { (side, hard) };
    (LENGTH * numerator + denominator / 2) / denominator
}

/// One grid of random walls with a start and a goal at least `request.min_length` cells apart; `None` where the grid seems to
/// hold no such pair, which is the rule: on 30×30 one grid of about 200 does.
pub(super) fn draw(request: &MazeRequest, rng: &mut PuzzleRng) -> Option<Maze> {
    let mut draft = Draft::find(request, rng)?;
    for _ in 0..request.shape.cells() / CELLS_PER_MOVE {
        draft.redraw(rng);
    }
    if rng.coin() {
        draft.ends.reverse();
    }
    draft.into_maze()
}

/// Walls and two cells that are far enough from each other.
struct Draft {
    shape: MazeShape,
    open: CellBits,
    /// Share of open cells, in 256ths.
    open_share: u8,
    ends: [usize; 2],
    /// Least moves from one end to the other.
    moves: u32,
}

impl Draft {
    fn find(request: &MazeRequest, rng: &mut PuzzleRng) -> Option<Self> {
        let (shape, moves) = (request.shape, request.min_length as u32 + 1);
        let (least, most) = OPEN_SHARES;
        let open_share = least + rng.below(u32::from(most - least) + 1) as u8;
        let open = CellBits::random(shape, open_share, rng);
        let cells = shape.cells() as u32;
        let first = (0..FIRST_TRIES).map(|_| rng.below(cells) as usize).find(|&cell| open.contains(cell))?;
        let near = open.search(first, moves);
        // No two cells are farther from each other than twice the way to the farthest cell.
        if 2 * near.moves < moves {
            return None;
        }
        let start = near.farthest;
        let far = open.search(start, moves).far;
        Some(Self { shape, ends: [start, any_of(&far, rng)?], open, open_share, moves })
    }

    /// A move of the chain.
    fn redraw(&mut self, rng: &mut PuzzleRng) {
        let mut open = self.open.clone();
        for _ in 0..=rng.below(REDRAWN_CELLS) {
            let cell = rng.below(self.shape.cells() as u32) as usize;
            if !self.ends.contains(&cell) {
                open.set(cell, rng.below(256) < u32::from(self.open_share));
            }
        }
        let [kept, other] = if rng.coin() { [0, 1] } else { [1, 0] };
        let far = open.search(self.ends[kept], self.moves).far;
        if far.contains(self.ends[other])
            && let Some(end) = any_of(&far, rng)
        {
            self.open = open;
            self.ends[other] = end;
        }
    }

    fn into_maze(self) -> Option<Maze> {
        let cell = |cell| if self.open.contains(cell) { Cell::Free } else { Cell::Wall };
        let mut cells: Vec<Cell> = (0..self.shape.cells()).map(cell).collect();
        let [start, goal] = self.ends;
        (cells[start], cells[goal]) = (Cell::Start, Cell::Goal);
        Maze::from_cells(self.shape, cells).ok()
    }
}

/// A uniform one of the cells.
fn any_of(cells: &CellBits, rng: &mut PuzzleRng) -> Option<usize> {
    match cells.count() {
        0 => None,
        count => cells.nth(rng.below(count)),
    }
}
