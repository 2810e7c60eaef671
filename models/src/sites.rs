//! Which sites of a batch of boards live, and how they are wired: read off the tokens, on the host. Leaves what lives on a
//! site, and where it is computed, to the backends that take live sites alone.

use crate::{STENCIL, UNIT_KINDS};

/// The live sites of a batch, board after board.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveSites {
    /// `[live]`: place of each among all sites of the batch.
    pub places: Vec<i64>,
    /// `[live]`: board of the batch.
    pub boards: Vec<i64>,
    /// `[batch + 1]`: first live site of each board, and how many there are in all.
    pub rows: Vec<i32>,
    /// Of candidates `[live, 4]` units, numbered from 0 in each board, kind by kind; of cells `[live, 9]` live cells of the board
    /// around each, row by row from the upper left, or their number where nothing lives.
    pub links: Vec<i32>,
    /// `[batch + 1]`: first unit of each board, and how many there are in all; empty for cells.
    pub units: Vec<i32>,
}

/// For each candidate of the boards `tokens` `[batch, side²]` whether it is open, as
/// [`Backend::candidates`](crate::Backend::candidates) has it: `[batch, side², side]`.
pub fn open_candidates(tokens: &[i64], side: usize) -> Vec<bool> {
    let units = UnitsOfBoard::new(side);
    tokens.chunks_exact((side * side).max(1)).flat_map(|board| units.live(board)).collect()
}

impl LiveSites {
    /// The open candidates of boards: `mask` `[batch, side², side]`.
    pub fn of_candidates(mask: &[bool], side: usize) -> Self {
        let mut live = Self { units: vec![0], ..Self::default() };
        let of_board = UnitsOfBoard::new(side);
        let sites = side.pow(3).max(1);
        for board in mask.chunks_exact(sites) {
            let of_site: Vec<[usize; UNIT_KINDS]> =
                live.board(board).iter().map(|site| of_board.of(site / side, site % side)).collect();
            // Only units that have a live candidate get a number.
            let mut next = 0_i32;
            let mut numbers = vec![[0_i32; UNIT_KINDS]; side * side];
            for kind in 0..UNIT_KINDS {
                let mut used = vec![false; side * side];
                for units in &of_site {
                    used[units[kind]] = true;
                }
                for unit in (0..side * side).filter(|&unit| used[unit]) {
                    numbers[unit][kind] = next;
                    next += 1;
                }
            }
            for units in &of_site {
                live.links.extend((0..UNIT_KINDS).map(|kind| numbers[units[kind]][kind]));
            }
            live.units.push(live.units.last().copied().unwrap_or_default() + next);
        }
        live.rows.push(live.places.len() as i32);
        live
    }

    /// The free cells of boards: `mask` `[batch, side²]`.
    pub fn of_cells(mask: &[bool], side: usize) -> Self {
        let mut live = Self::default();
        for board in mask.chunks_exact((side * side).max(1)) {
            let cells = live.board(board);
            let count = cells.len() as i32;
            let mut numbers = vec![count; side * side];
            cells.iter().zip(0..).for_each(|(&cell, number)| numbers[cell] = number);
            for cell in cells {
                let (row, column) = (cell / side, cell % side);
                live.links.extend((0..STENCIL).map(|neighbour| {
                    // Above or left of the first row or column wraps to a huge number, which is outside as well.
                    let row = (row + neighbour / 3).wrapping_sub(1);
                    let column = (column + neighbour % 3).wrapping_sub(1);
                    if row < side && column < side { numbers[row * side + column] } else { count }
                }));
            }
        }
        live.rows.push(live.places.len() as i32);
        live
    }

    /// Appends the live sites of the next board and returns their places on it.
    fn board(&mut self, mask: &[bool]) -> Vec<usize> {
        let board = self.rows.len();
        let sites: Vec<usize> = (0..mask.len()).filter(|&site| mask[site]).collect();
        self.rows.push(self.places.len() as i32);
        self.places.extend(sites.iter().map(|site| (board * mask.len() + site) as i64));
        self.boards.resize(self.places.len(), board as i64);
        sites
    }
}

