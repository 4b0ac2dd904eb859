//! Tests of the fleet repo: what is wrong in one never stands in the way of the
//! policy, and their verdicts are never better than what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_hub::core::codes;
use rimward_hub::core::files::{KindsIn, kinds_in, load_fleet, load_tests};
use rimward_hub::core::model::{SourceId, SourceTree};
use rimward_hub::core::note::Severity;
use rimward_hub::core::offline::evaluate;
use rimward_hub::core::testing::{Outcome, Testing};

use crate::world::{FLEET, app, config_map, source};

const HEAD: &str = "apiVersion: rimward.dev/v1alpha1\nkind: Test\nmetadata: {name: t}\n";

fn tree(files: &[(&str, &str)]) -> Arc<SourceTree> {
    let file = |(path, text): &(&str, &str)| ((*path).to_owned(), Arc::from(text.as_bytes()));
    Arc::new(SourceTree { files: files.iter().map(file).collect(), ..SourceTree::default() })
}

#[test]
fn a_wrong_test_never_stands_in_the_way_of_the_policy() {
    for wrong in
        ["spec: {}\n", "spec: {cases: [{app: web}]}\n", "sepc: 1\n", "spec: {cases: []}\n", "spec: 7\n"]
    {
        // In the very file of the policy, and a file before.
        let text = format!("{FLEET}---\n{HEAD}{wrong}");
        let found = tree(&[("fleet.yaml", &text)]);
        let load = load_fleet(&found, &BTreeMap::new());
        assert_eq!((load.policy.clusters.len(), load.policy.tenants.len()), (2, 1), "{wrong}");
        assert!(!load.notes.is_empty(), "it is said: {wrong}");
        assert!(
            load.notes.iter().all(|note| note.severity == Severity::Warning),
            "{wrong}: {:?}",
            load.notes
        );
        assert_eq!(load.good.get("fleet.yaml"), found.files.get("fleet.yaml"), "the file counts as right");
        let tests = load_tests(&found, &load.policy);
        assert!(
            tests.tests.is_empty() && tests.notes.iter().any(|note| note.severity == Severity::Error),
            "{wrong}"
        );
        // And what goes from the policy goes, wrong Test or not.
        let first = load_fleet(&tree(&[("fleet.yaml", FLEET), ("t.yaml", HEAD)]), &BTreeMap::new());
        let fewer =
            FLEET.replace("kind: Cluster\nmetadata: {name: us-1", "kind: Cluster\nmetadata: {name: us-2");
        let wrong = format!("{HEAD}{wrong}");
        let next = load_fleet(&tree(&[("fleet.yaml", &fewer), ("t.yaml", &wrong)]), &first.good);
        let names: Vec<String> = next.policy.clusters.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["eu-1", "us-2"]);
    }
}

#[test]
fn two_tests_of_one_name_are_an_error_of_the_second() {
    let right = format!("{HEAD}spec: {{cases: [{{app: payments/web, expect: [eu-1]}}]}}\n");
    let found = tree(&[("a.yaml", &right), ("b.yaml", &right), ("fleet.yaml", FLEET)]);
    let load = load_fleet(&found, &BTreeMap::new());
    assert_eq!(load.notes, []);
    let tests = load_tests(&found, &load.policy);
    assert_eq!(tests.tests["t"].at.file, "a.yaml");
    let said: Vec<_> = tests.notes.iter().map(|note| (note.code.as_str(), note.at.file.as_str())).collect();
    assert_eq!(said, [(codes::DUPLICATE, "b.yaml")]);
}

/// For every cluster: with the source, a case passes exactly if the opposite fails; without it, nothing that is not known
/// passes, and what is said is what the source would have brought.
#[test]
fn verdicts_are_never_better_than_what_is_known() {
    let fleet = FLEET.replace("  clusters: {}\n", "  clusters: {matchLabels: {region: eu}}\n");
    for selector in ["{}", "{names: [eu-1]}", "{matchLabels: {region: us}}", "{matchLabels: {env: none}}"] {
        let apps =
            tree(&[("web/rimward.yaml", &app("web", selector)), ("web/cm.yaml", &config_map("web", "1"))]);
        for cluster in ["eu-1", "us-1"] {
            let judge = |side: &str, with: bool| {
                let test = format!("{HEAD}spec: {{cases: [{{app: payments/web, {side}: [{cluster}]}}]}}\n");
                let found = tree(&[("fleet.yaml", &fleet), ("t.yaml", &test)]);
                let policy = load_fleet(&found, &BTreeMap::new()).policy;
                let tests = load_tests(&found, &policy).tests;
                let mut trees: BTreeMap<SourceId, Arc<SourceTree>> = BTreeMap::new();
                if with {
                    trees.insert(source("payments/apps"), apps.clone());
                }
                let given: BTreeSet<SourceId> = trees.keys().cloned().collect();
                let output = evaluate(&policy, &trees);
                let testing = Testing { policy: &policy, given: &given, output: &output };
                let ran = testing.run(&tests["t"], &tests["t"].cases[0]);
                assert_eq!(ran.why.is_empty(), ran.outcome == Outcome::Passed);
                ran.outcome
            };
            let there = cluster == "eu-1" && matches!(selector, "{}" | "{names: [eu-1]}");
            let (expect, reject) = (judge("expect", true), judge("reject", true));
            let verdicts = match there {
                true => (Outcome::Passed, Outcome::Failed),
                false => (Outcome::Failed, Outcome::Passed),
            };
            assert_eq!((expect, reject), verdicts, "{selector} {cluster}");
            for (side, known) in [("expect", expect), ("reject", reject)] {
                let guess = judge(side, false);
                assert!(guess == known || guess == Outcome::Unknown, "{selector} {cluster} {side}");
                assert_eq!(guess == Outcome::Unknown, cluster == "eu-1", "the bounds decide of us-1 alone");
            }
        }
    }
}

#[test]
fn a_folder_is_what_is_in_it() {
    let kinds = |files: &[(&str, &str)]| kinds_in(&tree(files));
    let none = KindsIn::default();
    assert_eq!(kinds(&[("a.yaml", "kind: ConfigMap\napiVersion: v1\n"), ("x.md", "kind: Tenant\n")]), none);
    assert_eq!(kinds(&[("f.yaml", FLEET)]), KindsIn { fleet: true, ..none });
    assert_eq!(kinds(&[("f.yaml", "kind: Tenant\n")]), KindsIn { fleet: true, ..none });
    assert_eq!(
        kinds(&[("f.yaml", &FLEET.replace("kind: Tenant", "kind: Tenat"))]),
        KindsIn { fleet: true, ..none }
    );
    assert_eq!(kinds(&[("a/rimward.yaml", "[")]), KindsIn { app: true, ..none });
    assert_eq!(kinds(&[("a/Rimward.yml", "")]), KindsIn { app: true, ..none });
    assert_eq!(kinds(&[("a/app.yaml", &app("web", "{}"))]), KindsIn { app: true, ..none });
    assert_eq!(kinds(&[("a.yaml", "[")]), KindsIn { unreadable: true, ..none });
}
