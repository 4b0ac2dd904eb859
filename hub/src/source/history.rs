//! What a commit has in its history: how the hub knows that a commit it never
//! looked at, because the next one came first, is part of what it has.

use gix::ObjectId;
use gix::Repository;
use gix::revision::walk::Sorting;

/// Commits looked at: months of a busy repository. Whoever waits does so minutes after a push.
pub const COMMITS: usize = 10_000;

/// Whether `within` or a commit before it is the one that `commit` begins; none if that cannot be told.
pub fn contains(repo: &Repository, within: ObjectId, commit: &str) -> Option<bool> {
    if let Ok(whole) = ObjectId::from_hex(commit.as_bytes())
        && !repo.has_object(whole)
    {
        return Some(false);
    }
    let newest_first = Sorting::ByCommitTime(Default::default());
    let mut looked = 0;
    for info in repo.rev_walk([within]).sorting(newest_first).all().ok()? {
        if info.ok()?.id.to_hex().to_string().starts_with(commit) {
            return Some(true);
        }
        looked += 1;
        if looked == COMMITS {
            return None;
        }
    }
    Some(false)
}
