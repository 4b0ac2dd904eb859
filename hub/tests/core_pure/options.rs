//! How Apps are run: what App, fleet and tenant say, and what comes of it in the
//! plan.

use serde_json::json;

use super::files::{app_notes, fleet_notes};
use super::world::{FLEET, Step, World, app, id};

fn fleet_document(spec: &str) -> String {
    format!("---\napiVersion: rimward.dev/v1alpha1\nkind: Fleet\nmetadata: {{name: acme}}\nspec: {spec}\n")
}

/// The tenant's limits and the fleet's spec, around an App web with these options.
fn step(limits: &str, fleet: &str, options: &str) -> (World, Step) {
    let mut world = World::started();
    let limits = if limits.is_empty() { String::new() } else { format!("  limits: {limits}\n") };
    world.fleet("fleet.yaml", &format!("{FLEET}{limits}{}", fleet_document(fleet)));
    let line = |option: &str| format!("  {option}\n");
    let options: String = options.lines().map(line).collect();
    world.file("web/rimward.yaml", &(app("web", "{}") + &options));
    let step = world.step();
    (world, step)
}

/// How App web is run on us-1.
fn run(limits: &str, fleet: &str, options: &str) -> serde_json::Value {
    let (mut world, step) = step(limits, fleet, options);
    assert_eq!(step.blocked("payments/web"), None, "{options}");
    let entry = serde_json::to_value(step.entry("us-1", "payments/web")).unwrap();
    assert!(world.step().unchanged());
    json!({"drift": entry["drift"], "takeover": entry["takeover"], "health": entry["health"], "deletion": entry["deletion"]})
}

const ALL: &str = "{drift: [revert, report, none], takeover: [refuse, if-identical, always]}";
const PROTECTED: [&str; 3] = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"];

#[test]
fn without_a_word_the_defaults_of_the_manual_hold() {
    let wanted = json!({
        "drift": {"mode": "revert"}, "takeover": "refuse", "health": {"timeoutSeconds": 300},
        "deletion": {"maxPerPlan": 20, "protect": PROTECTED},
    });
    assert_eq!(run("", "{}", ""), wanted);
}

#[test]
fn an_app_says_how_it_is_run() {
    let options = "drift: {mode: none, ignore: [{kinds: [Deployment.apps, Deployment.apps], paths: [/spec/replicas, /spec/paused]}, {paths: [/data/x]}]}\n\
                   takeover: always\n\
                   health: {timeout: 90s, cel: [{kinds: [Thing.example.com], ready: \"object.status.ok\", failed: \"!has(object.status)\"}]}\n\
                   deletion: {maxPerPlan: 3, protect: [Secret, Job.batch]}";
    let wanted = json!({
        "drift": {"mode": "none", "ignore": [
            {"kinds": ["Deployment.apps"], "paths": ["/spec/paused", "/spec/replicas"]},
            {"kinds": [], "paths": ["/data/x"]},
        ]},
        "takeover": "always",
        "health": {"timeoutSeconds": 90, "cel": [
            {"kinds": ["Thing.example.com"], "ready": "object.status.ok", "failed": "!has(object.status)"},
        ]},
        "deletion": {"maxPerPlan": 3, "protect": ["CustomResourceDefinition", "Job.batch", "Namespace", "PersistentVolumeClaim", "Secret"]},
    });
    assert_eq!(run(ALL, "{}", options), wanted);
}

#[test]
fn the_nearest_wins_field_by_field_and_lists_replace() {
    let fleet = "{defaults: {drift: {mode: report, ignore: [{paths: [/spec/replicas]}]}, takeover: if-identical, \
                 health: {timeout: 10m, cel: [{kinds: [\"*\"], ready: \"true\"}]}}}";
    let defaults = run(ALL, fleet, "");
    assert_eq!(
        defaults["drift"],
        json!({"mode": "report", "ignore": [{"kinds": [], "paths": ["/spec/replicas"]}]})
    );
    assert_eq!(defaults["takeover"], "if-identical");
    assert_eq!(defaults["health"]["timeoutSeconds"], 600);
    assert_eq!(defaults["health"]["cel"][0], json!({"kinds": ["*"], "ready": "true"}));
    let app = run(
        ALL,
        fleet,
        "drift: {ignore: [{paths: [/spec/paused]}]}\nhealth: {timeout: 1m}\ntakeover: refuse",
    );
    assert_eq!(app["drift"], json!({"mode": "report", "ignore": [{"kinds": [], "paths": ["/spec/paused"]}]}));
    assert_eq!(app["takeover"], "refuse");
    assert_eq!(app["health"], json!({"timeoutSeconds": 60, "cel": [{"kinds": ["*"], "ready": "true"}]}));
    // An empty list is a word too.
    let none = run(ALL, fleet, "drift: {mode: revert, ignore: []}\nhealth: {cel: []}");
    assert_eq!(none["drift"], json!({"mode": "revert"}));
    assert_eq!(none["health"], json!({"timeoutSeconds": 600}));
}

