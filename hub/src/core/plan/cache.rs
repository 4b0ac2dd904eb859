//! What planning remembers between runs, so that one changed file costs one
//! parse. Only ever a shortcut: an empty cache gives the same result.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::bundle::BundleIndex;
use rimward_proto::plan::Plan;
use rimward_proto::{AppId, ClusterName, Digest, ObjectKey, TenantName};

use super::rails::Rails;
use super::resolve::{Resolved, Resolving};
use super::shapes::{Fresh, Shapes};
use crate::core::files::{AppsLoad, load_apps_indexed};
use crate::core::model::{App, Cluster, Policy, SourceId, SourceSpec, SourceTree, Tenant};
use crate::core::note::Note;
use crate::core::scope::{CrdScopes, Scope};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::render::names::Names;
use crate::render::part::{Part, app_roots};
use crate::render::plain::{self, Parsed, Rendered};

/// Remembers what was rendered from what.
#[derive(Debug, Default)]
pub struct RenderCache {
    counts: Counts,
    policy: Option<Bounds>,
    sources: BTreeMap<SourceId, Source>,
    apps: BTreeMap<AppId, Remembered>,
    keys: BTreeMap<Digest, Arc<[ObjectKey]>>,
    /// What guardrails said.
    pub(super) rails: Rails,
    /// The values of `keys`, so that equal ones are one.
    names: BTreeSet<Arc<[ObjectKey]>>,
    /// What was put together in this planning.
    pub(super) fresh: Fresh,
    /// By address, which stands for the plan as long as the plan is kept here.
    plans: BTreeMap<usize, (Arc<Plan>, Digest)>,
}

/// What plannings have cost since the cache was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Sources whose App files were read.
    pub sources: u64,
    /// Manifest files parsed.
    pub files: u64,
    /// Apps put together from their files, each variant counted.
    pub apps: u64,
    /// Guardrails asked about Apps.
    pub rules: u64,
    /// Apps checked against their tenant's scope, each variant counted.
    pub checks: u64,
    /// Forms put together from variants.
    pub forms: u64,
}

/// What of the policy App files are read against.
#[derive(Debug)]
struct Bounds {
    clusters: BTreeMap<ClusterName, Cluster>,
    tenants: BTreeMap<TenantName, Tenant>,
    index: Arc<ClusterIndex>,
}

#[derive(Debug)]
pub(super) struct Source {
    tree: Arc<SourceTree>,
    pub load: AppsLoad,
    roots: BTreeSet<String>,
    /// By root, path and namespace.
    names: BTreeMap<(String, String, Option<String>), Arc<Names>>,
}

#[derive(Debug)]
struct Remembered {
    app: Arc<App>,
    tree: Arc<SourceTree>,
    parsed: Parsed,
    rendered: Option<(CrdScopes, Arc<Rendered>)>,
    shapes: Shapes,
    resolved: Option<Settled>,
}

/// What an App was resolved to, and from what besides its files.
#[derive(Debug)]
struct Settled {
    index: Arc<ClusterIndex>,
    clusters: ClusterSet,
    tenant: Tenant,
    resolved: Result<Arc<Resolved>, Note>,
}

impl RenderCache {
    /// What plannings have cost so far.
    pub fn counts(&self) -> Counts {
        Counts { rules: self.rails.asked, ..self.counts }
    }

    /// Every object that was rendered, with its App.
    pub fn objects(&self) -> impl Iterator<Item = (&AppId, &crate::render::RenderedObject)> {
        let rendered = self.apps.iter().filter_map(|(id, app)| Some((id, &app.rendered.as_ref()?.1)));
        rendered.flat_map(|(id, rendered)| rendered.objects.values().map(move |object| (id, object.as_ref())))
    }

    /// Begins a planning: the index of the fleet's clusters.
    pub(super) fn begin(&mut self, policy: &Policy) -> Arc<ClusterIndex> {
        self.fresh.clear();
        if let Some(before) = &self.policy
            && before.clusters == policy.clusters
            && before.tenants == policy.tenants
        {
            return before.index.clone();
        }
        let index = Arc::new(ClusterIndex::new(&policy.clusters));
        let (clusters, tenants) = (policy.clusters.clone(), policy.tenants.clone());
        self.policy = Some(Bounds { clusters, tenants, index: index.clone() });
        // Names in App files are checked against the fleet's clusters and bounds.
        self.sources.clear();
        index
    }

