//! Lists: filters that mean something, pages that neither skip nor repeat.

use axum::http::StatusCode;
use jiff::Timestamp;
use proptest::prelude::*;
use rimward_hub::api::query::{MAX_LIMIT, Query};
use rimward_hub::core::world::World;
use serde_json::Value;

use crate::api::Server;
use crate::fixture::*;

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn filters_narrow_and_unknown_ones_are_refused() {
    let now = Timestamp::now();
    let mut world = world(now);
    us_offline(&mut world, now);
    let server = Server::new(world);
    for (path, expected) in [
        ("/clusters?state=Offline", vec!["us-1"]),
        ("/clusters?cluster=eu-1", vec!["eu-1"]),
        ("/clusters?labels=env=prod", vec!["eu-1"]),
        ("/clusters?labels=env!=prod,env", vec!["us-1"]),
        ("/clusters?labels=!env", vec![]),
        ("/apps?tenant=payments&cluster=us-1", vec!["web"]),
        ("/apps?app=payments/web&state=Offline", vec!["web"]),
        ("/apps?tenant=other", vec![]),
        ("/tenants?state=Ready", vec![]),
        ("/sources?tenant=payments", vec!["apps"]),
        ("/sources", vec!["fleet", "apps"]),
    ] {
        let (status, list) = server.get(path).await;
        assert_eq!((status, names(&list)), (StatusCode::OK, expected), "{path}");
    }
    for path in [
        "/clusters?tenant=payments",
        "/clusters?state=Good",
        "/clusters?limit=0",
        "/clusters?limit=1001",
        "/clusters?labels=a%20b",
        "/apps?labels=a",
        "/clusters?continue=%21",
        "/events?watch=maybe",
        "/status?x=1",
        "/fleet/commits/xyz?within=9f2c1ab0000000000000000000000000000000aa",
        "/fleet/commits/9f2c1ab?within=9f2c1ab",
        "/fleet/commits/9f2c1ab?within=9f2c1ab0000000000000000000000000000000aa&x=1",
    ] {
        assert_eq!(server.get(path).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn empty_is_empty_and_never_null() {
    let server = Server::new(World::default());
    for path in ["/clusters", "/tenants", "/apps", "/sources", "/drift", "/holds", "/events"] {
        let (_, list) = server.get(path).await;
        assert_eq!(list["items"], serde_json::json!([]), "{path}");
        assert_eq!(list["continue"], "", "{path}");
        assert!(list["asOf"].as_str().unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(list["apiVersion"], "rimward.dev/v1alpha1");
    }
    let (_, status) = server.get("/status").await;
    assert_eq!((&status["state"], &status["publication"]), (&Value::from("Pending"), &Value::Null));
}

#[tokio::test]
async fn pages_go_on_where_they_stopped_although_things_come_and_go() {
    let now = Timestamp::now();
    let mut world = world(now);
    for n in 0..25 {
        let known = world.clusters[&cluster("eu-1")].clone();
        world.clusters.insert(cluster(&format!("c-{n:02}")), known);
    }
    let server = Server::new(world);
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let (_, page) = server.get(&format!("/clusters?limit=10&continue={next}")).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        next = page["continue"].as_str().unwrap().to_owned();
        if next.is_empty() {
            break;
        }
        // The item a page ended with goes: the next page must not start over.
        let last = seen.last().unwrap().clone();
        server.change(|world| drop(world.clusters.remove(&cluster(&last))));
    }
    let mut sorted = seen.clone();
    sorted.dedup();
    assert_eq!((seen.len(), sorted.len()), (27, 27), "{seen:?}");
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn events_page_in_the_order_they_happened_and_a_lost_place_is_410() {
    let now = Timestamp::now();
    let mut world = world(now);
    for id in ["z", "a", "m"] {
        world.events.push_back(event(id, "Published", now));
    }
    let server = Server::new(world);
    let (_, first) = server.get("/events?limit=2").await;
    let ids = |list: &Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["z", "a"]);
    let next = format!("/events?limit=2&continue={}", first["continue"].as_str().unwrap());
    assert_eq!(ids(&server.get(&next).await.1), ["m"]);
    server.change(|world| drop(world.events.drain(..2)));
    assert_eq!(server.get(&next).await.0, StatusCode::GONE);
}

proptest! {
    #[test]
    fn any_pages_make_the_whole(keys in proptest::collection::btree_set("[a-c/-]{1,4}", 0..40), limit in 1_usize..7) {
        prop_assert!(limit <= MAX_LIMIT);
        let items: Vec<(String, String)> = keys.iter().map(|key| (key.clone(), key.clone())).collect();
        let (mut all, mut next) = (Vec::new(), String::new());
        for _ in 0..=items.len() {
            let pairs = vec![("limit".to_owned(), limit.to_string()), ("continue".to_owned(), next)];
            let page = Query::parse(pairs, &[]).unwrap().page(items.clone());
            prop_assert!(page.items.len() <= limit);
            all.extend(page.items);
            next = page.next;
            if next.is_empty() {
                break;
            }
        }
        prop_assert_eq!(all, keys.into_iter().collect::<Vec<_>>());
    }
}
