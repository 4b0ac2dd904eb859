//! Watches against an API server that ends them in every way there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::discovery::Plurals;
use super::watch::Watches;
use crate::core::Event;
use crate::core::effect::WatchSpec;
use crate::core::health::{Health, Judge};
use crate::reconcile::Input;
use crate::scripted::{Asked, lines, reply, serve, status};

fn object(name: &str, version: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "metadata": {"name": name, "namespace": "shop", "uid": format!("u-{name}"),
        "resourceVersion": version, "labels": {"rimward.dev/tenant": "shop"}}})
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
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

/// Runs one watch against `answer(request, how many came before)`.
async fn watch(
    answer: impl Fn(&Asked, usize) -> Response + Clone + Send + Sync + 'static,
) -> (mpsc::Receiver<Input>, Watches, Arc<std::sync::Mutex<Vec<Asked>>>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (connection, asked) = serve(move |asked| answer(asked, count.fetch_add(1, Ordering::SeqCst))).await;
    let (events, receiver) = mpsc::channel(16);
    let plurals = Arc::new(ArcSwap::from_pointee(Plurals::of("", "v1", "ConfigMap", "configmaps")));
    let mut watches = Watches::new(connection, plurals, events);
    watches.set(&[spec()].into());
    (receiver, watches, asked)
}

#[tokio::test]
async fn whole_objects_only_where_the_judge_needs_them_and_judged_as_they_come() {
    let deployment = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1",
        "generation": 2}, "status": {"observedGeneration": 1}});
    let list = json!({"metadata": {"resourceVersion": "5"}, "items": [deployment]});
    let count = Arc::new(AtomicUsize::new(0));
    let (connection, asked) = serve(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => reply(200, &list),
        _ => status(503, "ServiceUnavailable", "later"),
    })
    .await;
    let (events, mut receiver) = mpsc::channel(16);
    let plurals = Arc::new(ArcSwap::from_pointee(Plurals::of("apps", "v1", "Deployment", "deployments")));
    let mut watches = Watches::new(connection, plurals, events);
    let judge = Judge::built_in("apps", "Deployment", true);
    let spec = WatchSpec { group: "apps".into(), kind: "Deployment".into(), judge, ..spec() };
    watches.set(&[spec].into());
    let Event::WatchSynced { objects, .. } = next(&mut receiver).await else { panic!() };
    assert!(matches!(objects[0].health, Health::Progressing(_)));
    let Event::WatchFailed { .. } = next(&mut receiver).await else { panic!() };
    let asked = asked.lock().unwrap();
    assert!(asked[..2].iter().all(|asked| asked.headers["accept"] == "application/json"));
}

async fn next(receiver: &mut mpsc::Receiver<Input>) -> Event {
    match tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await.unwrap().unwrap() {
        Input::Event(event) => *event,
        Input::Hello(_) => panic!("nobody asks"),
    }
}

