//! Layers shared by the architectures: how they are named and shaped, and which backend operation each one is.
//! Leaves the arithmetic to the backend and the order of layers to the architecture files.

mod lstm;
mod structured;

use std::rc::Rc;

pub use lstm::{LayerNorm, LstmDirection, LstmLayer};
pub use structured::{
    LocalMixing, PART_OF_KIND, STENCIL, UNIT_KINDS, UNIT_PARTS, UNIT_SUM_SCALE, UnitsMixing, structured_inner_size,
};

use crate::config::{Mixer as MixerKind, PosEncodings};
use crate::outline::{MixingOutline, Outline};
use crate::{Backend, Init, ModelDims, ModelError, ParameterKind, ParameterSource, ParameterSpec};

/// A projection over the last axis.
#[derive(Debug)]
pub struct Linear<W> {
    /// `[out_features, in_features]`.
    pub weight: W,
    /// `[out_features]`.
    pub bias: Option<W>,
    /// Width of the input.
    pub in_features: usize,
    /// Width of the output.
    pub out_features: usize,
}

impl<W> Linear<W> {
    /// `{name}.weight` drawn with deviation `1/sqrt(in_features)`, no bias.
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        in_features: usize,
        out_features: usize,
    ) -> Result<Self, ModelError> {
        let weight = matrix(source, format!("{name}.weight"), in_features, out_features)?;
        Ok(Self { weight, bias: None, in_features, out_features })
    }

    /// As [`new`](Self::new), with `{name}.bias` starting at zero.
    pub(crate) fn biased(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        in_features: usize,
        out_features: usize,
    ) -> Result<Self, ModelError> {
        Self::biased_as(source, [format!("{name}.weight"), format!("{name}.bias")], in_features, out_features)
    }

    fn biased_as(
        source: &mut impl ParameterSource<Weight = W>,
        [weight, bias]: [String; 2],
        in_features: usize,
        out_features: usize,
    ) -> Result<Self, ModelError> {
        let weight = matrix(source, weight, in_features, out_features)?;
        let bias = source.parameter(ParameterSpec {
            name: bias,
            shape: vec![out_features],
            init: Init::Constant(0.0),
            kind: ParameterKind::Weight,
        })?;
        Ok(Self { weight, bias: Some(bias), in_features, out_features })
    }

    /// The Q head: zero weight and a bias of -5, so that an untrained model does not halt.
    pub(crate) fn q_head(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        in_features: usize,
    ) -> Result<Self, ModelError> {
        let mut constant = |suffix: &str, shape: Vec<usize>, value: f32| {
            source.parameter(ParameterSpec {
                name: format!("{name}.{suffix}"),
                shape,
                init: Init::Constant(value),
                kind: ParameterKind::Weight,
            })
        };
        let weight = constant("weight", vec![2, in_features], 0.0)?;
        let bias = constant("bias", vec![2], -5.0)?;
        Ok(Self { weight, bias: Some(bias), in_features, out_features: 2 })
    }
}

fn matrix<W>(
    source: &mut impl ParameterSource<Weight = W>,
    name: String,
    in_features: usize,
    out_features: usize,
) -> Result<W, ModelError> {
    source.parameter(ParameterSpec {
        name,
        shape: vec![out_features, in_features],
        init: Init::TruncNormal { std: (in_features as f64).powf(-0.5) },
        kind: ParameterKind::Weight,
    })
}

/// The gated MLP `down(silu(gate) · up)`.
#[derive(Debug)]
pub struct SwiGlu<W> {
    /// `[2 · inner, width]`: gate rows, then up rows.
    pub gate_up: Linear<W>,
    /// `[width, inner]`.
    pub down: Linear<W>,
}

impl<W> SwiGlu<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        width: usize,
        expansion: f64,
    ) -> Result<Self, ModelError> {
        Self::of_inner_size(source, name, width, swiglu_inner_size(width, expansion))
    }

    fn of_inner_size(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        width: usize,
        inner: usize,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            gate_up: Linear::new(source, &format!("{name}.gate_up_proj"), width, 2 * inner)?,
            down: Linear::new(source, &format!("{name}.down_proj"), inner, width)?,
        })
    }
}

/// Inner width of a SwiGLU: `expansion · width · 2/3`, rounded half to even as Python does, up to a multiple of 256.
pub fn swiglu_inner_size(width: usize, expansion: f64) -> usize {
    let inner = (expansion * width as f64 * 2.0 / 3.0).round_ties_even() as usize;
    inner.div_ceil(256) * 256
}

