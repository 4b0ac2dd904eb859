//! Cases about change by others: what is left to them, what is put back, what
//! is only said, and what no watch can show.

use anyhow::{Context, Result, ensure};
use rimward_e2e::admission::{Kind, Verdict, Webhook};
use rimward_e2e::rig::live::{config_map, grouped, now, uid};
use rimward_e2e::rig::{Rig, SPOKE_ACCOUNT, files};
use serde_json::{Value, json};

use super::support::{app_with, audit, drifts, meanwhile, said, same_uids, until_drift, until_standing};

fn deployment(name: &str, image: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 5\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{containers: [{{name: web, image: \"registry.example/web:{image}\"}}]}}\n"
    )
}

const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// There is no kubelet, so an App with replicas is never Ready; its objects tell all that counts.
pub async fn replicas_ignored(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case02", &["case02"])?;
    let ignore = "  drift: {ignore: [{kinds: [Deployment.apps], paths: [/spec/replicas]}]}\n";
    let app = app_with("web", "case02", ignore);
    let files = |image: u32| {
        [("scaled.yaml", deployment("scaled", image)), ("alone.yaml", deployment("alone", image))]
    };
    let commit = |image: u32| {
        let files = files(image);
        let changes: Vec<_> = files.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
        repo.commit(&changes, &format!("image {image}"))
    };
    repo.commit(&[("rimward.yaml", Some(&app))], "an App")?;
    commit(1)?;
    rig.reconcile().await?;
    let site = &rig.sites[0];
    let path = |name: &str| grouped("apps/v1", "case02", "deployments", name);
    for name in ["scaled", "alone"] {
        site.until_is(&path(name), "/spec/replicas", &json!(5)).await?;
    }
    let scale = format!("{}/scale", path("scaled"));
    site.merge(&scale, "autoscaler", &json!({"spec": {"replicas": 9}})).await?;
    meanwhile().await;
    let histories = [site.history(&path("scaled")).await?, site.history(&path("alone")).await?];
    for image in [2, 3] {
        commit(image)?;
        rig.reconcile().await?;
        for name in ["scaled", "alone"] {
            site.until_is(&path(name), IMAGE, &json!(format!("registry.example/web:{image}"))).await?;
        }
    }
    meanwhile().await;
    for (history, replicas) in histories.iter().zip([9, 5]) {
        let values = history.values("/spec/replicas");
        ensure!(values == [json!(replicas)], "replicas went through {values:?}");
    }
    // What is not ignored is still kept.
    let other =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "by-hand"}]}}}});
    site.merge(&path("scaled"), "kubectl-edit", &other).await?;
    site.until_is(&path("scaled"), IMAGE, &json!("registry.example/web:3")).await?;
    ensure!(site.there(&path("scaled")).await?["spec"]["replicas"] == 9);
    for drift in drifts(rig, "case02", "scaled").await? {
        ensure!(!drift["fields"].to_string().contains("/spec/replicas"), "{drift:#}");
    }
    Ok(())
}

