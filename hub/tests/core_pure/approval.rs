//! An approval lasts until its hold was seen to go.

use jiff::{SignedDuration, Timestamp};
use rimward_hub::core::approval::{UNSEEN, note, run, spent};
use rimward_hub::core::world::ClusterStatus;
use rimward_proto::head::Assignment;
use rimward_proto::report::{HoldReport, hold_digest};
use rimward_proto::{ClusterUid, Digest};

use super::world::{cluster, id};

fn hold() -> HoldReport {
    HoldReport {
        digest: hold_digest(&[]),
        id: id("payments/web"),
        reason: "OverBudget".into(),
        objects: vec![],
    }
}

fn assigned(deletes: &[Digest]) -> Assignment {
    Assignment {
        cluster: cluster("eu-1"),
        cluster_uid: ClusterUid::new("uid").unwrap(),
        plan: Digest::of(b"plan"),
        deletes: deletes.to_vec(),
    }
}

/// What one report says: a run of the spoke, its plan, and whether it has the hold.
fn report(status: &mut ClusterStatus, boot: &str, plan: &[u8], holds: bool, approved: &[Digest]) {
    run(status, boot);
    status.plan = Some(Digest::of(plan));
    status.reported = Some(Timestamp::UNIX_EPOCH);
    status.holds = if holds { vec![hold()] } else { vec![] };
    note(status, approved);
}

#[test]
fn an_approval_outlives_a_report_that_does_not_know_holds_yet() {
    let (digest, given) = (hold().digest, Timestamp::UNIX_EPOCH);
    let approved = assigned(&[digest]);
    let spent = |status: &ClusterStatus| spent(&digest, given, status, Some(&approved), given);
    let mut status = ClusterStatus::default();
    assert!(!spent(&status), "nothing is reported");
    report(&mut status, "one", b"plan", true, &[]);
    // The approval is published; what was reported before counts as seen.
    note(&mut status, &approved.deletes);
    assert!(!spent(&status));
    // The spoke restarts. Its first report is before it has worked out what it holds.
    report(&mut status, "two", b"plan", false, &approved.deletes);
    assert!(!spent(&status), "a new run has not been seen to hold it");
    report(&mut status, "two", b"plan", true, &approved.deletes);
    assert!(!spent(&status));
    report(&mut status, "two", b"older", false, &approved.deletes);
    assert!(!spent(&status), "it speaks of another plan");
    report(&mut status, "two", b"plan", false, &approved.deletes);
    assert!(spent(&status), "carried out");
    // Published without it, it is forgotten.
    note(&mut status, &[]);
    assert!(!spent(&status) && status.approved.is_empty());
}

#[test]
fn an_approval_that_nobody_saw_used_does_not_stay_for_ever() {
    let (digest, given) = (hold().digest, Timestamp::UNIX_EPOCH);
    let approved = assigned(&[digest]);
    let mut status = ClusterStatus::default();
    report(&mut status, "two", b"plan", false, &approved.deletes);
    let spent = |status: &ClusterStatus, at| spent(&digest, given, status, Some(&approved), at);
    assert!(!spent(&status, given + UNSEEN));
    let later = given + UNSEEN + SignedDuration::from_secs(1);
    assert!(spent(&status, later));
    report(&mut status, "two", b"plan", true, &approved.deletes);
    assert!(!spent(&status, later), "what is still held is still needed");
}
