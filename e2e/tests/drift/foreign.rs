//! What was there before, and was not put there by Rimward, is not touched: not
//! changed, not labelled, not adopted, not deleted.

use anyhow::{Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{self, config_map};
use rimward_e2e::rig::{Rig, Site, Story, eventually, files};
use serde_json::{Value, json};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    let repo = match begin(rig).await {
        Ok(repo) => repo,
        Err(error) => return story.tell("somebody's object is there", async { Err(error) }).await,
    };
    story.tell("an object that was there before is refused", refused(rig)).await;
    story.tell("it is not deleted with the App", not_pruned(rig, &repo)).await;
    story.tell("a namesake made after a deletion is not adopted", namesake(rig)).await;
}

fn theirs(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"team": "other"}},
           "data": {"of": "somebody else"}})
}

async fn begin(rig: &Rig) -> Result<GitRepo> {
    let site = &rig.sites[0];
    site.make_namespace("shared").await?;
    site.apply(&config_map("shared", "theirs"), "other-team", &theirs("theirs")).await?;
    let repo = rig.tenant("shared", &["shared"])?;
    let files = [
        ("web/rimward.yaml", files::app("web", "shared")),
        ("web/theirs.yaml", files::config_map("theirs", "of", "web")),
        ("web/ours.yaml", files::config_map("ours", "of", "web")),
        ("api/rimward.yaml", files::app("api", "shared")),
        ("api/namesake.yaml", files::config_map("namesake", "of", "api")),
    ];
    let changes: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
    repo.commit(&changes, "two Apps")?;
    rig.reconcile().await?;
    rig.wait_ready("shared/api").await?;
    Ok(repo)
}

/// As somebody else made it: same UID, same data, no label and no field of ours.
async fn untouched(site: &Site, name: &str, before: &Value) -> Result<()> {
    let object = site.there(&config_map("shared", name)).await?;
    ensure!(live::uid(&object) == live::uid(before), "made again: {object:#}");
    let version = &object["metadata"]["resourceVersion"];
    ensure!(*version == before["metadata"]["resourceVersion"], "written to: {object:#}");
    ensure!(live::manager(&object, "rimward").is_none(), "{object:#}");
    ensure!(object["metadata"]["labels"] == json!({"team": "other"}), "{object:#}");
    Ok(())
}

async fn is_conflict(rig: &Rig, app: &str, name: &str) -> Result<()> {
    let reference = format!("app/shared/{app}");
    let found = eventually("the conflict to be reported", || async {
        let described = rig.hub.describe(&reference).await?;
        let objects = described["objects"].as_array().cloned().unwrap_or_default();
        Ok(objects.into_iter().find(|o| o["object"]["name"] == name && o["reason"] == "Conflict"))
    })
    .await;
    if let Err(error) = found {
        return Err(error.context(format!("{:#}", rig.hub.describe(&reference).await?)));
    }
    let described = rig.hub.describe(&reference).await?;
    ensure!(described["state"] == "Failed" && described["reason"] == "Conflict", "{described:#}");
    Ok(())
}

async fn refused(rig: &Rig) -> Result<()> {
    let site = &rig.sites[0];
    let before = site.there(&config_map("shared", "theirs")).await?;
    is_conflict(rig, "web", "theirs").await?;
    untouched(site, "theirs", &before).await?;
    // One object's failure is that object's: the rest goes on.
    let ours = site.there(&config_map("shared", "ours")).await?;
    ensure!(ours["data"]["of"] == "web", "{ours:#}");
    Ok(())
}

async fn not_pruned(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let site = &rig.sites[0];
    let before = site.there(&config_map("shared", "theirs")).await?;
    repo.commit(&[("web/rimward.yaml", None), ("web/theirs.yaml", None), ("web/ours.yaml", None)], "no web")?;
    rig.reconcile().await?;
    site.until_gone(&config_map("shared", "ours")).await?;
    eventually("the App to be gone", || async {
        Ok((rig.hub.say(&["describe", "app/shared/web"]).await?.code == 5).then_some(()))
    })
    .await?;
    untouched(site, "theirs", &before).await
}

/// While the spoke looks away, its object is deleted and somebody makes one of the same name.
async fn namesake(rig: &mut Rig) -> Result<()> {
    rig.sites[0].spoke().stop()?;
    let path = config_map("shared", "namesake");
    rig.sites[0].delete(&path).await?;
    let before = rig.sites[0].apply(&path, "other-team", &theirs("namesake")).await?;
    rig.sites[0].spoke().start()?;
    is_conflict(rig, "api", "namesake").await?;
    untouched(&rig.sites[0], "namesake", &before).await?;
    // Once it is out of the way, the wanted one comes.
    rig.sites[0].delete(&path).await?;
    rig.sites[0].until_is(&path, "/data/of", &json!("api")).await?;
    rig.wait_ready("shared/api").await
}
