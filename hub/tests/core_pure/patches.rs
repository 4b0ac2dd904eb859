//! Patches: which objects they are for, what they do, and what they must not.

use serde_json::{Value, json};

use super::files::app_notes;
use super::world::{Step, World, app, config_map, id};

const OBJECTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web, tier: front}}
spec:
  replicas: 1
  template:
    spec:
      containers: [{name: main, image: a, args: [x]}, {name: side, image: b}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker, labels: {app: worker}}
spec: {replicas: 1}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {password: hunter2}
";

/// A world whose App web has these lines, planned.
fn world(lines: &str) -> (World, Step) {
    world_with(lines, &[])
}

fn world_with(lines: &str, files: &[(&str, &str)]) -> (World, Step) {
    let mut world = World::started();
    world.file("web/rimward.yaml", &(app("web", "{}") + lines));
    world.file("web/cm.yaml", OBJECTS);
    files.iter().for_each(|(path, text)| world.file(path, text));
    let step = world.step();
    (world, step)
}

/// The object of that kind and name on eu-1.
fn object(world: &World, kind: &str, name: &str) -> Value {
    let objects = world.objects("eu-1", "payments/web");
    let found =
        objects.into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_default()
}

/// One patch of App web, as a block.
fn patch(target: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("      {line}\n")).collect();
    let target = if target.is_empty() { String::new() } else { format!("    target: {target}\n") };
    format!("  patches:\n  - patch: |\n{lines}{target}")
}

const REPLICAS: &str = "- {op: replace, path: /spec/replicas, value: 5}";

#[test]
fn targets_pick_objects() {
    for (target, wanted) in [
        ("{kind: Deployment}", [5, 5]),
        ("{kind: Deployment, name: worker}", [1, 5]),
        ("{group: apps, version: v1, name: web}", [5, 1]),
        ("{labelSelector: \"app=web\"}", [5, 1]),
        ("{labelSelector: \"app in-valid\", kind: Deployment}", [1, 1]),
        ("{kind: Deployment, labelSelector: \"tier!=front\"}", [1, 5]),
        ("{kind: Deployment, labelSelector: \"tier, app==web\"}", [5, 1]),
        ("{kind: Deployment, labelSelector: \"!tier\"}", [1, 5]),
        ("{kind: Deployment, namespace: payments}", [5, 5]),
        ("{kind: Deployment, namespace: other}", [1, 1]),
        ("{kind: Deployment, group: extensions}", [1, 1]),
    ] {
        let (world, step) = world(&patch(target, REPLICAS));
        let found =
            ["web", "worker"].map(|name| object(&world, "Deployment", name)["spec"]["replicas"].clone());
        if target.contains("in-valid") {
            assert!(step.blocked("payments/web").unwrap().contains("is no label selector"), "{target}");
            continue;
        }
        assert_eq!(found, wanted.map(|n| json!(n)), "{target}");
        // A patch for nothing says so, and stops nobody.
        assert_eq!(step.codes().contains("RW3043"), wanted == [1, 1], "{target}");
    }
}

