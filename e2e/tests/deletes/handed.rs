//! Files that go from one App to another: a new App file in a folder, another
//! name. The objects go with them and are never deleted, and not before the App
//! they go to can have them.

use std::time::Duration;

use anyhow::{Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{config_map, now, uid};
use rimward_e2e::rig::{Rig, Story, eventually, files};
use serde_json::{Value, json};

use super::tenant;

/// What a mistake would set off has happened by then: changes are gathered for 50 ms, sent, applied and reported.
const SETTLE: Duration = Duration::from_secs(2);
const MAPS: [&str; 2] = ["top", "below"];

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    let repo = match started(rig).await {
        Ok(repo) => repo,
        Err(error) => return story.tell("an App with a folder", async { Err(error) }).await,
    };
    story.tell("a wrong App file in an App's folder takes nothing from it", wrong(rig, &repo)).await;
    story.tell("an App file in an App's folder takes its objects over", taken_over(rig, &repo)).await;
    story.tell("another name and a mistake in one commit", renamed(rig, &repo)).await;
    story.tell("nothing was deleted for it", nothing_deleted(rig)).await;
}

/// An App with a ConfigMap at its top and one in a folder.
async fn started(rig: &Rig) -> Result<GitRepo> {
    let repo = tenant(rig, "handed", &[("web", &["top"])]).await?;
    let below = files::config_map("below", "of", "web");
    rig.ship(&repo, "handed/web", &[("web/sub/below.yaml", Some(&below))]).await?;
    Ok(repo)
}

/// UID of each ConfigMap, and the App it is labelled with.
async fn owners(rig: &Rig) -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for name in MAPS {
        let object = rig.sites[0].there(&config_map("handed", name)).await?;
        found.push((uid(&object), object["metadata"]["labels"]["rimward.dev/app"].clone()));
    }
    Ok(found)
}

/// The App stays, and this code says why.
async fn kept_for(rig: &Rig, app: &str, code: &str) -> Result<()> {
    eventually("the reason", || async {
        let described = rig.hub.describe(app).await?;
        let notes = described["notes"].as_array().cloned().unwrap_or_default();
        Ok(notes.iter().any(|note| note["code"] == code).then_some(()))
    })
    .await
}

async fn wrong(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (since, before) = (now(), owners(rig).await?);
    for text in ["kind: [App\n", &files::app("below", "kube-system")] {
        let changed = files::config_map("top", "of", "nobody");
        let files = [("web/sub/rimward.yaml", Some(text)), ("web/top.yaml", Some(changed.as_str()))];
        repo.commit(&files, "wrong")?;
        rig.reconcile().await?;
        kept_for(rig, "app/handed/web", "RW3027").await?;
        tokio::time::sleep(SETTLE).await;
        let written = rig.sites[0].wrote(since).await?.namespace("handed");
        ensure!(written.count() == 0, "{written}");
    }
    ensure!(owners(rig).await? == before);
    let top = files::config_map("top", "of", "web");
    repo.commit(&[("web/sub/rimward.yaml", None), ("web/top.yaml", Some(&top))], "as it was")?;
    rig.reconcile().await
}

async fn taken_over(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let before = owners(rig).await?;
    repo.commit(&[("web/sub/rimward.yaml", Some(&files::app("below", "handed")))], "an App of its own")?;
    rig.reconcile().await?;
    let path = config_map("handed", "below");
    rig.sites[0].until_is(&path, "/metadata/labels/rimward.dev~1app", &json!("below")).await?;
    rig.wait_ready("handed/web").await?;
    rig.wait_ready("handed/below").await?;
    let now = owners(rig).await?;
    ensure!(now[0] == before[0], "{before:?} {now:?}");
    ensure!(now[1] == (before[1].0.clone(), json!("below")), "{before:?} {now:?}");
    Ok(())
}

/// Without a word in `formerly`: what the new name wants is what the old one has.
async fn renamed(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (since, before) = (now(), owners(rig).await?);
    let site = files::app("site", "handed");
    repo.commit(&[("web/rimward.yaml", Some(&site)), ("web/bad.yaml", Some("kind: [\n"))], "another name")?;
    rig.reconcile().await?;
    kept_for(rig, "app/handed/web", "RW3028").await?;
    tokio::time::sleep(SETTLE).await;
    let written = rig.sites[0].wrote(since).await?.namespace("handed");
    ensure!(written.count() == 0, "{written}");
    repo.commit(&[("web/bad.yaml", None)], "mended")?;
    rig.reconcile().await?;
    rig.sites[0]
        .until_is(&config_map("handed", "top"), "/metadata/labels/rimward.dev~1app", &json!("site"))
        .await?;
    rig.wait_ready("handed/site").await?;
    let now = owners(rig).await?;
    ensure!(now[0] == (before[0].0.clone(), json!("site")) && now[1] == before[1], "{before:?} {now:?}");
    Ok(())
}

async fn nothing_deleted(rig: &mut Rig) -> Result<()> {
    let deletes = rig.sites[0].plane().audit().await?.namespace("handed").verb("delete");
    ensure!(deletes.count() == 0, "{deletes}");
    Ok(())
}
