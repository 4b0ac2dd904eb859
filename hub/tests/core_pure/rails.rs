//! Guardrail documents: what they stop, where, what they say, and what they cost.

use rimward_hub::core::files::load_fleet;
use rimward_hub::core::model::SourceTree;
use rimward_hub::core::note::Severity;

use super::world::{FLEET, Step, World, app, config_map, id};

/// A guardrail on ConfigMaps.
pub fn guardrail(name: &str, scope: &str, cel: &str, action: &str) -> String {
    format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Guardrail\nmetadata: {{name: {name}}}\nspec:\n  {scope}\n  \
         kinds: [ConfigMap]\n  rules: [{{cel: {cel:?}, message: \"no {name}\"}}]\n  action: {action}\n"
    )
}

/// Guardrails that deny some things in some places; the first denies nothing.
pub const RAILS: usize = 6;

/// One of [`RAILS`], for histories in which they come and go.
pub fn some_rail(number: usize) -> String {
    let cel = [
        "true",
        "app.name != 'web' || cluster.name != 'eu-1'",
        "object.data.value != '2' || cluster.labels.region == 'us'",
        "cluster.name != 'us-1'",
        "!object.metadata.name.endsWith('1')",
        "app.name in ['web', 'db'] || cluster.labels.region == 'eu'",
    ];
    guardrail("some", "tenants: {}", cel[number], "deny")
}

fn with(text: &str) -> (World, Step) {
    let mut world = World::started();
    world.fleet("rails.yaml", text);
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    (world, step)
}

/// The clusters on which App web has its new form.
fn new_on(step: &Step) -> Vec<&'static str> {
    let new = |on: &&str| step.apps(on).contains(&"payments/web@2".to_owned());
    ["eu-1", "us-1"].into_iter().filter(new).collect()
}

#[test]
fn a_denied_app_stays_as_it_is_and_others_go_on() {
    let (mut world, step) = with(&guardrail("twos", "tenants: {}", "object.data.value != '2'", "deny"));
    assert!(new_on(&step).is_empty());
    assert_eq!(
        step.stopped("payments/web").as_deref(),
        Some(
            "RW4020 web/cm.yaml:1:1 Guardrail twos (rails.yaml:7:11 of the fleet repo) denies \
             ConfigMap/payments/web: no twos"
        )
    );
    assert_eq!(step.stopped("payments/db"), None);
    world.file("db/cm.yaml", &config_map("db", "3"));
    let step = world.step();
    assert!(step.apps("eu-1").contains(&"payments/db@3".to_owned()), "{:?}", step.apps("eu-1"));
    world.file("web/cm.yaml", &config_map("web", "4"));
    assert_eq!(world.step().stopped("payments/web"), None);
}

#[test]
fn which_tenants_clusters_and_kinds_it_is_for() {
    let cel = "object.data.value != '2'";
    let both = ["eu-1", "us-1"];
    for (scope, new) in [
        ("clusters: {}", &[][..]),
        ("tenants: {names: [payments]}", &[]),
        ("tenants: {names: [other]}", &both),
        ("tenants: {names: []}", &both),
        ("clusters: {names: [eu-1]}", &["us-1"]),
        ("clusters: {matchLabels: {region: us}}", &["eu-1"]),
        ("clusters: {matchLabels: {region: none}}", &both),
        (
            "tenants: {names: [payments]}\n  clusters: {matchExpressions: [{key: region, operator: Exists}]}",
            &[],
        ),
    ] {
        let (_, step) = with(&guardrail("twos", scope, cel, "deny"));
        assert_eq!(new_on(&step), new, "{scope}");
        assert_eq!(step.stopped("payments/web").is_some(), new.len() < 2, "{scope}");
    }
    for (kinds, new) in [("[\"*\"]", 0), ("[Secret, ConfigMap]", 0), ("[Secret, Deployment.apps]", 2)] {
        let text = guardrail("twos", "clusters: {}", cel, "deny").replace("[ConfigMap]", kinds);
        assert_eq!(new_on(&with(&text).1).len(), new, "{kinds}");
    }
}

#[test]
fn what_rules_see() {
    for (cel, holds) in [
        ("cluster.name != 'eu-1'", &["us-1"][..]),
        ("cluster.labels.region == 'eu'", &["eu-1"]),
        ("cluster.labels.region == 'eu' || object.data.value == '2'", &["eu-1", "us-1"]),
        ("!has(cluster.labels.tier) && 'env' in cluster.labels", &["eu-1", "us-1"]),
        ("cluster.labels.tier == 'x'", &[]),
        (
            "cluster == {'name': 'us-1', 'labels': {'env': 'prod', 'region': 'us'}, 'variables': {}}",
            &["us-1"],
        ),
        ("tenant.name == 'payments' && 'payments-*' in tenant.namespaces", &["eu-1", "us-1"]),
        (
            "app.name == 'web' && app.namespace == 'payments' && app.source == 'payments/apps'",
            &["eu-1", "us-1"],
        ),
        ("app.path == 'web' && object.metadata.namespace == app.namespace", &["eu-1", "us-1"]),
        ("object.metadata.labels.team == 'a'", &[]),
        ("object.data", &[]),
    ] {
        // Other Apps are not what this is about.
        let cel = if cel.contains("app.") { cel.to_owned() } else { format!("app.name != 'web' || ({cel})") };
        let (_, step) = with(&guardrail("it", "tenants: {}", &cel, "deny"));
        assert_eq!(new_on(&step), holds, "{cel}");
        let said = step.stopped("payments/web");
        let on = said.as_ref().is_some_and(|said| said.contains(" on eu-1: ") || said.contains(" on us-1: "));
        assert_eq!(on, holds.len() == 1, "{said:?}");
    }
}

#[test]
fn a_rule_without_an_answer_counts_as_broken_and_says_so() {
    let (_, step) = with(&guardrail("it", "tenants: {}", "object.data.other == '2'", "deny"));
    let said = step.stopped("payments/web").unwrap();
    let wanted = "no it (the rule cannot be evaluated, which counts as broken: there is no \"other\")";
    assert!(said.ends_with(wanted), "{said}");
    // A field that may be missing is asked for first.
    let (_, step) = with(&guardrail("it", "tenants: {}", "!has(object.data.other)", "deny"));
    assert_eq!(step.stopped("payments/web"), None);
}

#[test]
fn a_warning_lets_it_through() {
    let (_, step) = with(&guardrail("twos", "tenants: {}", "object.data.value != '2'", "warn"));
    assert_eq!(new_on(&step), ["eu-1", "us-1"]);
    assert_eq!(step.stopped("payments/web"), None);
    let notes = step.all_notes();
    let note = notes.iter().find(|note| note.code == "RW4020").unwrap();
    assert_eq!(note.severity, Severity::Warning);
    assert!(note.message.ends_with("warns of ConfigMap/payments/web: no twos"), "{}", note.message);
}

/// What variables made is judged in each form, what they do not touch once for all of them.
#[test]
fn forms_of_an_app_are_judged_each_by_what_it_is() {
    let mut world = World::started();
    world.fleet(
        "fleet.yaml",
        &FLEET.replace("region: us}}", "region: us}}\nspec: {variables: {size: large}}"),
    );
    let rail = "app.name != 'web' || object.data.value != 'large'";
    world.fleet("rails.yaml", &guardrail("size", "tenants: {}", rail, "deny"));
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {size: small}\n"));
    world.file("web/cm.yaml", &(config_map("web", "${size}") + "---\n" + &config_map("other", "1")));
    let step = world.step();
    assert_eq!(new_on(&step), ["eu-1"]);
    let said = step.stopped("payments/web").unwrap();
    assert!(said.ends_with("denies ConfigMap/payments/web on us-1: no size"), "{said}");
    let waits = &step.output.decided.apps[&id("payments/web")].waits;
    assert_eq!((waits.len(), waits[0].reason.as_str()), (1, "Guardrail"));
    let counts = world.cache.counts();
    assert!(world.step().unchanged());
    assert_eq!(world.cache.counts(), counts);
    // A rule may look at the variables themselves.
    let rail = "!has(cluster.variables.size) || cluster.variables.size != 'large'";
    world.fleet("rails.yaml", &guardrail("size", "tenants: {}", rail, "deny"));
    world.file("db/rimward.yaml", &app("db", "{}"));
    let step = world.step();
    assert!(step.apps("us-1").iter().all(|app| !app.starts_with("payments/db")), "{:?}", step.apps("us-1"));
    assert!(step.stopped("payments/db").unwrap().contains(" on us-1: no size"));
    world.fleet("rails.yaml", "# nothing\n");
    let step = world.step();
    assert_eq!(new_on(&step).len() + step.apps("us-1").len(), 1 + 2);
    assert_eq!(step.stopped("payments/web"), None);
}

/// An expression can look at everything, and tell nothing of it.
#[test]
fn what_a_secret_holds_is_not_said() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: Y2FuYXJ5}\nstringData: {b: canary}\n";
    for cel in [
        "object.data[object.data.password] == 'x'",
        "object.data.password == 'x'",
        "object.data.password",
        "int(object.data.password) == 1",
        "object.data.password + 1 == 2",
        "object.data.all(k, object.data[object.data[k]] == '')",
    ] {
        let text = guardrail("it", "tenants: {}", cel, "deny").replace("[ConfigMap]", "[Secret]");
        let mut world = World::started();
        world.fleet("rails.yaml", &text);
        world.file("web/s.yaml", secret);
        let step = world.step();
        let said = step.stopped("payments/web").unwrap();
        assert!(said.starts_with("RW4020 web/s.yaml:1:1 ") && said.contains("no it"), "{said}");
        let notes = format!("{:?}", step.all_notes());
        assert!(!notes.contains("Y2Fu") && !notes.contains("canary"), "{notes}");
    }
}

