//! State of a cluster: who it is, whether it can be seen, and whether what it
//! says it runs is what is published for it.

use jiff::Timestamp;
use rimward_proto::plan::{Plan, PlanBundle};
use rimward_proto::report::{HoldReport, State};
use rimward_proto::{AppId, ClusterName, Digest};

use super::{Status, name_some, worst};
use crate::core::world::{ClusterStatus, World};

/// One cluster with what is published for it, looked up once.
#[derive(Debug, Clone, Copy)]
pub struct ClusterView<'a> {
    /// The world it is in.
    pub world: &'a World,
    /// Its name.
    pub name: &'a ClusterName,
    /// What is known of it.
    pub known: &'a ClusterStatus,
    /// The plan published for it, with its digest; none if there is none.
    pub wanted: Option<(Digest, &'a Plan)>,
    /// The time to judge by.
    pub now: Timestamp,
}

/// Apps of a cluster, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppCount {
    /// Apps of the plan published for it.
    pub total: u64,
    /// Of those, the ones it last reported Ready with the bundle of that plan.
    pub ready: u64,
}

impl<'a> ClusterView<'a> {
    /// The cluster of that name, if there is one.
    pub fn new(world: &'a World, name: &ClusterName, now: Timestamp) -> Option<Self> {
        let (name, known) = world.clusters.get_key_value(name)?;
        let wanted = world.published.as_ref().and_then(|published| {
            let digest = published.assignments.get(name)?.1.plan;
            Some((digest, published.plans.get(&digest)?.as_ref()))
        });
        Some(Self { world, name, known, wanted, now })
    }

    /// When what is known of it was true: at its last report. That it is connected makes no older report younger.
    pub fn as_of(&self) -> Timestamp {
        self.known.reported.or(self.known.last_seen).unwrap_or(self.now)
    }

    /// When it was last heard: what is said of the link was true then.
    fn heard(&self) -> Timestamp {
        self.known.reported.max(self.known.last_seen).unwrap_or(self.now)
    }

    /// True if it has reported over a stream that is still open.
    pub fn seen(&self) -> bool {
        let identity = self.known.uid.is_some() && self.known.locked.is_none();
        self.known.connected && identity && self.known.reported.is_some()
    }

    fn not(&self, state: State, reason: &str, message: impl Into<String>) -> Status {
        Status::not(state, reason, message, self.as_of())
    }

    fn link_is(&self, state: State, reason: &str, message: impl Into<String>) -> Status {
        Status::not(state, reason, message, self.heard())
    }

    /// Why its reports cannot be trusted to be current; none if they can.
    pub(super) fn link(&self) -> Option<Status> {
        let name = self.name;
        if self.known.uid.is_none() {
            let help = format!("not enrolled: rimward enroll {name} --kube-context CONTEXT");
            return Some(self.link_is(State::Pending, "NotEnrolled", help));
        }
        if let Some(why) = &self.known.locked {
            let message = format!("{why} No spoke of it is let in until: rimward enroll {name} --replace");
            return Some(self.link_is(State::Failed, "Locked", message));
        }
        if !self.known.connected {
            let message = match self.known.last_seen {
                Some(seen) => format!("no stream since {}", super::stamp(seen)),
                None => "enrolled, but not seen since the hub started".to_owned(),
            };
            return Some(self.link_is(State::Offline, "NoStream", message).since(self.known.last_seen));
        }
        let expired = |at: Option<Timestamp>| at.filter(|at| *at <= self.now);
        if let Some(at) = expired(self.known.certificate_expires) {
            let message = format!("its certificate expired at {}", super::stamp(at));
            return Some(self.link_is(State::Stale, "CertificateExpired", message).since(Some(at)));
        }
        let published = self.world.published.as_ref();
        if let Some(at) = expired(published.map(|published| published.head.expires)) {
            let message = format!("the head expired at {} and none was signed since", super::stamp(at));
            return Some(self.link_is(State::Stale, "HeadExpired", message).since(Some(at)));
        }
        (self.wanted.is_some() && self.known.reported.is_none())
            .then(|| self.link_is(State::Pending, "NoReport", "connected, but has not reported yet"))
    }

    /// What the files say of it that keeps it from being planned, if anything.
    fn document(&self) -> Option<Status> {
        let Some(policy) = self.world.policy.as_ref() else {
            let message = "the fleet repo has not been read yet; what was published stays in force";
            return Some(self.not(State::Waiting, "FleetUnknown", message));
        };
        let name = self.name;
        match (policy.clusters.contains_key(name), self.wanted) {
            (true, Some(_)) => None,
            (true, None) => Some(self.not(State::Progressing, "NotPublished", "not in a publication yet")),
            (false, Some(_)) => {
                let message = "its Cluster document is gone: its plan stays as it was until it is removed";
                Some(self.not(State::Held, "Frozen", message))
            }
            (false, None) => {
                let yaml = format!(
                    "{{apiVersion: rimward.dev/v1alpha1, kind: Cluster, metadata: {{name: {name}}}}}"
                );
                let message = format!("no Cluster document: commit to the fleet repo: {yaml}");
                Some(self.not(State::Pending, "NoDocument", message))
            }
        }
    }

