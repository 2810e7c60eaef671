//! From puzzles to the queues of the models that take them: all of a request, or nothing.

use std::sync::Arc;

use engine::registry::{Registry, ServedModel};
use engine::task::{Task, side};
use engine::{Pending, Request, StepTrace};
use tokio::sync::mpsc;

use super::picture;
use crate::http::accept::Output;
use crate::http::body::Puzzle;
use crate::http::events::STEPS_AHEAD;
use crate::http::pipeline::Wanted;
use crate::http::{Problem, SolveOptions};

/// Cells that the traces of one request may hold: 8 MB of tokens.
const MAX_TRACE_CELLS: usize = 1 << 20;

/// A puzzle and the model that solves it.
pub(in crate::http) struct Asked<P> {
    /// Place in the request, from 0.
    pub(super) index: usize,
    pub(super) puzzle: P,
    pub(super) model: Arc<ServedModel>,
}

/// A puzzle in the queue.
pub(in crate::http) struct Ticket<P> {
    pub(super) asked: Asked<P>,
    pub(super) pending: Pending,
    /// Its steps as they happen, where the answer is a stream.
    pub(super) steps: Option<mpsc::Receiver<StepTrace>>,
}

/// Queues every puzzle, after all have been checked.
pub(super) fn submit<P: Puzzle>(
    registry: &Registry,
    puzzles: Vec<P>,
    wanted: &Wanted,
) -> Result<Vec<Ticket<P>>, Problem> {
    let options = &wanted.options;
    let mut asked = Vec::with_capacity(puzzles.len());
    for (index, puzzle) in puzzles.into_iter().enumerate() {
        let model = puzzle.check().and_then(|()| model_for(registry, &puzzle, options));
        let model = model.map_err(|problem| wanted.of_puzzle(index, problem))?.clone();
        asked.push(Asked { index, puzzle, model });
    }
    if keeps_steps(wanted) {
        check_trace(&asked, options)?;
    }
    if wanted.output == Output::Gif {
        asked.iter().try_for_each(|asked| check_animation(asked, options))?;
    }
    let mut tickets = Vec::with_capacity(asked.len());
    // A batch goes into each engine's queue whole or not at all.
    for model in registry.models() {
        let (mine, others) = asked.into_iter().partition::<Vec<_>, _>(|asked| Arc::ptr_eq(&asked.model, model));
        asked = others;
        if !mine.is_empty() {
            tickets.extend(queue(model, mine, wanted)?);
        }
    }
    tickets.sort_by_key(|ticket| ticket.asked.index);
    Ok(tickets)
}

/// Whether every step's answer is kept with the answer.
fn keeps_steps(wanted: &Wanted) -> bool {
    wanted.output == Output::Gif || (wanted.options.trace == Some(true) && wanted.output != Output::Png)
}

/// The model that the request names, else the one of the smallest boards that the puzzle fits into, of several the first.
fn model_for<'r, P: Puzzle>(
    registry: &'r Registry,
    puzzle: &P,
    options: &SolveOptions,
) -> Result<&'r Arc<ServedModel>, Problem> {
    let fitting = || registry.models().iter().filter(|model| puzzle.fits(model.task));
    let Some(name) = &options.model else {
        return fitting().min_by_key(|model| side(model.task)).ok_or_else(|| Problem::NoModel {
            puzzle: puzzle.describe(),
            available: listed(registry.models().iter().map(|model| words(model.task))),
        });
    };
    let unknown = |reason: String| Problem::UnknownModel { name: name.chars().take(100).collect(), reason };
    let named = fitting().filter(|model| model.card.name == *name).min_by_key(|model| side(model.task));
    match named.or_else(|| registry.named(name)) {
        Some(model) if puzzle.fits(model.task) => Ok(model),
        Some(model) => Err(unknown(format!(
            "it solves {}, not {}; models that do: {}",
            words(model.task),
            puzzle.describe(),
            listed(fitting().map(|model| model.card.name.clone()))
        ))),
        None => Err(unknown(format!(
            "no such model is loaded; there are {}",
            listed(registry.models().iter().map(|model| model.card.name.clone()))
        ))),
    }
}

/// What a model solves, in words.
fn words(task: Task) -> String {
    let size = side(task);
    match task {
        Task::Sudoku(_) => format!("{size}x{size} Sudoku"),
        Task::Maze(_) => format!("mazes up to {size}x{size}"),
        Task::Arc => "ARC tasks".to_owned(),
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A trace lies in memory until its puzzle is done.
fn check_trace<P: Puzzle>(asked: &[Asked<P>], options: &SolveOptions) -> Result<(), Problem> {
    let cells = |asked: &Asked<P>| {
        let engine = asked.model.engine.options();
        options.policy(&engine.default_policy).most_steps().saturating_mul(asked.model.card.dims.seq_len)
    };
    let found = asked.iter().map(cells).fold(0, usize::saturating_add);
    if found <= MAX_TRACE_CELLS {
        return Ok(());
    }
    Err(Problem::InvalidOption(format!(
        "trace: all steps together may have {found} cells, a trace holds up to {MAX_TRACE_CELLS}; lower max_steps, \
         augmentations, rollouts or depth, send fewer puzzles or leave the trace out"
    )))
}

fn check_animation<P: Puzzle>(asked: &Asked<P>, options: &SolveOptions) -> Result<(), Problem> {
    let policy = options.policy(&asked.model.engine.options().default_policy);
    let (found, limit) = (policy.max_steps.max(policy.restarts.depth), picture::most_steps(&asked.puzzle));
    if found <= limit {
        return Ok(());
    }
    Err(Problem::InvalidOption(format!(
        "a chain may take {found} steps, an animation of {} shows up to {limit}; lower max_steps and depth",
        asked.puzzle.describe()
    )))
}

fn queue<P: Puzzle>(model: &ServedModel, asked: Vec<Asked<P>>, wanted: &Wanted) -> Result<Vec<Ticket<P>>, Problem> {
    let deadline = wanted.options.deadline();
    let policy = wanted.options.policy(&model.engine.options().default_policy);
    let mut steps = Vec::with_capacity(asked.len());
    let mut requests = Vec::with_capacity(asked.len());
    for Asked { puzzle, model, .. } in &asked {
        let (events, receiver) = (wanted.output == Output::Stream).then(|| mpsc::channel(STEPS_AHEAD)).unzip();
        steps.push(receiver);
        requests.push(Request {
            tokens: puzzle.model_tokens(model.task),
            // Boards have no embedding of their own.
            puzzle_identifier: 0,
            policy: Some(policy),
            deadline,
            trace: keeps_steps(wanted),
            events,
        });
    }
    let pending = model.engine.submit_all(requests)?;
    let tickets = asked.into_iter().zip(pending).zip(steps);
    Ok(tickets.map(|((asked, pending), steps)| Ticket { asked, pending, steps }).collect())
}
