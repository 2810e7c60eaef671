//! What stands around the recursion of every architecture: tokens and puzzle embedding in, logits and Q values out.
//! Follows `_input_embeddings` and the heads of the reference, which are the same in all its models. Leaves what
//! happens in between to the architectures' files.

use crate::config::{PosEncodings, QHeadInput};
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
    q_head_input: QHeadInput,
    hidden_size: usize,
    puzzle_positions: usize,
}

impl<W> Frame<W> {
    pub(crate) fn new(
        source: &mut impl ParameterSource<Weight = W>,
        outline: &Outline,
        dims: &ModelDims,
    ) -> Result<Self, ModelError> {
        let hidden_size = outline.hidden_size;
        let embed_init = Init::TruncNormal { std: 1.0 / embed_scale(hidden_size) };
        let embed_tokens = source.parameter(ParameterSpec {
            name: "inner.embed_tokens.embedding_weight".into(),
            shape: vec![dims.vocab_size, hidden_size],
            init: embed_init,
            kind: ParameterKind::Weight,
        })?;
        let lm_head = Linear::new(source, "inner.lm_head", hidden_size, dims.vocab_size)?;
        let q_head = Linear::q_head(source, "inner.q_head", hidden_size)?;
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
            q_head_input: outline.q_head_input,
            hidden_size,
            puzzle_positions: outline.puzzle_positions(),
        })
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
    ) -> StepOutput<B::Tensor> {
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

/// 1/sqrt(2) with the nine digits that the reference writes: keeps the variance of token plus position.
#[expect(clippy::approx_constant, reason = "parity with the reference to the last bit")]
const FRAC_1_SQRT_2_OF_REFERENCE: f64 = 0.707_106_781;

/// Name of the puzzle-embedding table in checkpoints.
const PUZZLE_TABLE: &str = "inner.puzzle_emb.weights";

fn embed_scale(hidden_size: usize) -> f64 {
    (hidden_size as f64).sqrt()
}
