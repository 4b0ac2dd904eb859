//! The rules of Guardrails, evaluated on an App's objects. Whatever has no answer
//! counts as broken, and what an answer may cost is counted in steps: neither the
//! clock nor what else is planned makes a difference.

use std::sync::Arc;

use rimward_proto::ObjectKey;
use rimward_proto::expression::{Bounds, Fault, Subject, Vocabulary, together};
use rimward_proto::object::is_kind;
use serde_json::{Map, Value, json};

use crate::core::codes;
use crate::core::model::{Action, App, Cluster, Guardrail, Tenant};
use crate::core::note::{Note, Severity};
use crate::render::RenderedObject;

/// What rules may name.
pub const VOCABULARY: Vocabulary =
    Vocabulary { variables: &["object", "cluster", "tenant", "app"], aliases: &[] };

/// Values: more than an object of a mebibyte has in earnest, such as the longest CustomResourceDefinitions, so that size
/// alone breaks no rule. Cost: a rule of twenty nodes looks through five thousand entries of one object.
const BOUNDS: Bounds = Bounds { values: 100_000, cost: 100_000 };
/// Steps of one guardrail over all objects of an App, on clusters that are the same to it: ten thousand objects with
/// twenty rules each, and what one App can cost a planning.
const STEPS: u64 = 5_000_000;
/// Broken rules that are told of one guardrail and App: as many as one mends at a time.
const TOLD: usize = 20;

/// One object that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    object: Arc<RenderedObject>,
    /// Number of the rule; none if the guardrail as a whole costs too much.
    rule: Option<usize>,
    /// Why there is no answer; none if the answer is no.
    fault: Option<Fault>,
}

/// What a guardrail says of an App.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The first of what breaks it, in the order of objects.
    pub broken: Vec<Broken>,
    /// How many more there are.
    pub more: usize,
}

impl Verdict {
    /// True if every object follows every rule.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

/// A guardrail, and what it sees of one kind of clusters; none if it does not look at them.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The guardrail.
    pub guardrail: &'a Guardrail,
    /// A cluster that stands for all of them.
    pub cluster: Option<&'a Cluster>,
}

/// What rules see of a cluster.
pub(super) fn cluster(cluster: &Cluster) -> Value {
    let variables = cluster.variables.iter();
    let variables: Map<String, Value> =
        variables.filter_map(|(name, value)| Some((name.clone(), value.as_ref()?.to_json()))).collect();
    json!({"name": cluster.name, "labels": cluster.labels, "variables": variables})
}

fn tenant(tenant: &Tenant) -> Value {
    json!({"name": tenant.name, "namespaces": tenant.namespaces})
}

fn app(app: &App) -> Value {
    json!({
        "name": app.id.app,
        "namespace": app.namespace.as_deref().unwrap_or(""),
        "source": app.source.to_string(),
        "path": app.root,
    })
}

/// The answers to questions about one App, in their order.
pub fn judge<'o>(
    of: (&Tenant, &App),
    objects: impl Iterator<Item = &'o Arc<RenderedObject>>,
    questions: &[Question<'_>],
) -> Vec<Verdict> {
    let clusters: Vec<Option<Value>> =
        questions.iter().map(|question| question.cluster.map(cluster)).collect();
    together(|| {
        let mut subject = Subject::new(BOUNDS);
        let known = subject.set("tenant", &tenant(of.0)).and_then(|()| subject.set("app", &app(of.1)));
        let mut sheets: Vec<Sheet> = questions.iter().map(|_| Sheet::default()).collect();
        for object in objects {
            let about = |guardrail: &Guardrail| {
                guardrail.kinds.iter().any(|kind| is_kind(kind, &object.key.group, &object.key.kind))
            };
            if !questions.iter().any(|question| about(question.guardrail)) {
                continue;
            }
            let object_set = known.clone().and_then(|()| {
                let value = serde_json::from_slice(&object.bytes).map_err(|_| Fault::Broken)?;
                subject.set("object", &value)
            });
            for ((question, cluster), sheet) in questions.iter().zip(&clusters).zip(&mut sheets) {
                if about(question.guardrail) {
                    let set = object_set.clone().and_then(|()| match cluster {
                        Some(cluster) => subject.set("cluster", cluster),
                        None => Ok(()),
                    });
                    sheet.ask(question.guardrail, object, &subject, set);
                }
            }
        }
        sheets.into_iter().map(|sheet| sheet.verdict).collect()
    })
}

#[derive(Default)]
struct Sheet {
    verdict: Verdict,
    steps: u64,
    over: bool,
}

impl Sheet {
    fn ask(
        &mut self,
        guardrail: &Guardrail,
        object: &Arc<RenderedObject>,
        subject: &Subject,
        set: Result<(), Fault>,
    ) {
        if self.over {
            return;
        }
        for (number, rule) in guardrail.rules.iter().enumerate() {
            let before = subject.spent();
            let said = set.clone().and_then(|()| rule.expression.holds(subject));
            self.steps = self.steps.saturating_add(subject.spent() - before);
            if self.steps > STEPS {
                self.over = true;
                return self.add(Broken { object: object.clone(), rule: None, fault: Some(Fault::Cost) });
            }
            let fault = match said {
                Ok(true) => continue,
                Ok(false) => None,
                Err(fault) => Some(fault),
            };
            self.add(Broken { object: object.clone(), rule: Some(number), fault });
        }
    }

    fn add(&mut self, broken: Broken) {
        // That it costs too much is never among those that are only counted.
        if self.verdict.broken.len() < TOLD || broken.rule.is_none() {
            self.verdict.broken.push(broken);
        } else {
            self.verdict.more += 1;
        }
    }
}

impl Broken {
    /// What is broken, and how: the same on other clusters, and in other forms of its App.
    pub fn key(&self) -> (ObjectKey, Option<usize>, &'static str) {
        (self.object.key.clone(), self.rule, self.fault.as_ref().map_or("", Fault::kind))
    }

    /// The note about it. What a Secret holds is not in it, and neither is anything that an expression found: a
    /// guardrail's message is said as it is written.
    pub fn note(&self, guardrail: &Guardrail, on: &str, more: usize) -> Note {
        let (key, name) = (&self.object.key, &guardrail.name);
        let rule = self.rule.and_then(|number| guardrail.rules.get(number));
        let at = rule.map_or(&guardrail.at, |rule| &rule.at);
        let why = self.fault.as_ref().map(|fault| match (key.is_secret(), fault) {
            (false, Fault::Missing(_)) => fault.to_string(),
            _ => fault.kind().to_owned(),
        });
        let what = match (rule, why) {
            (Some(rule), None) => rule.message.clone(),
            (Some(rule), Some(why)) => {
                format!("{} (the rule cannot be evaluated, which counts as broken: {why})", rule.message)
            }
            (None, _) => format!("its rules cost more than {STEPS} steps on this App's objects"),
        };
        let more = match more {
            0 => String::new(),
            more => format!("; and {more} more like it"),
        };
        let (severity, verb, help) = match guardrail.action {
            Action::Deny => (Severity::Error, "denies", "change the object, or ask the platform team"),
            Action::Warn => (Severity::Warning, "warns of", "change the object before the rule is enforced"),
        };
        let message = format!("Guardrail {name} ({at} of the fleet repo) {verb} {key}{on}: {what}{more}");
        Note::new(severity, codes::GUARDRAIL, self.object.at.clone(), message).help(help)
    }
}
