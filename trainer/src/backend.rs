//! `models::Backend` on libtorch tensors: autograd, float32 or bfloat16 activations over float32 weights.
//! Owns the arithmetic and its rounding points (which follow the reference's `models/layers.py`), in plain operations
//! and, on the CPU, in the fused ones of `kernels`; leaves which operations run in which order to the architectures.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use models::{Attention, Backend, ForwardDtype, LayerNorm, Linear, LocalMixing, LstmLayer, Rope, SwiGlu, UnitsMixing};
use tch::{Device, Kind, Tensor};

use crate::kernels::{self, PackedAttention, PackedMlp};
use crate::phases::{Phase, PhaseClock};
use crate::sites::Sites;

mod structured;

/// An activation. Clones share the storage, as libtorch's handles do.
#[derive(Debug)]
pub struct Activation(pub Tensor);

impl Clone for Activation {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

/// A parameter in its stored type, with a copy in the forward type kept between optimizer steps: as it is, or packed
/// for the one fused operation that it belongs to.
#[derive(Debug)]
pub struct Weight {
    master: Tensor,
    cast: Rc<RefCell<Option<Tensor>>>,
}

impl Weight {
    /// Wraps a stored tensor; `cast` is where its copy in the forward type is kept until the owner clears it.
    pub(crate) fn new(master: Tensor, cast: Rc<RefCell<Option<Tensor>>>) -> Self {
        Self { master, cast }
    }

    /// The copy that `pack` makes of the stored tensor, once between optimizer steps.
    fn packed(&self, pack: fn(&Tensor) -> Tensor) -> Tensor {
        self.cast.borrow_mut().get_or_insert_with(|| pack(&self.master)).shallow_clone()
    }
}

/// Computes on libtorch.
#[derive(Debug)]
pub struct TchBackend {
    kind: Kind,
    fused: bool,
    recording: Cell<bool>,
    clock: PhaseClock,
}

impl TchBackend {
    /// A backend whose activations are of type `dtype`. Gradients are recorded unless [`Backend::no_grad`] says no.
    /// Fused operations compute what they can; `TRAINER_PLAIN=1` in the environment turns them off.
    pub fn new(dtype: ForwardDtype) -> Self {
        let fused = std::env::var_os("TRAINER_PLAIN").is_none_or(|value| value.is_empty() || value == "0");
        kernels::pool_tensor_memory();
        Self { fused, ..Self::plain(dtype) }
    }

    /// The same with libtorch's own operations only: what the fused ones are specified by.
    pub fn plain(dtype: ForwardDtype) -> Self {
        Self { kind: kind_of(dtype), fused: false, recording: Cell::new(true), clock: PhaseClock::default() }
    }

    /// Plain operations in float64: what the error of the other two is measured against. Slow, and never trained with.
    pub fn float64() -> Self {
        Self { kind: Kind::Double, ..Self::plain(ForwardDtype::Float32) }
    }

    /// The same, telling `clock` when gradients are not recorded.
    #[must_use]
    pub fn timed_by(self, clock: PhaseClock) -> Self {
        Self { clock, ..self }
    }

    /// Type of the activations.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The weight in the forward type. Where gradients are recorded each use casts for itself, so that the gradients
    /// of the uses are summed in float32, as in the reference; elsewhere one cast serves until the next optimizer step.
    fn cast(&self, weight: &Weight) -> Tensor {
        if weight.master.kind() == self.kind {
            return weight.master.shallow_clone();
        }
        if self.recording.get() {
            return weight.master.to_kind(self.kind);
        }
        weight.cast.borrow_mut().get_or_insert_with(|| weight.master.detach().to_kind(self.kind)).shallow_clone()
    }

    /// Type that norms and means are computed in.
    fn wide(&self) -> Kind {
        if self.kind == Kind::Double { Kind::Double } else { Kind::Float }
    }

    /// The weight in the type of [`wide`](Self::wide).
    fn widened(&self, weight: &Weight) -> Tensor {
        weight.master.to_kind(self.wide())
    }

    /// Whether element-wise kernels take `x`. float32 is left to libtorch: it is the type of comparisons with the
    /// reference, which computes with the same kernels, and its time goes to matrix products anyway.
    fn fuses(&self, x: &Tensor) -> bool {
        self.fused && x.device() == Device::Cpu && x.kind() == Kind::BFloat16
    }

