//! Running a model over puzzles in two ways: *raw*, as the reference evaluates (all steps of every puzzle, in big
//! batches), and through the engine, as a server answers (each puzzle until its answer is verified).

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::engine::{Answer, Engine, EngineError, Policy, Request, Rules, StepBatch, StepError, StepModel};

/// What all steps of one puzzle gave.
#[derive(Debug, Clone, PartialEq)]
pub struct RawOutcome {
    /// `[seq_len]` prediction after the last step.
    pub answer: Vec<i64>,
    /// `q_halt` after the last step.
    pub q: f32,
    /// The first step (from 1) whose prediction obeys the rules.
    pub first_verified: Option<usize>,
}

/// What the engine did with a list of puzzles.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineRun {
    /// In the order of the puzzles.
    pub answers: Vec<Answer>,
    /// From the first submission to the last answer.
    pub elapsed: Duration,
}

/// Runs `steps` steps on every puzzle (`[seq_len]` tokens each), `batch_size` at a time. The last batch is filled up
/// with empty rows, so that a puzzle's result does not depend on how many there are.
///
/// # Errors
/// When the model fails.
pub fn run_raw(
    model: &mut impl StepModel,
    rules: &dyn Rules,
    puzzles: &[Vec<i64>],
    steps: usize,
    batch_size: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<RawOutcome>, StepError> {
    let seq_len = model.seq_len();
    let mut outcomes: Vec<RawOutcome> = Vec::with_capacity(puzzles.len());
    for batch in puzzles.chunks(batch_size) {
        let mut tokens = batch.concat();
        tokens.resize(batch_size * seq_len, 0);
        let mut carried = vec![None; batch_size];
        let puzzle_identifiers = vec![0; batch_size];
        let mut first_verified = vec![None; batch.len()];
        for step in 1..=steps {
            let outcome = model.step(&StepBatch {
                tokens: &tokens,
                carried: &carried,
                puzzle_identifiers: &puzzle_identifiers,
                noise: &[],
            })?;
            carried = (0..batch_size).map(Some).collect();
            let answers = outcome.answers.chunks_exact(seq_len);
            for ((puzzle, answer), first) in batch.iter().zip(answers.clone()).zip(&mut first_verified) {
                if first.is_none() && rules.obeyed(puzzle, answer) {
                    *first = Some(step);
                }
            }
            if step == steps {
                let rows = answers.zip(&outcome.q_halt).zip(&first_verified);
                outcomes.extend(rows.map(|((answer, &q), &first_verified)| RawOutcome {
                    answer: answer.to_vec(),
                    q,
                    first_verified,
                }));
            }
        }
        progress(batch.len());
    }
    Ok(outcomes)
}

/// Sends every puzzle through the engine, `clients` at a time, each as `policy` says.
///
/// # Errors
/// When the engine fails on a puzzle.
pub fn run_engine(
    engine: &Engine,
    puzzles: &[Vec<i64>],
    policy: Policy,
    clients: usize,
    progress: impl Fn(usize) + Sync,
) -> Result<EngineRun, EngineError> {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let answers: Mutex<Vec<(usize, Result<Answer, EngineError>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..clients.clamp(1, puzzles.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, puzzle)) = take(&next, puzzles) {
                    let request = Request::new(puzzle.clone()).with_policy(policy);
                    let answer = engine.submit(request).and_then(crate::engine::Pending::wait);
                    answers.lock().unwrap_or_else(PoisonError::into_inner).push((index, answer));
                    progress(1);
                }
            });
        }
    });
    let elapsed = start.elapsed();
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(index, _)| *index);
    Ok(EngineRun { answers: answers.into_iter().map(|(_, answer)| answer).collect::<Result<_, _>>()?, elapsed })
}

fn take<'p>(next: &AtomicUsize, puzzles: &'p [Vec<i64>]) -> Option<(usize, &'p Vec<i64>)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    puzzles.get(index).map(|puzzle| (index, puzzle))
}
