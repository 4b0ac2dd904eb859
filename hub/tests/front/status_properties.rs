//! The rule above all: Ready only on a report, over an open stream, of exactly
//! what is published. Over random worlds, against the rule as it is written.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use rimward_hub::core::status::app::AppView;
use rimward_hub::core::status::cluster::ClusterView;
use rimward_hub::core::status::is_camel_case;
use rimward_hub::core::status::overview::Overview;
use rimward_hub::core::world::World;
use rimward_proto::Digest;
use rimward_proto::report::State;

use crate::fixture::*;

/// What may be wrong with eu-1; us-1 is always well.
#[derive(Debug, Clone)]
struct Broken {
    enrolled: bool,
    connected: bool,
    head_left: i64,
    certificate_left: i64,
    reported: bool,
    same_plan: bool,
    same_bundle: bool,
    refused: bool,
    state: State,
    reason: String,
    message: String,
}

fn broken() -> impl Strategy<Value = Broken> {
    // Mostly well, so that Ready is met often.
    let well = || prop::bool::weighted(0.85);
    let left = || prop_oneof![4 => 1_i64..1_000, 1 => -1_000_i64..=0];
    let state = prop_oneof![3 => Just(State::Ready), 2 => prop::sample::select(&State::ALL[..])];
    let text = || prop_oneof![Just(String::new()), "[A-Z][a-z]{2,8}", ".{0,10}"];
    let links = (well(), well(), left(), left(), well());
    let digests = (well(), well(), well(), state, text(), text());
    (links, digests).prop_map(|(links, digests)| {
        let (enrolled, connected, head_left, certificate_left, reported) = links;
        let (same_plan, same_bundle, accepted, state, reason, message) = digests;
        let refused = !accepted;
        Broken {
            enrolled,
            connected,
            head_left,
            certificate_left,
            reported,
            same_plan,
            same_bundle,
            refused,
            state,
            reason,
            message,
        }
    })
}

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn world_with(broken: &Broken) -> World {
    let mut world = world(now());
    let published = Arc::get_mut(world.published.as_mut().unwrap()).unwrap();
    published.head.expires = now() + seconds(broken.head_left);
    let eu = world.clusters.get_mut(&cluster("eu-1")).unwrap();
    eu.connected = broken.connected;
    eu.certificate_expires = Some(now() + seconds(broken.certificate_left));
    if !broken.enrolled {
        eu.uid = None;
    }
    if !broken.reported {
        eu.reported = None;
    }
    if !broken.same_plan {
        eu.plan = Some(Digest::of(b"another plan"));
    }
    if broken.refused {
        eu.refused = Some(("Rollback".into(), "older".into()));
    }
    let report = &mut eu.apps.get_mut(&web()).unwrap().0;
    *report = self::report(broken.state, &broken.reason, &broken.message);
    if !broken.same_bundle {
        report.bundle = Some(Digest::of(b"another bundle"));
    }
    world
}

proptest! {
    #[test]
    fn ready_if_and_only_if_everything_holds(broken in broken()) {
        let world = world_with(&broken);
        let all_holds = broken.enrolled
            && broken.connected
            && broken.head_left > 0
            && broken.certificate_left > 0
            && broken.reported
            && broken.same_plan
            && broken.same_bundle
            && !broken.refused
            && broken.state == State::Ready;
        let status = ClusterView::new(&world, &cluster("eu-1"), now()).unwrap().status();
        prop_assert_eq!(status.state == State::Ready, all_holds, "{:?}", status);
        let app = AppView::new(&Overview::new(&world, now()), &web());
        prop_assert_eq!(app.status(now()).state == State::Ready, all_holds);
        prop_assert_eq!(app.clusters.total, 2);
        prop_assert!(app.clusters.ready <= app.clusters.updated, "{:?}", app.clusters);
        for status in [status, app.status(now())] {
            let ready = status.state == State::Ready;
            prop_assert_eq!(status.reason.is_empty(), ready);
            prop_assert!(ready || is_camel_case(&status.reason), "{:?}", status);
            prop_assert_eq!(status.message.is_empty(), ready);
            prop_assert!(status.as_of <= now());
        }
    }

    #[test]
    fn without_a_stream_it_is_offline_whatever_was_said(broken in broken()) {
        let broken = Broken { enrolled: true, connected: false, ..broken };
        let world = world_with(&broken);
        let status = ClusterView::new(&world, &cluster("eu-1"), now()).unwrap().status();
        prop_assert_eq!(status.state, State::Offline);
    }
}
