//! The path: a commit in a tenant's repo becomes objects in two real clusters,
//! and nothing more than what changed is written.

#[path = "path/mistakes.rs"]
mod mistakes;
#[path = "path/sources.rs"]
mod sources;

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{self, config_map, grouped};
use rimward_e2e::rig::{Rig, Story, files, item};
use serde_json::{Value, json};

const CLUSTERS: [&str; 2] = ["eu-1", "us-1"];

#[tokio::test]
async fn a_commit_becomes_objects_and_mistakes_stay_where_they_are() -> Result<()> {
    let mut rig = Rig::start(&CLUSTERS).await?;
    let repo = rig.tenant("payments", &["payments"])?;
    let first = first_commit(&rig, &repo).await?;

    let mut story = Story::begin();
    story.tell("a commit becomes objects on both clusters", lands(&rig)).await;
    story.tell("the App as JSON", app_as_json(&rig, &first)).await;
    story.tell("the clusters as JSON", clusters_as_json(&rig)).await;
    story.tell("a change writes what changed, once", changes(&mut rig, &repo)).await;
    story.tell("git revert goes back", reverts(&rig, &repo)).await;
    story.tell("a commit that changes nothing", changes_nothing(&mut rig, &repo)).await;
    story.tell("wait fails for a commit nobody has", waits_in_vain(&rig)).await;
    mistakes::tell(&mut story, &mut rig).await;
    sources::tell(&mut story, &mut rig).await;
    for site in &mut rig.sites {
        let name = format!("{} was asked as the tenant only", site.name);
        story.tell(&name, site.assert_impersonated()).await;
    }
    story.end()
}

fn greeting(value: &str) -> String {
    files::config_map("web", "greeting", value)
}

/// Ready is said after the objects are there, never before: nothing here polls.
async fn first_commit(rig: &Rig, repo: &GitRepo) -> Result<String> {
    let app = files::app("web", "payments");
    let commit = rig
        .ship(
            repo,
            "payments/web",
            &[
                ("web/rimward.yaml", Some(&app)),
                ("web/config.yaml", Some(&greeting("hello"))),
                ("web/deployment.yaml", Some(files::DEPLOYMENT)),
            ],
        )
        .await?;
    for site in &rig.sites {
        let map = site.there(&config_map("payments", "web")).await?;
        ensure!(map["data"]["greeting"] == "hello", "{map:#}");
        let path = grouped("apps/v1", "payments", "deployments", "web");
        let deployment = site.there(&path).await?;
        let generation = &deployment["metadata"]["generation"];
        ensure!(deployment["status"]["observedGeneration"] == *generation, "{deployment:#}");
    }
    Ok(commit)
}

async fn lands(rig: &Rig) -> Result<()> {
    for site in &rig.sites {
        for path in [config_map("payments", "web"), grouped("apps/v1", "payments", "deployments", "web")] {
            let object = site.there(&path).await?;
            let labels = &object["metadata"]["labels"];
            ensure!(labels["rimward.dev/tenant"] == "payments", "{labels}");
            ensure!(labels["rimward.dev/app"] == "web", "{labels}");
            let ours = live::manager(&object, "rimward").context("no manager `rimward`")?;
            ensure!(ours["operation"] == "Apply", "{ours:#}");
        }
    }
    Ok(())
}

async fn app_as_json(rig: &Rig, commit: &str) -> Result<()> {
    let list = rig.hub.json(&["get", "apps"]).await?;
    ensure!(list["apiVersion"] == "rimward.dev/v1alpha1" && list["kind"] == "AppList", "{list:#}");
    let app = item(&list, "web").context("no App web")?;
    let is = |field: &str, wanted: Value| {
        ensure!(app[field] == wanted, "{field} is {}, not {wanted}: {app:#}", app[field]);
        Ok(())
    };
    is("state", json!("Ready"))?;
    is("reason", json!(""))?;
    is("message", json!(""))?;
    is("tenant", json!("payments"))?;
    is("source", json!("apps"))?;
    is("path", json!("web"))?;
    is("commit", json!(commit))?;
    is("drift", json!(0))?;
    is("clusters", json!({"total": 2, "updated": 2, "ready": 2, "waiting": 0, "failed": 0, "offline": 0}))?;
    let digest = app["revision"].as_str().unwrap_or_default();
    ensure!(digest.starts_with("sha256:"), "revision {digest:?}");
    ensure!(app["asOf"].is_string() && app["since"].is_string(), "{app:#}");
    let described = rig.hub.describe("app/payments/web").await?;
    for list in ["notes", "events", "objects"] {
        ensure!(described[list].is_array(), "{list}: {described:#}");
    }
    ensure!(described["notes"] == json!([]), "{described:#}");
    Ok(())
}

