//! The solver against published puzzles, an independent count by brute force, and boards made to exhaust it.

use datasets::sudoku::{
    Board, DEFAULT_GUESS_BUDGET, PuzzleRequest, SudokuRng, SudokuShape, Verdict, generate, solve, solve_with_budget,
};

/// Published puzzles with their published solutions: Wikipedia's example, a 17-clue puzzle, Arto Inkala's 2012
/// puzzle, AI Escargot, Golden Nugget, Easter Monster.
const PUBLISHED: [(&str, &str); 6] = [
    (
        "530070000600195000098000060800060003400803001700020006060000280000419005000080079",
        "534678912672195348198342567859761423426853791713924856961537284287419635345286179",
    ),
    (
        "000000010400000000020000000000050407008000300001090000300400200050100000000806000",
        "693784512487512936125963874932651487568247391741398625319475268856129743274836159",
    ),
    (
        "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
        "812753649943682175675491283154237896369845721287169534521974368438526917796318452",
    ),
    (
        "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..",
        "162857493534129678789643521475312986913586742628794135356478219241935867897261354",
    ),
    (
        ".......39.....1..5..3.5.8....8.9...6.7...2...1..4.......9.8..5..2....6..4..7.....",
        "751846239892371465643259871238197546974562318165438927319684752527913684486725193",
    ),
    (
        "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1",
        "174385962293467158586192734451923876928674315367851249719548623635219487842736591",
    ),
];

#[test]
fn published_puzzles_have_their_published_solutions_and_no_other() {
    for (puzzle, solution) in PUBLISHED {
        let puzzle = Board::parse(puzzle).unwrap();
        let solutions = solve(&puzzle);
        assert_eq!(solutions.verdict, Verdict::Unique, "{puzzle}");
        assert_eq!(solutions.unique().unwrap().to_string(), solution);
        assert!(solutions.unique().unwrap().is_solution_of(&puzzle));
    }
}

#[test]
fn the_rating_counts_guesses_and_orders_easy_before_hard() {
    let ratings = PUBLISHED.map(|(puzzle, _)| solve(&Board::parse(puzzle).unwrap()).guesses);
    assert_eq!(ratings[..2], [0, 0], "singles alone solve the newspaper puzzle and this 17-clue puzzle");
    assert!(ratings[2..].iter().all(|&guesses| guesses > 10), "{ratings:?}");
    let complete = Board::parse(PUBLISHED[0].1).unwrap();
    assert_eq!((solve(&complete).verdict, solve(&complete).guesses), (Verdict::Unique, 0));
}

#[test]
fn two_solutions_are_both_shown() {
    // 1 and 2 stand in two rows and two columns of two boxes: they can be swapped, and nothing else can change.
    let deadly = Board::parse("..34 3412 ..43 4321").unwrap();
    let solutions = solve(&deadly);
    assert_eq!(solutions.verdict, Verdict::Multiple);
    let mut both = [solutions.first.unwrap().to_string(), solutions.second.unwrap().to_string()];
    both.sort();
    assert_eq!(both, ["1234341221434321", "2134341212434321"]);
    assert_eq!(solve(&Board::parse("1.34 3412 ..43 4321").unwrap()).verdict, Verdict::Unique);

    let ambiguous = Board::parse("1... .... .... ....").unwrap();
    let solutions = solve(&ambiguous);
    assert_eq!(solutions.verdict, Verdict::Multiple);
    assert_eq!(solutions.unique(), None);
    let (first, second) = (solutions.first.unwrap(), solutions.second.unwrap());
    assert!(first != second && first.is_solution_of(&ambiguous) && second.is_solution_of(&ambiguous));
}

#[test]
fn boards_without_solution_are_recognised() {
    let twice_in_row = format!("5.......5{}", ".".repeat(72));
    let no_candidate = format!("12345678.{}9{}", ".".repeat(8), ".".repeat(63));
    // Row 1 needs an 8 and a 9 in its last two cells, but column 8 has both already.
    let hidden = format!("1234567..{}8{}9{}", ".".repeat(25), ".".repeat(8), ".".repeat(37));
    for text in [twice_in_row, no_candidate, hidden] {
        let solutions = solve(&Board::parse(&text).unwrap());
        assert_eq!((solutions.verdict, solutions.first), (Verdict::None, None), "{text}");
    }
}

