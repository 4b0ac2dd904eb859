//! What an enrolled spoke can make the hub keep.

use jiff::Timestamp;
use rimward_hub::core::told::{self, DETAIL_BYTES, QUOTA, UNACCOUNTED};
use rimward_hub::core::world::{ClusterStatus, RECENT, World as Fleet};
use rimward_proto::plan::Plan;
use rimward_proto::report::{AppReport, EventReport, ObjectReport, State};
use rimward_proto::{AppId, ObjectKey};

use super::world::{World, cluster, id};

fn report(app: &str, message: &str) -> AppReport {
    let key = ObjectKey::new(message, "ConfigMap", "payments", "x");
    let exception = ObjectReport {
        key,
        reason: message.into(),
        message: message.into(),
        managers: vec![message.into(); 100],
        fields: vec![],
        listed: None,
    };
    AppReport {
        id: id(app),
        bundle: None,
        state: State::Failed,
        reason: "Denied".into(),
        message: message.into(),
        objects: 1,
        ready: 0,
        exceptions: vec![exception],
        taken: vec![],
    }
}

fn planned() -> Plan {
    Plan::clone(&World::started().previous[&cluster("eu-1")])
}

fn apps(status: &ClusterStatus) -> Vec<String> {
    status.apps.keys().map(AppId::to_string).collect()
}

#[test]
fn only_apps_that_the_cluster_can_have_are_kept() {
    let plan = planned();
    let now = Timestamp::UNIX_EPOCH;
    let mut status = ClusterStatus { unaccounted: vec![id("payments/old")], ..ClusterStatus::default() };
    for n in 0..100 {
        let names = ["payments/web".to_owned(), "payments/old".into(), format!("payments/n{n}")];
        let reports = names.iter().map(|name| report(name, "no")).collect();
        told::apps(&mut status, reports, false, now, Some(&plan));
    }
    assert_eq!(apps(&status), ["payments/old", "payments/web"]);
    let later = Timestamp::from_second(9).unwrap();
    told::apps(
        &mut status,
        vec![report("payments/db", "no"), report("payments/web", "no")],
        false,
        later,
        Some(&plan),
    );
    assert_eq!(apps(&status), ["payments/db", "payments/old", "payments/web"], "the rest stays as it was");
    assert_eq!((status.apps[&id("payments/web")].1, status.apps[&id("payments/db")].1), (now, later));
    told::apps(&mut status, vec![report("payments/db", "no")], true, later, Some(&plan));
    assert_eq!(apps(&status), ["payments/db"], "a full report is everything");
    status.unaccounted = (0..2 * UNACCOUNTED).map(|n| id(&format!("payments/u{n}"))).collect();
    told::apps(&mut status, vec![report("payments/db", "no")], true, later, None);
    assert_eq!((apps(&status).len(), status.unaccounted.len()), (0, UNACCOUNTED));
}

#[test]
fn details_are_cut_and_bounded_and_counts_are_not() {
    let mut plan = planned();
    let one = plan.bundles[0].clone();
    plan.bundles = (0..500)
        .map(|n| rimward_proto::plan::PlanBundle { app: format!("a{n}").parse().unwrap(), ..one.clone() })
        .collect();
    let mut status = ClusterStatus::default();
    for n in 0..500 {
        let reports = vec![report(&format!("payments/a{n}"), &"m".repeat(200_000))];
        told::apps(&mut status, reports, false, Timestamp::UNIX_EPOCH, Some(&plan));
    }
    assert_eq!(status.apps.len(), 500);
    assert!(status.apps.values().all(|(report, _)| report.message.len() == 1024 && report.objects == 1));
    let with_detail = status.apps.values().filter(|(report, _)| !report.exceptions.is_empty()).count();
    let each = 256 + 256 + 1024 + 20 * 256;
    assert!((1..=DETAIL_BYTES / each).contains(&with_detail), "{with_detail}");
}

#[test]
fn one_cluster_does_not_push_out_the_news_of_others() {
    let mut fleet = Fleet::default();
    let event = |n: usize, message: &str| EventReport {
        id: n.to_string(),
        time: Timestamp::UNIX_EPOCH,
        kind: "Refused".into(),
        message: message.into(),
        app: None,
        key: None,
    };
    told::news(&mut fleet, &cluster("us-1"), vec![], vec![event(0, "quiet")]);
    for n in 0..3 * RECENT / 100 {
        let events = (0..100).map(|m| event(n * 100 + m, &"loud".repeat(10_000))).collect();
        told::news(&mut fleet, &cluster("eu-1"), vec![], events);
    }
    assert_eq!(fleet.events.len(), QUOTA + 1);
    assert_eq!(fleet.events[0].what.message, "quiet");
    let last = fleet.events.back().unwrap().what.clone();
    assert_eq!((last.id, last.message.len()), ((3 * RECENT - 1).to_string(), 16 << 10));
    told::news(&mut fleet, &cluster("eu-1"), vec![], vec![event(3 * RECENT - 1, "again")]);
    assert_eq!(fleet.events.len(), QUOTA + 1, "a repeated one is the same");
}
