//! The verdict table, rows 1 to 8, 13 to 17, 24 and 25 (and 9 to 12): what is
//! refused, by name, and that nothing of a refused offer is ever applied.

use jiff::SignedDuration;
use rimward_proto::head::{Assignment, Floor};
use rimward_proto::plan::Plan;
use rimward_proto::session::{AckKind, Offer};
use rimward_proto::{ClusterName, ClusterUid, Digest, TrustDomain};

use super::fleet::{app, config, config_key, secret};
use super::world::World;
use crate::core::accept;

fn plan(world: &mut World, value: &str) -> Plan {
    world.fleet.plan(&[app("shop/web", vec![config("shop", "a", value)])], &[])
}

/// A world whose floor is 1/57 with value "57" applied.
fn at_57() -> World {
    let mut world = World::new();
    let plan = plan(&mut world, "57");
    world.fleet.seq = 56;
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert!(world.has_acked(AckKind::Applied, 57));
    world.acks.clear();
    world
}

fn floor(world: &World) -> (u64, u64) {
    world.state.trust.floor.map_or((0, 0), |floor| (floor.epoch, floor.seq))
}

fn value(world: &World) -> String {
    world.api.value(&config_key("shop", "a"), &["data", "value"]).map(|v| v.to_string()).unwrap_or_default()
}

/// Offers, and expects a refusal of this name that leaves everything as it was.
fn refused(world: &mut World, offer: Offer, name: &str) {
    let (before, was) = (floor(world), value(world));
    world.offer(offer);
    assert!(world.run());
    let codes: Vec<_> = world.acks.iter().map(|ack| (ack.kind, ack.code.clone())).collect();
    assert_eq!(codes, [(AckKind::Refused, name.to_owned())]);
    assert_eq!((floor(world), value(world)), (before, was));
}

fn has_event(world: &mut World, kind: &str) -> bool {
    world.pass(SignedDuration::from_secs(2));
    world.reports.iter().flat_map(|report| &report.events).any(|event| event.kind == kind)
}

#[test]
fn row_01_the_root_chain_of_the_token_is_accepted() {
    let world = World::new();
    let bytes = world.fleet.root_bytes();
    let payload = rimward_proto::envelope::Envelope::parse(&bytes).unwrap().payload_unverified().unwrap();
    let pin = Digest::of(&payload);
    let mut second = world.fleet.root.clone();
    second.version = 2;
    let chain = [bytes, second.sign(&[&world.fleet.root_key]).to_bytes()];
    let (root, stored) = accept::accept_enrolment(&chain, pin).unwrap();
    assert_eq!((root.version, &stored), (2, &chain[1]));
    let refusal = accept::accept_enrolment(&chain, Digest::of(b"another")).unwrap_err();
    assert_eq!(refusal.verdict, accept::Verdict::RootSignature);
}

#[test]
fn row_02_a_first_head_is_accepted_and_prunes_nothing() {
    let mut world = World::new();
    world.api.namespaces.insert("shop".into());
    world.api.edit(&config_key("shop", "old"), "kubectl", &[(&["data", "x"], "y".into())]);
    let plan = plan(&mut world, "1");
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert_eq!((floor(&world), value(&world)), ((1, 1), "\"1\"".into()));
    assert_eq!(world.trust.floor, world.state.trust.floor, "the floor is durable");
    assert!(world.api.objects.contains_key(&config_key("shop", "old")));
}

#[test]
fn row_03_the_next_head_is_accepted() {
    let mut world = at_57();
    let plan = plan(&mut world, "58");
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert_eq!((floor(&world), value(&world)), ((1, 58), "\"58\"".into()));
    assert!(world.has_acked(AckKind::Held, 58));
}

#[test]
fn row_04_gaps_are_allowed() {
    let mut world = at_57();
    world.fleet.seq = 59;
    let plan = plan(&mut world, "60");
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert_eq!((floor(&world), value(&world)), ((1, 60), "\"60\"".into()));
}

#[test]
fn row_05_a_renewed_head_extends_freshness_without_a_write() {
    let mut world = at_57();
    let (trust, ledger, writes) = (world.count("trust"), world.count("ledger"), world.api.writes.len());
    let plan = plan(&mut world, "57");
    let later = world.now + SignedDuration::from_mins(10);
    let renewed = world.fleet.offer(&plan, 57, later);
    world.offer(renewed);
    assert!(world.run());
    assert_eq!(world.state.trust.fresh_until(world.now), Some(later + SignedDuration::from_mins(15)));
    // An older renewal that comes late takes nothing back.
    let older = world.fleet.offer(&plan, 57, world.now);
    world.offer(older);
    assert_eq!(world.state.trust.fresh_until(world.now), Some(later + SignedDuration::from_mins(15)));
    assert!(world.acks.is_empty());
    assert_eq!(
        (world.count("trust"), world.count("ledger"), world.api.writes.len()),
        (trust, ledger, writes)
    );
}

