//! Puzzles with a number of givens within bounds, on every board, and sources of several sizes side by side.

use datasets::TrainingSource;
use datasets::sudoku::{
    Board, GeneratedSource, GeneratorOptions, PuzzleRequest, SudokuShape, generate, held_out, solve,
};

/// Boards with bounds between which random puzzles of theirs are seldom minimal.
const CASES: [(usize, (usize, usize), usize); 4] =
    [(4, (6, 9), 40), (6, (12, 20), 40), (9, (28, 40), 40), (16, (100, 130), 12)];

fn options(size: usize, givens: (usize, usize)) -> GeneratorOptions {
    GeneratorOptions { size, seed: 6, givens: Some(givens), ..GeneratorOptions::default() }
}

fn boards(tokens: &[i32], seq_len: usize) -> Vec<Board> {
    tokens.chunks(seq_len).map(|row| Board::from_tokens(row).expect("a board")).collect()
}

#[test]
fn training_puzzles_have_givens_within_bounds_and_one_solution() {
    for (size, (least, most), count) in CASES {
        let mut source = GeneratedSource::new(options(size, (least, most)), 0, 1).unwrap();
        let batch = source.next_batch(&vec![true; count]).unwrap();
        let (puzzles, solutions) = (boards(&batch.inputs, batch.seq_len), boards(&batch.labels, batch.seq_len));
        let mut givens: Vec<usize> = puzzles.iter().map(Board::givens).collect();
        for (puzzle, solution) in puzzles.iter().zip(&solutions) {
            assert_eq!(solve(puzzle).unique(), Some(solution), "{puzzle}");
        }
        givens.sort_unstable();
        assert!(givens[0] >= least && givens[count - 1] <= most, "{size}: {givens:?}");
        givens.dedup();
        assert!(givens.len() > (most - least) / 4, "{size}: {givens:?}");
    }
}

#[test]
fn held_out_puzzles_have_them_too_and_extra_clues_come_on_top() {
    for (size, bounds, _) in CASES {
        let plain = held_out(&options(size, bounds), 6).unwrap();
        let eased = held_out(&GeneratorOptions { extra_clues: (2, 2), ..options(size, bounds) }, 6).unwrap();
        for (plain, eased) in plain.iter().zip(&eased) {
            assert!((bounds.0..=bounds.1).contains(&plain.givens), "{size}: {}", plain.givens);
            assert_eq!((eased.givens, &eased.solution), (plain.givens + 2, &plain.solution));
        }
    }
}

/// Sources that a run on boards of mixed sizes holds: one seed, one set of options.
#[test]
fn one_set_of_options_serves_all_sizes() {
    for size in [4, 6, 9, 16] {
        let options = GeneratorOptions { size, seed: 9, extra_clues: (0, 12), ..GeneratorOptions::default() };
        let mut source = GeneratedSource::new(options, 0, 1).unwrap();
        let batch = source.next_batch(&[true; 2]).unwrap();
        assert_eq!(batch.seq_len, size * size);
        assert_ne!(batch.inputs[..batch.seq_len], batch.inputs[batch.seq_len..], "{size}");
    }
}

/// A request for few givens takes grids until one can be reduced so far.
#[test]
fn requests_count_givens_exactly_on_large_boards() {
    for givens in [110, 180, 256] {
        let request = PuzzleRequest { givens: Some(givens), ..PuzzleRequest::minimal(SudokuShape::SIXTEEN) };
        let drawn = generate(&request, 3, 0).unwrap();
        assert_eq!((drawn.puzzle.givens(), solve(&drawn.puzzle).unique()), (givens, Some(&drawn.solution)));
    }
}

#[test]
fn bounds_are_checked_and_read_from_config_files() {
    let parsed: GeneratorOptions = serde_json::from_str(r#"{"size": 16, "givens": [100, 130]}"#).unwrap();
    assert_eq!(parsed, GeneratorOptions { size: 16, givens: Some((100, 130)), ..GeneratorOptions::default() });
    assert_eq!(serde_json::to_value(GeneratorOptions::default()).unwrap()["givens"], serde_json::Value::Null);
    for wrong in [(30, 28), (20, 82)] {
        let error = options(9, wrong).validate().unwrap_err().to_string();
        assert!(error.starts_with("givens: expected two numbers (least, greatest)"), "{error}");
    }
    let error = held_out(&options(9, (12, 12)), 1).unwrap_err().to_string();
    assert!(error.contains("12 givens and one solution") && error.contains("ask for more givens"), "{error}");
}

#[test]
fn the_stream_never_changes() {
    let puzzle = held_out(&options(6, (12, 20)), 1).unwrap()[0].puzzle.to_string();
    assert_eq!(puzzle, ".52...........16.55...3.41.35.3.5...");
}
