//! Whether the fleet's Tests hold: on which clusters each App would be, after
//! all bounds and guardrails, against where it is expected. What cannot be known
//! because a source is not at hand is neither a pass nor a failure.

use std::collections::BTreeSet;

use rimward_proto::{AppId, ClusterName};

use super::files::{Case, Test};
use super::model::{Policy, Selector, SourceId, SourceSpec, Tenant};
use super::note::Position;
use super::plan::PlanOutput;
use super::select::ClusterIndex;
use super::world::AppWait;

/// How a case went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All of it holds.
    Passed,
    /// It cannot be told.
    Unknown,
    /// Some of it does not hold.
    Failed,
}

/// A case that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran<'t> {
    /// The Test it is of.
    pub test: &'t Test,
    /// The case.
    pub case: &'t Case,
    /// How it went.
    pub outcome: Outcome,
    /// Why, a line each; empty if it passed.
    pub why: Vec<String>,
}

/// What cases are judged by.
pub struct Testing<'a> {
    /// The fleet's policy.
    pub policy: &'a Policy,
    /// Sources that were at hand.
    pub given: &'a BTreeSet<SourceId>,
    /// What [`evaluate`](super::offline::evaluate) came to with them.
    pub output: &'a PlanOutput,
}

impl Testing<'_> {
    /// Runs a case.
    pub fn run<'t>(&self, test: &'t Test, case: &'t Case) -> Ran<'t> {
        let index = ClusterIndex::new(&self.policy.clusters);
        let mut said: Vec<(Outcome, String)> = Vec::new();
        match self.policy.tenants.get(&case.app.tenant) {
            None => said.push((Outcome::Failed, format!("there is no tenant {}", case.app.tenant))),
            Some(tenant) => {
                let missing = self.missing(&case.app);
                for (cluster, wanted) in all(case) {
                    said.extend(self.judge(&index, tenant, &case.app, cluster, wanted, &missing));
                }
                // An App that is wrong is nowhere, which is not what "not there" is meant to say.
                if let Some(why) = self.blocked(&case.app) {
                    said.push((Outcome::Failed, why));
                }
            }
        }
        let outcome = said.iter().map(|(outcome, _)| *outcome).max().unwrap_or(Outcome::Passed);
        let mut why: Vec<String> = said.into_iter().map(|(_, why)| why).collect();
        why.dedup();
        Ran { test, case, outcome, why }
    }

    fn judge(
        &self,
        index: &ClusterIndex,
        tenant: &Tenant,
        app: &AppId,
        cluster: &ClusterName,
        wanted: bool,
        missing: &Missing<'_>,
    ) -> Option<(Outcome, String)> {
        let Some(position) = index.position(cluster) else {
            return Some((Outcome::Failed, format!("no cluster is called {cluster}")));
        };
        let picks = |selector: &Selector| index.select(selector).contains(position);
        let there = self.output.plans.get(cluster).is_some_and(|plan| {
            plan.bundles.iter().any(|bundle| (&bundle.tenant, &bundle.app) == (&app.tenant, &app.app))
        });
        if there {
            let why = || (Outcome::Failed, format!("it is on {cluster}, where it must not be"));
            return (!wanted).then(why);
        }
        let fail = |why: String| Some((Outcome::Failed, format!("it is not on {cluster}: {why}")));
        let outside = |what: &str, at: &Position| format!("{cluster} is outside {what} ({at})");
        if !picks(&tenant.clusters) {
            return if wanted { fail(outside("the tenant's clusters", &tenant.clusters_at)) } else { None };
        }
        match missing {
            Missing::Nothing => {}
            // A case about what does not exist would hold for ever.
            Missing::Nowhere => {
                let why = format!("no source of tenant {} has an App {}", app.tenant, app.app);
                return Some((Outcome::Failed, why));
            }
            Missing::Unread(sources) => {
                let Some((first, _)) = sources.iter().find(|(_, spec)| picks(&spec.clusters)) else {
                    // No source that could have the App could bring it there, so nothing is missing to say so.
                    let why = "outside the clusters of every source that could have the App".to_owned();
                    return if wanted { fail(why) } else { None };
                };
                let why = format!("app {app} is in no source that was given; give --source {first}=DIR");
                return Some((Outcome::Unknown, why));
            }
        }
        // What keeps it away for now (a guardrail, a variable) is not what "not there" is meant to say.
        if let Some(wait) = self.output.decided.apps.get(app).and_then(|decision| decision.wait_on(cluster)) {
            let AppWait { reason, note, .. } = wait;
            let why = format!("{reason} on {cluster}: {} ({}, {})", note.message, note.code, note.at);
            return Some((Outcome::Failed, why));
        }
        // Of an App that is written wrong, why it is not updated is said once and not for each cluster.
        let found = self.output.apps.get(app).filter(|_| wanted)?;
        let source = self.policy.sources().find(|(id, _)| *id == found.source);
        if let Some((id, spec)) = source.filter(|(_, spec)| !picks(&spec.clusters)) {
            return fail(outside(&format!("the clusters of source {id}"), &spec.at));
        }
        if !picks(&found.clusters) {
            return fail(outside("the App's clusters", &found.clusters_at));
        }
        match self.blocked(app) {
            Some(_) => None,
            None => fail("it is refused there".to_owned()),
        }
    }

    /// Why the App as it is written is not in any plan.
    fn blocked(&self, app: &AppId) -> Option<String> {
        let note = self.output.decided.apps.get(app)?.blocked.as_ref()?;
        Some(format!("App {app} would not be updated: {} ({}, {})", note.message, note.code, note.at))
    }

    /// What is not known of an App.
    fn missing(&self, app: &AppId) -> Missing<'_> {
        if self.output.decided.apps.contains_key(app) {
            return Missing::Nothing;
        }
        let of_tenant =
            |id: &SourceId| matches!(id, SourceId::Tenant { tenant, .. } if *tenant == app.tenant);
        let unread = self.policy.sources().filter(|(id, _)| of_tenant(id) && !self.given.contains(id));
        let unread: Vec<_> = unread.collect();
        if unread.is_empty() { Missing::Nowhere } else { Missing::Unread(unread) }
    }
}

/// What is not known of an App.
enum Missing<'a> {
    /// It was read.
    Nothing,
    /// Every source of its tenant was read, and it is in none.
    Nowhere,
    /// It may be in one of these.
    Unread(Vec<(SourceId, &'a SourceSpec)>),
}

/// Every cluster of a case, and whether the App must be there.
fn all(case: &Case) -> impl Iterator<Item = (&ClusterName, bool)> {
    let expect = case.expect.iter().map(|name| (name, true));
    expect.chain(case.reject.iter().map(|name| (name, false)))
}
