//! What is counted, and the listener for metrics and probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cluster::Connection;
use crate::cluster::ensure::server_version;

/// The main loop ticks every 10 s at least; one that has not for this long hangs.
const ALIVE: Duration = Duration::from_secs(30);
/// An API server that does not say its version in this time is not reachable.
const READY: Duration = Duration::from_secs(3);

/// Labels of a request to the API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `get`, `apply`, `dry-run`, `delete`, `tenant`, `list`.
    pub verb: &'static str,
    /// `ok`, or the error's kind.
    pub result: &'static str,
}

/// Everything counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// 1 while a session is open.
    pub connected: Gauge,
    /// Certificates renewed.
    pub renewals: Counter,
    /// 0 after a reload that failed.
    pub config_reload_ok: Gauge,
    /// Events taken by the core.
    pub events: Counter,
    /// Effects in flight.
    pub in_flight: Gauge,
    /// Watches running.
    pub watches: Gauge,
    /// Requests about managed objects.
    pub requests: Family<RequestLabels, Counter>,
    /// How long the core takes for one event.
    pub step_seconds: Histogram,
    started: Instant,
    ticked: AtomicU64,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rimward"),
            connected: Gauge::default(),
            renewals: Counter::default(),
            config_reload_ok: Gauge::default(),
            events: Counter::default(),
            in_flight: Gauge::default(),
            watches: Gauge::default(),
            requests: Family::default(),
            step_seconds: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
            started: Instant::now(),
            ticked: AtomicU64::new(0),
        };
        metrics.config_reload_ok.set(1);
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let reload = self.config_reload_ok.clone();
        self.registry.register("config_reload_ok", "0 after a reload that failed", reload);
        let spoke = self.registry.sub_registry_with_prefix("spoke");
        spoke.register("connected", "1 while a session with the hub is open", self.connected.clone());
        spoke.register("renewals", "Certificates renewed", self.renewals.clone());
        spoke.register("events", "Events taken by the core", self.events.clone());
        spoke.register("effects_in_flight", "Effects in flight", self.in_flight.clone());
        spoke.register("watches", "Watches running", self.watches.clone());
        spoke.register("requests", "Requests about managed objects", self.requests.clone());
        let step = self.step_seconds.clone();
        spoke.register_with_unit("step", "Time the core takes for one event", Unit::Seconds, step);
    }

    /// The main loop is alive.
    pub fn tick(&self) {
        self.ticked.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn alive(&self) -> bool {
        let ticked = Duration::from_millis(self.ticked.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(ticked) < ALIVE
    }

    /// Counts one request.
    pub fn request(&self, verb: &'static str, result: &'static str) {
        self.requests.get_or_create(&RequestLabels { verb, result }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone)]
struct Probes {
    metrics: Arc<Metrics>,
    connection: Connection,
}

/// Serves `/metrics`, `/livez` and `/readyz` until `stop`.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    connection: Connection,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(exposition))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(Probes { metrics, connection });
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn exposition(State(probes): State<Probes>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &probes.metrics.registry) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0")], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn livez(State(probes): State<Probes>) -> Response {
    verdict(probes.metrics.alive(), "the main loop has not ticked for 30 s")
}

/// The plan store is open, or there would be no listener; what is left is the API server. The hub plays no part.
async fn readyz(State(probes): State<Probes>) -> Response {
    let answer = tokio::time::timeout(READY, server_version(&probes.connection)).await;
    verdict(matches!(answer, Ok(Ok(_))), "the API server is not reachable")
}

fn verdict(good: bool, message: &'static str) -> Response {
    if good { "ok".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, message).into_response() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_interface() {
        let metrics = Metrics::new();
        metrics.request("apply", "ok");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
        for line in [
            "rimward_config_reload_ok 1",
            "rimward_spoke_connected 0",
            "rimward_spoke_requests_total{verb=\"apply\",result=\"ok\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(metrics.alive());
    }
}
