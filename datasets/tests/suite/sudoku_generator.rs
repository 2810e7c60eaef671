//! Generated puzzles keep their promises: one solution, nothing to spare, the difficulty asked for, always the same.

use std::collections::HashSet;

use datasets::sudoku::{
    Board, GeneratorOptions, PuzzleRequest, SudokuError, SudokuRng, SudokuShape, Symmetry, Verdict, generate, held_out,
    is_minimal, solve,
};

#[test]
fn minimal_puzzles_of_every_shape_lose_uniqueness_with_any_given() {
    for (shape, count) in
        [(SudokuShape::FOUR, 200), (SudokuShape::SIX, 100), (SudokuShape::NINE, 100), (SudokuShape::SIXTEEN, 2)]
    {
        for index in 0..count {
            let drawn = generate(&PuzzleRequest::minimal(shape), 11, index).unwrap();
            assert!(drawn.solution.is_solution_of(&drawn.puzzle));
            assert_eq!(solve(&drawn.puzzle).unique(), Some(&drawn.solution), "{}", drawn.puzzle);
            assert!(is_minimal(&drawn.puzzle), "{}", drawn.puzzle);
        }
    }
}

#[test]
fn is_minimal_notices_a_spare_given_and_a_missing_one() {
    let drawn = generate(&PuzzleRequest::minimal(SudokuShape::NINE), 12, 0).unwrap();
    let mut cells = drawn.puzzle.cells().to_vec();
    let blank = cells.iter().position(|&value| value == 0).unwrap();
    cells[blank] = drawn.solution.cells()[blank];
    assert!(!is_minimal(&Board::from_cells(SudokuShape::NINE, cells.clone()).unwrap()));
    cells[blank] = 0;
    let given = cells.iter().position(|&value| value != 0).unwrap();
    cells[given] = 0;
    let short = Board::from_cells(SudokuShape::NINE, cells).unwrap();
    assert_eq!(solve(&short).verdict, Verdict::Multiple);
    assert!(!is_minimal(&short));
}

#[test]
fn grids_are_not_symmetric_copies_of_one_another() {
    // Under any symmetry the multiset of two-digit component sizes of a grid stays the same; different multisets
    // are grids that no symmetry connects.
    let classes: HashSet<Vec<usize>> = (0..200)
        .map(|index| invariant(&generate(&PuzzleRequest::minimal(SudokuShape::NINE), 13, index).unwrap().solution))
        .collect();
    assert!(classes.len() > 150, "only {} classes in 200 grids", classes.len());
    let grid = generate(&PuzzleRequest::minimal(SudokuShape::NINE), 13, 0).unwrap().solution;
    let copy = Symmetry::random(SudokuShape::NINE, &mut SudokuRng::from_seed(1)).apply(&grid).unwrap();
    assert_eq!(invariant(&grid), invariant(&copy));
}

/// For each pair of rows or columns of a band, and each pair of digits, how the digits are arranged; sorted.
fn invariant(grid: &Board) -> Vec<usize> {
    let value = |row: usize, col: usize| grid.cells()[row * 9 + col];
    let cycles = |line: &dyn Fn(usize) -> (u8, u8)| {
        let mut image = [0_u8; 10];
        (0..9).for_each(|place| image[usize::from(line(place).0)] = line(place).1);
        let mut lengths = Vec::new();
        let mut seen = [false; 10];
        for start in 1..10_u8 {
            let (mut digit, mut length) = (start, 0);
            while !seen[usize::from(digit)] {
                seen[usize::from(digit)] = true;
                digit = image[usize::from(digit)];
                length += 1;
            }
            lengths.extend((length > 0).then_some(length));
        }
        lengths.sort_unstable();
        lengths.iter().fold(0, |code, length| code * 10 + length)
    };
    let mut codes = Vec::new();
    for first in 0..9 {
        for second in first + 1..9 {
            codes.push(cycles(&|place| (value(first, place), value(second, place))));
            codes.push(cycles(&|place| (value(place, first), value(place, second))));
        }
    }
    codes.sort_unstable();
    codes
}

#[test]
fn requests_for_givens_and_guesses_are_met_exactly() {
    for givens in [24, 30, 45, 80, 81] {
        let request = PuzzleRequest { givens: Some(givens), ..PuzzleRequest::minimal(SudokuShape::NINE) };
        let drawn = generate(&request, 14, 0).unwrap();
        assert_eq!(drawn.puzzle.givens(), givens);
        assert_eq!(solve(&drawn.puzzle).unique(), Some(&drawn.solution));
    }
    let request = PuzzleRequest { min_guesses: 8, ..PuzzleRequest::minimal(SudokuShape::NINE) };
    for index in 0..5 {
        assert!(solve(&generate(&request, 14, index).unwrap().puzzle).guesses >= 8);
    }
    let request = PuzzleRequest { min_guesses: 1, givens: Some(26), ..request };
    let puzzle = generate(&request, 14, 0).unwrap().puzzle;
    assert!(puzzle.givens() == 26 && solve(&puzzle).guesses >= 1);
}

