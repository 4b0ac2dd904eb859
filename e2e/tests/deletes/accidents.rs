//! Accidents: a repository emptied, rewritten, unreachable; the fleet repo
//! emptied or broken; a Cluster document lost. Nothing is deleted, and it is
//! said.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::{Access, GitRepo};
use rimward_e2e::rig::live::{config_map, now, uid};
use rimward_e2e::rig::{GIT_PASSWORD, GIT_USER, Rig, Story, files, item};
use serde_json::{Value, json};

use super::{hold, holds, tenant};

/// Changes are gathered for 50 ms, sent, applied and reported within a second: what an accident would set off has
/// happened after two.
const SETTLE: Duration = Duration::from_secs(2);

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    let repo = match tenant(rig, "steady", &[("web", &["kept"]), ("api", &["kept-too"])]).await {
        Ok(repo) => repo,
        Err(error) => return story.tell("a tenant to have accidents with", async { Err(error) }).await,
    };
    story.tell("a repository replaced by an empty one", emptied(rig, &repo)).await;
    story.tell("history replaced by an empty commit", rewritten(rig, &repo)).await;
    story.tell("a Git server that does not answer", unreachable(rig)).await;
    story.tell("credentials that were withdrawn", locked_out(rig)).await;
    story.tell("a fleet repo replaced by an empty one", fleet_emptied(rig)).await;
    story.tell("a fleet repo whose files are all gone", fleet_without_files(rig)).await;
    story.tell("a fleet file that is broken", fleet_broken(rig, &repo)).await;
    story.tell("a Cluster document lost: frozen, not emptied", cluster_lost(rig, &repo)).await;
}

/// UID and version of what must survive everything.
async fn survivors(rig: &Rig) -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for name in ["kept", "kept-too"] {
        let object = rig.sites[0].there(&config_map("steady", name)).await?;
        found.push((uid(&object), object["metadata"]["resourceVersion"].clone()));
    }
    Ok(found)
}

async fn source(rig: &Rig, tenant: &str) -> Result<Value> {
    let list = rig.hub.json(&["get", "sources", "-t", tenant]).await?;
    item(&list, "apps").cloned().with_context(|| format!("{list:#}"))
}

/// Once everything has settled: nothing was written to the cluster since, and all of it is as it was.
async fn untouched(rig: &mut Rig, since: jiff::Timestamp, before: &[(String, Value)]) -> Result<()> {
    tokio::time::sleep(SETTLE).await;
    let written = rig.sites[0].wrote(since).await?;
    ensure!(written.count() == 0, "{written}");
    ensure!(survivors(rig).await? == before, "objects were written or made again");
    Ok(())
}

async fn emptied(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (since, before) = (now(), survivors(rig).await?);
    repo.replace_with_empty_repository()?;
    // Reading it fails, and that is what must be said.
    let said = rig.hub.say(&["reconcile", "source/steady/apps"]).await?;
    ensure!(said.code != 0, "an empty repository was read without a word");
    let source = source(rig, "steady").await?;
    ensure!(source["state"] == "Stale" && source["reason"] == "SourceFailed", "{source:#}");
    ensure!(source["message"].as_str().is_some_and(|text| text.contains("stays in force")), "{source:#}");
    untouched(rig, since, &before).await?;
    repo.push_again()?;
    rig.reconcile().await
}

/// A commit that can be read and has no App: not unknown but wanted, hence held.
async fn rewritten(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (since, before) = (now(), survivors(rig).await?);
    repo.force_push_empty()?;
    rig.reconcile().await?;
    hold(rig, "steady", "LastApp").await?;
    untouched(rig, since, &before).await?;
    repo.push_again()?;
    rig.reconcile().await?;
    ensure!(holds(rig, "steady").await?.is_empty(), "still held");
    Ok(())
}

async fn unreachable(rig: &mut Rig) -> Result<()> {
    let (since, before) = (now(), survivors(rig).await?);
    rig.git.stop()?;
    let said = rig.hub.say(&["reconcile", "source/steady/apps"]).await?;
    ensure!(said.code != 0, "a server that is down was read");
    let source = source(rig, "steady").await?;
    ensure!(source["state"] == "Stale", "{source:#}");
    let note = &source["notes"][0];
    ensure!(note["code"].as_str().is_some_and(|code| code.starts_with("RW2")), "{source:#}");
    untouched(rig, since, &before).await?;
    rig.git.start_again()?;
    rig.reconcile().await
}

async fn locked_out(rig: &mut Rig) -> Result<()> {
    let (since, before) = (now(), survivors(rig).await?);
    rig.git.set_access("tenants/steady", Access::basic(GIT_USER, "rotated"));
    let said = rig.hub.say(&["reconcile", "source/steady/apps"]).await?;
    ensure!(said.code != 0, "a repository that is closed was read");
    ensure!(!rig.hub.log().contains(GIT_PASSWORD), "the password is in the log");
    ensure!(source(rig, "steady").await?["state"] == "Stale");
    untouched(rig, since, &before).await?;
    rig.git.set_access("tenants/steady", Access::basic(GIT_USER, GIT_PASSWORD));
    rig.reconcile().await
}

