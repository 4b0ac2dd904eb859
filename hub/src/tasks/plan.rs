//! Everything loaded → plans. One task plans, publishes, renews heads and
//! collects garbage, so that none of them ever sees another half done.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rimward_proto::{AppId, ClusterName, ClusterUid, Digest};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::memory::{Loaded, Memory};
use super::{Request, TaskError, collect, heal, lock, publish};
use crate::core::plan::{PlanInputs, RenderCache, plan};
use crate::core::world::{ClusterStatus, Task, World};
use crate::handle::ActionError;
use crate::sign::scope::Inspector;
use crate::source::Mirrors;
use crate::state::{State, causes};
use crate::store::records::Approval;

/// How long changes are gathered before they are planned: what comes together is published together, and nobody
/// notices the wait.
const WINDOW: Duration = Duration::from_millis(10);
/// First collection after the start, when the fleet is back and quiet.
const FIRST_COLLECTION: Duration = Duration::from_secs(600);
/// Time between collections: content lives at least a day, so an hour is soon enough.
const COLLECTION: Duration = Duration::from_secs(3600);
/// A head that could not be renewed is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// The first pause after what was read could not be planned or published; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: a disk that has room again is found within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Plans and publishes.
pub struct Planner {
    pub(super) state: Arc<State>,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) loaded: Arc<Mutex<Loaded>>,
    pub(super) memory: Memory,
    pub(super) cache: RenderCache,
    /// What was found right to be signed.
    pub(super) inspector: Inspector,
    /// Content known to be on disk, so that it is not looked for again.
    pub(super) stored: HashSet<Digest>,
}

/// What the spokes have said that planning reads.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub cleared: BTreeMap<ClusterName, BTreeSet<AppId>>,
    pub unaccounted: BTreeMap<ClusterName, BTreeSet<AppId>>,
}

impl Planner {
    /// A planner that goes on from `memory`.
    pub fn new(state: Arc<State>, mirrors: Arc<Mirrors>, loaded: Arc<Mutex<Loaded>>, memory: Memory) -> Self {
        let (cache, inspector) = (RenderCache::default(), Inspector::default());
        Self { state, mirrors, loaded, memory, cache, inspector, stored: HashSet::new() }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>, stop: CancellationToken) {
        let mut collect_at = Instant::now() + FIRST_COLLECTION;
        let mut renew_at = self.renewal();
        let (mut failures, mut retry_at) = (0, None);
        loop {
            let mut answers = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(request) = requests.recv() => answers.push(request),
                () = self.state.plan_needed.notified() => tokio::time::sleep(WINDOW).await,
                () = until(retry_at) => {}
                () = tokio::time::sleep_until(renew_at) => {
                    renew_at = tokio::task::block_in_place(|| self.renew());
                    continue;
                }
                () = tokio::time::sleep_until(collect_at) => {
                    tokio::task::block_in_place(|| collect::collect(&mut self));
                    collect_at = Instant::now() + COLLECTION;
                    continue;
                }
            }
            while let Ok(request) = requests.try_recv() {
                answers.push(request);
            }
            let trouble = tokio::task::block_in_place(|| self.pass()).err();
            let trouble = trouble.map(|error| causes(error.as_ref()));
            if let Some(error) = &trouble {
                tracing::error!(error, "publishing failed; the last publication stays");
                retry_at = Some(Instant::now() + pause(failures));
                failures = failures.saturating_add(1);
            } else {
                (failures, retry_at) = (0, None);
            }
            self.went(Task::Planning, trouble.clone());
            renew_at = self.renewal();
            for Request { trouble: before, reply } in answers {
                let answer =
                    before.or_else(|| trouble.clone()).map_or(Ok(()), |why| Err(ActionError::Failed(why)));
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
        }
    }

    /// Shows how a task went, if that is news.
    pub(super) fn went(&self, task: Task, failure: Option<String>) {
        let known = self.state.look(|world| world.troubles.get(&task).map(|trouble| trouble.message.clone()));
        if known != failure {
            self.state.update(|world| world.went(task, failure, Timestamp::now()));
        }
    }

