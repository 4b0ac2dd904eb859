//! One watch for three places: the other two are listed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{config_map, now};
use rimward_e2e::rig::{Rig, eventually, files};
use serde_json::{Value, json};

use super::tenant;

/// In the order in which watches are given: the first has the one there is.
const PLACES: [&str; 3] = ["place-a", "place-b", "place-c"];
/// Places that are listed are looked at this often here.
const EVERY: Duration = Duration::from_secs(2);
/// What a look, a repair and a loaded machine may take besides.
const SLACK: Duration = Duration::from_secs(3);

/// The account's rights are its owner's to give: one binding a namespace, and nothing on the whole cluster.
fn binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "own"},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
           "subjects": [{"kind": "ServiceAccount", "name": "own", "namespace": "rimward-tenants"}]})
}

fn binding_in(namespace: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/own")
}

/// An App with one ConfigMap in each place, and a spoke that may have one watch.
pub async fn begin(rig: &mut Rig) -> Result<GitRepo> {
    let site = &mut rig.sites[0];
    let spoke = site.spoke();
    spoke.stop()?;
    spoke.environment.push(("RIMWARD_TEST_MAX_WATCHES", "1".to_owned()));
    spoke.environment.push(("RIMWARD_TEST_LIST_MILLIS", EVERY.as_millis().to_string()));
    spoke.start()?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "own"}});
    site.apply("/api/v1/namespaces/rimward-tenants/serviceaccounts/own", "admin", &account).await?;
    for place in PLACES {
        site.make_namespace(place).await?;
        site.apply(&binding_in(place), "admin", &binding()).await?;
    }
    let repo = tenant(rig, "places", &PLACES, "  serviceAccount: rimward-tenants/own\n")?;
    let map = files::config_map("map", "key", "wanted");
    let apps: Vec<_> = PLACES.iter().map(|place| files::app(place, place)).collect();
    let paths: Vec<_> =
        PLACES.iter().map(|place| (format!("{place}/rimward.yaml"), format!("{place}/map.yaml"))).collect();
    let changes: Vec<_> = paths
        .iter()
        .zip(&apps)
        .flat_map(|((app, object), text)| [(app.as_str(), Some(text.as_str())), (object, Some(&*map))])
        .collect();
    repo.commit(&changes, "three places")?;
    rig.reconcile().await?;
    for place in PLACES {
        rig.wait_ready(&format!("places/{place}")).await?;
    }
    Ok(repo)
}

pub async fn kept(rig: &mut Rig) -> Result<()> {
    let since = now();
    for place in PLACES {
        let path = config_map(place, "map");
        let before = rig.sites[0].uids(&[&path]).await?;
        let start = Instant::now();
        rig.sites[0].merge(&path, "kubectl-edit", &json!({"data": {"key": "by hand"}})).await?;
        rig.sites[0].until_is(&path, "/data/key", &json!("wanted")).await?;
        let took = start.elapsed();
        ensure!(took < EVERY + SLACK, "{place}: put back after {took:?}");
        ensure!(rig.sites[0].uids(&[&path]).await? == before, "{place}: made again");
        let drift = eventually(&format!("drift in {place}"), || async {
            let list = rig.hub.json(&["get", "drift"]).await?;
            let all = list["items"].as_array().cloned().unwrap_or_default();
            Ok(all.into_iter().find(|drift| drift["object"]["namespace"] == place))
        })
        .await?;
        ensure!(drift["manager"] == "kubectl-edit" && drift["action"] == "Reverted", "{drift:#}");
    }
    let gone = config_map("place-c", "map");
    rig.sites[0].delete(&gone).await?;
    rig.sites[0].until_is(&gone, "/data/key", &json!("wanted")).await?;
    tokio::time::sleep(2 * EVERY).await;
    let asked = rig.sites[0].asked(since).await?.filter(|event| event.resource == "configmaps");
    let of = |verb: &str, namespace: &str| {
        let theirs = |event: &&_| {
            let event: &&rimward_e2e::control_plane::AuditEvent = event;
            event.verb == verb && event.namespace == namespace
        };
        asked.events.iter().filter(theirs).count()
    };
    for place in ["place-b", "place-c"] {
        ensure!(of("watch", place) == 0 && of("list", place) >= 2, "{place}: {asked}");
    }
    ensure!(of("list", "place-a") == 0, "what is watched is not listed: {asked}");
    ensure!(of("get", "place-c") >= 2, "nothing is made again without a look: {asked}");
    Ok(())
}

pub async fn shown(rig: &Rig) -> Result<()> {
    let list = rig.hub.json(&["get", "drift"]).await?;
    let lists = &list["lists"][0];
    ensure!(lists["cluster"] == "eu-1" && lists["places"] == 2, "{lists:#}");
    ensure!(lists["intervalSeconds"] == EVERY.as_secs() && lists["asOf"].is_string(), "{lists:#}");
    let said = rig.hub.say(&["get", "drift"]).await?;
    ensure!(said.err.contains("eu-1: beyond its watches, 2 kinds and namespaces"), "{said:?}");
    let cluster = rig.hub.describe("cluster/eu-1").await?;
    ensure!(cluster["lists"]["places"] == 2, "{cluster:#}");
    Ok(())
}

pub async fn forbidden(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let kept = config_map("place-c", "map");
    let before = rig.sites[0].uids(&[&kept]).await?;
    rig.sites[0].delete(&binding_in("place-c")).await?;
    let object = eventually("Unknown in place-c", || async {
        let described = rig.hub.describe("app/places/place-c").await?;
        let objects = described["objects"].as_array().context("no list of objects")?.clone();
        Ok(objects.into_iter().find(|object| object["reason"] == "Unknown"))
    })
    .await?;
    ensure!(object["listed"]["intervalSeconds"] == EVERY.as_secs(), "{object:#}");
    ensure!(object["listed"]["asOf"].is_string(), "{object:#}");
    let since = now();
    let another = files::config_map("another", "key", "1");
    repo.commit(&[("place-c/map.yaml", None), ("place-c/another.yaml", Some(&another))], "one for one")?;
    rig.reconcile().await?;
    tokio::time::sleep(2 * EVERY).await;
    let done = rig.sites[0].wrote(since).await?.namespace("place-c").filter(|event| event.code < 300);
    ensure!(done.count() == 0, "{done}");
    ensure!(rig.sites[0].uids(&[&kept]).await? == before, "made again");
    ensure!(rig.sites[0].get(&config_map("place-c", "another")).await?.is_none(), "it was made");
    rig.wait_ready("places/place-b").await?;
    rig.sites[0].apply(&binding_in("place-c"), "admin", &binding()).await?;
    rig.sites[0].until_is(&config_map("place-c", "another"), "/data/key", &json!("1")).await?;
    rig.sites[0].until_gone(&kept).await?;
    rig.wait_ready("places/place-c").await
}
