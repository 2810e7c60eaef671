//! One optimizer step: supervision step, gradients, weights, puzzle table, EMA. Owns everything that changes while a
//! model learns, and so everything that a resumed run needs; leaves loops, logs and files to `pretrain` and `state`.

use std::collections::VecDeque;

use datasets::batch::{Batch, SourcePosition};
use models::{ArchitectureConfig, ModelDims};
use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::act::{Halting, Reasoner};
use crate::backend::TchBackend;
use crate::carry::Carry;
use crate::distributed::{Flags, Ranks};
use crate::losses::{LossType, LossWeights};
use crate::metrics::{METRIC_NUMBERS, StepMetrics};
use crate::optimizer::{FlatOptimizer, FlatOptimizerConfig, LearningRateSchedule, sign_sgd, update_ema};
use crate::parameters::Parameters;
use crate::phases::{Phase, PhaseClock};
use crate::replay::Replays;
use crate::transfer;

/// What a learner needs to know besides the model; fixed over a run.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerConfig {
    /// Architecture.
    pub arch: ArchitectureConfig,
    /// Sizes from the data.
    pub dims: ModelDims,
    /// Token loss.
    pub loss_type: LossType,
    /// Weights of the other losses.
    pub loss_weights: LossWeights,
    /// Optimizer of the weights.
    pub optimizer: FlatOptimizerConfig,
    /// Base learning rate of the weights.
    pub lr: f64,
    /// Base learning rate of the puzzle table.
    pub puzzle_emb_lr: f64,
    /// Decoupled weight decay of the puzzle table.
    pub puzzle_emb_weight_decay: f64,
    /// Schedule of both rates.
    pub schedule: LearningRateSchedule,
    /// Decay of the weights' moving average, if one is kept.
    pub ema_rate: Option<f64>,
    /// Train the puzzle table alone.
    pub freeze_weights: bool,
    /// Greatest norm of the weights' gradient.
    pub grad_clip: Option<f64>,
    /// Rows of this rank that are computed at a time; all where not set.
    pub micro_batch_size: Option<usize>,
    /// Rows over all ranks: what the summed loss is divided by.
    pub global_batch_size: usize,
    /// Rows on this rank.
    pub local_batch_size: usize,
    /// Batches that are being worked on at a time, which take turns; 1 in the reference. At least 1.
    pub carried_batches: usize,
    /// Rank of this process.
    pub rank: u64,
    /// Seed of initial weights and exploration.
    pub seed: u64,
}

/// A batch that is carried, and whose turn comes when every other has had one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Number of the source that its examples come from.
    pub source: usize,
    /// Tokens of an example of that source.
    pub seq_len: usize,
    /// Rows on this rank.
    pub rows: usize,
}

/// A model being trained.
#[derive(Debug)]
pub struct Learner {
    /// Settings.
    pub config: LearnerConfig,
    /// Raw weights, buffers, puzzle table.
    pub parameters: Parameters,
    /// Moments.
    pub optimizer: FlatOptimizer,
    /// `[weight_count]` moving average of the weights.
    pub ema: Option<Tensor>,
    /// Carried rows of the batch whose turn is next.
    pub carry: Carry,
    /// Those of the other batches, in the order of their turns.
    waiting: VecDeque<Carry>,
    /// Optimizer steps done.
    pub step: u64,
    /// Steps from the first in which only the puzzle table is trained.
    pub frozen_steps: u64,
    /// Where each data source stood after its last step.
    pub positions: Vec<SourcePosition>,
    /// Norm of the weights' gradient in the last step, before it was clipped; on the device until somebody asks.
    gradient_norm: Option<Tensor>,
    /// The processes that share every batch.
    pub ranks: Ranks,
    reasoner: Reasoner,
    clock: PhaseClock,
    replays: Option<Replays>,
}

impl Learner {
    /// A learner at step 0 over `parameters`.
    ///
    /// # Errors
    /// When the parameters belong to another architecture.
    pub fn new(config: LearnerConfig, parameters: Parameters, seq_len: usize) -> Result<Self, TrainError> {
        Self::timed(config, parameters, seq_len, PhaseClock::default())
    }

