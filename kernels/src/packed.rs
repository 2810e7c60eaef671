//! Weights in the order in which the products read them.
//! Owns the layouts and the corrections for the offset of activations; leaves the products to the kernels.

use crate::simd::{OFFSET, PANEL, PanelRow, WIDTH, Words};
use crate::swiglu::Matrix;

/// Sum of each column of a `[rows, columns]` matrix, times what the offset of activations adds to a product, negated:
/// what sums begin with.
fn corrections(matrix: &Matrix<'_>) -> Vec<i32> {
    let mut sums = vec![0_i32; matrix.scales.len()];
    for row in matrix.integers.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum -= OFFSET * i32::from(value);
        }
    }
    sums
}

/// Four neighbours of a column as a word, zeros below the matrix.
fn word(matrix: &Matrix<'_>, quad: usize, column: usize) -> i32 {
    let columns = matrix.scales.len();
    let byte = |row: usize| matrix.integers.get((4 * quad + row) * columns + column).map_or(0, |&value| value as u8);
    i32::from_ne_bytes([byte(0), byte(1), byte(2), byte(3)])
}

/// Weights on the right of activations: panels of [`PANEL`] columns, one behind the other, each of a row for every four
/// inputs.
#[derive(Debug)]
pub(crate) struct Right {
    pub(crate) panels: Vec<PanelRow>,
    /// Rows of a panel.
    pub(crate) quads: usize,
    /// `[panels]`, in the order of the columns of `panels`.
    pub(crate) corrections: Vec<PanelRow>,
    /// `[panels · PANEL]`
    pub(crate) scales: Vec<f32>,
}

impl Right {
    /// Columns `columns` of matrices with equal inputs: `(matrix, column)` for each, a multiple of [`PANEL`] of them.
    fn of(inputs: usize, columns: &[(&Matrix<'_>, usize)], corrections: &[&[i32]]) -> Self {
        let quads = inputs.div_ceil(4);
        let row = |panel: &[(&Matrix<'_>, usize)], quad: usize| -> PanelRow {
            std::array::from_fn(|vector| {
                Words(std::array::from_fn(|lane| {
                    let (matrix, column) = panel[vector * panel.len() / WIDTH + lane];
                    word(matrix, quad, column)
                }))
            })
        };
        let panels =
            columns.chunks_exact(PANEL).flat_map(|panel| (0..quads).map(move |quad| row(panel, quad))).collect();
        let corrections = corrections
            .concat()
            .chunks_exact(PANEL)
            .map(|panel| {
                std::array::from_fn(|vector| Words(std::array::from_fn(|lane| panel[vector * PANEL / WIDTH + lane])))
            })
            .collect();
        let scales = columns.iter().map(|&(matrix, column)| matrix.scales[column]).collect();
        Self { panels, quads, corrections, scales }
    }

    /// All columns of a matrix, a multiple of [`PANEL`].
    pub(crate) fn whole(matrix: &Matrix<'_>) -> Self {
        let columns: Vec<_> = (0..matrix.outputs()).map(|column| (matrix, column)).collect();
        Self::of(matrix.inputs(), &columns, &[&corrections(matrix)])
    }

    /// Panels whose first half are columns of `first` and whose second half are the same ones of `second`.
    pub(crate) fn halves(first: &Matrix<'_>, second: &Matrix<'_>) -> Self {
        let (first_corrections, second_corrections) = (corrections(first), corrections(second));
        let mut columns = Vec::new();
        let mut ordered: Vec<&[i32]> = Vec::new();
        for start in (0..first.outputs()).step_by(PANEL / 2) {
            let half = start..start + PANEL / 2;
            columns.extend(half.clone().map(|column| (first, column)));
            columns.extend(half.clone().map(|column| (second, column)));
            ordered.extend([&first_corrections[half.clone()], &second_corrections[half]]);
        }
        Self::of(first.inputs(), &columns, &ordered)
    }

    /// The rows of panel `index`.
    pub(crate) fn panel(&self, index: usize) -> &[PanelRow] {
        &self.panels[index * self.quads..(index + 1) * self.quads]
    }
}

/// Weights on the left of activations: blocks of `ROWS` outputs, one behind the other, each of a row for every four
/// inputs. The last block is filled up with zeros.
#[derive(Debug)]
pub(crate) struct Left<const ROWS: usize> {
    pub(crate) blocks: Vec<[i32; ROWS]>,
    /// Rows of a block.
    pub(crate) quads: usize,
    /// `[blocks]`
    pub(crate) corrections: Vec<[i32; ROWS]>,
    /// `[blocks]`
    pub(crate) scales: Vec<[f32; ROWS]>,
}

impl<const ROWS: usize> Left<ROWS> {
    /// Blocks of `ROWS / matrices.len()` outputs of each of the matrices, which have equal shapes.
    pub(crate) fn of(matrices: &[&Matrix<'_>]) -> Self {
        let share = ROWS / matrices.len();
        let quads = matrices[0].inputs().div_ceil(4);
        let corrections: Vec<Vec<i32>> = matrices.iter().map(|matrix| corrections(matrix)).collect();
        let count = matrices[0].outputs().div_ceil(share);
        // Of row `row` of block `block`: which matrix, and which of its outputs unless it is beyond them.
        let place = |block: usize, row: usize| {
            let output = block * share + row % share;
            (output < matrices[0].outputs()).then_some((row / share, output))
        };
        let blocks = (0..count).flat_map(|block| {
            (0..quads).map(move |quad| {
                std::array::from_fn(|row| {
                    place(block, row).map_or(0, |(matrix, output)| word(matrices[matrix], quad, output))
                })
            })
        });
        let of_rows = |block: usize| {
            std::array::from_fn(|row| place(block, row).map_or(0, |(matrix, output)| corrections[matrix][output]))
        };
        let scale_of_rows = |block: usize| {
            std::array::from_fn(|row| place(block, row).map_or(0.0, |(matrix, output)| matrices[matrix].scales[output]))
        };
        Self {
            blocks: blocks.collect(),
            quads,
            corrections: (0..count).map(of_rows).collect(),
            scales: (0..count).map(scale_of_rows).collect(),
        }
    }

    /// The rows of block `index`.
    pub(crate) fn block(&self, index: usize) -> &[[i32; ROWS]] {
        &self.blocks[index * self.quads..(index + 1) * self.quads]
    }
}
