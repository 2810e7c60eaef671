//! What must hold of every text of a puzzle: the invariants that the fuzz targets check with instrumented code, and the
//! server's tests with the seeds and small changes of them.

#![allow(dead_code, reason = "every target uses its part")]

use datasets::maze::MazeDrawing;
use datasets::store::text_of;
use datasets::sudoku::{Board, ListedPuzzle, WrittenBoard, read_list};

/// As the server's default.
pub(crate) const MAX_PUZZLES: usize = 256;

/// A message has something to say and does not send the whole body back.
pub(crate) fn check_problem(message: &str, body: usize) {
    assert!(!message.trim().is_empty() && message.len() < 4096, "{} bytes for a body of {body}", message.len());
}

/// Any text as a Sudoku or as a line of a list: what is accepted is drawn and read again as the same board, and has no cell
/// that the text does not show.
pub(crate) fn check_sudoku_text(bytes: &[u8]) {
    let Ok(text) = text_of(bytes) else { return };
    match WrittenBoard::parse(&text) {
        Ok(WrittenBoard { board, .. }) => {
            assert!(board.cells().len() <= text.chars().count());
            assert_eq!(Board::parse(&board.to_grid()).expect("a drawn board"), board, "{text:?}");
        }
        Err(error) => check_problem(&error.to_string(), bytes.len()),
    }
    match ListedPuzzle::parse(&text, None) {
        Ok(ListedPuzzle { puzzle, solution, .. }) => {
            assert!(solution.is_none_or(|found| found.is_solution_of(&puzzle)));
        }
        Err(error) => check_problem(&error.to_string(), bytes.len()),
    }
    if let Some(Ok(list)) = read_list(&text, MAX_PUZZLES) {
        assert!((2..=MAX_PUZZLES + 1).contains(&list.len()));
    }
}

/// Any text as a maze, with the same promise.
pub(crate) fn check_maze_text(bytes: &[u8]) {
    let Ok(text) = text_of(bytes) else { return };
    match MazeDrawing::parse(&text) {
        Ok(drawing) => {
            assert!(drawing.cells().len() <= text.chars().count());
            let drawn = drawing.to_text();
            // A row alone is written as a list's line is, which is a square.
            let again = MazeDrawing::from_lines(&drawn.lines().collect::<Vec<_>>()).expect("a drawn maze");
            assert_eq!(again.cells(), drawing.cells(), "{text:?}");
            if drawing.rows() > 1 {
                assert_eq!(MazeDrawing::parse(&drawn).expect("a drawn maze").cells(), drawing.cells(), "{text:?}");
            }
        }
        Err(error) => check_problem(&error.to_string(), bytes.len()),
    }
}
