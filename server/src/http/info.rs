//! `GET /info`: what runs here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::task;
use serde_json::{Value, json};

use super::openapi::problems;
use super::{ProblemKind as Kind, ServerState};

/// Models, their policies and counters, the runtime that really computes, limits.
#[utoipa::path(
    get, path = "/info", operation_id = "info", tag = "operation",
    responses((status = 200, description = "What runs here.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::Unauthorized])))),
)]
pub(super) async fn info(State(state): State<Arc<ServerState>>) -> Json<Value> {
    let registry = state.models.current();
    let models = registry.models().iter().map(|model| {
        let mut entry = json!(model.card);
        entry["precision"] = json!(model.card.precision);
        entry["board_size"] = json!(task::side(model.task));
        entry["policy_sources"] = json!(model.default_policy.sources);
        // What was asked for stands under `runtime`; this is what ONNX Runtime does.
        entry["execution_providers"] = json!(model.providers);
        entry["engine"] = json!({ "options": model.engine.options(), "counters": model.engine.metrics() });
        entry
    });
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "phase": state.lifecycle.phase(),
        "uptime_seconds": state.started.elapsed().as_secs(),
        "runtime": state.runtime,
        "limits": {
            "max_body_bytes": state.limits.max_body_bytes,
            "max_puzzles": state.limits.max_puzzles,
            "request_timeout_ms": state.limits.request_timeout.as_millis() as u64,
            "max_in_flight": state.max_in_flight,
        },
        "models": models.collect::<Vec<_>>(),
    }))
}
