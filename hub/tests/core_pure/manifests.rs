//! A corpus of manifests: what kubectl would read, byte by byte where it matters.

use serde_json::{Value, json};

use super::world::{World, id};

/// The objects of an App made of these files, or the note that stops it.
fn render(files: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let mut world = World::started();
    world.remove("web/cm.yaml");
    for (path, text) in files {
        world.file(&format!("web/{path}"), text);
    }
    let step = world.step();
    match step.output.decided.apps[&id("payments/web")].blocked.clone() {
        Some(note) => Err(format!("{} {} {}", note.code, note.at, note.message)),
        None => Ok(world.objects("us-1", "payments/web")),
    }
}

fn one(text: &str) -> Value {
    let objects = render(&[("a.yaml", text)]).unwrap();
    assert_eq!(objects.len(), 1);
    objects.into_iter().next().unwrap()
}

fn fails(text: &str, wanted: &str) {
    let error = render(&[("a.yaml", text)]).unwrap_err();
    assert!(error.starts_with(wanted), "wanted {wanted}\ngot {error}");
}

const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";

#[test]
fn yaml_1_1_as_kubectl_reads_it() {
    let text = format!(
        "{HEAD}data:\n  norway: no\n  mode: 0644\n  big: 9223372036854775807\n  huge: 18446744073709551615\n  \
         whole: 1000.0\n  day: 2001-12-14\n  bin: !!binary aGVsbG8=\n  text: !!str 1\n  block: |\n    a\n    b\n  fold: >-\n    a\n    b\n"
    );
    assert_eq!(
        one(&text)["data"],
        json!({"norway": false, "mode": 420, "big": 9223372036854775807_i64, "huge": 18446744073709551615_u64,
               "whole": 1000, "day": "2001-12-14", "bin": "hello", "text": "1", "block": "a\nb\n", "fold": "a b"})
    );
}

#[test]
fn anchors_and_merge_keys() {
    let text = format!(
        "{HEAD}a: &a {{x: 1, z: 2}}\nb: *a\nc: {{<<: *a, z: 3}}\nd: {{z: 3, <<: *a}}\ne: {{<<: [{{x: 8}}, *a]}}\n"
    );
    let object = one(&text);
    assert_eq!(object["b"], json!({"x": 1, "z": 2}));
    assert_eq!(object["c"], json!({"x": 1, "z": 3}));
    assert_eq!(object["d"], json!({"x": 1, "z": 2}), "go-yaml v2 merges in the order of the text");
    assert_eq!(object["e"], json!({"x": 8, "z": 2}));
}

#[test]
fn line_ends_marks_and_comments() {
    let text = format!(
        "\u{feff}# top\r\n{}data: {{a: b}}\r\n--- # next\r\n# nothing\r\n---\r\n...\r\n",
        HEAD.replace('\n', "\r\n")
    );
    assert_eq!(one(&text)["data"], json!({"a": "b"}));
}

#[test]
fn keys_that_are_not_strings() {
    assert_eq!(one(&format!("{HEAD}data: {{yes: a, 1: b}}"))["data"], json!({"true": "a", "1": "b"}));
    fails(&format!("{HEAD}data: {{~: a}}"), "RW3001 web/a.yaml:4:8 a key must be");
    fails(&format!("{HEAD}data: {{? [a] : b}}"), "RW3001 web/a.yaml:4:10 a key must be");
}

#[test]
fn what_cannot_be_read_is_refused() {
    fails(&format!("{HEAD}data: {{a: 1, a: 2}}"), "RW3001 web/a.yaml:4:14 key `a` is there twice");
    fails(&format!("{HEAD}data: {{yes: 1, true: 2}}"), "RW3001 web/a.yaml:4:16 key `true` is there twice");
    fails(&format!("{HEAD}data: !custom x"), "RW3001 web/a.yaml:4:15 unknown tag");
    fails(&format!("{HEAD}data: .nan"), "RW3001 web/a.yaml:4:7 infinity and NaN");
    fails(&format!("{HEAD}data: *nowhere"), "RW3001 web/a.yaml:4:7");
    fails(&format!("{HEAD}data: \t- x\n  y"), "RW3001 web/a.yaml:");
    let deep = |n: usize| format!("{HEAD}data: {}{}", "[".repeat(n), "]".repeat(n));
    assert!(render(&[("a.yaml", &deep(60))]).is_ok());
    fails(&deep(64), "RW3001 web/a.yaml:4:70 nested deeper than 64");
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n";
    fails(&format!("{HEAD}{bomb}"), "RW3001 web/a.yaml:6:29 aliases expand to more than 10 times the file");
    fails("x: &x [*x]\n", "RW3001 web/a.yaml:1:8");
}

