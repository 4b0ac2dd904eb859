//! The session over real mTLS: who may open one, what is offered, what may be
//! fetched, and what raises `Ahead`.

use super::support::{Hub, Identity, SOON, code, uid};
use rimward_hub::core::world::{ClusterStatus, Task};
use rimward_hub::handle::{Action, ActionError};
use rimward_hub::session::Kind;
use rimward_proto::bundle::{BundleIndex, IndexEntry};
use rimward_proto::convert;
use rimward_proto::envelope::Envelope;
use rimward_proto::head::{self, Assignment, Head};
use rimward_proto::merkle::leaf_hash;
use rimward_proto::plan::{Deletion, Drift, DriftMode, Health, Plan, PlanBundle, Takeover};
use rimward_proto::report::{AppReport, DriftAction, DriftReport, DriftType, Report, State};
use rimward_proto::root::Root;
use rimward_proto::session::{Ack, AckKind, Hello, HubMessage, Offer, SpokeMessage};
use rimward_proto::wire::content_client::ContentClient;
use rimward_proto::wire::session_client::SessionClient;
use rimward_proto::wire::{HubFrame, SpokeFrame};
use rimward_proto::{AppName, ClusterName, ClusterUid, Digest, ObjectKey, TenantName};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding::Zstd;
use tonic::{Code, Status, Streaming};

pub struct Talk {
    pub say: mpsc::Sender<SpokeFrame>,
    pub hear: Streaming<HubFrame>,
}

impl Talk {
    pub async fn open(hub: &Hub, identity: Option<&Identity>) -> Result<Self, Status> {
        let (say, outgoing) = mpsc::channel(8);
        let client = SessionClient::new(hub.channel(identity).await);
        let mut client = client.accept_compressed(Zstd).send_compressed(Zstd);
        let hear = client.open(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { say, hear })
    }

    pub async fn hello(hub: &Hub, identity: &Identity, hello: Hello) -> Self {
        let talk = Self::open(hub, Some(identity)).await.unwrap();
        talk.say(SpokeMessage::Hello(hello)).await;
        talk
    }

    pub async fn say(&self, message: SpokeMessage) {
        self.say.send(convert::spoke_to_wire(message)).await.unwrap();
    }

    pub async fn next(&mut self) -> Result<HubMessage, Status> {
        let frame = tokio::time::timeout(SOON, self.hear.message()).await.expect("an answer in time")?;
        Ok(convert::hub_from_wire(frame.ok_or_else(|| Status::cancelled("ended"))?).unwrap())
    }

    pub async fn offer(&mut self) -> Offer {
        match self.next().await.unwrap() {
            HubMessage::Offer(offer) => *offer,
            other => panic!("{other:?}"),
        }
    }
}

pub fn hello(cluster: &str) -> Hello {
    Hello {
        protocol: 1,
        spoke_version: "test".into(),
        boot_id: "boot".into(),
        cluster_uid: ClusterUid::new(uid(cluster)).unwrap(),
        kubernetes_version: "v1.37.2".into(),
        held_head: None,
        held_plan: None,
        root_version: 0,
    }
}

/// A plan of one App with these objects, and its index.
pub fn plan(objects: &[&str]) -> (Plan, Vec<u8>) {
    let entry = |text: &&str| IndexEntry {
        key: ObjectKey::new("", "ConfigMap", "a", &text[text.len().saturating_sub(60)..]),
        version: "v1".into(),
        sha256: Digest::of(text.as_bytes()),
        bytes: text.len() as u64,
    };
    let index = BundleIndex::new(objects.iter().map(entry).collect()).unwrap();
    let bytes = index.to_bytes().unwrap();
    let bundle = PlanBundle {
        tenant: TenantName::new("t").unwrap(),
        app: AppName::new("a").unwrap(),
        digest: Digest::of(&bytes),
        bytes: index.total_bytes(),
        objects: objects.len() as u64,
        commit: "c".into(),
        service_account: "rimward-tenants/t".into(),
        namespaces: vec!["a".into()],
        allow: vec![],
        deny: vec![],
        role: Some("edit".into()),
        depends_on: vec![],
        drift: Drift { mode: DriftMode::Revert, ignore: vec![] },
        takeover: Takeover::Refuse,
        health: Health { timeout_seconds: 300, cel: vec![] },
        deletion: Deletion { max_per_plan: 20, protect: vec![] },
        formerly: vec![],
    };
    (Plan { bundles: vec![bundle], ..Plan::default() }, bytes)
}

