//! The Open Inference Protocol, version 2 (`/v2/…`), over HTTP: what clients of Triton and `KServe` speak, with
//! its extension for binary tensors. Owns which served model a path names and how rows of tokens reach its engine; leaves the
//! bytes of requests and responses to the modules below, waiting and time-outs to `pipeline`.

pub(super) mod metadata;
mod request;
mod response;
mod tensor;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use engine::registry::{Registry, ServedModel};
use engine::task::Task;
use engine::{Answer, Pending};
use serde_json::{Value, json};
use utoipa::ToSchema;

use self::metadata::{INPUTS, PUZZLE_IDENTIFIERS, listed};
pub use self::request::InferRequest;
pub use self::tensor::{Datatype, InputTensor};
use super::accept::Output;
use super::body::{self, MazePuzzle, Puzzle, SudokuPuzzle};
use super::openapi::inference_problems as problems;
use super::pipeline::{Queueable, Wanted, collect_within, off_thread};
use super::{Problem, ProblemKind as Kind, ServerState, Tally, only_get, only_post, operation};

/// Says how many bytes of a body are JSON; the tensors' bytes follow. In both directions.
pub(super) const HEADER_LENGTH: &str = "inference-header-content-length";

/// The parameter `name` of paths.
const MODEL: &str = "A model, as `GET /info` names it.";

/// Routes that run a model.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new().route("/v2/models/{name}/infer", post(infer).fallback(only_post))
}

/// Routes that describe the server and its models.
pub(super) fn info_routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/v2", get(metadata::server).fallback(only_get))
        .route("/v2/models/{name}", get(metadata::model).fallback(only_get))
}

/// Routes for probes, which never need a key.
pub(super) fn probe_routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/v2/health/live", get(live).fallback(only_get))
        .route("/v2/health/ready", get(ready).fallback(only_get))
        .route("/v2/models/{name}/ready", get(model_ready).fallback(only_get))
}

/// Whether clients of `path` read errors as this protocol writes them.
pub(super) fn is_below(path: &str) -> bool {
    path == "/v2" || path.starts_with("/v2/")
}

/// Whether `route` is one that machines ask every few seconds.
pub(super) fn is_probe(route: &str) -> bool {
    is_below(route) && ["/live", "/ready"].iter().any(|end| route.ends_with(end))
}

/// Whether the process answers and no engine has died.
#[utoipa::path(
    get, path = "/v2/health/live", operation_id = "inferenceLive", tag = "inference",
    responses((status = 200, description = "Alive.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::Stopping])))),
)]
pub(super) async fn live(state: State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    let _ = operation::livez(state).await?;
    Ok(Json(json!({ "live": true })))
}

/// Whether requests are welcome.
#[utoipa::path(
    get, path = "/v2/health/ready", operation_id = "inferenceReady", tag = "inference",
    responses((status = 200, description = "Ready.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::Stopping])))),
)]
pub(super) async fn ready(state: State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    let _ = operation::readyz(state).await?;
    Ok(Json(json!({ "ready": true })))
}

/// Whether the model's engines run.
#[utoipa::path(
    get, path = "/v2/models/{name}/ready", operation_id = "inferenceModelReady", tag = "inference",
    params(("name" = String, Path, description = MODEL)),
    responses((status = 200, description = "Ready.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::ModelNotFound, Kind::Stopping])))),
)]
pub(super) async fn model_ready(
    State(state): State<Arc<ServerState>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let registry = state.models.current();
    if let Some(stopped) = named(&registry, &name)?.iter().find(|model| !model.engine.is_alive()) {
        return Err(Problem::Stopping(format!("the engine of model `{}` has stopped", stopped.card.name)));
    }
    Ok(Json(json!({ "name": name, "ready": true })))
}

/// The JSON object, then the bytes of each tensor in order, little-endian.
#[derive(ToSchema)]
#[schema(content_media_type = "application/octet-stream")]
#[expect(dead_code, reason = "for the description alone")]
struct JsonAndBytes(String);

