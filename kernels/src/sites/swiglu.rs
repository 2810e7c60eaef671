//! The SwiGLU of every site, alone or with its neighbours.

use super::arithmetic::{Packed, gate, product, residual_norm, see};
use super::scratch::with_scratch;
use super::{Parallel, TILE_SITES, each_piece};
use crate::ShapeError;

/// Cells that a stencil reads: a cell and its eight neighbours.
const STENCIL: usize = 9;

/// `down(silu(gate) · up)` with residual and norm. With a stencil, `up` is its weighted sum over the cell and its eight
/// neighbours.
#[derive(Debug)]
pub struct SiteSwiGlu {
    width: usize,
    inner: usize,
    gate: Packed,
    up: Packed,
    down: Packed,
    /// `[9, inner]`; empty without.
    stencil: Vec<f32>,
}

impl SiteSwiGlu {
    /// Packs `gate_up` `[2 · inner, width]`, `down` `[width, inner]` and `stencil` `[inner, 9]`, empty without one.
    ///
    /// # Errors
    /// When the weights have other shapes.
    pub fn new(width: usize, gate_up: &[f32], down: &[f32], stencil: &[f32]) -> Result<Self, ShapeError> {
        ShapeError::check_multiple("values of down", width, down.len())?;
        let inner = down.len() / width;
        ShapeError::check("values of gate and up", 2 * inner * width, gate_up.len())?;
        if !stencil.is_empty() {
            ShapeError::check("values of the stencil", STENCIL * inner, stencil.len())?;
        }
        let taps = if stencil.is_empty() { 0 } else { STENCIL };
        Ok(Self {
            width,
            inner,
            gate: Packed::new(inner, width, |to, from| gate_up[to * width + from]),
            up: Packed::new(inner, width, |to, from| gate_up[(inner + to) * width + from]),
            down: Packed::new(width, inner, |to, from| down[to * inner + from]),
            stencil: (0..taps * inner).map(|at| stencil[at % inner * STENCIL + at / inner]).collect(),
        })
    }

    /// Channels of a site.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether sites see their neighbours.
    pub fn has_stencil(&self) -> bool {
        !self.stencil.is_empty()
    }

    /// Computes sites that have no stencil, of any boards: `x` and `out` `[sites, width]`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn sites(&self, parallel: &dyn Parallel, x: &[f32], eps: f32, out: &mut [f32]) {
        assert!(x.len() == out.len() && x.len().is_multiple_of(self.width), "a site is whole");
        each_piece(parallel, out, TILE_SITES * self.width, |tile, out| {
            let x = &x[tile * TILE_SITES * self.width..][..out.len()];
            self.tile(x, eps, out, |ups| product(x, &self.up, ups));
        });
    }

    /// Computes a board: `x` and `out` `[sites, width]`, `links` `[sites, 9]` the sites around each, row by row from the upper
    /// left neighbour, and the number of sites for those that are not there.
    ///
    /// # Panics
    /// When the lengths do not fit, a link names no site, or there is no stencil.
    pub fn board(&self, parallel: &dyn Parallel, x: &[f32], links: &[i32], eps: f32, out: &mut [f32]) {
        let (width, inner, sites) = (self.width, self.inner, x.len() / self.width);
        assert!(x.len() == sites * width && out.len() == x.len() && links.len() == STENCIL * sites, "a site is whole");
        assert!(self.has_stencil(), "a board is made of sites with a stencil");
        with_scratch((sites + 1) * inner, |ups| {
            let (known, nothing) = ups.split_at_mut(sites * inner);
            nothing.fill(0.0);
            each_piece(parallel, known, TILE_SITES * inner, |tile, ups| {
                let x = &x[tile * TILE_SITES * width..][..ups.len() / inner * width];
                product(x, &self.up, ups);
            });
            let ups = &*ups;
            each_piece(parallel, out, TILE_SITES * width, |tile, out| {
                let begin = tile * TILE_SITES;
                let links = &links[begin * STENCIL..(begin + out.len() / width) * STENCIL];
                let x = &x[begin * width..][..out.len()];
                self.tile(x, eps, out, |seen| see(ups, links, &self.stencil, seen));
            });
        });
    }

    /// A tile whose `up` half `fill` computes.
    fn tile(&self, x: &[f32], eps: f32, out: &mut [f32], fill: impl FnOnce(&mut [f32])) {
        let count = x.len() / self.width * self.inner;
        with_scratch(2 * count, |scratch| {
            let (gates, ups) = scratch.split_at_mut(count);
            product(x, &self.gate, gates);
            fill(ups);
            gate(gates, ups);
            product(ups, &self.down, out);
        });
        residual_norm(x, out, self.width, eps);
    }
}
