//! What the demo looks at and changes in a cluster, as an admin would.

use anyhow::{Result, bail};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::rig::{Rig, Site, eventually};

fn config_maps(site: &Site, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(site.client(), namespace)
}

/// The value of `key` in a ConfigMap; none if either is missing.
pub async fn value(site: &Site, namespace: &str, name: &str, key: &str) -> Result<Option<String>> {
    let found = config_maps(site, namespace).get_opt(name).await?;
    Ok(found.and_then(|map| map.data).and_then(|mut data| data.remove(key)))
}

/// Waits until that value is `wanted` on every cluster; `None` = the ConfigMap is gone.
pub async fn until_everywhere(rig: &Rig, at: (&str, &str, &str), wanted: Option<&str>) -> Result<()> {
    try_join_all(rig.sites.iter().map(|site| until(site, at, wanted))).await.map(drop)
}

/// Waits until that value is `wanted` on one cluster.
pub async fn until(
    site: &Site,
    (namespace, name, key): (&str, &str, &str),
    wanted: Option<&str>,
) -> Result<()> {
    let what = format!("{namespace}/{name} {key} = {wanted:?} on {}", site.name);
    eventually(&what, || async {
        let found = value(site, namespace, name, key).await?;
        Ok((found.as_deref() == wanted).then_some(()))
    })
    .await
}

/// Changes a value as `kubectl edit` would.
pub async fn edit(site: &Site, (namespace, name, key): (&str, &str, &str), value: &str) -> Result<()> {
    let params = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let patch = json!({ "data": { key: value } });
    config_maps(site, namespace).patch(name, &params, &Patch::Merge(patch)).await?;
    Ok(())
}

/// UIDs and versions of these ConfigMaps on every cluster: the proof that nothing was written, or deleted and made again.
pub async fn versions(rig: &Rig, maps: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for site in &rig.sites {
        for (namespace, name) in maps {
            let metadata = config_maps(site, namespace).get(name).await?.metadata;
            let (Some(uid), Some(version)) = (metadata.uid, metadata.resource_version) else {
                bail!("{namespace}/{name} has no uid or version on {}", site.name);
            };
            all.push(format!("{namespace}/{name} {uid} {version}"));
        }
    }
    Ok(all)
}
