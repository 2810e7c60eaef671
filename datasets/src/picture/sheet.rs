//! A sheet that shows an ARC task whole: its training pairs, then each test input with the attempts at it.
//! Owns the arrangement; leaves the drawing of a grid to [`super::arc`] and the task's files to [`crate::arc`].

use super::PictureError;
use super::arc::{beside_with_arrow, cell_size, draw_grid};
use super::canvas::{Picture, text_height, text_width};
use super::colours::{BACKGROUND, FAINT_TEXT, RIGHT_TEXT, Rgb, TEXT, WRONG_TEXT};
use crate::arc::Grid;

/// Most pairs on one sheet; tasks have a handful.
const MAX_PAIRS: usize = 64;
/// Most attempts at one test input.
const MAX_ATTEMPTS: usize = 16;
const GAP: u32 = 14;
const MARGIN: u32 = 14;

/// A test input and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    /// The test input.
    pub input: Grid,
    /// The solution, where it is known.
    pub solution: Option<Grid>,
    /// Predictions, best first.
    pub attempts: Vec<Grid>,
}

/// The sheet of a task: a row per training pair (`(input, output)`), then a row per test input. Attempts are called right
/// or wrong where the solution is known, which stands behind them then.
///
/// # Errors
/// When there is nothing to show, or more than 64 pairs or 16 attempts.
pub fn task_sheet(name: &str, train: &[(Grid, Grid)], test: &[Attempts]) -> Result<Picture, PictureError> {
    let pairs = train.len() + test.len();
    if pairs == 0 || pairs > MAX_PAIRS {
        return Err(PictureError::Count { what: "a task", expected: format!("1 to {MAX_PAIRS} pairs"), found: pairs });
    }
    if let Some(many) = test.iter().map(|test| test.attempts.len()).find(|&attempts| attempts > MAX_ATTEMPTS) {
        let expected = format!("at most {MAX_ATTEMPTS} attempts");
        return Err(PictureError::Count { what: "a test input", expected, found: many });
    }
    let grids = train.iter().flat_map(|(input, output)| [input, output]);
    let tests = test.iter().flat_map(|test| [&test.input].into_iter().chain(&test.solution).chain(&test.attempts));
    let cell = cell_size(grids.chain(tests).map(|grid| grid.rows().max(grid.columns())).max().unwrap_or(1));

    let mut rows = vec![line(&format!("task {}", name.chars().take(40).collect::<String>()), TEXT)];
    for (index, (input, output)) in train.iter().enumerate() {
        let pair = beside_with_arrow(&draw_grid(input, cell), &draw_grid(output, cell));
        rows.push(titled(&[(format!("train {}", index + 1), FAINT_TEXT)], &pair));
    }
    for (index, test) in test.iter().enumerate() {
        rows.push(test_row(index + 1, test, cell));
    }
    Ok(stacked(&rows).with_margin(MARGIN).framed())
}

fn test_row(number: usize, test: &Attempts, cell: u32) -> Picture {
    let mut columns = vec![titled(&[(format!("test {number}"), TEXT)], &draw_grid(&test.input, cell))];
    for (index, attempt) in test.attempts.iter().enumerate() {
        let mut title = vec![(format!("attempt {}", index + 1), FAINT_TEXT)];
        match &test.solution {
            Some(solution) if solution == attempt => title.push(("right".to_owned(), RIGHT_TEXT)),
            Some(_) => title.push(("wrong".to_owned(), WRONG_TEXT)),
            None => {}
        }
        columns.push(titled(&title, &draw_grid(attempt, cell)));
    }
    if let Some(solution) = &test.solution {
        columns.push(titled(&[("solution".to_owned(), FAINT_TEXT)], &draw_grid(solution, cell)));
    }
    Picture::beside(&columns)
}

/// A drawing below a line of words.
fn titled(title: &[(String, Rgb)], drawing: &Picture) -> Picture {
    let space = text_width(" ");
    let words: u32 = title.iter().map(|(word, _)| text_width(word) + space).sum();
    let width = drawing.width().max(words.saturating_sub(space));
    let top = text_height() + 4;
    let mut picture = Picture::filled(width, top + drawing.height(), BACKGROUND);
    let mut x = 0;
    for (word, colour) in title {
        x = picture.text(word, x, 0, *colour) + space;
    }
    picture.paste(drawing, 0, top);
    picture
}

fn line(text: &str, colour: Rgb) -> Picture {
    let mut picture = Picture::filled(text_width(text).max(1), text_height(), BACKGROUND);
    picture.text(text, 0, 0, colour);
    picture
}

fn stacked(rows: &[Picture]) -> Picture {
    let width = rows.iter().map(Picture::width).max().unwrap_or(1);
    let gaps = GAP * (rows.len().max(1) as u32 - 1);
    let height = rows.iter().map(Picture::height).sum::<u32>() + gaps;
    let mut all = Picture::filled(width, height, BACKGROUND);
    let mut y = 0;
    for row in rows {
        all.paste(row, 0, y);
        y += row.height() + GAP;
    }
    all
}
