//! Absent never means delete: every way in which something can be missing.

use rimward_hub::core::plan::Looks;

use super::world::{FLEET, World, app, cluster, config_map, id, source};

#[test]
fn apps_reach_their_clusters_and_a_second_step_changes_nothing() {
    let mut world = World::started();
    let step = world.step();
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/web@1"]);
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    assert!(step.unchanged() && step.output.content.is_empty());
    assert_eq!(step.all_notes(), []);
}

#[test]
fn only_what_changed_gets_a_new_commit() {
    let mut world = World::started();
    world.file("db/cm.yaml", &config_map("db", "2"));
    let step = world.step();
    assert_eq!(step.apps("eu-1"), ["payments/db@2", "payments/web@1"]);
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    assert_eq!(step.output.content.len(), 2, "one index and one object");
}

#[test]
fn a_cluster_that_joins_shares_the_commit_and_the_plan() {
    let mut world = World::started();
    world.fleet("more.yaml", "{apiVersion: rimward.dev/v1alpha1, kind: Cluster, metadata: {name: us-2}}");
    world.enroll("us-2");
    let step = world.step();
    assert_eq!(step.apps("us-2"), ["payments/web@1"]);
    let plans = &step.output.plans;
    assert!(std::sync::Arc::ptr_eq(&plans[&cluster("us-1")], &plans[&cluster("us-2")]));
}

#[test]
fn a_removed_file_becomes_a_tombstone_that_stays_until_cleared() {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    let step = world.step();
    assert_eq!(step.apps("eu-1"), ["payments/db@1"]);
    assert_eq!(step.removed("eu-1"), ["payments/web"]);
    assert_eq!(step.removed("us-1"), ["payments/web"]);
    assert!(world.step().unchanged());
    world.cleared.entry(cluster("eu-1")).or_default().insert(id("payments/web"));
    let step = world.step();
    assert!(step.removed("eu-1").is_empty());
    assert_eq!(step.removed("us-1"), ["payments/web"]);
    assert!(world.step().unchanged());
}

#[test]
fn an_app_that_returns_replaces_its_tombstone() {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    world.step();
    world.file("web/rimward.yaml", &app("web", "{}"));
    let step = world.step();
    assert!(step.removed("eu-1").is_empty());
    assert_eq!(step.apps("us-1"), ["payments/web@3"]);
}

#[test]
fn a_cluster_that_no_longer_matches_gets_a_tombstone() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &app("web", "{matchLabels: {region: eu}}"));
    let step = world.step();
    assert_eq!(step.removed("us-1"), ["payments/web"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/web@1"]);
}

#[test]
fn the_last_app_of_a_source_is_held_until_approved() {
    let mut world = World::started();
    world.sources.insert(source("payments/apps"), Some(Default::default()));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.holds(), ["LastApp payments/db payments/web"]);
    let hold = step.output.decided.holds[0].clone();
    assert_eq!(hold.clusters, [cluster("eu-1"), cluster("us-1")]);
    assert_eq!(world.step().output.decided.holds[0], hold, "the digest is stable");
    world.approvals.insert(hold.digest);
    let step = world.step();
    assert_eq!(step.removed("eu-1"), ["payments/db", "payments/web"]);
    assert!(step.holds().is_empty());
    assert!(world.step().unchanged());
}

#[test]
fn an_approval_is_good_for_one_change_only() {
    let mut world = World::started();
    let files = world.sources.insert(source("payments/apps"), Some(Default::default()));
    let digest = world.step().output.decided.holds[0].digest;
    world.approvals.insert(digest);
    world.step();
    // It comes back and goes again: another change, though nobody could tell by its objects.
    world.sources.insert(source("payments/apps"), files.unwrap());
    world.step();
    world.sources.insert(source("payments/apps"), Some(Default::default()));
    let step = world.step();
    assert_eq!(step.holds(), ["LastApp payments/db payments/web"]);
    assert!(step.unchanged());
}

