//! What goes wrong with a source, in words that name the server and say what to
//! do. Nothing here ever holds a secret: URLs with credentials are refused
//! before they are used, and server answers are not repeated.

use crate::core::model::LeftOut;
use crate::core::note::{Note, Position, Severity};

/// Why a source cannot be read; each kind has its code.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// RW2001: no connection, no answer in time, or the server failed.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// Its origin.
        server: String,
        /// In a few words.
        why: String,
    },
    /// RW2002: the server wants credentials, or other ones.
    #[error("{server} refuses access ({why})")]
    Denied {
        /// Its origin.
        server: String,
        /// In a few words.
        why: &'static str,
    },
    /// RW2003: the ref is not there.
    #[error("{reference} does not exist in {url}")]
    NoRef {
        /// The repository.
        url: String,
        /// As people write it.
        reference: String,
    },
    /// RW2004: the path is not there.
    #[error("the folder {path:?} does not exist at {reference} of {url}")]
    NoPath {
        /// The repository.
        url: String,
        /// As people write it.
        reference: String,
        /// The path.
        path: String,
    },
    /// RW2005: the server's certificate is not trusted.
    #[error("the TLS connection to {server} failed: {why}")]
    Tls {
        /// Its origin.
        server: String,
        /// In a few words.
        why: String,
    },
    /// RW2006: the credentials folder cannot be used.
    #[error("credentials {name:?}: {why}")]
    Credentials {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// RW2007: the URL cannot be used.
    #[error("the URL cannot be used: {0}")]
    Url(&'static str),
    /// RW2008: too much.
    #[error("{what} of {url} is over the limit of {limit}")]
    Limit {
        /// The repository.
        url: String,
        /// What is too large.
        what: String,
        /// The limit.
        limit: String,
    },
    /// RW2009: our own mirror.
    #[error("the mirror of {url} cannot be used: {why}")]
    Mirror {
        /// The repository.
        url: String,
        /// Why.
        why: String,
    },
    /// RW2011: there is a server, but no repository.
    #[error("{url} is not a Git repository, or one that these credentials do not see")]
    NoRepository {
        /// The URL.
        url: String,
    },
}

impl SourceError {
    fn code_and_help(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unreachable { .. } => {
                ("RW2001", "check the server and the network; the last good snapshot stays in use")
            }
            Self::Denied { .. } => {
                ("RW2002", "put a valid token, or username and password, into the credentials folder")
            }
            Self::NoRef { .. } => {
                ("RW2003", "push it, or correct `ref`; the last good snapshot stays in use")
            }
            Self::NoPath { .. } => ("RW2004", "correct `path`; the last good snapshot stays in use"),
            Self::Tls { .. } => (
                "RW2005",
                "if the server has a private CA, put its certificate into the credentials folder as ca.crt",
            ),
            Self::Credentials { .. } => (
                "RW2006",
                "a folder of that name below credentialsDir with origin, and token or username and password",
            ),
            Self::Url(_) => {
                ("RW2007", "write an http(s) URL without credentials; those go into the credentials folder")
            }
            Self::Limit { .. } => ("RW2008", "keep manifests in a repository of their own"),
            Self::Mirror { .. } => {
                ("RW2009", "look at the disk; git/ may be deleted by hand, it is fetched again")
            }
            Self::NoRepository { .. } => ("RW2011", "check the URL, and that the credentials may read it"),
        }
    }

    /// As a note.
    pub fn note(&self) -> Note {
        let (code, help) = self.code_and_help();
        Note {
            severity: Severity::Error,
            code: code.to_owned(),
            at: Position::default(),
            message: self.to_string(),
            help: help.to_owned(),
        }
    }

    /// True if asking again soon may help and asking often would hurt the server.
    pub fn server_trouble(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Tls { .. } | Self::Denied { .. })
    }

    /// What gix says, in our words. `server` is the origin, `url` the repository.
    pub(super) fn from_gix(error: &gix::Error, server: &str, url: &str, had_credentials: bool) -> Self {
        let text = error.iter_errors().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let (server, url) = (server.to_owned(), url.to_owned());
        let status = text.split("Received HTTP status ").nth(1).and_then(|rest| rest.get(..3)).unwrap_or("");
        let tls = ["certificate", "handshake failure", "HandshakeFailure", "UnknownIssuer"];
        if error.is_unauthenticated() || status == "401" || status == "403" {
            let why = if had_credentials { "wrong credentials" } else { "it asks for credentials" };
            return Self::Denied { server, why };
        }
        if status == "404" || text.contains("'smart' protocol") {
            return Self::NoRepository { url };
        }
        if let Some(why) = tls.iter().find(|word| text.contains(**word)) {
            let unknown = text.contains("UnknownIssuer") || text.contains("unknown issuer");
            let why = if unknown { "its certificate is from an unknown issuer" } else { why };
            return Self::Tls { server, why: why.to_owned() };
        }
        let why = match () {
            () if text.contains("timed out") => "no answer in time",
            () if text.contains("onnection refused") => "connection refused",
            () if text.contains("dns error") || text.contains("failed to lookup") => {
                "its name cannot be resolved"
            }
            () if status.starts_with('5') => "it answered with a server error",
            () if text.contains("redirect") => "it redirects elsewhere, where the credentials must not go",
            () => return Self::Unreachable { server, why: text.chars().take(WHY).collect() },
        };
        Self::Unreachable { server, why: why.to_owned() }
    }
}

/// Characters of an unforeseen error that are shown: the first causes say most.
const WHY: usize = 300;

/// A note on something in a tree that was left out.
pub(super) fn left_out(path: &str, what: LeftOut) -> Note {
    let message = format!("left out: {}", what.describe());
    Note::new(Severity::Info, "RW2010", Position::file(path), message)
        .help("commit a regular file or folder, if it was meant to be read")
}
