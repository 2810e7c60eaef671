//! The path of every request for answers: read, parse, negotiate, submit, wait or stream, write.
//! Owns time-outs, the choice of the output and the response; leaves what a puzzle is, which model takes it and how its
//! answer is written to [`Solvable`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::registry::Registry;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::accept::Output;
use super::body::{self, SolveRequest};
use super::{Problem, ServerState, SolveOptions, Tally, drawing, events};

/// Text bodies below this size are parsed on the spot.
const AT_ONCE_BYTES: usize = 1 << 16;

/// What a request asks for besides its puzzles.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) options: SolveOptions,
    pub(super) output: Output,
    pub(super) is_batch: bool,
    /// Where steps are counted for the request's log line.
    pub(super) tally: Tally,
}

/// What headers say of an answer that is a picture.
pub(super) struct Facts {
    /// Whether the answer is right; `None` where that is not known.
    pub(super) solved: Option<bool>,
    pub(super) steps: usize,
    pub(super) q: String,
}

/// A puzzle on its way through the engines, in whatever form it came and is answered.
pub(super) trait Queueable: Sized + Send + 'static {
    /// What makes answers come sooner, for messages about time-outs.
    const SOONER: &'static str;

    /// A puzzle in the queue of its model's engine.
    type Ticket: Send + 'static;
    /// A puzzle with its answer.
    type Answered: Send + 'static;

    /// Queues every puzzle, after all have been checked, in the order of the request.
    ///
    /// # Errors
    /// When a puzzle or an option is refused, or a queue is full.
    fn submit(registry: &Registry, puzzles: Vec<Self>, wanted: &Wanted) -> Result<Vec<Self::Ticket>, Problem>;

    /// Waits for an answer.
    ///
    /// # Errors
    /// When the engine has none.
    fn answer(ticket: Self::Ticket) -> impl Future<Output = Result<Self::Answered, Problem>> + Send;

    /// Supervision steps that an answer took.
    fn total_steps(answered: &Self::Answered) -> usize;
}

/// A puzzle of the routes below `/solve`: how it is read, and how its answer is written.
pub(super) trait Solvable: Queueable {
    /// An answer in JSON.
    type Json: Serialize + ToSchema;
    /// The answers of a batch in JSON.
    type BatchJson: Serialize + ToSchema + From<Vec<Self::Json>>;

    /// The schema of an event of a stream.
    const EVENT: &'static str;

    /// Reads a body; the options of the query string hold where the body says nothing.
    ///
    /// # Errors
    /// When the body is in no form that is read, or holds more than `max_puzzles` puzzles.
    fn parse(body: &[u8], query: SolveOptions, max_puzzles: usize) -> Result<SolveRequest<Self>, Problem>;

    /// The events of a puzzle: its steps, then its answer or a problem, at `give_up_at` at the latest.
    fn events(ticket: Self::Ticket, wanted: Wanted, give_up_at: Instant) -> impl Stream<Item = Event> + Send + 'static;

    /// The answer in JSON.
    fn json(answered: &Self::Answered, wanted: &Wanted) -> Self::Json;

    /// What headers say of the answer.
    fn facts(answered: &Self::Answered) -> Facts;

    /// The answer as a picture, or its steps as an animation.
    ///
    /// # Errors
    /// When there is nothing to draw.
    fn draw(answered: &Self::Answered, output: Output) -> Result<Vec<u8>, Problem>;
}

/// A request that was read.
pub(super) struct Asked<P> {
    pub(super) request: SolveRequest<P>,
    headers: HeaderMap,
}

/// Reads the puzzles, has their models solve them, and answers in the form that was asked for.
pub(super) async fn solve<P: Solvable>(
    State(state): State<Arc<ServerState>>,
    Extension(tally): Extension<Tally>,
    request: Request,
) -> Result<Response, Problem> {
    let asked = read::<P>(&state, request).await?;
    answer(&state, tally, asked, &state.models.current()).await
}

/// Reads the puzzles.
pub(super) async fn read<P: Solvable>(state: &ServerState, request: Request) -> Result<Asked<P>, Problem> {
    let headers = request.headers().clone();
    let query = SolveOptions::from_query(request.uri())?;
    let bytes = body::read(request, &state.limits).await?;
    Ok(Asked { request: parse::<P>(bytes, query, state.limits.max_puzzles).await?, headers })
}

