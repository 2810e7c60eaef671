//! One task under many augmentations: each is a request of the engine with its own puzzle embedding, and their answers
//! vote as in the evaluator (crop, undo the augmentation, most votes, then highest mean Q).
//! Owns the requests and the vote; leaves batching to the engine and the ranking to `datasets`.

use std::time::Instant;

use datasets::arc::{Augmentation, Grid, Placement, SEQ_LEN, encode};
use datasets::scoring::{GridBallot, RankedGrid, VoteRule};
use tokio::sync::mpsc;

use super::index::{AugmentedPuzzle, TaskIndex};
use super::recognise::ArcPuzzle;
use super::steps::{ArcSteps, StepReader};
use crate::{Answer, Engine, EngineError, Pending, Policy, Request, Stopped, Timings};

/// Answers that ARC allows for each test input.
pub const ATTEMPTS: usize = 2;
/// Augmentations that vote where a request does not say how many.
pub const DEFAULT_AUGMENTATIONS: usize = 32;
/// Steps of one augmentation that wait for a slow reader; further ones are dropped.
const EVENTS: usize = 8;

/// How a task is solved.
#[derive(Debug, Clone, Copy)]
pub struct ArcOptions {
    /// Copies that vote, the task itself among them, at least 1; tasks that the checkpoint knows fewer of get those.
    pub augmentations: usize,
    /// The policy of each copy; restarts are further chains for each copy.
    pub policy: Policy,
    /// When the votes so far will do.
    pub deadline: Option<Instant>,
    /// Whether every step is reported.
    pub steps: bool,
}

/// A task that is being solved. Dropping it frees its rows at the next step.
#[derive(Debug)]
pub struct PendingTask {
    puzzle: ArcPuzzle,
    branches: Vec<Branch>,
    steps: Option<ArcSteps>,
    augmentations: usize,
}

/// One test input under one augmentation.
#[derive(Debug)]
struct Branch {
    test: usize,
    augmentation: Augmentation,
    pending: Pending,
}

/// What the votes gave.
#[derive(Debug, Clone, PartialEq)]
pub struct ArcAnswer {
    /// The task and what was asked.
    pub puzzle: ArcPuzzle,
    /// In the order of the test inputs.
    pub tests: Vec<TestAnswer>,
    /// Copies that took part.
    pub augmentations: usize,
    /// Most supervision steps of one copy.
    pub steps: usize,
    /// Supervision steps of all copies: what the answer cost.
    pub total_steps: usize,
    /// Whether the deadline kept copies from voting, or ended them early.
    pub cut_short: bool,
    /// The longest wait and the longest computation of all copies.
    pub timings: Timings,
}

/// What the votes on one test input gave.
#[derive(Debug, Clone, PartialEq)]
pub struct TestAnswer {
    /// At most [`ATTEMPTS`] different answers, best first, in the frame of the task as it was sent. An answer is
    /// [empty](Grid::empty) where the model drew no grid.
    pub attempts: Vec<RankedGrid>,
    /// Whether an attempt is right, where the right answer is known.
    pub correct: Option<bool>,
}

/// Queues every copy of every test input of all puzzles, or none: first the tasks themselves, then copy by copy.
///
/// # Errors
/// As [`Engine::submit_all`].
pub fn submit(
    engine: &Engine,
    index: &TaskIndex,
    puzzles: Vec<ArcPuzzle>,
    options: &ArcOptions,
) -> Result<Vec<PendingTask>, EngineError> {
    let mut requests = Vec::new();
    let mut plans = Vec::with_capacity(puzzles.len());
    for puzzle in puzzles {
        let all = index.puzzles_of(puzzle.task);
        let copies = &all[..options.augmentations.clamp(1, all.len())];
        let mut plan = Plan { branches: Vec::new(), readers: Vec::new() };
        for (rank, copy) in copies.iter().enumerate() {
            for test in 0..puzzle.tests.len() {
                requests.push(plan.request(&puzzle, test, rank, *copy, options));
            }
        }
        plans.push((puzzle, copies.len(), plan));
    }
    let mut pending = engine.submit_all(requests)?.into_iter();
    let tasks = plans.into_iter().map(|(puzzle, augmentations, Plan { branches, readers })| PendingTask {
        puzzle,
        branches: branches
            .into_iter()
            .zip(pending.by_ref())
            .map(|((test, augmentation), pending)| Branch { test, augmentation, pending })
            .collect(),
        steps: options.steps.then(|| ArcSteps::new(readers)),
        augmentations,
    });
    Ok(tasks.collect())
}

impl PendingTask {
    /// The task that is being solved.
    pub fn puzzle(&self) -> &ArcPuzzle {
        &self.puzzle
    }

    /// Copies that will vote.
    pub fn augmentations(&self) -> usize {
        self.augmentations
    }

