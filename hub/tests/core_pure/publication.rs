//! Publications: one seq a change, none for nothing, and proofs that hold.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rimward_hub::core::publication::{Previous, Publishing, Unsigned, next_publication, refresh};
use rimward_proto::merkle::leaf_hash;
use rimward_proto::{Digest, TrustDomain};

use super::world::{World, cluster, config_map};

fn publish(world: &World, previous: Option<&Unsigned>, epoch: u64) -> Option<Unsigned> {
    let domain = TrustDomain::new("acme.example").unwrap();
    let deletes = BTreeMap::from([(cluster("eu-1"), [Digest::of(b"b"), Digest::of(b"a")].into())]);
    let what = Publishing {
        plans: &world.previous,
        enrolled: &world.enrolled,
        deletes: &deletes,
        trust_domain: &domain,
        epoch,
        root_version: 1,
        now: Timestamp::UNIX_EPOCH,
        head_lifetime: Duration::from_secs(900),
    };
    let previous = previous.map(|p| Previous { head: &p.head, assignments: &p.assignments });
    next_publication(previous, &what)
}

#[test]
fn a_publication_is_made_only_when_an_assignment_changed() {
    let mut world = World::started();
    let first = publish(&world, None, 1).unwrap();
    assert_eq!((first.head.seq, first.head.tree.size, first.plans.len()), (1, 2, 2));
    assert_eq!(first.head.expires.as_second(), 900);
    world.step();
    assert!(publish(&world, Some(&first), 1).is_none());
    world.file("db/cm.yaml", &config_map("db", "2"));
    world.step();
    let second = publish(&world, Some(&first), 1).unwrap();
    assert_eq!(second.head.seq, 2);
    assert_eq!(first.assignments[&cluster("us-1")], second.assignments[&cluster("us-1")]);
    assert!(publish(&world, Some(&second), 1).is_none());
    assert_eq!(publish(&world, Some(&second), 2).unwrap().head.seq, 1, "a new epoch starts over");
}

#[test]
fn every_leaf_is_proven_and_names_its_cluster() {
    let world = World::started();
    let unsigned = publish(&world, None, 1).unwrap();
    for (name, (index, assignment)) in &unsigned.assignments {
        assert_eq!((&assignment.cluster, &assignment.cluster_uid), (name, &world.enrolled[name]));
        let proof = unsigned.tree.prove(*index).unwrap();
        proof.verify(leaf_hash(&assignment.to_bytes()), unsigned.head.tree.hash).unwrap();
        assert_eq!(Digest::of(&unsigned.plans[&assignment.plan].to_bytes()), assignment.plan);
        assert!(assignment.deletes.is_sorted());
    }
    assert_eq!(unsigned.assignments[&cluster("eu-1")].1.deletes.len(), 2);
}

#[test]
fn only_enrolled_clusters_are_assigned() {
    let mut world = World::started();
    let first = publish(&world, None, 1).unwrap();
    world.enrolled.remove(&cluster("us-1"));
    let second = publish(&world, Some(&first), 1).unwrap();
    assert_eq!(second.assignments.keys().collect::<Vec<_>>(), [&cluster("eu-1")]);
    world.enrolled.clear();
    assert!(publish(&world, None, 1).is_none(), "nothing to say yet");
}

#[test]
fn a_refresh_keeps_the_seq() {
    let first = publish(&World::started(), None, 1).unwrap();
    let now = Timestamp::from_second(100).unwrap();
    let again = refresh(&first.head, 2, now, Duration::from_secs(900));
    assert_eq!((again.seq, again.tree, again.root_version), (1, first.head.tree, 2));
    assert_eq!((again.issued.as_second(), again.expires.as_second()), (100, 1000));
    assert_eq!(refresh(&first.head, 1, now, Duration::MAX).expires, Timestamp::MAX);
}
