//! The `Tenant` document of the fleet repo.

use std::collections::BTreeMap;

use rimward_proto::TenantName;
use rimward_proto::ids::is_dns_label;
use rimward_proto::plan::{DriftMode, Takeover};

use super::check::{Check, Shape};
use super::fleet::deletion;
use super::kinds::kinds;
use super::options::{DRIFT_MODES, TAKEOVERS, ceiling};
use super::selector::selector;
use super::source::source;
use super::{DOCUMENT, NAMED};
use crate::core::codes;
use crate::core::guardrails::may_have_cluster_scoped;
use crate::core::model::{Limits, Quota, SourceSpec, Tenant};
use crate::core::note::Position;
use crate::core::yaml::{Mark, Node};

const SPEC: Shape = Shape {
    known: &["sources", "clusters", "namespaces", "role", "serviceAccount", "objects", "limits", "quota"],
    later: &[],
};
const OBJECTS: Shape = Shape { known: &["allow", "deny"], later: &[] };
// Plain YAML takes no time worth a limit; what runs a program to render is not built yet.
const QUOTA: Shape = Shape { known: &["objects", "bytes"], later: &["renderTime"] };
const LIMITS: Shape = Shape { known: &["drift", "takeover", "deletion"], later: &["rollouts"] };

/// ClusterRole bound in a tenant's namespaces when it does not say.
const DEFAULT_ROLE: &str = "edit";
/// What its Apps may do about drift when it does not say: to look away needs a word of the platform team.
const DEFAULT_DRIFT: [DriftMode; 2] = [DriftMode::Revert, DriftMode::Report];
/// What its Apps may do about foreign objects when it does not say: nothing.
const DEFAULT_TAKEOVER: [Takeover; 1] = [Takeover::Refuse];

/// Reads a `Tenant` document.
pub(super) fn tenant(check: &mut Check<'_>, node: &Node) -> Option<Tenant> {
    let node = check.mapping(node, "a Tenant", &DOCUMENT)?;
    let metadata = check.required(node, "metadata", "a Tenant")?;
    let metadata = check.mapping(metadata, "metadata", &NAMED)?;
    let written = check.required(metadata, "name", "metadata")?;
    let name = check.text(written, "`name`")?;
    let name = check.id(written.at, TenantName::new(name));
    let spec = check.required(node, "spec", "a Tenant")?;
    let spec = check.mapping(spec, "a Tenant's spec", &SPEC)?;
    let clusters = check.required(spec, "clusters", "a Tenant's spec");
    let namespaces = namespaces(check, spec);
    let (allow, deny) = objects(check, spec);
    let sources = sources(check, spec);
    let (role, service_account) = identity(check, spec);
    if service_account.is_none() && may_have_cluster_scoped(&allow) {
        let at = spec.get("objects").map_or(spec.at, |objects| objects.at);
        let message = "a tenant that may have cluster-scoped objects needs its own `serviceAccount`";
        check.error(codes::MISSING, at, message).help =
            "a role is bound in namespaces only; name an account, such as rimward-tenants/platform"
                .to_owned();
    }
    let quota = quota(check, spec);
    let (clusters_at, at) = (check.at(clusters?.at), check.at(node.at));
    Some(Tenant {
        name: name?,
        sources,
        clusters: selector(check, clusters?),
        clusters_at,
        namespaces,
        role,
        service_account,
        allow,
        deny,
        limits: limits(check, spec, &at),
        quota,
        at,
    })
}

fn namespaces(check: &mut Check<'_>, spec: &Node) -> Vec<String> {
    let Some(written) = check.required(spec, "namespaces", "a Tenant's spec") else { return Vec::new() };
    let items = check.texts(spec, "namespaces");
    if items.is_empty() {
        check.error(codes::VALUE, written.at, "`namespaces` must name at least one").help =
            "name those the tenant may use, as in [payments, payments-*]".to_owned();
    }
    for (item, at) in &items {
        let literal = item.strip_suffix('*').unwrap_or(item);
        // A prefix may end in a dash; what it is completed to will not.
        let as_label = literal.strip_suffix('-').unwrap_or(literal);
        let any = item == "*";
        if !any && !is_dns_label(as_label, 63) {
            let message = format!("{item:?} is neither a namespace nor a prefix with `*`");
            check.error(codes::VALUE, *at, message).help =
                "write a name of a-z, 0-9 and `-`, or the beginning of one and `*` at its end".to_owned();
        }
    }
    items.into_iter().map(|(item, _)| item).collect()
}

fn objects(check: &mut Check<'_>, spec: &Node) -> (Vec<String>, Vec<String>) {
    let Some(node) = spec.get("objects").and_then(|node| check.mapping(node, "objects", &OBJECTS)) else {
        return (Vec::new(), Vec::new());
    };
    (kinds(check, node, "allow"), kinds(check, node, "deny"))
}

fn identity(check: &mut Check<'_>, spec: &Node) -> (String, Option<String>) {
    let role = check.optional_text(spec, "role");
    let account = check.optional_text(spec, "serviceAccount");
    if let (Some(_), Some((_, at))) = (role, account) {
        check.error(codes::VALUE, at, "`role` and `serviceAccount` exclude each other").help =
            "a tenant with its own account is bound by whoever made the account".to_owned();
    }
    if let Some((account, at)) = account {
        account_name(check, account, at);
    }
    (role.map_or(DEFAULT_ROLE, |(role, _)| role).to_owned(), account.map(|(account, _)| account.to_owned()))
}

fn account_name(check: &mut Check<'_>, account: &str, at: Mark) {
    let named = |(namespace, name): (&str, &str)| {
        is_dns_label(namespace, 63) && name.split('.').all(|part| is_dns_label(part, 63))
    };
    if !account.split_once('/').is_some_and(named) {
        check.error(codes::VALUE, at, format!("{account:?} is not of the form namespace/name")).help =
            "write it like rimward-tenants/platform".to_owned();
    }
}

fn sources(check: &mut Check<'_>, spec: &Node) -> BTreeMap<String, SourceSpec> {
    let mut sources = BTreeMap::new();
    let Some(written) = check.required(spec, "sources", "a Tenant's spec") else { return sources };
    for item in check.list(written, "`sources`") {
        let Some((name, spec)) = source(check, item) else { continue };
        if sources.contains_key(&name) {
            check.error(codes::DUPLICATE, item.at, format!("source `{name}` is there twice")).help =
                "rename or remove one of them".to_owned();
            continue;
        }
        sources.insert(name, spec);
    }
    sources
}

fn quota(check: &mut Check<'_>, spec: &Node) -> Option<Quota> {
    let node = check.mapping(spec.get("quota")?, "quota", &QUOTA)?;
    let (objects, bytes) = (check.count(node, "objects"), check.bytes(node, "bytes"));
    Some(Quota { objects, bytes, at: check.at(node.at) })
}

fn limits(check: &mut Check<'_>, spec: &Node, tenant: &Position) -> Limits {
    let node = spec.get("limits").and_then(|node| check.mapping(node, "limits", &LIMITS));
    let written = node.and_then(|node| node.get("deletion"));
    Limits {
        drift: ceiling(check, node, "drift", &DRIFT_MODES, (&DEFAULT_DRIFT, tenant)),
        takeover: ceiling(check, node, "takeover", &TAKEOVERS, (&DEFAULT_TAKEOVER, tenant)),
        deletion: written.map(|node| deletion(check, node)).unwrap_or_default(),
    }
}
