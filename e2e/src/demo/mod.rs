//! The demo: the main job and its worst days, on real API servers, as a person
//! would like to see it. Every step checks what it claims.

mod cluster;
mod show;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::control_plane::{ControlPlane, Options};
use crate::git::GitRepo;
use crate::rig::{Rig, Site, eventually, files, item};
use cluster::{edit, uids, until, until_everywhere};
use show::Show;

/// The clusters' names.
const CLUSTERS: [&str; 2] = ["eu-1", "us-1"];
/// Where the value the demo plays with is: namespace, ConfigMap, key.
const GREETING: (&str, &str, &str) = ("payments", "web", "greeting");
/// The sources of the two tenants.
const PAYMENTS: &str = "payments/apps";
/// See [`PAYMENTS`].
const SHOP: &str = "shop/apps";
/// A value of the App that is removed.
const WORKER: (&str, &str, &str) = ("payments", "worker", "queue");
/// A value of the other tenant.
const CART: (&str, &str, &str) = ("shop", "cart", "currency");

struct Demo {
    show: Show,
    rig: Rig,
    payments: GitRepo,
    shop: GitRepo,
}

/// Runs the demo; with two `kubeconfigs`, on those clusters.
pub async fn run(keep: bool, kubeconfigs: &[PathBuf]) -> Result<()> {
    let start = Instant::now();
    let mut demo = Demo::begin(kubeconfigs).await?;
    if let Err(error) = demo.steps().await {
        let logs = demo.rig.keep();
        return Err(error.context(format!("a step failed; the logs are kept in {}", logs.display())));
    }
    demo.show.summary();
    println!("\nAll steps did what they say, in {} s.", start.elapsed().as_secs());
    if keep { demo.wait_for_ctrl_c().await } else { Ok(()) }
}

