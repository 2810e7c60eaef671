//! Whether a request is taken up now: never more than so many at a time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::{Problem, ServerState};
use crate::guarded_body::GuardedBody;

/// Holds a place from the request's arrival to the last byte of its response, and turns away who finds none free.
pub(super) async fn take_place(
    State(state): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Ok(place) = state.places.clone().try_acquire_owned() else {
        return Err(Problem::Overloaded { limit: state.max_in_flight, retry_after: state.retry_after() });
    };
    let response = next.run(request).await;
    Ok(response.map(|body| Body::new(GuardedBody::new(body, place))))
}
