//! Ratings of 9×9 puzzles, searches for rare ones, and the form by which symmetric copies are recognised.

use std::collections::HashSet;

use datasets::sudoku::{
    Board, FEW_CLUES, HARD_GUESSES, LogicLevel, PoolDomain, PoolKind, Puzzle, SudokuError, SudokuRng, SudokuShape,
    Symmetry, canonical_form, hardness, is_minimal, minimal_puzzle, search_chain, solve,
};

fn minimal_puzzles(seed: u64, count: usize) -> Vec<Puzzle> {
    let mut rng = SudokuRng::from_seed(seed);
    (0..count).map(|_| minimal_puzzle(SudokuShape::NINE, &mut rng).expect("a 9x9 board")).collect()
}

fn copy(puzzle: &Puzzle, rng: &mut SudokuRng) -> Puzzle {
    let symmetry = Symmetry::random(SudokuShape::NINE, rng);
    Puzzle {
        puzzle: symmetry.apply(&puzzle.puzzle).expect("a 9x9 board"),
        solution: symmetry.apply(&puzzle.solution).expect("a 9x9 board"),
    }
}

/// Every clue revealed can only make a puzzle easier, level by level; guesses are 0 exactly where propagation suffices.
#[test]
fn levels_fall_as_clues_are_revealed() {
    let mut rng = SudokuRng::from_seed(31);
    let mut levels = HashSet::new();
    for drawn in minimal_puzzles(30, 60) {
        let mut board = drawn.puzzle.clone();
        let mut before = hardness(&board).unwrap();
        levels.insert(before.level);
        let mut blanks: Vec<usize> = (0..81).filter(|&cell| board.cells()[cell] == 0).collect();
        rng.shuffle(&mut blanks);
        for some in blanks.chunks(8) {
            let mut cells = board.cells().to_vec();
            for &cell in some {
                cells[cell] = drawn.solution.cells()[cell];
            }
            board = Board::from_cells(SudokuShape::NINE, cells).unwrap();
            let after = hardness(&board).unwrap();
            assert!(after.level <= before.level, "{board}: {:?} after {:?}", after.level, before.level);
            assert_eq!(after.level == LogicLevel::Singles, solve(&board).guesses == 0);
            assert!(after.level < LogicLevel::Refutation || after.guesses >= 1.0, "{board} needs a guess");
            before = after;
        }
        assert_eq!(before.level, LogicLevel::Singles);
        assert!(before.guesses.abs() < f64::EPSILON);
    }
    assert!(levels.len() >= 3, "sixty minimal puzzles have several levels, found {levels:?}");
}

/// Levels are properties of the puzzle, not of its arrangement; the mean of guesses nearly is.
#[test]
fn symmetric_copies_are_rated_alike() {
    let mut rng = SudokuRng::from_seed(32);
    let (mut sum, mut copies_sum) = (0.0, 0.0);
    for drawn in minimal_puzzles(33, 80) {
        let rated = hardness(&drawn.puzzle).unwrap();
        assert_eq!(rated, hardness(&drawn.puzzle).unwrap());
        for _ in 0..4 {
            let copied = hardness(&copy(&drawn, &mut rng).puzzle).unwrap();
            assert_eq!(copied.level, rated.level, "{}", drawn.puzzle);
            sum += rated.guesses / 4.0;
            copies_sum += copied.guesses / 4.0;
        }
    }
    assert!(sum > 20.0 && (sum - copies_sum).abs() < 0.1 * sum, "{sum} guesses, of copies {copies_sum}");
}

#[test]
fn only_proper_9x9_puzzles_are_rated() {
    let error = hardness(&Board::empty(SudokuShape::NINE)).unwrap_err();
    assert_eq!(error, SudokuError::NotProper { several: true });
    let twice = Board::parse(&format!("11{}", ".".repeat(79))).unwrap();
    assert_eq!(hardness(&twice).unwrap_err(), SudokuError::NotProper { several: false });
    let four = Board::empty(SudokuShape::FOUR);
    assert_eq!(hardness(&four).unwrap_err(), SudokuError::WrongShape { expected: 9, found: 4 });
}

