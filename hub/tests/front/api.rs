//! The admin API: shapes of its answers, and its errors.

use std::sync::{Arc, RwLock};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use rimward_hub::api::{About, router_about};
use rimward_hub::core::world::World;
use rimward_hub::handle::{Action, Hub};
use rimward_proto::envelope::Envelope;
use rimward_proto::head::{self, Assignment, Head};
use rimward_proto::merkle::{InclusionProof, leaf_hash};
use rimward_proto::plan::Plan;
use rimward_proto::root::{self, Root};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use crate::fixture::*;

/// A hub without tasks: the test is the tasks.
pub struct Server {
    pub router: Router,
    pub world: Arc<RwLock<World>>,
    pub changed: watch::Sender<u64>,
    pub actions: mpsc::Receiver<Action>,
}

impl Server {
    pub fn new(world: World) -> Self {
        let world = Arc::new(RwLock::new(world));
        let (changed, seen) = watch::channel(0);
        let (asked, actions) = mpsc::channel(16);
        let hub = Hub { world: world.clone(), changed: seen, actions: asked };
        let about = About { address: "hub.acme.example:8443".into(), trust_domain: "acme.example".into() };
        Self { router: router_about(hub, about), world, changed, actions }
    }

    /// Changes the world as a task would.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.write().unwrap());
        self.changed.send_modify(|n| *n += 1);
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Request::get(format!("/v1{path}")).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(Request::post(format!("/v1{path}")).body(Body::from(body)).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let wanted = if status.is_success() { "application/json" } else { "application/problem+json" };
        assert_eq!(kind, wanted, "{value}");
        if !status.is_success() {
            assert_eq!(value["status"], status.as_u16(), "{value}");
            assert!(
                value["code"].as_str().unwrap().starts_with("RW8") && value["notes"].is_array(),
                "{value}"
            );
        }
        (status, value)
    }
}

/// `value` without its times, which differ from run to run.
pub fn timeless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(strip),
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = "TIME".into(),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

#[tokio::test]
async fn a_cluster_has_the_fields_of_the_interface() {
    let now = Timestamp::now();
    let mut world = world(now);
    us_offline(&mut world, now);
    let server = Server::new(world);
    let (_, list) = server.get("/clusters").await;
    assert_eq!(list["kind"], "ClusterList");
    let plan = list["items"][0]["plan"]["wanted"].clone();
    assert!(plan.as_str().unwrap().starts_with("sha256:"));
    let expected = json!({
        "name": "eu-1", "state": "Ready", "reason": "", "message": "", "asOf": "TIME", "since": "TIME",
        "labels": {"env": "prod"}, "uid": "uid-of-eu-1", "lastSeen": "TIME",
        "kubernetesVersion": "v1.37.2", "spokeVersion": "0.1.0", "certificateExpires": "TIME",
        "plan": {"epoch": 1, "seq": 41, "digest": plan, "wanted": plan},
        "apps": {"total": 1, "ready": 1}, "drift": 0, "lists": null, "pause": null,
    });
    assert_eq!(timeless(list["items"][0].clone()), expected);
    let us = &list["items"][1];
    assert_eq!(
        (&us["state"], &us["drift"], &us["plan"]["seq"]),
        (&json!("Offline"), &Value::Null, &json!(40))
    );
    let (_, one) = server.get("/clusters/eu-1").await;
    for (field, value) in
        [("kind", json!("Cluster")), ("notes", json!([])), ("events", json!([])), ("objects", json!([]))]
    {
        assert_eq!(one[field], value, "{field}");
    }
    assert_eq!(one["name"], "eu-1");
}

#[tokio::test]
async fn an_app_and_a_source_have_the_fields_of_the_interface() {
    let server = Server::new(world(Timestamp::now()));
    let (_, list) = server.get("/apps").await;
    let expected = json!({
        "name": "web", "state": "Ready", "reason": "", "message": "", "asOf": "TIME", "since": "TIME",
        "tenant": "payments", "source": "apps", "path": "web", "commit": COMMIT, "revision": bundle(),
        "pinned": false, "rollout": null, "drift": 0,
        "clusters": {"total": 2, "updated": 2, "ready": 2, "waiting": 0, "failed": 0, "offline": 0},
    });
    assert_eq!(timeless(list["items"][0].clone()), expected);
    let (_, list) = server.get("/tenants/payments/sources").await;
    let expected = json!({
        "name": "apps", "state": "Ready", "reason": "", "message": "", "asOf": "TIME", "since": null,
        "tenant": "payments", "url": "https://git.acme.example/payments/apps.git", "ref": "branch main",
        "commit": COMMIT, "fetched": "TIME", "verifiedBy": null, "apps": 1, "notes": [],
    });
    assert_eq!(timeless(list["items"][0].clone()), expected);
    let (_, one) = server.get("/tenants/payments/sources/apps").await;
    assert_eq!((&one["kind"], &one["resolved"]), (&json!("Source"), &json!([COMMIT])));
    let (_, fleet) = server.get("/fleet").await;
    assert_eq!((&fleet["name"], &fleet["tenant"]), (&json!("fleet"), &Value::Null));
}

