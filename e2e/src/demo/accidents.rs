//! The bad days: the Git server dies, a repository is emptied, the hub is
//! killed. Nothing is deleted, it is said plainly, and all is well afterwards.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};

use super::cluster::{edit, until, versions};
use super::{Demo, GREETING, PAYMENTS, SHOP, is};
use crate::rig::Site;

/// Changes are gathered for 50 ms, sent, applied and reported within a second; what an accident would set off has
/// happened after two.
const SETTLE: Duration = Duration::from_secs(2);
/// How soon a spoke is in step, from the moment its stream is there.
const IN_STEP: SignedDuration = SignedDuration::from_secs(1);

/// What must not change: the publication in force, and the versions of the objects in the clusters.
#[derive(PartialEq, Eq, Debug)]
struct Standing {
    seq: u64,
    objects: Vec<String>,
}

impl Demo {
    pub(super) async fn git_outage(&mut self) -> Result<()> {
        self.show.step("The Git server dies");
        let before = self.standing().await?;
        self.rig.git.stop()?;
        let since = Instant::now();
        self.fails_static(PAYMENTS, "RW2001", &before, since).await?;
        self.rig.git.start_again()?;
        self.is_back(PAYMENTS, &before).await
    }

    pub(super) async fn empty_repository(&mut self) -> Result<()> {
        self.show.step("A tenant's repository is replaced by an empty one");
        let before = self.standing().await?;
        self.shop.replace_with_empty_repository()?;
        let since = Instant::now();
        self.fails_static(SHOP, "RW2003", &before, since).await?;
        self.shop.push_again()?;
        self.is_back(SHOP, &before).await
    }

    /// A source that cannot be read, or is empty, is said to be so, and nothing else happens.
    async fn fails_static(
        &mut self,
        source: &str,
        code: &str,
        before: &Standing,
        since: Instant,
    ) -> Result<()> {
        self.fails(1, &["reconcile", &format!("source/{source}")]).await?;
        self.is_stale(source, code).await?;
        self.show.done("reconcile fails, and says that the last good snapshot stays in force:", since);
        self.show.say(&self.shown(source).await?);
        self.unchanged(before).await?;
        self.show.done("seconds later, nothing was published, written or deleted", since);
        Ok(())
    }

    /// It can be read again, as it was.
    async fn is_back(&mut self, source: &str, before: &Standing) -> Result<()> {
        let since = Instant::now();
        self.reconcile(source).await?;
        is(&self.source(source).await?, "state", "Ready")?;
        ensure!(self.standing().await? == *before, "reading the same again changed something");
        self.show.done("it is back, and read again", since);
        Ok(())
    }

    pub(super) async fn hub_dies(&mut self) -> Result<()> {
        self.show.step("The hub is killed");
        let since = Instant::now();
        self.rig.hub.kill()?;
        self.fails(3, &["get", "apps"]).await?;
        self.show.done("it answers nobody any more", since);
        let site = &self.rig.sites[1];
        edit(site, GREETING, "nobody is watching").await?;
        let since = Instant::now();
        until(site, GREETING, Some("hello")).await?;
        self.show.done("the spoke repairs drift on its own", since);
        Ok(())
    }

    pub(super) async fn hub_returns(&mut self) -> Result<()> {
        self.show.step("The hub comes back, to a commit that it has not seen");
        let commit = self.greet("welcome back")?;
        let (since, from) = (Instant::now(), Timestamp::now());
        self.rig.hub.start().await?;
        self.show.done("the hub answers", since);
        let seen = try_join_all(self.rig.sites.iter().map(arrival)).await?;
        for (site, seen) in self.rig.sites.iter().zip(seen) {
            let connected = self.rig.hub.connected(&site.name).filter(|at| *at > from);
            let took = seen.duration_since(connected.context("in step without a stream")?);
            let what = format!("{} is in step, from the moment its stream was there", site.name);
            self.show.took(&what, took.unsigned_abs());
            ensure!(!took.is_negative() && took <= IN_STEP, "{} took {took:#} to be in step", site.name);
        }
        self.rig.hub.cli_ok(&["wait", "app/payments/web", "--commit", &commit]).await?;
        self.show.done("the App is Ready at that commit", since);
        self.show.say(&self.rig.hub.cli_ok(&["get", "clusters"]).await?);
        Ok(())
    }

    /// Said plainly: the source is stale, why, and what that means.
    async fn is_stale(&self, source: &str, code: &str) -> Result<()> {
        let source = self.source(source).await?;
        is(&source, "state", "Stale")?;
        is(&source, "reason", "SourceFailed")?;
        is(&source["notes"][0], "code", code)?;
        let message = source["message"].as_str().unwrap_or_default();
        ensure!(message.contains("stays in force"), "{source:#}");
        Ok(())
    }

    /// UIDs and versions of what must survive everything, on both clusters.
    pub(super) async fn objects(&self) -> Result<Vec<String>> {
        versions(&self.rig, &[("payments", "web"), ("shop", "cart")]).await
    }

    async fn standing(&self) -> Result<Standing> {
        Ok(Standing { seq: self.rig.seq().await?, objects: self.objects().await? })
    }

    /// Once everything has settled, nothing has changed, and no App waits or fails.
    async fn unchanged(&self, before: &Standing) -> Result<()> {
        tokio::time::sleep(SETTLE).await;
        let now = self.standing().await?;
        ensure!(now == *before, "{before:?} has become {now:?}");
        let held = self.rig.hub.json(&["get", "holds"]).await?;
        ensure!(held["items"].as_array().is_some_and(Vec::is_empty), "{held:#}");
        Ok(())
    }
}

/// When the commit of the hub's absence is seen on a cluster.
async fn arrival(site: &Site) -> Result<Timestamp> {
    until(site, GREETING, Some("welcome back")).await?;
    Ok(Timestamp::now())
}