#[test]
fn canonical_forms_are_equal_for_copies_and_only_for_them() {
    let mut rng = SudokuRng::from_seed(34);
    let mut forms = HashSet::new();
    for drawn in minimal_puzzles(35, 12) {
        let form = canonical_form(&drawn).unwrap();
        for _ in 0..3 {
            assert_eq!(canonical_form(&copy(&drawn, &mut rng)).unwrap(), form);
        }
        assert_eq!(form.grid[..9], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(form.givens.count_ones() as usize, drawn.puzzle.givens());
        // The form is itself an arrangement of the puzzle.
        let solution = Board::from_cells(SudokuShape::NINE, form.grid.to_vec()).unwrap();
        assert!(solution.is_valid() && solution.is_complete());
        let cells = (0..81).map(|cell| if form.givens >> cell & 1 == 1 { form.grid[cell] } else { 0 }).collect();
        let arranged = Board::from_cells(SudokuShape::NINE, cells).unwrap();
        assert_eq!(solve(&arranged).unique(), Some(&solution));
        // Another puzzle with the same solution shares the grid and nothing else.
        let mut cells = drawn.puzzle.cells().to_vec();
        let blank = cells.iter().position(|&digit| digit == 0).unwrap();
        cells[blank] = drawn.solution.cells()[blank];
        let eased =
            Puzzle { puzzle: Board::from_cells(SudokuShape::NINE, cells).unwrap(), solution: drawn.solution.clone() };
        let eased = canonical_form(&eased).unwrap();
        assert!(eased.grid == form.grid && eased.givens != form.givens);
        assert!(forms.insert(form));
    }
}

/// The grid whose rows are shifts of one another has many symmetries onto itself; each must give the same form.
#[test]
fn canonical_forms_see_through_symmetric_grids() {
    let solution: Vec<u8> = (0..81).map(|cell| ((cell / 9 % 3 * 3 + cell / 27 + cell % 9) % 9) as u8 + 1).collect();
    let solution = Board::from_cells(SudokuShape::NINE, solution).unwrap();
    assert!(solution.is_valid() && solution.is_complete());
    let mut rng = SudokuRng::from_seed(36);
    let mut cells = solution.cells().to_vec();
    (0..81).filter(|_| rng.below(3) == 0).for_each(|cell| cells[cell] = 0);
    let puzzle = Puzzle { puzzle: Board::from_cells(SudokuShape::NINE, cells).unwrap(), solution };
    let form = canonical_form(&puzzle).unwrap();
    for _ in 0..20 {
        assert_eq!(canonical_form(&copy(&puzzle, &mut rng)).unwrap(), form);
    }
}

/// One chain of the cheapest kind: what it finds is proper, minimal, of its kind, and the same every time; chains of
/// other numbers, seeds and domains share nothing with it.
#[test]
fn chains_find_puzzles_of_their_kind_and_never_each_others() {
    let chain = |domain, seed, index| search_chain(PoolKind::Hard, domain, 500, seed, index).unwrap();
    let found = chain(PoolDomain::Training, 1, 0);
    assert!(!found.is_empty());
    for rare in &found {
        assert!(is_minimal(&rare.puzzle.puzzle), "{}", rare.puzzle.puzzle);
        assert_eq!(solve(&rare.puzzle.puzzle).unique(), Some(&rare.puzzle.solution));
        assert_eq!(hardness(&rare.puzzle.puzzle).unwrap(), rare.hardness);
        assert!(rare.hardness.level == LogicLevel::Refutation && rare.hardness.guesses >= HARD_GUESSES);
    }
    assert_eq!(chain(PoolDomain::Training, 1, 0), found);
    let grids = |chain: &[datasets::sudoku::RarePuzzle]| -> HashSet<[u8; 81]> {
        chain.iter().map(|rare| canonical_form(&rare.puzzle).unwrap().grid).collect()
    };
    let own = grids(&found);
    for other in [chain(PoolDomain::HeldOut, 1, 0), chain(PoolDomain::Training, 1, 1)] {
        assert!(own.is_disjoint(&grids(&other)));
    }
}

#[test]
fn kinds_have_names_and_bounds() {
    for kind in PoolKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    assert!("harder".parse::<PoolKind>().unwrap_err().to_string().contains("few-clues, hard or hardest"));
    let rated = |level, guesses| datasets::sudoku::Hardness { level, guesses };
    assert!(PoolKind::FewClues.admits(FEW_CLUES, &rated(LogicLevel::Singles, 0.0)));
    assert!(!PoolKind::FewClues.admits(FEW_CLUES + 1, &rated(LogicLevel::Nested, 90.0)));
    assert!(!PoolKind::Hard.admits(24, &rated(LogicLevel::Pairs, 90.0)));
    assert!(!PoolKind::Hard.admits(24, &rated(LogicLevel::Refutation, HARD_GUESSES - 0.1)));
    assert!(PoolKind::Hardest.admits(24, &rated(LogicLevel::Nested, 5.0)));
}
