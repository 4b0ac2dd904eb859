//! The `Test` documents of the fleet repo: what the platform team expects of
//! its policy. Nothing that runs depends on them, so what is wrong in one is an
//! error for whoever runs the tests and a warning for the hub, whose policy is
//! read as if the document were not there.

use std::collections::{BTreeMap, BTreeSet};

use rimward_proto::ids::is_dns_label;
use rimward_proto::nearest::closest;
use rimward_proto::{AppId, ClusterName, TenantName};

use super::check::{Check, Shape};
use super::load::is_yaml;
use super::{API_VERSION, DOCUMENT, NAMED, header, unknown_cluster};
use crate::core::codes;
use crate::core::model::{Policy, SourceTree};
use crate::core::note::{Note, Notes, PER_SOURCE, Position, Severity};
use crate::core::select::ClusterIndex;
use crate::core::yaml::{self, Mark, Node};

const SPEC: Shape = Shape { known: &["cases"], later: &[] };
const CASE: Shape = Shape { known: &["app", "expect", "reject"], later: &[] };

/// The kind of these documents.
pub(super) const KIND: &str = "Test";

/// A `Test` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// Its cases, in the order they are written.
    pub cases: Vec<Case>,
    /// Where it is written.
    pub at: Position,
}

/// What is expected of one App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The App.
    pub app: AppId,
    /// Clusters it must run on.
    pub expect: Vec<ClusterName>,
    /// Clusters it must not run on.
    pub reject: Vec<ClusterName>,
    /// Where it is written.
    pub at: Position,
}

/// What [`load_tests`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestsLoad {
    /// Tests that are right, by name.
    pub tests: BTreeMap<String, Test>,
    /// What is wrong with the others.
    pub notes: Vec<Note>,
}

/// Reads the Tests of the fleet repo. Files that cannot be read at all are for
/// [`load_fleet`](super::load_fleet) to name.
pub fn load_tests(tree: &SourceTree, policy: &Policy) -> TestsLoad {
    let (mut load, mut notes) = (TestsLoad::default(), Notes::new(PER_SOURCE));
    let index = ClusterIndex::new(&policy.clusters);
    for (path, bytes) in tree.files.iter().filter(|(path, _)| is_yaml(path)) {
        for node in yaml::parse(bytes).unwrap_or_default().iter().filter(|node| is_test(node)) {
            let mut check = Check::new(path);
            let test = test(&mut check, node);
            if let Some((test, _)) = &test {
                known(&mut check, test, node, policy, &index);
            }
            if let Some((test, at)) = test.filter(|_| !check.failed()) {
                match load.tests.get(&test.name) {
                    Some(first) => {
                        let message = format!("Test `{}` is also at {}", test.name, first.at);
                        check.error(codes::DUPLICATE, at, message).help = "rename one of them".to_owned();
                    }
                    None => drop(load.tests.insert(test.name.clone(), test)),
                }
            }
            notes.append(&mut check.notes);
        }
    }
    load.notes = notes.into_vec();
    load
}

fn is_test(node: &Node) -> bool {
    let found = header(node);
    (found.version, found.kind) == (API_VERSION, KIND)
}

/// What is wrong with a Test, for whoever goes on without it.
pub(super) fn warnings(file: &str, node: &Node) -> Notes {
    let mut check = Check::new(file);
    test(&mut check, node);
    let mut notes = Notes::new(PER_SOURCE);
    notes.extend(check.notes.into_vec().into_iter().map(|note| Note { severity: Severity::Warning, ..note }));
    notes
}