/// The token of a blank; that of digit `d`, from 1, is `d + 1`.
const BLANK: i64 = 1;

/// Which units a candidate belongs to on boards of one side.
struct UnitsOfBoard {
    side: usize,
    box_rows: usize,
}

impl UnitsOfBoard {
    fn new(side: usize) -> Self {
        Self { side, box_rows: side.isqrt() }
    }

    /// Units of a candidate by kind, each kind counted from 0: its cell, and its digit in its row, column and box.
    fn of(&self, cell: usize, digit: usize) -> [usize; UNIT_KINDS] {
        let Self { side, box_rows } = *self;
        let (row, column) = (cell / side, cell % side);
        let boxes_across = box_rows;
        let square = row / box_rows * boxes_across + column / (side / box_rows);
        [cell, row * side + digit, column * side + digit, square * side + digit]
    }

    /// For each candidate whether it is open: its cell blank, and its digit given in none of its units.
    fn live(&self, board: &[i64]) -> Vec<bool> {
        let side = self.side;
        let mut taken = vec![[false; UNIT_KINDS]; side * side];
        for (cell, &token) in board.iter().enumerate() {
            let digit = token - BLANK - 1;
            if (0..side as i64).contains(&digit) {
                for (kind, unit) in self.of(cell, digit as usize).into_iter().enumerate() {
                    taken[unit][kind] = true;
                }
            }
        }
        let is_open = |cell: usize, digit: usize| {
            let units = self.of(cell, digit);
            board[cell] == BLANK && (0..UNIT_KINDS).all(|kind| !taken[units[kind]][kind])
        };
        (0..side * side)
            .flat_map(|cell| (0..side).map(move |digit| (cell, digit)))
            .map(|(c, d)| is_open(c, d))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_candidates_of_a_small_board_and_their_units() {
        // 4 × 4 with the digits 1 2 3 . / 3 4 . . / 2 1 4 3 / 4 3 2 1: what is left is the upper right box.
        let tokens = [2, 3, 4, 1, 4, 5, 1, 1, 3, 2, 5, 4, 5, 4, 3, 2];
        let mask = open_candidates(&tokens, 4);
        let open: Vec<usize> = (0..64).filter(|&site| mask[site]).collect();
        // Cell 3 takes 4; cell 6 takes 1; cell 7 takes 2.
        assert_eq!(open, [3 * 4 + 3, 6 * 4, 7 * 4 + 1]);
        let twice: Vec<bool> = [mask.clone(), mask].concat();
        let live = LiveSites::of_candidates(&twice, 4);
        assert_eq!(live.places, [15, 24, 29, 64 + 15, 64 + 24, 64 + 29]);
        assert_eq!((live.boards, live.rows), (vec![0, 0, 0, 1, 1, 1], vec![0, 3, 6]));
        // Three units of each kind, in the order of cells, and of rows, columns and boxes with their digits.
        assert_eq!(live.links[..12], [0, 3, 8, 11, 1, 4, 6, 9, 2, 5, 7, 10]);
        assert_eq!(live.units, [0, 12, 24]);
        // A digit twice in a row closes it in both columns; nothing is open on a full board.
        assert!(!open_candidates(&[3; 16], 4).contains(&true));
        assert_eq!(LiveSites::of_candidates(&[false; 64], 4).rows, [0, 0]);
    }

    #[test]
    fn free_cells_and_what_is_around_them() {
        // . # / . . with a wall in the upper right corner.
        let live = LiveSites::of_cells(&[true, false, true, true], 2);
        assert_eq!((live.places, live.rows, live.units), (vec![0, 2, 3], vec![0, 3], vec![]));
        let around = [[3, 3, 3, 3, 0, 3, 3, 1, 2], [3, 0, 3, 3, 1, 2, 3, 3, 3], [0, 3, 3, 1, 2, 3, 3, 3, 3]];
        assert_eq!(live.links, around.concat());
    }
}
