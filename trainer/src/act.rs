//! One supervision step of adaptive computation time (`ACTLossHead` and the ACT wrapper of the reference): reset the
//! halted rows, run the model, score it, decide who halts. Owns losses' sums, metrics and halting; leaves gradients
//! and optimizers to the learner, data to the source.

use models::{ArchitectureConfig, Backend, Model, StepInputs};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::backend::{Activation, TchBackend, Weight};
use crate::carry::Carry;
use crate::losses::{LossType, q_loss};
use crate::metrics::StepMetrics;
use crate::parameters::Parameters;

/// Who may halt before the step limit.
#[derive(Debug, Clone, Copy)]
pub enum Halting {
    /// Training: by the sign of `q_halt`, unless exploration asks the row to go on.
    Explore {
        /// Seed of the run.
        seed: u64,
        /// Optimizer step; with the seed and the rank it determines the draw.
        step: u64,
        /// Rank of this process.
        rank: u64,
    },
    /// Evaluation: nobody, every row takes all steps.
    AtLimit,
}

/// What one supervision step gave.
#[derive(Debug)]
pub struct ActStep {
    /// Scalar loss, summed over the batch: language-model loss + 0.5 · halting loss.
    pub loss: Tensor,
    /// Sums over the batch.
    pub metrics: StepMetrics,
    /// `[batch, seq_len]` int64 predictions.
    pub preds: Tensor,
    /// `[batch, seq_len, vocab_size]` in the forward type.
    pub logits: Tensor,
    /// `[batch]` float32.
    pub q_halt: Tensor,
    /// The rows of the puzzle table that took part, `[batch, puzzle_emb_ndim]` float32, a leaf that collects their
    /// gradient.
    pub puzzle_rows: Option<Tensor>,
}

/// A model ready to take supervision steps.
#[derive(Debug)]
pub struct Reasoner {
    arch: ArchitectureConfig,
    backend: TchBackend,
    model: Model<Weight>,
    loss_type: LossType,
}

impl Reasoner {
    /// Joins an architecture with its tensors.
    ///
    /// # Errors
    /// When the tensors belong to another architecture.
    pub fn new(
        arch: &ArchitectureConfig,
        dims: &models::ModelDims,
        parameters: &Parameters,
        loss_type: LossType,
    ) -> Result<Self, models::ModelError> {
        Self::on_backend(TchBackend::new(arch.forward_dtype()), arch, dims, parameters, loss_type)
    }

    /// The same on a backend of the caller's choice.
    ///
    /// # Errors
    /// When the tensors belong to another architecture.
    pub fn on_backend(
        backend: TchBackend,
        arch: &ArchitectureConfig,
        dims: &models::ModelDims,
        parameters: &Parameters,
        loss_type: LossType,
    ) -> Result<Self, models::ModelError> {
        Ok(Self { arch: arch.clone(), backend, model: parameters.model(arch, dims)?, loss_type })
    }

    /// The same step without recording gradients.
    pub fn step_without_gradient(&self, carry: &mut Carry, parameters: &Parameters, halting: Halting) -> ActStep {
        self.backend.no_grad(|| self.step(carry, parameters, halting))
    }

    /// One supervision step for every row of `carry`, which holds the next state, counts and halts afterwards.
    pub fn step(&self, carry: &mut Carry, parameters: &Parameters, halting: Halting) -> ActStep {
        let device = parameters.device();
        let puzzle_rows = puzzle_rows(carry, parameters);
        let inputs = StepInputs {
            tokens: Activation(carry.inputs(device)),
            puzzle_embeddings: puzzle_rows.as_ref().map(|rows| self.puzzle_positions(rows)),
        };
        let state: Vec<Activation> = carry.state.iter().map(|z| Activation(z.shallow_clone())).collect();
        let state = self.model.reset_state(&self.backend, &Activation(carry.reset_mask(device)), &state);
        let output = self.model.step(&self.backend, &inputs, &state);
        carry.state = output.state.into_iter().map(|z| z.0).collect();

        let (logits, q_halt) = (output.logits.0, output.q_halt.0);
        let labels = carry.labels(device);
        let scores = Scores::new(&logits, &labels);
        let lm_loss = self.loss_type.per_position(&logits, &labels) / scores.divisor.unsqueeze(-1);
        let lm_loss = lm_loss.sum(None);
        let q_halt_loss = q_loss(&q_halt, &scores.all_right);
        let rows = scores.download(&q_halt);
        self.halt(carry, &rows.q_halt, halting);
        let metrics = StepMetrics::of_halted(carry, &rows, lm_loss.double_value(&[]), q_halt_loss.double_value(&[]));
        ActStep { loss: lm_loss + q_halt_loss * 0.5, metrics, preds: scores.preds, logits, q_halt, puzzle_rows }
    }

