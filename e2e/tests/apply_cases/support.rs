//! What the cases have in common: tenants with a word more in their documents,
//! and what is said about one object.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::{Rig, apply_yaml, eventually, files};
use serde_json::Value;

/// The one cluster of every rig here.
pub const CLUSTER: &str = "eu-1";

/// The account of platform tenants, as the install can make it.
const PLATFORM: &str = include_str!("../../../deploy/spoke/optional/platform.yaml");

/// Long enough for a spoke to do what it must not do, were it to; many times what it needs for what it shall do.
pub const MEANWHILE: Duration = Duration::from_secs(2);

/// Lets [`MEANWHILE`] pass.
pub async fn meanwhile() {
    tokio::time::sleep(MEANWHILE).await;
}

/// A tenant `name` in the namespace of the same name, with more lines in its spec, in the fleet.
pub fn tenant_with(rig: &Rig, name: &str, more: &str) -> Result<GitRepo> {
    let repo = rig.tenant_repo(&format!("tenants/{name}"))?;
    let text = files::tenant(name, repo.url(), &[name]) + more;
    rig.fleet.commit(&[(&format!("tenants/{name}.yaml"), Some(&text))], name)?;
    Ok(repo)
}

/// A tenant that may have everything, cluster-scoped kinds too.
pub async fn platform(rig: &Rig, name: &str) -> Result<GitRepo> {
    apply_yaml(&rig.sites[0].client(), PLATFORM, |_| true).await?;
    let more = "  serviceAccount: rimward-tenants/platform\n  objects: {allow: [\"*\"]}\n";
    tenant_with(rig, name, more)
}

/// An App with more lines in its spec.
pub fn app_with(name: &str, namespace: &str, more: &str) -> String {
    files::app(name, namespace) + more
}

/// What is said of an object in an App's description; none if nothing is.
pub async fn said(rig: &Rig, app: &str, name: &str) -> Result<Option<Value>> {
    let described = rig.hub.describe(&format!("app/{app}")).await?;
    let objects = described["objects"].as_array().context("no list of objects")?;
    Ok(objects.iter().find(|object| object["object"]["name"] == name).cloned())
}

/// Waits until an object is reported for that reason.
pub async fn until_said(rig: &Rig, app: &str, name: &str, reason: &str) -> Result<Value> {
    let found = eventually(&format!("{reason} of {name}"), || async {
        Ok(said(rig, app, name).await?.filter(|object| object["reason"] == reason))
    })
    .await;
    match found {
        Ok(object) => Ok(object),
        Err(error) => {
            let described = rig.hub.describe(&format!("app/{app}")).await?;
            Err(error.context(format!("app/{app} is {described:#}")))
        }
    }
}

/// Everything in `get drift` about an object of a tenant.
pub async fn drifts(rig: &Rig, tenant: &str, name: &str) -> Result<Vec<Value>> {
    let list = rig.hub.json(&["get", "drift", "-t", tenant]).await?;
    let items = list["items"].as_array().context("no list of drift")?;
    Ok(items.iter().filter(|drift| drift["object"]["name"] == name).cloned().collect())
}

/// Waits until `get drift` has something about an object that `check` takes.
pub async fn until_drift(
    rig: &Rig,
    tenant: &str,
    name: &str,
    check: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let found = eventually(&format!("drift of {name}"), || async {
        Ok(drifts(rig, tenant, name).await?.into_iter().find(|drift| check(drift)))
    })
    .await;
    match found {
        Ok(drift) => Ok(drift),
        Err(error) => Err(error.context(format!("there is {:?}", drifts(rig, tenant, name).await?))),
    }
}

/// Waits until an App has so many objects that drifted and are not put right.
pub async fn until_standing(rig: &Rig, app: &str, count: u64) -> Result<()> {
    let reference = format!("app/{app}");
    let is = eventually(&format!("{count} drifted objects of {app}"), || async {
        Ok((rig.hub.describe(&reference).await?["drift"] == count).then_some(()))
    })
    .await;
    match is {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(format!("{:#}", rig.hub.describe(&reference).await?))),
    }
}

/// Has the spoke compare every object with what it shall be now, as it does by itself once a day.
pub async fn audit(rig: &Rig) -> Result<()> {
    rig.hub.cli_ok(&["reconcile", &format!("cluster/{CLUSTER}")]).await.map(drop)
}

/// The managers of all of an object's fields, those of the status left out.
pub fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let whole = entries.into_iter().flatten().filter(|entry| entry["subresource"] != "status");
    whole.filter_map(|entry| entry["manager"].as_str().map(str::to_owned)).collect()
}

/// Fails unless the objects at `paths` still have these UIDs.
pub async fn same_uids(rig: &Rig, paths: &[&str], before: &[String]) -> Result<()> {
    let now = rig.sites[0].uids(paths).await?;
    ensure!(now == before, "made again: {before:?}, now {now:?}");
    Ok(())
}
