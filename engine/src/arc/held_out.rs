//! The held-out tasks of an index through the engine: every test pair under every augmentation, as rows that the
//! scorer and the prediction files of `datasets` take. Owns their order; leaves votes, figures and files to `datasets`.

use std::collections::VecDeque;

use datasets::arc::SEQ_LEN;
use datasets::scoring::predictions::PredictionRows;

use super::index::{AugmentedPuzzle, TaskIndex};
use super::pending::tokens_of;
use crate::{Answer, Engine, EngineError, Pending, Policy, Request};

/// A test pair under an augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestRow {
    /// The task in the index.
    pub task: usize,
    /// Test pair of the task, from 0.
    pub pair: usize,
    /// Position of the augmentation among those of the task; 0 is the task itself.
    pub rank: usize,
    /// The augmentation and its row of the table.
    pub puzzle: AugmentedPuzzle,
}

/// What the model answers to a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The row.
    pub row: TestRow,
    /// `[900]` tokens that the model saw.
    pub inputs: Vec<u8>,
    /// What it said, `[900]` tokens among it.
    pub answer: Answer,
}

impl TaskIndex {
    /// All test pairs of held-out tasks under up to `augmentations` augmentations each, made one by one: first every
    /// pair as it is, then every pair under its first augmentation, and so on. So an evaluation that is cut off has
    /// given every task the same number of votes, and each task's votes come in the evaluator's order.
    pub fn test_rows(&self, augmentations: usize) -> impl Iterator<Item = TestRow> + '_ {
        let held_out: Vec<(usize, usize)> = self.held_out().collect();
        let most = held_out.iter().map(|&(task, _)| self.puzzles_of(task).len()).max().unwrap_or(0);
        (0..augmentations.min(most)).flat_map(move |rank| {
            let rows = held_out.clone().into_iter().filter_map(move |(task, pairs)| {
                let puzzle = *self.puzzles_of(task).get(rank)?;
                Some((0..pairs).map(move |pair| TestRow { task, pair, rank, puzzle }))
            });
            rows.flatten()
        })
    }

    /// How many rows [`test_rows`](Self::test_rows) gives.
    pub fn test_row_count(&self, augmentations: usize) -> usize {
        self.held_out().map(|(task, pairs)| pairs * self.puzzles_of(task).len().min(augmentations)).sum()
    }

    /// Held-out tasks with their numbers of test pairs.
    fn held_out(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let tasks = self.tasks().iter().enumerate().filter(|(_, known)| known.held_out);
        tasks.filter_map(|(index, known)| Some((index, known.task.as_ref()?.test.len())))
    }

    /// `[900]` tokens of a row.
    pub fn tokens_of_row(&self, row: &TestRow) -> Option<Vec<i64>> {
        let pair = self.tasks().get(row.task)?.task.as_ref()?.test.get(row.pair)?;
        Some(tokens_of(&pair.input, &row.puzzle.augmentation))
    }
}

/// Sends `rows` through the engine, at most `in_flight` at a time, and hands the answers to `sink` in the order of the
/// rows, whatever order they come in. `rows` is taken as the engine has room, so that it may be without end; rows that
/// are not of this index are left out. Blocks: not for asynchronous code.
///
/// # Errors
/// When the engine fails on a row, or that of `sink`, which ends the evaluation.
pub fn predict<E: From<EngineError>>(
    engine: &Engine,
    index: &TaskIndex,
    rows: impl IntoIterator<Item = TestRow>,
    policy: Policy,
    in_flight: usize,
    mut sink: impl FnMut(Prediction) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting: VecDeque<(TestRow, Vec<u8>, Pending)> = VecDeque::new();
    let mut receive = |(row, inputs, pending): (TestRow, Vec<u8>, Pending)| {
        let answer = pending.wait()?;
        sink(Prediction { row, inputs, answer })
    };
    for row in rows {
        let Some(tokens) = index.tokens_of_row(&row) else { continue };
        if waiting.len() >= in_flight.clamp(1, engine.options().queue_capacity)
            && let Some(oldest) = waiting.pop_front()
        {
            receive(oldest)?;
        }
        let inputs = tokens.iter().map(|&token| token as u8).collect();
        let puzzle_identifier = row.puzzle.identifier as usize;
        let request = Request { puzzle_identifier, ..Request::new(tokens).with_policy(policy) };
        waiting.push_back((row, inputs, engine.submit(request)?));
    }
    waiting.into_iter().try_for_each(receive)
}

/// Predictions as the rows of a prediction file, from row number `first_row` on.
///
/// # Panics
/// When a prediction is not a canvas of tokens, which no engine of an ARC model gives.
pub fn rows_of(predictions: &[Prediction], first_row: usize) -> PredictionRows {
    let byte = |&token: &i64| u8::try_from(token).expect("tokens of ARC are below 12");
    PredictionRows {
        seq_len: SEQ_LEN,
        first_row,
        inputs: predictions.iter().flat_map(|prediction| &prediction.inputs).copied().collect(),
        preds: predictions.iter().flat_map(|prediction| &prediction.answer.tokens).map(byte).collect(),
        puzzle_identifiers: predictions.iter().map(|prediction| prediction.row.puzzle.identifier).collect(),
        q_halt_logits: predictions.iter().map(|prediction| f64::from(prediction.answer.q)).collect(),
    }
}
