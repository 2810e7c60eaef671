//! The generator's fast solver for 9×9: one bit per cell and digit, all singles and locked candidates of a digit found
//! by shifts and masks. Owns speed only; the rating and all other sizes belong to [`super::solver`].
//! Which cell is guessed, and how much propagation sees before, decides the random grids: changing it changes streams.
//!
//! A band (three rows) is 27 bits, cell `9 * row + col`. A triad is three cells of one row in one box; per-triad facts
//! stand at the bit of its first cell, per-row facts at the first bit of the row, per-box facts at bits 0, 3 and 6.

use super::SudokuRng;

const BAND: u32 = 0x7FF_FFFF;
const TRIADS: u32 = 0o111_111_111;
const ROWS: u32 = 0o001_001_001;
const BOXES: u32 = 0o111;
const COLUMNS: u32 = 0o777;
/// Multiplies a per-row fact onto the row's three triads.
const ROW_TO_TRIADS: u32 = 0o111;
/// Multiplies a per-box fact onto the box's three triads, and a per-column fact onto the column's three cells.
const ROW_REPEAT: u32 = 0o001_001_001;
/// Multiplies a per-triad fact onto its three cells.
const TRIAD_TO_CELLS: u32 = 7;

/// `[band][digit]` the places that a digit can still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bitboard([[u32; 9]; 3]);

/// Where propagation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Some cell or some digit of a unit has no place left.
    Dead,
    /// Every cell has its digit.
    Solved,
    /// Neither.
    Open,
}

impl Bitboard {
    /// The cells of a complete grid.
    pub(super) fn of_solution(solution: &[u8]) -> Self {
        let mut bands = [[0; 9]; 3];
        for (cell, &digit) in solution.iter().enumerate() {
            bands[cell / 27][usize::from(digit - 1)] |= 1 << (cell % 27);
        }
        Self(bands)
    }

    /// A solution other than `self` (a complete grid) that agrees with it on the `kept` cells and, if `changed` names
    /// one, differs in that cell; given as the `[band]` cells in which it differs.
    pub(super) fn other_solution(&self, kept: [u32; 3], changed: Option<usize>) -> Option<[u32; 3]> {
        let mut start = *self;
        for (digits, kept) in start.0.iter_mut().zip(kept) {
            for places in digits {
                *places = (BAND & !kept) | (*places & kept);
            }
        }
        if let Some(cell) = changed {
            for digit in 0..9 {
                start.0[cell / 27][digit] &= !(self.0[cell / 27][digit] & 1 << (cell % 27));
            }
        }
        let mut differing = None;
        start.descend(&mut |board| {
            differing =
                Some([0, 1, 2].map(|band| {
                    BAND & !(0..9).fold(0, |same, digit| same | (board.0[band][digit] & self.0[band][digit]))
                }));
            differing != Some([0; 3])
        });
        differing.filter(|&cells| cells != [0; 3])
    }

    /// Every place that the givens (0 = blank) leave open before any propagation.
    pub(super) fn of_givens(givens: &[u8]) -> Self {
        let mut board = Self([[BAND; 9]; 3]);
        for (cell, &given) in givens.iter().enumerate().filter(|(_, given)| **given != 0) {
            board.assume(cell / 27, 1 << (cell % 27), usize::from(given - 1));
        }
        board
    }

    /// Completes givens (0 = blank) at random; `None` when they allow no solution.
    pub(super) fn complete_randomly(givens: &[u8], rng: &mut SudokuRng) -> Option<Vec<u8>> {
        Self::of_givens(givens).first_random(rng).map(|board| board.to_cells().to_vec())
    }

    /// The digits of a complete board, row-major.
    pub(super) fn to_cells(self) -> [u8; 81] {
        let mut cells = [0; 81];
        for (band, digits) in self.0.iter().enumerate() {
            for (digit, &places) in digits.iter().enumerate() {
                let mut places = places;
                while places != 0 {
                    cells[27 * band + places.trailing_zeros() as usize] = digit as u8 + 1;
                    places &= places - 1;
                }
            }
        }
        cells
    }

