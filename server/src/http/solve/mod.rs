//! `POST /solve/sudoku` and `POST /solve/maze`: boards in, verified answers out, as JSON, events or pictures.
//! Owns what boards do on the path of all puzzles (`pipeline`); leaves their forms to `body`, solving to the engines.

pub(super) mod answer;
mod picture;
pub(super) mod stream;
mod submit;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::response::sse::Event;
use axum::routing::post;
use axum::{Extension, Json, Router};
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
use super::openapi::{Answers, body_of, maze_examples, solve_problems, sudoku_examples};
use super::pipeline::{self, Facts, Queueable, Solvable, Wanted, solve};
use super::{Problem, ProblemKind as Kind, ServerState, SolveOptions, Tally, only_post};

const SOLVE: &str = "One puzzle or a batch. Options may stand in the body or in the query string; the body wins. With \
                     `stream` or `Accept: text/event-stream` every reasoning step is an event; with `Accept: image/png` \
                     the answer to one puzzle is a picture, with `image/gif` its steps are an animation.";
const READ: &str = "The forms are those of the route that solves; the answer is the puzzle in the plainest of them.";

/// The routes of boards.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/solve/sudoku", post(solve_sudoku).fallback(only_post))
        .route("/solve/maze", post(solve_maze).fallback(only_post))
        .route("/read/sudoku", post(read_sudoku).fallback(only_post))
        .route("/read/maze", post(read_maze).fallback(only_post))
}

/// Solves Sudoku.
#[utoipa::path(
    post, path = "/solve/sudoku", operation_id = "solveSudoku", tag = "solve", description = SOLVE,
    params(SolveOptions), responses(Answers<SudokuPuzzle>),
    extensions(
        ("x-request-body" = json!(body_of("Sudoku", "SudokuPuzzle", "SudokuRequest", Some(sudoku_examples()), false))),
        ("x-responses" = json!(solve_problems(&[
            Kind::WrongSize, Kind::Ambiguous, Kind::Candidates, Kind::NoModel, Kind::Contradictory, Kind::UnsupportedMedia,
        ]))),
    ),
)]
pub(super) async fn solve_sudoku(
    state: State<Arc<ServerState>>,
    tally: Extension<Tally>,
    request: Request,
) -> Result<Response, Problem> {
    solve::<SudokuPuzzle>(state, tally, request).await
}

/// Finds shortest ways through mazes.
#[utoipa::path(
    post, path = "/solve/maze", operation_id = "solveMaze", tag = "solve", description = SOLVE,
    params(SolveOptions), responses(Answers<MazePuzzle>),
    extensions(
        ("x-request-body" = json!(body_of("a maze", "MazePuzzle", "MazeRequest", Some(maze_examples()), true))),
        ("x-responses" = json!(solve_problems(&[
            Kind::WrongSize, Kind::Ambiguous, Kind::NoModel, Kind::MazeEndMissing, Kind::MazeEndTwice,
            Kind::MazeSeparated, Kind::UnreadablePicture,
        ]))),
    ),
)]
pub(super) async fn solve_maze(
    state: State<Arc<ServerState>>,
    tally: Extension<Tally>,
    request: Request,
) -> Result<Response, Problem> {
    solve::<MazePuzzle>(state, tally, request).await
}

/// Reads a Sudoku without solving it.
#[utoipa::path(
    post, path = "/read/sudoku", operation_id = "readSudoku", tag = "solve", description = READ,
    responses((status = 200, description = "The puzzle as it was read.", body = ReadResponse)),
    extensions(
        ("x-request-body" = json!(body_of("Sudoku", "SudokuPuzzle", "SudokuRequest", None, false))),
        ("x-responses" = json!(solve_problems(&[
            Kind::WrongSize, Kind::Ambiguous, Kind::Candidates, Kind::UnsupportedMedia,
        ]))),
    ),
)]
pub(super) async fn read_sudoku(
    State(state): State<Arc<ServerState>>,
    request: Request,
) -> Result<Json<ReadResponse>, Problem> {
    read::<SudokuPuzzle>(&state, request).await
}

/// Reads a maze without solving it.
#[utoipa::path(
    post, path = "/read/maze", operation_id = "readMaze", tag = "solve", description = READ,
    responses((status = 200, description = "The puzzle as it was read.", body = ReadResponse)),
    extensions(
        ("x-request-body" = json!(body_of("a maze", "MazePuzzle", "MazeRequest", None, true))),
        ("x-responses" = json!(solve_problems(&[Kind::WrongSize, Kind::Ambiguous, Kind::UnreadablePicture]))),
    ),
)]
pub(super) async fn read_maze(
    State(state): State<Arc<ServerState>>,
    request: Request,
) -> Result<Json<ReadResponse>, Problem> {
    read::<MazePuzzle>(&state, request).await
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
async fn read<P: Puzzle>(state: &ServerState, request: Request) -> Result<Json<ReadResponse>, Problem> {
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

    const EVENT: &'static str = "SolveEvent";

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