#[test]
fn json_is_read_as_json() {
    let json = "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"x\"}, \"data\": {\"a\": \"\\ud83d\\ude00\\/\", \"n\": 1e3}}";
    let object = render(&[("a.json", json)]).unwrap().remove(0);
    assert_eq!(object["data"], json!({"a": "\u{1f600}/", "n": 1000}));
    let two = format!("{json}\n{}", json.replace("\"x\"", "\"y\""));
    assert_eq!(render(&[("a.yaml", &two)]).unwrap().len(), 2);
    let twice = json.replace("\"n\"", "\"a\"");
    assert!(render(&[("a.json", &twice)]).unwrap_err().contains("key `a` is there twice"));
}

#[test]
fn lists_are_taken_apart() {
    let item = |name: &str| format!("{{metadata: {{name: {name}}}}}");
    let text = format!("apiVersion: v1\nkind: ConfigMapList\nitems: [{}, {}]\n", item("a"), item("b"));
    assert_eq!(render(&[("a.yaml", &text)]).unwrap().len(), 2);
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n- {kind: Secret}\n";
    fails(list, "RW3020 web/a.yaml:5:3 a document without apiVersion and kind");
}

#[test]
fn files_that_count_and_files_that_do_not() {
    let map = |name: &str| HEAD.replace("name: x", &format!("name: {name}"));
    let other = super::world::app("other", "{names: [eu-1]}");
    let objects = render(&[
        ("a.yaml", &map("a")),
        ("deep/er/b.yml", &map("b")),
        ("c.json", &map("c")),
        (".hidden/d.yaml", "nonsense: ["),
        ("deep/.e.yaml", "nonsense: ["),
        ("notes.txt", "nonsense: ["),
        ("nested/rimward.yaml", &other),
        ("nested/x/f.yaml", &map("f")),
    ]);
    let names: Vec<Value> =
        objects.unwrap().iter().map(|object| object["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for (file, tool) in
        [("kustomization.yaml", "Kustomize"), ("Chart.yaml", "Helm"), ("sub/kustomization.yml", "Kustomize")]
    {
        let error = render(&[("a.yaml", &map("a")), (file, "{}")]).unwrap_err();
        assert_eq!(error, format!("RW3006 web/{file} {tool} is not built yet"));
    }
}

#[test]
fn what_belongs_to_the_server_is_stripped_or_refused() {
    let object = one(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, creationTimestamp: null}\nstatus: {a: 1}\n",
    );
    assert_eq!(
        object,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "payments"}})
    );
    for field in [
        "managedFields",
        "resourceVersion",
        "uid",
        "ownerReferences",
        "generateName",
        "selfLink",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        fails(&HEAD.replace("name: x", &format!("name: x, {field}: x")), "RW3021 web/a.yaml:3:");
    }
    fails(&HEAD.replace("name: x", "name: x, labels: {rimward.dev/tenant: y}"), "RW3021 web/a.yaml:3:");
    fails(
        &HEAD.replace("name: x", "name: x, labels: {env: no}"),
        "RW3020 web/a.yaml:3:35 metadata.labels: env is a boolean",
    );
    fails(
        &HEAD.replace("name: x", "name: a/b"),
        "RW3020 web/a.yaml:3:18 ConfigMap without a proper metadata.name",
    );
    fails("apiVersion: v1\nkind: ConfigMap\n", "RW3020 web/a.yaml:1:1 ConfigMap without metadata");
    fails("- a\n", "RW3020 web/a.yaml:1:1 a manifest must be a mapping");
    fails(&format!("{HEAD}sops: {{}}"), "RW3006 web/a.yaml:1:1 files encrypted with sops");
}

