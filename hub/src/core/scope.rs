//! Whether a kind is namespaced: a table of Kubernetes' own kinds, and the CRDs
//! that the fleet itself installs. What is in neither is unknown, and waits: an
//! API server silently drops the namespace of a cluster-scoped object.

use std::collections::BTreeMap;

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// Scopes of custom kinds by (group, kind). `None`: the fleet's CRDs do not agree.
pub type CrdScopes = BTreeMap<(String, String), Option<Scope>>;

/// (group, kinds in namespaces, kinds of the cluster), all versions Kubernetes serves or served lately.
const BUILT_IN: &[(&str, &[&str], &[&str])] = &[
    (
        "",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
        &["ComponentStatus", "Namespace", "Node", "PersistentVolume"],
    ),
    (
        "admissionregistration.k8s.io",
        &[],
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &[], &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &[], &["APIService"]),
    ("apps", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"], &[]),
    ("authentication.k8s.io", &[], &["SelfSubjectReview", "TokenReview"]),
    (
        "authorization.k8s.io",
        &["LocalSubjectAccessReview"],
        &["SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"],
    ),
    ("autoscaling", &["HorizontalPodAutoscaler"], &[]),
    ("batch", &["CronJob", "Job"], &[]),
    ("certificates.k8s.io", &["PodCertificateRequest"], &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("coordination.k8s.io", &["Lease", "LeaseCandidate"], &[]),
    ("discovery.k8s.io", &["EndpointSlice"], &[]),
    ("events.k8s.io", &["Event"], &[]),
    ("flowcontrol.apiserver.k8s.io", &[], &["FlowSchema", "PriorityLevelConfiguration"]),
    ("internal.apiserver.k8s.io", &[], &["StorageVersion"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"], &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &[], &["RuntimeClass"]),
    ("policy", &["PodDisruptionBudget"], &[]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"], &["ClusterRole", "ClusterRoleBinding"]),
    (
        "resource.k8s.io",
        &["ResourceClaim", "ResourceClaimTemplate"],
        &["DeviceClass", "DeviceTaintRule", "ResourceSlice"],
    ),
    ("scheduling.k8s.io", &[], &["PriorityClass"]),
    (
        "storage.k8s.io",
        &["CSIStorageCapacity"],
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
    ("storagemigration.k8s.io", &[], &["StorageVersionMigration"]),
];

/// The scope of a kind of Kubernetes itself; `None` if it is not one.
pub fn built_in(group: &str, kind: &str) -> Option<Scope> {
    let (_, namespaced, cluster) = BUILT_IN.iter().find(|(name, ..)| *name == group)?;
    if namespaced.contains(&kind) {
        Some(Scope::Namespaced)
    } else {
        cluster.contains(&kind).then_some(Scope::Cluster)
    }
}

/// The groups of Kubernetes itself, the core group without a name first.
pub fn built_in_groups() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(group, ..)| *group)
}

/// The kinds of Kubernetes itself: those of a group, or all.
pub fn built_in_kinds(group: Option<&str>) -> impl Iterator<Item = &'static str> {
    let groups = BUILT_IN.iter().filter(move |(name, ..)| group.is_none_or(|group| group == *name));
    groups.flat_map(|(_, namespaced, cluster)| namespaced.iter().chain(*cluster).copied())
}

/// The scope of any kind, as far as it is known.
pub fn scope(group: &str, kind: &str, crds: &CrdScopes) -> Option<Scope> {
    built_in(group, kind).or_else(|| *crds.get(&(group.to_owned(), kind.to_owned()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_kubernetes() {
        assert_eq!(built_in("apps", "Deployment"), Some(Scope::Namespaced));
        assert_eq!(built_in("", "Namespace"), Some(Scope::Cluster));
        assert_eq!(built_in("", "Deployment"), None);
        assert!(BUILT_IN.is_sorted_by_key(|(group, ..)| *group));
    }

    #[test]
    fn a_crd_never_overrides_the_table() {
        let crds = CrdScopes::from([
            ((String::new(), "Namespace".to_owned()), Some(Scope::Namespaced)),
            (("a.b".to_owned(), "Thing".to_owned()), Some(Scope::Cluster)),
            (("a.b".to_owned(), "Both".to_owned()), None),
        ]);
        assert_eq!(scope("", "Namespace", &crds), Some(Scope::Cluster));
        assert_eq!(scope("a.b", "Thing", &crds), Some(Scope::Cluster));
        assert_eq!(scope("a.b", "Both", &crds), None);
        assert_eq!(scope("a.b", "Other", &crds), None);
    }
}
