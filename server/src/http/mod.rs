//! The HTTP interface: which routes there are, what every request passes on its way to them, and the state behind them.
//! Leaves inference to the engines and the forms of a puzzle to `body`.

mod accept;
mod access;
mod admission;
pub mod arc;
pub mod body;
mod drawing;
mod events;
mod jobs;
mod limits;
mod metrics;
mod observe;
pub mod open_inference;
mod openapi;
mod operation;
mod options;
mod page;
mod pipeline;
mod prefix;
mod problem;
mod problem_kind;
mod problem_report;
mod samples;
mod solve;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use prometheus_client::registry::Registry as MetricsPage;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use arc::{ArcResponse, answer_alone};

pub use access::{Access, ApiKeys, KeyError, KeySource};
pub use limits::{CorsOrigins, HttpLimits, HttpOptions};
pub(crate) use observe::Tally;
pub use options::SolveOptions;
pub(crate) use page::files as page_files;
pub use prefix::is_prefix;
pub use problem::Problem;
pub use problem_kind::ProblemKind;

use crate::jobs::Jobs;
use crate::lifecycle::{Lifecycle, Phase};
use crate::reload::Reloader;
use engine::RuntimeFacts;
use engine::registry::Models;
use traffic::Traffic;

/// What the routes are made of.
#[derive(Debug)]
pub struct ServerParts {
    /// What is served.
    pub models: Arc<Models>,
    /// Where the process stands.
    pub lifecycle: Arc<Lifecycle>,
    /// Who may ask.
    pub access: Arc<Access>,
    /// What exchanges the models; `None`: nothing can.
    pub reloader: Option<Arc<Reloader>>,
    /// What learns ARC tasks that no model knows; `None`: nothing does.
    pub jobs: Option<Arc<Jobs>>,
    /// What computes.
    pub runtime: RuntimeFacts,
    /// Limits and manners.
    pub options: HttpOptions,
}

/// What every request sees.
#[derive(Debug)]
pub(crate) struct ServerState {
    models: Arc<Models>,
    lifecycle: Arc<Lifecycle>,
    access: Arc<Access>,
    reloader: Option<Arc<Reloader>>,
    jobs: Option<Arc<Jobs>>,
    limits: HttpLimits,
    max_in_flight: usize,
    /// One permit for each request that may be in flight.
    places: Arc<Semaphore>,
    /// Path under which everything is served; empty where there is none.
    base_path: String,
    traffic: Arc<Traffic>,
    page: MetricsPage,
    runtime: RuntimeFacts,
    started: Instant,
}

impl ServerParts {
    /// Parts of a server that is ready, open to everyone, and keeps its models.
    pub fn open(models: Arc<Models>, limits: HttpLimits, runtime: RuntimeFacts) -> Self {
        Self {
            models,
            lifecycle: Arc::new(Lifecycle::new(Phase::Ready)),
            access: Arc::default(),
            reloader: None,
            jobs: None,
            runtime,
            options: HttpOptions { limits, ..HttpOptions::default() },
        }
    }
}

impl ServerState {
    fn new(parts: ServerParts) -> Self {
        let ServerParts { models, lifecycle, access, reloader, jobs, runtime, options } = parts;
        let traffic = Arc::new(Traffic::new());
        let max_in_flight = options.max_in_flight;
        let places = Arc::new(Semaphore::new(max_in_flight));
        let process = metrics::ProcessState {
            lifecycle: lifecycle.clone(),
            places: places.clone(),
            max_in_flight,
            reloader: reloader.clone(),
        };
        let page = metrics::page(&traffic, process, models.clone());
        let (limits, base_path, started) = (options.limits, options.base_path, Instant::now());
        Self {
            models,
            lifecycle,
            access,
            reloader,
            jobs,
            limits,
            max_in_flight,
            places,
            base_path,
            traffic,
            page,
            runtime,
            started,
        }
    }

    /// When a request that finds the whole server busy should come again: when the busiest engine has worked off half of
    /// its queue.
    fn retry_after(&self) -> Duration {
        let registry = self.models.current();
        let each = registry.models().iter().map(|model| model.engine.retry_after());
        each.max().unwrap_or(Duration::from_secs(1))
    }
}

/// The routes over whatever `models` holds when a request begins, open to everyone.
pub fn router(models: Arc<Models>, limits: HttpLimits, runtime: RuntimeFacts) -> Router {
    routes(ServerParts::open(models, limits, runtime))
}

/// The routes over `parts`.
pub fn routes(parts: ServerParts) -> Router {
    let (cors, protect_metrics) = (parts.options.cors.layer(), parts.options.protect_metrics);
    let state = Arc::new(ServerState::new(parts));
    let base_path = state.base_path.clone();
    let mut open = Router::new().merge(probe_routes()).merge(page::routes()).merge(openapi::routes());
    let mut guarded = Router::new()
        .merge(solve_routes().layer(from_fn_with_state(state.clone(), admission::take_place)))
        .merge(admin_routes().layer(from_fn_with_state(state.clone(), access::refuse_without_keys)))
        .merge(jobs::routes())
        .merge(open_inference::info_routes())
        .route("/info", get(operation::info).fallback(only_get));
    let metrics = get(metrics::metrics).fallback(only_get);
    if protect_metrics {
        guarded = guarded.route("/metrics", metrics);
    } else {
        open = open.route("/metrics", metrics);
    }
    let mut all = Router::new()
        .merge(open)
        .merge(guarded.layer(from_fn_with_state(state.clone(), access::require_key)))
        .fallback(|| async { Problem::NotFound })
        .layer(DefaultBodyLimit::max(state.limits.max_body_bytes))
        .layer(CatchPanicLayer::custom(|_| Problem::Internal.into_response()));
    if let Some(cors) = cors {
        all = all.layer(cors);
    }
    let all = all.layer(from_fn_with_state(state.clone(), observe::observe)).with_state(state);
    if base_path.is_empty() { all } else { prefix::below(all, &base_path) }
}

/// Routes that run a model, or serve those that do: they wait for the models and count as in flight.
fn solve_routes() -> Router<Arc<ServerState>> {
    Router::new().merge(solve::routes()).merge(arc::routes()).merge(samples::routes()).merge(open_inference::routes())
}

/// Routes that need an API key to be configured.
fn admin_routes() -> Router<Arc<ServerState>> {
    Router::new().route("/admin/reload", post(operation::reload).fallback(only_post))
}

/// Routes that never need a key.
fn probe_routes() -> Router<Arc<ServerState>> {
    Router::new()
        .route("/livez", get(operation::livez).fallback(only_get))
        .route("/readyz", get(operation::readyz).fallback(only_get))
        .route("/health", get(operation::health).fallback(only_get))
        .merge(open_inference::probe_routes())
}

async fn only_get() -> Problem {
    Problem::MethodNotAllowed("GET, HEAD")
}

async fn only_post() -> Problem {
    Problem::MethodNotAllowed("POST")
}
