//! The client against an API server that misbehaves on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::response::IntoResponse;
use serde_json::json;

use super::calls::{self, At};
use super::client::Identity;
use super::paths::Resource;
use crate::core::ErrorKind;
use crate::core::errors::Verb;
use crate::scripted::{absent, reply, serve, status};

fn config_maps() -> Resource {
    Resource::new("", "v1", "configmaps")
}

#[tokio::test]
async fn a_tenants_429_is_the_cores_and_the_agents_is_waited_for() {
    const TWICE: usize = 2;
    let count = Arc::new(AtomicUsize::new(0));
    let (connection, asked) = serve(move |asked| {
        if count.fetch_add(1, Ordering::SeqCst) % (TWICE + 1) == TWICE {
            return reply(200, &json!({"method": asked.method.as_str(), "body": asked.body}));
        }
        let mut response = status(429, "TooManyRequests", "slow down");
        response.headers_mut().insert("retry-after", "1".parse().unwrap());
        response
    })
    .await;
    let resource = config_maps();
    let at = At { resource: &resource, namespace: "shop", name: "a" };
    let tenant = Identity::account("rimward-tenants/shop").unwrap();
    for _ in 0..TWICE {
        let error = calls::get(&connection, &tenant, at).await.unwrap_err().classify(Verb::Get);
        assert_eq!((error.kind, error.retry_after), (ErrorKind::Transient, Some(Duration::from_secs(1))));
    }
    calls::get(&connection, &tenant, at).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), TWICE + 1);

    let start = Instant::now();
    calls::create(&connection, &Identity::Agent, "/made".into(), &json!({"kind": "Thing"})).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    let posts: Vec<_> = asked.lock().unwrap().split_off(TWICE + 1);
    assert_eq!(posts.len(), TWICE + 1);
    assert!(posts.iter().all(|post| post.body == json!({"kind": "Thing"})), "each with its body");
    // A kube client, which discovery and watches use, waits as well.
    let request = http::Request::get("/watch").body(Vec::new()).unwrap();
    let answer = connection.client(&tenant).request::<serde_json::Value>(request).await.unwrap();
    assert_eq!(answer["method"], "GET");
    let asked = asked.lock().unwrap();
    let user = |asked: &crate::scripted::Asked| asked.headers.contains_key("impersonate-user");
    assert!(asked.iter().rev().take(TWICE + 1).all(user), "each as the tenant");
}

#[tokio::test]
async fn an_apply_is_forced_strict_and_made_as_the_tenant() {
    let (connection, asked) = serve(|asked| reply(200, &asked.body)).await;
    let who = Identity::account("rimward-tenants/shop").unwrap();
    let resource = config_maps();
    let at = At { resource: &resource, namespace: "shop", name: "a" };
    let body = json!({"metadata": {"name": "a", "resourceVersion": "1"}}).to_string().into_bytes();
    calls::apply(&connection, &who, at, body, true, false).await.unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked[0].uri,
        "/api/v1/namespaces/shop/configmaps/a?fieldManager=rimward&force=true&fieldValidation=Strict&dryRun=All"
    );
    let header = |name: &str| asked[0].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("impersonate-user"), "system:serviceaccount:rimward-tenants:shop");
    assert_eq!(header("content-type"), "application/apply-patch+yaml");
    assert!(header("accept").contains("PartialObjectMetadata"));
    assert!(asked[0].headers.get("impersonate-group").is_none(), "the server knows an account's groups");
}

#[tokio::test]
async fn a_delete_names_the_object_it_means_and_an_absent_one_is_deleted() {
    let (connection, asked) =
        serve(|asked| if asked.uri.ends_with("/gone") { absent() } else { reply(200, &json!({})) }).await;
    let resource = config_maps();
    for name in ["there", "gone"] {
        let at = At { resource: &resource, namespace: "shop", name };
        calls::delete(&connection, &Identity::Agent, at, "u-1", "7").await.unwrap();
    }
    let body = asked.lock().unwrap()[0].body.clone();
    assert_eq!(body["preconditions"], json!({"uid": "u-1", "resourceVersion": "7"}));
    assert_eq!(body["propagationPolicy"], "Background");
}

#[tokio::test]
async fn an_answer_that_is_no_json_and_a_server_that_is_gone_are_transient() {
    let (connection, _) = serve(|_| "<html>".into_response()).await;
    let resource = config_maps();
    let at = At { resource: &resource, namespace: "shop", name: "a" };
    let error = calls::get(&connection, &Identity::Agent, at).await.unwrap_err();
    assert_eq!(error.classify(Verb::Get).kind, ErrorKind::Transient);
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let connection = super::Connection::from_config(nowhere).unwrap();
    let error = calls::get(&connection, &Identity::Agent, at).await.unwrap_err();
    assert_eq!(error.classify(Verb::Get).kind, ErrorKind::Transient);
}
