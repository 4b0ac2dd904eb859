//! Server-side apply of a few documents to the cluster of a kubeconfig context,
//! with the rights of whoever runs the command.

use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::tenant_roles;

/// The field manager of what is installed; the spoke's own is another.
const MANAGER: &str = "rimward-enroll";

/// A cluster to install on.
pub struct Cluster {
    client: Client,
    context: String,
    uid: String,
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Result<Vec<Value>, Failure> {
    let parsed: Result<Vec<Value>, _> =
        serde_yaml::Deserializer::from_str(text).map(Value::deserialize).collect();
    parsed.map_err(|error| Failure::new(Exit::Bug, format!("a built-in manifest is not YAML: {error}")))
}

impl Cluster {
    /// Connects to the cluster of a context, and finds out which cluster that is.
    pub async fn connect(context: &str, timeout: Duration) -> Result<Self, Failure> {
        let kubeconfig =
            Kubeconfig::read().map_err(|error| Failure::usage(format!("kubeconfig: {error}")))?;
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| Failure::usage(format!("kubeconfig context {context}: {error}")))?;
        config.connect_timeout = Some(timeout);
        config.read_timeout = Some(timeout);
        let client = Client::try_from(config)
            .map_err(|error| Failure::usage(format!("kubeconfig context {context}: {error}")))?;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        let system =
            namespaces.get("kube-system").await.map_err(|error| failure(context, "kube-system", &error))?;
        let uid = system.metadata.uid.unwrap_or_default();
        Ok(Self { client, context: context.to_owned(), uid })
    }

    /// UID of the kube-system namespace: which cluster this is.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Applies each document of a YAML text; lines of what was done.
    pub async fn apply(&self, manifest: &str) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for document in documents(manifest)? {
            lines.extend(self.apply_one(document).await?);
        }
        Ok(lines)
    }

    async fn apply_one(&self, mut document: Value) -> Result<Vec<String>, Failure> {
        let object: DynamicObject = serde_json::from_value(document.clone())
            .map_err(|error| Failure::new(Exit::Bug, format!("a built-in manifest is no object: {error}")))?;
        let types = object.types.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let shown = match &object.metadata.namespace {
            Some(namespace) => format!("{}/{namespace}/{name}", types.kind),
            None => format!("{}/{name}", types.kind),
        };
        let failed = |error: kube::Error| failure(&self.context, &shown, &error);
        let gvk = GroupVersionKind::try_from(&types)
            .map_err(|error| Failure::new(Exit::Bug, format!("a built-in manifest: {error}")))?;
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk).await.map_err(failed)?;
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut lines = vec![format!("{shown} applied")];
        if types.kind == "ClusterRole" {
            let present = api.get_opt(&name).await.map_err(failed)?.map(|present| present.data);
            let kept = tenant_roles::keep(&mut document, &present.unwrap_or_default());
            if !kept.is_empty() {
                lines.push(format!("{shown} keeps the tenants' roles that were added: {}", kept.join(", ")));
            }
        }
        let params = PatchParams::apply(MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&document)).await.map_err(failed)?;
        Ok(lines)
    }
}

/// What the API server said. Only its own words on a refusal: an error that carries a request could carry the token.
fn failure(context: &str, what: &str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => {
            let exit = match status.code {
                401 | 403 => Exit::Forbidden,
                404 => Exit::NotFound,
                409 => Exit::Conflict,
                _ => Exit::No,
            };
            Failure::new(exit, format!("{context}: {what}: {}", status.message))
        }
        other => Failure::new(Exit::Unreachable, format!("{context}: {what}: {other}")),
    }
}
