//! The delete budget, which the spoke keeps: over it, or of a protected kind, a
//! deletion waits, with the exact objects, for an approval of exactly those.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{config_map, core};
use rimward_e2e::rig::{Rig, Story, eventually, files};
use serde_json::Value;

use super::{approve, hold, holds, tenant};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    story.tell("deletions over the budget are held", over_budget(rig)).await;
    story.tell("a protected kind is held", protected(rig)).await;
}

fn names(hold: &Value) -> BTreeSet<String> {
    let objects = hold["objects"].as_array().cloned().unwrap_or_default();
    objects.iter().filter_map(|held| held["object"]["name"].as_str().map(str::to_owned)).collect()
}

async fn over_budget(rig: &mut Rig) -> Result<()> {
    let maps = ["b1", "b2", "b3", "b4", "b5"];
    let repo = tenant(rig, "budget", &[("web", &maps)]).await?;
    let text = files::tenant("budget", repo.url(), &["budget"]);
    let narrow = text.replace("  clusters: {}\n", "  clusters: {}\n  limits: {deletion: {maxPerPlan: 2}}\n");
    rig.fleet.commit(&[("tenants/budget.yaml", Some(&narrow))], "at most two at a time")?;
    rig.reconcile().await?;
    let changed = files::config_map("b5", "of", "changed");
    let cut = [
        ("web/b1.yaml", None),
        ("web/b2.yaml", None),
        ("web/b3.yaml", None),
        ("web/b5.yaml", Some(changed.as_str())),
    ];
    repo.commit(&cut, "three fewer, one changed")?;
    rig.reconcile().await?;
    let hold = hold(rig, "budget", "OverBudget").await?;
    ensure!(hold["by"] == "spoke" && hold["clusters"] == serde_json::json!(["eu-1"]), "{hold:#}");
    let wanted: BTreeSet<_> = ["b1", "b2", "b3"].map(str::to_owned).into();
    ensure!(names(&hold) == wanted, "{hold:#}");
    // Everything else goes on.
    rig.sites[0].until_is(&config_map("budget", "b5"), "/data/of", &"changed".into()).await?;
    for map in ["b1", "b2", "b3"] {
        let object = rig.sites[0].there(&config_map("budget", map)).await?;
        let held = hold["objects"].as_array().into_iter().flatten();
        ensure!(held.clone().any(|held| held["uid"] == object["metadata"]["uid"]), "{hold:#}");
    }
    let state = rig.hub.describe("app/budget/web").await?;
    ensure!(state["state"] == "Held" && state["reason"] == "OverBudget", "{state:#}");
    let waited = rig.hub.say(&["wait", "app/budget/web", "--timeout", "5s"]).await?;
    ensure!([3, 6].contains(&waited.code), "{waited:?}");
    approve(rig, &hold).await?;
    for map in ["b1", "b2", "b3"] {
        rig.sites[0].until_gone(&config_map("budget", map)).await?;
    }
    for map in ["b4", "b5"] {
        rig.sites[0].there(&config_map("budget", map)).await?;
    }
    eventually("the hold to be gone", || async { Ok(holds(rig, "budget").await?.is_empty().then_some(())) })
        .await?;
    rig.wait_ready("budget/web").await
}

const CLAIM: &str = "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
";

async fn protected(rig: &mut Rig) -> Result<()> {
    let repo = tenant(rig, "protected", &[("db", &["keeps", "goes"])]).await?;
    // No provisioner runs here, so the claim stays Pending and the App never is Ready; the objects are all that counts.
    repo.commit(&[("db/claim.yaml", Some(CLAIM))], "a claim")?;
    rig.reconcile().await?;
    let claim = core("protected", "persistentvolumeclaims", "data");
    rig.sites[0].until(&claim, "there", |found| found.is_some()).await?;
    let before = rig.sites[0].uids(&[&claim]).await?;
    repo.commit(&[("db/claim.yaml", None), ("db/goes.yaml", None)], "no claim, one map fewer")?;
    rig.reconcile().await?;
    let hold = hold(rig, "protected", "Protected").await?;
    ensure!(names(&hold) == BTreeSet::from(["data".to_owned()]), "{hold:#}");
    rig.sites[0].until_gone(&config_map("protected", "goes")).await?;
    ensure!(rig.sites[0].uids(&[&claim]).await? == before, "the claim was touched");
    let object = rig.sites[0].there(&claim).await?;
    ensure!(object["metadata"]["deletionTimestamp"].is_null(), "{object:#}");
    approve(rig, &hold).await?;
    // Its finalizer goes once no pod uses it.
    rig.sites[0].until_gone(&claim).await
}
