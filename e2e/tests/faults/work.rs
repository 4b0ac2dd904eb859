//! The work that goes on under every fault: an App, a commit that changes some
//! of its objects, removes some and adds some; and what must be true at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{config_map, now, uid};
use rimward_e2e::rig::{Rig, Said, files};
use serde_json::Value;

/// Stay, the first of them with another value.
pub const KEPT: [&str; 4] = ["kept-0", "kept-1", "kept-2", "kept-3"];
/// Of [`KEPT`], how many change.
pub const CHANGED: usize = 2;
/// Go.
pub const GONE: [&str; 3] = ["gone-0", "gone-1", "gone-2"];
/// Come.
pub const NEW: [&str; 3] = ["new-0", "new-1", "new-2"];

/// Long enough for a spoke to do what it must not do, were it to.
pub const MEANWHILE: Duration = Duration::from_secs(3);

/// How long anything may take to converge when its fault is over, or with a fault that lets half of it through.
const LONG: Duration = Duration::from_secs(90);

/// An App at work.
pub struct Work {
    tenant: &'static str,
    repo: GitRepo,
    since: Timestamp,
    before: BTreeMap<String, String>,
    commit: String,
}

impl Work {
    /// A tenant, in the namespace of the same name, with the App `web`, Ready and without a fault.
    pub async fn begin(rig: &Rig, tenant: &'static str) -> Result<Self> {
        let repo = rig.tenant(tenant, &[tenant])?;
        let mut files = vec![("rimward.yaml".to_owned(), files::app("web", tenant))];
        files.extend(KEPT.iter().chain(&GONE).map(|name| file(name, "1")));
        let commit = rig.ship(&repo, &format!("{tenant}/web"), &changes(&files)).await?;
        let mut work = Self { tenant, repo, since: now(), before: BTreeMap::new(), commit };
        work.before =
            work.live(rig).await?.iter().map(|(name, object)| (name.clone(), uid(object))).collect();
        Ok(work)
    }

    /// The App.
    pub fn app(&self) -> String {
        format!("app/{}/web", self.tenant)
    }

    /// The path of one of its objects.
    pub fn path(&self, name: &str) -> String {
        config_map(self.tenant, name)
    }

    /// Git changes, and the hub publishes it.
    pub async fn change(&mut self, rig: &Rig) -> Result<()> {
        let mut files: Vec<_> = KEPT[..CHANGED].iter().map(|name| file(name, "2")).collect();
        files.extend(NEW.iter().map(|name| file(name, "1")));
        let gone: Vec<_> = GONE.iter().map(|name| format!("{name}.yaml")).collect();
        let mut all = changes(&files);
        all.extend(gone.iter().map(|path| (path.as_str(), None)));
        self.commit = self.repo.commit(&all, "a change")?;
        rig.reconcile().await
    }

    /// Waits until it is Ready with what Git says, and sees that it is: these objects and no others, no one of them
    /// made again, and deleted what Git removed, once each, and nothing else.
    pub async fn converges(&self, rig: &mut Rig) -> Result<()> {
        let (start, wait) =
            (Instant::now(), ["wait", &self.app(), "--commit", &self.commit, "--timeout", "30s"]);
        // What has failed is tried again by and by, so Failed is not the end.
        while let Said { code: code @ 1.., err, .. } = rig.hub.say(&wait).await? {
            let described = rig.hub.describe(&self.app()).await?;
            ensure!(start.elapsed() < LONG, "it does not converge in {LONG:?}: {code} {err}\n{described:#}");
            self.goes_on(rig)?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("converged after {:.1} s", start.elapsed().as_secs_f64());
        let live = self.live(rig).await?;
        let names: BTreeSet<&str> = live.keys().map(String::as_str).collect();
        ensure!(names == KEPT.into_iter().chain(NEW).collect(), "there is {names:?}");
        for (i, name) in KEPT.iter().enumerate() {
            let object = &live[*name];
            let value = if i < CHANGED { "2" } else { "1" };
            ensure!(object["data"]["key"] == value, "not as in Git: {object:#}");
            ensure!(self.before[*name] == uid(object), "{name} was deleted and made again");
        }
        self.goes_on(rig)?;
        self.deleted_rightly(rig).await
    }

    /// The spoke lives. One that ends and is started again would come through as well, and is not what is meant.
    fn goes_on(&self, rig: &mut Rig) -> Result<()> {
        let ended = rig.sites[0].spoke().ended(Duration::ZERO)?;
        ensure!(ended.is_none(), "the spoke has ended with {ended:?}");
        Ok(())
    }

    /// Every deletion so far was of what Git removed, and done once.
    pub async fn deleted_rightly(&self, rig: &mut Rig) -> Result<()> {
        let asked = rig.sites[0].plane().audit().await?.since(self.since).namespace(self.tenant);
        let deletes = asked.filter(|event| event.verb.starts_with("delete"));
        let wrong = deletes.clone().filter(|event| !GONE.contains(&event.name.as_str()));
        ensure!(wrong.count() == 0, "wrongly deleted:\n{wrong}");
        for name in GONE {
            let done = deletes.clone().name(name).filter(|event| event.code < 300);
            ensure!(done.count() <= 1, "deleted more than once:\n{done}");
        }
        Ok(())
    }

    /// The App's objects in the cluster, by name.
    pub async fn live(&self, rig: &Rig) -> Result<BTreeMap<String, Value>> {
        let path =
            format!("/api/v1/namespaces/{}/configmaps?labelSelector=rimward.dev%2Ftenant", self.tenant);
        let list = rig.sites[0].there(&path).await?;
        let items = list["items"].as_array().context("no list")?;
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(items.iter().map(|object| (name(object), object.clone())).collect())
    }
}

fn file(name: &str, value: &str) -> (String, String) {
    (format!("{name}.yaml"), files::config_map(name, "key", value))
}

fn changes(files: &[(String, String)]) -> Vec<(&str, Option<&str>)> {
    files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect()
}

/// Lets [`MEANWHILE`] pass.
pub async fn meanwhile() {
    tokio::time::sleep(MEANWHILE).await;
}
