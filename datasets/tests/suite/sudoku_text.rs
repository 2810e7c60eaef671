//! Sudokus as people write and exchange them: every form is the same board, and what has two readings is refused by them.

use std::fs;
use std::path::Path;

use datasets::sudoku::{
    Board, GeneratorOptions, ListedPuzzle, Notation, SudokuError, SudokuShape, WrittenBoard, held_out, read_list,
};
use proptest::prelude::*;

const PUZZLE: &str = ".234..8..6....7......53.62...5......84.....36......1...52.96......1....7..8..521.";

fn field(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/field/sudoku").join(name)).unwrap()
}

fn read(text: &str) -> String {
    Board::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}")).to_string()
}

fn refusal(text: &str) -> String {
    match Board::parse(text) {
        Ok(board) => panic!("{text}\nwas read as {board}"),
        Err(error) => error.to_string(),
    }
}

/// The rows of the puzzle, blanks as `blank`, with something between cells.
fn rows(blank: &str, between: &str) -> Vec<String> {
    let cell = |character: char| if character == '.' { blank.to_owned() } else { character.to_string() };
    let characters: Vec<char> = PUZZLE.chars().collect();
    characters.chunks(9).map(|row| row.iter().map(|&one| cell(one)).collect::<Vec<_>>().join(between)).collect()
}

#[test]
fn borders_separators_and_blanks_of_every_kind_are_the_same_board() {
    for name in ["commas.txt", "star81.txt", "unicode_box.txt", "x81.txt"] {
        assert_eq!(read(&field(name)), PUZZLE, "{name}");
    }
    let simple = ".3.4.....9.28.63.1.......2.8...6.7...6.2.5.9...3.4...8.7.......4.89.25.6.....8.3.";
    assert_eq!(read(&field("simple_sudoku.txt")), simple);
    for blank in [".", "0", "_", "*", "-", "X", "x", "?"] {
        for between in ["", " ", ",", ", ", ";", "\t", "|", " | "] {
            let rows = rows(blank, between);
            assert_eq!(read(&rows.join("\n")), PUZZLE, "{blank:?} {between:?}");
            assert_eq!(read(&(rows.join("\r\n") + "\r\n\r\n")), PUZZLE, "{blank:?} {between:?}");
        }
        assert_eq!(read(&rows(blank, "").concat()), PUZZLE, "{blank:?}");
    }
    for (blank, ruler) in [
        (".", "------+-------+------"),
        (".", "======*=======*======"),
        ("-", "------+-------+------"),
        ("*", "- - - + - - - + - - -"),
        ("0", "!===+===+===!"),
        ("_", "-----------"),
        (".", ".-----.-----.-----."),
        ("-", "-----------"),
    ] {
        let rows = rows(blank, " ");
        let boxed = |row: &String| format!("| {} ! {} : {} |", &row[..5], &row[6..11], &row[12..]);
        let bands: Vec<String> =
            rows.chunks(3).map(|band| band.iter().map(boxed).collect::<Vec<_>>().join("\n")).collect();
        assert_eq!(read(&bands.join(&format!("\n{ruler}\n"))), PUZZLE, "{blank:?} {ruler:?}");
    }
    let brackets = rows("0", ", ").iter().map(|row| format!("[{row}]")).collect::<Vec<_>>();
    assert_eq!(read(&format!("[{}]", brackets.join(",\n "))), PUZZLE);
    assert_eq!(read(&format!("[{}]", brackets.join("\n ").replace(", ", " "))), PUZZLE, "NumPy");
    let markdown: Vec<String> = rows(" ", " | ").iter().map(|row| format!("| {row} |")).collect();
    assert_eq!(
        read(&format!("{}\n|---|---|---|---|---|---|---|---|---|\n{}", markdown[0], markdown[1..].join("\n"))),
        PUZZLE
    );
}

#[test]
fn empty_places_are_blanks_where_rows_have_equal_lengths() {
    assert_eq!(read(&rows(" ", "").join("\n")), PUZZLE);
    assert_eq!(read(&rows(" ", " ").join("\n")), PUZZLE);
    assert_eq!(read(&rows(" ", "").concat()), PUZZLE);
    assert_eq!(read(&rows("", ",").join("\n")), PUZZLE, "empty fields");
    assert_eq!(read(&rows("", "\t").join("\r\n")), PUZZLE, "cells of a spreadsheet");
    assert_eq!(read(&rows("", ",").iter().map(|row| row.clone() + ",\n").collect::<String>()), PUZZLE);
    let boxed = |row: &String| format!("|{}|{}|{}|", &row[..3], &row[3..6], &row[6..]);
    let bands: Vec<String> = rows(" ", "").iter().map(boxed).collect();
    assert_eq!(read(&bands.join("\n")), PUZZLE);
    let spread: Vec<String> =
        rows(" ", " ").iter().map(|row| format!("| {} | {} | {} |", &row[..5], &row[6..11], &row[12..])).collect();
    assert_eq!(read(&format!("+-------+-------+-------+\n{}", spread.join("\n"))), PUZZLE);
    let stripped: Vec<String> = rows(" ", "").iter().map(|row| row.trim_end().to_owned()).collect();
    assert!(refusal(&stripped.join("\n")).contains("row 1 has"), "{}", refusal(&stripped.join("\n")));
}

