//! Tasks as streams: an event for each step of each copy, then the answer of the votes.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use axum::response::sse::Event;
use engine::arc::{ArcSteps, Thinking};
use engine::registry::ServedModel;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::Ticket;
use super::answer::{ArcResponse, ArcStepResponse};
use crate::http::events::{self, EventKind, event, problem_event};
use crate::http::{Problem, Tally};

/// The data of a `step` event.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ArcStepEvent {
    /// Place of the task in the request, from 0.
    puzzle: usize,
    #[serde(flatten)]
    step: ArcStepResponse,
}

/// The data of an `answer` event.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ArcAnswerEvent {
    /// Place of the task in the request, from 0.
    puzzle: usize,
    #[serde(flatten)]
    answer: ArcResponse,
}

/// A task in the stream.
struct Told {
    index: usize,
    thinking: Thinking,
    steps: Option<ArcSteps>,
    model: Arc<ServedModel>,
    give_up_at: Instant,
    tally: Tally,
}

/// Answers with the events of all tasks as they come.
pub(super) fn respond(tickets: Vec<Ticket>, timeout: Duration, tally: Tally) -> Response {
    let give_up_at = Instant::now() + timeout;
    let each = tickets.into_iter().map(move |Ticket { index, mut thinking, model, .. }| {
        let steps = thinking.steps();
        Box::pin(events_of(Told { index, thinking, steps, model, give_up_at, tally: tally.clone() }))
    });
    events::respond(stream::select_all(each))
}

/// Dropping the stream drops what is being thought about, which frees its rows at the next step.
fn events_of(told: Told) -> impl Stream<Item = Event> + Send {
    stream::unfold(Some(told), |told| async move {
        let mut told = told?;
        if let Some(steps) = &mut told.steps {
            match timeout_at(told.give_up_at, steps.next()).await {
                Ok(Some(step)) => {
                    let data = ArcStepEvent { puzzle: told.index, step: ArcStepResponse::of(step) };
                    return Some((event(EventKind::Step, &data), Some(told)));
                }
                // The engine hangs up before it answers, so that no step can come after the answer.
                Ok(None) => {}
                Err(_) => return Some((too_late(told.index), None)),
            }
        }
        let Told { index, thinking, model, give_up_at, tally, .. } = told;
        let last = match timeout_at(give_up_at, thinking.answer()).await {
            Ok(Ok(answer)) => {
                tally.add_steps(answer.total_steps);
                event(EventKind::Answer, &ArcAnswerEvent { puzzle: index, answer: ArcResponse::of(&answer, &model) })
            }
            Ok(Err(error)) => problem_event(&Problem::from(error), index),
            Err(_) => too_late(index),
        };
        Some((last, None))
    })
}

fn too_late(index: usize) -> Event {
    let detail = "no answer within the server's time for a request; ask for fewer augmentations or tasks at once";
    problem_event(&Problem::Timeout(detail.into()), index)
}
