//! The steps of an explanation, one function each.

use rimward_proto::plan::PlanBundle;
use rimward_proto::report::State;
use rimward_proto::{AppId, ClusterName, Digest};

use super::{Override, Step, StepName, Went, misses};
use crate::core::codes;
use crate::core::model::{App, Cluster, Policy, SourceId, SourceSpec, Tenant};
use crate::core::note::Note;
use crate::core::status::cluster::ClusterView;
use crate::core::status::overview::Overview;
use crate::core::world::{AppDecision, HubHold, World};

/// Codes of what the guardrails refuse.
const GUARDRAILS: [&str; 5] =
    [codes::NAMESPACE, codes::CLUSTER_SCOPED, codes::DENIED, codes::UNKNOWN_SCOPE, codes::OWNED];

/// What is known of an App and a cluster, looked up once.
pub(super) struct Steps<'a> {
    world: &'a World,
    id: &'a AppId,
    name: &'a ClusterName,
    policy: Option<&'a Policy>,
    tenant: Option<&'a Tenant>,
    document: Option<&'a Cluster>,
    app: Option<&'a App>,
    decision: Option<&'a AppDecision>,
    view: Option<ClusterView<'a>>,
    planned: Option<&'a PlanBundle>,
}

impl<'a> Steps<'a> {
    pub fn new(overview: &Overview<'a>, id: &'a AppId, name: &'a ClusterName) -> Self {
        let world = overview.world;
        let policy = world.policy.as_deref();
        let view = overview.cluster(name).copied();
        let wanted = view.and_then(|view| view.wanted);
        Self {
            world,
            id,
            name,
            policy,
            tenant: policy.and_then(|policy| policy.tenants.get(&id.tenant)),
            document: policy.and_then(|policy| policy.clusters.get(name)),
            app: world.apps.get(id).map(AsRef::as_ref),
            decision: world.decided.apps.get(id),
            view,
            planned: wanted.and_then(|(_, plan)| plan.bundles.iter().find(|bundle| bundle.id() == *id)),
        }
    }

    /// True if it is in the plan published for the cluster.
    pub fn here(&self) -> bool {
        self.planned.is_some()
    }

    /// All of them. Those after a step that keeps the App away are skipped, unless it is there all the same.
    pub fn all(&self, overrides: &[Override]) -> Vec<Step> {
        let mut steps = vec![self.source(), self.tenant_clusters(), self.app_clusters()];
        let away = steps.iter().find(|step| step.result == Went::Fail).map(|step| step.step);
        let later = [
            self.overrides(overrides),
            self.render(),
            self.guardrails(),
            Step::skip(StepName::Rollout, "every cluster gets it at once"),
            self.plan(away),
            self.spoke(),
        ];
        for step in later {
            let asked =
                away.is_none() || self.here() || matches!(step.step, StepName::Plan | StepName::Spoke);
            let message = || format!("not asked: {} keeps it away", away.map_or("", StepName::as_str));
            steps.push(if asked { step } else { Step::skip(step.step, message()) });
        }
        steps
    }

