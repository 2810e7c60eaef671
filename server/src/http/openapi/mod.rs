//! `GET /openapi.json`: the interface described for programs, as `OpenAPI` 3.1, and `GET /docs` for people.
//! Owns putting the description together; schemas come from the types that are really read and written, problems from
//! the enum of problems, and tests hold both against the router.

mod docs;
mod examples;
mod inference;
mod operations;
mod schemas;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use self::operations::{OPERATIONS, Operation};
use super::prefix::seen_by_clients;
use super::{Problem, ProblemKind, ServerState, open_inference};

/// The whole description.
static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The routes of the description.
pub(super) fn routes() -> Router<Arc<ServerState>> {
    let wrong_method = || async { Problem::MethodNotAllowed("GET, HEAD") };
    let description = |State(state): State<Arc<ServerState>>, headers: HeaderMap| async move {
        ([(header::CACHE_CONTROL, "no-cache")], Json(below(&seen_by_clients(&headers, &state.base_path))))
    };
    Router::new().route("/openapi.json", get(description).fallback(wrong_method)).merge(docs::routes())
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

fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in OPERATIONS.iter().chain(inference::OPERATIONS) {
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), describe(operation));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tiny recursive reasoning",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sudoku, mazes and ARC tasks, solved by models that reason in steps. `verified` in an answer \
                            means that the rules of the puzzle were checked by code. Problems are answered as RFC 9457 \
                            describes, with a stable `type`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        // Keys are the operator's choice.
        "security": [{}, { "key": [] }],
        "tags": [
            { "name": "solve", "description": "Puzzles in, answers out." },
            { "name": "inference", "description": "The Open Inference Protocol, version 2: what clients of Triton and KServe \
                                                  speak." },
            { "name": "jobs", "description": "ARC tasks that are being learned." },
            { "name": "samples", "description": "Puzzles to begin with." },
            { "name": "operation", "description": "What runs here, and how it does." },
            { "name": "documents", "description": "For people and for generators of clients." },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "Where the operator has set API keys." },
            },
        },
    });
    correct_unsigned(&mut document);
    document
}

/// The derived schemas call every 64-bit integer `int64`, which the upper half of seeds is not.
fn correct_unsigned(schema: &mut Value) {
    if schema["format"] == "int64" && schema["minimum"] == 0 {
        schema["format"] = json!("uint64");
    }
    match schema {
        Value::Object(fields) => fields.values_mut().for_each(correct_unsigned),
        Value::Array(items) => items.iter_mut().for_each(correct_unsigned),
        _ => {}
    }
}

fn describe(operation: &Operation) -> Value {
    let mut responses = match (operation.responses)() {
        Value::Object(responses) => responses,
        _ => Map::new(),
    };
    let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in (operation.problems)() {
        by_status.entry(kind.status().as_u16()).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        let response = problem_response(operation.path, &kinds);
        // A probe says in its own words that something is wrong.
        responses.entry(status.to_string()).or_insert(response);
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses,
    });
    if !operation.description.is_empty() {
        described["description"] = json!(operation.description);
    }
    let parameters = (operation.parameters)();
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if let Some(body) = operation.body {
        described["requestBody"] = body();
    }
    described
}

fn problem_response(path: &str, kinds: &[ProblemKind]) -> Value {
    let meanings: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.name(), kind.meaning())).collect();
    let retry_after = json!({ "Retry-After": { "description": "Seconds.", "schema": { "type": "integer" } } });
    let (media_type, schema) = if open_inference::is_below(path) {
        ("application/json", "InferenceError")
    } else {
        ("application/problem+json", "Problem")
    };
    let mut response = json!({
        "description": meanings.join("\n\n"),
        "content": { media_type: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
    });
    if kinds.iter().any(|kind| kind.has_retry_after()) {
        response["headers"] = retry_after;
    }
    response
}
