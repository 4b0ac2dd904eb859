//! Files that go from one App to another: objects move, and while the App they
//! go to cannot take them, the one they come from gives nothing away.

use rimward_hub::core::model::LeftOut;

use super::world::{Step, World, app, config_map, id, source, two_sources};

/// [`World::started`], and a second ConfigMap in a folder below App web.
fn nested() -> World {
    let mut world = World::started();
    world.file("web/sub/cm.yaml", &config_map("sub", "1"));
    world.step();
    world
}

/// What keeps an App: code, place, and the whole as people read it.
fn kept(step: &Step, app: &str) -> (String, String, String) {
    let blocked = step.output.decided.apps[&id(app)].blocked.clone();
    let note = blocked.unwrap_or_else(|| panic!("{app} is not kept: {:?}", step.all_notes()));
    (note.code.clone(), note.at.to_string(), note.to_string())
}

/// Nothing leaves any cluster.
fn nothing_goes(world: &World, step: &Step) {
    for on in ["eu-1", "us-1"] {
        assert!(step.removed(on).is_empty(), "{on}: {:?}", step.removed(on));
        let before = &step.before[&super::world::cluster(on)];
        for bundle in &before.bundles {
            let now = world.objects(on, &bundle.id().to_string());
            assert!(now.len() as u64 >= bundle.objects, "{on}: {} lost objects", bundle.id());
        }
    }
}

const WRONG: [&str; 6] = [
    "not: [yaml",
    "",
    "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: sub}\nspec: {clusters: {}, nope: 1}",
    "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: sub}\nspec: {clusters: {}, namespace: other}",
    "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {}\nspec: {clusters: {}}",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sub}",
];

#[test]
fn a_wrong_app_file_below_an_app_takes_nothing_from_it() {
    for wrong in WRONG {
        let mut world = nested();
        world.file("web/sub/rimward.yaml", wrong);
        world.file("web/cm.yaml", &config_map("web", "2"));
        let step = world.step();
        assert!(step.unchanged(), "{wrong}");
        let (code, at, text) = kept(&step, "payments/web");
        assert_eq!((code.as_str(), &at[..21]), ("RW3027", "web/sub/rimward.yaml:"), "{text}");
        assert!(text.contains("payments/web stays as it is"), "{text}");
        assert!(step.all_notes().iter().any(|note| note.code == "RW3027"), "it is said of the source too");
        assert!(world.step().unchanged());
        // Mended, it hands over what it takes.
        world.file("web/sub/rimward.yaml", &app("sub", "{}"));
        let step = world.step();
        assert_eq!(step.all_notes(), []);
        assert_eq!(step.apps("us-1"), ["payments/sub@5", "payments/web@5"]);
        assert_eq!(world.objects("us-1", "payments/sub")[0]["metadata"]["name"], "sub");
        // Wrong again: both stay, and nothing comes back to the App above.
        world.file("web/sub/rimward.yaml", wrong);
        world.file("web/cm.yaml", &config_map("web", "3"));
        let step = world.step();
        assert!(step.unchanged(), "{wrong}");
        assert_eq!(kept(&step, "payments/web").0, "RW3027");
        // Out of the way, the App above has it all back.
        world.remove("web/sub/rimward.yaml");
        let step = world.step();
        assert_eq!(step.removed("us-1"), ["payments/sub"]);
        assert_eq!(world.objects("us-1", "payments/web").len(), 2);
    }
}

#[test]
fn an_app_file_between_an_app_and_its_manifests_takes_nothing_from_it() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &(app("web", "{}") + "  path: deploy/base\n"));
    world.file("web/deploy/base/cm.yaml", &config_map("web", "1"));
    world.step();
    world.file("web/deploy/rimward.yaml", "not: [yaml");
    let step = world.step();
    assert!(step.unchanged() && step.holds().is_empty(), "{:?}", step.holds());
    assert_eq!(kept(&step, "payments/web").0, "RW3027");
}

#[test]
fn a_wrong_app_file_stops_only_the_apps_that_it_is_in() {
    for path in ["db/sub/rimward.yaml", "web/.old/rimward.yaml", "rimward.yaml", "other/rimward.yaml"] {
        let mut world = nested();
        world.file(path, "not: [yaml");
        world.file("web/cm.yaml", &config_map("web", "2"));
        let step = world.step();
        assert!(step.apps("us-1").contains(&"payments/web@3".to_owned()), "{path}");
        nothing_goes(&world, &step);
    }
}

#[test]
fn an_app_name_that_is_taken_takes_nothing_from_the_app_above() {
    // Once the first is named, once the second.
    for name in ["db", "web"] {
        let mut world = nested();
        world.file("web/sub/rimward.yaml", &app(name, "{}"));
        let step = world.step();
        assert!(step.unchanged(), "{name}");
        kept(&step, "payments/web");
    }
    // The one that is found first is as unclear as the second.
    let mut world = nested();
    world.file("web/sub/rimward.yaml", &app("x", "{}"));
    world.file("zz/rimward.yaml", &app("x", "{}"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(kept(&step, "payments/web").0, "RW3027");
    // In another source.
    let mut world = nested();
    world.fleet("fleet.yaml", &two_sources());
    world.file("web/sub/rimward.yaml", &app("x", "{}"));
    world.file_in("payments/more", "x/rimward.yaml", &app("x", "{}"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(kept(&step, "payments/web").0, "RW3027");
}

#[test]
fn an_app_file_that_is_not_read_any_more_takes_nothing() {
    for what in [LeftOut::LinkToFile, LeftOut::Link, LeftOut::Submodule] {
        for was_an_app in [false, true] {
            let mut world = nested();
            if was_an_app {
                world.file("web/sub/rimward.yaml", &app("sub", "{}"));
                world.step();
                world.remove("web/sub/rimward.yaml");
            }
            world.left_out.insert("web/sub/rimward.yaml".into(), what);
            let step = world.step();
            assert!(step.unchanged(), "{what:?} {was_an_app}");
            kept(&step, "payments/web");
        }
    }
    let mut world = nested();
    world.file("web/sub/rimward.yaml", &" ".repeat(300 << 10));
    assert!(world.step().unchanged());
    let files = world.sources.get_mut(&source("payments/apps")).unwrap().as_mut().unwrap();
    files.insert("web/sub/rimward.yaml".into(), [0xff, 0xfe, 0x00][..].into());
    assert!(world.step().unchanged());
}
