//! `POST /solve/sudoku` and `POST /solve/maze`: boards in, verified answers out, as JSON, events or pictures.
//! Owns what boards do on the path of all puzzles (`pipeline`); leaves their forms to `body`, solving to the engines.

pub(super) mod answer;
mod picture;
pub(super) mod stream;
mod submit;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::sse::Event;
use axum::routing::post;
use axum::{Json, Router};
use engine::Answer;
use engine::registry::Registry;
use futures_util::Stream;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use self::answer::{BatchResponse, SolveResponse};
pub(super) use self::answer::{ModelName, TimingsMs};
use self::submit::{Asked, Ticket};
use super::accept::Output;
use super::body::{self, BoardForm, MazePuzzle, Puzzle, SolveRequest, SudokuPuzzle};
use super::pipeline::{self, Facts, Queueable, Solvable, Wanted, solve};
use super::{Problem, ServerState, SolveOptions};

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
    let request = pipeline::parse::<P>(bytes, SolveOptions::default(), state.limits.max_puzzles).await?;
    let [puzzle] = &request.puzzles[..] else {
        return Err(Problem::Malformed(format!(
            "expected one puzzle, found {}; send one of them",
            request.puzzles.len()
        )));
    };
    let cells = puzzle.givens().len();
    Ok(Json(ReadResponse { puzzle: puzzle.plain(), rows: cells / puzzle.columns(), columns: puzzle.columns() }))
}

impl<P: Puzzle> Queueable for P {
    const SOONER: &'static str = "send fewer puzzles at once";

    type Ticket = Ticket<P>;
    type Answered = (Asked<P>, Answer);

    fn submit(registry: &Registry, puzzles: Vec<P>, wanted: &Wanted) -> Result<Vec<Ticket<P>>, Problem> {
        submit::submit(registry, puzzles, wanted)
    }

    async fn answer(ticket: Ticket<P>) -> Result<(Asked<P>, Answer), Problem> {
        Ok((ticket.asked, ticket.pending.await?))
    }

    fn total_steps((_, answer): &(Asked<P>, Answer)) -> usize {
        answer.total_steps
    }
}

impl<P: Puzzle> Solvable for P {
    type Json = SolveResponse;
    type BatchJson = BatchResponse;

    fn parse(body: &[u8], query: SolveOptions, max_puzzles: usize) -> Result<SolveRequest<P>, Problem> {
        SolveRequest::parse(body, query, max_puzzles)
    }

    fn events(ticket: Ticket<P>, wanted: Wanted, give_up_at: Instant) -> impl Stream<Item = Event> + Send + 'static {
        stream::events(ticket, wanted, give_up_at)
    }

    fn json((asked, answer): &(Asked<P>, Answer), wanted: &Wanted) -> SolveResponse {
        SolveResponse::new(asked, answer, &wanted.options)
    }

    fn facts((_, answer): &(Asked<P>, Answer)) -> Facts {
        Facts { solved: Some(answer.verified), steps: answer.steps, q: answer.q.to_string() }
    }

    fn draw((asked, answer): &(Asked<P>, Answer), output: Output) -> Result<Vec<u8>, Problem> {
        picture::draw(asked, answer, output)
    }
}