/// Has a model answer rows of tokens.
///
/// Goes through the same queue, policy, limits and checks as the routes below `/solve`. `parameters` of the request are
/// options of the inference policy.
#[utoipa::path(
    post, path = "/v2/models/{name}/infer", operation_id = "infer", tag = "inference",
    params(
        ("name" = String, Path, description = MODEL),
        ("inference-header-content-length" = Option<usize>, Header, nullable = false,
         description = "Bytes of the body's JSON part, where the bytes of tensors follow it."),
    ),
    request_body(content(
        (request::Head = "application/json"), (inline(JsonAndBytes) = "application/octet-stream"),
    )),
    responses((
        status = 200, description = "The outputs that were asked for; all of them where the request names none.",
        headers(("inference-header-content-length" = usize,
                 description = "Bytes of the JSON part, where the bytes of tensors follow it.")),
        content((response::Head = "application/json"), (inline(JsonAndBytes) = "application/octet-stream")),
    )),
    extensions(("x-responses" = json!(problems(&[
        Kind::Malformed, Kind::InvalidOption, Kind::Unauthorized, Kind::ModelNotFound, Kind::SlowBody, Kind::BodyTooLarge,
        Kind::TooManyPuzzles, Kind::WrongSize, Kind::Contradictory, Kind::MazeEndMissing, Kind::MazeEndTwice,
        Kind::MazeSeparated, Kind::QueueFull, Kind::DeadlinePassed, Kind::Overloaded, Kind::Engine, Kind::Stopping,
        Kind::Timeout,
    ])))),
)]
pub(super) async fn infer(
    State(state): State<Arc<ServerState>>,
    Path(name): Path<String>,
    Extension(tally): Extension<Tally>,
    request: Request,
) -> Result<Response, Problem> {
    let header_length = header_length(request.headers())?;
    let bytes = body::read(request, &state.limits).await?;
    let registry = state.models.current();
    let InferRequest { id, inputs, outputs, options } =
        off_thread(bytes, move |bytes| InferRequest::parse(bytes, header_length)).await?;
    let outputs = outputs.resolve()?;
    let batch = Batch::of(&named(&registry, &name)?, &inputs, state.limits.max_puzzles)?;
    tally.add_puzzles(batch.rows.len());
    let timeout = state.limits.request_timeout;
    let is_batch = batch.rows.len() > 1;
    let wanted = Wanted { options: options.within(timeout), output: Output::Json, is_batch, tally };
    let tickets = Row::submit(&registry, batch.rows, &wanted)?;
    let answers = collect_within::<Row>(timeout, tickets, &wanted.tally).await?;
    Ok(response::write(&batch.model, id, &outputs, &batch.shape, &answers))
}

/// How many bytes of the body are JSON, where tensors follow.
fn header_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let length = length.ok_or_else(|| {
        let found: String = String::from_utf8_lossy(value.as_bytes()).chars().take(40).collect();
        Problem::Malformed(format!("{HEADER_LENGTH}: expected the bytes of the body's JSON part, found {found:?}"))
    });
    length.map(Some)
}

/// All models of that name, which differ in the size of their boards.
fn named<'r>(registry: &'r Registry, name: &str) -> Result<Vec<&'r Arc<ServedModel>>, Problem> {
    let models: Vec<_> = registry.models().iter().filter(|model| model.card.name == name).collect();
    if !models.is_empty() {
        return Ok(models);
    }
    let available = listed(registry.models().iter().map(|model| model.card.name.as_str()));
    Err(Problem::ModelNotFound { name: name.chars().take(100).collect(), available })
}

/// The rows of a request, and the model that takes boards of their size.
struct Batch {
    model: Arc<ServedModel>,
    /// That of the tokens as they were sent.
    shape: Vec<usize>,
    rows: Vec<Row>,
}

