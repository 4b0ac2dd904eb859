//! Cases about whose an object is: moved between Apps, made by others, taken
//! over, its ownership lost.

use anyhow::{Context, Result, ensure};
use rimward_e2e::proxy::{Fault, Gate};
use rimward_e2e::rig::live::{self, config_map, grouped, uid};
use rimward_e2e::rig::{Rig, files};
use serde_json::{Value, json};

use super::support::{app_with, managers, meanwhile, said, same_uids, tenant_with, until_said};

fn two_keys(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{keep: \"1\", drop: \"1\"}}\n"
    )
}

/// The one that gets it may not have it yet; the one that had it keeps it until then.
pub async fn moved_while_denied(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case03", &["case03"])?;
    let (a, b) = (files::app("a", "case03"), files::app("b", "case03"));
    let (moves, stays, other) =
        (two_keys("moves"), files::config_map("stays", "of", "a"), files::config_map("other", "of", "b"));
    repo.commit(
        &[
            ("a/rimward.yaml", Some(&*a)),
            ("a/moves.yaml", Some(&*moves)),
            ("a/stays.yaml", Some(&*stays)),
            ("b/rimward.yaml", Some(&*b)),
            ("b/other.yaml", Some(&*other)),
        ],
        "two Apps",
    )?;
    rig.reconcile().await?;
    rig.wait_ready("case03/a").await?;
    rig.wait_ready("case03/b").await?;
    let path = config_map("case03", "moves");
    let before = rig.sites[0].uids(&[&path]).await?;

    let allowed = "!object.metadata.name.startsWith('moves') || !has(object.metadata.labels) \
                   || !('rimward.dev/app' in object.metadata.labels) \
                   || object.metadata.labels['rimward.dev/app'] != 'b'";
    let refused = json!({"apiVersion": "v1", "kind": "ConfigMap",
                         "metadata": {"name": "moves-too", "labels": {"rimward.dev/app": "b"}}});
    rig.sites[0].forbid_maps("case03", allowed, &refused).await?;
    repo.commit(&[("a/moves.yaml", None), ("b/moves.yaml", Some(&moves))], "moves")?;
    rig.reconcile().await?;
    let denied = until_said(rig, "case03/b", "moves", "Denied").await;
    meanwhile().await;
    let as_it_was = rig.sites[0].there(&path).await;
    rig.sites[0].allow_maps("case03", &refused).await?;
    let (denied, as_it_was) = (denied?, as_it_was?);
    let by_whom = denied["message"].as_str().is_some_and(|text| text.contains("case03"));
    ensure!(by_whom, "it is not said by which policy: {denied:#}");
    ensure!(vec![uid(&as_it_was)] == before, "it was made again");
    ensure!(as_it_was["data"] == json!({"keep": "1", "drop": "1"}), "{as_it_was:#}");

    let fewer = files::config_map("moves", "keep", "1");
    rig.ship(&repo, "case03/b", &[("b/moves.yaml", Some(&fewer))]).await?;
    let object = rig.sites[0].until_is(&path, "/metadata/labels/rimward.dev~1app", &json!("b")).await?;
    ensure!(object["data"] == json!({"keep": "1"}), "the key that Git dropped is still there: {object:#}");
    same_uids(rig, &[&path], &before).await?;
    rig.wait_ready("case03/a").await
}

/// Nothing is there when the spoke looks, and something when its apply arrives.
pub async fn made_in_between(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case09", &["case09"])?;
    let app = files::app("web", "case09");
    let first = files::config_map("first", "of", "web");
    rig.ship(&repo, "case09/web", &[("rimward.yaml", Some(&app)), ("first.yaml", Some(&first))]).await?;
    let path = config_map("case09", "raced");
    let (gate, at) = (Gate::default(), path.clone());
    let held = gate.clone();
    rig.sites[0].proxy().play(move |asked| {
        if asked.path == at && asked.is_write() { Fault::Held(held.clone()) } else { Fault::None }
    });
    let raced = files::config_map("raced", "of", "web");
    repo.commit(&[("raced.yaml", Some(&raced))], "raced")?;
    rig.reconcile().await?;
    gate.reached().await.context("the spoke never asked to make it")?;
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": "raced", "labels": {"team": "other"}}, "data": {"of": "others"}});
    let before = rig.sites[0].apply(&path, "other-team", &theirs).await?;
    gate.open();
    until_said(rig, "case09/web", "raced", "Conflict").await?;
    meanwhile().await;
    let object = rig.sites[0].there(&path).await?;
    ensure!(
        object["metadata"] == before["metadata"] && object["data"] == before["data"],
        "touched: {object:#}"
    );
    // Once it is out of the way, the wanted one comes.
    rig.sites[0].delete(&path).await?;
    rig.sites[0].until_is(&path, "/data/of", &json!("web")).await?;
    rig.wait_ready("case09/web").await
}

