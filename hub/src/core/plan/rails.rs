//! The Guardrails of the fleet, at one choke point just before the plan: each
//! App whose objects break a rule stays as it is on the clusters concerned. What
//! was found out is remembered, so that what did not change is not asked again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rimward_proto::{AppId, Digest, ObjectKey};

use super::PlanInputs;
use super::cache::RenderCache;
use super::places::short;
use super::resolve::Resolved;
use super::standing::{Sources, Standing, Wanted};
use crate::core::guardrails::classes::Classes;
use crate::core::guardrails::rules::{Broken, Question, Verdict, judge};
use crate::core::model::{Action, App, Cluster, Guardrail, Policy, SourceId, Tenant};
use crate::core::note::{Note, Notes, PER_APP};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::core::status::name_some;
use crate::render::RenderedObject;
use crate::render::variant::Variant;

/// What is remembered of guardrails between plannings. Only ever a shortcut.
#[derive(Debug, Default)]
pub(super) struct Rails {
    index: Option<Arc<ClusterIndex>>,
    /// Counts changes of guardrails and clusters.
    generation: u64,
    known: BTreeMap<String, Known>,
    apps: BTreeMap<AppId, Remembered>,
    /// Verdicts found so far.
    pub asked: u64,
}

#[derive(Debug)]
struct Known {
    guardrail: Arc<Guardrail>,
    classes: Classes,
}

/// What was found of one App.
#[derive(Debug)]
struct Remembered {
    app: Arc<App>,
    namespaces: Vec<String>,
    parts: BTreeMap<PartId, Part>,
    /// What it came to, of what, and with which guardrails.
    checked: Option<(u64, Arc<Resolved>, ClusterSet, Checked)>,
    used: bool,
}

/// Objects that are judged together: those of a variant that are the same in all its forms, by where it is in memory, or
/// those that variables made in one form.
type PartId = (usize, Option<Digest>);

#[derive(Debug)]
struct Part {
    /// Holds the address.
    _variant: Arc<Variant>,
    /// By guardrail and class.
    verdicts: BTreeMap<(String, String), (Arc<Guardrail>, Arc<Verdict>)>,
    used: bool,
}

/// What guardrails say of an App.
#[derive(Debug, Clone)]
struct Checked {
    /// Where it must not go.
    denied: ClusterSet,
    /// What they say; an error for every denial, and those first.
    notes: Vec<Note>,
}

