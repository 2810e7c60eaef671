//! The schemas of everything that is sent and answered: derived from the real types, put together where a body is read
//! by hand.

use datasets::sudoku::SudokuShape;
use engine::{Halting, Stopped};
use models::checkpoint::NoiseTarget;
use serde_json::{Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, OpenApi};

use super::inference;
use crate::http::arc::answer::{ArcBatchResponse, ArcResponse, ArcStepResponse};
use crate::http::arc::stream::{ArcAnswerEvent, ArcStepEvent};
use crate::http::arc::{ArcSample, ArcSamples};
use crate::http::body::BoardForm;
use crate::http::samples::{MAZE_SIDES, MazeQuery, MazeSample, SudokuQuery, SudokuSample};
use crate::http::solve::ReadResponse;
use crate::http::solve::answer::{BatchResponse, ModelName, SolveResponse, TimingsMs, TraceEntry};
use crate::http::solve::stream::{AnswerEvent, StepEvent};
use crate::http::{ProblemKind, SolveOptions};
use crate::jobs::{JobId, JobState, JobView};

/// Collects the types' schemas.
#[derive(OpenApi)]
#[openapi(components(schemas(
    SolveOptions,
    Halting,
    Stopped,
    BoardForm,
    SolveResponse,
    ReadResponse,
    BatchResponse,
    TraceEntry,
    ModelName,
    TimingsMs,
    StepEvent,
    AnswerEvent,
    SudokuSample,
    MazeSample,
    ArcResponse,
    ArcBatchResponse,
    ArcStepResponse,
    ArcStepEvent,
    ArcAnswerEvent,
    ArcSamples,
    ArcSample,
    JobId,
    JobState,
    JobView
)))]
struct Types;

/// All schemas by name.
pub(super) fn all() -> Value {
    let derived = serde_json::to_value(Types::openapi()).expect("schemas are JSON");
    let mut schemas = derived["components"]["schemas"].clone();
    if let Some(properties) = schemas["SolveOptions"]["properties"].as_object_mut() {
        properties.iter_mut().for_each(|(name, schema)| restrict_option(name, schema));
    }
    schemas["SolveOptions"]["additionalProperties"] = json!(false);
    schemas["SudokuPuzzle"] = sudoku_puzzle();
    schemas["SudokuRequest"] = request(&schemas["SolveOptions"], "SudokuPuzzle");
    schemas["MazePuzzle"] = maze_puzzle();
    schemas["MazeRequest"] = request(&schemas["SolveOptions"], "MazePuzzle");
    schemas["ArcTask"] = arc_task();
    schemas["ArcRequest"] = arc_request(&schemas["SolveOptions"]);
    schemas["Problem"] = problem();
    schemas["ProblemEvent"] = problem_event();
    schemas["SolveEvent"] = stream_event("StepEvent", "AnswerEvent");
    schemas["ArcEvent"] = stream_event("ArcStepEvent", "ArcAnswerEvent");
    schemas["JobEvent"] = job_event();
    inference::add_schemas(&mut schemas);
    schemas
}

/// The options in the query string.
pub(super) fn option_parameters() -> Vec<Value> {
    let mut parameters = query_parameters::<SolveOptions>();
    for parameter in &mut parameters {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        restrict_option(&name, &mut parameter["schema"]);
    }
    parameters
}

/// What a sample Sudoku may be asked to be.
pub(super) fn sudoku_sample_parameters() -> Vec<Value> {
    let mut parameters = query_parameters::<SudokuQuery>();
    for parameter in &mut parameters {
        if parameter["name"] == "size" {
            parameter["schema"]["enum"] = json!(SudokuShape::ALL.map(SudokuShape::size));
        } else if parameter["name"] == "extra_clues" {
            parameter["schema"]["maximum"] = json!(SudokuShape::SIXTEEN.cells());
        }
    }
    parameters
}

/// What a sample maze may be asked to be.
pub(super) fn maze_sample_parameters() -> Vec<Value> {
    let mut parameters = query_parameters::<MazeQuery>();
    for parameter in parameters.iter_mut().filter(|parameter| parameter["name"] == "size") {
        parameter["schema"]["minimum"] = json!(MAZE_SIDES.start());
        parameter["schema"]["maximum"] = json!(MAZE_SIDES.end());
    }
    parameters
}

/// The fields of `T` as parameters of the query string.
/// The name of a task, in the path.
pub(super) fn task_id_parameter() -> Vec<Value> {
    vec![json!({
        "name": "task_id",
        "in": "path",
        "required": true,
        "description": "Name of a task, such as GET /samples/arc lists.",
        "schema": { "type": "string" },
    })]
}