/// Said once, while it stands; not put back, and not said again when somebody puts it back by hand.
pub async fn report_mode(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case05", &["case05"])?;
    let app = app_with("web", "case05", "  drift: {mode: report}\n");
    let map = files::config_map("watched", "key", "wanted");
    rig.ship(&repo, "case05/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let (site, path) = (&rig.sites[0], config_map("case05", "watched"));
    let put = async |value: &str| {
        let mut object = site.there(&path).await?;
        object["data"]["key"] = json!(value);
        site.replace(&path, "kubectl-replace", &object).await
    };
    let since = now();
    put("by hand").await?;
    let drift = until_drift(rig, "case05", "watched", |_| true).await?;
    ensure!(drift["type"] == "Changed" && drift["action"] == "Reported", "{drift:#}");
    ensure!(drift["manager"] == "kubectl-replace", "{drift:#}");
    let field =
        drift["fields"].as_array().and_then(|all| all.iter().find(|field| field["path"] == "/data/key"));
    let field = field.with_context(|| format!("{drift:#}"))?;
    ensure!(field["wanted"] == "wanted" && field["found"] == "by hand", "{drift:#}");
    until_standing(rig, "case05/web", 1).await?;
    ensure!(site.there(&path).await?["data"]["key"] == "by hand", "report mode has put it back");
    put("wanted").await?;
    until_standing(rig, "case05/web", 0).await?;
    meanwhile().await;
    let found = drifts(rig, "case05", "watched").await?;
    ensure!(found.iter().all(|other| other["id"] == drift["id"]), "more than one report: {found:#?}");
    until_standing(rig, "case05/web", 0).await?;
    let written = rig.sites[0].wrote(since).await?.namespace("case05");
    ensure!(written.count() == 0, "{written}");
    Ok(())
}

/// What a webhook changes is in no manager's list of fields: the value is another, the metadata are the same.
pub async fn changed_by_a_webhook(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case06", &["case06"])?;
    let (app, map) = (files::app("web", "case06"), files::config_map("mutated", "key", "wanted"));
    rig.ship(&repo, "case06/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let path = config_map("case06", "mutated");
    let annotate = |value: &str| json!({"metadata": {"annotations": {"example.com/seen": value}}});
    // The entry of this manager is known before the webhook is there.
    rig.sites[0].merge(&path, "another-controller", &annotate("1")).await?;
    meanwhile().await;

    let webhook = Webhook::start()?;
    let patch = json!([{"op": "replace", "path": "/data/key", "value": "by a webhook"}]);
    // Of the spoke's own writes it leaves everything as it is; those are a tenant's.
    webhook.play(move |review| {
        let of_people = !review.user.starts_with("system:serviceaccount:rimward-");
        if of_people && review.name == "mutated" { Verdict::Mutate(patch.clone()) } else { Verdict::Allow }
    });
    rig.sites[0].register(&webhook, Kind::Mutating, "case06", 5).await?;
    let changed = rig.sites[0].merge(&path, "another-controller", &annotate("2")).await?;
    ensure!(changed["data"]["key"] == "by a webhook", "the webhook was not asked: {changed:#}");
    let audited = audit(rig).await;
    let restored = rig.sites[0].until_is(&path, "/data/key", &json!("wanted")).await;
    rig.sites[0].unregister(&webhook, Kind::Mutating, "case06").await?;
    audited?;
    let restored = restored?;
    ensure!(restored["metadata"]["annotations"]["example.com/seen"] == "2", "{restored:#}");
    let drift = until_drift(rig, "case06", "mutated", |_| true).await?;
    ensure!(drift["action"] == "Reverted" && drift["fields"][0]["path"] == "/data/key", "{drift:#}");
    Ok(())
}

fn with_init_containers() -> String {
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ordered}\nspec:\n  replicas: 0\n  \
     selector: {matchLabels: {app: ordered}}\n  template:\n    metadata: {labels: {app: ordered}}\n    spec:\n      \
     initContainers:\n      - {name: first, image: \"registry.example/init:1\"}\n      \
     - {name: second, image: \"registry.example/init:1\"}\n      \
     containers: [{name: web, image: \"registry.example/web:1\"}]\n"
        .to_owned()
}

/// Order has no owner, and a restored object looks as if nobody had touched it.
pub async fn reordered_and_restored(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case07", &["case07"])?;
    let app = files::app("web", "case07");
    let map = |value: &str| files::config_map("restored", "key", value);
    rig.ship(
        &repo,
        "case07/web",
        &[
            ("rimward.yaml", Some(&app)),
            ("ordered.yaml", Some(&with_init_containers())),
            ("map.yaml", Some(&map("old"))),
        ],
    )
    .await?;
    let (ordered, restored) =
        (grouped("apps/v1", "case07", "deployments", "ordered"), config_map("case07", "restored"));
    let old = rig.sites[0].there(&restored).await?;
    rig.ship(&repo, "case07/web", &[("map.yaml", Some(&map("new")))]).await?;

    // A backup restored while the spoke looks away, down to the last word of managedFields.
    rig.sites[0].spoke().stop()?;
    let result = restore(rig, &restored, &old).await;
    rig.sites[0].spoke().start()?;
    let made_again = result?;
    rig.wait_ready("case07/web").await?;

    let mut object = rig.sites[0].there(&ordered).await?;
    let list = object.pointer_mut("/spec/template/spec/initContainers").and_then(Value::as_array_mut);
    list.context("no initContainers")?.reverse();
    let object = rig.sites[0].replace(&ordered, "kubectl-replace", &object).await?;
    ensure!(names(&object) == ["second", "first"], "{object:#}");
    audit(rig).await?;
    let found = rig.sites[0].until_is(&restored, "/data/key", &json!("new")).await?;
    ensure!(uid(&found) == uid(&made_again), "it was made a third time");
    let first = "/spec/template/spec/initContainers/0/name";
    let object = rig.sites[0].until_is(&ordered, first, &json!("first")).await?;
    ensure!(names(&object) == ["first", "second"], "{object:#}");
    until_drift(rig, "case07", "ordered", |drift| drift["type"] == "Changed").await?;
    Ok(())
}

fn names(deployment: &Value) -> Vec<String> {
    let list = deployment.pointer("/spec/template/spec/initContainers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
}

/// Deletes what is there and makes `old` in its place, with its managedFields as they were.
async fn restore(rig: &Rig, path: &str, old: &Value) -> Result<Value> {
    let site = &rig.sites[0];
    site.delete(path).await?;
    let mut again = old.clone();
    let meta = again["metadata"].as_object_mut().context("no metadata")?;
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        meta.remove(field);
    }
    let collection = path.rsplit_once('/').context("a path")?.0;
    let mut made = site.create(collection, "backup", &again).await?;
    made["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
    let made = site.replace(path, "backup", &made).await?;
    let same = made["metadata"]["managedFields"] == old["metadata"]["managedFields"];
    ensure!(
        same && made["data"] == old["data"] && uid(&made) != uid(old),
        "not restored as it was: {made:#}"
    );
    Ok(made)
}

/// To a watch by label it looks like a deletion.
pub async fn label_removed(rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("case08", &["case08"])?;
    let (app, map) = (files::app("web", "case08"), files::config_map("unlabelled", "key", "wanted"));
    rig.ship(&repo, "case08/web", &[("rimward.yaml", Some(&app)), ("map.yaml", Some(&map))]).await?;
    let path = config_map("case08", "unlabelled");
    for label in ["rimward.dev/tenant", "rimward.dev/app"] {
        let (since, before) = (now(), rig.sites[0].uids(&[&path]).await?);
        let pointer = format!("/metadata/labels/{}", label.replace('/', "~1"));
        let is = rig.sites[0].there(&path).await?.pointer(&pointer).cloned().context("it has no label")?;
        rig.sites[0].merge(&path, "kubectl-label", &json!({"metadata": {"labels": {label: null}}})).await?;
        rig.sites[0].until_is(&path, &pointer, &is).await?;
        same_uids(rig, &[&path], &before).await?;
        ensure!(
            said(rig, "case08/web", "unlabelled").await?.is_none_or(|object| object["reason"] != "Conflict")
        );
        let written = rig.sites[0].wrote(since).await?.namespace("case08");
        ensure!(written.count() == 1 && written.events[0].verb == "patch", "{written}");
        ensure!(written.events[0].user == SPOKE_ACCOUNT && written.events[0].code == 200, "{written}");
        rig.wait_ready("case08/web").await?;
    }
    Ok(())
}
