//! What stands between people and a cluster's API server: webhooks and policies,
//! registered as its admin would, and in force when the call returns.

use anyhow::{Result, bail};
use axum::http::Request;
use serde_json::{Value, json};

use super::{Site, eventually};
use crate::admission::{Kind, PROBE, Webhook};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

impl Site {
    /// Has the API server ask `webhook` about every ConfigMap that is made or changed in `namespace`, and wait
    /// `seconds` for the answer.
    pub async fn register(&self, webhook: &Webhook, kind: Kind, namespace: &str, seconds: u32) -> Result<()> {
        let path = format!("{GROUP}/{}/{namespace}", kind.plural());
        self.apply(&path, "admin", &webhook.configuration(kind, namespace, namespace, seconds)).await?;
        eventually("the webhook to be asked", || async {
            let before = webhook.probes();
            self.try_map(namespace, &probe(PROBE)).await?;
            Ok((webhook.probes() > before).then_some(()))
        })
        .await
    }

    /// Takes the webhook away again.
    pub async fn unregister(&self, webhook: &Webhook, kind: Kind, namespace: &str) -> Result<()> {
        self.delete(&format!("{GROUP}/{}/{namespace}", kind.plural())).await?;
        eventually("the webhook to be left out", || async {
            let before = webhook.probes();
            self.try_map(namespace, &probe(PROBE)).await?;
            Ok((webhook.probes() == before).then_some(()))
        })
        .await
    }

    /// Refuses ConfigMaps of `namespace` for which the CEL expression `allowed` is false, such as `refused`.
    pub async fn forbid_maps(&self, namespace: &str, allowed: &str, refused: &Value) -> Result<()> {
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": namespace},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                    "operations": ["CREATE", "UPDATE"],
                }]},
                "validations": [{"expression": allowed, "message": "not here"}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": {
                "policyName": namespace,
                "validationActions": ["Deny"],
                "matchResources": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                },
            },
        });
        self.apply(&policy_path(namespace), "admin", &policy).await?;
        self.apply(&binding_path(namespace), "admin", &binding).await?;
        eventually("the policy to be in force", || async {
            Ok((!self.try_map(namespace, refused).await?).then_some(()))
        })
        .await
    }

    /// Takes back what [`Site::forbid_maps`] refused.
    pub async fn allow_maps(&self, namespace: &str, refused: &Value) -> Result<()> {
        self.delete(&binding_path(namespace)).await?;
        self.delete(&policy_path(namespace)).await?;
        eventually("the policy to be gone", || async {
            Ok(self.try_map(namespace, refused).await?.then_some(()))
        })
        .await
    }

    /// Whether a ConfigMap could be made, without making it.
    async fn try_map(&self, namespace: &str, object: &Value) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(serde_json::to_vec(object)?)?;
        match self.client().request::<Value>(request).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if [403, 422].contains(&status.code) => Ok(false),
            Err(error) => bail!("a dry run of a ConfigMap in {namespace}: {error}"),
        }
    }
}

/// A ConfigMap to ask with.
fn probe(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn policy_path(name: &str) -> String {
    format!("{GROUP}/validatingadmissionpolicies/{name}")
}

fn binding_path(name: &str) -> String {
    format!("{GROUP}/validatingadmissionpolicybindings/{name}")
}
