//! The operations: method, path, what goes in and what comes out. A test holds the list against the router.

use serde_json::{Value, json};

use super::examples::{arc_examples, maze_examples, sudoku_examples};
use super::schemas::{
    maze_sample_parameters, option_parameters, query_parameters, sudoku_sample_parameters, task_id_parameter,
};
use crate::http::ProblemKind as Kind;
use crate::http::arc::SamplesQuery;

/// One method of one route.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Name of the operation in generated clients.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: fn() -> Vec<Value>,
    pub(super) body: Option<fn() -> Value>,
    /// What is answered besides problems, by status.
    pub(super) responses: fn() -> Value,
    pub(super) problems: fn() -> Vec<Kind>,
}

const SOLVE: &str = "One puzzle or a batch. Options may stand in the body or in the query string; the body wins. With \
                     `stream` or `Accept: text/event-stream` every reasoning step is an event; with `Accept: image/png` \
                     the answer to one puzzle is a picture, with `image/gif` its steps are an animation.";

/// All operations.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: "post",
        path: "/solve/sudoku",
        id: "solveSudoku",
        tag: "solve",
        summary: "Solves Sudoku.",
        description: SOLVE,
        parameters: option_parameters,
        body: Some(|| body("Sudoku", "SudokuPuzzle", "SudokuRequest", &sudoku_examples(), false)),
        responses: || solved("SolveResponse", "BatchResponse", "SolveEvent"),
        problems: || {
            solve_problems(&[
                Kind::WrongSize,
                Kind::Ambiguous,
                Kind::Candidates,
                Kind::NoModel,
                Kind::Contradictory,
                Kind::UnsupportedMedia,
            ])
        },
    },
    Operation {
        method: "post",
        path: "/solve/maze",
        id: "solveMaze",
        tag: "solve",
        summary: "Finds shortest ways through mazes.",
        description: SOLVE,
        parameters: option_parameters,
        body: Some(|| body("a maze", "MazePuzzle", "MazeRequest", &maze_examples(), true)),
        responses: || solved("SolveResponse", "BatchResponse", "SolveEvent"),
        problems: || {
            solve_problems(&[
                Kind::WrongSize,
                Kind::Ambiguous,
                Kind::NoModel,
                Kind::MazeEndMissing,
                Kind::MazeEndTwice,
                Kind::MazeSeparated,
                Kind::UnreadablePicture,
            ])
        },
    },
    Operation {
        method: "post",
        path: "/solve/arc",
        id: "solveArc",
        tag: "solve",
        summary: "Answers ARC tasks with two attempts per test input.",
        description: "Copies of the task, each with the puzzle embedding that the model learnt for it, vote. In streams, \
                      steps carry `test` and `augmentation` instead of `chain`. A model knows the tasks that it was trained \
                      on. A server with `--adapt` learns others, one in a request: it answers 202 with a job. Without it the \
                      problem `unknown-task` names the commands.",
        parameters: option_parameters,
        body: Some(|| body("The name of a task", "ArcTask", "ArcRequest", &arc_examples(), false)),
        responses: solved_or_accepted,
        problems: || solve_problems(&[Kind::NoModelForTask, Kind::UnknownTask, Kind::UnsupportedMedia]),
    },
    Operation {
        method: "get",
        path: "/jobs/{id}",
        id: "job",
        tag: "jobs",
        summary: "Where the learning of an ARC task stands, and its answer at the end.",
        description: "The answer is what `POST /solve/arc` gives; from then on that route answers for the task at once.",
        parameters: job_parameters,
        body: None,
        responses: || ok("The job.", &reference("Job")),
        problems: || vec![Kind::UnknownJob, Kind::Unauthorized],
    },
    Operation {
        method: "delete",
        path: "/jobs/{id}",
        id: "cancelJob",
        tag: "jobs",
        summary: "Ends a job and forgets what it has learned.",
        description: "",
        parameters: job_parameters,
        body: None,
        responses: || ok("The job, cancelled.", &reference("Job")),
        problems: || vec![Kind::UnknownJob, Kind::Unauthorized, Kind::Internal],
    },
    Operation {
        method: "get",
        path: "/jobs/{id}/events",
        id: "watchJob",
        tag: "jobs",
        summary: "The same as a stream.",
        description: "A `progress` event for each change, then an `answer` or a `problem`.",
        parameters: job_parameters,
        body: None,
        responses: || {
            json!({ "200": {
                "description": "Events.",
                "content": { "text/event-stream": { "schema": reference("JobEvent") } },
            } })
        },
        problems: || vec![Kind::UnknownJob, Kind::Unauthorized, Kind::JobCancelled],
    },
    Operation {
        id: "readSudoku",
        summary: "Reads a Sudoku without solving it.",
        body: Some(|| body("Sudoku", "SudokuPuzzle", "SudokuRequest", &json!({}), false)),
        problems: || solve_problems(&[Kind::WrongSize, Kind::Ambiguous, Kind::Candidates, Kind::UnsupportedMedia]),
        ..READ
    },
    Operation { path: "/read/maze", id: "readMaze", summary: "Reads a maze without solving it.", ..READ },
    Operation {
        method: "get",
        path: "/samples/sudoku",
        id: "sampleSudoku",
        tag: "samples",
        summary: "A Sudoku with exactly one solution.",
        description: "Minimal: no clue can be spared, unless `extra_clues` are asked for.",
        parameters: sudoku_sample_parameters,
        body: None,
        responses: || ok("The puzzle.", &reference("SudokuSample")),
        problems: || sample_problems(&[]),
    },
    Operation {
        method: "get",
        path: "/samples/maze",
        id: "sampleMaze",
        tag: "samples",
        summary: "A maze with a long shortest way.",
        description: "",
        parameters: maze_sample_parameters,
        body: None,
        responses: || ok("The maze.", &reference("MazeSample")),
        problems: || sample_problems(&[Kind::NoModel]),
    },
    Operation {
        method: "get",
        path: "/samples/arc",
        id: "sampleArc",
        tag: "samples",
        summary: "Names of tasks that can be asked for by name alone.",
        description: "",
        parameters: query_parameters::<SamplesQuery>,
        body: None,
        responses: || ok("The names.", &reference("ArcSamples")),
        problems: || sample_problems(&[Kind::NoModelForTask]),
    },
    Operation {
        method: "get",
        path: "/samples/arc/{task_id}",
        id: "sampleArcTask",
        tag: "samples",
        summary: "A task that a model knows, without the answers of its test pairs.",
        description: "In the form that `POST /solve/arc` takes.",
        parameters: task_id_parameter,
        body: None,
        responses: || ok("The task.", &reference("ArcSample")),
        problems: || sample_problems(&[Kind::NoModelForTask, Kind::UnknownTask]),
    },
    Operation {
        path: "/health",
        id: "health",
        summary: "Whether every engine runs, and the state of each.",
        responses: || ok("All engines run.", &json!({ "type": "object" })),
        problems: || vec![Kind::Stopping],
        ..PROBE
    },
    Operation {
        path: "/livez",
        id: "live",
        summary: "Whether the process answers and no engine has died; if not, only a restart helps.",
        responses: || ok("Alive.", &json!({ "type": "object" })),
        problems: || vec![Kind::Stopping],
        ..PROBE
    },
    Operation {
        path: "/readyz",
        id: "ready",
        summary: "Whether requests are welcome: no engine has died, and the process is not about to end.",
        responses: || ok("Ready.", &json!({ "type": "object" })),
        problems: || vec![Kind::Stopping],
        ..PROBE
    },
    Operation {
        path: "/metrics",
        id: "metrics",
        summary: "Counters for Prometheus.",
        responses: || json!({ "200": { "description": "Prometheus' text form.", "content": { "*/*": {} } } }),
        problems: || vec![Kind::Unauthorized],
        ..PROBE
    },
    Operation {
        method: "post",
        path: "/admin/reload",
        id: "reload",
        summary: "Loads every model afresh and answers when the new ones serve.",
        description: "Only where the operator has set API keys. Requests in flight finish on the models that they began with.",
        responses: || ok("What serves now.", &json!({ "type": "object" })),
        problems: || vec![Kind::Unauthorized, Kind::Forbidden, Kind::ReloadRunning, Kind::ReloadFailed],
        ..PROBE
    },
    Operation {
        method: "get",
        path: "/info",
        id: "info",
        tag: "operation",
        summary: "Models, their policies and counters, the runtime that really computes, limits.",
        description: "",
        parameters: Vec::new,
        body: None,
        responses: || ok("What runs here.", &json!({ "type": "object" })),
        problems: || vec![Kind::Unauthorized],
    },
    document("/", "page", "The page for people.", "text/html"),
    Operation {
        parameters: || vec![path_parameter("name", "A file that the page loads.")],
        problems: || vec![Kind::NotFound],
        ..document("/page/{name}", "pageFile", "A file of the page.", "*/*")
    },
    document("/docs", "docs", "This description as a page.", "text/html"),
    Operation {
        parameters: || vec![path_parameter("file", "A file that the page loads.")],
        problems: || vec![Kind::NotFound],
        ..document("/docs/{file}", "docsFile", "A file of the description's page.", "*/*")
    },
    Operation {
        responses: || ok("This document.", &json!({ "type": "object" })),
        ..document("/openapi.json", "openapi", "This description.", "application/json")
    },
];

