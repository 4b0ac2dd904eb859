//! Who gets an identity, over real TLS: every refusal by its own code, one
//! winner of any race, lost replies given again, cloned disks locked.

use std::time::Duration;

use super::support::{Hub, Identity, code, csr, uid};
use rcgen::{KeyPair, SigningKey};
use rimward_hub::core::status::cluster::ClusterView;
use rimward_proto::convert;
use rimward_proto::report::State;
use rimward_proto::wire::content_client::ContentClient;
use rimward_proto::wire::enrolment_client::EnrolmentClient;
use rimward_proto::wire::{IdentityResponse, RenewRequest};
use rimward_proto::{ClusterName, Digest};
use tonic::{Code, Status};

const HOUR: Duration = Duration::from_secs(3600);

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

async fn renew(
    hub: &Hub,
    identity: &Identity,
    new: &KeyPair,
    counter: u64,
) -> Result<IdentityResponse, Status> {
    let csr = csr(new);
    let message = [b"rimward-renew-v1\0".as_slice(), &counter.to_be_bytes(), &csr].concat();
    let signature = identity.key.sign(&message).unwrap();
    let request = RenewRequest { certificate: identity.chain[0].to_vec(), csr, counter, signature };
    EnrolmentClient::new(hub.channel(None).await).renew(request).await.map(tonic::Response::into_inner)
}

