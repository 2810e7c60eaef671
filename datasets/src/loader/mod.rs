//! Batches out of dataset folders, in the order of the reference's `PuzzleDataset`.
//! Owns which example comes when and on which rank; leaves files to [`crate::store`] and learning to the trainer.

mod merged;
mod pass;
mod test;
mod train;

pub use test::{TestBatch, TestBatches};
pub use train::FolderSource;

use crate::DatasetError;
use crate::store::DatasetMetadata;

/// How a dataset is cut into batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Examples per batch over all ranks.
    pub global_batch_size: usize,
    /// Seed of the training order; testing goes in storage order.
    pub seed: u64,
    /// Permutations of all groups per training pass (the reference's `eval_interval`).
    pub epochs_per_iter: usize,
    /// This process among `world_size`.
    pub rank: usize,
    /// Number of processes that share each global batch.
    pub world_size: usize,
}

impl LoaderOptions {
    /// One process, seed 0, one epoch per pass.
    pub fn new(global_batch_size: usize) -> Self {
        Self { global_batch_size, seed: 0, epochs_per_iter: 1, rank: 0, world_size: 1 }
    }

    /// Rows of a batch on one rank.
    pub fn local_batch_size(&self) -> usize {
        self.global_batch_size / self.world_size
    }

    fn validate(&self) -> Result<(), DatasetError> {
        if self.rank >= self.world_size {
            return Err(DatasetError::argument(
                "rank",
                format!("a rank below world_size {}", self.world_size),
                self.rank,
            ));
        }
        if self.global_batch_size == 0 || !self.global_batch_size.is_multiple_of(self.world_size) {
            let expected = format!("a positive multiple of world_size {}", self.world_size);
            return Err(DatasetError::argument("global_batch_size", expected, self.global_batch_size));
        }
        if self.epochs_per_iter == 0 {
            return Err(DatasetError::argument("epochs_per_iter", "at least 1", 0));
        }
        Ok(())
    }
}

/// Optimizer steps that `epochs` amount to: the reference's
/// `int(epochs * total_groups * mean_puzzle_examples / global_batch_size)`.
pub fn total_steps(metadata: &DatasetMetadata, epochs: u64, global_batch_size: usize) -> u64 {
    let groups = u128::from(epochs) * metadata.total_groups as u128;
    (groups as f64 * metadata.mean_puzzle_examples / global_batch_size as f64) as u64
}
