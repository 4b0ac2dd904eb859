//! `/metrics`, `/livez` and `/readyz`, worked out when they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::core::world::Task;
use crate::state::State;

/// A main loop that has not ticked for this long, seconds, is stuck.
const STUCK: i64 = 30;

/// What the probes look at.
pub struct Probes {
    state: Arc<State>,
    ticked: AtomicI64,
    reload_ok: AtomicBool,
}

impl Probes {
    /// Probes of a hub that has just started.
    pub fn new(state: Arc<State>) -> Self {
        let ticked = AtomicI64::new(Timestamp::now().as_second());
        Self { state, ticked, reload_ok: AtomicBool::new(true) }
    }

    /// The main loop goes round.
    pub fn tick(&self) {
        self.ticked.store(Timestamp::now().as_second(), Ordering::Relaxed);
    }

    /// The configuration was read again.
    pub fn reloaded(&self, good: bool) {
        self.reload_ok.store(good, Ordering::Relaxed);
    }

    /// The routes.
    pub fn router(self: Arc<Self>) -> Router {
        let (live, ready) = (self.clone(), self.clone());
        Router::new()
            .route("/livez", get(async move || live.live()))
            .route("/readyz", get(async move || ready.ready()))
            .route("/metrics", get(async move || self.metrics()))
    }

    fn live(&self) -> Response {
        let age = Timestamp::now().as_second() - self.ticked.load(Ordering::Relaxed);
        if age < STUCK {
            "ok\n".into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the main loop last ticked {age} s ago\n"))
                .into_response()
        }
    }

    fn ready(&self) -> Response {
        if self.state.look(|world| world.policy.is_some()) {
            "ok\n".into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the fleet repo was not read yet\n").into_response()
        }
    }

    fn metrics(&self) -> Response {
        let mut registry = Registry::with_prefix("rimward");
        for (name, help, value) in self.values() {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
        registry.register("content_sent", "Content sent to spokes, by kind", self.state.sent.metric());
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                ([(header::CONTENT_TYPE, kind)], text).into_response()
            }
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }

    fn values(&self) -> Vec<(&'static str, &'static str, i64)> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let published = self.state.published.borrow().clone();
        let head = published.as_ref().map(|published| &published.head);
        let mut values = vec![
            (
                "config_reload_ok",
                "1 if the last reload of the configuration was good",
                i64::from(self.reload_ok.load(Ordering::Relaxed)),
            ),
            ("sessions", "Open sessions of spokes", count(self.state.sessions.len())),
            (
                "head_seq",
                "Seq of the publication in force",
                head.map_or(0, |head| head.seq.try_into().unwrap_or(i64::MAX)),
            ),
            (
                "head_expires_timestamp_seconds",
                "When the head in force expires",
                head.map_or(0, |head| head.expires.as_second()),
            ),
        ];
        self.state.look(|world| {
            let failing = world.sources.values().filter(|source| source.error.is_some()).count();
            values.extend([
                ("sources", "Sources known", count(world.sources.len())),
                ("sources_failing", "Sources that could not be read at the last look", count(failing)),
                ("holds", "Changes the hub holds for an approval", count(world.decided.holds.len())),
                ("clusters", "Clusters known", count(world.clusters.len())),
            ]);
            values.extend(Task::ALL.map(|task| {
                let (name, help) = match task {
                    Task::Signing => {
                        ("ahead", "1 if a spoke holds a head this hub does not know, and nothing is signed")
                    }
                    Task::Planning => {
                        ("planning_failing", "1 if what was read cannot be planned or published")
                    }
                    Task::Renewal => ("renewal_failing", "1 if the head cannot be renewed"),
                    Task::Collection => {
                        ("collection_failing", "1 if content that nothing needs is not removed")
                    }
                };
                (name, help, i64::from(world.troubles.contains_key(&task)))
            }));
        });
        values
    }
}
