//! A whole fleet on one machine: control planes, Git repositories, the hub and
//! its spokes, all the real programs, in a few lines of a test.

mod admin;
mod admission;
mod apply;
mod audit;
pub mod files;
mod history;
mod hub;
pub mod live;
mod metrics;
mod said;
pub(crate) mod site;
mod spoke;
mod stage;
mod story;
mod unpack;
pub mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

pub use apply::apply_yaml;
pub use audit::SPOKE_ACCOUNT;
pub use history::History;
pub use hub::HubProcess;
pub use said::Said;
pub use site::Site;
pub use spoke::SpokeProcess;
pub use stage::Stage;
pub use story::Story;

use crate::control_plane::{ControlPlane, Options};
use crate::git::{Access, GitRepo, GitServer};
use crate::scratch::Scratch;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The credentials of every repository of a rig.
pub const GIT_USER: &str = "rimward";
/// The password of [`GIT_USER`].
pub const GIT_PASSWORD: &str = "not-a-secret-outside-this-rig";

/// A fleet; everything in it stops when it is dropped.
pub struct Rig {
    /// The spokes and their clusters, in the order of their names given. First, so that they stop first.
    pub sites: Vec<Site>,
    /// The hub.
    pub hub: HubProcess,
    /// The Git server.
    pub git: GitServer,
    /// The fleet repo.
    pub fleet: GitRepo,
    scratch: Scratch,
}

impl Rig {
    /// A hub with an empty fleet repo, and one control plane and one enrolled spoke for each of `clusters`.
    pub async fn start(clusters: &[&str]) -> Result<Self> {
        Self::start_with(clusters, Options::default()).await
    }

    /// As [`Rig::start`], with these control planes.
    pub async fn start_with(clusters: &[&str], options: Options) -> Result<Self> {
        let mut rig = Self::hub_only().await?;
        for (name, plane) in rig.planes(clusters, options).await? {
            rig.join(Site::own(name, plane).await?).await?;
        }
        Ok(rig)
    }

    /// As [`Rig::start`], each spoke behind a proxy that makes faults when told to.
    pub async fn start_behind_proxies(clusters: &[&str]) -> Result<Self> {
        let mut rig = Self::hub_only().await?;
        for (name, plane) in rig.planes(clusters, Options::default()).await? {
            rig.join(Site::behind_a_proxy(name, plane).await?).await?;
        }
        Ok(rig)
    }

    /// Control planes for clusters that the fleet knows then.
    async fn planes<'a>(
        &self,
        clusters: &[&'a str],
        options: Options,
    ) -> Result<Vec<(&'a str, ControlPlane)>> {
        let planes = ControlPlane::start_many(clusters.len(), options).await?;
        self.fleet.commit(&[("clusters.yaml", Some(&files::clusters(clusters)))], "clusters")?;
        self.reconcile().await?;
        Ok(clusters.iter().copied().zip(planes).collect())
    }

    /// A hub and a Git server with an empty fleet repo; no clusters yet.
    pub async fn hub_only() -> Result<Self> {
        let scratch = Scratch::new("rig")?;
        let git = GitServer::start()?;
        let access = Access::basic(GIT_USER, GIT_PASSWORD);
        let fleet = git.create("platform/fleet", access.clone())?;
        fleet.commit(&[("fleet.yaml", Some(files::FLEET))], "an empty fleet")?;
        let credentials = scratch.path().join("credentials");
        git.write_credentials(&credentials, files::CREDENTIALS, &access)?;
        let hub = HubProcess::init_and_start(scratch.path(), fleet.url(), &credentials).await?;
        Ok(Self { sites: Vec::new(), hub, git, fleet, scratch })
    }

    /// Enrols a cluster and starts its spoke.
    pub async fn join(&mut self, mut site: Site) -> Result<()> {
        site.enrol(&self.hub, self.scratch.path()).await?;
        self.sites.push(site);
        Ok(())
    }

    /// The site of that name.
    pub fn site(&mut self, name: &str) -> &mut Site {
        self.sites.iter_mut().find(|site| site.name == name).expect("a test names its own sites")
    }

    /// A tenant repo; add it to the fleet with [`files::tenant`].
    pub fn tenant_repo(&self, name: &str) -> Result<GitRepo> {
        self.git.create(name, Access::basic(GIT_USER, GIT_PASSWORD))
    }

    /// A tenant with one repo of the same name, its source `apps`, in the fleet.
    pub fn tenant(&self, name: &str, namespaces: &[&str]) -> Result<GitRepo> {
        let repo = self.tenant_repo(&format!("tenants/{name}"))?;
        let text = files::tenant(name, repo.url(), namespaces);
        self.fleet.commit(&[(&format!("tenants/{name}.yaml"), Some(&text))], &format!("tenant {name}"))?;
        Ok(repo)
    }

    /// Asks the hub to fetch everything now and waits until it has published what it found.
    pub async fn reconcile(&self) -> Result<()> {
        self.hub.cli_ok(&["reconcile", "source/fleet"]).await.map(drop)
    }

    /// Waits until every App of the fleet is Ready.
    pub async fn wait_ready(&self, app: &str) -> Result<()> {
        self.hub.cli_ok(&["wait", &format!("app/{app}"), "--timeout", "60s"]).await.map(drop)
    }

    /// Commits to a tenant's repo, has the hub look, and waits until `app` (`tenant/app`) is Ready with that commit.
    /// Returns the commit.
    pub async fn ship(&self, repo: &GitRepo, app: &str, changes: &[(&str, Option<&str>)]) -> Result<String> {
        let commit = repo.commit(changes, app)?;
        self.reconcile().await?;
        let app = format!("app/{app}");
        self.hub.cli_ok(&["wait", &app, "--commit", &commit, "--timeout", "60s"]).await?;
        Ok(commit)
    }

    /// Sequence number of the publication in force.
    pub async fn seq(&self) -> Result<u64> {
        let status = self.hub.json(&["status"]).await?;
        status["publication"]["seq"].as_u64().context("nothing is published")
    }

    /// The folder of everything temporary.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Leaves the folder behind on drop.
    pub fn keep(&mut self) -> PathBuf {
        self.scratch.keep();
        self.scratch.path().to_owned()
    }
}

/// Polls `check` every few milliseconds until it gives a value; an error says what was waited for and for how long.
pub async fn eventually<T, F>(what: &str, mut check: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let start = Timestamp::now();
    let mut last = None;
    while start.duration_until(Timestamp::now()).unsigned_abs() < PATIENCE {
        match check().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    match last {
        Some(error) => Err(error).with_context(|| format!("waited {PATIENCE:?} for {what}")),
        None => bail!("waited {PATIENCE:?} for {what}"),
    }
}

/// The item of `list` (a JSON list of the API) with that name.
pub fn item<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list["items"].as_array()?.iter().find(|item| item["name"] == name)
}