#[test]
fn row_05_a_newer_head_that_changes_nothing_here_is_written_at_most_hourly() {
    let mut world = at_57();
    let before = world.count("trust");
    let plan = plan(&mut world, "57");
    for _ in 0..50 {
        let offer = world.fleet.publish(&plan, world.now);
        world.offer(offer);
        world.pass(SignedDuration::from_mins(1));
    }
    assert_eq!(floor(&world), (1, 107));
    assert_eq!(world.count("trust"), before);
    for _ in 0..20 {
        let offer = world.fleet.publish(&plan, world.now);
        world.offer(offer);
        world.pass(SignedDuration::from_mins(1));
    }
    assert_eq!(world.count("trust"), before + 1);
}

#[test]
fn row_06_equivocation_keeps_both_as_evidence() {
    let mut world = at_57();
    let other = plan(&mut world, "forged");
    let offer = world.fleet.offer(&other, 57, world.now);
    let forged = String::from_utf8(offer.head.clone()).unwrap();
    let held = String::from_utf8(world.state.trust.head_bytes.clone().unwrap()).unwrap();
    refused(&mut world, offer, "Equivocation");
    assert!(has_event(&mut world, "Equivocation"));
    let events = world.reports.iter().flat_map(|report| &report.events);
    let event = events.into_iter().find(|event| event.kind == "Equivocation").unwrap();
    assert!(event.message.contains(&forged) && event.message.contains(&held));
}

#[test]
fn row_07_rollback_is_refused() {
    let mut world = at_57();
    let old = plan(&mut world, "56");
    let offer = world.fleet.offer(&old, 56, world.now);
    refused(&mut world, offer, "Rollback");
    assert!(has_event(&mut world, "Rollback"));
    world.restart();
    world.connect();
    assert!(world.run());
    world.acks.clear();
    let offer = world.fleet.offer(&old, 56, world.now);
    refused(&mut world, offer, "Rollback");
}

#[test]
fn row_08_an_epoch_that_no_root_gave_is_refused() {
    let mut world = at_57();
    world.fleet.epoch = 2;
    let plan = plan(&mut world, "58");
    let offer = world.fleet.publish(&plan, world.now);
    refused(&mut world, offer, "EpochUnauthorised");
}

#[test]
fn row_09_a_root_of_a_new_epoch_moves_the_floor_and_holds_deletes() {
    let mut world = at_57();
    let mut offer = {
        let plan = plan(&mut world, "57");
        world.fleet.offer(&plan, 57, world.now)
    };
    (world.fleet.root.version, world.fleet.root.epoch) = (2, 2);
    offer.roots = vec![world.fleet.root_bytes()];
    world.offer(offer);
    assert!(world.run());
    assert_eq!(world.state.trust.floor, Some(Floor { epoch: 2, seq: 0, tree: Digest::of(b"") }));
    assert!(!world.state.trust.is_fresh(world.now), "deletes wait for a head of the new epoch");
    (world.fleet.epoch, world.fleet.seq) = (2, 0);
    let plan = plan(&mut world, "new");
    let offer = world.fleet.publish(&plan, world.now);
    world.offer(offer);
    assert!(world.run());
    assert_eq!((floor(&world), value(&world)), ((2, 1), "\"new\"".into()));
    assert!(world.state.trust.is_fresh(world.now));
}

#[test]
fn row_10_a_missing_root_is_asked_for() {
    let mut world = at_57();
    let new_key = secret(3);
    (world.fleet.root.version, world.fleet.head_key) = (2, new_key);
    world.fleet.root.head_keys = rimward_proto::envelope::Role::new([world.fleet.head_key.public()], 1);
    let second = world.fleet.root_bytes();
    world.fleet.root.version = 3;
    let third = world.fleet.root_bytes();
    let plan = plan(&mut world, "58");
    let mut offer = world.fleet.publish(&plan, world.now);
    offer.roots = vec![third.clone()];
    refused(&mut world, offer.clone(), "RootGap");
    assert_eq!(world.roots_asked, [1]);
    world.send(crate::core::Event::Roots(vec![second, third]));
    world.offer(offer);
    assert!(world.run());
    assert_eq!((world.state.trust.root.version, value(&world)), (3, "\"58\"".into()));
}

#[test]
fn row_11_a_root_below_a_threshold_is_refused_and_the_old_one_kept() {
    let mut world = at_57();
    let mut forged = world.fleet.root.clone();
    forged.version = 2;
    let thief = secret(3);
    world.send(crate::core::Event::Roots(vec![forged.sign(&[&thief]).to_bytes()]));
    assert_eq!(world.state.trust.root.version, 1);
    assert!(has_event(&mut world, "RootSignature"));
}

