//! What lies between a backend and the reference, one supervision step at a time.

use models::ModelDims;
use serde::Serialize;

use super::StepValues;
use super::promise::Promise;

/// One supervision step of a backend against the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepComparison {
    /// Largest absolute difference of a logit, over all rows; infinite where one side is not a number.
    pub max_logit_difference: f64,
    /// Median over rows of a row's largest difference.
    pub median_logit_difference: f64,
    /// Largest absolute logit of the reference.
    pub largest_logit: f64,
    /// The largest difference that is allowed to a row.
    pub largest_allowed: f64,
    /// Predicted tokens that differ.
    pub preds_differ: usize,
    /// Predicted tokens in all.
    pub preds: usize,
    /// Rows in which one side halts and the other does not.
    pub q_decisions_differ: usize,
    /// Rows in all.
    pub rows: usize,
    /// Rows for which something is promised: elsewhere rounding alone can turn every prediction.
    pub promised_rows: usize,
    /// Of these, the rows that lie outside: a logit too far, or a prediction or halting decision turned that the reference
    /// takes by more than what is allowed.
    pub broken_rows: usize,
    /// Smallest cosine between recursion states, over rows and states; none where a backend keeps its states to itself.
    pub state_cosine: Option<f64>,
}

impl StepComparison {
    /// Whether the promise is kept, where there is one, and everything is a number.
    pub fn is_kept(&self) -> bool {
        self.max_logit_difference.is_finite() && self.broken_rows == 0
    }
}

/// Compares every step.
pub(super) fn columns(
    found: &[StepValues],
    expected: &[StepValues],
    promise: Promise<'_>,
    dims: &ModelDims,
) -> Vec<StepComparison> {
    let pairs = found.iter().zip(expected).enumerate();
    pairs.map(|(step, (found, expected))| compare(found, expected, promise, step, dims)).collect()
}

fn compare(
    found: &StepValues,
    expected: &StepValues,
    promise: Promise<'_>,
    step: usize,
    dims: &ModelDims,
) -> StepComparison {
    let rows = expected.halt_margin.len();
    let largest_logit = expected.logits.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let mut comparison = StepComparison {
        max_logit_difference: 0.0,
        median_logit_difference: 0.0,
        largest_logit,
        largest_allowed: 0.0,
        preds_differ: 0,
        preds: expected.preds.len(),
        q_decisions_differ: 0,
        rows,
        promised_rows: 0,
        broken_rows: 0,
        state_cosine: smallest_cosine(&found.state, &expected.state, rows),
    };
    if found.logits.len() != expected.logits.len() || found.preds.len() != expected.preds.len() {
        return StepComparison { max_logit_difference: f64::INFINITY, broken_rows: rows, ..comparison };
    }
    let mut differences = Vec::with_capacity(rows);
    for row in 0..rows {
        let difference = RowDifference::of(found, expected, row, dims);
        differences.push(difference.logit);
        comparison.preds_differ += difference.turned_preds.len();
        comparison.q_decisions_differ += usize::from(difference.turned_halt.is_some());
        if let Some(allowed) = promise.allowed(step, row, largest_logit) {
            let turned = difference.turned_preds.iter().any(|&margin| margin > 2.0 * allowed.logit)
                || difference.turned_halt.is_some_and(|margin| margin > allowed.halt_margin);
            comparison.promised_rows += 1;
            comparison.broken_rows += usize::from(turned || difference.logit > allowed.logit);
            comparison.largest_allowed = comparison.largest_allowed.max(allowed.logit);
        }
    }
    differences.sort_by(f64::total_cmp);
    comparison.max_logit_difference = differences.last().copied().unwrap_or_default();
    comparison.median_logit_difference = differences.get(rows / 2).copied().unwrap_or_default();
    comparison
}

/// How one row differs.
struct RowDifference {
    /// Largest difference of a logit.
    logit: f64,
    /// How decidedly the reference takes the predictions that differ: its best logit above the second.
    turned_preds: Vec<f64>,
    /// How decidedly it halts or goes on, where the other does the opposite.
    turned_halt: Option<f64>,
}

impl RowDifference {
    fn of(found: &StepValues, expected: &StepValues, row: usize, dims: &ModelDims) -> Self {
        let (seq_len, vocab_size) = (dims.seq_len, dims.vocab_size);
        let logits = row * seq_len * vocab_size..(row + 1) * seq_len * vocab_size;
        let cells = row * seq_len..(row + 1) * seq_len;
        let turned = cells.filter(|&cell| found.preds[cell] != expected.preds[cell]);
        let margins = turned.map(|cell| margin_of(&expected.logits[cell * vocab_size..][..vocab_size]));
        let (halts, halts_expected) = (found.halt_margin[row], expected.halt_margin[row]);
        Self {
            logit: largest_difference(&found.logits[logits.clone()], &expected.logits[logits]),
            turned_preds: margins.collect(),
            turned_halt: ((halts > 0.0) != (halts_expected > 0.0)).then_some(halts_expected.abs()),
        }
    }
}

fn largest_difference(found: &[f64], expected: &[f64]) -> f64 {
    found.iter().zip(expected).fold(0.0, |largest: f64, (found, expected)| {
        let difference = (found - expected).abs();
        if difference.is_nan() { f64::INFINITY } else { largest.max(difference) }
    })
}

