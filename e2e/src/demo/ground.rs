//! Clusters that somebody already has: what the demo may put there, what it
//! finds left over, and that nothing of it stays.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::http::{Method, Request, StatusCode};
use futures::future::try_join_all;
use kube::Client;
use serde_json::{Value, json};

use super::show::Show;
use crate::rig::live::{core, namespace, secret, uid};
use crate::rig::site::client;

/// The namespaces of the demo's tenants.
const TENANTS: [&str; 2] = ["payments", "shop"];
/// The namespaces of an installed spoke.
const SPOKES: [&str; 2] = ["rimward-system", "rimward-tenants"];
/// What an installed spoke has outside namespaces.
const CLUSTER_SCOPED: [&str; 4] = [
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/rimward-spoke",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/rimward-spoke",
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/rimward-spoke",
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/rimward-tenants",
];
/// The Deployment of a spoke that is installed in earnest; the demo's spokes are processes beside it.
const INSTALLED: &str = "/apis/apps/v1/namespaces/rimward-system/deployments/rimward-spoke";
/// The label that says that a namespace is the demo's, and may go.
const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "rimward-demo");
/// How long a namespace may take to go: its controller looks every few seconds, and a busy cluster has other work.
const GONE: Duration = Duration::from_secs(120);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// A cluster of somebody's.
struct Plot {
    name: String,
    kubeconfig: PathBuf,
    client: Client,
    /// The demo has begun to put things there.
    used: bool,
}

/// The clusters given; none if the demo starts its own.
pub struct Ground {
    plots: Vec<Plot>,
}

impl Ground {
    /// The clusters of these kubeconfigs, by these names.
    pub async fn new(names: &[&str], kubeconfigs: &[PathBuf]) -> Result<Self> {
        let mut plots = Vec::new();
        for (name, kubeconfig) in names.iter().zip(kubeconfigs) {
            let client = client(kubeconfig).await?;
            plots.push(Plot {
                name: (*name).to_owned(),
                kubeconfig: kubeconfig.clone(),
                client,
                used: false,
            });
        }
        Ok(Self { plots })
    }

    /// Looks that the demo harms nobody, removes what an earlier hub left, and makes the tenants' namespaces.
    pub async fn prepare(&mut self, show: &mut Show) -> Result<()> {
        let mut uids = Vec::new();
        for plot in &self.plots {
            uids.push(plot.look().await.with_context(|| plot.kubeconfig.display().to_string())?);
        }
        uids.dedup();
        ensure!(uids.len() == self.plots.len(), "both kubeconfigs are of one cluster; the demo needs two");
        for plot in &mut self.plots {
            let since = Instant::now();
            plot.used = true;
            for line in plot.left_over().await? {
                show.say(&line);
            }
            if plot.remove().await? {
                show.done(&format!("{}: what was left there is removed", plot.name), since);
            }
            plot.mark().await?;
        }
        Ok(())
    }

    /// Removes everything that the demo made.
    pub async fn clear(&self) -> Result<()> {
        let used = self.plots.iter().filter(|plot| plot.used);
        try_join_all(used.map(Plot::remove)).await.map(drop)
    }
}

impl Plot {
    /// The cluster's UID; an error if the demo would take something away from somebody.
    async fn look(&self) -> Result<String> {
        if self.get(INSTALLED).await?.is_some() {
            bail!(
                "a spoke is installed there (rimward-system/rimward-spoke); the demo needs another cluster"
            );
        }
        for name in TENANTS {
            if self.get(&namespace(name)).await?.is_some_and(|found| !is_marked(&found)) {
                bail!("there is a namespace {name} that is not the demo's; the demo needs another cluster");
            }
        }
        let system = self.get(&namespace("kube-system")).await?;
        Ok(uid(&system.context("no namespace kube-system")?))
    }

    /// What another hub, or a demo that was killed, has left, for people.
    async fn left_over(&self) -> Result<Vec<String>> {
        let name = &self.name;
        let mut lines = Vec::new();
        if self.get(&secret("rimward-system", "rimward-spoke-identity")).await?.is_some() {
            lines.push(format!(
                "{name}: the cluster holds the identity that another hub gave it, and a spoke obeys one hub: \
                 removing it first"
            ));
        }
        if self.get(&core("rimward-system", "configmaps", "rimward-spoke-ledger")).await?.is_some() {
            lines.push(format!("{name}: and the ledger of what was put there under that hub"));
        }
        Ok(lines)
    }

    async fn mark(&self) -> Result<()> {
        for name in TENANTS {
            let metadata = json!({"name": name, "labels": {LABEL.0: LABEL.1}});
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            self.ask(Method::POST, "/api/v1/namespaces", Some(&object)).await?;
        }
        Ok(())
    }

    /// Removes all that the demo and its spoke make, and waits until it is gone; whether there was anything.
    async fn remove(&self) -> Result<bool> {
        let namespaces = TENANTS.iter().chain(&SPOKES).map(|name| namespace(name));
        let all: Vec<String> = namespaces.chain(CLUSTER_SCOPED.map(str::to_owned)).collect();
        let mut any = false;
        for path in &all {
            any |= self.ask(Method::DELETE, path, None).await?.is_some();
        }
        let start = Instant::now();
        for path in &all {
            while self.get(path).await?.is_some() {
                ensure!(start.elapsed() < GONE, "{path} on {} is still there after {GONE:?}", self.name);
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(any)
    }

    async fn get(&self, path: &str) -> Result<Option<Value>> {
        self.ask(Method::GET, path, None).await
    }

    /// The answer; none if there is no such thing.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder().method(&method).uri(path).header("content-type", "application/json");
        match self.client.request::<Value>(request.body(body)?).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == StatusCode::NOT_FOUND.as_u16() => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{method} {path} on {}", self.name)),
        }
    }
}

fn is_marked(namespace: &Value) -> bool {
    namespace["metadata"]["labels"][LABEL.0] == LABEL.1
}

/// Where `kubeconfig` is, for a command that may be typed anywhere.
pub fn absolute(kubeconfig: &Path) -> PathBuf {
    std::path::absolute(kubeconfig).unwrap_or_else(|_| kubeconfig.to_owned())
}
