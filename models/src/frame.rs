//! What stands around the recursion of every architecture: tokens and puzzle embedding in, logits and Q values out.
//! Follows `_input_embeddings` and the heads of the reference, which are the same in all its models. Leaves what
//! happens in between to the architectures' files.

use crate::config::{Mixer, PosEncodings, QHeadInput};
use crate::layers::Linear;
use crate::outline::Outline;
use crate::{
    Backend, Init, ModelDims, ModelError, ParameterKind, ParameterSource, ParameterSpec, StepInputs, StepOutput,
};

/// Embedding and heads.
#[derive(Debug)]
pub(crate) struct Frame<W> {
    embed_tokens: W,
    embed_pos: Option<W>,
    lm_head: Linear<W>,
    q_head: Linear<W>,
    move_head: Option<Linear<W>>,
    q_head_input: QHeadInput,
    hidden_size: usize,
    puzzle_positions: usize,
    mixer: Mixer,
    blocked_tokens: Vec<usize>,
}

/// Where a supervision step begins.
pub(crate) struct Start<B: Backend> {
    /// The embedded question.
    pub(crate) x: B::Tensor,
    /// The recursion state, in order.
    pub(crate) state: Vec<B::Tensor>,
    /// The sites of the boards, under structured mixers.
    pub(crate) sites: Option<B::Sites>,
}

impl<W> Frame<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        outline: &Outline,
        dims: &ModelDims,
    ) -> Result<Self, ModelError> {
        let hidden_size = outline.hidden_size;
        let embed_init = Init::TruncNormal { std: 1.0 / embed_scale(hidden_size) };
        let mixer = outline.mixing.mixer;
        // A live candidate is like any other: what tells it apart is the units that it belongs to.
        let vocab_size = if mixer == Mixer::Units { 1 } else { dims.vocab_size };
        let embed_tokens = source.parameter(ParameterSpec {
            name: "inner.embed_tokens.embedding_weight".into(),
            shape: vec![vocab_size, hidden_size],
            init: embed_init,
            kind: ParameterKind::Weight,
        })?;
        let lm_head = Linear::new(source, "inner.lm_head", hidden_size, vocab_size)?;
        let q_head = Linear::q_head(source, "inner.q_head", hidden_size)?;
        let move_head =
            outline.mixing.move_head.then(|| Linear::new(source, MOVE_HEAD, hidden_size, MOVES)).transpose()?;
        if outline.puzzle_emb_ndim > 0 {
            source.parameter(ParameterSpec {
                name: PUZZLE_TABLE.into(),
                shape: vec![dims.num_puzzle_identifiers, outline.puzzle_emb_ndim],
                init: Init::Constant(0.0),
                kind: ParameterKind::PuzzleTable,
            })?;
        }
        let embed_pos = match outline.pos_encodings {
            PosEncodings::Learned => Some(source.parameter(ParameterSpec {
                name: "inner.embed_pos.embedding_weight".into(),
                shape: vec![dims.seq_len + outline.puzzle_positions(), hidden_size],
                init: embed_init,
                kind: ParameterKind::Weight,
            })?),
            PosEncodings::Rope | PosEncodings::None => None,
        };
        Ok(Self {
            embed_tokens,
            embed_pos,
            lm_head,
            q_head,
            move_head,
            q_head_input: outline.q_head_input,
            hidden_size,
            puzzle_positions: outline.puzzle_positions(),
            mixer,
            blocked_tokens: outline.mixing.blocked_tokens.clone(),
        })
    }

    /// The question and the carried `state` as the blocks take them.
    pub(crate) fn start<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        inputs: &StepInputs<B::Tensor>,
        state: &[B::Tensor],
    ) -> Start<B> {
        let sites = match self.mixer {
            Mixer::Attention | Mixer::Mlp => {
                return Start { x: self.embed(backend, inputs), state: state.to_vec(), sites: None };
            }
            Mixer::Units => backend.candidates(&inputs.tokens),
            Mixer::Local => backend.cells(&inputs.tokens, &self.blocked_tokens),
        };
        let mut x = backend.embed_sites(&self.embed_tokens, &sites);
        if let Some(puzzle_embeddings) = &inputs.puzzle_embeddings {
            x = backend.add(&x, &backend.rows_of_boards(puzzle_embeddings, &sites));
        }
        let x = backend.scale(&x, embed_scale(self.hidden_size));
        let state = state.iter().map(|z| backend.enter_sites(z, &sites)).collect();
        Start { x, state, sites: Some(sites) }
    }

    /// `[batch, tokens, hidden_size]`: puzzle embedding and tokens, with positions where they are learned, scaled to
    /// unit variance.
    pub(crate) fn embed<B: Backend<Weight = W>>(&self, backend: &B, inputs: &StepInputs<B::Tensor>) -> B::Tensor {
        let mut x = backend.embedding(&self.embed_tokens, &inputs.tokens);
        if let Some(puzzle_embeddings) = &inputs.puzzle_embeddings {
            x = backend.concat_tokens(puzzle_embeddings, &x);
        }
        if let Some(table) = &self.embed_pos {
            x = backend.scale(&backend.add_table(&x, table), FRAC_1_SQRT_2_OF_REFERENCE);
        }
        backend.scale(&x, embed_scale(self.hidden_size))
    }

    /// What the heads read off `answer` `[batch, tokens, hidden_size]`, and `state` cut from the gradient.
    pub(crate) fn output<B: Backend<Weight = W>>(
        &self,
        backend: &B,
        answer: &B::Tensor,
        state: &[B::Tensor],
        sites: Option<&B::Sites>,
    ) -> StepOutput<B::Tensor> {
        if let Some(sites) = sites {
            let q = backend.linear(&backend.mean_site(answer, sites), &self.q_head);
            let move_head = self.move_head.as_ref().filter(|_| backend.is_training());
            return StepOutput {
                state: state.iter().map(|z| backend.leave_sites(&backend.detach(z), sites)).collect(),
                logits: backend.site_logits(answer, &self.lm_head, sites),
                q_halt: backend.column(&q, 0),
                q_continue: backend.column(&q, 1),
                moves: move_head.map(|head| backend.leave_sites(&backend.linear(answer, head), sites)),
            };
        }
        let logits = backend.linear(&backend.tokens_from(answer, self.puzzle_positions), &self.lm_head);
        let q_input = match self.q_head_input {
            QHeadInput::First => backend.first_token(answer),
            QHeadInput::Mean => backend.mean_token(answer),
        };
        let q = backend.linear(&q_input, &self.q_head);
        StepOutput {
            state: state.iter().map(|z| backend.detach(z)).collect(),
            logits,
            q_halt: backend.column(&q, 0),
            q_continue: backend.column(&q, 1),
            moves: None,
        }
    }
}