/// How far the best logit lies above the second.
fn margin_of(logits: &[f64]) -> f64 {
    let (mut best, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for &logit in logits {
        if logit > best {
            (best, second) = (logit, best);
        } else if logit > second {
            second = logit;
        }
    }
    best - second
}

fn smallest_cosine(found: &[Vec<f32>], expected: &[Vec<f32>], rows: usize) -> Option<f64> {
    let rows = rows.min(super::STATE_ROWS);
    let of_state = |(found, expected): (&Vec<f32>, &Vec<f32>)| {
        let width = (expected.len() / rows).max(1);
        let pairs = found.chunks(width).zip(expected.chunks(width));
        pairs.map(|(found, expected)| cosine(found, expected)).fold(f64::INFINITY, f64::min)
    };
    let same_len = |(found, expected): (&Vec<f32>, &Vec<f32>)| !found.is_empty() && found.len() == expected.len();
    let comparable =
        rows > 0 && !found.is_empty() && found.len() == expected.len() && found.iter().zip(expected).all(same_len);
    comparable.then(|| found.iter().zip(expected).map(of_state).fold(f64::INFINITY, f64::min))
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        left.iter().zip(right).map(|(&left, &right)| f64::from(left) * f64::from(right)).sum()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::promise::{Arithmetic, Yardstick};
    use super::*;

    const DIMS: ModelDims = ModelDims { vocab_size: 3, seq_len: 2, num_puzzle_identifiers: 1, sizes: None };

    fn values(logits: [f64; 6], halt_margin: f64, preds: [i64; 2]) -> StepValues {
        let state = vec![logits.iter().map(|&value| value as f32).collect()];
        StepValues { logits: logits.to_vec(), halt_margin: vec![halt_margin], preds: preds.to_vec(), state }
    }

    /// Compares a step of one row, whose disturbance has moved logits by `carried`.
    fn compared(found: &StepValues, expected: &StepValues, carried: f64) -> StepComparison {
        let mut disturbed = expected.clone();
        disturbed.logits[0] += carried;
        let yardstick = Yardstick::of(&[vec![disturbed]], std::slice::from_ref(expected));
        let promise = Promise::of(Arithmetic::Float32, Arithmetic::Float64, &yardstick);
        columns(std::slice::from_ref(found), std::slice::from_ref(expected), promise, &DIMS)[0]
    }

    #[test]
    fn a_close_race_may_end_otherwise_and_a_decided_one_may_not() {
        let expected = values([1.0, 1.0 + 1e-6, -8.0, 5.0, 0.0, 0.0], -1e-6, [1, 0]);
        let close = compared(&values([1.0 + 2e-6, 1.0, -8.0, 5.0, 0.0, 0.0], 1e-6, [0, 0]), &expected, 0.0);
        assert_eq!((close.preds_differ, close.preds, close.q_decisions_differ, close.rows), (1, 2, 1, 1));
        assert!((close.max_logit_difference - 2e-6).abs() < 1e-12 && close.is_kept(), "{close:?}");
        assert!((close.state_cosine.unwrap() - 1.0).abs() < 1e-9);

        // The logits agree, but the second prediction was not taken from them.
        let wrong = compared(&values([1.0, 1.0 + 1e-6, -8.0, 5.0, 0.0, 0.0], -1e-6, [1, 2]), &expected, 0.0);
        assert!((wrong.promised_rows, wrong.broken_rows) == (1, 1) && !wrong.is_kept(), "{wrong:?}");
        let halts = values([1.0, 1.0 + 1e-6, -8.0, 5.0, 0.0, 0.0], -3.0, [1, 0]);
        let wrong = compared(&StepValues { halt_margin: vec![3.0], ..halts.clone() }, &halts, 0.0);
        assert!(wrong.broken_rows == 1 && wrong.q_decisions_differ == 1, "{wrong:?}");
    }

    #[test]
    fn rows_that_amplify_rounding_may_differ_by_more_until_nothing_is_promised() {
        let expected = values([1.0, 2.0, -8.0, 5.0, 0.0, 0.0], 1.0, [1, 0]);
        let mut found = expected.clone();
        found.logits[2] += 0.1;
        assert!(!compared(&found, &expected, 0.0).is_kept());
        assert!(!compared(&found, &expected, 0.02).is_kept());
        let amplified = compared(&found, &expected, 0.04);
        assert!(amplified.is_kept() && amplified.promised_rows == 1, "{amplified:?}");
        assert!((0.16..0.161).contains(&amplified.largest_allowed), "{amplified:?}");
        // Half of the largest logit is 4.
        let chaotic = compared(&found, &expected, 1.1);
        assert!(chaotic.is_kept() && chaotic.promised_rows == 0, "{chaotic:?}");
    }

    #[test]
    fn what_is_no_number_is_never_accepted() {
        let expected = values([1.0, 2.0, -8.0, 5.0, 0.0, 0.0], 1.0, [1, 0]);
        for carried in [0.0, 10.0] {
            let mut found = expected.clone();
            found.logits[2] = f64::NAN;
            let broken = compared(&found, &expected, carried);
            assert!(broken.max_logit_difference.is_infinite() && !broken.is_kept());
            found.logits.pop();
            assert!(!compared(&found, &expected, carried).is_kept());
        }
    }
}
