//! `rimward get`, `describe` and `status` against a live hub: tables as in the
//! manual, JSON as the API has it.

use std::io::BufRead;

use jiff::Timestamp;
use rimward_hub::core::note::Severity;
use rimward_hub::core::world::{Task, World};
use rimward_proto::report::{AppReport, Listed, ListsReport, ObjectReport, State};
use serde_json::{Value, json};

use crate::api::timeless;
use crate::cli_hub::{LiveHub, SOON};
use crate::fixture::*;

fn fleet() -> World {
    let now = Timestamp::now();
    let mut world = world(now);
    us_offline(&mut world, now);
    world.drift.push_back((cluster("eu-1"), drift("d1", now)));
    world.events.push_back(event("e1", "Rollback", "2026-11-23T12:00:00Z".parse().unwrap()));
    world.clusters.get_mut(&cluster("eu-1")).unwrap().holds = vec![hold()];
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_as_in_the_manual() {
    let mut world = fleet();
    world.clusters.get_mut(&cluster("eu-1")).unwrap().holds.clear();
    let hub = LiveHub::start(world);
    let shows = async |args: &[&str], expected: &str| {
        let ran = hub.run(args).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        let seconds = |text: &str| text.replace("3s ", "2s ").replace("4s ", "2s ");
        assert_eq!(seconds(&ran.out), expected, "{args:?}");
    };
    let clusters = "\
NAME  STATE    APPS  DRIFT  PLAN  SEEN  CERT
eu-1  Ready    1/1   0      41    2s    5d
us-1  Offline  1/1   ?      40    14m   5d
";
    shows(&["get", "clusters"], clusters).await;
    let apps = hub.run(&["get", "apps"]).await.out;
    let start = "\
TENANT    NAME  STATE    COMMIT   CLUSTERS  READY  MESSAGE
payments  web   Offline  9f2c1ab  2         1      1 of 2 clusters: us-1: no stream since ";
    assert!(apps.starts_with(start), "{apps}");
    let line =
        "eu-1 payments/web Deployment.apps/payments/web /spec/replicas 3→5 kubectl-scale Reverted 40ms\n";
    shows(&["get", "drift"], line).await;
    let events = "\
TIME                  TYPE      CLUSTER  APP           OBJECT                  MESSAGE
2026-11-23T12:00:00Z  Rollback  eu-1     payments/web  ConfigMap/payments/web  it happened
";
    shows(&["get", "events"], events).await;
    shows(&["get", "clusters", "us-1", "-o", "name"], "cluster/us-1\n").await;
    shows(&["get", "sources", "-o", "name"], "source/fleet\nsource/payments/apps\n").await;
    shows(&["get", "holds"], "HOLD  REASON  APPS  CLUSTERS  OBJECTS  DIGEST  MESSAGE\n").await;
    shows(&["get", "clusters", "--state", "Held"], "NAME  STATE  APPS  DRIFT  PLAN  SEEN  CERT\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_the_answer_of_the_api_and_yaml_means_the_same() {
    let hub = LiveHub::start(fleet());
    for (kind, path) in
        [("clusters", "/clusters"), ("apps", "/apps"), ("drift", "/drift"), ("holds", "/holds")]
    {
        let expected = timeless(hub.server.get(path).await.1);
        let json: Value = serde_json::from_str(&hub.run(&["get", kind, "-o", "json"]).await.out).unwrap();
        let yaml: Value = serde_yaml::from_str(&hub.run(&["get", kind, "-o", "yaml"]).await.out).unwrap();
        assert_eq!(timeless(json), expected, "{kind}");
        assert_eq!(timeless(yaml), expected, "{kind}");
        assert!(!expected["items"].as_array().unwrap().is_empty(), "{kind}");
    }
    let wide = hub.run(&["get", "clusters", "-o", "wide"]).await.out;
    assert!(
        wide.starts_with("NAME  STATE    APPS  DRIFT  PLAN  SEEN  CERT  KUBERNETES  SPOKE  LABELS"),
        "{wide}"
    );
    assert!(wide.contains("v1.37.2     0.1.0  env=prod"), "{wide}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_put_together() {
    let mut world = fleet();
    let known = world.clusters[&cluster("eu-1")].clone();
    for n in 0..1_500 {
        world.clusters.insert(cluster(&format!("c-{n:04}")), known.clone());
    }
    let hub = LiveHub::start(world);
    let ran = hub.run(&["get", "clusters", "-o", "name"]).await;
    assert_eq!(ran.out.lines().count(), 1_502);
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_shows_notes_objects_and_events() {
    let mut world = fleet();
    let mut failed = report(State::Failed, "Denied", "policy p says no");
    failed.exceptions = vec![problem("ConfigMap", "web", "Denied", "by\u{1b}[2Jp")];
    say(&mut world, "eu-1", failed);
    let source = world.sources.get_mut(&apps_source()).unwrap();
    source.notes =
        vec![note(Severity::Error, "RW3004", "unknown field `namespce`, did you mean `namespace`?")];
    let hub = LiveHub::start(world);
    let text = hub.run(&["describe", "app/payments/web"]).await.out;
    for expected in [
        "app/payments/web\n  state             Failed\n  reason            Denied\n",
        "  message           1 of 2 clusters: eu-1: policy p says no\n",
        "  clusters.offline  1\n",
        "notes:\n  error[RW3004]: unknown field `namespce`, did you mean `namespace`? --> web/rimward.yaml:5:3\n",
        "  eu-1 payments/web ConfigMap/payments/web Denied: by\\u{1b}[2Jp\n",
        "events:\n  2026-11-23T12:00:00Z  Rollback",
    ] {
        assert!(text.contains(expected), "{expected}\n---\n{text}");
    }
    let json: Value =
        serde_json::from_str(&hub.run(&["describe", "cluster/eu-1", "-o", "json"]).await.out).unwrap();
    assert_eq!((&json["kind"], &json["objects"][0]["reason"]), (&"Cluster".into(), &"Denied".into()));
    let source = hub.run(&["describe", "source/payments/apps"]).await.out;
    assert!(source.contains("reason      BadFile"), "{source}");
    for reference in ["tenant/payments", "source/fleet", "cluster/us-1"] {
        assert_eq!(hub.run(&["describe", reference]).await.code, 0, "{reference}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_is_wrong_first() {
    let hub = LiveHub::start(fleet());
    let text = hub.run(&["status"]).await.out;
    let start = "acme  Held\n  1 of 5 parts: cluster/eu-1: 1 deletions of payments/web wait for: rimward approve sha256:";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("clusters    2  (1 Held, 1 Offline)\n"), "{text}");
    assert!(text.contains("published   41 (epoch 1), signed 6"), "{text}");
    let json: Value = serde_json::from_str(&hub.run(&["status", "-o", "json"]).await.out).unwrap();
    assert_eq!((&json["kind"], &json["holds"]), (&"Status".into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_the_hub_itself_fails_at() {
    let mut world = fleet();
    let eu = world.clusters.get_mut(&cluster("eu-1")).unwrap();
    eu.refused = Some(("BadSignature".into(), "key k is not in root 1".into()));
    world.went(Task::Planning, Some("the disk is full".into()), Timestamp::now() - seconds(250));
    world.went(Task::Planning, Some("the disk is still full".into()), Timestamp::now());
    let hub = LiveHub::start(world);
    let text = hub.run(&["status"]).await.out;
    let message =
        "hub: what was read cannot be published; the last publication stays: the disk is still full";
    assert!(text.starts_with("acme  Failed\n") && text.contains(message), "{text}");
    assert!(text.contains("planning    failing for 4m: the disk is still full\n"), "{text}");
    hub.server.change(|world| world.went(Task::Planning, None, Timestamp::now()));
    let json: Value = serde_json::from_str(&hub.run(&["status", "-o", "json"]).await.out).unwrap();
    assert_eq!(json["troubles"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_followed() {
    let hub = LiveHub::start(fleet());
    let mut running = hub.spawn(&["get", "drift", "-w"]);
    let (server, out) = (hub.server.clone(), running.out());
    let follow = tokio::task::spawn_blocking(move || {
        let mut lines = out.lines().map(Result::unwrap);
        let first = lines.next().unwrap();
        let mut second = drift("d2", Timestamp::now());
        second.manager = "kubectl-edit".into();
        // Whether the stream is open by now or not: it goes on where the list ended.
        server.change(|world| world.drift.push_back((cluster("eu-1"), second)));
        [first, lines.next().unwrap()]
    });
    let lines = tokio::time::timeout(SOON, follow).await.expect("both lines in time").unwrap();
    assert!(lines[0].contains("Reverted 40ms") && lines[1].contains("kubectl-edit"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_list_prints_what_changes() {
    let hub = LiveHub::start(fleet());
    let mut running = hub.spawn(&["get", "clusters", "-w"]);
    let (server, out) = (hub.server.clone(), running.out());
    let lines = tokio::task::spawn_blocking(move || {
        let mut lines = out.lines().map(Result::unwrap);
        let mut seen: Vec<String> = lines.by_ref().take(3).collect();
        server.change(|_| {});
        server.change(|world| world.clusters.get_mut(&cluster("us-1")).unwrap().connected = true);
        seen.extend(lines.next());
        seen
    });
    let lines = tokio::time::timeout(SOON, lines).await.expect("all lines in time").unwrap();
    assert!(lines[0].starts_with("NAME") && lines[2].starts_with("us-1  Offline"), "{lines:?}");
    assert!(lines[3].starts_with("us-1  Ready"), "only what changed: {lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_says_where_it_shows_late() {
    let mut world = fleet();
    let at: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let lists = ListsReport { places: 88, interval_seconds: 60, as_of: Some(at) };
    world.clusters.get_mut(&cluster("eu-1")).unwrap().lists = Some(lists);
    let unknown = ObjectReport {
        listed: Some(Listed { interval_seconds: 60, as_of: Some(at) }),
        ..problem("ConfigMap", "far", "Unknown", "its watch fails")
    };
    say(&mut world, "eu-1", AppReport { exceptions: vec![unknown], ..report(State::Waiting, "Unknown", "") });
    let hub = LiveHub::start(world);
    let ran = hub.run(&["get", "drift"]).await;
    assert_eq!(
        ran.err,
        "eu-1: beyond its watches, 88 kinds and namespaces are listed every 60 s, last at 2026-11-23T12:00:00Z: drift \
         there shows that late\n"
    );
    assert!(ran.out.starts_with("eu-1 payments/web "), "{}", ran.out);
    assert_eq!(hub.run(&["get", "drift", "-q"]).await.err, "");
    assert_eq!(hub.run(&["get", "drift", "-c", "us-1"]).await.err, "");
    let ran = hub.run(&["get", "drift", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&ran.out).unwrap();
    let expected =
        json!([{"cluster": "eu-1", "places": 88, "intervalSeconds": 60, "asOf": "2026-11-23T12:00:00Z"}]);
    assert_eq!((ran.err.as_str(), &list["lists"]), ("", &expected));
    let ran = hub.run(&["get", "clusters", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(list["items"][0]["lists"]["intervalSeconds"], 60);
    let ran = hub.run(&["describe", "cluster/eu-1"]).await;
    assert!(ran.out.contains("\n    looked at every 60 s, last at 2026-11-23T12:00:00Z\n"), "{}", ran.out);
    assert!(list["items"][1]["lists"].is_null());
}
