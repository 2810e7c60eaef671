//! A puzzle being solved in the terminal, a frame per reasoning step: givens bold, changed cells highlighted.
//! Without a terminal the steps are listed; with `NO_COLOR` nothing is highlighted.

use std::io;
use std::time::Duration;

use console::{Style, Term};
use datasets::sudoku::{Board, SudokuShape};
use engine::task::board_from_tokens;
use engine::{Answer, StepTrace};

/// Longest time that a frame stays on a terminal.
const FRAME_TIME: Duration = Duration::from_millis(350);
/// Longest time that all frames take together.
const SHOW_TIME: Duration = Duration::from_secs(5);
/// Steps that are listed without a terminal; of more, the first and the last.
const STEPS_LISTED: usize = 8;

/// Shows the steps of `answer`, which must have its trace: on a terminal each board in the place of the one before,
/// elsewhere the puzzle, a line for each step and the last board.
///
/// # Errors
/// When the terminal is gone.
pub fn show(term: &Term, puzzle: &Board, answer: &Answer) -> io::Result<()> {
    let styled = term.is_term() && console::colors_enabled();
    let frames = frames(puzzle, answer, styled);
    if !term.is_term() {
        return term.write_str(&listing(&frames));
    }
    let frame_time = FRAME_TIME.min(SHOW_TIME / frames.len() as u32);
    let mut lines_on_screen = 0;
    for frame in &frames {
        term.clear_last_lines(lines_on_screen)?;
        lines_on_screen = frame.lines().count();
        term.write_str(frame)?;
        term.flush()?;
        std::thread::sleep(frame_time);
    }
    Ok(())
}

/// The first and the last of `frames` whole, of the others their headings.
fn listing(frames: &[String]) -> String {
    let [puzzle, steps @ .., answer] = frames else { return frames.concat() };
    let heading = |frame: &String| frame.lines().next().unwrap_or_default().to_owned() + "\n";
    let mut text = puzzle.clone();
    if steps.len() <= STEPS_LISTED {
        text.extend(steps.iter().map(heading));
    } else {
        let (first, last) = (&steps[..STEPS_LISTED / 2], &steps[steps.len() - STEPS_LISTED / 2..]);
        text.extend(first.iter().map(heading));
        text.extend([format!("… {} more steps\n", steps.len() - STEPS_LISTED)]);
        text.extend(last.iter().map(heading));
    }
    text + answer
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
    fn without_a_terminal_the_puzzle_and_the_answer_are_drawn_and_the_steps_between_listed() {
        let (puzzle, answer) = example();
        let frames = frames(&puzzle, &answer, false);
        let expected = format!("{}step 1: q -3.25, 1 cell changed\n{}", frames[0], frames[2]);
        assert_eq!(listing(&frames), expected);

        let many: Vec<_> = (0..20).map(|step| format!("step {step}\nboard\n")).collect();
        let listed = listing(&many);
        let lines: Vec<_> = listed.lines().collect();
        assert_eq!(lines.len(), 2 + STEPS_LISTED + 1 + 2, "{listed}");
        assert_eq!((lines[2], lines[6], lines[7]), ("step 1", "… 10 more steps", "step 15"), "{listed}");
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
