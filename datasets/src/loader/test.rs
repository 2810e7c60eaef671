//! Evaluation batches: every example once, in storage order, padded to the batch size; the reference's `_iter_test`.
//! Owns rank slices and padding; leaves scoring to the evaluators.

use std::path::PathBuf;

use super::LoaderOptions;
use super::merged::MergedDataset;
use super::pass::{Pick, assemble};
use crate::store::{DatasetMetadata, Split};
use crate::{Batch, DatasetError};

/// One evaluation batch of this rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestBatch {
    /// Name of the set the examples come from.
    pub set: String,
    /// This rank's rows; `real_rows` of them are examples.
    pub batch: Batch,
    /// Examples in the batch over all ranks.
    pub global_rows: usize,
}

/// Iterator over the evaluation batches of one rank. All ranks yield the same number of batches.
#[derive(Debug)]
pub struct TestBatches {
    data: MergedDataset,
    options: LoaderOptions,
    set: usize,
    start: usize,
}

impl TestBatches {
    /// Opens a split (usually [`Split::Test`]) of every folder in `paths`.
    pub fn open(paths: &[PathBuf], split: Split, options: LoaderOptions) -> Result<Self, DatasetError> {
        options.validate()?;
        Ok(Self { data: MergedDataset::open(paths, split)?, options, set: 0, start: 0 })
    }

    /// Shape and vocabulary of the examples.
    pub fn metadata(&self) -> &DatasetMetadata {
        &self.data.metadata
    }

    /// Examples over all sets and ranks.
    pub fn total_examples(&self) -> usize {
        self.data.sets.iter().map(|(_, set)| set.examples()).sum()
    }
}

impl Iterator for TestBatches {
    type Item = Result<TestBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.start >= self.data.sets.get(self.set)?.1.examples() {
            self.set += 1;
            self.start = 0;
        }
        let (name, set) = &self.data.sets[self.set];
        let rows = self.options.local_batch_size();
        let end = set.examples().min(self.start + self.options.global_batch_size);
        let local_start = self.start + self.options.rank * rows;
        let local_end = end.min(local_start + rows);
        let mut picks = Vec::with_capacity(rows);
        if local_start < local_end {
            let mut puzzle = set.puzzle_of(local_start);
            for example in local_start..local_end {
                while !set.examples_of(puzzle).contains(&example) {
                    puzzle += 1;
                }
                picks.push(Pick { example, puzzle });
            }
        }
        let global_rows = end - self.start;
        self.start = end;
        let batch = assemble(&self.data.metadata, set, &picks, rows);
        Some(batch.map(|batch| TestBatch { set: name.clone(), batch, global_rows }))
    }
}
