//! Runs an evaluation block by block: what is in the log is skipped, what another shard does, too.
//! A block is submitted as a whole to an idle engine, so that its results, costs included, depend on nothing but the
//! block: neither on kills nor on shards. Leaves what is asked and recorded to its callers.

use std::time::Instant;

use datasets::scoring::puzzle_seed;
use engine::task::Task;
use engine::{Answer, Engine, EngineError, Pending, Policy, Request};
use serde::Serialize;

use super::source::Draft;
use super::{BoardPuzzle, Entry, EvaluationError, EvaluationLog, PuzzleSource, Shard};

/// Puzzles that a task's evaluation asks at a time by default: enough that few rows of the batch are idle at
/// a block's end, and few enough that a kill loses little.
pub fn default_block(task: Task) -> usize {
    match task {
        Task::Sudoku(_) => 128,
        Task::Maze(_) | Task::Arc => 32,
    }
}

/// Evaluates whatever of `drafts` belongs to `shard` and is not in the log yet, `block` drafts at a time. `progress`
/// receives how many puzzles are done, by this process or another.
///
/// # Errors
/// What the drafts, `evaluate` or the log report; the blocks before stay in the log.
pub fn run_blocks<D, R: Serialize>(
    mut drafts: impl Iterator<Item = Result<D, EvaluationError>>,
    block: usize,
    shard: Shard,
    log: &mut EvaluationLog,
    progress: impl Fn(u64),
    mut evaluate: impl FnMut(Vec<D>) -> Result<Vec<R>, EvaluationError>,
) -> Result<(), EvaluationError> {
    if log.contents().finished.is_some() {
        return Ok(());
    }
    let mut total = 0;
    for number in 0.. {
        let content: Vec<D> = drafts.by_ref().take(block.max(1)).collect::<Result<_, _>>()?;
        if content.is_empty() {
            break;
        }
        let length = content.len() as u64;
        total += length;
        if shard.holds(number) && !log.contents().blocks.contains(&number) {
            let start = Instant::now();
            let records = evaluate(content)?;
            log.append(number, &records, start.elapsed())?;
        } else {
            progress(length);
        }
    }
    log.finish(total)
}

/// Asks the engine for the puzzles of a block, all at once, and makes a record of each answer.
///
/// # Errors
/// When a puzzle cannot be read or the engine fails.
pub fn ask_block<R>(
    engine: &Engine,
    source: &PuzzleSource,
    drafts: Vec<Draft>,
    request: impl Fn(&BoardPuzzle) -> Request,
    record: impl Fn(&BoardPuzzle, &Answer) -> R,
    progress: impl Fn(u64),
) -> Result<Vec<Entry<R>>, EvaluationError> {
    let entries: Vec<Entry<BoardPuzzle>> =
        drafts.into_iter().map(|draft| source.read(draft)).collect::<Result<_, _>>()?;
    let requests = entries.iter().filter_map(|entry| match entry {
        Entry::Puzzle(puzzle) => Some(request(puzzle)),
        Entry::Skipped(_) => None,
    });
    let mut pending = submit(engine, requests.collect())?.into_iter();
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        records.push(match entry {
            Entry::Skipped(skipped) => Entry::Skipped(skipped),
            Entry::Puzzle(puzzle) => {
                let answer = pending.next().ok_or(EngineError::Stopped)?.wait()?;
                Entry::Puzzle(record(&puzzle, &answer))
            }
        });
        progress(1);
    }
    Ok(records)
}

/// The policy for puzzle `number`: copies and noise of its own, so that chance does not strike all puzzles alike.
pub fn policy_of(policy: &Policy, number: u64) -> Policy {
    Policy { seed: puzzle_seed(policy.seed, number), ..*policy }
}

fn submit(engine: &Engine, requests: Vec<Request>) -> Result<Vec<Pending>, EngineError> {
    if requests.is_empty() { Ok(Vec::new()) } else { engine.submit_all(requests) }
}
