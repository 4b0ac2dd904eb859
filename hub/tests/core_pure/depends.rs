//! `dependsOn`: carried in the plan as it is written, and nothing in it that can
//! never come about.

use super::world::{FLEET, World, app, config_map, id};

fn depending(name: &str, clusters: &str, on: &str) -> String {
    app(name, clusters) + &format!("  dependsOn: [{on}]\n")
}

/// Another tenant on all clusters, with the source `orders/apps`.
fn two_tenants() -> String {
    let at = FLEET.find("---\napiVersion: rimward.dev/v1alpha1\nkind: Tenant").unwrap();
    FLEET.to_owned() + &FLEET[at..].replace("payments", "orders")
}

/// [`World::started`] with the App queue of tenant orders on both clusters.
fn with_orders() -> World {
    let mut world = World::started();
    world.fleet("fleet.yaml", &two_tenants());
    world.file_in("orders/apps", "rimward.yaml", &app("queue", "{}").replace("payments", "orders"));
    world.file_in("orders/apps", "cm.yaml", &config_map("queue", "1"));
    world.step();
    world
}

#[test]
fn a_change_of_dependencies_alone_changes_the_plan() {
    let mut world = with_orders();
    world.file("web/rimward.yaml", &depending("web", "{}", "{tenant: orders, app: queue}"));
    let step = world.step();
    assert_eq!(step.all_notes(), []);
    assert_eq!(step.apps("us-1"), ["orders/queue@2", "payments/web@3"]);
    assert_eq!(step.entry("us-1", "payments/web").depends_on, [id("orders/queue")]);
    assert!(world.step().unchanged());
    // The order in which they are written, and how often, means nothing.
    let twice = "{app: queue, tenant: orders}, {tenant: orders, app: queue}";
    world.file("web/rimward.yaml", &depending("web", "{}", twice));
    assert!(world.step().unchanged());
    world.file("web/rimward.yaml", &app("web", "{}"));
    assert_eq!(world.step().apps("us-1"), ["orders/queue@2", "payments/web@6"]);
}

#[test]
fn an_app_waits_in_its_last_good_form_for_one_that_does_not_exist() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &depending("web", "{}", "{app: db}, {app: cache}"));
    world.file("web/cm.yaml", &config_map("web", "2"));
    let step = world.step();
    assert!(step.unchanged());
    assert_eq!(
        step.blocked("payments/web").unwrap(),
        "RW3017 web/rimward.yaml:7:26 App payments/cache does not exist"
    );
    world.file("cache/rimward.yaml", &app("cache", "{}"));
    world.file("cache/cm.yaml", &config_map("cache", "1"));
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None);
    assert_eq!(step.entry("us-1", "payments/web").depends_on, [id("payments/cache"), id("payments/db")]);
    // It goes again: the App stays as it is, dependencies included.
    world.remove("cache/rimward.yaml");
    world.remove("cache/cm.yaml");
    let step = world.step();
    assert_eq!(step.removed("us-1"), ["payments/cache"]);
    assert!(step.blocked("payments/web").unwrap().contains("App payments/cache does not exist"));
    assert_eq!(step.entry("us-1", "payments/web").depends_on, [id("payments/cache"), id("payments/db")]);
}

#[test]
fn a_dependency_that_is_there_in_any_form_exists() {
    // One whose file is wrong, and one that is carried on because its source is not known any more.
    let mut world = World::started();
    world.file("db/rimward.yaml", &(app("db", "{names: [eu-1]}") + "  nope: 1\n"));
    world.file("web/rimward.yaml", &depending("web", "{names: [eu-1]}", "{app: db}"));
    assert_eq!(world.step().blocked("payments/web"), None);
    let mut world = with_orders();
    world.sources.insert(super::world::source("orders/apps"), None);
    world.file("web/rimward.yaml", &depending("web", "{}", "{tenant: orders, app: queue}"));
    assert_eq!(world.step().blocked("payments/web"), None);
    // One that nobody has seen may be in the source that was not read; it is not said to be missing.
    world.file("web/rimward.yaml", &depending("web", "{}", "{tenant: orders, app: other}"));
    let why = world.step().blocked("payments/web").unwrap();
    assert!(
        why.ends_with("App orders/other is not known: source orders/apps cannot be read as a whole"),
        "{why}"
    );
}

