//! The part of a run's settings that its learner knows.

use models::ModelDims;

use super::PretrainConfig;
use crate::learner::LearnerConfig;
use crate::losses::LossWeights;
use crate::optimizer::{FlatOptimizerConfig, LearningRateSchedule};

impl PretrainConfig {
    /// What the learner of `rank` among `world_size` needs to know on data of `dims`, for a run of `total_steps`.
    pub(crate) fn learner(
        &self,
        dims: ModelDims,
        total_steps: u64,
        (rank, world_size): (usize, usize),
    ) -> LearnerConfig {
        LearnerConfig {
            arch: self.arch.clone(),
            dims,
            loss_type: self.loss_type,
            loss_weights: LossWeights { q: self.q_loss_weight, moves: self.move_loss_weight },
            optimizer: FlatOptimizerConfig {
                kind: self.optimizer,
                beta1: self.beta1,
                beta2: self.beta2,
                weight_decay: self.weight_decay,
            },
            lr: self.lr,
            puzzle_emb_lr: self.puzzle_emb_lr,
            puzzle_emb_weight_decay: self.puzzle_emb_weight_decay,
            schedule: LearningRateSchedule {
                warmup_steps: self.lr_warmup_steps,
                total_steps,
                min_ratio: self.lr_min_ratio,
            },
            ema_rate: self.ema.then_some(self.ema_rate),
            freeze_weights: self.freeze_weights,
            grad_clip: self.grad_clip,
            micro_batch_size: self.micro_batch_size,
            global_batch_size: self.global_batch_size,
            local_batch_size: self.global_batch_size / world_size,
            carried_batches: self.carried_batches,
            rank: rank as u64,
            seed: self.seed,
        }
    }
}
