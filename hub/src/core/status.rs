//! What to say of clusters, Apps, tenants and sources: one enum of states,
//! derived from the world each time it is asked for, never stored. The rule
//! above all others: Ready is said only on a report of what is published now;
//! whatever cannot be seen is Offline, Stale or unknown, never green.

pub mod app;
pub mod cluster;
pub mod drift;
pub mod first;
pub mod overview;
pub mod source;
pub mod tenant;

use jiff::Timestamp;
use rimward_proto::report::State;

use super::note::{Note, Severity};
use super::world::{Task, World};

/// How many things a message names before it only counts the rest: more would not fit a terminal's line.
pub const NAMED: usize = 3;

/// State of one thing: the fields that every item of every kind has, apart from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// CamelCase; empty when, and only when, Ready.
    pub reason: String,
    /// For people; empty when, and only when, Ready.
    pub message: String,
    /// When this was true.
    pub as_of: Timestamp,
    /// Since when it is in this state, if that is known.
    pub since: Option<Timestamp>,
}

impl Status {
    /// Ready, as of a time.
    pub fn ready(as_of: Timestamp) -> Self {
        Self { state: State::Ready, reason: String::new(), message: String::new(), as_of, since: None }
    }

    /// Any other state, with its reason; what a careless caller leaves out is filled in, and Ready is not to be had here.
    pub fn not(state: State, reason: &str, message: impl Into<String>, as_of: Timestamp) -> Self {
        let state = if state == State::Ready { State::Waiting } else { state };
        let reason = if is_camel_case(reason) { reason } else { "Unspecified" }.to_owned();
        let message = Some(message.into()).filter(|m| !m.trim().is_empty());
        let message = message.unwrap_or_else(|| format!("no more is known than {reason}"));
        Self { state, reason, message, as_of, since: None }
    }

    /// The same, since a time.
    pub fn since(self, since: Option<Timestamp>) -> Self {
        Self { since, ..self }
    }

    /// The same, with its message put behind `what: `.
    pub fn about(self, what: &str) -> Self {
        if self.state == State::Ready {
            return self;
        }
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

/// Reasons are words a script can match on.
pub fn is_camel_case(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Which state shows when several things make up one, the first that any of them has: what needs a person, then what
/// cannot be seen, then what is on its way. Ready only if all are.
const WORST_FIRST: [State; 11] = [
    State::Failed,
    State::Held,
    State::Revoked,
    State::Offline,
    State::Stale,
    State::Paused,
    State::Waiting,
    State::Pending,
    State::Progressing,
    State::NoClusters,
    State::Ready,
];

/// Rank in [`WORST_FIRST`].
fn rank(state: State) -> usize {
    WORST_FIRST.iter().position(|s| *s == state).unwrap_or(0)
}

/// The status that shows for a whole made of named `parts`; none if there are no parts.
pub fn worst<'a>(noun: &str, parts: impl IntoIterator<Item = (&'a str, &'a Status)>) -> Option<Status> {
    let parts: Vec<_> = parts.into_iter().collect();
    let shown = parts.iter().map(|(_, status)| status.state).min_by_key(|state| rank(*state))?;
    let as_of = parts.iter().map(|(_, status)| status.as_of).min()?;
    let same: Vec<_> = parts.iter().filter(|(_, status)| status.state == shown).collect();
    let times = same.iter().map(|(_, status)| status.since);
    if shown == State::Ready {
        // Ready since the last of its parts is, if that is known of all of them.
        let since = times.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        return Some(Status::ready(as_of).since(since));
    }
    let (name, first) = same.first()?;
    let message = match (same.len(), parts.len()) {
        (_, 1) => format!("{name}: {}", first.message),
        (n, all) => format!("{n} of {all} {noun}: {name}: {}", first.message),
    };
    Some(Status::not(shown, &first.reason, message, as_of).since(times.flatten().min()))
}

/// The status of the hub itself.
pub fn hub(world: &World, now: Timestamp) -> Status {
    let Some((task, trouble)) = world.troubles.first_key_value() else { return Status::ready(now) };
    let (reason, what) = match task {
        Task::Signing => ("Ahead", "nothing is signed"),
        Task::Planning => ("PlanFailed", "what was read cannot be published; the last publication stays"),
        Task::Renewal => ("RenewalFailed", "the head cannot be renewed"),
        Task::Collection => ("CollectionFailed", "content that nothing needs is not removed"),
    };
    let message = format!("{what}: {}", trouble.message);
    Status::not(State::Failed, reason, message, now).since(Some(trouble.since))
}

/// Some names for a message: the first [`NAMED`], then how many more.
pub fn name_some<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A time for a message, to the second.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reason for a note, by the area its code names.
fn reason_of(note: &Note) -> &'static str {
    match note.code.as_bytes().get(2) {
        Some(b'1') => "BadConfig",
        Some(b'2') => "SourceFailed",
        Some(b'3') => "BadFile",
        Some(b'4') => "Guardrail",
        Some(b'6') => "Identity",
        _ => "Blocked",
    }
}

/// A note as one line.
fn line(note: &Note) -> String {
    if note.at.file.is_empty() { note.message.clone() } else { format!("{}: {}", note.at, note.message) }
}

/// The status that notes of severity error make, if there are any.
fn errors<'a>(notes: impl IntoIterator<Item = &'a Note>, as_of: Timestamp) -> Option<Status> {
    let errors: Vec<_> = notes.into_iter().filter(|note| note.severity == Severity::Error).collect();
    let first = errors.first()?;
    let message = match errors.len() {
        1 => line(first),
        n => format!("{n} errors: {}", line(first)),
    };
    Some(Status::not(State::Failed, reason_of(first), message, as_of))
}
