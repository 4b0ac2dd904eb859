//! Overrides: which cluster gets which form, and what happens where a form cannot
//! be had: that cluster keeps what it has, and no rule takes anything from it.

use rimward_hub::core::plan::VARIANTS;
use serde_json::json;

use super::world::{FLEET, Step, World, app, config_map, id};

/// An operation on the ConfigMap of an App.
fn set(path: &str, value: &str) -> String {
    format!("{{target: {{kind: ConfigMap}}, patch: \"[{{op: add, path: {path}, value: {value}}}]\"}}")
}

/// One that can be applied nowhere.
const BAD: &str = "{target: {kind: ConfigMap}, patch: \"[{op: test, path: /data/value, value: never}]\"}";

fn overrides(list: &[(&str, &str)]) -> String {
    let one = |(clusters, rest): &(&str, &str)| format!("  - {{clusters: {clusters}, {rest}}}\n");
    "  overrides:\n".to_owned() + &list.iter().map(one).collect::<String>()
}

/// Variables of eu-1, so that it is not like the others.
fn fleet(eu: &str) -> String {
    FLEET.replace("region: eu}}", &format!("region: eu}}}}\nspec: {{variables: {eu}}}"))
}

fn data(world: &World, on: &str) -> serde_json::Value {
    world.objects(on, "payments/web")[0]["data"].clone()
}

