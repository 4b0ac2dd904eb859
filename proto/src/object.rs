//! Kubernetes objects as the fleet sees them: a key that says which object, and
//! canonical bytes that say what it should be.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Which object: group, kind, namespace, name. The version is not part of it, because one object is served under
/// several. An empty namespace means cluster-scoped.
///
/// A key is shared, not copied: a clone costs a count, so that every table of a spoke with 10,000 objects can have it.
/// The order is that of the parts, found by one comparison: of 10,000 objects of one kind in one namespace it is the
/// names that differ.
#[derive(Debug, Clone)]
pub struct ObjectKey(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: KeyParts,
    /// The parts in their order, each but the last followed by a byte that sorts before all others and is in no name.
    joined: Box<[u8]>,
}

/// What an [`ObjectKey`] says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyParts {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind, as in `Deployment`.
    pub kind: String,
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Deref for ObjectKey {
    type Target = KeyParts;
    fn deref(&self) -> &KeyParts {
        &self.0.parts
    }
}

impl From<KeyParts> for ObjectKey {
    fn from(parts: KeyParts) -> Self {
        let KeyParts { group, kind, namespace, name } = &parts;
        let joined = [group.as_bytes(), kind.as_bytes(), namespace.as_bytes(), name.as_bytes()].join(&0);
        Self(Arc::new(Inner { joined: joined.into(), parts }))
    }
}

impl PartialEq for ObjectKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ObjectKey {}

impl Hash for ObjectKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.joined.hash(state);
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        // Whatever somebody puts into a part, two keys are one only if all parts are.
        self.0.joined.cmp(&other.0.joined).then_with(|| self.0.parts.cmp(&other.0.parts))
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KeyParts::deserialize(deserializer).map(Self::from)
    }
}

impl ObjectKey {
    /// The key of these parts.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        let (group, kind, namespace, name) = (group.into(), kind.into(), namespace.into(), name.into());
        Self::from(KeyParts { group, kind, namespace, name })
    }

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
    use super::{ObjectKey, is_kind};

    #[test]
    fn the_order_is_that_of_the_parts() {
        let parts = ["", "a", "a.b", "ab", "a\0", "b"];
        let keys = || {
            let all = parts.iter().flat_map(|a| parts.iter().map(move |b| (*a, *b)));
            all.flat_map(|(a, b)| [ObjectKey::new(a, "K", b, "n"), ObjectKey::new("", a, "n", b)])
        };
        for one in keys() {
            for other in keys() {
                assert_eq!(one == other, *one == *other, "{one:?} {other:?}");
                let odd =
                    [&one, &other].iter().any(|key| key.0.joined.iter().filter(|b| **b == 0).count() > 3);
                if !odd {
                    assert_eq!(one.cmp(&other), (*one).cmp(&*other), "{one:?} {other:?}");
                }
                assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
            }
        }
    }

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
