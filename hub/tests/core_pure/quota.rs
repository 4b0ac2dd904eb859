//! Quotas: what is there stays, what grows beyond them does not come.

use super::world::{FLEET, Step, World, app, config_map};

fn fleet(quota: &str) -> String {
    format!("{FLEET}  quota: {quota}\n")
}

fn maps(names: &[&str]) -> String {
    names.iter().map(|name| config_map(name, "1") + "---\n").collect()
}

fn web(world: &mut World, names: &[&str]) -> Step {
    world.file("web/cm.yaml", &maps(names));
    world.step()
}

#[test]
fn what_grows_beyond_it_stays_as_it_is_on_that_cluster() {
    let mut world = World::started();
    // App web is on both clusters, App db on eu-1 too.
    world.fleet("fleet.yaml", &fleet("{objects: 2}"));
    let step = web(&mut world, &["web", "more"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/web@1"]);
    assert_eq!(step.apps("us-1"), ["payments/web@2"]);
    assert_eq!(
        step.stopped("payments/web").as_deref(),
        Some(
            "RW4021 web/rimward.yaml:1:1 with payments/web as it is now, tenant payments would have 3 objects, \
             the quota is 2 (fleet.yaml:18:10 of the fleet repo) on eu-1"
        )
    );
    assert_eq!(step.stopped("payments/db"), None);
    let again = world.step();
    assert!(again.unchanged(), "a further planning changes nothing");
    assert_eq!(again.stopped("payments/web"), step.stopped("payments/web"));
    let step = web(&mut world, &["other"]);
    assert_eq!(step.apps("eu-1"), ["payments/db@1", "payments/web@4"], "what does not grow goes on");
}

#[test]
fn bytes_count_too() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{bytes: 1Ki}"));
    let large = |bytes: usize| config_map("web", &"x".repeat(bytes));
    world.file("web/cm.yaml", &large(2_000));
    let step = world.step();
    assert!(step.stopped("payments/web").unwrap().contains(" bytes, the quota is 1024 "));
    assert_eq!(step.apps("us-1"), ["payments/web@1"]);
    world.file("web/cm.yaml", &large(500));
    assert_eq!(world.step().stopped("payments/web"), None);
}

#[test]
fn nothing_goes_for_a_quota_that_is_lowered() {
    let mut world = World::started();
    web(&mut world, &["a", "b", "c"]);
    world.fleet("fleet.yaml", &fleet("{objects: 1, bytes: 1Ki}"));
    let step = world.step();
    assert!(step.unchanged() && step.stopped("payments/web").is_none());
    let step = web(&mut world, &["a", "b", "d"]);
    assert_eq!(step.apps("us-1"), ["payments/web@4"], "as much as before");
    assert!(web(&mut world, &["a", "b", "d", "e"]).stopped("payments/web").is_some());
    assert_eq!(web(&mut world, &["a"]).apps("us-1"), ["payments/web@6"]);
}

#[test]
fn what_is_there_goes_before_what_is_new_whatever_it_is_called() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet("{objects: 3}"));
    for name in ["aaa", "zzz"] {
        world.file(&format!("{name}/rimward.yaml"), &app(name, "{names: [us-1]}"));
        world.file(&format!("{name}/cm.yaml"), &config_map(name, "1"));
    }
    let step = web(&mut world, &["web", "more"]);
    assert_eq!(step.apps("us-1"), ["payments/aaa@2", "payments/web@2"]);
    assert!(step.stopped("payments/zzz").unwrap().contains("4 objects"));
    assert!(world.step().unchanged());
    // What gets smaller makes room in the same planning.
    let step = web(&mut world, &["web"]);
    assert_eq!(step.apps("us-1"), ["payments/aaa@2", "payments/web@4", "payments/zzz@4"]);
}

#[test]
fn room_that_is_not_made_is_not_used() {
    let mut world = World::started();
    web(&mut world, &["web", "more"]);
    world.fleet("fleet.yaml", &fleet("{objects: 2}"));
    // App web would get smaller, but is wrong and stays.
    world.file("web/cm.yaml", "nonsense: [");
    world.file("new/rimward.yaml", &app("new", "{names: [us-1]}"));
    world.file("new/cm.yaml", &config_map("new", "1"));
    let step = world.step();
    assert_eq!(step.apps("us-1"), ["payments/web@2"]);
    assert!(step.stopped("payments/new").unwrap().starts_with("RW4021 new/rimward.yaml:1:1 "));
}
