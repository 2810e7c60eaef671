//! Boards as people, programs and models spell them, and the rules they are held against.

use datasets::sudoku::{Board, SudokuError, SudokuShape, Unit};

const PUZZLE: &str = "530070000600195000098000060800060003400803001700020006060000280000419005000080079";
const SOLUTION: &str = "534678912672195348198342567859761423426853791713924856961537284287419635345286179";

#[test]
fn text_nested_arrays_tokens_and_json_are_the_same_board() {
    let board = Board::parse(PUZZLE).unwrap();
    assert_eq!(board.shape(), SudokuShape::NINE);
    assert_eq!(board.givens(), 30);
    assert_eq!(board.get(0, 1), Some(3));
    assert_eq!(board.get(0, 2), None);
    assert_eq!(board.to_string(), PUZZLE.replace('0', "."));
    assert_eq!(Board::parse(&board.to_string()).unwrap(), board);
    assert_eq!(Board::try_from(board.to_rows()).unwrap(), board);
    assert_eq!(board.to_tokens()[..6], [6, 4, 1, 1, 8, 1]);
    assert_eq!(Board::from_tokens(&board.to_tokens()).unwrap(), board);
    let json = serde_json::to_string(&board).unwrap();
    assert_eq!(serde_json::from_str::<Board>(&json).unwrap(), board);
}

#[test]
fn a_drawn_grid_shows_the_boxes_and_reads_back() {
    let six = Board::parse("123456 456123 231564 564231 312645 64531.").unwrap();
    let expected = " 1 2 3 | 4 5 6\n 4 5 6 | 1 2 3\n-------+-------\n 2 3 1 | 5 6 4\n 5 6 4 | 2 3 1\n-------+-------\n \
                    3 1 2 | 6 4 5\n 6 4 5 | 3 1 .\n";
    assert_eq!(six.to_grid(), expected);
    for text in [PUZZLE, SOLUTION, &SOLUTION[..16].replace(['5', '6', '7', '8', '9'], ".")] {
        let board = Board::parse(text).unwrap();
        assert_eq!(Board::parse(&board.to_grid()).unwrap(), board);
    }
}

#[test]
fn sixteen_letters_follow_the_nine_digits_in_either_case() {
    let text = format!("{}{}", "123456789ABCDEFG", ".".repeat(240));
    let board = Board::parse(&text).unwrap();
    assert_eq!(board.cells()[..16], (1..=16).collect::<Vec<u8>>());
    assert_eq!(Board::parse(&text.to_lowercase()).unwrap(), board);
    assert_eq!(board.to_string(), text);
    assert_eq!(board.to_tokens()[15], 17);
}

#[test]
fn malformed_text_is_refused_with_its_place() {
    let error = Board::parse("1234\n12h4\n1234\n1234").unwrap_err();
    assert_eq!(error, SudokuError::Character { character: 'h', line: 2, column: 3 });
    assert!(error.to_string().contains("'h' at line 2, column 3"), "{error}");
    let error = Board::parse("1234123412341239").unwrap_err();
    assert_eq!(error, SudokuError::Digit { row: 4, column: 4, found: 9, size: 4 });
    assert!(Board::parse("1234123412341é34").unwrap_err().to_string().contains('é'));
    assert_eq!(Board::parse(&PUZZLE[1..]), Err(SudokuError::CellCount { found: 80 }));
    assert_eq!(Board::parse(""), Err(SudokuError::CellCount { found: 0 }));
    let flood = Board::parse(&"1".repeat(1_000_000)).unwrap_err();
    assert_eq!(flood, SudokuError::CellCount { found: 257 });
    assert!(flood.to_string().contains("257 or more"), "{flood}");
    assert_eq!(Board::parse_shape(SudokuShape::FOUR, PUZZLE), Err(SudokuError::WrongShape { expected: 4, found: 9 }));
    assert!(serde_json::from_str::<Board>("\"12\"").is_err());
}

#[test]
fn malformed_arrays_and_tokens_are_refused() {
    assert_eq!(Board::from_rows::<Vec<u8>>(&[]), Err(SudokuError::Size { found: 0 }));
    let ragged = vec![vec![0; 4], vec![0; 4], vec![0; 3], vec![0; 4]];
    assert_eq!(Board::from_rows(&ragged), Err(SudokuError::RowLength { row: 3, found: 3, size: 4 }));
    let large = vec![vec![0; 4], vec![0, 255, 0, 0], vec![0; 4], vec![0; 4]];
    assert_eq!(Board::from_rows(&large), Err(SudokuError::Digit { row: 2, column: 2, found: 255, size: 4 }));
    for wrong in [0, -1, 6, i32::MIN, i32::MAX, 257] {
        let mut tokens = [1; 16];
        tokens[5] = wrong;
        assert_eq!(Board::from_tokens(&tokens), Err(SudokuError::Token { position: 5, found: wrong, size: 4 }));
    }
    assert_eq!(Board::from_cells(SudokuShape::FOUR, vec![0; 17]), Err(SudokuError::CellCount { found: 17 }));
}

#[test]
fn only_a_complete_valid_board_that_keeps_the_givens_solves_them() {
    let (puzzle, solution) = (Board::parse(PUZZLE).unwrap(), Board::parse(SOLUTION).unwrap());
    assert!(puzzle.is_valid() && !puzzle.is_complete() && !puzzle.is_solution_of(&puzzle));
    assert!(solution.is_solution_of(&puzzle));
    // Swapping 1 and 2 everywhere keeps the board valid but changes givens.
    let renamed = Board::parse(&SOLUTION.replace('1', "x").replace('2', "1").replace('x', "2")).unwrap();
    assert!(renamed.is_valid() && renamed.is_complete());
    assert!(!renamed.agrees_with(&puzzle) && !renamed.is_solution_of(&puzzle));
    let mut cells = solution.cells().to_vec();
    cells.swap(2, 3);
    let broken = Board::from_cells(SudokuShape::NINE, cells).unwrap();
    assert!(broken.agrees_with(&puzzle) && !broken.is_valid() && !broken.is_solution_of(&puzzle));
    assert!(!solution.agrees_with(&Board::empty(SudokuShape::FOUR)));
}

#[test]
fn contradictions_name_both_cells_once() {
    let mut cells = vec![0; 81];
    cells[0] = 5;
    cells[8] = 5;
    cells[10] = 5;
    let found = Board::from_cells(SudokuShape::NINE, cells).unwrap().contradictions();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].unit, found[0].first, found[0].second), (Unit::Row(0), (0, 0), (0, 8)));
    assert_eq!((found[1].unit, found[1].first, found[1].second), (Unit::Box(0), (0, 0), (1, 1)));
    let message = found[0].to_string();
    assert_eq!(message, "digit 5 stands twice in row 1: at row 1, column 1 and at row 1, column 9");

    // Two equal digits in one row and one box are one contradiction, not two.
    let pair = Board::parse("11.. .... .... ....").unwrap();
    assert_eq!(pair.contradictions().len(), 1);
    let column = Board::parse("2... .... .... 2...").unwrap();
    assert_eq!(column.contradictions()[0].unit, Unit::Column(0));
    assert!(!column.is_valid());
    assert!(Board::parse(SOLUTION).unwrap().contradictions().is_empty());
}
