//! One supervision step of adaptive computation time (`ACTLossHead` and the ACT wrapper of the reference): reset the
//! halted rows, run the model, score it, decide who halts. Owns losses' sums, metrics and halting; leaves gradients
//! and optimizers to the learner, data to the source.

use models::{ArchitectureConfig, Backend, HaltingRule, Model, StepInputs};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::backend::{Activation, TchBackend, Weight};
use crate::carry::Carry;
use crate::losses::{LossType, LossWeights, move_loss, q_continue_target, q_loss};
use crate::metrics::StepMetrics;
use crate::parameters::Parameters;
use crate::transfer::{table_of, table_to_host, to_device};

/// Who may halt before the step limit.
#[derive(Debug, Clone, Copy)]
pub enum Halting {
    /// Training: rows that the architecture's rule lets halt, unless exploration asks the row to go on.
    Explore {
        /// Seed of the run.
        seed: u64,
        /// Optimizer step; with the seed it determines the draws.
        step: u64,
        /// Number in the batch over all ranks of the first row, whose rows draw what they would in the whole batch.
        first_row: usize,
    },
    /// Evaluation: none, every row takes all steps.
    AtLimit,
    /// Evaluation under `act_inference`: rows that the architecture's rule lets halt.
    ByRule,
}

/// What one supervision step gave.
#[derive(Debug)]
pub struct ActStep {
    /// Scalar loss, summed over the batch: token loss and the weighted losses of halting, `q_continue` and moves.
    pub loss: Tensor,
    /// Sums over the batch.
    pub metrics: StepMetrics,
    /// `[batch, seq_len]` int64 predictions.
    pub preds: Tensor,
    /// `[batch, seq_len, vocab_size]` in the forward type.
    pub logits: Tensor,
    /// `[batch]` float32.
    pub q_halt: Tensor,
    /// `[batch]` float32.
    pub q_continue: Tensor,
    /// Per row, on the host.
    pub(crate) rows: RowScores,
    /// The rows of the puzzle table that took part, `[batch, puzzle_emb_ndim]` float32, a leaf that collects their
    /// gradient.
    pub puzzle_rows: Option<Tensor>,
}

/// What the device reads in a step.
#[derive(Debug)]
pub(crate) struct DeviceInputs {
    tokens: Tensor,
    labels: Tensor,
    reset: Tensor,
    state: Vec<Tensor>,
    /// A leaf.
    pub(crate) puzzle_rows: Option<Tensor>,
    is_last: Option<Tensor>,
    moves: Option<Tensor>,
}

/// What it leaves there.
#[derive(Debug)]
pub(crate) struct DeviceResults {
    pub(crate) loss: Tensor,
    /// `[columns, batch]` float64, as [`RowScores::read`] takes them.
    rows: Tensor,
    state: Vec<Tensor>,
    preds: Tensor,
    logits: Tensor,
    q_halt: Tensor,
    q_continue: Tensor,
}

