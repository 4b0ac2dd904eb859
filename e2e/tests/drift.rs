//! Drift: whatever somebody changes by hand is put back, and said, with who did
//! it; what belongs to others is left alone; Secrets are repaired in silence.

#[path = "drift/approximate.rs"]
mod approximate;
#[path = "drift/foreign.rs"]
mod foreign;
#[path = "drift/secrets.rs"]
mod secrets;

use anyhow::{Context, Result, ensure};
use rimward_e2e::rig::live::{self, config_map, grouped, now};
use rimward_e2e::rig::{Rig, Story, eventually, files};
use serde_json::{Value, json};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/web:1
        env: [{name: MODE, value: live}]
";

#[tokio::test]
async fn what_changes_by_hand_is_put_back() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let repo = rig.tenant("payments", &["payments"])?;
    let maps: Vec<_> = ["edited", "deleted", "unlabelled", "scripted", "extended"]
        .iter()
        .map(|name| (format!("web/{name}.yaml"), files::config_map(name, "key", "wanted")))
        .collect();
    let app = files::app("web", "payments");
    let mut changes = vec![("web/rimward.yaml", Some(&*app)), ("web/deployment.yaml", Some(DEPLOYMENT))];
    changes.extend(maps.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))));
    rig.ship(&repo, "payments/web", &changes).await?;

    let mut story = Story::begin();
    story.tell("an edit is put back and attributed", edited(&rig)).await;
    story.tell("a script's change is put back and attributed", scripted(&rig)).await;
    story.tell("a deleted object is made again", deleted(&rig)).await;
    story.tell("a removed label is put back, nothing made again", unlabelled(&mut rig)).await;
    story.tell("a change deep in a Deployment", deployment(&rig)).await;
    story.tell("what others add beside is left alone", extended(&mut rig)).await;
    secrets::tell(&mut story, &mut rig).await;
    foreign::tell(&mut story, &mut rig).await;
    story
        .tell("where no dry-run is to be had, drift is guessed", approximate::without_a_dry_run(&mut rig))
        .await;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

/// Waits until `get drift` has an entry about an object that `check` takes.
async fn reported(rig: &Rig, name: &str, check: impl Fn(&Value) -> bool) -> Result<Value> {
    let list = || async { rig.hub.json(&["get", "drift"]).await };
    let found = eventually(&format!("drift of {name}"), || async {
        let drift = list().await?["items"].as_array().cloned().unwrap_or_default();
        Ok(drift.into_iter().find(|drift| drift["object"]["name"] == name && check(drift)))
    })
    .await;
    match found {
        Ok(found) => Ok(found),
        Err(error) => Err(error.context(format!("there is {:#}", list().await?))),
    }
}

/// The field of a drift at `path`.
fn field<'a>(drift: &'a Value, path: &str) -> Result<&'a Value> {
    let fields = drift["fields"].as_array().context("no fields")?;
    fields.iter().find(|field| field["path"] == path).with_context(|| format!("no {path}: {drift:#}"))
}

async fn edited(rig: &Rig) -> Result<()> {
    let (site, path) = (&rig.sites[0], config_map("payments", "edited"));
    let before = site.uids(&[&path]).await?;
    site.merge(&path, "kubectl-edit", &json!({"data": {"key": "by hand"}})).await?;
    site.until_is(&path, "/data/key", &json!("wanted")).await?;
    ensure!(site.uids(&[&path]).await? == before, "it was made again");
    let drift = reported(rig, "edited", |drift| drift["type"] == "Changed").await?;
    ensure!(drift["manager"] == "kubectl-edit" && drift["action"] == "Reverted", "{drift:#}");
    ensure!(
        drift["cluster"] == "eu-1" && drift["tenant"] == "payments" && drift["app"] == "web",
        "{drift:#}"
    );
    let object =
        json!({"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "payments", "name": "edited"});
    ensure!(drift["object"] == object, "{drift:#}");
    let field = field(&drift, "/data/key")?;
    ensure!(field["wanted"] == "wanted" && field["found"] == "by hand", "{drift:#}");
    ensure!(field["redacted"] == false, "{drift:#}");
    let line = rig.hub.cli_ok(&["get", "drift"]).await?;
    for word in ["eu-1", "payments/web", "edited", "/data/key", "kubectl-edit", "Reverted"] {
        ensure!(line.contains(word), "no {word} in {line}");
    }
    Ok(())
}

async fn scripted(rig: &Rig) -> Result<()> {
    let (site, path) = (&rig.sites[0], config_map("payments", "scripted"));
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripted"},
                        "data": {"key": "by a script"}});
    site.apply(&path, "nightly-script", &object).await?;
    site.until_is(&path, "/data/key", &json!("wanted")).await?;
    let drift = reported(rig, "scripted", |_| true).await?;
    ensure!(drift["manager"] == "nightly-script", "{drift:#}");
    ensure!(field(&drift, "/data/key")?["found"] == "by a script", "{drift:#}");
    Ok(())
}