    /// Whether the products of a gated MLP over an axis of `width` are fused with what surrounds them.
    fn fuses_products(&self, x: &Tensor, swiglu: &SwiGlu<Weight>) -> bool {
        self.fuses(x)
            && swiglu.down.in_features.is_multiple_of(FUSED_GATES)
            && x.size().last().is_some_and(|width| width % FUSED_COLUMNS == 0)
            && kernels::has_bf16_products()
    }

    /// Calls `operation` with the weights of `swiglu` as they are and as `packing` packs `gate_up` and `down`, once
    /// between optimizer steps: the operation sums gradients in float32 whatever the type of its factors.
    fn with_packed(
        swiglu: &SwiGlu<Weight>,
        packing: [fn(&Tensor) -> Tensor; 2],
        operation: impl FnOnce(&PackedMlp) -> Tensor,
    ) -> Activation {
        let (gate_up, down) = (&swiglu.gate_up.weight, &swiglu.down.weight);
        Activation(operation(&PackedMlp {
            gate_up: &gate_up.master,
            down: &down.master,
            packed_gate_up: &gate_up.packed(packing[0]),
            packed_down: &down.packed(packing[1]),
        }))
    }

    /// Whether attention over `x` is one operation.
    fn fuses_attention(&self, x: &Tensor, attention: &Attention<Weight>) -> bool {
        self.fuses(x)
            && attention.qkv.bias.is_none()
            && attention.output.bias.is_none()
            && attention.head_dim.is_multiple_of(FUSED_COLUMNS as usize)
            && x.size().last().is_some_and(|width| width % FUSED_COLUMNS == 0)
            && kernels::has_bf16_products()
    }
}

/// Fused products take gates by this many; `models::swiglu_inner_size` rounds up to it.
const FUSED_GATES: usize = 256;
/// And columns by this many.
const FUSED_COLUMNS: i64 = 32;
/// How weights of a gated MLP over channels are packed, and over tokens.
const OVER_CHANNELS: [fn(&Tensor) -> Tensor; 2] =
    [kernels::pack_gate_up_over_channels, kernels::pack_down_over_channels];
const OVER_TOKENS: [fn(&Tensor) -> Tensor; 2] = [kernels::pack_over_tokens; 2];

/// libtorch's name for a forward type.
pub(crate) fn kind_of(dtype: ForwardDtype) -> Kind {
    match dtype {
        ForwardDtype::BFloat16 => Kind::BFloat16,
        ForwardDtype::Float32 => Kind::Float,
    }
}

impl Backend for TchBackend {
    type Weight = Weight;
    type Tensor = Activation;
    type Sites = Sites;

    fn embedding(&self, table: &Weight, tokens: &Activation) -> Activation {
        Activation(Tensor::embedding(&self.cast(table), &tokens.0, -1, false, false))
    }

    fn linear(&self, x: &Activation, linear: &Linear<Weight>) -> Activation {
        Activation(x.0.linear(&self.cast(&linear.weight), linear.bias.as_ref().map(|bias| self.cast(bias))))
    }

    fn swiglu(&self, x: &Activation, swiglu: &SwiGlu<Weight>) -> Activation {
        if self.fuses_products(&x.0, swiglu) {
            return Self::with_packed(swiglu, OVER_CHANNELS, |mlp| kernels::swiglu(&x.0, mlp));
        }
        let gate_up = self.linear(x, &swiglu.gate_up).0;
        let gated = if self.fuses(&gate_up) {
            kernels::silu_mul(&gate_up)
        } else {
            let halves = gate_up.chunk(2, -1);
            halves[0].silu() * &halves[1]
        };
        self.linear(&Activation(gated), &swiglu.down)
    }

    fn attention(&self, x: &Activation, attention: &Attention<Weight>) -> Activation {
        let size = x.0.size();
        let (batch, tokens) = (size[0], size[1]);
        let (heads, head_dim) = (attention.num_heads as i64, attention.head_dim as i64);
        let qkv = self.linear(x, &attention.qkv).0.view([batch, tokens, 3 * heads, head_dim]);
        let part = |index: i64| qkv.narrow(2, index * heads, heads);
        let rotated = |part: Tensor| match &attention.rope {
            Some(rope) => rotate(&part, rope),
            None => part,
        };
        let per_head = |part: Tensor| part.transpose(1, 2);
        let (query, key, value) = (per_head(rotated(part(0))), per_head(rotated(part(1))), per_head(part(2)));
        let mixed =
            Tensor::scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, None::<f64>, false);
        let joined = mixed.transpose(1, 2).reshape([batch, tokens, heads * head_dim]);
        self.linear(&Activation(joined), &attention.output)
    }

