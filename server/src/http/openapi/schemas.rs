//! What neither attributes nor derived schemas express: forms of bodies that are read by hand, events of streams, problems.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde_json::{Value, json};
use utoipa::openapi::content::Content;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use crate::http::ProblemKind;
use crate::http::pipeline::Solvable;

/// Adds the schemas that no type has.
pub(super) fn add(schemas: &mut Value) {
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
    schemas["InferenceError"] =
        json!({ "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } } });
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The body of a route that reads puzzles, for the extension `x-request-body`: JSON, text or, of mazes, a picture. Examples
/// are made by functions, which attributes do not take.
pub(in crate::http) fn body_of(
    what: &str,
    puzzle: &str,
    request: &str,
    examples: Option<Value>,
    has_pictures: bool,
) -> Value {
    let alone = json!({ "oneOf": [reference(request), reference(puzzle)] });
    let mut content = json!({
        "application/json": { "schema": alone },
        "text/plain": { "schema": { "type": "string", "description": format!("{what} alone, as text.") } },
    });
    if let Some(examples) = examples {
        content["application/json"]["examples"] = examples;
    }
    if has_pictures {
        content["image/png"] = json!({
            "schema": { "description": "Dark cells are walls, light ones free, a green one or S is the start, a red one \
                                        or G the goal. Options then stand in the query string.",
                        "type": "string", "contentMediaType": "image/png" },
        });
    }
    json!({
        "required": true,
        "description": "Recognised by its first bytes; the content type need not fit.",
        "content": content,
    })
}

/// What the routes below `/solve` answer: JSON, a stream of events or a picture.
pub(in crate::http) struct Answers<P>(PhantomData<P>);

impl<P: Solvable> IntoResponses for Answers<P> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let schema = |name: Cow<'_, str>| Ref::from_schema_name(name);
        let header = |kind: Type, description: &str| -> Header {
            HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(description)).build()
        };
        let picture = |media_type: &str| {
            Content::new(Some(ObjectBuilder::new().schema_type(Type::String).content_media_type(media_type)))
        };
        let answers = OneOfBuilder::new().item(schema(P::Json::name())).item(schema(P::BatchJson::name()));
        let response = ResponseBuilder::new()
            .description("The answer, or what the model made of it: `solved` tells which.")
            .header("x-trm-solved", header(Type::Boolean, "With pictures: whether there is a solution."))
            .header("x-trm-verified", header(Type::Boolean, "With pictures: whether the rules are obeyed."))
            .header(
                "x-trm-steps",
                header(Type::Integer, "With pictures: supervision steps of the chain that answered."),
            )
            .header("x-trm-q", header(Type::Number, "With pictures: its last Q value."))
            .content("application/json", Content::new(Some(answers)))
            // OpenAPI 3.1 describes one event of the stream.
            .content("text/event-stream", Content::new(Some(schema(P::EVENT.into()))))
            .content("image/png", picture("image/png"))
            .content("image/gif", picture("image/gif"));
        BTreeMap::from([("200".to_owned(), response.build().into())])
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