    /// The App files of a source.
    pub(super) fn source(
        &mut self,
        id: &SourceId,
        spec: &SourceSpec,
        tenant: &Tenant,
        index: &ClusterIndex,
        tree: &Arc<SourceTree>,
    ) -> &Source {
        let same = |source: &Source| {
            let read = &source.tree;
            Arc::ptr_eq(read, tree) || (read.files == tree.files && read.left_out == tree.left_out)
        };
        if !self.sources.get(id).is_some_and(same) {
            self.counts.sources += 1;
            let load = load_apps_indexed(id, spec, tenant, index, tree);
            let source = Source { tree: tree.clone(), load, roots: app_roots(tree), names: BTreeMap::new() };
            self.sources.insert(id.clone(), source);
        }
        &self.sources[id]
    }

    /// The folders of a source that are Apps of their own; it must have been read in this planning.
    pub(super) fn roots(&self, id: &SourceId) -> Option<&BTreeSet<String>> {
        self.sources.get(id).map(|source| &source.roots)
    }

    /// What the files of a part of a source name; the source must have been read in this planning.
    pub(super) fn names(&mut self, id: &SourceId, part: Part<'_>, app: Option<&App>) -> Arc<Names> {
        let namespace = app.and_then(|app| app.namespace.as_deref());
        let patches = app.map(|app| app.changes.files.clone()).unwrap_or_default();
        let Some(Source { tree, roots, names, .. }) = self.sources.get_mut(id) else { return Arc::default() };
        let key = (part.root.to_owned(), part.path.to_owned(), namespace.map(str::to_owned));
        let read = || Arc::new(Names::read(part, namespace, tree, roots, &patches));
        names.entry(key).or_insert_with(read).clone()
    }

    /// Reads an App's files, as far as they are new.
    pub(super) fn parse(&mut self, app: &Arc<App>, tree: &Arc<SourceTree>) {
        let roots = self.sources.get(&app.source).map(|source| &source.roots);
        let before = self.apps.get(&app.id);
        if before.is_some_and(|before| Arc::ptr_eq(&before.tree, tree) && *before.app == **app) {
            return;
        }
        let empty = BTreeSet::new();
        let parsed = plain::parse(
            app,
            tree,
            roots.unwrap_or(&empty),
            before.map(|before| &before.parsed),
            &mut self.counts.files,
        );
        let (mut rendered, mut shapes, mut resolved) = (None, Shapes::default(), None);
        if let Some(before) = self.apps.remove(&app.id)
            && *before.app == **app
            && before.parsed.same(&parsed)
        {
            (rendered, shapes, resolved) = (before.rendered, before.shapes, before.resolved);
        }
        let (app, tree) = (app.clone(), tree.clone());
        let remembered = Remembered { app: app.clone(), tree, parsed, rendered, shapes, resolved };
        self.apps.insert(app.id.clone(), remembered);
    }

    /// Adds the kinds that an App's CRDs bring; kinds on which CRDs do not agree become unknown.
    pub(super) fn defines(&self, id: &AppId, crds: &mut CrdScopes) {
        for defined in self.apps.get(id).into_iter().flat_map(|app| app.parsed.defines()) {
            let scope: &mut Option<Scope> =
                crds.entry((defined.group.clone(), defined.kind.clone())).or_insert(Some(defined.scope));
            if *scope != Some(defined.scope) {
                *scope = None;
            }
        }
    }

    /// An App's objects; its files must have been read in this planning.
    pub(super) fn render(&mut self, id: &AppId, crds: &CrdScopes) -> Arc<Rendered> {
        let app = self.apps.get_mut(id).expect("an App is parsed before it is rendered");
        let needed: CrdScopes = app
            .parsed
            .custom_kinds()
            .into_iter()
            .map(|(group, kind)| (group.to_owned(), kind.to_owned()))
            .filter_map(|key| Some((key.clone(), *crds.get(&key)?)))
            .collect();
        if let Some((scopes, rendered)) = &app.rendered
            && *scopes == needed
        {
            return rendered.clone();
        }
        self.counts.apps += 1;
        let rendered = Arc::new(app.parsed.finish(&app.app, &needed));
        app.rendered = Some((needed, rendered.clone()));
        (app.shapes, app.resolved) = (Shapes::default(), None);
        rendered
    }