#[test]
fn impossible_requests_end_in_errors() {
    let minimal = PuzzleRequest::minimal(SudokuShape::NINE);
    let error = generate(&PuzzleRequest { givens: Some(82), ..minimal.clone() }, 0, 0).unwrap_err();
    assert!(error.to_string().contains("at most the board's 81 cells"), "{error}");
    let error = generate(&PuzzleRequest { givens: Some(10), max_attempts: 20, ..minimal }, 0, 0).unwrap_err();
    assert!(matches!(error, SudokuError::NotFound { attempts: 20, .. }), "{error}");
    assert!(error.to_string().contains("exactly 10 givens"), "{error}");
}

#[test]
fn symmetries_keep_rules_solutions_and_minimality_and_can_be_undone() {
    let mut rng = SudokuRng::from_seed(15);
    for shape in [SudokuShape::FOUR, SudokuShape::SIX, SudokuShape::NINE] {
        for index in 0..50 {
            let drawn = generate(&PuzzleRequest::minimal(shape), 15, index).unwrap();
            let symmetry = Symmetry::random(shape, &mut rng);
            let (puzzle, solution) = (symmetry.apply(&drawn.puzzle).unwrap(), symmetry.apply(&drawn.solution).unwrap());
            assert_eq!(solve(&puzzle).unique(), Some(&solution));
            assert!(is_minimal(&puzzle));
            assert_eq!(symmetry.inverse().apply(&puzzle).unwrap(), drawn.puzzle);
            assert_eq!(symmetry.inverse().apply(&solution).unwrap(), drawn.solution);
            assert_eq!(symmetry.inverse().inverse(), symmetry);
            assert_eq!(Symmetry::identity(shape).apply(&puzzle).unwrap(), puzzle);
        }
    }
    let error = Symmetry::identity(SudokuShape::FOUR).apply(&Board::empty(SudokuShape::NINE)).unwrap_err();
    assert_eq!(error, SudokuError::WrongShape { expected: 4, found: 9 });
}

#[test]
fn symmetries_reach_every_kind_of_arrangement() {
    // One given in the first cell is carried to every cell, with every digit.
    let mut rng = SudokuRng::from_seed(16);
    for shape in SudokuShape::ALL {
        let mut cells = vec![0; shape.cells()];
        cells[0] = 1;
        let board = Board::from_cells(shape, cells).unwrap();
        let seen: HashSet<(usize, u8)> = (0..shape.cells() * shape.size() * 16)
            .map(|_| {
                let image = Symmetry::random(shape, &mut rng).apply(&board).unwrap();
                image.cells().iter().copied().enumerate().find(|&(_, value)| value != 0).unwrap()
            })
            .collect();
        assert_eq!(seen.len(), shape.cells() * shape.size(), "{shape:?}");
    }
    // Transposition: three givens down a column come to lie along a row, on square boxes only.
    for (shape, transposes) in [(SudokuShape::NINE, true), (SudokuShape::SIX, false)] {
        let mut cells = vec![0; shape.cells()];
        (0..3).for_each(|row| cells[row * shape.size()] = 1 + row as u8);
        let board = Board::from_cells(shape, cells).unwrap();
        let along_a_row = (0..100).any(|_| {
            let image = Symmetry::random(shape, &mut rng).apply(&board).unwrap();
            image.to_rows().iter().any(|row| row.iter().filter(|&&value| value != 0).count() == 3)
        });
        assert_eq!(along_a_row, transposes);
    }
}

#[test]
fn held_out_puzzles_are_rated_minimal_and_independent_of_their_number() {
    let options = GeneratorOptions { seed: 1, ..GeneratorOptions::default() };
    let puzzles = held_out(&options, 40).unwrap();
    assert_eq!(held_out(&options, 10).unwrap(), puzzles[..10]);
    for held in &puzzles {
        let solutions = solve(&held.puzzle);
        assert_eq!(solutions.unique(), Some(&held.solution));
        assert_eq!((held.guesses, held.givens), (solutions.guesses, held.puzzle.givens()));
        assert!(is_minimal(&held.puzzle));
    }
    // The same stream with ten clues more each.
    let eased = held_out(&GeneratorOptions { extra_clues: (10, 10), ..options }, 40).unwrap();
    for (minimal, eased) in puzzles.iter().zip(&eased) {
        assert_eq!(eased.givens, minimal.givens + 10);
        assert!(eased.puzzle.agrees_with(&minimal.puzzle));
        assert_eq!(eased.solution, minimal.solution);
    }
    assert!(eased.iter().map(|held| held.guesses).sum::<u32>() < puzzles.iter().map(|held| held.guesses).sum());
}