impl Demo {
    async fn begin(kubeconfigs: &[PathBuf]) -> Result<Self> {
        let mut show = Show::default();
        show.step("Two clusters, a Git server, the hub");
        let since = Instant::now();
        let sites = sites(kubeconfigs).await?;
        show.done("two API servers answer", since);
        let since = Instant::now();
        let mut rig = Rig::hub_only().await?;
        rig.fleet.commit(&[("clusters.yaml", Some(&files::clusters(&CLUSTERS)))], "two clusters")?;
        rig.reconcile().await?;
        reconcile(&rig, "fleet").await?;
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

    async fn commit(&mut self) -> Result<()> {
        self.show.step("Two teams commit their first Apps");
        let web = files::config_map("web", "greeting", "hello");
        let worker = files::config_map("worker", "queue", "orders");
        self.payments.commit(
            &[
                ("web/rimward.yaml", Some(&files::app("web", "payments"))),
                ("web/config.yaml", Some(&web)),
                ("web/deployment.yaml", Some(DEPLOYMENT)),
                ("worker/rimward.yaml", Some(&files::app("worker", "payments"))),
                ("worker/config.yaml", Some(&worker)),
            ],
            "web and worker",
        )?;
        let cart = files::config_map("cart", "currency", "EUR");
        self.shop.commit(
            &[("cart/rimward.yaml", Some(&files::app("cart", "shop"))), ("cart/config.yaml", Some(&cart))],
            "cart",
        )?;
        let since = Instant::now();
        // The fleet repo names both tenants by now; their sources are read with it.
        reconcile(&self.rig, "fleet").await?;
        until_everywhere(&self.rig, GREETING, Some("hello")).await?;
        until_everywhere(&self.rig, CART, Some("EUR")).await?;
        self.show.done("fetched, resolved, signed, applied on both clusters", since);
        for app in ["payments/web", "payments/worker", "shop/cart"] {
            self.rig.wait_ready(app).await?;
        }
        self.show.done("every App is Ready", since);
        self.show.say(&self.rig.hub.cli_ok(&["get", "apps"]).await?);

        self.show.step("A one-line change");
        self.greet("good morning")?;
        let since = Instant::now();
        reconcile(&self.rig, PAYMENTS).await?;
        until_everywhere(&self.rig, GREETING, Some("good morning")).await?;
        self.show.done("commit → applied on both clusters", since);
        Ok(())
    }

    async fn drift(&mut self) -> Result<()> {
        self.show.step("Somebody edits an object by hand");
        let site = &self.rig.sites[0];
        edit(site, GREETING, "hacked").await?;
        let since = Instant::now();
        until(site, GREETING, Some("good morning")).await?;
        self.show.done("repaired", since);
        let line = self.drift_line("kubectl-edit").await?;
        self.show.done("and `rimward get drift` says who it was:", since);
        self.show.say(&line);
        Ok(())
    }

    async fn revert(&mut self) -> Result<()> {
        self.show.step("git revert");
        let commit = self.payments.head()?;
        self.payments.revert(&commit)?;
        let since = Instant::now();
        reconcile(&self.rig, PAYMENTS).await?;
        until_everywhere(&self.rig, GREETING, Some("hello")).await?;
        self.show.done("rolled back on both clusters", since);
        Ok(())
    }

    async fn remove(&mut self) -> Result<()> {
        self.show.step("An App's file is removed from Git");
        self.payments.commit(&[("worker/rimward.yaml", None), ("worker/config.yaml", None)], "no worker")?;
        let since = Instant::now();
        reconcile(&self.rig, PAYMENTS).await?;
        until_everywhere(&self.rig, WORKER, None).await?;
        self.show.done("pruned on both clusters, by a signed tombstone", since);
        until_everywhere(&self.rig, GREETING, Some("hello")).await?;
        self.show.holds("the App beside it is untouched");
        Ok(())
    }

    async fn git_outage(&mut self) -> Result<()> {
        self.show.step("The Git server dies");
        let before = self.everything().await?;
        self.rig.git.stop()?;
        // It is meant to fail, and to say why.
        let refused = self.rig.hub.cli(&["reconcile", "source/payments/apps"]).await?;
        ensure!(!refused.status.success(), "reconcile claims to have read a server that is down");
        let source = self.source(PAYMENTS).await?;
        self.show.say(&source);
        ensure!(self.everything().await? == before, "objects changed while Git was down");
        self.show.holds("nothing was deleted; the last good snapshot stays in force");
        self.rig.git.start_again()?;
        reconcile(&self.rig, PAYMENTS).await?;
        Ok(())
    }

    async fn empty_repository(&mut self) -> Result<()> {
        self.show.step("A tenant's repository is replaced by an empty one");
        let before = self.everything().await?;
        self.shop.replace_with_empty_repository()?;
        self.rig.hub.cli(&["reconcile", "source/shop/apps"]).await?;
        let source = self.source(SHOP).await?;
        self.show.say(&source);
        ensure!(self.everything().await? == before, "objects changed because a repository was emptied");
        self.show.holds("nothing was deleted");
        Ok(())
    }

    async fn hub_dies(&mut self) -> Result<()> {
        self.show.step("The hub is killed");
        self.rig.hub.kill()?;
        let site = &self.rig.sites[1];
        edit(site, GREETING, "nobody is watching").await?;
        let since = Instant::now();
        until(site, GREETING, Some("hello")).await?;
        self.show.done("the spoke repairs drift on its own", since);
        Ok(())
    }

    async fn hub_returns(&mut self) -> Result<()> {
        self.show.step("The hub comes back, to a commit that it has not seen");
        self.greet("welcome back")?;
        let since = Instant::now();
        self.rig.hub.start().await?;
        self.show.done("the hub answers", since);
        eventually("both spokes to be connected", || async {
            let clusters = self.rig.hub.json(&["get", "clusters"]).await?;
            let ready = CLUSTERS.iter().all(|n| item(&clusters, n).is_some_and(|c| c["state"] != "Offline"));
            Ok(ready.then_some(()))
        })
        .await?;
        let reconnected = Instant::now();
        until_everywhere(&self.rig, GREETING, Some("welcome back")).await?;
        self.show.done("in step after reconnecting", reconnected);
        ensure!(
            reconnected.elapsed() < Duration::from_secs(5),
            "catching up took {:?}",
            reconnected.elapsed()
        );
        Ok(())
    }

    fn greet(&self, value: &str) -> Result<String> {
        let text = files::config_map("web", "greeting", value);
        self.payments.commit(&[("web/config.yaml", Some(&text))], value)
    }

    async fn everything(&self) -> Result<Vec<String>> {
        uids(&self.rig, &[("payments", "web"), ("shop", "cart")]).await
    }

    async fn source(&self, name: &str) -> Result<String> {
        let text = self.rig.hub.cli_ok(&["get", "sources"]).await?;
        let (_, source) = name.split_once('/').unwrap_or_default();
        let tenant = name.split('/').next().unwrap_or_default();
        let about =
            |line: &&str| line.contains(tenant) && line.contains(source) || line.starts_with("TENANT");
        Ok(text.lines().filter(about).collect::<Vec<_>>().join("\n"))
    }

    async fn drift_line(&self, manager: &str) -> Result<String> {
        eventually("the drift to be reported", || async {
            let text = self.rig.hub.cli_ok(&["get", "drift"]).await?;
            Ok(text.lines().find(|line| line.contains(manager)).map(str::to_owned))
        })
        .await
    }

    async fn wait_for_ctrl_c(mut self) -> Result<()> {
        let rimward = crate::process::Program::Cli.path()?;
        println!("\nEverything is still running. In another terminal:");
        println!("  export RIMWARD_HUB={}", self.rig.hub.socket());
        println!("  alias rimward={}", rimward.display());
        for command in
            ["get apps", "get clusters", "get drift -w", "describe app/payments/web", "get sources"]
        {
            println!("  rimward {command}");
        }
        for site in &self.rig.sites {
            println!("  kubectl --kubeconfig {} get cm -A   # {}", site.kubeconfig().display(), site.name);
        }
        println!("  git clone of the tenant's repo: {}", self.payments.work().display());
        println!("  logs: {}", self.rig.folder().display());
        println!("Ctrl-C stops and removes it all.");
        tokio::signal::ctrl_c().await?;
        for site in &mut self.rig.sites {
            site.spoke().stop()?;
        }
        self.rig.hub.stop()
    }
}

/// Asks the hub to read a source now, and waits until what it found is published.
async fn reconcile(rig: &Rig, source: &str) -> Result<()> {
    rig.hub.cli_ok(&["reconcile", &format!("source/{source}"), "--wait"]).await.map(drop)
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
        sites.push(Site::of(name, kubeconfig).await?);
    }
    Ok(sites)
}

/// A workload without replicas: there is no kubelet behind these API servers, and health looks at it all the same.
const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: registry.example/web:1}
";
