//! Tasks as streams: an event for each step of each copy, then the answer of the votes.

use axum::response::sse::Event;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Ticket;
use super::answer::{ArcResponse, ArcStepResponse};
use super::body::ArcQuestion;
use crate::http::events::{EventKind, Moment, event, moments, problem_event};
use crate::http::pipeline::{Queueable, Wanted};

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

/// The events of one task.
pub(super) fn events(
    ticket: Ticket,
    wanted: Wanted,
    give_up_at: Instant,
) -> impl Stream<Item = Event> + Send + 'static {
    let Ticket { index, mut pending, model, .. } = ticket;
    let steps = stream::unfold(pending.steps(), |steps| async {
        let mut steps = steps?;
        steps.next().await.map(|step| (step, Some(steps)))
    });
    moments(steps, pending.answer(), give_up_at, ArcQuestion::SOONER).map(move |moment| match moment {
        Moment::Step(step) => event(EventKind::Step, &ArcStepEvent { puzzle: index, step: ArcStepResponse::of(step) }),
        Moment::End(Ok(answer)) => {
            wanted.tally.add_steps(answer.total_steps);
            let answer = ArcResponse::of(&answer, &model);
            event(EventKind::Answer, &ArcAnswerEvent { puzzle: index, answer })
        }
        Moment::End(Err(problem)) => problem_event(&problem, index),
    })
}
