//! Metrics of supervision steps: sums over rows, and the means that are logged (`ACTLossHead` and `reduce_metrics` of
//! the reference). Accuracies count rows that halted in the step and have labels.

use crate::act::RowScores;
use crate::carry::Carry;
use crate::losses::LossWeights;

/// Numbers that sums are handed to another process as.
pub(crate) const METRIC_NUMBERS: usize = 12;

/// Sums over the rows of one or many batches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepMetrics {
    /// Rows that halted and have labels.
    pub count: f64,
    /// Sum over those rows of the share of right tokens.
    pub accuracy: f64,
    /// Those rows with every token right.
    pub exact_accuracy: f64,
    /// Those rows whose Q head knew whether they were right.
    pub q_halt_accuracy: f64,
    /// Sum of their supervision steps.
    pub steps: f64,
    /// Token loss, summed over all rows.
    pub lm_loss: f64,
    /// Halting loss, summed over all rows.
    pub q_halt_loss: f64,
    /// Loss of `q_continue`, summed over all rows, where it is learned.
    pub q_continue_loss: Option<f64>,
    /// Loss of moves, summed over all rows, where they are learned.
    pub move_loss: Option<f64>,
    /// Rows of the batches, halted or not: what the losses are divided by.
    pub rows: f64,
}

impl StepMetrics {
    /// Sums of a training step: losses of all rows, the rest of those that halted.
    pub(crate) fn of_halted(carry: &Carry, scores: &RowScores) -> Self {
        Self::of(carry, scores, |_| true)
    }

    /// Sums over the rows for which `takes_part` holds; accuracies count those of them that halted and have labels.
    pub(crate) fn of(carry: &Carry, scores: &RowScores, takes_part: impl Fn(usize) -> bool) -> Self {
        let mut metrics = Self::default();
        for row in (0..carry.halted.len()).filter(|&row| takes_part(row)) {
            metrics.rows += 1.0;
            metrics.lm_loss += scores.lm_loss[row];
            metrics.q_halt_loss += scores.q_halt_loss[row];
            if let Some(losses) = &scores.q_continue_loss {
                *metrics.q_continue_loss.get_or_insert(0.0) += losses[row];
            }
            if let Some(losses) = &scores.move_loss {
                *metrics.move_loss.get_or_insert(0.0) += losses[row];
            }
            let (right, labelled) = (scores.right[row], scores.labelled[row]);
            if !carry.halted[row] || labelled == 0 {
                continue;
            }
            let all_right = right == labelled;
            metrics.count += 1.0;
            metrics.accuracy += right as f64 / labelled as f64;
            metrics.exact_accuracy += f64::from(u8::from(all_right));
            metrics.q_halt_accuracy += f64::from(u8::from((scores.q_halt[row] >= 0.0) == all_right));
            metrics.steps += f64::from(carry.steps[row]);
        }
        metrics
    }

    /// What is minimised: the token loss and the weighted others, summed over the rows.
    pub fn loss(&self, weights: LossWeights) -> f64 {
        let q_loss = self.q_halt_loss + self.q_continue_loss.unwrap_or(0.0);
        self.lm_loss + weights.q * q_loss + weights.moves * self.move_loss.unwrap_or(0.0)
    }

    /// Adds the sums of another batch.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.accuracy += other.accuracy;
        self.exact_accuracy += other.exact_accuracy;
        self.q_halt_accuracy += other.q_halt_accuracy;
        self.steps += other.steps;
        self.lm_loss += other.lm_loss;
        self.q_halt_loss += other.q_halt_loss;
        if let Some(loss) = other.q_continue_loss {
            *self.q_continue_loss.get_or_insert(0.0) += loss;
        }
        if let Some(loss) = other.move_loss {
            *self.move_loss.get_or_insert(0.0) += loss;
        }
        self.rows += other.rows;
    }

    /// All sums as numbers, for another process.
    pub(crate) fn to_numbers(self) -> [f64; METRIC_NUMBERS] {
        let of = |loss: Option<f64>| [f64::from(u8::from(loss.is_some())), loss.unwrap_or(0.0)];
        let ([has_continue, q_continue_loss], [has_moves, move_loss]) = (of(self.q_continue_loss), of(self.move_loss));
        [
            self.count,
            self.accuracy,
            self.exact_accuracy,
            self.q_halt_accuracy,
            self.steps,
            self.lm_loss,
            self.q_halt_loss,
            self.rows,
            has_continue,
            q_continue_loss,
            has_moves,
            move_loss,
        ]
    }

    /// What [`to_numbers`](Self::to_numbers) was given.
    pub(crate) fn from_numbers(numbers: &[f64; METRIC_NUMBERS]) -> Self {
        let [count, accuracy, exact_accuracy, q_halt_accuracy, steps, lm_loss, q_halt_loss, rows, losses @ ..] =
            *numbers;
        let [has_continue, q_continue_loss, has_moves, move_loss] = losses;
        Self {
            count,
            accuracy,
            exact_accuracy,
            q_halt_accuracy,
            steps,
            lm_loss,
            q_halt_loss,
            rows,
            q_continue_loss: (has_continue > 0.0).then_some(q_continue_loss),
            move_loss: (has_moves > 0.0).then_some(move_loss),
        }
    }

    /// Names and means, as logged: accuracies and steps per counted row, losses per row.
    pub fn means(&self) -> Vec<(&'static str, f64)> {
        let count = self.count.max(1.0);
        let rows = self.rows.max(1.0);
        let mut means = vec![
            ("accuracy", self.accuracy / count),
            ("exact_accuracy", self.exact_accuracy / count),
            ("q_halt_accuracy", self.q_halt_accuracy / count),
            ("steps", self.steps / count),
            ("lm_loss", self.lm_loss / rows),
            ("q_halt_loss", self.q_halt_loss / rows),
        ];
        means.extend(self.q_continue_loss.map(|loss| ("q_continue_loss", loss / rows)));
        means.extend(self.move_loss.map(|loss| ("move_loss", loss / rows)));
        means
    }
}