#[tokio::test]
async fn drift_events_and_holds_have_the_fields_of_the_interface() {
    let now = Timestamp::now();
    let mut world = world(now);
    world.drift.push_back((cluster("eu-1"), drift("d1", now)));
    world.events.push_back(event("e1", "Equivocation", now));
    world.clusters.get_mut(&cluster("eu-1")).unwrap().holds = vec![hold()];
    let server = Server::new(world);
    let (_, list) = server.get("/drift").await;
    let expected = json!({
        "id": "d1", "cluster": "eu-1", "tenant": "payments", "app": "web",
        "object": {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "payments", "name": "web"},
        "type": "Changed", "detected": "TIME", "asOf": "TIME", "manager": "kubectl-scale", "action": "Reverted",
        "restoredMillis": 40, "approximate": false,
        "fields": [{"path": "/spec/replicas", "wanted": 3, "found": 5, "redacted": false}],
    });
    assert_eq!(timeless(list["items"][0].clone()), expected);
    let (_, list) = server.get("/events").await;
    let expected = json!({
        "id": "e1", "time": "TIME", "type": "Equivocation", "severity": "error", "code": null,
        "tenant": "payments", "app": "web", "cluster": "eu-1", "source": null,
        "object": {"group": "", "version": null, "kind": "ConfigMap", "namespace": "payments", "name": "web"},
        "message": "it happened", "actor": "", "count": 1,
    });
    assert_eq!(timeless(list["items"][0].clone()), expected);
    let (_, list) = server.get("/holds").await;
    let item = &list["items"][0];
    assert_eq!(item["id"], "eu-1.Protected.payments.web");
    assert_eq!((&item["digest"], &item["by"]), (&json!(hold().digest), &json!("spoke")));
    assert_eq!(item["objects"][0]["uid"], "1b9d6bcd");
    assert_eq!(item["approved"], false);
}

#[tokio::test]
async fn a_redacted_value_is_not_shown_even_if_it_was_sent() {
    let now = Timestamp::now();
    let mut world = world(now);
    let mut secret = drift("d1", now);
    (secret.fields[0].redacted, secret.fields[0].found) = (true, "\"canary\"".into());
    world.drift.push_back((cluster("eu-1"), secret));
    let (_, list) = Server::new(world).get("/drift").await;
    assert!(!list.to_string().contains("canary"), "{list}");
}

#[tokio::test]
async fn the_plan_of_a_cluster_can_be_verified_by_anyone() {
    let server = Server::new(world(Timestamp::now()));
    let (_, offer) = server.get("/clusters/us-1/plan").await;
    let fields: Vec<&String> = offer.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["assignment", "head", "plan", "proof", "roots"]);
    let bytes = |text: &Value| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    };
    let envelope = |value: &Value| Envelope::parse(value.to_string().as_bytes()).unwrap();
    let first = envelope(&offer["roots"][0]);
    let pin = rimward_proto::Digest::of(&first.payload_unverified().unwrap());
    let root = Root::first(&first, pin).unwrap();
    assert_eq!(first.payload_type, root::MEDIA_TYPE);
    let payload = envelope(&offer["head"]).verify(head::MEDIA_TYPE, &root.head_keys).unwrap();
    let head = Head::parse(&payload).unwrap();
    let leaf = bytes(&offer["assignment"]);
    let proof: InclusionProof = serde_json::from_value(offer["proof"].clone()).unwrap();
    proof.verify(leaf_hash(&leaf), head.tree.hash).unwrap();
    let assignment = Assignment::parse(&leaf).unwrap();
    assert_eq!(assignment.cluster, cluster("us-1"));
    let plan = bytes(&offer["plan"]);
    assert_eq!(rimward_proto::Digest::of(&plan), assignment.plan);
    assert_eq!(Plan::parse(&plan).unwrap().bundles[0].id(), web());
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_built_501() {
    let mut world = world(Timestamp::now());
    world.published = None;
    let server = Server::new(world);
    for path in [
        "/clusters/eu-9",
        "/clusters/eu-1/plan",
        "/tenants/nobody",
        "/tenants/nobody/apps",
        "/tenants/payments/apps/x",
        "/tenants/payments/sources/x",
        "/nothing",
        "/clusters/eu-9/objects",
    ] {
        assert_eq!(server.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in [
        "/rollouts",
        "/rollouts/r1",
        "/audit",
        "/pauses",
        "/enrollments",
        "/clusters/eu-1/history",
        "/tenants/payments/apps/web/history",
    ] {
        let (status, problem) = server.get(path).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{path}");
        assert!(problem["detail"].as_str().unwrap().ends_with("not built yet"), "{problem}");
    }
    assert_eq!(server.post("/clusters/eu-1/revoke", &Value::Null).await.0, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(server.post("/clusters", &Value::Null).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.get("/clusters/NOT_A_NAME").await.0, StatusCode::BAD_REQUEST);
    for name in ["if-match", "idempotency-key", "authorization"] {
        let request = Request::get("/v1/clusters").header(name, "x").body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await.0, StatusCode::NOT_IMPLEMENTED, "{name}");
    }
    let outside = Request::get("/openapi.json").body(Body::empty()).unwrap();
    assert_eq!(server.send(outside).await.0, StatusCode::NOT_IMPLEMENTED);
}
