//! The innermost loop: a few rows of one matrix times a panel of another, in registers.
//! Owns the instructions of the product; leaves where operands and sums go to the kernels.

use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32, _mm512_set1_epi32};

use crate::simd::{PanelRow, Sums, WIDTH, load_words};

/// Most rows whose sums fit the registers: 24 of 32, the panel's row beside them.
pub(crate) const MAX_ROWS: usize = 6;

/// `start + left · right`, where words hold four products each. One operand has bytes without a sign: the left one where
/// `UNSIGNED_LEFT`, else the right one.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) fn product<const ROWS: usize, const UNSIGNED_LEFT: bool>(
    left: &[[i32; ROWS]],
    right: &[PanelRow],
    start: [Sums; ROWS],
) -> [Sums; ROWS] {
    let mut sums = start;
    for (left, right) in left.iter().zip(right) {
        let mut panel: [__m512i; WIDTH] = [load_words(&right[0]); WIDTH];
        for (vector, words) in panel.iter_mut().zip(right) {
            *vector = load_words(words);
        }
        for (sums, word) in sums.iter_mut().zip(left) {
            let word = _mm512_set1_epi32(*word);
            for (sum, vector) in sums.iter_mut().zip(panel) {
                *sum = if UNSIGNED_LEFT {
                    _mm512_dpbusd_epi32(*sum, word, vector)
                } else {
                    _mm512_dpbusd_epi32(*sum, vector, word)
                };
            }
        }
    }
    sums
}
