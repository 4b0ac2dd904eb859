//! Lists against an API server that breaks them off in every way there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use serde_json::{Value, json};

use super::discovery::Plurals;
use super::errors::CallError;
use super::list::{PAGE, Place, list};
use super::watch::unlisted;
use crate::core::effect::WatchSpec;
use crate::core::health::Judge;
use crate::scripted::{Asked, reply, serve, status};

fn object(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": format!("u-{name}"), "resourceVersion": "1",
        "labels": {"rimward.dev/tenant": "shop"}}})
}

fn page(names: &[&str], next: &str) -> Response {
    let items: Vec<Value> = names.iter().map(|name| object(name)).collect();
    reply(200, &json!({"metadata": {"resourceVersion": "5", "continue": next}, "items": items}))
}

fn spec() -> WatchSpec {
    WatchSpec {
        service_account: "rimward-tenants/shop".into(),
        group: String::new(),
        version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "shop".into(),
        judge: Judge::default(),
    }
}

/// What a list of a server that answers `answer(how many came before)` brings, and everything it was asked.
async fn listed(
    answer: impl Fn(usize) -> Response + Clone + Send + Sync + 'static,
) -> (Result<Vec<String>, CallError>, Vec<Asked>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (connection, asked) = serve(move |_| answer(count.fetch_add(1, Ordering::SeqCst))).await;
    let spec = spec();
    let place = Place::new(&spec, &Plurals::of("", "v1", "ConfigMap", "configmaps")).unwrap();
    let found = list(&connection, &place).await;
    let names = found.map(|(all, _)| all.into_iter().map(|object| object.key.name.clone()).collect());
    let asked = asked.lock().unwrap().clone();
    (names, asked)
}

#[tokio::test]
async fn page_by_page_of_metadata_as_the_tenant() {
    let (names, asked) = listed(|number| match number {
        0 => page(&["a", "b"], "next"),
        _ => page(&["c"], ""),
    })
    .await;
    assert_eq!(names.unwrap(), ["a", "b", "c"]);
    assert_eq!(asked.len(), 2);
    assert!(asked[0].uri.ends_with(&format!("labelSelector=rimward.dev%2Ftenant&limit={PAGE}")));
    assert!(asked[1].uri.contains("continue=next"));
    for one in &asked {
        assert!(one.headers["accept"].to_str().unwrap().contains("PartialObjectMetadataList"));
        assert_eq!(one.headers["impersonate-user"], "system:serviceaccount:rimward-tenants:shop");
    }
}

#[tokio::test]
async fn a_version_that_is_gone_between_two_pages_begins_the_list_anew() {
    let (names, asked) = listed(|number| match number {
        0 => page(&["old"], "next"),
        1 => status(410, "Expired", "too old"),
        2 => page(&["a"], "next"),
        _ => page(&["b"], ""),
    })
    .await;
    assert_eq!(names.unwrap(), ["a", "b"], "nothing of the first attempt");
    assert!(!asked[2].uri.contains("continue"), "from the first page");
}

#[tokio::test]
async fn a_server_that_always_forgets_is_not_asked_for_ever() {
    let (names, asked) = listed(|number| match number % 2 {
        0 => page(&["a"], "next"),
        _ => status(410, "Expired", "too old"),
    })
    .await;
    assert_eq!(names.unwrap_err().code(), Some(410));
    assert_eq!(asked.len(), 8);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_no_list() {
    for broken in [
        status(503, "ServiceUnavailable", "later"),
        reply(200, &json!({"kind": "Status", "metadata": {"resourceVersion": "5"}})),
        reply(200, &json!({"metadata": {}, "items": []})),
    ] {
        let (parts, body) = broken.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let answer = move |number: usize| match number {
            0 => page(&["a"], "next"),
            _ => Response::from_parts(parts.clone(), body.clone().into()),
        };
        assert!(listed(answer).await.0.is_err());
    }
    let (none, _) =
        listed(|_| reply(200, &json!({"metadata": {"resourceVersion": "5"}, "items": null}))).await;
    assert!(none.unwrap().is_empty(), "a list of nothing, as Go writes it");
}

#[tokio::test]
async fn a_busy_server_is_waited_for_in_the_middle_of_a_list() {
    let (names, asked) = listed(|number| match number {
        0 => page(&["a"], "next"),
        1 => {
            let mut busy = status(429, "TooManyRequests", "busy");
            busy.headers_mut().insert("retry-after", "1".parse().unwrap());
            busy
        }
        _ => page(&["b"], ""),
    })
    .await;
    assert_eq!(names.unwrap(), ["a", "b"]);
    assert_eq!((asked.len(), &asked[1].uri), (3, &asked[2].uri), "the same page again");
}

#[tokio::test]
async fn forbidden_is_to_list_there_and_not_to_be_somebody() {
    let refusal = |details: Value| {
        move |_: usize| {
            reply(403, &json!({"kind": "Status", "code": 403, "reason": "Forbidden", "details": details}))
        }
    };
    let spec = spec();
    let place = Place::new(&spec, &Plurals::of("", "v1", "ConfigMap", "configmaps")).unwrap();
    let (error, _) = listed(refusal(json!({"kind": "configmaps"}))).await;
    assert!(unlisted(&error.unwrap_err(), Some(&place)).forbidden);
    let (error, _) = listed(refusal(json!({"kind": "serviceaccounts", "name": "shop"}))).await;
    assert!(!unlisted(&error.unwrap_err(), Some(&place)).forbidden);
}
