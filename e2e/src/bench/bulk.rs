//! One cluster with one App of many ConfigMaps: what `cold`, `delta` and `rest`
//! measure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};

use crate::control_plane::Options;
use crate::git::GitRepo;
use crate::rig::{Rig, eventually, files};

/// ConfigMaps in the App.
pub const OBJECTS: usize = 2_000;
/// Bytes of data in each.
pub const BYTES: usize = 1_024;
/// Requests under way at once: the spoke's default `apply.concurrency`, and so the generator's.
pub const CONCURRENCY: usize = 16;
/// The namespace of the App.
pub const NAMESPACE: &str = "bulk";

/// The fleet and the tenant's repo.
pub struct Bulk {
    /// The fleet.
    pub rig: Rig,
    /// The tenant's repo, with the App's file and no objects yet.
    pub repo: GitRepo,
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
    pub async fn start() -> Result<Self> {
        let rig = Rig::start_with(&["eu-1"], Options::bench()).await?;
        let repo = rig.tenant("bulk", &[NAMESPACE])?;
        let first = files::config_map("first", "k", "v");
        repo.commit(
            &[("rimward.yaml", Some(&files::app("bulk", NAMESPACE))), ("first.yaml", Some(&first))],
            "app",
        )?;
        rig.reconcile().await?;
        rig.wait_ready("bulk/bulk").await?;
        Ok(Self { rig, repo })
    }

    /// Commits these objects in this revision.
    pub fn commit(&self, objects: impl Iterator<Item = usize>, revision: usize) -> Result<String> {
        let texts: Vec<(String, String)> = objects
            .map(|i| Ok((format!("{}.json", name(i)), json_of(&object(i, revision))?)))
            .collect::<Result<_>>()?;
        let changes: Vec<(&str, Option<&str>)> =
            texts.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        self.repo.commit(&changes, &format!("revision {revision}"))
    }

    /// Asks for a reconcile and waits until the App is Ready at `commit`; how long both took.
    pub async fn settle(&self, commit: &str) -> Result<Duration> {
        let start = Instant::now();
        self.rig.hub.cli_ok(&["reconcile", "source/bulk/apps"]).await?;
        let wait = ["wait", "app/bulk/bulk", "--commit", commit, "--timeout", "300s"];
        self.rig.hub.cli_ok(&wait).await?;
        Ok(start.elapsed())
    }

    /// All objects, committed and settled; how long from asking to Ready.
    pub async fn fill(&self) -> Result<Duration> {
        let commit = self.commit(0..OBJECTS, 1)?;
        let time = self.settle(&commit).await?;
        let found = self.count().await?;
        if found < OBJECTS {
            bail!("Ready was said with {found} of {OBJECTS} objects there");
        }
        Ok(time)
    }

    /// ConfigMaps in the App's namespace.
    pub async fn count(&self) -> Result<usize> {
        let api: Api<ConfigMap> = Api::namespaced(self.rig.sites[0].client(), NAMESPACE);
        Ok(api.list_metadata(&ListParams::default()).await?.items.len())
    }

    /// A namespace of that name for the generator.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.rig.sites[0].client());
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
        api.create(&PostParams::default(), &Namespace { metadata, ..Default::default() }).await?;
        Ok(())
    }

    /// Empties the generator's namespace again.
    pub async fn clear(&self, namespace: &str) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.rig.sites[0].client(), namespace);
        api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        eventually("the generator's objects to go", || async {
            let left = api.list_metadata(&ListParams::default().limit(5)).await?.items.len();
            Ok((left <= 1).then_some(()))
        })
        .await
    }
}

fn json_of(object: &ConfigMap) -> Result<String> {
    Ok(serde_json::to_string(object)?)
}
