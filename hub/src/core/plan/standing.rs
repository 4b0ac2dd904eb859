//! Where each App stands: wanted in a new form, kept as it is, or to be
//! removed. Everything that is not a reason to change is a reason to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::AppId;
use rimward_proto::object::ObjectKey;
use rimward_proto::plan::PlanBundle;

use super::PlanInputs;
use super::cache::RenderCache;
use super::entry::{defaults_beyond_limits, entry};
use super::places::{Places, short};
use super::resolve::{Form, Resolved, Wait};
use crate::core::codes;
use crate::core::guardrails;
use crate::core::model::{App, Policy, SourceId, Tenant};
use crate::core::note::Note;
use crate::core::scope::{CrdScopes, Scope};
use crate::core::select::{ClusterIndex, ClusterSet};

/// What becomes of an App.
pub(super) enum Standing {
    /// It runs in these forms on these clusters, and nowhere else.
    Wanted(Box<Wanted>),
    /// Every cluster keeps what it has of it, for this reason.
    Kept(Note),
    /// It goes from every cluster that has it.
    Removed {
        /// The commit that removed it; empty when an approval did.
        commit: String,
    },
}

/// An App in its new forms.
pub(super) struct Wanted {
    /// What its entries in all plans have in common; which bundle it is, a form says.
    pub entry: PlanBundle,
    pub resolved: Arc<Resolved>,
    /// All the clusters it shall be on: those of its forms, and those that wait and keep what they have until then.
    pub clusters: ClusterSet,
    /// Those that wait.
    pub waiting: ClusterSet,
    /// Why those wait that have a form and must not get it.
    pub denied: Vec<Wait>,
}

impl Standing {
    /// Keeps a wanted App as it is on some of its clusters; everywhere if no other is left.
    pub fn stay(&mut self, on: &ClusterSet, reason: &'static str, why: &Note, index: &ClusterIndex) {
        let Standing::Wanted(wanted) = self else { return };
        let on = wanted.ready().and(on);
        if wanted.ready().minus(&on).is_empty() {
            *self = Standing::Kept(why.clone());
            return;
        }
        wanted.waiting.add(&on);
        let clusters = Places::of(on.iter().map(short).collect(), index);
        wanted.denied.push(Wait { reason, why: why.clone(), note: why.clone(), clusters });
    }
}

impl Wanted {
    /// The clusters that get a form of it.
    pub fn ready(&self) -> ClusterSet {
        self.clusters.clone().minus(&self.waiting)
    }

    /// Why clusters wait.
    pub fn waits(&self) -> impl Iterator<Item = &Wait> {
        self.resolved.waits.iter().chain(&self.denied)
    }

    /// Its entry in one form.
    pub fn entry_of(&self, form: &Form) -> PlanBundle {
        PlanBundle { digest: form.digest, bytes: form.bytes, objects: form.objects, ..self.entry.clone() }
    }

    /// What its objects are called: the same in all its forms.
    pub fn keys(&self) -> Option<&Arc<[ObjectKey]>> {
        self.resolved.forms.first().map(|form| &form.variant.keys)
    }
}

/// Everything the sources say about Apps.
pub(super) struct Sources {
    /// Apps whose file is right, with the clusters they select.
    pub good: BTreeMap<AppId, (Arc<App>, ClusterSet)>,
    /// Apps that are there but wrong: source, file and why.
    pub stuck: BTreeMap<AppId, (SourceId, String, Note)>,
    /// Sources of the policy that were never read.
    pub unknown: BTreeSet<SourceId>,
    /// Sources with files that may be any App, with one of them.
    pub broken: BTreeMap<SourceId, String>,
    /// App files that count for no App, and what is wrong with each.
    pub wrong: BTreeMap<SourceId, BTreeMap<String, Note>>,
    /// Sources that were read and have no App at all.
    pub empty: BTreeSet<SourceId>,
    /// By former name: the Apps, right or wrong, that say they were called so.
    pub former: BTreeMap<AppId, BTreeSet<AppId>>,
}

impl Sources {
    /// Reads the App files of all sources.
    pub fn read(
        inputs: &PlanInputs<'_>,
        index: &ClusterIndex,
        cache: &mut RenderCache,
        notes: &mut Vec<(SourceId, Note)>,
    ) -> Self {
        let mut sources = Self {
            good: BTreeMap::new(),
            stuck: BTreeMap::new(),
            unknown: BTreeSet::new(),
            broken: BTreeMap::new(),
            wrong: BTreeMap::new(),
            empty: BTreeSet::new(),
            former: BTreeMap::new(),
        };
        for (id, spec) in inputs.policy.sources() {
            let Some(tree) = inputs.trees.get(&id) else {
                sources.unknown.insert(id);
                continue;
            };
            let tenant = tenant_of(inputs.policy, &id).expect("sources() lists the sources of tenants");
            let load = &cache.source(&id, spec, tenant, index, tree).load;
            notes.extend(load.notes.iter().map(|note| (id.clone(), note.clone())));
            if let Some(file) = load.broken.first() {
                sources.broken.insert(id.clone(), file.clone());
            } else if load.apps.is_empty() && load.stuck.is_empty() {
                sources.empty.insert(id.clone());
            }
            if !load.wrong.is_empty() {
                sources.wrong.entry(id.clone()).or_default().extend(load.wrong.clone());
            }
            for (app, names) in &load.former {
                for name in names {
                    let former = AppId { tenant: app.tenant.clone(), app: name.clone() };
                    sources.former.entry(former).or_default().insert(app.clone());
                }
            }
            let bound = index.select(&tenant.clusters).and(&index.select(&spec.clusters));
            for (app, (file, note)) in &load.stuck {
                sources.add_stuck(app, &id, file, note, notes);
            }
            for app in load.apps.values() {
                let clusters = index.select(&app.clusters).and(&bound);
                sources.add_good(app, clusters, notes);
            }
        }
        sources
    }