    /// The refusal of the newest offer, if it was refused.
    pub(super) fn refusal(&self) -> Option<Status> {
        let (code, message) = self.known.refused.as_ref()?;
        // Content on its way is no failure: the spoke asks for it again.
        let state = if code == "Incomplete" { State::Progressing } else { State::Failed };
        Some(self.not(state, code, format!("refused the newest publication: {message}")))
    }

    /// Digests of deletions that someone has approved, as published for it.
    fn approved(&self) -> &'a [Digest] {
        let assignments = self.world.published.as_ref().map(|published| &published.assignments);
        assignments.and_then(|all| all.get(self.name)).map(|(_, a)| a.deletes.as_slice()).unwrap_or_default()
    }

    fn held(&self) -> Option<Status> {
        let waiting = self.known.holds.iter().filter(|hold| !self.approved().contains(&hold.digest));
        let waiting: Vec<&HoldReport> = waiting.collect();
        let objects: usize = waiting.iter().map(|hold| hold.objects.len()).sum();
        if let Some(first) = waiting.first() {
            let apps = name_some(waiting.iter().map(|hold| &hold.id));
            let message = format!("{objects} deletions of {apps} wait for: rimward approve {}", first.digest);
            return Some(self.not(State::Held, "DeletionsHeld", message));
        }
        if let Some(first) = self.known.holds.first() {
            let message = format!("approved deletions of {} are being carried out", first.id);
            return Some(self.not(State::Progressing, "Deleting", message));
        }
        if self.known.unaccounted.is_empty() {
            return None;
        }
        let apps = name_some(&self.known.unaccounted);
        let message = format!("runs {apps}, which the plan neither wants nor removes; carried on");
        Some(self.not(State::Held, "Unaccounted", message))
    }

    fn behind(&self) -> Option<Status> {
        let (digest, plan) = self.wanted?;
        if self.known.plan != Some(digest) {
            return Some(self.not(
                State::Progressing,
                "PlanNotApplied",
                "the newest plan is not in force yet",
            ));
        }
        let going: Vec<AppId> =
            plan.removed.iter().map(|r| r.id()).filter(|id| !self.known.cleared.contains(id)).collect();
        let message = || format!("removing {}", name_some(&going));
        (!going.is_empty()).then(|| self.not(State::Progressing, "Removing", message()))
    }

    /// The cluster's status.
    pub fn status(&self) -> Status {
        let first = self
            .link()
            .or_else(|| self.document())
            .or_else(|| self.refusal())
            .or_else(|| self.held())
            .or_else(|| self.behind());
        let status = first.unwrap_or_else(|| self.apps_status());
        let recorded = self.known.since.filter(|(state, _)| *state == status.state).map(|(_, at)| at);
        let since = recorded.or(status.since);
        status.since(since)
    }

    fn apps_status(&self) -> Status {
        let bundles = self.wanted.map(|(_, plan)| plan.bundles.as_slice()).unwrap_or_default();
        let apps: Vec<(String, Status)> =
            bundles.iter().map(|bundle| (bundle.id().to_string(), self.app(bundle))).collect();
        let parts = apps.iter().map(|(name, status)| (name.as_str(), status));
        let status = worst("Apps", parts).unwrap_or_else(|| Status::ready(self.as_of()));
        Status { as_of: self.as_of(), ..status }
    }

    /// Status of one App of its plan, on this cluster.
    pub fn app(&self, bundle: &PlanBundle) -> Status {
        if let Some(status) = self.link().or_else(|| self.refusal()) {
            return status;
        }
        let Some((report, since)) = self.known.apps.get(&bundle.id()) else {
            return self.not(State::Progressing, "NotReported", "not reported yet");
        };
        if report.bundle != Some(bundle.digest) {
            return self.not(State::Progressing, "Applying", "the newest revision is not applied yet");
        }
        if report.state != State::Ready {
            return self.not(report.state, &report.reason, report.message.as_str()).since(Some(*since));
        }
        if self.wanted.is_none_or(|(digest, _)| self.known.plan != Some(digest)) {
            return self.not(State::Progressing, "PlanNotApplied", "the newest plan is not in force yet");
        }
        Status::ready(self.as_of()).since(Some(*since))
    }

    /// Its Apps by its last report, however old that is: [`ClusterView::status`] says whether it still counts.
    pub fn count(&self) -> AppCount {
        let bundles = self.wanted.map(|(_, plan)| plan.bundles.as_slice()).unwrap_or_default();
        let ready = bundles.iter().filter(|bundle| {
            let report = self.known.apps.get(&bundle.id()).map(|(report, _)| report);
            report.is_some_and(|r| r.state == State::Ready && r.bundle == Some(bundle.digest))
        });
        AppCount { total: bundles.len() as u64, ready: ready.count() as u64 }
    }
}
