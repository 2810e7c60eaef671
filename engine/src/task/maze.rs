//! Mazes as the engine sees them: a prediction is right when it marks a shortest path, whichever of them.

use datasets::Task;
use datasets::maze::{Maze, MazeShape};

use crate::{Rules, SymmetricCopy};

/// The rules of square mazes of one side.
#[derive(Debug, Clone, Copy)]
pub struct MazeRules(pub MazeShape);

impl Rules for MazeRules {
    fn obeyed(&self, inputs: &[i64], answer: &[i64]) -> bool {
        maze_from_tokens(inputs).is_some_and(|maze| {
            let answer: Vec<i32> = answer.iter().map(|&token| token as i32).collect();
            maze.check_path(&answer).ok().is_some_and(|marked| Some(marked) == maze.path_length())
        })
    }

    fn has_symmetries(&self) -> bool {
        true
    }

    /// The seven other rotations and reflections, in turns: noise has to tell the copies beyond them apart.
    fn copy(&self, inputs: &[i64], seed: u64, index: u64) -> Option<SymmetricCopy> {
        SymmetricCopy::of(Task::Maze(self.0), inputs, seed, index)
    }
}

/// The maze that `[cells]` tokens show; `None` when they show none.
pub fn maze_from_tokens(tokens: &[i64]) -> Option<Maze> {
    let tokens: Option<Vec<i32>> = tokens.iter().map(|&token| i32::try_from(token).ok()).collect();
    Maze::from_tokens(&tokens?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAZE: &str = "S..\n#..\n#G.\n";

    fn tokens(text: &str) -> Vec<i64> {
        let (_, cells) = datasets::maze::parse_cells(text).unwrap();
        cells.iter().map(|cell| i64::from(cell.token())).collect()
    }

    #[test]
    fn only_a_shortest_path_obeys() {
        let rules = MazeRules(MazeShape::from_side(3).unwrap());
        let maze = tokens(MAZE);
        assert!(rules.obeyed(&maze, &tokens("So.\n#o.\n#G.")));
        assert!(!rules.obeyed(&maze, &maze), "no path at all");
        assert!(!rules.obeyed(&maze, &tokens("Soo\n#oo\n#Go\n")), "marks that are not a path");
        assert!(!rules.obeyed(&maze, &tokens("Soo\n#.o\n#Go\n")), "a detour");
        assert!(!rules.obeyed(&maze, &[i64::MAX; 9]) && !rules.obeyed(&[7; 9], &maze));
    }

    #[test]
    fn the_seven_copies_of_a_seed_are_the_other_symmetries_and_are_undone() {
        let rules = MazeRules(MazeShape::from_side(3).unwrap());
        let (maze, answer) = (tokens(MAZE), tokens("So.\n#o.\n#G."));
        for seed in [0, 1, u64::MAX] {
            let copies: Vec<_> = (1..=7).map(|index| rules.copy(&maze, seed, index).unwrap()).collect();
            for (index, copy) in copies.iter().enumerate() {
                assert!(copy.tokens != maze && copies[..index].iter().all(|other| other.tokens != copy.tokens));
                assert_eq!((copy.undo)(&copy.tokens), maze);
                let solved = maze_from_tokens(&copy.tokens).unwrap();
                let marked: Vec<i64> =
                    solved.marked(&solved.shortest_path().unwrap()).iter().map(|c| i64::from(c.token())).collect();
                assert!(rules.obeyed(&maze, &(copy.undo)(&marked)), "{answer:?}");
            }
        }
    }
}
