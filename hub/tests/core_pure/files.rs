//! Files: each mistake has its code, its place and its help, and the rest goes on.

use std::collections::BTreeMap;

use rimward_hub::core::files::load_fleet;
use rimward_hub::core::model::{GitRef, SourceTree};
use rimward_proto::TenantName;

use super::world::{FLEET, Files, World, app, cluster, id, says_what_to_do};

fn tree(files: &[(&str, &str)]) -> SourceTree {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().into()));
    SourceTree { commit: "c".repeat(40), files: files.collect(), ..SourceTree::default() }
}

/// `code position message` of each note on a fleet file, and the help of the first.
pub fn fleet_notes(text: &str) -> (Vec<String>, String) {
    let load = load_fleet(&tree(&[("f.yaml", text)]), &Files::new());
    load.notes.iter().for_each(says_what_to_do);
    let help = load.notes.first().map(|note| note.help.clone()).unwrap_or_default();
    let notes = load.notes.iter().filter(|note| note.code != "RW3011");
    (notes.map(|note| format!("{} {} {}", note.code, note.at, note.message)).collect(), help)
}

/// `code position message` of each note when App web has this file, which changes nothing on any cluster.
pub fn app_notes(text: &str) -> Vec<String> {
    let mut world = World::started();
    world.file("web/rimward.yaml", text);
    let step = world.step();
    assert!(step.unchanged());
    step.output
        .decided
        .notes
        .iter()
        .map(|(_, note)| format!("{} {} {}", note.code, note.at, note.message))
        .collect()
}

#[test]
fn the_documents_of_the_interface_are_read() {
    let text = FLEET
        .replace(
            "git: {url: https://git.example/payments/apps.git}",
            "git: {url: https://git.example/a.git, ref: {tag: v1}, path: ./deploy/, credentials: payments-git}, \
             interval: 5m, clusters: {matchExpressions: [{key: env, operator: In, values: [prod]}]}",
        )
        .replace("  namespaces:", "  objects: {allow: [Role.rbac.authorization.k8s.io], deny: [Secret]}\n  namespaces:")
        + "---\napiVersion: rimward.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  \
           defaults: {drift: {mode: revert}, takeover: refuse, rollout: immediate, health: {timeout: 10m}}\n  \
           deletion: {maxPerPlan: 7, protect: [Namespace]}\n";
    let load = load_fleet(&tree(&[("f.yaml", &text)]), &Files::new());
    assert_eq!(load.notes, []);
    let policy = load.policy;
    assert_eq!((policy.fleet.name.as_str(), policy.fleet.defaults.health.timeout_seconds), ("acme", 600));
    assert_eq!(policy.fleet.deletion.max_per_plan, Some(7));
    let tenant = &policy.tenants[&TenantName::new("payments").unwrap()];
    let source = &tenant.sources["apps"];
    assert_eq!((source.git.path.as_str(), source.interval_seconds), ("deploy", 300));
    assert_eq!(source.git.reference, GitRef::Tag("v1".into()));
    assert_eq!(source.git.credentials.as_deref(), Some("payments-git"));
    assert_eq!((tenant.role.as_str(), tenant.deny.as_slice()), ("edit", &["Secret".to_owned()][..]));
    assert_eq!(policy.clusters[&cluster("eu-1")].labels["region"], "eu");
    assert_eq!(policy.clusters[&cluster("us-1")].at.to_string(), "f.yaml:6:1");
}

