//! Boards as streams: an event for each step of each puzzle, then its answer.

use std::collections::HashMap;

use axum::response::sse::Event;
use engine::StepTrace;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::answer::SolveResponse;
use super::submit::{Asked, Ticket};
use crate::http::body::{BoardForm, Puzzle};
use crate::http::events::{EventKind, Moment, event, moments, problem_event};
use crate::http::pipeline::{Queueable, Wanted};

/// The data of a `step` event.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StepEvent {
    /// Place of the puzzle in the request, from 0.
    puzzle: usize,
    /// The chain, from 0.
    chain: usize,
    /// The chain's step, from 1.
    step: usize,
    /// The board after this step, in the form of the puzzle.
    answer: BoardForm,
    /// `[row, column]`, from 0, of the cells that differ from the chain's last event, or from the givens at its first.
    #[schema(value_type = Vec<Vec<usize>>)]
    changed: Vec<[usize; 2]>,
    /// Above 0 the model takes the answer for right.
    q: f32,
}

/// The data of an `answer` event.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AnswerEvent {
    /// Place of the puzzle in the request, from 0.
    puzzle: usize,
    #[serde(flatten)]
    answer: SolveResponse,
}

/// The events of one puzzle.
pub(super) fn events<P: Puzzle>(
    ticket: Ticket<P>,
    wanted: Wanted,
    give_up_at: Instant,
) -> impl Stream<Item = Event> + Send + 'static {
    let Ticket { asked, pending, steps } = ticket;
    let mut steps = steps.unwrap_or_else(|| mpsc::channel(1).1);
    let steps = stream::poll_fn(move |context| steps.poll_recv(context));
    let mut boards = Boards::default();
    moments(steps, pending, give_up_at, P::SOONER).map(move |moment| match moment {
        Moment::Step(step) => event(EventKind::Step, &boards.advance(&asked, &step)),
        Moment::End(Ok(answer)) => {
            wanted.tally.add_steps(answer.total_steps);
            let answer = SolveResponse::new(&asked, &answer, &wanted.options);
            event(EventKind::Answer, &AnswerEvent { puzzle: asked.index, answer })
        }
        Moment::End(Err(problem)) => problem_event(&problem, asked.index),
    })
}

/// What the client last saw of each chain.
#[derive(Default)]
struct Boards(HashMap<usize, Vec<i32>>);

impl Boards {
    fn advance<P: Puzzle>(&mut self, asked: &Asked<P>, step: &StepTrace) -> StepEvent {
        let puzzle = &asked.puzzle;
        let cells = puzzle.cells(asked.model.task, &step.tokens);
        let before = self.0.entry(step.chain).or_insert_with(|| puzzle.givens());
        let differs = |&cell: &usize| cells[cell] != before[cell];
        let changed = (0..cells.len()).filter(differs).map(|cell| [cell / puzzle.columns(), cell % puzzle.columns()]);
        let changed = changed.collect();
        let answer = puzzle.write(&cells);
        *before = cells;
        StepEvent { puzzle: asked.index, chain: step.chain, step: step.step, answer, changed, q: step.q }
    }
}