#[test]
fn annotations_of_ours_say_true_or_false() {
    let with = |annotation: &str| HEAD.replace("name: x", &format!("name: x, annotations: {{{annotation}}}"));
    let theirs = one(&with("example.com/prune: a"));
    assert_eq!(theirs["metadata"]["annotations"], json!({"example.com/prune": "a"}));
    for (annotation, wanted) in [
        (
            "rimward.dev/prune: \"\"",
            "RW3021 web/a.yaml:3:54 annotation rimward.dev/prune must be \"true\" or \"false\"",
        ),
        (
            "rimward.dev/replace: \"yes\"",
            "RW3021 web/a.yaml:3:56 annotation rimward.dev/replace must be \"true\" or \"false\"",
        ),
        (
            "rimward.dev/prune: false",
            "RW3020 web/a.yaml:3:54 metadata.annotations: rimward.dev/prune is a boolean",
        ),
        (
            "rimward.dev/replace: yes",
            "RW3020 web/a.yaml:3:56 metadata.annotations: rimward.dev/replace is a boolean",
        ),
        ("rimward.dev/Prune: \"false\"", "RW3021 web/a.yaml:3:54 unknown annotation rimward.dev/Prune"),
        ("rimward.dev/app: web", "RW3021 web/a.yaml:3:52 unknown annotation rimward.dev/app"),
    ] {
        fails(&with(annotation), wanted);
    }
    for (annotation, value) in
        [("prune", "false"), ("prune", "true"), ("replace", "true"), ("replace", "false")]
    {
        let name = format!("rimward.dev/{annotation}");
        let object = one(&with(&format!("{name}: '{value}'")));
        assert_eq!(object["metadata"]["annotations"], json!({name: value}));
    }
    // As a label it is ours alone, whatever it says.
    fails(
        &HEAD.replace("name: x", "name: x, labels: {rimward.dev/prune: \"false\"}"),
        "RW3021 web/a.yaml:3:",
    );
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {rimward.dev/prune: canary}}\n";
    assert!(!render(&[("a.yaml", secret)]).unwrap_err().contains("canary"));
}

#[test]
fn plain_strings_of_a_secret_become_data() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==, b: eA==}\nstringData: {b: hello, c: \"\"}\n";
    let object = one(secret);
    assert_eq!(object["data"], json!({"a": "eA==", "b": "aGVsbG8=", "c": ""}));
    assert!(object.get("stringData").is_none());
    let bad = secret.replace("hello", "12345");
    fails(&bad, "RW3020 web/a.yaml:5:17 stringData: b is a number, not a string");
    assert!(!render(&[("a.yaml", &bad)]).unwrap_err().contains("12345"));
}

#[test]
fn lists_with_keys_have_each_key_once() {
    let pod = |container: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  template:\n    spec:\n      \
             containers:\n      - {{name: a, {container}}}\n"
        )
    };
    assert!(
        render(&[(
            "a.yaml",
            &pod(
                "env: [{name: x}, {name: y}], ports: [{containerPort: 1}, {containerPort: 1, protocol: UDP}]"
            )
        )])
        .is_ok()
    );
    fails(&pod("env: [{name: x}, {name: x}]"), "RW3024 web/a.yaml:8:36 Deployment d: an entry of `env`");
    fails(&pod("ports: [{containerPort: 1}, {containerPort: 1, protocol: TCP}]"), "RW3024");
    fails(&(pod("env: []") + "      - {name: a}\n"), "RW3024 web/a.yaml:9:9");
}

