//! The Tiny Recursive Model: one small network that refines a latent `z_L` and an answer `z_H` in turns.
//! Follows `TinyRecursiveReasoningModel_ACTV1_Inner` of the reference (`models/recursive_reasoning/trm.py`) and
//! section 4 of arXiv 2510.04871. Leaves halting and carried state to whoever runs the steps.

use std::rc::Rc;

use crate::config::{PosEncodings, QHeadInput};
use crate::layers::{BlockShape, Linear, ReasoningModule, Rope};
use crate::{
    Backend, Init, ModelDims, ModelError, ParameterKind, ParameterSource, ParameterSpec, StepInputs, StepOutput,
    TrmConfig,
};

/// A TRM whose tensors are weights `W` of some backend.
#[derive(Debug)]
#[expect(non_snake_case, reason = "the paper's and the reference's names")]
pub struct Trm<W> {
    config: TrmConfig,
    embed_tokens: W,
    embed_pos: Option<W>,
    L_level: ReasoningModule<W>,
    lm_head: Linear<W>,
    q_head: Linear<W>,
    /// `z_H`, `z_L`: `[hidden_size]` each.
    init: [W; 2],
}

impl<W> Trm<W> {
    /// Names of the recursion state, in order.
    pub const STATE_NAMES: [&'static str; 2] = ["z_H", "z_L"];

    /// Builds the model from a validated config and a source of tensors.
    ///
    /// # Errors
    /// When the config is invalid or the source lacks a tensor.
    pub fn new(
        config: &TrmConfig,
        dims: &ModelDims,
        source: &mut impl ParameterSource<Weight = W>,
    ) -> Result<Self, ModelError> {
        config.validate(dims)?;
        let hidden_size = config.hidden_size;
        let tokens = dims.seq_len + config.puzzle_positions();
        let embed_init = Init::TruncNormal { std: 1.0 / embed_scale(hidden_size) };

        let embed_tokens = source.parameter(ParameterSpec {
            name: "inner.embed_tokens.embedding_weight".into(),
            shape: vec![dims.vocab_size, hidden_size],
            init: embed_init,
            kind: ParameterKind::Weight,
        })?;
        let lm_head = Linear::new(source, "inner.lm_head", hidden_size, dims.vocab_size)?;
        let q_head = Linear::q_head(source, "inner.q_head", hidden_size)?;
        if config.puzzle_emb_ndim > 0 {
            source.parameter(ParameterSpec {
                name: PUZZLE_TABLE.into(),
                shape: vec![dims.num_puzzle_identifiers, config.puzzle_emb_ndim],
                init: Init::Constant(0.0),
                kind: ParameterKind::PuzzleTable,
            })?;
        }
        let embed_pos = match config.pos_encodings {
            PosEncodings::Learned => Some(source.parameter(ParameterSpec {
                name: "inner.embed_pos.embedding_weight".into(),
                shape: vec![tokens, hidden_size],
                init: embed_init,
                kind: ParameterKind::Weight,
            })?),
            PosEncodings::Rope | PosEncodings::None => None,
        };
        let rope = (config.pos_encodings == PosEncodings::Rope && !config.mlp_t)
            .then(|| Rc::new(Rope::new(source, tokens, hidden_size / config.num_heads, config.rope_theta)));
        let shape = BlockShape {
            hidden_size,
            tokens,
            expansion: config.expansion,
            num_heads: config.num_heads,
            mlp_t: config.mlp_t,
            rms_norm_eps: config.rms_norm_eps,
            rope,
        };
        let reasoning = ReasoningModule::new(source, "inner.L_level", config.L_layers, &shape)?;
        let mut initial_state = |name: &str| {
            source.parameter(ParameterSpec {
                name: name.into(),
                shape: vec![hidden_size],
                init: Init::TruncNormal { std: 1.0 },
                kind: ParameterKind::Buffer,
            })
        };
        let init = [initial_state("inner.H_init")?, initial_state("inner.L_init")?];
        Ok(Self { config: config.clone(), embed_tokens, embed_pos, L_level: reasoning, lm_head, q_head, init })
    }

    /// `[hidden_size]` initial value of state `index`.
    pub fn initial_state(&self, index: usize) -> &W {
        &self.init[index]
    }

    /// One supervision step: `H_cycles` rounds of `L_cycles` latent updates and one answer update, of which only the
    /// last round is differentiated.
    #[expect(non_snake_case, reason = "the paper's letters")]
    pub fn step<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> StepOutput<B::Tensor> {
        let x = self.input_embedding(backend, inputs);
        let mut z = (state[0].clone(), state[1].clone());
        if self.config.H_cycles > 1 {
            z = backend
                .no_grad(|| (1..self.config.H_cycles).fold(z, |(z_H, z_L), _| self.recursion(backend, &x, &z_H, z_L)));
        }
        let (z_H, z_L) = self.recursion(backend, &x, &z.0, z.1);

        let logits = backend.linear(&backend.tokens_from(&z_H, self.config.puzzle_positions()), &self.lm_head);
        let q_input = match self.config.q_head_input {
            QHeadInput::First => backend.first_token(&z_H),
            QHeadInput::Mean => backend.mean_token(&z_H),
        };
        let q = backend.linear(&q_input, &self.q_head);
        StepOutput {
            state: vec![backend.detach(&z_H), backend.detach(&z_L)],
            logits,
            q_halt: backend.column(&q, 0),
            q_continue: backend.column(&q, 1),
        }
    }

    /// The paper's `latent_recursion`: `z_L ← f(z_L + z_H + x)` `L_cycles` times, then `z_H ← f(z_H + z_L)`.
    #[expect(non_snake_case, reason = "the paper's letters")]
    fn recursion<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        x: &B::Tensor,
        z_H: &B::Tensor,
        z_L: B::Tensor,
    ) -> (B::Tensor, B::Tensor) {
        let injection = backend.add(z_H, x);
        let z_L = (0..self.config.L_cycles).fold(z_L, |z_L, _| self.L_level.forward(backend, &z_L, &injection));
        let z_H = self.L_level.forward(backend, z_H, &z_L);
        (z_H, z_L)
    }

    fn input_embedding<B: Backend<Weight = W>>(&self, backend: &B, inputs: &StepInputs<B::Tensor>) -> B::Tensor {
        let mut x = backend.embedding(&self.embed_tokens, &inputs.tokens);
        if let Some(puzzle_embeddings) = &inputs.puzzle_embeddings {
            x = backend.concat_tokens(puzzle_embeddings, &x);
        }
        if let Some(table) = &self.embed_pos {
            x = backend.scale(&backend.add_table(&x, table), FRAC_1_SQRT_2_OF_REFERENCE);
        }
        backend.scale(&x, embed_scale(self.config.hidden_size))
    }
}

/// 1/sqrt(2) with the nine digits that the reference writes: keeps the variance of token plus position.
#[expect(clippy::approx_constant, reason = "parity with the reference to the last bit")]
const FRAC_1_SQRT_2_OF_REFERENCE: f64 = 0.707_106_781;

/// Name of the puzzle-embedding table in checkpoints.
pub(crate) const PUZZLE_TABLE: &str = "inner.puzzle_emb.weights";

fn embed_scale(hidden_size: usize) -> f64 {
    (hidden_size as f64).sqrt()
}
