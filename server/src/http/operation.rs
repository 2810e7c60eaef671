//! What operators and their machines ask: does the process live, is it ready, what runs here; and the exchange of its models.
//! Leaves counters to `metrics`, the exchange itself to [`crate::reload`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::registry::Registry;
use engine::task;
use serde_json::{Value, json};

use super::openapi::problems;
use super::{Problem, ProblemKind as Kind, ServerState};
use crate::lifecycle::Phase;
use crate::reload::{ReloadError, Reloaded};

/// Whether the process answers and no engine has died; if not, only a restart helps.
#[utoipa::path(
    get, path = "/livez", operation_id = "live", tag = "operation",
    responses((status = 200, description = "Alive.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::Stopping])))),
)]
pub(super) async fn livez(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    all_alive(&state.models.current())?;
    Ok(Json(json!({ "status": "alive" })))
}

/// Whether requests are welcome: no engine has died, and the process is not about to end.
#[utoipa::path(
    get, path = "/readyz", operation_id = "ready", tag = "operation",
    responses((status = 200, description = "Ready.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::Stopping])))),
)]
pub(super) async fn readyz(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    // Every model is warm before anybody can ask.
    if state.lifecycle.phase() == Phase::Draining {
        return Err(Problem::Stopping("the server finishes what it has accepted and ends".into()));
    }
    all_alive(&state.models.current())?;
    Ok(Json(json!({ "status": "ready" })))
}

/// Whether every engine runs, and the state of each.
#[utoipa::path(
    get, path = "/health", operation_id = "health", tag = "operation",
    responses((status = 200, description = "All engines run.", body = Object)),
    extensions(("x-responses" = json!(problems(&[Kind::Stopping])))),
)]
pub(super) async fn health(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    let registry = state.models.current();
    all_alive(&registry)?;
    let models = registry.models().iter().map(|model| {
        let metrics = model.engine.metrics();
        json!({
            "name": model.card.name,
            "sha256": model.card.sha256,
            "waiting": metrics.waiting,
            "slots_in_use": metrics.slots_in_use,
            "slots": model.engine.options().slots,
        })
    });
    Ok(Json(json!({ "status": "ok", "phase": state.lifecycle.phase(), "models": models.collect::<Vec<_>>() })))
}

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

/// Loads every model afresh and answers when the new ones serve.
///
/// Only where the operator has set API keys. Requests in flight finish on the models that they began with.
#[utoipa::path(
    post, path = "/admin/reload", operation_id = "reload", tag = "operation",
    responses((status = 200, description = "What serves now.", body = Reloaded)),
    extensions(("x-responses" = json!(problems(&[
        Kind::Unauthorized, Kind::Forbidden, Kind::ReloadRunning, Kind::ReloadFailed,
    ])))),
)]
pub(super) async fn reload(State(state): State<Arc<ServerState>>) -> Result<Json<Reloaded>, Problem> {
    let Some(reloader) = &state.reloader else {
        return Err(Problem::Forbidden("this server was started with models that it cannot load again".into()));
    };
    let result = reloader.reload().await;
    result.map(Json).map_err(|error| match error {
        ReloadError::Running => Problem::ReloadRunning(error.to_string()),
        ReloadError::Models(_) | ReloadError::Keys(_) | ReloadError::Broken(_) => {
            Problem::ReloadFailed(error.to_string())
        }
    })
}

fn all_alive(registry: &Registry) -> Result<(), Problem> {
    let stopped = registry.find(|model| !model.engine.is_alive());
    stopped.map_or(Ok(()), |model| {
        Err(Problem::Stopping(format!("the engine of model `{}` has stopped", model.card.name)))
    })
}
