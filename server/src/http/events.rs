//! Server-sent events: thinking as it happens, from the engine's steps to the bytes of the stream.
//! Owns order, names and keep-alive of events; leaves what stands in them to the routes.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::{Answer, Pending, StepTrace};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Problem;

/// Steps of one puzzle that wait for a slow reader. The engine drops what goes beyond; the answer always arrives.
pub(super) const STEPS_AHEAD: usize = 64;

/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What happens to one request of the engine.
#[derive(Debug)]
pub(super) enum Moment {
    /// A chain has taken a step.
    Step(StepTrace),
    /// The last moment: the answer, or why there is none.
    End(Result<Answer, Problem>),
}

/// What clients see in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    /// A reasoning step.
    Step,
    /// A puzzle's answer.
    Answer,
    /// Why a puzzle has no answer.
    Problem,
}

/// The steps of a request of the engine as they come, then its end, at latest when `give_up_at` has come. Dropping the
/// stream drops `pending`, which frees the puzzle's rows at the next step.
pub(super) fn moments(
    steps: mpsc::Receiver<StepTrace>,
    pending: Pending,
    give_up_at: Instant,
) -> impl Stream<Item = Moment> + Send {
    stream::unfold(Some((steps, pending)), move |state| async move {
        let (mut steps, pending) = state?;
        match timeout_at(give_up_at, steps.recv()).await {
            Ok(Some(step)) => Some((Moment::Step(step), Some((steps, pending)))),
            // The engine hangs up before it answers, so that no step can come after the answer.
            Ok(None) => {
                let ended = timeout_at(give_up_at, pending).await;
                let end = ended.map_or_else(|_| Err(too_late()), |answer| answer.map_err(Problem::from));
                Some((Moment::End(end), None))
            }
            Err(_) => Some((Moment::End(Err(too_late())), None)),
        }
    })
}

/// An event with `data` as its JSON.
pub(super) fn event(kind: EventKind, data: &impl Serialize) -> Event {
    let name = match kind {
        EventKind::Step => "step",
        EventKind::Answer => "answer",
        EventKind::Problem => "problem",
    };
    // Only a map without string keys or a failing serializer gets there; no type of this interface has either.
    let data = serde_json::to_string(data).expect("the types of the interface are JSON");
    Event::default().event(name).data(data)
}

/// The event that ends a puzzle in a problem.
pub(super) fn problem_event(problem: &Problem, puzzle: usize) -> Event {
    let mut data = problem.to_json();
    data["puzzle"] = json!(puzzle);
    event(EventKind::Problem, &data)
}

/// The response that sends `events`.
pub(super) fn respond(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(keep_alive).into_response();
    // nginx would hold events back until its buffer is full.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn too_late() -> Problem {
    Problem::Timeout("no answer within the server's time for a request; send fewer puzzles at once".into())
}
