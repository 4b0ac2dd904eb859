//! Variables: who gives them their values, where they are put in, and what stays
//! as it is.

use serde_json::{Value, json};

use super::files::{app_notes, fleet_notes};
use super::world::{FLEET, Step, World, app, cluster};

/// [`FLEET`], with these variables of eu-1.
fn fleet(eu: &str) -> String {
    FLEET.replace("region: eu}}", &format!("region: eu}}}}\nspec: {{variables: {eu}}}"))
}

/// A world whose App web has these lines and this manifest, planned.
fn world(eu: &str, lines: &str, manifest: &str) -> (World, Step) {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet(eu));
    world.file("web/rimward.yaml", &(app("web", "{}") + lines));
    world.file("web/cm.yaml", manifest);
    let step = world.step();
    (world, step)
}

/// `data.value` of the ConfigMap of App web.
fn value(world: &World, on: &str) -> Value {
    world.objects(on, "payments/web")[0]["data"]["value"].clone()
}

fn config_map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata:\n  value: {value:?}\n")
}

/// What App web says of its `variables` and overrides, and what each cluster waits for.
fn waits(step: &Step) -> Vec<String> {
    let waits = &step.output.decided.apps[&super::world::id("payments/web")].waits;
    let names = |names: &[rimward_proto::ClusterName]| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let line = |wait: &rimward_hub::core::world::AppWait| {
        format!(
            "{}: {} {} {} {}",
            names(&wait.clusters),
            wait.reason,
            wait.note.code,
            wait.note.at,
            wait.note.message
        )
    };
    waits.iter().map(line).collect()
}

#[test]
fn the_nearest_value_wins() {
    let lines = "  variables: {a: app, b: app, c: app}\n  overrides:\n  \
                 - {clusters: {matchLabels: {region: eu}}, variables: {c: first}}\n  \
                 - {clusters: {names: [eu-1]}, variables: {c: second}}\n  \
                 - {clusters: {names: [us-1]}, variables: {b: override}}\n";
    let (mut world, step) =
        world("{b: cluster, c: cluster, unknown: 1}", lines, &config_map("${a} ${b} ${c}"));
    assert_eq!(step.blocked("payments/web"), None);
    assert!(step.codes().is_empty(), "{:?}", step.all_notes());
    assert_eq!(value(&world, "eu-1"), "app cluster second");
    assert_eq!(value(&world, "us-1"), "app override app");
    assert!(world.step().unchanged());
}

