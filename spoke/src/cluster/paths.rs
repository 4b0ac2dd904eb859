//! URLs of the Kubernetes API. Names come from signed documents, but they are
//! text all the same: they are percent-encoded, so none can leave its place.

use std::fmt::Write;

/// One resource type, as discovery tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group, empty for core.
    pub group: String,
    /// Version, without the group.
    pub version: String,
    /// Plural name.
    pub plural: String,
}

impl Resource {
    /// A resource of a known API.
    pub fn new(group: &str, version: &str, plural: &str) -> Self {
        Self { group: group.into(), version: version.into(), plural: plural.into() }
    }

    /// Path of the collection, in `namespace` or, when it is empty, everywhere.
    pub fn collection(&self, namespace: &str) -> String {
        let (group, version) = (encode(&self.group), encode(&self.version));
        let mut path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        if !namespace.is_empty() {
            path = format!("{path}/namespaces/{}", encode(namespace));
        }
        format!("{path}/{}", encode(&self.plural))
    }

    /// Path of one object.
    pub fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), encode(name))
    }
}

/// `text` as one path segment or query value.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte.into()),
            // A lone "." or ".." would be a relative segment; in longer names the dot is harmless.
            b'.' if text.trim_matches('.').is_empty() => out.push_str("%2E"),
            b'.' => out.push('.'),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let deployments = Resource::new("apps", "v1", "deployments");
        assert_eq!(deployments.object("web", "a"), "/apis/apps/v1/namespaces/web/deployments/a");
        let namespaces = Resource::new("", "v1", "namespaces");
        assert_eq!(namespaces.object("", "web"), "/api/v1/namespaces/web");
        assert_eq!(namespaces.collection(""), "/api/v1/namespaces");
    }

    #[test]
    fn no_name_leaves_its_place() {
        let roles = Resource::new("rbac.authorization.k8s.io", "v1", "clusterroles");
        assert_eq!(
            roles.object("", "system:a/../b?x"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa%2F..%2Fb%3Fx"
        );
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode("a.b"), "a.b");
    }
}