/// Rotary position tables, rotate-half form.
#[derive(Debug)]
pub struct Rope<W> {
    /// `[tokens, head_dim / 2]` cosines; the second half of a head repeats the first.
    pub cos: W,
    /// `[tokens, head_dim / 2]` sines.
    pub sin: W,
}

impl<W> Rope<W> {
    /// The tables that all blocks of a model share, where its positions are encoded that way.
    pub(crate) fn of(
        source: &mut impl ParameterSource<Weight = W>,
        outline: &Outline,
        dims: &ModelDims,
    ) -> Option<Rc<Self>> {
        let attention = outline.attention.filter(|_| outline.pos_encodings == PosEncodings::Rope)?;
        let tokens = dims.seq_len + outline.puzzle_positions();
        let head_dim = outline.hidden_size / attention.num_heads;
        Some(Rc::new(Self::new(source, tokens, head_dim, attention.rope_theta)))
    }

    fn new(source: &mut impl ParameterSource<Weight = W>, tokens: usize, head_dim: usize, theta: f64) -> Self {
        let half = head_dim / 2;
        // float32 at the same points as the reference, whose angles are rounded before the cosine is taken.
        let frequencies: Vec<f32> =
            (0..half).map(|i| 1.0 / (theta.powf(f64::from((2 * i) as f32 / head_dim as f32)) as f32)).collect();
        let table = |function: fn(f64) -> f64| -> Vec<f32> {
            (0..tokens)
                .flat_map(|t| frequencies.iter().map(move |&f| function(f64::from(t as f32 * f)) as f32))
                .collect()
        };
        let shape = [tokens, half];
        Self {
            cos: source.constant("rotary_emb.cos", &shape, table(f64::cos)),
            sin: source.constant("rotary_emb.sin", &shape, table(f64::sin)),
        }
    }
}

/// Multi-head self-attention, not causal.
#[derive(Debug)]
pub struct Attention<W> {
    /// `[3 · num_heads · head_dim, hidden_size]`: all query heads, then keys, then values.
    pub qkv: Linear<W>,
    /// `[hidden_size, num_heads · head_dim]`.
    pub output: Linear<W>,
    /// Heads.
    pub num_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Shared rotary tables, where positions are encoded that way.
    pub rope: Option<Rc<Rope<W>>>,
}

impl<W> Attention<W> {
    /// `{name}.qkv_proj` and `{name}.o_proj` for heads of `hidden_size / num_heads`, rounded down as in the reference.
    fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        hidden_size: usize,
        num_heads: usize,
        rope: Option<Rc<Rope<W>>>,
    ) -> Result<Self, ModelError> {
        let head_dim = hidden_size / num_heads;
        let width = num_heads * head_dim;
        Ok(Self {
            qkv: Linear::new(source, &format!("{name}.qkv_proj"), hidden_size, 3 * width)?,
            output: Linear::new(source, &format!("{name}.o_proj"), width, hidden_size)?,
            num_heads,
            head_dim,
            rope,
        })
    }

    /// The same with biases, under the names of `torch.nn.MultiheadAttention`.
    pub(crate) fn biased(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        hidden_size: usize,
        num_heads: usize,
        rope: Option<Rc<Rope<W>>>,
    ) -> Result<Self, ModelError> {
        let head_dim = hidden_size / num_heads;
        let width = num_heads * head_dim;
        let qkv_names = [format!("{name}.in_proj_weight"), format!("{name}.in_proj_bias")];
        Ok(Self {
            qkv: Linear::biased_as(source, qkv_names, hidden_size, 3 * width)?,
            output: Linear::biased(source, &format!("{name}.out_proj"), width, hidden_size)?,
            num_heads,
            head_dim,
            rope,
        })
    }
}

/// What a block mixes tokens with.
#[derive(Debug)]
enum Mixer<W> {
    Attention(Attention<W>),
    Mlp(SwiGlu<W>),
    Units(UnitsMixing<W>),
    /// Its SwiGLU is the block's.
    Local(LocalMixing<W>),
}

/// A post-norm block: token mixing, then a SwiGLU, each followed by a residual RMS norm.
#[derive(Debug)]
struct Block<W> {
    mixer: Mixer<W>,
    /// None where the mixer has one inside.
    mlp: Option<SwiGlu<W>>,
    rms_norm_eps: f64,
}

/// What every block of a stack has in common.
#[derive(Debug)]
pub(crate) struct BlockShape<W> {
    hidden_size: usize,
    tokens: usize,
    expansion: f64,
    mixing: MixingOutline,
    num_heads: usize,
    rms_norm_eps: f64,
    rope: Option<Rc<Rope<W>>>,
}

