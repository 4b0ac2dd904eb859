//! From some to none: the last App of a source, the last object of an App, the
//! last cluster of a selector, a source, a tenant. Each waits for an approval of
//! exactly what was looked at.

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{config_map, now};
use rimward_e2e::rig::{Rig, Story, eventually, files};

use super::{app, approve, hold, holds, removed, tenant};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    story.tell("the last App of a source is held", last_app(rig)).await;
    story.tell("the last object of an App is held", last_object(rig)).await;
    story.tell("the last cluster of a selector is held", last_cluster(rig)).await;
    story.tell("a removed source is held", source_removed(rig)).await;
    story.tell("a removed tenant is held", tenant_removed(rig)).await;
    story.tell("a hold goes when Git wants it back", taken_back(rig)).await;
    story.tell("an approval is for what was looked at", another_digest(rig)).await;
}

/// Nothing is deleted while it is held; after the approval it is.
async fn waits_then_goes(rig: &mut Rig, tenant: &str, reason: &str, maps: &[&str]) -> Result<()> {
    let since = now();
    let hold = hold(rig, tenant, reason).await?;
    ensure!(hold["by"] == "hub", "{hold:#}");
    let apps = rig.hub.json(&["get", "apps", "-t", tenant]).await?;
    ensure!(
        apps["items"].as_array().is_some_and(|apps| apps.iter().any(|a| a["state"] == "Held")),
        "{apps:#}"
    );
    let waiting = rig.hub.cli_ok(&["get", "holds", "-t", tenant]).await?;
    ensure!(waiting.contains(reason), "{waiting}");
    let written = rig.sites[0].wrote(since).await?.namespace(tenant);
    ensure!(written.count() == 0, "{written}");
    for map in maps {
        rig.sites[0].there(&config_map(tenant, map)).await?;
    }
    approve(rig, &hold).await?;
    for map in maps {
        rig.sites[0].until_gone(&config_map(tenant, map)).await?;
    }
    eventually("the hold to be gone", || async { Ok(holds(rig, tenant).await?.is_empty().then_some(())) })
        .await
}

async fn last_app(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "lastapp", &[("only", &["one", "two"])]).await?;
    let only = app("only", "lastapp", &["one", "two"]);
    let mut changes = removed(&only);
    changes.push(("README.md", Some("moved elsewhere")));
    repo.commit(&changes, "no App left")?;
    rig.reconcile().await?;
    waits_then_goes(rig, "lastapp", "LastApp", &["one", "two"]).await
}

async fn last_object(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "lastobject", &[("web", &["one", "two"]), ("other", &["kept"])]).await?;
    repo.commit(&[("web/one.yaml", None), ("web/two.yaml", None)], "no object left")?;
    rig.reconcile().await?;
    waits_then_goes(rig, "lastobject", "LastObject", &["one", "two"]).await?;
    rig.sites[0].there(&config_map("lastobject", "kept")).await?;
    Ok(())
}

async fn last_cluster(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "lastcluster", &[("web", &["one"])]).await?;
    let nowhere =
        files::app("web", "lastcluster").replace("clusters: {}", "clusters: {matchLabels: {env: staging}}");
    repo.commit(&[("web/rimward.yaml", Some(&nowhere))], "staging only")?;
    rig.reconcile().await?;
    waits_then_goes(rig, "lastcluster", "LastCluster", &["one"]).await
}

async fn source_removed(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "sourceless", &[("web", &["one"])]).await?;
    let other = rig.tenant_repo("tenants/sourceless-too")?;
    other.commit(&super::added(&app("too", "sourceless", &["two"])), "another source")?;
    let one = files::tenant("sourceless", repo.url(), &["sourceless"]);
    let line = format!("git: {{url: {}, credentials: git}}", other.url());
    let both = one.replace("  clusters: {}\n", &format!("  - name: more\n    {line}\n  clusters: {{}}\n"));
    rig.fleet.commit(&[("tenants/sourceless.yaml", Some(&both))], "two sources")?;
    rig.reconcile().await?;
    rig.wait_ready("sourceless/too").await?;
    rig.fleet.commit(&[("tenants/sourceless.yaml", Some(&one))], "one source again")?;
    rig.reconcile().await?;
    waits_then_goes(rig, "sourceless", "SourceRemoved", &["two"]).await?;
    rig.sites[0].there(&config_map("sourceless", "one")).await?;
    Ok(())
}

async fn tenant_removed(rig: &mut Rig) -> Result<()> {
    tenant(rig, "leaving", &[("web", &["one"]), ("api", &["two"])]).await?;
    rig.fleet.commit(&[("tenants/leaving.yaml", None)], "they leave")?;
    rig.reconcile().await?;
    waits_then_goes(rig, "leaving", "TenantRemoved", &["one", "two"]).await
}

async fn taken_back(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "back", &[("web", &["one"])]).await?;
    let before = rig.sites[0].uids(&[&config_map("back", "one")]).await?;
    let gone = repo.commit(&removed(&app("web", "back", &["one"])), "oops")?;
    rig.reconcile().await?;
    hold(rig, "back", "LastApp").await?;
    repo.revert(&gone)?;
    rig.reconcile().await?;
    ensure!(holds(rig, "back").await?.is_empty(), "still held");
    rig.wait_ready("back/web").await?;
    ensure!(rig.sites[0].uids(&[&config_map("back", "one")]).await? == before, "it was deleted");
    Ok(())
}

/// Between looking and approving the proposal changed: the old digest approves nothing.
async fn another_digest(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "changed", &[("web", &["one"]), ("api", &["two"])]).await?;
    let nowhere = |app: &str| {
        files::app(app, "changed").replace("clusters: {}", "clusters: {matchLabels: {env: staging}}")
    };
    repo.commit(&[("web/rimward.yaml", Some(&nowhere("web")))], "web nowhere")?;
    rig.reconcile().await?;
    let looked_at = hold(rig, "changed", "LastCluster").await?;
    repo.commit(&[("web/rimward.yaml", Some(&files::app("web", "changed")))], "web everywhere")?;
    rig.reconcile().await?;
    let digest = looked_at["digest"].as_str().unwrap_or_default();
    let refused = rig.hub.say(&["approve", digest, "-y"]).await?;
    ensure!([5, 6].contains(&refused.code), "{refused:?}");
    repo.commit(&[("api/rimward.yaml", Some(&nowhere("api")))], "api nowhere")?;
    rig.reconcile().await?;
    hold(rig, "changed", "LastCluster").await?;
    ensure!(rig.hub.say(&["approve", digest, "-y"]).await?.code != 0, "an old digest approved something new");
    for map in ["one", "two"] {
        rig.sites[0].there(&config_map("changed", map)).await?;
    }
    Ok(())
}