#[test]
fn the_last_cluster_of_an_app_is_held() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &app("web", "{matchLabels: {env: nowhere}}"));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.holds(), ["LastCluster payments/web"]);
    let blocked = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
    assert_eq!(blocked.code, "RW4010");
    world.approvals.insert(step.output.decided.holds[0].digest);
    assert_eq!(world.step().removed("us-1"), ["payments/web"]);
}

#[test]
fn a_misspelt_cluster_takes_nothing_from_the_one_that_is_meant() {
    let two = "clusters: {names: [eu-1, us-1]}";
    let of_tenant = FLEET.replace("clusters: {}", two);
    let of_source = FLEET.replace("apps.git}", "apps.git}, clusters: {names: [eu-1, us-1]}");
    for (fleet, wrong) in [(&of_tenant, "app"), (&of_tenant, "fleet"), (&of_source, "fleet")] {
        let mut world = World::started();
        world.fleet("fleet.yaml", fleet);
        world.file("web/rimward.yaml", &app("web", "{names: [eu-1, us-1]}"));
        world.step();
        let mut app = app("web", "{names: [eu-1, us-11]}");
        match wrong {
            "app" => world.file("web/rimward.yaml", &app),
            _ => {
                world.fleet("fleet.yaml", &fleet.replace("[eu-1, us-1]", "[eu-1, us-11]"));
                world.file("web/rimward.yaml", &super::world::app("web", "{}"));
            }
        }
        world.file("web/cm.yaml", &config_map("web", "2"));
        let step = world.step();
        assert!(step.unchanged(), "{:?}", step.removed("us-1"));
        let why = step.blocked("payments/web").unwrap();
        assert!(why.starts_with("RW3010 web/rimward.yaml:6:13") && why.contains("would leave us-1"), "{why}");
        assert!(why.contains("us-11, named at"), "{why}");
        // The name of a cluster that is to come is in nobody's way.
        app = super::world::app("web", "{names: [eu-1, us-1, us-11]}");
        world.fleet("fleet.yaml", &fleet.replace("[eu-1, us-1]", "[eu-1, us-1, us-11]"));
        world.file("web/rimward.yaml", &app);
        assert_eq!(world.step().apps("us-1"), ["payments/web@4"]);
    }
}

#[test]
fn the_last_object_of_an_app_is_held() {
    let mut world = World::started();
    world.remove("web/cm.yaml");
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.holds(), ["LastObject payments/web"]);
    world.approvals.insert(step.output.decided.holds[0].digest);
    let step = world.step();
    assert!(step.removed("us-1").is_empty());
    assert_eq!(step.output.plans[&cluster("us-1")].bundles[0].objects, 0);
}

#[test]
fn a_removed_tenant_or_source_is_always_held() {
    let tenant = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant").unwrap();
    for (fleet, reason) in [
        (FLEET[..tenant].to_owned(), "TenantRemoved"),
        (FLEET.replace("name: apps", "name: other"), "SourceRemoved"),
    ] {
        let mut world = World::started();
        world.fleet("fleet.yaml", &fleet);
        if reason == "SourceRemoved" {
            world.file_in("payments/other", "x/rimward.yaml", &app("x", "{names: [eu-1]}"));
        }
        let step = world.step();
        assert_eq!(step.holds(), [format!("{reason} payments/db payments/web")]);
        assert!(step.apps("eu-1").starts_with(&["payments/db@1".to_owned(), "payments/web@1".to_owned()]));
        world.approvals.insert(step.output.decided.holds[0].digest);
        assert_eq!(world.step().removed("eu-1"), ["payments/db", "payments/web"]);
    }
}

#[test]
fn a_source_that_was_never_read_is_carried_on() {
    let mut world = World::started();
    let files = world.sources.insert(source("payments/apps"), None);
    let step = world.step();
    assert!(step.unchanged() && step.holds().is_empty());
    assert_eq!(step.codes(), ["RW4012".to_owned()].into());
    assert_eq!(step.output.origins.len(), 2, "where they came from is not forgotten");
    world.sources.insert(source("payments/apps"), files.unwrap());
    assert!(world.step().unchanged());
}