impl<W> BlockShape<W> {
    pub(crate) fn new(source: &mut impl ParameterSource<Weight = W>, outline: &Outline, dims: &ModelDims) -> Self {
        Self {
            hidden_size: outline.hidden_size,
            tokens: dims.seq_len + outline.puzzle_positions(),
            expansion: outline.expansion.expect("architectures of these blocks have an expansion"),
            mixing: outline.mixing.clone(),
            num_heads: outline.attention.map_or(0, |attention| attention.num_heads),
            rms_norm_eps: outline.rms_norm_eps,
            rope: Rope::of(source, outline, dims),
        }
    }
}

impl<W> Block<W> {
    fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        shape: &BlockShape<W>,
    ) -> Result<Self, ModelError> {
        let (hidden_size, num_heads) = (shape.hidden_size, shape.num_heads);
        let structured_inner = structured_inner_size(hidden_size, shape.expansion);
        let mlp_name = format!("{name}.mlp");
        let (mixer, mlp) = match shape.mixing.mixer {
            MixerKind::Attention => {
                let name = format!("{name}.self_attn");
                let attention = Attention::new(source, &name, hidden_size, num_heads, shape.rope.clone())?;
                (Mixer::Attention(attention), Some(SwiGlu::new(source, &mlp_name, hidden_size, shape.expansion)?))
            }
            MixerKind::Mlp => {
                let mixing = SwiGlu::new(source, &format!("{name}.mlp_t"), shape.tokens, shape.expansion)?;
                (Mixer::Mlp(mixing), Some(SwiGlu::new(source, &mlp_name, hidden_size, shape.expansion)?))
            }
            MixerKind::Units => {
                let mixing = UnitsMixing::new(source, &format!("{name}.units"), hidden_size, shape.mixing.pool_size)?;
                let mlp = SwiGlu::of_inner_size(source, &mlp_name, hidden_size, structured_inner)?;
                (Mixer::Units(mixing), Some(mlp))
            }
            MixerKind::Local => {
                (Mixer::Local(LocalMixing::new(source, &mlp_name, hidden_size, structured_inner)?), None)
            }
        };
        Ok(Self { mixer, mlp, rms_norm_eps: shape.rms_norm_eps })
    }

    fn forward<B: Backend<Weight = W>>(&self, backend: &B, hidden: &B::Tensor, sites: Option<&B::Sites>) -> B::Tensor {
        let eps = self.rms_norm_eps;
        let known = || sites.expect("frames of structured mixers find the sites of their boards");
        let hidden = match &self.mixer {
            Mixer::Mlp(swiglu) => backend.token_mixing(hidden, swiglu, eps),
            Mixer::Attention(attention) => backend.residual_attention(hidden, attention, eps),
            Mixer::Units(mixing) => backend.units_mixing(hidden, mixing, known(), eps),
            Mixer::Local(mixing) => backend.local_mixing(hidden, mixing, known(), eps),
        };
        match (&self.mlp, sites) {
            (Some(mlp), Some(sites)) => backend.site_channel_mixing(&hidden, mlp, sites, eps),
            (Some(mlp), None) => backend.channel_mixing(&hidden, mlp, eps),
            (None, _) => hidden,
        }
    }
}

/// A stack of blocks that takes an injection: one application of the paper's network.
#[derive(Debug)]
pub(crate) struct ReasoningModule<W> {
    blocks: Vec<Block<W>>,
}

impl<W> ReasoningModule<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        layers: usize,
        shape: &BlockShape<W>,
    ) -> Result<Self, ModelError> {
        let blocks = (0..layers)
            .map(|layer| Block::new(source, &format!("{name}.layers.{layer}"), shape))
            .collect::<Result<_, _>>()?;
        Ok(Self { blocks })
    }

    pub(crate) fn forward<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        state: &B::Tensor,
        injection: &B::Tensor,
        sites: Option<&B::Sites>,
    ) -> B::Tensor {
        self.blocks(backend, backend.add(state, injection), sites)
    }

    /// The blocks alone, without an injection.
    pub(crate) fn blocks<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        hidden: B::Tensor,
        sites: Option<&B::Sites>,
    ) -> B::Tensor {
        self.blocks.iter().fold(hidden, |hidden, block| block.forward(backend, &hidden, sites))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swiglu_inner_size_follows_python_rounding() {
        assert_eq!(swiglu_inner_size(512, 4.0), 1536);
        assert_eq!(swiglu_inner_size(97, 4.0), 512);
        assert_eq!(swiglu_inner_size(81, 4.0), 256);
        assert_eq!(swiglu_inner_size(128, 4.0), 512);
        // 256.5 rounds to even: 256, not 257 → 512.
        assert_eq!(swiglu_inner_size(513, 0.75), 256);
    }
}
