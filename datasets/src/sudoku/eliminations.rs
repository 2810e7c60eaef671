//! Eliminations that only the rating needs: what the fast 9×9 board leaves out of its propagation to be fast.
//! Owns locked candidates of columns and pairs of all units; leaves singles and rows to [`super::bitboard`].

use super::SudokuShape;
use super::bitboard::{Bitboard, State};
use super::layout::Layout;

/// First columns of the three stacks.
const STACKS: u32 = 0o111;
const COLUMNS: u32 = 0o777;
/// Multiplies a per-column fact onto the three cells of the column in a band.
const COLUMN_TO_CELLS: u32 = 0o001_001_001;

/// Singles and locked candidates of rows and columns until nothing changes: the same for all symmetric copies.
pub(super) fn propagate(board: &mut Bitboard) -> State {
    loop {
        match board.propagate() {
            State::Open if lock_columns(board) => {}
            state => return state,
        }
    }
}

/// Removes what a digit confined to one column of a box, or to one box of a column, rules out.
fn lock_columns(board: &mut Bitboard) -> bool {
    let before = *board;
    for digit in 0..9 {
        // [band]: columns in which the digit has a place.
        let columns = [0, 1, 2].map(|band| {
            let places = board.places(band, digit);
            (places | places >> 9 | places >> 18) & COLUMNS
        });
        for band in 0..3 {
            let own = columns[band];
            let others = [columns[(band + 1) % 3], columns[(band + 2) % 3]];
            let some = (own | own >> 1 | own >> 2) & STACKS;
            let several = (own & own >> 1) | ((own | own >> 1) & own >> 2);
            let only_column = ((some & !several) * 7) & own;
            for other in [(band + 1) % 3, (band + 2) % 3] {
                board.exclude(other, only_column * COLUMN_TO_CELLS, digit);
            }
            let only_box = own & !(others[0] | others[1]);
            let boxes = ((only_box | only_box >> 1 | only_box >> 2) & STACKS) * 7;
            board.exclude(band, (boxes & !only_box) * COLUMN_TO_CELLS, digit);
        }
    }
    *board != before
}

/// Removes what naked and hidden pairs of any unit rule out; says whether anything went.
pub(super) fn eliminate_pairs(board: &mut Bitboard) -> bool {
    let before = *board;
    for unit in Layout::of(SudokuShape::NINE).units() {
        naked_pairs(board, unit);
        hidden_pairs(board, unit);
    }
    *board != before
}

/// Two cells with the same two candidates leave them to no other cell of the unit.
fn naked_pairs(board: &mut Bitboard, unit: &[u8]) {
    let candidates: Vec<u16> = unit.iter().map(|&cell| candidates_of(board, cell)).collect();
    for first in 0..9 {
        let pair = candidates[first];
        if pair.count_ones() == 2 && candidates[first + 1..].contains(&pair) {
            let others = unit.iter().zip(&candidates).filter(|(_, other)| **other != pair);
            for (&cell, _) in others {
                exclude(board, cell, pair);
            }
        }
    }
}

/// Two digits with the same two places in a unit leave these no other candidate.
fn hidden_pairs(board: &mut Bitboard, unit: &[u8]) {
    let places: Vec<u16> = (0..9)
        .map(|digit| {
            let can_hold = |&(_, &cell): &(usize, &u8)| candidates_of(board, cell) >> digit & 1 == 1;
            unit.iter().enumerate().filter(can_hold).fold(0, |places, (index, _)| places | 1 << index)
        })
        .collect();
    for first in 0..9 {
        for second in first + 1..9 {
            if places[first] == places[second] && places[first].count_ones() == 2 {
                for (_, &cell) in unit.iter().enumerate().filter(|(index, _)| places[first] >> index & 1 == 1) {
                    exclude(board, cell, !(1 << first | 1 << second));
                }
            }
        }
    }
}

/// Bit `d - 1` stands for digit `d`.
fn candidates_of(board: &Bitboard, cell: u8) -> u16 {
    let (band, bit) = (usize::from(cell) / 27, u32::from(cell) % 27);
    (0..9).fold(0, |bits, digit| bits | ((board.places(band, digit) >> bit & 1) as u16) << digit)
}

fn exclude(board: &mut Bitboard, cell: u8, digits: u16) {
    let (band, bit) = (usize::from(cell) / 27, 1 << (cell % 27));
    (0..9).filter(|digit| digits >> digit & 1 == 1).for_each(|digit| board.exclude(band, bit, digit));
}
