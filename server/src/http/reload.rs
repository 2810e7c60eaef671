//! `POST /admin/reload`: new models without a restart. Only for who has a key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::openapi::problems;
use super::{Problem, ProblemKind as Kind, ServerState};
use crate::reload::{ReloadError, Reloaded};

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
