//! Apps as Flux publishes its figures for: a ServiceAccount, a Service, a
//! Deployment without replicas and an Ingress each.

use anyhow::Result;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::generator::dynamic;

/// The objects of the `i`th App, without a namespace.
pub fn objects(i: usize) -> [Value; 4] {
    let name = format!("app-{i:04}");
    let labels = json!({"app": name});
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"serviceAccountName": name,
                "containers": [{"name": "web", "image": "registry.example.com/web:1"}]}}}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": {
            "rules": [{"host": format!("{name}.example.com"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
    ]
}

/// Those of `count` Apps, as the generator sends them: in the order of kinds that lets a Deployment find its account.
pub fn all(count: usize) -> Result<Vec<DynamicObject>> {
    let apps: Vec<[Value; 4]> = (0..count).map(objects).collect();
    (0..4).flat_map(|kind| apps.iter().map(move |app| dynamic(&app[kind]))).collect()
}
