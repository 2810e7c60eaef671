//! `GET /samples/sudoku` and `GET /samples/maze`: a puzzle to begin with, drawn by the generators of `datasets`.
//! Owns the bounds on what drawing one may cost.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Uri;
use axum::routing::get;
use axum::{Json, Router};
use datasets::DatasetError;
use datasets::builder::generated::{GeneratedMazes, GeneratedPuzzles, NumberedPuzzles};
use datasets::maze::{MazeRequest, MazeShape};
use datasets::sudoku::{PuzzleRequest, SudokuShape};
use engine::registry::Registry;
use engine::task::{self, Task};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::openapi::sample_problems;
use super::{HttpLimits, Problem, ProblemKind as Kind, ServerState, drawing, only_get};

/// Mazes that are drawn in vain before the sample fails.
const MAX_ATTEMPTS: u32 = 2_000;

/// Sides of the mazes that the generator draws.
const MAZE_SIDES: std::ops::RangeInclusive<usize> = 5..=40;

/// Which Sudoku sample to draw.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SudokuQuery {
    /// Cells per side: 4, 6, 9 or 16.
    #[param(inline, value_type = SudokuSize)]
    size: usize,
    /// Clues more than the puzzle needs.
    #[param(maximum = 256)]
    extra_clues: usize,
    /// The same seed draws the same puzzle; drawn at random where it is missing.
    seed: Option<u64>,
}

/// The sizes of [`SudokuShape`] in the description.
struct SudokuSize;

impl utoipa::PartialSchema for SudokuSize {
    fn schema() -> RefOr<Schema> {
        let sizes = Some(SudokuShape::ALL.map(SudokuShape::size));
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).enum_values(sizes).into()
    }
}

impl ToSchema for SudokuSize {}

/// Which maze sample to draw.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MazeQuery {
    /// Cells per side, 5 to 40; those of the loaded maze model where it is missing.
    #[param(minimum = 5, maximum = 40)]
    size: Option<usize>,
    /// The same seed draws the same maze; drawn at random where it is missing.
    seed: Option<u64>,
}

/// A Sudoku with exactly one solution.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SudokuSample {
    /// One character per cell, `.` for blanks.
    puzzle: String,
    /// Cells per side.
    size: usize,
    /// Draws this puzzle again.
    seed: u64,
}

/// A maze whose shortest path is long.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MazeSample {
    /// A string per row: `#` wall, blank free, `S` start, `G` goal.
    puzzle: Vec<String>,
    /// Cells per side.
    size: usize,
    /// Draws this maze again.
    seed: u64,
}

impl Default for SudokuQuery {
    fn default() -> Self {
        Self { size: SudokuShape::NINE.size(), extra_clues: 0, seed: None }
    }
}

/// The routes of samples.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/samples/sudoku", get(sudoku).fallback(only_get))
        .route("/samples/maze", get(maze).fallback(only_get))
}

/// A Sudoku with exactly one solution.
///
/// Minimal: no clue can be spared, unless `extra_clues` are asked for.
#[utoipa::path(
    get, path = "/samples/sudoku", operation_id = "sampleSudoku", tag = "samples", params(SudokuQuery),
    responses((status = 200, description = "The puzzle.", body = SudokuSample)),
    extensions(("x-responses" = json!(sample_problems(&[])))),
)]
pub(super) async fn sudoku(State(state): State<Arc<ServerState>>, uri: Uri) -> Result<Json<SudokuSample>, Problem> {
    let SudokuQuery { size, extra_clues, seed } = query(&uri)?;
    let shape = SudokuShape::from_size(size).map_err(|error| Problem::InvalidOption(format!("size: {error}")))?;
    if extra_clues > shape.cells() {
        let cells = shape.cells();
        return Err(Problem::InvalidOption(format!("extra_clues: expected 0 to {cells}, found {extra_clues}")));
    }
    let seed = seed.unwrap_or_else(any_seed);
    let puzzles = GeneratedPuzzles { request: PuzzleRequest::minimal(shape), extra_clues, seed };
    let drawn = draw(&state.limits, move || puzzles.puzzle(0)).await?;
    Ok(Json(SudokuSample { puzzle: drawn.puzzle.to_string(), size, seed }))
}

/// A maze with a long shortest way.
#[utoipa::path(
    get, path = "/samples/maze", operation_id = "sampleMaze", tag = "samples", params(MazeQuery),
    responses((status = 200, description = "The maze.", body = MazeSample)),
    extensions(("x-responses" = json!(sample_problems(&[Kind::NoModel])))),
)]
pub(super) async fn maze(State(state): State<Arc<ServerState>>, uri: Uri) -> Result<Json<MazeSample>, Problem> {
    let MazeQuery { size, seed } = query(&uri)?;
    let size = size.map_or_else(|| loaded_side(&state.models.current()), Ok)?;
    let request =
        MazeShape::from_side(size).map(|shape| MazeRequest { max_attempts: MAX_ATTEMPTS, ..MazeRequest::hard(shape) });
    let request = request
        .and_then(|request| request.validate().map(|()| request))
        .map_err(|error| Problem::InvalidOption(error.to_string()))?;
    let seed = seed.unwrap_or_else(any_seed);
    let mazes = GeneratedMazes { request, seed };
    let drawn = draw(&state.limits, move || mazes.puzzle(0)).await?;
    let puzzle = drawn.maze.to_grid().lines().map(str::to_owned).collect();
    Ok(Json(MazeSample { puzzle, size, seed }))
}

/// Side of the first maze model, as far as the generator draws such mazes.
fn loaded_side(registry: &Registry) -> Result<usize, Problem> {
    let model = registry.find(|model| matches!(model.task, Task::Maze(_)));
    let side = model.map(|model| task::side(model.task).clamp(*MAZE_SIDES.start(), *MAZE_SIDES.end()));
    side.ok_or_else(|| {
        let tasks: Vec<String> = registry.models().iter().map(|model| model.task.to_string()).collect();
        Problem::NoModel { puzzle: "a maze sample without `size`".into(), available: tasks.join(", ") }
    })
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = Query::try_from_uri(uri).map_err(|error| Problem::malformed(&error.body_text()));
    read.map(|Query(query)| query)
}

/// Small enough for the numbers of JavaScript.
fn any_seed() -> u64 {
    u64::from(rand::random::<u32>())
}

async fn draw<T: Send + 'static>(
    limits: &HttpLimits,
    puzzle: impl FnOnce() -> Result<T, DatasetError> + Send + 'static,
) -> Result<T, Problem> {
    let drawn = drawing::draw("sample", limits.request_timeout, puzzle).await?;
    drawn.map_err(|error| Problem::Engine(format!("no sample could be drawn: {error}")))
}
