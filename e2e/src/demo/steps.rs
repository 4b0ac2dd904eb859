//! The good days: a commit, a change by hand, a revert, a removal.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rimward_proto::plan::Plan;

use super::cluster::{edit, until, until_everywhere};
use super::{CART, Demo, GREETING, PAYMENTS, WORKER, is};
use crate::rig::{eventually, files};

impl Demo {
    pub(super) async fn commit(&mut self) -> Result<()> {
        self.show.step("Two teams commit their first Apps");
        let web = files::config_map("web", "greeting", "hello");
        let worker = files::config_map("worker", "queue", "orders");
        self.payments.commit(
            &[
                ("web/rimward.yaml", Some(&files::app("web", "payments"))),
                ("web/config.yaml", Some(&web)),
                ("web/deployment.yaml", Some(files::DEPLOYMENT)),
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
        self.reconcile("fleet").await?;
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
        self.rig.hub.cli_ok(&["reconcile", "source/payments/apps"]).await?;
        until_everywhere(&self.rig, GREETING, Some("good morning")).await?;
        self.show.done("commit → applied on both clusters", since);
        Ok(())
    }

    pub(super) async fn drift(&mut self) -> Result<()> {
        self.show.step("Somebody edits an object by hand");
        let site = &self.rig.sites[0];
        edit(site, GREETING, "hacked").await?;
        let since = Instant::now();
        until(site, GREETING, Some("good morning")).await?;
        self.show.done("repaired", since);
        let drift = eventually("the drift to be reported", || async {
            let list = self.rig.hub.json(&["get", "drift", "-c", "eu-1"]).await?;
            Ok(list["items"].get(0).cloned())
        })
        .await?;
        is(&drift, "manager", "kubectl-edit")?;
        is(&drift, "action", "Reverted")?;
        ensure!(drift["fields"][0]["found"] == "hacked", "{drift:#}");
        self.show.done("and `rimward get drift` says who it was:", since);
        self.show.say(&self.rig.hub.cli_ok(&["get", "drift"]).await?);
        Ok(())
    }

    pub(super) async fn revert(&mut self) -> Result<()> {
        self.show.step("git revert");
        let commit = self.payments.head()?;
        let revert = self.payments.revert(&commit)?;
        let since = Instant::now();
        self.rig.hub.cli_ok(&["reconcile", "source/payments/apps"]).await?;
        until_everywhere(&self.rig, GREETING, Some("hello")).await?;
        self.show.done("rolled back on both clusters", since);
        self.rig.hub.cli_ok(&["wait", "app/payments/web", "--commit", &revert]).await?;
        self.show.done("the App is Ready at the reverting commit", since);
        Ok(())
    }

    pub(super) async fn remove(&mut self) -> Result<()> {
        self.show.step("An App's file is removed from Git");
        let before = self.objects().await?;
        self.payments.commit(&[("worker/rimward.yaml", None), ("worker/config.yaml", None)], "no worker")?;
        let since = Instant::now();
        self.reconcile(PAYMENTS).await?;
        until_everywhere(&self.rig, WORKER, None).await?;
        self.show.done("pruned on both clusters, by a signed tombstone", since);
        eventually("the App to be forgotten", || async {
            let described = self.rig.hub.say(&["describe", "app/payments/worker"]).await?;
            // Forgotten once the last cluster has said so, and published as that a moment later.
            Ok((described.code == 5 && !self.has_tombstones().await?).then_some(()))
        })
        .await?;
        self.show.done("both clusters have said so, and the tombstone is gone", since);
        ensure!(self.objects().await? == before, "the App beside it was touched");
        self.show.done("the Apps beside it are untouched", since);
        Ok(())
    }

    /// True while a cluster's plan has a tombstone.
    async fn has_tombstones(&self) -> Result<bool> {
        for site in &self.rig.sites {
            let (_, offer) = self.rig.hub.get(&format!("/v1/clusters/{}/plan", site.name)).await?;
            let plan = STANDARD.decode(offer["plan"].as_str().context("no plan")?)?;
            if !Plan::parse(&plan)?.removed.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