#[test]
fn each_mistake_in_the_fleet_repo_is_named_where_it_is() {
    let head = "apiVersion: rimward.dev/v1alpha1\n";
    let tenant = "kind: Tenant\nmetadata: {name: t}\nspec:\n  clusters: {}\n  namespaces: [t]\n";
    let git =
        |rest: &str| format!("{head}{tenant}  sources: [{{name: a, git: {{url: https://h/r.git{rest}}}}}]\n");
    let mut wrong = Vec::new();
    for (text, wanted) in [
        (format!("{head}kind: Clutser\nmetadata: {{name: a}}"), "RW3002 f.yaml:1:1 unknown kind `Clutser`"),
        (
            format!("{head}kind: App\nmetadata: {{name: a}}"),
            "RW3002 f.yaml:1:1 an App has no place in the fleet repo",
        ),
        (
            format!("{head}kind: Notifier\nmetadata: {{name: a}}"),
            "RW3006 f.yaml:1:1 kind Notifier is not built yet",
        ),
        (
            format!("{head}kind: Cluster\nmetadata: {{name: A}}"),
            "RW3003 f.yaml:3:18 cluster name \"A\" is not",
        ),
        (
            format!("{head}kind: Cluster\nmetadata: {{nam: a}}"),
            "RW3004 f.yaml:3:12 unknown field `nam`, did you mean `name`?",
        ),
        (
            format!("{head}kind: Cluster\nmetadata: {{name: a, labels: {{env: yes}}}}"),
            "RW3003 f.yaml:3:35 label `env` must be a string, not a boolean",
        ),
        (
            format!("{head}kind: Cluster\nmetadata: {{name: a}}\nspec: {{variables: {{a: [1]}}}}"),
            "RW3003 f.yaml:4:23 variable `a` is a list: a variable stands for one scalar",
        ),
        (
            "kind: Tenant\nmetadata: {name: t}".to_owned(),
            "RW3008 f.yaml:1:1 this document is not used: its apiVersion is \"\"",
        ),
        (
            "apiVersion: rimward.dev/v1alpha\nkind: Tenant".to_owned(),
            "RW3008 f.yaml:1:13 this document is not used: its apiVersion is \"rimward.dev/v1alpha\"",
        ),
        (format!("{head}{tenant}"), "RW3005 f.yaml:5:3 a Tenant's spec needs `sources`"),
        (git(", ref: {semver: 1.x}"), "RW3006 f.yaml:7:57 ref: `semver` is not built yet"),
        (git(", ref: {branch: a, tag: b}"), "RW3003 f.yaml:7:56 `ref` takes one of"),
        (git(", ref: {commit: abc}"), "RW3003 f.yaml:7:65 `commit` must be a full commit id"),
        (
            git(", ref: {branch: --upload-pack=x}"),
            "RW3003 f.yaml:7:65 \"--upload-pack=x\" is not a name Git accepts",
        ),
        (git(", path: ../x"), "RW3003 f.yaml:7:57 `path` leads out of the repository"),
        (git(", credentials: ../x"), "RW3003 f.yaml:7:64 `credentials` must be the plain name"),
        (git(", verify: {}"), "RW3004 f.yaml:7:51 unknown field `verify`"),
        (
            git("").replace("https://h", "ssh://git@h"),
            "RW3006 f.yaml:7:34 only http:// and https:// are built yet",
        ),
        (
            git("").replace("//h", "//u:secret@h"),
            "RW3003 f.yaml:7:34 a URL must not carry a user or password",
        ),
        (git("").replace("[t]", "[T]"), "RW3003 f.yaml:6:16 \"T\" is neither a namespace nor a prefix"),
        (git("").replace("[t]", "[]"), "RW3003 f.yaml:6:15 `namespaces` must name at least one"),
        (
            git("") + "  objects: {allow: [\"*\"]}",
            "RW3005 f.yaml:8:12 a tenant that may have cluster-scoped objects",
        ),
        (git("") + "  limits: {rollouts: []}", "RW3006 f.yaml:8:12 limits: `rollouts` is not built yet"),
        (git("") + "  quota: {renderTime: 30s}", "RW3006 f.yaml:8:11 quota: `renderTime` is not built yet"),
        (git("") + "  quota: {objects: -1}", "RW3003 f.yaml:8:20 `objects` must be a whole number"),
        (git("") + "  quota: {bytes: 4M}", "RW3003 f.yaml:8:18 `bytes` is not a size: \"4M\""),
        (git("") + "  quota: {bytes: 4}", "RW3003 f.yaml:8:18 `bytes` must be a string"),
        (
            git("") + "  quota: {object: 4}",
            "RW3004 f.yaml:8:11 unknown field `object`, did you mean `objects`?",
        ),
        (
            git("").replace("clusters: {}", "clusters: {cel: x}"),
            "RW3006 f.yaml:5:14 `clusters`: `cel` is not built yet",
        ),
        (
            git("").replace("clusters: {}", "clusters:"),
            "RW3003 f.yaml:5:11 `clusters` must be a mapping, not null",
        ),
        (
            git("").replace("clusters: {}", "clusters: {matchExpressions: [{key: a, operator: Is}]}"),
            "RW3003 f.yaml:5:52 unknown operator `Is`",
        ),
        (
            format!("{head}kind: Fleet\nmetadata: {{name: a}}\nspec: {{defaults: {{rollout: careful}}}}"),
            "RW3006 f.yaml:4:28 rollout `careful` is not built yet",
        ),
        (
            format!("{head}kind: Fleet\nmetadata: {{name: a}}\nspec: {{deletion: {{maxPerHour: 1}}}}"),
            "RW3006 f.yaml:4:19 deletion: `maxPerHour` is not built yet",
        ),
        (
            format!(
                "{head}kind: Fleet\nmetadata: {{name: a}}\n---\n{head}kind: Fleet\nmetadata: {{name: b}}"
            ),
            "RW3007 f.yaml:5:1 there can be one Fleet; another is at f.yaml:1:1",
        ),
    ] {
        let (notes, help) = fleet_notes(&text);
        if !notes.iter().any(|note| note.starts_with(wanted)) {
            wrong.push(format!("wanted {wanted}, got {notes:?}"));
        }
        assert!(!notes.iter().any(|note| note.contains("secret")), "{notes:?}");
        assert!(!help.is_empty() || !wanted.starts_with("RW3004"), "{wanted}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn several_mistakes_are_said_at_once() {
    let text = "apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {name: t, nope: 1}\nspec:\n  \
                sources: [{name: a, git: {}}]\n  cluster: {}\n  namespaces: [T]\n  quota: {renderTime: 30s}\n";
    let (notes, _) = fleet_notes(text);
    let codes: Vec<&str> = notes.iter().map(|note| &note[..6]).collect();
    assert_eq!(codes, ["RW3004", "RW3004", "RW3005", "RW3003", "RW3005", "RW3006"], "{notes:#?}");
}

#[test]
fn foreign_documents_are_ignored() {
    let text = "apiVersion: cluster.x-k8s.io/v1beta1\nkind: Cluster\nmetadata: {name: x}\n---\napiVersion: v1\nkind: ConfigMap\n";
    let load = load_fleet(&tree(&[("f.yaml", text), ("README.md", "{{{"), ("x.json", "{}")]), &Files::new());
    assert_eq!(load.notes, []);
    assert!(load.policy.clusters.is_empty());
}

#[test]
fn of_two_documents_the_one_that_was_there_stays() {
    let one = |region: &str| {
        format!(
            "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: a, labels: {{region: {region}}}}}"
        )
    };
    let region =
        |policy: &rimward_hub::core::model::Policy| policy.clusters[&cluster("a")].labels["region"].clone();
    let old = load_fleet(&tree(&[("b.yaml", &one("old"))]), &Files::new());
    // The newcomer comes first in the order of files, and changes nothing, now and ever after.
    let mut both = load_fleet(&tree(&[("a.yaml", &one("new")), ("b.yaml", &one("old"))]), &old.good);
    for _ in 0..3 {
        assert_eq!(region(&both.policy), "old");
        let note = both.notes.iter().find(|note| note.code == "RW3007").unwrap();
        assert_eq!(
            note.to_string().lines().next().unwrap(),
            "error[RW3007]: Cluster `a` is also at b.yaml:1:1 --> a.yaml:1:1"
        );
        both = load_fleet(&tree(&[("a.yaml", &one("new")), ("b.yaml", &one("old"))]), &both.good);
    }
    // With no history the first file counts.
    assert_eq!(
        region(&load_fleet(&tree(&[("a.yaml", &one("x")), ("b.yaml", &one("y"))]), &Files::new()).policy),
        "x"
    );
    // Once the old one is gone, the newcomer is not new any more.
    let moved = load_fleet(&tree(&[("a.yaml", &one("new"))]), &both.good);
    assert_eq!((region(&moved.policy).as_str(), moved.notes.len()), ("new", 0));
}

#[test]
fn a_wrong_file_falls_back_as_a_whole_and_is_remembered_as_it_was() {
    let first = load_fleet(&tree(&[("f.yaml", FLEET)]), &Files::new());
    let wrong = FLEET.replace("region: eu", "region: moved").replace("namespaces:", "namespace:");
    for _ in 0..2 {
        let load = load_fleet(&tree(&[("f.yaml", &wrong)]), &first.good);
        assert_eq!(load.policy.clusters[&cluster("eu-1")].labels["region"], "eu");
        assert_eq!(load.good, first.good);
    }
    let without = load_fleet(&tree(&[("f.yaml", &wrong)]), &Files::new());
    assert_eq!(without.policy.clusters.len(), 2, "documents that are right count when nothing else does");
    assert!(without.policy.tenants.is_empty() && without.good.is_empty());
}

#[test]
fn each_mistake_in_an_app_file_is_named_where_it_is() {
    let web = |rest: &str| app("web", "{}") + rest;
    let later = ["helm", "values", "valuesFiles"];
    for field in later {
        let notes = app_notes(&web(&format!("  {field}: {{}}\n")));
        assert_eq!(notes, [format!("RW3006 web/rimward.yaml:7:3 an App's spec: `{field}` is not built yet")]);
    }
    for (text, wanted) in [
        (
            web("").replace("namespace:", "namespce:"),
            "RW3004 web/rimward.yaml:5:3 unknown field `namespce`, did you mean `namespace`?",
        ),
        (
            web("").replace("namespace: payments", "namespace: other"),
            "RW4001 web/rimward.yaml:5:14 namespace `other` is not one of tenant payments",
        ),
        (web("  rollout: careful\n"), "RW3006 web/rimward.yaml:7:12 rollout `careful` is not built yet"),
        (web("  path: ../db\n"), "RW3003 web/rimward.yaml:7:9 `path` leads out of the App's folder"),
        (
            web("").replace("clusters: {}", "path: ."),
            "RW3005 web/rimward.yaml:5:3 an App's spec needs `clusters`",
        ),
        (web("---\nkind: x\n"), "RW3002 web/rimward.yaml:8:1 2 documents in an App file"),
        (web("").replace("kind: App", "kind: Tenant"), "RW3002 web/rimward.yaml:1:1 not an App document"),
        (" ".repeat(300 << 10), "RW3001 web/rimward.yaml:1:1 an App file may have 262144 bytes"),
    ] {
        let notes = app_notes(&text);
        assert!(notes.iter().any(|note| note.starts_with(wanted)), "wanted {wanted}\ngot {notes:#?}");
    }
    assert_eq!(app_notes(&web("  rollout: immediate\n")), [""; 0]);
}

#[test]
fn names_are_checked_against_the_bounds() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &FLEET.replace("clusters: {}", "clusters: {matchLabels: {region: eu}}"));
    world.file("web/rimward.yaml", &app("web", "{names: [eu-1, us-1, eu-2]}"));
    let step = world.step();
    let notes: BTreeMap<String, String> =
        step.all_notes().into_iter().map(|note| (note.code.clone(), note.to_string())).collect();
    assert_eq!(
        notes["RW3009"],
        "error[RW3009]: cluster us-1 is outside the bound at fleet.yaml:16:13 of the fleet repo --> web/rimward.yaml:6:28\n  \
         help: take the name out, or widen the bound in the fleet repo"
    );
    assert!(
        notes["RW3010"].contains("no cluster is called `eu-2`")
            && notes["RW3010"].contains("did you mean `eu-1`?")
    );
    assert_eq!(step.apps("us-1"), ["payments/web@1"], "a wrong name stops the App's update everywhere");
    // Labels just intersect.
    world.file("web/rimward.yaml", &app("web", "{matchLabels: {env: prod}}"));
    let step = world.step();
    assert_eq!(step.removed("us-1"), ["payments/web"]);
}

