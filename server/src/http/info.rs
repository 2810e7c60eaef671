//! `GET /health` and `GET /info`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Problem, ServerState};
use crate::task;

/// 200 while every engine accepts requests.
pub(super) async fn health(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    let registry = state.models.current();
    let stopped = registry.models().iter().find(|model| !model.engine.is_alive());
    match stopped {
        None => Ok(Json(json!({ "status": "ok" }))),
        Some(model) => Err(Problem::Stopping(format!("the engine of model `{}` has stopped", model.card.name))),
    }
}

/// What runs here: models with their engines' limits and counters, runtime, limits of the HTTP side.
pub(super) async fn info(State(state): State<Arc<ServerState>>) -> Json<Value> {
    let registry = state.models.current();
    let models = registry.models().iter().map(|model| {
        let mut entry = json!(model.card);
        entry["board_size"] = json!(task::side(model.task));
        entry["policy_sources"] = json!(model.default_policy.sources);
        entry["engine"] = json!({ "options": model.engine.options(), "counters": model.engine.metrics() });
        entry
    });
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.started.elapsed().as_secs(),
        "runtime": state.runtime,
        "limits": {
            "max_body_bytes": state.limits.max_body_bytes,
            "max_puzzles": state.limits.max_puzzles,
            "request_timeout_ms": state.limits.request_timeout.as_millis() as u64,
        },
        "models": models.collect::<Vec<_>>(),
    }))
}
