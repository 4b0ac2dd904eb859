//! What a tenant may put where: the one choke point every rendered object passes
//! just before the plan. Rules only ever take away: no order of them, and no
//! further rule, lets through what another one stops.

pub mod classes;
pub mod rules;

use rimward_proto::ObjectKey;
use rimward_proto::ids::is_dns_label;
use rimward_proto::object::is_kind;

use super::codes;
use super::model::Tenant;
use super::note::Note;
use super::scope::{Scope, built_in, built_in_groups, built_in_kinds};
use crate::render::RenderedObject;

pub use self::rules::VOCABULARY;

/// Groups and kinds that tenants may not have unless their `objects.allow` names them: with each one could reach
/// beyond one's own namespaces or change what the platform team set. Everything cluster-scoped comes on top.
const DENIED: &[(&str, &[&str])] = &[
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    ("", &["Endpoints", "LimitRange", "ResourceQuota"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
];

/// The type of Secrets that make the API server issue a token.
const TOKEN_SECRET: &str = "kubernetes.io/service-account-token";

/// Namespaces of the cluster's own machinery and ours.
const RESERVED: [&str; 2] = ["kube-", "rimward-"];

fn platform(tenant: &Tenant) -> bool {
    tenant.allow.iter().any(|kind| kind == "*")
}

/// True if `namespace` matches `pattern`, in which a trailing `*` matches the rest.
pub fn matches_namespace(pattern: &str, namespace: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => namespace.starts_with(prefix),
        None => pattern == namespace,
    }
}

/// Whether the tenant may use a namespace; if not, why.
pub fn namespace_allowed(tenant: &Tenant, namespace: &str) -> Result<(), String> {
    if !is_dns_label(namespace, 63) {
        return Err(format!("{namespace:?} is not a namespace's name"));
    }
    if !tenant.namespaces.iter().any(|pattern| matches_namespace(pattern, namespace)) {
        return Err(format!("namespace `{namespace}` is not one of tenant {}", tenant.name));
    }
    let reserved = RESERVED.iter().any(|prefix| namespace.starts_with(prefix));
    if reserved && !platform(tenant) {
        return Err(format!("namespace `{namespace}` is reserved"));
    }
    Ok(())
}

/// Whether `allow` lets in anything cluster-scoped, as far as the table of built-in kinds tells.
pub fn may_have_cluster_scoped(allow: &[String]) -> bool {
    let cluster_scoped = |pattern: &String, group: &str| {
        let mut kinds = built_in_kinds(Some(group));
        kinds.any(|kind| is_kind(pattern, group, kind) && built_in(group, kind) == Some(Scope::Cluster))
    };
    allow.iter().any(|pattern| built_in_groups().any(|group| cluster_scoped(pattern, group)))
}

/// Whether the tenant may have objects of this kind and scope; if not, the code and why.
pub fn kind_allowed(tenant: &Tenant, key: &ObjectKey, scope: Scope) -> Result<(), (&'static str, String)> {
    let kind = key.group_kind();
    let named = |list: &[String]| list.iter().any(|pattern| is_kind(pattern, &key.group, &key.kind));
    if named(&tenant.deny) {
        return Err((codes::DENIED, format!("{kind} is denied to tenant {}", tenant.name)));
    }
    let allowed = named(&tenant.allow);
    if scope == Scope::Cluster && !allowed {
        let message = format!("{kind} is cluster-scoped, and tenant {} may not have it", tenant.name);
        return Err((codes::CLUSTER_SCOPED, message));
    }
    if scope == Scope::Cluster && tenant.service_account.is_none() {
        let message = format!("{kind} is cluster-scoped: tenant {} needs its own account", tenant.name);
        return Err((codes::CLUSTER_SCOPED, message));
    }
    let denied =
        DENIED.iter().any(|(group, kinds)| *group == key.group && kinds.contains(&key.kind.as_str()));
    if denied && !allowed {
        return Err((codes::DENIED, format!("{kind} is denied to tenants by default")));
    }
    Ok(())
}

/// Everything that speaks against an object of this tenant.
pub fn check(tenant: &Tenant, object: &RenderedObject) -> Vec<Note> {
    let key = &object.key;
    let mut notes = Vec::new();
    let scope = if key.namespace.is_empty() { Scope::Cluster } else { Scope::Namespaced };
    if let Err((code, reason)) = kind_allowed(tenant, key, scope) {
        let help = match code {
            codes::CLUSTER_SCOPED => "cluster-scoped objects belong to a platform tenant",
            _ => "the platform team can add it to the tenant's `objects.allow`",
        };
        notes.push(Note::error(code, object.at.clone(), format!("{key}: {reason}")).help(help));
    }
    if scope == Scope::Namespaced
        && let Err(reason) = namespace_allowed(tenant, &key.namespace)
    {
        let help = format!("namespaces of tenant {}: {}", tenant.name, tenant.namespaces.join(", "));
        notes.push(Note::error(codes::NAMESPACE, object.at.clone(), format!("{key}: {reason}")).help(help));
    }
    let token = object.secret_type.as_deref() == Some(TOKEN_SECRET);
    if token && !platform(tenant) && !tenant.allow.iter().any(|kind| is_kind(kind, "", "Secret")) {
        let message = format!("{key}: service-account token Secrets are denied to tenants by default");
        let note = Note::error(codes::DENIED, object.at.clone(), message);
        notes.push(note.help("let pods use their projected token instead"));
    }
    notes
}