    fn residual_rms_norm(&self, x: &Activation, delta: &Activation, eps: f64) -> Activation {
        if self.fuses(&x.0) && self.fuses(&delta.0) {
            return Activation(kernels::residual_rms_norm(&x.0, &delta.0, eps));
        }
        let sum = (&x.0 + &delta.0).to_kind(self.wide());
        let variance = sum.square().mean_dim(-1, true, self.wide());
        Activation((sum * (variance + eps).rsqrt()).to_kind(self.kind))
    }

    fn residual_attention(&self, x: &Activation, attention: &Attention<Weight>, eps: f64) -> Activation {
        if !self.fuses_attention(&x.0, attention) {
            return self.residual_rms_norm(x, &self.attention(x, attention), eps);
        }
        let (qkv, output) = (&attention.qkv.weight, &attention.output.weight);
        let packed = PackedAttention {
            qkv: &qkv.master,
            output: &output.master,
            packed_qkv: &qkv.packed(kernels::pack_projection),
            packed_output: &output.packed(kernels::pack_projection),
            angles: attention.rope.as_ref().map(|rope| [&rope.cos.master, &rope.sin.master]),
            num_heads: attention.num_heads as i64,
        };
        Activation(kernels::residual_attention(&x.0, &packed, eps))
    }

    fn transpose(&self, x: &Activation) -> Activation {
        Activation(x.0.transpose(1, 2))
    }

    fn token_mixing(&self, x: &Activation, swiglu: &SwiGlu<Weight>, eps: f64) -> Activation {
        if self.fuses_products(&x.0, swiglu) {
            return Self::with_packed(swiglu, OVER_TOKENS, |mlp| kernels::token_mixing(&x.0, mlp, eps));
        }
        let columns = self.transpose(x);
        let mixed = self.residual_rms_norm(&columns, &self.swiglu(&columns, swiglu), eps);
        self.transpose(&mixed)
    }

    fn channel_mixing(&self, x: &Activation, swiglu: &SwiGlu<Weight>, eps: f64) -> Activation {
        if self.fuses_products(&x.0, swiglu) {
            return Self::with_packed(swiglu, OVER_CHANNELS, |mlp| kernels::channel_mixing(&x.0, mlp, eps));
        }
        self.residual_rms_norm(x, &self.swiglu(x, swiglu), eps)
    }

    fn layer_norm(&self, x: &Activation, norm: &LayerNorm<Weight>) -> Activation {
        let width = x.0.size()[x.0.dim() - 1];
        let (weight, bias) = (self.widened(&norm.weight), self.widened(&norm.bias));
        let normed = x.0.to_kind(self.wide()).layer_norm([width], Some(weight), Some(bias), norm.eps, true);
        Activation(normed.to_kind(self.kind))
    }

    fn gelu(&self, x: &Activation) -> Activation {
        Activation(x.0.gelu("none"))
    }

    fn lstm(&self, x: &Activation, lstm: &LstmLayer<Weight>) -> Activation {
        let (directions, batch) = (lstm.directions.len(), x.0.size()[0]);
        let size = [directions as i64, batch, lstm.hidden_size as i64];
        let zeros = Tensor::zeros(size, (self.wide(), x.0.device()));
        let weights: Vec<Tensor> = lstm
            .directions
            .iter()
            .flat_map(|d| [&d.weight_ih, &d.weight_hh, &d.bias_ih, &d.bias_hh])
            .map(|weight| self.widened(weight))
            .collect();
        let weights: Vec<&Tensor> = weights.iter().collect();
        let wide = x.0.to_kind(self.wide());
        let (read, _, _) =
            wide.lstm(&[&zeros, &zeros], &weights, true, 1, 0.0, self.recording.get(), directions == 2, true);
        Activation(read.to_kind(self.kind))
    }