#[test]
fn comments_headers_and_sections_are_passed_over() {
    let body = rows(".", "").join("\n");
    let other = rows("7", "").join("\n");
    for text in [
        format!("\u{feff}#ARuud\n#DA random puzzle\n#B03-08-2006\n#Uhttp://example.org\n{body}\n"),
        format!("[Puzzle]\n{body}\n[State]\n{other}\n"),
        format!("#C a comment\n[State]\n{other}\n[Puzzle]\n{body}\n[Elapsed]\n00:12:31\n"),
        format!("Grid 01\n{body}"),
        format!("Level: easy\n\n{body}\n\n"),
        format!("; from the newspaper\n// of today\n{body}"),
    ] {
        assert_eq!(read(&text), PUZZLE, "{text}");
    }
    assert!(refusal(&format!("[State]\n{body}")).contains("no section [Puzzle]"));
}

#[test]
fn candidates_are_refused_by_name() {
    let marks = " *-----------*\n".to_owned() + &" | 1 24 3 | 5 6 7 | 89 4 2 |\n".repeat(9);
    let line = "123456789".repeat(81);
    let grid = ".------.------.\n| 12 3 | 4 12 |\n| 4 12 | 3 12 |\n:------+------:\n| 1 2  | 34 4 |\n| 3 4  | 12 1 |\n'------'------'";
    for text in [marks.as_str(), line.as_str(), grid] {
        assert_eq!(Board::parse(text), Err(SudokuError::Candidates), "{text}");
    }
}

