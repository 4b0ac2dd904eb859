//! The second look at what a plan lets tenants do, just before it is signed. It
//! shares nothing with planning but the types: the lists and the reading of
//! patterns are written here again, so that one mistake does not pass twice.
//! What a cluster has already is not looked at again; of what is new, each
//! bundle once for each scope.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::{Plan, PlanBundle};
use rimward_proto::{AppId, ClusterName, Digest, ObjectKey, TenantName, canonical};
use serde_json::json;

use crate::core::model::Tenant;

/// Kinds of the cluster that name no namespace, whatever the object says: an API server drops it without a word.
const OF_THE_CLUSTER: &[(&str, &str)] = &[
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("authentication.k8s.io", "SelfSubjectReview"),
    ("authentication.k8s.io", "TokenReview"),
    ("authorization.k8s.io", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "SubjectAccessReview"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
];

/// Kinds in namespaces that reach beyond them, or change what was set for them.
const NEVER_BY_DEFAULT: &[(&str, &str)] = &[
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "ResourceQuota"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];

/// A change that is not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Clusters that would have got it.
    pub clusters: Vec<ClusterName>,
    /// The App it is about.
    pub app: AppId,
    /// What is wrong with it; names keys, never values.
    pub why: String,
}

/// What was found right before, so that it is not looked at again.
#[derive(Debug, Default)]
pub struct Inspector {
    /// Bundles, each with the scope it was right in.
    right: HashSet<(Digest, Digest)>,
    /// Bundles looked at so far.
    pub looked_at: u64,
}

/// What plans are held against.
pub struct Evidence<'a> {
    /// The tenants' documents.
    pub tenants: &'a BTreeMap<TenantName, Tenant>,
    /// The plans in force.
    pub before: &'a BTreeMap<ClusterName, Arc<Plan>>,
    /// The plans to be signed.
    pub plans: &'a BTreeMap<ClusterName, Arc<Plan>>,
    /// The exact bytes of a bundle's index, if they are known.
    pub index: &'a dyn Fn(&Digest) -> Option<Arc<[u8]>>,
}

impl Inspector {
    /// Everything that must not be signed, by cluster.
    pub fn inspect(&mut self, evidence: &Evidence<'_>) -> Vec<Refused> {
        let mut pairs: HashMap<(Option<*const Plan>, *const Plan), Option<usize>> = HashMap::new();
        let mut refused: Vec<Refused> = Vec::new();
        for (cluster, plan) in evidence.plans {
            let before = evidence.before.get(cluster);
            if before.is_some_and(|before| Arc::ptr_eq(before, plan)) {
                continue;
            }
            let pair = (before.map(Arc::as_ptr), Arc::as_ptr(plan));
            let found = *pairs.entry(pair).or_insert_with(|| {
                let (app, why) = self.wrong(plan, before.map(Arc::as_ref), evidence)?;
                refused.push(Refused { clusters: Vec::new(), app, why });
                Some(refused.len() - 1)
            });
            if let Some(number) = found {
                refused[number].clusters.push(cluster.clone());
            }
        }
        if !pairs.is_empty() {
            let plans = evidence.plans.values().map(|plan| (Arc::as_ptr(plan), plan));
            let bundles: HashSet<Digest> = plans
                .collect::<BTreeMap<_, _>>()
                .into_values()
                .flat_map(|plan| plan.bundles.iter().map(|bundle| bundle.digest))
                .collect();
            self.right.retain(|(bundle, _)| bundles.contains(bundle));
        }
        refused
    }

    /// The first new entry of a plan that is wrong.
    fn wrong(
        &mut self,
        plan: &Plan,
        before: Option<&Plan>,
        evidence: &Evidence<'_>,
    ) -> Option<(AppId, String)> {
        let had = |entry: &PlanBundle| {
            let bundles = before.map_or(&[][..], |plan| &plan.bundles);
            let key = (&entry.tenant, &entry.app);
            let at = bundles.binary_search_by(|had| (&had.tenant, &had.app).cmp(&key));
            at.is_ok_and(|at| same_rights(&bundles[at], entry))
        };
        plan.bundles.iter().filter(|entry| !had(entry)).find_map(|entry| {
            let why = self.entry(entry, evidence).err()?;
            Some((entry.id(), why))
        })
    }

    fn entry(&mut self, entry: &PlanBundle, evidence: &Evidence<'_>) -> Result<(), String> {
        let tenant = evidence.tenants.get(&entry.tenant);
        let tenant = tenant.ok_or_else(|| format!("tenant {} has no document", entry.tenant))?;
        let scope = scope(entry, tenant);
        if self.right.contains(&(entry.digest, scope)) {
            return Ok(());
        }
        self.looked_at += 1;
        within(entry, tenant)?;
        let bytes = (evidence.index)(&entry.digest).ok_or("its index is not at hand")?;
        if Digest::of(&bytes) != entry.digest {
            return Err("its index is not what the digest says".to_owned());
        }
        let index = BundleIndex::parse(&bytes).map_err(|error| format!("its index is wrong: {error}"))?;
        if (index.entries().len() as u64, index.total_bytes()) != (entry.objects, entry.bytes) {
            return Err("its index is of another size than the plan says".to_owned());
        }
        index.entries().iter().try_for_each(|object| may_have(entry, &object.key))?;
        self.right.insert((entry.digest, scope));
        Ok(())
    }
}

