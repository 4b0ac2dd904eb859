//! Exit codes: the answer a script reads.

use std::fmt;

/// What a run of the command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Yes, or done.
    Yes,
    /// No: it was asked, and the answer is no.
    No,
    /// The command line is wrong, or asks for what is not built.
    Usage,
    /// The hub cannot be reached, or not in time.
    Unreachable,
    /// The hub does not let this user in.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// It is in another state than asked for, or held.
    Conflict,
    /// A bug of ours.
    Bug,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Forbidden => 4,
            Exit::NotFound => 5,
            Exit::Conflict => 6,
            Exit::Bug => 70,
        }
    }

    /// The code for an HTTP status that is an error.
    pub fn of_status(status: u16) -> Self {
        match status {
            400 | 405 | 413 | 422 | 501 => Exit::Usage,
            401 | 403 => Exit::Forbidden,
            404 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            410 | 429 | 502..=504 => Exit::Unreachable,
            _ => Exit::No,
        }
    }
}

/// Why a run did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// For people: what, why, what to do.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Part of the interface, not of this version.
    pub fn not_built(what: impl fmt::Display) -> Self {
        Self::usage(format!("{what}: not built yet"))
    }
}
