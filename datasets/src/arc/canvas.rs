//! Grids as tokens on the 30×30 canvas: padding 0, end of grid 1, colours 2 to 11.
//! Owns encoding with translation and cropping of predictions; leaves batches to [`crate::loader`].

use super::augmentation::Augmentation;
use super::grid::{Grid, MAX_SIDE};
use crate::numpy::LegacyGenerator;

/// Rows and columns of the canvas.
pub const CANVAS_SIDE: usize = MAX_SIDE;
/// Tokens of a canvas.
pub const SEQ_LEN: usize = CANVAS_SIDE * CANVAS_SIDE;
/// Token values: padding, end of grid, ten colours.
pub const VOCAB_SIZE: usize = 12;
/// Token around a grid.
pub const PAD_TOKEN: u8 = 0;
/// Token of the line below and the line to the right of a grid.
pub const EOS_TOKEN: u8 = 1;
/// Token of colour 0.
pub const COLOUR_OFFSET: u8 = 2;

/// Where the upper left corner of a pair's grids lies on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placement {
    /// Canvas row of the first grid row.
    pub row: u8,
    /// Canvas column of the first grid column.
    pub column: u8,
}

impl Placement {
    /// The upper left corner.
    pub const CORNER: Self = Self { row: 0, column: 0 };

    /// Draws a place where both grids of a pair fit, given as `(rows, columns)`; the reference's
    /// `np_grid_to_seq_translational_augment`.
    ///
    /// # Panics
    /// When a grid is larger than the canvas.
    pub fn draw(rng: &mut LegacyGenerator, input: (usize, usize), output: (usize, usize)) -> Self {
        let mut draw = |side: usize| rng.randint(0..(CANVAS_SIDE - side + 1) as u64) as u8;
        let row = draw(input.0.max(output.0));
        let column = draw(input.1.max(output.1));
        Self { row, column }
    }
}

/// Tokens of an augmented grid at a place of the canvas, `[30 * 30]`, into `tokens`.
///
/// # Panics
/// When `tokens` is not a canvas or the grid does not fit at that place.
pub fn encode(grid: &Grid, augmentation: &Augmentation, placement: Placement, tokens: &mut [u8]) {
    assert_eq!(tokens.len(), SEQ_LEN, "a canvas has 900 tokens");
    let (top, left) = (usize::from(placement.row), usize::from(placement.column));
    let (rows, columns) = augmentation.transform.shape(grid.rows(), grid.columns());
    let (bottom, right) = (top + rows, left + columns);
    assert!(bottom <= CANVAS_SIDE && right <= CANVAS_SIDE, "{rows}x{columns} at {placement:?}");
    tokens.fill(PAD_TOKEN);
    let path = augmentation.transform.path(grid.rows(), grid.columns());
    let colours = augmentation.colours.colours().map(|colour| colour + COLOUR_OFFSET);
    let cells = grid.cells();
    for (row, line) in tokens.chunks_exact_mut(CANVAS_SIDE).skip(top).take(rows).enumerate() {
        for (token, source) in line[left..right].iter_mut().zip(path.row(row, 0..columns)) {
            *token = colours[usize::from(cells[source])];
        }
        if let Some(token) = line.get_mut(right) {
            *token = EOS_TOKEN;
        }
    }
    if bottom < CANVAS_SIDE {
        tokens[bottom * CANVAS_SIDE + left..][..columns].fill(EOS_TOKEN);
    }
}

/// The grid that a predicted canvas shows: the largest rectangle at the upper left corner that holds colours only,
/// of equally large ones the one of fewest rows. [`Grid::empty`] when the corner is not a colour. (The reference's `_crop`.)
///
/// # Panics
/// When `tokens` is not a canvas.
pub fn crop<T: Copy + Into<i64>>(tokens: &[T]) -> Grid {
    assert_eq!(tokens.len(), SEQ_LEN, "a canvas has 900 tokens");
    let colour = |token: T| {
        let colour = token.into() - i64::from(COLOUR_OFFSET);
        (0..(VOCAB_SIZE as i64 - i64::from(COLOUR_OFFSET))).contains(&colour).then_some(colour as u8)
    };
    let (mut rows, mut columns) = (0, 0);
    let mut width = CANVAS_SIDE;
    for (row, line) in tokens.chunks_exact(CANVAS_SIDE).enumerate() {
        width = line[..width].iter().position(|&token| colour(token).is_none()).unwrap_or(width);
        if (row + 1) * width > rows * columns {
            (rows, columns) = (row + 1, width);
        }
    }
    let lines = tokens.chunks_exact(CANVAS_SIDE).take(rows);
    let cells = lines.flat_map(|line| &line[..columns]).filter_map(|&token| colour(token)).collect();
    Grid::from_valid(rows, columns, cells)
}

/// The grid that lies anywhere on a canvas: all its colours, which must fill a rectangle. `None` where they do not, or
/// there are none.
///
/// # Panics
/// When `tokens` is not a canvas.
pub fn find_grid(tokens: &[i32]) -> Option<Grid> {
    assert_eq!(tokens.len(), SEQ_LEN, "a canvas has 900 tokens");
    let is_colour = |token: i32| (i32::from(COLOUR_OFFSET)..VOCAB_SIZE as i32).contains(&token);
    let first = tokens.iter().position(|&token| is_colour(token))?;
    let (top, left) = (first / CANVAS_SIDE, first % CANVAS_SIDE);
    let columns = tokens[first..(top + 1) * CANVAS_SIDE].iter().take_while(|&&token| is_colour(token)).count();
    let down = tokens[first..].iter().step_by(CANVAS_SIDE);
    let rows = down.take_while(|&&token| is_colour(token)).count();
    let lines = tokens.chunks_exact(CANVAS_SIDE).skip(top).take(rows);
    let cells: Vec<u8> = lines
        .flat_map(|line| &line[left..left + columns])
        .filter(|&&token| is_colour(token))
        .map(|&token| token as u8 - COLOUR_OFFSET)
        .collect();
    let all = tokens.iter().filter(|&&token| is_colour(token)).count();
    (cells.len() == rows * columns && all == cells.len()).then(|| Grid::from_valid(rows, columns, cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_found_wherever_it_lies_and_nothing_else_is_taken_for_one() {
        let grid = Grid::from_rows(&[[0, 5, 9], [1, 0, 2]]).unwrap();
        let mut canvas = vec![0; SEQ_LEN];
        for (row, column) in [(0, 0), (7, 3), (28, 27)] {
            encode(&grid, &Augmentation::IDENTITY, Placement { row, column }, &mut canvas);
            let tokens: Vec<i32> = canvas.iter().map(|&token| i32::from(token)).collect();
            assert_eq!(find_grid(&tokens), Some(grid.clone()), "at {row}, {column}");
            let corner = usize::from(row) * CANVAS_SIDE + usize::from(column);
            for (index, token) in [(450, 3), (corner, 1), (corner + CANVAS_SIDE + 1, 0), (corner + 2, 12)] {
                let mut spoilt = tokens.clone();
                spoilt[index] = token;
                assert_eq!(find_grid(&spoilt), None, "token {token} at {index}, grid at {row}, {column}");
            }
        }
        assert_eq!(find_grid(&[0; SEQ_LEN]), None);
        assert_eq!(find_grid(&[12; SEQ_LEN]), None);
    }
}
