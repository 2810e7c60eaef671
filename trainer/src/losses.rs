//! Losses of deep supervision (`models/losses.py` of the reference), per position and per row.
//! Owns the formulas; leaves which rows count and how losses are summed to the ACT step.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use datasets::batch::IGNORE_LABEL_ID;

/// What the reference weighs the halting losses with, beside the token loss.
pub const Q_LOSS_WEIGHT: f64 = 0.5;

/// Default weight of the loss of moves beside the token loss.
pub const MOVE_LOSS_WEIGHT: f64 = 0.5;

/// What losses are weighed with beside the token loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Of the halting losses; [`Q_LOSS_WEIGHT`] in the reference.
    pub q: f64,
    /// Of the moves, for models with a head for them.
    pub moves: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { q: Q_LOSS_WEIGHT, moves: MOVE_LOSS_WEIGHT }
    }
}

/// How logits are compared with labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LossType {
    /// Cross entropy over stablemax, in float64: the reference's default.
    #[default]
    #[serde(rename = "stablemax_cross_entropy")]
    StablemaxCrossEntropy,
    /// Cross entropy over softmax, in float32.
    #[serde(rename = "softmax_cross_entropy")]
    SoftmaxCrossEntropy,
}

impl LossType {
    /// Loss per position: `logits` `[batch, seq_len, vocab_size]`, `labels` `[batch, seq_len]` int64 →
    /// `[batch, seq_len]`, 0 where the label is to be ignored.
    pub fn per_position(self, logits: &Tensor, labels: &Tensor) -> Tensor {
        match self {
            Self::StablemaxCrossEntropy => stablemax_cross_entropy(logits, labels),
            Self::SoftmaxCrossEntropy => softmax_cross_entropy(logits, labels),
        }
    }
}

/// Stands in the reference's denominator for negative logits.
const STABLEMAX_EPSILON: f64 = 1e-30;

/// `-log(s(x_label) / Σ s(x))` with `s(x) = x + 1` for `x ≥ 0`, `1 / (1 - x)` below.
fn stablemax_cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let logits = logits.to_kind(Kind::Double);
    // In this order: 1 - x + epsilon must not vanish at x = 1, or the untaken branch's gradient becomes NaN.
    let negative = (logits.neg() + 1.0 + STABLEMAX_EPSILON).reciprocal();
    let s = negative.where_self(&logits.lt(0.0), &(&logits + 1.0));
    let log_probabilities = (&s / s.sum_dim_intlist(-1, true, Kind::Double)).log();
    let labelled = labels.not_equal(i64::from(IGNORE_LABEL_ID));
    let index = labels.where_self(&labelled, &labels.zeros_like());
    let of_label = log_probabilities.gather(-1, &index.unsqueeze(-1), false).squeeze_dim(-1);
    of_label.where_self(&labelled, &of_label.zeros_like()).neg()
}

fn softmax_cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let size = logits.size();
    let vocab_size = size[size.len() - 1];
    logits
        .to_kind(Kind::Float)
        .reshape([-1, vocab_size])
        .cross_entropy_loss::<Tensor>(&labels.reshape(-1), None, Reduction::None, i64::from(IGNORE_LABEL_ID), 0.0)
        .view_as(labels)
}

/// Binary cross entropy per row between `q` `[batch]` float32 logits and `target` `[batch]` in [0, 1].
pub fn q_loss(q: &Tensor, target: &Tensor) -> Tensor {
    q.binary_cross_entropy_with_logits::<Tensor>(&target.to_kind(q.kind()), None, None, Reduction::None)
}

/// Loss of moves per row, `-log Σ p(move)` over the moves of `shortest` `[batch, seq_len, 4]` bool, averaged over the cells
/// that have some: `logits` `[batch, seq_len, 4]` → `[batch]` float32, 0 for rows without such a cell.
pub fn move_loss(logits: &Tensor, shortest: &Tensor) -> Tensor {
    let logits = logits.to_kind(Kind::Float);
    let has_moves = shortest.any_dim(-1, false);
    // Cells without a move count all of them, so that no logarithm of zero reaches the gradient.
    let counted = shortest.logical_or(&has_moves.logical_not().unsqueeze(-1));
    let of_shortest = logits.masked_fill(&counted.logical_not(), f64::NEG_INFINITY).logsumexp([-1], false);
    let losses = (logits.logsumexp([-1], false) - of_shortest) * has_moves.to_kind(Kind::Float);
    let cells = has_moves.sum_dim_intlist(-1, false, Kind::Float).clamp_min(1.0);
    losses.sum_dim_intlist(-1, false, Kind::Float) / cells
}

/// What `q_continue` is to predict: the value of the better choice one step on (`q_halt` and `q_continue` there), or of
/// halting where `is_last` (`[batch]` bool) says that no choice is left.
pub fn q_continue_target(next_q_halt: &Tensor, next_q_continue: &Tensor, is_last: &Tensor) -> Tensor {
    next_q_halt.where_self(is_last, &next_q_halt.maximum(next_q_continue)).sigmoid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_that_are_as_short_share_what_the_loss_asks_for() {
        let logits = [[0.5_f64, -1.0, 2.0, 0.25], [3.0, 1.0, -2.0, 0.0], [9.0, 0.0, 0.0, 0.0]];
        let shortest = [[true, false, true, false], [false, false, false, true], [false; 4]];
        let of_cell = |cell: usize| {
            let sum = |takes_part: [bool; 4]| {
                logits[cell]
                    .iter()
                    .zip(takes_part)
                    .filter(|(_, takes)| *takes)
                    .map(|(logit, _)| logit.exp())
                    .sum::<f64>()
            };
            -(sum(shortest[cell]) / sum([true; 4])).ln()
        };
        let two_rows = Tensor::from_slice(&[logits, logits].concat().concat()).view([2, 3, 4]).set_requires_grad(true);
        let moves = Tensor::from_slice(&[shortest, [[false; 4]; 3]].concat().concat()).view([2, 3, 4]);
        let losses = move_loss(&two_rows, &moves);
        // The last cell has no move, and the second row has no such cell at all.
        let expected = f64::midpoint(of_cell(0), of_cell(1));
        assert!((losses.double_value(&[0]) - expected).abs() < 1e-6, "{} {expected}", losses.double_value(&[0]));
        assert!(losses.double_value(&[1]).abs() < 1e-12);
        losses.sum(Kind::Float).backward();
        let gradient = two_rows.grad();
        assert!(gradient.isfinite().all().int64_value(&[]) == 1);
        // d loss / d logit = (p - p restricted to the shortest moves) / cells: it vanishes on average, and where no move is.
        assert!(gradient.sum_dim_intlist(-1, false, Kind::Double).abs().max().double_value(&[]) < 1e-6);
        assert!(gradient.get(0).get(2).abs().max().double_value(&[]) < 1e-12);
    }
}
