//! What is wrong with files before they are committed. Nothing is judged here:
//! the loaders and the planning of the hub are run, and what they say is kept as
//! far as it can be known without a hub.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::codes;
use super::files::{self, load_fleet, load_tests};
use super::model::{Policy, SourceId, SourceTree};
use super::note::{Note, Position, Severity};
use super::offline::evaluate;

/// What kind of repository a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repo {
    /// The fleet repo.
    Fleet,
    /// A source of a tenant.
    Tenant,
}

/// What was found in files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validated {
    /// What is wrong, by place.
    pub notes: Vec<(Repo, Note)>,
    /// Documents that are right, and Apps.
    pub counts: Counts,
}

/// How many of each were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clusters.
    pub clusters: usize,
    /// Tenants.
    pub tenants: usize,
    /// Tests.
    pub tests: usize,
    /// Apps.
    pub apps: usize,
}

impl Validated {
    /// How many notes of that severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.notes.iter().filter(|(_, note)| note.severity == severity).count()
    }

    /// Takes over what else was found, and how much was right.
    pub fn add(&mut self, other: Self) {
        self.notes.extend(other.notes);
        self.counts.clusters += other.counts.clusters;
        self.counts.tenants += other.counts.tenants;
        self.counts.tests += other.counts.tests;
        self.counts.apps += other.counts.apps;
        self.sort();
    }

    /// Adds notes on a repository.
    pub fn say(&mut self, repo: Repo, notes: impl IntoIterator<Item = Note>) {
        self.notes.extend(notes.into_iter().map(|note| (repo, note)));
        self.sort();
    }

    /// In the order of places, each once.
    fn sort(&mut self) {
        let order = |(repo, note): &(Repo, Note)| (*repo == Repo::Tenant, note.at.clone(), note.severity);
        self.notes.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.1.cmp(&b.1)));
        self.notes.dedup();
    }
}

/// What a folder's files say it is; none if nothing in it is of Rimward, and nothing could be.
pub fn repo_of(tree: &SourceTree) -> Option<Repo> {
    let kinds = files::kinds_in(tree);
    if kinds.fleet {
        Some(Repo::Fleet)
    } else if kinds.app {
        Some(Repo::Tenant)
    } else {
        kinds.unreadable.then_some(Repo::Fleet)
    }
}

/// The fleet repo, and its policy.
pub fn fleet(tree: &SourceTree) -> (Validated, Policy) {
    let mut validated = Validated::default();
    let loaded = load_fleet(tree, &BTreeMap::new());
    let tests = load_tests(tree, &loaded.policy);
    // The hub goes on with what is wrong in a Test, and there is no last good content here.
    let said: BTreeSet<(&Position, &str)> =
        tests.notes.iter().map(|note| (&note.at, note.message.as_str())).collect();
    let of_policy = |note: &&Note| {
        note.code != codes::LAST_GOOD
            && !(note.severity == Severity::Warning && said.contains(&(&note.at, note.message.as_str())))
    };
    validated.say(Repo::Fleet, loaded.notes.iter().filter(of_policy).cloned().collect::<Vec<_>>());
    validated.counts = Counts {
        clusters: loaded.policy.clusters.len(),
        tenants: loaded.policy.tenants.len(),
        tests: tests.tests.len(),
        apps: 0,
    };
    validated.say(Repo::Fleet, tests.notes);
    (validated, loaded.policy)
}

/// A source of a tenant, under the policy of the fleet repo.
pub fn tenant(policy: &Policy, source: &SourceId, tree: Arc<SourceTree>) -> Validated {
    let alone = policy.sources().all(|(id, _)| id == *source);
    let output = evaluate(policy, &BTreeMap::from([(source.clone(), tree)]));
    let mut validated = Validated::default();
    for (of, note) in output.decided.notes {
        if of == *source {
            let note = if alone {
                note
            } else {
                of_elsewhere(note, "the fleet's other sources are not looked at here")
            };
            validated.say(Repo::Tenant, [note]);
        } else if of == SourceId::Fleet {
            validated.say(Repo::Fleet, [note]);
        }
    }
    validated.counts.apps = output.apps.len();
    validated
}

/// A source of a tenant of which nothing is known: what would be wrong whatever the fleet repo says.
pub fn tenant_alone(tree: Arc<SourceTree>) -> Validated {
    let (policy, source) = anything_goes();
    let mut validated = tenant(&policy, &source, tree);
    validated.notes.retain(|(repo, note)| {
        *repo == Repo::Tenant
            && ![codes::UNKNOWN_CLUSTER, codes::DEPENDENCY_ELSEWHERE].contains(&note.code.as_str())
    });
    for (_, note) in &mut validated.notes {
        *note = of_elsewhere(note.clone(), "without --fleet only this folder is looked at");
    }
    validated
}

/// What only other sources can bring is not known to be missing.
fn of_elsewhere(note: Note, why: &str) -> Note {
    if ![codes::UNKNOWN_DEPENDENCY, codes::UNKNOWN_SCOPE].contains(&note.code.as_str()) {
        return note;
    }
    Note { severity: Severity::Info, help: format!("{why}; the hub knows"), ..note }
}

/// A fleet of one tenant with one source, that may do everything everywhere.
const ANYTHING_GOES: &str = "
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: tenant}
spec:
  sources: [{name: source, git: {url: https://git.invalid/source.git}}]
  clusters: {}
  namespaces: ['*']
  serviceAccount: rimward-tenants/tenant
  objects: {allow: ['*']}
  limits: {drift: [revert, report, none], takeover: [refuse, if-identical, always]}
";

fn anything_goes() -> (Policy, SourceId) {
    let files = BTreeMap::from([("fleet.yaml".to_owned(), Arc::from(ANYTHING_GOES.as_bytes()))]);
    let policy = load_fleet(&SourceTree { files, ..SourceTree::default() }, &BTreeMap::new()).policy;
    let (source, _) = policy.sources().next().expect("the text above has one source");
    (policy, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_that_may_do_everything_is_right() {
        let files = BTreeMap::from([("fleet.yaml".to_owned(), Arc::from(ANYTHING_GOES.as_bytes()))]);
        let tree = SourceTree { files, ..SourceTree::default() };
        let (validated, policy) = fleet(&tree);
        assert_eq!(validated.notes, []);
        assert_eq!(policy.sources().count(), 1);
    }
}
