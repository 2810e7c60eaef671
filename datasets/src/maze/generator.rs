//! Hard mazes: start and goal far apart in random walls, with one shortest path or several as asked.
//! Owns the choice of start and goal and what a maze must fulfil; leaves walls to [`super::layout`] and the style of
//! Maze-Hard to [`super::hard`].

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::path::UNREACHED;
use super::{Cell, Maze, MazeError, MazeShape, MazeStyle, hard, layout};
use crate::random::PuzzleRng;

/// Grids drawn for one maze before giving up, where the request does not say.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 100_000;
/// Sides that the generator draws, but for style [`MazeStyle::Hard`].
const SIDES: std::ops::RangeInclusive<usize> = 5..=40;
/// Shortest path of a hard 30×30 maze, in cells between start and goal; Maze-Hard's have 108 at least.
const HARD_LENGTH: f64 = 111.0;
/// How the length of a hard maze grows with its side. Twice the side allows four times the length in corridors, but
/// barely more than twice in random walls; the middle is feasible in every style from 5 to 40.
const LENGTH_EXPONENT: f64 = 1.5;

/// Walls that may be tried to lengthen the way through one grid of random walls.
const LENGTHENING_WALLS: u32 = 64;
/// Ways shorter than this share of the length asked for are given up at once.
const MIN_LENGTHENED_PERCENT: usize = 70;

/// How many shortest paths a maze has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShortestPaths {
    /// One or more, as it comes.
    #[default]
    Any,
    /// Exactly one.
    Unique,
    /// Two or more.
    Several,
}

impl Display for ShortestPaths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Any => "any number of shortest paths",
            Self::Unique => "a unique shortest path",
            Self::Several => "several shortest paths",
        })
    }
}

/// What a generated maze has to fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MazeRequest {
    /// Grid, 5 to 40 cells per side; 4 to 64 with [`MazeStyle::Hard`].
    pub shape: MazeShape,
    /// How walls are drawn; `None` draws a style for each maze.
    pub style: Option<MazeStyle>,
    /// Least length of a shortest path, in cells between start and goal.
    pub min_length: usize,
    /// How many shortest paths there must be.
    pub shortest_paths: ShortestPaths,
    /// Grids to draw before giving up.
    pub max_attempts: u32,
}

impl MazeRequest {
    /// Hard mazes of a shape: of mixed styles, any number of shortest paths, as long as [`hard_length`](Self::hard_length).
    pub fn hard(shape: MazeShape) -> Self {
        Self::of_style(shape, None)
    }

    /// Mazes of a shape and a style, or of mixed styles, with any number of shortest paths and the style's
    /// [least length](Self::least_length).
    pub fn of_style(shape: MazeShape, style: Option<MazeStyle>) -> Self {
        Self {
            shape,
            style,
            min_length: Self::least_length(shape, style),
            shortest_paths: ShortestPaths::Any,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
        }
    }

    /// Least length of a maze where the request does not say.
    ///
    /// [`MazeStyle::Hard`] takes Maze-Hard's 108 on 30×30, less in proportion to the area of smaller grids, and more in
    /// proportion to the side of larger ones. All others take [`hard_length`](Self::hard_length).
    pub fn least_length(shape: MazeShape, style: Option<MazeStyle>) -> usize {
        match style {
            Some(MazeStyle::Hard) => hard::least_length(shape),
            _ => Self::hard_length(shape),
        }
    }

    /// Least length of a hard maze of the other styles: 111 on 30×30, growing with the side's power of 1.5.
    pub fn hard_length(shape: MazeShape) -> usize {
        let scale = shape.side() as f64 / MazeShape::HARD.side() as f64;
        (HARD_LENGTH * scale.powf(LENGTH_EXPONENT)).round() as usize
    }

