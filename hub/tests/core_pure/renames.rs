//! `formerly`: an App goes on under a new name, and nothing is deleted for it.

use super::world::{FLEET, World, app, cluster, config_map, id, source, two_sources};

fn formerly(name: &str, clusters: &str, names: &str) -> String {
    app(name, clusters) + &format!("  formerly: [{names}]\n")
}

/// web is renamed to site, with the same content.
fn renamed() -> World {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    world.file("web/rimward.yaml", &formerly("site", "{}", "web"));
    world
}

#[test]
fn the_new_name_takes_the_place_of_the_old_one_beside_its_tombstone() {
    let mut world = renamed();
    let step = world.step();
    assert_eq!(step.all_notes(), []);
    assert_eq!(step.apps("us-1"), ["payments/site@2"]);
    assert_eq!(step.removed("us-1"), ["payments/web"]);
    let entry = step.entry("us-1", "payments/site");
    assert_eq!(entry.formerly, [id("payments/web").app]);
    assert_eq!(step.before[&cluster("us-1")].bundles[0].digest, entry.digest, "the same objects");
    assert!(world.step().unchanged());
    for name in ["eu-1", "us-1"] {
        world.cleared.entry(cluster(name)).or_default().insert(id("payments/web"));
    }
    let step = world.step();
    assert!(step.removed("us-1").is_empty() && step.removed("eu-1").is_empty());
    assert_eq!(step.entry("us-1", "payments/site").formerly.len(), 1);
}

#[test]
fn several_apps_become_one() {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    world.remove("db/rimward.yaml");
    world.file("rimward.yaml", &formerly("all", "{}", "web, db"));
    let step = world.step();
    assert_eq!(step.all_notes(), []);
    assert_eq!(step.apps("eu-1"), ["payments/all@2"]);
    assert_eq!(step.removed("eu-1"), ["payments/db", "payments/web"]);
    assert_eq!(step.removed("us-1"), ["payments/web"]);
}

#[test]
fn the_last_app_of_a_source_is_renamed_without_a_hold() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &two_sources());
    world.remove("db/rimward.yaml");
    world.file_in("payments/more", "x/rimward.yaml", &app("x", "{}"));
    world.step();
    // It goes to another source, and nothing is left in its own.
    world.remove("web/rimward.yaml");
    world.file_in("payments/more", "s/rimward.yaml", &formerly("site", "{}", "web"));
    world.file_in("payments/more", "s/cm.yaml", &config_map("web", "1"));
    let step = world.step();
    assert!(step.holds().is_empty(), "{:?}", step.holds());
    assert_eq!(step.removed("us-1"), ["payments/web"]);
    assert!(step.apps("us-1").contains(&"payments/site@3".to_owned()));
}

