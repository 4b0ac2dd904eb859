//! Objects that are not as they should be, foreign ones and those that were
//! taken over: what the API and the command say of them, and which comes first.

use std::io::BufRead;

use jiff::Timestamp;
use rimward_hub::core::status::first::not_ready;
use rimward_hub::core::world::World;
use rimward_proto::report::{
    AppReport, DriftAction, DriftReport, DriftType, ObjectReport, State, TakenReport,
};
use serde_json::{Value, json};

use crate::api::Server;
use crate::cli_hub::LiveHub;
use crate::fixture::*;

fn failed(reason: &str, exceptions: Vec<ObjectReport>) -> AppReport {
    AppReport { exceptions, ..report(State::Failed, reason, "see below") }
}

/// web meets a Deployment and a Secret that are not ours on eu-1, and took a Service over on us-1.
fn adopting() -> World {
    let mut world = world(Timestamp::now());
    let deployment =
        foreign("Deployment", "web", &[("/spec/replicas", "3", "5"), ("/spec/paused", "", "true")]);
    let secret = foreign("Secret", "key", &[("/data/password", "\"canary1\"", "\"canary2\"")]);
    say(&mut world, "eu-1", failed("Foreign", vec![deployment, secret]));
    let taken = vec![TakenReport { key: key("Service", "web"), managers: vec!["kubectl-edit".into()] }];
    say(&mut world, "us-1", AppReport { taken, ..report(State::Ready, "", "") });
    world
}

fn object(kind: &str, name: &str) -> Value {
    let group = if kind == "Deployment" { "apps" } else { "" };
    json!({"group": group, "version": null, "kind": kind, "namespace": "payments", "name": name})
}

