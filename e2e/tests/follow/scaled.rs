//! Paths that are left to others are no part of the fingerprint: an autoscaler
//! at work is not even looked at, and what else it changes is.

use std::time::Duration;

use anyhow::{Result, ensure};
use rimward_e2e::rig::live::{grouped, manager, now};
use rimward_e2e::rig::{Rig, files};
use serde_json::json;

use super::{platform, tenant};

/// Scaled as a Deployment is, without a controller that has something to say about it.
const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: engines.follow.example.com}
spec:
  group: follow.example.com
  names: {plural: engines, singular: engine, kind: Engine}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
";

fn engine(image: u32) -> String {
    format!(
        "apiVersion: follow.example.com/v1\nkind: Engine\nmetadata: {{name: engine}}\n\
         spec: {{replicas: 5, image: \"web:{image}\"}}\n"
    )
}

/// Long enough for a spoke to do what it must not do, were it to.
const MEANWHILE: Duration = Duration::from_secs(2);

pub async fn for_nothing(rig: &mut Rig) -> Result<()> {
    let kinds = platform(rig, "kinds", &["kinds"]).await?;
    let app = files::app("kinds", "kinds");
    rig.ship(&kinds, "kinds/kinds", &[("rimward.yaml", Some(&app)), ("crd.yaml", Some(CRD))]).await?;
    rig.sites[0].make_namespace("scaled").await?;
    let repo = tenant(rig, "scaled", &["scaled"], "  serviceAccount: rimward-tenants/platform\n")?;
    let ignore = "  drift: {ignore: [{kinds: [Engine.follow.example.com], paths: [/spec/replicas]}]}\n";
    let app = files::app("web", "scaled") + ignore;
    let first = engine(1);
    rig.ship(&repo, "scaled/web", &[("rimward.yaml", Some(&app)), ("engine.yaml", Some(&first))]).await?;
    tokio::time::sleep(MEANWHILE).await;

    let path = grouped("follow.example.com/v1", "scaled", "engines", "engine");
    let scale = format!("{path}/scale");
    let ours = |object: &serde_json::Value| manager(object, "rimward").map(|entry| entry["time"].clone());
    let before = ours(&rig.sites[0].there(&path).await?);
    let since = now();
    for replicas in [9, 3, 7] {
        rig.sites[0].merge(&scale, "autoscaler", &json!({"spec": {"replicas": replicas}})).await?;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    tokio::time::sleep(MEANWHILE).await;
    let object = rig.sites[0].there(&path).await?;
    ensure!(object["spec"]["replicas"] == 7, "{object:#}");
    // What the fingerprint builds on: whose entry lost a field to somebody else keeps its time.
    let entry = manager(&object, "rimward").cloned().unwrap_or_default();
    ensure!(entry["fieldsV1"].pointer("/f:spec/f:replicas").is_none(), "{entry:#}");
    ensure!(before.is_some() && ours(&object) == before, "{entry:#}");
    let asked =
        rig.sites[0].asked(since).await?.filter(|event| event.verb != "watch" && is_of_objects(event));
    ensure!(asked.count() == 0, "{asked}");

    // Another field, by the same manager, and in the same write as the replicas.
    let both = json!({"spec": {"replicas": 8, "image": "web:by-hand"}});
    rig.sites[0].merge(&path, "autoscaler", &both).await?;
    let object = rig.sites[0].until_is(&path, "/spec/image", &json!("web:1")).await?;
    ensure!(object["spec"]["replicas"] == 8, "{object:#}");
    // And an update of another field sends what is there.
    let second = engine(2);
    rig.ship(&repo, "scaled/web", &[("engine.yaml", Some(&second))]).await?;
    let object = rig.sites[0].until_is(&path, "/spec/image", &json!("web:2")).await?;
    ensure!(object["spec"]["replicas"] == 8, "{object:#}");
    // Then we own the field as well, and the next change takes it from us again.
    tokio::time::sleep(MEANWHILE).await;
    let since = now();
    rig.sites[0].merge(&scale, "autoscaler", &json!({"spec": {"replicas": 9}})).await?;
    tokio::time::sleep(MEANWHILE).await;
    let asked =
        rig.sites[0].asked(since).await?.filter(|event| event.verb != "watch" && is_of_objects(event));
    ensure!(asked.count() == 0, "{asked}");
    Ok(())
}

/// Anything about a tenant's object, also what is no change: everything that is not the agent's own or discovery.
fn is_of_objects(event: &rimward_e2e::control_plane::AuditEvent) -> bool {
    event.impersonated.is_some()
}