#[test]
fn an_app_beyond_its_tenants_limits_is_not_updated() {
    let written = "{drift: [revert], takeover: [refuse, if-identical]}";
    for (limits, option, wanted) in [
        (
            written,
            "drift: {mode: report}",
            "RW3013 web/rimward.yaml:7:17 drift `report` is outside limits.drift [revert] at fleet.yaml:18:19 of the fleet repo",
        ),
        (
            written,
            "takeover: always",
            "RW3013 web/rimward.yaml:7:13 takeover `always` is outside limits.takeover [refuse, if-identical] at fleet.yaml:18:39 of the fleet repo",
        ),
        (
            "",
            "drift: {mode: none}",
            "RW3013 web/rimward.yaml:7:17 drift `none` is outside limits.drift, which is [revert, report] unless the tenant at fleet.yaml:10:1 says otherwise",
        ),
        (
            "",
            "takeover: if-identical",
            "RW3013 web/rimward.yaml:7:13 takeover `if-identical` is outside limits.takeover, which is [refuse] unless the tenant at fleet.yaml:10:1 says otherwise",
        ),
    ] {
        let (_, step) = step(limits, "{}", option);
        assert_eq!(step.blocked("payments/web").as_deref(), Some(wanted));
        assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    }
}

#[test]
fn a_limit_that_moves_reaches_apps_that_did_not() {
    let (mut world, step) = step(ALL, "{}", "takeover: always");
    assert_eq!(step.blocked("payments/web"), None);
    world.fleet("fleet.yaml", FLEET);
    assert!(world.step().blocked("payments/web").unwrap().contains("takeover `always` is outside"));
}

#[test]
fn a_default_beyond_the_limits_is_replaced_and_said_once() {
    for (limits, default, drift, takeover, warned) in [
        ("", "{drift: {mode: none}}", "revert", "refuse", 1),
        ("{drift: [report, revert]}", "{drift: {mode: none}}", "report", "refuse", 1),
        ("{drift: [report]}", "{}", "report", "refuse", 1),
        ("", "{takeover: always}", "revert", "refuse", 1),
        ("{takeover: [always, if-identical]}", "{}", "revert", "if-identical", 1),
        ("{drift: [none], takeover: [always]}", "{}", "none", "always", 2),
        (ALL, "{drift: {mode: none}, takeover: always}", "none", "always", 0),
    ] {
        let (_, step) = step(limits, &format!("{{defaults: {default}}}"), "");
        let entry = serde_json::to_value(step.entry("us-1", "payments/web")).unwrap();
        assert_eq!(
            (&entry["drift"]["mode"], &entry["takeover"]),
            (&json!(drift), &json!(takeover)),
            "{limits}"
        );
        let notes = step.all_notes();
        let said: Vec<_> = notes.iter().filter(|note| note.code == "RW3013").collect();
        // web and db say nothing; it is said of the tenant.
        assert_eq!(said.len(), warned, "{said:?}");
        assert!(step.output.decided.apps.values().all(|app| app.blocked.is_none()));
    }
    let (_, step) = step("{drift: [report]}", "{}", "");
    assert_eq!(
        step.all_notes()[0].to_string(),
        "warning[RW3013]: the fleet's default drift `revert` is outside limits.drift [report] of tenant payments: \
         its Apps that do not say get `report` --> fleet.yaml:18:19\n  \
         help: widen the limit, or write the value into the Apps"
    );
    // Where every App says what it wants, there is nothing to say.
    let mut world = World::started();
    world.fleet("fleet.yaml", &format!("{FLEET}  limits: {{drift: [report]}}\n"));
    for (path, name) in [("web/rimward.yaml", "web"), ("db/rimward.yaml", "db")] {
        world.file(path, &(app(name, "{}") + "  drift: {mode: report}\n"));
    }
    assert_eq!(world.step().all_notes(), []);
}