#[test]
fn each_mistake_is_named_where_it_is() {
    let good = guardrail("it", "tenants: {}", "true", "deny");
    for (from, to, wanted) in [
        ("{name: it}", "{name: It}", "RW3003 rails.yaml:3:18 \"It\" is not the name of a Guardrail"),
        (
            "tenants: {}",
            "tenant: {}",
            "RW3004 rails.yaml:5:3 unknown field `tenant`, did you mean `tenants`?",
        ),
        (
            "tenants: {}",
            "tenants: {matchLabels: {}}",
            "RW3006 rails.yaml:5:13 `tenants`: `matchLabels` is not built",
        ),
        ("tenants: {}", "tenants: {names: [A]}", "RW3003 rails.yaml:5:21 "),
        ("tenants: {}", "clusters: {cel: x}", "RW3006 rails.yaml:5:14 `clusters`: `cel`"),
        ("  kinds: [ConfigMap]\n", "", "RW3005 rails.yaml:5:3 a Guardrail's spec needs `kinds`"),
        ("[ConfigMap]", "[]", "RW3003 rails.yaml:6:10 `kinds` must name at least one"),
        ("[ConfigMap]", "[configmaps]", "RW3003 rails.yaml:6:11 \"configmaps\" is not a kind"),
        ("\"true\"", "\"object.\"", "RW3015 rails.yaml:7:17 `cel` is no CEL expression: "),
        ("\"true\"", "\"self.a == 1\"", "RW3015 rails.yaml:7:17 `cel` there is no \"self\""),
        (
            "\"true\"",
            "\"object.a.matches('x')\"",
            "RW3015 rails.yaml:7:17 `cel` there is no function \"matches\"",
        ),
        ("\"true\"", "true", "RW3003 rails.yaml:7:17 `cel` must be a string, not a boolean"),
        ("\"no it\"", "\"\"", "RW3003 rails.yaml:7:34 `message` must be one line"),
        (", message: \"no it\"", "", "RW3005 rails.yaml:7:11 a rule needs `message`"),
        ("action: deny", "action: Deny", "RW3003 rails.yaml:8:11 unknown action `Deny`"),
        ("  action: deny\n", "", "RW3005 rails.yaml:5:3 a Guardrail's spec needs `action`"),
        (
            "tenants: {}",
            "tenants: {names: [payment]}",
            "RW3050 rails.yaml:5:12 no tenant is called `payment`",
        ),
        ("tenants: {}", "clusters: {names: [eu1]}", "RW3010 rails.yaml:5:13 no cluster is called `eu1`"),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        let files = [("fleet.yaml", FLEET), ("rails.yaml", &text)];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().into())).into();
        let load = load_fleet(&SourceTree { files, ..SourceTree::default() }, &Default::default());
        let notes: Vec<String> =
            load.notes.iter().map(|note| format!("{} {} {}", note.code, note.at, note.message)).collect();
        assert!(notes.iter().any(|note| note.starts_with(wanted)), "{from} → {to}: {notes:#?}");
        load.notes.iter().for_each(super::world::says_what_to_do);
        let used = !load.notes.iter().any(|note| note.severity == Severity::Error);
        assert_eq!(load.policy.guardrails.contains_key("it"), used, "{to}");
    }
}

