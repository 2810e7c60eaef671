//! Server-sent events: a model's steps as they happen, from the engine to the bytes of the stream.
//! Owns order, names and keep-alive of events; leaves what stands in them to the routes.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::EngineError;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::Problem;

/// Steps of one puzzle that wait for a slow reader. The engine drops what goes beyond; the answer always arrives.
pub(super) const STEPS_AHEAD: usize = 64;

/// How often a silent stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What happens to one puzzle.
#[derive(Debug)]
pub(super) enum Moment<S, A> {
    /// A step.
    Step(S),
    /// The last moment: the answer, or why there is none.
    End(Result<A, Problem>),
}

/// What clients see in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    /// A reasoning step.
    Step,
    /// A job is further than it was.
    Progress,
    /// A puzzle's answer.
    Answer,
    /// Why a puzzle has no answer.
    Problem,
}

/// The steps of a puzzle as they come, then its end, at latest when `give_up_at` has come. `sooner` says what to do about
/// that. Dropping the stream drops `answer`, which frees the puzzle's rows at the next step.
pub(super) fn moments<S: Send, A: Send>(
    steps: impl Stream<Item = S> + Send,
    answer: impl Future<Output = Result<A, EngineError>> + Send,
    give_up_at: Instant,
    sooner: &'static str,
) -> impl Stream<Item = Moment<S, A>> + Send {
    let late = move || Problem::Timeout(format!("no answer within the server's time for a request; {sooner}"));
    stream::unfold(Some((Box::pin(steps), answer)), move |state| async move {
        let (mut steps, answer) = state?;
        match timeout_at(give_up_at, steps.next()).await {
            Ok(Some(step)) => Some((Moment::Step(step), Some((steps, answer)))),
            // The engine hangs up before it answers, so that no step can come after the answer.
            Ok(None) => {
                let ended = timeout_at(give_up_at, answer).await;
                let end = ended.map_or_else(|_| Err(late()), |answer| answer.map_err(Problem::from));
                Some((Moment::End(end), None))
            }
            Err(_) => Some((Moment::End(Err(late())), None)),
        }
    })
}

/// An event with `data` as its JSON.
pub(super) fn event(kind: EventKind, data: &impl Serialize) -> Event {
    let name = match kind {
        EventKind::Step => "step",
        EventKind::Progress => "progress",
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
