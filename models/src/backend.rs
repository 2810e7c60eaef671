//! The contract between architectures and backends, at the grain at which backends differ in speed.
//! Owns the list of operations and their shapes; leaves kernels, dtypes and autograd to the implementors.

use crate::layers::{Attention, LayerNorm, Linear, LocalMixing, LstmLayer, SwiGlu, UnitsMixing};

/// The operations that a recursive reasoner is made of.
///
/// `trainer` computes them on libtorch tensors, `exporter` records them as ONNX nodes, so running a model with an
/// exporter *is* exporting it. Operations cannot fail: shapes were settled when the config was validated and the
/// parameters were loaded. Activations are `[batch, tokens, hidden_size]` unless stated otherwise, where
/// `tokens = puzzle_emb_len + seq_len`.
pub trait Backend {
    /// A parameter or constant of the model.
    type Weight;
    /// An activation.
    type Tensor: Clone;
    /// The sites of a batch of boards: where the states of a structured mixer live, and which of them take part.
    type Sites;

    /// `[rows, hidden_size]` table, `[batch, seq_len]` integer tokens → `[batch, seq_len, hidden_size]`.
    fn embedding(&self, table: &Self::Weight, tokens: &Self::Tensor) -> Self::Tensor;

    /// `x · weightᵀ (+ bias)` over the last axis.
    fn linear(&self, x: &Self::Tensor, linear: &Linear<Self::Weight>) -> Self::Tensor;

    /// `down(silu(gate) · up)` with `[gate; up] = gate_up(x)`, over the last axis.
    fn swiglu(&self, x: &Self::Tensor, swiglu: &SwiGlu<Self::Weight>) -> Self::Tensor;

    /// Multi-head self-attention over the tokens, output projection included.
    fn attention(&self, x: &Self::Tensor, attention: &Attention<Self::Weight>) -> Self::Tensor;

    /// `y / sqrt(mean(y²) + eps)` over the last axis for `y = x + delta`, computed in float32, without learned gain.
    fn residual_rms_norm(&self, x: &Self::Tensor, delta: &Self::Tensor, eps: f64) -> Self::Tensor;

    /// [`attention`](Self::attention) with its residual norm.
    fn residual_attention(&self, x: &Self::Tensor, attention: &Attention<Self::Weight>, eps: f64) -> Self::Tensor {
        self.residual_rms_norm(x, &self.attention(x, attention), eps)
    }

    /// `[batch, tokens, hidden_size]` ↔ `[batch, hidden_size, tokens]`.
    fn transpose(&self, x: &Self::Tensor) -> Self::Tensor;

    /// Token mixing with its residual norm, both over the *token* axis: what attention is replaced by under `mlp_t`.
    fn token_mixing(&self, x: &Self::Tensor, swiglu: &SwiGlu<Self::Weight>, eps: f64) -> Self::Tensor {
        let columns = self.transpose(x);
        let mixed = self.residual_rms_norm(&columns, &self.swiglu(&columns, swiglu), eps);
        self.transpose(&mixed)
    }

    /// [`swiglu`](Self::swiglu) with its residual norm: what every block ends with.
    fn channel_mixing(&self, x: &Self::Tensor, swiglu: &SwiGlu<Self::Weight>, eps: f64) -> Self::Tensor {
        self.residual_rms_norm(x, &self.swiglu(x, swiglu), eps)
    }

    /// Layer norm over the last axis, computed in float32, with learned gain and shift.
    fn layer_norm(&self, x: &Self::Tensor, norm: &LayerNorm<Self::Weight>) -> Self::Tensor;

    /// `x · Φ(x)` with the normal distribution function itself, not an approximation of it.
    fn gelu(&self, x: &Self::Tensor) -> Self::Tensor;

    /// An LSTM over the tokens from zero states, `[batch, tokens, in_features]` → `[batch, tokens, out_features]`,
    /// computed in float32.
    fn lstm(&self, x: &Self::Tensor, lstm: &LstmLayer<Self::Weight>) -> Self::Tensor;

    /// Element-wise sum of equal shapes.
    fn add(&self, left: &Self::Tensor, right: &Self::Tensor) -> Self::Tensor;

    /// `x + table`, a `[tokens, hidden_size]` table broadcast over the batch.
    fn add_table(&self, x: &Self::Tensor, table: &Self::Weight) -> Self::Tensor;

    /// Product with a constant.
    fn scale(&self, x: &Self::Tensor, factor: f64) -> Self::Tensor;

    /// `prefix` before `x` along the token axis.
    fn concat_tokens(&self, prefix: &Self::Tensor, x: &Self::Tensor) -> Self::Tensor;

