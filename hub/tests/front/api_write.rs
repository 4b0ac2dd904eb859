//! Acting through the API: what is asked of the tasks, and what comes back.

use axum::http::StatusCode;
use jiff::Timestamp;
use rimward_hub::core::model::SourceId;
use rimward_hub::handle::{Action, ActionError};
use rimward_proto::Digest;
use serde_json::{Value, json};

use crate::api::Server;
use crate::fixture::*;

/// A server whose tasks answer one action with `answer`, and what that action was.
async fn with_answer<F>(server: &mut Server, path: &str, body: Value, answer: F) -> (StatusCode, Value)
where
    F: FnOnce(Action),
{
    let router = server.router.clone();
    let request = axum::http::Request::post(format!("/v1{path}"));
    let request = request.body(axum::body::Body::from(body.to_string())).unwrap();
    let asking = tokio::spawn(async move {
        use http_body_util::BodyExt;
        use tower::ServiceExt;
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap())
    });
    answer(server.actions.recv().await.unwrap());
    asking.await.unwrap()
}

#[tokio::test]
async fn reconcile_asks_for_the_source_and_answers_what_is_published() {
    let mut server = Server::new(world(Timestamp::now()));
    let path = "/tenants/payments/sources/apps/reconcile";
    let (status, body) = with_answer(&mut server, path, json!({}), |action| match action {
        Action::Reconcile { sources, reply } => {
            assert_eq!(sources, [apps_source()]);
            reply.send(Ok(())).unwrap();
        }
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(
        (status, &body["seq"], &body["sources"]),
        (StatusCode::OK, &json!(41), &json!(["payments/apps"]))
    );
    let (status, _) = with_answer(&mut server, "/fleet/reconcile", json!({}), |action| match action {
        Action::Reconcile { sources, reply } => {
            assert!(sources.is_empty());
            reply.send(Err(ActionError::Failed("git: connection refused".into()))).unwrap();
        }
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let (status, _) = server.post("/tenants/payments/sources/none/reconcile", &Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.post(path, &json!({"force": true})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(server.actions.try_recv().is_err());
}

#[tokio::test]
async fn a_cluster_looks_again_and_one_that_is_away_is_told_to_be() {
    let mut server = Server::new(world(Timestamp::now()));
    let path = "/clusters/eu-1/reconcile";
    for (answer, expected) in [
        (Ok(()), StatusCode::OK),
        (Err(ActionError::Conflict("cluster/eu-1 is not connected".into())), StatusCode::CONFLICT),
    ] {
        let (status, _) = with_answer(&mut server, path, json!({}), |action| match action {
            Action::LookAgain { cluster, reply } => {
                assert_eq!(cluster.as_str(), "eu-1");
                reply.send(answer).unwrap();
            }
            other => panic!("{other:?}"),
        })
        .await;
        assert_eq!(status, expected);
    }
    assert_eq!(server.post("/clusters/none/reconcile", &Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.post(path, &json!({"force": true})).await.0, StatusCode::BAD_REQUEST);
    assert!(server.actions.try_recv().is_err());
}

#[tokio::test]
async fn a_token_is_made_as_asked_and_shown_once() {
    let mut server = Server::new(world(Timestamp::now()));
    let body = json!({"cluster": "eu-3", "ttl": "30m", "replace": true});
    let (status, body) = with_answer(&mut server, "/tokens", body, |action| match action {
        Action::IssueToken { cluster, ttl, replace, reply } => {
            assert_eq!((cluster.as_str(), ttl.unwrap().as_secs(), replace), ("eu-3", 1800, true));
            reply.send(Ok("rw1.x".into())).unwrap();
        }
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(
        body,
        json!({"cluster": "eu-3", "token": "rw1.x", "hub": "hub.acme.example:8443", "trustDomain": "acme.example"})
    );
    let (status, problem) =
        with_answer(&mut server, "/tokens", json!({"cluster": "eu-1"}), |action| match action {
            Action::IssueToken { reply, .. } => {
                reply.send(Err(ActionError::Conflict("eu-1 is enrolled; use --replace".into()))).unwrap()
            }
            other => panic!("{other:?}"),
        })
        .await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("RW8409")));
    for body in [
        json!({}),
        json!({"cluster": "A"}),
        json!({"cluster": "a", "ttl": "8d"}),
        json!({"cluster": "a", "ttl": "1"}),
        json!({"cluster": "a", "ttl": "0s"}),
        json!({"cluster": "a", "role": "admin"}),
        json!({"cluster": "a", "ttl": "é"}),
    ] {
        assert_eq!(server.post("/tokens", &body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn an_approval_is_of_what_was_looked_at() {
    let mut world = world(Timestamp::now());
    world.clusters.get_mut(&cluster("eu-1")).unwrap().holds = vec![hold()];
    let mut server = Server::new(world);
    let digest = hold().digest;
    let path = "/holds/eu-1.Protected.payments.web/decisions";
    let body = json!({"digest": digest, "decision": "approve", "reason": "moved"});
    let (status, _) = with_answer(&mut server, path, body.clone(), |action| match action {
        Action::Approve { digest: approved, reason, actor, reply } => {
            assert_eq!((approved, reason.as_str(), actor.as_str()), (digest, "moved", "admin.sock"));
            reply.send(Ok(())).unwrap();
        }
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(status, StatusCode::OK);
    let other = json!({"digest": Digest::of(b"other"), "decision": "approve"});
    assert_eq!(server.post(path, &other).await.0, StatusCode::CONFLICT);
    assert_eq!(server.post("/holds/none/decisions", &body).await.0, StatusCode::NOT_FOUND);
    let reject = json!({"digest": digest, "decision": "reject"});
    assert_eq!(server.post(path, &reject).await.0, StatusCode::NOT_IMPLEMENTED);
    let stage = json!({"digest": digest, "decision": "approve", "stage": "prod"});
    assert_eq!(server.post(path, &stage).await.0, StatusCode::NOT_IMPLEMENTED);
    let long = json!({"digest": digest, "decision": "approve", "reason": "x".repeat(1_001)});
    assert_eq!(server.post(path, &long).await.0, StatusCode::BAD_REQUEST);
    assert!(server.actions.try_recv().is_err(), "nothing else was asked of the tasks");
}

#[tokio::test]
async fn a_hub_that_stops_says_so() {
    let mut server = Server::new(world(Timestamp::now()));
    server.actions.close();
    let (status, problem) = server.post("/fleet/reconcile", &Value::Null).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("RW8503")));
    assert!(server.world.read().unwrap().sources.contains_key(&SourceId::Fleet));
}
