//! In which order kinds are applied, and in reverse pruned: what others need
//! first. Kinds fall into waves; one wave is done, or has failed, before the
//! next begins. Within a wave the order is a courtesy.

use rimward_proto::ObjectKey;

/// Kinds whose place matters, each with its wave; everything else is in [`WAVE_REST`].
const WAVES: &[(&str, &str, u8)] = &[
    ("", "Namespace", 0),
    ("apiextensions.k8s.io", "CustomResourceDefinition", 0),
    ("scheduling.k8s.io", "PriorityClass", 1),
    ("storage.k8s.io", "StorageClass", 1),
    ("", "ServiceAccount", 1),
    ("rbac.authorization.k8s.io", "ClusterRole", 1),
    ("rbac.authorization.k8s.io", "Role", 1),
    ("", "ResourceQuota", 1),
    ("", "LimitRange", 1),
    ("", "ConfigMap", 2),
    ("", "Secret", 2),
    ("", "PersistentVolume", 2),
    ("", "PersistentVolumeClaim", 2),
    ("", "Service", 2),
    ("networking.k8s.io", "NetworkPolicy", 2),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", 2),
    ("rbac.authorization.k8s.io", "RoleBinding", 2),
    ("apps", "Deployment", 3),
    ("apps", "StatefulSet", 3),
    ("apps", "DaemonSet", 3),
    ("apps", "ReplicaSet", 3),
    ("batch", "Job", 3),
    ("batch", "CronJob", 3),
    ("", "Pod", 3),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", 5),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", 5),
    ("apiregistration.k8s.io", "APIService", 5),
];

/// The wave of custom resources and whatever else is not in the table: after the workloads that may be their
/// operators, so that in reverse they go before their operators and definitions.
const WAVE_REST: u8 = 4;

/// The last wave.
const WAVE_LAST: u8 = 5;

/// A place in the queue: applies come before prunes, then by wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(u8);

impl Rank {
    /// Namespaces and definitions: what objects of any App may need to exist first.
    pub const OPENING: Self = Self(0);
}

/// When an object of this key is applied.
pub fn apply_rank(key: &ObjectKey) -> Rank {
    Rank(wave(key))
}

/// When it is pruned: after all applies, in reverse.
pub fn prune_rank(key: &ObjectKey) -> Rank {
    Rank(WAVE_LAST + 1 + (WAVE_LAST - wave(key)))
}

fn wave(key: &ObjectKey) -> u8 {
    let found = WAVES.iter().find(|(group, kind, _)| *group == key.group && *kind == key.kind);
    found.map_or(WAVE_REST, |(_, _, wave)| *wave)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, kind: &str) -> ObjectKey {
        ObjectKey::new(group, kind, "a", "a")
    }

    #[test]
    fn applied_in_order_and_pruned_in_reverse() {
        let kinds = [
            key("apiextensions.k8s.io", "CustomResourceDefinition"),
            key("", "ServiceAccount"),
            key("", "ConfigMap"),
            key("apps", "Deployment"),
            key("example.com", "Thing"),
            key("apiregistration.k8s.io", "APIService"),
        ];
        assert!(kinds.is_sorted_by(|a, b| apply_rank(a) < apply_rank(b)));
        assert!(kinds.iter().rev().is_sorted_by(|a, b| prune_rank(a) < prune_rank(b)));
        assert!(prune_rank(&kinds[5]) > apply_rank(&kinds[5]));
    }
}
