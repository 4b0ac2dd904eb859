//! The bound: the same objects by bare server-side apply, as fast as one client
//! can send them, deciding nothing and remembering nothing. Asked as the spoke
//! asks: strict about fields, and for no more of the answer than its metadata.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};

/// Applies all of `objects` to `namespace` with `concurrency` requests under way; how long it took.
pub async fn generate(
    client: Client,
    namespace: &str,
    objects: &[ConfigMap],
    concurrency: usize,
) -> Result<Duration> {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let params = PatchParams::apply("generator").force().validation_strict();
    let start = Instant::now();
    stream::iter(objects)
        .map(|object| {
            let (api, params) = (&api, &params);
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
