//! The HTTP interface on oracles instead of models: every form of a puzzle, every way to be wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use datasets::sudoku::SudokuShape;
use engine::registry::{EngineLimits, Models, Registry, ServedModel};
use engine::task::{Task, rules};
use engine::{Engine, RuntimeFacts, StepBatch, StepError, StepModel, StepOutcome};
use serde_json::{Value, json};
use server::http::{HttpLimits, router};
use tower::ServiceExt;

use crate::manual_clock::ManualClock;
use crate::oracle::{Oracle, STEPS, card};

/// The puzzle of the English Wikipedia's article on Sudoku.
const PUZZLE: &str = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
const SOLUTION: &str = "534678912672195348198342567859761423426853791713924856961537284287419635345286179";
const SMALL: &str = "1...............";
const LIMITS: EngineLimits = EngineLimits::plain(2, 3, 64);
const HTTP_LIMITS: HttpLimits =
    HttpLimits { max_body_bytes: 2000, max_puzzles: 3, request_timeout: Duration::from_secs(30) };

fn model(shape: SudokuShape, oracle: Oracle) -> ServedModel {
    let name = format!("sudoku-{0}x{0}", shape.size());
    ServedModel::start(card(&name, shape), Task::Sudoku(shape), oracle, LIMITS).unwrap()
}

fn routes(models: Vec<ServedModel>, limits: HttpLimits) -> Router {
    let facts = RuntimeFacts {
        library: "none".into(),
        build: String::new(),
        execution_provider: "CPUExecutionProvider",
        threads: 1,
    };
    router(Arc::new(Models::new(Registry::new(models).unwrap())), limits, facts)
}

pub(crate) fn app() -> Router {
    let models = [SudokuShape::FOUR, SudokuShape::NINE].map(|shape| model(shape, Oracle::new(shape)));
    routes(models.into(), HTTP_LIMITS)
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
}

async fn post(app: &Router, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
    send(app, Request::post("/solve/sudoku").body(body.into()).unwrap()).await
}

