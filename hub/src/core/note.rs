//! Notes: what is wrong with the input, where, and what to do about it. A note
//! is how one bad file says so while the rest of the fleet goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// What to do; may be empty.
    pub help: String,
}

impl Note {
    /// A note of that severity, with no help yet.
    pub fn new(severity: Severity, code: &str, at: Position, message: impl Into<String>) -> Self {
        Self { severity, code: code.to_owned(), at, message: message.into(), help: String::new() }
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
