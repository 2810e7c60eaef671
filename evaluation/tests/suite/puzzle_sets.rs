//! Evaluation puzzles from the reference's data set and the list that it was built from: the same ones.

use std::path::{Path, PathBuf};

use datasets::sudoku::SudokuShape;
use evaluation::puzzle_set::{from_csv, from_dataset, generated};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(path)
}

#[test]
fn a_data_set_and_its_source_hold_the_same_puzzles() {
    let nine = SudokuShape::NINE;
    let built = from_dataset(nine, &fixture("sudoku_plain"), usize::MAX).unwrap();
    let list = from_csv(nine, &fixture("sources/sudoku/test.csv"), "list", usize::MAX).unwrap();
    assert_eq!(built.puzzles.len(), 10);
    assert_eq!(built.puzzles, list.puzzles);
    for puzzle in &built.puzzles {
        assert!(puzzle.solution.is_solution_of(&puzzle.puzzle));
    }
    let three = from_dataset(nine, &fixture("sudoku_plain"), 3).unwrap();
    assert_eq!(three.puzzles, built.puzzles[..3]);
    assert_eq!(from_csv(nine, &fixture("sources/sudoku/test.csv"), "list", 3).unwrap().puzzles, three.puzzles);
}

#[test]
fn boards_of_another_size_are_refused() {
    let error = from_dataset(SudokuShape::FOUR, &fixture("sudoku_plain"), 5).unwrap_err().to_string();
    assert!(error.contains("sudoku_plain: expected 4x4 boards, found 9x9; choose the model with --size 9"), "{error}");
    let error = from_csv(SudokuShape::FOUR, &fixture("sources/sudoku/test.csv"), "list", 5).unwrap_err().to_string();
    assert!(error.contains("test.csv, line 2: expected a 4x4 board"), "{error}");
}

#[test]
fn generated_sets_are_reproducible_and_extra_clues_make_them_easier() {
    let nine = SudokuShape::NINE;
    let minimal = generated(nine, 0, 0, 20).unwrap();
    assert_eq!(minimal.puzzles, generated(nine, 0, 0, 20).unwrap().puzzles);
    assert_ne!(minimal.puzzles, generated(nine, 1, 0, 20).unwrap().puzzles);
    let eased = generated(nine, 0, 25, 20).unwrap();
    let mean_givens = |set: &evaluation::puzzle_set::PuzzleSet| {
        set.puzzles.iter().map(|puzzle| puzzle.puzzle.givens()).sum::<usize>() as f64 / 20.0
    };
    assert!((mean_givens(&eased) - mean_givens(&minimal) - 25.0).abs() < 2.0);
    assert!(generated(nine, 0, 500, 1).is_err());
}