    /// Table rows as whole positions, zero-padded at the end.
    fn puzzle_positions(&self, rows: &Tensor) -> Activation {
        let (len, hidden_size) = (self.arch.puzzle_emb_len() as i64, self.arch.hidden_size() as i64);
        let padding = len * hidden_size - rows.size()[1];
        Activation(rows.constant_pad_nd([0, padding]).view([-1, len, hidden_size]).to_kind(self.backend.kind()))
    }

    fn halt(&self, carry: &mut Carry, q_halt: &[f32], halting: Halting) {
        let limit = self.arch.halt_max_steps() as u32;
        let mut exploration = Exploration::new(&self.arch, halting);
        for (row, &q) in q_halt.iter().enumerate() {
            // Drawn for every row, whether it matters or not: a row's draw must not depend on the rows before it.
            let min_halt_steps = exploration.as_mut().map(|exploration| exploration.min_halt_steps(limit));
            carry.steps[row] += 1;
            let steps = carry.steps[row];
            carry.halted[row] = steps >= limit || min_halt_steps.is_some_and(|minimum| q > 0.0 && steps >= minimum);
        }
    }
}

/// The batch's rows of the puzzle table, as leaves of the gradient.
fn puzzle_rows(carry: &Carry, parameters: &Parameters) -> Option<Tensor> {
    let table = parameters.puzzle_table()?;
    let identifiers = Tensor::from_slice(&carry.current.puzzle_identifiers).to_device(table.device());
    Some(table.detach().index_select(0, &identifiers.to_kind(Kind::Int64)).set_requires_grad(true))
}

/// Draws, for some rows, a number of steps that they must take before they may halt.
struct Exploration {
    rng: ChaCha8Rng,
    probability: f64,
}

impl Exploration {
    fn new(arch: &ArchitectureConfig, halting: Halting) -> Option<Self> {
        let Halting::Explore { seed, step, rank } = halting else { return None };
        if arch.halt_max_steps() <= 1 {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ EXPLORATION_DOMAIN.wrapping_add(rank));
        rng.set_stream(step);
        Some(Self { rng, probability: arch.halt_exploration_prob() })
    }

    fn min_halt_steps(&mut self, limit: u32) -> u32 {
        let explores = self.rng.random::<f64>() < self.probability;
        let minimum = self.rng.random_range(2..=limit);
        if explores { minimum } else { 0 }
    }
}

/// Keeps exploration's stream apart from every other use of the run's seed.
const EXPLORATION_DOMAIN: u64 = 0x45_58_50_4c_4f_52_45_00;

/// Predictions against labels, on the device.
struct Scores {
    preds: Tensor,
    right: Tensor,
    labelled: Tensor,
    divisor: Tensor,
    all_right: Tensor,
}

/// Per-row numbers on the host.
#[derive(Debug)]
pub(crate) struct RowScores {
    pub(crate) right: Vec<i64>,
    pub(crate) labelled: Vec<i64>,
    pub(crate) q_halt: Vec<f32>,
}

impl Scores {
    fn new(logits: &Tensor, labels: &Tensor) -> Self {
        tch::no_grad(|| {
            let preds = logits.argmax(-1, false);
            let mask = labels.not_equal(i64::from(datasets::batch::IGNORE_LABEL_ID));
            let right = preds.eq_tensor(labels).logical_and(&mask).sum_dim_intlist(-1, false, Kind::Int64);
            let labelled = mask.sum_dim_intlist(-1, false, Kind::Int64);
            let divisor = labelled.clamp_min(1);
            let all_right = right.eq_tensor(&labelled);
            Self { preds, right, labelled, divisor, all_right }
        })
    }

    /// Three small copies to the host: the only synchronisation of a step, needed to decide who halts.
    fn download(&self, q_halt: &Tensor) -> RowScores {
        RowScores {
            right: to_vec(&self.right),
            labelled: to_vec(&self.labelled),
            q_halt: to_vec(&q_halt.detach().to_kind(Kind::Float)),
        }
    }
}

fn to_vec<T: tch::kind::Element + Copy + Default>(tensor: &Tensor) -> Vec<T> {
    let tensor = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    let mut values = vec![T::default(); tensor.numel()];
    let count = values.len();
    tensor.copy_data(&mut values, count);
    values
}