/// `reason clusters` of each wait of an App.
fn waits(step: &Step, app: &str) -> Vec<String> {
    let waits = step.output.decided.apps[&id(app)].waits.iter();
    let names = |wait: &rimward_hub::core::world::AppWait| {
        wait.clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    waits.map(|wait| format!("{} {}", wait.reason, names(wait))).collect()
}

#[test]
fn every_match_applies_in_order_and_the_later_wins() {
    let mut world = World::started();
    let (own, eu, prod, us) =
        (set("/data/own", "a"), set("/data/x", "eu"), set("/data/x", "prod"), set("/data/us", "b"));
    let lines = format!("  patches: [{own}]\n")
        + &overrides(&[
            ("{matchLabels: {region: eu}}", &format!("patches: [{eu}]")),
            ("{matchLabels: {env: prod}}", &format!("patches: [{prod}]")),
            ("{names: [us-1]}", &format!("patches: [{us}]")),
        ]);
    world.file("web/rimward.yaml", &(app("web", "{}") + &lines));
    let step = world.step();
    assert!(step.codes().is_empty(), "{:?}", step.all_notes());
    assert_eq!(data(&world, "eu-1"), json!({"value": "1", "own": "a", "x": "prod"}));
    assert_eq!(data(&world, "us-1"), json!({"value": "1", "own": "a", "x": "prod", "us": "b"}));
    assert_ne!(step.entry("eu-1", "payments/web").digest, step.entry("us-1", "payments/web").digest);
    assert!(world.step().unchanged());
}

#[test]
fn clusters_with_equal_inputs_share_a_bundle_whatever_way_they_came_to_it() {
    let mut world = World::started();
    // One by a patch of all, the other by an override of it, with the same result.
    let lines = overrides(&[
        ("{names: [eu-1]}", &format!("patches: [{}]", set("/data/x", "a"))),
        ("{names: [us-1]}", &format!("patches: [{}, {}]", set("/data/x", "b"), set("/data/x", "a"))),
    ]);
    world.file("web/rimward.yaml", &(app("web", "{}") + &lines));
    let step = world.step();
    assert_eq!(step.entry("eu-1", "payments/web"), step.entry("us-1", "payments/web"));
    assert_eq!(
        step.output.decided.apps[&id("payments/web")].bundle,
        Some(step.entry("us-1", "payments/web").digest)
    );
}

#[test]
fn a_bad_variant_stops_its_own_clusters() {
    let mut world = World::started();
    let lines = overrides(&[("{names: [eu-1]}", &format!("patches: [{BAD}]"))]);
    world.file("web/rimward.yaml", &(app("web", "{}") + &lines));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert_eq!(
        (data(&world, "eu-1")["value"].clone(), data(&world, "us-1")["value"].clone()),
        (json!("1"), json!("2"))
    );
    assert_eq!(
        (step.apps("eu-1"), step.apps("us-1")),
        (vec!["payments/db@1".into(), "payments/web@1".into()], vec!["payments/web@2".to_owned()])
    );
    assert_eq!(waits(&step, "payments/web"), ["VariantRefused eu-1"]);
    let notes: Vec<String> =
        step.all_notes().iter().map(|note| format!("{} {} {}", note.code, note.at, note.message)).collect();
    let wanted = "RW3042 web/rimward.yaml:8:43 eu-1: this patch cannot be applied to ConfigMap/payments/web: operation 1, \
                  test /data/value: value did not match";
    assert_eq!(notes, [wanted]);
    assert!(world.step().unchanged());
    // Without another cluster there is nothing to go on with: the App is stopped as a whole.
    world.file("web/rimward.yaml", &(app("web", "{names: [eu-1]}") + &lines));
    let step = world.step();
    assert!(step.unchanged(), "nor does it leave us-1");
    assert!(step.blocked("payments/web").unwrap().starts_with("RW3042"));
}

#[test]
fn a_guardrail_sees_what_overrides_and_values_make() {
    let mut world = World::started();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\n";
    world.file("web/cm.yaml", secret);
    let token = "{target: {kind: Secret}, patch: \"type: kubernetes.io/service-account-token\"}";
    let lines = overrides(&[("{names: [us-1]}", &format!("patches: [{token}]"))]);
    world.file("web/rimward.yaml", &(app("web", "{}") + &lines));
    let step = world.step();
    assert_eq!(waits(&step, "payments/web"), ["VariantRefused us-1"]);
    assert!(step.codes().contains("RW4003"));
    assert_eq!(
        (step.apps("us-1"), world.objects("eu-1", "payments/web")[0]["kind"].clone()),
        (vec!["payments/web@1".into()], json!("Secret"))
    );
    // Another tenant's bounds, and it is looked at again.
    let allowed = FLEET.replace(
        "namespaces: [payments, payments-*]",
        "namespaces: [payments]\n  objects: {allow: [Secret]}",
    );
    world.fleet("fleet.yaml", &allowed);
    let step = world.step();
    assert!(waits(&step, "payments/web").is_empty());
    assert_eq!(world.objects("us-1", "payments/web")[0]["type"], "kubernetes.io/service-account-token");
}

#[test]
fn a_cluster_that_waits_owns_what_it_has() {
    let mut world = World::started();
    let waiting = "  variables: {d: null}\n";
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    world.file("web/rimward.yaml", &(app("web", "{}") + waiting));
    world.file("web/cm.yaml", &config_map("other", "${d}"));
    // web leaves its object on eu-1 and keeps it on us-1, where db takes it up: there they quarrel.
    world.file("db/web.yaml", &config_map("web", "of db"));
    world.file("db/rimward.yaml", &app("db", "{}"));
    let step = world.step();
    assert!(step.codes().contains("RW4005"), "{:?}", step.all_notes());
    assert!(step.unchanged(), "neither is updated anywhere");
    // Where web does not wait they do not.
    world.file("db/rimward.yaml", &app("db", "{names: [eu-1]}"));
    let step = world.step();
    assert_eq!(waits(&step, "payments/web"), ["VariableUnset us-1"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@3", "payments/web@3"]);
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
}

#[test]
fn an_app_that_is_emptied_everywhere_is_held_and_one_that_waits_somewhere_too() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {d: null}\n"));
    world.file("web/cm.yaml", &config_map("web", "${d}"));
    world.step();
    world.remove("web/cm.yaml");
    let step = world.step();
    assert_eq!(step.holds(), ["LastObject payments/web"]);
    assert!(step.unchanged());
    // No cluster any more.
    world.file("web/cm.yaml", &config_map("web", "${d}"));
    world.file("web/rimward.yaml", &(app("web", "{matchLabels: {env: none}}") + "  variables: {d: null}\n"));
    let step = world.step();
    assert_eq!(step.holds(), ["LastCluster payments/web"]);
    assert!(step.unchanged());
}

#[test]
fn a_cluster_that_waits_is_not_left_and_one_that_is_not_selected_is() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    world.file("web/cm.yaml", &config_map("web", "${d}"));
    // us-1 waits; eu-1 is not selected any more.
    world.file("web/rimward.yaml", &(app("web", "{names: [us-1]}") + "  variables: {d: null}\n"));
    let step = world.step();
    assert_eq!((step.apps("us-1"), step.removed("us-1")), (vec!["payments/web@1".to_owned()], vec![]));
    assert_eq!(
        (step.apps("eu-1"), step.removed("eu-1")),
        (vec!["payments/db@1".to_owned()], vec!["payments/web".into()])
    );
}

#[test]
fn a_rename_is_made_everywhere_or_nowhere() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    let renamed = |lines: &str| app("site", "{}") + "  formerly: [web]\n" + lines;
    world.file("web/rimward.yaml", &renamed("  variables: {d: null}\n"));
    world.file("web/cm.yaml", &config_map("web", "${d}"));
    let step = world.step();
    assert!(step.unchanged(), "{:?}", step.output.plans);
    assert!(step.codes().contains("RW3016"), "{:?}", step.all_notes());
    assert!(
        step.blocked("payments/site").unwrap().contains("on all clusters or on none: us-1: variable `d`")
    );
    world.file("web/rimward.yaml", &renamed("  variables: {d: y}\n"));
    let step = world.step();
    assert_eq!(
        (step.apps("us-1"), step.removed("us-1")),
        (vec!["payments/site@3".to_owned()], vec!["payments/web".into()])
    );
}