#[test]
fn whole_strings_keep_the_type_and_parts_become_text() {
    let manifest = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {replicas: \"${num}\"}, annotations: {flag: \"${flag}\"}}
spec:
  replicas: ${num}
  paused: ${flag}
  selector: {matchLabels: {app: \"${num}\"}}
  template:
    metadata: {labels: {app: \"${num}\"}, annotations: {share: \"${whole}\"}}
    spec:
      nodeSelector: {pool: \"${num}\"}
      containers:
      - name: main
        image: app:${num}
        args: [\"${text}\", \"--n=${num}\", \"--on=${flag}\"]
        env: [{name: NUM, value: \"${num}\"}, {name: FLAG, value: \"${flag}\"}]
        ports: [{containerPort: \"${num}\"}]
";
    let lines = "  variables: {num: 3, flag: true, text: \"3\", whole: -7}\n";
    let (world, step) = world("{}", lines, manifest);
    assert!(step.codes().is_empty(), "{:?}", step.all_notes());
    let object = &world.objects("eu-1", "payments/web")[0];
    let (spec, pod) = (&object["spec"], &object["spec"]["template"]["spec"]);
    assert_eq!((&spec["replicas"], &spec["paused"]), (&json!(3), &json!(true)));
    // Where Kubernetes has nothing but strings, they stay strings.
    assert_eq!(object["metadata"]["labels"], json!({"replicas": "3"}));
    assert_eq!(object["metadata"]["annotations"], json!({"flag": "true"}));
    assert_eq!(spec["selector"]["matchLabels"]["app"], "3");
    assert_eq!(spec["template"]["metadata"]["annotations"]["share"], "-7");
    assert_eq!(pod["nodeSelector"]["pool"], "3");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "app:3");
    assert_eq!(container["args"], json!(["3", "--n=3", "--on=true"]));
    assert_eq!(container["env"], json!([{"name": "NUM", "value": "3"}, {"name": "FLAG", "value": "true"}]));
    assert_eq!(container["ports"][0]["containerPort"], 3);
}

#[test]
fn scripts_survive() {
    let script = "#!/bin/sh\nset -eu\nx=\"${HOME}/${USER:-nobody}\" y=$$ z=$(id) w=$${HOME} v=${x%%.*} ${#x}\n\
                  echo \"$x ${y}\" '${z}' | sed 's/${w}/&/'\n";
    let manifest = |text: &str| {
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata:\n  value: |\n{lines}")
    };
    // Without `variables` not even an escape is one.
    for lines in ["", "  variables: {domain: a.example}\n"] {
        let text = format!("{script}echo $${{cluster}} ${{cluster}}\n");
        let (world, _) = world("{}", lines, &manifest(&text));
        assert_eq!(value(&world, "eu-1"), text);
    }
    let (plain, step) = world("{}", "", &config_map("${domain} $${domain} ${cluster.name}"));
    assert_eq!(value(&plain, "eu-1"), "${domain} $${domain} ${cluster.name}");
    let said: Vec<_> =
        step.all_notes().iter().map(|note| format!("{} {} {}", note.code, note.at, note.message)).collect();
    let wanted =
        "RW3041 web/cm.yaml ${cluster.name} and the like are not replaced: payments/web has no `variables`";
    assert_eq!(said, [wanted]);
    // Of a script that has a declared name in it, only that changes, and a dollar before it keeps it.
    let text = format!("{script}curl ${{domain}} $${{domain}}\n");
    let (world, _) = world("{}", "  variables: {domain: a.example}\n", &manifest(&text));
    assert_eq!(value(&world, "eu-1"), format!("{script}curl a.example ${{domain}}\n"));
}

#[test]
fn values_are_put_in_as_they_are_and_keys_are_left_alone() {
    let manifest = "
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {\"${a}\": \"${a}\", b: \"$${a}\"}
";
    let (world, _) = world("{}", "  variables: {a: \"${b} $${a} ${cluster.name}\", b: never}\n", manifest);
    let data = &world.objects("eu-1", "payments/web")[0]["data"];
    assert_eq!(data, &json!({"${a}": "${b} $${a} ${cluster.name}", "b": "${a}"}));
}

#[test]
fn built_in_variables_are_the_cluster() {
    let mut world = World::started();
    let odd = "labels: {env: prod, region: eu, example.com/tier_x: A.b-c_9, empty: \"\"}}";
    world.fleet("fleet.yaml", &FLEET.replace("labels: {env: prod, region: eu}}", odd));
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {}\n"));
    let text = "${cluster.name} ${cluster.labels.region} ${cluster.labels.example.com/tier_x} [${cluster.labels.empty}]";
    world.file("web/cm.yaml", &config_map(text));
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None);
    assert_eq!(value(&world, "eu-1"), "eu-1 eu A.b-c_9 []");
    // A label that one cluster has and another has not.
    let wanted = "us-1: VariableUnset RW3040 web/rimward.yaml:1:1 payments/web reads \
                  `cluster.labels.empty`, and the cluster has no label empty";
    assert_eq!(waits(&step), [wanted]);
    assert_eq!(value(&world, "us-1"), "1", "it keeps what it has");
}

#[test]
fn a_cluster_without_a_value_waits_and_the_others_go_on() {
    let lines = "  variables: {domain: null}\n";
    let (mut world, step) = world("{domain: eu.example}", lines, &config_map("https://${domain}"));
    assert_eq!(value(&world, "eu-1"), "https://eu.example");
    assert_eq!(value(&world, "us-1"), "1");
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    let wanted = "us-1: VariableUnset RW3040 web/rimward.yaml:7:15 variable `domain` of payments/web has no value on the cluster";
    assert_eq!(waits(&step), [wanted]);
    assert_eq!(step.blocked("payments/web"), None);
    let notes = step.all_notes();
    assert_eq!(
        notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "warning[RW3040]: us-1: variable `domain` of payments/web has no value on the cluster --> web/rimward.yaml:7:15\n  \
          help: write `variables: {domain: …}` into the Cluster document, or give it a value in the App or in an override"
        ]
    );
    assert!(world.step().unchanged());
    // What it reads is what counts: a variable that nothing reads keeps nobody waiting.
    world.file("web/cm.yaml", &config_map("plain"));
    let step = world.step();
    assert_eq!((waits(&step), value(&world, "us-1")), (vec![], json!("plain")));
    assert_eq!(step.entry("eu-1", "payments/web"), step.entry("us-1", "payments/web"));
}

#[test]
fn null_takes_away_what_was_given_before() {
    for (eu, lines) in [
        ("{d: null}", "  variables: {d: app}\n"),
        (
            "{d: cluster}",
            "  variables: {d: app}\n  overrides: [{clusters: {names: [eu-1]}, variables: {d: null}}]\n",
        ),
    ] {
        let (world, step) = world(eu, lines, &config_map("${d}"));
        assert_eq!(waits(&step).len(), 1, "{eu} {lines}");
        assert_eq!((value(&world, "eu-1"), value(&world, "us-1")), (json!("1"), json!("app")));
    }
    let lines = "  variables: {d: app}\n  overrides:\n  - {clusters: {}, variables: {d: null}}\n  \
                 - {clusters: {names: [eu-1]}, variables: {d: last}}\n";
    let (world, step) = world("{}", lines, &config_map("${d}"));
    assert_eq!((value(&world, "eu-1"), waits(&step).len()), (json!("last"), 1));
}

#[test]
fn a_new_app_that_waits_everywhere_is_not_there_and_fails_nothing() {
    let mut world = World::started();
    world.file("new/rimward.yaml", &(app("new", "{}") + "  variables: {d: null}\n"));
    world.file("new/cm.yaml", &super::world::config_map("new", "${d}"));
    let step = world.step();
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    let new = &step.output.decided.apps[&super::world::id("payments/new")];
    assert_eq!((new.bundle, new.blocked.clone(), new.waits.len()), (None, None, 1));
    assert_eq!(new.waits[0].clusters, [cluster("eu-1"), cluster("us-1")]);
    // As soon as one has its value it goes there.
    world.fleet("fleet.yaml", &fleet("{d: here}"));
    let step = world.step();
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/new@3", "payments/web@1"]);
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
}

#[test]
fn a_value_that_cannot_stand_where_it_is_stops_its_own_cluster() {
    for (value, manifest, wanted) in [
        ("1.10", config_map("v${d}"), "variable `d` is a number with a fraction, within a longer text"),
        ("1.10", config_map("${d}"), "variable `d` is a number with a fraction, where only a string can be"),
        (
            "kubernetes.io/service-account-token",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: web, annotations: {a: b}}\ntype: ${d}\n"
                .to_owned(),
            "service-account token Secrets are denied to tenants by default",
        ),
    ] {
        let lines = "  variables: {d: good}\n";
        let (world, step) = world(&format!("{{d: {value}}}"), lines, &manifest);
        let found = waits(&step);
        assert!(
            found.len() == 1 && found[0].starts_with("eu-1: VariantRefused ") && found[0].contains(wanted),
            "{found:?}"
        );
        assert_eq!(
            (step.apps("eu-1").pop().unwrap(), step.apps("us-1")),
            ("payments/web@1".into(), vec!["payments/web@2".into()])
        );
        drop(world);
    }
}

#[test]
fn which_object_it_is_stands_in_the_file() {
    let object = |head: &str| format!("{head}\ndata: {{a: \"${{d}}\"}}\n");
    for (manifest, wanted) in [
        (
            object("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"web-${d}\"}"),
            "RW3041 web/cm.yaml:1:1 ConfigMap/payments/web-${d}: variable `d` in metadata.name",
        ),
        (
            object("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: \"${d}\"}"),
            "RW3020 web/cm.yaml:3:34 metadata.namespace is not a namespace's name",
        ),
        (
            object("apiVersion: v1\nkind: \"${d}\"\nmetadata: {name: web}"),
            "RW3020 web/cm.yaml:1:1 apiVersion or kind is malformed",
        ),
        (
            object("apiVersion: \"${d}\"\nkind: ConfigMap\nmetadata: {name: web}"),
            "RW3020 web/cm.yaml:1:1 apiVersion or kind is malformed",
        ),
    ] {
        let (_, step) = world("{}", "  variables: {d: payments}\n", &manifest);
        assert_eq!(step.blocked("payments/web").as_deref(), Some(wanted));
        assert!(step.unchanged());
    }
}

#[test]
fn secrets_get_their_values_before_they_are_encoded() {
    let manifest = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {p: \"x${num}\", num: \"${num}\"}\ndata: {q: YQ==}\n";
    let (world, _) = world("{}", "  variables: {num: 5}\n", manifest);
    assert_eq!(
        world.objects("eu-1", "payments/web")[0]["data"],
        json!({"p": "eDU=", "num": "NQ==", "q": "YQ=="})
    );
}

#[test]
fn values_that_blow_an_object_up_are_refused() {
    let big = "x".repeat(16 << 10);
    let text = "${d}".repeat(100);
    let (_, step) = world(&format!("{{d: {big}}}"), "  variables: {d: a}\n", &config_map(&text));
    let found = waits(&step);
    assert!(found[0].contains("with its variables it has more than 1048576 bytes"), "{found:?}");
    assert_eq!(step.apps("us-1"), ["payments/web@2"]);
}

#[test]
fn each_mistake_in_variables_is_named_where_it_is() {
    let web = |line: &str| app_notes(&(app("web", "{}") + "  " + line + "\n"));
    for (line, wanted) in [
        ("variables: [a]", "RW3003 web/rimward.yaml:7:14 `variables` must be a mapping, not a list"),
        (
            "variables: {a: [1]}",
            "RW3003 web/rimward.yaml:7:18 variable `a` is a list: a variable stands for one scalar",
        ),
        (
            "variables: {a: {b: 1}}",
            "RW3003 web/rimward.yaml:7:18 variable `a` is a mapping: a variable stands for one scalar",
        ),
        (
            "variables: {cluster.name: x}",
            "RW3003 web/rimward.yaml:7:15 `cluster.name` is built in or nothing: names with `cluster.` are not to be set",
        ),
        ("variables: {a b: x}", "RW3003 web/rimward.yaml:7:15 \"a b\" is no variable's name"),
        ("variables: {\"true\": x}", "RW3003 web/rimward.yaml:7:15 \"true\" is no variable's name"),
        ("variables: {y: x}", "RW3003 web/rimward.yaml:7:15 \"true\" is no variable's name"),
        ("variables: {1a: x}", "RW3003 web/rimward.yaml:7:15 \"1a\" is no variable's name"),
        (
            "overrides: [{clusters: {}, variables: {a: 1}}]",
            "RW3003 web/rimward.yaml:7:42 `a` is not declared in the App's `variables`",
        ),
    ] {
        assert_eq!(web(line), [wanted], "{line}");
    }
    let many: String = (0..201).map(|n| format!("v{n}: 1, ")).collect();
    assert_eq!(
        web(&format!("variables: {{{many}}}")),
        ["RW3023 web/rimward.yaml:7:14 201 variables, there may be 200"]
    );
    let long = web(&format!("variables: {{a: {}}}", "x".repeat((16 << 10) + 1)));
    assert_eq!(long, ["RW3023 web/rimward.yaml:7:18 variable `a` has 16385 bytes, it may have 16384"]);
    let (notes, _) = fleet_notes(&fleet("{a: 1, b: null, \"c.d\": 2}"));
    assert_eq!(notes, ["RW3003 f.yaml:5:35 \"c.d\" is no variable's name"]);
}

#[test]
fn many_clusters_with_values_of_their_own_are_one_render() {
    let mut world = World::started();
    let mut text = FLEET.to_owned();
    for n in 0..300 {
        text += &format!(
            "---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: c{n}}}\nspec: {{variables: {{d: v{n}}}}}\n"
        );
        world.enroll(&format!("c{n}"));
    }
    world.fleet("fleet.yaml", &text);
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {d: none}\n"));
    world.file("web/cm.yaml", &config_map("${d}"));
    world.file("web/zzz.yaml", &super::world::config_map("zzz", "1"));
    let before = world.cache.counts();
    let step = world.step();
    let counts = world.cache.counts();
    assert_eq!((counts.apps - before.apps, counts.forms - before.forms), (2, 301));
    for n in [0, 7, 299] {
        assert_eq!(value(&world, &format!("c{n}")), format!("v{n}"));
    }
    assert_eq!((value(&world, "eu-1"), value(&world, "us-1")), (json!("none"), json!("none")));
    // What is the same is held and sent once.
    let digests: std::collections::BTreeSet<_> =
        step.output.plans.values().map(|plan| plan.bundles.last().unwrap().digest).collect();
    assert_eq!(digests.len(), 301);
    assert_eq!(step.output.content.len(), 301 * 2 + 1);
    // One cluster's value changes: one form is made, and one plan.
    world.fleet("fleet.yaml", &text.replace("d: v7}", "d: other}"));
    let before = world.cache.counts();
    let step = world.step();
    assert_eq!(world.cache.counts().forms - before.forms, 1);
    let changed = step.output.plans.iter().filter(|(name, plan)| step.before.get(*name) != Some(*plan));
    assert_eq!(changed.count(), 1);
    assert!(world.step().unchanged());
}
