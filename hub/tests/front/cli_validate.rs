//! `rimward validate` and `rimward new`: folders in, what is wrong out.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli_hub::{Ran, command, finish};

/// A fleet repo with two clusters, and a tenant that may be on one of them.
pub const FLEET: &str = "\
apiVersion: rimward.dev/v1alpha1
kind: Cluster
metadata: {name: eu-1, labels: {region: eu}}
---
apiVersion: rimward.dev/v1alpha1
kind: Cluster
metadata: {name: us-1, labels: {region: us}}
---
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: payments}
spec:
  sources: [{name: apps, git: {url: https://git.example/payments/apps.git}}]
  clusters: {matchLabels: {region: eu}}
  namespaces: [payments]
";
pub const APP: &str = "\
apiVersion: rimward.dev/v1alpha1
kind: App
metadata: {name: web}
spec:
  namespace: payments
  clusters: {}
";
pub const OBJECT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n";

/// Writes files below a folder.
pub fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Runs the command in a folder, with no hub.
pub fn run(folder: &Path, args: &[&str]) -> Ran {
    let mut command = command(Path::new("/nonexistent/admin.sock"), args);
    command.current_dir(folder);
    finish(command, "")
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    folder
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let folder =
        folder(&[("web/rimward.yaml", &APP.replace("namespace:", "namespce:")), ("web/object.yaml", OBJECT)]);
    let ran = run(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = "\
error[RW3004]: unknown field `namespce`, did you mean `namespace`?
 --> web/rimward.yaml:5:3
  |
5 |   namespce: payments
  |   ^^^^^^^^
  = help: fields of an App's spec: namespace, ";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    assert!(ran.err.contains("without --fleet DIR") && ran.err.contains("1 error"), "{}", ran.err);
    let ran = run(folder.path(), &["validate", "--color", "always", "-q"]);
    assert!(ran.out.starts_with("\u{1b}[1;31merror[RW3004]\u{1b}[0m"), "{:?}", ran.out);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
}

#[test]
fn several_mistakes_are_shown_at_once() {
    let tenant = FLEET.replace("namespaces: [payments]", "namespaces: []\n  role: 7");
    let folder =
        folder(&[("fleet.yaml", &tenant), ("more.yaml", "kind: Tenant\n"), ("broken.yaml", "a: [\n")]);
    let ran = run(folder.path().parent().unwrap(), &["validate", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    for code in ["error[RW3003]: `namespaces`", "error[RW3003]: `role`", "warning[RW3008]", "error[RW3001]"] {
        assert!(ran.out.contains(code), "{code}: {}", ran.out);
    }
    assert!(ran.out.contains(&format!("--> {}/fleet.yaml:15:", folder.path().display())), "{}", ran.out);
    assert!(!ran.out.contains("RW3011"), "there is no last good content here: {}", ran.out);
    assert!(ran.err.contains("3 errors, 1 warning; 2 clusters, 0 tenants"), "{}", ran.err);
}

#[test]
fn what_is_right_says_so_in_a_line() {
    let folder =
        folder(&[("fleet/fleet.yaml", FLEET), ("apps/web/rimward.yaml", APP), ("apps/web/o.yaml", OBJECT)]);
    let ran = run(folder.path(), &["validate", "fleet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.err, "no errors; 2 clusters, 1 tenant, 0 tests without an error\n");
    let ran = run(folder.path(), &["validate", "apps", "--fleet", "fleet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.err, "no errors; 2 clusters, 1 tenant, 0 tests, 1 App without an error\n");
}

#[test]
fn the_policy_counts_where_it_is_given() {
    let app = APP
        .replace("namespace: payments", "namespace: shop")
        .replace("clusters: {}", "clusters: {names: [us-1]}");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: payments}\nrules: []\n";
    let folder = folder(&[
        ("fleet/fleet.yaml", FLEET),
        ("apps/web/rimward.yaml", &app),
        ("apps/web/o.yaml", OBJECT),
        ("apps/db/rimward.yaml", &APP.replace("name: web", "name: db")),
        ("apps/db/role.yaml", role),
    ]);
    let ran = run(folder.path(), &["validate", "apps"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "nothing of it is wrong everywhere: {ran:?}");
    let ran = run(folder.path(), &["validate", "apps", "--fleet", "fleet"]);
    assert_eq!(ran.code, 1);
    for part in ["error[RW4001]", "error[RW3009]", "error[RW4003]", " --> apps/web/rimward.yaml:6:"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
}

#[test]
fn what_only_other_sources_can_bring_is_no_error() {
    let app = APP.replace("clusters: {}", "clusters: {}\n  dependsOn: [{tenant: platform, app: db}]");
    let thing = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a, namespace: payments}\n";
    let source = "sources: [{name: more, git: {url: https://git.example/payments/more.git}}, {name: apps,";
    let folder = folder(&[
        ("fleet/fleet.yaml", &FLEET.replace("sources: [{name: apps,", source)),
        ("apps/web/rimward.yaml", &app),
        ("apps/web/object.yaml", OBJECT),
        ("apps/thing/rimward.yaml", &APP.replace("name: web", "name: thing")),
        ("apps/thing/thing.yaml", thing),
    ]);
    for args in
        [&["validate", "apps"][..], &["validate", "apps", "--fleet", "fleet", "--source", "payments/apps"]]
    {
        let ran = run(folder.path(), args);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("info[RW4004]") && ran.out.contains("info[RW3017]"), "{}", ran.out);
    }
    let ran = run(folder.path(), &["validate", "apps", "--fleet", "fleet"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--source T/S; the fleet has payments/apps, payments/more"), "{}", ran.err);
    let ran = run(folder.path(), &["validate", "apps", "--fleet", "fleet", "--source", "payments/none"]);
    assert_eq!(ran.code, 5, "{ran:?}");
}

#[test]
fn a_remote_says_which_source_it_is() {
    let source = "sources: [{name: more, git: {url: https://git.example/payments/more.git}}, {name: apps,";
    let folder = folder(&[
        ("fleet/fleet.yaml", &FLEET.replace("sources: [{name: apps,", source)),
        ("apps/web/rimward.yaml", APP),
        ("apps/web/object.yaml", OBJECT),
    ]);
    for args in [&["init", "-q"][..], &["remote", "add", "origin", "git@git.example:payments/apps.git"]] {
        let git =
            std::process::Command::new("git").args(args).current_dir(folder.path().join("apps")).output();
        assert!(git.unwrap().status.success());
    }
    let ran = run(folder.path(), &["validate", "apps", "--fleet", "fleet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn a_wrong_test_is_an_error_here() {
    let tests = "apiVersion: rimward.dev/v1alpha1\nkind: Test\nmetadata: {name: a}\nspec:\n  cases:\n  \
                 - {app: payments/web, expect: [eu-2]}\n  - {app: payment/web, expects: [eu-1], reject: [us-1]}\n";
    let folder = folder(&[("fleet.yaml", FLEET), ("tests.yaml", tests)]);
    let ran = run(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1);
    for part in [
        "error[RW3010]: no cluster is called `eu-2`\n --> tests.yaml:6:34",
        "error[RW3004]: unknown field `expects`, did you mean `expect`?\n --> tests.yaml:7:24",
        "no tenant is called `payment`",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!ran.out.contains("warning"), "each once: {}", ran.out);
}

#[test]
fn nothing_to_look_at_is_not_found() {
    let folder = folder(&[("readme.md", "x"), ("deployment.yaml", OBJECT), ("fleet/fleet.yaml", FLEET)]);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for args in
        [&["validate", "empty"][..], &["validate", "nowhere"], &["validate", "empty", "--fleet", "fleet"]]
    {
        let ran = run(folder.path(), args);
        assert_eq!((ran.code, ran.out.as_str()), (5, ""), "{args:?} {ran:?}");
    }
    for args in [&["validate", "-o", "yaml"][..], &["validate", "--source", "a/b"], &["validate", "-w"]] {
        let ran = run(folder.path(), args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?} {ran:?}");
    }
}

#[test]
fn json_has_the_fields_of_notes() {
    let folder = folder(&[("fleet/fleet.yaml", FLEET), ("apps/rimward.yaml", &APP.replace("web", "WEB"))]);
    let ran = run(folder.path(), &["validate", "apps", "--fleet", "fleet", "-o", "json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (report["apiVersion"].as_str(), report["kind"].as_str()),
        (Some("rimward.dev/v1alpha1"), Some("ValidationReport"))
    );
    let note = &report["notes"][0];
    assert_eq!(
        (
            &note["severity"],
            &note["code"],
            &note["file"],
            &note["line"],
            &note["column"],
            &note["repo"],
            &note["path"]
        ),
        (
            &json!("error"),
            &json!("RW3003"),
            &json!("rimward.yaml"),
            &json!(3),
            &json!(18),
            &json!("tenant"),
            &json!("apps/rimward.yaml")
        )
    );
    assert!(note["message"].as_str().unwrap().contains("WEB") && !note["help"].as_str().unwrap().is_empty());
    let expected =
        json!({"errors": 1, "warnings": 0, "infos": 0, "clusters": 2, "tenants": 1, "tests": 0, "apps": 0});
    assert_eq!(report["summary"], expected);
    let right = run(folder.path(), &["validate", "fleet", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&right.out).unwrap()["notes"], json!([]));
}

/// What every reader of SARIF 2.1.0 relies on: the required properties of its schema, for the parts that are written.
const SARIF: &str = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "required": ["version", "runs"],
  "properties": {
    "$schema": {"type": "string", "format": "uri"},
    "version": {"const": "2.1.0"},
    "runs": {"type": "array", "minItems": 1, "items": {
      "type": "object",
      "required": ["tool", "results"],
      "properties": {
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "tool": {"type": "object", "required": ["driver"], "additionalProperties": false, "properties": {
          "driver": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": {
            "name": {"type": "string"},
            "semanticVersion": {"type": "string"},
            "rules": {"type": "array", "uniqueItems": true, "items": {
              "type": "object", "required": ["id"], "additionalProperties": false,
              "properties": {"id": {"type": "string"}, "name": {"type": "string"}}
            }}
          }}
        }},
        "results": {"type": "array", "items": {
          "type": "object", "required": ["message"], "additionalProperties": false,
          "properties": {
            "ruleId": {"type": "string"},
            "ruleIndex": {"type": "integer", "minimum": 0},
            "level": {"enum": ["none", "note", "warning", "error"]},
            "message": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
            "locations": {"type": "array", "items": {
              "type": "object", "additionalProperties": false,
              "properties": {"physicalLocation": {
                "type": "object", "required": ["artifactLocation"], "additionalProperties": false,
                "properties": {
                  "artifactLocation": {"type": "object", "required": ["uri"], "properties": {"uri": {"type": "string", "format": "uri-reference"}}},
                  "region": {"type": "object", "required": ["startLine"], "additionalProperties": false, "properties": {
                    "startLine": {"type": "integer", "minimum": 1}, "startColumn": {"type": "integer", "minimum": 1}
                  }}
                }
              }}
            }}
          }
        }}
      }
    }}
  }
}"#;

#[test]
fn sarif_is_what_code_scanning_reads() {
    let folder = folder(&[
        ("fleet/fleet.yaml", FLEET),
        ("a b/web/rimward.yaml", &APP.replace("namespace: payments", "namespce: x")),
        ("a b/web/kustomization.yaml", "resources: []\n"),
    ]);
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("https://schemas.invalid/sarif", serde_json::from_str(SARIF).unwrap()).unwrap();
    let schema = compiler.compile("https://schemas.invalid/sarif", &mut schemas).unwrap();
    let absolute = folder.path().join("a b");
    for dir in ["a b", absolute.to_str().unwrap()] {
        let ran = run(folder.path(), &["validate", dir, "--fleet", "fleet", "-o", "sarif"]);
        assert_eq!(ran.code, 1);
        let log: Value = serde_json::from_str(&ran.out).unwrap();
        schemas.validate(&log, schema).unwrap_or_else(|error| panic!("{error}"));
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        let unknown = results.iter().find(|result| result["ruleId"] == "RW3004").unwrap();
        let rule = unknown["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], "RW3004");
        let place = &unknown["locations"][0]["physicalLocation"];
        assert_eq!(place["region"], json!({"startLine": 5, "startColumn": 3}));
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(
            uri.ends_with("a%20b/web/rimward.yaml") && uri.starts_with("file:///") == dir.starts_with('/'),
            "{uri}"
        );
    }
    let right = run(folder.path(), &["validate", "fleet", "-o", "sarif"]);
    let log: Value = serde_json::from_str(&right.out).unwrap();
    schemas.validate(&log, schema).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((right.code, &log["runs"][0]["results"]), (0, &json!([])));
}

#[test]
fn a_secret_is_never_quoted() {
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: hunter2, password: hunter3}\n";
    let folder = folder(&[("web/rimward.yaml", APP), ("web/secret.yaml", secret)]);
    for format in ["text", "json", "sarif"] {
        let ran = run(folder.path(), &["validate", "-o", format]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("secret.yaml") && !ran.out.contains("hunter"), "{}", ran.out);
    }
}

#[test]
fn what_is_left_out_is_said() {
    let folder = folder(&[("web/rimward.yaml", APP), ("web/object.yaml", OBJECT), ("more.yaml", OBJECT)]);
    std::os::unix::fs::symlink("more.yaml", folder.path().join("link.yaml")).unwrap();
    let ran = run(folder.path(), &["validate"]);
    assert_eq!(ran.code, 0, "no App is there: {ran:?}");
    assert!(ran.out.starts_with("info[RW2010]: left out: a symbolic link"), "{}", ran.out);
    std::os::unix::fs::symlink("../more.yaml", folder.path().join("web/link.yaml")).unwrap();
    let ran = run(folder.path(), &["validate"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("error[RW3025]"), "{}", ran.out);
}

#[test]
fn what_new_writes_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let new = |args: &[&str]| run(folder.path(), &[&["new"], args].concat());
    let ran = new(&["fleet", "acme", "--dir", "fleet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "fleet/fleet.yaml\nfleet/clusters.yaml\n"), "{ran:?}");
    assert!(ran.err.contains("rimward new tenant TEAM --dir fleet"), "{}", ran.err);
    let ran = run(folder.path(), &["validate", "fleet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert_eq!(new(&["tenant", "payments", "--dir", "fleet"]).out, "fleet/tenants/payments.yaml\n");
    let ran = run(folder.path(), &["validate", "fleet"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert!(ran.err.contains("1 tenant"), "{}", ran.err);
    let ran = new(&["app", "web", "--dir", "apps", "-t", "payments"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "apps/web/rimward.yaml\napps/web/configmap.yaml\n"),
        "{ran:?}"
    );
    for args in [&["validate", "apps"][..], &["validate", "apps", "--fleet", "fleet"]] {
        let ran = run(folder.path(), args);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
        assert!(ran.err.contains("1 App"), "{}", ran.err);
    }
    assert_eq!(new(&["app", "db"]).out, "db/rimward.yaml\ndb/configmap.yaml\n");
}

#[test]
fn new_never_writes_over_what_is_there() {
    let folder = folder(&[("clusters.yaml", "mine\n"), ("web/configmap.yaml", "mine\n")]);
    for (args, file) in
        [(["new", "fleet", "acme"], "fleet.yaml"), (["new", "app", "web"], "web/rimward.yaml")]
    {
        let ran = run(folder.path(), &args);
        assert_eq!((ran.code, ran.out.as_str()), (6, ""), "{ran:?}");
        assert!(ran.err.contains("is there already"), "{}", ran.err);
        assert!(!folder.path().join(file).exists(), "nothing of it is written");
    }
    for mine in ["clusters.yaml", "web/configmap.yaml"] {
        assert_eq!(std::fs::read_to_string(folder.path().join(mine)).unwrap(), "mine\n");
    }
    for bad in [["new", "app", "A"], ["new", "app", "../x"], ["new", "cluster", "x"], ["new", "tenant", ""]] {
        assert_eq!(run(folder.path(), &bad).code, 2, "{bad:?}");
    }
}
