//! Applies YAML as `kubectl apply --server-side` does, for the manifests that a
//! test puts into a cluster itself.

use anyhow::{Context, Result};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, oneshot};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;

/// Applies every document of `yaml` whose kind `wanted` accepts, in order.
pub async fn apply_yaml(client: &Client, yaml: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let value = Value::deserialize(document)?;
        let Some(kind) = value["kind"].as_str().filter(|kind| wanted(kind)) else { continue };
        let name = value["metadata"]["name"].as_str().context("a manifest without a name")?.to_owned();
        apply(client, &value).await.with_context(|| format!("{kind} {name}"))?;
    }
    Ok(())
}

async fn apply(client: &Client, value: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(value.clone())?;
    let types = object.types.clone().context("a manifest without apiVersion and kind")?;
    let (resource, capabilities) = oneshot::pinned_kind(client, &GroupVersionKind::try_from(&types)?).await?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    api.patch(&name, &PatchParams::apply("rimward-e2e").force(), &Patch::Apply(value)).await?;
    Ok(())
}