/// Verifies an offer as a spoke does, and returns head and assignment.
fn verify(hub: &Hub, offer: &Offer) -> (Head, Assignment) {
    let root = Envelope::parse(&offer.roots[0]).unwrap();
    let root = Root::first(&root, hub.state.signer.pin().unwrap()).unwrap();
    let payload = Envelope::parse(&offer.head).unwrap().verify(head::MEDIA_TYPE, &root.head_keys).unwrap();
    let head = Head::parse(&payload).unwrap();
    offer.proof.verify(leaf_hash(&offer.assignment), head.tree.hash).unwrap();
    (head, Assignment::parse(&offer.assignment).unwrap())
}

pub async fn fetch(hub: &Hub, identity: &Identity, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Status> {
    let mut client = ContentClient::new(hub.channel(Some(identity)).await);
    let mut stream = client.fetch(convert::fetch_to_wire(digests)).await?.into_inner();
    let mut found = Vec::new();
    while let Some(item) = stream.message().await? {
        found.push(convert::content_from_wire(item).unwrap().bytes);
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_verifies_brings_only_what_is_new_and_renews() {
    let (hub, _home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let (one, one_index) = plan(&["x", "y"]);
    hub.publish(&[("eu-1", &one)], &[b"x", b"y", &one_index]);
    let mut talk = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    let offer = talk.offer().await;
    let (head, assignment) = verify(&hub, &offer);
    assert_eq!((head.seq, assignment.cluster.as_str()), (1, "eu-1"));
    assert_eq!(Digest::of(&offer.plan.unwrap()), assignment.plan);
    assert_eq!(offer.inline.len(), 3, "index and both objects");
    let seq = head.seq;
    talk.say(SpokeMessage::Ack(Ack {
        kind: AckKind::Held,
        plan: assignment.plan,
        seq,
        code: String::new(),
        message: String::new(),
    }))
    .await;
    let eu = ClusterName::new("eu-1").unwrap();
    let held = async {
        while hub.state.look(|world| world.clusters[&eu].held_plan) != Some(assignment.plan) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, held).await.unwrap();
    let (two, two_index) = plan(&["x", "z"]);
    hub.publish(&[("eu-1", &two)], &[b"z", &two_index]);
    let offer = talk.offer().await;
    let sent: Vec<_> = offer.inline.iter().map(|item| item.bytes.clone()).collect();
    assert_eq!(sent, [two_index.clone(), b"z".to_vec()], "x is there already");
    assert!(offer.roots.is_empty(), "the root was sent once");
    assert_eq!(fetch(&hub, &spoke, &[Digest::of(b"x"), Digest::of(&two_index)]).await.unwrap().len(), 2);
    let sent = [Kind::Plan, Kind::Index, Kind::Object].map(|kind| hub.state.sent.count(kind));
    assert_eq!(
        sent,
        [2, 3, 4],
        "two plans; with each its index, and one was asked for again; x, y, z and x again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_identity_with_an_old_one_or_with_another_uid_nothing_opens() {
    let (hub, _home) = Hub::start().await;
    assert_eq!(code(Talk::open(&hub, None).await), Code::Unauthenticated);
    let spoke = hub.spoke("eu-1").await;
    let mut other = Talk::hello(&hub, &spoke, hello("us-1")).await;
    assert_eq!(code(other.next().await), Code::FailedPrecondition, "the uid must be the enrolled one");
    let token = hub.token("eu-1", true, SOON);
    let key = rcgen::KeyPair::generate().unwrap();
    hub.enroll(&token, "eu-1", &uid("eu-1"), &key).await.unwrap();
    assert_eq!(code(Talk::open(&hub, Some(&spoke)).await), Code::PermissionDenied, "it was replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_session_wins_and_a_report_is_acknowledged() {
    let (hub, _home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let mut old = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    let mut new = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    assert_eq!(code(old.next().await), Code::Aborted);
    new.say(SpokeMessage::Report(Report {
        boot_id: "boot".into(),
        counter: 7,
        as_of: jiff::Timestamp::now(),
        plan: None,
        full: true,
        apps: vec![],
        cleared: vec![],
        unaccounted: vec![],
        holds: vec![],
        drift: vec![],
        events: vec![],
        lists: None,
    }))
    .await;
    let ack = new.next().await.unwrap();
    assert_eq!(ack, HubMessage::ReportAck { boot_id: "boot".into(), counter: 7 });
    let status = hub.state.look(|world| world.clusters[&ClusterName::new("eu-1").unwrap()].clone());
    assert!(status.connected && status.reported.is_some());
    assert_eq!(status.kubernetes_version, "v1.37.2");
}

/// What is known of eu-1.
pub fn known(hub: &Hub) -> ClusterStatus {
    hub.state.look(|world| world.clusters[&ClusterName::new("eu-1").unwrap()].clone())
}

pub async fn until(what: impl Fn() -> bool) {
    let poll = async {
        while !what() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, poll).await.expect("it comes true in time");
}

/// A report that its one App is Ready, and that one object drifted.
pub fn ready() -> Report {
    let id: rimward_proto::AppId = "t/a".parse().unwrap();
    let app = AppReport {
        id: id.clone(),
        bundle: None,
        state: State::Ready,
        reason: String::new(),
        message: String::new(),
        objects: 1,
        ready: 1,
        exceptions: vec![],
        taken: vec![],
    };
    let key = ObjectKey::new("", "ConfigMap", "a", "x");
    let drift = DriftReport {
        id: "d".into(),
        app: id,
        key,
        version: "v1".into(),
        kind: DriftType::Changed,
        detected: jiff::Timestamp::now(),
        manager: "kubectl".into(),
        action: DriftAction::Reported,
        restored_millis: None,
        approximate: false,
        fields: vec![],
    };
    Report {
        boot_id: "boot".into(),
        counter: 1,
        as_of: jiff::Timestamp::now(),
        plan: None,
        full: true,
        apps: vec![app],
        cleared: vec![],
        unaccounted: vec![],
        holds: vec![],
        drift: vec![drift],
        events: vec![],
        lists: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_is_not_connected_any_more() {
    let (hub, _home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let mut talk = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    until(|| known(&hub).connected).await;
    hub.state.sessions.cut(&ClusterName::new("eu-1").unwrap());
    until(|| !known(&hub).connected).await;
    assert_eq!(code(talk.next().await), Code::Aborted);
    assert!(hub.state.sessions.is_empty());
    // The next one is connected again.
    let _talk = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    until(|| known(&hub).connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_spoke_is_told_to_look_again_and_another_is_said_to_be_away() {
    let (hub, _home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let handle = hub.tasks();
    let cluster = ClusterName::new("eu-1").unwrap();
    let ask = || handle.ask(|reply| Action::LookAgain { cluster: cluster.clone(), reply });
    assert!(matches!(ask().await, Err(ActionError::Conflict(why)) if why.contains("not connected")));
    let mut talk = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    until(|| known(&hub).connected).await;
    ask().await.unwrap();
    while !matches!(talk.next().await.unwrap(), HubMessage::Reconcile) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_under_the_same_name_inherits_nothing() {
    let (hub, _home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let (plan, index) = plan(&["x"]);
    hub.publish(&[("eu-1", &plan)], &[b"x", &index]);
    let mut talk = Talk::hello(&hub, &spoke, hello("eu-1")).await;
    talk.offer().await;
    talk.say(SpokeMessage::Report(ready())).await;
    talk.next().await.unwrap();
    assert_eq!(known(&hub).apps.len(), 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let replaced = hub.enroll(&hub.token("eu-1", true, SOON), "eu-1", "another", &key).await.unwrap();
    let uid = ClusterUid::new("another").unwrap();
    let empty = |known: &ClusterStatus| known.apps.is_empty() && known.reported.is_none();
    let status = known(&hub);
    assert!(empty(&status) && !status.connected && status.uid == Some(uid.clone()), "{status:?}");
    assert!(hub.state.look(|world| world.drift.is_empty()), "its drift was another cluster's");
    let identity = Identity::new(&replaced, key);
    let _talk = Talk::hello(&hub, &identity, Hello { cluster_uid: uid, ..hello("eu-1") }).await;
    until(|| known(&hub).connected).await;
    assert!(empty(&known(&hub)), "an empty cluster is not Ready because the one before it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_the_store_does_not_know_raises_ahead_for_good_and_a_forged_one_cuts() {
    let (hub, home) = Hub::start().await;
    let spoke = hub.spoke("eu-1").await;
    let forged = Hello { held_head: Some(hub.state.signer.roots()[0].clone()), ..hello("eu-1") };
    let mut talk = Talk::hello(&hub, &spoke, forged).await;
    assert_eq!(code(talk.next().await), Code::PermissionDenied);
    assert!(hub.state.ahead().is_none());
    let (plan, index) = plan(&["x"]);
    // Published, but not in the store: as after the restore of an old backup.
    hub.publish(&[("eu-1", &plan)], &[b"x", &index]);
    let envelope = hub.state.published.borrow().as_ref().unwrap().envelope.clone();
    let mut talk = Talk::hello(&hub, &spoke, Hello { held_head: Some(envelope), ..hello("eu-1") }).await;
    talk.offer().await;
    let why = hub.state.ahead().unwrap();
    assert!(why.contains("seq 1"));
    let troubles = |hub: &Hub| hub.state.look(|world| world.troubles.get(&Task::Signing).cloned());
    let trouble = troubles(&hub).unwrap();
    assert_eq!(trouble.message, why);
    drop(talk);
    hub.stop().await;
    // A restart does not forget it: the next publication would be a second one under that seq.
    let hub = Hub::start_in(&home).await;
    let _handle = hub.tasks();
    assert_eq!((hub.state.ahead(), troubles(&hub)), (Some(why), Some(trouble)));
    assert!(hub.state.published.borrow().is_none());
}