    /// The cells (as bits of a band) in which a digit (from 0) can still stand.
    pub(super) fn places(&self, band: usize, digit: usize) -> u32 {
        self.0[band][digit]
    }

    /// Takes a digit (from 0) out of cells.
    pub(super) fn exclude(&mut self, band: usize, cells: u32, digit: usize) {
        self.0[band][digit] &= !cells;
    }

    /// Offers every solution below this board to `accept` until it returns true; says whether it did.
    pub(super) fn descend(mut self, accept: &mut impl FnMut(&Self) -> bool) -> bool {
        loop {
            match self.propagate() {
                State::Dead => return false,
                State::Solved => return accept(&self),
                State::Open => {}
            }
            let (band, cell) = self.choose();
            let digit = self.0[band].iter().position(|places| places & cell != 0).unwrap_or_default();
            let mut assumed = self;
            assumed.assume(band, cell, digit);
            if assumed.descend(accept) {
                return true;
            }
            self.0[band][digit] &= !cell;
        }
    }

    fn first_random(mut self, rng: &mut SudokuRng) -> Option<Self> {
        loop {
            match self.propagate() {
                State::Dead => return None,
                State::Solved => return Some(self),
                State::Open => {}
            }
            let (band, cell) = self.choose();
            let candidates = self.0[band].iter().filter(|places| *places & cell != 0).count();
            let nth = rng.below(candidates as u32) as usize;
            let digit = (0..9).filter(|&digit| self.0[band][digit] & cell != 0).nth(nth).unwrap_or_default();
            let mut assumed = self;
            assumed.assume(band, cell, digit);
            if let Some(solution) = assumed.first_random(rng) {
                return Some(solution);
            }
            self.0[band][digit] &= !cell;
        }
    }

    /// Leaves a cell (its bit) only this digit (from 0).
    pub(super) fn assume(&mut self, band: usize, cell: u32, digit: usize) {
        for (other, places) in self.0[band].iter_mut().enumerate() {
            if other != digit {
                *places &= !cell;
            }
        }
    }

    /// An open cell, of two candidates if there is one, else of three, else any: `(band, bit)`.
    fn choose(&self) -> (usize, u32) {
        let mut three = (0, 0);
        let mut any = (0, 0);
        for (band, digits) in self.0.iter().enumerate() {
            let (mut one, mut two, mut more, mut many) = (0, 0, 0, 0);
            for &places in digits {
                many |= more & places;
                more |= two & places;
                two |= one & places;
                one |= places;
            }
            let lowest = |cells: u32| (band, cells & cells.wrapping_neg());
            if two & !more != 0 {
                return lowest(two & !more);
            }
            if three.1 == 0 && more & !many != 0 {
                three = lowest(more & !many);
            }
            if any.1 == 0 && many != 0 {
                any = lowest(many);
            }
        }
        if three.1 == 0 { any } else { three }
    }

    /// Naked and hidden singles and locked candidates of all digits until nothing changes.
    pub(super) fn propagate(&mut self) -> State {
        loop {
            let mut single = [0; 3];
            let mut open = 0;
            for (single, digits) in single.iter_mut().zip(&self.0) {
                let (mut one, mut two) = (0, 0);
                for &places in digits {
                    two |= one & places;
                    one |= places;
                }
                if one != BAND {
                    return State::Dead;
                }
                *single = !two;
                open |= two;
            }
            let Some(next) = self.refine(single) else { return State::Dead };
            if next == *self {
                return if open == 0 { State::Solved } else { State::Open };
            }
            *self = next;
        }
    }