/// `inner.{name}`: the `[hidden_size]` value that every position of a state starts from, drawn once and never trained.
pub(crate) fn initial_state<W>(
    source: &mut impl ParameterSource<Weight = W>,
    name: &str,
    hidden_size: usize,
) -> Result<W, ModelError> {
    source.parameter(ParameterSpec {
        name: format!("inner.{name}"),
        shape: vec![hidden_size],
        init: Init::TruncNormal { std: 1.0 },
        kind: ParameterKind::Buffer,
    })
}

/// Logit of a token that the question gives, under structured mixers: large beside any other, and small enough for
/// half-precision floats.
pub const CERTAIN: f64 = 1e4;

/// 1/sqrt(2) with the nine digits that the reference writes: keeps the variance of token plus position.
#[expect(clippy::approx_constant, reason = "parity with the reference to the last bit")]
const FRAC_1_SQRT_2_OF_REFERENCE: f64 = 0.707_106_781;

/// Moves from a cell: down, left, right, up, in the order in which Maze-Hard's labels prefer them.
pub const MOVES: usize = 4;

/// Name of the head that predicts moves, in checkpoints.
pub const MOVE_HEAD: &str = "inner.move_head";

/// Name of the puzzle-embedding table in checkpoints.
const PUZZLE_TABLE: &str = "inner.puzzle_emb.weights";

fn embed_scale(hidden_size: usize) -> f64 {
    (hidden_size as f64).sqrt()
}
