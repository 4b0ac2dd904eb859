//! `rimward wait`, `reconcile`, `approve` and `enroll` against a live hub.

use std::io::Read;
use std::sync::Arc;

use jiff::Timestamp;
use rimward_hub::core::note::Severity;
use rimward_proto::report::State;

use crate::cli_hub::{LiveHub, SKIPPED, SOON, says, token};
use crate::fixture::*;

const NEWER: &str = "abcdef1000000000000000000000000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_when_it_is_ready_and_says_what_it_waits_for() {
    let mut world = world(Timestamp::now());
    world.clusters.get_mut(&cluster("eu-1")).unwrap().connected = false;
    let hub = LiveHub::start(world);
    let (server, mut running) = (hub.server.clone(), hub.spawn(&["wait", "app/payments/web"]));
    let (mut out, mut err) = (running.out(), running.err());
    let waited = tokio::task::spawn_blocking(move || {
        let first = says(&mut err, "waiting: ");
        server.change(|world| world.clusters.get_mut(&cluster("eu-1")).unwrap().connected = true);
        let mut printed = String::new();
        out.read_to_string(&mut printed).unwrap();
        (first, printed)
    });
    let (first, printed) = tokio::time::timeout(SOON, waited).await.expect("it ends in time").unwrap();
    assert!(
        first.starts_with("waiting: app/payments/web is Offline: NoStream: 1 of 2 clusters: eu-1"),
        "{first}"
    );
    assert_eq!(printed, "app/payments/web is Ready at 9f2c1ab on 2 clusters\n");
    assert_eq!(running.code(), Some(0));
    let ran = hub.run(&["wait", "cluster/eu-1", "-q"]).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    assert_eq!(hub.run(&["wait", "source/fleet", "--for=Held", "--timeout", "1s"]).await.code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_a_commit_takes_that_one_or_a_newer_one() {
    let hub = LiveHub::start(world(Timestamp::now()));
    let reference = "app/payments/web";
    assert_eq!(hub.run(&["wait", reference, "--commit", &COMMIT[..8]]).await.code, 0);
    let waiting = hub.run(&["wait", reference, "--commit", NEWER, "--timeout", "1s"]).await;
    assert_eq!(waiting.code, 3, "{waiting:?}");
    assert!(waiting.err.contains("not yet at abcdef1"), "{waiting:?}");
    // The source moves on, the App is decided on it: the older commit is covered too.
    hub.server.change(|world| {
        world.sources.get_mut(&apps_source()).unwrap().commit = NEWER.into();
    });
    let behind = hub.run(&["wait", reference, "--commit", NEWER, "--timeout", "1s"]).await;
    assert_eq!(behind.code, 3, "its App is still decided on the older one: {behind:?}");
    let behind = hub.run(&["wait", reference, "--commit", SKIPPED, "--timeout", "1s"]).await;
    assert_eq!(behind.code, 3, "and so it is with what the newer one brought along: {behind:?}");
    let source = ["wait", "source/payments/apps", "--commit", NEWER, "--timeout", "1s"];
    let read = hub.run(&source).await;
    assert_eq!(read.code, 3, "read is not planned: {read:?}");
    assert!(read.err.contains("Progressing: NotPlanned"), "{read:?}");
    hub.server.change(|world| {
        world.sources.get_mut(&apps_source()).unwrap().planned = NEWER.into();
        Arc::make_mut(&mut world.decided).apps.get_mut(&web()).unwrap().commit = NEWER.into();
    });
    assert_eq!(hub.run(&source).await.code, 0);
    for reference in [reference, "source/payments/apps"] {
        let ran = hub.run(&["wait", reference, "--commit", SKIPPED]).await;
        assert_eq!(ran.code, 0, "it is in the newer one's history: {ran:?}");
        let other = hub.run(&["wait", reference, "--commit", "0ddba11", "--timeout", "1s"]).await;
        assert_eq!(other.code, 3, "{other:?}");
    }
    for commit in [NEWER, COMMIT] {
        let ran = hub.run(&["wait", reference, "--commit", commit]).await;
        assert_eq!(ran.code, 0, "{commit}: {ran:?}");
    }
    assert_eq!(hub.run(&["wait", "source/payments/apps", "--commit", COMMIT]).await.code, 0);
    assert_eq!(hub.run(&["wait", "cluster/eu-1", "--commit", COMMIT]).await.code, 2);
    assert_eq!(hub.run(&["wait", reference, "--commit", "xyz"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_gives_up_on_failed_and_on_what_never_comes() {
    let mut world = world(Timestamp::now());
    let eu = world.clusters.get_mut(&cluster("eu-1")).unwrap();
    eu.apps.get_mut(&web()).unwrap().0 = report(State::Failed, "Denied", "policy p says no");
    let hub = LiveHub::start(world);
    let ran = hub.run(&["wait", "app/payments/web"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("app/payments/web is Failed: Denied: 1 of 2 clusters: eu-1: policy p says no"),
        "{ran:?}"
    );
    hub.server.change(|world| {
        let eu = world.clusters.get_mut(&cluster("eu-1")).unwrap();
        (eu.apps.get_mut(&web()).unwrap().0, eu.holds) = (report(State::Ready, "", ""), vec![hold()]);
    });
    let ran = hub.run(&["wait", "cluster/eu-1"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.err.contains("cluster/eu-1 is Held: DeletionsHeld"), "{ran:?}");
    let ran = hub.run(&["wait", "app/payments/nothing", "--timeout", "1s"]).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.err.contains("waiting: app/payments/nothing is not known to the hub yet"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_asks_for_the_source_behind_a_reference() {
    let hub = LiveHub::start(world(Timestamp::now()));
    for reference in ["source/payments/apps", "app/payments/web", "tenant/payments", "fleet"] {
        let ran = hub.run(&["reconcile", reference, "--wait"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains("published 41 (epoch 1)"), "{ran:?}");
    }
    let asked = hub.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4);
    assert!(asked[..3].iter().all(|asked| asked.contains("apps")), "{asked:?}");
    assert_eq!(asked[3], "reconcile []");
    let ran = hub.run(&["reconcile", "cluster/eu-1", "--wait"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("eu-1 compares every object with what it shall be"), "{ran:?}");
    let ran = hub.run(&["reconcile", "cluster/us-1"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.err.contains("cluster/us-1 is not connected"), "{ran:?}");
    assert_eq!(hub.asked.lock().unwrap()[4..], ["look eu-1", "look us-1"]);
    assert_eq!(hub.run(&["reconcile", "cluster/none"]).await.code, 5);
    assert_eq!(hub.run(&["reconcile", "source/payments/none"]).await.code, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn approve_shows_what_goes_and_does_not_guess_a_yes() {
    let mut world = world(Timestamp::now());
    world.clusters.get_mut(&cluster("eu-1")).unwrap().holds = vec![hold()];
    let hub = LiveHub::start(world);
    let digest = hold().digest.to_string();
    let ran = hub.run(&["approve", &digest]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("approving deletes, on eu-1:\n  PersistentVolumeClaim/payments/data (uid 1b9d6bcd)"),
        "{ran:?}"
    );
    assert!(hub.asked.lock().unwrap().is_empty());
    for (name, reason) in [(&digest[..16], "a"), ("eu-1.Protected.payments.web", "b"), (&digest[7..20], "c")]
    {
        let ran = hub.run(&["approve", name, "-y", "--reason", reason]).await;
        assert_eq!((ran.code, ran.out), (0, format!("{digest} approved\n")), "{name}");
        assert_eq!(hub.asked.lock().unwrap().pop(), Some(format!("approve {digest} {reason}")));
    }
    assert_eq!(hub.run(&["approve", "eu-1", "-y"]).await.code, 5);
    assert_eq!(hub.run(&["approve", &digest, "-y", "--stage", "prod"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn enroll_prints_a_token_or_the_manifests() {
    let hub = LiveHub::start(world(Timestamp::now()));
    let ran = hub.run(&["enroll", "eu-3", "--token-only", "--ttl", "30m"]).await;
    assert_eq!((ran.code, ran.out, ran.err.as_str()), (0, token() + "\n", ""));
    assert_eq!(hub.asked.lock().unwrap().pop().as_deref(), Some("token eu-3 Some(1800s) false"));
    let ran = hub.run(&["enroll", "eu-3", "--print", "--image", "r.example/spoke:1"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for expected in
        ["hub: \"hub.acme.example:8443\"", "cluster: \"eu-3\"", "image: \"r.example/spoke:1\"", &token()]
    {
        assert!(ran.out.contains(expected), "{expected}");
    }
    assert_eq!(hub.run(&["enroll", "eu-1", "--token-only"]).await.code, 6);
    assert_eq!(hub.run(&["enroll", "eu-1", "--token-only", "--replace", "--wait=5s"]).await.code, 0);
    assert_eq!(hub.run(&["enroll", "eu-3"]).await.code, 2);
    assert_eq!(hub.run(&["enroll", "Not-A-Name", "--token-only"]).await.code, 2);
    assert_eq!(hub.run(&["enroll", "eu-3", "--token-only", "--wait=1s"]).await.code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_a_bad_file_fails_at_its_commit() {
    let mut world = world(Timestamp::now());
    world.sources.get_mut(&apps_source()).unwrap().commit = NEWER.into();
    let blocked = note(Severity::Error, "RW3004", "unknown field `namespce`");
    Arc::make_mut(&mut world.decided).apps.get_mut(&web()).unwrap().blocked = Some(blocked);
    let hub = LiveHub::start(world);
    let ran = hub.run(&["wait", "app/payments/web", "--commit", NEWER]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("web/rimward.yaml:5:3: unknown field `namespce`"), "{ran:?}");
}

#[test]
fn a_wait_outlives_a_restart_of_the_hub() {
    let mut world = world(Timestamp::now());
    us_offline(&mut world, Timestamp::now());
    let first = tokio::runtime::Runtime::new().unwrap();
    let hub = first.block_on(async { LiveHub::start(world) });
    let mut running = hub.spawn(&["wait", "app/payments/web"]);
    let mut err = running.err();
    says(&mut err, "waiting: ");
    first.shutdown_background();
    says(&mut err, "the hub went away; trying again");
    let second = tokio::runtime::Runtime::new().unwrap();
    let _hub =
        second.block_on(async { LiveHub::start_in(hub.folder.clone(), self::world(Timestamp::now())) });
    says(&mut err, "connected again");
    assert_eq!(running.code(), Some(0));
}
