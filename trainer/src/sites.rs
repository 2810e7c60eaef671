//! The sites of a batch of boards on libtorch, as `models` reads them off the tokens on the host. Leaves arithmetic to
//! `backend` and to the kernels.

use models::{STENCIL, UNIT_KINDS, open_candidates};
use tch::{Kind, Tensor};

use crate::transfer::{to_device, to_host};

/// What sites of a batch are.
#[derive(Debug)]
pub struct Sites {
    /// `[batch, seq_len]` int64.
    pub(crate) tokens: Tensor,
    /// Cells a side.
    pub(crate) side: i64,
    /// Whether sites are candidates (cell, digit), `side` for each cell; else cells.
    pub(crate) are_candidates: bool,
    /// The live sites alone, where operations take them so; else states are dense, and zero where nothing lives.
    pub(crate) live: Option<LiveSites>,
    /// `[batch, sites]` bool.
    pub(crate) mask: Tensor,
}

/// [`models::LiveSites`] for the fused operations.
#[derive(Debug)]
pub(crate) struct LiveSites {
    /// `[live]` int64: place among all sites of the batch.
    pub(crate) places: Tensor,
    /// `[live]` int64: board of the batch.
    pub(crate) boards: Tensor,
    /// `[batch + 1]` int32: first site of each board.
    pub(crate) rows: Tensor,
    /// int32; of candidates `[live, 4]` units, numbered from 0 in each board, kind by kind; of cells `[live, 9]` live
    /// cells of the board around each, or their number where nothing lives.
    pub(crate) links: Tensor,
    /// `[batch + 1]` int32: first unit of each board; empty for cells.
    pub(crate) units: Tensor,
}

impl Sites {
    /// Candidates of the boards `tokens` `[batch, seq_len]`, as `models::Backend::candidates` has them.
    pub(crate) fn candidates(tokens: &Tensor, packed: bool) -> Self {
        let (values, side) = read(tokens);
        let mask = open_candidates(&values, side);
        let live = packed.then(|| LiveSites::new(&models::LiveSites::of_candidates(&mask, side), UNIT_KINDS));
        Self::new(tokens, side, true, &mask, live)
    }

    /// Cells of the boards `tokens` `[batch, seq_len]` whose token is none of `blocked`.
    pub(crate) fn cells(tokens: &Tensor, blocked: &[usize], packed: bool) -> Self {
        let (values, side) = read(tokens);
        let mask: Vec<bool> = values.iter().map(|&token| !blocked.contains(&(token as usize))).collect();
        let live = packed.then(|| LiveSites::new(&models::LiveSites::of_cells(&mask, side), STENCIL));
        Self::new(tokens, side, false, &mask, live)
    }

    fn new(tokens: &Tensor, side: usize, are_candidates: bool, mask: &[bool], live: Option<LiveSites>) -> Self {
        let batch = tokens.size()[0];
        let mask = to_device(mask, tokens.device()).view([batch, -1]);
        Self { tokens: tokens.shallow_clone(), side: side as i64, are_candidates, live, mask }
    }

    /// Boards of the batch.
    pub(crate) fn batch(&self) -> i64 {
        self.mask.size()[0]
    }

    /// Sites of a board, live or not.
    pub(crate) fn count(&self) -> i64 {
        self.mask.size()[1]
    }

    /// Rows of a box.
    pub(crate) fn box_rows(&self) -> i64 {
        self.side.isqrt()
    }

    /// `[batch, sites, 1]`, 1 where a site lives, in type `kind`.
    pub(crate) fn weights(&self, kind: Kind) -> Tensor {
        self.mask.to_kind(kind).unsqueeze(-1)
    }
}

impl LiveSites {
    fn new(live: &models::LiveSites, links: usize) -> Self {
        Self {
            places: Tensor::from_slice(&live.places),
            boards: Tensor::from_slice(&live.boards),
            rows: Tensor::from_slice(&live.rows),
            links: Tensor::from_slice(&live.links).view([-1, links as i64]),
            units: Tensor::from_slice(&live.units),
        }
    }
}

/// The tokens of a batch of square boards on the host, and the cells of a side.
fn read(tokens: &Tensor) -> (Vec<i64>, usize) {
    let side = (tokens.size()[1] as usize).isqrt();
    (to_host(tokens), side)
}
