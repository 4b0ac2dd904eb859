//! Drift where the API server cannot be asked what it would make of the wanted
//! object: it is guessed, said so, and found all the same.

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{config_map, now};
use rimward_e2e::rig::{Rig, eventually, files};
use serde_json::json;

use super::{field, reported};

/// A policy refuses dry-runs, and nothing else.
const NO_DRY_RUN: &str = "!has(request.dryRun) || !request.dryRun";

/// Told while it stands, as a guess; over when it is put back by hand; and nothing is written.
pub async fn without_a_dry_run(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("guessed", &["guessed"])?;
    let app = files::app("web", "guessed") + "  drift: {mode: report}\n";
    let map = files::config_map("watched", "key", "wanted");
    rig.ship(&repo, "guessed/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let refused = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}});
    let site = &rig.sites[0];
    site.forbid_maps("guessed", NO_DRY_RUN, &refused).await?;
    let (since, path) = (now(), config_map("guessed", "watched"));
    let edit = |value: &str| json!({"data": {"key": value}});
    site.merge(&path, "kubectl-edit", &edit("by hand")).await?;
    let drift = reported(rig, "watched", |_| true).await?;
    ensure!(drift["action"] == "Reported" && drift["approximate"] == true, "{drift:#}");
    ensure!(drift["manager"] == "kubectl-edit", "{drift:#}");
    let found = field(&drift, "/data/key")?;
    ensure!(found["wanted"] == "wanted" && found["found"] == "by hand", "{drift:#}");
    let line = rig.hub.cli_ok(&["get", "drift", "-t", "guessed"]).await?;
    ensure!(line.contains("Reported Approximate"), "{line}");
    rig.wait_ready("guessed/web").await?;
    site.merge(&path, "kubectl-edit", &edit("wanted")).await?;
    eventually("the drift to be over", || async {
        Ok((rig.hub.describe("app/guessed/web").await?["drift"] == 0).then_some(()))
    })
    .await?;
    let written = rig.sites[0].wrote(since).await?.namespace("guessed").filter(|event| event.code < 300);
    ensure!(written.count() == 0, "{written}");
    rig.sites[0].allow_maps("guessed", &refused).await
}