/// A model ready to take supervision steps.
#[derive(Debug)]
pub struct Reasoner {
    arch: ArchitectureConfig,
    backend: TchBackend,
    model: Model<Weight>,
    loss_type: LossType,
    loss_weights: LossWeights,
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
        Ok(Self {
            arch: arch.clone(),
            backend,
            model: parameters.model(arch, dims)?,
            loss_type,
            loss_weights: LossWeights::default(),
        })
    }

    /// The states that every row begins with.
    pub(crate) fn initial_state(&self, carry: &Carry, device: tch::Device) -> Vec<Tensor> {
        let reset = Activation(Tensor::ones([carry.halted.len() as i64], (Kind::Bool, device)));
        let state: Vec<Activation> = carry.state.iter().map(|z| Activation(z.shallow_clone())).collect();
        let state = self.backend.no_grad(|| self.model.reset_state(&self.backend, &reset, &state));
        state.into_iter().map(|z| z.0).collect()
    }

    /// Type of the activations.
    pub fn kind(&self) -> Kind {
        self.backend.kind()
    }

    /// The same with other weights of the losses.
    #[must_use]
    pub fn with_loss_weights(mut self, weights: LossWeights) -> Self {
        self.loss_weights = weights;
        self
    }

    /// The same step without recording gradients.
    pub fn step_without_gradient(&self, carry: &mut Carry, parameters: &Parameters, halting: Halting) -> ActStep {
        self.backend.no_grad(|| self.step(carry, parameters, halting))
    }

    /// One supervision step for every row of `carry`, which holds the next state, counts and halts afterwards.
    pub fn step(&self, carry: &mut Carry, parameters: &Parameters, halting: Halting) -> ActStep {
        let inputs = self.inputs(carry, parameters, halting);
        let results = self.compute(&inputs);
        self.conclude(carry, results, inputs.puzzle_rows, halting)
    }

    /// What the device needs for a step of `carry`.
    pub(crate) fn inputs(&self, carry: &Carry, parameters: &Parameters, halting: Halting) -> DeviceInputs {
        let device = parameters.device();
        DeviceInputs {
            tokens: carry.inputs(device),
            labels: carry.labels(device),
            reset: carry.reset_mask(device),
            state: carry.state.iter().map(Tensor::shallow_clone).collect(),
            puzzle_rows: puzzle_rows(carry, parameters),
            is_last: self.is_last(carry, halting).map(|is_last| to_device(&is_last, device)),
            moves: self.arch.has_move_head().then(|| carry.shortest_moves(device)),
        }
    }

    /// The device's part of a step: nothing in it comes to the host, but the tokens of a structured mixer.
    pub(crate) fn compute(&self, inputs: &DeviceInputs) -> DeviceResults {
        let labels = &inputs.labels;
        let step_inputs = StepInputs {
            tokens: Activation(inputs.tokens.shallow_clone()),
            puzzle_embeddings: inputs.puzzle_rows.as_ref().map(|rows| self.puzzle_positions(rows)),
        };
        let state: Vec<Activation> = inputs.state.iter().map(|z| Activation(z.shallow_clone())).collect();
        let reset = Activation(inputs.reset.shallow_clone());
        let state = self.model.reset_state(&self.backend, &reset, &state);
        let output = self.model.step(&self.backend, &step_inputs, &state);

        let (logits, q_halt, q_continue) = (output.logits.0, output.q_halt.0, output.q_continue.0);
        let scores = Scores::new(&logits, labels);
        let lm_loss = self.loss_type.per_position(&logits, labels) / scores.divisor.unsqueeze(-1);
        let lm_loss = lm_loss.sum_dim_intlist(-1, false, None::<Kind>);
        let q_halt_loss = q_loss(&q_halt, &scores.all_right);
        let q_continue_loss = inputs.is_last.as_ref().map(|is_last| {
            let target = self.q_continue_target(&step_inputs, &output.state, is_last);
            q_loss(&q_continue, &target)
        });
        let move_loss = output.moves.zip(inputs.moves.as_ref()).map(|(found, moves)| move_loss(&found.0, moves));
        let columns = [&scores.right, &scores.labelled, &q_halt, &q_continue, &lm_loss, &q_halt_loss];
        let columns: Vec<&Tensor> = columns.into_iter().chain(&q_continue_loss).chain(&move_loss).collect();
        let rows = table_of(&columns);
        let q_loss = match q_continue_loss {
            Some(q_continue_loss) => q_halt_loss + q_continue_loss,
            None => q_halt_loss,
        };
        let mut loss = lm_loss.sum(None::<Kind>) + q_loss.sum(None::<Kind>) * self.loss_weights.q;
        if let Some(move_loss) = move_loss {
            loss += move_loss.sum(None::<Kind>) * self.loss_weights.moves;
        }
        let state = output.state.into_iter().map(|z| z.0).collect();
        DeviceResults { loss, rows, state, preds: scores.preds, logits, q_halt, q_continue }
    }

    /// The host's part of a step: who halts.
    pub(crate) fn conclude(
        &self,
        carry: &mut Carry,
        results: DeviceResults,
        puzzle_rows: Option<Tensor>,
        halting: Halting,
    ) -> ActStep {
        let DeviceResults { loss, rows, state, preds, logits, q_halt, q_continue } = results;
        let rows = RowScores::read(&rows, self.is_last(carry, halting).is_some(), self.arch.has_move_head());
        carry.state = state;
        self.halt(carry, &rows, halting);
        let metrics = StepMetrics::of_halted(carry, &rows);
        ActStep { loss, metrics, preds, logits, q_halt, q_continue, rows, puzzle_rows }
    }

    /// In training, where the architecture learns `q_continue`: which rows take their last step.
    fn is_last(&self, carry: &Carry, halting: Halting) -> Option<Vec<bool>> {
        let limit = self.arch.halt_max_steps() as u32;
        let trains = matches!(halting, Halting::Explore { .. }) && limit > 1;
        (trains && self.arch.learns_q_continue()).then(|| carry.steps.iter().map(|&steps| steps + 1 >= limit).collect())
    }

    /// The target of `q_continue`, by one more step without gradient.
    fn q_continue_target(&self, inputs: &StepInputs<Activation>, state: &[Activation], is_last: &Tensor) -> Tensor {
        self.backend.no_grad(|| {
            let next = self.model.step(&self.backend, inputs, state);
            q_continue_target(&next.q_halt.0, &next.q_continue.0, is_last)
        })
    }

    /// Table rows as whole positions, zero-padded at the end.
    fn puzzle_positions(&self, rows: &Tensor) -> Activation {
        let (len, hidden_size) = (self.arch.puzzle_emb_len() as i64, self.arch.hidden_size() as i64);
        let padding = len * hidden_size - rows.size()[1];
        Activation(rows.constant_pad_nd([0, padding]).view([-1, len, hidden_size]).to_kind(self.backend.kind()))
    }

    fn halt(&self, carry: &mut Carry, rows: &RowScores, halting: Halting) {
        let limit = self.arch.halt_max_steps() as u32;
        let adaptive = match halting {
            Halting::Explore { .. } => self.arch.act_enabled(),
            Halting::ByRule => true,
            Halting::AtLimit => false,
        };
        let rule = self.arch.halting_rule();
        let mut exploration = Exploration::new(&self.arch, halting);
        for row in 0..carry.halted.len() {
            // Drawn for every row, whether it matters or not: a row's draw must not depend on the rows before it.
            let minimum = exploration.as_mut().map_or(0, |exploration| exploration.min_halt_steps(limit));
            let wants_to_halt = match rule {
                HaltingRule::QHalt => rows.q_halt[row] > 0.0,
                HaltingRule::QHaltOverContinue => rows.q_halt[row] > rows.q_continue[row],
            };
            carry.steps[row] += 1;
            let steps = carry.steps[row];
            carry.halted[row] = steps >= limit || (adaptive && wants_to_halt && steps >= minimum);
        }
    }
}

