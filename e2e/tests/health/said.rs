//! Why something is not ready, in the words of the events that Kubernetes
//! writes about it.

use anyhow::{Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::{Rig, Story};
use serde_json::json;

use super::{publish, until, workload};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig, repo: &GitRepo) {
    story.tell("a quota that forbids pods is named", quota(rig, repo)).await;
    story.tell("and asked for as the tenant, a few times at most", asked(rig)).await;
    story.tell("what may go on when the quota goes", lifted(rig, repo)).await;
}

const QUOTA: &str = "/api/v1/namespaces/quota/resourcequotas/none";

async fn quota(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let site = &rig.sites[0];
    site.make_namespace("quota").await?;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}}});
    site.apply(QUOTA, "admin", &quota).await?;
    site.until_is(QUOTA, "/status/hard/pods", &json!("0")).await?;
    // Of a Deployment a condition says it; of a StatefulSet nothing but an event does.
    publish(rig, repo, "made", "quota", &[("made", &workload("Deployment", "made", "1"))]).await?;
    publish(rig, repo, "db", "quota", &[("db", &workload("StatefulSet", "db", "1"))]).await?;
    for (app, kind) in [("made", "Deployment"), ("db", "StatefulSet")] {
        let object = format!("{kind}.apps/quota/{app}: 0 of 1 ");
        until(rig, app, "Failed", &[&object, "FailedCreate: ", "is forbidden: exceeded quota: none"]).await?;
        let described = rig.hub.cli_ok(&["describe", &format!("app/payments/{app}")]).await?;
        ensure!(described.contains("exceeded quota: none"), "{described}");
    }
    Ok(())
}

async fn asked(rig: &mut Rig) -> Result<()> {
    let events = rig.sites[0].plane().audit().await?.resource("events");
    let reads = events.filter(|event| event.verb == "list" && event.namespace == "quota");
    let ours = reads.filter(|event| event.user == rimward_e2e::rig::SPOKE_ACCOUNT);
    ensure!((1..=8).contains(&ours.count()), "{ours}");
    let account = "system:serviceaccount:rimward-tenants:payments";
    ensure!(ours.clone().impersonating(account).count() == ours.count(), "{ours}");
    Ok(())
}

async fn lifted(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let empty = |kind: &str, name: &str| workload(kind, name, "1").replace("replicas: 1", "replicas: 0");
    let site = &rig.sites[0];
    site.delete(QUOTA).await?;
    publish(rig, repo, "made", "quota", &[("made", &empty("Deployment", "made"))]).await?;
    publish(rig, repo, "db", "quota", &[("db", &empty("StatefulSet", "db"))]).await?;
    for app in ["made", "db"] {
        rig.wait_ready(&format!("payments/{app}")).await?;
    }
    Ok(())
}
