//! One watch for all namespaces of an account that may, and one for each of an
//! account that may not any more.

use anyhow::{Result, ensure};
use rimward_e2e::control_plane::Audit;
use rimward_e2e::rig::live::{config_map, now};
use rimward_e2e::rig::{Rig, files};
use serde_json::{Value, json};

use super::platform;

const ACCOUNT: &str = "system:serviceaccount:rimward-tenants:platform";
const CLUSTER: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/rimward-platform";

const SPACES: [&str; 2] = ["wide-a", "wide-b"];

fn watches(asked: &Audit, namespace: &str) -> usize {
    let of = |event: &&rimward_e2e::control_plane::AuditEvent| {
        event.verb == "watch" && event.resource == "configmaps" && event.namespace == namespace
    };
    asked.events.iter().filter(of).count()
}

async fn put_back(rig: &Rig) -> Result<()> {
    for space in SPACES {
        let path = config_map(space, "map");
        rig.sites[0].merge(&path, "kubectl-edit", &json!({"data": {"key": "by hand"}})).await?;
        rig.sites[0].until_is(&path, "/data/key", &json!("wanted")).await?;
    }
    Ok(())
}

/// The same rights, in each namespace by itself.
fn binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "own"},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
           "subjects": [{"kind": "ServiceAccount", "name": "platform", "namespace": "rimward-tenants"}]})
}

pub async fn one_watch(rig: &mut Rig) -> Result<()> {
    let since = now();
    let repo = platform(rig, "wide", &SPACES).await?;
    let map = files::config_map("map", "key", "wanted");
    let apps = SPACES.map(|space| files::app(space, space));
    let changes = [
        ("a/rimward.yaml", Some(apps[0].as_str())),
        ("a/map.yaml", Some(&*map)),
        ("b/rimward.yaml", Some(&apps[1])),
        ("b/map.yaml", Some(&map)),
    ];
    repo.commit(&changes, "two namespaces")?;
    rig.reconcile().await?;
    for space in SPACES {
        rig.wait_ready(&format!("wide/{space}")).await?;
    }
    put_back(rig).await?;
    let asked = rig.sites[0].asked(since).await?.impersonating(ACCOUNT);
    ensure!(watches(&asked, "") >= 1, "{asked}");
    ensure!(SPACES.iter().all(|space| watches(&asked, space) == 0), "{asked}");

    // The right to the whole cluster goes, the rights to the namespaces stay.
    for space in SPACES {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/rolebindings/own");
        rig.sites[0].apply(&path, "admin", &binding()).await?;
    }
    let before = rig.sites[0]
        .uids(&SPACES.map(|space| config_map(space, "map")).each_ref().map(|p| p.as_str()))
        .await?;
    rig.sites[0].delete(CLUSTER).await?;
    let since = now();
    // A watch that is open goes on to be served; it is begun anew with the spoke.
    rig.sites[0].spoke().kill()?;
    rig.sites[0].spoke().start()?;
    for space in SPACES {
        rig.wait_ready(&format!("wide/{space}")).await?;
    }
    put_back(rig).await?;
    let asked = rig.sites[0].asked(since).await?.impersonating(ACCOUNT);
    ensure!(SPACES.iter().all(|space| watches(&asked, space) >= 1), "{asked}");
    let after = rig.sites[0]
        .uids(&SPACES.map(|space| config_map(space, "map")).each_ref().map(|p| p.as_str()))
        .await?;
    ensure!(after == before, "made again");
    Ok(())
}