#[test]
fn files_do_not_go_to_an_app_that_waits_where_they_are() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    world.file("new/rimward.yaml", &(app("new", "{}") + "  variables: {d: null}\n"));
    world.file("new/cm.yaml", &config_map("more", "${d}"));
    world.file("web/more.yaml", &config_map("other", "1"));
    world.step();
    // A file of web goes to new, which waits on us-1: web stays as it is, and with it the object.
    world.remove("web/more.yaml");
    world.file("new/other.yaml", &config_map("other", "1"));
    let step = world.step();
    assert!(step.blocked("payments/web").unwrap().starts_with("RW3028"), "{:?}", step.all_notes());
    assert!(step.unchanged());
    world.file("new/rimward.yaml", &(app("new", "{}") + "  variables: {d: y}\n"));
    let step = world.step();
    assert!(step.codes().is_empty(), "{:?}", step.all_notes());
    assert_eq!(step.apps("us-1"), ["payments/new@4", "payments/web@4"]);
}

#[test]
fn where_an_app_waits_it_loses_nothing_that_another_could_want() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    // new asks for an object of web on us-1, where it cannot have it, and where web waits and keeps it.
    world.file("new/rimward.yaml", &app("new", "{names: [us-1]}"));
    world.file("new/cm.yaml", &config_map("web", "1"));
    world.file("new/broken.yaml", "a: [");
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {d: null}\n"));
    world.file("web/cm.yaml", &config_map("other", "${d}"));
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None, "{:?}", step.all_notes());
    assert_eq!(
        (step.apps("eu-1")[1].as_str(), step.apps("us-1")),
        ("payments/web@2", vec!["payments/web@1".to_owned()])
    );
}

#[test]
fn whom_a_waiting_cluster_waited_for_counts_in_circles() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    world.file("db/rimward.yaml", &app("db", "{}"));
    world.file("web/rimward.yaml", &(app("web", "{}") + "  dependsOn: [{app: db}]\n"));
    world.step();
    // On us-1 web keeps waiting for db, which now waits for web.
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {d: null}\n"));
    world.file("web/cm.yaml", &config_map("web", "${d}"));
    world.file("db/rimward.yaml", &(app("db", "{}") + "  dependsOn: [{app: web}]\n"));
    let step = world.step();
    assert!(step.codes().contains("RW3018"), "{:?}", step.all_notes());
    assert!(step.unchanged());
}