/// Asks for nothing, as that identity.
async fn connect(hub: &Hub, identity: &Identity) -> Result<(), Status> {
    let mut client = ContentClient::new(hub.channel(Some(identity)).await);
    client.fetch(convert::fetch_to_wire(&[])).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once_for_one_cluster_and_every_refusal_has_its_code() {
    let (hub, _home) = Hub::start().await;
    let token = hub.token("eu-1", false, HOUR);
    assert_eq!(code(hub.enroll(&token, "us-1", "u", &key()).await), Code::PermissionDenied);
    let mut wrong = token.clone();
    wrong.secret[0] ^= 1;
    let refused = hub.enroll(&wrong, "eu-1", "u", &key()).await.unwrap_err();
    wrong.id = "0000000000000000".into();
    let unknown = hub.enroll(&wrong, "eu-1", "u", &key()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (unknown.code(), unknown.message()), "not told apart");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mine = key();
    let first = hub.enroll(&token, "eu-1", "u", &mine).await.unwrap();
    let again = hub.enroll(&token, "eu-1", "u", &mine).await.unwrap();
    assert_eq!(first, again, "the same key gets the same answer");
    assert_eq!(first.roots.len(), 1);
    assert_eq!(Digest::of(&first.chain[1]), token.ca, "the chain ends in the CA that the token pins");
    assert_eq!(code(hub.enroll(&token, "eu-1", "u", &key()).await), Code::AlreadyExists);
    assert_eq!(code(hub.enroll(&token, "eu-1", "other", &mine).await), Code::AlreadyExists);
    let late = hub.token("us-1", false, Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(code(hub.enroll(&late, "us-1", "u", &key()).await), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_uid_needs_replace() {
    let (hub, _home) = Hub::start().await;
    // Both tokens are made while the name is free; the second to come has another uid.
    let (first, second) = (hub.token("eu-1", false, HOUR), hub.token("eu-1", false, HOUR));
    hub.enroll(&first, "eu-1", "one", &key()).await.unwrap();
    assert_eq!(code(hub.enroll(&second, "eu-1", "two", &key()).await), Code::FailedPrecondition);
    let replace = hub.token("eu-1", true, HOUR);
    hub.enroll(&replace, "eu-1", "two", &key()).await.unwrap();
    let enrolment = hub.state.enrolments.get(&ClusterName::new("eu-1").unwrap()).unwrap();
    assert_eq!(enrolment.uid.as_str(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_racers_one_wins() {
    let (hub, _home) = Hub::start().await;
    let hub = std::sync::Arc::new(hub);
    let token = hub.token("eu-1", false, HOUR);
    let racers = (0..100).map(|_| {
        let (hub, token) = (hub.clone(), token.clone());
        tokio::spawn(async move { code(hub.enroll(&token, "eu-1", "u", &key()).await) })
    });
    let codes = futures::future::join_all(racers).await;
    let count = |wanted| codes.iter().filter(|code| *code.as_ref().unwrap() == wanted).count();
    assert_eq!((count(Code::Ok), count(Code::AlreadyExists)), (1, 99));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_proves_possession_repeats_lost_replies_and_locks_clones() {
    let (hub, _home) = Hub::start().await;
    let old = hub.spoke("eu-1").await;
    let thief = Identity { chain: old.chain.clone(), key: key() };
    assert_eq!(code(renew(&hub, &thief, &key(), 1).await), Code::PermissionDenied, "no possession");
    assert_eq!(code(renew(&hub, &old, &key(), 0).await), Code::PermissionDenied, "the counter must grow");
    let new = key();
    let first = renew(&hub, &old, &new, 1).await.unwrap();
    assert_eq!(renew(&hub, &old, &new, 1).await.unwrap(), first, "a lost reply is given again");
    let cluster = ClusterName::new("eu-1").unwrap();
    assert!(hub.state.enrolments.get(&cluster).unwrap().locked.is_none());
    let clone = renew(&hub, &old, &key(), 1).await.unwrap_err();
    assert_eq!(clone.code(), Code::FailedPrecondition);
    assert!(clone.message().contains("cloned disk"), "{clone}");
    let renewed = Identity::new(&first, new);
    assert_eq!(code(renew(&hub, &renewed, &key(), 2).await), Code::FailedPrecondition, "both holders wait");
    let (status, said) = hub.state.look(|world| {
        let view = ClusterView::new(world, &cluster, jiff::Timestamp::now()).unwrap();
        (view.status(), world.events.iter().filter(|event| event.what.kind == "Locked").count())
    });
    assert_eq!((status.state, status.reason.as_str(), said), (State::Failed, "Locked", 1));
    assert!(status.message.contains("rimward enroll eu-1 --replace"), "{}", status.message);
    let replace = hub.token("eu-1", true, HOUR);
    hub.enroll(&replace, "eu-1", &uid("eu-1"), &key()).await.unwrap();
    assert!(hub.state.enrolments.get(&cluster).unwrap().locked.is_none());
    assert!(hub.state.look(|world| world.clusters[&cluster].locked.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_before_lets_in_until_the_new_one_was_used() {
    let (hub, home) = Hub::start().await;
    let old = hub.spoke("eu-1").await;
    let new = key();
    let renewed = Identity::new(&renew(&hub, &old, &new, 1).await.unwrap(), new);
    assert_eq!(code(connect(&hub, &old).await), Code::Ok, "the new one may be lost on its way");
    assert_eq!(code(connect(&hub, &renewed).await), Code::Ok);
    assert_eq!(code(connect(&hub, &old).await), Code::PermissionDenied, "a copy of the old key is of no use");
    assert_eq!(code(connect(&hub, &renewed).await), Code::Ok);
    hub.stop().await;
    let hub = Hub::start_in(&home).await;
    assert_eq!(code(connect(&hub, &old).await), Code::PermissionDenied, "nor after a restart");
    // A clone of the old disk is still told by its renewal.
    assert_eq!(code(renew(&hub, &old, &key(), 1).await), Code::FailedPrecondition);
    assert!(hub.state.enrolments.get(&ClusterName::new("eu-1").unwrap()).unwrap().locked.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_kept() {
    let (hub, _home) = Hub::start().await;
    let token = hub.token("eu-1", false, HOUR);
    let secret = rimward_proto::ids::hex(&token.secret);
    for (key, value) in hub.state.store.scan("").unwrap() {
        let text = String::from_utf8_lossy(&value);
        assert!(!text.contains(&secret) && !value.windows(32).any(|w| w == token.secret), "{key}");
    }
}
