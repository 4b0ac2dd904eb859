//! Cases about change by others: what is left to them, what is put back, and
//! what is only said.

use anyhow::{Context, Result, ensure};
use rimward_e2e::rig::live::{config_map, grouped, now};
use rimward_e2e::rig::{Rig, SPOKE_ACCOUNT, files};
use serde_json::json;

use super::support::{app_with, drifts, meanwhile, said, same_uids, until_drift, until_standing};

fn deployment(name: &str, image: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 5\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: web, image: \"registry.example/web:{image}\"}}]}}\n"
    )
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// There is no kubelet, so an App with replicas is never Ready; its objects tell all that counts.
pub async fn replicas_ignored(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case02", &["case02"])?;
    let ignore = "  drift: {ignore: [{kinds: [Deployment.apps], paths: [/spec/replicas]}]}\n";
    let app = app_with("web", "case02", ignore);
    let files = |image: u32| {
        [("scaled.yaml", deployment("scaled", image)), ("alone.yaml", deployment("alone", image))]
    };
    let commit = |image: u32| {
        let files = files(image);
        let changes: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
        repo.commit(&changes, &format!("image {image}"))
    };
    repo.commit(&[("rimward.yaml", Some(&app))], "an App")?;
    commit(1)?;
    rig.reconcile().await?;
    let site = &rig.sites[0];
    let path = |name: &str| grouped("apps/v1", "case02", "deployments", name);
    for name in ["scaled", "alone"] {
        site.until_is(&path(name), "/spec/replicas", &json!(5)).await?;
    }
    let scale = format!("{}/scale", path("scaled"));
    site.merge(&scale, "autoscaler", &json!({"spec": {"replicas": 9}})).await?;
    meanwhile().await;
    let histories = [site.history(&path("scaled")).await?, site.history(&path("alone")).await?];
    for image in [2, 3] {
        commit(image)?;
        rig.reconcile().await?;
        for name in ["scaled", "alone"] {
            site.until_is(&path(name), IMAGE, &json!(format!("registry.example/web:{image}"))).await?;
        }
    }
    meanwhile().await;
    for (history, replicas) in histories.iter().zip([9, 5]) {
        let values = history.values("/spec/replicas");
        ensure!(values == [json!(replicas)], "replicas went through {values:?}");
    }
    // What is not ignored is still kept.
    let other =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "by-hand"}]}}}});
    site.merge(&path("scaled"), "kubectl-edit", &other).await?;
    site.until_is(&path("scaled"), IMAGE, &json!("registry.example/web:3")).await?;
    ensure!(site.there(&path("scaled")).await?["spec"]["replicas"] == 9);
    for drift in drifts(rig, "case02", "scaled").await? {
        ensure!(!drift["fields"].to_string().contains("/spec/replicas"), "{drift:#}");
    }
    Ok(())
}

/// Said once, while it stands; not put back, and not said again when somebody puts it back by hand.
pub async fn report_mode(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case05", &["case05"])?;
    let app = app_with("web", "case05", "  drift: {mode: report}\n");
    let map = files::config_map("watched", "key", "wanted");
    rig.ship(&repo, "case05/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let (site, path) = (&rig.sites[0], config_map("case05", "watched"));
    let put = async |value: &str| {
        let mut object = site.there(&path).await?;
        object["data"]["key"] = json!(value);
        site.replace(&path, "kubectl-replace", &object).await
    };
    let since = now();
    put("by hand").await?;
    let drift = until_drift(rig, "case05", "watched", |_| true).await?;
    ensure!(drift["type"] == "Changed" && drift["action"] == "Reported", "{drift:#}");
    ensure!(drift["manager"] == "kubectl-replace", "{drift:#}");
    let field =
        drift["fields"].as_array().and_then(|all| all.iter().find(|field| field["path"] == "/data/key"));
    let field = field.with_context(|| format!("{drift:#}"))?;
    ensure!(field["wanted"] == "wanted" && field["found"] == "by hand", "{drift:#}");
    until_standing(rig, "case05/web", 1).await?;
    ensure!(site.there(&path).await?["data"]["key"] == "by hand", "report mode has put it back");
    put("wanted").await?;
    until_standing(rig, "case05/web", 0).await?;
    meanwhile().await;
    let found = drifts(rig, "case05", "watched").await?;
    ensure!(found.iter().all(|other| other["id"] == drift["id"]), "more than one report: {found:#?}");
    until_standing(rig, "case05/web", 0).await?;
    let written = rig.sites[0].wrote(since).await?.namespace("case05");
    ensure!(written.count() == 0, "{written}");
    Ok(())
}

/// To a watch by label it looks like a deletion.
pub async fn label_removed(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case08", &["case08"])?;
    let (app, map) = (files::app("web", "case08"), files::config_map("unlabelled", "key", "wanted"));
    rig.ship(&repo, "case08/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let path = config_map("case08", "unlabelled");
    for label in ["rimward.dev/tenant", "rimward.dev/app"] {
        let (since, before) = (now(), rig.sites[0].uids(&[&path]).await?);
        let pointer = format!("/metadata/labels/{}", label.replace('/', "~1"));
        let is = rig.sites[0].there(&path).await?.pointer(&pointer).cloned().context("it has no label")?;
        rig.sites[0].merge(&path, "kubectl-label", &json!({"metadata": {"labels": {label: null}}})).await?;
        rig.sites[0].until_is(&path, &pointer, &is).await?;
        same_uids(rig, &[&path], &before).await?;
        ensure!(
            said(rig, "case08/web", "unlabelled").await?.is_none_or(|object| object["reason"] != "Conflict")
        );
        let written = rig.sites[0].wrote(since).await?.namespace("case08");
        ensure!(written.count() == 1 && written.events[0].verb == "patch", "{written}");
        ensure!(written.events[0].user == SPOKE_ACCOUNT && written.events[0].code == 200, "{written}");
        rig.wait_ready("case08/web").await?;
    }
    Ok(())
}