async fn clusters_as_json(rig: &Rig) -> Result<()> {
    let list = rig.hub.json(&["get", "clusters"]).await?;
    for site in &rig.sites {
        let cluster = item(&list, &site.name).context("no such cluster")?;
        let kube_system = site.there(&live::namespace("kube-system")).await?;
        ensure!(cluster["uid"] == live::uid(&kube_system), "{cluster:#}");
        ensure!(cluster["state"] == "Ready", "{cluster:#}");
        ensure!(cluster["labels"] == json!({"env": "prod", "site": site.name}), "{cluster:#}");
        ensure!(cluster["apps"] == json!({"total": 1, "ready": 1}), "{cluster:#}");
        ensure!(cluster["plan"]["digest"] == cluster["plan"]["wanted"], "{cluster:#}");
        ensure!(cluster["plan"]["epoch"] == 1 && cluster["plan"]["seq"].is_u64(), "{cluster:#}");
        let version = cluster["kubernetesVersion"].as_str().unwrap_or_default();
        ensure!(version.starts_with("v1."), "{cluster:#}");
        ensure!(cluster["certificateExpires"].is_string() && cluster["lastSeen"].is_string(), "{cluster:#}");
    }
    Ok(())
}

async fn changes(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let since = live::now();
    let map = config_map("payments", "web");
    let before = rig.sites[0].uids(&[&map]).await?;
    let change = [("web/config.yaml", Some(&*greeting("good morning")))];
    rig.ship(repo, "payments/web", &change).await?;
    ensure!(rig.sites[0].uids(&[&map]).await? == before, "it was made again instead of changed");
    for site in &mut rig.sites {
        let object = site.there(&map).await?;
        ensure!(object["data"]["greeting"] == "good morning", "{object:#}");
        let written = site.wrote(since).await?;
        ensure!(written.count() == 1, "{}:\n{written}", site.name);
        let only = &written.events[0];
        ensure!(only.verb == "patch" && only.name == "web" && only.resource == "configmaps", "{written}");
    }
    Ok(())
}

async fn reverts(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let head = repo.head()?;
    let reverted = repo.revert(&head)?;
    rig.reconcile().await?;
    rig.hub.cli_ok(&["wait", "app/payments/web", "--commit", &reverted, "--timeout", "60s"]).await?;
    for site in &rig.sites {
        let map = site.there(&config_map("payments", "web")).await?;
        ensure!(map["data"]["greeting"] == "hello", "{map:#}");
    }
    Ok(())
}

/// It counts as resolved, and changes no plan: nothing is signed anew for it, nothing written.
async fn changes_nothing(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let (seq, since) = (rig.seq().await?, live::now());
    rig.ship(repo, "payments/web", &[("README.md", Some("not a manifest\n"))]).await?;
    ensure!(rig.seq().await? == seq, "published {} after {seq}", rig.seq().await?);
    for site in &mut rig.sites {
        let written = site.asked(since).await?.mutating();
        ensure!(written.count() == 0, "{}:\n{written}", site.name);
    }
    Ok(())
}

async fn waits_in_vain(rig: &Rig) -> Result<()> {
    let nobodys = "0123456789012345678901234567890123456789";
    let wait = ["wait", "app/payments/web", "--commit", nobodys, "--timeout", "1s"];
    rig.hub.say(&wait).await?.exits(3)?;
    rig.hub.say(&["wait", "app/payments/nothing", "--timeout", "1s"]).await?.exits(5)?;
    Ok(())
}
