//! What a tenant may touch on this cluster, checked again here before every
//! request (apply rule 3): the hub may be wrong about this cluster's kinds, and
//! a stolen hub key must not pass what the operator of this cluster set.

use rimward_proto::ObjectKey;
use rimward_proto::plan::PlanBundle;

use super::discovery::Kinds;
use super::errors::ErrorKind;
use super::event::Settings;
use super::glob;
use super::managed::Problem;

/// Why no request may be made for `key` on behalf of `bundle`, if so.
pub(crate) fn refusal(
    key: &ObjectKey,
    version: &str,
    bundle: &PlanBundle,
    kinds: &Kinds,
    settings: &Settings,
) -> Option<Problem> {
    let mismatch = |message: String| Some(Problem::error(ErrorKind::ScopeMismatch, message));
    if bundle.deny.iter().any(|pattern| glob::is_kind(pattern, &key.group, &key.kind)) {
        return Some(Problem::error(
            ErrorKind::Denied,
            format!("{} is denied to the tenant", key.group_kind()),
        ));
    }
    if !glob::any_matches(&settings.service_accounts, &bundle.service_account) {
        return mismatch(format!("{} is beyond ceilings.serviceAccounts", bundle.service_account));
    }
    if let Some(problem) = unknown(key, version, kinds) {
        return Some(problem);
    }
    let namespaced = kinds.kind(key).is_some_and(|kind| kind.namespaced);
    match (namespaced, key.namespace.is_empty()) {
        (true, true) => return mismatch(format!("{} needs a namespace on this cluster", key.group_kind())),
        (false, false) => return mismatch(format!("{} is cluster-scoped on this cluster", key.group_kind())),
        (true, false) => {}
        (false, true) => return cluster_scoped(key, bundle, settings),
    }
    if !glob::any_matches(&bundle.namespaces, &key.namespace) {
        return mismatch(format!("namespace {} is not the tenant's", key.namespace));
    }
    if !glob::any_matches(&settings.namespaces, &key.namespace) {
        return mismatch(format!("namespace {} is beyond ceilings.namespaces", key.namespace));
    }
    None
}

fn cluster_scoped(key: &ObjectKey, bundle: &PlanBundle, settings: &Settings) -> Option<Problem> {
    let mismatch = |message: String| Some(Problem::error(ErrorKind::ScopeMismatch, message));
    if !bundle.allow.iter().any(|pattern| glob::is_kind(pattern, &key.group, &key.kind)) {
        return mismatch(format!("{} is cluster-scoped and not allowed to the tenant", key.group_kind()));
    }
    // A namespace is inside the scope by its name; anything else reaches every namespace.
    if key.group.is_empty() && key.kind == "Namespace" {
        let inside = glob::any_matches(&bundle.namespaces, &key.name)
            && glob::any_matches(&settings.namespaces, &key.name);
        return if inside { None } else { mismatch(format!("namespace {} is not the tenant's", key.name)) };
    }
    if !settings.namespaces.iter().any(|pattern| pattern == "*") {
        return mismatch("cluster-scoped objects are beyond ceilings.namespaces".into());
    }
    None
}

fn unknown(key: &ObjectKey, version: &str, kinds: &Kinds) -> Option<Problem> {
    if let Some(kind) = kinds.kind(key) {
        let served = kind.versions.iter().any(|served| served == version);
        let message = || format!("version {version} of {} is not served", key.group_kind());
        return if served { None } else { Some(Problem::error(ErrorKind::UnknownKind, message())) };
    }
    if !kinds.is_known() {
        return Some(Problem::passing("Unknown", "discovery has not answered yet"));
    }
    if kinds.has_failed(&key.group) {
        return Some(Problem::passing("Unknown", format!("discovery of group {} fails", key.group)));
    }
    Some(Problem::error(
        ErrorKind::UnknownKind,
        format!("{} is not served by this cluster", key.group_kind()),
    ))
}
