//! What the process tells its operator: logs on standard error, and spans to an OpenTelemetry collector (OTLP over HTTP).
//! Leaves what is worth telling to the code that knows it.

use std::fmt;
use std::future::Future;
use std::io::IsTerminal;
use std::pin::Pin;
use std::time::Duration;

use clap::ValueEnum;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// What to tell whom.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryOptions {
    /// Which events are logged, in the language of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
    /// Where spans go; `None`: nowhere.
    pub otlp: Option<OtlpOptions>,
}

/// A collector of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpOptions {
    /// URL of the collector, with or without the path `/v1/traces`.
    pub endpoint: String,
    /// Share of requests whose spans are sent, 0 to 1; a request that brings a trace of its own follows that.
    pub sample_ratio: f64,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("--log: expected a filter like `info` or `server=debug,info`, found `{filter}`: {problem}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The collector's address cannot be read.
    #[error("--otlp-endpoint: expected a URL like http://localhost:4318, found `{endpoint}`: {problem}")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something in this process logs already.
    #[error("logs cannot be set up: {0}")]
    Subscriber(String),
}

/// Sends what is left of the spans when dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the export of spans"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Begins to log and, where a collector is named, to export spans. Once in a process.
///
/// # Errors
/// When an option cannot be read or the process logs already.
pub fn start(options: &TelemetryOptions) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&options.filter)
        .map_err(|error| TelemetryError::Filter { filter: options.filter.clone(), problem: error.to_string() })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match options.format {
        LogFormat::Text => lines.fmt_fields(TextFields).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let provider = options.otlp.as_ref().map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        // The parent of a span may be another service's.
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let own = Targets::new().with_target(env!("CARGO_PKG_NAME"), LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_filter(own)
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| TelemetryError::Subscriber(error.to_string()))?;
    Ok(Telemetry { provider })
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)
        {
            tracing::warn!("the last spans were not exported: {error}");
        }
    }
}

/// Fields as `name=value`, without those that only tell the exporter what to call a span.
struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = TextLine { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct TextLine<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Visit for TextLine<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        if self.result.is_err() || name.starts_with("otel.") {
            return;
        }
        let space = if std::mem::take(&mut self.is_empty) { "" } else { " " };
        self.result = match name {
            "message" => write!(self.writer, "{space}{value:?}"),
            _ => write!(self.writer, "{space}{name}={value:?}"),
        };
    }
}

/// A collector that does not answer must not hold up a restart.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// For one batch of spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

fn provider(options: &OtlpOptions) -> Result<SdkTracerProvider, TelemetryError> {
    let unusable = |problem: String| TelemetryError::Endpoint { endpoint: options.endpoint.clone(), problem };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(BlockingClient::new())
        .with_endpoint(traces_url(&options.endpoint).map_err(unusable)?)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name("trm-server")
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.sample_ratio))))
        .with_batch_exporter(exporter)
        .build())
}

/// The collector's URL for spans, as OpenTelemetry derives it from a base URL.
fn traces_url(endpoint: &str) -> Result<String, String> {
    let url: axum::http::Uri = endpoint.parse().map_err(|error| format!("{error}"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err("it needs http:// or https:// and a host".into());
    }
    let base = endpoint.trim_end_matches('/');
    Ok(if url.path().ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") })
}

/// Sends batches from the exporter's own thread, which may block.
#[derive(Debug)]
struct BlockingClient(ureq::Agent);

impl BlockingClient {
    /// Largest answer of a collector that is read.
    const MAX_RESPONSE_BYTES: u64 = 1 << 20;

    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(EXPORT_TIMEOUT))
            // The exporter judges statuses itself: some mean that the batch is worth another try.
            .http_status_as_error(false)
            .build();
        Self(config.new_agent())
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(head, body.to_vec()))?;
        let (head, body) = response.into_parts();
        let bytes = body.into_with_config().limit(Self::MAX_RESPONSE_BYTES).read_to_vec()?;
        Ok(Response::from_parts(head, bytes.into()))
    }
}

impl HttpClient for BlockingClient {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(self.send(request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_spans_is_appended_once() {
        assert_eq!(traces_url("http://localhost:4318").unwrap(), "http://localhost:4318/v1/traces");
        assert_eq!(traces_url("https://collector/otlp/").unwrap(), "https://collector/otlp/v1/traces");
        assert_eq!(traces_url("http://collector/v1/traces").unwrap(), "http://collector/v1/traces");
        for wrong in ["localhost:4318", "ftp://collector", "http://", "not a url"] {
            assert!(traces_url(wrong).is_err(), "{wrong}");
        }
    }
}
