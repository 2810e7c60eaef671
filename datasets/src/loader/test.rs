//! Evaluation batches: every example once, in storage order, padded to the batch size; the reference's `_iter_test`.
//! Owns rank slices and padding; leaves scoring to the evaluators.

use std::path::PathBuf;

use super::LoaderOptions;
use super::assemble::{Pick, assemble};
use super::merged::MergedDataset;
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
    /// Memory for the next batch.
    spare: Batch,
}

impl TestBatches {
    /// Opens a split (usually [`Split::Test`]) of every folder in `paths`.
    pub fn open(paths: &[PathBuf], split: Split, options: LoaderOptions) -> Result<Self, DatasetError> {
        options.validate()?;
        Ok(Self { data: MergedDataset::open(paths, split)?, options, set: 0, start: 0, spare: Batch::default() })
    }

    /// Shape and vocabulary of the examples.
    pub fn metadata(&self) -> &DatasetMetadata {
        &self.data.metadata
    }

    /// Examples over all sets and ranks.
    pub fn total_examples(&self) -> usize {
        self.data.sets.iter().map(|(_, set)| set.examples()).sum()
    }

    /// Takes the memory of a batch that is done with: at ARC's size, fresh memory costs more than the examples.
    pub fn recycle(&mut self, batch: TestBatch) {
        self.spare = batch.batch;
    }

    /// Batches from the start to the end.
    pub fn total_batches(&self) -> usize {
        self.data.sets.iter().map(|(_, set)| set.examples().div_ceil(self.options.global_batch_size)).sum()
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
        let mut batch = std::mem::take(&mut self.spare);
        let assembled = assemble(&self.data.metadata, set, &picks, rows, &mut batch);
        Some(assembled.map(|()| TestBatch { set: name.clone(), batch, global_rows }))
    }
}