/// What was signed for a cluster once gives no new right there.
fn same_rights(a: &PlanBundle, b: &PlanBundle) -> bool {
    a.digest == b.digest
        && (&a.service_account, &a.role) == (&b.service_account, &b.role)
        && (&a.namespaces, &a.allow, &a.deny) == (&b.namespaces, &b.allow, &b.deny)
}

/// Names everything that the answer depends on, apart from the bundle.
fn scope(entry: &PlanBundle, tenant: &Tenant) -> Digest {
    let said = json!([entry.tenant, entry.objects, entry.bytes, entry.service_account, entry.role]);
    let lists = json!([entry.namespaces, entry.allow, entry.deny]);
    let document = json!([tenant.service_account, tenant.role, tenant.namespaces, tenant.allow, tenant.deny]);
    Digest::of(&canonical::value_to_bytes(&json!([said, lists, document])))
}

/// Whether an entry lets its App do no more than the tenant's document says.
fn within(entry: &PlanBundle, tenant: &Tenant) -> Result<(), String> {
    let account = match &tenant.service_account {
        Some(own) => entry.service_account == *own && entry.role.is_none(),
        None => {
            let ours = format!("rimward-tenants/{}", tenant.name);
            entry.service_account == ours && entry.role.as_ref() == Some(&tenant.role)
        }
    };
    if !account {
        return Err(format!("account {} is not the tenant's", entry.service_account));
    }
    let named = |namespace: &&String| !tenant.namespaces.iter().any(|wide| namespace_covers(wide, namespace));
    if let Some(namespace) = entry.namespaces.iter().find(named) {
        return Err(format!("namespace {namespace} is not the tenant's"));
    }
    let more = |kind: &&String| !tenant.allow.iter().any(|wide| kind_covers(wide, kind));
    if let Some(kind) = entry.allow.iter().find(more) {
        return Err(format!("{kind} is allowed, and not by the tenant's document"));
    }
    let less = |kind: &&String| !entry.deny.iter().any(|wide| kind_covers(wide, kind));
    match tenant.deny.iter().find(less) {
        Some(kind) => Err(format!("{kind} is denied by the tenant's document, and not in the plan")),
        None => Ok(()),
    }
}

/// Whether an App with the rights of this entry may have an object.
fn may_have(entry: &PlanBundle, key: &ObjectKey) -> Result<(), String> {
    let kind = if key.group.is_empty() { key.kind.clone() } else { format!("{}.{}", key.kind, key.group) };
    let listed = |list: &[String]| list.iter().any(|pattern| kind_covers(pattern, &kind));
    let allowed = listed(&entry.allow);
    if listed(&entry.deny) {
        return Err(format!("{key}: the kind is denied to the tenant"));
    }
    let one_of = |list: &[(&str, &str)]| list.contains(&(key.group.as_str(), key.kind.as_str()));
    let of_the_cluster = one_of(OF_THE_CLUSTER);
    if key.namespace.is_empty() || of_the_cluster {
        return match () {
            () if !key.namespace.is_empty() => Err(format!("{key}: the kind has no namespace")),
            () if !allowed => Err(format!("{key}: the tenant may not have it, it is the cluster's")),
            () if entry.role.is_some() => Err(format!("{key}: a bound role is for namespaces only")),
            () => Ok(()),
        };
    }
    if !entry.namespaces.iter().any(|pattern| namespace_covers(pattern, &key.namespace)) {
        return Err(format!("{key}: the namespace is not the tenant's"));
    }
    let reserved = key.namespace.starts_with("kube-") || key.namespace.starts_with("rimward-");
    if reserved && !entry.allow.iter().any(|pattern| pattern == "*") {
        return Err(format!("{key}: the namespace is the platform's"));
    }
    if one_of(NEVER_BY_DEFAULT) && !allowed {
        return Err(format!("{key}: the kind is denied to tenants by default"));
    }
    Ok(())
}

/// True if everything that `narrow` means, a namespace or the beginning of some, is meant by `wide` too.
fn namespace_covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_suffix('*') {
        Some(beginning) => narrow.strip_suffix('*').unwrap_or(narrow).starts_with(beginning),
        None => wide == narrow,
    }
}

/// True if every kind that `narrow` means is meant by `wide` too. A kind without a group means that kind in all groups.
fn kind_covers(wide: &str, narrow: &str) -> bool {
    wide == "*" || wide == narrow || narrow.split_once('.').is_some_and(|(kind, _)| kind == wide)
}

#[cfg(test)]
mod tests;
