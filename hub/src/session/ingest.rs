//! What spokes say → the world. Reports are statements of state, so the newest
//! replaces the older; how much of it is kept, [`crate::core::told`] says.

use jiff::Timestamp;
use rimward_proto::head::Floor;
use rimward_proto::report::Report;
use rimward_proto::session::{Ack, AckKind, Hello};
use rimward_proto::{ClusterName, Digest};

use crate::core::world::{ClusterStatus, World};
use crate::core::{approval, told};
use crate::state::State;
use crate::store::records::Enrolment;

/// A spoke has connected.
pub fn hello(
    state: &State,
    cluster: &ClusterName,
    hello: &Hello,
    floor: Option<Floor>,
    enrolment: &Enrolment,
) {
    state.update(|world| {
        // It may have been replaced or locked since the stream was let in; then the stream is about to be cut.
        let now = state.enrolments.get(cluster);
        let Some(now) = now.filter(|now| now.uid == enrolment.uid && now.locked.is_none()) else { return };
        let status = enrolled(world, cluster, &now);
        status.connected = true;
        status.last_seen = Some(Timestamp::now());
        status.spoke_version = told::word(&hello.spoke_version);
        status.kubernetes_version = told::word(&hello.kubernetes_version);
        status.held = floor.map(|floor| (floor.epoch, floor.seq));
        // What it says it holds opens content to it, so it must have been its own.
        let own = |plan: &Digest| state.assigned.was(cluster, &now.uid, plan);
        status.held_plan = hello.held_plan.filter(own);
    });
}

/// What the enrolment says of a cluster. Another uid is another cluster: nothing that was seen of the one that had the
/// name before is true of it.
pub fn enrolled<'w>(
    world: &'w mut World,
    cluster: &ClusterName,
    enrolment: &Enrolment,
) -> &'w mut ClusterStatus {
    let status = world.clusters.entry(cluster.clone()).or_default();
    if status.uid.as_ref().is_some_and(|uid| *uid != enrolment.uid) {
        *status = ClusterStatus::default();
        world.drift.retain(|(of, _)| of != cluster);
    }
    status.uid = Some(enrolment.uid.clone());
    status.certificate_expires = Some(enrolment.expires);
    status.locked.clone_from(&enrolment.locked);
    status
}

/// A spoke's stream has ended.
pub fn gone(state: &State, cluster: &ClusterName) {
    state.update(|world| {
        // A newer session may have come meanwhile.
        if !state.sessions.has(cluster)
            && let Some(status) = world.clusters.get_mut(cluster)
        {
            status.connected = false;
            status.last_seen = Some(Timestamp::now());
        }
    });
}

/// The status of a cluster that speaks as `enrolment`; none if the name is another cluster's now.
fn speaker<'w>(
    world: &'w mut World,
    cluster: &ClusterName,
    enrolment: &Enrolment,
) -> Option<&'w mut ClusterStatus> {
    world.clusters.get_mut(cluster).filter(|status| status.uid.as_ref() == Some(&enrolment.uid))
}

/// A spoke has said something of an offer.
pub fn ack(state: &State, cluster: &ClusterName, enrolment: &Enrolment, epoch: u64, ack: &Ack) {
    let refused = (told::word(&ack.code), told::sentence(&ack.message));
    let news = state.update(|world| {
        let Some(status) = speaker(world, cluster, enrolment) else { return false };
        status.last_seen = Some(Timestamp::now());
        match ack.kind {
            AckKind::Held => {
                status.held = Some((epoch, ack.seq));
                status.held_plan =
                    Some(ack.plan).filter(|plan| state.assigned.was(cluster, &enrolment.uid, plan));
                status.refused = None;
            }
            AckKind::Ready => {}
            AckKind::Applied => status.applied_plan = Some(ack.plan),
            // The same again is no news: a spoke may say it as often as it likes.
            AckKind::Refused => return status.refused.replace(refused.clone()).as_ref() != Some(&refused),
        }
        false
    });
    if news {
        let message = format!("refused seq {}: {} {}", ack.seq, refused.0, refused.1);
        tracing::warn!(%cluster, "{message}");
        state.event("Refused", Some(cluster), message, "");
    }
}

/// A spoke has reported. Wakes planning if the report says something that planning reads.
pub fn report(state: &State, cluster: &ClusterName, enrolment: &Enrolment, report: Report) {
    let replan = state.update(|world| {
        let published = world.published.clone();
        let plan = published.as_ref().and_then(|published| published.plan(cluster));
        let assignment =
            published.as_ref().and_then(|published| Some(&published.assignments.get(cluster)?.1));
        let Some(status) = speaker(world, cluster, enrolment) else { return false };
        let before = (status.cleared.clone(), status.unaccounted.clone(), holds(status));
        let other_plan = status.plan != report.plan;
        status.last_seen = Some(Timestamp::now());
        status.reported = Some(report.as_of);
        status.plan = report.plan;
        status.cleared = report.cleared;
        status.unaccounted = report.unaccounted;
        approval::run(status, &report.boot_id);
        status.holds = report.holds;
        status.lists = report.lists.map(|lists| *lists);
        approval::note(status, assignment.map_or(&[], |assignment| &assignment.deletes));
        told::apps(status, report.apps, report.full, report.as_of, plan.map(|plan| plan.as_ref()));
        let changed = before != (status.cleared.clone(), status.unaccounted.clone(), holds(status));
        // What was said of an older plan did not count; said of this one it may.
        let counts_now = other_plan && !(status.cleared.is_empty() && status.unaccounted.is_empty());
        told::news(world, cluster, report.drift, report.events);
        changed || counts_now
    });
    if replan {
        state.plan_needed.notify_one();
    }
}

fn holds(status: &ClusterStatus) -> Vec<Digest> {
    status.holds.iter().map(|hold| hold.digest).collect()
}
