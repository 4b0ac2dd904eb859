//! The bound: the same objects by bare server-side apply, as fast as one client
//! can send them, deciding nothing and remembering nothing. Asked as the spoke
//! asks: strict about fields, and for no more of the answer than its metadata.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    ApiResource, DynamicObject, GroupVersionKind, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::{Api, Client};
use serde::Serialize;

/// An object in the form the generator sends.
pub fn dynamic<T: Serialize>(object: &T) -> Result<DynamicObject> {
    Ok(serde_json::from_value(serde_json::to_value(object)?)?)
}

/// Makes a namespace.
pub async fn namespace(client: Client, name: &str) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    let namespace = Namespace { metadata, ..Default::default() };
    Api::<Namespace>::all(client).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

/// Applies all of `objects` to `namespace` with `concurrency` requests under way; how long it took.
pub async fn generate(
    client: &Client,
    namespace: &str,
    objects: &[DynamicObject],
    concurrency: usize,
) -> Result<Duration> {
    let params = PatchParams::apply("generator").force().validation_strict();
    let calls: Vec<(Api<DynamicObject>, &DynamicObject)> = objects
        .iter()
        .map(|object| Ok((api_of(client, namespace, object)?, object)))
        .collect::<Result<_>>()?;
    let start = Instant::now();
    stream::iter(calls)
        .map(|(api, object)| {
            let params = &params;
            async move {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                api.patch_metadata(name, params, &Patch::Apply(object)).await.map(drop)
            }
        })
        .buffer_unordered(concurrency)
        .try_collect::<()>()
        .await?;
    Ok(start.elapsed())
}

/// The same, until a watch has shown `deployments` Deployments to be available too.
pub async fn generate_ready(
    client: &Client,
    namespace: &str,
    objects: &[DynamicObject],
    concurrency: usize,
    deployments: usize,
) -> Result<Duration> {
    let start = Instant::now();
    let ready = tokio::spawn(available(Api::namespaced(client.clone(), namespace), deployments));
    generate(client, namespace, objects, concurrency).await?;
    ready.await??;
    Ok(start.elapsed())
}

/// Waits until this many Deployments of a namespace that was empty are as they shall be.
async fn available(api: Api<Deployment>, count: usize) -> Result<()> {
    let mut found = std::collections::BTreeSet::new();
    let mut stream = api.watch(&WatchParams::default(), "0").await?.boxed();
    while found.len() < count {
        let event = stream.try_next().await?.context("the watch ended")?;
        if let WatchEvent::Added(deployment) | WatchEvent::Modified(deployment) = event
            && is_available(&deployment)
        {
            found.extend(deployment.metadata.name);
        }
    }
    Ok(())
}

fn is_available(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let condition = |condition: &k8s_openapi::api::apps::v1::DeploymentCondition| {
        condition.type_ == "Available" && condition.status == "True"
    };
    status.observed_generation >= deployment.metadata.generation
        && status.conditions.iter().flatten().any(condition)
}

fn api_of(client: &Client, namespace: &str, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("an object without a kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}
