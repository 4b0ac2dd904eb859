//! What this cluster's API server serves, as far as it is known. A kind that is
//! not listed is unknown, not absent: nothing is created or pruned on the
//! strength of a missing line.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::ObjectKey;

use super::effect::Work;
use super::flight::{FAST_FIRST, FAST_MAX, Flight, Retry, SLOW_MAX};
use super::state::State;

/// One served kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// False for cluster-scoped kinds.
    pub namespaced: bool,
    /// Versions served, the preferred one first.
    pub versions: Vec<String>,
    /// It has a status subresource.
    pub has_status: bool,
}

/// What discovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    /// By (group, kind).
    pub kinds: BTreeMap<(String, String), Kind>,
    /// Groups whose discovery failed (an unavailable APIService): their kinds are unknown.
    pub failed: BTreeSet<String>,
    /// The API server's version; empty if it is not known.
    pub version: String,
}

impl Discovery {
    /// The kind, if it is served as far as known.
    pub fn kind(&self, group: &str, kind: &str) -> Option<&Kind> {
        self.kinds.get(&(group.to_owned(), kind.to_owned()))
    }

    /// Lists one kind, without a status subresource.
    pub fn insert(&mut self, group: &str, kind: &str, namespaced: bool, versions: &[&str]) {
        let versions = versions.iter().map(|&version| version.to_owned()).collect();
        let listed = Kind { namespaced, versions, has_status: false };
        self.kinds.insert((group.to_owned(), kind.to_owned()), listed);
    }
}

/// The newest discovery, and when to look again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kinds {
    discovery: Option<Discovery>,
    retry: Retry,
    wanted: bool,
}

impl Kinds {
    pub fn new(discovery: Option<Discovery>) -> Self {
        Self { wanted: discovery.is_none(), discovery, retry: Retry::default() }
    }

    pub fn is_known(&self) -> bool {
        self.discovery.is_some()
    }

    pub fn has_failed(&self, group: &str) -> bool {
        self.discovery.as_ref().is_none_or(|discovery| discovery.failed.contains(group))
    }

    pub fn kind(&self, key: &ObjectKey) -> Option<&Kind> {
        self.discovery.as_ref()?.kind(&key.group, &key.kind)
    }

    /// A kind is missing, or may have come: look when the wait allows.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Look now: a definition was just applied, or somebody asked.
    pub fn want_now(&mut self) {
        self.wanted = true;
        self.retry.kick();
    }

    pub fn wake(&self) -> Option<Timestamp> {
        self.retry.wake().filter(|_| self.wanted)
    }
}

impl State {
    pub(crate) fn advance_discovery(&mut self, now: Timestamp) {
        if self.kinds.wanted && self.kinds.retry.may_start(now) {
            self.kinds.wanted = false;
            self.kinds.retry.start();
            self.start_work(Flight::Discover, Work::Discover);
        }
    }

    /// Discovery answered: what could not be placed before is tried again; what still cannot asks for the next look.
    pub(crate) fn discovered(&mut self, result: Result<Discovery, String>, now: Timestamp) {
        match result {
            Ok(discovery) => {
                let complete = discovery.failed.is_empty();
                self.server_is(&discovery.version, now);
                let news = self.kinds.discovery.as_ref() != Some(&discovery);
                self.kinds.discovery = Some(discovery);
                // Each look that brings nothing new makes the next one later, whoever asks for it.
                if news {
                    self.kinds.retry.succeed();
                }
                self.kinds.retry.fail(now, FAST_FIRST, SLOW_MAX);
                self.kinds.wanted |= !complete;
                self.watches.stale = true;
                self.rejudge(now);
                self.kick_problems(&["UnknownKind", "Unknown", "ScopeMismatch"], now);
            }
            Err(_) => {
                self.kinds.wanted = true;
                self.kinds.retry.fail(now, FAST_FIRST, FAST_MAX);
            }
        }
    }
}