#[test]
fn a_wrong_guardrail_keeps_what_it_said_and_one_that_goes_while_anything_is_wrong_stays() {
    let deny = guardrail("twos", "tenants: {}", "object.data.value != '2'", "deny");
    let (mut world, _) = with(&deny);
    world.fleet("rails.yaml", &deny.replace("object.data.value", "object."));
    let step = world.step();
    assert!(step.codes().contains("RW3015") && step.codes().contains("RW3011"));
    assert!(step.stopped("payments/web").is_some(), "its last good content stays in force");
    world.fleet("rails.yaml", "# nothing\n");
    world.fleet("other.yaml", "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {nam: x}\n");
    assert!(world.step().stopped("payments/web").is_some(), "it may be in what is wrong");
    world.fleet("other.yaml", "# nothing\n");
    assert_eq!(world.step().stopped("payments/web"), None);
}

#[test]
fn what_is_there_already_stays_whatever_is_denied_later() {
    let mut world = World::started();
    world.fleet("rails.yaml", &guardrail("none", "tenants: {}", "false", "deny"));
    let step = world.step();
    assert!(step.unchanged(), "nothing goes, and nothing changes");
    assert!(step.stopped("payments/web").is_some() && step.stopped("payments/db").is_some());
    world.file("new/rimward.yaml", &app("new", "{}"));
    world.file("new/cm.yaml", &config_map("new", "1"));
    let step = world.step();
    assert!(step.unchanged() && step.stopped("payments/new").is_some(), "nothing new comes either");
    world.fleet("rails.yaml", "# nothing\n");
    assert_eq!(world.step().apps("us-1"), ["payments/new@4", "payments/web@1"]);
}

