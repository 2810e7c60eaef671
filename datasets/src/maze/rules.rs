//! When an answer is a path: the marked cells, walked one after the other from start to goal, each once.
//! Owns that check and its reasons; leaves shortest paths to [`super::path`] and counting to [`super::score`].

use super::{Cell, Maze, PathFlaw};

/// Steps of the search for a walk through marks that touch each other; beyond them an answer counts as no path.
const WALK_BUDGET: u32 = 4_000;

impl Maze {
    /// Checks an answer: walls, start and goal unchanged, the marks a simple path between them. Gives its length in
    /// marked cells (0 when start and goal are neighbours and nothing is marked).
    ///
    /// A path may touch itself: it is enough that the marked cells can be walked in some order. That search is bounded;
    /// marks that fill wide areas so that 4,000 steps find no walk count as no path.
    ///
    /// # Errors
    /// The first flaw found.
    pub fn check_path(&self, answer: &[i32]) -> Result<usize, PathFlaw> {
        let marks = Marks::of(self, answer)?;
        marks.check_connected()?;
        if let Some(fork) = marks.check_degrees()?
            && !Walk::new(&marks).exists()
        {
            return Err(PathFlaw::Fork { place: self.shape().place_of(fork) });
        }
        Ok(marks.count)
    }
}

/// The cells of an answer's path with start and goal.
struct Marks<'a> {
    maze: &'a Maze,
    /// `[cells]` whether a cell is the start, the goal or marked.
    marked: Vec<bool>,
    /// Marked cells, start and goal not counted.
    count: usize,
}

impl<'a> Marks<'a> {
    fn of(maze: &'a Maze, answer: &[i32]) -> Result<Self, PathFlaw> {
        let shape = maze.shape();
        if answer.len() != shape.cells() {
            return Err(PathFlaw::CellCount { expected: shape.cells(), found: answer.len() });
        }
        let mut marks = Self { maze, marked: vec![false; shape.cells()], count: 0 };
        for (index, (&expected, &found)) in maze.cells().iter().zip(answer).enumerate() {
            let is_mark = expected == Cell::Free && found == Cell::Path.token();
            if !is_mark && found != expected.token() {
                return Err(PathFlaw::Changed { place: shape.place_of(index), expected, found });
            }
            marks.marked[index] = is_mark || matches!(expected, Cell::Start | Cell::Goal);
            marks.count += usize::from(is_mark);
        }
        Ok(marks)
    }

    fn neighbours(&self, cell: usize) -> impl Iterator<Item = usize> {
        self.maze.shape().neighbours(cell).filter(|&neighbour| self.marked[neighbour])
    }

    fn check_connected(&self) -> Result<(), PathFlaw> {
        let shape = self.maze.shape();
        let mut reached = vec![false; shape.cells()];
        let mut open = vec![self.maze.start()];
        reached[self.maze.start()] = true;
        while let Some(cell) = open.pop() {
            for neighbour in self.neighbours(cell) {
                if !reached[neighbour] {
                    reached[neighbour] = true;
                    open.push(neighbour);
                }
            }
        }
        if !reached[self.maze.goal()] {
            let goal = shape.place_of(self.maze.goal());
            let to_goal = |cell: &usize| {
                let place = shape.place_of(*cell);
                place.0.abs_diff(goal.0) + place.1.abs_diff(goal.1)
            };
            let nearest = (0..shape.cells()).filter(|&cell| reached[cell]).min_by_key(to_goal);
            return Err(PathFlaw::Gap { reached: shape.place_of(nearest.unwrap_or(self.maze.start())) });
        }
        match (0..shape.cells()).find(|&cell| self.marked[cell] && !reached[cell]) {
            None => Ok(()),
            Some(stray) => Err(PathFlaw::Stray { place: shape.place_of(stray) }),
        }
    }

