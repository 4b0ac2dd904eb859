//! Alone: hub, spoke and API server each die and come back, in good order or
//! not. The clusters keep what they have, drift is repaired all the while, and
//! everybody agrees again afterwards.

#[path = "alone/killed.rs"]
mod killed;

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{config_map, now};
use rimward_e2e::rig::{Rig, Site, Story, eventually, files, item};
use serde_json::{Value, json};

#[tokio::test]
async fn what_dies_comes_back_and_nothing_is_lost() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let repo = begin(&rig).await?;
    let mut story = Story::begin();
    story.tell("the spoke restarts: nothing is written", spoke_restarts(&mut rig)).await;
    story.tell("the spoke loses its disk: nothing is deleted", disk_lost(&mut rig, &repo)).await;
    story.tell("the API server dies and comes back", api_server_dies(&mut rig, &repo)).await;
    story.tell("the hub restarts: same publication, no write", hub_restarts(&mut rig)).await;
    story.tell("the hub is dead: drift is repaired", hub_dead(&mut rig)).await;
    story.tell("the hub is dead and the spoke restarts", restarts_alone(&mut rig)).await;
    story.tell("the hub is back: in step, and told of the drift", hub_back(&mut rig, &repo)).await;
    killed::tell(&mut story, &mut rig, &repo).await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

/// A tenant with one App of two ConfigMaps, and a budget that the kills of this file may use up.
async fn begin(rig: &Rig) -> Result<GitRepo> {
    let fleet = files::FLEET.to_owned() + "  deletion: {maxPerPlan: 1000}\n";
    rig.fleet.commit(&[("fleet.yaml", Some(&fleet))], "a large budget")?;
    let repo = rig.tenant("payments", &["payments"])?;
    let app = files::app("web", "payments");
    let (one, two) = (files::config_map("one", "key", "wanted"), files::config_map("two", "key", "wanted"));
    let first =
        [("web/rimward.yaml", Some(&*app)), ("web/one.yaml", Some(&*one)), ("web/two.yaml", Some(&*two))];
    rig.ship(&repo, "payments/web", &first).await?;
    Ok(repo)
}

fn one() -> String {
    config_map("payments", "one")
}

/// Edits an object and waits until it is put back.
async fn repairs(site: &Site, by: &str) -> Result<()> {
    site.merge(&one(), by, &json!({"data": {"key": by}})).await?;
    site.until_is(&one(), "/data/key", &json!("wanted")).await?;
    Ok(())
}

/// Waits until the hub says that of its cluster.
async fn cluster_is(rig: &Rig, state: &str) -> Result<Value> {
    let found = eventually(&format!("eu-1 to be {state}"), || async {
        let clusters = rig.hub.json(&["get", "clusters"]).await?;
        Ok(item(&clusters, "eu-1").filter(|cluster| cluster["state"] == state).cloned())
    })
    .await;
    match found {
        Ok(found) => Ok(found),
        Err(error) => Err(error.context(rig.hub.cli_ok(&["get", "clusters"]).await?)),
    }
}

async fn spoke_restarts(rig: &mut Rig) -> Result<()> {
    let since = now();
    rig.sites[0].spoke().stop()?;
    cluster_is(rig, "Offline").await?;
    rig.sites[0].spoke().start()?;
    cluster_is(rig, "Ready").await?;
    rig.wait_ready("payments/web").await?;
    // One mark on its own Secret, by which a spoke that still ran elsewhere would notice; nothing else.
    let written = rig.sites[0].asked(since).await?.mutating();
    ensure!(written.count() == 1 && written.events[0].name == "rimward-spoke-identity", "{written}");
    repairs(&rig.sites[0], "after-restart").await
}

