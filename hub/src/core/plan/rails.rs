//! The Guardrails of the fleet, at one choke point just before the plan: each
//! App whose objects break a rule stays as it is on the clusters concerned. What
//! was found out is remembered, so that what did not change is not asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::AppId;

use super::PlanInputs;
use super::before::Before;
use super::cache::RenderCache;
use super::renames::Renames;
use super::standing::{Sources, Standing};
use crate::core::guardrails::classes::Classes;
use crate::core::guardrails::rules::{Broken, Question, Verdict, judge};
use crate::core::model::{Action, App, Cluster, Guardrail, Policy, SourceId, Tenant};
use crate::core::note::{Note, Notes, PER_APP};
use crate::core::select::{ClusterIndex, ClusterSet};
use crate::core::status::name_some;
use crate::render::plain::Rendered;

/// What is remembered of guardrails between plannings. Only ever a shortcut.
#[derive(Debug, Default)]
pub(super) struct Rails {
    index: Option<Arc<ClusterIndex>>,
    /// Counts changes of guardrails and clusters.
    generation: u64,
    known: BTreeMap<String, Known>,
    apps: BTreeMap<AppId, Vec<Memo>>,
    /// Verdicts found so far.
    pub asked: u64,
}

#[derive(Debug)]
struct Known {
    guardrail: Arc<Guardrail>,
    classes: Classes,
}

/// What was found of one form of an App.
#[derive(Debug)]
struct Memo {
    rendered: Arc<Rendered>,
    app: Arc<App>,
    namespaces: Vec<String>,
    /// By guardrail and class.
    verdicts: BTreeMap<(String, String), (Arc<Guardrail>, Arc<Verdict>)>,
    /// What it came to, and with which guardrails and on which clusters.
    checked: Option<(u64, ClusterSet, Checked)>,
    used: bool,
}

/// What guardrails say of one form of an App.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// Where it must not go.
    pub denied: ClusterSet,
    /// What they say; an error for every denial.
    pub notes: Vec<Note>,
}

/// One form of an App, and where it would go.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    pub tenant: &'a Tenant,
    pub app: &'a Arc<App>,
    pub rendered: &'a Arc<Rendered>,
    pub clusters: &'a ClusterSet,
}

/// Keeps every wanted App as it is where a guardrail denies it.
pub(super) fn settle(
    inputs: &PlanInputs<'_>,
    (index, before, sources): (&Arc<ClusterIndex>, &Before, &Sources),
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
        let tenant = &inputs.policy.tenants[&id.tenant];
        let form = Form { tenant, app, rendered: &wanted.rendered, clusters: &wanted.clusters };
        let checked = cache.rails.check(form, index);
        notes.extend(checked.notes.iter().map(|note| (app.source.clone(), note.clone())));
        if let Some(why) = checked.notes.iter().find(|_| !checked.denied.is_empty()) {
            // What it was called before would go from where it cannot come.
            let whole = !Renames { sources }.former_in_force(id, before).is_empty();
            standing.stay(&checked.denied, why, whole);
        }
    }
    cache.rails.end();
}

impl Rails {
    fn begin(&mut self, policy: &Policy, index: &Arc<ClusterIndex>) {
        self.apps.values_mut().flatten().for_each(|memo| memo.used = false);
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
        self.apps.values_mut().for_each(|memos| memos.retain(|memo| memo.used));
        self.apps.retain(|_, memos| !memos.is_empty());
    }

