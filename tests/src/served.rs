//! Checkpoints behind the server's routes and engine, with or without a socket.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use datasets::sudoku::HeldOutPuzzle;
use engine::default_policy::PolicyOverrides;
use engine::registry::{EngineLimits, Models, Registry, ServedModel};
use engine::task::tokens_of;
use engine::{self, Policy, Quantize, RuntimeFacts, session_options};
use exporter::runtime::{self, SessionOptions};
use serde_json::{Value, json};
use server::http::{self, Access, HttpLimits, KeySource, ServerParts};
use server::jobs::Jobs;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// A session of one thread that leaves the core to others while it waits.
pub fn one_thread() -> SessionOptions {
    SessionOptions { spinning: false, ..session_options(1, None) }
}

/// Limits that no test comes near.
pub fn engine_limits() -> EngineLimits {
    EngineLimits::plain(8, 256, 64)
}

/// The server's routes over the model in `checkpoint`.
pub fn routes(checkpoint: &Path) -> Router {
    routes_of(&[checkpoint])
}

/// The server's routes over the models in `checkpoints`.
pub fn routes_of(checkpoints: &[&Path]) -> Router {
    http::routes(parts(checkpoints, &[], engine_limits()))
}

/// The server's routes over the model in `checkpoint`, with its manifest's restarts, as in a server without flags.
pub fn routes_with_restarts(checkpoint: &Path) -> Router {
    let limits = EngineLimits { overrides: PolicyOverrides::NONE, ..engine_limits() };
    http::routes(parts(&[checkpoint], &[], limits))
}

/// The server's routes over the ARC model in `checkpoint`, which was trained on the data set in `data`.
pub fn arc_routes(checkpoint: &Path, data: &Path) -> Router {
    http::routes(parts(&[checkpoint], &[data.to_owned()], engine_limits()))
}

/// The same with jobs that learn what the model does not know.
pub fn adapting_routes(checkpoint: &Path, data: &Path, jobs: Jobs) -> Router {
    http::routes(ServerParts {
        jobs: Some(Arc::new(jobs)),
        ..parts(&[checkpoint], &[data.to_owned()], engine_limits())
    })
}

/// The server's routes over the model in `checkpoint`, for clients that have `key`.
pub fn guarded_routes(checkpoint: &Path, key: &str) -> Router {
    let access = Access::open(KeySource { variable: Some(key.to_owned()), ..KeySource::default() }).unwrap();
    http::routes(ServerParts { access: Arc::new(access), ..parts(&[checkpoint], &[], engine_limits()) })
}

fn parts(checkpoints: &[&Path], arc_data: &[PathBuf], limits: EngineLimits) -> ServerParts {
    let options = one_thread();
    let facts = RuntimeFacts::new(&runtime::load().unwrap(), &options);
    let load = |checkpoint: &&Path| ServedModel::load_warm(checkpoint, Quantize::Float32, &options, limits).unwrap();
    let mut models: Vec<ServedModel> = checkpoints.iter().flat_map(load).collect();
    engine::registry::attach_arc_data(&mut models, arc_data).unwrap();
    let models = Models::new(Registry::new(models).unwrap());
    let http_limits = HttpLimits { max_body_bytes: 1 << 20, max_puzzles: 256, request_timeout: Duration::from_mins(5) };
    ServerParts::open(Arc::new(models), http_limits, facts)
}

/// Serves `routes` on a port of the loopback address for as long as the runtime lives; the address to go to.
pub async fn listen(routes: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, routes).into_future());
    format!("http://{address}")
}

/// The results of `POST /solve/sudoku` for boards in the one-line form.
pub async fn post_puzzles(routes: &Router, path: &str, puzzles: &[String]) -> Vec<Value> {
    let request = Request::post(path).body(Body::from(json!({ "puzzles": puzzles }).to_string())).unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 1 << 24).await.unwrap()).unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body["results"].as_array().unwrap().clone()
}

/// Share of puzzles that the engine answers with the label, within the model's own number of steps.
pub fn exact_share(model: &ServedModel, set: &[HeldOutPuzzle]) -> f64 {
    let policy = Policy::plain(model.card.arch.halt_max_steps());
    let requests = set.iter().map(|puzzle| engine::Request::new(tokens_of(&puzzle.puzzle)).with_policy(policy));
    let pending = model.engine.submit_all(requests.collect()).unwrap();
    let labels = set.iter().map(|puzzle| tokens_of(&puzzle.solution));
    let exact = pending.into_iter().zip(labels).map(|(pending, label)| pending.wait().unwrap().tokens == label);
    let exact = exact.filter(|&exact| exact).count();
    exact as f64 / set.len() as f64
}