#[test]
fn operations_and_merges_change_objects_in_order() {
    let lines = "  patches:\n  - {target: {name: web}, patch: \"[{op: add, path: /metadata/annotations, value: {a: one}}]\"}\n  \
                 - {target: {name: web, kind: Deployment}, patch: \"metadata: {annotations: {a: two, b: x}}\"}\n  \
                 - {target: {name: web}, patch: \"[{op: test, path: /metadata/annotations/a, value: two}, {op: remove, path: /spec/template/spec/containers/1}]\"}\n  \
                 - patch: \"{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: null, paused: true}}\"\n";
    let (mut world, step) = world(lines);
    assert!(step.codes().is_empty(), "{:?}", step.all_notes());
    let web = object(&world, "Deployment", "web");
    assert_eq!(web["metadata"]["annotations"], json!({"a": "two", "b": "x"}));
    assert_eq!(web["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!((&web["spec"]["paused"], web["spec"].get("replicas")), (&json!(true), None));
    assert!(world.step().unchanged());
}

#[test]
fn a_secret_is_patched_as_it_is_written() {
    let text = "[{op: replace, path: /stringData/password, value: new}]";
    let (world, step) = world(&patch("{kind: Secret}", text));
    assert!(step.codes().is_empty());
    assert_eq!(object(&world, "Secret", "key")["data"], json!({"password": "bmV3"}));
}

#[test]
fn what_cannot_be_applied_stops_the_app_and_says_no_value() {
    for (target, text, wanted) in [
        (
            "{name: web}",
            "- {op: replace, path: /spec/nothing/x, value: 1}",
            "RW3042 web/rimward.yaml:8:5 this patch cannot be applied to Deployment.apps/payments/web: operation 1, replace /spec/nothing/x: path is invalid",
        ),
        (
            "{kind: Secret}",
            "- {op: test, path: /stringData/password, value: guess}",
            "operation 1, test /stringData/password: value did not match",
        ),
        ("{name: web}", "- {op: remove, path: /spec/a}", "remove /spec/a: path is invalid"),
        (
            "{name: web}",
            "- {op: replace, path: /kind, value: Pod}",
            "RW3042 web/cm.yaml:2:1 Deployment.apps/payments/web: a patch changes what an object says, and not which object it is",
        ),
        ("{name: web}", "- {op: replace, path: /metadata/name, value: other}", "and not which object it is"),
        (
            "{name: web}",
            "- {op: add, path: /metadata/namespace, value: kube-system}",
            "and not which object it is",
        ),
        ("{name: web}", "- {op: replace, path: /apiVersion, value: apps/v2}", "and not which object it is"),
        ("{name: web}", "- {op: replace, path: \"\", value: null}", "a manifest must be a mapping"),
        (
            "{name: web}",
            "- {op: add, path: /metadata/ownerReferences, value: []}",
            "metadata.ownerReferences must not be set",
        ),
        (
            "{name: web}",
            "- {op: add, path: /metadata/labels/rimward.dev~1app, value: x}",
            "label rimward.dev/app is set by Rimward alone",
        ),
        (
            "{name: web}",
            "spec: {template: {spec: {containers: [{name: main, image: c}]}}}",
            "/spec/template/spec/containers of a Deployment.apps is a list that Kubernetes merges by name",
        ),
        (
            "{kind: Secret}",
            "type: kubernetes.io/service-account-token",
            "service-account token Secrets are denied",
        ),
    ] {
        let (_, step) = world(&patch(target, text));
        let blocked = step.blocked("payments/web").unwrap_or_else(|| panic!("{text} was let through"));
        assert!(blocked.contains(wanted), "{text}: {blocked}");
        assert!(step.unchanged());
        let said = format!("{:?}", step.output.decided);
        assert!(!said.contains("hunter2") && !said.contains("guess"), "{said}");
    }
}

#[test]
fn patches_do_not_blow_objects_up() {
    // Each copy doubles what is there.
    let copies = "- {op: copy, from: /spec, path: /spec/more}\n".repeat(100);
    let (_, step) = world(&patch("{name: web}", &copies));
    assert!(step.blocked("payments/web").unwrap().contains("it makes the object deeper than 64"));
    let wide = (0..40).map(|n| format!("- {{op: copy, from: /spec, path: /metadata/a{n}}}\n- {{op: move, from: /metadata/a{n}, path: /spec/a{n}}}\n"));
    let (_, step) = world(&patch("{name: web}", &wide.collect::<String>()));
    let blocked = step.blocked("payments/web").unwrap();
    assert!(blocked.contains("longer than 1048576 bytes") || blocked.contains("deeper than 64"), "{blocked}");
}

#[test]
fn a_patch_may_stand_in_a_file_which_is_no_manifest_then() {
    let lines =
        "  patches:\n  - {path: more/p.yaml, target: {name: web}}\n  - {path: ../common/merge.yaml}\n";
    let merge = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: worker}\nspec: {replicas: 7}\n";
    let (mut world, step) = world_with(lines, &[("web/more/p.yaml", REPLICAS), ("common/merge.yaml", merge)]);
    assert!(step.codes().is_empty(), "{:?}", step.all_notes());
    let replicas = |world: &World| {
        ["web", "worker"].map(|name| object(world, "Deployment", name)["spec"]["replicas"].clone())
    };
    assert_eq!(replicas(&world), [json!(5), json!(7)]);
    // Another content of the file is another form of the App.
    world.file("web/more/p.yaml", &REPLICAS.replace('5', "6"));
    world.step();
    assert_eq!(replicas(&world), [json!(6), json!(7)]);
    world.remove("web/more/p.yaml");
    let step = world.step();
    assert!(step.unchanged());
    let wanted = "RW3005 web/rimward.yaml:8:12 there is no file \"web/more/p.yaml\" in the source";
    assert_eq!(step.blocked("payments/web").as_deref(), Some(wanted));
}

#[test]
fn a_merge_patch_for_an_object_that_is_not_there_is_an_error() {
    let text = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: wbe}, spec: {replicas: 2}}";
    let (_, step) = world(&patch("", text));
    let wanted = "RW3043 web/rimward.yaml:8:5 no object of the App is what this patch is for";
    assert_eq!(step.blocked("payments/web").as_deref(), Some(wanted));
}

