//! ARC's routes on a scripted model: every form of a task, every way to be wrong, events and pictures.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use engine::RuntimeFacts;
use engine::registry::{Models, Registry, ServedModel};
use serde_json::{Value, json};
use server::http::arc::body::ArcRequest;
use server::http::{HttpLimits, SolveOptions, router};
use tower::ServiceExt;

use crate::arc_world::{NUM_AUG, STEPS, Scripted, index, opinionated, task};

const LIMITS: HttpLimits =
    HttpLimits { max_body_bytes: 1 << 20, max_puzzles: 3, request_timeout: Duration::from_secs(30) };

fn routes(models: Vec<ServedModel>) -> Router {
    let facts = RuntimeFacts {
        library: "none".into(),
        build: String::new(),
        execution_provider: "CPUExecutionProvider",
        threads: 1,
    };
    router(Arc::new(Models::new(Registry::new(models).unwrap())), LIMITS, facts)
}

/// Every copy answers with what it is asked.
fn echo() -> Scripted {
    Scripted::new(|_, tokens, _| (tokens.to_vec(), 0.0))
}

fn with_tasks(model: Scripted) -> ServedModel {
    ServedModel { arc_tasks: Some(Arc::new(index())), ..model.served() }
}

fn app() -> Router {
    routes(vec![with_tasks(echo())])
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    (parts.status, parts.headers, to_bytes(body, 1 << 24).await.unwrap().to_vec())
}