    /// One planning, and its publication if it says something new.
    fn pass(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let span = tracing::info_span!("plan");
        let _in_span = span.enter();
        heal::heal(self)?;
        let loaded = lock(&self.loaded).clone();
        let Some(policy) = loaded.policy.clone() else { return Ok(()) };
        let enrolled: BTreeMap<ClusterName, ClusterUid> = self
            .state
            .enrolments
            .all()
            .into_iter()
            .map(|(cluster, enrolment)| (cluster, enrolment.uid))
            .collect();
        let approvals = Self::approvals(&self.state).map_err(TaskError::Store)?;
        let hub: BTreeSet<Digest> =
            approvals.iter().filter(|(_, a)| a.cluster.is_none()).map(|(d, _)| *d).collect();
        let said = Self::said(&self.state);
        let inputs = PlanInputs {
            policy: &policy,
            trees: &loaded.trees,
            looks: &loaded.looks,
            enrolled: &enrolled,
            previous: &self.memory.plans,
            origins: &self.memory.origins,
            cleared: &said.cleared,
            approvals: &hub,
            unaccounted: &said.unaccounted,
            indexes: &self.memory.indexes,
        };
        let cache = &mut self.cache;
        let output = catch_unwind(AssertUnwindSafe(|| plan(&inputs, cache))).map_err(|_| {
            // What was remembered may be half written.
            self.cache = RenderCache::default();
            "planning failed badly; this is a bug"
        })?;
        publish::publish(self, publish::Planned { loaded, policy, enrolled, approvals, output })?;
        Ok(())
    }

    /// Approvals that are not used up.
    pub(super) fn approvals(state: &State) -> Result<BTreeMap<Digest, Approval>, crate::store::StoreError> {
        let all = state.store.read_all::<Approval>("approval/")?;
        Ok(all.into_iter().filter_map(|(hex, a)| Some((format!("sha256:{hex}").parse().ok()?, a))).collect())
    }

    /// Only reports that speak of the plan in force count.
    pub(super) fn said(state: &State) -> Said {
        let published = state.published.borrow().clone();
        let Some(published) = published else { return Said::default() };
        let current = |cluster: &ClusterName, status: &ClusterStatus| {
            published.assignments.get(cluster).is_some_and(|(_, now)| status.plan == Some(now.plan))
        };
        let gather = |world: &World, list: fn(&ClusterStatus) -> &Vec<AppId>| {
            let said = world.clusters.iter().filter(|(cluster, status)| current(cluster, status));
            said.map(|(cluster, status)| {
                (cluster.clone(), list(status).iter().cloned().collect::<BTreeSet<_>>())
            })
            .filter(|(_, apps)| !apps.is_empty())
            .collect()
        };
        state.look(|world| Said {
            cleared: gather(world, |status| &status.cleared),
            unaccounted: gather(world, |status| &status.unaccounted),
        })
    }

    /// When the head in force is to be renewed: at a third of its life.
    fn renewal(&self) -> Instant {
        let published = self.state.published.borrow();
        let Some(head) = published.as_ref().map(|published| &published.head) else {
            return Instant::now() + COLLECTION;
        };
        let life = head.expires.duration_since(head.issued).unsigned_abs();
        let age = Timestamp::now().duration_since(head.issued);
        let age = if age.is_negative() { Duration::ZERO } else { age.unsigned_abs() };
        Instant::now() + (life / 3).saturating_sub(age)
    }

    fn renew(&mut self) -> Instant {
        let renewed = publish::renew(&self.state);
        self.went(Task::Renewal, renewed.as_ref().err().map(|error| causes(error)));
        match renewed {
            Ok(true) => self.renewal(),
            Ok(false) => Instant::now() + COLLECTION,
            Err(error) => {
                tracing::error!(error = causes(&error), "the head cannot be renewed");
                Instant::now() + RETRY
            }
        }
    }
}

/// The pause after so many failures in a row before this one.
fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE)
}

/// Sleeps until then; without a time, for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