    /// Checks that mazes of this kind can exist.
    ///
    /// # Errors
    /// When the side is not 5 to 40 (4 to 64 with style hard), the length exceeds the grid, or several paths are asked of perfect mazes.
    pub fn validate(&self) -> Result<(), MazeError> {
        let option = |name, expected: String, found: String| Err(MazeError::Option { name, expected, found });
        let side = self.shape.side();
        let (sides, of) = match self.style {
            Some(MazeStyle::Hard) => (hard::SIDES, " with style hard"),
            _ => (SIDES, ""),
        };
        if !sides.contains(&side) {
            let expected = format!("{} to {} cells per side{of}", sides.start(), sides.end());
            return option("size", expected, side.to_string());
        }
        // A path that does not touch itself leaves about every second cell free.
        let longest = self.shape.cells() / 2 + side;
        if self.min_length > longest {
            let expected = format!("at most {longest} on a {} maze", self.shape);
            return option("min_length", expected, self.min_length.to_string());
        }
        if (self.style, self.shortest_paths) == (Some(MazeStyle::Perfect), ShortestPaths::Several) {
            let expected = "any or unique with style perfect, which has one path between any two cells";
            return option("shortest_paths", expected.to_owned(), "several".to_owned());
        }
        Ok(())
    }

    fn draw_style(&self, rng: &mut PuzzleRng) -> MazeStyle {
        let styles = match self.shortest_paths {
            ShortestPaths::Several => &MazeStyle::MIXED[1..],
            _ => &MazeStyle::MIXED[..],
        };
        self.style.unwrap_or_else(|| styles[rng.below(styles.len() as u32) as usize])
    }
}

/// A maze and one of its shortest paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolvedMaze {
    /// The maze.
    pub maze: Maze,
    /// Cells of the path, start and goal included.
    pub path: Vec<usize>,
}

impl SolvedMaze {
    /// Length of the path, in cells between start and goal.
    pub fn length(&self) -> usize {
        self.path.len() - 2
    }

    /// The cells of the answer.
    pub fn answer(&self) -> Vec<Cell> {
        self.maze.marked(&self.path)
    }
}

/// Draws a maze that meets the request.
///
/// # Errors
/// When the request is impossible or `max_attempts` grids held no such maze.
pub fn draw_maze(request: &MazeRequest, rng: &mut PuzzleRng) -> Result<SolvedMaze, MazeError> {
    request.validate()?;
    // Drawn once: a style in which long paths are rare would else be drawn less often.
    let style = request.draw_style(rng);
    for _ in 0..request.max_attempts {
        if let Some(solved) = draw_grid(request, style, rng).and_then(|maze| settle_paths(request, maze)) {
            return Ok(solved);
        }
    }
    Err(MazeError::NotFound {
        shape: request.shape,
        wanted: format!("a shortest path of {} cells or more and {}", request.min_length, request.shortest_paths),
        attempts: request.max_attempts,
        advice: "ask for shorter paths or another style, or allow more attempts",
    })
}

/// One grid of a style with a start and a goal; `None` when the grid seems to hold none that are far enough from each
/// other.
fn draw_grid(request: &MazeRequest, style: MazeStyle, rng: &mut PuzzleRng) -> Option<Maze> {
    match style {
        MazeStyle::Perfect => place_ends(request, layout::perfect(request.shape, rng), false, rng),
        MazeStyle::Loops => place_ends(request, layout::loops(request.shape, rng), false, rng),
        MazeStyle::RandomWalls => place_ends(request, layout::random_walls(request.shape, rng), true, rng),
        MazeStyle::Hard => hard::draw(request, rng),
    }
}

/// A start and a goal far enough from each other; `None` when the grid seems to hold none. Where walls may be added,
/// they are put in the way until the detour is long enough.
fn place_ends(request: &MazeRequest, open: Vec<bool>, may_add_walls: bool, rng: &mut PuzzleRng) -> Option<Maze> {
    let first = (0..8).map(|_| rng.below(open.len() as u32) as usize).find(|&cell| open[cell])?;
    let mut search = Search::new(request.shape, open);
    search.run(first);
    let mut start = first;
    if !search.has_farther_than(request.min_length) {
        // From anywhere, the farthest cell lies at the end of one of the longest ways.
        start = search.farthest();
        search.run(start);
        if may_add_walls {
            lengthen(&mut search, request.min_length, rng);
        }
    }
    let far: Vec<usize> = search.farther_than(request.min_length).collect();
    let goal = *far.get(rng.below(far.len().max(1) as u32) as usize)?;
    let (start, goal) = if rng.coin() { (start, goal) } else { (goal, start) };
    let mut maze: Vec<Cell> = search.open.iter().map(|&open| if open { Cell::Free } else { Cell::Wall }).collect();
    maze[start] = Cell::Start;
    maze[goal] = Cell::Goal;
    Maze::from_cells(request.shape, maze).ok()
}

