//! Shortest paths through a maze: distances, one path, and how many there are.
//! Owns the breadth-first search; leaves what a given answer is worth to [`super::rules`].

use super::{Maze, MazeError, MazeShape};

/// Distance of a cell that cannot be reached.
pub(super) const UNREACHED: u32 = u32::MAX;

impl Maze {
    /// `[cells]` moves from `from` to every cell over open cells; [`u32::MAX`] where none lead.
    pub fn distances(&self, from: usize) -> Vec<u32> {
        let mut distances = vec![UNREACHED; self.shape().cells()];
        measure(self.shape(), |cell| self.is_open(cell), from, &mut distances, &mut Vec::new());
        distances
    }

    /// The shortest path from start to goal, both included, that Maze-Hard labels: from the start, it takes at each cell
    /// the first of down, left, right, up that lies on a shortest path to the goal.
    ///
    /// # Errors
    /// [`MazeError::Separated`] when there is none.
    pub fn shortest_path(&self) -> Result<Vec<usize>, MazeError> {
        let to_goal = self.distances(self.goal());
        if to_goal[self.start()] == UNREACHED {
            let place = |cell| self.shape().place_of(cell);
            return Err(MazeError::Separated { start: place(self.start()), goal: place(self.goal()) });
        }
        let mut path = vec![self.start()];
        let mut cell = self.start();
        while let Some(next) = self.label_order(cell).find(|&next| to_goal[next] < to_goal[cell]) {
            path.push(next);
            cell = next;
        }
        Ok(path)
    }

    /// `[cells]` for each cell which of the moves down, left, right and up lie on a shortest path from it to the goal: none from
    /// walls, from the goal, and where no path leads.
    pub fn shortest_moves(&self) -> Vec<[bool; 4]> {
        let to_goal = self.distances(self.goal());
        let leads = |cell: usize, next: Option<usize>| {
            next.is_some_and(|next| self.is_open(cell) && to_goal[next] < to_goal[cell] && to_goal[cell] != UNREACHED)
        };
        (0..to_goal.len()).map(|cell| self.moves_from(cell).map(|next| leads(cell, next))).collect()
    }

    /// The cells below, left, right and above that lie on the grid.
    fn label_order(&self, cell: usize) -> impl Iterator<Item = usize> {
        self.moves_from(cell).into_iter().flatten()
    }

    /// The cells below, left, right and above; `None` outside of the grid.
    fn moves_from(&self, cell: usize) -> [Option<usize>; 4] {
        let side = self.shape().side();
        let (row, column) = self.shape().place_of(cell);
        [
            (row + 1 < side, cell + side),
            (column > 0, cell.wrapping_sub(1)),
            (column + 1 < side, cell + 1),
            (row > 0, cell.wrapping_sub(side)),
        ]
        .map(|(exists, next)| exists.then_some(next))
    }

    /// Number of shortest paths from start to goal, 0 when walls separate them, [`u64::MAX`] for that many or more.
    pub fn shortest_path_count(&self) -> u64 {
        let cells = self.shape().cells();
        let (mut distances, mut order) = (vec![UNREACHED; cells], Vec::new());
        measure(self.shape(), |cell| self.is_open(cell), self.start(), &mut distances, &mut order);
        let mut ways = vec![0_u64; cells];
        ways[self.start()] = 1;
        for &cell in &order[1..] {
            let before = self.shape().neighbours(cell).filter(|&before| distances[before] < distances[cell]);
            ways[cell] = before.fold(0, |sum, before| sum.saturating_add(ways[before]));
        }
        ways[self.goal()]
    }

    /// Length of a shortest path as Maze-Hard rates it: the cells between start and goal. `None` when there is no path.
    pub fn path_length(&self) -> Option<usize> {
        let moves = self.distances(self.start())[self.goal()];
        (moves != UNREACHED).then(|| moves as usize - 1)
    }
}

/// Fills `distances` (all [`UNREACHED`] before) with the moves from one cell over open ones; `order` receives the reached
/// cells, nearest first.
pub(super) fn measure(
    shape: MazeShape,
    is_open: impl Fn(usize) -> bool,
    from: usize,
    distances: &mut [u32],
    order: &mut Vec<usize>,
) {
    order.clear();
    order.push(from);
    distances[from] = 0;
    let mut next = 0;
    while let Some(&cell) = order.get(next) {
        next += 1;
        for neighbour in shape.neighbours(cell) {
            if distances[neighbour] == UNREACHED && is_open(neighbour) {
                distances[neighbour] = distances[cell] + 1;
                order.push(neighbour);
            }
        }
    }
}