/// A pod without a volume that is rescheduled.
async fn disk_lost(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (since, before) = (now(), rig.sites[0].uids(&[&one()]).await?);
    rig.sites[0].spoke().kill()?;
    rig.sites[0].spoke().lose_disk()?;
    rig.sites[0].spoke().start()?;
    cluster_is(rig, "Ready").await?;
    rig.wait_ready("payments/web").await?;
    let written = rig.sites[0].wrote(since).await?;
    ensure!(written.count() == 0, "what is as it shall be was written:\n{written}");
    ensure!(rig.sites[0].uids(&[&one()]).await? == before, "it was made again");
    repairs(&rig.sites[0], "after-loss").await?;
    // The ledger is in the cluster, so what leaves Git can still be pruned.
    rig.ship(repo, "payments/web", &[("web/two.yaml", None)]).await?;
    rig.sites[0].until_gone(&config_map("payments", "two")).await
}

async fn api_server_dies(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let before = rig.sites[0].uids(&[&one()]).await?;
    rig.sites[0].plane().stop_apiserver()?;
    let two = files::config_map("two", "key", "while it was down");
    repo.commit(&[("web/two.yaml", Some(&two))], "while the API server is down")?;
    rig.reconcile().await?;
    let waited = rig.hub.say(&["wait", "app/payments/web", "--timeout", "2s"]).await?;
    ensure!(waited.code != 0, "Ready was said of a cluster whose API server is down");
    rig.sites[0].plane().start_apiserver().await?;
    let path = config_map("payments", "two");
    rig.sites[0].until_is(&path, "/data/key", &json!("while it was down")).await?;
    rig.wait_ready("payments/web").await?;
    ensure!(rig.sites[0].uids(&[&one()]).await? == before, "it was made again");
    repairs(&rig.sites[0], "after-api-server").await
}

async fn hub_restarts(rig: &mut Rig) -> Result<()> {
    let (since, seq) = (now(), rig.seq().await?);
    let plan = rig.hub.get("/v1/clusters/eu-1/plan").await?.1;
    rig.hub.stop()?;
    rig.hub.start().await?;
    cluster_is(rig, "Ready").await?;
    rig.reconcile().await?;
    rig.wait_ready("payments/web").await?;
    ensure!(rig.seq().await? == seq, "published {} after {seq}", rig.seq().await?);
    let again = rig.hub.get("/v1/clusters/eu-1/plan").await?.1;
    for same in ["assignment", "plan", "proof", "roots"] {
        ensure!(again[same] == plan[same], "{same} changed: {plan:#}\n{again:#}");
    }
    let written = rig.sites[0].asked(since).await?.mutating();
    ensure!(written.count() == 0, "{written}");
    Ok(())
}

async fn hub_dead(rig: &mut Rig) -> Result<()> {
    rig.hub.kill()?;
    repairs(&rig.sites[0], "nobody-watches").await?;
    let before = rig.sites[0].uids(&[&one()]).await?;
    rig.sites[0].delete(&one()).await?;
    let site = &rig.sites[0];
    let new = |found: Option<&Value>| found.is_some_and(|f| vec![rimward_e2e::rig::live::uid(f)] != before);
    site.until(&one(), "made again", new).await?;
    Ok(())
}

async fn restarts_alone(rig: &mut Rig) -> Result<()> {
    let site = &mut rig.sites[0];
    site.spoke().kill()?;
    site.merge(&one(), "while-both-are-dead", &json!({"data": {"key": "changed"}})).await?;
    site.spoke().start()?;
    site.until_is(&one(), "/data/key", &json!("wanted")).await?;
    repairs(site, "after-lonely-restart").await
}

async fn hub_back(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let seq = rig.hub.start().await;
    seq.context("the hub after its death")?;
    cluster_is(rig, "Ready").await?;
    eventually("the drift of the lonely time to be told", || async {
        let drift = rig.hub.json(&["get", "drift"]).await?;
        let all = drift["items"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|drift| drift["manager"] == "after-lonely-restart").then_some(()))
    })
    .await?;
    let text = files::config_map("two", "key", "welcome back");
    rig.ship(repo, "payments/web", &[("web/two.yaml", Some(&text))]).await?;
    let two = rig.sites[0].there(&config_map("payments", "two")).await?;
    ensure!(two["data"]["key"] == "welcome back", "{two:#}");
    Ok(())
}