#[test]
fn each_mistake_in_patches_is_named_where_it_is() {
    let web = |line: &str| app_notes(&(app("web", "{}") + "  " + line + "\n"));
    let target = "target: {kind: Pod}";
    for (line, wanted) in [
        ("patches: {}", "RW3003 web/rimward.yaml:7:12 `patches` must be a list, not a mapping".to_owned()),
        (
            "patches: [{TARGET}]",
            "RW3005 web/rimward.yaml:7:13 a patch needs `patch` or `path`, and not both".into(),
        ),
        (
            "patches: [{TARGET, patch: \"[]\", path: a.yaml}]",
            "RW3005 web/rimward.yaml:7:13 a patch needs `patch` or `path`, and not both".into(),
        ),
        ("patches: [{patch: \"[]\"}]", "RW3005 web/rimward.yaml:7:13 a patch needs a `target`".into()),
        ("patches: [{patch: \"spec: {}\"}]", "RW3005 web/rimward.yaml:7:13 a patch needs a `target`".into()),
        (
            "patches: [{target: {}, patch: \"[]\"}]",
            "RW3005 web/rimward.yaml:7:22 the target of a patch names nothing".into(),
        ),
        (
            "patches: [{target: {name: \"web.*\"}, patch: \"[]\"}]",
            "RW3006 web/rimward.yaml:7:29 `name: web.*` is a pattern, which is not built yet".into(),
        ),
        (
            "patches: [{target: {annotationSelector: a}, patch: \"[]\"}]",
            "RW3006 web/rimward.yaml:7:23 the target of a patch: `annotationSelector` is not built yet"
                .into(),
        ),
        (
            "patches: [{target: {labelSelector: \"a in (b)\"}, patch: \"[]\"}]",
            "RW3006 web/rimward.yaml:7:38 `in` and `notin` of a labelSelector are not built yet".into(),
        ),
        (
            "patches: [{TARGET, patch: \"[]\", options: {allowNameChange: true}}]",
            "RW3006 web/rimward.yaml:7:48 a patch: `options` is not built yet".into(),
        ),
        (
            "patches: [{TARGET, patch: \"{a: [\"}]",
            "RW3001 web/rimward.yaml:7:42 in line 1 of the patch: ".into(),
        ),
        (
            "patches: [{TARGET, patch: \"hello\"}]",
            "RW3042 web/rimward.yaml:7:42 a patch must be a list of operations or a mapping, not a string"
                .into(),
        ),
        (
            "patches: [{TARGET, patch: \"[{op: ad, path: /a, value: 1}]\"}]",
            "RW3042 web/rimward.yaml:7:42 in line 1 of the patch: not an operation of a JSON patch".into(),
        ),
        (
            "patches: [{TARGET, patch: \"[{op: add, path: /a}]\"}]",
            "RW3042 web/rimward.yaml:7:42 in line 1 of the patch: not an operation of a JSON patch".into(),
        ),
        (
            "patches: [{TARGET, patch: \"[{op: add, path: a, value: 1}]\"}]",
            "RW3042 web/rimward.yaml:7:42 in line 1 of the patch: not an operation of a JSON patch".into(),
        ),
        (
            "patches: [{TARGET, patch: \"[{op: remove, path: /a, vlue: 1}]\"}]",
            "RW3004 web/rimward.yaml:7:42 in line 1 of the patch: unknown field `vlue` of an operation"
                .into(),
        ),
        (
            "patches: [{TARGET, patch: \"{spec: {$patch: delete}}\"}]",
            "RW3006 web/rimward.yaml:7:42 `$patch` is of strategic merge patches, which are not built yet"
                .into(),
        ),
        (
            "patches: [{TARGET, path: ../../x.yaml}]",
            "RW3003 web/rimward.yaml:7:41 `path` of a patch leads out of the source".into(),
        ),
        ("overrides: [{patches: []}]", "RW3005 web/rimward.yaml:7:15 an override needs `clusters`".into()),
        (
            "overrides: [{clusters: {}, values: {}}]",
            "RW3006 web/rimward.yaml:7:30 an override: `values` is not built yet".into(),
        ),
        (
            "overrides: [{clusters: {names: [eu-2]}}]",
            "RW3010 web/rimward.yaml:7:35 no cluster is called `eu-2`".into(),
        ),
    ] {
        let notes = web(&line.replace("TARGET", target));
        assert!(notes[0].starts_with(&wanted), "{line}: {notes:?}");
    }
}

#[test]
fn what_a_definition_defines_stands_in_its_file() {
    let mut world = World::started();
    let tenant = super::world::FLEET.replace(
        "namespaces: [payments, payments-*]",
        "namespaces: [payments]\n  objects: {allow: [\"*\"]}\n  serviceAccount: a/b",
    );
    world.fleet("fleet.yaml", &tenant);
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n\
               spec: {group: example.com, scope: SCOPE, names: {kind: Thing, plural: things}}\n";
    world.file("web/cm.yaml", &crd.replace("SCOPE", "Cluster"));
    let text = "- {op: replace, path: /spec/scope, value: Namespaced}";
    world.file("web/rimward.yaml", &(app("web", "{}") + &patch("{kind: CustomResourceDefinition}", text)));
    assert!(world.step().blocked("payments/web").unwrap().contains("or what it defines"));
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {scope: Namespaced}\n"));
    world.file("web/cm.yaml", &crd.replace("SCOPE", "\"${scope}\""));
    let step = world.step();
    assert!(step.blocked("payments/web").unwrap().contains("or what it defines"), "{:?}", step.all_notes());
    assert!(step.output.decided.apps[&id("payments/web")].bundle.is_none());
    world.file("web/cm.yaml", &config_map("web", "1"));
}