    fn source_id(&self) -> Option<&'a SourceId> {
        self.app.map(|app| &app.source).or(self.decision.map(|decision| &decision.source))
    }

    fn spec(&self) -> Option<&'a SourceSpec> {
        let SourceId::Tenant { source, .. } = self.source_id()? else { return None };
        self.tenant?.sources.get(source)
    }

    fn commit(&self) -> &'a str {
        self.decision.map_or("", |decision| &decision.commit)
    }

    fn fleet_commit(&self) -> &'a str {
        self.policy.map_or("", |policy| &policy.commit)
    }

    /// Why it, or its form for this cluster, does not go on.
    fn blocked(&self) -> Option<&'a Note> {
        let decision = self.decision?;
        decision.blocked.as_ref().or_else(|| decision.wait_on(self.name).map(|wait| &wait.note))
    }

    /// The value that is missing for this cluster alone.
    fn unset(&self) -> Option<&'a Note> {
        let wait = self.decision?.wait_on(self.name).filter(|wait| wait.reason == "VariableUnset");
        wait.map(|wait| &wait.note)
    }

    /// The bundle that the cluster shall have of it; none if it cannot be rendered.
    fn newest(&self) -> Option<Digest> {
        self.decision?.bundle_on(self.name)
    }

    fn source(&self) -> Step {
        let step = StepName::Source;
        let Some(id) = self.source_id() else {
            let message = format!("no source that is read has App {}", self.id);
            return Step::fail(step, message);
        };
        let known = self.world.sources.get(id);
        if self.app.is_none() {
            let why = self.blocked().map_or("it is not read", |note| &note.message);
            let note = self.blocked().map(|note| note.at.clone()).unwrap_or_default();
            return Step::fail(step, format!("{id}: {why}")).at(&note, self.commit());
        }
        if let (Some(spec), Some(cluster)) = (self.spec(), self.document)
            && let Some(why) = misses(&spec.clusters, cluster)
        {
            let message = format!("{id} is bound to other clusters: {why}");
            return Step::fail(step, message).at(&spec.at, self.fleet_commit());
        }
        let failing = known.and_then(|known| known.error.as_ref());
        let message = match failing {
            Some(error) => format!("{id}, as it was when it could last be read: {}", error.message),
            None => id.to_string(),
        };
        let mut step = Step::pass(step, message);
        self.commit().clone_into(&mut step.commit);
        step
    }

    fn tenant_clusters(&self) -> Step {
        let step = StepName::TenantClusters;
        let Some(tenant) = self.tenant else {
            let message = format!("tenant {} has no document", self.id.tenant);
            return Step::fail(step, message);
        };
        let went = match self.document {
            None => {
                let message = format!("cluster {} has no Cluster document in the fleet repo", self.name);
                return Step::fail(step, message);
            }
            Some(cluster) => match misses(&tenant.clusters, cluster) {
                Some(why) => Step::fail(step, why),
                None => Step::pass(step, ""),
            },
        };
        went.at(&tenant.clusters_at, self.fleet_commit())
    }

    fn app_clusters(&self) -> Step {
        let step = StepName::AppClusters;
        let (Some(app), Some(cluster)) = (self.app, self.document) else {
            return Step::skip(step, "not asked: the App's file or the cluster's is missing");
        };
        let went = match misses(&app.clusters, cluster) {
            Some(why) => Step::fail(step, why),
            None => Step::pass(step, ""),
        };
        went.at(&app.clusters_at, self.commit())
    }

    /// The chain as it applies here: what each sets that no later one sets.
    fn overrides(&self, overrides: &[Override]) -> Step {
        let step = StepName::Overrides;
        if let Some(note) = self.unset() {
            return Step::fail(step, said(note)).at(&note.at, self.commit());
        }
        let applying: Vec<&Override> = overrides.iter().filter(|one| one.applies).collect();
        let Some(last) = applying.last() else {
            return Step::skip(
                step,
                if overrides.is_empty() { "it has none" } else { "none is for this cluster" },
            );
        };
        let mut wins = Vec::new();
        for (number, one) in applying.iter().enumerate() {
            let later = &applying[number + 1..];
            let won = |name: &&String| later.iter().all(|later| !later.sets.contains(name));
            let won: Vec<&str> = one.sets.iter().filter(won).map(String::as_str).collect();
            let what = if won.is_empty() { "nothing that lasts".to_owned() } else { won.join(", ") };
            wins.push(format!("{} sets {what}", one.at));
        }
        let commit = if last.fleet { self.fleet_commit() } else { self.commit() };
        Step::pass(step, wins.join("; ")).at(&last.at, commit)
    }

    fn refused(&self) -> Option<&'a Note> {
        self.blocked().filter(|note| GUARDRAILS.contains(&note.code.as_str()))
    }

    fn render(&self) -> Step {
        let step = StepName::Render;
        match (self.decision, self.blocked()) {
            (None, _) => Step::skip(step, "not asked: its source is not known"),
            _ if self.unset().is_some() => Step::skip(step, "not asked: a value is missing"),
            (Some(_), Some(note)) if self.newest().is_none() && self.refused().is_none() => {
                Step::fail(step, said(note)).at(&note.at, self.commit())
            }
            _ => Step::pass(step, ""),
        }
    }

    fn guardrails(&self) -> Step {
        let step = StepName::Guardrails;
        match (self.decision, self.refused()) {
            (_, Some(note)) => Step::fail(step, said(note)).at(&note.at, self.commit()),
            (Some(_), None) if self.newest().is_some() => Step::pass(step, ""),
            _ => Step::skip(step, "not asked: there is nothing rendered"),
        }
    }

    fn hold(&self) -> Option<&'a HubHold> {
        let mut holds = self.world.decided.holds.iter();
        holds.find(|hold| {
            hold.apps.contains(self.id) && (hold.clusters.is_empty() || hold.clusters.contains(self.name))
        })
    }

    fn plan(&self, away: Option<StepName>) -> Step {
        let step = StepName::Plan;
        if let Some(hold) = self.hold() {
            let message = format!("held: {}: {}: rimward approve {}", hold.reason, hold.message, hold.digest);
            return Step::fail(step, message);
        }
        let Some(view) = self.view.filter(|view| view.known.uid.is_some()) else {
            let message = format!("cluster {} is not enrolled, so nothing is planned for it", self.name);
            return Step::fail(step, message);
        };
        let removed = view.wanted.into_iter().flat_map(|(_, plan)| &plan.removed);
        if let Some(removed) = removed.clone().find(|removed| removed.id() == *self.id) {
            let mut step = Step::fail(step, "it is to be removed from here");
            removed.commit.clone_into(&mut step.commit);
            return step;
        }
        let seq = self.world.published.as_ref().map_or(0, |published| published.head.seq);
        let newest = self.newest();
        let other = self.blocked().filter(|_| self.refused().is_none() && newest.is_some());
        let mut went = match (self.planned, other) {
            (None, _) if away.is_some() => Step::skip(step, "it is not for this cluster"),
            (_, Some(note)) => return Step::fail(step, said(note)).at(&note.at, self.commit()),
            (None, None) if self.blocked().is_some() => Step::skip(step, "an earlier step keeps it away"),
            (None, None) => Step::fail(step, "it is not in a publication yet"),
            (Some(planned), None) if newest.is_some_and(|newest| newest != planned.digest) => {
                Step::fail(step, format!("an older revision is published (seq {seq})"))
            }
            (Some(_), None) => Step::pass(step, format!("published (seq {seq})")),
        };
        self.planned.map_or("", |planned| &planned.commit).clone_into(&mut went.commit);
        went
    }

    fn spoke(&self) -> Step {
        let step = StepName::Spoke;
        let Some(view) = self.view else { return Step::skip(step, "there is no spoke") };
        if let Some(planned) = self.planned {
            let status = view.app(planned);
            if status.state == State::Ready {
                return Step::pass(step, format!("Ready, as of {}", status.as_of));
            }
            let message = format!(
                "{} {}: {}, as of {}",
                status.state.as_str(),
                status.reason,
                status.message,
                status.as_of
            );
            return Step::fail(step, message);
        }
        if view.known.unaccounted.contains(self.id) {
            return Step::fail(step, "it runs there, and no plan accounts for it; it is carried on");
        }
        let removed = view.wanted.into_iter().flat_map(|(_, plan)| &plan.removed);
        if removed.clone().any(|removed| removed.id() == *self.id) {
            let gone = view.known.cleared.contains(self.id);
            let message = if gone { "it is gone" } else { "it has not said that all of it is gone" };
            return Step::skip(step, message);
        }
        Step::skip(step, "nothing of it is planned here")
    }
}

/// A note as one sentence; where it is is told beside it.
fn said(note: &Note) -> String {
    format!("[{}] {}", note.code, note.message)
}
