//! Enrolment, TLS, the stream, fetches and renewal against a hub in this process.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rimward_proto::session::{Ack, AckKind, Content, Hello, HubMessage, SpokeMessage};
use rimward_proto::{ClusterName, ClusterUid, Digest, limits};
use tokio::sync::{mpsc, watch};

use super::dial::Dialer;
use super::double::Hub;
use super::enrol::{EnrolError, Enrolment};
use super::fetch::Fetcher;
use super::identity::Identity;
use super::link::Link;
use super::tls;
use crate::config::SpokeConfig;
use crate::core::{Event, Outcome};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::reconcile::Input;
use crate::scripted::{self, Memory};
use crate::store::secret::SecretStore;

const PATIENCE: Duration = Duration::from_secs(20);

async fn secret(memory: &Memory) -> Arc<SecretStore> {
    let memory = memory.clone();
    let (connection, _) = scripted::serve(move |asked| memory.answer(asked)).await;
    Arc::new(SecretStore::new(connection, "rimward-system", "run-1"))
}

fn dialer(hub: &Hub) -> Dialer {
    Dialer::new(&hub.address.to_string(), None).unwrap()
}

async fn enrol(hub: &Hub, secret: &SecretStore) -> Result<(Identity, Vec<u8>), EnrolError> {
    let (cluster, cluster_uid) = (ClusterName::new("eu-1").unwrap(), ClusterUid::new("u-1").unwrap());
    let dialer = dialer(hub);
    let enrolment = Enrolment {
        dialer: &dialer,
        token: &hub.token,
        cluster: &cluster,
        cluster_uid: &cluster_uid,
        secret,
    };
    enrolment.run(None).await
}

#[tokio::test]
async fn a_token_becomes_an_identity_that_is_stored() {
    let (hub, memory) = (Hub::start().await, Memory::default());
    let (identity, _) = enrol(&hub, &*secret(&memory).await).await.unwrap();
    assert_eq!(identity.trust_domain.as_str(), "acme.example");
    let stored = secret(&memory).await.load().await.unwrap();
    assert_eq!(stored.identity.unwrap().chain, identity.chain);
    assert!(stored.trust.is_some() && stored.pending.is_none());
}

#[tokio::test]
async fn another_ca_root_or_secret_than_the_tokens_is_refused() {
    let (mut hub, memory) = (Hub::start().await, Memory::default());
    let secret = secret(&memory).await;
    let good = hub.token.clone();
    hub.token.ca = Digest::of(b"another CA");
    let error = enrol(&hub, &secret).await.unwrap_err();
    assert!(matches!(error, EnrolError::Dial(_)), "{error:?}");
    hub.token = good.clone();
    hub.token.root = Digest::of(b"another root");
    let error = enrol(&hub, &secret).await.unwrap_err();
    assert!(matches!(error, EnrolError::Root(_)) && !error.is_transient(), "{error:?}");
    hub.token = good;
    hub.token.secret = [8; 32];
    let error = enrol(&hub, &secret).await.unwrap_err();
    assert!(matches!(error, EnrolError::Refused(_)) && !error.is_transient(), "{error:?}");
    assert!(secret.load().await.unwrap().identity.is_none());
}

#[tokio::test]
async fn a_hub_under_another_name_or_authority_is_not_trusted() {
    let hub = Hub::start().await;
    let config = Arc::new(tls::pinned(hub.token.ca));
    assert!(dialer(&hub).connect(config.clone()).await.is_ok());
    let renamed = Dialer::new(&format!("localhost:{}", hub.address.port()), None).unwrap();
    assert!(renamed.connect(config).await.is_err(), "the certificate is for 127.0.0.1 only");
    let other =
        rcgen::CertificateParams::default().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let config = tls::trusting(&other.pem(), None).unwrap();
    assert!(dialer(&hub).connect(Arc::new(config)).await.is_err());
    assert!(tls::trusting("", None).is_err(), "no authority at all is none to trust");
}

struct Spoke {
    inputs: mpsc::Receiver<Input>,
    outbox: Arc<Outbox>,
    channel: Arc<watch::Sender<Option<tonic::transport::Channel>>>,
    metrics: Arc<Metrics>,
    _bundle: watch::Sender<String>,
}

async fn link(hub: &Hub, memory: &Memory) -> Spoke {
    let secret = secret(memory).await;
    let (identity, root) = enrol(hub, &secret).await.unwrap();
    link_as(hub, secret, identity, &root)
}