fn with_env(names: &[&str]) -> String {
    let env: Vec<String> = names.iter().map(|name| format!("{{name: {name}, value: \"1\"}}")).collect();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 0\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: \"registry.example/web:1\", env: [{}]}}]}}\n",
        env.join(", ")
    )
}

/// What the manager of before owns beside us stays when Git removes it, unless its share becomes ours.
pub async fn taken_from_kubectl(rig: &mut Rig) -> Result<()> {
    rig.sites[0].make_namespace("case10").await?;
    let before = with_env(&["KEPT", "DROPPED"]);
    rig.sites[0].plane().kubectl_with_input(&["apply", "-n", "case10", "-f", "-"], &before)?;
    let path = grouped("apps/v1", "case10", "deployments", "web");
    let theirs = rig.sites[0].there(&path).await?;
    ensure!(managers(&theirs).contains(&"kubectl-client-side-apply".to_owned()), "{theirs:#}");
    let repo = tenant_with(rig, "case10", "  limits: {takeover: [refuse, always]}\n")?;
    let app = app_with("web", "case10", "  takeover: always\n");
    rig.ship(&repo, "case10/web", &[("rimward.yaml", Some(&app)), ("web.yaml", Some(&before))]).await?;
    let ours = rig.sites[0].there(&path).await?;
    ensure!(uid(&ours) == uid(&theirs), "it was made again");
    ensure!(ours["metadata"]["labels"]["rimward.dev/app"] == "web", "{ours:#}");
    let described = rig.hub.describe("app/case10/web").await?;
    let taken = described["taken"].as_array().context("nothing is said of the takeover")?;
    let told =
        |one: &Value| one["object"]["name"] == "web" && one["managers"][0] == "kubectl-client-side-apply";
    ensure!(taken.iter().any(told), "{described:#}");

    rig.ship(&repo, "case10/web", &[("web.yaml", Some(&with_env(&["KEPT"])))]).await?;
    let object = rig.sites[0].there(&path).await?;
    let env = object.pointer("/spec/template/spec/containers/0/env").cloned().unwrap_or_default();
    ensure!(env == json!([{"name": "KEPT", "value": "1"}]), "what Git removed is still there: {env:#}");
    // The controllers of Kubernetes write the status, and annotations of their own.
    let left: Vec<_> =
        managers(&object).into_iter().filter(|name| name != "kube-controller-manager").collect();
    ensure!(left == ["rimward"], "{left:?} own fields: {object:#}");
    Ok(())
}

/// Somebody clears the list of owners, as some backup tools do.
pub async fn owners_cleared(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case12", &["case12"])?;
    let (app, map) = (files::app("web", "case12"), two_keys("cleared"));
    rig.ship(&repo, "case12/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let path = config_map("case12", "cleared");
    let before = rig.sites[0].uids(&[&path]).await?;
    let cleared = rig.sites[0].merge(&path, "backup", &json!({"metadata": {"managedFields": [{}]}})).await?;
    ensure!(live::manager(&cleared, "rimward").is_none(), "nothing was cleared: {cleared:#}");
    let rebuilt = |found: Option<&Value>| found.is_some_and(|found| managers(found) == ["rimward"]);
    rig.sites[0].until(&path, "ours alone again", rebuilt).await?;
    let fewer = files::config_map("cleared", "keep", "1");
    rig.ship(&repo, "case12/web", &[("map.yaml", Some(&fewer))]).await?;
    let object = rig.sites[0].there(&path).await?;
    ensure!(object["data"] == json!({"keep": "1"}), "what Git removed is still there: {object:#}");
    same_uids(rig, &[&path], &before).await?;
    ensure!(said(rig, "case12/web", "cleared").await?.is_none(), "something is wrong with it");
    Ok(())
}