    fn add(&self, left: &Activation, right: &Activation) -> Activation {
        Activation(&left.0 + &right.0)
    }

    fn add_table(&self, x: &Activation, table: &Weight) -> Activation {
        Activation(&x.0 + self.cast(table))
    }

    fn scale(&self, x: &Activation, factor: f64) -> Activation {
        Activation(&x.0 * factor)
    }

    fn concat_tokens(&self, prefix: &Activation, x: &Activation) -> Activation {
        Activation(Tensor::cat(&[&prefix.0.to_kind(self.kind), &x.0], 1))
    }

    fn tokens_from(&self, x: &Activation, start: usize) -> Activation {
        let start = start as i64;
        Activation(x.0.narrow(1, start, x.0.size()[1] - start))
    }

    fn first_token(&self, x: &Activation) -> Activation {
        Activation(x.0.select(1, 0))
    }

    fn mean_token(&self, x: &Activation) -> Activation {
        Activation(x.0.mean_dim(1, false, self.wide()).to_kind(self.kind))
    }

    fn column(&self, x: &Activation, index: usize) -> Activation {
        Activation(x.0.select(-1, index as i64).to_kind(Kind::Float))
    }

    fn reset_rows(&self, reset: &Activation, init: &Weight, state: &Activation) -> Activation {
        Activation(self.cast(init).where_self(&reset.0.view([-1, 1, 1]), &state.0))
    }

    fn candidates(&self, tokens: &Activation) -> Sites {
        Sites::candidates(&tokens.0, self.packs_sites(tokens))
    }

    fn cells(&self, tokens: &Activation, blocked: &[usize]) -> Sites {
        Sites::cells(&tokens.0, blocked, self.packs_sites(tokens))
    }

    fn enter_sites(&self, state: &Activation, sites: &Sites) -> Activation {
        structured::enter(state, sites)
    }

    fn leave_sites(&self, x: &Activation, sites: &Sites) -> Activation {
        structured::leave(x, sites)
    }

    fn embed_sites(&self, table: &Weight, sites: &Sites) -> Activation {
        structured::embed(&self.cast(table), sites)
    }

    fn rows_of_boards(&self, rows: &Activation, sites: &Sites) -> Activation {
        structured::rows_of_boards(rows, sites)
    }

    fn units_mixing(&self, x: &Activation, mixing: &UnitsMixing<Weight>, sites: &Sites, eps: f64) -> Activation {
        self.structured_units(x, mixing, sites, eps)
    }

    fn local_mixing(&self, x: &Activation, mixing: &LocalMixing<Weight>, sites: &Sites, eps: f64) -> Activation {
        self.structured_local(x, mixing, sites, eps)
    }

    fn site_channel_mixing(&self, x: &Activation, swiglu: &SwiGlu<Weight>, sites: &Sites, eps: f64) -> Activation {
        self.structured_channels(x, swiglu, sites, eps)
    }

    fn site_logits(&self, x: &Activation, head: &Linear<Weight>, sites: &Sites) -> Activation {
        structured::logits(&self.linear(x, head), sites)
    }

    fn mean_site(&self, x: &Activation, sites: &Sites) -> Activation {
        structured::mean(x, sites, self.wide())
    }

    fn is_training(&self) -> bool {
        true
    }

    fn no_grad<R>(&self, scope: impl FnOnce() -> R) -> R {
        let before = self.recording.replace(false);
        let result = self.clock.within(Phase::WithoutGradient, || tch::no_grad(scope));
        self.recording.set(before);
        result
    }

    fn detach(&self, x: &Activation) -> Activation {
        Activation(x.0.detach())
    }
}

/// Rotate-half rotary embedding of `[batch, tokens, heads, head_dim]`, computed in float32.
fn rotate(x: &Tensor, rope: &Rope<Weight>) -> Tensor {
    let wide = x.to_kind(if x.kind() == Kind::Double { Kind::Double } else { Kind::Float });
    let halves = wide.chunk(2, -1);
    let (first, second) = (&halves[0], &halves[1]);
    let (cos, sin) = (rope.cos.master.unsqueeze(1), rope.sin.master.unsqueeze(1));
    Tensor::cat(&[first * &cos - second * &sin, second * &cos + first * &sin], -1).to_kind(x.kind())
}

#[cfg(test)]
mod tests;
