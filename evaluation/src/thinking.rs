//! A puzzle being solved in the terminal, a frame per reasoning step: givens bold, changed cells highlighted.
//! Without a terminal (or with `NO_COLOR`) the frames are plain text, one below the other.

use std::io;
use std::time::Duration;

use console::{Style, Term};
use datasets::sudoku::{Board, SudokuShape};
use engine::task::board_from_tokens;
use engine::{Answer, StepTrace};

/// Time that each frame stays on a terminal.
const FRAME_TIME: Duration = Duration::from_millis(350);

/// Shows the steps of `answer`, which must have its trace.
///
/// # Errors
/// When the terminal is gone.
pub fn show(term: &Term, puzzle: &Board, answer: &Answer) -> io::Result<()> {
    let frames = frames(puzzle, answer, term.is_term() && console::colors_enabled());
    let mut lines_on_screen = 0;
    for frame in frames {
        if term.is_term() {
            term.clear_last_lines(lines_on_screen)?;
            lines_on_screen = frame.lines().count();
        }
        term.write_str(&frame)?;
        if term.is_term() {
            term.flush()?;
            std::thread::sleep(FRAME_TIME);
        }
    }
    Ok(())
}

/// The givens, then the board after every step; each ends in a newline.
pub fn frames(puzzle: &Board, answer: &Answer, styled: bool) -> Vec<String> {
    let shape = puzzle.shape();
    let mut previous = puzzle.clone();
    let mut frames = vec![format!("the puzzle\n{}", draw(puzzle, puzzle, &previous, styled))];
    let shown = |step: &&StepTrace| step.chain == 0 || step.chain == answer.chain;
    let mut steps: Vec<&StepTrace> = answer.trace.iter().filter(shown).collect();
    // Chains take turns; a reader wants to see one after the other.
    steps.sort_by_key(|step| (step.chain, step.step));
    for (index, StepTrace { chain, step, tokens, q }) in steps.iter().enumerate() {
        let board = board_from_tokens(shape, tokens);
        let changed = changes(shape, &previous, &board);
        let is_last = index + 1 == steps.len();
        let verdict = match (is_last, answer.verified) {
            (false, _) => "",
            (true, true) => ", obeys the rules",
            (true, false) => ", not solved",
        };
        let cells = if changed == 1 { "cell" } else { "cells" };
        let restart = if *chain == 0 { String::new() } else { format!("restart {chain}, ") };
        let heading = format!("{restart}step {step}: q {q:+.2}, {changed} {cells} changed{verdict}\n");
        frames.push(heading + &draw(&board, puzzle, &previous, styled));
        previous = board;
    }
    frames
}

fn changes(shape: SudokuShape, before: &Board, after: &Board) -> usize {
    (0..shape.cells()).filter(|&cell| before.cells()[cell] != after.cells()[cell]).count()
}

/// The grid of `board` with the characters of its cells styled.
fn draw(board: &Board, givens: &Board, previous: &Board, styled: bool) -> String {
    let (given, changed) =
        (Style::new().bold().force_styling(true), Style::new().black().on_green().force_styling(true));
    let mut cells = 0..board.shape().cells();
    let mut drawing = String::new();
    for character in board.to_grid().chars() {
        // Whatever is not the grid's decoration is the next cell.
        let cell = if matches!(character, ' ' | '|' | '-' | '+' | '\n') { None } else { cells.next() };
        match cell {
            Some(cell) if styled && board.cells()[cell] != previous.cells()[cell] => {
                drawing.push_str(&changed.apply_to(character).to_string());
            }
            Some(cell) if styled && givens.cells()[cell] != 0 => {
                drawing.push_str(&given.apply_to(character).to_string());
            }
            _ => drawing.push(character),
        }
    }
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::task::tokens_of;
    use engine::{Stopped, Timings};

    fn example() -> (Board, Answer) {
        let puzzle = Board::parse("123434122143....").unwrap();
        let solution = Board::parse("1234341221434321").unwrap();
        let mut half = tokens_of(&puzzle);
        half[12] = 5;
        let tokens = tokens_of(&solution);
        let answer = Answer {
            tokens: tokens.clone(),
            verified: true,
            steps: 2,
            q: 1.0,
            stopped: Stopped::Verified,
            chain: 0,
            chains: 1,
            votes: 1,
            total_steps: 2,
            trace: vec![
                StepTrace { chain: 0, step: 1, tokens: half, q: -3.25 },
                StepTrace { chain: 0, step: 2, tokens, q: 1.0 },
            ],
            timings: Timings::default(),
        };
        (puzzle, answer)
    }

    #[test]
    fn plain_frames_hold_the_boards_and_nothing_else() {
        let (puzzle, answer) = example();
        let frames = frames(&puzzle, &answer, false);
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0], format!("the puzzle\n{}", puzzle.to_grid()));
        assert!(frames[1].starts_with("step 1: q -3.25, 1 cell changed\n"), "{}", frames[1]);
        assert!(frames[2].starts_with("step 2: q +1.00, 3 cells changed, obeys the rules\n"), "{}", frames[2]);
        assert!(frames.iter().all(|frame| !frame.contains('\u{1b}')));
    }

    #[test]
    fn styled_frames_mark_givens_and_changes() {
        let (puzzle, answer) = example();
        let styled = frames(&puzzle, &answer, true);
        assert_eq!(console::strip_ansi_codes(&styled[2]), frames(&puzzle, &answer, false)[2]);
        // Twelve givens bold, three changed cells on green.
        assert_eq!(styled[2].matches("\u{1b}[1m").count(), 12);
        assert_eq!(styled[2].matches("\u{1b}[42m").count(), 3);
    }
}
