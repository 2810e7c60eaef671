//! Examples in the terminal: characters where there is no colour, coloured cells where there is.
//! Owns escape sequences and the heeding of `NO_COLOR`; leaves colours' meanings to [`datasets::picture`].

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use datasets::maze::Cell;
use datasets::picture::{ARC_COLOURS, MAZE_COLOURS, Rgb};
use datasets::sudoku::Board;
use datasets::{IGNORE_LABEL_ID, Task};

/// ARC tokens: padding, end of grid, then the ten colours.
const ARC_CELLS: &[u8; 12] = b"_|0123456789";
const RESET: &str = "\x1b[0m";

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

impl When {
    fn is_coloured(self) -> bool {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => !is_set("NO_COLOR") && !is_dumb() && io::stdout().is_terminal(),
        }
    }
}

/// Draws tokens; those that `input` does not have stand out where there are colours. What is not a board of the task
/// (padding, ignored labels) is shown as numbers.
pub(super) fn draw(
    text: &mut String,
    task: Option<Task>,
    input: &[i32],
    tokens: &[i32],
    when: When,
) -> std::fmt::Result {
    let coloured = when.is_coloured();
    match task {
        Some(Task::Sudoku(_)) => match Board::from_tokens(tokens) {
            Ok(board) if coloured => draw_sudoku(text, &board, input, tokens),
            Ok(board) => text.write_str(&board.to_grid()),
            Err(_) => draw_numbers(text, tokens),
        },
        Some(Task::Maze(shape)) if coloured => draw_blocks(text, tokens, shape.side(), |token| {
            Cell::from_token(token).map(|cell| MAZE_COLOURS[cell as usize - 1])
        }),
        Some(Task::Arc) if coloured => draw_blocks(text, tokens, datasets::arc::CANVAS_SIDE, |token| {
            let colour = usize::try_from(token).ok()?.checked_sub(usize::from(datasets::arc::COLOUR_OFFSET))?;
            ARC_COLOURS.get(colour).copied()
        }),
        Some(Task::Maze(_)) => {
            draw_characters(text, tokens, |token| Cell::from_token(token).map_or('_', Cell::character));
            Ok(())
        }
        Some(Task::Arc) => {
            let cell = |token: i32| usize::try_from(token).ok().and_then(|token| ARC_CELLS.get(token)).copied();
            draw_characters(text, tokens, |token| char::from(cell(token).unwrap_or(b'_')));
            Ok(())
        }
        None => draw_numbers(text, tokens),
    }
}

/// The board with its borders; digits that the question does not have are blue.
fn draw_sudoku(text: &mut String, board: &Board, input: &[i32], tokens: &[i32]) -> std::fmt::Result {
    // Every cell of the drawing is one letter, digit or point, in reading order.
    let mut cell = 0;
    for character in board.to_grid().chars() {
        if !character.is_ascii_alphanumeric() && character != '.' {
            text.push(character);
            continue;
        }
        match (character, input.get(cell) == tokens.get(cell)) {
            ('.', _) => write!(text, "\x1b[2m.{RESET}")?,
            (_, true) => write!(text, "\x1b[1m{character}{RESET}")?,
            (_, false) => write!(text, "\x1b[34m{character}{RESET}")?,
        }
        cell += 1;
    }
    Ok(())
}

/// Two columns of ground colour per cell; cells without colour are left out at the ends of rows and of the drawing.
fn draw_blocks(
    text: &mut String,
    tokens: &[i32],
    side: usize,
    colour: impl Fn(i32) -> Option<Rgb>,
) -> std::fmt::Result {
    for row in tokens.chunks(side) {
        let width = row.iter().rposition(|&token| colour(token).is_some()).map_or(0, |last| last + 1);
        for &token in &row[..width] {
            match colour(token) {
                Some([red, green, blue]) => write!(text, "\x1b[48;2;{red};{green};{blue}m  ")?,
                None => write!(text, "{RESET}  ")?,
            }
        }
        if width > 0 {
            writeln!(text, "{RESET}")?;
        }
    }
    Ok(())
}

/// A square of characters, rows and columns of padding at its end left out.
fn draw_characters(text: &mut String, tokens: &[i32], character: impl Fn(i32) -> char) {
    let side = tokens.len().isqrt();
    let is_padding = |&token: &i32| token == 0 || token == IGNORE_LABEL_ID;
    for row in tokens.chunks(side) {
        let width = row.iter().rposition(|token| !is_padding(token)).map_or(0, |last| last + 1);
        if width > 0 {
            text.extend(row[..width].iter().map(|&token| character(token)).chain(['\n']));
        }
    }
}

fn draw_numbers(text: &mut String, tokens: &[i32]) -> std::fmt::Result {
    for row in tokens.chunks(tokens.len().isqrt().max(1)) {
        writeln!(text, "{}", row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))?;
    }
    Ok(())
}
