//! Pins: a board with a guess added as if it were given, an easier puzzle whose solutions solve the board.
//! Owns which guesses come in which order; leaves solving, and telling a wrong guess, to the caller.

use super::draw::Purpose;
use super::layout::Layout;
use super::{Board, SudokuRng};

/// Boards that pin one digit; further ones pin two.
const SINGLE_PINS: usize = 24;

/// Board number `number` of those that `seed` pins on `board`; `None` where a blank cell has no digit left, or no cell
/// is blank.
///
/// The first boards pin one digit each: all digits of a cell one after the other, cells with the fewest digits left
/// first, so that one board in two or three has a right guess. Later ones pin two at random.
pub fn pinned(board: &Board, seed: u64, number: u64) -> Option<Board> {
    let shape = board.shape();
    let mut ranked = ranked_cells(board, &mut Purpose::Pin.stream(seed, shape, 0))?;
    let guesses = ranked.iter().flat_map(|(cell, digits)| digits.iter().map(move |&digit| (*cell, digit)));
    if (number as usize) < SINGLE_PINS
        && let Some((cell, digit)) = guesses.into_iter().nth(number as usize)
    {
        return Some(with_digit(board, cell, digit));
    }
    let rng = &mut Purpose::Pin.stream(seed, shape, 1 + number);
    let mut pinned = board.clone();
    for _ in 0..2 {
        let Some((cell, digits)) = ranked.get(rng.below(ranked.len().div_ceil(4) as u32) as usize) else { break };
        pinned = with_digit(&pinned, *cell, digits[rng.below(digits.len() as u32) as usize]);
        match ranked_cells(&pinned, rng) {
            Some(next) => ranked = next,
            None => break,
        }
    }
    Some(pinned)
}

/// Blank cells with the digits that none of their peers has, fewest first, equal ones in random order. `None` where
/// there is no blank cell, or one has no digit left.
fn ranked_cells(board: &Board, rng: &mut SudokuRng) -> Option<Vec<(usize, Vec<u8>)>> {
    let layout = Layout::of(board.shape());
    let cells = board.cells();
    let open = |cell: usize| -> Vec<u8> {
        let is_taken = |digit: u8| layout.peers(cell).iter().any(|&peer| cells[usize::from(peer)] == digit);
        (1..=board.shape().size() as u8).filter(|&digit| !is_taken(digit)).collect()
    };
    let blank = (0..cells.len()).filter(|&cell| cells[cell] == 0);
    let mut ranked: Vec<(usize, Vec<u8>)> = blank.map(|cell| (cell, open(cell))).collect();
    if ranked.is_empty() || ranked.iter().any(|(_, digits)| digits.is_empty()) {
        return None;
    }
    rng.shuffle(&mut ranked);
    ranked.sort_by_key(|(_, digits)| digits.len());
    Some(ranked)
}

fn with_digit(board: &Board, cell: usize, digit: u8) -> Board {
    let mut cells = board.cells().to_vec();
    cells[cell] = digit;
    Board::from_solver(board.shape(), cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sudoku::{SudokuShape, solve};

    const PUZZLE: &str = "7.....8....2..5....3..6..9..7.6....1...1.3.7.....7.9.....4.2....9..3..1..2..1643.";

    #[test]
    fn pins_extend_the_board_and_every_digit_of_the_narrowest_cell_comes_first() {
        let board = Board::parse(PUZZLE).unwrap();
        let solution = solve(&board).unique().unwrap().clone();
        let mut right = 0;
        for number in 0..40 {
            let pinned = pinned(&board, 5, number).unwrap();
            let added = (0..81).filter(|&cell| board.cells()[cell] != pinned.cells()[cell]).count();
            assert!(pinned.agrees_with(&board), "givens stay");
            assert!(
                if number < SINGLE_PINS as u64 { added == 1 } else { (1..=2).contains(&added) },
                "{number}: {added}"
            );
            right += usize::from(solution.agrees_with(&pinned));
        }
        assert!(right >= 10, "{right} of 40 boards had right guesses only");
        // Two digits are left in the first cell, and one of them is right.
        let first = [0, 1].map(|number| pinned(&board, 5, number).unwrap());
        assert_eq!(first.iter().filter(|board| solution.agrees_with(board)).count(), 1);
        assert_eq!(pinned(&board, 5, 7), pinned(&board, 5, 7));
        let boards = |seed| (0..SINGLE_PINS as u64).map(|number| pinned(&board, seed, number)).collect::<Vec<_>>();
        assert_ne!(boards(5), boards(6));
    }

    #[test]
    fn boards_without_a_guess_give_none() {
        let solved = solve(&Board::parse(PUZZLE).unwrap()).unique().unwrap().clone();
        assert_eq!(pinned(&solved, 0, 0), None);
        // The last cell of the first row sees all nine digits.
        let dead = format!("12345678.........9{}", ".".repeat(63));
        assert_eq!(pinned(&Board::parse(&dead).unwrap(), 0, 0), None);
        assert_eq!(pinned(&Board::empty(SudokuShape::FOUR), 0, 0).map(|board| board.givens()), Some(1));
    }
}