#[test]
fn a_rename_is_denied_as_a_whole() {
    let mut world = World::started();
    let rail = "app.name != 'site' || cluster.name == 'eu-1'";
    world.fleet("rails.yaml", &guardrail("site", "tenants: {}", rail, "deny"));
    world.file("web/rimward.yaml", &(app("site", "{}") + "  formerly: [web]\n"));
    let step = world.step();
    assert!(step.unchanged(), "{:?} {:?}", step.apps("eu-1"), step.removed("us-1"));
    world.fleet("rails.yaml", "# nothing\n");
    assert_eq!(world.step().apps("us-1"), ["payments/site@3"]);
}

#[test]
fn an_object_on_its_way_to_a_denied_app_stays_where_it_is() {
    let mut world = World::started();
    let rail = "app.name != 'db' || cluster.name != 'eu-1' || size(object.metadata.name) == 2";
    world.fleet("rails.yaml", &guardrail("db", "tenants: {}", rail, "deny"));
    world.file("web/more.yaml", &config_map("more", "1"));
    world.step();
    world.remove("web/more.yaml");
    world.file("db/more.yaml", &config_map("more", "1"));
    let step = world.step();
    assert!(step.unchanged(), "App db cannot have it, so App web keeps it");
    assert!(step.codes().contains("RW3028"), "{:?}", step.codes());
}

#[test]
fn asked_once_for_all_clusters_that_are_the_same_to_it() {
    let mut world = World::started();
    let clusters: String = (0..30)
        .map(|n| {
            let region = ["eu", "us", "ap"][n % 3];
            format!("---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: c{n}, labels: {{region: {region}}}}}\n")
        })
        .collect();
    world.fleet("more.yaml", &clusters);
    world.remove("db/rimward.yaml");
    world.step();
    let mut cost = |text: &str, change: Option<&str>| {
        world.fleet("rails.yaml", text);
        if let Some(value) = change {
            world.file("web/cm.yaml", &config_map("web", value));
        }
        let before = world.cache.counts().rules;
        world.step();
        world.cache.counts().rules - before
    };
    let rail = |cel: &str| guardrail("it", "tenants: {}", cel, "warn");
    assert_eq!(cost(&rail("object.data.value != ''"), None), 1);
    assert_eq!(cost(&rail("object.data.value != ''"), None), 0, "nothing changed");
    assert_eq!(cost(&rail("object.data.value != ''"), Some("2")), 1);
    assert_eq!(cost(&rail("cluster.labels.region != 'x'"), None), 3);
    assert_eq!(cost(&rail("cluster.labels.region != 'x'"), None), 0);
    assert_eq!(cost(&rail("cluster.labels.region != 'x' && cluster.labels.env != 'y'"), None), 4 + 1);
    assert_eq!(cost(&rail("cluster.name != 'x'"), None), 32);
    assert_eq!(cost(&rail("cluster.name != 'x'"), None), 0);
    assert_eq!(cost(&rail("cluster.nothing != 'x'"), None), 1, "the same of all of them");
}

#[test]
fn a_rule_that_costs_too_much_is_broken_and_the_next_planning_says_the_same() {
    let keys: String = (0..3_000).map(|n| format!("  k{n}: \"{n}\"\n")).collect();
    let many = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web}}\ndata:\n{keys}");
    let (mut world, _) = with(&guardrail(
        "twice",
        "tenants: {}",
        "object.data.all(a, object.data.all(b, a == a || b == b))",
        "deny",
    ));
    world.file("web/cm.yaml", &many);
    let first = world.step().stopped("payments/web").unwrap();
    assert!(first.contains("which counts as broken: it costs too much on this object"), "{first}");
    assert_eq!(world.step().stopped("payments/web"), Some(first));
    // Once through all of it is what a rule may cost.
    world.fleet("rails.yaml", &guardrail("once", "tenants: {}", "object.data.all(k, size(k) < 9)", "deny"));
    assert_eq!(world.step().stopped("payments/web"), None);
    assert_eq!(id("payments/web").to_string(), "payments/web");
}
