//! The structured mixers on libtorch: over all sites with a mask, in plain operations, and over the live ones alone with
//! the fused operators.

use models::{Backend, CERTAIN, LocalMixing, PART_OF_KIND, STENCIL, SwiGlu, UNIT_PARTS, UNIT_SUM_SCALE, UnitsMixing};
use tch::{Device, Kind, Tensor};

use super::{Activation, TchBackend, Weight};
use crate::kernels::{self, SITE_WIDTH, SiteMlpWeights, UnitsWeights, transposed};
use crate::sites::{LiveSites, Sites};

impl TchBackend {
    /// Whether states on sites are those of the live ones alone: float32 on the CPU, unless operations are to be
    /// plain ones.
    pub(super) fn packs_sites(&self, tokens: &Activation) -> bool {
        self.fused && self.kind == Kind::Float && tokens.0.device() == Device::Cpu
    }

    pub(super) fn structured_units(
        &self,
        x: &Activation,
        mixing: &UnitsMixing<Weight>,
        sites: &Sites,
        eps: f64,
    ) -> Activation {
        let (input, output) = (&mixing.input, &mixing.output);
        if let Some(live) = fused(sites, &[mixing.pool_size, input.in_features]) {
            let weights = UnitsWeights {
                input: &input.weight.master,
                output: &output.weight.master,
                input_t: &input.weight.packed(transposed),
                output_t: &output.weight.packed(transposed),
            };
            return Activation(kernels::units_mixing(&x.0, &weights, live, eps));
        }
        let x = &dense(x, sites);
        let sent = x.0.linear(&self.cast(&input.weight), None::<Tensor>);
        let pooled = pool_units(&sent, sites, mixing.pool_size as i64);
        let delta = pooled.linear(&self.cast(&output.weight), None::<Tensor>);
        self.masked_norm(x, &delta, sites, eps)
    }

    pub(super) fn structured_local(
        &self,
        x: &Activation,
        mixing: &LocalMixing<Weight>,
        sites: &Sites,
        eps: f64,
    ) -> Activation {
        let LocalMixing { swiglu, stencil } = mixing;
        if let Some(live) = fused(sites, &[swiglu.gate_up.in_features, swiglu.down.in_features]) {
            return Activation(site_mlp(x, swiglu, Some(&stencil.master), live, eps));
        }
        let x = &dense(x, sites);
        let halves = x.0.linear(&self.cast(&swiglu.gate_up.weight), None::<Tensor>).chunk(2, -1);
        let (side, inner) = (sites.side, swiglu.down.in_features as i64);
        // Zeros outside of the board, and where nothing lives.
        let up = &halves[1] * sites.weights(self.kind);
        let planes = up.transpose(1, 2).reshape([-1, inner, side, side]);
        let weight = self.cast(stencil).view([inner, 1, 3, 3]);
        let seen = planes.conv2d(&weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], inner);
        let seen = seen.reshape([-1, inner, side * side]).transpose(1, 2);
        let delta = (halves[0].silu() * seen).linear(&self.cast(&swiglu.down.weight), None::<Tensor>);
        self.masked_norm(x, &delta, sites, eps)
    }

    pub(super) fn structured_channels(
        &self,
        x: &Activation,
        swiglu: &SwiGlu<Weight>,
        sites: &Sites,
        eps: f64,
    ) -> Activation {
        if let Some(live) = fused(sites, &[swiglu.gate_up.in_features, swiglu.down.in_features]) {
            return Activation(site_mlp(x, swiglu, None, live, eps));
        }
        let x = &dense(x, sites);
        self.masked_norm(x, &self.swiglu(x, swiglu).0, sites, eps)
    }

    /// The residual norm where something lives, zeros elsewhere, in the form that `sites` asks for.
    fn masked_norm(&self, x: &Activation, delta: &Tensor, sites: &Sites, eps: f64) -> Activation {
        let normed = self.residual_rms_norm(x, &Activation(delta.shallow_clone()), eps);
        enter(&Activation(normed.0 * sites.weights(self.kind)), sites)
    }
}

/// `[batch, sites, hidden_size]` whatever the form of `x`.
fn dense(x: &Activation, sites: &Sites) -> Activation {
    if x.0.dim() == 3 { x.clone() } else { leave(x, sites) }
}

/// The live sites, where widths are such that the fused operators take them.
fn fused<'a>(sites: &'a Sites, widths: &[usize]) -> Option<&'a LiveSites> {
    sites.live.as_ref().filter(|_| widths.iter().all(|width| width.is_multiple_of(SITE_WIDTH)))
}

fn site_mlp(x: &Activation, swiglu: &SwiGlu<Weight>, stencil: Option<&Tensor>, live: &LiveSites, eps: f64) -> Tensor {
    let (gate_up, down) = (&swiglu.gate_up.weight, &swiglu.down.weight);
    let weights = SiteMlpWeights {
        gate_up: &gate_up.master,
        down: &down.master,
        gate_up_t: &gate_up.packed(transposed),
        down_t: &down.packed(transposed),
        stencil,
    };
    kernels::site_mlp(&x.0, &weights, live, eps)
}

