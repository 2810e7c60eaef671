//! Numbers of the HTTP side: requests by route and status, their durations.
//! Leaves the engines' numbers to the engines, which are read when somebody asks.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Counters of one server.
#[derive(Debug)]
pub(super) struct Traffic {
    requests: Family<RouteStatus, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteStatus {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self { requests: Family::default(), durations: Family::new_with_constructor(|| Histogram::new(SECONDS)) }
    }

    pub(super) fn add(&self, route: &str, status: u16, duration: Duration) {
        self.requests.get_or_create(&RouteStatus { route: route.to_owned(), status }).inc();
        self.durations.get_or_create(&Route { route: route.to_owned() }).observe(duration.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "trm_http_requests",
            "HTTP responses by route and status; 499: the client went away first",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "trm_http_request_duration",
            "From a request's head to the last byte of its response",
            Unit::Seconds,
            self.durations.clone(),
        );
    }
}
