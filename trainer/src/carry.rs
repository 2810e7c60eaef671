//! What training rows carry from one supervision step to the next: recursion state, step counts, and the examples
//! they are working on. Counters and tokens live on the host (they decide control flow), the state on the device.

use std::ops::Range;

use datasets::batch::{Batch, IGNORE_LABEL_ID};
use datasets::maze::Maze;
use models::{ArchitectureConfig, MOVES};
use tch::{Device, Kind, Tensor};

use crate::backend::kind_of;
use crate::transfer::to_device;

/// The carry of a batch.
#[derive(Debug)]
pub struct Carry {
    /// Recursion state, `[batch, tokens, hidden_size]` each, in the architecture's order.
    pub state: Vec<Tensor>,
    /// Supervision steps that each row has done on its example.
    pub steps: Vec<u32>,
    /// Rows that take a new example at the next step.
    pub halted: Vec<bool>,
    /// The examples being worked on.
    pub current: Batch,
    /// Number of the source that new examples come from.
    pub source: usize,
}

impl Carry {
    /// All rows halted, so that the first step takes a whole batch; the state's values do not matter until then.
    pub fn empty(arch: &ArchitectureConfig, batch_size: usize, seq_len: usize, device: Device) -> Self {
        let tokens = arch.state_tokens(seq_len);
        let size = [batch_size as i64, tokens as i64, arch.hidden_size() as i64];
        let state =
            arch.state_names().iter().map(|_| Tensor::zeros(size, (kind_of(arch.forward_dtype()), device))).collect();
        Self {
            state,
            steps: vec![0; batch_size],
            halted: vec![true; batch_size],
            current: Batch {
                seq_len,
                inputs: vec![0; batch_size * seq_len],
                labels: vec![IGNORE_LABEL_ID; batch_size * seq_len],
                puzzle_identifiers: vec![0; batch_size],
                real_rows: batch_size,
            },
            source: 0,
        }
    }

    /// Gives every halted row the example of that row in `batch` and sets its step count back.
    pub fn admit(&mut self, batch: &Batch) {
        let seq_len = self.current.seq_len;
        for row in (0..self.halted.len()).filter(|&row| self.halted[row]) {
            let cells = row * seq_len..(row + 1) * seq_len;
            self.current.inputs[cells.clone()].copy_from_slice(&batch.inputs[cells.clone()]);
            self.current.labels[cells.clone()].copy_from_slice(&batch.labels[cells]);
            self.current.puzzle_identifiers[row] = batch.puzzle_identifiers[row];
            self.steps[row] = 0;
        }
    }

    /// The rows `rows` as a carry of their own, whose tensors share the storage.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let (first, count) = (rows.start as i64, rows.len() as i64);
        let seq_len = self.current.seq_len;
        let cells = rows.start * seq_len..rows.end * seq_len;
        Self {
            state: self.state.iter().map(|state| state.narrow(0, first, count)).collect(),
            steps: self.steps[rows.clone()].to_vec(),
            halted: self.halted[rows.clone()].to_vec(),
            current: Batch {
                seq_len,
                inputs: self.current.inputs[cells.clone()].to_vec(),
                labels: self.current.labels[cells].to_vec(),
                puzzle_identifiers: self.current.puzzle_identifiers[rows.clone()].to_vec(),
                real_rows: rows.len(),
            },
            source: self.source,
        }
    }

    /// Takes over states, steps and halts of `parts`, which are all rows in order.
    pub(crate) fn join(&mut self, parts: &[Self]) {
        let joined = |index: usize| match parts {
            [part] => part.state[index].shallow_clone(),
            parts => Tensor::cat(&parts.iter().map(|part| &part.state[index]).collect::<Vec<_>>(), 0),
        };
        self.state = (0..self.state.len()).map(joined).collect();
        self.steps = parts.iter().flat_map(|part| part.steps.iter().copied()).collect();
        self.halted = parts.iter().flat_map(|part| part.halted.iter().copied()).collect();
    }

    /// `[batch]` bool tensor of the halted rows.
    pub fn reset_mask(&self, device: Device) -> Tensor {
        to_device(&self.halted, device)
    }

    /// `[batch, seq_len]` int64 tokens of the examples being worked on.
    pub fn inputs(&self, device: Device) -> Tensor {
        self.tokens(&self.current.inputs, device)
    }

    /// `[batch, seq_len]` int64 labels of the examples being worked on.
    pub fn labels(&self, device: Device) -> Tensor {
        self.tokens(&self.current.labels, device)
    }

    /// `[batch, seq_len, 4]` bool: the moves (down, left, right, up) that lie on a shortest path to the goal of the mazes being
    /// worked on; none in a row that holds no maze.
    pub(crate) fn shortest_moves(&self, device: Device) -> Tensor {
        let seq_len = self.current.seq_len;
        let moves: Vec<bool> = (self.current.inputs.chunks_exact(seq_len))
            .flat_map(|tokens| {
                Maze::from_tokens(tokens).map_or_else(|_| vec![[false; MOVES]; seq_len], |maze| maze.shortest_moves())
            })
            .flatten()
            .collect();
        to_device(&moves, device).view([self.current.rows() as i64, seq_len as i64, MOVES as i64])
    }

    fn tokens(&self, tokens: &[i32], device: Device) -> Tensor {
        let size = [self.current.rows() as i64, self.current.seq_len as i64];
        to_device(tokens, device).view(size).to_kind(Kind::Int64)
    }
}