/// What each candidate gets from its units, summed by part of the weights, of what all have sent: `[batch, sites,
/// 3 · pool]` both.
fn pool_units(sent: &Tensor, sites: &Sites, pool: i64) -> Tensor {
    let (batch, side, box_rows) = (sites.batch(), sites.side, sites.box_rows());
    let half = pool / 2;
    let weights = sites.weights(sent.kind());
    // Finite, so that a unit without live candidates gives no NaN; what it gives is not used.
    let floor = (&weights - 1.0) * MASKED;
    // [batch, band, row of the band, stack, column of the stack, digit, channels]
    let board = [batch, side / box_rows, box_rows, box_rows, side / box_rows, side, half];
    let mut parts: [Option<Tensor>; UNIT_PARTS] = [const { None }; UNIT_PARTS];
    for (part, axes) in PART_OF_KIND.into_iter().zip([&[5][..], &[3, 4], &[1, 2], &[2, 4]]) {
        let first = part as i64 * pool;
        let sums = (sent.narrow(-1, first, half) * &weights).view(&board[..]);
        let maxima = (sent.narrow(-1, first + half, half) + &floor).view(&board[..]);
        let sum = sums.sum_dim_intlist(axes, true, sent.kind()) * UNIT_SUM_SCALE;
        let maximum = axes.iter().fold(maxima, |values, &axis| values.max_dim(axis, true).0);
        let to_each = |unit: Tensor| unit.expand(&board[..], false).reshape([batch, sites.count(), half]);
        let pooled = Tensor::cat(&[to_each(sum), to_each(maximum)], -1);
        parts[part] = Some(match parts[part].take() {
            Some(other) => other + pooled,
            None => pooled,
        });
    }
    Tensor::cat(&parts.into_iter().flatten().collect::<Vec<_>>(), -1)
}

/// Subtracted from what does not live before a maximum is taken.
const MASKED: f64 = 1e4;

pub(super) fn enter(state: &Activation, sites: &Sites) -> Activation {
    match &sites.live {
        Some(live) => {
            let width = state.0.size()[2];
            Activation(state.0.reshape([-1, width]).index_select(0, &live.places))
        }
        None => state.clone(),
    }
}

pub(super) fn leave(x: &Activation, sites: &Sites) -> Activation {
    match &sites.live {
        Some(live) => {
            let width = x.0.size()[1];
            let zeros = Tensor::zeros([sites.batch() * sites.count(), width], (x.0.kind(), x.0.device()));
            Activation(zeros.index_copy(0, &live.places, &x.0).view([sites.batch(), sites.count(), width]))
        }
        None => Activation(&x.0 * sites.weights(x.0.kind())),
    }
}

/// Rows of `table`: of candidates one row, which all of them share.
pub(super) fn embed(table: &Tensor, sites: &Sites) -> Activation {
    let rows = match (&sites.live, sites.are_candidates) {
        (Some(_), true) => table.shallow_clone(),
        (None, true) => table.view([1, 1, -1]),
        (Some(live), false) => {
            let tokens = sites.tokens.reshape(-1).index_select(0, &live.places);
            Tensor::embedding(table, &tokens, -1, false, false)
        }
        (None, false) => Tensor::embedding(table, &sites.tokens, -1, false, false),
    };
    Activation(rows)
}

/// The row of its board for each site: `rows` `[batch, 1, width]`.
pub(super) fn rows_of_boards(rows: &Activation, sites: &Sites) -> Activation {
    match &sites.live {
        Some(live) => Activation(rows.0.squeeze_dim(1).index_select(0, &live.boards)),
        // Broadcast over the sites; what reaches one where nothing lives goes no further.
        None => rows.clone(),
    }
}

/// `[batch, seq_len, vocab_size]` from what the head says of the sites.
pub(super) fn logits(head: &Activation, sites: &Sites) -> Activation {
    let (batch, cells) = (sites.batch(), sites.side * sites.side);
    let kind = head.0.kind();
    let width = if sites.are_candidates { sites.side + 2 } else { *head.0.size().last().expect("a head has a width") };
    // What the question says, of every cell.
    let one_hot = sites.tokens.unsqueeze(-1).eq_tensor(&Tensor::arange(width, (Kind::Int64, sites.tokens.device())));
    let certain = one_hot.to_kind(kind) * (2.0 * CERTAIN) - CERTAIN;
    if !sites.are_candidates {
        return Activation(match &sites.live {
            Some(live) => certain.view([-1, width]).index_copy(0, &live.places, &head.0).view([batch, cells, width]),
            None => head.0.where_self(&sites.mask.unsqueeze(-1), &certain),
        });
    }
    let given = certain.narrow(-1, 2, sites.side);
    let digits = if let Some(live) = &sites.live {
        let all = given.reshape(-1).index_copy(0, &live.places, &head.0.squeeze_dim(-1));
        all.view([batch, cells, sites.side])
    } else {
        let shape = [batch, cells, sites.side];
        head.0.view(shape).where_self(&sites.mask.view(shape), &given)
    };
    // Neither padding nor a blank is an answer.
    let neither = certain.narrow(-1, 0, 2).full_like(-CERTAIN);
    Activation(Tensor::cat(&[neither, digits], -1))
}

/// `[batch, hidden_size]` means over what lives.
pub(super) fn mean(x: &Activation, sites: &Sites, wide: Kind) -> Activation {
    let counts = sites.mask.sum_dim_intlist(1, true, wide).clamp_min(1.0);
    let sums = match &sites.live {
        Some(live) => {
            let zeros = Tensor::zeros([sites.batch(), x.0.size()[1]], (wide, x.0.device()));
            zeros.index_add(0, &live.boards, &x.0.to_kind(wide))
        }
        None => (&x.0 * sites.weights(x.0.kind())).sum_dim_intlist(1, false, wide),
    };
    Activation((sums / counts).to_kind(x.0.kind()))
}

const _: () = assert!(STENCIL == 9, "the stencil's weights are 3 x 3");
