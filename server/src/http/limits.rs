//! What a server allows its clients, as the operator chose it.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::open_inference::HEADER_LENGTH;

/// Bounds on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HttpLimits {
    /// Largest body in bytes.
    pub max_body_bytes: usize,
    /// Most puzzles in one request.
    pub max_puzzles: usize,
    /// Longest time for a body to arrive, and then for an answer.
    pub request_timeout: Duration,
}

/// Limits and manners of the HTTP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Bounds on one request.
    pub limits: HttpLimits,
    /// Requests that are worked on at the same time.
    pub max_in_flight: usize,
    /// Whether `/metrics` needs an API key.
    pub protect_metrics: bool,
    /// Whose pages may call from a browser.
    pub cors: CorsOrigins,
    /// Path under which everything is served, such as `/puzzles`; empty where there is none.
    pub base_path: String,
}

/// Whose pages may call from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Only the server's own.
    None,
    /// Everyone's.
    Any,
    /// Those of these origins.
    Listed(Vec<HeaderValue>),
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            limits: HttpLimits { max_body_bytes: 1 << 20, max_puzzles: 256, request_timeout: Duration::from_secs(30) },
            max_in_flight: 2048,
            protect_metrics: false,
            cors: CorsOrigins::None,
            base_path: String::new(),
        }
    }
}

impl CorsOrigins {
    /// How long a browser may remember what it is allowed.
    const MAX_AGE: Duration = Duration::from_hours(1);

    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::None => return None,
            Self::Any => AllowOrigin::any(),
            Self::Listed(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        let read = ["x-request-id", "x-trm-solved", "x-trm-verified", "x-trm-steps", "x-trm-q", HEADER_LENGTH];
        let read = read.map(HeaderName::from_static).into_iter().chain([header::RETRY_AFTER, header::LOCATION]);
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([
                header::CONTENT_TYPE,
                header::ACCEPT,
                header::AUTHORIZATION,
                HeaderName::from_static("x-request-id"),
                HeaderName::from_static(HEADER_LENGTH),
            ])
            .expose_headers(read.collect::<Vec<_>>())
            .max_age(Self::MAX_AGE);
        Some(layer)
    }
}
