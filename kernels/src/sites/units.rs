//! Mixing along the units of an exact cover.

use super::arithmetic::{Packed, answered_norm, pool, product};
use super::scratch::with_scratch;
use super::{Parallel, TILE_SITES, each_piece};
use crate::ShapeError;

/// Kinds of units that a candidate belongs to: its cell, and its digit in its row, column and box.
const KINDS: usize = 4;
/// Parts of the weights: for cells, for lines and for boxes.
const PARTS: usize = 3;
/// Part of each kind of unit: rows and columns have theirs in common.
const PART_OF_KIND: [usize; KINDS] = [0, 1, 1, 2];
/// What sums over a unit are multiplied with.
const SUM_SCALE: f32 = 1.0 / 3.0;

/// Each candidate sends `input`, each unit pools what its candidates send (sums of the first half of the channels, maxima
/// of the second), and each candidate gets the sum of `output` over its four units; residual and norm.
#[derive(Debug)]
pub struct UnitsMixing {
    width: usize,
    pool_size: usize,
    input: Packed,
    output: [Packed; PARTS],
}

impl UnitsMixing {
    /// Packs `input` `[3 · pool_size, width]` and `output` `[width, 3 · pool_size]`.
    ///
    /// # Errors
    /// When the weights have other shapes, or the pool size is odd.
    pub fn new(width: usize, pool_size: usize, input: &[f32], output: &[f32]) -> Result<Self, ShapeError> {
        ShapeError::check_multiple("pool_size", 2, pool_size)?;
        ShapeError::check("values of input", PARTS * pool_size * width, input.len())?;
        ShapeError::check("values of output", PARTS * pool_size * width, output.len())?;
        Ok(Self {
            width,
            pool_size,
            input: Packed::new(PARTS * pool_size, width, |to, from| input[to * width + from]),
            output: std::array::from_fn(|part| {
                Packed::new(width, pool_size, |to, from| output[(to * PARTS + part) * pool_size + from])
            }),
        })
    }

    /// Channels of a site.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Computes a board: `x` and `out` `[sites, width]`, `links` `[sites, 4]` the units of each site. Units are numbered kind by
    /// kind, `units` of them, each of which has a site.
    ///
    /// # Panics
    /// When the lengths do not fit, or a link names no unit.
    pub fn board(&self, parallel: &dyn Parallel, x: &[f32], links: &[i32], units: usize, eps: f32, out: &mut [f32]) {
        let (width, sites) = (self.width, x.len() / self.width);
        assert!(x.len() == sites * width && out.len() == x.len() && links.len() == KINDS * sites, "a site is whole");
        let sent_width = PARTS * self.pool_size;
        with_scratch(sites * sent_width + units * (self.pool_size + width), |scratch| {
            let (sent, rest) = scratch.split_at_mut(sites * sent_width);
            let (pooled, answers) = rest.split_at_mut(units * self.pool_size);
            each_piece(parallel, sent, TILE_SITES * sent_width, |tile, sent| {
                let begin = tile * TILE_SITES * width;
                let end = begin + sent.len() / sent_width * width;
                product(&x[begin..end], &self.input, sent);
            });
            pool(sent, links, pooled, self.pool_size, SUM_SCALE);
            self.answer(parallel, links, pooled, answers);
            each_piece(parallel, out, TILE_SITES * width, |tile, out| {
                let (begin, count) = (tile * TILE_SITES, out.len() / width);
                let links = &links[begin * KINDS..(begin + count) * KINDS];
                answered_norm(&x[begin * width..(begin + count) * width], answers, links, out, width, eps);
            });
        });
    }

    /// What the units say to their sites.
    fn answer(&self, parallel: &dyn Parallel, links: &[i32], pooled: &[f32], answers: &mut [f32]) {
        let (links, _) = links.as_chunks::<KINDS>();
        let mut rest = answers;
        let mut begin = 0;
        for (kind, part) in PART_OF_KIND.into_iter().enumerate() {
            let end = links.iter().map(|units| units[kind] as usize + 1).max().unwrap_or(begin);
            let (answers, others) = rest.split_at_mut((end - begin) * self.width);
            each_piece(parallel, answers, TILE_SITES * self.width, |tile, answers| {
                let first = begin + tile * TILE_SITES;
                let last = first + answers.len() / self.width;
                let pooled = &pooled[first * self.pool_size..last * self.pool_size];
                product(pooled, &self.output[part], answers);
            });
            (rest, begin) = (others, end);
        }
    }
}