/// What breaks rules of one guardrail, once for all clusters and forms: by object, rule and fault.
type Found = BTreeMap<(ObjectKey, Option<usize>, &'static str), (Broken, usize, Vec<u32>)>;

/// Keeps every wanted App as it is where a guardrail denies it.
pub(super) fn settle(
    inputs: &PlanInputs<'_>,
    index: &Arc<ClusterIndex>,
    sources: &Sources,
    standings: &mut BTreeMap<AppId, Standing>,
    cache: &mut RenderCache,
    notes: &mut Vec<(SourceId, Note)>,
) {
    cache.rails.begin(inputs.policy, index);
    if inputs.policy.guardrails.is_empty() {
        return cache.rails.end();
    }
    for (id, standing) in standings.iter_mut() {
        let (Standing::Wanted(wanted), Some((app, _))) = (&*standing, sources.good.get(id)) else { continue };
        let checked = cache.rails.check(&inputs.policy.tenants[&id.tenant], app, wanted, index);
        notes.extend(checked.notes.iter().map(|note| (app.source.clone(), note.clone())));
        if let Some(why) = checked.notes.iter().find(|_| !checked.denied.is_empty()) {
            standing.stay(&checked.denied, "Guardrail", why, index);
        }
    }
    cache.rails.end();
}

impl Rails {
    fn begin(&mut self, policy: &Policy, index: &Arc<ClusterIndex>) {
        self.apps.values_mut().for_each(|app| app.used = false);
        let before = self.known.len();
        if self.index.as_ref().is_none_or(|known| !Arc::ptr_eq(known, index)) {
            self.known.clear();
            self.index = Some(index.clone());
        }
        self.known.retain(|name, known| policy.guardrails.get(name) == Some(&*known.guardrail));
        let new: Vec<_> =
            policy.guardrails.iter().filter(|(name, _)| !self.known.contains_key(*name)).collect();
        if before == self.known.len() && new.is_empty() {
            return;
        }
        self.generation += 1;
        let clusters: Vec<&Cluster> = policy.clusters.values().collect();
        for (name, guardrail) in new {
            let classes = Classes::new(guardrail, index, &clusters);
            let guardrail = Arc::new(guardrail.clone());
            self.known.insert(name.clone(), Known { guardrail, classes });
        }
    }

    fn end(&mut self) {
        self.apps.retain(|_, app| app.used);
    }

    /// What the guardrails say of an App.
    fn check(&mut self, tenant: &Tenant, app: &Arc<App>, wanted: &Wanted, index: &ClusterIndex) -> Checked {
        let Self { generation, known, apps, asked, .. } = self;
        let fresh = || Remembered {
            app: app.clone(),
            namespaces: tenant.namespaces.clone(),
            parts: BTreeMap::new(),
            checked: None,
            used: true,
        };
        let remembered = apps.entry(app.id.clone()).or_insert_with(fresh);
        if *remembered.app != **app || remembered.namespaces != tenant.namespaces {
            *remembered = fresh();
        }
        remembered.used = true;
        if let Some((of, resolved, clusters, checked)) = &remembered.checked
            && of == generation
            && Arc::ptr_eq(resolved, &wanted.resolved)
            && *clusters == wanted.clusters
        {
            return checked.clone();
        }
        let about = |known: &&Known| {
            let tenants = known.guardrail.tenants.as_ref();
            tenants.is_none_or(|tenants| tenants.contains(&tenant.name))
        };
        let known: Vec<&Known> = known.values().filter(about).collect();
        let mut found: Vec<Found> = known.iter().map(|_| Found::new()).collect();
        let mut whole: BTreeMap<usize, (&Arc<Variant>, Vec<u32>)> = BTreeMap::new();
        for form in &wanted.resolved.forms {
            let at = Arc::as_ptr(&form.variant).addr();
            let positions = form.clusters.iter().map(short);
            whole.entry(at).or_insert_with(|| (&form.variant, Vec::new())).1.extend(positions);
            if form.variant.reads.is_empty() {
                continue;
            }
            let objects = || {
                let made = form.variant.form(&form.values).map(|made| made.open).unwrap_or_default();
                made.into_iter().map(Arc::new).collect()
            };
            let positions: Vec<u32> = form.clusters.iter().map(short).collect();
            let part = remembered.part((at, Some(form.digest)), &form.variant);
            *asked += part.ask((tenant, app), &objects, &known, &positions, &mut found);
        }
        for (at, (variant, positions)) in whole {
            let objects = || variant.whole().cloned().collect();
            let part = remembered.part((at, None), variant);
            *asked += part.ask((tenant, app), &objects, &known, &positions, &mut found);
        }
        remembered.parts.retain(|_, part| std::mem::take(&mut part.used));
        let mut checked = Checked { denied: index.none(), notes: Vec::new() };
        let mut notes = Notes::new(PER_APP);
        for (known, found) in known.into_iter().zip(found) {
            told(&known.guardrail, found, &wanted.ready(), index, &mut checked.denied, &mut notes);
        }
        checked.notes = notes.into_vec();
        checked.notes.sort_by_key(|note| note.severity);
        let (resolved, clusters) = (wanted.resolved.clone(), wanted.clusters.clone());
        remembered.checked = Some((*generation, resolved, clusters, checked.clone()));
        checked
    }
}

impl Remembered {
    fn part(&mut self, id: PartId, variant: &Arc<Variant>) -> &mut Part {
        let new = || Part { _variant: variant.clone(), verdicts: BTreeMap::new(), used: true };
        let part = self.parts.entry(id).or_insert_with(new);
        part.used = true;
        part
    }
}

impl Part {
    /// Adds what the guardrails say of these objects on these clusters; returns how many verdicts had to be found.
    fn ask(
        &mut self,
        of: (&Tenant, &App),
        objects: &dyn Fn() -> Vec<Arc<RenderedObject>>,
        known: &[&Known],
        positions: &[u32],
        found: &mut [Found],
    ) -> u64 {
        let by_class: Vec<BTreeMap<usize, Vec<u32>>> =
            known.iter().map(|known| known.classes.split(positions)).collect();
        let key = |known: &Known, class: usize| {
            (known.guardrail.name.clone(), known.classes.list[class].key.clone())
        };
        let mut asked = BTreeMap::new();
        let mut questions = Vec::new();
        for (known, classes) in known.iter().zip(&by_class) {
            for class in classes.keys() {
                let key = key(known, *class);
                let verdict = self.verdicts.remove(&key);
                match verdict.filter(|(guardrail, _)| **guardrail == *known.guardrail) {
                    Some(verdict) => drop(asked.insert(key, verdict)),
                    None => {
                        let cluster = known.classes.list[*class].example.as_ref();
                        let question = Question { guardrail: &known.guardrail, cluster };
                        questions.push((key, known.guardrail.clone(), question));
                    }
                }
            }
        }
        self.verdicts = asked;
        let new = questions.len() as u64;
        if new > 0 {
            let plain: Vec<Question<'_>> = questions.iter().map(|(.., question)| *question).collect();
            let verdicts = judge(of, objects().iter(), &plain);
            let all = questions.into_iter().zip(verdicts);
            self.verdicts
                .extend(all.map(|((key, guardrail, _), verdict)| (key, (guardrail, Arc::new(verdict)))));
        }
        for ((known, classes), found) in known.iter().zip(by_class).zip(found) {
            for (class, positions) in classes {
                let Some((_, verdict)) = self.verdicts.get(&key(known, class)) else { continue };
                for broken in &verdict.broken {
                    let first = || (broken.clone(), verdict.more, Vec::new());
                    found.entry(broken.key()).or_insert_with(first).2.extend(&positions);
                }
            }
        }
        new
    }
}

/// Adds what one guardrail says, each broken rule once for all clusters it is broken on.
fn told(
    guardrail: &Guardrail,
    found: Found,
    clusters: &ClusterSet,
    index: &ClusterIndex,
    denied: &mut ClusterSet,
    notes: &mut Notes,
) {
    for (broken, more, positions) in found.into_values() {
        let mut on = index.none();
        positions.into_iter().for_each(|position| on.insert(position as usize));
        let names = match on == *clusters {
            true => String::new(),
            false => format!(" on {}", name_some(index.named(&on))),
        };
        notes.push(broken.note(guardrail, &names, more));
        if guardrail.action == Action::Deny {
            denied.add(&on);
        }
    }
}