    /// As [`new`](Self::new), with every step's phases timed by `clock`.
    ///
    /// # Errors
    /// When the parameters belong to another architecture.
    pub fn timed(
        config: LearnerConfig,
        parameters: Parameters,
        seq_len: usize,
        clock: PhaseClock,
    ) -> Result<Self, TrainError> {
        let turn = Turn { source: 0, seq_len, rows: config.local_batch_size };
        let turns = vec![turn; config.carried_batches];
        Self::taking_turns(config, parameters, &turns, clock)
    }

    /// As [`timed`](Self::timed), with carried batches of several sources: `turns` are the first round, at least one.
    ///
    /// # Errors
    /// When the parameters belong to another architecture.
    ///
    /// # Panics
    /// Without a turn.
    pub fn taking_turns(
        config: LearnerConfig,
        parameters: Parameters,
        turns: &[Turn],
        clock: PhaseClock,
    ) -> Result<Self, TrainError> {
        let device = parameters.device();
        let backend = TchBackend::new(config.arch.forward_dtype()).timed_by(clock.clone());
        let reasoner = Reasoner::on_backend(backend, &config.arch, &config.dims, &parameters, config.loss_type)?
            .with_loss_weights(config.loss_weights);
        let optimizer = FlatOptimizer::new(config.optimizer, parameters.flat());
        let ema = config.ema_rate.map(|_| parameters.flat().detach().copy());
        let carry =
            |turn: &Turn| Carry { source: turn.source, ..Carry::empty(&config.arch, turn.rows, turn.seq_len, device) };
        let mut waiting: VecDeque<Carry> = turns.iter().map(carry).collect();
        let carry = waiting.pop_front().expect("at least one batch is carried");
        let sources = turns.iter().map(|turn| turn.source + 1).max().unwrap_or(1);
        let positions = vec![SourcePosition::default(); sources];
        let gradient_norm = None;
        Ok(Self {
            config,
            parameters,
            optimizer,
            ema,
            carry,
            waiting,
            step: 0,
            frozen_steps: 0,
            positions,
            gradient_norm,
            ranks: Ranks::alone(),
            reasoner,
            clock,
            replays: None,
        })
    }

    /// From here on the work of a step on the device is recorded once for each shape, and replayed: as a CUDA graph on a
    /// GPU. On a processor the same work is done again each time.
    ///
    /// # Errors
    /// When the architecture brings values to the host amid a step.
    pub fn replay_steps(&mut self) -> Result<(), TrainError> {
        if self.config.arch.mixer().is_size_free() {
            let problem = "is set, but a structured mixer reads on the host where its sites lie; unset it";
            return Err(TrainError::setting("cuda_graphs", problem));
        }
        self.replays = Some(Replays::default());
        Ok(())
    }

    /// Rates of this step's weights and puzzle table.
    pub fn learning_rates(&self, step: u64) -> (f64, f64) {
        (self.config.schedule.at(step, self.config.lr), self.config.schedule.at(step, self.config.puzzle_emb_lr))
    }