/// What the routes that only read have in common.
const READ: Operation = Operation {
    method: "post",
    path: "/read/sudoku",
    id: "",
    tag: "solve",
    summary: "",
    description: "The forms are those of the route that solves; the answer is the puzzle in the plainest of them.",
    parameters: Vec::new,
    body: Some(|| body("a maze", "MazePuzzle", "MazeRequest", &json!({}), true)),
    responses: || ok("The puzzle as it was read.", &reference("ReadResponse")),
    problems: || solve_problems(&[Kind::WrongSize, Kind::Ambiguous, Kind::UnreadablePicture]),
};

/// What operators' routes have in common.
pub(super) const PROBE: Operation = Operation {
    method: "get",
    path: "",
    id: "",
    tag: "operation",
    summary: "",
    description: "",
    parameters: Vec::new,
    body: None,
    responses: || json!({}),
    problems: Vec::new,
};

/// A file to look at.
const fn document(path: &'static str, id: &'static str, summary: &'static str, media_type: &'static str) -> Operation {
    Operation {
        method: "get",
        path,
        id,
        tag: "documents",
        summary,
        description: "",
        parameters: Vec::new,
        body: None,
        responses: match media_type.as_bytes() {
            b"text/html" => || file("text/html"),
            _ => || file("*/*"),
        },
        problems: Vec::new,
    }
}

