//! What an object's own annotations say about its deletion: that it stays, or
//! that it may be deleted to be made again.

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{config_map, now, uid};
use rimward_e2e::rig::{Rig, Story, eventually, files};
use serde_json::{Value, json};

use super::{app, plan, removed, tenant};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    story.tell("rimward.dev/prune: \"false\" keeps an object, and costs no budget", kept(rig)).await;
    story.tell("rimward.dev/replace: \"true\" makes again what is immutable", replaced(rig)).await;
}

/// A ConfigMap with one more line in its metadata and one after it.
fn annotated(name: &str, value: &str, annotations: &str, more: &str) -> String {
    let map = files::config_map(name, "of", value);
    let head = format!("metadata: {{name: {name}}}");
    map.replace(&head, &format!("metadata: {{name: {name}, annotations: {{{annotations}}}}}")) + more
}

async fn events(rig: &Rig, tenant: &str, kind: &str) -> Result<Vec<Value>> {
    let list = rig.hub.json(&["get", "events", "-t", tenant]).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().filter(|event| event["type"] == kind).collect())
}

async fn until_event(rig: &Rig, tenant: &str, kind: &str, count: usize) -> Result<Vec<Value>> {
    eventually(&format!("{count} times {kind}"), || async {
        let found = events(rig, tenant, kind).await?;
        Ok((found.len() == count).then_some(found))
    })
    .await
}

/// Said in Git of one, on the cluster of another; the third goes.
async fn kept(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "kept", &[("web", &["goes", "by-hand", "stays"])]).await?;
    let by_git = annotated("by-git", "web", "rimward.dev/prune: \"false\"", "");
    rig.ship(&repo, "kept/web", &[("web/by-git.yaml", Some(&by_git))]).await?;
    let path = |name: &str| config_map("kept", name);
    let hand = json!({"metadata": {"annotations": {"rimward.dev/prune": "false"}}});
    rig.sites[0].merge(&path("by-hand"), "kubectl-annotate", &hand).await?;
    let (git, hand) = (path("by-git"), path("by-hand"));
    let before = rig.sites[0].uids(&[&git, &hand]).await?;
    let gone = [("web/by-git.yaml", None), ("web/by-hand.yaml", None), ("web/goes.yaml", None)];
    rig.ship(&repo, "kept/web", &gone).await?;
    rig.sites[0].until_gone(&path("goes")).await?;
    let told = until_event(rig, "kept", "Kept", 2).await?;
    ensure!(told.iter().all(|event| event["app"] == "web"), "{told:#?}");
    ensure!(rig.sites[0].uids(&[&git, &hand]).await? == before, "made again");

    // Its App goes, and it comes back in another.
    rig.ship(&repo, "kept/web", &[("web/by-git.yaml", Some(&by_git))]).await?;
    let (web, other) = (app("web", "kept", &["stays"]), app("other", "kept", &["else"]));
    let mut files = removed(&web);
    files.push(("web/by-git.yaml", None));
    files.extend(super::added(&other));
    repo.commit(&files, "another App")?;
    rig.reconcile().await?;
    rig.sites[0].until_gone(&path("stays")).await?;
    until_event(rig, "kept", "Kept", 3).await?;
    eventually("the tombstone to leave the plan", || async {
        Ok((plan(rig).await?["removed"] == json!([])).then_some(()))
    })
    .await?;
    let changed = annotated("by-git", "other", "rimward.dev/prune: \"false\"", "");
    rig.ship(&repo, "kept/other", &[("other/by-git.yaml", Some(&changed))]).await?;
    rig.sites[0].until_is(&git, "/data/of", &json!("other")).await?;
    ensure!(rig.sites[0].uids(&[&git, &hand]).await? == before, "made again");
    let deleted = rig.sites[0].plane().audit().await?.namespace("kept").verb("delete");
    ensure!(deleted.count() == 2, "{deleted}");
    Ok(())
}

/// A ConfigMap with `immutable: true`, and with a finalizer once.
async fn replaced(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "replaced", &[("web", &["beside"])]).await?;
    let map = |value: &str, replace: &str| {
        annotated("fixed", value, &format!("rimward.dev/replace: \"{replace}\""), "immutable: true\n")
    };
    rig.ship(&repo, "replaced/web", &[("web/fixed.yaml", Some(&map("1", "false")))]).await?;
    let path = config_map("replaced", "fixed");
    let first = rig.sites[0].there(&path).await?;

    repo.commit(&[("web/fixed.yaml", Some(&map("2", "false")))], "without the word")?;
    rig.reconcile().await?;
    let waited = rig.hub.say(&["wait", "app/replaced/web", "--timeout", "20s"]).await?;
    ensure!(waited.code == 1 && waited.err.contains("Immutable"), "{waited:?}");
    ensure!(uid(&rig.sites[0].there(&path).await?) == uid(&first), "made again without the word");

    let since = now();
    rig.ship(&repo, "replaced/web", &[("web/fixed.yaml", Some(&map("2", "true")))]).await?;
    let second = rig.sites[0].until_is(&path, "/data/of", &json!("2")).await?;
    ensure!(uid(&second) != uid(&first), "how was it changed?");
    let deleted = rig.sites[0].plane().audit().await?.since(since).namespace("replaced").verb("delete");
    ensure!(deleted.count() == 1, "{deleted}");
    let told = until_event(rig, "replaced", "Replaced", 1).await?;
    ensure!(told[0]["object"]["name"] == "fixed", "{told:#?}");
    let drift = rig.hub.json(&["get", "drift", "-t", "replaced"]).await?;
    ensure!(drift["items"] == json!([]), "what Rimward does is no drift: {drift:#}");

    // What can be changed is changed.
    let since = now();
    let labelled = map("2", "true").replace("{name: fixed,", "{name: fixed, labels: {new: label},");
    rig.ship(&repo, "replaced/web", &[("web/fixed.yaml", Some(&labelled))]).await?;
    rig.sites[0].until_is(&path, "/metadata/labels/new", &json!("label")).await?;
    let deleted = rig.sites[0].plane().audit().await?.since(since).namespace("replaced").verb("delete");
    ensure!(deleted.count() == 0, "{deleted}");
    Ok(())
}
