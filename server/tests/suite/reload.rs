//! New models in a running server: what changes, what does not, and who may ask for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use datasets::sudoku::SudokuShape;
use engine::LoadError;
use engine::registry::{Registry, ServedModel};
use serde_json::{Value, json};
use server::http::{Access, KeySource, ServerParts, routes};
use server::reload::{LoadModels, Reloader};

use crate::oracle::Oracle;
use crate::served_oracles::{PUZZLE, Reply, get, model, oracle, parts, send, with_keys};

const KEY: &str = "the-key";

fn fresh(sha256: &'static str) -> Vec<ServedModel> {
    vec![model("small", sha256, Oracle::new(SudokuShape::FOUR))]
}

/// A server that has `models`, asks for [`KEY`], and gets what `load` gives at a reload.
fn app(models: Vec<ServedModel>, load: Box<LoadModels>) -> Router {
    let parts = with_keys(parts(models), KEY);
    let reloader = Arc::new(Reloader::new(parts.models.clone(), parts.access.clone(), load));
    routes(ServerParts { reloader: Some(reloader), ..parts })
}

async fn with_key(app: &Router, request: axum::http::request::Builder, body: &str) -> Reply {
    let request = request.header("authorization", format!("Bearer {KEY}")).body(Body::from(body.to_owned())).unwrap();
    send(app, request).await
}

async fn reload(app: &Router) -> Reply {
    with_key(app, Request::post("/admin/reload"), "").await
}

/// The sha256 of the model that answers.
async fn answering(app: &Router) -> Value {
    with_key(app, Request::post("/solve/sudoku"), PUZZLE).await.json()["model"]["sha256"].clone()
}

#[tokio::test]
async fn a_request_in_flight_finishes_on_the_old_model_while_new_ones_see_the_new() {
    let (gated, gate) = Oracle::gated(SudokuShape::FOUR);
    let app = app(vec![model("small", "01d0", gated)], Box::new(|| Registry::new(fresh("ee77"))));
    let held = tokio::spawn({
        let app = app.clone();
        async move { answering(&app).await }
    });
    while !get(&app, "/metrics").await.text.contains("trm_slots_in_use{model=\"small\"} 1\n") {
        tokio::task::yield_now().await;
    }
    let reply = reload(&app).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let answer = reply.json();
    let expected = json!([{ "name": "small", "sha256": "ee77".repeat(16), "previous_sha256": "01d0".repeat(16) }]);
    assert_eq!((&answer["models"], &answer["removed"]), (&expected, &json!([])));
    assert_eq!(answering(&app).await, "ee77".repeat(16));
    let info = with_key(&app, Request::get("/info"), "").await.json();
    assert_eq!(info["models"][0]["sha256"], "ee77".repeat(16));
    // The old model has not moved yet: one message for each of the three steps.
    assert!(!held.is_finished());
    for _ in 0..3 {
        gate.send(()).unwrap();
    }
    assert_eq!(held.await.unwrap(), "01d0".repeat(16));
    // The last request gone, the old engine ends, and its model with it.
    while gate.send(()).is_ok() {
        tokio::task::yield_now().await;
    }
    let text = get(&app, "/metrics").await.text;
    assert!(text.contains("trm_reloads_total{outcome=\"succeeded\"} 1\n"), "{text}");
    // The numbers are those of the engine that serves now.
    assert!(text.contains("trm_requests_total{model=\"small\",outcome=\"answered\"} 1\n"), "{text}");
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing() {
    let refuse = || Err(LoadError::NoModel { searched: "the folder is empty".into() });
    let app = app(fresh("01d0"), Box::new(refuse));
    let reply = reload(&app).await;
    assert_eq!(reply.problem(), (500, "reload-failed".into()));
    assert!(
        reply.json()["detail"].as_str().unwrap().contains("nothing was reloaded: no model found: the folder is empty")
    );
    assert_eq!(answering(&app).await, "01d0".repeat(16));
    let text = get(&app, "/metrics").await.text;
    assert!(text.contains("trm_reloads_total{outcome=\"failed\"} 1\n"), "{text}");

    let panic = || -> Result<Registry, LoadError> { panic!("a defect, on purpose") };
    let app = self::app(fresh("01d0"), Box::new(panic));
    assert_eq!(reload(&app).await.problem(), (500, "reload-failed".into()));
    // And it does not block the next one.
    assert_eq!(reload(&app).await.problem(), (500, "reload-failed".into()));
    assert_eq!(answering(&app).await, "01d0".repeat(16));
}

#[tokio::test]
async fn models_may_come_and_go() {
    let other = || Registry::new(vec![model("other", "ee77", Oracle::new(SudokuShape::FOUR))]);
    let app = app(fresh("01d0"), Box::new(other));
    let answer = reload(&app).await.json();
    assert_eq!(answer["models"], json!([{ "name": "other", "sha256": "ee77".repeat(16), "previous_sha256": null }]));
    assert_eq!(answer["removed"], json!(["small"]));
}

#[tokio::test]
async fn one_reload_at_a_time() {
    let (begun, on_begin) = channel();
    let (go_on, on_go_on) = channel::<()>();
    let gates: Mutex<(Sender<()>, Receiver<()>)> = Mutex::new((begun, on_go_on));
    let load = move || {
        let gates = gates.lock().unwrap();
        gates.0.send(()).unwrap();
        gates.1.recv().unwrap();
        Registry::new(fresh("ee77"))
    };
    let app = app(fresh("01d0"), Box::new(load));
    let first = tokio::spawn({
        let app = app.clone();
        async move { reload(&app).await.status }
    });
    tokio::task::spawn_blocking(move || on_begin.recv().unwrap()).await.unwrap();
    assert_eq!(reload(&app).await.problem(), (409, "reload-running".into()));
    // Requests are answered meanwhile.
    assert_eq!(answering(&app).await, "01d0".repeat(16));
    go_on.send(()).unwrap();
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(answering(&app).await, "ee77".repeat(16));
}

#[tokio::test]
async fn only_who_has_a_key_may_reload() {
    let app = app(fresh("01d0"), Box::new(|| Registry::new(fresh("ee77"))));
    let strange = Request::post("/admin/reload").header("authorization", "Bearer another").body(Body::empty()).unwrap();
    assert_eq!(send(&app, strange).await.problem(), (401, "unauthorized".into()));
    assert_eq!(send(&app, Request::post("/admin/reload").body(Body::empty()).unwrap()).await.status, 401);
    assert_eq!(answering(&app).await, "01d0".repeat(16));

    let open = routes(parts(oracle()));
    let reply = send(&open, Request::post("/admin/reload").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.problem(), (403, "forbidden".into()));
    assert!(reply.text.contains("--api-keys-file"), "{}", reply.text);
}

#[tokio::test]
async fn a_reload_reads_the_keys_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, KEY).unwrap();
    let access = Arc::new(Access::open(KeySource { file: Some(file.clone()), variable: None }).unwrap());
    let parts = parts(oracle());
    let load = Box::new(|| Registry::new(fresh("ee77")));
    let reloader = Arc::new(Reloader::new(parts.models.clone(), access.clone(), load));
    let app = routes(ServerParts { access, reloader: Some(reloader), ..parts });
    std::fs::write(&file, "another-key").unwrap();
    assert_eq!(reload(&app).await.status, 200);
    assert_eq!(reload(&app).await.status, 401);
    let info = Request::get("/info").header("authorization", "Bearer another-key").body(Body::empty()).unwrap();
    assert_eq!(send(&app, info).await.status, 200);
}
