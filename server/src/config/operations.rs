//! Flags about running the server rather than about puzzles: connections, access, shutdown, logs.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderValue, Uri};
use clap::builder::FalseyValueParser;
use clap::{Args, value_parser};

use crate::http::{CorsOrigins, KeySource};
use crate::serving::{ConnectionLimits, DrainOptions};
use crate::telemetry::{LogFormat, OtlpOptions, TelemetryOptions};

/// Connections and requests at the same time.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArgs {
    /// Requests under /solve and /samples that are worked on at the same time, from their head to the last byte of
    /// their answer; beyond that clients get status 429.
    #[arg(long, env = "TRM_MAX_IN_FLIGHT", default_value_t = 2048, value_parser = at_least_one, value_name = "COUNT")]
    pub max_in_flight: usize,

    /// Connections at the same time; further ones wait in the system's queue.
    #[arg(long, env = "TRM_MAX_CONNECTIONS", default_value_t = 4096, value_parser = at_least_one, value_name = "COUNT")]
    pub max_connections: usize,

    /// Milliseconds that the head of a request may take to arrive; then the connection is closed.
    #[arg(long, env = "TRM_HEADER_TIMEOUT_MS", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..), value_name = "MS")]
    pub header_timeout_ms: u64,

    /// Milliseconds that a connection is kept open for the next request. Longer than that of a balancer in front, so
    /// that it never sends a request into a connection that is being closed.
    #[arg(long, env = "TRM_IDLE_TIMEOUT_MS", default_value_t = 75_000, value_parser = value_parser!(u64).range(1..), value_name = "MS")]
    pub idle_timeout_ms: u64,

    /// Milliseconds for which a client may take nothing of an answer; then the connection is closed.
    #[arg(long, env = "TRM_WRITE_TIMEOUT_MS", default_value_t = 30_000, value_parser = value_parser!(u64).range(1..), value_name = "MS")]
    pub write_timeout_ms: u64,
}

/// Who may ask.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// File of API keys, one on a line; requests must then carry one of them (`Authorization: Bearer KEY`), except for
    /// the probes, the page and the documentation. The variable `TRM_API_KEYS` may hold keys, too, separated by commas.
    /// The file is read again at every reload. Default: everyone is served, and /admin/reload is closed.
    #[arg(long, env = "TRM_API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<PathBuf>,

    /// Ask for an API key at /metrics, too.
    #[arg(long, env = "TRM_PROTECT_METRICS", value_parser = FalseyValueParser::new())]
    pub protect_metrics: bool,

    /// Origin (`https://example.org`) whose pages may call this server from a browser, or `*` for all. May be given
    /// several times; in the environment, separate origins with commas. Default: none.
    #[arg(long = "cors-origin", env = "TRM_CORS_ORIGIN", value_delimiter = ',', value_parser = origin, value_name = "ORIGIN")]
    pub cors_origins: Vec<HeaderValue>,
}

/// How the process ends.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Shutdown")]
pub struct ShutdownArgs {
    /// Milliseconds between SIGTERM or Ctrl-C, when /readyz turns to 503, and the closing of the listener: time for
    /// balancers to notice. A second signal ends the process at once.
    #[arg(long, env = "TRM_DRAIN_DELAY_MS", default_value_t = 0, value_name = "MS")]
    pub drain_delay_ms: u64,

    /// Milliseconds that accepted requests get to finish after the listener has closed.
    #[arg(long, env = "TRM_DRAIN_TIMEOUT_MS", default_value_t = 10_000, value_name = "MS")]
    pub drain_timeout_ms: u64,
}

/// What the process tells.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs and traces")]
pub struct TelemetryArgs {
    /// What is logged to standard error: a level (error, warn, info, debug, trace) or a filter (server=debug,info).
    #[arg(long, env = "TRM_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How log lines look.
    #[arg(long, env = "TRM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// URL of an OpenTelemetry collector that gets a span for every request, as OTLP over HTTP
    /// (`http://localhost:4318`). Default: none.
    #[arg(long, env = "TRM_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// Share of requests whose spans are exported, 0 to 1. Requests that carry a `traceparent` follow it.
    #[arg(long, env = "TRM_OTLP_SAMPLE_RATIO", default_value_t = 1.0, value_parser = share, value_name = "SHARE")]
    pub otlp_sample_ratio: f64,
}

impl ConnectionArgs {
    /// The bounds on connections.
    pub fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            max_connections: self.max_connections,
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            write_timeout: Duration::from_millis(self.write_timeout_ms),
        }
    }
}

impl AccessArgs {
    /// Where keys come from; those in the environment are in no flag, because flags are seen by everyone on a machine.
    pub fn keys(&self) -> KeySource {
        let is_set = |value: &String| !value.trim().is_empty();
        KeySource { file: self.api_keys_file.clone(), variable: std::env::var("TRM_API_KEYS").ok().filter(is_set) }
    }

    /// Who may call from a browser.
    pub fn origins(&self) -> CorsOrigins {
        match self.cors_origins.as_slice() {
            [] => CorsOrigins::None,
            origins if origins.iter().any(|origin| origin == "*") => CorsOrigins::Any,
            origins => CorsOrigins::Listed(origins.to_vec()),
        }
    }
}

impl ShutdownArgs {
    /// How to drain.
    pub fn options(&self) -> DrainOptions {
        DrainOptions {
            delay: Duration::from_millis(self.drain_delay_ms),
            timeout: Duration::from_millis(self.drain_timeout_ms),
        }
    }
}

impl TelemetryArgs {
    /// What to tell whom.
    pub fn options(&self) -> TelemetryOptions {
        let endpoint = self.otlp_endpoint.clone().filter(|endpoint| !endpoint.trim().is_empty());
        TelemetryOptions {
            filter: self.log.clone(),
            format: self.log_format,
            otlp: endpoint.map(|endpoint| OtlpOptions { endpoint, sample_ratio: self.otlp_sample_ratio }),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        // More than any semaphore or machine holds.
        Ok(count) if (1..=1 << 24).contains(&count) => Ok(count),
        _ => Err("expected a whole number from 1 to 16777216".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "expected a number from 0 to 1".into())
}

/// A scheme, a host and maybe a port, as browsers send it.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || format!("expected an origin like https://example.org, found `{text}`");
    let is_origin = |uri: Uri| {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        (text == format!("{scheme}://{authority}")).then_some(())
    };
    if text != "*" {
        text.parse().ok().and_then(is_origin).ok_or_else(expected)?;
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for right in ["*", "https://example.org", "http://localhost:3000", "http://[::1]:8080"] {
            assert_eq!(origin(right).unwrap(), right);
        }
        for wrong in ["", "example.org", "https://example.org/", "https://example.org/path", "null", "https://a b"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