async fn solve(body: Value) -> Value {
    let (status, _, answer) = post(&app(), body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

/// Status, last part of the type, and detail of a refusal.
async fn refuse(body: impl Into<Body>) -> (u16, String, String) {
    problem(post(&app(), body).await)
}

fn problem((status, headers, body): (StatusCode, HeaderMap, Value)) -> (u16, String, String) {
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(body["status"], status.as_u16());
    let kind = body["type"].as_str().unwrap().strip_prefix("urn:trm:problem:").unwrap();
    (status.as_u16(), kind.to_owned(), body["detail"].as_str().unwrap().to_owned())
}

fn rows(text: &str, size: usize) -> Value {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(10).unwrap_or(0)).collect();
    json!(digits.chunks(size).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_puzzle_comes_back_solved_in_the_form_it_was_sent() {
    let flat: Vec<u32> = PUZZLE.chars().map(|c| c.to_digit(10).unwrap_or(0)).collect();
    let flat_solution: Vec<u32> = SOLUTION.chars().filter_map(|c| c.to_digit(10)).collect();
    let mut with_nulls = rows(PUZZLE, 9);
    with_nulls[0][2] = Value::Null;
    with_nulls[0][3] = json!("");
    with_nulls[0][0] = json!("5");
    for (sent, expected) in [
        (json!({ "puzzle": PUZZLE }), json!(SOLUTION)),
        (json!({ "puzzle": PUZZLE.replace('.', "0") }), json!(SOLUTION)),
        (json!(PUZZLE), json!(SOLUTION)),
        (json!({ "puzzle": rows(PUZZLE, 9) }), rows(SOLUTION, 9)),
        (rows(PUZZLE, 9), rows(SOLUTION, 9)),
        (with_nulls, rows(SOLUTION, 9)),
        (json!({ "puzzle": flat }), json!(flat_solution)),
    ] {
        let answer = solve(sent.clone()).await;
        assert_eq!(answer["solution"], expected, "{sent}");
    }
}

#[tokio::test]
async fn plain_text_is_a_puzzle_too() {
    let lines: Vec<String> = PUZZLE.as_bytes().chunks(9).map(|row| String::from_utf8(row.to_vec()).unwrap()).collect();
    for body in [PUZZLE.to_owned(), format!("  {}\n", PUZZLE.replace('.', "0")), lines.join("\n")] {
        let (status, _, answer) = post(&app(), body).await;
        assert_eq!((status, &answer["solution"]), (StatusCode::OK, &json!(SOLUTION)));
    }
}

#[tokio::test]
async fn the_answer_says_how_it_was_found() {
    let answer = solve(json!({ "puzzle": PUZZLE })).await;
    assert_eq!(
        (&answer["solved"], &answer["verified"], &answer["stopped"]),
        (&json!(true), &json!(true), &json!("verified"))
    );
    assert_eq!((&answer["steps"], &answer["q"]), (&json!(STEPS), &json!(0.5)));
    assert_eq!(answer["model"], json!({ "name": "sudoku-9x9", "sha256": "5eed".repeat(16) }));
    let timing = |name: &str| answer["timings"][name].as_f64().unwrap();
    assert!((timing("queue_ms") + timing("compute_ms") - timing("total_ms")).abs() < 0.003);
    for absent in ["attempt", "grid", "trace"] {
        assert!(answer.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn options_are_honoured() {
    let answer =
        solve(json!({ "puzzle": PUZZLE, "grid": true, "trace": true, "halting": "fixed", "max_steps": 5 })).await;
    assert_eq!((&answer["steps"], &answer["stopped"], &answer["verified"]), (&json!(5), &json!("steps"), &json!(true)));
    let trace = answer["trace"].as_array().unwrap();
    assert_eq!(trace.len(), 5);
    assert_eq!(trace[1], json!({ "chain": 0, "step": 2, "answer": PUZZLE, "q": -0.5 }));
    assert_eq!(trace[2], json!({ "chain": 0, "step": 3, "answer": SOLUTION, "q": 0.5 }));
    assert!(answer["grid"].as_str().unwrap().starts_with(" 5 3 4 | 6 7 8 | 9 1 2\n"));

    // Two steps are too few for the oracle: no solution is claimed.
    let answer = solve(json!({ "puzzle": PUZZLE, "max_steps": 2 })).await;
    assert_eq!(
        (&answer["solution"], &answer["solved"], &answer["verified"]),
        (&Value::Null, &json!(false), &json!(false))
    );
    assert_eq!(answer["attempt"], PUZZLE);
}

#[tokio::test]
async fn a_batch_keeps_its_order_across_models() {
    let answer = solve(json!({ "puzzles": [rows(PUZZLE, 9), SMALL, PUZZLE] })).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["solution"], rows(SOLUTION, 9));
    assert_eq!(results[1]["model"]["name"], "sudoku-4x4");
    assert!(results[1]["solution"].as_str().unwrap().starts_with('1'));
    assert_eq!(results[2]["solution"], SOLUTION);
    let one = solve(json!({ "puzzles": [PUZZLE] })).await;
    assert_eq!(one["results"][0]["solution"], SOLUTION);
}

#[tokio::test]
async fn malformed_bodies_are_400_and_say_where() {
    for (body, says) in [
        (String::new(), "the body is empty"),
        ("{".to_owned(), "EOF while parsing"),
        ("{}".to_owned(), "\"puzzle\" is missing"),
        (json!({ "puzzle": 5 }).to_string(), "a puzzle is a string or an array"),
        (json!({ "puzzle": PUZZLE, "max_step": 3 }).to_string(), "unknown field `max_step`"),
        (json!({ "puzzle": PUZZLE, "halting": "never" }).to_string(), "unknown variant `never`"),
        (json!({ "puzzle": PUZZLE, "puzzles": [PUZZLE] }).to_string(), "not both"),
        (json!({ "puzzles": [] }).to_string(), "\"puzzles\" is empty"),
        (PUZZLE.replacen('.', "z", 1), "character 'z' at line 1, column 3"),
        (json!({ "puzzles": [PUZZLE, PUZZLE.replacen('.', "h", 1)] }).to_string(), "puzzles[1]: character 'h'"),
        (rows(PUZZLE, 9).to_string().replacen('7', "10", 1), "row 1, column 5 holds 10"),
        (rows(PUZZLE, 9).to_string().replacen('7', "-7", 1), "row 1, column 5 holds -7"),
        (rows(PUZZLE, 9).to_string().replacen('7', "7.5", 1), "row 1, column 5 holds 7.5"),
        (rows(PUZZLE, 9).to_string().replacen('7', "{}", 1), "row 1, column 5 holds {}"),
        ("[".repeat(1500), "recursion limit"),
    ] {
        let (status, kind, detail) = refuse(body).await;
        assert_eq!((status, kind.as_str()), (400, "malformed-request"), "{detail}");
        assert!(detail.contains(says), "{detail:?} does not contain {says:?}");
    }
    let (status, _, detail) = refuse(vec![0xff, 0xc0]).await;
    assert!(status == 400 && detail.contains("not UTF-8"), "{detail}");
}

#[tokio::test]
async fn boards_of_the_wrong_size_are_422() {
    for (body, kind, says) in [
        (PUZZLE[..80].to_owned(), "wrong-size", "found 80"),
        (format!("{PUZZLE}1"), "wrong-size", "found 82"),
        ("[]".to_owned(), "wrong-size", "found 0"),
        (json!([[1, 2], [3, 4, 0]]).to_string(), "wrong-size", "found 2"),
        (json!([[1, 2, 3, 4], [0, 0, 0], [0], []]).to_string(), "wrong-size", "row 2 has 3 cells"),
        (json!({ "puzzles": [PUZZLE, "12"] }).to_string(), "wrong-size", "puzzles[1]: "),
        (
            ".".repeat(36),
            "no-model-for-size",
            "a 6x6 Sudoku needs a model that is not loaded; this server solves 4x4 Sudoku, 9x9 Sudoku",
        ),
    ] {
        let (status, found, detail) = refuse(body).await;
        assert_eq!((status, found.as_str()), (422, kind), "{detail}");
        assert!(detail.contains(says), "{detail:?} does not contain {says:?}");
    }
}

#[tokio::test]
async fn contradictory_givens_are_422_and_name_both_cells() {
    let contradictory = format!("55{}", &PUZZLE[2..]);
    let (status, headers, body) = post(&app(), contradictory).await;
    assert_eq!(
        body["conflict"],
        json!({ "digit": 5, "cells": [{ "row": 1, "column": 1 }, { "row": 1, "column": 2 }] })
    );
    let (status, kind, detail) = problem((status, headers, body));
    assert_eq!((status, kind.as_str()), (422, "contradictory-givens"));
    assert!(detail.contains("row 1, column 1 and at row 1, column 2"), "{detail}");
}

#[tokio::test]
async fn limits_have_their_own_statuses() {
    let (status, kind, detail) = refuse("1".repeat(2001)).await;
    assert_eq!((status, kind.as_str()), (413, "body-too-large"));
    assert!(detail.contains("2000 bytes"), "{detail}");
    let (status, kind, _) = refuse(json!({ "puzzles": [SMALL, SMALL, SMALL, SMALL] }).to_string()).await;
    assert_eq!((status, kind.as_str()), (413, "too-many-puzzles"));
    let (status, kind, detail) = refuse(json!({ "puzzle": PUZZLE, "max_steps": 65 }).to_string()).await;
    assert_eq!((status, kind.as_str()), (400, "invalid-option"));
    assert!(detail.contains("max_steps: expected 1 to 64, found 65"), "{detail}");
    let three_long_traces = json!({ "puzzles": [SMALL, SMALL, SMALL], "trace": true, "max_steps": 1_000_000_000 });
    let (status, kind, detail) = refuse(three_long_traces.to_string()).await;
    assert_eq!((status, kind.as_str()), (400, "invalid-option"));
    assert!(detail.starts_with("trace: all steps together may have 48000000000 cells"), "{detail}");
    let (status, kind, _) = refuse(json!({ "puzzle": PUZZLE, "deadline_ms": 0 }).to_string()).await;
    assert_eq!((status, kind.as_str()), (429, "deadline-passed"));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_429_with_retry_after_and_a_slow_model_504() {
    let (oracle, gate) = Oracle::gated(SudokuShape::NINE);
    let limits = HttpLimits { request_timeout: Duration::from_millis(200), ..HTTP_LIMITS };
    let app = routes(vec![model(SudokuShape::NINE, oracle)], limits);
    // The oracle stands at its gate, and the clock jumps when everybody waits: what is accepted waits until its time is over.
    let body = json!({ "puzzles": [PUZZLE, PUZZLE, PUZZLE] }).to_string();
    let (first, second, third) =
        tokio::join!(post(&app, body.clone()), post(&app, body.clone()), post(&app, body.clone()));
    let mut statuses = [first, second, third].map(|answer| {
        let retry_after = answer.1.get("retry-after").map(|value| value.to_str().unwrap().parse::<u64>().unwrap());
        (problem(answer), retry_after)
    });
    statuses.sort_by_key(|((status, ..), _)| *status);
    let full = &statuses[0];
    assert_eq!((full.0.0, full.0.1.as_str()), (429, "queue-full"));
    assert!(full.1.is_some_and(|seconds| seconds >= 1), "{:?}", full.1);
    let late = &statuses[2];
    assert_eq!((late.0.0, late.0.1.as_str(), late.1), (504, "timeout", None));
    drop(gate);
}

/// An oracle whose time is up in the step after it has spoken.
struct Late {
    oracle: Oracle,
    steps: usize,
    clock: Arc<ManualClock>,
}

impl StepModel for Late {
    fn seq_len(&self) -> usize {
        self.oracle.seq_len()
    }

    fn step(&mut self, batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        self.steps += 1;
        if self.steps > STEPS {
            self.clock.advance(Duration::from_hours(1));
        }
        self.oracle.step(batch)
    }
}

/// Nothing fits into the last cell of the first row, so no step of the oracle answers it, and its steps do not end in time.
#[tokio::test]
async fn what_is_unsolved_when_time_is_up_comes_back_with_the_solved_ones() {
    let clock = Arc::new(ManualClock::new());
    let served = model(SudokuShape::NINE, Oracle::new(SudokuShape::NINE));
    let late = Late { oracle: Oracle::new(SudokuShape::NINE), steps: 0, clock: clock.clone() };
    let (rules, limits) = (rules(served.task, &served.card.arch), *served.engine.options());
    let engine = Engine::start_with_clock(late, rules, limits, clock).unwrap();
    let app = routes(vec![ServedModel { engine, ..served }], HTTP_LIMITS);
    let unsolvable = format!("12345678.........9{}", ".".repeat(63));
    let body = json!({ "puzzles": [PUZZLE, unsolvable], "max_steps": 64 });
    let (status, _, answer) = post(&app, body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let results = answer["results"].as_array().unwrap();
    assert_eq!((&results[0]["verified"], &results[0]["solution"]), (&json!(true), &json!(SOLUTION)));
    assert_eq!((&results[1]["verified"], &results[1]["stopped"]), (&json!(false), &json!("deadline")));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let app = app();
    let request = |method: &str, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let (status, kind, _) = problem(send(&app, request("GET", "/nowhere")).await);
    assert_eq!((status, kind.as_str()), (404, "not-found"));
    let answer = send(&app, request("GET", "/solve/sudoku")).await;
    assert_eq!(answer.1["allow"], "POST");
    assert_eq!(problem(answer).1, "method-not-allowed");
    assert_eq!(problem(send(&app, request("POST", "/health")).await).0, 405);
}

#[tokio::test]
async fn health_and_info_tell_the_truth() {
    let app = app();
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let (status, _, health) = send(&app, get("/health")).await;
    let idle =
        |name: &str| json!({ "name": name, "sha256": "5eed".repeat(16), "waiting": 0, "slots_in_use": 0, "slots": 2 });
    let models = [idle("sudoku-4x4"), idle("sudoku-9x9")];
    assert_eq!((status, health), (StatusCode::OK, json!({ "status": "ok", "phase": "ready", "models": models })));
    post(&app, PUZZLE).await;
    let (_, _, info) = send(&app, get("/info")).await;
    assert_eq!(info["runtime"]["execution_provider"], "CPUExecutionProvider");
    assert_eq!(
        info["limits"],
        json!({ "max_body_bytes": 2000, "max_puzzles": 3, "request_timeout_ms": 30_000, "max_in_flight": 2048 })
    );
    let sizes: Vec<&Value> = info["models"].as_array().unwrap().iter().map(|model| &model["board_size"]).collect();
    assert_eq!(sizes, [&json!(4), &json!(9)]);
    let nine = &info["models"][1];
    assert_eq!((&nine["name"], &nine["task"], &nine["seq_len"]), (&json!("sudoku-9x9"), &json!("sudoku"), &json!(81)));
    assert_eq!(nine["arch"]["name"], "trm");
    assert_eq!(nine["engine"]["options"]["default_policy"]["max_steps"], 16);
    assert_eq!(
        (&nine["engine"]["counters"]["answered"], &nine["engine"]["counters"]["rows"]),
        (&json!(1), &json!(STEPS))
    );
}
