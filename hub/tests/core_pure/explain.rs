//! What an App is made of on a cluster, as `explain` tells it, and what a preview
//! makes of values that differ from cluster to cluster.

use rimward_hub::core::explain::chain;
use rimward_hub::core::files::load_fleet;
use rimward_hub::core::preview::Action;

use super::preview::{change_fleet, told, trees};
use super::world::{FLEET, World, app, cluster, id};

const OVERRIDES: &str = "  variables: {domain: null, replicas: 2}
  images: [{name: nginx, newTag: \"1\"}]
  overrides:
  - clusters: {matchLabels: {region: us}}
    images: [{name: nginx, newTag: \"2\"}]
    variables: {replicas: 5}
  - clusters: {names: [us-1]}
    images: [{name: nginx, newName: mirror/nginx}]
";

/// [`FLEET`] with a domain for each cluster.
fn fleet() -> String {
    FLEET
        .replace(
            "{name: eu-1, labels: {env: prod, region: eu}}",
            "{name: eu-1, labels: {env: prod, region: eu}}\nspec: {variables: {domain: eu.example}}",
        )
        .replace(
            "{name: us-1, labels: {env: prod, region: us}}",
            "{name: us-1, labels: {env: prod, region: us}}\nspec: {variables: {domain: us.example}}",
        )
}

#[test]
fn the_chain_names_what_is_set_and_where_and_no_value() {
    let mut world = World::started();
    world.fleet("fleet.yaml", &fleet());
    world.file("web/rimward.yaml", &(app("web", "{}") + OVERRIDES));
    let step = world.step();
    let fleet = load_fleet(&trees(&fleet(), &[]).fleet, &Default::default()).policy;
    let on = |name: &str| chain(&step.output.apps[&id("payments/web")], &fleet.clusters[&cluster(name)]);
    let said = |name: &str| -> Vec<String> {
        let applying = on(name).into_iter().filter(|one| one.applies);
        applying.map(|one| format!("{} {} {}", one.at.line, one.fleet, one.sets.join(", "))).collect()
    };
    assert_eq!(said("eu-1"), ["1 false variable replicas, tag of image nginx", "2 true variable domain"]);
    let expected = [
        "1 false variable replicas, tag of image nginx",
        "7 true variable domain",
        "10 false variable replicas, tag of image nginx",
        "13 false name of image nginx",
    ];
    assert_eq!(said("us-1"), expected);
    assert!(!format!("{:?}", on("us-1")).contains("example"), "names, not values");
    world.file("web/rimward.yaml", &app("web", "{}"));
    let step = world.step();
    let plain = chain(&step.output.apps[&id("payments/web")], &fleet.clusters[&cluster("eu-1")]);
    assert!(plain.is_empty());
}

#[test]
fn a_change_that_reads_the_same_everywhere_is_told_once() {
    let web = app("web", "{}") + "  variables: {domain: null}\n";
    let map = |value: &str| {
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: VALUE, b: x, c: x, d: x, e: x, z: \"${domain}\"}\n"
            .replace("VALUE", value)
    };
    let fleet = fleet();
    let before = [("web/rimward.yaml", &*web), ("web/a.yaml", &*map("one"))];
    let after = [("web/rimward.yaml", &*web), ("web/a.yaml", &*map("two"))];
    let preview = change_fleet((&fleet, &before), (&fleet, &after));
    assert_eq!(told(&preview), ["Change payments/web eu-1 us-1", "  Change ConfigMap/payments/a"]);
    // A value of one cluster changes one cluster.
    let moved = fleet.replace("eu.example", "eu.new.example");
    let preview = change_fleet((&fleet, &before), (&moved, &before));
    assert_eq!(told(&preview), ["Change payments/web eu-1", "  Change ConfigMap/payments/a"]);
    let diff = &preview.groups[0].objects[0].diff;
    assert!(diff.contains("-  z: eu.example\n+  z: eu.new.example\n"), "{diff}");
    // Without its value it stays as it is, and that is said.
    let unset = fleet.replace("spec: {variables: {domain: eu.example}}\n", "");
    let preview = change_fleet((&fleet, &before), (&unset, &after));
    assert_eq!(told(&preview), ["Change payments/web us-1", "  Change ConfigMap/payments/a"]);
    assert_eq!(preview.groups[0].objects[0].action, Action::Change);
    assert!(preview.notes.iter().any(|note| note.note.message.contains("eu-1")), "{:?}", preview.notes);
}