async fn post(app: &Router, body: &Value) -> (StatusCode, Value) {
    let request = Request::post("/solve/arc").body(Body::from(body.to_string())).unwrap();
    let (status, _, bytes) = send(app, request).await;
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn solve(body: Value) -> Value {
    let (status, answer) = post(&app(), &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn refuse(app: &Router, body: Value) -> (u16, String, String) {
    let (status, body) = post(app, &body).await;
    let kind = body["type"].as_str().unwrap().strip_prefix("urn:trm:problem:").unwrap().to_owned();
    (status.as_u16(), kind, body["detail"].as_str().unwrap().to_owned())
}

/// A task as ARC's files hold it, without the outputs of test pairs.
fn json_of(name: &str) -> Value {
    let mut task = json!(task(name));
    for pair in task["test"].as_array_mut().unwrap() {
        pair.as_object_mut().unwrap().remove("output");
    }
    task
}

#[tokio::test]
async fn a_task_comes_back_with_attempts_for_each_test_input() {
    let task = json_of("swap");
    let bare = json!({ "train": task["train"], "test": task["test"] });
    for body in [
        json!({ "task": task }),
        bare.clone(),
        json!({ "puzzle": bare }),
        json!({ "puzzle": { "task": task, "task_id": "swap" } }),
        json!({ "task": task, "task_id": "not known", "augmentations": 99 }),
        json!({ "train": task["train"], "test": task["test"], "name": "0ca9ddb6", "uuid": 7, "comment": [] }),
        json!({ "puzzle": { "train": task["train"], "test": task["test"], "id": "0ca9ddb6" } }),
    ] {
        let answer = solve(body.clone()).await;
        assert_eq!(
            (&answer["task_id"], &answer["solved"], &answer["verified"]),
            (&json!("swap"), &Value::Null, &json!(false))
        );
        assert_eq!((&answer["steps"], &answer["augmentations"]), (&json!(STEPS), &json!(1 + NUM_AUG)));
        let tests = answer["tests"].as_array().unwrap();
        assert_eq!(tests.len(), 2);
        for (test, asked) in tests.iter().zip(task["test"].as_array().unwrap()) {
            let attempt = json!({ "grid": asked["input"], "votes": 1 + NUM_AUG, "mean_q": 0.5 });
            assert_eq!(*test, json!({ "attempts": [attempt], "correct": null }), "{body}");
        }
        assert_eq!((&answer["q"], &answer["cut_short"]), (&json!(0.5), &json!(false)));
        assert_eq!(answer["model"]["name"], "arc");
        assert!(answer["timings"]["total_ms"].is_number() && answer.get("trace").is_none());
    }
}

#[tokio::test]
async fn a_name_is_enough_where_the_test_inputs_are_known() {
    let app = app();
    for body in ["fill", "\"fill\"", "{\"task_id\": \"fill\"}", " fill\n"] {
        let request = Request::post("/solve/arc?augmentations=2").body(Body::from(body)).unwrap();
        let (status, _, bytes) = send(&app, request).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(status, StatusCode::OK, "{body}: {answer}");
        assert_eq!(answer["tests"][0]["attempts"][0]["grid"], json!([[0, 6], [6, 0]]));
        assert_eq!(
            (&answer["augmentations"], &answer["solved"]),
            (&json!(2), &json!(false)),
            "the answer is known here"
        );
    }
}

#[tokio::test]
async fn a_misspelt_option_beside_a_task_is_refused() {
    let task = json_of("swap");
    let pairs = |key: &str| json!({ "train": task["train"], "test": task["test"], (key): 3 });
    let (status, kind, detail) = refuse(&app(), pairs("max_step")).await;
    assert_eq!((status, kind.as_str()), (400, "malformed-request"));
    assert!(detail.contains("max_step"), "{detail}");
    let (status, kind, _) = refuse(&app(), json!({ "puzzle": pairs("augmentations") })).await;
    assert_eq!((status, kind.as_str()), (400, "malformed-request"));
}

#[tokio::test]
async fn outputs_that_are_sent_are_compared() {
    let mut task = json_of("swap");
    let [first, second] = [0, 1].map(|index| task["test"][index]["input"].clone());
    task["test"][0]["output"] = first.clone();
    task["test"][1]["output"] = second;
    let answer = solve(json!({ "task": task })).await;
    assert_eq!((&answer["solved"], &answer["verified"]), (&json!(true), &json!(true)));
    task["test"][1]["output"] = first;
    let answer = solve(json!({ "task": task })).await;
    assert_eq!((&answer["solved"], &answer["verified"]), (&json!(false), &json!(false)));
    assert_eq!([0, 1].map(|index| answer["tests"][index]["correct"].clone()), [json!(true), json!(false)]);
    task["test"][1].as_object_mut().unwrap().remove("output");
    let answer = solve(json!({ "task": task })).await;
    assert_eq!(answer["solved"], Value::Null, "one that is right does not speak for the other");
}

#[tokio::test]
async fn many_tasks_are_answered_in_order_and_a_bad_one_is_named() {
    let answer = solve(json!({ "puzzles": ["fill", json_of("swap"), { "task_id": "swap" }], "max_steps": 2 })).await;
    let results = answer["results"].as_array().unwrap();
    let names: Vec<&Value> = results.iter().map(|result| &result["task_id"]).collect();
    assert_eq!(names, ["fill", "swap", "swap"]);
    assert!(results.iter().all(|result| result["steps"] == 2));
    let app = app();
    let (status, kind, detail) = refuse(&app, json!({ "puzzles": ["fill", "nobody"] })).await;
    assert_eq!((status, kind.as_str()), (422, "unknown-task"));
    assert!(detail.starts_with("puzzles[1]: none of the 3 tasks"), "{detail}");
    let (status, kind, _) = refuse(&app, json!({ "puzzles": vec!["fill"; 4] })).await;
    assert_eq!((status, kind.as_str()), (413, "too-many-puzzles"));
}

#[tokio::test]
async fn an_unknown_task_is_reported_with_the_commands_that_adapt_the_model() {
    let mut task = json_of("fill");
    task["train"][0]["output"][0][0] = json!(9);
    let (status, answer) = post(&app(), &json!({ "task": task, "task_id": "mine" })).await;
    assert_eq!((status.as_u16(), &answer["type"]), (422, &json!("urn:trm:problem:unknown-task")));
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("has these 2 demonstrations") && detail.contains("nor is one called \"mine\""), "{detail}");
    let commands = answer["commands"].as_array().unwrap();
    let programs: Vec<&str> = commands.iter().map(|line| line.as_str().unwrap().split(' ').next().unwrap()).collect();
    assert_eq!(programs, ["trainer", "server"]);
    assert!(commands[0].as_str().unwrap().starts_with("trainer adapt --checkpoint arc --tasks "), "{detail}");
    assert!(commands.iter().all(|line| detail.contains(line.as_str().unwrap())));
}

#[tokio::test]
async fn without_a_model_that_knows_tasks_nothing_is_claimed() {
    let sudoku = || crate::http::app();
    let (status, kind, _) = refuse(&sudoku(), json!("fill")).await;
    assert_eq!((status, kind.as_str()), (422, "no-model-for-task"));
    let samples = Request::get("/samples/arc").body(Body::empty()).unwrap();
    assert_eq!(send(&sudoku(), samples).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, kind, detail) = refuse(&routes(vec![echo().served()]), json!("fill")).await;
    assert_eq!((status, kind.as_str()), (422, "unknown-task"));
    assert!(detail.contains("--arc-data"), "{detail}");
    let (status, kind, _) = refuse(&app(), json!({ "task_id": "fill", "model": "other" })).await;
    assert_eq!((status, kind.as_str()), (422, "unknown-model"));
    assert_eq!(solve(json!({ "task_id": "fill", "model": "arc" })).await["task_id"], "fill");
}

#[tokio::test]
async fn what_is_no_task_is_refused_with_its_place() {
    let app = app();
    let mut two_long = json_of("fill");
    two_long["train"][1]["input"] = json!(vec![vec![0; 31]; 2]);
    let many = vec![json!({ "input": [[1]], "output": [[1]] }); 65];
    for (body, kind, says) in [
        (json!({}), "malformed-request", "there is no task"),
        (json!([1]), "malformed-request", "this is not a task"),
        (json!({ "task": 5 }), "malformed-request", "this is not an ARC task"),
        (json!({ "task": two_long }), "malformed-request", "train: train pair 2: input: expected 1 to 30 columns"),
        (json!({ "train": [], "test": [] }), "malformed-request", "at least one train pair"),
        (json!({ "train": many, "test": [{ "input": [[1]] }] }), "malformed-request", "expected 1 to 64 train pairs"),
        (json!({ "task_id": "x".repeat(300) }), "malformed-request", "1 to 256 bytes"),
        (json!({ "task_id": "fill|||t1|||01" }), "malformed-request", "expected an augmentation"),
        (json!({ "task_id": "turn" }), "malformed-request", "the test inputs of task \"turn\" are not known here"),
        (json!({ "task_id": "swap", "task": json_of("fill") }), "malformed-request", "other demonstrations"),
        (json!({ "task_id": "fill", "colour": 1 }), "malformed-request", "colour"),
        (json!({ "puzzle": { "task_id": "fill", "max_steps": 1 } }), "malformed-request", "max_steps"),
        (json!({ "puzzle": "fill", "puzzles": [] }), "malformed-request", "not both"),
        (json!({ "task_id": "fill", "augmentations": 0 }), "invalid-option", "augmentations: expected 1 to 128"),
        (json!({ "task_id": "fill", "augmentations": 129 }), "invalid-option", "found 129"),
        (json!({ "task_id": "fill", "max_steps": 65 }), "invalid-option", "max_steps"),
        (
            json!({ "task_id": "swap", "trace": true, "augmentations": 7, "max_steps": 64, "rollouts": 9, "sigma": 1.0 }),
            "invalid-option",
            "trace: all copies together",
        ),
    ] {
        let (status, found, detail) = refuse(&app, body).await;
        assert_eq!((status, found.as_str()), (400, kind), "{detail}");
        assert!(detail.contains(says), "{detail} does not say {says}");
    }
}

/// Events of a stream: names and data.
fn events(bytes: &[u8]) -> Vec<(String, Value)> {
    let text = str::from_utf8(bytes).unwrap();
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        Some((field("event: ")?, serde_json::from_str(&field("data: ")?).unwrap()))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_stream_tells_every_step_of_every_copy_then_the_answer() {
    let app = app();
    let body = json!({ "puzzles": ["swap", "fill"], "augmentations": 2, "stream": true }).to_string();
    let (status, headers, bytes) = send(&app, Request::post("/solve/arc").body(Body::from(body)).unwrap()).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, "text/event-stream"));
    let events = events(&bytes);
    let (steps, answers): (Vec<_>, Vec<_>) = events.iter().partition(|(name, _)| name == "step");
    assert_eq!((steps.len(), answers.len()), ((2 + 1) * 2 * STEPS, 2));
    let of = |puzzle: usize, test: usize, copy: usize| {
        let mine = steps
            .iter()
            .map(|(_, data)| data)
            .filter(move |data| (data["puzzle"] == puzzle) && (data["test"] == test) && (data["augmentation"] == copy));
        mine.map(|data| data["step"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for (puzzle, test) in [(0, 0), (0, 1), (1, 0)] {
        assert_eq!([of(puzzle, test, 0), of(puzzle, test, 1)], [[1, 2, 3, 4]; 2]);
    }
    let (_, first) = steps[0];
    assert_eq!((&first["answer"], &first["changed"]), (&json!([[1, 2, 0, 3], [3, 0, 2, 1]]), &json!([])));
    for (name, data) in answers {
        assert_eq!((name.as_str(), &data["augmentations"], &data["solved"]), ("answer", &json!(2), &json!(false)));
    }
    let accepting = Request::post("/solve/arc").header("accept", "text/event-stream").body(Body::from("fill")).unwrap();
    assert_eq!(send(&app, accepting).await.1["content-type"], "text/event-stream");
}

#[tokio::test]
async fn a_trace_holds_the_same_steps() {
    let answer = solve(json!({ "task_id": "swap", "augmentations": 3, "trace": true, "max_steps": 2 })).await;
    let trace = answer["trace"].as_array().unwrap();
    assert_eq!(trace.len(), 2 * 3 * 2);
    assert!(trace.iter().all(|step| step["changed"] == json!([]) && step["q"] == 0.0));
}

/// A client that has read one event and goes leaves nothing behind.
#[tokio::test]
async fn a_stream_that_is_dropped_frees_its_rows() {
    let (model, gate) = Scripted::new(opinionated).gated();
    let models = Arc::new(Models::new(Registry::new(vec![with_tasks(model)]).unwrap()));
    let facts = RuntimeFacts {
        library: "none".into(),
        build: String::new(),
        execution_provider: "CPUExecutionProvider",
        threads: 1,
    };
    let app = router(models.clone(), LIMITS, facts);
    let body = Body::from(json!({ "task_id": "swap", "stream": true }).to_string());
    let response = app.oneshot(Request::post("/solve/arc").body(body).unwrap()).await.unwrap();
    gate.send(()).unwrap();
    drop(response);
    drop(gate);
    let registry = models.current();
    let engine = &registry.models()[0].engine;
    while engine.metrics().cancelled < 14 {
        tokio::task::yield_now().await;
    }
    assert_eq!((engine.metrics().accepted, engine.metrics().answered), (14, 0));
}

#[tokio::test]
async fn answers_are_drawn_and_steps_are_animated() {
    let app = app();
    for (accept, signature) in [("image/png", &b"\x89PNG"[..]), ("image/gif", b"GIF89a")] {
        for body in [json!("swap"), json!({ "task": json_of("fill"), "augmentations": 3 })] {
            let request = Request::post("/solve/arc").header("accept", accept).body(Body::from(body.to_string()));
            let (status, headers, bytes) = send(&app, request.unwrap()).await;
            assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::OK, accept));
            assert!(bytes.starts_with(signature));
            let fact = |name: &str| headers[name].to_str().unwrap().to_owned();
            assert_eq!([fact("x-trm-steps"), fact("x-trm-q")], ["4", "0.5"]);
            let solved = if body == "swap" { "false" } else { "unknown" };
            assert_eq!([fact("x-trm-solved"), fact("x-trm-verified")], [solved, "false"]);
        }
    }
}

#[tokio::test]
async fn samples_are_tasks_that_a_name_is_enough_for() {
    let app = app();
    let sample = async |query: &str| {
        let request = Request::get(format!("/samples/arc{query}")).body(Body::empty()).unwrap();
        let (status, _, bytes) = send(&app, request).await;
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    let (_, all) = sample("").await;
    let mut names: Vec<&str> = all["task_ids"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["fill", "swap"]);
    assert_eq!(sample("?limit=1").await.1["task_ids"].as_array().unwrap().len(), 1);
    assert_eq!(sample("?limit=x").await.0, StatusCode::BAD_REQUEST);
    // A sample is what the model is asked, without the answers.
    let (status, swap) = sample("/swap").await;
    assert_eq!((status, &swap["task_id"]), (StatusCode::OK, &json!("swap")));
    assert_eq!((&swap["task"]["train"], &swap["task"]["test"]), (&json_of("swap")["train"], &json_of("swap")["test"]));
    assert_eq!(solve(swap).await["task_id"], "swap");
    // Of "turn" the model knows the name alone.
    for unknown in ["/turn", "/nothing", "/%2e%2e"] {
        let (status, problem) = sample(unknown).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("urn:trm:problem:unknown-task"))
        );
    }
}

#[test]
fn bodies_are_parsed_without_panics() {
    let parse = |body: &[u8]| ArcRequest::parse(body, SolveOptions::default(), 3).map(|_| ());
    let whole = json!({ "task": json_of("swap"), "task_id": "swap", "augmentations": 2 }).to_string();
    assert!(parse(whole.as_bytes()).is_ok());
    for end in 0..whole.len() {
        assert!(parse(&whole.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    for index in 0..whole.len() {
        let mut spoilt = whole.clone().into_bytes();
        for byte in [b'-', b'9', b'"', b'{', 0xFF, 0] {
            spoilt[index] = byte;
            let _ = parse(&spoilt);
        }
    }
    assert!(parse(b"\x89PNG\r\n\x1a\n").is_err());
    assert!(parse("[".repeat(100_000).as_bytes()).is_err());
}
