//! The transformer baseline of the recursive-reasoning benchmark (`src/models/transformer.py` of
//! vitornegromonte/recursive-reasoning): a plain post-norm encoder with layer norms, biases and a GELU feed-forward.
//! Embedding, heads and supervision steps are those of the other architectures, so that only the network differs.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureFields};
use crate::config::{ForwardDtype, Mixer, PosEncodings, QHeadInput};
use crate::frame::{Frame, initial_state};
use crate::layers::{Attention, LayerNorm, Linear, Rope};
use crate::outline::{AttentionOutline, HaltingOutline, MixingOutline, Outline, check_depths, check_widths};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput};

/// Transformer encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(non_snake_case, reason = "the reference's config field names are the user's interface")]
pub struct TransformerConfig {
    /// Chance that a training row must go on past its first halt.
    pub halt_exploration_prob: f64,
    /// Supervision steps per example; the benchmark takes one.
    pub halt_max_steps: usize,
    /// Width of an activation.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Width of a row of the puzzle-embedding table; 0: no puzzle embedding.
    pub puzzle_emb_ndim: usize,
    /// Positions that the puzzle embedding takes; 0: as many as `puzzle_emb_ndim` needs.
    pub puzzle_emb_len: usize,
    /// Position encoding: learned (the benchmark's) or rope.
    pub pos_encodings: PosEncodings,
    /// Type of the activations.
    pub forward_dtype: ForwardDtype,
    /// Halt on the sign of `q_halt` alone; otherwise `q_continue` is learned and compared with.
    pub no_ACT_continue: bool,
    /// Epsilon of the layer norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What the Q head reads.
    pub q_head_input: QHeadInput,
}

impl Default for TransformerConfig {
    /// `SudokuTransformer` of the benchmark at its default sizes.
    fn default() -> Self {
        Self {
            halt_exploration_prob: 0.1,
            halt_max_steps: 1,
            hidden_size: 128,
            num_heads: 4,
            intermediate_size: 256,
            num_layers: 6,
            puzzle_emb_ndim: 0,
            puzzle_emb_len: 0,
            pos_encodings: PosEncodings::Learned,
            forward_dtype: ForwardDtype::BFloat16,
            no_ACT_continue: true,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            q_head_input: QHeadInput::Mean,
        }
    }
}

impl ArchitectureFields for TransformerConfig {
    fn outline(&self) -> Outline {
        Outline {
            hidden_size: self.hidden_size,
            puzzle_emb_ndim: self.puzzle_emb_ndim,
            puzzle_emb_len: self.puzzle_emb_len,
            pos_encodings: self.pos_encodings,
            forward_dtype: self.forward_dtype,
            q_head_input: self.q_head_input,
            mixing: MixingOutline::of(Mixer::Attention),
            attention: Some(AttentionOutline { num_heads: self.num_heads, rope_theta: self.rope_theta }),
            expansion: None,
            rms_norm_eps: self.rms_norm_eps,
            halting: HaltingOutline::new(self.halt_max_steps, self.halt_exploration_prob, self.no_ACT_continue),
        }
    }

    fn validate_own(&self) -> Result<(), ModelError> {
        if self.pos_encodings == PosEncodings::None {
            return Err(ModelError::config(
                "pos_encodings",
                "is none, but attention alone cannot tell where a token stands; set it to learned or rope",
            ));
        }
        check_widths(&[("intermediate_size", self.intermediate_size)])?;
        check_depths(&[("num_layers", self.num_layers)])
    }
}

/// A transformer encoder whose tensors are weights `W` of some backend.
#[derive(Debug)]
pub(crate) struct Transformer<W> {
    frame: Frame<W>,
    blocks: Vec<EncoderBlock<W>>,
    /// `z_H`: `[hidden_size]`.
    init: [W; 1],
}

/// Attention and feed-forward layer, each followed by its residual and layer norm.
#[derive(Debug)]
struct EncoderBlock<W> {
    attention: Attention<W>,
    norm1: LayerNorm<W>,
    expand: Linear<W>,
    contract: Linear<W>,
    norm2: LayerNorm<W>,
}

impl<W> Architecture<W> for Transformer<W> {
    type Config = TransformerConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_H"];

    fn new(
        config: &TransformerConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let outline = config.outline();
        let frame = Frame::new(source, &outline, dims)?;
        let rope = Rope::of(source, &outline, dims);
        let blocks = (0..config.num_layers)
            .map(|layer| EncoderBlock::new(source, &format!("inner.blocks.{layer}"), config, rope.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Self { frame, blocks, init: [initial_state(source, "H_init", config.hidden_size)?] })
    }

    fn initial_states(&self) -> &[W] {
        &self.init
    }

    /// One supervision step: `z_H ← f(z_H + x)`.
    #[expect(non_snake_case, reason = "the reference's letters")]
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let start = backend.add(&state[0], &self.frame.embed(backend, inputs));
        let z_H = self.blocks.iter().fold(start, |hidden, block| block.forward(backend, &hidden));
        self.frame.output(backend, &z_H, std::slice::from_ref(&z_H), None)
    }
}

impl<W> EncoderBlock<W> {
    fn new(
        source: &mut impl ParameterSource<Weight = W>,
        name: &str,
        config: &TransformerConfig,
        rope: Option<std::rc::Rc<Rope<W>>>,
    ) -> Result<Self, ModelError> {
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
        Ok(Self {
            attention: Attention::biased(source, &format!("{name}.attn"), width, config.num_heads, rope)?,
            norm1: LayerNorm::new(source, &format!("{name}.norm1"), width, eps)?,
            expand: Linear::biased(source, &format!("{name}.ff.0"), width, inner)?,
            contract: Linear::biased(source, &format!("{name}.ff.2"), inner, width)?,
            norm2: LayerNorm::new(source, &format!("{name}.norm2"), width, eps)?,
        })
    }

    fn forward<B: Backend<Weight = W>>(&self, backend: &B, hidden: &B::Tensor) -> B::Tensor {
        let attended = backend.attention(hidden, &self.attention);
        let hidden = backend.layer_norm(&backend.add(hidden, &attended), &self.norm1);
        let fed = backend.linear(&backend.gelu(&backend.linear(&hidden, &self.expand)), &self.contract);
        backend.layer_norm(&backend.add(&hidden, &fed), &self.norm2)
    }
}
