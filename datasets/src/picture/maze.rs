//! Mazes of every side. Owns walls, ends and the path's marks; leaves which cell is wrong to [`super::scene`].

use super::canvas::{Area, Picture};
use super::colours::{CHANGED, MAZE_COLOURS, PAPER, WRONG, WRONG_PAPER};
use super::font::Size;
use super::scene::Scene;
use crate::maze::{Cell, MazeShape};

/// Cells of one colour without lines between them; start and goal carry their letter.
pub(super) fn draw(shape: MazeShape, scene: &Scene) -> Picture {
    let size = match shape.side() {
        0..=12 => 26,
        13..=20 => 20,
        21..=45 => 14,
        _ => 8,
    };
    let side = shape.side() as u32 * size;
    let mut picture = Picture::filled(side, side, PAPER);
    for (cell, &token) in scene.shown.iter().enumerate() {
        let (row, column) = shape.place_of(cell);
        let area = Area { x: column as u32 * size, y: row as u32 * size, width: size, height: size };
        draw_cell(&mut picture, area, token, scene.is_wrong(cell));
        if scene.is_changed(cell) {
            picture.outline(area, if size > 14 { 2 } else { 1 }, CHANGED);
        }
    }
    picture
}

fn draw_cell(picture: &mut Picture, area: Area, token: i32, is_wrong: bool) {
    let found = Cell::from_token(token);
    let ground = match found {
        _ if is_wrong => WRONG_PAPER,
        None | Some(Cell::Path) => PAPER,
        Some(cell) => MAZE_COLOURS[cell as usize - 1],
    };
    picture.fill(area, ground);
    // Marks keep clear of the cell's edge, by which a reader of pictures knows the ground.
    let mark = area.inset((area.width / 4).max(2));
    let letter = |picture: &mut Picture, letter, colour| {
        if area.width >= 12 {
            picture.letter(letter, area, Size::Small, colour);
        }
    };
    match found {
        Some(Cell::Path) if is_wrong => picture.fill(mark, WRONG),
        Some(Cell::Path) => picture.fill(mark, MAZE_COLOURS[Cell::Path as usize - 1]),
        // A mark that is missing is a ring, whatever else is wrong shows what was said.
        Some(Cell::Free) if is_wrong => picture.outline(mark, (area.width / 8).max(1), WRONG),
        Some(Cell::Wall) if is_wrong => letter(picture, '#', WRONG),
        Some(Cell::Start) => letter(picture, 'S', if is_wrong { WRONG } else { PAPER }),
        Some(Cell::Goal) => letter(picture, 'G', if is_wrong { WRONG } else { PAPER }),
        None => letter(picture, '?', WRONG),
        Some(Cell::Free | Cell::Wall) => {}
    }
}
