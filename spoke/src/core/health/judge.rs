//! How the objects of one kind are judged, as one value: the built-in gate, the
//! conditions that Apps put on top, and what they leave to others. The core makes it from the plan and
//! from discovery; watches and requests carry it to where objects come in, so
//! that no body has to be kept to be judged later.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use rimward_proto::expression::{Expression, Subject};
use rimward_proto::plan::HealthCel;
use rimward_proto::{AppId, Digest};
use serde_json::Value;

use super::super::ascending::Ascending;
use super::super::glob;
use super::super::ignore::{self, Left};
use super::super::state::State;
use super::Health;
use super::cel;
use super::kinds::Gate;
use super::text::{Clip, HEALTH_BYTES};
use super::workloads::removes_itself;

/// Kinds that are never watched whole: their content is large, or nobody's business, and has no status.
const NEVER_WHOLE: [(&str, &str); 2] = [("", "Secret"), ("", "ConfigMap")];

/// How the objects of one kind are judged. Without a rule everything that exists is ready.
#[derive(Debug, Clone, Default)]
pub struct Judge(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    /// Says which rules these are: two judges with the same are the same.
    id: Digest,
    gate: Option<Gate>,
    conditions: BTreeMap<AppId, Conditions>,
    left: BTreeMap<AppId, Left>,
}

/// The conditions of one App on one kind.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    id: u64,
    all: Vec<Arc<Condition>>,
}

/// One entry of `health.cel`, compiled once; an error is told when it is evaluated.
#[derive(Debug)]
struct Condition {
    ready: Option<(String, Result<Expression, String>)>,
    failed: Option<Result<Expression, String>>,
}

/// What was found of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Its health.
    pub health: Health,
    /// By which conditions of its App: what was found by others than those in force says nothing.
    pub by: u64,
    /// A Job that is done and removes itself.
    pub finished: bool,
}

impl Judge {
    pub(super) fn new(
        group: &str,
        kind: &str,
        has_status: bool,
        conditions: BTreeMap<AppId, Conditions>,
        left: BTreeMap<AppId, Left>,
    ) -> Self {
        let never = NEVER_WHOLE.contains(&(group, kind));
        let gate = Gate::of(group, kind, has_status).filter(|_| !never);
        let gate = gate.or_else(|| (!never && !conditions.is_empty()).then(Gate::named));
        if gate.is_none() && conditions.is_empty() && left.is_empty() {
            return Self::default();
        }
        let mut text = format!("{group}/{kind} {gate:?}");
        for (app, conditions) in &conditions {
            text.push_str(&format!("\n{app} {}", conditions.id));
        }
        for (app, left) in &left {
            text.push_str(&format!("\n{app} leaves {left:?}"));
        }
        Self(Some(Arc::new(Rules { id: Digest::of(text.as_bytes()), gate, conditions, left })))
    }

    /// The built-in gate of a kind alone.
    pub fn built_in(group: &str, kind: &str, has_status: bool) -> Self {
        Self::new(group, kind, has_status, BTreeMap::new(), BTreeMap::new())
    }

    /// True if the whole object is needed, not its metadata alone.
    pub fn is_whole(&self) -> bool {
        self.0.as_ref().is_some_and(|rules| rules.gate.is_some())
    }

    /// Names the conditions of an App on this kind; 0 if it has none.
    pub fn conditions_of(&self, app: &AppId) -> u64 {
        self.conditions(app).map_or(0, |conditions| conditions.id)
    }

    /// What an App leaves to others in objects of this kind; none if nothing.
    pub fn left_by(&self, app: &AppId) -> Option<&Left> {
        self.0.as_ref()?.left.get(app)
    }

    fn conditions(&self, app: &AppId) -> Option<&Conditions> {
        self.0.as_ref()?.conditions.get(app)
    }

    /// Judges an object of `app`, as its labels say.
    pub fn judge(&self, group: &str, kind: &str, app: Option<&AppId>, object: &Value) -> Judged {
        let conditions = app.and_then(|app| self.conditions(app));
        let by = conditions.map_or(0, |conditions| conditions.id);
        let deleting = object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
        if deleting {
            return Judged { health: Health::Progressing("being deleted".to_owned()), by, finished: false };
        }
        let gate = self.0.as_ref().and_then(|rules| rules.gate);
        let Some(gate) = gate else {
            let refused = conditions.map(|_| "a condition cannot look into this kind".to_owned());
            let health = refused.map_or(Health::Ready, Health::Progressing);
            return Judged { health, by, finished: false };
        };
        let built_in = gate.assess(object);
        // On an old status they would only speak of the generation before.
        let health = match conditions.filter(|_| !gate.is_old(object)) {
            Some(conditions) => conditions.on_top(built_in, object),
            None => built_in,
        };
        let finished = health == Health::Ready && removes_itself(group, kind, object);
        Judged { health, by, finished }
    }

    fn id(&self) -> Option<&Digest> {
        self.0.as_ref().map(|rules| &rules.id)
    }
}

impl Conditions {
    /// Both have to hold: the built-in gate and the conditions. A failure of either is one.
    fn on_top(&self, built_in: Health, object: &Value) -> Health {
        if matches!(built_in, Health::Failed(_)) {
            return built_in;
        }
        let subject = cel::subject(object);
        let mut missing = None;
        for condition in &self.all {
            match condition.evaluate(&subject) {
                Health::Failed(text) => return Health::Failed(text),
                Health::Progressing(text) => missing = missing.or(Some(text)),
                Health::Ready | Health::Unwritten(_) => {}
            }
        }
        match (built_in, missing) {
            (Health::Progressing(text), _) | (_, Some(text)) => Health::Progressing(text),
            (health, None) => health,
        }
    }
}

