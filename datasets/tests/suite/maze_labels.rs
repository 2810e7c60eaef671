//! Which of several shortest paths is the label: Maze-Hard's rule, on ties drawn by hand, on generated mazes of every
//! style, and, where `MAZE_HARD_TRAIN` names a copy of the list, on Maze-Hard itself.

use std::path::Path;

use crate::not_run::not_run;
use datasets::builder::puzzle_csv::PuzzleCsv;
use datasets::maze::{Cell, Maze, MazeRequest, MazeShape, MazeStyle, ShortestPaths, SolvedMaze, generate};

/// Names a copy of Maze-Hard's `train.csv` or `test.csv`. They are not ours to commit.
const MAZE_HARD: &str = "MAZE_HARD_TRAIN";

fn text(cells: &[Cell]) -> String {
    cells.iter().map(|cell| cell.character()).collect()
}

fn label(maze: &Maze) -> String {
    text(&maze.marked(&maze.shortest_path().expect("a path")))
}

#[test]
fn ties_are_broken_by_down_left_right_up() {
    let cases: [(&str, [&str; 4], [&str; 4]); 7] = [
        ("down before left", ["   S", "    ", "    ", "G   "], ["   S", "   o", "   o", "Gooo"]),
        ("down before right", ["S   ", "    ", "    ", "   G"], ["S   ", "o   ", "o   ", "oooG"]),
        ("down before up", ["    ", "    ", "S##G", "    "], ["    ", "    ", "S##G", "oooo"]),
        ("left before right", [" S# ", " #  ", "  # ", "#G  "], ["oS# ", "o#  ", "oo# ", "#G  "]),
        ("left before up", ["G   ", "    ", "    ", "   S"], ["G   ", "o   ", "o   ", "oooS"]),
        ("right before up", ["   G", "    ", "    ", "S   "], ["   G", "   o", "   o", "Sooo"]),
        // From the goal on, the same order would go right and take the other way.
        ("from the start on", ["# S ", "  # ", "    ", "##G "], ["#oS ", " o# ", " oo ", "##G "]),
    ];
    for (tie, question, answer) in cases {
        let maze = Maze::parse(&question.concat()).expect(tie);
        assert_eq!(label(&maze), answer.concat(), "{tie}");
    }
}

#[test]
fn moves_towards_the_goal_are_those_that_shorten_the_way() {
    let maze = Maze::parse("S G   ## ").expect("a maze");
    let moves = maze.shortest_moves();
    let text = |cell: usize| "DLRU".chars().zip(moves[cell]).filter_map(|(name, leads)| leads.then_some(name));
    let found: Vec<String> = (0..9).map(|cell| text(cell).collect()).collect();
    assert_eq!(found, ["R", "R", "", "RU", "RU", "U", "", "", "U"]);
    for solved in drawn(13, 4) {
        let (moves, path) = (solved.maze.shortest_moves(), &solved.path);
        for pair in path.windows(2) {
            let first = moves[pair[0]].iter().position(|&leads| leads).expect("a move");
            let cell = pair[0];
            assert_eq!([cell + 13, cell.wrapping_sub(1), cell + 1, cell.wrapping_sub(13)][first], pair[1]);
        }
    }
}

/// Mazes of 6×6 are small enough to list all shortest paths and take the first in the order of the rule.
#[test]
fn labels_come_first_among_all_shortest_paths() {
    for solved in drawn(6, 12) {
        let mut paths = Vec::new();
        list_paths(&solved.maze, &mut vec![solved.maze.start()], &mut paths);
        let first = paths.iter().min_by_key(|path| directions(path, 6)).expect("a path");
        assert_eq!(&solved.path, first, "{}", solved.maze.to_grid());
    }
}

/// Larger mazes: each step is the first direction whose cell's distances from both ends add up to the path's length.
#[test]
fn labels_take_the_first_direction_on_a_shortest_path() {
    for side in [13, 30] {
        for SolvedMaze { maze, path } in drawn(side, 4) {
            assert_eq!(label(&maze), label_by_sums(&maze));
            assert_eq!(maze.shortest_path(), Ok(path));
        }
    }
}

#[test]
fn labels_are_those_of_maze_hard() {
    let Some(list) = std::env::var_os(MAZE_HARD) else {
        not_run("labels of Maze-Hard", "set MAZE_HARD_TRAIN to a copy of its train.csv or test.csv");
        return;
    };
    let rows: Vec<_> = PuzzleCsv::open(Path::new(&list)).expect("a list").map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 1_000);
    for row in rows {
        let maze = Maze::parse(&row.question).expect("a maze");
        assert_eq!(label(&maze), row.answer, "line {}", row.line);
        assert_eq!(maze.path_length(), Some(row.rating as usize - 2), "the rating counts start and goal");
    }
}

/// `count` mazes of each style, with several shortest paths where the style has such mazes.
fn drawn(side: usize, count: u64) -> impl Iterator<Item = SolvedMaze> {
    let shape = MazeShape::from_side(side).expect("a side");
    MazeStyle::ALL.into_iter().flat_map(move |style| {
        let shortest_paths = if style == MazeStyle::Perfect { ShortestPaths::Unique } else { ShortestPaths::Several };
        let request = MazeRequest { shortest_paths, ..MazeRequest::of_style(shape, Some(style)) };
        (0..count).map(move |index| generate(&request, 3, index).expect("a maze"))
    })
}

/// Appends every shortest path that begins with `path`.
fn list_paths(maze: &Maze, path: &mut Vec<usize>, paths: &mut Vec<Vec<usize>>) {
    let last = path[path.len() - 1];
    if last == maze.goal() {
        return paths.push(path.clone());
    }
    let to_goal = maze.distances(maze.goal());
    for next in maze.shape().neighbours(last).filter(|&next| to_goal[next] < to_goal[last]) {
        path.push(next);
        list_paths(maze, path, paths);
        path.pop();
    }
}

/// The steps of a path as their ranks in the rule: down 0, left 1, right 2, up 3.
fn directions(path: &[usize], side: usize) -> Vec<usize> {
    let moves = path.windows(2).map(|pair| pair[1] as isize - pair[0] as isize);
    let side = side as isize;
    moves.map(|step| [side, -1, 1, -side].iter().position(|&rank| rank == step).expect("a step")).collect()
}

fn label_by_sums(maze: &Maze) -> String {
    let (from_start, to_goal) = (maze.distances(maze.start()), maze.distances(maze.goal()));
    let side = maze.shape().side();
    let moves = to_goal[maze.start()];
    let mut path = vec![maze.start()];
    for step in 1..=moves {
        let (row, column) = maze.shape().place_of(path[path.len() - 1]);
        let places =
            [(row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1), (row.wrapping_sub(1), column)];
        let cells =
            places.into_iter().filter(|place| place.0 < side && place.1 < side).map(|place| place.0 * side + place.1);
        let on_path = |cell: &usize| from_start[*cell] == step && to_goal[*cell] == moves - step;
        path.push(cells.into_iter().find(on_path).expect("a shortest path goes on"));
    }
    text(&maze.marked(&path))
}
