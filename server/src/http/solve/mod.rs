//! `POST /solve/sudoku` and `POST /solve/maze`: boards in, verified answers out, as JSON, events or pictures.
//! Owns the one path that both take; leaves forms of boards to `body`, thinking to the engines.

pub(super) mod answer;
mod picture;
pub(super) mod stream;
mod submit;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use self::answer::{BatchResponse, SolveResponse};
pub(super) use self::answer::{ModelName, TimingsMs};
use self::submit::{Asked, Ticket, Watching, submit};
use super::accept::Output;
use super::body::{self, BoardForm, MazePuzzle, Puzzle, SolveRequest, SudokuPuzzle};
use super::{Problem, ServerState, SolveOptions, Tally};
use engine::Answer;

/// Text bodies below this size are read on the spot.
const AT_ONCE_BYTES: usize = 1 << 16;

/// The routes of boards.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    let wrong_method = || async { Problem::MethodNotAllowed("POST") };
    Router::new()
        .route("/solve/sudoku", post(solve::<SudokuPuzzle>).fallback(wrong_method))
        .route("/solve/maze", post(solve::<MazePuzzle>).fallback(wrong_method))
        .route("/read/sudoku", post(read::<SudokuPuzzle>).fallback(wrong_method))
        .route("/read/maze", post(read::<MazePuzzle>).fallback(wrong_method))
}

/// A puzzle as the server reads it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadResponse {
    /// A Sudoku as one character per cell, `.` for blanks; a maze as a string per row of `#`, `.`, `S` and `G`.
    puzzle: BoardForm,
    rows: usize,
    columns: usize,
}

/// Reads one puzzle and solves nothing: pages and programs have one reader of text.
async fn read<P: Puzzle>(
    State(state): State<Arc<ServerState>>,
    request: Request,
) -> Result<Json<ReadResponse>, Problem> {
    let bytes = body::read(request, &state.limits).await?;
    let request = parse::<P>(bytes, SolveOptions::default(), state.limits.max_puzzles).await?;
    let [puzzle] = &request.puzzles[..] else {
        return Err(Problem::Malformed(format!(
            "expected one puzzle, found {}; send one of them",
            request.puzzles.len()
        )));
    };
    let cells = puzzle.givens().len();
    Ok(Json(ReadResponse { puzzle: puzzle.plain(), rows: cells / puzzle.columns(), columns: puzzle.columns() }))
}

/// Reads the puzzles, has their models think, and answers in the form that was asked.
async fn solve<P: Puzzle>(
    State(state): State<Arc<ServerState>>,
    Extension(tally): Extension<Tally>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let query = SolveOptions::from_query(request.uri())?;
    let bytes = body::read(request, &state.limits).await?;
    let request = parse::<P>(bytes, query, state.limits.max_puzzles).await?;
    let output = match request.options.stream {
        Some(true) => Output::Stream,
        _ if request.is_batch => Output::negotiate(&headers, &[Output::Json, Output::Stream])?,
        _ => Output::negotiate(&headers, &[Output::Json, Output::Stream, Output::Png, Output::Gif])?,
    };
    let SolveRequest { puzzles, is_batch, options } = request;
    tally.add_puzzles(puzzles.len());
    let how = Watching {
        trace: output == Output::Gif || (options.trace == Some(true) && output != Output::Png),
        events: output == Output::Stream,
        animation: output == Output::Gif,
    };
    let timeout = state.limits.request_timeout;
    let tickets = submit(&state.models.current(), puzzles, is_batch, &options, how, &tally)?;
    if output == Output::Stream {
        return Ok(stream::respond(tickets, &options, timeout));
    }
    // Giving up drops the pending answers, which frees their slots.
    let mut answers = tokio::time::timeout(timeout, collect(tickets)).await.map_err(|_| {
        Problem::Timeout(format!(
            "no answer within the server's {} ms; send fewer puzzles at once",
            timeout.as_millis()
        ))
    })??;
    let write = |(asked, answer): &(Asked<P>, Answer)| SolveResponse::new(asked, answer, &options);
    match (is_batch, output, answers.pop()) {
        (false, Output::Png | Output::Gif, Some((asked, answer))) => picture::respond(asked, answer, output).await,
        (false, _, Some(last)) => Ok(Json(write(&last)).into_response()),
        (_, _, last) => {
            answers.extend(last);
            Ok(Json(BatchResponse { results: answers.iter().map(write).collect() }).into_response())
        }
    }
}

/// Large bodies and pictures take milliseconds, which would hold up other requests of the thread.
async fn parse<P: Puzzle>(bytes: Bytes, query: SolveOptions, max_puzzles: usize) -> Result<SolveRequest<P>, Problem> {
    if bytes.len() < AT_ONCE_BYTES && !body::is_picture(&bytes) {
        return SolveRequest::parse(&bytes, query, max_puzzles);
    }
    let parsing = tokio::task::spawn_blocking(move || SolveRequest::parse(&bytes, query, max_puzzles));
    parsing.await.map_err(|error| Problem::Engine(format!("reading the body failed: {error}")))?
}

async fn collect<P>(tickets: Vec<Ticket<P>>) -> Result<Vec<(Asked<P>, Answer)>, Problem> {
    let mut answers = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        let answer = ticket.pending.await?;
        ticket.asked.tally.add_steps(answer.total_steps);
        answers.push((ticket.asked, answer));
    }
    Ok(answers)
}
