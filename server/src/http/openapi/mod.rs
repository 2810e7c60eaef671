//! `GET /openapi.json`: the interface described for programs, as `OpenAPI` 3.1, and `GET /docs` for people.
//! Each route is described at its handler and each object at its type; this module puts them together. What attributes cannot
//! express stands in `schemas`. Tests hold the description against the router and against real answers.

mod docs;
mod examples;
mod schemas;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

pub(super) use self::examples::{arc_examples, maze_examples, sudoku_examples};
pub(super) use self::schemas::{Answers, body_of};
use super::prefix::seen_by_clients;
use super::{ProblemKind as Kind, ServerState, SolveOptions};
use super::{arc, jobs, metrics, only_get, open_inference, operation, page, samples, solve};

/// The routes, by tag. Types that a route's attributes name are found there.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tiny recursive reasoning",
        description = "Sudoku, mazes and ARC tasks, solved by models that reason in steps. `verified` in an answer means that \
                       the rules of the puzzle were checked by code. Problems are answered as RFC 9457 describes, with a \
                       stable `type`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/")),
    // Keys are the operator's choice.
    security((), ("key" = [])),
    tags(
        (name = "solve", description = "Puzzles in, answers out."),
        (name = "inference",
         description = "The Open Inference Protocol, version 2: what clients of Triton and KServe speak."),
        (name = "jobs", description = "ARC tasks that are being learned."),
        (name = "samples", description = "Puzzles to begin with."),
        (name = "operation", description = "What runs here, and how it does."),
        (name = "documents", description = "For people and for generators of clients."),
    ),
    paths(
        solve::solve_sudoku, solve::solve_maze, arc::job::solve, solve::read_sudoku, solve::read_maze,
        open_inference::metadata::server, open_inference::live, open_inference::ready, open_inference::metadata::model,
        open_inference::model_ready, open_inference::infer,
        jobs::job, jobs::cancel, jobs::events,
        samples::sudoku, samples::maze, arc::samples, arc::sample,
        operation::health, operation::livez, operation::readyz, metrics::metrics, operation::reload, operation::info,
        page::index, page::file, docs::index, docs::file, description,
    ),
    components(schemas(
        SolveOptions,
        solve::answer::SolveResponse, solve::answer::BatchResponse, solve::stream::StepEvent, solve::stream::AnswerEvent,
        arc::answer::ArcResponse, arc::answer::ArcBatchResponse, arc::stream::ArcStepEvent, arc::stream::ArcAnswerEvent,
    )),
)]
struct Interface;

/// The whole description.
static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The routes of the description.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    Router::new().route("/openapi.json", get(description).fallback(only_get)).merge(docs::routes())
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "documents",
    responses((status = 200, description = "This document.", body = Object)),
)]
async fn description(State(state): State<Arc<ServerState>>, headers: HeaderMap) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-cache")], Json(below(&seen_by_clients(&headers, &state.base_path))))
}

/// The description as it is seen below a path.
fn below(prefix: &str) -> Cow<'static, Value> {
    if prefix.is_empty() {
        return Cow::Borrowed(&*DOCUMENT);
    }
    let mut document = DOCUMENT.clone();
    document["servers"] = json!([{ "url": prefix }]);
    Cow::Owned(document)
}

/// Responses of problems by status, for the extension `x-responses`: problems of one status are one response.
pub(super) fn problems(kinds: &[Kind]) -> Value {
    responses(kinds, "application/problem+json", "Problem")
}

/// As [`problems`], for routes that solve: with what every one of them may answer.
pub(super) fn solve_problems(own: &[Kind]) -> Value {
    let common = [
        Kind::Malformed,
        Kind::InvalidOption,
        Kind::NotAcceptable,
        Kind::SlowBody,
        Kind::BodyTooLarge,
        Kind::TooManyPuzzles,
        Kind::UnknownModel,
        Kind::Unauthorized,
        Kind::QueueFull,
        Kind::DeadlinePassed,
        Kind::Overloaded,
        Kind::Engine,
        Kind::Stopping,
        Kind::Timeout,
    ];
    problems(&[&common[..], own].concat())
}

/// As [`problems`], for routes that draw samples: with what every one of them may answer.
pub(super) fn sample_problems(own: &[Kind]) -> Value {
    let common =
        [Kind::Malformed, Kind::InvalidOption, Kind::Unauthorized, Kind::Overloaded, Kind::Engine, Kind::Timeout];
    problems(&[&common[..], own].concat())
}

/// As [`problems`], in the form of the Open Inference Protocol.
pub(super) fn inference_problems(kinds: &[Kind]) -> Value {
    responses(kinds, "application/json", "InferenceError")
}

fn responses(kinds: &[Kind], media_type: &str, schema: &str) -> Value {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for &kind in kinds {
        by_status.entry(kind.status().as_u16()).or_default().push(kind);
    }
    let response = |(status, kinds): (u16, Vec<Kind>)| {
        let meanings: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.name(), kind.meaning())).collect();
        let mut response = json!({
            "description": meanings.join("\n\n"),
            "content": { media_type: { "schema": schemas::reference(schema) } },
        });
        if kinds.iter().any(|kind| kind.has_retry_after()) {
            response["headers"] =
                json!({ "Retry-After": { "description": "Seconds.", "schema": { "type": "integer" } } });
        }
        (status.to_string(), response)
    };
    Value::Object(by_status.into_iter().map(response).collect())
}

fn document() -> Value {
    let mut document = json!(Interface::openapi());
    let components = &mut document["components"];
    schemas::add(&mut components["schemas"]);
    components["securitySchemes"] = json!({
        "key": { "type": "http", "scheme": "bearer", "description": "Where the operator has set API keys." },
    });
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let methods = paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    methods.filter_map(Value::as_object_mut).for_each(complete);
    tidy(&mut document);
    document
}

/// Puts what the attributes of a handler had to say by extensions in its place.
fn complete(operation: &mut Map<String, Value>) {
    if let Some(body) = operation.remove("x-request-body") {
        operation.insert("requestBody".into(), body);
    }
    if let Some(Value::Object(more)) = operation.remove("x-responses") {
        let responses = operation.entry("responses").or_insert_with(|| json!({}));
        more.into_iter().for_each(|(status, response)| responses[status] = response);
    }
}

/// Makes up for the derived form: it calls every 64-bit integer `int64`, which the upper half of seeds is not, and keeps the
/// line breaks of comments, which the page would show.
fn tidy(value: &mut Value) {
    if value["format"] == "int64" && value["minimum"] == 0 {
        value["format"] = json!("uint64");
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "description" || name == "summary" => *text = unwrapped(text),
                    field => tidy(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A text whose paragraphs are one line each.
fn unwrapped(text: &str) -> String {
    let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    paragraphs.join("\n\n")
}