    /// Tokens `start..` of `x`.
    fn tokens_from(&self, x: &Self::Tensor, start: usize) -> Self::Tensor;

    /// Token 0 of `x`: `[batch, hidden_size]`.
    fn first_token(&self, x: &Self::Tensor) -> Self::Tensor;

    /// Mean over the tokens of `x`: `[batch, hidden_size]`.
    fn mean_token(&self, x: &Self::Tensor) -> Self::Tensor;

    /// Column `index` of a `[batch, columns]` tensor as `[batch]` float32.
    fn column(&self, x: &Self::Tensor, index: usize) -> Self::Tensor;

    /// Rows of `state` where `reset` (`[batch]` bool) is false, the `[hidden_size]` initial state elsewhere.
    fn reset_rows(&self, reset: &Self::Tensor, init: &Self::Weight, state: &Self::Tensor) -> Self::Tensor;

    /// The candidates of exact-cover boards, from their `[batch, seq_len]` tokens (0: padding, 1: blank, `d + 1`: digit
    /// `d`) on square boards of `size` digits, whose boxes have `⌊√size⌋` rows.
    ///
    /// Site `cell · size + digit` is live where the cell is blank and no given in its row, column or box has the digit;
    /// `seq_len · size` sites in all. What is given or excluded holds no state: the live candidates and their units
    /// are the whole of the puzzle that is left.
    fn candidates(&self, tokens: &Self::Tensor) -> Self::Sites;

    /// The cells of square boards, from their `[batch, seq_len]` tokens: live where the token is none of `blocked`;
    /// `seq_len` sites in all.
    fn cells(&self, tokens: &Self::Tensor, blocked: &[usize]) -> Self::Sites;

    /// A carried state `[batch, sites, hidden_size]` as the operations on `sites` take it. A backend may leave out what
    /// is not live: between this and [`leave_sites`](Self::leave_sites) shapes of activations are its own.
    fn enter_sites(&self, state: &Self::Tensor, sites: &Self::Sites) -> Self::Tensor;

    /// Back to `[batch, sites, hidden_size]`, with zeros where nothing lives.
    fn leave_sites(&self, x: &Self::Tensor, sites: &Self::Sites) -> Self::Tensor;

    /// The rows of `table` for the live sites: row 0 for candidates, the row of its token for a cell.
    fn embed_sites(&self, table: &Self::Weight, sites: &Self::Sites) -> Self::Tensor;

    /// For each live site the row of its board: `rows` `[batch, 1, hidden_size]`.
    fn rows_of_boards(&self, rows: &Self::Tensor, sites: &Self::Sites) -> Self::Tensor;

    /// [`UnitsMixing`] with its residual norm: sums (times [`UNIT_SUM_SCALE`](crate::UNIT_SUM_SCALE)) and maxima over
    /// the live candidates of each unit.
    fn units_mixing(
        &self,
        x: &Self::Tensor,
        mixing: &UnitsMixing<Self::Weight>,
        sites: &Self::Sites,
        eps: f64,
    ) -> Self::Tensor;

    /// [`LocalMixing`] with its residual norm; cells that are not live, or outside of the board, count as zero.
    fn local_mixing(
        &self,
        x: &Self::Tensor,
        mixing: &LocalMixing<Self::Weight>,
        sites: &Self::Sites,
        eps: f64,
    ) -> Self::Tensor;

    /// [`channel_mixing`](Self::channel_mixing) of the live sites.
    fn site_channel_mixing(
        &self,
        x: &Self::Tensor,
        swiglu: &SwiGlu<Self::Weight>,
        sites: &Self::Sites,
        eps: f64,
    ) -> Self::Tensor {
        let _ = sites;
        self.channel_mixing(x, swiglu, eps)
    }

    /// `[batch, seq_len, vocab_size]` logits: `head` of the live sites, and of a cell without any what its token says,
    /// [`CERTAIN`](crate::CERTAIN) for it and `-CERTAIN` for the others.
    fn site_logits(&self, x: &Self::Tensor, head: &Linear<Self::Weight>, sites: &Self::Sites) -> Self::Tensor;

    /// Mean over the live sites: `[batch, hidden_size]`, zero for a board without any.
    fn mean_site(&self, x: &Self::Tensor, sites: &Self::Sites) -> Self::Tensor;

    /// Whether to compute what training alone needs; an exported graph leaves it out.
    fn is_training(&self) -> bool {
        false
    }

    /// Runs `scope` without recording gradients.
    fn no_grad<R>(&self, scope: impl FnOnce() -> R) -> R;

    /// The same values, cut from the gradient.
    fn detach(&self, x: &Self::Tensor) -> Self::Tensor;
}
