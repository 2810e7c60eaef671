//! Layers that mix along a puzzle's own structure: the units of an exact cover, and the neighbours of a cell.
//! Owns names and shapes; leaves which sites there are and the arithmetic to the backend.

use super::{Linear, SwiGlu};
use crate::{Init, ModelError, ParameterKind, ParameterSource, ParameterSpec};

/// Kinds of units that a candidate (cell, digit) belongs to: its cell, and its digit in its row, column and box.
pub const UNIT_KINDS: usize = 4;
/// Parts of the weights: for cells, for lines, which rows and columns have in common so that transposing a board
/// transposes the answer, and for boxes.
pub const UNIT_PARTS: usize = 3;
/// Part of each kind of unit.
pub const PART_OF_KIND: [usize; UNIT_KINDS] = [0, 1, 1, 2];
/// What sums over a unit are multiplied with, so that a unit of three candidates has about the size of one.
pub const UNIT_SUM_SCALE: f64 = 1.0 / 3.0;
/// Cells that a stencil reads: a cell and its eight neighbours.
pub const STENCIL: usize = 9;

/// Pooling over the four kinds of units: each candidate sends `input`, each unit pools what its candidates send (sums
/// of the first half of the channels, maxima of the second), and each candidate gets the sum of `output` over its four
/// units.
#[derive(Debug)]
pub struct UnitsMixing<W> {
    /// `[3 · pool_size, hidden_size]`: the channels for cells, lines, boxes.
    pub input: Linear<W>,
    /// `[hidden_size, 3 · pool_size]`.
    pub output: Linear<W>,
    /// Channels for each kind of unit.
    pub pool_size: usize,
}

impl<W> UnitsMixing<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        hidden_size: usize,
        pool_size: usize,
    ) -> Result<Self, ModelError> {
        let width = UNIT_PARTS * pool_size;
        Ok(Self {
            input: Linear::new(source, &format!("{name}.in_proj"), hidden_size, width)?,
            output: Linear::new(source, &format!("{name}.out_proj"), width, hidden_size)?,
            pool_size,
        })
    }
}

/// A SwiGLU whose `up` half sees the neighbouring cells: `down(silu(gate) · stencil(up))`.
#[derive(Debug)]
pub struct LocalMixing<W> {
    /// `gate_up` `[2 · inner, hidden_size]` and `down` `[hidden_size, inner]`.
    pub swiglu: SwiGlu<W>,
    /// `[inner, 3, 3]` weights of each channel, row by row from the upper left neighbour.
    pub stencil: W,
}

impl<W> LocalMixing<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        hidden_size: usize,
        inner: usize,
    ) -> Result<Self, ModelError> {
        let swiglu = SwiGlu::of_inner_size(source, name, hidden_size, inner)?;
        let stencil = source.parameter(ParameterSpec {
            name: format!("{name}.stencil.weight"),
            shape: vec![inner, 3, 3],
            init: Init::TruncNormal { std: 1.0 / 3.0 },
            kind: ParameterKind::Weight,
        })?;
        Ok(Self { swiglu, stencil })
    }
}

/// Inner width of the SwiGLU of a structured mixer: `expansion · width · 2/3`, rounded half to even as everywhere, up to
/// a multiple of 16.
pub fn structured_inner_size(width: usize, expansion: f64) -> usize {
    let inner = (expansion * width as f64 * 2.0 / 3.0).round_ties_even() as usize;
    inner.div_ceil(16) * 16
}
