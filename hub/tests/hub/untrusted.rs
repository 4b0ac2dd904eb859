//! A spoke that is enrolled and means no good, or is broken: what it can get at,
//! and what it can cost.

use rimward_proto::session::{Ack, AckKind, Hello, SpokeMessage};
use rimward_proto::wire::content_client::ContentClient;
use rimward_proto::{Digest, convert};
use tonic::Code;

use super::session::{Talk, fetch, hello, known, plan, ready, until};
use super::support::{Hub, SOON, code};

#[tokio::test(flavor = "multi_thread")]
async fn content_of_another_cluster_is_refused() {
    let (hub, _home) = Hub::start().await;
    let (eu, us) = (hub.spoke("eu-1").await, hub.spoke("us-1").await);
    let (one, one_index) = plan(&["x"]);
    let (two, two_index) = plan(&["secret"]);
    hub.publish(&[("eu-1", &one), ("us-1", &two)], &[b"x", b"secret", &one_index, &two_index]);
    assert_eq!(fetch(&hub, &eu, &[Digest::of(b"x")]).await.unwrap(), [b"x"]);
    assert_eq!(fetch(&hub, &us, &[Digest::of(b"secret")]).await.unwrap(), [b"secret"]);
    let both = [Digest::of(b"x"), Digest::of(b"secret")];
    assert_eq!(code(fetch(&hub, &eu, &both).await), Code::PermissionDenied);
    let events = hub.state.look(|world| world.events.iter().map(|e| e.what.kind.clone()).collect::<Vec<_>>());
    assert!(events.contains(&"ForeignContent".to_owned()), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_say_that_one_holds_another_clusters_plan_opens_nothing() {
    let (hub, _home) = Hub::start().await;
    let (eu, us) = (hub.spoke("eu-1").await, hub.spoke("us-1").await);
    let (one, one_index) = plan(&["x"]);
    let (two, two_index) = plan(&["secret"]);
    hub.publish(&[("eu-1", &one), ("us-1", &two)], &[b"x", b"secret", &one_index, &two_index]);
    let (secret, theirs) = (Digest::of(b"secret"), Digest::of(&two.to_bytes()));
    let mut talk = Talk::hello(&hub, &eu, Hello { held_plan: Some(theirs), ..hello("eu-1") }).await;
    talk.offer().await;
    assert_eq!(code(fetch(&hub, &eu, &[secret]).await), Code::PermissionDenied, "said in Hello");
    let held = |plan| {
        SpokeMessage::Ack(Ack {
            kind: AckKind::Held,
            plan,
            seq: 1,
            code: String::new(),
            message: String::new(),
        })
    };
    talk.say(held(theirs)).await;
    until(|| known(&hub).held == Some((1, 1))).await;
    assert_eq!(code(fetch(&hub, &eu, &[secret]).await), Code::PermissionDenied, "said of an offer");
    // What it was assigned before is its own, also after a newer offer.
    let (three, three_index) = plan(&["y"]);
    hub.publish(&[("eu-1", &three), ("us-1", &two)], &[b"y", &three_index]);
    talk.say(held(Digest::of(&one.to_bytes()))).await;
    until(|| known(&hub).held_plan.is_some()).await;
    let both = [Digest::of(b"x"), Digest::of(b"y")];
    assert_eq!(fetch(&hub, &eu, &both).await.unwrap(), [b"x", b"y"]);
    assert_eq!(fetch(&hub, &us, &[secret]).await.unwrap(), [b"secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_that_take_nothing_hold_nobody_else_up() {
    let (hub, _home) = Hub::start().await;
    let (eu, us) = (hub.spoke("eu-1").await, hub.spoke("us-1").await);
    let large: Vec<String> = (0..64).map(|n| "x".repeat(200_000) + &n.to_string()).collect();
    let (one, index) = plan(&large.iter().map(String::as_str).collect::<Vec<_>>());
    let content: Vec<&[u8]> = large.iter().map(String::as_bytes).chain([index.as_slice()]).collect();
    hub.publish(&[("eu-1", &one), ("us-1", &one)], &content);
    let all: Vec<Digest> = large.iter().map(|text| Digest::of(text.as_bytes())).collect();
    let mut client = ContentClient::new(hub.channel(Some(&eu)).await);
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(client.fetch(convert::fetch_to_wire(&all)).await.unwrap().into_inner());
    }
    let fifth = client.fetch(convert::fetch_to_wire(&all)).await;
    assert_eq!(code(fifth), Code::ResourceExhausted, "a cluster has a few streams");
    assert_eq!(fetch(&hub, &us, &all).await.unwrap().len(), 64, "and another's are its own");
    // What a stream held is given back when its spoke lets go.
    streams.clear();
    let again = async {
        while code(client.fetch(convert::fetch_to_wire(&all)).await) != Code::Ok {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoke_that_talks_a_lot_costs_little() {
    let (hub, _home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let long = "x".repeat(1 << 20);
    let talk = Talk::hello(&hub, &spoke, Hello { spoke_version: long.clone(), ..hello("eu-1") }).await;
    for _ in 0..20 {
        talk.say(SpokeMessage::Ack(Ack {
            kind: AckKind::Refused,
            plan: Digest::of(b"x"),
            seq: 1,
            code: long.clone(),
            message: long.clone(),
        }))
        .await;
    }
    talk.say(SpokeMessage::Report(ready())).await;
    until(|| known(&hub).reported.is_some()).await;
    let status = known(&hub);
    let (code, message) = status.refused.unwrap();
    assert_eq!((status.spoke_version.len(), code.len(), message.len()), (256, 256, 1024));
    assert!(status.apps.is_empty(), "no plan of it has that App");
    let told = hub.state.look(|world| world.events.iter().filter(|e| e.what.kind == "Refused").count());
    assert_eq!(told, 1, "the same refusal again is no news");
}
