//! A proxy in front of a real API server that makes the faults of real ones:
//! storms of 429, answers that break off, tokens that expire, watches that are
//! too old. What it does to which request a test says in a closure; what it
//! passes on reaches the server as it came, credentials included.

mod answer;
mod fault;
mod forward;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::watch;

pub use fault::{Fault, Gate, Odds};

use crate::https::HttpsServer;

/// The largest request passed on: larger than any that an API server takes (3 MiB).
const BODY: usize = 8 << 20;

/// Says what becomes of a request.
type Script = Arc<dyn Fn(&Asked) -> Fault + Send + Sync>;

/// A request as a script sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    /// HTTP method, in capitals.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// The query, not decoded.
    pub query: String,
    /// Whom it impersonates.
    pub impersonated: Option<String>,
}

impl Asked {
    fn new(method: &axum::http::Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let impersonated = headers.get("impersonate-user").and_then(|user| user.to_str().ok());
        Self {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            impersonated: impersonated.map(str::to_owned),
        }
    }

    /// Whether it asks for a stream of changes.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| ["watch=1", "watch=true"].contains(&pair))
    }

    /// Whether it would change something.
    pub fn is_write(&self) -> bool {
        self.method != "GET" && !self.query.contains("dryRun=All")
    }
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Handled {
    /// The request.
    pub asked: Asked,
    /// What became of it.
    pub fault: Fault,
    /// When it came.
    pub at: Instant,
}

struct Shared {
    upstream: Client,
    script: Mutex<Script>,
    handled: Mutex<Vec<Handled>>,
    /// Counts up when all open watches are to end.
    cut: watch::Sender<u64>,
}

impl Shared {
    fn decide(&self, asked: &Asked) -> Fault {
        let script = Arc::clone(&lock(&self.script));
        let fault = script(asked);
        let handled = Handled { asked: asked.clone(), fault: fault.clone(), at: Instant::now() };
        lock(&self.handled).push(handled);
        fault
    }
}

/// A running proxy; it ends when dropped.
pub struct FaultProxy {
    server: HttpsServer,
    shared: Arc<Shared>,
}

impl FaultProxy {
    /// Starts one in front of the server that `kubeconfig` names. It passes everything on until told otherwise.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let known = Kubeconfig::read_from(kubeconfig)?;
        let known = Config::from_custom_kubeconfig(known, &KubeConfigOptions::default()).await?;
        // Its address and authority alone: who asks is for those who ask to say.
        let mut config = Config::new(known.cluster_url);
        config.root_cert = known.root_cert;
        config.disable_compression = true;
        config.default_retry = false;
        let shared = Arc::new(Shared {
            upstream: Client::try_from(config).context("a client for the API server")?,
            script: Mutex::new(Arc::new(|_| Fault::None)),
            handled: Mutex::default(),
            cut: watch::Sender::new(0),
        });
        let routes = Router::new()
            .fallback(forward::handle)
            .layer(DefaultBodyLimit::max(BODY))
            .with_state(Arc::clone(&shared));
        Ok(Self { server: HttpsServer::start("fault-proxy", routes)?, shared })
    }

    /// Turns a kubeconfig with a token into one that goes through this proxy. A client certificate would not get past it.
    pub fn lead_through(&self, kubeconfig: &mut Value) -> Result<()> {
        let ca = STANDARD.encode(self.server.ca());
        for cluster in kubeconfig["clusters"].as_array_mut().context("the kubeconfig has no clusters")? {
            cluster["cluster"] = json!({"server": self.server.url(), "certificate-authority-data": ca});
        }
        Ok(())
    }

    /// From now on `script` says what becomes of each request. Watches that are open stay open.
    pub fn play(&self, script: impl Fn(&Asked) -> Fault + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
    }

    /// From now on everything is passed on.
    pub fn pass(&self) {
        self.play(|_| Fault::None);
    }

    /// Ends all watches that are open, in good order, as an API server does every few minutes.
    pub fn end_watches(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// What was asked since then, and what became of it.
    pub fn since(&self, start: Instant) -> Vec<Handled> {
        let handled = lock(&self.shared.handled);
        handled.iter().filter(|handled| handled.at >= start).cloned().collect()
    }

    /// Requests that were repeated since then before their `Retry-After` was over, a line each.
    pub fn impatient(&self, start: Instant) -> Vec<String> {
        impatient(&self.since(start))
    }
}

/// See [`FaultProxy::impatient`]. Queries do not count: a watch that is begun again has another resourceVersion. Nor do
/// creations: the path does not say of what.
fn impatient(handled: &[Handled]) -> Vec<String> {
    let same = |a: &Asked, b: &Asked| {
        (&a.method, &a.path, &a.impersonated) == (&b.method, &b.path, &b.impersonated)
            && a.is_watch() == b.is_watch()
            && a.is_write() == b.is_write()
    };
    let mut found = Vec::new();
    for (i, refused) in handled.iter().enumerate() {
        let Fault::TooMany(seconds) = refused.fault else { continue };
        if refused.asked.method == "POST" {
            continue;
        }
        let until = refused.at + Duration::from_secs(seconds);
        let early =
            handled[i + 1..].iter().find(|later| later.at < until && same(&later.asked, &refused.asked));
        found.extend(early.map(|later| {
            let Asked { method, path, query, .. } = &later.asked;
            format!("{method} {path}?{query} after {:?} of {seconds} s", later.at - refused.at)
        }));
    }
    found
}

/// A poisoned lock means that a script has panicked; the data are fine.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, query: &str) -> Asked {
        Asked { method: method.into(), path: "/a".into(), query: query.into(), impersonated: None }
    }

    #[test]
    fn watches_and_writes_are_told_apart() {
        assert!(asked("GET", "a=b&watch=true").is_watch() && !asked("GET", "watch=false").is_watch());
        assert!(asked("PATCH", "force=true").is_write() && !asked("PATCH", "dryRun=All").is_write());
        assert!(!asked("GET", "").is_write());
    }

    #[test]
    fn who_comes_back_too_early_is_impatient() {
        let start = Instant::now();
        let at = |millis: u64, method: &str, fault: Fault| Handled {
            asked: asked(method, ""),
            fault,
            at: start + Duration::from_millis(millis),
        };
        let patient =
            [at(0, "PATCH", Fault::TooMany(1)), at(500, "GET", Fault::None), at(1000, "PATCH", Fault::None)];
        assert_eq!(impatient(&patient).len(), 0);
        let early = [at(0, "PATCH", Fault::TooMany(1)), at(999, "PATCH", Fault::None)];
        assert_eq!(impatient(&early).len(), 1);
    }
}