pub(super) fn query_parameters<T: IntoParams>() -> Vec<Value> {
    let parameters = T::into_params(|| Some(ParameterIn::Query));
    parameters.iter().map(|parameter| without_null(json!(parameter))).collect()
}

/// A query string has no null: what is not said is left out.
fn without_null(mut parameter: Value) -> Value {
    let schema = &mut parameter["schema"];
    if let Some(kinds) = schema["type"].as_array() {
        schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or(Value::Null);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        *schema = choices.iter().find(|choice| choice["type"] != "null").cloned().unwrap_or(Value::Null);
    }
    parameter
}

/// What holds on every server; its own limits stand in `GET /info`.
fn restrict_option(name: &str, schema: &mut Value) {
    match name {
        "max_steps" | "stable_steps" => schema["minimum"] = json!(1),
        "sigma" => {
            schema["minimum"] = json!(0);
            schema["maximum"] = json!(10);
        }
        "noise" => {
            let mut names = vec![json!(NoiseTarget::Latent), json!(NoiseTarget::Answer), json!(NoiseTarget::All)];
            if schema["type"].is_array() {
                names.push(Value::Null);
            }
            schema["enum"] = json!(names);
        }
        _ => {}
    }
}

/// A puzzle or a list of them, and the options beside.
fn request(options: &Value, puzzle: &str) -> Value {
    let reference = json!({ "$ref": format!("#/components/schemas/{puzzle}") });
    let mut request = options.clone();
    request["description"] = json!("Either `puzzle` or `puzzles`, and options.");
    request["properties"]["puzzle"] = reference.clone();
    request["properties"]["puzzles"] = json!({ "type": "array", "minItems": 1, "items": reference });
    request["oneOf"] = json!([{ "required": ["puzzle"] }, { "required": ["puzzles"] }]);
    request
}

fn sudoku_puzzle() -> Value {
    let cell = json!({
        "description": "A digit; 0, null, \"\" or \".\" for a blank.",
        "oneOf": [
            { "type": "integer", "minimum": 0, "maximum": 16 },
            { "type": "string", "pattern": "^(|\\.|[0-9]|1[0-6]|[A-Ga-g])$" },
            { "type": "null" },
        ],
    });
    json!({
        "description": "A Sudoku of 4, 6, 9 or 16 rows.",
        "oneOf": [
            {
                "type": "string",
                "description": "One character per cell, row by row: 1-9, then A-G; `.` or `0` (or another character all \
                                over the board) for blanks. Line breaks, borders and rulers are passed over.",
                "minLength": 16,
            },
            { "type": "array", "description": "A string per row.", "minItems": 4, "maxItems": 16,
              "items": { "type": "string", "minLength": 4 } },
            { "type": "array", "description": "An array per row.", "minItems": 4, "maxItems": 16,
              "items": { "type": "array", "minItems": 4, "maxItems": 16, "items": cell.clone() } },
            { "type": "array", "description": "All cells, row by row.", "minItems": 16, "maxItems": 256, "items": cell },
        ],
    })
}

fn maze_puzzle() -> Value {
    let cells = "`#` wall, blank or `.` free, `S` start, `G` goal (or `s` and `e`, `E` and `X`, `A` and `B`); `o`, the path \
                 of a former answer, is read as free; in a matrix `1` wall and `0` free";
    json!({
        "description": format!("A maze of 1 to 255 rows and columns: {cells}."),
        "oneOf": [
            {
                "type": "string",
                "description": "A line per row; or all cells of a square in one line.",
                "minLength": 2,
            },
            {
                "type": "array",
                "description": "A string per row.",
                "items": { "type": "string" },
                "minItems": 1,
                "maxItems": 255,
            },
            {
                "type": "array",
                "description": "A character, or 0 or 1, per cell.",
                "items": { "type": "array", "items": { "type": ["string", "integer"] }, "maxItems": 255 },
                "minItems": 1,
                "maxItems": 255,
            },
        ],
    })
}