async fn deleted(rig: &Rig) -> Result<()> {
    let (site, path) = (&rig.sites[0], config_map("payments", "deleted"));
    let before = site.uids(&[&path]).await?;
    site.delete(&path).await?;
    let is_new = |found: Option<&Value>| found.is_some_and(|found| vec![live::uid(found)] != before);
    let object = site.until(&path, "made again", is_new).await?.unwrap_or_default();
    ensure!(object["data"]["key"] == "wanted", "{object:#}");
    ensure!(object["metadata"]["labels"]["rimward.dev/app"] == "web", "{object:#}");
    let drift = reported(rig, "deleted", |drift| drift["type"] == "Deleted").await?;
    ensure!(drift["action"] == "Reverted", "{drift:#}");
    Ok(())
}

/// To a watch by label it looks like a deletion; it is none.
async fn unlabelled(rig: &mut Rig) -> Result<()> {
    let since = now();
    let (site, path) = (&mut rig.sites[0], config_map("payments", "unlabelled"));
    let before = site.uids(&[&path]).await?;
    let labels = json!({"metadata": {"labels": {"rimward.dev/tenant": null, "rimward.dev/app": null}}});
    site.merge(&path, "kubectl-label", &labels).await?;
    site.until_is(&path, "/metadata/labels/rimward.dev~1tenant", &json!("payments")).await?;
    site.until_is(&path, "/metadata/labels/rimward.dev~1app", &json!("web")).await?;
    ensure!(site.uids(&[&path]).await? == before, "it was made again");
    let deletes = site.asked(since).await?.verb("delete");
    ensure!(deletes.count() == 0, "{deletes}");
    let drift = reported(rig, "unlabelled", |_| true).await?;
    ensure!(drift["type"] == "Changed", "{drift:#}");
    rig.wait_ready("payments/web").await
}

async fn deployment(rig: &Rig) -> Result<()> {
    let site = &rig.sites[0];
    let path = grouped("apps/v1", "payments", "deployments", "web");
    let image = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example/web:2", "env": [{"name": "MODE", "value": "live"}]}]}}}});
    site.merge(&path, "kubectl-set", &image).await?;
    let at = "/spec/template/spec/containers/0/image";
    site.until_is(&path, at, &json!("registry.example/web:1")).await?;
    let drift = reported(rig, "web", |drift| drift["object"]["kind"] == "Deployment").await?;
    ensure!(drift["manager"] == "kubectl-set", "{drift:#}");
    ensure!(drift["object"]["group"] == "apps" && drift["object"]["version"] == "v1", "{drift:#}");
    ensure!(field(&drift, at)?["found"] == "registry.example/web:2", "{drift:#}");
    site.merge(&path, "kubectl-scale", &json!({"spec": {"replicas": 3}})).await?;
    site.until_is(&path, "/spec/replicas", &json!(0)).await?;
    let drift = reported(rig, "web", |drift| drift["manager"] == "kubectl-scale").await?;
    let field = field(&drift, "/spec/replicas")?;
    ensure!(field["wanted"] == 0 && field["found"] == 3, "{drift:#}");
    rig.wait_ready("payments/web").await
}

/// Fields that Git does not set are not ours: annotations of a controller, keys of another team.
async fn extended(rig: &mut Rig) -> Result<()> {
    let path = config_map("payments", "extended");
    let more = json!({"metadata": {"annotations": {"example.com/seen": "yes"}}, "data": {"theirs": "1"}});
    rig.sites[0].merge(&path, "another-controller", &more).await?;
    // A drift after it has been seen and repaired, so this one has been seen as well.
    let other = config_map("payments", "edited");
    rig.sites[0].merge(&other, "kubectl-edit", &json!({"data": {"key": "again"}})).await?;
    rig.sites[0].until_is(&other, "/data/key", &json!("wanted")).await?;
    let object = rig.sites[0].there(&path).await?;
    ensure!(object["data"] == json!({"key": "wanted", "theirs": "1"}), "{object:#}");
    ensure!(object["metadata"]["annotations"]["example.com/seen"] == "yes", "{object:#}");
    let drift = rig.hub.json(&["get", "drift"]).await?;
    let about = |drift: &&Value| drift["object"]["name"] == "extended";
    ensure!(!drift["items"].as_array().is_some_and(|all| all.iter().any(|d| about(&d))), "{drift:#}");
    Ok(())
}