    /// What the guardrails say of a form of an App.
    fn check(&mut self, form: Form<'_>, index: &ClusterIndex) -> Checked {
        let mut memo = self.memo(form);
        memo.used = true;
        if let Some((generation, clusters, checked)) = &memo.checked
            && (*generation, clusters) == (self.generation, form.clusters)
        {
            let checked = checked.clone();
            self.apps.entry(form.app.id.clone()).or_default().push(memo);
            return checked;
        }
        let about = |known: &&Known| {
            let tenants = known.guardrail.tenants.as_ref();
            tenants.is_none_or(|tenants| tenants.contains(&form.tenant.name))
        };
        let known: Vec<&Known> = self.known.values().filter(about).collect();
        let mut questions = Vec::new();
        let mut asked = BTreeSet::new();
        for known in &known {
            for class in known.classes.among(form.clusters).into_values() {
                let key = (known.guardrail.name.clone(), class.key.clone());
                // The rules are what counts, wherever in the file they stand now; but notes say where.
                if memo.verdicts.get(&key).is_none_or(|(guardrail, _)| **guardrail != *known.guardrail) {
                    let question = Question { guardrail: &known.guardrail, cluster: class.example.as_ref() };
                    questions.push((key.clone(), known.guardrail.clone(), question));
                }
                asked.insert(key);
            }
        }
        memo.verdicts.retain(|key, _| asked.contains(key));
        if !questions.is_empty() {
            self.asked += questions.len() as u64;
            let plain: Vec<Question<'_>> = questions.iter().map(|(.., question)| *question).collect();
            let verdicts = judge((form.tenant, form.app), form.rendered.objects.values(), &plain);
            let found = questions.into_iter().zip(verdicts);
            let entries = found.map(|((key, guardrail, _), verdict)| (key, (guardrail, Arc::new(verdict))));
            memo.verdicts.extend(entries.collect::<Vec<_>>());
        }
        let mut checked = Checked { denied: index.none(), notes: Vec::new() };
        let mut notes = Notes::new(PER_APP);
        for known in known {
            told(known, &memo, form.clusters, index, &mut checked.denied, &mut notes);
        }
        checked.notes = notes.into_vec();
        // An error first: it is why the App stays.
        checked.notes.sort_by_key(|note| note.severity);
        memo.checked = Some((self.generation, form.clusters.clone(), checked.clone()));
        self.apps.entry(form.app.id.clone()).or_default().push(memo);
        checked
    }

    /// What is remembered of a form, taken out.
    fn memo(&mut self, form: Form<'_>) -> Memo {
        let memos = self.apps.get_mut(&form.app.id);
        let same = |memo: &Memo| {
            Arc::ptr_eq(&memo.rendered, form.rendered)
                && *memo.app == **form.app
                && memo.namespaces == form.tenant.namespaces
        };
        let found = memos.and_then(|memos| {
            let at = memos.iter().position(same)?;
            Some(memos.swap_remove(at))
        });
        found.unwrap_or_else(|| Memo {
            rendered: form.rendered.clone(),
            app: form.app.clone(),
            namespaces: form.tenant.namespaces.clone(),
            verdicts: BTreeMap::new(),
            checked: None,
            used: true,
        })
    }
}

/// Adds what one guardrail says, each broken rule once for all clusters it is broken on.
fn told(
    known: &Known,
    memo: &Memo,
    clusters: &ClusterSet,
    index: &ClusterIndex,
    denied: &mut ClusterSet,
    notes: &mut Notes,
) {
    let mut found: Vec<(&Broken, usize, Vec<usize>)> = Vec::new();
    for (number, class) in known.classes.among(clusters) {
        let key = (known.guardrail.name.clone(), class.key.clone());
        let Some((_, verdict)) = memo.verdicts.get(&key) else { continue };
        for broken in &verdict.broken {
            match found.iter_mut().find(|(other, more, _)| *other == broken && *more == verdict.more) {
                Some((.., numbers)) => numbers.push(number),
                None => found.push((broken, verdict.more, vec![number])),
            }
        }
    }
    for (broken, more, numbers) in found {
        let on = known.classes.of(&numbers, clusters);
        let names = match on == *clusters {
            true => String::new(),
            false => format!(" on {}", name_some(index.named(&on))),
        };
        notes.push(broken.note(&known.guardrail, &names, more));
        if known.guardrail.action == Action::Deny {
            denied.add(&on);
        }
    }
}