#[test]
fn an_app_that_may_be_in_an_unread_source_stays() {
    let mut world = World::started();
    let two = "  - {name: more, git: {url: https://git.example/more.git}}\n  clusters: {}";
    world.fleet("fleet.yaml", &FLEET.replace("  clusters: {}", two));
    world.remove("web/rimward.yaml");
    let step = world.step();
    assert!(step.unchanged(), "{:?}", step.removed("eu-1"));
    // Once the other source is read, the App is known to be gone.
    world.file_in("payments/more", "other/rimward.yaml", &app("other", "{names: [us-1]}"));
    let step = world.step();
    assert_eq!(step.removed("eu-1"), ["payments/web"], "{:?}", step.all_notes());
}

#[test]
fn an_app_moves_between_sources_without_going() {
    let mut world = World::started();
    let two = "  - {name: more, git: {url: https://git.example/more.git}}\n  clusters: {}";
    world.fleet("fleet.yaml", &FLEET.replace("  clusters: {}", two));
    world.remove("web/rimward.yaml");
    world.file_in("payments/more", "w/rimward.yaml", &app("web", "{}"));
    world.file_in("payments/more", "w/cm.yaml", &config_map("web", "1"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.output.origins[&id("payments/web")].source, source("payments/more"));
}

#[test]
fn an_app_that_may_have_gone_to_a_source_not_looked_at_since_stays() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &super::world::two_sources());
    world.file_in("payments/more", "other/rimward.yaml", &app("other", "{names: [us-1]}"));
    world.file_in("payments/more", "other/cm.yaml", &config_map("other", "1"));
    world.step();
    world.remove("web/rimward.yaml");
    world.looks.insert(source("payments/apps"), Looks { last: 7, changed: 7 });
    for last in [0, 6, 7] {
        world.looks.insert(source("payments/more"), Looks { last, changed: 2 });
        let step = world.step();
        assert!(step.unchanged(), "{last}: {:?}", step.removed("us-1"));
        assert_eq!(step.codes(), ["RW4012".to_owned()].into());
        let why = step.blocked("payments/web").unwrap();
        assert!(why.contains("source payments/more was not looked at since"), "{why}");
    }
    // It is not there either; or it is, and then it goes on.
    world.looks.insert(source("payments/more"), Looks { last: 8, changed: 2 });
    assert_eq!(world.step().removed("us-1"), ["payments/web"]);
}

#[test]
fn a_bad_app_file_changes_nothing_and_hides_nothing() {
    for bad in [
        "not: [yaml",
        "",
        "just text",
        "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: web}\nspec: {clusters: {}, nope: 1}",
        "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: web}\nspec: {clusters: {cel: x}}",
        "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {}\nspec: {clusters: {}}",
        "apiVersion: rimward.dev/v1\nkind: App\nmetadata: {name: web}\nspec: {clusters: {}}",
    ] {
        let mut world = World::started();
        world.file("web/rimward.yaml", bad);
        world.file("db/cm.yaml", &config_map("db", "2"));
        let step = world.step();
        assert_eq!(step.apps("eu-1"), ["payments/db@2", "payments/web@1"], "{bad}");
        assert!(step.removed("eu-1").is_empty() && step.holds().is_empty());
        assert!(!step.all_notes().is_empty());
    }
}

#[test]
fn a_file_moved_and_broken_at_once_takes_nothing_along() {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    world.file("site/rimward.yaml", "metadata: {name");
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.codes(), ["RW3001".to_owned(), "RW4013".to_owned()].into());
}

#[test]
fn a_bad_manifest_stops_only_its_app() {
    let mut world = World::started();
    world.file("web/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n---\nkind: Half\n");
    world.file("db/cm.yaml", &config_map("db", "2"));
    let step = world.step();
    assert_eq!(step.apps("eu-1"), ["payments/db@2", "payments/web@1"]);
    let note = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
    assert_eq!((note.code.as_str(), note.at.to_string()), ("RW3020", "web/cm.yaml:5:1".to_owned()));
}
