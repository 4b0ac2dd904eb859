//! What the fleet repo and the clusters themselves can do to a plan: frozen
//! clusters, unaccounted Apps, ownership, and the price of a planning.

use rimward_hub::core::plan::Counts;

use super::world::{FLEET, World, app, cluster, config_map, id};

#[test]
fn a_cluster_without_a_document_is_frozen() {
    let mut world = World::started();
    let us = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Cluster").unwrap();
    let tenant = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant").unwrap();
    world.fleet("fleet.yaml", &format!("{}{}", &FLEET[..us], &FLEET[tenant..]));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/web@2"]);
    assert_eq!(step.codes(), ["RW4011".to_owned()].into());
    // An App that now selects only the frozen cluster's place keeps what is there.
    world.fleet("fleet.yaml", FLEET);
    assert_eq!(world.step().apps("us-1"), ["payments/web@2"]);
}

#[test]
fn an_emptied_fleet_repo_freezes_everything() {
    let mut world = World::started();
    world.fleet.clear();
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.output.plans.len(), 2);
    assert_eq!(step.output.origins.len(), 2);
    world.fleet("fleet.yaml", FLEET);
    assert!(world.step().unchanged());
}

#[test]
fn a_tenant_removed_with_its_clusters_there_is_held_through_a_return() {
    let mut world = World::started();
    let tenant = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant").unwrap();
    world.fleet("fleet.yaml", &FLEET[..tenant]);
    assert!(world.step().unchanged());
    world.fleet("fleet.yaml", FLEET);
    let step = world.step();
    assert!(step.unchanged() && step.holds().is_empty());
}

#[test]
fn a_broken_fleet_file_keeps_what_it_said() {
    let mut world = World::started();
    for bad in ["{", &FLEET.replace("namespaces:", "namespaces: [x]\n  namespace:"), "\u{0}"] {
        world.fleet("fleet.yaml", bad);
        let step = world.step();
        assert!(step.unchanged() && step.holds().is_empty(), "{bad}");
        assert!(step.codes().contains("RW3011"));
    }
}

#[test]
fn a_document_moved_and_broken_at_once_loosens_nothing() {
    let fleet = "apiVersion: rimward.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  \
                 deletion: {maxPerPlan: 3, protect: [Secret]}\n";
    let budget = |world: &World| world.previous[&cluster("us-1")].bundles[0].deletion.clone();
    for apart in [true, false] {
        let mut world = World::started();
        let before = if apart { "a.yaml" } else { "fleet.yaml" };
        world.fleet(before, &if apart { fleet.to_owned() } else { format!("{fleet}---{FLEET}") });
        world.step();
        assert_eq!(budget(&world).max_per_plan, 3);
        // From a file of its own that goes, or out of one that stays and is right.
        if apart {
            drop(world.fleet.remove("a.yaml"))
        } else {
            world.fleet("fleet.yaml", FLEET)
        }
        world.fleet("policy/fleet.yaml", &fleet.replace("maxPerPlan", "maxPerPlann"));
        for _ in 0..3 {
            let step = world.step();
            assert!(step.unchanged(), "{:?}", budget(&world));
            assert!(step.all_notes().iter().any(|n| n.message.contains("the Fleet document is not found")));
        }
        // A further commit to the file it came from does not forget it either.
        world.fleet("fleet.yaml", &FLEET.replace("region: us", "region: us, zone: a"));
        world.step();
        assert_eq!(budget(&world).max_per_plan, 3);
        world.fleet("policy/fleet.yaml", &fleet.replace("maxPerPlan: 3", "maxPerPlan: 4"));
        assert!(world.step().all_notes().is_empty());
        assert_eq!(budget(&world).max_per_plan, 4);
        assert!(world.good.keys().all(|name| !name.starts_with('/')), "{:?}", world.good.keys());
        world.fleet.remove("policy/fleet.yaml");
        world.step();
        assert_eq!(budget(&world).max_per_plan, 20, "with all files right, gone is gone");
    }
}

#[test]
fn a_tenant_that_is_not_found_while_a_file_is_wrong_is_not_gone() {
    let mut world = World::started();
    let at = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant").unwrap();
    world.fleet("fleet.yaml", &FLEET[..at]);
    world.fleet("tenants/payments.yaml", &FLEET[at..].replace("namespaces", "namespace"));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert!(step.holds().is_empty(), "{:?}", step.holds());
    assert_eq!(step.apps("us-1"), ["payments/web@2"], "it is even updated");
    world.fleet("tenants/payments.yaml", &FLEET[at..]);
    assert!(world.step().all_notes().is_empty());
}

