//! What machines ask to decide over this process: does it live, is it ready, how is it. None of it needs a key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::registry::Registry;
use serde_json::{Value, json};

use super::{Problem, ServerState};
use crate::lifecycle::Phase;

/// 200 while the process answers and no engine has died: if not, only a restart helps.
pub(super) async fn livez(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    all_alive(&state.models.current())?;
    Ok(Json(json!({ "status": "alive" })))
}

/// 200 while requests are welcome. Every model is warm before anybody can ask, so what is left is an engine that died and
/// a process that is about to end.
pub(super) async fn readyz(State(state): State<Arc<ServerState>>) -> Result<Json<Value>, Problem> {
    if state.lifecycle.phase() == Phase::Draining {
        return Err(Problem::Stopping("the server finishes what it has accepted and ends".into()));
    }
    all_alive(&state.models.current())?;
    Ok(Json(json!({ "status": "ready" })))
}

/// 200 while every engine accepts requests, with each model's state.
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
