//! The `App` document of a tenant repo.

use rimward_proto::{AppId, AppName};

use super::changes::changes;
use super::check::{Check, Shape};
use super::options::{former_names, options};
use super::patch::PatchFiles;
use super::selector::{name_at, selector};
use super::{DOCUMENT, NAMED, path_below};
use crate::core::codes;
use crate::core::guardrails::namespace_allowed;
use crate::core::model::{App, SourceId, SourceSpec, SourceTree, Tenant};
use crate::core::note::{Note, Position};
use crate::core::select::ClusterIndex;
use crate::core::yaml::Node;

const SPEC: Shape = Shape {
    known: &[
        "namespace",
        "clusters",
        "path",
        "dependsOn",
        "rollout",
        "drift",
        "takeover",
        "health",
        "deletion",
        "formerly",
        "variables",
        "images",
        "patches",
        "overrides",
    ],
    later: &["helm", "values", "valuesFiles"],
};

/// What an App file is read against.
pub(super) struct Context<'a> {
    pub source: &'a SourceId,
    pub spec: &'a SourceSpec,
    pub tenant: &'a Tenant,
    pub clusters: &'a ClusterIndex,
    pub tree: &'a SourceTree,
}

/// What a document says, right or wrong.
#[derive(Default)]
pub(super) struct Read {
    /// Which App it is, as far as it can be told.
    pub id: Option<AppId>,
    /// Its former names, as far as they can be told.
    pub former: Vec<AppName>,
    /// The App if it is right.
    pub app: Option<App>,
}

/// Reads an `App` document.
pub(super) fn app(check: &mut Check<'_>, node: &Node, context: &Context<'_>) -> Read {
    let name = node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    let name = name.and_then(|name| AppName::new(name).ok());
    let id = name.map(|app| AppId { tenant: context.tenant.name.clone(), app });
    let app = whole(check, node, context);
    let app = if check.failed() { None } else { app };
    Read { id, former: former_names(node), app }
}

fn whole(check: &mut Check<'_>, node: &Node, context: &Context<'_>) -> Option<App> {
    let node = check.mapping(node, "an App", &DOCUMENT)?;
    let metadata = check.required(node, "metadata", "an App");
    let name = metadata.and_then(|metadata| {
        let metadata = check.mapping(metadata, "metadata", &NAMED)?;
        let name = check.required(metadata, "name", "metadata")?;
        let text = check.text(name, "`name`")?;
        check.id(name.at, AppName::new(text))
    });
    let spec = check.required(node, "spec", "an App")?;
    let spec = check.mapping(spec, "an App's spec", &SPEC)?;
    let namespace = namespace(check, spec, context.tenant);
    let written = check.required(spec, "clusters", "an App's spec");
    let clusters = written.map(|node| selector(check, node)).unwrap_or_default();
    if let Some(node) = written {
        names_within_bounds(check, node, &clusters, context);
    }
    if let Some((rollout, at)) = check.optional_text(spec, "rollout")
        && rollout != "immediate"
    {
        check.error(codes::NOT_BUILT, at, format!("rollout `{rollout}` is not built yet")).help =
            "leave it out, or write `immediate`".to_owned();
    }
    let options = options(check, spec, context.tenant, name.as_ref());
    let root = check.file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let (changes, selectors) = changes(check, spec, &mut PatchFiles::new(context.tree, &root));
    for (node, clusters) in &selectors {
        names_within_bounds(check, node, clusters, context);
    }
    let path = match check.optional_text(spec, "path") {
        Some((path, at)) => path_below(&root, path).or_else(|| {
            check.error(codes::VALUE, at, "`path` leads out of the App's folder").help =
                "name a folder below the App's own".to_owned();
            None
        })?,
        None => root.clone(),
    };
    let clusters_at = check.at(written?.at);
    Some(App {
        id: AppId { tenant: context.tenant.name.clone(), app: name? },
        source: context.source.clone(),
        root,
        path,
        namespace,
        clusters,
        clusters_at,
        changes,
        options,
        at: check.at(node.at),
    })
}

fn namespace(check: &mut Check<'_>, spec: &Node, tenant: &Tenant) -> Option<String> {
    let (namespace, at) = check.optional_text(spec, "namespace")?;
    if let Err(reason) = namespace_allowed(tenant, namespace) {
        check.error(codes::NAMESPACE, at, reason).help =
            format!("namespaces of tenant {}: {}", tenant.name, tenant.namespaces.join(", "));
        return None;
    }
    Some(namespace.to_owned())
}

/// A selector's labels just intersect with the bounds; a name is a wish that a bound must not silently ignore.
fn names_within_bounds(
    check: &mut Check<'_>,
    node: &Node,
    clusters: &crate::core::model::Selector,
    context: &Context<'_>,
) {
    let bounds = [
        (context.clusters.select(&context.tenant.clusters), &context.tenant.clusters_at),
        (context.clusters.select(&context.spec.clusters), &context.spec.at),
    ];
    for name in clusters.names.iter().flatten() {
        // Finding a place or a near name means going through all of them; what is only counted needs neither.
        let counted = check.notes.full();
        let Some(position) = context.clusters.position(name) else {
            let note = match counted {
                true => Note::warning(codes::UNKNOWN_CLUSTER, Position::file(check.file), "no such cluster")
                    .help("correct the name, or write its Cluster document"),
                false => super::unknown_cluster(check.at(name_at(node, name)), name, context.clusters),
            };
            check.notes.push(note);
            continue;
        };
        for (_, bound_at) in bounds.iter().filter(|(bound, _)| !bound.contains(position)) {
            let at = match counted && check.failed() {
                true => Position::file(check.file),
                false => check.at(name_at(node, name)),
            };
            let message = format!("cluster {name} is outside the bound at {bound_at} of the fleet repo");
            let note = Note::error(codes::OUT_OF_BOUND, at, message)
                .help("take the name out, or widen the bound in the fleet repo");
            check.notes.push(note);
        }
    }
}