#[test]
fn a_bound_that_moves_reaches_app_files_that_did_not() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &app("web", "{names: [us-1]}"));
    assert!(world.step().codes().is_empty());
    world.fleet("fleet.yaml", &FLEET.replace("clusters: {}", "clusters: {matchLabels: {region: eu}}"));
    let step = world.step();
    assert_eq!(step.codes(), ["RW3009".to_owned()].into());
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
}

#[test]
fn one_name_twice_in_a_source_updates_neither() {
    let mut world = World::started();
    world.file("zz/rimward.yaml", &app("web", "{names: [eu-1]}"));
    let step = world.step();
    assert!(step.unchanged());
    let blocked = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
    assert_eq!(blocked.message, "App payments/web is also at web/rimward.yaml:1:1");
}

#[test]
fn almost_app_files_are_pointed_out() {
    let mut world = World::started();
    world.file("new/rimward.yml", &app("new", "{}"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.codes(), ["RW3008".to_owned()].into());
}

#[test]
fn kinds_that_mean_nothing_are_said() {
    let notes = |field: &str, kind: &str| {
        let text = match field {
            "protect" => format!(
                "apiVersion: rimward.dev/v1alpha1\nkind: Fleet\nmetadata: {{name: a}}\nspec:\n  deletion: {{protect: ['{kind}']}}\n"
            ),
            _ => format!("{FLEET}  objects: {{{field}: ['{kind}']}}\n"),
        };
        let notes = load_fleet(&tree(&[("f.yaml", &text)]), &Files::new()).notes;
        notes.into_iter().filter(|note| note.code != "RW3011").collect::<Vec<_>>()
    };
    for field in ["allow", "deny", "protect"] {
        for (kind, code, help) in [
            ("PersistentVolumeClaims", "RW3003", "`PersistentVolumeClaim`"),
            ("persistentvolumeclaim", "RW3003", "`PersistentVolumeClaim`"),
            ("secrets", "RW3003", "`Secret`"),
            ("apps/Deployment", "RW3003", "Kind.group"),
            ("deployments.apps", "RW3003", "`Deployment`"),
            ("Deploymnt.apps", "RW3003", "`Deployment.apps`"),
            ("Secret.apps", "RW3003", "`Secret`"),
            ("Thing.Example.com", "RW3003", "Kind.group"),
            ("", "RW3003", "Kind.group"),
            ("Deployment.app", "RW3026", "`Deployment.apps`"),
            ("Thing.example.com", "RW3026", "CustomResourceDefinition"),
            ("Gizmo", "RW3026", "Kind.group"),
        ] {
            let notes = notes(field, kind);
            let [note] = notes.as_slice() else { panic!("{field} {kind}: {notes:?}") };
            assert_eq!(note.code, code, "{kind}");
            assert!(note.help.contains(help), "{kind}: {note}");
        }
        let kinds = if field == "allow" {
            &["Secret", "Role"][..]
        } else {
            &["Secret", "Ingress.networking.k8s.io", "*"]
        };
        for kind in kinds {
            assert_eq!(notes(field, kind), [], "{field} {kind}");
        }
    }
}