    /// One round for all digits at once: naked singles (`single` marks the cells) clear their peers, then hidden
    /// singles and locked triads are found; `None` when a digit has no place in some unit.
    #[inline]
    fn refine(&self, single: [u32; 3]) -> Option<Self> {
        let mut next = *self;
        let mut found = [[0; 9]; 3];
        let mut missing = 0;
        for digit in 0..9 {
            let places = self.0.map(|band| band[digit]);
            let (places, hidden, lost) = refine_digit(places, single);
            missing |= lost;
            for band in 0..3 {
                next.0[band][digit] = places[band];
                found[band][digit] = hidden[band];
            }
        }
        if missing != 0 {
            return None;
        }
        for (digits, found) in next.0.iter_mut().zip(&found) {
            let taken = found.iter().fold(0, |all, cells| all | cells);
            for (places, found) in digits.iter_mut().zip(found) {
                *places &= !taken | found;
            }
        }
        Some(next)
    }
}

/// One digit's share of a round: its remaining places, its hidden singles, and non-zero if a unit has no place.
#[inline]
fn refine_digit(places: [u32; 3], single: [u32; 3]) -> ([u32; 3], [u32; 3], u32) {
    let mut places = clear_peers(places, single);
    let mut hidden = [0; 3];
    let mut missing = 0;

    let some = places[0] | places[1] | places[2];
    let several = (places[0] & places[1]) | ((places[0] | places[1]) & places[2]);
    let column_some = (some | some >> 9 | some >> 18) & COLUMNS;
    let column_several =
        several | several >> 9 | several >> 18 | (some & some >> 9) | ((some | some >> 9) & some >> 18);
    missing |= column_some ^ COLUMNS;
    let column_single = (column_some & !column_several) * ROW_REPEAT;

    for band in 0..3 {
        let cells = places[band];
        let some = (cells | cells >> 1 | cells >> 2) & TRIADS;
        let several = (cells & cells >> 1) | ((cells | cells >> 1) & cells >> 2);

        let row_some = (some | some >> 3 | some >> 6) & ROWS;
        let row_several = (some & some >> 3) | ((some | some >> 3) & some >> 6);
        let row_only = ((row_some & !row_several) * ROW_TO_TRIADS) & some;

        let box_some = (some | some >> 9 | some >> 18) & BOXES;
        let box_several = (some & some >> 9) | ((some | some >> 9) & some >> 18);
        let box_only = ((box_some & !box_several) * ROW_REPEAT) & some;

        missing |= (row_some ^ ROWS) | (box_some ^ BOXES);
        // A digit confined to one triad of its row leaves the box's other triads, and the other way round.
        let lost = (boxes_of(row_only) & !row_only) | (rows_of(box_only) & !box_only);
        let alone = (((row_only | box_only) & !several) * TRIAD_TO_CELLS) | column_single;
        hidden[band] = cells & alone;
        places[band] = cells & !(lost * TRIAD_TO_CELLS);
    }
    (places, hidden, missing)
}

/// Removes a digit from the rows, columns and boxes of its `single` cells, those cells excepted.
#[inline]
fn clear_peers(places: [u32; 3], single: [u32; 3]) -> [u32; 3] {
    let placed = [0, 1, 2].map(|band| places[band] & single[band]);
    let any = placed[0] | placed[1] | placed[2];
    let columns = ((any | any >> 9 | any >> 18) & COLUMNS) * ROW_REPEAT;
    [0, 1, 2].map(|band| {
        let cells = placed[band];
        let triads = (cells | cells >> 1 | cells >> 2) & TRIADS;
        let seen = ((rows_of(triads) | boxes_of(triads)) * TRIAD_TO_CELLS) | columns;
        places[band] & (!seen | cells)
    })
}

/// All triads in the rows of the given triads.
#[inline]
fn rows_of(triads: u32) -> u32 {
    ((triads | triads >> 3 | triads >> 6) & ROWS) * ROW_TO_TRIADS
}

/// All triads in the boxes of the given triads.
#[inline]
fn boxes_of(triads: u32) -> u32 {
    ((triads | triads >> 9 | triads >> 18) & BOXES) * ROW_REPEAT
}

