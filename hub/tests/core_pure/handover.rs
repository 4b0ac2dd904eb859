//! Files that go from one App to another: objects move, and while the App they
//! go to cannot take them, the one they come from gives nothing away.

use rimward_hub::core::model::LeftOut;
use rimward_hub::core::note::Severity;

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
/// What may stop an App whose file is right.
fn stopped(world: &mut World, how: &str) {
    match how {
        "manifest" => world.file("web/sub/more.yaml", "not: [yaml"),
        "its own manifest" => world.file("web/sub/cm.yaml", "kind: ConfigMap\nmetadata: {name: sub}\n"),
        "guardrail" => {
            let cm = config_map("x", "1").replace("name: x", "name: x, namespace: kube-system");
            world.file("web/sub/more.yaml", &cm);
        }
        "owner" => world.file("web/sub/more.yaml", &config_map("db", "1")),
        "dependency" => {
            world.file("web/sub/rimward.yaml", &(app("sub", "{}") + "  dependsOn: [{app: nobody}]\n"));
        }
        _ => unreachable!(),
    }
}

const STOPPED: [&str; 5] = ["manifest", "its own manifest", "guardrail", "owner", "dependency"];

#[test]
fn an_app_that_cannot_be_there_yet_takes_nothing_from_the_app_above() {
    for how in STOPPED {
        let mut world = nested();
        world.file("web/sub/rimward.yaml", &app("sub", "{}"));
        stopped(&mut world, how);
        world.file("web/cm.yaml", &config_map("web", "2"));
        let step = world.step();
        assert!(step.unchanged(), "{how}: {:?}", step.all_notes());
        let (code, _, text) = kept(&step, "payments/web");
        assert_eq!(code, "RW3028", "{how}: {text}");
        assert!(text.contains("payments/sub"), "{how}: {text}");
        assert!(world.step().unchanged(), "{how}");
    }
}

#[test]
fn an_app_above_goes_on_if_it_loses_nothing_by_it() {
    for how in STOPPED {
        let mut world = nested();
        world.file("web/sub/rimward.yaml", &app("sub", "{}"));
        world.step();
        stopped(&mut world, how);
        world.file("web/cm.yaml", &config_map("web", "2"));
        let step = world.step();
        assert!(step.apps("eu-1").contains(&"payments/web@4".to_owned()), "{how}: {:?}", step.all_notes());
        nothing_goes(&world, &step);
    }
}

#[test]
fn a_file_that_moves_into_an_app_that_cannot_take_it_stays_where_it_was() {
    for stop in [true, false] {
        let mut world = World::started();
        world.file("web/more.yaml", &config_map("more", "1"));
        world.step();
        world.remove("web/more.yaml");
        world.file("db/more.yaml", &config_map("more", "1"));
        match stop {
            true => world.file("db/rimward.yaml", &(app("db", "{names: [eu-1]}") + "  nope: 1\n")),
            false => world.file("db/bad.yaml", "not: [yaml"),
        }
        let step = world.step();
        assert!(step.unchanged(), "{:?}", step.all_notes());
        assert_eq!(kept(&step, "payments/web").0, "RW3028");
        assert!(step.all_notes().iter().any(|n| n.code == "RW3028" && n.severity == Severity::Error));
        world.file("db/rimward.yaml", &app("db", "{names: [eu-1]}"));
        world.file("db/bad.yaml", &config_map("bad", "1"));
        let step = world.step();
        assert_eq!(step.all_notes(), []);
        assert_eq!(world.objects("eu-1", "payments/db").len(), 3);
        assert_eq!(world.objects("us-1", "payments/web").len(), 1);
    }
}

#[test]
fn what_an_app_gives_away_for_good_is_not_waited_for() {
    let mut world = World::started();
    world.file("web/more.yaml", &config_map("more", "1"));
    world.file("web/rimward.yaml", &app("web", "{names: [us-1]}"));
    world.file("db/bad.yaml", "not: [yaml");
    world.step();
    // db is not stopped on us-1, where it never is; and another object of another name goes as it should.
    world.remove("web/more.yaml");
    world.file("db/more.yaml", &config_map("more", "1"));
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None);
    assert_eq!(world.objects("us-1", "payments/web").len(), 1);
}

#[test]
fn an_app_renamed_and_broken_at_once_stays_under_its_old_name() {
    for (name, file, text) in [
        ("wrong file, same place", "web/rimward.yaml", app("site", "{}") + "  nope: 1\n"),
        ("same place", "web/bad.yaml", "not: [yaml".to_owned()),
        ("same place, its own manifest", "web/cm.yaml", "not: [yaml".to_owned()),
        ("another place", "site/bad.yaml", "not: [yaml".to_owned()),
        ("another place, its own manifest", "site/cm.yaml", "kind: [".to_owned()),
    ] {
        let mut world = World::started();
        if name.starts_with("another") {
            world.remove("web/rimward.yaml");
            world.remove("web/cm.yaml");
            world.file("site/rimward.yaml", &app("site", "{}"));
            world.file("site/cm.yaml", &config_map("web", "1"));
        } else {
            world.file("web/rimward.yaml", &app("site", "{}"));
        }
        world.file(file, &text);
        let step = world.step();
        assert!(step.unchanged(), "{name}: {:?}", step.removed("us-1"));
        assert_eq!(kept(&step, "payments/web").0, "RW3028", "{name}");
        assert!(world.step().unchanged());
    }
}

#[test]
fn an_app_that_leaves_a_cluster_for_one_that_cannot_come_stays() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &app("web", "{names: [eu-1]}"));
    world.file("us/rimward.yaml", &app("us", "{names: [us-1]}"));
    world.file("us/cm.yaml", &config_map("web", "1"));
    world.file("us/bad.yaml", "not: [yaml");
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(kept(&step, "payments/web").0, "RW3028");
}

#[test]
fn other_tenants_files_stop_nobody() {
    let tenant = "---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {name: orders}\nspec:\n  sources:\n  \
                  - {name: apps, git: {url: https://git.example/orders.git}}\n  clusters: {}\n  namespaces: [orders, payments]\n";
    let mut world = World::started();
    world.fleet("fleet.yaml", &format!("{}{tenant}", super::world::FLEET));
    world.file("web/more.yaml", &config_map("more", "1"));
    world.step();
    world.remove("web/more.yaml");
    world.file_in("orders/apps", "x/rimward.yaml", &app("x", "{}"));
    world.file_in("orders/apps", "x/more.yaml", &config_map("more", "1"));
    world.file_in("orders/apps", "x/bad.yaml", "not: [yaml");
    world.step();
    assert_eq!(world.objects("us-1", "payments/web").len(), 1);
}
