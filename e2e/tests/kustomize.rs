//! Differential: images and patches of an App make of its manifests what
//! Kustomize makes of the same manifests with the same images and patches, as far
//! as both take them. (Where a patch says an image they differ: Kustomize replaces
//! images after patches, Rimward before.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rimward_e2e::assets::Assets;
use rimward_e2e::scratch::Scratch;
use rimward_hub::core::changes::Edits;
use rimward_hub::core::files::{load_apps, load_fleet};
use rimward_hub::core::model::{SourceId, SourceTree};
use rimward_hub::render::plain;
use rimward_hub::render::variant::Variant;
use serde::Deserialize;
use serde_json::Value;

const FLEET: &str = "apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {name: payments}\nspec:\n  \
    sources: [{name: apps, git: {url: https://git.example/a.git}}]\n  clusters: {}\n  namespaces: [payments]\n";

const MANIFESTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: payments
  labels: {app: web, tier: front}
  annotations: {kept: \"yes\", gone: \"yes\"}
spec:
  replicas: 1
  minReadySeconds: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: init, image: \"busybox:1.36\"}]
      containers:
      - {name: web, image: \"nginx:1.27@sha256:aaaa\", args: [one, two]}
      - {name: side, image: reg.example:5000/team/side}
      - {name: other, image: \"nginx-extra:1\"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick, namespace: payments, labels: {app: tick}}
spec:
  schedule: \"* * * * *\"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: nginx}]}}}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: web, namespace: payments, labels: {app: web}}
spec: {containers: [{image: \"busybox\"}], list: [{a: 1}, {b: 2}], deep: {image: nginx}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: text, namespace: payments}
data: {image: \"nginx:1\", a.b/c: slash}
";

/// `images`, each a list.
const IMAGES: [&str; 6] = [
    "[]",
    "[{name: nginx, newTag: \"2\"}]",
    "[{name: nginx, newName: mirror.example/n}, {name: busybox, digest: \"sha256:bbbb\"}]",
    "[{name: nginx, newTag: \"2\", digest: \"sha256:bbbb\"}, {name: busybox, newName: b, newTag: v1}]",
    "[{name: reg.example:5000/team/side, newTag: v1}, {name: team/side, newTag: v2}, {name: side, newTag: v3}]",
    "[{name: nginx, newName: busybox}, {name: busybox, newTag: \"9\"}]",
];

/// `patches`, each an entry.
const PATCHES: [&str; 14] = [
    "{target: {kind: Deployment, name: web}, patch: '[{op: replace, path: /spec/replicas, value: 5}]'}",
    "{target: {labelSelector: 'app=web'}, patch: '[{op: add, path: /metadata/labels/x, value: y}]'}",
    "{target: {kind: Deployment, labelSelector: 'app=web,tier!=back'}, patch: '[{op: remove, path: /spec/minReadySeconds}]'}",
    "{target: {group: batch, version: v1, kind: CronJob}, patch: '{spec: {suspend: true, schedule: \"5 * * * *\"}}'}",
    "{target: {kind: ConfigMap}, patch: '[{op: replace, path: /data/a.b~1c, value: new}, {op: copy, from: /data/a.b~1c, path: /data/copy}]'}",
    "{target: {kind: ConfigMap, name: text}, patch: '{data: {image: null, more: text}}'}",
    "{target: {kind: Deployment}, patch: '[{op: add, path: /spec/template/spec/containers/0/args/-, value: three}]'}",
    "{target: {kind: Deployment}, patch: '[{op: add, path: /spec/template/spec/containers/1, value: {name: new, image: added}}]'}",
    "{target: {kind: Deployment}, patch: '[{op: move, from: /metadata/annotations/gone, path: /metadata/annotations/moved}]'}",
    "{target: {kind: Deployment}, patch: '[{op: test, path: /spec/replicas, value: 1}, {op: add, path: /spec/paused, value: true}]'}",
    "{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: payments, annotations: {gone: null, new: \"1\"}}, spec: {paused: false}}'}",
    "{target: {kind: Thing}, patch: '{spec: {list: [{c: 3}], deep: {more: {x: [1, 2]}}}}'}",
    "{target: {kind: Thing}, patch: '[{op: remove, path: /spec/list/0}, {op: replace, path: /spec/deep, value: {}}]'}",
    "{target: {name: nobody}, patch: '[{op: remove, path: /spec}]'}",
];

/// Entries of `patches` with each patch as JSON, which Kustomize takes one that begins with a bracket for. And a merge patch
/// must name an object there, although it is the target that counts.
fn as_json(patches: &str) -> Result<String> {
    let mut entries: Vec<BTreeMap<String, Value>> = serde_yaml::from_str(patches)?;
    for entry in &mut entries {
        let patch = entry.get_mut("patch").context("a patch")?;
        let mut parsed: Value = serde_yaml::from_str(patch.as_str().context("a text")?)?;
        if parsed.is_object() && parsed.get("kind").is_none() {
            (parsed["apiVersion"], parsed["kind"]) = ("v1".into(), "Any".into());
            parsed["metadata"]["name"] = "not-important".into();
        }
        *patch = Value::String(parsed.to_string());
    }
    Ok(serde_json::to_string(&entries)?)
}

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

fn objects(all: impl IntoIterator<Item = Value>) -> Objects {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.into_iter()
        .map(|object| ((text(&object["kind"]), text(&object["metadata"]["name"])), object))
        .collect()
}

/// What Rimward makes of it.
fn ours(images: &str, patches: &str) -> Result<Objects> {
    let tree = |path: &str, text: &str| SourceTree {
        files: [(path.to_owned(), Arc::from(text.as_bytes()))].into(),
        ..SourceTree::default()
    };
    let policy = load_fleet(&tree("fleet.yaml", FLEET), &BTreeMap::new()).policy;
    let source = SourceId::try_from("payments/apps".to_owned())?;
    let (_, spec) = policy.sources().next().context("the tenant has a source")?;
    let app = format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {{name: web}}\nspec:\n  clusters: {{}}\n  \
         images: {images}\n  patches: {patches}\n"
    );
    let mut files = tree("rimward.yaml", &app);
    files.files.extend(tree("all.yaml", MANIFESTS).files);
    let tenant = policy.tenants.values().next().context("there is a tenant")?;
    let load = load_apps(&source, spec, tenant, &policy, &files);
    let app = load.apps.values().next().with_context(|| format!("{:?}", load.notes))?;
    let parsed = plain::parse(app, &files, &BTreeSet::from([String::new()]), None, &mut 0);
    let scopes =
        [(("example.com".to_owned(), "Thing".to_owned()), Some(rimward_hub::core::scope::Scope::Namespaced))];
    let rendered = parsed.finish(app, &scopes.into());
    ensure!(!rendered.failed(), "{:?}", rendered.notes);
    let edits: [&Edits; 1] = [&app.changes.edits];
    let variant = Variant::new(app, &rendered, &edits, Variant::keys(&rendered));
    ensure!(variant.first_error().is_none(), "{:?}", variant.notes);
    let bytes = variant.whole().map(|object| serde_json::from_slice(&object.bytes));
    Ok(objects(bytes.collect::<Result<Vec<Value>, _>>()?))
}

/// What Kustomize makes of it.
fn theirs(kubectl: &Path, folder: &Path, images: &str, patches: &str) -> Result<Objects> {
    let kustomization = format!("resources: [all.yaml]\nimages: {images}\npatches: {patches}\n");
    fs::write(folder.join("kustomization.yaml"), kustomization)?;
    fs::write(folder.join("all.yaml"), MANIFESTS)?;
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    Ok(objects(documents.collect::<Result<Vec<Value>, _>>()?))
}

#[test]
fn images_and_patches_do_what_kustomize_does() -> Result<()> {
    let kubectl = Assets::find()?.kubectl.path;
    let scratch = Scratch::new("kustomize")?;
    let folder = scratch.path();
    let alone = PATCHES.iter().map(|patch| format!("[{patch}]"));
    // One that tests what another one changes, or moves what another one removes, is for being alone.
    let several: Vec<&str> = PATCHES
        .iter()
        .copied()
        .filter(|patch| !patch.contains("op: test") && !patch.contains("op: move"))
        .collect();
    let backwards: Vec<&str> = several.iter().rev().copied().collect();
    let together = [several.join(", "), String::new(), backwards.join(", ")].map(|list| format!("[{list}]"));
    let mut compared = 0;
    for (number, patches) in alone.chain(together).enumerate() {
        // Each patch with one list of images, and everything together with all of them.
        let some = if number < PATCHES.len() { &IMAGES[number % IMAGES.len()..][..1] } else { &IMAGES[..] };
        let patches = as_json(&patches)?;
        for images in some {
            let what = format!("images: {images}\npatches: {patches}");
            let theirs = theirs(&kubectl, folder, images, &patches).with_context(|| what.clone())?;
            let ours = ours(images, &patches).with_context(|| what.clone())?;
            ensure!(ours == theirs, "{what}\nours:   {ours:?}\ntheirs: {theirs:?}");
            compared += 1;
        }
    }
    assert_eq!(compared, PATCHES.len() + 3 * IMAGES.len());
    Ok(())
}