impl Condition {
    fn new(source: &HealthCel) -> Self {
        let compile = |text: &str| Some(cel::compile(text)).filter(|_| !text.is_empty());
        let ready = compile(&source.ready).map(|compiled| (source.ready.clone(), compiled));
        Self { ready, failed: compile(&source.failed) }
    }

    fn evaluate(&self, subject: &Result<Subject, String>) -> Health {
        let holds = |expression: &Result<Expression, String>| match (expression, subject) {
            (Ok(expression), Ok(subject)) => cel::holds(expression, subject),
            (Err(error), _) | (_, Err(error)) => Err(error.clone()),
        };
        let cannot = |which: &str, error: String| {
            Health::Progressing(
                format!("condition `{which}` cannot be evaluated: {error}").clip(HEALTH_BYTES),
            )
        };
        match self.failed.as_ref().map(holds) {
            Some(Ok(true)) => return Health::Failed("its condition `failed` holds".to_owned()),
            Some(Err(error)) => return cannot("failed", error),
            Some(Ok(false)) | None => {}
        }
        match self.ready.as_ref().map(|(text, expression)| (text, holds(expression))) {
            Some((text, Ok(false))) => Health::Progressing(format!("waits for {text}").clip(HEALTH_BYTES)),
            Some((_, Err(error))) => cannot("ready", error),
            Some((_, Ok(true))) | None => Health::Ready,
        }
    }
}

/// Conditions compiled so far, by their text: compiled once, however many plans have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compiled(BTreeMap<(String, String), Arc<Condition>>);

impl Compiled {
    /// Forgets what none of these says.
    fn keep<'a>(&mut self, sources: impl Iterator<Item = &'a HealthCel>) {
        let texts: BTreeSet<_> = sources.map(|cel| (cel.ready.as_str(), cel.failed.as_str())).collect();
        self.0.retain(|(ready, failed), _| texts.contains(&(ready.as_str(), failed.as_str())));
    }

    fn get(&mut self, source: &HealthCel) -> Arc<Condition> {
        let key = (source.ready.clone(), source.failed.clone());
        self.0.entry(key).or_insert_with(|| Arc::new(Condition::new(source))).clone()
    }

    /// The conditions of an App that are about a kind, if there are any.
    pub(super) fn conditions(&mut self, cel: &[HealthCel], group: &str, kind: &str) -> Option<Conditions> {
        let named = |cel: &&HealthCel| cel.kinds.iter().any(|pattern| glob::is_kind(pattern, group, kind));
        let sources: Vec<&HealthCel> = cel.iter().filter(named).collect();
        if sources.is_empty() {
            return None;
        }
        let texts: Vec<(&str, &str)> =
            sources.iter().map(|cel| (cel.ready.as_str(), cel.failed.as_str())).collect();
        let digest = Digest::of(format!("{texts:?}").as_bytes());
        let id = digest.as_bytes().first_chunk().map_or(1, |chunk| u64::from_be_bytes(*chunk).max(1));
        Some(Conditions { id, all: sources.into_iter().map(|cel| self.get(cel)).collect() })
    }
}

impl State {
    /// What is judged by whom may have changed: a plan came into force, or kinds became known. What was judged by
    /// conditions that are gone has to be seen again before it counts.
    pub(crate) fn rejudge(&mut self, now: Timestamp) {
        let bundles = self.active.iter().flat_map(|active| active.bundles.values());
        let leaving: Vec<_> = bundles.clone().filter(|bundle| !bundle.plan.drift.ignore.is_empty()).collect();
        let judging: Vec<_> = bundles.filter(|bundle| !bundle.plan.health.cel.is_empty()).collect();
        let compiled = &mut self.compiled;
        compiled.keep(judging.iter().flat_map(|bundle| &bundle.plan.health.cel));
        let mut judges: BTreeMap<(&str, &str, &str), Judge> = BTreeMap::new();
        for (key, entry) in &self.ledger.entries {
            let place = (entry.service_account.as_str(), key.group.as_str(), key.kind.as_str());
            judges.entry(place).or_insert_with(|| {
                let theirs = judging.iter().filter(|bundle| bundle.plan.service_account == place.0);
                let conditions = theirs.filter_map(|bundle| {
                    Some((bundle.id.clone(), compiled.conditions(&bundle.plan.health.cel, place.1, place.2)?))
                });
                let conditions = conditions.collect();
                let has_status = self.kinds.kind(key).is_some_and(|kind| kind.has_status);
                let left = leaving.iter().filter(|bundle| bundle.plan.service_account == place.0);
                let left = left.map(|bundle| {
                    let paths = ignore::paths_of(&bundle.plan.drift, place.1, place.2);
                    (bundle.id.clone(), Left::new(&paths))
                });
                let left = left.filter(|(_, left)| !left.is_empty()).collect();
                Judge::new(place.1, place.2, has_status, conditions, left)
            });
        }
        let mut marked = Vec::new();
        let mut ledger = Ascending::new(&self.ledger.entries);
        for (key, managed) in &mut self.objects {
            let Some((_, entry)) = ledger.get(key) else { continue };
            let place = (entry.service_account.as_str(), key.group.as_str(), key.kind.as_str());
            managed.judge = judges.get(&place).cloned().unwrap_or_default();
            managed.over = managed.want.as_ref().is_some_and(|want| entry.is_over(&want.body));
            if managed.lose_judgement(now) {
                marked.push(entry.app.clone());
            }
        }
        marked.iter().for_each(|app| self.outbox.mark(app));
    }
}

impl PartialEq for Judge {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Judge {}

impl PartialOrd for Judge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Judge {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id().cmp(&other.id())
    }
}

impl Hash for Judge {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}
