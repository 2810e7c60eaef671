//! Evaluation puzzles from the reference's data set and the list that it was built from: the same ones.

use std::path::{Path, PathBuf};

use datasets::sudoku::SudokuShape;
use engine::task::Task;
use evaluation::{BoardPuzzle, Entry, EvaluationError, PuzzleSource};

const NINE: Task = Task::Sudoku(SudokuShape::NINE);
const FOUR: Task = Task::Sudoku(SudokuShape::FOUR);

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/datasets").join(path)
}

fn read(source: &PuzzleSource) -> Result<Vec<BoardPuzzle>, EvaluationError> {
    let puzzles = source.drafts()?.map(|draft| {
        Ok(match source.read(draft?)? {
            Entry::Puzzle(puzzle) => puzzle,
            Entry::Skipped(skipped) => panic!("{skipped:?}"),
        })
    });
    puzzles.collect()
}

#[test]
fn a_data_set_and_its_source_hold_the_same_puzzles() {
    let folder = |limit| read(&PuzzleSource::folder(NINE, &fixture("sudoku_plain"), limit).unwrap()).unwrap();
    let list =
        |limit| read(&PuzzleSource::list(NINE, &fixture("sources/sudoku/test.csv"), "list", limit).unwrap()).unwrap();
    let built = folder(u64::MAX);
    assert_eq!(built.len(), 10);
    assert_eq!(built, list(u64::MAX));
    let rules = engine::task::SudokuRules { shape: SudokuShape::NINE, is_equivariant: false };
    for puzzle in &built {
        assert!(engine::Rules::obeyed(&rules, &puzzle.tokens, &puzzle.label));
    }
    assert_eq!(folder(3), built[..3]);
    assert_eq!(list(3), built[..3]);
}

#[test]
fn boards_of_another_size_are_refused() {
    let error = PuzzleSource::folder(FOUR, &fixture("sudoku_plain"), 5).unwrap_err().to_string();
    let says = "sudoku_plain: expected puzzles of task `sudoku-4x4`, as the model solves, found sudoku";
    assert!(error.contains(says), "{error}");
    let list = PuzzleSource::list(FOUR, &fixture("sources/sudoku/test.csv"), "list", 5).unwrap();
    let error = read(&list).unwrap_err().to_string();
    assert!(error.contains("test.csv: line 2: expected a puzzle of task `sudoku-4x4`"), "{error}");
}

#[test]
fn generated_sets_are_reproducible_and_extra_clues_make_them_easier() {
    let generated = |seed, extra_clues| {
        let source = PuzzleSource::generated(NINE, seed, extra_clues, 20);
        source.and_then(|source| read(&source))
    };
    let minimal = generated(0, 0).unwrap();
    assert_eq!(minimal, generated(0, 0).unwrap());
    assert_ne!(minimal, generated(1, 0).unwrap());
    let eased = generated(0, 25).unwrap();
    let mean_givens = |set: &[BoardPuzzle]| set.iter().filter_map(|puzzle| puzzle.givens).sum::<u64>() as f64 / 20.0;
    assert!((mean_givens(&eased) - mean_givens(&minimal) - 25.0).abs() < 2.0);
    assert!(generated(0, 500).is_err());
}