/// Walls up random cells of the way to the farthest cell, as long as another way is left, until it is longer than
/// `min_length` or that does not seem to come about. A search has run; the last one from the same cell has, too.
fn lengthen(search: &mut Search, min_length: usize, rng: &mut PuzzleRng) {
    let (start, end) = (search.order[0], search.farthest());
    if (search.distances[end] as usize) < min_length * MIN_LENGTHENED_PERCENT / 100 {
        return;
    }
    let mut way = search.way_to(end);
    for _ in 0..LENGTHENING_WALLS {
        if way.len() > min_length + 1 {
            return;
        }
        let cell = way[1 + rng.below(way.len() as u32 - 2) as usize];
        search.open[cell] = false;
        search.run(start);
        if search.distances[end] == UNREACHED {
            search.open[cell] = true;
        } else {
            way = search.way_to(end);
        }
    }
    search.run(start);
}

/// The maze with as many shortest paths as asked, and one of them; `None` when it has too few.
fn settle_paths(request: &MazeRequest, mut maze: Maze) -> Option<SolvedMaze> {
    let path = maze.shortest_path().ok()?;
    match request.shortest_paths {
        ShortestPaths::Any => {}
        ShortestPaths::Unique => close_other_ways(&mut maze, &path),
        ShortestPaths::Several if maze.shortest_path_count() > 1 => {}
        ShortestPaths::Several => return None,
    }
    Some(SolvedMaze { maze, path })
}

/// Walls up the cells at which another shortest path leaves this one; its length does not change.
fn close_other_ways(maze: &mut Maze, path: &[usize]) {
    let to_goal = maze.distances(maze.goal());
    for pair in path.windows(2) {
        let [cell, next] = [pair[0], pair[1]];
        // One move nearer to the goal, but not on the path. (Unreached cells are never nearer.)
        let others: Vec<usize> =
            maze.shape().neighbours(cell).filter(|&other| other != next && to_goal[other] < to_goal[cell]).collect();
        for other in others {
            maze.wall_up(other);
        }
    }
}

/// Breadth-first search over open cells, before there is a maze.
struct Search {
    shape: MazeShape,
    open: Vec<bool>,
    distances: Vec<u32>,
    /// Reached cells, nearest first.
    order: Vec<usize>,
}

impl Search {
    fn new(shape: MazeShape, open: Vec<bool>) -> Self {
        let cells = open.len();
        Self { shape, open, distances: vec![UNREACHED; cells], order: Vec::with_capacity(cells) }
    }

    fn run(&mut self, from: usize) {
        self.distances.fill(UNREACHED);
        super::path::measure(self.shape, |cell| self.open[cell], from, &mut self.distances, &mut self.order);
    }

    fn farthest(&self) -> usize {
        *self.order.last().expect("the search began at a cell")
    }

    /// A shortest way from the beginning to a reached cell, both included, backwards.
    fn way_to(&self, end: usize) -> Vec<usize> {
        let mut way = vec![end];
        let mut cell = end;
        while let Some(before) = self.shape.neighbours(cell).find(|&next| self.distances[next] < self.distances[cell]) {
            way.push(before);
            cell = before;
        }
        way
    }

    fn has_farther_than(&self, length: usize) -> bool {
        self.distances[self.farthest()] as usize > length
    }

    /// Cells with at least `length` cells between them and the beginning.
    fn farther_than(&self, length: usize) -> impl Iterator<Item = usize> {
        self.order.iter().copied().filter(move |&cell| self.distances[cell] as usize > length)
    }
}