/// A spoke with a certificate of that life, and longer ones from its renewal on.
async fn link_with_life(hub: &Hub, memory: &Memory, life: Duration, expired: bool) -> Spoke {
    let secret = secret(memory).await;
    hub.set_life(life);
    let (identity, root) = enrol(hub, &secret).await.unwrap();
    hub.set_life(Duration::from_secs(3600));
    // Certificates are good to the end of their last second.
    let over = identity.check().unwrap().not_after + jiff::SignedDuration::from_secs(1);
    while expired && jiff::Timestamp::now() <= over {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    link_as(hub, secret, identity, &root)
}

fn link_as(hub: &Hub, secret: Arc<SecretStore>, identity: Identity, root: &[u8]) -> Spoke {
    let config = "apiVersion: rimward.dev/v1alpha1\nkind: SpokeConfig\nhub: h:1\ncluster: eu-1\n\
                  reconnect: {min: 20ms, max: 50ms}\n";
    let config = Arc::new(ArcSwap::from_pointee(SpokeConfig::parse(config, "f").unwrap()));
    let (sender, inputs) = mpsc::channel(16);
    let bundle = crate::reconcile::effects::ca_bundle(root).unwrap();
    let (outbox, metrics) = (Arc::new(Outbox::default()), Arc::new(Metrics::new()));
    let channel = Arc::new(watch::channel(None).0);
    let (bundle, ca_bundle) = watch::channel(bundle);
    let link = Link {
        dialer: dialer(hub),
        config,
        identity,
        secret,
        ca_bundle,
        inputs: sender,
        outbox: outbox.clone(),
        channel: channel.clone(),
        metrics: metrics.clone(),
    };
    tokio::spawn(link.run());
    Spoke { inputs, outbox, channel, metrics, _bundle: bundle }
}

impl Spoke {
    /// The next event; questions for Hello are answered on the way.
    async fn event(&mut self) -> Event {
        let next = async {
            loop {
                match self.inputs.recv().await.unwrap() {
                    Input::Event(event) => return *event,
                    Input::Hello(answer) => answer.send(hello()).unwrap(),
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap()
    }
}

fn hello() -> Hello {
    Hello {
        protocol: 1,
        spoke_version: "0".into(),
        boot_id: "b".into(),
        cluster_uid: ClusterUid::new("u-1").unwrap(),
        kubernetes_version: "v1".into(),
        held_head: None,
        held_plan: None,
        root_version: 1,
    }
}

async fn heard(hub: &mut Hub) -> SpokeMessage {
    tokio::time::timeout(PATIENCE, hub.said.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_stream_carries_both_ways_and_is_opened_again() {
    let (mut hub, memory) = (Hub::start().await, Memory::default());
    let mut spoke = link(&hub, &memory).await;
    assert_eq!(spoke.event().await, Event::Connected);
    assert_eq!(heard(&mut hub).await, SpokeMessage::Hello(hello()));
    hub.shared.send(HubMessage::Reconcile);
    assert_eq!(spoke.event().await, Event::Reconcile);
    let ack = Ack {
        kind: AckKind::Held,
        plan: Digest::of(b"p"),
        seq: 1,
        code: String::new(),
        message: String::new(),
    };
    spoke.outbox.push(SpokeMessage::Ack(ack.clone()));
    assert_eq!(heard(&mut hub).await, SpokeMessage::Ack(ack));
    hub.shared.hang_up();
    assert_eq!(spoke.event().await, Event::Disconnected);
    assert_eq!(spoke.event().await, Event::Connected);
    assert_eq!(heard(&mut hub).await, SpokeMessage::Hello(hello()));
}

#[tokio::test]
async fn fetched_content_is_checked_and_kept() {
    let (hub, memory) = (Hub::start().await, Memory::default());
    let mut spoke = link(&hub, &memory).await;
    assert_eq!(spoke.event().await, Event::Connected);
    let content =
        |text: &str| Content { digest: Digest::of(text.as_bytes()), bytes: text.as_bytes().to_vec() };
    let (good, mut bad) = (content("good"), content("bad"));
    bad.bytes = b"other bytes".to_vec();
    let large = Content { digest: Digest::of(&[7; 4 << 20]), bytes: vec![7; limits::INDEX_BYTES as usize] };
    hub.shared.content.lock().unwrap().extend([good.clone(), bad.clone(), large.clone()]);
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(rimward_content::Store::open(dir.path().join("content")).unwrap());
    let fetcher = Fetcher::new(spoke.channel.subscribe(), store.clone());
    let outcome = fetcher.fetch(vec![good.digest, bad.digest, large.digest, Digest::of(b"absent")]).await;
    let Outcome::Fetched { stored, corrupt, error } = outcome else { panic!("{outcome:?}") };
    assert_eq!((stored, corrupt, error), (vec![good.digest, large.digest], vec![bad.digest], None));
    assert_eq!(store.get(&good.digest).unwrap().unwrap(), b"good");
    spoke.channel.send_replace(None);
    let outcome = fetcher.fetch(vec![good.digest]).await;
    assert!(matches!(outcome, Outcome::Fetched { error: Some(_), .. }));
}

#[tokio::test]
async fn an_expired_certificate_is_renewed_and_a_lost_answer_asked_for_again() {
    let (hub, memory) = (Hub::start().await, Memory::default());
    *hub.shared.lose.lock().unwrap() = 1;
    let mut spoke = link_with_life(&hub, &memory, Duration::from_secs(1), true).await;
    assert_eq!(spoke.event().await, Event::Connected);
    let renewals = hub.shared.renewals.lock().unwrap().clone();
    assert_eq!(renewals.len(), 2);
    assert_eq!(renewals[0], renewals[1], "one counter, one key");
    assert_eq!(renewals[0].0, 1);
    let stored = secret(&memory).await.load().await.unwrap();
    assert_eq!(stored.identity.unwrap().counter, 1);
    assert!(stored.pending.is_none());
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_its_life_and_taken_into_use() {
    let (hub, memory) = (Hub::start().await, Memory::default());
    let mut spoke = link_with_life(&hub, &memory, Duration::from_secs(4), false).await;
    assert_eq!(spoke.event().await, Event::Connected);
    assert_eq!(spoke.event().await, Event::Disconnected);
    assert_eq!(spoke.event().await, Event::Connected);
    assert_eq!(hub.shared.renewals.lock().unwrap().len(), 1);
    assert_eq!(spoke.metrics.renewals.get(), 1);
}
