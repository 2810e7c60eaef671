//! Sudoku boards of every size. Owns lines, grounds and digits; leaves which cell is wrong to [`super::scene`].

use super::canvas::{Area, Picture};
use super::colours::{ANSWER, CHANGED, GIVEN, INK, LINE, PAPER, WRONG, WRONG_PAPER};
use super::font::Size;
use super::scene::Scene;
use crate::sudoku::SudokuShape;

const THIN: u32 = 1;
const THICK: u32 = 3;
const CELL: u32 = 36;
const SMALL_CELL: u32 = 28;
const BLANK_TOKEN: i32 = 1;

/// Places and size of the cells of a board.
struct Layout {
    cell: u32,
    size: usize,
    /// Cells between two thick lines, for rows and for columns.
    blocks: (usize, usize),
}

impl Layout {
    fn new(shape: SudokuShape) -> Self {
        let cell = if shape.size() > 9 { SMALL_CELL } else { CELL };
        Self { cell, size: shape.size(), blocks: (shape.box_rows(), shape.box_cols()) }
    }

    /// First pixel of a row or column of cells.
    fn start(&self, index: usize, block: usize) -> u32 {
        let thick = index / block + 1;
        index as u32 * self.cell + thick as u32 * THICK + (index + 1 - thick) as u32 * THIN
    }

    /// Pixels of all rows or columns with the lines around them.
    fn length(&self, block: usize) -> u32 {
        self.start(self.size, block)
    }

    fn area(&self, cell: usize) -> Area {
        let (row, column) = (cell / self.size, cell % self.size);
        let (x, y) = (self.start(column, self.blocks.1), self.start(row, self.blocks.0));
        Area { x, y, width: self.cell, height: self.cell }
    }
}

/// The board of a scene; givens are dark on grey, what was written is blue, wrong is red, changed has a frame.
pub(super) fn draw(shape: SudokuShape, scene: &Scene) -> Picture {
    let layout = Layout::new(shape);
    let mut picture = Picture::filled(layout.length(layout.blocks.1), layout.length(layout.blocks.0), INK);
    // Thin lines are what thick ones and cells leave of each box.
    for row in (0..layout.size).step_by(layout.blocks.0) {
        for column in (0..layout.size).step_by(layout.blocks.1) {
            let first = layout.area(row * layout.size + column);
            let last = layout.area((row + layout.blocks.0 - 1) * layout.size + column + layout.blocks.1 - 1);
            let (width, height) = (last.x + layout.cell - first.x, last.y + layout.cell - first.y);
            picture.fill(Area { width, height, ..first }, LINE);
        }
    }
    for cell in 0..shape.cells() {
        let area = layout.area(cell);
        let is_given = scene.input[cell] > BLANK_TOKEN && scene.input[cell] == scene.shown[cell];
        let (ground, ink) = match (scene.is_wrong(cell), is_given) {
            (true, _) => (WRONG_PAPER, WRONG),
            (false, true) => (GIVEN, INK),
            (false, false) => (PAPER, ANSWER),
        };
        picture.fill(area, ground);
        if scene.is_changed(cell) {
            picture.outline(area, 3, CHANGED);
        }
        if let Some(sign) = sign(shape, scene.shown[cell]) {
            picture.letter(sign, area, if shape.size() > 9 { Size::Small } else { Size::Large }, ink);
        }
    }
    picture
}

/// The digit of a token, letters from 10 on; nothing for a blank, a question mark for what is not a cell.
fn sign(shape: SudokuShape, token: i32) -> Option<char> {
    if token == BLANK_TOKEN {
        return None;
    }
    let digit = u32::try_from(token - BLANK_TOKEN).ok().filter(|&digit| digit <= shape.size() as u32);
    Some(digit.and_then(|digit| char::from_digit(digit, 17)).map_or('?', |sign| sign.to_ascii_uppercase()))
}