#[test]
fn commits_are_shared_by_form() {
    let mut world = World::started();
    let lines = "  variables: {d: one}\n";
    world.fleet("fleet.yaml", &fleet("{d: x}"));
    world.file("web/rimward.yaml", &(app("web", "{}") + lines));
    world.file("web/cm.yaml", &config_map("web", "${d}"));
    let step = world.step();
    assert_eq!(
        (step.apps("eu-1")[1].as_str(), step.apps("us-1")),
        ("payments/web@2", vec!["payments/web@2".to_owned()])
    );
    // Only the form of us-1 changes, and only its entry has the new commit.
    world.file("web/rimward.yaml", &(app("web", "{}") + "  variables: {d: two}\n"));
    let step = world.step();
    assert_eq!(
        (step.apps("eu-1")[1].as_str(), step.apps("us-1")),
        ("payments/web@2", vec!["payments/web@3".to_owned()])
    );
    // A cluster that joins a form later gets the commit of those who have it.
    world.fleet("fleet.yaml", FLEET);
    let step = world.step();
    assert_eq!(
        (step.apps("eu-1")[1].as_str(), step.apps("us-1")),
        ("payments/web@3", vec!["payments/web@3".to_owned()])
    );
}

#[test]
fn variants_have_a_limit_and_values_have_none() {
    let mut world = World::started();
    let mut text = FLEET.to_owned();
    for n in 0..1_100 {
        let labels: String = (0..11).map(|bit| format!("b{bit}: \"{}\", ", n >> bit & 1)).collect();
        text += &format!(
            "---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: c{n}, labels: {{{labels}}}}}\n"
        );
    }
    world.fleet("fleet.yaml", &text);
    let list = |rest: &dyn Fn(usize) -> String| -> String {
        let one =
            |bit: usize| format!("  - {{clusters: {{matchLabels: {{b{bit}: \"1\"}}}}, {}}}\n", rest(bit));
        "  overrides:\n".to_owned() + &(0..11).map(one).collect::<String>()
    };
    let patches = list(&|bit| format!("patches: [{}]", set(&format!("/data/b{bit}"), "x")));
    world.file("web/rimward.yaml", &(app("web", "{}") + &patches));
    let step = world.step();
    let blocked = step.blocked("payments/web").unwrap();
    assert!(
        blocked.starts_with(&format!(
            "RW3044 web/rimward.yaml:1:1 payments/web has 1100 variants, it may have {VARIANTS}"
        )),
        "{blocked}"
    );
    assert!(step.unchanged());
    // As values they are as many as one likes.
    let declared: String = (0..11).map(|bit| format!("b{bit}: 0, ")).collect();
    let variables = list(&|bit| format!("variables: {{b{bit}: 1}}"));
    world.file(
        "web/rimward.yaml",
        &(app("web", "{}") + &format!("  variables: {{{declared}}}\n") + &variables),
    );
    let text: String = (0..11).map(|bit| format!("${{b{bit}}}")).collect();
    world.file("web/cm.yaml", &config_map("web", &text));
    let before = world.cache.counts();
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None);
    let counts = world.cache.counts();
    assert_eq!((counts.apps - before.apps, counts.forms - before.forms), (2, 1_100));
}

#[test]
fn names_in_overrides_are_checked_against_the_bounds() {
    let mut world = World::started();
    let bound = FLEET.replace("clusters: {}", "clusters: {matchLabels: {region: eu}}");
    world.fleet("fleet.yaml", &bound);
    world.file("web/rimward.yaml", &(app("web", "{}") + &overrides(&[("{names: [us-1]}", "images: []")])));
    let step = world.step();
    let wanted = "RW3009 web/rimward.yaml:8:25 cluster us-1 is outside the bound at fleet.yaml:16:13 of the fleet repo";
    assert_eq!(step.blocked("payments/web").as_deref(), Some(wanted));
}
