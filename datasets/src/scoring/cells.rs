//! The vote by cell: every cell takes the token that most predictions put there.
//! Owns that one rule; leaves candidates to the ballot.

use super::ballot::Tally;

/// The board of the cells' favourite tokens, by votes, then by the sum of Q; exact ties go to the earlier candidate.
pub(super) fn cell_vote(candidates: &[(Vec<u8>, Tally)], vocab_size: usize) -> Vec<u8> {
    let len = candidates.first().map_or(0, |(board, _)| board.len());
    (0..len).map(|cell| favourite(cell, candidates, vocab_size)).collect()
}

fn favourite(cell: usize, candidates: &[(Vec<u8>, Tally)], vocab_size: usize) -> u8 {
    let mut sums = vec![(0_u64, 0.0_f64); vocab_size];
    for (board, tally) in candidates {
        let sum = &mut sums[usize::from(board[cell])];
        sum.0 += u64::from(tally.votes);
        sum.1 += tally.q_sum;
    }
    let mut best = candidates[0].0[cell];
    for (board, _) in candidates {
        let (found, leader) = (sums[usize::from(board[cell])], sums[usize::from(best)]);
        if found.0 > leader.0 || (found.0 == leader.0 && found.1 > leader.1) {
            best = board[cell];
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_settled_one_by_one() {
        let tally = |votes, q_sum| Tally { votes, q_sum };
        // Cell 0: 1 has 3 votes. Cell 1: 2 and 3 have 2 votes each, 3 the larger Q. Cell 2: all tied, the first wins.
        let candidates =
            [(vec![1, 2, 5], tally(2, 0.5)), (vec![1, 3, 4], tally(1, 0.6)), (vec![2, 3, 4], tally(1, -0.1))];
        assert_eq!(cell_vote(&candidates, 6), [1, 2, 5]);
        let candidates = [(vec![1, 2], tally(2, 0.5)), (vec![1, 3], tally(1, 0.6)), (vec![2, 3], tally(1, 0.2))];
        assert_eq!(cell_vote(&candidates, 6), [1, 3]);
        assert!(cell_vote(&[], 6).is_empty());
    }
}
