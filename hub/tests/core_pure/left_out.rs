//! What is in a repository and is not read is not absent: links, submodules,
//! names that are no text, and App files under almost the right name.

use rimward_hub::core::model::LeftOut;
use rimward_hub::core::note::Severity;

use super::world::{FLEET, World, app, config_map, id};

const FOLDERS: [LeftOut; 3] = [LeftOut::Link, LeftOut::Submodule, LeftOut::OddFolder];

/// [`World::started`] without the folder `web`, and with this in its place.
fn replaced(path: &str, what: LeftOut) -> World {
    let mut world = World::started();
    world.remove("web/rimward.yaml");
    world.remove("web/cm.yaml");
    world.left_out.insert(path.to_owned(), what);
    world
}

#[test]
fn an_app_file_that_became_a_link_takes_nothing_along() {
    for what in [LeftOut::LinkToFile, LeftOut::LinkToFolder, LeftOut::Link, LeftOut::Submodule] {
        let mut world = World::started();
        world.remove("web/rimward.yaml");
        world.left_out.insert("web/rimward.yaml".into(), what);
        world.file("db/cm.yaml", &config_map("db", "2"));
        let step = world.step();
        assert_eq!(step.apps("eu-1"), ["payments/db@2", "payments/web@1"], "{what:?}");
        assert!(step.removed("eu-1").is_empty() && step.holds().is_empty());
        let errors: Vec<_> = step.all_notes().into_iter().filter(|n| n.severity == Severity::Error).collect();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!((error.code.as_str(), error.at.file.as_str()), ("RW3025", "web/rimward.yaml"));
        assert!(world.step().unchanged());
    }
}

#[test]
fn a_folder_that_is_not_read_any_more_may_still_have_its_apps() {
    for what in FOLDERS {
        let mut world = replaced("web", what);
        let step = world.step();
        assert!(step.unchanged(), "{what:?}: {:?}", step.removed("eu-1"));
        assert_eq!(step.codes(), ["RW3025".to_owned(), "RW4013".to_owned()].into());
        let kept = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
        assert!(kept.message.contains("web of source payments/apps is not read"), "{kept}");
        // Once it is out of the way, the App is known to be gone.
        world.left_out.clear();
        assert_eq!(world.step().removed("eu-1"), ["payments/web"]);
    }
}

#[test]
fn what_cannot_hold_an_app_file_keeps_none() {
    for (path, what) in [
        ("README.md", LeftOut::LinkToFile),
        ("latest", LeftOut::LinkToFolder),
        ("caf\\xe9.yaml", LeftOut::OddFile),
    ] {
        let step = replaced(path, what).step();
        assert_eq!(step.removed("eu-1"), ["payments/web"], "{path}");
    }
    let step = replaced(r"web\\rimward.yaml", LeftOut::OddFile).step();
    assert!(step.unchanged(), "a name with a backslash that was meant as a path");
}

#[test]
fn an_app_file_under_almost_the_right_name_takes_nothing_along() {
    for name in ["rimward.yml", "rimward.json", "Rimward.yaml"] {
        let mut world = World::started();
        world.remove("web/rimward.yaml");
        world.file(&format!("web/{name}"), &app("web", "{}"));
        let step = world.step();
        assert!(step.unchanged(), "{name}: {:?}", step.removed("eu-1"));
        assert_eq!(step.codes(), ["RW3008".to_owned(), "RW4013".to_owned()].into(), "{name}");
    }
}

#[test]
fn a_manifest_that_is_not_read_is_not_pruned() {
    for (path, what) in [
        ("web/cm.yaml", LeftOut::LinkToFile),
        ("web/more/cm.yml", LeftOut::OddFile),
        ("web/more", LeftOut::LinkToFolder),
        ("web/more", LeftOut::Link),
        ("web/more", LeftOut::Submodule),
        ("web/more", LeftOut::OddFolder),
    ] {
        let mut world = World::started();
        world.file("web/other.yaml", &config_map("other", "1"));
        world.file("web/more/cm.yml", &config_map("more", "1"));
        assert_eq!(world.step().apps("us-1"), ["payments/web@2"]);
        world.file("db/cm.yaml", &config_map("db", "2"));
        world.remove(if path == "web/cm.yaml" { path } else { "web/more/cm.yml" });
        world.left_out.insert(path.to_owned(), what);
        let step = world.step();
        assert_eq!(step.apps("eu-1"), ["payments/db@3", "payments/web@2"], "{path} {what:?}");
        let blocked = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
        assert_eq!((blocked.code.as_str(), blocked.at.file.as_str()), ("RW3025", path));
        assert!(blocked.help.contains("commit a regular file"), "{blocked}");
        world.left_out.clear();
        assert_eq!(world.step().apps("us-1"), ["payments/web@4"], "then it is known to be gone");
    }
}

#[test]
fn the_way_to_the_manifests_may_not_be_read_either() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &(app("web", "{}") + "  path: a/b\n"));
    world.remove("web/cm.yaml");
    world.left_out.insert("web/a".into(), LeftOut::Link);
    let step = world.step();
    assert!(step.unchanged() && step.holds().is_empty(), "{:?}", step.holds());
    assert_eq!(step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap().code, "RW3025");
}

#[test]
fn what_is_no_manifest_stops_no_app() {
    for (path, what) in [
        ("web/README.md", LeftOut::LinkToFile),
        ("web/.github", LeftOut::Submodule),
        ("web/nested/cm.yaml", LeftOut::LinkToFile),
        ("website", LeftOut::LinkToFolder),
    ] {
        let mut world = World::started();
        world.file("web/nested/rimward.yaml", &app("nested", "{names: [us-1]}"));
        world.step();
        world.left_out.insert(path.to_owned(), what);
        world.file("web/cm.yaml", &config_map("web", "2"));
        assert_eq!(world.step().apps("eu-1"), ["payments/db@1", "payments/web@3"], "{path}");
    }
}

#[test]
fn fleet_files_that_are_not_read_any_more_stay_in_force() {
    let fleet = "apiVersion: rimward.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\n\
                 spec: {deletion: {maxPerPlan: 3}}\n";
    for (path, what) in [
        ("policy/fleet.yaml", LeftOut::LinkToFile),
        ("policy", LeftOut::Link),
        ("policy", LeftOut::Submodule),
    ] {
        let mut world = World::started();
        world.fleet("policy/fleet.yaml", fleet);
        world.step();
        world.fleet.remove("policy/fleet.yaml");
        world.fleet_left_out.insert(path.to_owned(), what);
        for _ in 0..2 {
            let step = world.step();
            assert!(step.unchanged(), "{path} {what:?}");
            let budget = &step.output.plans.values().next().unwrap().bundles[0].deletion;
            assert_eq!(budget.max_per_plan, 3);
            assert!(step.codes().contains("RW3025"));
        }
    }
    let mut world = World::started();
    let documents = world.fleet.remove("fleet.yaml").unwrap();
    world.fleet.insert("real/fleet.yaml".into(), documents);
    world.fleet_left_out.insert("fleet".into(), LeftOut::LinkToFolder);
    let step = world.step();
    assert!(step.unchanged() && step.all_notes().is_empty(), "{:?}", step.all_notes());
    assert!(FLEET.contains("eu-1"));
}