/// Every list of Kubernetes' own that has keys: one key once, twice, and beside another.
#[test]
fn every_list_with_keys() {
    let pod = |at: &str, list: &str| match at {
        "" => format!("spec: {{template: {{spec: {{{list}}}}}}}"),
        containers => format!("spec: {{template: {{spec: {{{containers}: [{{name: c, {list}}}]}}}}}}"),
    };
    let mut cases: Vec<(&str, &str, String, &str, &str, &str)> = Vec::new();
    for (list, one, other) in [
        ("containers", "{name: a}", "{name: b}"),
        ("initContainers", "{name: a}", "{name: b}"),
        ("ephemeralContainers", "{name: a}", "{name: b}"),
        ("volumes", "{name: a}", "{name: b}"),
        ("imagePullSecrets", "{name: a}", "{name: b}"),
        ("hostAliases", "{ip: 1.2.3.4}", "{ip: 1.2.3.5}"),
        (
            "topologySpreadConstraints",
            "{topologyKey: a, whenUnsatisfiable: DoNotSchedule}",
            "{topologyKey: a, whenUnsatisfiable: ScheduleAnyway}",
        ),
        ("schedulingGates", "{name: a}", "{name: b}"),
        ("resourceClaims", "{name: a}", "{name: b}"),
    ] {
        cases.push(("apps/v1", "StatefulSet", pod("", &format!("{list}: LIST")), list, one, other));
    }
    for containers in ["containers", "initContainers", "ephemeralContainers"] {
        for (list, one, other) in [
            ("env", "{name: a}", "{name: b}"),
            ("ports", "{containerPort: 1}", "{containerPort: 1, protocol: UDP}"),
            ("volumeMounts", "{mountPath: /a, name: v}", "{mountPath: /b, name: v}"),
            ("volumeDevices", "{devicePath: /a, name: v}", "{devicePath: /b, name: v}"),
        ] {
            cases.push(("batch/v1", "Job", pod(containers, &format!("{list}: LIST")), list, one, other));
        }
        let claims = pod(containers, "resources: {claims: LIST}");
        cases.push(("apps/v1", "DaemonSet", claims, "claims", "{name: a}", "{name: b}"));
    }
    let admission = "admissionregistration.k8s.io/v1";
    let flow = "flowcontrol.apiserver.k8s.io/v1";
    for (api, kind, body, list, one, other) in [
        ("v1", "Service", "spec: {ports: LIST}", "ports", "{port: 1}", "{port: 1, protocol: UDP}"),
        ("v1", "ServiceAccount", "secrets: LIST", "secrets", "{name: a}", "{name: b}"),
        ("v1", "ConfigMap", "", "finalizers", "a.b/c", "a.b/d"),
        (admission, "MutatingWebhookConfiguration", "webhooks: LIST", "webhooks", "{name: a}", "{name: b}"),
        (
            admission,
            "ValidatingWebhookConfiguration",
            "webhooks: [{name: w, matchConditions: LIST}]",
            "matchConditions",
            "{name: a}",
            "{name: b}",
        ),
        (
            admission,
            "ValidatingAdmissionPolicy",
            "spec: {variables: LIST}",
            "variables",
            "{name: a}",
            "{name: b}",
        ),
        (
            admission,
            "MutatingAdmissionPolicy",
            "spec: {matchConditions: LIST}",
            "matchConditions",
            "{name: a}",
            "{name: b}",
        ),
        (
            admission,
            "ValidatingAdmissionPolicyBinding",
            "spec: {validationActions: LIST}",
            "validationActions",
            "Deny",
            "Audit",
        ),
        (
            "batch/v1",
            "Job",
            "spec: {podFailurePolicy: {rules: [{onExitCodes: {values: LIST}}]}}",
            "values",
            "1",
            "2",
        ),
        ("discovery.k8s.io/v1", "EndpointSlice", "endpoints: [{addresses: LIST}]", "addresses", "a", "b"),
        (flow, "FlowSchema", "spec: {rules: [{resourceRules: [{verbs: LIST}]}]}", "verbs", "get", "list"),
        (
            flow,
            "FlowSchema",
            "spec: {rules: [{nonResourceRules: [{nonResourceURLs: LIST}]}]}",
            "nonResourceURLs",
            "/a",
            "/b",
        ),
        (
            "storage.k8s.io/v1",
            "CSIDriver",
            "spec: {volumeLifecycleModes: LIST}",
            "volumeLifecycleModes",
            "Persistent",
            "Ephemeral",
        ),
    ] {
        cases.push((api, kind, body.to_owned(), list, one, other));
    }
    for (api, kind, body, list, one, other) in cases {
        let text = |items: &str| {
            let finalizers =
                if list == "finalizers" { format!(", finalizers: {items}") } else { String::new() };
            let body = body.replace("LIST", items);
            format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x{finalizers}}}\n{body}\n")
        };
        // Some kinds are denied to tenants; what is wrong with a manifest is said before that.
        let right = render(&[("a.yaml", &text(&format!("[{one}, {other}]")))]);
        assert!(right.as_ref().err().is_none_or(|why| why.starts_with("RW400")), "{kind} {list}: {right:?}");
        let wrong = render(&[("a.yaml", &text(&format!("[{one}, {other}, {one}]")))]).unwrap_err();
        let wanted = format!(" {kind} x: an entry of `{list}` has the key of another");
        assert!(
            wrong.starts_with("RW3024 web/a.yaml:") && wrong.ends_with(&wanted),
            "{kind} {list}: {wrong}"
        );
    }
}

#[test]
fn one_object_twice_or_too_large() {
    fails(
        &format!("{HEAD}---\n{HEAD}"),
        "RW3022 web/a.yaml:5:1 ConfigMap/payments/x is also at web/a.yaml:1:1",
    );
    let large = format!("{HEAD}data: {{a: {}}}\n", "x".repeat(1 << 20));
    fails(&large, "RW3023 web/a.yaml:1:1 ConfigMap/x has");
}
