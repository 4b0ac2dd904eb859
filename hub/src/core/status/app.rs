//! State of an App across its clusters: why its newest revision is not on its
//! way, if so; else the worst of what its clusters say of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::plan::PlanBundle;
use rimward_proto::report::State;
use rimward_proto::{AppId, ClusterName, Digest};

use super::cluster::ClusterView;
use super::overview::Overview;
use super::{Status, line, name_some, reason_of, worst};
use crate::core::note::Severity;
use crate::core::world::{AppDecision, AppWait, HubHold};

/// An App's clusters, counted by what they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppClusters {
    /// All of them.
    pub total: u64,
    /// Those whose last report is of the wanted bundle.
    pub updated: u64,
    /// Those where it is Ready.
    pub ready: u64,
    /// Those that wait: for a person, an enrolment or another thing with a reason.
    pub waiting: u64,
    /// Those where it failed.
    pub failed: u64,
    /// Those that cannot be seen.
    pub offline: u64,
}

/// An App with everything that is known of it, looked up once.
#[derive(Debug)]
pub struct AppView<'a> {
    /// Which App.
    pub id: AppId,
    /// What was decided for it; none if its source is not known, or it is on its way out.
    pub decision: Option<&'a AppDecision>,
    /// Its status on each cluster that shall run it or still does.
    pub on: BTreeMap<ClusterName, Status>,
    /// The clusters counted.
    pub clusters: AppClusters,
    holds: Vec<&'a HubHold>,
    removing: BTreeSet<ClusterName>,
}

/// Every App that anyone has wanted or still runs: decided, published, held, or being removed.
pub fn ids(overview: &Overview<'_>) -> BTreeSet<AppId> {
    let world = overview.world;
    let mut ids: BTreeSet<AppId> = world.decided.apps.keys().chain(world.apps.keys()).cloned().collect();
    ids.extend(world.decided.holds.iter().flat_map(|hold| hold.apps.iter().cloned()));
    for plan in world.published.iter().flat_map(|published| published.plans.values()) {
        ids.extend(plan.bundles.iter().map(PlanBundle::id));
    }
    ids.extend(overview.all_removing());
    ids
}

impl<'a> AppView<'a> {
    /// The App of that id, whether or not there is one: a view of nothing has no decision and no clusters.
    pub fn new(overview: &Overview<'a>, id: &AppId) -> Self {
        let world = overview.world;
        let decision = world.decided.apps.get(id);
        let mut view = Self {
            id: id.clone(),
            decision,
            on: BTreeMap::new(),
            clusters: AppClusters::default(),
            holds: world.decided.holds.iter().filter(|hold| hold.apps.contains(id)).collect(),
            removing: overview.removing(id),
        };
        let selected = decision.into_iter().flat_map(|decision| &decision.clusters);
        for name in selected.chain(overview.planned(id)).collect::<BTreeSet<_>>() {
            let cluster = overview.cluster(name);
            let planned = cluster.and_then(|c| planned(c, id));
            view.removing.remove(name);
            let bundle = decision.and_then(|decision| decision.bundle_on(name));
            view.add(name, cluster, planned, bundle, overview.now);
        }
        view
    }

    fn add(
        &mut self,
        name: &ClusterName,
        cluster: Option<&ClusterView<'_>>,
        planned: Option<&PlanBundle>,
        bundle: Option<Digest>,
        now: Timestamp,
    ) {
        let wait = self.decision.and_then(|decision| decision.wait_on(name));
        let status = match (wait, cluster) {
            (Some(wait), Some(cluster)) => waits(wait, cluster),
            _ => on(name, cluster, planned, bundle, now),
        };
        let report = cluster.and_then(|c| c.known.apps.get(&self.id)).map(|(report, _)| report);
        let wanted = bundle.or(planned.map(|planned| planned.digest)).filter(|_| wait.is_none());
        let counts = &mut self.clusters;
        counts.total += 1;
        counts.updated += u64::from(wanted.is_some() && report.and_then(|r| r.bundle) == wanted);
        match status.state {
            State::Ready => counts.ready += 1,
            State::Failed => counts.failed += 1,
            State::Offline | State::Stale | State::Revoked => counts.offline += 1,
            State::Waiting | State::Held | State::Paused | State::Pending => counts.waiting += 1,
            State::Progressing | State::NoClusters => {}
        }
        self.on.insert(name.clone(), status);
    }

    /// The App's status.
    pub fn status(&self, now: Timestamp) -> Status {
        let parts = self.on.iter().map(|(name, status)| (name.as_str(), status));
        let status = self.stopped(now).or_else(|| worst("clusters", parts)).unwrap_or_else(|| {
            Status::not(State::NoClusters, "NoClusters", "its selectors match no cluster", now)
        });
        // What the clusters say is not newer than the oldest of them.
        let as_of = self.on.values().map(|status| status.as_of).min().unwrap_or(now);
        Status { as_of, ..status }
    }

    /// Why its newest revision is not on its way, if it is not.
    fn stopped(&self, now: Timestamp) -> Option<Status> {
        if let Some(hold) = self.holds.first() {
            let message = format!("{}: waits for: rimward approve {}", hold.message, hold.digest);
            return Some(Status::not(State::Held, &hold.reason, message, now));
        }
        let Some(decision) = self.decision else {
            if !self.on.is_empty() {
                let message = "its source is not known; its clusters carry on with what they have";
                return Some(Status::not(State::Waiting, "SourceUnknown", message, now));
            }
            let message = format!("being removed from {}", name_some(&self.removing));
            let gone = !self.removing.is_empty();
            return gone.then(|| Status::not(State::Progressing, "Removing", message, now));
        };
        if let Some(note) = &decision.blocked {
            return Some(Status::not(State::Failed, reason_of(note), line(note), now));
        }
        let message = "its newest revision is not rendered; its clusters carry on with what they have";
        let known = decision.is_rendered() || !decision.waits.is_empty();
        (!known).then(|| Status::not(State::Waiting, "NotRendered", message, now))
    }
}

/// The App's entry in the plan published for a cluster.
fn planned<'a>(cluster: &ClusterView<'a>, id: &AppId) -> Option<&'a PlanBundle> {
    let bundles = &cluster.wanted?.1.bundles;
    let at = bundles.binary_search_by(|b| (&b.tenant, &b.app).cmp(&(&id.tenant, &id.app))).ok()?;
    bundles.get(at)
}

/// Status on a cluster that keeps what it has.
fn waits(wait: &AppWait, cluster: &ClusterView<'_>) -> Status {
    // What is wrong needs someone to mend it; what is not said yet, someone to say it.
    let state = match wait.note.severity {
        Severity::Error => State::Failed,
        Severity::Warning | Severity::Info => State::Waiting,
    };
    let why = || Status::not(state, &wait.reason, line(&wait.note), cluster.as_of());
    cluster.link().unwrap_or_else(why)
}

/// Status on one cluster, given what is published for it and what is wanted now.
fn on(
    name: &ClusterName,
    cluster: Option<&ClusterView<'_>>,
    planned: Option<&PlanBundle>,
    bundle: Option<Digest>,
    now: Timestamp,
) -> Status {
    let Some(cluster) = cluster else {
        let message = format!("{name} is not enrolled");
        return Status::not(State::Pending, "NotEnrolled", message, now);
    };
    match planned {
        Some(planned) if bundle.is_none_or(|bundle| bundle == planned.digest) => cluster.app(planned),
        _ => cluster.link().unwrap_or_else(|| {
            let message = "its newest revision is not in a publication yet";
            Status::not(State::Progressing, "NotPublished", message, cluster.as_of())
        }),
    }
}
