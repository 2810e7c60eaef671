//! What is kept of every request: its id, its span, one log line and its numbers. Never its body or its keys.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::trace::Status;
use opentelemetry_http::HeaderExtractor;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::problem_report::ProblemReport;
use super::traffic::Traffic;
use super::{ServerState, open_inference};
use crate::guarded_body::GuardedBody;

/// The header that carries a request's id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Status that stands in logs and metrics for a request whose client went away before it had a response.
const CLIENT_GONE: u16 = 499;

/// Names a request in its response, in logs and in traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

/// What a handler found out about its request, for the log line. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    puzzles: AtomicU64,
    steps: AtomicU64,
}

impl Tally {
    /// Takes note of `puzzles` that came with the request.
    pub(crate) fn add_puzzles(&self, puzzles: usize) {
        self.0.puzzles.fetch_add(puzzles as u64, Ordering::Relaxed);
    }

    /// Takes note of `steps` that one of its puzzles took, all chains together.
    pub(crate) fn add_steps(&self, steps: usize) {
        self.0.steps.fetch_add(steps as u64, Ordering::Relaxed);
    }
}

impl RequestId {
    /// Longest id that is taken from a client.
    const MAX_LEN: usize = 128;

    /// The client's, if it can stand in a log as it is, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
        let sent = headers.get(REQUEST_ID).filter(|value| {
            (1..=Self::MAX_LEN).contains(&value.len()) && value.as_bytes().iter().all(|&byte| is_plain(byte))
        });
        Self(sent.cloned().unwrap_or_else(|| {
            let drawn = format!("{:032x}", rand::random::<u128>());
            HeaderValue::from_str(&drawn).expect("hexadecimal digits make a header")
        }))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.to_str().expect("only plain characters are taken"))
    }
}

/// Gives every request an id and a span, and writes its line when the last byte of its response is taken.
pub(super) async fn observe(
    State(state): State<Arc<ServerState>>,
    path: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers());
    let route = path.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span = span(&id, &route, &request);
    let uri = request.uri().clone();
    let tally = Tally::default();
    request.extensions_mut().insert(tally.clone());
    request.extensions_mut().insert(id.clone());
    let mut record = Record {
        span: span.clone(),
        traffic: state.traffic.clone(),
        route,
        method: request.method().clone(),
        arrived: Instant::now(),
        status: None,
        problem: None,
        is_complete: false,
        tally,
    };
    // Should the client go away, this future is dropped, and the record with it.
    let mut response = next.run(request).instrument(span).await;
    record.status = Some(response.status());
    if let Some(report) = ProblemReport::of(&mut response) {
        record.problem = Some(report.name());
        report.sign(&mut response, &id.to_string(), uri.path());
    }
    response.headers_mut().insert(REQUEST_ID, id.0);
    response.map(|body| Body::new(GuardedBody::with_notice(body, record, |record| record.is_complete = true)))
}

fn span(id: &RequestId, route: &str, request: &Request) -> Span {
    let name = format!("{} {route}", request.method());
    let span = info_span!("request", otel.name = name, otel.kind = "server", id = %id);
    let parent =
        opentelemetry::global::get_text_map_propagator(|text| text.extract(&HeaderExtractor(request.headers())));
    // An error means that no spans are exported.
    let _ = span.set_parent(parent);
    span.set_attribute("http.request.method", request.method().to_string());
    span.set_attribute("http.route", route.to_owned());
    span.set_attribute("trm.request_id", id.to_string());
    span
}

/// A request from its arrival to the last byte of its response; tells of it when dropped.
#[derive(Debug)]
struct Record {
    span: Span,
    traffic: Arc<Traffic>,
    route: String,
    method: Method,
    arrived: Instant,
    /// `None` until there is a response.
    status: Option<StatusCode>,
    /// Name of the problem, where the response is one.
    problem: Option<&'static str>,
    /// Whether the client took the whole body.
    is_complete: bool,
    tally: Tally,
}

impl Drop for Record {
    fn drop(&mut self) {
        let status = self.status.map_or(CLIENT_GONE, |status| status.as_u16());
        let latency = self.arrived.elapsed();
        self.traffic.add(&self.route, status, latency);
        let [puzzles, steps] = [&self.tally.0.puzzles, &self.tally.0.steps].map(|count| count.load(Ordering::Relaxed));
        self.span.set_attribute("http.response.status_code", i64::from(status));
        self.span.set_attribute("trm.puzzles", puzzles as i64);
        self.span.set_attribute("trm.steps", steps as i64);
        if status >= 500 {
            self.span.set_status(Status::error(self.problem.unwrap_or_default()));
        }
        let cut_off = (!self.is_complete).then_some(true);
        let latency_ms = latency.as_micros() as f64 / 1e3;
        let method = self.method.as_str();
        let (route, problem) = (self.route.as_str(), self.problem);
        // A level is part of a line's static description, hence one line for each.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    parent: &self.span,
                    method, route, status, latency_ms, puzzles, steps, problem, cut_off, "answered"
                )
            };
        }
        match status {
            500 => line!(error),
            // That a server is not ready is what probes are there to hear, every few seconds.
            _ if is_polled(route) => line!(debug),
            501.. => line!(warn),
            _ => line!(info),
        }
    }
}

/// Routes that machines ask every few seconds.
fn is_polled(route: &str) -> bool {
    matches!(route, "/livez" | "/readyz" | "/health" | "/metrics") || open_inference::is_probe(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_over() {
        let of = |value: &[u8]| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(value).unwrap())]);
            RequestId::of(&headers).to_string()
        };
        assert_eq!(of(b"job-7/retry:2"), "job-7/retry:2");
        assert_eq!(of(&[b'a'; 128]), "a".repeat(128));
        for wrong in [&b""[..], &[b'a'; 129], b"two words", b"quote\"", "\u{e9}".as_bytes(), b"a\tb"] {
            let made = of(wrong);
            assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
