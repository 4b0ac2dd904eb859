//! When an approval of a spoke's hold has done its work. An approval names exact
//! objects by their UIDs, so one that stays too long lets nothing else go; one
//! that is dropped too early lets a person approve the same again and again.

use jiff::{SignedDuration, Timestamp};
use rimward_proto::Digest;
use rimward_proto::head::Assignment;

use super::world::ClusterStatus;

/// An approval whose hold nobody has seen go (hub or spoke restarted in between) is dropped after this, once the hold is
/// not reported: a spoke that still needs it has said so many times by then.
pub const UNSEEN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Notes which of the holds that a spoke reports are approved by what is published for it.
pub fn note(status: &mut ClusterStatus, approved: &[Digest]) {
    let reported = status.holds.iter().map(|hold| hold.digest).filter(|digest| approved.contains(digest));
    status.approved.extend(reported);
    status.approved.retain(|digest| approved.contains(digest));
}

/// Begins to read reports of a spoke's run. What one before it was seen to hold says nothing of this one, which tells its
/// first report before it has worked out what it holds.
pub fn run(status: &mut ClusterStatus, boot_id: &str) {
    if status.boot != boot_id {
        status.boot = super::told::word(boot_id);
        status.approved.clear();
    }
}

/// True if an approval given at `given` is used up: its hold was reported while it was approved, and is not any more, by
/// one run of the spoke, which speaks of the plan it is assigned.
pub fn spent(
    digest: &Digest,
    given: Timestamp,
    status: &ClusterStatus,
    assigned: Option<&Assignment>,
    now: Timestamp,
) -> bool {
    let current = assigned.is_some_and(|assigned| status.plan == Some(assigned.plan));
    let held = status.holds.iter().any(|hold| hold.digest == *digest);
    let old = now.duration_since(given) > UNSEEN;
    status.reported.is_some() && current && !held && (status.approved.contains(digest) || old)
}
