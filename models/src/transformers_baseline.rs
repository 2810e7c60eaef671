//! The reference's recursive transformer: one stack of blocks that takes its own output and the question again at every
//! supervision step. Follows `models/recursive_reasoning/transformers_baseline.py` of the reference, which has neither
//! inner cycles nor a target for `q_continue`. Leaves halting and carried state to the caller.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureFields};
use crate::config::{ForwardDtype, HaltingRule, Mixer, PosEncodings, QHeadInput};
use crate::frame::{Frame, initial_state};
use crate::layers::{BlockShape, ReasoningModule};
use crate::outline::{AttentionOutline, HaltingOutline, MixingOutline, Outline, check_depths};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput};

/// Recursive transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(non_snake_case, reason = "the reference's config field names are the user's interface")]
pub struct TransformersBaselineConfig {
    /// Chance that a training row must go on past its first halt.
    pub halt_exploration_prob: f64,
    /// Supervision steps per example.
    pub halt_max_steps: usize,
    /// Kept for the reference's files, which do not use it either: the stack runs once per supervision step.
    pub H_cycles: usize,
    /// Blocks of the stack.
    pub H_layers: usize,
    /// Width of an activation.
    pub hidden_size: usize,
    /// Attention heads, each `hidden_size / num_heads` wide, rounded down.
    pub num_heads: usize,
    /// SwiGLU expansion before the 2/3 rule.
    pub expansion: f64,
    /// Width of a row of the puzzle-embedding table, which takes as many positions as it fills; 0: none.
    pub puzzle_emb_ndim: usize,
    /// Position encoding: rope or learned.
    pub pos_encodings: PosEncodings,
    /// Type of the activations.
    pub forward_dtype: ForwardDtype,
    /// Whether training rows may halt before `halt_max_steps`.
    pub act_enabled: bool,
    /// Whether rows may halt before `halt_max_steps` in evaluation.
    pub act_inference: bool,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What the Q head reads (not in the reference, which reads the first position).
    pub q_head_input: QHeadInput,
}

impl Default for TransformersBaselineConfig {
    /// `config/arch/transformers_baseline.yaml` of the reference.
    fn default() -> Self {
        Self {
            halt_exploration_prob: 0.1,
            halt_max_steps: 16,
            H_cycles: 1,
            H_layers: 8,
            hidden_size: 512,
            num_heads: 12,
            expansion: 4.0,
            puzzle_emb_ndim: 512,
            pos_encodings: PosEncodings::Rope,
            forward_dtype: ForwardDtype::BFloat16,
            act_enabled: true,
            act_inference: false,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            q_head_input: QHeadInput::First,
        }
    }
}

impl ArchitectureFields for TransformersBaselineConfig {
    fn outline(&self) -> Outline {
        Outline {
            hidden_size: self.hidden_size,
            puzzle_emb_ndim: self.puzzle_emb_ndim,
            puzzle_emb_len: 0,
            pos_encodings: self.pos_encodings,
            forward_dtype: self.forward_dtype,
            q_head_input: self.q_head_input,
            mixing: MixingOutline::of(Mixer::Attention),
            attention: Some(AttentionOutline { num_heads: self.num_heads, rope_theta: self.rope_theta }),
            expansion: Some(self.expansion),
            rms_norm_eps: self.rms_norm_eps,
            halting: HaltingOutline {
                halt_max_steps: self.halt_max_steps,
                halt_exploration_prob: self.halt_exploration_prob,
                // `q_continue` stays where it was initialised, far below zero: the reference compares with it anyway.
                rule: HaltingRule::QHaltOverContinue,
                learns_q_continue: false,
                act_enabled: self.act_enabled,
                act_inference: self.act_inference,
            },
        }
    }

    fn validate_own(&self) -> Result<(), ModelError> {
        if self.pos_encodings == PosEncodings::None {
            return Err(ModelError::config(
                "pos_encodings",
                "is none, but attention alone cannot tell where a token stands, and transformers_baseline has nothing else that could; set it to rope or learned",
            ));
        }
        check_depths(&[("H_layers", self.H_layers)])
    }
}

/// A recursive transformer whose tensors are weights `W` of some backend.
#[derive(Debug)]
#[expect(non_snake_case, reason = "the reference's names")]
pub(crate) struct TransformersBaseline<W> {
    frame: Frame<W>,
    H_level: ReasoningModule<W>,
    /// `z_H`: `[hidden_size]`.
    init: [W; 1],
}

impl<W> Architecture<W> for TransformersBaseline<W> {
    type Config = TransformersBaselineConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_H"];

    fn new(
        config: &TransformersBaselineConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let outline = config.outline();
        let frame = Frame::new(source, &outline, dims)?;
        let shape = BlockShape::new(source, &outline, dims);
        Ok(Self {
            frame,
            H_level: ReasoningModule::new(source, "inner.H_level", config.H_layers, &shape)?,
            init: [initial_state(source, "H_init", config.hidden_size)?],
        })
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
        let x = self.frame.embed(backend, inputs);
        let z_H = self.H_level.forward(backend, &state[0], &x, None);
        self.frame.output(backend, &z_H, std::slice::from_ref(&z_H), None)
    }
}
