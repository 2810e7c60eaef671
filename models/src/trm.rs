//! The Tiny Recursive Model: one small network that refines a latent `z_L` and an answer `z_H` in turns.
//! Follows `TinyRecursiveReasoningModel_ACTV1_Inner` of the reference (`models/recursive_reasoning/trm.py`) and
//! section 4 of arXiv 2510.04871. Leaves halting and carried state to the caller.

use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, ArchitectureFields};
use crate::config::{ForwardDtype, Mixer, PosEncodings, QHeadInput};
use crate::frame::{Frame, Start, initial_state};
use crate::layers::{BlockShape, ReasoningModule};
use crate::outline::{AttentionOutline, HaltingOutline, MixingOutline, Outline, check_depths};
use crate::{Backend, ModelDims, ModelError, ParameterSource, StepInputs, StepOutput};

/// Tiny Recursive Model and its variants with one and with seven states, whose fields are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(non_snake_case, reason = "the reference's config field names are the user's interface")]
pub struct TrmConfig {
    /// Chance that a training row must go on past its first halt.
    pub halt_exploration_prob: f64,
    /// Supervision steps per example.
    pub halt_max_steps: usize,
    /// Times `z_H` is updated per supervision step; only the last has gradients.
    pub H_cycles: usize,
    /// Times `z_L` is updated per H cycle.
    pub L_cycles: usize,
    /// Kept for the reference's files; TRM has no separate H module.
    pub H_layers: usize,
    /// Blocks of the one network.
    pub L_layers: usize,
    /// Width of an activation.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// SwiGLU expansion before the 2/3 rule.
    pub expansion: f64,
    /// Width of a row of the puzzle-embedding table; 0: no puzzle embedding.
    pub puzzle_emb_ndim: usize,
    /// Positions that the puzzle embedding takes; 0: as many as `puzzle_emb_ndim` needs.
    pub puzzle_emb_len: usize,
    /// Position encoding.
    pub pos_encodings: PosEncodings,
    /// Type of the activations.
    pub forward_dtype: ForwardDtype,
    /// The reference's `mixer=mlp`; of no effect where `mixer` is set.
    pub mlp_t: bool,
    /// How blocks mix tokens; `None`: with an MLP under `mlp_t`, else with attention.
    pub mixer: Option<Mixer>,
    /// Channels that each kind of unit pools under `mixer=units`; even.
    pub pool_size: usize,
    /// Tokens of cells that hold no state under `mixer=local`: by default padding and walls of mazes, padding and ends of
    /// grids of ARC.
    pub blocked_tokens: Vec<usize>,
    /// Also predicts, under `mixer=local`, which moves from each cell lie on a shortest path to the goal: a second target of
    /// mazes, which training alone computes.
    pub move_head: bool,
    /// Halt on the sign of `q_halt` alone (the paper's choice); otherwise `q_continue` is learned and compared with.
    pub no_ACT_continue: bool,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What the Q head reads (not in the reference, which reads the first position).
    pub q_head_input: QHeadInput,
}

impl Default for TrmConfig {
    /// `config/arch/trm.yaml` of the reference, and equally `trm_singlez.yaml` and `trm_hier6.yaml`.
    fn default() -> Self {
        Self {
            halt_exploration_prob: 0.1,
            halt_max_steps: 16,
            H_cycles: 3,
            L_cycles: 6,
            H_layers: 0,
            L_layers: 2,
            hidden_size: 512,
            num_heads: 8,
            expansion: 4.0,
            puzzle_emb_ndim: 512,
            puzzle_emb_len: 16,
            pos_encodings: PosEncodings::Rope,
            forward_dtype: ForwardDtype::BFloat16,
            mlp_t: false,
            mixer: None,
            pool_size: 24,
            blocked_tokens: vec![0, 1],
            move_head: false,
            no_ACT_continue: true,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            q_head_input: QHeadInput::First,
        }
    }
}

impl TrmConfig {
    /// Positions before the first token: 0 without puzzle embedding, else `puzzle_emb_len`, else as many as the
    /// embedding fills.
    pub fn puzzle_positions(&self) -> usize {
        self.outline().puzzle_positions()
    }
}

