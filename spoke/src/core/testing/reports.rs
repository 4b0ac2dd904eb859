//! What the hub is told, when, and how much of it at most.

use jiff::SignedDuration;
use rimward_proto::limits::{REPORT_BYTES, REPORT_EXCEPTIONS};
use rimward_proto::report::State as Status;
use serde_json::json;

use super::fleet::{App, app, config, config_key, key_of};
use super::world::World;
use crate::core::Event;

fn publish(world: &mut World, apps: &[App]) {
    let plan = world.fleet.plan(apps, &[]);
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    world.pass(SignedDuration::from_secs(2));
}

#[test]
fn full_on_connect_then_only_what_changed() {
    let mut world = World::new();
    let apps = |value: &str| {
        vec![
            app("shop/one", vec![config("shop", "a", "1")]),
            app("shop/two", vec![config("shop", "b", value)]),
        ]
    };
    publish(&mut world, &apps("1"));
    world.disconnect();
    world.reports.clear();
    world.connect();
    let first = &world.reports[0];
    assert!(first.full && first.apps.len() == 2);
    world.reports.clear();
    publish(&mut world, &apps("2"));
    let last = world.reports.last().unwrap();
    assert!(!last.full);
    assert_eq!(last.apps.iter().map(|app| app.id.to_string()).collect::<Vec<_>>(), ["shop/two"]);
    assert!(world.reports.iter().zip(world.reports.iter().skip(1)).all(|(a, b)| a.counter + 1 == b.counter));
    assert_eq!(last.plan, world.state.active.as_ref().map(|active| active.digest));
}

#[test]
fn news_is_told_again_until_it_is_acknowledged() {
    let mut world = World::new();
    publish(&mut world, &[app("shop/web", vec![config("shop", "a", "1")])]);
    world.api.edit(&config_key("shop", "a"), "kubectl", &[(&["data", "value"], "2".into())]);
    world.pass(SignedDuration::from_secs(2));
    let drifts = |world: &World| world.reports.iter().map(|report| report.drift.len()).sum::<usize>();
    assert_eq!(drifts(&world), 1);
    world.reports.clear();
    world.disconnect();
    world.connect();
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(drifts(&world), 1, "never acknowledged");
    let counter = world.reports.last().unwrap().counter;
    world.send(Event::ReportAck { boot_id: "boot0".into(), counter });
    world.reports.clear();
    world.disconnect();
    world.connect();
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(drifts(&world), 0);
}

#[test]
fn a_report_is_bounded_whatever_breaks() {
    let mut world = World::new();
    let objects: Vec<_> = (0..600).map(|i| config("shop", &format!("{}{i}", "n".repeat(200)), "1")).collect();
    world.api.denied.extend(objects.iter().map(key_of));
    let apps: Vec<App> = (0..12)
        .map(|i| app(&format!("shop/app{i}"), objects[i * 50..(i + 1) * 50].to_vec()))
        .chain([app("shop/many", (0..100).map(|i| config("elsewhere", &format!("x{i}"), "1")).collect())])
        .collect();
    publish(&mut world, &apps);
    world.disconnect();
    world.connect();
    world.pass(SignedDuration::from_secs(2));
    assert!(world.reports.len() > 1);
    for report in &world.reports {
        assert!(serde_json::to_vec(report).unwrap().len() <= REPORT_BYTES);
        assert!(report.apps.iter().all(|app| app.exceptions.len() <= REPORT_EXCEPTIONS));
    }
    let many =
        world.reports.iter().flat_map(|report| &report.apps).find(|app| app.id.to_string() == "shop/many");
    let many = many.unwrap();
    assert_eq!((many.state, many.objects, many.ready, many.exceptions.len()), (Status::Failed, 100, 0, 50));
}

#[test]
fn a_workload_is_ready_when_it_is_available_and_failed_when_its_time_is_over() {
    let mut world = World::new();
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 1}});
    let key = key_of(&deployment);
    publish(&mut world, &[app("shop/web", vec![deployment])]);
    let state = |world: &World| {
        let report = world.reports.iter().rev().find(|report| !report.apps.is_empty()).unwrap();
        (report.apps[0].state, report.apps[0].reason.clone())
    };
    assert_eq!(state(&world), (Status::Progressing, "Progressing".into()));
    world.pass(SignedDuration::from_secs(301));
    assert_eq!(state(&world), (Status::Failed, "HealthTimeout".into()));
    let one = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
    world.api.set_status(&key, &one);
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(state(&world), (Status::Ready, String::new()));
    assert_eq!(world.count("get"), 0, "status is no drift");
}