#[test]
fn an_unaccounted_app_goes_only_when_approved() {
    let mut world = World::started();
    world.unaccounted.entry(cluster("us-1")).or_default().insert(id("payments/old"));
    world.unaccounted.entry(cluster("eu-1")).or_default().insert(id("payments/web"));
    let step = world.step();
    assert_eq!(step.holds(), ["Unaccounted payments/old"], "web is accounted for");
    assert!(step.unchanged());
    world.approvals.insert(step.output.decided.holds[0].digest);
    let step = world.step();
    assert_eq!(step.removed("us-1"), ["payments/old"]);
    assert!(step.removed("eu-1").is_empty() && step.holds().is_empty());
    assert!(world.step().unchanged());
}

#[test]
fn one_object_in_two_apps_updates_neither() {
    let mut world = World::started();
    world.file("db/more.yaml", &config_map("web", "9"));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.codes(), ["RW4005".to_owned()].into());
    // On different clusters there is no quarrel.
    world.file("web/rimward.yaml", &app("web", "{names: [us-1]}"));
    let step = world.step();
    assert_eq!(step.apps("us-1"), ["payments/web@3"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@3"]);
}

#[test]
fn an_object_moves_from_one_app_to_another_in_one_commit() {
    let mut world = World::started();
    world.file("db/web.yaml", &config_map("web", "1"));
    world.file("web/cm.yaml", &config_map("other", "1"));
    let step = world.step();
    assert_eq!(step.apps("eu-1"), ["payments/db@2", "payments/web@2"]);
    assert!(step.codes().is_empty());
}

#[test]
fn an_object_of_an_app_that_cannot_update_stays_its_own() {
    let mut world = World::started();
    // web no longer has the ConfigMap, but cannot be updated: what it has on the clusters is still its own.
    world.file("web/cm.yaml", "broken: [");
    world.file("db/web.yaml", &config_map("web", "1"));
    let step = world.step();
    assert!(step.unchanged());
    assert!(step.codes().contains("RW4005"));
}

#[test]
fn one_app_in_two_sources_updates_neither() {
    let mut world = World::started();
    let two = "  - {name: more, git: {url: https://git.example/more.git}}\n  clusters: {}";
    world.fleet("fleet.yaml", &FLEET.replace("  clusters: {}", two));
    world.file_in("payments/more", "w/rimward.yaml", &app("web", "{}"));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(step.codes(), ["RW3012".to_owned()].into());
    let notes = step.all_notes();
    assert_eq!(notes.len(), 2, "both are named: {notes:?}");
}

#[test]
fn nothing_changed_costs_nothing_and_one_file_costs_one() {
    let mut world = World::started();
    let counts = world.cache.counts();
    world.step();
    assert_eq!(world.cache.counts(), counts);
    world.file("db/cm.yaml", &config_map("db", "2"));
    world.step();
    let more = Counts {
        sources: counts.sources + 1,
        files: counts.files + 1,
        apps: counts.apps + 1,
        checks: counts.checks + 1,
        rules: counts.rules,
        forms: counts.forms + 1,
    };
    assert_eq!(world.cache.counts(), more);
}

#[test]
fn budgets_only_narrow() {
    let mut world = World::started();
    let deletion = |world: &World| world.previous[&cluster("us-1")].bundles[0].deletion.clone();
    assert_eq!(deletion(&world).max_per_plan, 20);
    let narrowed = format!("{FLEET}  limits: {{deletion: {{maxPerPlan: 5, protect: [Secret]}}}}\n");
    world.fleet("fleet.yaml", &narrowed);
    world.step();
    assert_eq!(deletion(&world).max_per_plan, 5);
    let protect = ["CustomResourceDefinition", "Namespace", "PersistentVolumeClaim", "Secret"];
    assert_eq!(deletion(&world).protect, protect);
    world.fleet("fleet.yaml", &narrowed.replace("maxPerPlan: 5", "maxPerPlan: 500"));
    world.step();
    assert_eq!(deletion(&world).max_per_plan, 20);
}