#[test]
fn the_last_app_of_a_source_without_a_new_name_is_still_held() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &two_sources());
    world.remove("web/rimward.yaml");
    world.remove("db/rimward.yaml");
    world.file_in("payments/more", "s/rimward.yaml", &formerly("site", "{}", "web"));
    world.file_in("payments/more", "s/cm.yaml", &config_map("web", "1"));
    let step = world.step();
    assert_eq!(step.holds(), ["LastApp payments/db"]);
    assert_eq!(step.removed("eu-1"), ["payments/web"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/site@2"]);
}

#[test]
fn the_old_one_stays_as_long_as_the_new_one_cannot_be_there() {
    for (path, text) in [
        ("web/rimward.yaml", formerly("site", "{}", "web") + "  nope: 1\n"),
        ("web/rimward.yaml", app("site", "{}") + "  formerly: web\n"),
        ("web/cm.yaml", "kind: Half\n".to_owned()),
        ("web/cm.yaml", config_map("web", "1").replace("name: web", "name: web, namespace: other")),
        ("web/rimward.yaml", formerly("site", "{}", "web") + "  dependsOn: [{app: nothing}]\n"),
    ] {
        let mut world = renamed();
        world.file(path, &text);
        let step = world.step();
        assert!(step.unchanged() && step.holds().is_empty(), "{text}: {:?}", step.removed("us-1"));
        let why = step.blocked("payments/web").unwrap();
        assert!(why.contains("RW3016") && why.contains("payments/web stays until payments/site"), "{why}");
        assert!(world.step().unchanged());
        // Once it is mended, it is a rename like any other.
        world.file("web/rimward.yaml", &formerly("site", "{}", "web"));
        world.file("web/cm.yaml", &config_map("web", "1"));
        assert_eq!(world.step().removed("us-1"), ["payments/web"], "{text}");
    }
}

#[test]
fn a_rename_quarrels_with_others_but_not_with_itself() {
    let mut world = renamed();
    world.file("db/more.yaml", &config_map("web", "9"));
    let step = world.step();
    assert!(step.unchanged(), "{:?}", step.apps("eu-1"));
    assert!(
        step.blocked("payments/site").unwrap().contains("ConfigMap/payments/web is also in App payments/db")
    );
    assert!(step.blocked("payments/web").unwrap().contains("stays until payments/site"));
}

#[test]
fn a_former_name_that_is_still_there_is_an_error() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &formerly("web", "{}", "db"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(
        step.blocked("payments/web").unwrap(),
        "RW3016 web/rimward.yaml:7:14 App payments/db is still there, at db/rimward.yaml:1:1 of source payments/apps"
    );
    assert_eq!(step.blocked("payments/db"), None);
    // There, if wrong, is there too.
    world.file("db/rimward.yaml", &(app("db", "{}") + "  nope: 1\n"));
    assert!(world.step().blocked("payments/web").unwrap().contains("App payments/db is still there"));
}

#[test]
fn a_former_name_of_two_apps_is_an_error_on_both() {
    let mut world = renamed();
    world.file("db/rimward.yaml", &formerly("db", "{names: [eu-1]}", "web"));
    let step = world.step();
    assert!(step.unchanged());
    let said = |app: &str| step.blocked(app).unwrap();
    assert!(said("payments/site").starts_with("RW3016 web/rimward.yaml:7:14 App payments/db says too"));
    assert!(said("payments/db").starts_with("RW3016 db/rimward.yaml:7:14 App payments/site says too"));
    assert!(said("payments/web").contains("stays until payments/db"));
}

#[test]
fn a_name_cannot_be_taken_up_while_another_app_is_in_force_as_formerly_that() {
    let mut world = renamed();
    world.step();
    // site cannot be updated any more, and a new App takes the old name.
    world.file("site/rimward.yaml", &app("web", "{}"));
    world.file("site/cm.yaml", &config_map("new", "1"));
    let step = world.step();
    assert!(step.unchanged());
    assert!(step.blocked("payments/site").unwrap().contains("App payments/web is still there"));
    assert!(step.blocked("payments/web").unwrap().contains("in force as formerly web"));
    // Without the word `formerly` both go on, and the tombstone goes.
    world.file("web/rimward.yaml", &app("site", "{}"));
    let step = world.step();
    assert_eq!(step.apps("us-1"), ["payments/site@4", "payments/web@4"]);
    assert!(step.removed("us-1").is_empty());
}

#[test]
fn an_old_name_in_a_source_that_was_not_read_keeps_the_new_one_waiting() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &two_sources());
    world.remove("web/rimward.yaml");
    world.file("web/rimward.yaml", &formerly("site", "{}", "web"));
    let step = world.step();
    assert!(step.unchanged(), "web may be in payments/more");
    assert!(step.blocked("payments/site").unwrap().contains("App payments/web cannot go yet"));
    world.file_in("payments/more", "x/rimward.yaml", &app("x", "{names: [eu-1]}"));
    assert_eq!(world.step().removed("us-1"), ["payments/web"]);
}

#[test]
fn a_rename_to_nowhere_or_to_nothing_is_held_as_a_whole() {
    for (clusters, reason) in [("{matchLabels: {env: none}}", "LastCluster"), ("{}", "LastObject")] {
        let mut world = World::started();
        world.remove("web/rimward.yaml");
        world.file("web/rimward.yaml", &formerly("site", clusters, "web"));
        if reason == "LastObject" {
            world.remove("web/cm.yaml");
        }
        let step = world.step();
        assert!(step.unchanged());
        assert_eq!(step.holds(), [format!("{reason} payments/site payments/web")]);
        assert_eq!(world.step().holds(), step.holds(), "stable");
        world.approvals.insert(step.output.decided.holds[0].digest);
        let step = world.step();
        assert_eq!(step.removed("us-1"), ["payments/web"]);
        assert!(step.holds().is_empty());
    }
}

#[test]
fn a_rename_that_leaves_a_cluster_is_a_tombstone_there() {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    world.file("web/rimward.yaml", &formerly("site", "{names: [eu-1]}", "web"));
    let step = world.step();
    assert!(step.apps("us-1").is_empty());
    assert_eq!(step.removed("us-1"), ["payments/web"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/site@2"]);
}

#[test]
fn a_frozen_cluster_keeps_the_old_name() {
    let mut world = renamed();
    let us = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster").unwrap();
    let tenant = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant").unwrap();
    world.fleet("fleet.yaml", &format!("{}{}", &FLEET[..us], &FLEET[tenant..]));
    let step = world.step();
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/site@2"]);
    world.fleet("fleet.yaml", FLEET);
    assert_eq!(world.step().removed("us-1"), ["payments/web"]);
    assert_eq!(world.sources.len(), 1, "{}", source("payments/apps"));
}
