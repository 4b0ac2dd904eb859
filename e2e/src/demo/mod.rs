//! The demo: the main job and its worst days, on real API servers, as a person
//! would like to see it. Every step prints its time and checks what it claims,
//! and nothing is left when it ends, however it ends.

mod accidents;
mod cluster;
mod ground;
mod keep;
mod show;
mod signals;
mod steps;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::control_plane::{ControlPlane, Options};
use crate::git::GitRepo;
use crate::rig::{Rig, Said, Site, files};
use ground::Ground;
use show::Show;
use signals::Signals;

/// The clusters' names.
const CLUSTERS: [&str; 2] = ["eu-1", "us-1"];
/// Where the value the demo plays with is: namespace, ConfigMap, key.
const GREETING: (&str, &str, &str) = ("payments", "web", "greeting");
/// A value of the App that is removed.
const WORKER: (&str, &str, &str) = ("payments", "worker", "queue");
/// A value of the other tenant.
const CART: (&str, &str, &str) = ("shop", "cart", "currency");
/// The sources of the two tenants.
const PAYMENTS: &str = "payments/apps";
/// See [`PAYMENTS`].
const SHOP: &str = "shop/apps";

struct Demo {
    show: Show,
    rig: Rig,
    payments: GitRepo,
    shop: GitRepo,
}

/// Runs the demo; with two `kubeconfigs`, on those clusters.
pub async fn run(keep: bool, kubeconfigs: &[PathBuf]) -> Result<()> {
    let mut signals = Signals::listen()?;
    let mut ground = Ground::new(&CLUSTERS, kubeconfigs).await?;
    let told = tokio::select! {
        told = tell(kubeconfigs, &mut ground) => told,
        () = signals.next() => Err(anyhow!("interrupted")),
    };
    let result = match told {
        Ok(demo) => stay(keep, demo, &mut signals).await,
        Err(error) => Err(error),
    };
    let since = Instant::now();
    let cleared = tokio::select! {
        cleared = ground.clear() => cleared,
        () = signals.next() => Err(anyhow!("interrupted again")),
    };
    match (cleared, result) {
        (Ok(()), result) => {
            if !kubeconfigs.is_empty() {
                println!("\nBoth clusters are as they were, in {:.1} s.", since.elapsed().as_secs_f64());
            }
            result
        }
        (Err(left), Ok(())) => Err(left.context("not everything could be removed from the clusters")),
        (Err(left), Err(error)) => {
            Err(error.context(format!("and not everything could be removed from the clusters: {left:#}")))
        }
    }
}

/// The whole story; everything it started ends if it is dropped.
async fn tell(kubeconfigs: &[PathBuf], ground: &mut Ground) -> Result<Demo> {
    let start = Instant::now();
    let mut demo = Demo::begin(kubeconfigs, ground).await?;
    if let Err(error) = demo.steps().await {
        let logs = demo.rig.keep();
        return Err(error.context(format!("a step failed; the logs are kept in {}", logs.display())));
    }
    demo.show.summary();
    println!("\nAll steps did what they say, in {} s.", start.elapsed().as_secs());
    Ok(demo)
}

/// With `--keep`, waits to be told to end; then ends the fleet in good order.
async fn stay(keep: bool, mut demo: Demo, signals: &mut Signals) -> Result<()> {
    if keep {
        keep::print(&demo.rig, &demo.payments)?;
        signals.next().await;
    }
    for site in &mut demo.rig.sites {
        site.spoke().stop()?;
    }
    demo.rig.hub.stop()
}

impl Demo {
    async fn begin(kubeconfigs: &[PathBuf], ground: &mut Ground) -> Result<Self> {
        let mut show = Show::default();
        show.step("Two clusters, a Git server, the hub");
        let since = Instant::now();
        let sites = sites(kubeconfigs).await?;
        show.done("two API servers answer", since);
        ground.prepare(&mut show).await?;
        let since = Instant::now();
        let mut rig = Rig::hub_only().await?;
        rig.fleet.commit(&[("clusters.yaml", Some(&files::clusters(&CLUSTERS)))], "two clusters")?;
        rig.hub.cli_ok(&["reconcile", "source/fleet", "--wait"]).await?;
        show.done("the hub is up, with new keys and a fleet repo", since);

        show.step("Enrol: a single-use token each, an mTLS identity in return");
        for site in sites {
            let (name, since) = (site.name.clone(), Instant::now());
            rig.join(site).await?;
            show.done(&format!("{name} is enrolled and connected"), since);
        }
        show.say(&rig.hub.cli_ok(&["get", "clusters"]).await?);
        let payments = rig.tenant("payments", &["payments"])?;
        let shop = rig.tenant("shop", &["shop"])?;
        Ok(Self { show, rig, payments, shop })
    }

    async fn steps(&mut self) -> Result<()> {
        self.commit().await?;
        self.drift().await?;
        self.revert().await?;
        self.remove().await?;
        self.git_outage().await?;
        self.empty_repository().await?;
        self.hub_dies().await?;
        self.hub_returns().await
    }

    /// Asks the hub to read a source now, and waits until what it found is on the clusters.
    async fn reconcile(&self, source: &str) -> Result<()> {
        self.rig.hub.cli_ok(&["reconcile", &format!("source/{source}"), "--wait"]).await.map(drop)
    }

    fn greet(&self, value: &str) -> Result<String> {
        let text = files::config_map("web", "greeting", value);
        self.payments.commit(&[("web/config.yaml", Some(&text))], value)
    }

    /// Runs a command that is meant to fail, with that exit code.
    async fn fails(&self, code: i32, arguments: &[&str]) -> Result<Said> {
        let said = self.rig.hub.say(arguments).await?.exits(code);
        said.with_context(|| format!("rimward {}", arguments.join(" ")))
    }

    /// A tenant's source, as the API tells it.
    async fn source(&self, name: &str) -> Result<Value> {
        let (tenant, _) = name.split_once('/').unwrap_or_default();
        let list = self.rig.hub.json(&["get", "sources", "-t", tenant]).await?;
        list["items"].get(0).cloned().with_context(|| format!("no source of {tenant}"))
    }

    /// The lines about a tenant's sources, as a person sees them.
    async fn shown(&self, name: &str) -> Result<String> {
        let (tenant, _) = name.split_once('/').unwrap_or_default();
        self.rig.hub.cli_ok(&["get", "sources", "-t", tenant]).await
    }
}

/// Fails unless `value` is that of `field`.
fn is(item: &Value, field: &str, value: &str) -> Result<()> {
    ensure!(item[field] == value, "{field} is not {value}: {item:#}");
    Ok(())
}

async fn sites(kubeconfigs: &[PathBuf]) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    if kubeconfigs.is_empty() {
        let planes = ControlPlane::start_many(CLUSTERS.len(), Options::default()).await?;
        for (name, plane) in CLUSTERS.iter().zip(planes) {
            sites.push(Site::own(name, plane).await?);
        }
    }
    for (name, kubeconfig) in CLUSTERS.iter().zip(kubeconfigs) {
        let site = Site::of(name, kubeconfig).await?;
        let answer = tokio::time::timeout(crate::rig::PATIENCE, site.client().apiserver_version()).await;
        let Ok(answer) = answer else { bail!("{}: no answer", kubeconfig.display()) };
        answer.with_context(|| kubeconfig.display().to_string())?;
        sites.push(site);
    }
    Ok(sites)
}