#[test]
fn a_renamed_dependency_is_said_to_be_renamed() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &depending("web", "{names: [eu-1]}", "{app: db}"));
    world.step();
    world.remove("db/rimward.yaml");
    world.file("db/rimward.yaml", &(app("store", "{names: [eu-1]}") + "  formerly: [db]\n"));
    let step = world.step();
    let note = step.output.decided.apps[&id("payments/web")].blocked.clone().unwrap();
    assert_eq!((note.code.as_str(), note.help.as_str()), ("RW3017", "it was renamed to payments/store"));
}

#[test]
fn a_circle_across_tenants_is_said_of_each_in_it() {
    let mut world = with_orders();
    let queue = |on: &str| depending("queue", "{}", on).replace("namespace: payments", "namespace: orders");
    world.file("web/rimward.yaml", &depending("web", "{names: [eu-1]}", "{tenant: orders, app: queue}"));
    world.file_in("orders/apps", "rimward.yaml", &queue("{tenant: payments, app: db}"));
    world.file("db/rimward.yaml", &depending("db", "{names: [eu-1]}", "{app: web}"));
    // One that depends on the circle is not in it.
    world.file("more/rimward.yaml", &depending("more", "{names: [eu-1]}", "{app: web}"));
    world.file("more/cm.yaml", &config_map("more", "1"));
    let step = world.step();
    for (app, place, way) in [
        ("payments/web", "web/rimward.yaml:7:15", "payments/web → orders/queue → payments/db → payments/web"),
        ("orders/queue", "rimward.yaml:7:15", "orders/queue → payments/db → payments/web → orders/queue"),
        ("payments/db", "db/rimward.yaml:7:15", "payments/db → payments/web → orders/queue → payments/db"),
    ] {
        let wanted = format!("RW3018 {place} Apps that wait for one another: {way}");
        assert_eq!(step.blocked(app), Some(wanted));
        assert_eq!(step.entry("eu-1", app).depends_on, [], "the last good one");
    }
    assert_eq!(step.blocked("payments/more"), None);
    assert_eq!(step.entry("eu-1", "payments/more").depends_on, [id("payments/web")]);
    // One of them gives in, and all go on.
    world.file("db/rimward.yaml", &app("db", "{names: [eu-1]}"));
    let step = world.step();
    assert_eq!(step.all_notes().iter().filter(|note| note.code == "RW3018").count(), 0);
    assert_eq!(step.entry("eu-1", "orders/queue").depends_on, [id("payments/db")]);
}

#[test]
fn a_circle_with_what_is_in_force_is_one_too() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &depending("web", "{names: [eu-1]}", "{app: db}"));
    world.step();
    // In Git they do not wait for one another any more. But web cannot be updated, and waits for db on the cluster.
    world.file("web/rimward.yaml", &app("web", "{names: [eu-1]}"));
    world.file("web/cm.yaml", "kind: Half\n");
    world.file("db/rimward.yaml", &depending("db", "{names: [eu-1]}", "{app: web}"));
    let step = world.step();
    assert!(step.unchanged());
    assert!(step.blocked("payments/db").unwrap().contains("payments/db → payments/web → payments/db"));
    world.file("web/cm.yaml", &config_map("web", "1"));
    let step = world.step();
    assert_eq!(step.entry("eu-1", "payments/db").depends_on, [id("payments/web")]);
    assert_eq!(step.entry("eu-1", "payments/web").depends_on, []);
}

#[test]
fn a_dependency_that_is_not_on_all_clusters_is_pointed_out() {
    let mut world = World::started();
    world.file("web/rimward.yaml", &depending("web", "{}", "{app: db}"));
    let step = world.step();
    assert_eq!(step.entry("us-1", "payments/web").depends_on, [id("payments/db")]);
    let notes: Vec<String> = step.all_notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "warning[RW3019]: App payments/db is not on 1 of payments/web's clusters, so payments/web waits there: us-1 \
          --> web/rimward.yaml:7:15\n  help: let both select the same clusters"
        ]
    );
    world.file("db/rimward.yaml", &app("db", "{}"));
    assert_eq!(world.step().all_notes(), []);
}