fn file(media_type: &str) -> Value {
    json!({ "200": { "description": "The file.", "content": { media_type: {} } } })
}

pub(super) fn path_parameter(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": { "type": "string" } })
}

fn job_parameters() -> Vec<Value> {
    let mut parameter = path_parameter("id", "The job, as the answer 202 names it.");
    parameter["schema"]["pattern"] = json!("^[0-9a-f]{32}$");
    vec![parameter]
}

/// What `/solve/arc` answers, on servers that learn tasks and on others.
fn solved_or_accepted() -> Value {
    let mut responses = solved("ArcResponse", "ArcBatchResponse", "ArcEvent");
    responses["202"] = json!({
        "description": "No model knows the task, and a job learns it (`--adapt`).",
        "headers": { "Location": { "description": "The job.", "schema": { "type": "string" } } },
        "content": { "application/json": { "schema": reference("Job") } },
    });
    responses
}

pub(super) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

pub(super) fn ok(description: &str, schema: &Value) -> Value {
    json!({ "200": { "description": description, "content": { "application/json": { "schema": schema } } } })
}

/// What every route that solves may answer, besides its own.
pub(super) fn solve_problems(own: &[Kind]) -> Vec<Kind> {
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
    common.into_iter().chain(own.iter().copied()).collect()
}

fn sample_problems(own: &[Kind]) -> Vec<Kind> {
    let common =
        [Kind::Malformed, Kind::InvalidOption, Kind::Unauthorized, Kind::Overloaded, Kind::Engine, Kind::Timeout];
    common.into_iter().chain(own.iter().copied()).collect()
}

fn body(what: &str, puzzle: &str, request: &str, examples: &Value, has_pictures: bool) -> Value {
    let alone = json!({ "oneOf": [reference(request), reference(puzzle)] });
    let mut content = json!({
        "application/json": { "schema": alone, "examples": examples },
        "text/plain": { "schema": { "type": "string", "description": format!("{what} alone, as text.") } },
    });
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

fn solved(one: &str, batch: &str, event: &str) -> Value {
    let header = |description: &str, kind: &str| json!({ "description": description, "schema": { "type": kind } });
    json!({
        "200": {
            "description": "The answer, or what the model made of it: `solved` tells which.",
            "headers": {
                "x-trm-solved": header("With pictures: whether there is a solution.", "boolean"),
                "x-trm-verified": header("With pictures: whether the rules are obeyed.", "boolean"),
                "x-trm-steps": header("With pictures: supervision steps of the chain that answered.", "integer"),
                "x-trm-q": header("With pictures: its last Q value.", "number"),
            },
            "content": {
                "application/json": {
                    "schema": { "oneOf": [reference(one), reference(batch)] },
                },
                // OpenAPI 3.1 describes one event of the stream.
                "text/event-stream": { "schema": reference(event) },
                "image/png": { "schema": { "type": "string", "contentMediaType": "image/png" } },
                "image/gif": { "schema": { "type": "string", "contentMediaType": "image/gif" } },
            },
        },
    })
}
