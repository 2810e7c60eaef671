//! How close generated mazes are to a list of mazes, such as Maze-Hard:
//! `cargo run --release -p datasets --example maze_distribution -- LIST.csv [MAZES]`.
//! Prints a table of measures; leaves judging the figures to the reader.

use std::path::Path;

use anyhow::Context;
use datasets::builder::puzzle_csv::PuzzleCsv;
use datasets::maze::{Maze, MazeRequest, MazeShape, MazeStyle, generate};

/// A measure of a maze, by its name.
type Measure = (&'static str, fn(&Facts) -> f64);

const MEASURES: [Measure; 13] = [
    ("walls, %", |facts| 100.0 * (1.0 - facts.open as f64 / facts.cells as f64)),
    ("walls at the border, %", |facts| 100.0 * facts.border_walls as f64 / (4 * facts.side - 4) as f64),
    ("2×2 squares of walls", |facts| facts.squares(false) as f64),
    ("2×2 squares of open cells", |facts| facts.squares(true) as f64),
    ("open cells with at most one open neighbour", |facts| facts.dead_ends() as f64),
    ("open cells that the start reaches, %", |facts| 100.0 * facts.reached().count() as f64 / facts.open as f64),
    ("cells of the path, start and goal included", |facts| (facts.moves + 1) as f64),
    ("cells on a shortest path", |facts| facts.on_shortest_paths() as f64),
    ("shortest paths, log10", |facts| (facts.maze.shortest_path_count() as f64).log10()),
    ("moves from the start to the farthest cell, beyond the goal", |facts| {
        (facts.reached().max().unwrap_or(0) - facts.moves) as f64
    }),
    ("cells that are far enough from the start to be the goal", |facts| {
        facts.reached().filter(|&moves| moves >= facts.least_moves).count() as f64
    }),
    ("rows and columns between start and goal", |facts| facts.rows_and_columns() as f64),
    ("cells between the start and the border", |facts| facts.start_to_border() as f64),
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let list = arguments.next().context("expected the path of a list `source,question,answer,rating` of mazes")?;
    let count = arguments.next().map_or(Ok(1_000), |text| text.parse::<u64>())?;
    let listed = PuzzleCsv::open(Path::new(&list))?
        .map(|row| Ok(Maze::parse(&row?.question)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let shape = listed.first().context("expected at least one maze in the list")?.shape();
    let request = MazeRequest::of_style(shape, Some(MazeStyle::Hard));
    let drawn = (0..count).map(|index| Ok(generate(&request, 1, index)?.maze)).collect::<anyhow::Result<Vec<_>>>()?;
    let least_moves = request.min_length + 1;
    let facts = |mazes: &[Maze]| mazes.iter().map(|maze| Facts::of(maze, least_moves)).collect::<Vec<_>>();
    let (listed, drawn) = (facts(&listed), facts(&drawn));
    println!("| measure | {} listed | {} generated | greatest difference of the shares |", listed.len(), drawn.len());
    println!("|---|---|---|---|");
    for (name, measure) in MEASURES {
        let (listed, drawn) = (Sample::of(&listed, measure), Sample::of(&drawn, measure));
        println!("| {name} | {} | {} | {:.3} |", listed.summary(), drawn.summary(), listed.distance(&drawn));
    }
    Ok(())
}

/// A maze with what several measures need.
struct Facts {
    maze: Maze,
    side: usize,
    cells: usize,
    open: usize,
    border_walls: usize,
    /// Moves from the start, and from the goal, to every cell; none where no way leads.
    from_start: Vec<Option<usize>>,
    from_goal: Vec<Option<usize>>,
    /// Moves from start to goal, and how many there must be.
    moves: usize,
    least_moves: usize,
}

impl Facts {
    fn of(maze: &Maze, least_moves: usize) -> Self {
        let shape = maze.shape();
        let moves_from = |cell| {
            let moves = maze.distances(cell).into_iter();
            moves.map(|moves| (moves != u32::MAX).then_some(moves as usize)).collect::<Vec<_>>()
        };
        let from_start = moves_from(maze.start());
        Self {
            side: shape.side(),
            cells: shape.cells(),
            open: (0..shape.cells()).filter(|&cell| maze.is_open(cell)).count(),
            border_walls: (0..shape.cells()).filter(|&cell| border(shape, cell) == 0 && !maze.is_open(cell)).count(),
            moves: from_start[maze.goal()].unwrap_or(0),
            from_start,
            from_goal: moves_from(maze.goal()),
            least_moves,
            maze: maze.clone(),
        }
    }

    fn reached(&self) -> impl Iterator<Item = usize> {
        self.from_start.iter().copied().flatten()
    }

    fn on_shortest_paths(&self) -> usize {
        let sums = self.from_start.iter().zip(&self.from_goal);
        sums.filter(|(start, goal)| start.zip(**goal).is_some_and(|(start, goal)| start + goal == self.moves)).count()
    }

    fn squares(&self, open: bool) -> usize {
        let is = |cell| self.maze.is_open(cell) == open;
        let corners = (0..self.cells - self.side).filter(|cell| cell % self.side + 1 < self.side);
        corners.filter(|&cell| is(cell) && is(cell + 1) && is(cell + self.side) && is(cell + self.side + 1)).count()
    }

    fn dead_ends(&self) -> usize {
        let open = |cell: &usize| self.maze.is_open(*cell);
        (0..self.cells)
            .filter(open)
            .filter(|&cell| self.maze.shape().neighbours(cell).filter(open).count() <= 1)
            .count()
    }

    fn rows_and_columns(&self) -> usize {
        let place = |cell| self.maze.shape().place_of(cell);
        let (start, goal) = (place(self.maze.start()), place(self.maze.goal()));
        start.0.abs_diff(goal.0) + start.1.abs_diff(goal.1)
    }

    fn start_to_border(&self) -> usize {
        border(self.maze.shape(), self.maze.start())
    }
}

/// Cells between a cell and the nearest border.
fn border(shape: MazeShape, cell: usize) -> usize {
    let (row, column) = shape.place_of(cell);
    let last = shape.side() - 1;
    row.min(column).min(last - row).min(last - column)
}

/// Values of one measure, in ascending order.
struct Sample(Vec<f64>);

impl Sample {
    fn of(facts: &[Facts], measure: fn(&Facts) -> f64) -> Self {
        let mut values: Vec<f64> = facts.iter().map(measure).collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// Mean and the values that 5, 50 and 95 % lie below.
    fn summary(&self) -> String {
        let mean = self.0.iter().sum::<f64>() / self.0.len() as f64;
        let at = |percent: usize| self.0[self.0.len() * percent / 100];
        format!("{mean:.1} ({:.1}, {:.1}, {:.1})", at(5), at(50), at(95))
    }

    /// Greatest difference between the shares of both samples up to a value (Kolmogorov and Smirnov).
    fn distance(&self, other: &Self) -> f64 {
        let share =
            |sample: &Self, value: f64| sample.0.partition_point(|&own| own <= value) as f64 / sample.0.len() as f64;
        let values = self.0.iter().chain(&other.0);
        values.map(|&value| (share(self, value) - share(other, value)).abs()).fold(0.0, f64::max)
    }
}