impl DeviceInputs {
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.tokens, &self.labels, &self.reset].into_iter().chain(&self.state).chain(&self.is_last).chain(&self.moves)
    }

    /// The same values in tensors of their own.
    pub(crate) fn copies(&self) -> Self {
        let leaf = |rows: &Tensor| rows.detach().copy().set_requires_grad(true);
        Self {
            tokens: self.tokens.copy(),
            labels: self.labels.copy(),
            reset: self.reset.copy(),
            state: self.state.iter().map(Tensor::copy).collect(),
            puzzle_rows: self.puzzle_rows.as_ref().map(leaf),
            is_last: self.is_last.as_ref().map(Tensor::copy),
            moves: self.moves.as_ref().map(Tensor::copy),
        }
    }

    /// Takes the values of `other`, which has the same shapes.
    pub(crate) fn fill(&self, other: &Self) {
        let pairs = self.tensors().zip(other.tensors()).chain(self.puzzle_rows.iter().zip(&other.puzzle_rows));
        tch::no_grad(|| pairs.for_each(|(own, other)| own.shallow_clone().copy_(other)));
    }
}

impl DeviceResults {
    /// The same values in tensors of their own; without gradients.
    pub(crate) fn copies(&self) -> Self {
        let copy = |tensor: &Tensor| tensor.detach().copy();
        Self {
            loss: copy(&self.loss),
            rows: copy(&self.rows),
            state: self.state.iter().map(copy).collect(),
            preds: copy(&self.preds),
            logits: copy(&self.logits),
            q_halt: copy(&self.q_halt),
            q_continue: copy(&self.q_continue),
        }
    }
}

/// The batch's rows of the puzzle table, as leaves of the gradient.
fn puzzle_rows(carry: &Carry, parameters: &Parameters) -> Option<Tensor> {
    let table = parameters.puzzle_table()?;
    let identifiers = to_device(&carry.current.puzzle_identifiers, table.device());
    Some(table.detach().index_select(0, &identifiers.to_kind(Kind::Int64)).set_requires_grad(true))
}

/// Draws, for some rows, a number of steps that they must take before they may halt.
struct Exploration {
    rng: ChaCha8Rng,
    probability: f64,
}

impl Exploration {
    fn new(arch: &ArchitectureConfig, halting: Halting) -> Option<Self> {
        let Halting::Explore { seed, step, first_row } = halting else { return None };
        let limit = arch.halt_max_steps() as u32;
        if limit <= 1 {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ EXPLORATION_DOMAIN);
        rng.set_stream(step);
        let mut exploration = Self { rng, probability: arch.halt_exploration_prob() };
        (0..first_row).for_each(|_| _ = exploration.min_halt_steps(limit));
        Some(exploration)
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

/// Per-row numbers on the host, needed to decide who halts: all of them come in one transfer.
#[derive(Debug)]
pub(crate) struct RowScores {
    pub(crate) right: Vec<i64>,
    pub(crate) labelled: Vec<i64>,
    pub(crate) q_halt: Vec<f32>,
    pub(crate) q_continue: Vec<f32>,
    pub(crate) lm_loss: Vec<f64>,
    pub(crate) q_halt_loss: Vec<f64>,
    pub(crate) q_continue_loss: Option<Vec<f64>>,
    pub(crate) move_loss: Option<Vec<f64>>,
}

impl RowScores {
    /// The columns that every step has, in the order of the fields, then those that some have.
    fn read(table: &Tensor, has_q_continue_loss: bool, has_move_loss: bool) -> Self {
        let mut values = table_to_host(table).into_iter();
        let mut next = || values.next().unwrap_or_default();
        let integers = |values: Vec<f64>| values.into_iter().map(|value| value as i64).collect();
        let floats = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Self {
            right: integers(next()),
            labelled: integers(next()),
            q_halt: floats(next()),
            q_continue: floats(next()),
            lm_loss: next(),
            q_halt_loss: next(),
            q_continue_loss: has_q_continue_loss.then(&mut next),
            move_loss: has_move_loss.then(next),
        }
    }
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
}