    /// `None` when every cell has as many marked neighbours as on a path that does not touch itself, which it then is;
    /// else the first cell with more.
    fn check_degrees(&self) -> Result<Option<usize>, PathFlaw> {
        let mut fork = None;
        for cell in (0..self.marked.len()).filter(|&cell| self.marked[cell]) {
            let is_end = cell == self.maze.start() || cell == self.maze.goal();
            let wanted = if is_end { 1 } else { 2 };
            let degree = self.neighbours(cell).count();
            if degree < wanted {
                return Err(PathFlaw::DeadEnd { place: self.maze.shape().place_of(cell) });
            }
            if degree > wanted && fork.is_none() {
                fork = Some(cell);
            }
        }
        Ok(fork)
    }
}

/// Search for an order in which all marked cells can be walked.
struct Walk<'a> {
    marks: &'a Marks<'a>,
    /// `[cells]` marked cells still to be visited.
    ahead: Vec<bool>,
    left: usize,
    budget: u32,
}

impl<'a> Walk<'a> {
    fn new(marks: &'a Marks<'a>) -> Self {
        Self { marks, ahead: marks.marked.clone(), left: marks.count + 2, budget: WALK_BUDGET }
    }

    fn exists(mut self) -> bool {
        if !self.colours_alternate() {
            return false;
        }
        // Each entry: a cell of the walk and the neighbours that it may still be continued with.
        let mut walk: Vec<(usize, Vec<usize>)> = Vec::new();
        self.enter(self.marks.maze.start(), &mut walk);
        while let Some((cell, choices)) = walk.last_mut() {
            let cell = *cell;
            if self.left == 0 && cell == self.marks.maze.goal() {
                return true;
            }
            if let Some(next) = choices.pop() {
                if self.budget == 0 {
                    return false;
                }
                self.budget -= 1;
                self.enter(next, &mut walk);
            } else {
                self.ahead[cell] = true;
                self.left += 1;
                walk.pop();
            }
        }
        false
    }

    /// On a chessboard a walk alternates colours, so they are as many, or start and goal share the one with one more.
    fn colours_alternate(&self) -> bool {
        let shape = self.marks.maze.shape();
        let is_dark = |cell: usize| {
            let (row, column) = shape.place_of(cell);
            (row + column) % 2 == 1
        };
        let dark = (0..self.ahead.len()).filter(|&cell| self.ahead[cell] && is_dark(cell)).count();
        let light = self.left - dark;
        match (is_dark(self.marks.maze.start()), is_dark(self.marks.maze.goal())) {
            (true, true) => dark == light + 1,
            (false, false) => light == dark + 1,
            _ => dark == light,
        }
    }

    fn enter(&mut self, cell: usize, walk: &mut Vec<(usize, Vec<usize>)>) {
        self.ahead[cell] = false;
        self.left -= 1;
        let goal = self.marks.maze.goal();
        let mut choices: Vec<usize> = if cell == goal {
            Vec::new()
        } else {
            self.marks.neighbours(cell).filter(|&next| self.ahead[next] && (next != goal || self.left == 1)).collect()
        };
        // A neighbour with one way on is cut off unless it comes next; two such neighbours cannot both come next.
        let forced = |next: &usize| *next != goal && self.ways_on(*next) < 2;
        let mut cut_off = choices.iter().copied().filter(forced);
        match (cut_off.next(), cut_off.next()) {
            (Some(only), None) => choices = vec![only],
            (Some(_), Some(_)) => choices.clear(),
            _ if !self.is_whole_from(cell) => choices.clear(),
            // The last choice is tried first: the cell with the fewest ways on, which is the likeliest dead end.
            _ => choices.sort_by_key(|&next| std::cmp::Reverse(self.ways_on(next))),
        }
        walk.push((cell, choices));
    }

    /// Whether everything that is still ahead can be reached from here.
    fn is_whole_from(&self, cell: usize) -> bool {
        let mut reached = vec![false; self.ahead.len()];
        let mut open = vec![cell];
        let mut count = 0;
        while let Some(cell) = open.pop() {
            for next in self.marks.neighbours(cell) {
                if self.ahead[next] && !reached[next] {
                    reached[next] = true;
                    count += 1;
                    open.push(next);
                }
            }
        }
        count == self.left
    }

    fn ways_on(&self, cell: usize) -> usize {
        self.marks.neighbours(cell).filter(|&next| self.ahead[next]).count()
    }
}
