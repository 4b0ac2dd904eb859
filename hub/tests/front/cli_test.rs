//! `rimward test`: what the Tests of a fleet repo come to.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli_validate::{APP, FLEET, OBJECT, run, write};

const TESTS: &str = "\
apiVersion: rimward.dev/v1alpha1
kind: Test
metadata: {name: bounds}
spec:
  cases:
  - {app: payments/web, reject: [us-1]}
---
apiVersion: rimward.dev/v1alpha1
kind: Test
metadata: {name: places}
spec:
  cases:
  - {app: payments/web, expect: [eu-1], reject: [us-1]}
";
const WITH: [&str; 4] = ["test", "fleet", "--source", "payments/apps=apps"];

fn folder(tests: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("fleet/fleet.yaml", FLEET),
        ("fleet/tests.yaml", tests),
        ("apps/web/rimward.yaml", APP),
        ("apps/web/o.yaml", OBJECT),
    ];
    write(folder.path(), &files);
    folder
}

/// The exit code, and the lines that do not say ok.
fn failed(folder: &Path, args: &[&str]) -> (i32, String) {
    let ran = run(folder, args);
    let lines = ran.out.lines().filter(|line| !line.starts_with("ok "));
    (ran.code, lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn tests_pass_where_the_policy_is_as_expected() {
    let folder = folder(TESTS);
    let ran = run(folder.path(), &WITH);
    assert_eq!((ran.code, ran.err.as_str()), (0, "2 passed, 0 failed\n"), "{ran:?}");
    assert_eq!(ran.out, "ok       bounds:payments/web\nok       places:payments/web\n");
    let ran = run(folder.path(), &[&WITH[..], &["--run", "^bou"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, "1 passed, 0 failed\n"), "{ran:?}");
}

#[test]
fn without_its_source_only_the_bounds_are_known() {
    let folder = folder(TESTS);
    let ran = run(folder.path(), &["test", "fleet"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "1 passed, 0 failed, 1 cannot be told\n"), "{ran:?}");
    let expected = "ok       bounds:payments/web\nUNKNOWN  places:payments/web --> fleet/tests.yaml:13:5\n         \
                    app payments/web is in no source that was given; give --source payments/apps=DIR\n";
    assert_eq!(ran.out, expected);
}

#[test]
fn a_failure_says_what_stands_in_the_way() {
    let folder = folder(
        "apiVersion: rimward.dev/v1alpha1\nkind: Test\nmetadata: {name: t}\nspec:\n  cases:\n  \
         - {app: payments/web, expect: [us-1]}\n  - {app: payments/web, reject: [eu-1]}\n  \
         - {app: payments/shop, reject: [eu-1]}\n",
    );
    let (code, lines) = failed(folder.path(), &WITH);
    assert_eq!(code, 1);
    for line in [
        "it is not on us-1: us-1 is outside the tenant's clusters (fleet.yaml:14:13)",
        "it is on eu-1, where it must not be",
        "no source of tenant payments has an App shop",
    ] {
        assert!(lines.contains(line), "{line}: {lines}");
    }
    let tests = TESTS.replace("reject: [us-1]", "expect: [eu-1]").replace("expect: [eu-1], expect", "expect");
    write(folder.path(), &[("fleet/tests.yaml", &tests)]);
    let elsewhere = APP.replace("clusters: {}", "clusters: {matchLabels: {region: us}}");
    write(folder.path(), &[("apps/web/rimward.yaml", &elsewhere)]);
    let (_, lines) = failed(folder.path(), &WITH);
    assert!(lines.contains("eu-1 is outside the App's clusters (web/rimward.yaml:6:13)"), "{lines}");
    // A guardrail keeps it out of every plan, and then it is no comfort that it is not where it must not be.
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n";
    write(
        folder.path(),
        &[("apps/web/rimward.yaml", APP), ("apps/web/o.yaml", role), ("fleet/tests.yaml", TESTS)],
    );
    let (code, lines) = failed(folder.path(), &WITH);
    assert_eq!((code, lines.matches("App payments/web would not be updated").count()), (1, 2), "{lines}");
    assert!(lines.contains("RW4003"), "{lines}");
    let bound =
        FLEET.replace("apps.git}}", "apps.git}, clusters: {names: [eu-1], matchLabels: {region: us}}}");
    write(folder.path(), &[("apps/web/o.yaml", OBJECT), ("fleet/fleet.yaml", &bound)]);
    let (_, lines) = failed(folder.path(), &WITH);
    assert!(
        lines.contains("eu-1 is outside the clusters of source payments/apps (fleet.yaml:13:13)"),
        "{lines}"
    );
    let (_, lines) = failed(folder.path(), &["test", "fleet"]);
    assert!(lines.contains("eu-1: outside the clusters of every source"), "{lines}");
}

#[test]
fn what_is_kept_away_for_now_is_not_rejected() {
    let tests = "apiVersion: rimward.dev/v1alpha1\nkind: Test\nmetadata: {name: t}\nspec:\n  cases:\n  \
                 - {app: payments/web, reject: [eu-1]}\n";
    let folder = folder(tests);
    let rail = "apiVersion: rimward.dev/v1alpha1\nkind: Guardrail\nmetadata: {name: not-here}\nspec:\n  \
                kinds: [\"*\"]\n  rules: [{cel: \"cluster.name != 'eu-1'\", message: not on eu-1}]\n  action: deny\n";
    write(folder.path(), &[("fleet/rails.yaml", rail)]);
    let (code, lines) = failed(folder.path(), &WITH);
    assert_eq!(code, 1, "{lines}");
    assert!(lines.contains("RW4020") && lines.contains("not on eu-1"), "{lines}");
    // An unset variable keeps it away too.
    let unset = APP.to_owned() + "  variables: {domain: null}\n";
    let uses = OBJECT.to_owned() + "data: {d: \"${domain}\"}\n";
    write(
        folder.path(),
        &[("fleet/rails.yaml", "# none\n"), ("apps/web/rimward.yaml", &unset), ("apps/web/o.yaml", &uses)],
    );
    let (code, lines) = failed(folder.path(), &WITH);
    assert!(code == 1 && lines.contains("VariableUnset on eu-1"), "{lines}");
}

#[test]
fn a_fleet_that_is_wrong_is_not_tested() {
    let folder = folder(&TESTS.replace("expect:", "expects:"));
    let ran = run(folder.path(), &WITH);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("error[RW3004]") && ran.err.contains("nothing is tested"), "{}", ran.err);
    for (args, code) in [
        (&["test", "apps"][..], 1),
        (&["test", "nowhere"], 5),
        (&["test", "fleet", "--run", "("], 2),
        (&["test", "fleet", "--source", "payments=apps"], 2),
        (&["test", "fleet", "-o", "sarif"], 2),
    ] {
        assert_eq!(run(folder.path(), args).code, code, "{args:?}");
    }
    write(folder.path(), &[("fleet/tests.yaml", TESTS)]);
    for (args, code) in [
        (&["test", "fleet", "--run", "nothing"][..], 5),
        (&["test", "fleet", "--source", "payments/none=apps"], 5),
        (&["test", "fleet", "--source", "payments/apps=nowhere"], 5),
        (&["test", "fleet", "--source", "payments/apps=apps", "--source", "payments/apps=apps"], 2),
    ] {
        assert_eq!(run(folder.path(), args).code, code, "{args:?}");
    }
}

#[test]
fn reports_for_programs() {
    let more = "  - {app: payments/web, expect: [us-1]}\n  - {app: payments/web, expect: [us-1]}\n";
    let folder = folder(&(TESTS.to_owned() + more));
    let ran = run(folder.path(), &[&WITH[..], &["-o", "json"]].concat());
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["kind"], "TestReport");
    assert_eq!(report["summary"], json!({"passed": 2, "failed": 2, "unknown": 0}));
    assert_eq!(
        report["cases"][2],
        json!({
            "test": "places", "app": "payments/web", "file": "tests.yaml", "line": 14, "column": 5, "result": "failed",
            "messages": ["it is not on us-1: us-1 is outside the tenant's clusters (fleet.yaml:14:13)"],
        })
    );
    let ran = run(folder.path(), &[&WITH[..], &["-o", "junit"]].concat());
    assert_eq!(ran.code, 1);
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="rimward" tests="4" failures="2" errors="0">
  <testsuite name="bounds" tests="1" failures="0" errors="0" skipped="0">
    <testcase classname="bounds" name="payments/web" file="fleet/tests.yaml" line="6"/>
  </testsuite>
  <testsuite name="places" tests="3" failures="2" errors="0" skipped="0">
    <testcase classname="places" name="payments/web" file="fleet/tests.yaml" line="13"/>
    <testcase classname="places" name="payments/web #2" file="fleet/tests.yaml" line="14">
      <failure message="it is not on us-1: us-1 is outside the tenant's clusters (fleet.yaml:14:13)">it is not on us-1: us-1 is outside the tenant's clusters (fleet.yaml:14:13)</failure>
    </testcase>
    <testcase classname="places" name="payments/web #3" file="fleet/tests.yaml" line="14">
"#;
    let expected = expected.replace(
        r##"name="payments/web #3" file="fleet/tests.yaml" line="14""##,
        r##"name="payments/web #3" file="fleet/tests.yaml" line="15""##,
    );
    assert!(ran.out.starts_with(&expected), "{}", ran.out);
    assert!(ran.out.ends_with("    </testcase>\n  </testsuite>\n</testsuites>\n"), "{}", ran.out);
    let ran = run(folder.path(), &["test", "fleet", "-o", "junit"]);
    assert!(ran.out.contains(r#"errors="1""#) && ran.out.contains("<error message="), "{}", ran.out);
}