/// One board in the tokens of its model.
struct Row {
    model: Arc<ServedModel>,
    tokens: Vec<i64>,
    puzzle_identifier: usize,
}

impl Batch {
    fn of(models: &[&Arc<ServedModel>], inputs: &[InputTensor], max_puzzles: usize) -> Result<Self, Problem> {
        metadata::check_names(models[0], inputs)?;
        let find = |name: &str| inputs.iter().find(|input| input.name == name);
        let missing = |name| Problem::Malformed(format!("input {name:?} is missing"));
        let boards = find(INPUTS).ok_or_else(|| missing(INPUTS))?;
        let model = metadata::fitting(models, boards)?;
        let count = boards.shape.first().copied().unwrap_or_default();
        if count == 0 {
            return Err(Problem::Malformed(format!("{INPUTS}: the batch is empty; send at least one row")));
        }
        if count > max_puzzles {
            return Err(Problem::TooManyPuzzles { found: count, limit: max_puzzles });
        }
        let identifiers = match find(PUZZLE_IDENTIFIERS) {
            Some(input) => metadata::identifiers(input, count)?,
            None if metadata::has_identifiers(model) => return Err(missing(PUZZLE_IDENTIFIERS)),
            None => vec![0; count],
        };
        let rows = boards.values.chunks(model.card.dims.seq_len).zip(identifiers).enumerate();
        let rows = rows.map(|(index, (row, puzzle_identifier))| {
            let tokens = checked(model, row);
            let tokens = tokens.map_err(|problem| if count > 1 { problem.in_puzzle(index) } else { problem })?;
            Ok(Row { model: (*model).clone(), tokens, puzzle_identifier })
        });
        let rows = rows.collect::<Result<_, Problem>>()?;
        Ok(Self { model: (*model).clone(), shape: boards.shape.clone(), rows })
    }
}

/// The tokens of a board that the routes below `/solve` would take, too.
fn checked(model: &ServedModel, row: &[i64]) -> Result<Vec<i64>, Problem> {
    match model.task {
        Task::Sudoku(_) => board::<SudokuPuzzle>(model.task, row),
        Task::Maze(_) => board::<MazePuzzle>(model.task, row),
        Task::Arc => {
            let vocabulary = 0..model.card.dims.vocab_size as i64;
            match row.iter().position(|token| !vocabulary.contains(token)) {
                None => Ok(row.to_vec()),
                Some(cell) => Err(Problem::Malformed(format!(
                    "cell {cell} holds the token {}; expected 0 to {}",
                    row[cell],
                    vocabulary.end - 1
                ))),
            }
        }
    }
}

fn board<P: Puzzle>(task: Task, row: &[i64]) -> Result<Vec<i64>, Problem> {
    let puzzle = P::from_tokens(row)?;
    puzzle.check()?;
    Ok(puzzle.model_tokens(task))
}

impl Queueable for Row {
    const SOONER: &'static str = "send fewer rows at once";

    type Ticket = Pending;
    type Answered = Answer;

    /// The rows of a request have one model, and go into its queue whole or not at all.
    fn submit(_: &Registry, rows: Vec<Self>, wanted: &Wanted) -> Result<Vec<Pending>, Problem> {
        let Some(model) = rows.first().map(|row| row.model.clone()) else { return Ok(Vec::new()) };
        let deadline = wanted.options.deadline();
        let policy = wanted.options.policy(&model.engine.options().default_policy);
        let requests = rows.into_iter().map(|Self { tokens, puzzle_identifier, .. }| engine::Request {
            puzzle_identifier,
            deadline,
            ..engine::Request::new(tokens).with_policy(policy)
        });
        Ok(model.engine.submit_all(requests.collect())?)
    }

    async fn answer(pending: Pending) -> Result<Answer, Problem> {
        Ok(pending.await?)
    }

    fn total_steps(answer: &Answer) -> usize {
        answer.total_steps
    }
}
