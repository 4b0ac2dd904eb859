//! Images, replaced as Kustomize does.

use serde_json::{Value, json};

use super::files::app_notes;
use super::world::{World, app};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      initContainers: [{name: init, image: \"nginx:1\"}]
      containers:
      - {name: a, image: \"nginx:1.2@sha256:aa\"}
      - {name: b, image: \"reg.example:5000/team/app\"}
      - {name: c, image: \"nginx-extra:1\"}
      - {name: d}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: text}
data: {image: \"nginx:1\"}
";

/// The images of App web with these `images`, on a cluster.
fn images(lines: &str, on: &str) -> Vec<Value> {
    let mut world = World::started();
    world.file("web/rimward.yaml", &(app("web", "{}") + lines));
    world.file("web/cm.yaml", DEPLOYMENT);
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None, "{:?}", step.all_notes());
    let objects = world.objects(on, "payments/web");
    assert_eq!(objects[0]["data"], json!({"image": "nginx:1"}), "not in a container");
    let pod = &objects[1]["spec"]["template"]["spec"];
    let lists = ["initContainers", "containers"].map(|list| pod[list].as_array().unwrap().clone());
    lists.concat().iter().map(|container| container["image"].clone()).collect()
}

#[test]
fn names_tags_and_digests_are_replaced() {
    let all = |nginx: [&str; 2], app: &str| {
        [json!(nginx[0]), json!(nginx[1]), json!(app), json!("nginx-extra:1"), Value::Null]
    };
    let (untouched, same) = (["nginx:1", "nginx:1.2@sha256:aa"], "reg.example:5000/team/app");
    for (image, wanted) in [
        ("{name: nginx, newTag: \"2\"}", all(["nginx:2", "nginx:2"], same)),
        ("{name: nginx, newName: m/n}", all(["m/n:1", "m/n:1.2@sha256:aa"], same)),
        ("{name: nginx, digest: \"sha256:bb\"}", all(["nginx@sha256:bb", "nginx@sha256:bb"], same)),
        ("{name: reg.example:5000/team/app, newTag: v1}", all(untouched, "reg.example:5000/team/app:v1")),
        ("{name: team/app, newTag: v1}", all(untouched, same)),
        // One after the other, as in Kustomize.
        ("{name: nginx, newName: a}, {name: a, newTag: \"9\"}", all(["a:9", "a:9"], same)),
    ] {
        assert_eq!(images(&format!("  images: [{image}]\n"), "eu-1"), wanted, "{image}");
    }
}

#[test]
fn an_override_is_laid_over_the_image_of_that_name() {
    let lines = "  images: [{name: nginx, newName: mirror/nginx, newTag: \"1\"}]\n  overrides:\n  \
                 - {clusters: {names: [eu-1]}, images: [{name: nginx, newTag: \"2\"}]}\n";
    assert_eq!(images(lines, "eu-1")[0], "mirror/nginx:2");
    assert_eq!(images(lines, "us-1")[0], "mirror/nginx:1");
}

#[test]
fn containers_at_any_depth_but_not_in_a_crd() {
    let mut world = World::started();
    let tenant = super::world::FLEET.replace(
        "namespaces: [payments, payments-*]",
        "namespaces: [payments]\n  objects: {allow: [\"*\"]}\n  serviceAccount: a/b",
    );
    world.fleet("fleet.yaml", &tenant);
    world.file("web/rimward.yaml", &(app("web", "{}") + "  images: [{name: nginx, newTag: \"2\"}]\n"));
    world.file(
        "web/cm.yaml",
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  example: {containers: [{image: \"nginx:1\"}]}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: a}
spec: {deep: [{containers: [{image: \"nginx:1\"}], ephemeralContainers: [{image: nginx}], image: \"nginx:1\"}]}
",
    );
    let step = world.step();
    assert_eq!(step.blocked("payments/web"), None);
    let objects = world.objects("eu-1", "payments/web");
    assert_eq!(objects[0]["spec"]["example"]["containers"][0]["image"], "nginx:1");
    let deep = json!([{"containers": [{"image": "nginx:2"}], "ephemeralContainers": [{"image": "nginx:2"}], "image": "nginx:1"}]);
    assert_eq!(objects[1]["spec"]["deep"], deep);
}

#[test]
fn each_mistake_in_images_is_named_where_it_is() {
    let web = |line: &str| app_notes(&(app("web", "{}") + "  " + line + "\n"));
    for (line, wanted) in [
        ("images: {name: a}", "RW3003 web/rimward.yaml:7:11 `images` must be a list, not a mapping"),
        ("images: [{newTag: a}]", "RW3005 web/rimward.yaml:7:12 an image needs `name`"),
        (
            "images: [{name: a}]",
            "RW3005 web/rimward.yaml:7:12 an image needs `newName`, `newTag` or `digest`",
        ),
        (
            "images: [{name: a, newtag: b}]",
            "RW3004 web/rimward.yaml:7:22 unknown field `newtag`, did you mean `newTag`?",
        ),
        (
            "images: [{name: a, newTag: 1.10}]",
            "RW3003 web/rimward.yaml:7:30 `newTag` must be a string, not a number",
        ),
        (
            "images: [{name: a, newTag: \"\"}]",
            "RW3003 web/rimward.yaml:7:30 `newTag` of an image cannot be \"\"",
        ),
        (
            "images: [{name: a, digest: abc}]",
            "RW3003 web/rimward.yaml:7:30 `digest` of an image must say its algorithm",
        ),
        (
            "images: [{name: a, newTag: b, tagSuffix: c}]",
            "RW3006 web/rimward.yaml:7:33 an image: `tagSuffix` is not built yet",
        ),
    ] {
        assert_eq!(web(line)[0], wanted, "{line}");
    }
}