    /// The steps as they come, where [`ArcOptions::steps`] asked for them; the first call takes them.
    pub fn steps(&mut self) -> Option<ArcSteps> {
        self.steps.take()
    }

    /// Waits for every copy and counts the votes, in the order of the copies, whichever came first.
    ///
    /// # Errors
    /// When the engine failed, or no copy had begun before the deadline.
    pub async fn answer(self) -> Result<ArcAnswer, EngineError> {
        let mut votes = Votes::new(self.puzzle.tests.len());
        for Branch { test, augmentation, pending } in self.branches {
            votes.count(test, augmentation, pending.await)?;
        }
        votes.elect(self.puzzle, self.augmentations)
    }
}

/// The branches of a puzzle before they are queued.
struct Plan {
    branches: Vec<(usize, Augmentation)>,
    readers: Vec<StepReader>,
}

impl Plan {
    fn request(
        &mut self,
        puzzle: &ArcPuzzle,
        test: usize,
        rank: usize,
        copy: AugmentedPuzzle,
        options: &ArcOptions,
    ) -> Request {
        let sent = &puzzle.tests[test].input;
        self.branches.push((test, copy.augmentation));
        let events = options.steps.then(|| {
            let (sender, receiver) = mpsc::channel(EVENTS);
            self.readers.push(StepReader::new(test, rank, copy.augmentation, puzzle.frame, sent.clone(), receiver));
            sender
        });
        Request {
            tokens: tokens_of(&puzzle.frame.undo(sent), &copy.augmentation),
            puzzle_identifier: copy.identifier as usize,
            policy: Some(options.policy),
            deadline: options.deadline,
            trace: false,
            events,
        }
    }
}

/// `[900]` tokens of an augmented grid as the builder lays out test inputs: at the upper left corner.
pub(super) fn tokens_of(grid: &Grid, augmentation: &Augmentation) -> Vec<i64> {
    let mut tokens = [0; SEQ_LEN];
    encode(grid, augmentation, Placement::CORNER, &mut tokens);
    tokens.into_iter().map(i64::from).collect()
}

/// Votes on the test inputs of one task.
struct Votes {
    ballots: Vec<GridBallot>,
    steps: usize,
    total_steps: usize,
    cut_short: bool,
    timings: Timings,
    expired: Option<EngineError>,
}

impl Votes {
    fn new(tests: usize) -> Self {
        Self {
            ballots: vec![GridBallot::default(); tests],
            steps: 0,
            total_steps: 0,
            cut_short: false,
            timings: Timings::default(),
            expired: None,
        }
    }

    fn count(
        &mut self,
        test: usize,
        augmentation: Augmentation,
        answer: Result<Answer, EngineError>,
    ) -> Result<(), EngineError> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error @ EngineError::DeadlineExceeded { .. }) => {
                self.cut_short = true;
                self.expired = Some(error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.ballots[test].vote(augmentation, &answer.tokens, f64::from(answer.q));
        self.steps = self.steps.max(answer.steps);
        self.total_steps += answer.total_steps;
        self.cut_short |= answer.stopped == Stopped::Deadline;
        self.timings.queue = self.timings.queue.max(answer.timings.queue);
        self.timings.compute = self.timings.compute.max(answer.timings.compute);
        Ok(())
    }

    fn elect(self, puzzle: ArcPuzzle, augmentations: usize) -> Result<ArcAnswer, EngineError> {
        if let Some(error) = self.expired.filter(|_| self.ballots.iter().all(GridBallot::is_empty)) {
            return Err(error);
        }
        let tests = self.ballots.iter().zip(&puzzle.tests).map(|(ballot, test)| {
            let mut attempts = ballot.ranked(VoteRule::CountThenMeanQ, ATTEMPTS);
            for attempt in &mut attempts {
                attempt.grid = puzzle.frame.apply(&attempt.grid);
            }
            let is_right = |output: &Grid| attempts.iter().any(|attempt| attempt.grid == *output);
            let correct = test.output.as_ref().map(is_right);
            TestAnswer { attempts, correct }
        });
        Ok(ArcAnswer {
            tests: tests.collect(),
            puzzle,
            augmentations,
            steps: self.steps,
            total_steps: self.total_steps,
            cut_short: self.cut_short,
            timings: self.timings,
        })
    }
}

impl ArcAnswer {
    /// Whether every test input was answered rightly within the attempts; `None` unless all right answers are known.
    pub fn solved(&self) -> Option<bool> {
        self.tests.iter().map(|test| test.correct).try_fold(true, |all, correct| Some(all & correct?))
    }

    /// Mean Q of the best attempt on the test input that the model is least sure of; 0 without votes.
    pub fn q(&self) -> f64 {
        let best = |test: &TestAnswer| test.attempts.first().map_or(0.0, |attempt| attempt.mean_q);
        self.tests.iter().map(best).fold(1.0, f64::min)
    }
}