fn synced(event: Event) -> Vec<String> {
    match event {
        Event::WatchSynced { objects, .. } => {
            objects.into_iter().map(|object| object.key.name.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lists_in_pages_follows_resumes_and_lists_again_when_the_version_is_gone() {
    let (mut receiver, _watches, asked) = watch(|_, number| match number {
        0 => reply(
            200,
            &json!({"metadata": {"resourceVersion": "5", "continue": "c/1"}, "items": [object("a", "1")]}),
        ),
        1 => reply(200, &json!({"metadata": {"resourceVersion": "5"}, "items": [object("b", "2")]})),
        2 => lines(&[
            event("ADDED", object("c", "6")),
            event(
                "BOOKMARK",
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": "9"}}),
            ),
        ]),
        3 => lines(&[event("DELETED", object("a", "10"))]),
        4 => lines(&[event(
            "ERROR",
            json!({"kind": "Status", "code": 410, "reason": "Expired",
            "status": "Failure", "message": "too old"}),
        )]),
        _ => reply(200, &json!({"metadata": {"resourceVersion": "20"}, "items": [object("z", "19")]})),
    })
    .await;
    assert_eq!(synced(next(&mut receiver).await), ["a", "b"]);
    assert!(matches!(next(&mut receiver).await, Event::WatchUpsert { object, .. } if object.key.name == "c"));
    let Event::WatchDeleted { key, uid, .. } = next(&mut receiver).await else { panic!() };
    assert_eq!((key.name.as_str(), uid.as_str()), ("a", "u-a"));
    assert_eq!(synced(next(&mut receiver).await), ["z"]);
    let asked = asked.lock().unwrap();
    assert!(asked[0].uri.contains("labelSelector=rimward.dev%2Ftenant&limit=500"), "{}", asked[0].uri);
    assert!(asked[1].uri.contains("continue=c%2F1"));
    assert!(asked[2].uri.contains("resourceVersion=5&") && asked[2].uri.contains("allowWatchBookmarks=true"));
    assert!(asked[3].uri.contains("resourceVersion=9&"), "resumes after the bookmark: {}", asked[3].uri);
    assert!(asked[4].uri.contains("resourceVersion=10&"));
    let metadata =
        |asked: &Asked| asked.headers["accept"].to_str().unwrap().contains("PartialObjectMetadata");
    assert!(asked.iter().all(metadata));
    let user = asked[2].headers["impersonate-user"].to_str().unwrap();
    assert_eq!(user, "system:serviceaccount:rimward-tenants:shop");
}

#[tokio::test]
async fn a_watch_that_ends_at_once_is_begun_again_with_growing_pauses() {
    const TIME: Duration = Duration::from_secs(1);
    // With pauses of 50 ms at first that double it is about 5 times.
    const BEGUN: usize = 16;
    for code in [410, 503] {
        let (mut receiver, _watches, asked) = watch(move |asked, _| {
            if asked.uri.contains("watch=true") {
                return status(code, "NotNow", "not now");
            }
            reply(200, &json!({"metadata": {"resourceVersion": "5"}, "items": [object("a", "1")]}))
        })
        .await;
        // Each time it is said that nothing is followed.
        for _ in 0..2 {
            assert_eq!(synced(next(&mut receiver).await), ["a"]);
            let Event::WatchFailed { why, .. } = next(&mut receiver).await else { panic!() };
            assert_eq!(why.message, "not now");
        }
        let end = tokio::time::Instant::now() + TIME;
        while tokio::time::timeout_at(end, receiver.recv()).await.is_ok() {}
        let asked = asked.lock().unwrap();
        let begun = asked.iter().filter(|asked| asked.uri.contains("watch=true")).count();
        assert!((2..BEGUN).contains(&begun), "{code}: begun {begun} times");
    }
}

#[tokio::test]
async fn a_list_that_is_forbidden_is_unknown_and_tried_again() {
    let (mut receiver, _watches, _) = watch(|_, number| match number {
        0 | 1 => status(403, "Forbidden", "cannot list"),
        _ => reply(200, &json!({"metadata": {"resourceVersion": "5"}, "items": []})),
    })
    .await;
    for _ in 0..2 {
        let Event::WatchFailed { why, .. } = next(&mut receiver).await else { panic!() };
        assert_eq!(why.message, "cannot list");
    }
    assert_eq!(synced(next(&mut receiver).await), Vec::<String>::new());
}

#[tokio::test]
async fn a_watch_that_is_no_longer_wanted_ends() {
    let (mut receiver, mut watches, _) = watch(|_, number| match number {
        0 => reply(200, &json!({"metadata": {"resourceVersion": "5"}, "items": []})),
        _ => status(503, "ServiceUnavailable", "later"),
    })
    .await;
    synced(next(&mut receiver).await);
    assert_eq!(watches.len(), 1);
    watches.set(&Default::default());
    assert!(watches.is_empty());
    drop(watches);
    // All senders are gone once the task is: the channel ends.
    let end =
        tokio::time::timeout(Duration::from_secs(5), async { while receiver.recv().await.is_some() {} })
            .await;
    assert!(end.is_ok());
}