#[test]
fn row_12_an_expired_root_on_the_way_is_no_obstacle() {
    let mut world = at_57();
    let mut expired = world.fleet.root.clone();
    (expired.version, expired.expires) = (2, jiff::Timestamp::UNIX_EPOCH);
    let mut third = world.fleet.root.clone();
    third.version = 3;
    let chain = [&expired, &third].map(|root| root.sign(&[&world.fleet.root_key]).to_bytes());
    world.send(crate::core::Event::Roots(chain.to_vec()));
    assert_eq!(world.state.trust.root.version, 3);
}

#[test]
fn row_13_another_clusters_assignment_is_refused() {
    for (cluster, uid) in [("us-1", "0000-1111"), ("eu-1", "9999-9999")] {
        let mut world = at_57();
        let bytes = plan(&mut world, "58").to_bytes();
        let assignment = Assignment {
            cluster: ClusterName::new(cluster).unwrap(),
            cluster_uid: ClusterUid::new(uid).unwrap(),
            plan: Digest::of(&bytes),
            deletes: vec![],
        };
        let offer = world.fleet.offer_of(&assignment, Some(bytes), 58, world.now);
        refused(&mut world, offer, "CrossDelivery");
        assert!(has_event(&mut world, "CrossDelivery"));
    }
}

#[test]
fn row_14_a_proof_that_does_not_lead_to_the_tree_is_refused() {
    let break_hash: fn(&mut Offer) = |offer| offer.proof.hashes[0] = Digest::of(b"x");
    let break_leaf: fn(&mut Offer) = |offer| offer.assignment.push(b' ');
    let break_size: fn(&mut Offer) = |offer| offer.proof.size = 3;
    for tamper in [break_hash, break_leaf, break_size] {
        let mut world = at_57();
        let plan = plan(&mut world, "58");
        let mut offer = world.fleet.publish(&plan, world.now);
        tamper(&mut offer);
        refused(&mut world, offer, "BadProof");
    }
}

#[test]
fn row_15_another_media_type_is_refused() {
    let mut world = at_57();
    let plan = plan(&mut world, "58");
    let mut offer = world.fleet.publish(&plan, world.now);
    let head = rimward_proto::envelope::Envelope::parse(&offer.head).unwrap().payload_unverified().unwrap();
    let envelope = rimward_proto::envelope::Envelope::sign(
        "application/vnd.rimward.root.v1+json",
        &head,
        &[&world.fleet.head_key],
    );
    offer.head = envelope.to_bytes();
    refused(&mut world, offer, "WrongType");
}

#[test]
fn row_16_an_unknown_key_is_refused() {
    let mut world = at_57();
    let plan = plan(&mut world, "58");
    world.fleet.head_key = secret(3);
    let offer = world.fleet.publish(&plan, world.now);
    refused(&mut world, offer, "BadSignature");
    // The root key signs roots, not heads.
    let mut world = at_57();
    let plan = self::plan(&mut world, "58");
    std::mem::swap(&mut world.fleet.head_key, &mut world.fleet.root_key);
    let offer = world.fleet.publish(&plan, world.now);
    refused(&mut world, offer, "BadSignature");
}

#[test]
fn row_17_a_plan_over_the_limits_or_ceilings_is_refused() {
    let tampers: [fn(&mut Plan); 4] = [
        |plan| plan.bundles[0].objects = 10_001,
        |plan| plan.bundles[0].namespaces = vec!["*".into()],
        |plan| plan.bundles[0].namespaces = vec!["kube-system".into()],
        |plan| plan.bundles[0].service_account = "kube-system/admin".into(),
    ];
    for tamper in tampers {
        let mut world = at_57();
        world.settings.namespaces = vec!["shop*".into()];
        world.settings.service_accounts = vec!["rimward-tenants/*".into()];
        world.send(crate::core::Event::Config(world.settings.clone()));
        let mut plan = plan(&mut world, "58");
        tamper(&mut plan);
        let offer = world.fleet.publish(&plan, world.now);
        refused(&mut world, offer, "Refused");
    }
}

#[test]
fn row_24_an_unknown_critical_field_is_refused() {
    let mut world = at_57();
    let mut plan = plan(&mut world, "58");
    plan.critical = vec!["quantum".into()];
    let offer = world.fleet.publish(&plan, world.now);
    refused(&mut world, offer, "Unsupported");
}

#[test]
fn row_25_another_trust_domain_is_refused() {
    let mut world = at_57();
    world.fleet.domain = TrustDomain::new("evil.example").unwrap();
    let plan = plan(&mut world, "58");
    let offer = world.fleet.publish(&plan, world.now);
    refused(&mut world, offer, "WrongDomain");
    assert!(has_event(&mut world, "WrongDomain"));
}

#[test]
fn an_expired_head_is_not_adopted() {
    let mut world = at_57();
    let plan = plan(&mut world, "58");
    let long_ago = world.now - SignedDuration::from_hours(1);
    let offer = world.fleet.publish(&plan, long_ago);
    refused(&mut world, offer, "Stale");
}
