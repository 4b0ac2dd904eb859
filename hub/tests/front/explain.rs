//! `rimward explain` and its API: both ways, each step with its place.

use axum::http::StatusCode;
use jiff::Timestamp;
use rimward_hub::core::model::Selector;
use rimward_hub::core::world::World;
use serde_json::{Value, json};

use crate::api::Server;
use crate::cli_hub::LiveHub;
use crate::fixture::*;

/// web selects env=prod, and us-1 has env=dev.
fn away() -> World {
    let now = Timestamp::now();
    let mut world = world(now);
    let mut app = rimward_hub::core::model::App::clone(&world.apps[&web()]);
    app.clusters = Selector { match_labels: [("env".into(), "prod".into())].into(), ..Selector::default() };
    world.apps.insert(web(), app.into());
    let mut decided = rimward_hub::core::world::Decided::clone(&world.decided);
    decided.apps.get_mut(&web()).unwrap().clusters.pop();
    world.decided = decided.into();
    let plan = rimward_proto::plan::Plan {
        bundles: vec![plan_bundle(&web(), bundle())],
        ..rimward_proto::plan::Plan::default()
    };
    world.published = Some(publish(now, plan, &["eu-1"], vec![]).into());
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_as_in_the_manual() {
    let hub = LiveHub::start(away());
    let ran = hub.run(&["explain", "app/payments/web", "-c", "us-1"]).await;
    let expected = "NOT HERE. ✓ tenant.clusters fleet.yaml:13  ✗ app.clusters web/rimward.yaml:6: env=prod, us-1 has env=dev\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, expected, ""));
    let ran = hub.run(&["explain", "app/payments/web", "-c", "eu-1"]).await;
    let start = "HERE. ✓ tenant.clusters fleet.yaml:13  ✓ app.clusters web/rimward.yaml:6  ✓ plan: published (seq 41)  \
                 ✓ spoke: Ready, as of ";
    assert!(ran.out.starts_with(start), "{ran:?}");
    let all = hub.run(&["explain", "app/payments/web", "-c", "us-1", "-v"]).await.out;
    let steps = [
        "source",
        "tenant.clusters",
        "app.clusters",
        "overrides",
        "render",
        "guardrails",
        "rollout",
        "plan",
        "spoke",
    ];
    for (line, step) in all.lines().skip(1).zip(steps) {
        assert!(line.trim_start()[4 - 1..].trim_start().starts_with(step), "{line} is not of {step}");
    }
    let json: Value = serde_json::from_str(
        &hub.run(&["explain", "app/payments/web", "-c", "us-1", "-o", "json"]).await.out,
    )
    .unwrap();
    assert_eq!(
        (&json["tenant"], &json["app"], &json["cluster"]),
        (&json!("payments"), &json!("web"), &json!("us-1"))
    );
    assert_eq!((&json["here"], &json["blocking"]), (&json!(false), &json!("app.clusters")));
    let expected = json!({"step": "app.clusters", "result": "fail", "file": "web/rimward.yaml", "line": 6,
        "commit": COMMIT, "message": "env=prod, us-1 has env=dev"});
    assert_eq!(json["steps"][2], expected);
    assert_eq!(hub.run(&["explain", "app/payments/web"]).await.code, 2);
    assert_eq!(hub.run(&["explain", "cluster/eu-1", "-c", "eu-1"]).await.code, 2);
    assert_eq!(hub.run(&["explain", "app/payments/x", "-c", "eu-1"]).await.code, 5);
    assert_eq!(hub.run(&["explain", "app/payments/web", "-c", "eu-9"]).await.code, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_says_where_it_comes_from_and_how_it_is() {
    let hub = LiveHub::start(world(Timestamp::now()));
    let object = async |what: &str| {
        hub.run(&["explain", "app/payments/web", "-c", "eu-1", "--object", what])
            .await
            .out
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    let line = object("ConfigMap/payments/a").await;
    let start = "ConfigMap/payments/a: app/payments/web from web/cm.yaml:1: HERE. Ready, as of ";
    assert!(line.starts_with(start), "{line}");
    assert_eq!(object("ConfigMap/payments/b").await, "ConfigMap/payments/b: no App brings it");
    let bad = hub.run(&["explain", "app/payments/web", "-c", "eu-1", "--object", "a"]).await;
    assert_eq!(bad.code, 2, "{bad:?}");
}

#[tokio::test]
async fn unknown_parameters_are_refused() {
    let server = Server::new(world(Timestamp::now()));
    let path = "/tenants/payments/apps/web/explain";
    for query in ["", "?cluster=eu-1&x=y", "?cluster=NOT_A_NAME", "?cluster=eu-1&object=x"] {
        assert_eq!(server.get(&format!("{path}{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}
