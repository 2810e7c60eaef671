//! Training batches from folders, endless and resumable: [`TrainingSource`] over the reference's order.
//! Owns passes, rank slices and positions; leaves the random order within a pass to [`super::pass`].

use std::path::PathBuf;

use super::LoaderOptions;
use super::merged::MergedDataset;
use super::pass::{Pass, assemble};
use crate::store::{DatasetMetadata, PuzzleSet, Split};
use crate::{Batch, DatasetError, SourcePosition, TrainingSource};

/// The `train` split of one or more dataset folders.
///
/// A pass shuffles the groups of one set `epochs_per_iter` times and takes a random puzzle of each group; the last
/// incomplete global batch of a pass is dropped. Passes rotate through the sets.
#[derive(Debug)]
pub struct FolderSource {
    data: MergedDataset,
    options: LoaderOptions,
    iteration: u64,
    pass: Pass,
}

impl FolderSource {
    /// Opens the `train` split of every folder in `paths`; milliseconds, whatever their size.
    pub fn open(paths: &[PathBuf], options: LoaderOptions) -> Result<Self, DatasetError> {
        options.validate()?;
        let data = MergedDataset::open(paths, Split::Train)?;
        let pass = start_pass(&data, &options, 0);
        Ok(Self { data, options, iteration: 0, pass })
    }

    /// Rows of a batch on this rank.
    pub fn local_batch_size(&self) -> usize {
        self.options.local_batch_size()
    }

    /// Optimizer steps that `epochs` amount to (see [`super::total_steps`]).
    pub fn total_steps(&self, epochs: u64) -> u64 {
        super::total_steps(&self.data.metadata, epochs, self.options.global_batch_size)
    }

    fn set(&self) -> &PuzzleSet {
        &set_of(&self.data, self.iteration).1
    }
}

impl TrainingSource for FolderSource {
    fn metadata(&self) -> &DatasetMetadata {
        &self.data.metadata
    }

    fn next_batch(&mut self, wanted: &[bool]) -> Result<Batch, DatasetError> {
        let rows = self.options.local_batch_size();
        if wanted.len() != rows {
            let expected = format!("global_batch_size / world_size = {rows} rows");
            return Err(DatasetError::argument("wanted", expected, wanted.len()));
        }
        // One dry pass may be the dropped end of the current one; after that every set gets its chance.
        for _ in 0..=self.data.sets.len() {
            let picks = self.pass.sample(&set_of(&self.data, self.iteration).1, self.options.global_batch_size);
            if picks.len() == self.options.global_batch_size {
                let start = self.options.rank * rows;
                return assemble(&self.data.metadata, self.set(), &picks[start..start + rows], rows);
            }
            self.iteration += 1;
            self.pass = start_pass(&self.data, &self.options, self.iteration);
        }
        let expected = format!(
            "at most the examples of one pass ({} groups x {} epochs_per_iter); lower it or raise eval_interval",
            self.set().groups(),
            self.options.epochs_per_iter
        );
        Err(DatasetError::argument("global_batch_size", expected, self.options.global_batch_size))
    }

    fn position(&self) -> SourcePosition {
        SourcePosition { iteration: self.iteration, consumed: self.pass.consumed() as u64 }
    }

    fn seek(&mut self, position: &SourcePosition) -> Result<(), DatasetError> {
        let set = &set_of(&self.data, position.iteration).1;
        let mut pass = start_pass(&self.data, &self.options, position.iteration);
        while (pass.consumed() as u64) < position.consumed {
            let before = pass.consumed();
            pass.sample(set, self.options.global_batch_size);
            if pass.consumed() == before {
                break;
            }
        }
        if pass.consumed() as u64 != position.consumed {
            let expected = "a batch boundary of this dataset at these loader options; resume with the same data_paths, \
                            batch size, seed and eval_interval";
            return Err(DatasetError::argument("data position", expected, format!("{position:?}")));
        }
        self.iteration = position.iteration;
        self.pass = pass;
        Ok(())
    }
}

fn set_of(data: &MergedDataset, iteration: u64) -> &(String, PuzzleSet) {
    &data.sets[(iteration % data.sets.len() as u64) as usize]
}

fn start_pass(data: &MergedDataset, options: &LoaderOptions, iteration: u64) -> Pass {
    let groups = set_of(data, iteration).1.groups();
    Pass::start(options.seed, iteration, groups, options.epochs_per_iter)
}