    /// Learns from `batch` (only rows whose carry has halted take their example from it).
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] when the loss is not a number; the weights are untouched then.
    pub fn train_step(&mut self, batch: &Batch) -> Result<StepMetrics, TrainError> {
        Ok(self.train_step_with(batch, Flags::default)?.0)
    }

    /// As [`train_step`](Self::train_step), on all ranks at once: gives the sums over all of them, and the flags that any
    /// rank raised. `flags` is asked once the gradients are there.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] on every rank when the loss of one is not a number; [`TrainError::Distributed`] when one
    /// is gone.
    pub fn train_step_with(
        &mut self,
        batch: &Batch,
        flags: impl FnOnce() -> Flags,
    ) -> Result<(StepMetrics, Flags), TrainError> {
        let step = self.step + 1;
        self.clock.enter(Phase::Data);
        self.carry.admit(batch);
        let local = self.gradients(step);
        let (metrics, puzzle_gradient, flags) = if self.ranks.size() == 1 {
            let (metrics, puzzle_gradient) = local?;
            (metrics, puzzle_gradient, flags())
        } else {
            self.agree(step, local, flags())?
        };
        self.step = step;
        self.update(puzzle_gradient.as_ref())?;
        self.take_turns();
        Ok((metrics, flags))
    }

    /// The sums over all ranks, and what any of them asks for. A rank whose loss is not a number says so here, so that
    /// none is left waiting for it.
    fn agree(
        &self,
        step: u64,
        local: Result<(StepMetrics, Option<Tensor>), TrainError>,
        flags: Flags,
    ) -> Result<(StepMetrics, Option<Tensor>, Flags), TrainError> {
        let (metrics, puzzle_gradient, loss) = match local {
            Ok((metrics, puzzle_gradient)) => (metrics, puzzle_gradient, 0.0),
            Err(TrainError::NotFinite { loss, .. }) => (StepMetrics::default(), None, loss),
            Err(other) => return Err(other),
        };
        let [stop, slow] = [flags.stop, flags.slow].map(|flag| f64::from(u8::from(flag)));
        let mut numbers = metrics.to_numbers().to_vec();
        numbers.extend([loss, stop, slow]);
        let (mut sums, mut flags) = (StepMetrics::default(), Flags::default());
        for (rank, numbers) in self.ranks.gather_numbers(&numbers)?.iter().enumerate() {
            let Some((metrics, &[loss, stop, slow])) = numbers.split_first_chunk::<METRIC_NUMBERS>() else { continue };
            if !loss.is_finite() {
                return Err(TrainError::NotFinite { step, loss, place: format!(" on rank {rank}") });
            }
            sums.merge(&StepMetrics::from_numbers(metrics));
            flags = Flags { stop: flags.stop || stop > 0.0, slow: flags.slow || slow > 0.0 };
        }
        Ok((sums, puzzle_gradient, flags))
    }

    /// Gradients of the carried rows, a micro-batch at a time; gives the sums over all rows, and the gradient of their rows
    /// of the puzzle table.
    fn gradients(&mut self, step: u64) -> Result<(StepMetrics, Option<Tensor>), TrainError> {
        let rows = self.carry.halted.len();
        let global_rows = self.global_rows();
        let (mut sums, mut parts, mut puzzle_gradients) = (StepMetrics::default(), Vec::new(), Vec::new());
        let rows_before = self.config.rank as usize * rows;
        for first_row in (0..rows).step_by(self.config.micro_batch_size.unwrap_or(rows)) {
            let last_row = rows.min(first_row + self.config.micro_batch_size.unwrap_or(rows));
            let mut part = self.carry.rows(first_row..last_row);
            self.clock.enter(Phase::Forward);
            let halting = Halting::Explore { seed: self.config.seed, step, first_row: rows_before + first_row };
            let not_finite = |metrics: &StepMetrics| {
                let loss = metrics.loss(self.config.loss_weights);
                (!loss.is_finite()).then(|| TrainError::NotFinite { step, loss, place: String::new() })
            };
            let (metrics, puzzle_gradient) = if let Some(replays) = &mut self.replays {
                let learned = replays.learn(&self.reasoner, &mut part, &self.parameters, halting, global_rows)?;
                not_finite(&learned.0).map_or(Ok(learned), Err)?
            } else {
                let act = self.reasoner.step(&mut part, &self.parameters, halting);
                if let Some(error) = not_finite(&act.metrics) {
                    return Err(error);
                }
                self.clock.enter(Phase::Backward);
                (act.loss / global_rows as f64).backward();
                (act.metrics, act.puzzle_rows.map(|rows| rows.grad()))
            };
            sums.merge(&metrics);
            puzzle_gradients.extend(puzzle_gradient);
            parts.push(part);
        }
        self.carry.join(&parts);
        Ok((sums, (!puzzle_gradients.is_empty()).then(|| Tensor::cat(&puzzle_gradients, 0))))
    }

    /// The carried rows of all batches in the order of their turns, the next one first.
    pub fn carries(&self) -> impl Iterator<Item = &Carry> {
        std::iter::once(&self.carry).chain(&self.waiting)
    }

    /// Rows of the batch whose turn it is, over all ranks.
    fn global_rows(&self) -> usize {
        self.carry.current.rows() * self.config.global_batch_size / self.config.local_batch_size
    }

    /// Lets `count` batches have their turn without a step: a learner that is restored begins in the middle of a round.
    pub(crate) fn pass_turns(&mut self, count: u64) {
        (0..count % (self.waiting.len() as u64 + 1)).for_each(|_| self.take_turns());
    }

    /// As [`carries`](Self::carries).
    pub(crate) fn carries_mut(&mut self) -> impl Iterator<Item = &mut Carry> {
        std::iter::once(&mut self.carry).chain(&mut self.waiting)
    }

    /// The weights to evaluate and ship: EMA where one is kept.
    pub fn weights_to_use(&self) -> Parameters {
        self.parameters.with_weights(self.ema.as_ref().unwrap_or(self.parameters.flat()))
    }

    /// Whether every weight and every value of the moving average is a number.
    pub fn is_finite(&self) -> bool {
        let finite = |values: &Tensor| transfer::number(&values.isfinite().all()) != 0.0;
        finite(self.parameters.flat()) && self.ema.as_ref().is_none_or(finite)
    }

    /// The device that everything lives on.
    pub fn device(&self) -> Device {
        self.parameters.device()
    }

    /// The next batch's turn. A row whose every step follows on its own gradient is learned by heart while it is worked
    /// on: the weights then solve it without having learned to.
    fn take_turns(&mut self) {
        if let Some(next) = self.waiting.pop_front() {
            self.waiting.push_back(std::mem::replace(&mut self.carry, next));
        }
    }

    /// √Σ‖p‖² over all trained weights.
    pub fn parameter_norm(&self) -> f64 {
        transfer::number(&norm(self.parameters.flat()))
    }

    /// Norm of the weights' gradient in the last step, before it was clipped; `None` before the first step and where
    /// weights are not trained.
    pub fn gradient_norm(&self) -> Option<f64> {
        self.gradient_norm.as_ref().map(transfer::number)
    }

    fn update(&mut self, puzzle_gradient: Option<&Tensor>) -> Result<(), TrainError> {
        self.clock.enter(Phase::Optimizer);
        let (lr, puzzle_emb_lr) = self.learning_rates(self.step);
        if let (Some(gradient), Some(table)) = (puzzle_gradient, self.parameters.puzzle_table()) {
            let decay = self.config.puzzle_emb_weight_decay;
            let (gradient, identifiers) = self.puzzle_rows_of_all_ranks(gradient)?;
            sign_sgd(&mut table.shallow_clone(), &gradient, &identifiers, puzzle_emb_lr, decay);
        }
        let trains_weights = !self.config.freeze_weights && self.step > self.frozen_steps;
        if trains_weights {
            let mut gradient = self.parameters.flat_gradient();
            self.ranks.sum(&gradient)?;
            let norm = norm(&gradient);
            if let Some(most) = self.config.grad_clip {
                let norm = transfer::number(&norm);
                if norm > most {
                    gradient *= most / norm;
                }
            }
            self.gradient_norm = Some(norm);
            self.optimizer.update(&mut self.parameters.flat().shallow_clone(), &gradient, lr);
        }
        self.parameters.weights_changed();
        self.clock.enter(Phase::Ema);
        // The average of weights that stand still is what it was; its rounding would not be.
        if let (true, Some(ema), Some(rate)) = (trains_weights, &mut self.ema, self.config.ema_rate) {
            update_ema(ema, self.parameters.flat(), rate);
        }
        self.clock.enter(Phase::Data);
        Ok(())
    }

    /// The gradients of all ranks' rows of the puzzle table with the rows' numbers, in the order of ranks: as one process
    /// with the whole batch has them.
    fn puzzle_rows_of_all_ranks(&self, gradient: &Tensor) -> Result<(Tensor, Vec<i32>), TrainError> {
        let own = &self.carry.current.puzzle_identifiers;
        if self.ranks.size() == 1 {
            return Ok((gradient.shallow_clone(), own.clone()));
        }
        let identifiers = self.ranks.gather_rows(&Tensor::from_slice(own))?;
        Ok((self.ranks.gather_rows(gradient)?, Vec::try_from(identifiers)?))
    }
}

/// √Σx², summed in float64.
fn norm(values: &Tensor) -> Tensor {
    tch::no_grad(|| values.norm_scalaropt_dtype(2, Kind::Double))
}
