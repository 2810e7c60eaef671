//! What the response to a problem carries for the log, and how the problem's object is signed with the request's id.
//! Owns which form the clients of a route know; leaves the problem's own object to [`super::Problem`].

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::{ProblemKind, open_inference};

/// A problem's name and object.
#[derive(Debug, Clone)]
pub(super) struct ProblemReport {
    name: &'static str,
    body: Value,
}

impl ProblemReport {
    pub(super) fn new(kind: ProblemKind, body: Value) -> Self {
        Self { name: kind.name(), body }
    }

    /// Takes the report out of a response.
    pub(super) fn of(response: &mut Response) -> Option<Self> {
        response.extensions_mut().remove()
    }

    /// The end of the problem's `type`.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Writes the response's body in the form that clients of `path` read: RFC 9457 with the request's id, or
    /// `{"error": …}` below `/v2`.
    pub(super) fn sign(mut self, response: &mut Response, request_id: &str, path: &str) {
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        if open_inference::is_below(path) {
            self.body = json!({ "error": self.body["detail"] });
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        } else {
            self.body["request_id"] = json!(request_id);
        }
        *response.body_mut() = Body::from(self.body.to_string());
    }
}