    /// The forms of an App that was rendered in this planning and is right so far; an error stops all of them.
    pub(super) fn resolve(
        &mut self,
        id: &AppId,
        clusters: &ClusterSet,
        index: &Arc<ClusterIndex>,
        policy: &Policy,
        tenant: &Tenant,
    ) -> Result<Arc<Resolved>, Note> {
        let Remembered { app, rendered, shapes, resolved, .. } =
            self.apps.get_mut(id).expect("an App is parsed before it is resolved");
        // The index stands for all Cluster documents, with their labels and variables.
        if let Some(settled) = resolved
            && Arc::ptr_eq(&settled.index, index)
            && (&settled.clusters, &settled.tenant) == (clusters, tenant)
        {
            return settled.resolved.clone();
        }
        let (_, rendered) = rendered.as_ref().expect("an App is rendered before it is resolved");
        let resolving = Resolving { app, rendered, clusters, index, policy, tenant };
        let found = resolving.resolve(shapes, &mut self.fresh, &mut self.counts).map(Arc::new);
        *resolved = Some(Settled {
            index: index.clone(),
            clusters: clusters.clone(),
            tenant: tenant.clone(),
            resolved: found.clone(),
        });
        // All forms of an App have the same names.
        let forms = found.as_ref().map(|resolved| resolved.forms.as_slice()).unwrap_or_default();
        if let Some(keys) = forms.first().map(|form| form.variant.keys.clone()) {
            let keys = self.intern(keys);
            self.keys.extend(forms.iter().map(|form| (form.digest, keys.clone())));
        }
        found
    }

    fn intern(&mut self, keys: Arc<[ObjectKey]>) -> Arc<[ObjectKey]> {
        if let Some(known) = self.names.get(&keys) {
            return known.clone();
        }
        self.names.insert(keys.clone());
        keys
    }

    /// What an App was resolved to in this planning, if it was.
    pub(super) fn resolved(&self, id: &AppId) -> Option<&Arc<Resolved>> {
        self.apps.get(id)?.resolved.as_ref()?.resolved.as_ref().ok()
    }

    /// Content that an App was rendered to: an index or an object.
    pub fn content(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.apps.values().find_map(|app| app.shapes.content(digest))
    }

    /// The digest of a plan in force.
    pub(super) fn plan_digest(&mut self, plan: &Arc<Plan>) -> Digest {
        let address = Arc::as_ptr(plan).addr();
        self.plans.entry(address).or_insert_with(|| (plan.clone(), Digest::of(&plan.to_bytes()))).1
    }

    /// What the objects of a bundle are called, if that is known.
    pub(super) fn keys(
        &mut self,
        bundle: &Digest,
        indexes: &BTreeMap<Digest, Arc<BundleIndex>>,
    ) -> Option<Arc<[ObjectKey]>> {
        if !self.keys.contains_key(bundle) {
            let index = indexes.get(bundle)?;
            let keys = index.entries().iter().map(|entry| entry.key.clone()).collect();
            let keys = self.intern(keys);
            self.keys.insert(*bundle, keys);
        }
        self.keys.get(bundle).cloned()
    }

    /// Ends a planning: forgets what is neither an App any more nor in a plan.
    pub(super) fn end(&mut self, apps: &BTreeSet<AppId>, bundles: &BTreeSet<Digest>) {
        // A plan that nobody else holds is not in force any more.
        self.plans.retain(|_, (plan, _)| Arc::strong_count(plan) > 1);
        self.apps.retain(|id, _| apps.contains(id));
        let rendered: BTreeSet<Digest> = self.apps.values().flat_map(|app| app.shapes.bundles()).collect();
        self.keys.retain(|digest, _| bundles.contains(digest) || rendered.contains(digest));
        self.names.retain(|keys| Arc::strong_count(keys) > 1);
        self.fresh.clear();
    }
}
