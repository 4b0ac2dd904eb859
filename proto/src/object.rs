//! Kubernetes objects as the fleet sees them: a key that says which object, and
//! canonical bytes that say what it should be.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which object: group, kind, namespace, name. The version is not part of it, because one object is served under
/// several. An empty namespace means cluster-scoped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind, as in `Deployment`.
    pub kind: String,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The kind as people write it: `Deployment.apps`, or `Secret` for the core group.
    pub fn group_kind(&self) -> String {
        group_kind(&self.group, &self.kind)
    }

    /// True for objects whose values are told to nobody.
    pub fn is_secret(&self) -> bool {
        is_secret(&self.group, &self.kind)
    }
}

/// True for the kind whose values are told to nobody: the core group's `Secret`.
pub fn is_secret(group: &str, kind: &str) -> bool {
    (group, kind) == ("", "Secret")
}

/// A kind as people write it: `Deployment.apps`, or `Secret` for the core group.
pub fn group_kind(group: &str, kind: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

/// The text of an object's annotation.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// True if `pattern`, as people write it (`Kind.group`, a bare `Kind` for any group, or `*`), means this kind. The one
/// reading of lists of kinds, so that hub and spoke allow, deny and protect the same.
pub fn is_kind(pattern: &str, group: &str, kind: &str) -> bool {
    if pattern == "*" || pattern == kind {
        return true;
    }
    pattern.strip_prefix(kind).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| rest == group)
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.group_kind())?;
        if !self.namespace.is_empty() {
            write!(f, "/{}", self.namespace)?;
        }
        write!(f, "/{}", self.name)
    }
}

/// The label that says which tenant an object belongs to.
pub const TENANT_LABEL: &str = "rimward.dev/tenant";
/// The label that says which App an object belongs to.
pub const APP_LABEL: &str = "rimward.dev/app";
/// The annotation whose value `"false"` keeps an object where pruning would delete it.
pub const PRUNE_ANNOTATION: &str = "rimward.dev/prune";
/// The annotation whose value `"true"` lets an object be deleted and made again where a field that differs is immutable.
pub const REPLACE_ANNOTATION: &str = "rimward.dev/replace";
/// The one field manager of everything a spoke applies.
pub const FIELD_MANAGER: &str = "rimward";
/// The namespace on each cluster that holds the tenants' ServiceAccounts.
pub const TENANTS_NAMESPACE: &str = "rimward-tenants";

#[cfg(test)]
mod tests {
    use super::is_kind;

    #[test]
    fn kinds_as_people_write_them() {
        assert!(is_kind("*", "a", "B") && is_kind("Secret", "", "Secret") && is_kind("Role", "a.b", "Role"));
        assert!(is_kind("Deployment.apps", "apps", "Deployment"));
        for pattern in
            ["Deployment.app", "Deployment.apps.x", "Deploymentapps", "deployment", "", "Deployment."]
        {
            assert!(!is_kind(pattern, "apps", "Deployment"), "{pattern}");
        }
    }
}