    fn add_stuck(
        &mut self,
        app: &AppId,
        source: &SourceId,
        file: &str,
        note: &Note,
        notes: &mut Vec<(SourceId, Note)>,
    ) {
        if let Some((other, _)) = self.good.remove(app) {
            self.twice(&other, source, notes);
        }
        self.stuck.entry(app.clone()).or_insert((source.clone(), file.to_owned(), note.clone()));
    }

    fn add_good(&mut self, app: &Arc<App>, clusters: ClusterSet, notes: &mut Vec<(SourceId, Note)>) {
        if let Some((other, _)) = self.good.remove(&app.id) {
            self.twice(&other, &app.source, notes);
            self.twice(app, &other.source, notes);
        } else if let Some((source, ..)) = self.stuck.get(&app.id) {
            let source = source.clone();
            self.twice(app, &source, notes);
        } else {
            self.good.insert(app.id.clone(), (app.clone(), clusters));
        }
    }

    fn twice(&mut self, app: &App, other: &SourceId, notes: &mut Vec<(SourceId, Note)>) {
        let message = format!("App {} is also in source {other}", app.id);
        let note = Note::error(codes::TWO_SOURCES, app.at.clone(), message)
            .help("remove one of them; until then neither is updated");
        notes.push((app.source.clone(), note.clone()));
        self.wrong.entry(app.source.clone()).or_default().insert(app.at.file.clone(), note.clone());
        self.stuck.entry(app.id.clone()).or_insert((app.source.clone(), app.at.file.clone(), note));
    }
}

/// The tenant of a source.
pub(super) fn tenant_of<'p>(policy: &'p Policy, source: &SourceId) -> Option<&'p Tenant> {
    match source {
        SourceId::Fleet => None,
        SourceId::Tenant { tenant, .. } => policy.tenants.get(tenant),
    }
}

/// Renders and checks every App that can be; the others are `Kept`.
pub(super) fn render_all(
    inputs: &PlanInputs<'_>,
    index: &Arc<ClusterIndex>,
    sources: &Sources,
    cache: &mut RenderCache,
    notes: &mut Vec<(SourceId, Note)>,
) -> BTreeMap<AppId, Standing> {
    let mut crds = CrdScopes::new();
    for (id, (app, _)) in &sources.good {
        cache.parse(app, &inputs.trees[&app.source]);
        let tenant = &inputs.policy.tenants[&id.tenant];
        // What a tenant may not install, it may not define either.
        if may_define(tenant) {
            cache.defines(id, &mut crds);
        }
    }
    let mut standings = BTreeMap::new();
    let mut beyond = BTreeSet::new();
    for (id, (app, clusters)) in &sources.good {
        let rendered = cache.render(id, &crds);
        let tenant = &inputs.policy.tenants[&id.tenant];
        beyond.extend(defaults_beyond_limits(inputs.policy, tenant, app));
        notes.extend(rendered.notes.iter().map(|note| (app.source.clone(), note.clone())));
        let standing = match rendered.first_error() {
            Some(note) => Standing::Kept(note.clone()),
            None => match cache.resolve(id, clusters, index, inputs.policy, tenant) {
                Err(note) => {
                    notes.push((app.source.clone(), note.clone()));
                    Standing::Kept(note)
                }
                Ok(resolved) => {
                    notes.extend(resolved.notes.iter().map(|note| (app.source.clone(), note.clone())));
                    match resolved.refused() {
                        Some(note) => Standing::Kept(note.clone()),
                        None => {
                            let commit = inputs.trees[&app.source].commit.clone();
                            let entry = entry(inputs.policy, tenant, app, commit);
                            let (clusters, waiting) = (clusters.clone(), resolved.waiting(index));
                            Standing::Wanted(Box::new(Wanted {
                                entry,
                                resolved,
                                clusters,
                                waiting,
                                denied: Vec::new(),
                            }))
                        }
                    }
                }
            },
        };
        standings.insert(id.clone(), standing);
    }
    // Once for each tenant and limit, however many Apps it is about.
    notes.extend(beyond.into_iter().map(|note| (SourceId::Fleet, note)));
    for (id, (_, _, note)) in &sources.stuck {
        standings.insert(id.clone(), Standing::Kept(note.clone()));
    }
    standings
}

fn may_define(tenant: &Tenant) -> bool {
    let crd = ObjectKey::new("apiextensions.k8s.io", "CustomResourceDefinition", "", "");
    guardrails::kind_allowed(tenant, &crd, Scope::Cluster).is_ok()
}