#[test]
fn digits_of_large_boards_begin_at_one_or_at_zero_and_are_never_guessed() {
    let options = GeneratorOptions { size: 16, extra_clues: (60, 60), ..GeneratorOptions::default() };
    let drawn = held_out(&options, 1).unwrap().remove(0);
    let (puzzle, solution) = (drawn.puzzle, drawn.solution);
    let from_one = puzzle.to_string();
    assert_eq!(WrittenBoard::parse(&from_one), Ok(WrittenBoard { board: puzzle.clone(), notation: Notation::FromOne }));
    assert_eq!(read(&from_one.to_lowercase().replace('.', "0")), from_one);
    let from_zero = puzzle.to_text(Notation::FromZero);
    assert!(from_zero.contains('0') && !from_zero.contains('G'));
    assert_eq!(
        WrittenBoard::parse(&from_zero),
        Ok(WrittenBoard { board: puzzle.clone(), notation: Notation::FromZero })
    );
    assert_eq!(WrittenBoard::parse(&from_zero.replace('.', "*")).unwrap().board, puzzle);
    // A zero beside dots is a digit, which no board with a G has.
    let mixed = from_one.replacen('.', "0", 1);
    assert_eq!(Board::parse(&mixed), Err(SudokuError::Zero { size: 16 }));
    // Every zero in a row and column of its own: the last digit of a complete board, or its blanks.
    let complete = solution.to_text(Notation::FromZero);
    assert!(refusal(&complete).contains("'0' as a blank and with no blanks"), "{}", refusal(&complete));
    let numbers = |zero: &str| {
        let cells = puzzle.cells().iter().map(|&value| if value == 0 { zero.to_owned() } else { value.to_string() });
        let cells: Vec<String> = cells.collect();
        cells.chunks(16).map(|row| row.join(" ")).collect::<Vec<_>>().join("\n")
    };
    for zero in ["0", ".", "-"] {
        assert_eq!(read(&numbers(zero)), from_one, "{zero}");
        assert_eq!(read(&numbers(zero).replace(' ', ",")), from_one, "{zero}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_by_its_readings() {
    let fours = ".1..".repeat(4) + "\n";
    let message = refusal(&fours.repeat(16));
    assert!(message.contains("one 16x16 board or sixteen 4x4 boards"), "{message}");
    assert_eq!(Board::parse_shape(SudokuShape::SIXTEEN, &fours.repeat(16)).unwrap().givens(), 64);
    for (text, says) in [
        (PUZZLE.replacen('.', "0", 2), "0 is not a digit of a 9x9 board"),
        (PUZZLE.replacen('.', "?", 1), "'.' and '?' both stand where a digit or a blank is expected"),
        (rows(".", "").join("\n").replacen("..8..", "..8...", 1).replacen("7...", "7..", 1), "row 1 has 10 cells"),
        (PUZZLE[..80].to_owned(), "found 80"),
        (PUZZLE.replacen('.', "o", 1), "character 'o' at line 1, column 1"),
    ] {
        let message = refusal(&text);
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn lists_give_puzzles_and_solutions_whatever_stands_beside_them() {
    let nine = Some(SudokuShape::NINE);
    for name in ["champagne.txt", "hodoku_lib.txt", "bom.txt"] {
        let text = field(name);
        let listed: Vec<_> =
            text.lines().map(|line| ListedPuzzle::parse(line, nine).unwrap().puzzle.to_string()).collect();
        assert_eq!((listed.len(), &listed[0][..27]), (17, ".5..83.17...1..4..3.4..56.8"), "{name}");
        assert_eq!(read_list(&text, 100).unwrap().unwrap().len(), 17, "{name}");
    }
    let list = read_list(&field("quizzes_solutions.csv"), 100).unwrap().unwrap();
    assert_eq!(list.len(), 5);
    assert!(list.iter().all(|listed| listed.solution.as_ref().unwrap().is_solution_of(&listed.puzzle)));

    let (puzzle, solution) = (list[0].puzzle.to_string(), list[0].solution.as_ref().unwrap().to_string());
    for line in [
        format!("{puzzle},{solution}"),
        format!("{solution},{puzzle}"),
        format!("17,{puzzle},{solution},33,2.2"),
        format!("extreme,{},{solution},12", puzzle.replace('.', "0")),
        format!("\"{puzzle}\";\"{solution}\""),
        format!("{puzzle}\t{solution}\t0.5\r\n"),
        format!("1234123412341234,{puzzle},{solution}"),
    ] {
        let read = ListedPuzzle::parse(&line, None).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(
            (read.puzzle.to_string(), read.solution.map(|board| board.to_string())),
            (puzzle.clone(), Some(solution.clone()))
        );
    }
    for line in [format!("{puzzle} # hard"), format!("{puzzle} 4.2 ED=7.1"), format!("0000A {puzzle} 1 5")] {
        let read = ListedPuzzle::parse(&line, nine).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!((read.puzzle.to_string(), read.solution), (puzzle.clone(), None), "{line}");
    }
    let wrong = solution.replacen("65", "56", 1);
    assert_eq!(ListedPuzzle::parse(&format!("{puzzle},{wrong}"), nine), Err(SudokuError::WrongSolution));
    let two = ListedPuzzle::parse(&format!("{puzzle},{PUZZLE}"), nine).unwrap_err().to_string();
    assert!(two.contains("two boards with blanks"), "{two}");
    let short = ListedPuzzle::parse(&format!("{};1;elev", &puzzle[1..]), nine).unwrap_err();
    assert_eq!(short, SudokuError::CellCount { found: 80 });
    assert!(read_list(&format!("{puzzle}\n{puzzle}\nnonsense"), 100).unwrap().is_err());
    assert!(read_list(&rows(".", "").join("\n"), 100).is_none() && read_list(&puzzle, 100).is_none());
}

fn boards() -> impl Strategy<Value = Board> {
    prop::sample::select(SudokuShape::ALL.to_vec()).prop_flat_map(|shape| {
        let value = prop_oneof![3 => Just(0), 1 => 0..=shape.size() as u8];
        prop::collection::vec(value, shape.cells()).prop_map(move |cells| Board::from_cells(shape, cells).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_board_is_read_as_itself(board in boards()) {
        prop_assert_eq!(Board::parse(&board.to_string()).unwrap(), board.clone());
        prop_assert_eq!(Board::parse(&board.to_grid()).unwrap(), board);
    }

    #[test]
    fn an_accepted_text_is_drawn_and_read_as_the_same_board(
        text in prop_oneof!["[.1-4 |\n-]{16,40}", "([1-4._*X?0 -]{4}\n){4}", "([ 1-6,|]{6,12}\n){6}", "[0-9A-Ga-gXx?.*_-]{81}", "([0-9. ]{9}\n){9}", "([0-9A-G.]{16}\n){16}"]
    ) {
        if let Ok(written) = WrittenBoard::parse(&text) {
            prop_assert_eq!(&Board::parse(&written.board.to_grid()).unwrap(), &written.board);
            prop_assert!(text.chars().filter(|character| *character != '\n').count() >= written.board.cells().len());
        }
    }
}