impl ArchitectureFields for TrmConfig {
    fn outline(&self) -> Outline {
        let attention = AttentionOutline { num_heads: self.num_heads, rope_theta: self.rope_theta };
        let mixer = Mixer::chosen(self.mixer, self.mlp_t);
        let blocked_tokens = if mixer == Mixer::Local { self.blocked_tokens.clone() } else { Vec::new() };
        Outline {
            hidden_size: self.hidden_size,
            puzzle_emb_ndim: self.puzzle_emb_ndim,
            puzzle_emb_len: self.puzzle_emb_len,
            pos_encodings: self.pos_encodings,
            forward_dtype: self.forward_dtype,
            q_head_input: self.q_head_input,
            mixing: MixingOutline { mixer, pool_size: self.pool_size, blocked_tokens, move_head: self.move_head },
            attention: (mixer == Mixer::Attention).then_some(attention),
            expansion: Some(self.expansion),
            rms_norm_eps: self.rms_norm_eps,
            halting: HaltingOutline::new(self.halt_max_steps, self.halt_exploration_prob, self.no_ACT_continue),
        }
    }

    /// The fields that only these architectures have.
    fn validate_own(&self) -> Result<(), ModelError> {
        check_depths(&[("H_cycles", self.H_cycles), ("L_cycles", self.L_cycles), ("L_layers", self.L_layers)])
    }
}

/// A TRM whose tensors are weights `W` of some backend.
#[derive(Debug)]
#[expect(non_snake_case, reason = "the paper's and the reference's names")]
pub(crate) struct Trm<W> {
    frame: Frame<W>,
    L_level: ReasoningModule<W>,
    /// `z_H`, `z_L`: `[hidden_size]` each.
    init: [W; 2],
    H_cycles: usize,
    L_cycles: usize,
}

impl<W> Architecture<W> for Trm<W> {
    type Config = TrmConfig;

    const STATE_NAMES: &'static [&'static str] = &["z_H", "z_L"];

    fn new(
        config: &TrmConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        let outline = config.outline();
        let frame = Frame::new(source, &outline, dims)?;
        let shape = BlockShape::new(source, &outline, dims);
        Ok(Self {
            frame,
            L_level: ReasoningModule::new(source, "inner.L_level", config.L_layers, &shape)?,
            init: [
                initial_state(source, "H_init", config.hidden_size)?,
                initial_state(source, "L_init", config.hidden_size)?,
            ],
            H_cycles: config.H_cycles,
            L_cycles: config.L_cycles,
        })
    }

    fn initial_states(&self) -> &[W] {
        &self.init
    }

    /// One supervision step: `H_cycles` rounds of `L_cycles` latent updates and one answer update, of which only the
    /// last round is differentiated.
    #[expect(non_snake_case, reason = "the paper's letters")]
    fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let start = self.frame.start(backend, inputs, state);
        let mut z = (start.state[0].clone(), start.state[1].clone());
        if self.H_cycles > 1 {
            z = backend
                .no_grad(|| (1..self.H_cycles).fold(z, |(z_H, z_L), _| self.recursion(backend, &start, &z_H, z_L)));
        }
        let (z_H, z_L) = self.recursion(backend, &start, &z.0, z.1);
        self.frame.output(backend, &z_H, &[z_H.clone(), z_L], start.sites.as_ref())
    }
}

impl<W> Trm<W> {
    /// The paper's `latent_recursion`: `z_L ← f(z_L + z_H + x)` `L_cycles` times, then `z_H ← f(z_H + z_L)`.
    #[expect(non_snake_case, reason = "the paper's letters")]
    fn recursion<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        start: &Start<B>,
        z_H: &B::Tensor,
        z_L: B::Tensor,
    ) -> (B::Tensor, B::Tensor) {
        let (injection, sites) = (backend.add(z_H, &start.x), start.sites.as_ref());
        let z_L = (0..self.L_cycles).fold(z_L, |z_L, _| self.L_level.forward(backend, &z_L, &injection, sites));
        let z_H = self.L_level.forward(backend, z_H, &z_L, sites);
        (z_H, z_L)
    }
}