async fn fleet_emptied(rig: &mut Rig) -> Result<()> {
    let (since, before) = (now(), survivors(rig).await?);
    rig.fleet.replace_with_empty_repository()?;
    let said = rig.hub.say(&["reconcile", "source/fleet"]).await?;
    ensure!(said.code != 0, "an empty fleet repo was read without a word");
    ensure!(rig.hub.get("/v1/fleet").await?.1["state"] == "Stale");
    untouched(rig, since, &before).await?;
    rig.fleet.push_again()?;
    rig.reconcile().await
}

/// Every tenant and every cluster gone in one commit that can be read: clusters freeze, and what they have goes on.
async fn fleet_without_files(rig: &mut Rig) -> Result<()> {
    let (since, before, seq) = (now(), survivors(rig).await?, rig.seq().await?);
    rig.fleet.force_push_empty()?;
    rig.hub.cli_ok(&["reconcile", "source/fleet"]).await?;
    is_frozen(rig).await?;
    let apps = rig.hub.json(&["get", "apps", "-t", "steady"]).await?;
    for name in ["api", "web"] {
        let app = item(&apps, name).with_context(|| format!("{name} is forgotten: {apps:#}"))?;
        ensure!(app["state"] == "Waiting" && app["reason"] == "SourceUnknown", "{app:#}");
        let message = app["message"].as_str().unwrap_or_default();
        ensure!(message.contains("carry on with what they have"), "{app:#}");
        ensure!(app["clusters"]["total"] == 1 && app["clusters"]["ready"] == 1, "{app:#}");
    }
    untouched(rig, since, &before).await?;
    ensure!(rig.seq().await? == seq, "an empty fleet was published");
    rig.fleet.push_again()?;
    rig.reconcile().await?;
    for app in ["steady/web", "steady/api"] {
        rig.wait_ready(app).await?;
    }
    ensure!(survivors(rig).await? == before, "coming back changed something");
    ensure!(holds(rig, "steady").await?.is_empty(), "something is held afterwards");
    Ok(())
}

/// The cluster is known, and said to be frozen.
async fn is_frozen(rig: &Rig) -> Result<()> {
    let clusters = rig.hub.json(&["get", "clusters"]).await?;
    let eu = item(&clusters, "eu-1").context("the cluster is forgotten")?;
    ensure!(eu["state"] == "Held" && eu["reason"] == "Frozen", "{eu:#}");
    ensure!(eu["message"].as_str().is_some_and(|text| text.contains("its plan stays as it was")), "{eu:#}");
    Ok(())
}

async fn fleet_broken(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (since, before) = (now(), survivors(rig).await?);
    rig.fleet.commit(&[("tenants/steady.yaml", Some("kind: [Tenant\n"))], "broken")?;
    rig.hub.say(&["reconcile", "source/fleet"]).await?;
    let fleet = rig.hub.get("/v1/fleet").await?.1;
    let broken = |note: &&Value| note["file"] == "tenants/steady.yaml" && note["code"] == "RW3001";
    let notes = fleet["notes"].as_array().context("no notes")?;
    ensure!(notes.iter().any(|note| broken(&note)), "{fleet:#}");
    ensure!(holds(rig, "steady").await?.is_empty(), "a typo is no removal");
    untouched(rig, since, &before).await?;
    let mended = files::tenant("steady", repo.url(), &["steady"]);
    rig.fleet.commit(&[("tenants/steady.yaml", Some(&mended))], "mended")?;
    rig.reconcile().await
}

/// It keeps what it has, drift included, and takes nothing new until its document is back.
async fn cluster_lost(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let before = survivors(rig).await?;
    rig.fleet.commit(&[("clusters.yaml", None)], "lost")?;
    rig.hub.say(&["reconcile", "source/fleet"]).await?;
    is_frozen(rig).await?;
    let next = files::config_map("kept", "of", "newer");
    repo.commit(&[("web/kept.yaml", Some(&next))], "not for a frozen cluster")?;
    rig.hub.say(&["reconcile", "source/fleet"]).await?;
    let path = config_map("steady", "kept-too");
    rig.sites[0].merge(&path, "kubectl-edit", &json!({"data": {"of": "nobody"}})).await?;
    rig.sites[0].until_is(&path, "/data/of", &json!("api")).await?;
    ensure!(rig.sites[0].there(&config_map("steady", "kept")).await?["data"]["of"] == "web");
    // The repair was one write; nothing else is made of what the frozen cluster misses.
    let repaired = survivors(rig).await?;
    ensure!(repaired[0] == before[0] && repaired[1].0 == before[1].0, "{before:?} {repaired:?}");
    untouched(rig, now(), &repaired).await?;
    rig.fleet.commit(&[("clusters.yaml", Some(&files::clusters(&["eu-1"])))], "found")?;
    rig.reconcile().await?;
    rig.sites[0].until_is(&config_map("steady", "kept"), "/data/of", &json!("newer")).await?;
    Ok(())
}
