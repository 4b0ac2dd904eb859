//! What this cluster's API server serves, as far as it is known. A kind that is
//! not listed is unknown, not absent: nothing is created or pruned on the
//! strength of a missing line.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rimward_proto::ObjectKey;

use super::effect::Work;
use super::errors::ErrorKind;
use super::flight::{FAST_FIRST, FAST_MAX, Flight, Retry, SLOW_MAX};
use super::health::Health;
use super::managed::{Managed, Problem};
use super::state::State;

/// Looks at what is served, each twice as late as the one before, until a definition that was applied and established is
/// taken not to define what is missing: 50 seconds, where API servers need some.
const LOOKS: u32 = 8;

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
    /// Looks that may still bring what a definition defines.
    looks: u32,
}

impl Kinds {
    pub fn new(discovery: Option<Discovery>) -> Self {
        Self { wanted: discovery.is_none(), discovery, ..Self::default() }
    }

    pub fn is_known(&self) -> bool {
        self.discovery.is_some()
    }

    /// All that is known.
    pub fn discovery(&self) -> Option<&Discovery> {
        self.discovery.as_ref()
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

    /// A definition was just applied, or changed.
    pub fn defined(&mut self) {
        self.looks = LOOKS;
        self.want_now();
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

    /// A kind that is not known is waited for while the plan has a definition of its group that is not in force yet. Of
    /// an object that was made, nothing is known while its kind is not served: it may be there as it shall be.
    pub(crate) fn expected(&self, key: &ObjectKey, problem: Problem) -> Problem {
        if problem.reason != ErrorKind::UnknownKind.as_str() {
            return problem;
        }
        let made = self.ledger.entries.get(key).is_some_and(|entry| entry.uid.is_some());
        if made && self.kinds.kind(key).is_none() {
            return Problem::passing("Unknown", format!("{}, where it was before", problem.message));
        }
        if !self.is_being_defined(&key.group) {
            return problem;
        }
        let message = format!("{}; a definition of its group is in the plan", problem.message);
        Problem::passing(problem.reason, message)
    }

    /// True if the plan has a definition of this group that is not in force, or was not long enough to be served. Which
    /// kind it defines its body says; its name says the group.
    fn is_being_defined(&self, group: &str) -> bool {
        let first = ObjectKey::new("apiextensions.k8s.io", "CustomResourceDefinition", "", "");
        let defines = |name: &str| name.split_once('.').is_some_and(|(_, of)| of == group);
        let all = self.objects.range(&first..);
        let mut definitions = all
            .take_while(|(key, _)| key.group == first.group && key.kind == first.kind)
            .filter(|(key, managed)| managed.want.is_some() && defines(&key.name))
            .map(|(_, managed)| managed);
        let in_force = |managed: &Managed| managed.is_applied() && managed.health == Health::Ready;
        definitions.any(|managed| self.kinds.looks > 0 || !in_force(managed))
    }

    /// Discovery answered: what could not be placed before is tried again; what still cannot asks for the next look.
    pub(crate) fn discovered(&mut self, result: Result<Discovery, String>, now: Timestamp) {
        match result {
            Ok(discovery) => {
                let complete = discovery.failed.is_empty();
                self.kinds.looks = self.kinds.looks.saturating_sub(1);
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
                self.search.stale = true;
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
