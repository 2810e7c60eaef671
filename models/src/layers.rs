//! Layers shared by the architectures: how they are named and shaped, and which backend operation each one is.
//! Leaves the arithmetic to the backend and the order of layers to the architecture files.

use crate::{Backend, Init, ModelError, ParameterKind, ParameterSource, ParameterSpec};

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
        let weight = source.parameter(ParameterSpec {
            name: format!("{name}.weight"),
            shape: vec![out_features, in_features],
            init: Init::TruncNormal { std: (in_features as f64).powf(-0.5) },
            kind: ParameterKind::Weight,
        })?;
        Ok(Self { weight, bias: None, in_features, out_features })
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
        let inner = swiglu_inner_size(width, expansion);
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
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        tokens: usize,
        head_dim: usize,
        theta: f64,
    ) -> Self {
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
    /// `[3 · hidden_size, hidden_size]`: all query heads, then keys, then values.
    pub qkv: Linear<W>,
    /// `[hidden_size, hidden_size]`.
    pub output: Linear<W>,
    /// Heads.
    pub num_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Shared rotary tables, where positions are encoded that way.
    pub rope: Option<std::rc::Rc<Rope<W>>>,
}

/// What a block mixes tokens with.
#[derive(Debug)]
pub(crate) enum Mixer<W> {
    Attention(Attention<W>),
    Mlp(SwiGlu<W>),
}

/// A post-norm block: token mixing, then a SwiGLU, each followed by a residual RMS norm.
#[derive(Debug)]
pub(crate) struct Block<W> {
    mixer: Mixer<W>,
    mlp: SwiGlu<W>,
    rms_norm_eps: f64,
}

/// What every block of a stack has in common.
#[derive(Debug)]
pub(crate) struct BlockShape<W> {
    pub(crate) hidden_size: usize,
    pub(crate) tokens: usize,
    pub(crate) expansion: f64,
    pub(crate) num_heads: usize,
    pub(crate) mlp_t: bool,
    pub(crate) rms_norm_eps: f64,
    pub(crate) rope: Option<std::rc::Rc<Rope<W>>>,
}

impl<W> Block<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        shape: &BlockShape<W>,
    ) -> Result<Self, ModelError> {
        let hidden_size = shape.hidden_size;
        let mixer = if shape.mlp_t {
            Mixer::Mlp(SwiGlu::new(source, &format!("{name}.mlp_t"), shape.tokens, shape.expansion)?)
        } else {
            Mixer::Attention(Attention {
                qkv: Linear::new(source, &format!("{name}.self_attn.qkv_proj"), hidden_size, 3 * hidden_size)?,
                output: Linear::new(source, &format!("{name}.self_attn.o_proj"), hidden_size, hidden_size)?,
                num_heads: shape.num_heads,
                head_dim: hidden_size / shape.num_heads,
                rope: shape.rope.clone(),
            })
        };
        let mlp = SwiGlu::new(source, &format!("{name}.mlp"), hidden_size, shape.expansion)?;
        Ok(Self { mixer, mlp, rms_norm_eps: shape.rms_norm_eps })
    }

    fn forward<B: Backend<Weight = W>>(&self, backend: &B, hidden: &B::Tensor) -> B::Tensor {
        let eps = self.rms_norm_eps;
        let hidden = match &self.mixer {
            Mixer::Mlp(swiglu) => backend.token_mixing(hidden, swiglu, eps),
            Mixer::Attention(attention) => {
                backend.residual_rms_norm(hidden, &backend.attention(hidden, attention), eps)
            }
        };
        backend.residual_rms_norm(&hidden, &backend.swiglu(&hidden, &self.mlp), eps)
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
    ) -> B::Tensor {
        self.blocks.iter().fold(backend.add(state, injection), |hidden, block| block.forward(backend, &hidden))
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