#[cfg(test)]
mod tests {
    use super::super::{Board, SudokuShape, Verdict, solve};
    use super::*;

    /// A random grid, and the cells of a random subset of `count` of them.
    fn random_case(rng: &mut SudokuRng, count: usize) -> (Vec<u8>, Vec<u8>, [u32; 3]) {
        let mut first_row: Vec<u8> = (1..=9).collect();
        rng.shuffle(&mut first_row);
        first_row.resize(81, 0);
        let solution = Bitboard::complete_randomly(&first_row, rng).unwrap();
        let mut order: Vec<usize> = (0..81).collect();
        rng.shuffle(&mut order);
        let (mut givens, mut kept) = (vec![0; 81], [0; 3]);
        for &cell in &order[..count] {
            givens[cell] = solution[cell];
            kept[cell / 27] |= 1 << (cell % 27);
        }
        (solution, givens, kept)
    }

    #[test]
    fn random_grids_are_complete_and_valid() {
        let mut rng = SudokuRng::from_seed(21);
        for _ in 0..500 {
            let (solution, ..) = random_case(&mut rng, 0);
            let board = Board::from_cells(SudokuShape::NINE, solution).unwrap();
            assert!(board.is_complete() && board.is_valid());
        }
        let mut clash = vec![0; 81];
        clash[..2].fill(4);
        assert_eq!(Bitboard::complete_randomly(&clash, &mut rng), None);
    }

    #[test]
    fn uniqueness_agrees_with_the_general_solver() {
        let mut rng = SudokuRng::from_seed(22);
        let mut unique = 0;
        for case in 0..3_000 {
            let (solution, givens, kept) = random_case(&mut rng, 18 + case % 40);
            let expected = solve(&Board::from_cells(SudokuShape::NINE, givens).unwrap());
            let rival = Bitboard::of_solution(&solution).other_solution(kept, None);
            assert_eq!(rival.is_none(), expected.verdict == Verdict::Unique);
            unique += u32::from(rival.is_none());
            if let Some(cells) = rival {
                assert!((0..3).all(|band| cells[band] & kept[band] == 0), "a rival must keep the kept cells");
            }
        }
        assert!((300..2_700).contains(&unique), "the sample must hold both cases: {unique} of 3000 are unique");
    }

    #[test]
    fn a_rival_that_must_change_one_cell_agrees_with_the_general_solver() {
        let mut rng = SudokuRng::from_seed(23);
        let mut rivals = 0_u32;
        for case in 0..1_500 {
            let (solution, givens, kept) = random_case(&mut rng, 30 + case % 30);
            let changed = (0..81).find(|&cell| givens[cell] == 0).unwrap();
            // The general solver tries each of the other digits in that cell.
            let expected = (1..=9).filter(|&digit| digit != solution[changed]).any(|digit| {
                let mut cells = givens.clone();
                cells[changed] = digit;
                solve(&Board::from_cells(SudokuShape::NINE, cells).unwrap()).verdict != Verdict::None
            });
            let rival = Bitboard::of_solution(&solution).other_solution(kept, Some(changed));
            assert_eq!(rival.is_some(), expected);
            if let Some(cells) = rival {
                rivals += 1;
                let differs = |cell: usize| cells[cell / 27] >> (cell % 27) & 1 == 1;
                assert!(differs(changed) && (0..81).all(|cell| givens[cell] == 0 || !differs(cell)));
                let same = (0..81).map(|cell| if differs(cell) { 0 } else { solution[cell] }).collect();
                let verdict = solve(&Board::from_cells(SudokuShape::NINE, same).unwrap()).verdict;
                assert_eq!(verdict, Verdict::Multiple, "what the rival shares with the grid must allow both");
            }
        }
        assert!((100..1_400).contains(&rivals), "the sample must hold both cases: {rivals} of 1500");
    }
}
