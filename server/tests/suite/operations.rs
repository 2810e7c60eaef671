//! What every request passes on its way: probes, keys, ids, limits, and the numbers that are kept of it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use datasets::sudoku::SudokuShape;
use engine::{StepBatch, StepError, StepModel, StepOutcome, warm_up};
use serde_json::json;
use server::http::{CorsOrigins, HttpOptions, ServerParts, routes};
use server::lifecycle::{Lifecycle, Phase};

use crate::countdown::Countdown;
use crate::oracle::Oracle;
use crate::served_oracles::{PUZZLE, get, model, oracle, parts, send, solve, with_keys};

fn with_header(path: &str, name: &str, value: &str) -> Request<Body> {
    Request::get(path).header(name, value).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn readiness_follows_the_life_of_the_process_and_liveness_does_not() {
    let lifecycle = Arc::new(Lifecycle::new(Phase::Ready));
    let app = routes(ServerParts { lifecycle: lifecycle.clone(), ..parts(oracle()) });
    assert_eq!(get(&app, "/readyz").await.json(), json!({ "status": "ready" }));
    assert_eq!(get(&app, "/livez").await.json(), json!({ "status": "alive" }));
    assert_eq!(get(&app, "/health").await.json()["phase"], "ready");
    assert_eq!(solve(&app, PUZZLE).await.status, 200);
    assert!(get(&app, "/metrics").await.text.contains("\ntrm_ready 1\n"));

    lifecycle.advance(Phase::Draining);
    assert_eq!(get(&app, "/readyz").await.problem(), (503, "stopping".into()));
    assert_eq!(get(&app, "/health").await.json()["phase"], "draining");
    assert!(get(&app, "/metrics").await.text.contains("\ntrm_ready 0\n"));
    assert_eq!(get(&app, "/livez").await.status, 200);
    // A client that has a connection is still served.
    assert_eq!(solve(&app, PUZZLE).await.status, 200);
}

/// A model with a defect.
struct Panicking;

impl StepModel for Panicking {
    fn seq_len(&self) -> usize {
        16
    }

    fn step(&mut self, _batch: &StepBatch<'_>) -> Result<StepOutcome, StepError> {
        panic!("a defect, on purpose");
    }
}

#[tokio::test]
async fn a_dead_engine_is_seen_by_every_probe() {
    let app = routes(parts(vec![model("broken", "bad0", Panicking)]));
    assert_eq!(get(&app, "/livez").await.status, 200);
    assert_eq!(solve(&app, PUZZLE).await.problem(), (503, "stopping".into()));
    for probe in ["/livez", "/readyz", "/health"] {
        let reply = get(&app, probe).await;
        assert_eq!(reply.problem(), (503, "stopping".into()), "{probe}");
        assert!(reply.text.contains("the engine of model `broken` has stopped"), "{}", reply.text);
    }
    assert!(get(&app, "/metrics").await.text.contains("trm_engine_up{model=\"broken\"} 0\n"));
}

#[tokio::test]
async fn keys_guard_inference_and_nothing_else() {
    let app = routes(with_keys(parts(oracle()), "first-secret,second-secret"));
    for path in ["/livez", "/readyz", "/health", "/metrics", "/"] {
        assert_eq!(get(&app, path).await.status, 200, "{path}");
    }
    let reply = solve(&app, PUZZLE).await;
    assert_eq!(reply.problem(), (401, "unauthorized".into()));
    assert_eq!(reply.headers["www-authenticate"], "Bearer realm=\"trm\"");
    for wrong in ["Bearer third-secret", "Bearer first-secre", "Bearer ", "Basic first-secret", "first-secret"] {
        let reply = send(&app, with_header("/info", "authorization", wrong)).await;
        assert_eq!(reply.problem(), (401, "unauthorized".into()), "{wrong}");
        assert!(!reply.text.contains("secret"), "{}", reply.text);
    }
    let reply = send(&app, with_header("/info", "authorization", "Bearer third-secret")).await;
    assert_eq!(reply.headers["www-authenticate"], "Bearer realm=\"trm\", error=\"invalid_token\"");
    for right in ["Bearer first-secret", "bearer second-secret"] {
        assert_eq!(send(&app, with_header("/info", "authorization", right)).await.status, 200, "{right}");
    }
    assert_eq!(get(&app, "/nowhere").await.problem(), (404, "not-found".into()));

    let guarded = with_keys(parts(oracle()), "first-secret");
    let options = HttpOptions { protect_metrics: true, ..guarded.options.clone() };
    let app = routes(ServerParts { options, ..guarded });
    assert_eq!(get(&app, "/metrics").await.problem(), (401, "unauthorized".into()));
    assert_eq!(send(&app, with_header("/metrics", "authorization", "Bearer first-secret")).await.status, 200);
    assert_eq!(get(&app, "/livez").await.status, 200);
}

#[tokio::test]
async fn every_response_names_its_request() {
    let app = routes(parts(oracle()));
    let reply = send(&app, with_header("/info", "x-request-id", "job-7/3")).await;
    assert_eq!(reply.headers["x-request-id"], "job-7/3");
    let reply = send(&app, with_header("/nowhere", "x-request-id", "job-8")).await;
    assert_eq!(
        (&reply.headers["x-request-id"], &reply.json()["request_id"]),
        (&"job-8".parse().unwrap(), &json!("job-8"))
    );
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    let made = get(&app, "/nowhere").await;
    assert_eq!(made.headers["x-request-id"].len(), 32);
    assert_eq!(made.json()["request_id"], made.headers["x-request-id"].to_str().unwrap());
    let other = send(&app, with_header("/info", "x-request-id", "no good")).await;
    assert!(other.headers["x-request-id"].len() == 32 && other.headers["x-request-id"] != made.headers["x-request-id"]);
}

#[tokio::test]
async fn requests_in_flight_are_bounded_and_places_come_back() {
    let (gated, gate) = Oracle::gated(SudokuShape::FOUR);
    let open = parts(vec![model("small", "5eed", gated)]);
    let options = HttpOptions { max_in_flight: 1, ..open.options.clone() };
    let app = routes(ServerParts { options, ..open });
    let first = tokio::spawn({
        let app = app.clone();
        async move { solve(&app, PUZZLE).await.status }
    });
    while !get(&app, "/metrics").await.text.contains("\ntrm_http_requests_in_flight 1\n") {
        tokio::task::yield_now().await;
    }
    let reply = solve(&app, PUZZLE).await;
    assert_eq!(reply.problem(), (429, "overloaded".into()));
    assert!(reply.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1, "{:?}", reply.headers);
    assert_eq!(reply.json()["retry_after_seconds"], 1);
    // Probes need no place.
    assert_eq!(get(&app, "/readyz").await.status, 200);
    drop(gate);
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(solve(&app, PUZZLE).await.status, 200);
    assert!(get(&app, "/metrics").await.text.contains("\ntrm_http_requests_in_flight 0\n"));
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_and_its_slot_back() {
    let (gated, gate) = Oracle::gated(SudokuShape::FOUR);
    let app = routes(parts(vec![model("small", "5eed", gated)]));
    let request = tokio::spawn({
        let app = app.clone();
        async move { solve(&app, PUZZLE).await.status }
    });
    while !get(&app, "/metrics").await.text.contains("trm_slots_in_use{model=\"small\"} 1\n") {
        tokio::task::yield_now().await;
    }
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    drop(gate);
    let text = loop {
        let text = get(&app, "/metrics").await.text;
        if text.contains("trm_slots_in_use{model=\"small\"} 0\n") {
            break text;
        }
        tokio::task::yield_now().await;
    };
    for line in [
        "trm_requests_total{model=\"small\",outcome=\"cancelled\"} 1\n",
        "trm_http_requests_total{route=\"/solve/sudoku\",status=\"499\"} 1\n",
        "trm_http_requests_in_flight 0\n",
    ] {
        assert!(text.contains(line), "{line:?} is missing in {text}");
    }
}

#[tokio::test]
async fn other_origins_are_let_in_only_when_they_are_named() {
    let preflight = |origin: &str| {
        Request::options("/solve/sudoku")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .body(Body::empty())
            .unwrap()
    };
    let closed = routes(parts(oracle()));
    let reply = send(&closed, preflight("https://friend.example")).await;
    assert_eq!(reply.problem(), (405, "method-not-allowed".into()));
    assert!(!reply.headers.contains_key("access-control-allow-origin"));

    // A preflight carries no key and needs none.
    let guarded = with_keys(parts(oracle()), "a-secret");
    let cors = CorsOrigins::Listed(vec!["https://friend.example".parse().unwrap()]);
    let options = HttpOptions { cors, ..guarded.options.clone() };
    let app = routes(ServerParts { options, ..guarded });
    let reply = send(&app, preflight("https://friend.example")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["access-control-allow-origin"], "https://friend.example");
    assert!(reply.headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(
        !send(&app, preflight("https://stranger.example")).await.headers.contains_key("access-control-allow-origin")
    );
    // The browser may show its page why it was refused.
    let reply = send(&app, with_header("/info", "origin", "https://friend.example")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["access-control-allow-origin"]),
        (401, &"https://friend.example".parse().unwrap())
    );
}

#[tokio::test]
async fn the_metrics_agree_with_what_was_sent() {
    let app = routes(parts(oracle()));
    // The oracle knows the solution at its third step.
    assert_eq!(solve(&app, json!({ "puzzles": [PUZZLE, PUZZLE] }).to_string()).await.status, 200);
    assert_eq!(solve(&app, json!({ "puzzle": PUZZLE, "max_steps": 2 }).to_string()).await.status, 200);
    assert_eq!(solve(&app, "{").await.status, 400);
    assert_eq!(solve(&app, json!({ "puzzle": PUZZLE, "deadline_ms": 0 }).to_string()).await.status, 429);
    assert_eq!(get(&app, "/nowhere").await.status, 404);

    let reply = get(&app, "/metrics").await;
    assert_eq!(reply.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        "trm_model_info{model=\"small\",task=\"sudoku-4x4\",sha256=\"5eed",
        "trm_requests_accepted_total{model=\"small\"} 4\n",
        "trm_requests_total{model=\"small\",outcome=\"answered\"} 3\n",
        "trm_requests_total{model=\"small\",outcome=\"expired\"} 1\n",
        "trm_requests_total{model=\"small\",outcome=\"rejected\"} 0\n",
        "trm_answers_total{model=\"small\",verified=\"true\"} 2\n",
        "trm_answers_total{model=\"small\",verified=\"false\"} 1\n",
        "trm_steps_total{model=\"small\"} 8\n",
        "trm_steps_per_answer_sum{model=\"small\"} 8.0\n",
        "trm_steps_per_answer_count{model=\"small\"} 3\n",
        "trm_steps_per_answer_bucket{le=\"1.0\",model=\"small\"} 0\n",
        "trm_steps_per_answer_bucket{le=\"2.0\",model=\"small\"} 1\n",
        "trm_steps_per_answer_bucket{le=\"3.0\",model=\"small\"} 3\n",
        "trm_steps_per_answer_bucket{le=\"+Inf\",model=\"small\"} 3\n",
        "trm_queue_seconds_count{model=\"small\"} 3\n",
        "trm_compute_seconds_count{model=\"small\"} 3\n",
        "trm_compute_seconds_bucket{le=\"0.025\",model=\"small\"} ",
        "trm_total_seconds_bucket{le=\"+Inf\",model=\"small\"} 3\n",
        "trm_queue_waiting{model=\"small\"} 0\n",
        "trm_queue_capacity{model=\"small\"} 16\n",
        "trm_slots{model=\"small\"} 2\n",
        "trm_slots_in_use{model=\"small\"} 0\n",
        "trm_engine_up{model=\"small\"} 1\n",
        "trm_http_requests_total{route=\"/solve/sudoku\",status=\"200\"} 2\n",
        "trm_http_requests_total{route=\"/solve/sudoku\",status=\"400\"} 1\n",
        "trm_http_requests_total{route=\"/solve/sudoku\",status=\"429\"} 1\n",
        "trm_http_requests_total{route=\"unmatched\",status=\"404\"} 1\n",
        "trm_http_request_duration_seconds_count{route=\"/solve/sudoku\"} 4\n",
    ] {
        assert!(reply.text.contains(line), "{line:?} is missing in {}", reply.text);
    }
    assert!(reply.text.ends_with("# EOF\n"));
    let (busy, model) =
        (value_of(&reply.text, "trm_engine_busy_seconds_total"), value_of(&reply.text, "trm_model_seconds_total"));
    assert!(0.0 < model && model <= busy, "{model} and {busy}");
    if cfg!(target_os = "linux") {
        assert!(value_of(&reply.text, "process_resident_memory_bytes") > 1e6);
        // The system counts in hundredths of a second: asking often enough takes one.
        while value_of(&get(&app, "/metrics").await.text, "process_cpu_seconds_total") == 0.0 {}
    }
}

/// The number at the end of the first line that begins with `name`.
fn value_of(page: &str, name: &str) -> f64 {
    let mut lines = page.lines().filter(|line| line.starts_with(name));
    let line = lines.next().unwrap_or_else(|| panic!("{name} is missing in {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn warming_up_runs_every_batch_size_once() {
    let mut model = Countdown::new();
    warm_up(&mut model, 8).unwrap();
    let rows: Vec<usize> = model.log.lock().unwrap().iter().map(|turn| turn.rows).collect();
    assert_eq!(rows, [8, 6, 4, 2, 1]);
    model.log.lock().unwrap().clear();
    warm_up(&mut model, 5).unwrap();
    let rows: Vec<usize> = model.log.lock().unwrap().iter().map(|turn| turn.rows).collect();
    assert_eq!(rows, [5, 4, 2, 1]);
    for slots in [0, 129] {
        let error = warm_up(&mut model, slots).unwrap_err().to_string();
        assert_eq!(error, format!("slots: expected 1 to 128, found {slots}"));
    }
}
