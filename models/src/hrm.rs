//! The Hierarchical Reasoning Model (arXiv 2506.21734): a slow module H and a fast module L with weights of their own,
//! trained through their last application only, halting by Q-learning. Follows `models/recursive_reasoning/hrm.py` of
//! the reference. Leaves halting and carried state to the caller.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureFields};
use crate::config::{ForwardDtype, Mixer, PosEncodings, QHeadInput};
use crate::frame::{Frame, initial_state};
use crate::layers::{BlockShape, ReasoningModule};
use crate::outline::{AttentionOutline, HaltingOutline, MixingOutline, Outline, check_depths};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput};

/// Hierarchical Reasoning Model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(non_snake_case, reason = "the reference's config field names are the user's interface")]
pub struct HrmConfig {
    /// Chance that a training row must go on past its first halt.
    pub halt_exploration_prob: f64,
    /// Supervision steps per example.
    pub halt_max_steps: usize,
    /// Times module H runs per supervision step; only the last has gradients.
    pub H_cycles: usize,
    /// Times module L runs per H cycle; only the very last has gradients.
    pub L_cycles: usize,
    /// Blocks of module H.
    pub H_layers: usize,
    /// Blocks of module L.
    pub L_layers: usize,
    /// Width of an activation.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// SwiGLU expansion before the 2/3 rule.
    pub expansion: f64,
    /// Width of a row of the puzzle-embedding table, which takes as many positions as it fills; 0: none.
    pub puzzle_emb_ndim: usize,
    /// Position encoding.
    pub pos_encodings: PosEncodings,
    /// Type of the activations.
    pub forward_dtype: ForwardDtype,
    /// Mix tokens with an MLP in place of attention.
    pub mlp_t: bool,
    /// Halt on the sign of `q_halt` alone, as TRM does (not in the reference, where HRM always learns `q_continue`).
    pub no_ACT_continue: bool,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What the Q head reads (not in the reference, which reads the first position).
    pub q_head_input: QHeadInput,
}

impl Default for HrmConfig {
    /// `config/arch/hrm.yaml` of the reference.
    fn default() -> Self {
        Self {
            halt_exploration_prob: 0.1,
            halt_max_steps: 16,
            H_cycles: 2,
            L_cycles: 2,
            H_layers: 4,
            L_layers: 4,
            hidden_size: 512,
            num_heads: 8,
            expansion: 4.0,
            puzzle_emb_ndim: 512,
            pos_encodings: PosEncodings::Rope,
            forward_dtype: ForwardDtype::BFloat16,
            mlp_t: false,
            no_ACT_continue: false,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            q_head_input: QHeadInput::First,
        }
    }
}

impl ArchitectureFields for HrmConfig {
    fn outline(&self) -> Outline {
        let attention = AttentionOutline { num_heads: self.num_heads, rope_theta: self.rope_theta };
        Outline {
            hidden_size: self.hidden_size,
            puzzle_emb_ndim: self.puzzle_emb_ndim,
            puzzle_emb_len: 0,
            pos_encodings: self.pos_encodings,
            forward_dtype: self.forward_dtype,
            q_head_input: self.q_head_input,
            mixing: MixingOutline::of(Mixer::chosen(None, self.mlp_t)),
            attention: (!self.mlp_t).then_some(attention),
            expansion: Some(self.expansion),
            rms_norm_eps: self.rms_norm_eps,
            halting: HaltingOutline::new(self.halt_max_steps, self.halt_exploration_prob, self.no_ACT_continue),
        }
    }

    fn validate_own(&self) -> Result<(), ModelError> {
        check_depths(&[
            ("H_cycles", self.H_cycles),
            ("L_cycles", self.L_cycles),
            ("H_layers", self.H_layers),
            ("L_layers", self.L_layers),
        ])
    }
}

/// An HRM whose tensors are weights `W` of some backend.
#[derive(Debug)]
#[expect(non_snake_case, reason = "the paper's and the reference's names")]
pub(crate) struct Hrm<W> {
    frame: Frame<W>,
    H_level: ReasoningModule<W>,
    L_level: ReasoningModule<W>,
    /// `z_H`, `z_L`: `[hidden_size]` each.
    init: [W; 2],
    H_cycles: usize,
    L_cycles: usize,
}

impl<W> Architecture<W> for Hrm<W> {
    type Config = HrmConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_H", "z_L"];

    #[expect(non_snake_case, reason = "the reference's names")]
    fn new(
        config: &HrmConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let outline = config.outline();
        let frame = Frame::new(source, &outline, dims)?;
        let shape = BlockShape::new(source, &outline, dims);
        let H_level = ReasoningModule::new(source, "inner.H_level", config.H_layers, &shape)?;
        let L_level = ReasoningModule::new(source, "inner.L_level", config.L_layers, &shape)?;
        let init = [
            initial_state(source, "H_init", config.hidden_size)?,
            initial_state(source, "L_init", config.hidden_size)?,
        ];
        Ok(Self { frame, H_level, L_level, init, H_cycles: config.H_cycles, L_cycles: config.L_cycles })
    }

    fn initial_states(&self) -> &[W] {
        &self.init
    }

    /// One supervision step: `H_cycles` rounds of `L_cycles` updates of `z_L` and one of `z_H`; gradients flow through
    /// the last update of each (the paper's one-step approximation).
    #[expect(non_snake_case, reason = "the paper's letters")]
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let x = self.frame.embed(backend, inputs);
        let (z_H, z_L) = backend.no_grad(|| {
            let start = (state[0].clone(), state[1].clone());
            let (z_H, z_L) = (1..self.H_cycles).fold(start, |(z_H, z_L), _| {
                let z_L = self.update_z_L(backend, &x, &z_H, z_L, self.L_cycles);
                (self.H_level.forward(backend, &z_H, &z_L, None), z_L)
            });
            let z_L = self.update_z_L(backend, &x, &z_H, z_L, self.L_cycles - 1);
            (z_H, z_L)
        });
        let z_L = self.update_z_L(backend, &x, &z_H, z_L, 1);
        let z_H = self.H_level.forward(backend, &z_H, &z_L, None);
        self.frame.output(backend, &z_H, &[z_H.clone(), z_L], None)
    }
}

impl<W> Hrm<W> {
    /// `z_L ← L(z_L + z_H + x)`, `cycles` times.
    #[expect(non_snake_case, reason = "the paper's letters")]
    fn update_z_L<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        x: &B::Tensor,
        z_H: &B::Tensor,
        z_L: B::Tensor,
        cycles: usize,
    ) -> B::Tensor {
        let injection = backend.add(z_H, x);
        (0..cycles).fold(z_L, |z_L, _| self.L_level.forward(backend, &z_L, &injection, None))
    }
}
