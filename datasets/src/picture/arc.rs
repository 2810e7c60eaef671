//! ARC grids in their ten colours. Owns cells, lines and marks on them; leaves sheets of whole tasks to [`super::sheet`].

use std::ops::Range;

use super::canvas::{Area, Picture};
use super::colours::{ARC_COLOURS, ARC_LINE, BACKGROUND, INK, PAPER, Rgb, WRONG};
use super::scene::Scene;
use crate::arc::{CANVAS_SIDE, COLOUR_OFFSET, Grid};

/// Between the cells, as on ARC's own page.
pub(super) const LINE: u32 = 1;
/// Signs between question and answer.
const ARROW: u32 = 20;

/// Pixels per cell such that grids of up to this side stay handy.
pub(super) fn cell_size(side: usize) -> u32 {
    match side {
        0..=6 => 32,
        7..=12 => 24,
        13..=20 => 18,
        _ => 14,
    }
}

/// A grid without rings.
pub(super) fn draw_grid(grid: &Grid, cell: u32) -> Picture {
    let columns = grid.columns().max(1);
    let mut picture = lines(grid.rows().max(1), columns, cell);
    for (index, &colour) in grid.cells().iter().enumerate() {
        picture.fill(area(index / columns, index % columns, cell), ARC_COLOURS[usize::from(colour)]);
    }
    picture
}

/// What stands on the canvases of a scene: the question, an arrow, the answer. Cells without a colour stay empty.
pub(super) fn draw_canvas(scene: &Scene) -> Picture {
    let all = [Some(scene.shown), scene.before, scene.label];
    let answer = Extent::of(all.into_iter().flatten());
    let question = Extent::of([scene.input]);
    let cell = cell_size(answer.longest().max(question.longest()));
    let left = question.draw(cell, |token| scene.input[token], |_| false, |_| false);
    if std::ptr::eq(scene.input, scene.shown) {
        return left;
    }
    let right =
        answer.draw(cell, |token| scene.shown[token], |token| scene.is_wrong(token), |token| scene.is_changed(token));
    beside_with_arrow(&left, &right)
}

/// Two grids and the arrow between them, centred on each other.
pub(super) fn beside_with_arrow(left: &Picture, right: &Picture) -> Picture {
    let height = left.height().max(right.height()).max(ARROW);
    let gap = 2 * ARROW;
    let mut all = Picture::filled(left.width() + gap + right.width(), height, BACKGROUND);
    all.paste(left, 0, (height - left.height()) / 2);
    all.paste(right, left.width() + gap, (height - right.height()) / 2);
    // A triangle, column by column.
    let (tip, middle) = (left.width() + ARROW / 2 + ARROW, height / 2);
    for step in 0..ARROW / 2 {
        let area = Area { x: tip - ARROW / 2 - step, y: middle - step, width: 1, height: 2 * step + 1 };
        all.fill(area, super::colours::FAINT_TEXT);
    }
    all
}

/// The part of a canvas that holds colours, over all that is compared.
struct Extent {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Extent {
    fn of<'a>(canvases: impl IntoIterator<Item = &'a [i32]>) -> Self {
        let (mut rows, mut columns) = ((CANVAS_SIDE, 0), (CANVAS_SIDE, 0));
        for canvas in canvases {
            for (index, _) in canvas.iter().enumerate().filter(|(_, token)| colour_of(**token).is_some()) {
                let (row, column) = (index / CANVAS_SIDE, index % CANVAS_SIDE);
                rows = (rows.0.min(row), rows.1.max(row + 1));
                columns = (columns.0.min(column), columns.1.max(column + 1));
            }
        }
        if rows.1 == 0 {
            // Nothing to see is one empty cell.
            (rows, columns) = ((0, 1), (0, 1));
        }
        Self { rows: rows.0..rows.1, columns: columns.0..columns.1 }
    }

    fn longest(&self) -> usize {
        self.rows.len().max(self.columns.len())
    }

    fn draw(
        &self,
        cell: u32,
        token: impl Fn(usize) -> i32,
        is_wrong: impl Fn(usize) -> bool,
        is_changed: impl Fn(usize) -> bool,
    ) -> Picture {
        let mut picture = lines(self.rows.len(), self.columns.len(), cell);
        for row in self.rows.clone() {
            for column in self.columns.clone() {
                let index = row * CANVAS_SIDE + column;
                let area = area(row - self.rows.start, column - self.columns.start, cell);
                // Empty cells have the ground of the page, which is not a colour of ARC.
                picture.fill(area, colour_of(token(index)).unwrap_or(BACKGROUND));
                if is_wrong(index) {
                    mark_wrong(&mut picture, area);
                }
                if is_changed(index) {
                    picture.outline(area, 2, PAPER);
                    picture.outline(area.inset(2), 1, INK);
                }
            }
        }
        picture
    }
}

/// A red square with a light and a dark edge: it stands out on every colour.
fn mark_wrong(picture: &mut Picture, area: Area) {
    let mark = area.inset(area.width / 3 - 1);
    picture.fill(mark, WRONG);
    picture.outline(mark, 1, PAPER);
}

fn lines(rows: usize, columns: usize, cell: u32) -> Picture {
    let length = |count: usize| count as u32 * (cell + LINE) + LINE;
    Picture::filled(length(columns), length(rows), ARC_LINE)
}

fn area(row: usize, column: usize, cell: u32) -> Area {
    let start = |index: usize| index as u32 * (cell + LINE) + LINE;
    Area { x: start(column), y: start(row), width: cell, height: cell }
}

fn colour_of(token: i32) -> Option<Rgb> {
    let colour = usize::try_from(token).ok()?.checked_sub(usize::from(COLOUR_OFFSET))?;
    ARC_COLOURS.get(colour).copied()
}
