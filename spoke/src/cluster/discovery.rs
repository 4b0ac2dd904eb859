//! What the API server serves: two aggregated requests and its version, and the plural names
//! that URLs need. A group whose document is stale is reported as failed,
//! because its kinds are unknown, not absent.

use std::collections::BTreeMap;

use kube::client::{APIGroupDiscovery, APIVersionDiscovery};

use super::client::{Connection, Identity};
use super::paths::Resource;
use crate::core::discovery::{Discovery, Kind};

/// Plural names by (group, version, kind); the core does not know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plurals {
    map: BTreeMap<(String, String, String), String>,
}

impl Plurals {
    /// The resource of a kind, if it is served in this version.
    pub fn resource(&self, group: &str, version: &str, kind: &str) -> Option<Resource> {
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        self.map.get(&key).map(|plural| Resource::new(group, version, plural))
    }

    /// One kind alone.
    #[cfg(test)]
    pub fn of(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self { map: [((group.into(), version.into(), kind.into()), plural.into())].into() }
    }
}

/// Asks the API server, as the agent.
pub async fn discover(connection: &Connection) -> Result<(Discovery, Plurals), kube::Error> {
    let client = connection.client(&Identity::Agent);
    let (core, groups, version) = futures::try_join!(
        client.list_core_api_versions_aggregated(),
        client.list_api_groups_aggregated(),
        client.apiserver_version()
    )?;
    let (mut discovery, plurals) = collect(core.items.into_iter().chain(groups.items));
    discovery.version = version.git_version;
    Ok((discovery, plurals))
}

fn collect(groups: impl Iterator<Item = APIGroupDiscovery>) -> (Discovery, Plurals) {
    let mut discovery = Discovery::default();
    let mut plurals = Plurals::default();
    for group in groups {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            if version.freshness.as_deref() == Some("Stale") {
                discovery.failed.insert(name.clone());
            }
            add_version(&name, version, &mut discovery, &mut plurals);
        }
    }
    (discovery, plurals)
}

fn add_version(group: &str, version: APIVersionDiscovery, discovery: &mut Discovery, plurals: &mut Plurals) {
    let Some(name) = version.version else { return };
    for resource in version.resources {
        let kind = resource.response_kind.and_then(|kind| kind.kind).filter(|kind| !kind.is_empty());
        let (Some(kind), Some(plural)) = (kind, resource.resource) else { continue };
        // What cannot be patched cannot be applied: reviews, bindings, metrics.
        if !resource.verbs.iter().any(|verb| verb == "patch") {
            continue;
        }
        let namespaced = resource.scope.as_deref() == Some("Namespaced");
        let has_status = resource.subresources.iter().any(|sub| sub.subresource.as_deref() == Some("status"));
        let entry = discovery.kinds.entry((group.to_owned(), kind.clone()));
        let entry = entry.or_insert_with(|| Kind { namespaced, versions: Vec::new(), has_status: false });
        entry.has_status |= has_status;
        if !entry.versions.contains(&name) {
            entry.versions.push(name.clone());
        }
        plurals.map.entry((group.to_owned(), name.clone(), kind)).or_insert(plural);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn groups() -> Vec<APIGroupDiscovery> {
        let resource = |plural: &str, kind: &str, scope: &str, verbs: &[&str]| {
            json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind},
                "scope": scope, "verbs": verbs})
        };
        let all = ["get", "list", "watch", "patch"];
        let mut with_status = resource("hpas", "HPA", "Namespaced", &all);
        with_status["subresources"] = json!([{"subresource": "status", "verbs": ["get", "patch", "update"]}]);
        serde_json::from_value(json!([
            {"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                resource("configmaps", "ConfigMap", "Namespaced", &all),
                resource("bindings", "Binding", "Namespaced", &["create"])]}]},
            {"metadata": {"name": "autoscaling"}, "versions": [
                {"version": "v2", "resources": [resource("hpas", "HPA", "Namespaced", &all)]},
                {"version": "v1", "resources": [with_status]}]},
            {"metadata": {"name": "metrics.example"}, "versions": [
                {"version": "v1", "freshness": "Stale", "resources": []}]},
        ]))
        .unwrap()
    }

    #[test]
    fn kinds_versions_and_failed_groups() {
        let (discovery, plurals) = collect(groups().into_iter());
        assert!(discovery.kind("", "ConfigMap").unwrap().namespaced);
        assert!(!discovery.kind("", "ConfigMap").unwrap().has_status);
        assert!(discovery.kind("autoscaling", "HPA").unwrap().has_status, "in one of its versions");
        assert_eq!(discovery.kind("", "Binding"), None);
        assert_eq!(discovery.kind("autoscaling", "HPA").unwrap().versions, ["v2", "v1"]);
        assert!(discovery.failed.contains("metrics.example"));
        let path = plurals.resource("autoscaling", "v1", "HPA").unwrap().object("a", "b");
        assert_eq!(path, "/apis/autoscaling/v1/namespaces/a/hpas/b");
        assert_eq!(plurals.resource("", "v1", "Nothing"), None);
    }
}
