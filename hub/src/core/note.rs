//! Notes: what is wrong with the input, where, and what to do about it. A note
//! is how one bad file says so while the rest of the fleet goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Notes kept of one file: a screenful is what one mends at a time, and a file of nothing but mistakes must not cost more
/// memory than it is long.
pub const PER_FILE: usize = 20;
/// Notes kept of one App: dozens of wrong files still show, each by its first.
pub const PER_APP: usize = 200;
/// Notes kept of one source in what planning says: as many as a list of its worst Apps.
pub const PER_SOURCE: usize = 1_000;
/// Characters of a message: names in it may be as long as a file, and are recognised by their beginning.
const MESSAGE_CHARS: usize = 500;

/// How bad a [`Note`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The thing it is about is not used; what was there before stays.
    Error,
    /// Used, but probably not meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Path within its repository.
    pub file: String,
    /// Line, from 1; 0 = the whole file.
    pub line: u32,
    /// Column, from 1; 0 = the whole line.
    pub column: u32,
}

impl Position {
    /// A whole file.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One thing said about the input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// How bad.
    pub severity: Severity,
    /// `RW` and four digits; the first says the area (1 config, 2 source, 3 files, 4 guardrail, …).
    pub code: String,
    /// Where.
    #[serde(flatten)]
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to do. Notes on files always say it.
    pub help: String,
}

impl Note {
    /// A note of that severity, with no help yet.
    pub fn new(severity: Severity, code: &str, at: Position, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        Self { severity, code: code.to_owned(), at, message, help: String::new() }
    }

    /// An error, with no help yet.
    pub fn error(code: &str, at: Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, at, message)
    }

    /// A warning, with no help yet.
    pub fn warning(code: &str, at: Position, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, at, message)
    }

    /// The note with what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        write!(f, "{severity}[{}]: {} --> {}", self.code, self.message, self.at)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "\n  help: {}", self.help) }
    }
}

/// Notes up to a limit; those beyond are counted. An error is never among them for a warning's sake, so that what has
/// errors still has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    kept: Vec<Note>,
    limit: usize,
    /// Not kept: how many, and the first of the worst.
    more: usize,
    first: Option<Note>,
    /// Where a note goes that is not kept.
    spilled: Option<Note>,
}

impl Notes {
    /// None yet, at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, more: 0, first: None, spilled: None }
    }

    /// Adds a note, to be completed by the caller.
    pub fn push(&mut self, note: Note) -> &mut Note {
        if self.kept.len() < self.limit {
            self.kept.push(note);
            return self.kept.last_mut().expect("one was just pushed");
        }
        let milder = |kept: &Note| kept.severity > note.severity;
        match self.kept.iter().rposition(milder) {
            Some(at) => {
                let milder = self.kept.remove(at);
                self.spill(milder);
                self.kept.push(note);
                self.kept.last_mut().expect("one was just pushed")
            }
            None => {
                self.spill(note.clone());
                self.spilled.insert(note)
            }
        }
    }

    fn spill(&mut self, note: Note) {
        self.more += 1;
        if self.first.as_ref().is_none_or(|first| note.severity < first.severity) {
            self.first = Some(note);
        }
    }

    /// Takes over all of `other`.
    pub fn append(&mut self, other: &mut Self) {
        let other = std::mem::replace(other, Self::new(other.limit));
        self.extend(other.kept);
        if let Some(first) = other.first {
            self.spill(first);
            self.more += other.more - 1;
        }
    }

    /// True if a further note would not be kept, unless it is an error.
    pub fn full(&self) -> bool {
        self.kept.len() >= self.limit
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Those that are kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Note> {
        self.kept.iter()
    }

    /// Those that are kept, and one that says how many there are beyond them.
    pub fn into_vec(self) -> Vec<Note> {
        let Self { mut kept, more, first, .. } = self;
        if let Some(first) = first {
            let what = if more == 1 { "note" } else { "notes" };
            let at = Position::file(first.at.file);
            let note = Note::new(first.severity, &first.code, at, format!("and {more} more {what}"));
            kept.push(note.help("mend the ones that are shown; then the others are"));
        }
        kept
    }
}

impl Extend<Note> for Notes {
    fn extend<I: IntoIterator<Item = Note>>(&mut self, notes: I) {
        for note in notes {
            self.push(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(severity: Severity, n: usize) -> Note {
        Note::new(severity, "RW3003", Position::file("f.yaml"), n.to_string())
    }

    #[test]
    fn beyond_the_limit_notes_are_counted_and_errors_are_kept() {
        let mut notes = Notes::new(3);
        for n in 0..5 {
            notes.push(note(Severity::Warning, n)).help = "help".to_owned();
        }
        notes.push(note(Severity::Error, 5));
        let mut all = Notes::new(3);
        all.append(&mut notes);
        assert!(notes.is_empty());
        let shown: Vec<String> = all.into_vec().into_iter().map(|note| note.message).collect();
        assert_eq!(shown, ["0", "1", "5", "and 3 more notes"]);
        let mut errors = Notes::new(1);
        errors.extend([note(Severity::Error, 0), note(Severity::Error, 1)]);
        let last = errors.into_vec().pop().unwrap();
        assert_eq!((last.severity, last.message.as_str()), (Severity::Error, "and 1 more note"));
    }

    #[test]
    fn a_message_is_not_as_long_as_a_file() {
        let note = Note::error("RW3004", Position::default(), "ä".repeat(1 << 20));
        assert_eq!(note.message.chars().count(), MESSAGE_CHARS + 1);
    }
}