/// Reads a `Test` document, and where its name is.
fn test(check: &mut Check<'_>, node: &Node) -> Option<(Test, Mark)> {
    let node = check.mapping(node, "a Test", &DOCUMENT)?;
    let metadata = check.required(node, "metadata", "a Test");
    let name = metadata.and_then(|metadata| {
        let metadata = check.mapping(metadata, "metadata", &NAMED)?;
        let name = check.required(metadata, "name", "metadata")?;
        let text = check.text(name, "`name`")?;
        if !is_dns_label(text, 63) {
            let message = format!("test name {text:?} is not a DNS label of at most 63 characters");
            check.error(codes::VALUE, name.at, message).help =
                "use a-z, 0-9 and `-`, with a letter or digit at both ends".to_owned();
        }
        Some((text.to_owned(), name.at))
    });
    let spec = check.required(node, "spec", "a Test")?;
    let spec = check.mapping(spec, "a Test's spec", &SPEC)?;
    let written = check.required(spec, "cases", "a Test's spec")?;
    let items = check.list(written, "`cases`");
    if matches!(&written.value, yaml::Value::List(items) if items.is_empty()) {
        check.error(codes::VALUE, written.at, "`cases` must have at least one").help =
            "write one, as in {app: payments/web, expect: [eu-1]}".to_owned();
    }
    let cases = items.iter().filter_map(|item| case(check, item)).collect();
    let (name, at) = name?;
    Some((Test { name, cases, at: check.at(node.at) }, at))
}

fn case(check: &mut Check<'_>, node: &Node) -> Option<Case> {
    let node = check.mapping(node, "a case", &CASE)?;
    let app = check.required(node, "app", "a case").and_then(|app| {
        let text = check.text(app, "`app`")?;
        let parsed = text.parse::<AppId>().map_err(|error| {
            check.error(codes::VALUE, app.at, error.to_string()).help =
                "write the tenant and the App, as in payments/web".to_owned();
        });
        parsed.ok()
    });
    let (expect, reject) = (names(check, node, "expect"), names(check, node, "reject"));
    if expect.is_empty() && reject.is_empty() {
        check.error(codes::MISSING, node.at, "a case needs a cluster in `expect` or in `reject`").help =
            "say where the App must run, or must not".to_owned();
    }
    if let Some((both, at)) = reject.iter().find(|(name, _)| expect.iter().any(|(other, _)| other == name)) {
        check.error(codes::VALUE, *at, format!("`{both}` is in `expect` and in `reject`")).help =
            "take it out of one of them".to_owned();
    }
    let plain = |names: Vec<(ClusterName, Mark)>| names.into_iter().map(|(name, _)| name).collect();
    Some(Case { app: app?, expect: plain(expect), reject: plain(reject), at: check.at(node.at) })
}

fn names(check: &mut Check<'_>, node: &Node, key: &str) -> Vec<(ClusterName, Mark)> {
    let written = check.texts(node, key);
    written.into_iter().filter_map(|(name, at)| Some((check.id(at, ClusterName::new(name))?, at))).collect()
}

/// A case about what does not exist passes or fails for ever.
fn known(check: &mut Check<'_>, test: &Test, node: &Node, policy: &Policy, index: &ClusterIndex) {
    let written = node.get("spec").and_then(|spec| spec.get("cases"));
    for case in &test.cases {
        if !policy.tenants.contains_key(&case.app.tenant) {
            let names = policy.tenants.keys().map(TenantName::as_str);
            let near = closest(case.app.tenant.as_str(), names.collect::<Vec<_>>());
            let message = format!("no tenant is called `{}`", case.app.tenant);
            check.notes.push(Note::error(codes::VALUE, case.at.clone(), message)).help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write its Tenant document, or take the case out".to_owned(),
            };
        }
        let mut said = BTreeSet::new();
        for name in case.expect.iter().chain(&case.reject).filter(|name| said.insert(*name)) {
            if index.position(name).is_none() {
                let at = written.map_or(case.at.clone(), |cases| name_at(check, cases, case, name));
                let note = unknown_cluster(at, name, index);
                check.notes.push(Note { severity: Severity::Error, ..note });
            }
        }
    }
}

/// Where a cluster of a case is written.
fn name_at(check: &Check<'_>, cases: &Node, case: &Case, name: &ClusterName) -> Position {
    let yaml::Value::List(items) = &cases.value else { return case.at.clone() };
    let own = items.iter().find(|item| check.at(item.at) == case.at);
    let lists =
        own.into_iter().flat_map(|item| ["expect", "reject"].into_iter().filter_map(|key| item.get(key)));
    let names = lists.flat_map(|list| match &list.value {
        yaml::Value::List(names) => names.as_slice(),
        _ => &[],
    });
    let found = names.into_iter().find(|node| node.text() == Some(name.as_str()));
    found.map_or(case.at.clone(), |node| check.at(node.at))
}