#[tokio::test]
async fn a_refused_object_says_whose_it_is_and_what_a_takeover_would_change() {
    let server = Server::new(adopting());
    let wanted = json!({
        "cluster": "eu-1", "tenant": "payments", "app": "web", "object": object("Deployment", "web"),
        "reason": "Foreign", "message": "it is there, and not ours",
        "managers": ["helm", "kubectl-client-side-apply"],
        "fields": [
            {"path": "/spec/replicas", "wanted": 3, "found": 5, "redacted": false},
            {"path": "/spec/paused", "wanted": null, "found": true, "redacted": false},
        ],
        "listed": null,
    });
    for path in
        ["/clusters/eu-1/objects", "/clusters/eu-1", "/tenants/payments/apps/web", "/tenants/payments"]
    {
        let (_, mut answer) = server.get(path).await;
        let items = if path.ends_with("objects") { &mut answer["items"] } else { &mut answer["objects"] };
        let items = items.as_array_mut().unwrap();
        // A page is in the order of its keys, a description in the order of the report.
        items.sort_by_key(|item| item["object"]["kind"].to_string());
        let at = items[0].as_object_mut().unwrap().remove("asOf").unwrap();
        assert!(at.as_str().unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(items[0], wanted, "{path}");
        // Of a Secret the names, whatever the spoke sent.
        let field = json!({"path": "/data/password", "wanted": null, "found": null, "redacted": true});
        assert_eq!(items[1]["fields"], json!([field]));
        assert!(!answer.to_string().contains("canary"), "{path}");
    }
}

#[tokio::test]
async fn a_drifted_secret_is_never_shown() {
    let mut world = world(Timestamp::now());
    let mut secret = drift("d1", Timestamp::now());
    secret.key = key("Secret", "key");
    (secret.fields[0].found, secret.fields[0].wanted) = ("\"canary\"".into(), "\"canary\"".into());
    world.drift.push_back((cluster("eu-1"), secret));
    let (_, list) = Server::new(world).get("/drift").await;
    assert!(!list.to_string().contains("canary"), "{list}");
    assert_eq!(list["items"][0]["fields"][0]["redacted"], true);
}

#[tokio::test]
async fn what_was_taken_over_says_from_whom() {
    let server = Server::new(adopting());
    for (path, kind) in [
        ("/tenants/payments/apps/web", "App"),
        ("/clusters/us-1", "Cluster"),
        ("/tenants/payments", "Tenant"),
    ] {
        let (_, one) = server.get(path).await;
        let taken = &one["taken"][0];
        assert_eq!((&one["kind"], one["taken"].as_array().unwrap().len()), (&json!(kind), 1));
        assert_eq!(
            (&taken["cluster"], &taken["app"], &taken["tenant"]),
            (&json!("us-1"), &json!("web"), &json!("payments"))
        );
        assert_eq!(
            (&taken["object"], &taken["managers"]),
            (&object("Service", "web"), &json!(["kubectl-edit"]))
        );
    }
    let (_, other) = server.get("/clusters/eu-1").await;
    assert_eq!(other["taken"], json!([]));
    let (_, source) = server.get("/tenants/payments/sources/apps").await;
    assert_eq!((&source["taken"], &source["firstNotReady"]), (&json!([]), &Value::Null));
}

#[test]
fn the_first_thing_to_look_at_is_the_cause_of_the_worst_state() {
    let now = Timestamp::now();
    let late = || problem("Deployment", "web", "HealthTimeout", "0 of 3 are available");
    let slow = || problem("ConfigMap", "a", "Progressing", "waits for its namespace");
    let progressing =
        || AppReport { exceptions: vec![slow()], ..report(State::Progressing, "Progressing", "") };
    type Case = (&'static str, fn(&mut World), Option<(&'static str, &'static str)>);
    let cases: [Case; 4] = [
        ("as it is", |_| {}, Some(("us-1", "HealthTimeout"))),
        ("not seen", |world| us_offline(world, Timestamp::now()), Some(("eu-1", "Progressing"))),
        (
            "one is mended",
            |world| say(world, "us-1", report(State::Ready, "", "")),
            Some(("eu-1", "Progressing")),
        ),
        (
            "nothing named",
            |world| {
                say(world, "us-1", report(State::Waiting, "DependsOn", "waits for payments/db"));
                say(world, "eu-1", report(State::Ready, "", ""));
            },
            None,
        ),
    ];
    for (what, change, wanted) in cases {
        let mut world = world(now);
        say(&mut world, "eu-1", progressing());
        say(&mut world, "us-1", failed("HealthTimeout", vec![slow(), late()]));
        change(&mut world);
        let reports = world.clusters.iter().map(|(name, known)| (name, &known.apps[&web()].0));
        let found = not_ready(&world, reports, now);
        let found = found.map(|found| (found.cluster.as_str(), found.object.reason.as_str()));
        assert_eq!(found, wanted, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_puts_the_cause_first_and_tells_foreign_and_taken() {
    let hub = LiveHub::start(adopting());
    let text = hub.run(&["describe", "app/payments/web"]).await.out;
    let first = "app/payments/web\n  state             Failed\n  reason            Foreign\n  \
                 message           1 of 2 clusters: eu-1: see below\n  \
                 firstNotReady     eu-1 payments/web Deployment.apps/payments/web Foreign: it is there, and not ours\n";
    assert!(text.starts_with(first), "{text}");
    let objects = "\
objects not as they should be:
  eu-1 payments/web Deployment.apps/payments/web Foreign: it is there, and not ours
    managed by helm, kubectl-client-side-apply
    a takeover would change /spec/replicas 5 to 3
    a takeover would change /spec/paused true to (none)
  eu-1 payments/web Secret/payments/key Foreign: it is there, and not ours
    managed by helm, kubectl-client-side-apply
    a takeover would change /data/password (redacted)
taken over:
  us-1 payments/web Service/payments/web from kubectl-edit
";
    assert!(text.contains(objects), "{text}");
    assert!(!text.contains("canary"));
    // Many fields are cut for a terminal, and there with -o wide.
    let fields: Vec<(String, &str, &str)> = (0..14).map(|n| (format!("/spec/f{n}"), "1", "2")).collect();
    let fields: Vec<_> =
        fields.iter().map(|(path, wanted, found)| (path.as_str(), *wanted, *found)).collect();
    let many = foreign("Deployment", "web", &fields);
    hub.server.change(|world| say(world, "eu-1", failed("Foreign", vec![many])));
    let narrow = hub.run(&["describe", "cluster/eu-1"]).await.out;
    assert!(narrow.contains("/spec/f9 2 to 1\n    and 4 more fields (-o wide)\n"), "{narrow}");
    let wide = hub.run(&["describe", "cluster/eu-1", "-o", "wide"]).await.out;
    assert!(wide.contains("/spec/f13 2 to 1\n") && !wide.contains("more fields"), "{wide}");
    // Ready: there is no first.
    hub.server.change(|world| say(world, "eu-1", report(State::Ready, "", "")));
    let ready = hub.run(&["describe", "app/payments/web"]).await.out;
    assert!(!ready.contains("firstNotReady") && !ready.contains("objects not"), "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_with_the_first_thing_that_is_not_ready() {
    let mut world = world(Timestamp::now());
    let slow = problem("Deployment", "web", "Progressing", "1 of 3 are available: ImagePullBackOff");
    let progressing =
        AppReport { exceptions: vec![slow], ..report(State::Progressing, "Progressing", "not yet") };
    say(&mut world, "eu-1", progressing);
    let hub = LiveHub::start(world);
    let first = "\n  first not ready: eu-1 payments/web Deployment.apps/payments/web ";
    for reference in ["app/payments/web", "cluster/eu-1", "tenant/payments"] {
        let ran = hub.run(&["wait", reference, "--timeout", "1s"]).await;
        assert_eq!(ran.code, 3, "{ran:?}");
        let wanted = format!("{first}Progressing: 1 of 3 are available: ImagePullBackOff\n");
        assert!(ran.err.ends_with(&wanted), "{reference}: {}", ran.err);
    }
    let late = problem("Deployment", "web", "HealthTimeout", "1 of 3 are\u{1b}[2J available");
    hub.server.change(|world| say(world, "eu-1", failed("HealthTimeout", vec![late])));
    let ran = hub.run(&["wait", "app/payments/web"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let wanted = format!("{first}HealthTimeout: 1 of 3 are\\u{{1b}}[2J available\n");
    assert!(ran.err.ends_with(&wanted), "{}", ran.err);
    // A source has no objects, and nothing is added.
    let ran = hub.run(&["wait", "source/fleet", "--for=Held", "--timeout", "1s"]).await;
    assert!(!ran.err.contains("first not ready"), "{ran:?}");
}

/// Drift of each kind, as spokes report it, and the line it makes.
fn drifts(now: Timestamp) -> [(DriftReport, &'static str); 6] {
    let start =
        |id: &str| DriftReport { restored_millis: None, action: DriftAction::Reported, ..drift(id, now) };
    let contended = DriftReport { kind: DriftType::Contended, manager: "hpa".into(), ..start("c") };
    let deleted =
        DriftReport { kind: DriftType::Deleted, manager: String::new(), fields: vec![], ..start("e") };
    [
        (drift("a", now), "/spec/replicas 3→5 kubectl-scale Reverted 40ms"),
        (start("b"), "/spec/replicas 3→5 kubectl-scale Reported"),
        (
            DriftReport { approximate: true, ..start("f") },
            "/spec/replicas 3→5 kubectl-scale Reported Approximate",
        ),
        (contended.clone(), "/spec/replicas 3→5 hpa Contended"),
        (DriftReport { id: "d".into(), fields: vec![], ..contended }, "Contended hpa Reported"),
        (
            DriftReport { action: DriftAction::Reverted, restored_millis: Some(7), ..deleted },
            "Deleted unknown Reverted 7ms",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_is_only_reported_or_fought_over_is_a_line_as_well() {
    let now = Timestamp::now();
    let hub = LiveHub::start(world(now));
    let line = |what: &str| format!("eu-1 payments/web Deployment.apps/payments/web {what}\n");
    let all: String = drifts(now).iter().map(|(_, what)| line(what)).collect();
    let mut child = hub.spawn(&["get", "drift", "-w"]);
    let (server, out) = (hub.server.clone(), child.out());
    let streamed = tokio::task::spawn_blocking(move || {
        let mut lines = out.lines();
        // What comes before the stream is open is in the list, so nothing is lost or said twice.
        let mut seen = String::new();
        for (report, _) in drifts(now) {
            server.change(|world| world.drift.push_back((cluster("eu-1"), report)));
            seen += &(lines.next().unwrap().unwrap() + "\n");
        }
        seen
    });
    let streamed = streamed.await.unwrap();
    drop(child);
    assert_eq!(streamed, all);
    let ran = hub.run(&["get", "drift"]).await;
    assert_eq!((ran.code, ran.out), (0, all));
}
