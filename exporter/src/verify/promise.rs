//! What is promised about the difference between a backend and the reference, per type of arithmetic, row and step.
//! The constants were measured against float64; docs/parity.md tells on what. How a model amplifies rounding differs
//! between models and even between puzzles by many orders of magnitude, so that is measured each time: [`Yardstick`].

use serde::Serialize;

use super::StepValues;

/// Type that a backend computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// 53 significant bits: the reference.
    Float64,
    /// 24 significant bits.
    Float32,
    /// 8 significant bits.
    BFloat16,
    /// Products in 8-bit integers: reported and not promised, since it is another model that is computed, not the same
    /// one with other rounding.
    Int8,
}

impl Arithmetic {
    /// `float64`, `float32`, `bfloat16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
    }

    /// Largest relative error of one rounding, in int8 of the largest value of a tensor.
    fn unit_roundoff(self) -> f64 {
        match self {
            Self::Float64 => 2_f64.powi(-53),
            Self::Float32 => 2_f64.powi(-24),
            Self::BFloat16 | Self::Int8 => 2_f64.powi(-8),
        }
    }
}

/// Relative change of every element of the recursion state, up or down, before every step of the disturbed run: eight
/// roundings do to a model what all the roundings of float32 within a step do, to within a small factor.
pub(super) const DISTURBANCE: f32 = 8.0 / (1 << 24) as f32;
/// Disturbed runs: a row that drifts off in one direction may lie across it by chance in one of them, hardly in all.
pub(super) const DISTURBED_RUNS: u64 = 4;
/// That factor, and what chance and other orders of summation add.
const CHANCE: f64 = 4.0;
/// The same for bfloat16, of which norms and sums are computed in float32: less of a step is rounded.
const CHANCE_BFLOAT16: f64 = 1.0;
/// Roundings' worth of the largest logit that a model may differ by which hardly feels the disturbance.
const FLOOR: f64 = 128.0;
/// The same where the whole type has but 256 of them.
const FLOOR_BFLOAT16: f64 = 24.0;
/// Share of the largest logit from which on a bound says nothing.
const MEANINGLESS: f64 = 0.5;

/// How far a small disturbance of the state carries: what it does to every row at every step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Yardstick {
    /// `[steps][rows]`: largest change of a logit, and of the halting margin, at this step or before.
    steps: Vec<Vec<(f64, f64)>>,
}

impl Yardstick {
    /// From a run and the same run disturbed by [`DISTURBANCE`] before every step, several times.
    pub(super) fn of(disturbed: &[Vec<StepValues>], undisturbed: &[StepValues]) -> Self {
        let mut steps: Vec<Vec<(f64, f64)>> = Vec::new();
        for (step, undisturbed) in undisturbed.iter().enumerate() {
            // A row that has found its way back may find it a step later in other arithmetic.
            let mut rows = steps.last().cloned().unwrap_or_else(|| vec![(0.0, 0.0); undisturbed.halt_margin.len()]);
            for disturbed in disturbed.iter().filter_map(|run| run.get(step)) {
                for (row, (logit, margin)) in rows.iter_mut().enumerate() {
                    *logit = logit.max(logit_change(disturbed, undisturbed, row));
                    *margin = margin.max((disturbed.halt_margin[row] - undisturbed.halt_margin[row]).abs());
                }
            }
            steps.push(rows);
        }
        Self { steps }
    }
}

/// Largest change of a logit of row `row`.
fn logit_change(disturbed: &StepValues, undisturbed: &StepValues, row: usize) -> f64 {
    let width = undisturbed.logits.len() / undisturbed.halt_margin.len();
    let logits = row * width..(row + 1) * width;
    let pairs = disturbed.logits[logits.clone()].iter().zip(&undisturbed.logits[logits]);
    pairs.map(|(disturbed, undisturbed)| (disturbed - undisturbed).abs()).fold(0.0, f64::max)
}

/// The bounds of one backend against one reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise<'a> {
    backend: Arithmetic,
    reference: Arithmetic,
    yardstick: &'a Yardstick,
}

/// What one row may differ by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Allowed {
    pub(super) logit: f64,
    pub(super) halt_margin: f64,
}

impl<'a> Promise<'a> {
    /// For a backend that computes in `backend` against a reference in `reference`: both err.
    pub(super) fn of(backend: Arithmetic, reference: Arithmetic, yardstick: &'a Yardstick) -> Self {
        Self { backend, reference, yardstick }
    }

    /// What row `row` may differ by at `step` (from 0) where logits reach `largest_logit`; none where rounding alone can
    /// turn every prediction of the row, and for int8.
    pub(super) fn allowed(&self, step: usize, row: usize, largest_logit: f64) -> Option<Allowed> {
        if self.backend == Arithmetic::Int8 {
            return None;
        }
        let (carried, carried_margin) = self.yardstick.steps[step][row];
        let of = |arithmetic: Arithmetic, carried: f64| {
            let unit = arithmetic.unit_roundoff();
            let (chance, floor) = match arithmetic {
                Arithmetic::BFloat16 | Arithmetic::Int8 => (CHANCE_BFLOAT16, FLOOR_BFLOAT16),
                Arithmetic::Float32 | Arithmetic::Float64 => (CHANCE, FLOOR),
            };
            let amplified = chance * carried * unit / Arithmetic::Float32.unit_roundoff();
            floor * unit * largest_logit + amplified
        };
        let both = |carried: f64| of(self.backend, carried) + of(self.reference, carried);
        let logit = both(carried);
        (logit <= MEANINGLESS * largest_logit).then(|| Allowed { logit, halt_margin: both(carried_margin) })
    }
}
