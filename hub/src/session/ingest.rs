//! What spokes say → the world. Reports are statements of state, so the newest
//! replaces the older; drift and events are kept in bounded rings.

use jiff::Timestamp;
use rimward_proto::head::Floor;
use rimward_proto::report::{AppReport, Report};
use rimward_proto::session::{Ack, AckKind, Hello};
use rimward_proto::{AppId, ClusterName};

use crate::core::world::{ClusterStatus, Event, RECENT, World};
use crate::state::{State, push};
use crate::store::records::Enrolment;

/// How far back a repeated drift or event is looked for: a spoke repeats only what was not acknowledged, which is what it
/// said last.
const REPEATS: usize = 1_000;

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
        status.spoke_version.clone_from(&hello.spoke_version);
        status.kubernetes_version.clone_from(&hello.kubernetes_version);
        status.held = floor.map(|floor| (floor.epoch, floor.seq));
        status.held_plan = hello.held_plan;
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
    state.update(|world| {
        let Some(status) = speaker(world, cluster, enrolment) else { return };
        status.last_seen = Some(Timestamp::now());
        match ack.kind {
            AckKind::Held => {
                status.held = Some((epoch, ack.seq));
                status.held_plan = Some(ack.plan);
                status.refused = None;
            }
            AckKind::Ready => {}
            AckKind::Applied => status.applied_plan = Some(ack.plan),
            AckKind::Refused => status.refused = Some((ack.code.clone(), ack.message.clone())),
        }
    });
    if ack.kind == AckKind::Refused {
        let message = format!("refused seq {}: {} {}", ack.seq, ack.code, ack.message);
        tracing::warn!(%cluster, "{message}");
        state.event("Refused", Some(cluster), message, "");
    }
}

/// A spoke has reported. Wakes planning if the report says something that planning reads.
pub fn report(state: &State, cluster: &ClusterName, enrolment: &Enrolment, report: Report) {
    let replan = state.update(|world| {
        let Some(status) = speaker(world, cluster, enrolment) else { return false };
        let before = (status.cleared.clone(), status.unaccounted.clone(), holds(status));
        let other_plan = status.plan != report.plan;
        status.last_seen = Some(Timestamp::now());
        status.reported = Some(report.as_of);
        status.plan = report.plan;
        status.cleared = report.cleared;
        status.unaccounted = report.unaccounted;
        status.holds = report.holds;
        apps(status, report.apps, report.full, report.as_of);
        let changed = before != (status.cleared.clone(), status.unaccounted.clone(), holds(status));
        // What was said of an older plan did not count; said of this one it may.
        let counts_now = other_plan && !(status.cleared.is_empty() && status.unaccounted.is_empty());
        keep_news(world, cluster, report.drift, report.events);
        changed || counts_now
    });
    if replan {
        state.plan_needed.notify_one();
    }
}

fn holds(status: &ClusterStatus) -> Vec<rimward_proto::Digest> {
    status.holds.iter().map(|hold| hold.digest).collect()
}

fn apps(status: &mut ClusterStatus, apps: Vec<AppReport>, full: bool, as_of: Timestamp) {
    let mut kept = std::mem::take(&mut status.apps);
    let before = kept.clone();
    if full {
        kept.clear();
    }
    for app in apps {
        let id: AppId = app.id.clone();
        let since =
            before.get(&id).filter(|(old, _)| old.state == app.state).map_or(as_of, |(_, since)| *since);
        kept.insert(id, (app, since));
    }
    status.apps = kept;
}

fn keep_news(
    world: &mut World,
    cluster: &ClusterName,
    drift: Vec<rimward_proto::report::DriftReport>,
    events: Vec<rimward_proto::report::EventReport>,
) {
    for drift in drift {
        let known =
            world.drift.iter_mut().rev().take(REPEATS).find(|(c, old)| c == cluster && old.id == drift.id);
        match known {
            // The same drift again, perhaps with its repair now.
            Some((_, old)) => *old = drift,
            None => {
                if world.drift.len() >= RECENT {
                    world.drift.pop_front();
                }
                world.drift.push_back((cluster.clone(), drift));
            }
        }
    }
    for what in events {
        let repeated = |old: &Event| old.cluster.as_ref() == Some(cluster) && old.what.id == what.id;
        if !world.events.iter().rev().take(REPEATS).any(repeated) {
            push(
                world,
                Event { time: what.time, cluster: Some(cluster.clone()), what, actor: String::new() },
            );
        }
    }
}