#[test]
fn hostile_boards_end_within_the_budget() {
    // Peter Norvig's board that took his solver 24 minutes: legal givens, no solution.
    let impossible = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4.........";
    assert_eq!(solve(&Board::parse(impossible).unwrap()).verdict, Verdict::None);
    for shape in SudokuShape::ALL {
        let solutions = solve(&Board::empty(shape));
        assert_eq!(solutions.verdict, Verdict::Multiple, "{shape:?}");
        assert!(solutions.second.unwrap().is_solution_of(&Board::empty(shape)));
    }
    // A proper 16x16 puzzle with one wrong digit that breaks no rule has no solution, which is long to prove.
    for index in 0..3 {
        let drawn = generate(&PuzzleRequest::minimal(SudokuShape::SIXTEEN), 6, index).unwrap();
        let spoiled = (0..256 * 16)
            .filter(|choice| drawn.puzzle.cells()[choice / 16] == 0)
            .filter(|choice| drawn.solution.cells()[choice / 16] != (choice % 16) as u8 + 1)
            .map(|choice| {
                let mut cells = drawn.puzzle.cells().to_vec();
                cells[choice / 16] = (choice % 16) as u8 + 1;
                Board::from_cells(SudokuShape::SIXTEEN, cells).unwrap()
            })
            .find(Board::is_valid)
            .unwrap();
        let solutions = solve(&spoiled);
        assert!(matches!(solutions.verdict, Verdict::None | Verdict::BudgetExhausted), "{:?}", solutions.verdict);
        assert!(solutions.first.is_none() && solutions.guesses <= DEFAULT_GUESS_BUDGET);
    }
}

#[test]
fn an_exhausted_budget_is_an_outcome_of_its_own() {
    let (hard, _) = PUBLISHED[5];
    let board = Board::parse(hard).unwrap();
    let needed = solve(&board).guesses;
    let cut = solve_with_budget(&board, needed - 1);
    assert_eq!((cut.verdict, cut.guesses), (Verdict::BudgetExhausted, needed - 1));
    assert_eq!(cut.unique(), None);
    assert_eq!(solve_with_budget(&board, needed).verdict, Verdict::Unique);
    assert_eq!(solve_with_budget(&board, 0).verdict, Verdict::BudgetExhausted);
}

#[test]
fn small_boards_agree_with_brute_force() {
    let mut rng = SudokuRng::from_seed(3);
    let mut verdicts = [0; 3];
    for shape in [SudokuShape::FOUR, SudokuShape::SIX] {
        let request = PuzzleRequest::minimal(shape);
        for index in 0..300 {
            let drawn = generate(&request, 5, index).unwrap();
            let mut cells = drawn.puzzle.cells().to_vec();
            // One cell becomes a blank or any digit, which leaves one, several or no solutions.
            let cell = rng.below(cells.len() as u32) as usize;
            cells[cell] = if rng.coin() { 0 } else { rng.below(shape.size() as u32) as u8 + 1 };
            let board = Board::from_cells(shape, cells.clone()).unwrap();
            let expected = if board.is_valid() { count_by_brute_force(&board, &mut cells, 0) } else { 0 };
            let verdict = [Verdict::None, Verdict::Unique, Verdict::Multiple][expected];
            assert_eq!(solve(&board).verdict, verdict, "{board}");
            verdicts[expected] += 1;
        }
    }
    assert!(verdicts.iter().all(|&count| count > 50), "the sample must hold all cases: {verdicts:?}");
}

/// Solutions, counted up to two, by trying every digit in every blank in reading order.
fn count_by_brute_force(board: &Board, cells: &mut Vec<u8>, from: usize) -> usize {
    let Some(cell) = (from..cells.len()).find(|&cell| cells[cell] == 0) else { return 1 };
    let shape = board.shape();
    let mut count = 0;
    for digit in 1..=shape.size() as u8 {
        let clash = (0..cells.len()).any(|other| {
            cells[other] == digit
                && (shape.row_of(other) == shape.row_of(cell)
                    || shape.col_of(other) == shape.col_of(cell)
                    || shape.box_of(other) == shape.box_of(cell))
        });
        if !clash {
            cells[cell] = digit;
            count += count_by_brute_force(board, cells, cell + 1);
            cells[cell] = 0;
            if count >= 2 {
                return 2;
            }
        }
    }
    count
}
