//! The HTTP interface: routes, limits and the state behind them. Leaves thinking to the engines and the forms of a
//! puzzle to `body`.

mod accept;
pub mod body;
mod events;
mod info;
mod options;
mod page;
mod problem;
mod samples;
mod solve;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use serde::Serialize;

pub use options::SolveOptions;
pub use problem::{Problem, ProblemKind};

use crate::RuntimeFacts;
use crate::registry::Models;

/// What a server allows its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HttpLimits {
    /// Largest body in bytes.
    pub max_body_bytes: usize,
    /// Most puzzles in one request.
    pub max_puzzles: usize,
    /// Longest time for a body to arrive, and then for an answer.
    pub request_timeout: Duration,
}

/// What every request sees.
#[derive(Debug)]
pub(crate) struct ServerState {
    models: Arc<Models>,
    limits: HttpLimits,
    runtime: RuntimeFacts,
    started: Instant,
}

/// The routes over whatever `models` holds when a request begins.
pub fn router(models: Arc<Models>, limits: HttpLimits, runtime: RuntimeFacts) -> Router {
    let state = Arc::new(ServerState { models, limits, runtime, started: Instant::now() });
    Router::new()
        .merge(solve::routes())
        .merge(samples::routes())
        .route("/health", get(info::health).fallback(|| async { Problem::MethodNotAllowed("GET, HEAD") }))
        .route("/info", get(info::info).fallback(|| async { Problem::MethodNotAllowed("GET, HEAD") }))
        .merge(page::routes())
        .fallback(|| async { Problem::NotFound })
        .layer(DefaultBodyLimit::max(limits.max_body_bytes))
        .with_state(state)
}