/// Has the models of `registry` solve the puzzles, and answers in the form that was asked for.
pub(super) async fn answer<P: Solvable>(
    state: &ServerState,
    tally: Tally,
    asked: Asked<P>,
    registry: &Registry,
) -> Result<Response, Problem> {
    let Asked { request: SolveRequest { puzzles, is_batch, options }, headers } = asked;
    tally.add_puzzles(puzzles.len());
    let output = match options.stream {
        Some(true) => Output::Stream,
        _ if is_batch => Output::negotiate(&headers, &[Output::Json, Output::Stream])?,
        _ => Output::negotiate(&headers, &[Output::Json, Output::Stream, Output::Png, Output::Gif])?,
    };
    let timeout = state.limits.request_timeout;
    let wanted = Wanted { options: options.within(timeout), output, is_batch, tally };
    let tickets = P::submit(registry, puzzles, &wanted)?;
    if output == Output::Stream {
        let give_up_at = Instant::now() + timeout;
        let each = tickets.into_iter().map(|ticket| Box::pin(P::events(ticket, wanted.clone(), give_up_at)));
        return Ok(events::respond(stream::select_all(each)));
    }
    let mut answers = collect_within::<P>(timeout, tickets, &wanted.tally).await?;
    match (is_batch, output, answers.pop()) {
        (false, Output::Png | Output::Gif, Some(answered)) => picture::<P>(answered, output, timeout).await,
        (false, _, Some(last)) => Ok(Json(P::json(&last, &wanted)).into_response()),
        (_, _, last) => {
            let answers: Vec<P::Json> = answers.iter().chain(&last).map(|answer| P::json(answer, &wanted)).collect();
            Ok(Json(P::BatchJson::from(answers)).into_response())
        }
    }
}

/// Large bodies and pictures take milliseconds, which would hold up other requests of the thread.
pub(super) async fn parse<P: Solvable>(
    bytes: Bytes,
    query: SolveOptions,
    max_puzzles: usize,
) -> Result<SolveRequest<P>, Problem> {
    off_thread(bytes, move |bytes| P::parse(bytes, query, max_puzzles)).await
}

/// Runs `parse` on the body, where that may take milliseconds on a thread that blocks no request.
pub(super) async fn off_thread<T: Send + 'static>(
    bytes: Bytes,
    parse: impl FnOnce(&[u8]) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if bytes.len() < AT_ONCE_BYTES && !body::is_picture(&bytes) {
        return parse(&bytes);
    }
    let parsing = tokio::task::spawn_blocking(move || parse(&bytes));
    parsing.await.map_err(|error| Problem::Engine(format!("reading the body failed: {error}")))?
}

/// Waits for all answers, but no longer than `timeout`. Giving up drops the pending answers, which frees their slots.
pub(super) async fn collect_within<P: Queueable>(
    timeout: Duration,
    tickets: Vec<P::Ticket>,
    tally: &Tally,
) -> Result<Vec<P::Answered>, Problem> {
    tokio::time::timeout(timeout, collect::<P>(tickets, tally)).await.map_err(|_| {
        Problem::Timeout(format!("no answer within the server's {} ms; {}", timeout.as_millis(), P::SOONER))
    })?
}

async fn collect<P: Queueable>(tickets: Vec<P::Ticket>, tally: &Tally) -> Result<Vec<P::Answered>, Problem> {
    let mut answers = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        let answered = P::answer(ticket).await?;
        tally.add_steps(P::total_steps(&answered));
        answers.push(answered);
    }
    Ok(answers)
}

/// The answer as a picture or an animation, with the facts in headers.
async fn picture<P: Solvable>(answered: P::Answered, output: Output, timeout: Duration) -> Result<Response, Problem> {
    let facts = P::facts(&answered).headers();
    let bytes = drawing::draw("picture", timeout, move || P::draw(&answered, output)).await??;
    let content_type = HeaderValue::from_static(if output == Output::Gif { "image/gif" } else { "image/png" });
    Ok((facts, [(header::CONTENT_TYPE, content_type)], bytes).into_response())
}

impl Wanted {
    /// A problem of the puzzle at `index`, which is named where there are several.
    pub(super) fn of_puzzle(&self, index: usize, problem: Problem) -> Problem {
        if self.is_batch { problem.in_puzzle(index) } else { problem }
    }
}

impl Facts {
    fn headers(&self) -> HeaderMap {
        let flag = |value| HeaderValue::from_static(if value { "true" } else { "false" });
        let q = HeaderValue::from_str(&self.q).unwrap_or(HeaderValue::from_static("NaN"));
        HeaderMap::from_iter([
            (HeaderName::from_static("x-trm-solved"), self.solved.map_or(HeaderValue::from_static("unknown"), flag)),
            (HeaderName::from_static("x-trm-verified"), flag(self.solved == Some(true))),
            (HeaderName::from_static("x-trm-steps"), HeaderValue::from(self.steps)),
            (HeaderName::from_static("x-trm-q"), q),
        ])
    }
}
