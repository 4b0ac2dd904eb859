//! Another ref of a source's repository, for a preview. It goes into the mirror
//! of the source, so that little has to be fetched, under a name of its own that
//! is gone when it was read: what the source uses and follows is not touched, and
//! the next compaction leaves out what only the preview brought.

use gix::Repository;
use gix::bstr::ByteSlice;

use super::SourceError;
use super::mirror::Mirrors;
use super::tree::{self, Snapshot};
use crate::core::model::GitSpec;

/// The ref of ours, while it is needed. One at a time: whoever has the mirror has its turn.
const ASIDE: &str = "refs/rimward/aside";

impl Mirrors {
    /// The files of a source as they are at another ref of its repository: a branch, a whole ref, or a commit. It is asked
    /// of the server that the source is fetched from, with the source's own credentials.
    pub fn aside(&self, git: &GitSpec, reference: &str) -> Result<Snapshot, SourceError> {
        let no_ref = || SourceError::NoRef { url: git.url.clone(), reference: reference.to_owned() };
        let wanted = wanted(reference).ok_or_else(no_ref)?;
        self.in_turn(git, |repo, path, server| {
            let fetch = self.fetch(repo, path, git, server)?;
            let fetched = fetch.run_as(&format!("+{wanted}:{ASIDE}"), None, true);
            let read = fetched.and_then(|commit| tree::read(repo, git, commit, None));
            forget(repo);
            read.map_err(|error| match error {
                SourceError::NoRef { .. } => no_ref(),
                other => other,
            })
        })
    }
}

/// What to ask the server for; none if it cannot be the name of anything.
fn wanted(reference: &str) -> Option<String> {
    let commit = reference.len() == 40 && reference.bytes().all(|b| b.is_ascii_hexdigit());
    if commit || reference == "HEAD" {
        return Some(reference.to_owned());
    }
    let whole =
        if reference.starts_with("refs/") { reference.to_owned() } else { format!("refs/heads/{reference}") };
    // Also what keeps it from being more than one name of one ref.
    gix::validate::reference::name(whole.as_bytes().as_bstr()).ok()?;
    Some(whole)
}

/// Removes the ref. One that stays, after a crash, is overwritten by the next preview.
fn forget(repo: &Repository) {
    if let Ok(Some(reference)) = repo.try_find_reference(ASIDE)
        && let Err(error) = reference.delete()
    {
        tracing::warn!(%error, "the ref of a preview stays in its mirror");
    }
}

#[cfg(test)]
mod tests {
    use super::wanted;

    #[test]
    fn refs_as_people_write_them() {
        let whole = |text: &str| wanted(text);
        assert_eq!(whole("main").as_deref(), Some("refs/heads/main"));
        assert_eq!(whole("feature/x").as_deref(), Some("refs/heads/feature/x"));
        assert_eq!(whole("refs/pull/7/head").as_deref(), Some("refs/pull/7/head"));
        assert_eq!(whole("HEAD").as_deref(), Some("HEAD"));
        assert_eq!(whole(&"a".repeat(40)), Some("a".repeat(40)));
        for bad in ["", "refs/heads/*", "a:b", "refs/x:refs/rimward/held/fleet", "a..b", "a b", "^a", "a\n"] {
            assert_eq!(whole(bad), None, "{bad:?}");
        }
    }
}
