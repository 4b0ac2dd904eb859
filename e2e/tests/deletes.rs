//! Deletion: what leaves Git leaves the clusters, inside a budget; whatever
//! could be an accident waits for a person or changes nothing at all.

#[path = "deletes/accidents.rs"]
mod accidents;
#[path = "deletes/annotations.rs"]
mod annotations;
#[path = "deletes/budget.rs"]
mod budget;
#[path = "deletes/handed.rs"]
mod handed;
#[path = "deletes/held.rs"]
mod held;

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{self, config_map};
use rimward_e2e::rig::{Rig, Story, eventually, files};
use serde_json::{Value, json};

#[tokio::test]
async fn deletions_are_meant_or_they_wait() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let mut story = Story::begin();
    story.tell("an App's file removed: pruned, by a tombstone that then goes", app_removed(&mut rig)).await;
    story.tell("an object removed: pruned", object_removed(&mut rig)).await;
    story.tell("an object moved to another App keeps its UID", moved(&rig)).await;
    handed::tell(&mut story, &mut rig).await;
    held::tell(&mut story, &mut rig).await;
    budget::tell(&mut story, &mut rig).await;
    annotations::tell(&mut story, &mut rig).await;
    accidents::tell(&mut story, &mut rig).await;
    story.tell("no namespace was ever deleted", no_namespace_deleted(&mut rig)).await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

/// Files of an App `name` in namespace `namespace` with these ConfigMaps.
fn app(name: &str, namespace: &str, maps: &[&str]) -> Vec<(String, String)> {
    let mut found = vec![(format!("{name}/rimward.yaml"), files::app(name, namespace))];
    for map in maps {
        found.push((format!("{name}/{map}.yaml"), files::config_map(map, "of", name)));
    }
    found
}

/// As a commit takes them.
fn added(files: &[(String, String)]) -> Vec<(&str, Option<&str>)> {
    files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect()
}

/// The same files, removed.
fn removed(files: &[(String, String)]) -> Vec<(&str, Option<&str>)> {
    files.iter().map(|(path, _)| (path.as_str(), None)).collect()
}

/// A tenant `name`, in the namespace of the same name, with Apps and their ConfigMaps, all Ready.
async fn tenant(rig: &Rig, name: &str, apps: &[(&str, &[&str])]) -> Result<GitRepo> {
    let repo = rig.tenant(name, &[name])?;
    let files: Vec<_> = apps.iter().flat_map(|(app_name, maps)| app(app_name, name, maps)).collect();
    repo.commit(&added(&files), "all of it")?;
    rig.reconcile().await?;
    for (app, _) in apps {
        rig.wait_ready(&format!("{name}/{app}")).await?;
    }
    Ok(repo)
}

/// The plan that the cluster is offered.
async fn plan(rig: &Rig) -> Result<Value> {
    use base64::Engine;
    let (status, offer) = rig.hub.get("/v1/clusters/eu-1/plan").await?;
    ensure!(status == 200, "{offer:#}");
    let bytes = offer["plan"].as_str().context("no plan")?;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(bytes)?)?)
}

/// The holds of a tenant.
async fn holds(rig: &Rig, tenant: &str) -> Result<Vec<Value>> {
    let list = rig.hub.json(&["get", "holds", "-t", tenant]).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Waits for the one hold of a tenant, and checks its reason.
async fn hold(rig: &Rig, tenant: &str, reason: &str) -> Result<Value> {
    let one = eventually("a hold", || async {
        Ok(holds(rig, tenant).await?.into_iter().find(|hold| hold["reason"] == reason))
    });
    match one.await {
        Ok(hold) => Ok(hold),
        Err(error) => Err(error.context(format!("{reason}; there is {:?}", holds(rig, tenant).await?))),
    }
}

/// Approves a hold as a person would, by the digest it shows.
async fn approve(rig: &Rig, hold: &Value) -> Result<()> {
    let digest = hold["digest"].as_str().context("a hold without a digest")?;
    rig.hub.cli_ok(&["approve", digest, "--reason", "meant", "-y"]).await.map(drop)
}

async fn app_removed(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "removed", &[("goes", &["g1", "g2"]), ("stays", &["s1"])]).await?;
    let stays = config_map("removed", "s1");
    let before = rig.sites[0].uids(&[&stays]).await?;
    repo.commit(&removed(&app("goes", "removed", &["g1", "g2"])), "goes goes")?;
    rig.reconcile().await?;
    for name in ["g1", "g2"] {
        rig.sites[0].until_gone(&config_map("removed", name)).await?;
    }
    ensure!(rig.sites[0].uids(&[&stays]).await? == before, "the App beside it was touched");
    eventually("the tombstone to leave the plan", || async {
        let plan = plan(rig).await?;
        Ok((plan["removed"] == json!([])).then_some(()))
    })
    .await?;
    rig.hub.say(&["describe", "app/removed/goes"]).await?.exits(5)?;
    let deletes = rig.sites[0].plane().audit().await?.namespace("removed").verb("delete");
    ensure!(deletes.count() == 2, "{deletes}");
    Ok(())
}

async fn object_removed(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "trimmed", &[("web", &["one", "two"])]).await?;
    rig.ship(&repo, "trimmed/web", &[("web/two.yaml", None)]).await?;
    rig.sites[0].until_gone(&config_map("trimmed", "two")).await?;
    rig.sites[0].there(&config_map("trimmed", "one")).await?;
    ensure!(holds(rig, "trimmed").await?.is_empty(), "one object of two is no accident");
    Ok(())
}

async fn moved(rig: &Rig) -> Result<()> {
    let repo = tenant(rig, "moved", &[("from", &["stays", "moves"]), ("to", &["other"])]).await?;
    let path = config_map("moved", "moves");
    let before = rig.sites[0].uids(&[&path]).await?;
    let text = files::config_map("moves", "of", "to");
    repo.commit(&[("from/moves.yaml", None), ("to/moves.yaml", Some(&text))], "moves")?;
    rig.reconcile().await?;
    let object = rig.sites[0].until_is(&path, "/metadata/labels/rimward.dev~1app", &json!("to")).await?;
    ensure!(vec![live::uid(&object)] == before, "it was deleted and made again");
    ensure!(object["data"]["of"] == "to", "{object:#}");
    Ok(())
}

async fn no_namespace_deleted(rig: &mut Rig) -> Result<()> {
    let deleted = rig.sites[0].plane().audit().await?.verb("delete").resource("namespaces");
    ensure!(deleted.count() == 0, "{deleted}");
    for name in ["removed", "trimmed", "moved"] {
        rig.sites[0].there(&live::namespace(name)).await?;
    }
    Ok(())
}
