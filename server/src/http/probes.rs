//! What machines ask to decide over this process: does it live, is it ready, how is it. None of it needs a key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::registry::Registry;
use serde_json::{Value, json};

use super::openapi::problems;
use super::{Problem, ProblemKind as Kind, ServerState};
use crate::lifecycle::Phase;

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

fn all_alive(registry: &Registry) -> Result<(), Problem> {
    let stopped = registry.find(|model| !model.engine.is_alive());
    stopped.map_or(Ok(()), |model| {
        Err(Problem::Stopping(format!("the engine of model `{}` has stopped", model.card.name)))
    })
}