fn arc_task() -> Value {
    let row = json!({ "type": "array", "minItems": 1, "maxItems": 30,
                      "items": { "type": "integer", "minimum": 0, "maximum": 9 } });
    let grid = json!({ "type": "array", "minItems": 1, "maxItems": 30, "items": row });
    let pairs = |required: Value| {
        let pair = json!({ "type": "object", "properties": { "input": grid, "output": grid }, "required": required });
        json!({ "type": "array", "minItems": 1, "maxItems": 64, "items": pair })
    };
    json!({
        "type": "object",
        "description": "A task in ARC's own form: rows of colours from 0 to 9. Outputs of test inputs, where they are sent, \
                        are compared with the attempts.",
        "properties": { "train": pairs(json!(["input", "output"])), "test": pairs(json!(["input"])) },
        "required": ["train", "test"],
    })
}

/// A task, its name, or both, or a list of such, and the options beside.
fn arc_request(options: &Value) -> Value {
    let task = json!({ "$ref": "#/components/schemas/ArcTask" });
    let name =
        json!({ "type": "string", "description": "Name of a task that the model was trained on.", "maxLength": 256 });
    let question = json!({
        "type": "object",
        "properties": { "task": task, "task_id": name },
        "anyOf": [{ "required": ["task"] }, { "required": ["task_id"] }],
    });
    let mut request = options.clone();
    request["description"] = json!("`task`, `task_id` or both, or `puzzles`, a list of such, and options.");
    request["properties"]["task"] = task;
    request["properties"]["task_id"] = name;
    request["properties"]["puzzles"] = json!({ "type": "array", "minItems": 1, "items": question });
    request["anyOf"] = json!([{ "required": ["task"] }, { "required": ["task_id"] }, { "required": ["puzzles"] }]);
    request
}

fn problem() -> Value {
    let types: Vec<String> = ProblemKind::ALL.iter().map(|kind| kind.urn()).collect();
    let place = json!({
        "type": "object",
        "properties": { "row": { "type": "integer", "minimum": 1 }, "column": { "type": "integer", "minimum": 1 } },
        "required": ["row", "column"],
    });
    json!({
        "type": "object",
        "description": "Why a request got no answer (RFC 9457).",
        "properties": {
            "type": { "type": "string", "enum": types },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What is wrong, what was expected, what to do." },
            "puzzle": { "type": "integer", "minimum": 0, "description": "Place of the puzzle in the batch." },
            "conflict": {
                "type": "object",
                "description": "What contradicts each other, counted from 1.",
                "properties": {
                    "digit": { "type": "integer" },
                    "cells": { "type": "array", "items": place, "minItems": 2, "maxItems": 2 },
                },
                "required": ["cells"],
            },
            "retry_after_seconds": { "type": "integer", "minimum": 1 },
            "commands": {
                "type": "array",
                "description": "What adapts a model to an unknown ARC task, in order.",
                "items": { "type": "string" },
            },
            "request_id": { "type": "string", "description": "As in the header `x-request-id`." },
        },
        "required": ["type", "title", "status", "detail"],
    })
}

/// The data of a `problem` event: a problem, and always whose.
fn problem_event() -> Value {
    json!({
        "description": "Why a puzzle has no answer.",
        "allOf": [{ "$ref": "#/components/schemas/Problem" }, { "type": "object", "required": ["puzzle"] }],
    })
}

/// One event of a stream: its name, and its data as JSON in one line.
fn stream_event(step: &str, answer: &str) -> Value {
    events(
        "A server-sent event. Each puzzle has steps and ends with one answer or problem; `puzzle` in the data is its place in \
         the list. Lines that begin with a colon only show that the stream is alive.",
        &[
            ("step", "A reasoning step.", step),
            ("answer", "A puzzle's answer.", answer),
            ("problem", "Why a puzzle has no answer.", "ProblemEvent"),
        ],
    )
}

/// One event of a job.
fn job_event() -> Value {
    events(
        "A server-sent event. A job ends with an answer or a problem.",
        &[
            ("progress", "The job is further than it was.", "Job"),
            ("answer", "The job is done.", "Job"),
            ("problem", "Why there is no answer.", "ProblemEvent"),
        ],
    )
}

/// A server-sent event of any of these names, with what each means and holds.
fn events(description: &str, kinds: &[(&str, &str, &str)]) -> Value {
    let event = |&(name, description, data): &(&str, &str, &str)| {
        json!({
            "title": name,
            "description": description,
            "properties": {
                "event": { "const": name },
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": { "$ref": format!("#/components/schemas/{data}") },
                },
            },
        })
    };
    json!({
        "type": "object",
        "description": description,
        "properties": { "event": { "type": "string" }, "data": { "type": "string" } },
        "required": ["event", "data"],
        "oneOf": kinds.iter().map(event).collect::<Vec<_>>(),
    })
}
