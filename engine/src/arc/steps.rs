//! The steps of all copies of a task as one stream of grids in the frame of the task as it was sent.
//! Owns the merging; leaves steps to the engine and their form on the wire to HTTP.

use std::future::poll_fn;
use std::task::{Context, Poll};

use datasets::arc::{Augmentation, Grid, crop};
use tokio::sync::mpsc::Receiver;

use crate::StepTrace;

/// One step of one copy.
#[derive(Debug, Clone, PartialEq)]
pub struct ArcStep {
    /// The test input, from 0.
    pub test: usize,
    /// The copy; 0 is the task itself.
    pub augmentation: usize,
    /// The copy's step, from 1.
    pub step: usize,
    /// What the copy answers, carried back to the task as it was sent; empty where it draws no grid.
    pub answer: Grid,
    /// Cells (row, column) that differ from the copy's step before, or at its first step from the test input.
    pub changed: Vec<[usize; 2]>,
    /// `q_halt` of this step.
    pub q: f32,
}

/// The steps of a task, in the order in which they come.
#[derive(Debug)]
pub struct ArcSteps {
    readers: Vec<StepReader>,
    /// Where the search for the next step begins, so that no copy is heard before the others.
    next: usize,
}

/// The steps of one copy.
#[derive(Debug)]
pub(super) struct StepReader {
    test: usize,
    rank: usize,
    augmentation: Augmentation,
    frame: Augmentation,
    last: Grid,
    receiver: Receiver<StepTrace>,
}

impl ArcSteps {
    pub(super) fn new(readers: Vec<StepReader>) -> Self {
        Self { readers, next: 0 }
    }

    /// The next step; `None` when all copies are done. Steps that a slow reader leaves waiting may be dropped.
    pub async fn next(&mut self) -> Option<ArcStep> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<ArcStep>> {
        let mut waiting = self.readers.len();
        while waiting > 0 {
            self.next %= self.readers.len();
            match self.readers[self.next].receiver.poll_recv(context) {
                Poll::Ready(Some(trace)) => {
                    let step = self.readers[self.next].read(&trace);
                    self.next += 1;
                    return Poll::Ready(Some(step));
                }
                Poll::Ready(None) => {
                    // In order, so that every other reader is asked once and can wake this task.
                    self.readers.remove(self.next);
                }
                Poll::Pending => self.next += 1,
            }
            waiting -= 1;
        }
        if self.readers.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl StepReader {
    pub(super) fn new(
        test: usize,
        rank: usize,
        augmentation: Augmentation,
        frame: Augmentation,
        input: Grid,
        receiver: Receiver<StepTrace>,
    ) -> Self {
        Self { test, rank, augmentation, frame, last: input, receiver }
    }

    fn read(&mut self, trace: &StepTrace) -> ArcStep {
        let answer = self.frame.apply(&self.augmentation.undo(&crop(&trace.tokens)));
        let changed = changed(&self.last, &answer);
        self.last = answer.clone();
        ArcStep { test: self.test, augmentation: self.rank, step: trace.step, answer, changed, q: trace.q }
    }
}

/// Cells of `new` that `old` has not, or has in another colour.
fn changed(old: &Grid, new: &Grid) -> Vec<[usize; 2]> {
    let before = |row: usize, column: usize| old.lines().nth(row).and_then(|line| line.get(column));
    let lines = new.lines().enumerate();
    let cells = lines.flat_map(|(row, line)| line.iter().enumerate().map(move |(column, cell)| (row, column, cell)));
    cells
        .filter(|&(row, column, cell)| before(row, column) != Some(cell))
        .map(|(row, column, _)| [row, column])
        .collect()
}
