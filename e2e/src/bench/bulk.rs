//! One cluster with one App of many ConfigMaps: what `cold`, `delta`, `rest`
//! and their large forms measure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DynamicObject, ListParams, ObjectMeta};

use super::generator::{dynamic, generate, namespace};
use crate::control_plane::Options;
use crate::git::GitRepo;
use crate::rig::{Rig, files};

/// Bytes of data in each ConfigMap.
pub const BYTES: usize = 1_024;
/// Requests under way at once: the spoke's default `apply.concurrency`, and so the generator's.
pub const CONCURRENCY: usize = 16;
/// The namespace of the App.
pub const NAMESPACE: &str = "bulk";

/// The fleet and the tenant's repo.
pub struct Bulk {
    /// The fleet.
    pub rig: Rig,
    /// The tenant's repo, with the App's file and one small object at first.
    pub repo: GitRepo,
    /// ConfigMaps in the App, once it is filled, with the one that is there from the start.
    pub count: usize,
}

/// How long a change took.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// From asking the hub to reconcile until the App was Ready.
    pub asked: Duration,
    /// From the spoke's acceptance of the plan, which it writes down, until the App was Ready.
    pub accepted: Duration,
}

/// The `i`th ConfigMap, in its `revision`.
pub fn object(i: usize, revision: usize) -> ConfigMap {
    let text = format!("{i}-{revision}-{}", "x".repeat(BYTES));
    let data = BTreeMap::from([("data".to_owned(), text[..BYTES].to_owned())]);
    let metadata = ObjectMeta { name: Some(name(i)), ..Default::default() };
    ConfigMap { metadata, data: Some(data), ..Default::default() }
}

/// Name of the `i`th ConfigMap.
pub fn name(i: usize) -> String {
    format!("bulk-{i:05}")
}

impl Bulk {
    /// A cluster, a hub, a spoke, a tenant with an App of one small object, Ready.
    pub async fn start(count: usize) -> Result<Self> {
        let rig = Rig::start_with(&["eu-1"], Options::bench()).await?;
        let repo = rig.tenant("bulk", &[NAMESPACE])?;
        let first = files::config_map("first", "k", "v");
        repo.commit(
            &[("rimward.yaml", Some(&files::app("bulk", NAMESPACE))), ("first.yaml", Some(&first))],
            "app",
        )?;
        rig.reconcile().await?;
        rig.wait_ready("bulk/bulk").await?;
        Ok(Self { rig, repo, count })
    }

    /// Commits these objects in this revision.
    pub fn commit(&self, objects: impl Iterator<Item = usize>, revision: usize) -> Result<String> {
        let texts: Vec<(String, String)> = objects
            .map(|i| Ok((format!("{}.json", name(i)), serde_json::to_string(&object(i, revision))?)))
            .collect::<Result<_>>()?;
        let changes: Vec<(&str, Option<&str>)> =
            texts.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        self.repo.commit(&changes, &format!("revision {revision}"))
    }

    /// Asks for a reconcile and waits until the App is Ready at `commit`.
    pub async fn settle(&mut self, commit: &str) -> Result<Settled> {
        let (start, begun) = (Instant::now(), Timestamp::now());
        self.rig.hub.cli_ok(&["reconcile", "source/bulk/apps"]).await?;
        let wait = ["wait", "app/bulk/bulk", "--commit", commit, "--timeout", "300s"];
        self.rig.hub.cli_ok(&wait).await?;
        let (asked, ready) = (start.elapsed(), Timestamp::now());
        let accepted = Duration::try_from(ready.duration_since(accepted(&mut self.rig, begun).await?))?;
        Ok(Settled { asked, accepted })
    }

    /// All objects, committed and settled.
    pub async fn fill(&mut self) -> Result<Settled> {
        let commit = self.commit(0..self.count - 1, 1)?;
        let time = self.settle(&commit).await?;
        let api: Api<ConfigMap> = Api::namespaced(self.rig.sites[0].client(), NAMESPACE);
        let found = api.list_metadata(&ListParams::default()).await?.items.len();
        if found < self.count {
            bail!("Ready was said with {found} of {} objects there", self.count);
        }
        Ok(time)
    }

    /// The same objects by the generator, in a namespace of its own.
    pub async fn bound(&self, space: &str, objects: impl Iterator<Item = usize>) -> Result<Duration> {
        let client = self.rig.sites[0].client();
        namespace(client.clone(), space).await?;
        let objects: Vec<DynamicObject> = objects.map(|i| dynamic(&object(i, 1))).collect::<Result<_>>()?;
        generate(&client, space, &objects, CONCURRENCY).await
    }
}

/// When the spoke accepted the first plan since `since`, by the API server's audit log: it then writes down that it will
/// never accept an older one.
pub async fn accepted(rig: &mut Rig, since: Timestamp) -> Result<Timestamp> {
    let floor = rig.sites[0].asked(since).await?.verb("update").resource("secrets");
    floor.events.iter().map(|event| event.received).min().context("the spoke accepted nothing")
}