#[test]
fn each_mistake_in_an_apps_options_is_named_where_it_is() {
    let mut wrong = Vec::new();
    for (option, wanted) in [
        ("dependsOn: db", "RW3003 7:14 `dependsOn` must be a list, not a string"),
        ("dependsOn: [db]", "RW3003 7:15 an entry of `dependsOn` must be a mapping, not a string"),
        ("dependsOn: [{tenant: x}]", "RW3005 7:15 an entry of `dependsOn` needs `app`"),
        ("dependsOn: [{app: DB}]", "RW3003 7:21 app name \"DB\" is not"),
        ("dependsOn: [{app: web}]", "RW3003 7:15 an App cannot depend on itself"),
        ("dependsOn: [{app: web, tenant: payments}]", "RW3003 7:15 an App cannot depend on itself"),
        ("dependsOn: [{app: db, ready: yes}]", "RW3004 7:25 unknown field `ready`"),
        ("drift: report", "RW3003 7:10 drift must be a mapping, not a string"),
        ("drift: {mode: revrt}", "RW3003 7:17 `mode` cannot be `revrt`"),
        ("drift: {mod: revert}", "RW3004 7:11 unknown field `mod`, did you mean `mode`?"),
        ("drift: {ignore: [/spec]}", "RW3003 7:20 an entry of `ignore` must be a mapping"),
        ("drift: {ignore: [{kinds: [Deployment.apps]}]}", "RW3005 7:20 an entry of `ignore` needs `paths`"),
        ("drift: {ignore: [{paths: []}]}", "RW3003 7:28 `paths` must name at least one"),
        (
            "drift: {ignore: [{paths: [spec]}]}",
            "RW3014 7:29 \"spec\" is no JSON pointer: it must begin with `/`",
        ),
        (
            "drift: {ignore: [{paths: [/metadata/name]}]}",
            "RW3014 7:29 \"/metadata/name\" says which object it is",
        ),
        ("drift: {ignore: [{paths: [/kind]}]}", "RW3014 7:29 \"/kind\" says what the object is"),
        (
            "drift: {ignore: [{paths: [/spec, /metadata/labels/rimward.dev~1app]}]}",
            "RW3014 7:36 \"/metadata/labels/rimward.dev~1app\" is Rimward's own",
        ),
        (
            "drift: {ignore: [{kinds: [deployments], paths: [/spec]}]}",
            "RW3003 7:29 \"deployments\" is not a kind",
        ),
        (
            "drift: {ignore: [{kinds: [apps/Deployment], paths: [/spec]}]}",
            "RW3003 7:29 \"apps/Deployment\" is not a kind",
        ),
        ("takeover: yes", "RW3003 7:13 `takeover` must be a string, not a boolean"),
        ("takeover: ifIdentical", "RW3003 7:13 `takeover` cannot be `ifIdentical`"),
        ("health: {timeout: 5}", "RW3003 7:21 `timeout` must be a string, not a number"),
        ("health: {timeout: 0s}", "RW3003 7:21 `timeout` is not a duration"),
        ("health: {cel: [{kinds: [Job.batch]}]}", "RW3005 7:18 an entry of `cel` needs `ready`"),
        ("health: {cel: [{ready: \"true\"}]}", "RW3005 7:18 an entry of `cel` needs `kinds`"),
        ("health: {cel: [{kinds: [], ready: \"true\"}]}", "RW3003 7:26 `kinds` must name at least one"),
        (
            "health: {cel: [{kinds: [Job.batch], ready: \"a ==\"}]}",
            "RW3015 7:46 `ready` is no CEL expression: ",
        ),
        (
            "health: {cel: [{kinds: [Job.batch], ready: \"true\", failed: \"(\"}]}",
            "RW3015 7:62 `failed` is no CEL expression: ",
        ),
        ("health: {cel: [{kinds: [Job.batch], ready: yes}]}", "RW3003 7:46 `ready` must be a string"),
        ("deletion: {maxPerPlan: 10%}", "RW3003 7:26 `maxPerPlan` must be a whole number, not a string"),
        ("deletion: {maxPerHour: 1}", "RW3006 7:14 deletion: `maxPerHour` is not built yet"),
        ("deletion: {protect: [secret]}", "RW3003 7:24 \"secret\" is not a kind"),
        ("formerly: old", "RW3003 7:13 `formerly` must be a list, not a string"),
        ("formerly: [Old]", "RW3003 7:14 app name \"Old\" is not"),
        ("formerly: [web]", "RW3016 7:14 `web` is the App's name now"),
        ("rollout: careful", "RW3006 7:12 rollout `careful` is not built yet"),
    ] {
        let notes = app_notes(&(app("web", "{}") + &format!("  {option}\n")));
        let wanted = wanted.replacen(' ', " web/rimward.yaml:", 1);
        if !(notes.len() == 1 && notes[0].starts_with(&wanted)) {
            wrong.push(format!("{option}: wanted {wanted}, got {notes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn kinds_that_only_a_definition_can_bring_are_usual_here() {
    let codes = |kind: &str| {
        let cel = format!("health: {{cel: [{{kinds: [{kind}], ready: \"true\"}}]}}");
        step("", "{}", &cel).1.all_notes().into_iter().map(|note| note.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("Thing.example.com"), Vec::<String>::new());
    assert_eq!(codes("Deployment.app"), ["RW3026"]);
}

#[test]
fn each_mistake_in_defaults_and_limits_is_named_where_it_is() {
    let head = "apiVersion: rimward.dev/v1alpha1\n";
    let fleet = |spec: &str| format!("{head}kind: Fleet\nmetadata: {{name: a}}\nspec: {spec}\n");
    let tenant = |limits: &str| {
        format!(
            "{head}kind: Tenant\nmetadata: {{name: t}}\nspec: {{clusters: {{}}, namespaces: [t], sources: [], limits: {limits}}}\n"
        )
    };
    let mut wrong = Vec::new();
    for (text, wanted) in [
        (fleet("{defaults: {drift: {mode: never}}}"), "RW3003 f.yaml:4:33 `mode` cannot be `never`"),
        (
            fleet("{defaults: {drift: {ignore: [{paths: [a]}]}}}"),
            "RW3014 f.yaml:4:45 \"a\" is no JSON pointer",
        ),
        (fleet("{defaults: {takeover: some}}"), "RW3003 f.yaml:4:29 `takeover` cannot be `some`"),
        (
            fleet("{defaults: {health: {cel: [{kinds: [Job], ready: \"\"}]}}}"),
            "RW3015 f.yaml:4:56 `ready` is no CEL",
        ),
        (fleet("{defaults: {rollout: default}}"), "RW3006 f.yaml:4:28 rollout `default` is not built yet"),
        (fleet("{defaults: {dependsOn: []}}"), "RW3004 f.yaml:4:19 unknown field `dependsOn`"),
        (tenant("{drift: []}"), "RW3003 f.yaml:4:68 `drift` must name at least one"),
        (tenant("{drift: revert}"), "RW3003 f.yaml:4:68 `drift` must be a list"),
        (tenant("{drift: [revert, nothing]}"), "RW3003 f.yaml:4:77 `drift` cannot be `nothing`"),
        (tenant("{takeover: [no]}"), "RW3003 f.yaml:4:72 `takeover` must be a string, not a boolean"),
        (tenant("{rollouts: [careful]}"), "RW3006 f.yaml:4:61 limits: `rollouts` is not built yet"),
        (tenant("{deletion: {maxPerHour: 3}}"), "RW3006 f.yaml:4:72 deletion: `maxPerHour` is not built yet"),
        (tenant("{health: {}}"), "RW3004 f.yaml:4:61 unknown field `health`"),
    ] {
        let (notes, _) = fleet_notes(&text);
        if !(notes.len() == 1 && notes[0].starts_with(wanted)) {
            wrong.push(format!("wanted {wanted}, got {notes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_one_app_adds_to_a_plan_is_bounded() {
    let paths =
        |n: usize| (0..n).map(|n| format!("/spec/a/rather/long/path/{n:08}")).collect::<Vec<_>>().join(", ");
    let option = |n: usize| app("web", "{}") + &format!("  drift: {{ignore: [{{paths: [{}]}}]}}\n", paths(n));
    let notes = app_notes(&option(300));
    assert!(notes[0].starts_with("RW3023 web/rimward.yaml:5:3 the App's options take 10"), "{notes:?}");
    let mut world = World::started();
    world.file("web/rimward.yaml", &option(200));
    assert_eq!(world.step().all_notes(), []);
}

#[test]
fn an_apps_own_budget_narrows_and_outlives_its_file() {
    let deletion = |max: u64, protect: &[&str]| {
        let mut all: Vec<&str> = PROTECTED.iter().chain(protect).copied().collect();
        all.sort_unstable();
        json!({"maxPerPlan": max, "protect": all})
    };
    let limits = "{deletion: {maxPerPlan: 8, protect: [Secret]}}";
    for (fleet, app, wanted) in [
        ("{}", "deletion: {maxPerPlan: 5}", deletion(5, &["Secret"])),
        ("{}", "deletion: {maxPerPlan: 50, protect: [Job.batch]}", deletion(8, &["Secret", "Job.batch"])),
        ("{deletion: {maxPerPlan: 2}}", "deletion: {maxPerPlan: 5}", deletion(2, &["Secret"])),
        ("{}", "deletion: {maxPerPlan: 0}", deletion(0, &["Secret"])),
    ] {
        assert_eq!(run(limits, fleet, app)["deletion"], wanted, "{app}");
    }
    let (mut world, _) = step(limits, "{}", "deletion: {maxPerPlan: 1, protect: [Job.batch]}");
    world.remove("web/rimward.yaml");
    let gone = world.step();
    let tombstone = &gone.output.plans[&super::world::cluster("us-1")].removed[0];
    assert_eq!(
        (tombstone.id(), serde_json::to_value(&tombstone.deletion).unwrap()),
        (id("payments/web"), deletion(1, &["Secret", "Job.batch"]))
    );
    // Also where an App leaves some of its clusters and widens its own budget at once.
    let (mut world, _) = step(limits, "{}", "deletion: {maxPerPlan: 1}");
    world.file("web/rimward.yaml", &app("web", "{names: [eu-1]}"));
    let left = world.step();
    let tombstone = &left.output.plans[&super::world::cluster("us-1")].removed[0];
    assert_eq!(serde_json::to_value(&tombstone.deletion).unwrap(), deletion(1, &["Secret"]));
}

/// The YAML of the reference page that is of this kind of repository.
fn manual(part: &str) -> String {
    let page = include_str!("../../../docs/reference/files.md");
    let (_, part) = page.split_once(&format!("\n## {part}\n")).unwrap();
    let (_, yaml) = part.split_once("```yaml\n").unwrap();
    yaml.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_reference_page_is_read_as_it_stands() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &manual("Fleet repo"));
    for name in ["queue", "db"] {
        world.file(&format!("{name}/rimward.yaml"), &app(name, "{}"));
        world.file(&format!("{name}/cm.yaml"), &super::world::config_map(name, "1"));
    }
    world.file("web/rimward.yaml", &manual("Tenant repo"));
    world.file("patches/config.yaml", "[{op: replace, path: /data/value, value: \"${domain}\"}]");
    world.file(
        "web/d.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {a: b}}\nspec:\n  replicas: ${replicas}\n  \
         template: {spec: {containers: [{name: a, image: nginx}]}}\n",
    );
    let step = world.step();
    let notes: Vec<_> = step.all_notes().into_iter().filter(|note| note.code != "RW4011").collect();
    assert_eq!(notes, [], "us-1 is not in the page, and frozen");
    let entry = serde_json::to_value(step.entry("eu-1", "payments/web")).unwrap();
    assert_eq!((&entry["takeover"], &entry["drift"]["mode"]), (&json!("if-identical"), &json!("report")));
    assert_eq!((&entry["formerly"], &entry["deletion"]["maxPerPlan"]), (&json!(["site"]), &json!(5)));
    assert_eq!(entry["health"]["timeoutSeconds"], 120);
    assert_eq!(entry["dependsOn"].as_array().unwrap().len(), 2);
    let [config, deployment] = world.objects("eu-1", "payments/web").try_into().unwrap();
    assert_eq!(
        (&config["data"]["value"], &deployment["spec"]["replicas"]),
        (&json!("eu.acme.example"), &json!(5))
    );
    assert_eq!(deployment["metadata"]["labels"]["team"], "payments");
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "mirror.us.example/nginx:1.29");
}
