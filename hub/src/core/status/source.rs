//! State of a source: whether the hub could read it at its last look, whether
//! what it read is planned, and whether it makes sense. One that cannot be read
//! keeps its last good snapshot, and says since when.

use jiff::Timestamp;
use rimward_proto::report::State;

use super::{Status, errors, line, stamp};
use crate::core::note::Note;
use crate::core::world::SourceStatus;

/// The status of a source; `decided` are the notes that planning made on its files.
pub fn status<'a>(
    source: &'a SourceStatus,
    decided: impl IntoIterator<Item = &'a Note>,
    now: Timestamp,
) -> Status {
    let as_of = source.fetched.unwrap_or(now);
    let status = match &source.error {
        Some(error) if source.commit.is_empty() => {
            let message = format!("{}; it was never read, so its Apps are unknown", line(error));
            Status::not(State::Failed, "SourceFailed", message, now)
        }
        Some(error) => {
            let read = source.fetched.map(|at| format!(" of {}", stamp(at))).unwrap_or_default();
            let message = format!("{}; the snapshot{read} stays in force", line(error));
            Status::not(State::Stale, "SourceFailed", message, as_of)
        }
        None if source.commit.is_empty() => Status::not(State::Pending, "NotRead", "not read yet", now),
        None if source.planned != source.commit => {
            let message = format!("{} is read, and not planned yet", short(&source.commit));
            Status::not(State::Progressing, "NotPlanned", message, as_of)
        }
        None => errors(source.notes.iter().chain(decided), as_of).unwrap_or_else(|| Status::ready(as_of)),
    };
    status.since(source.since)
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
