//! Differential: what lands through Rimward is what `kubectl apply
//! --server-side` makes of the same files, field by field, apart from managers
//! and our labels; and what kubectl refuses is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::{manager, uid};
use rimward_e2e::rig::{Rig, Story, eventually, files};
use serde_json::{Value, json};

/// What the server gives each object, whoever applied it.
const SERVERS_OWN: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"];
/// Addresses and ports that the server hands out.
const HANDED_OUT: [&str; 5] = [
    "/spec/clusterIP",
    "/spec/clusterIPs",
    "/spec/healthCheckNodePort",
    "/spec/volumeName",
    "/metadata/generation",
];

#[tokio::test]
async fn it_lands_as_kubectl_would_have_it() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    for name in ["shop-kubectl", "yaml-kubectl", "refused-kubectl"] {
        rig.sites[0].make_namespace(name).await?;
    }
    let mut story = Story::begin();
    story.tell("a public project's manifests", bookshop(&mut rig)).await;
    yaml(&mut story, &mut rig).await?;
    refused(&mut story, &mut rig).await?;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder)
}

/// The files of a folder of fixtures, by name.
fn contents(folder: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(fixtures(folder))? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name that is not UTF-8")?;
        found.insert(name, fs::read_to_string(entry.path())?);
    }
    ensure!(!found.is_empty(), "no fixtures in {folder}");
    Ok(found)
}

/// Applies a file or folder with kubectl; the names of what is there now, as `kind.group/name`.
fn kubectl(rig: &mut Rig, namespace: &str, path: &Path) -> Result<Vec<String>> {
    let path = path.display().to_string();
    let apply = ["apply", "--server-side", "-n", namespace, "-o", "name", "-f", &path];
    let names = rig.sites[0].plane().kubectl(&apply)?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// The live objects of these names.
fn live(rig: &mut Rig, namespace: &str, names: &[String]) -> Result<BTreeMap<String, Value>> {
    let fixed = ["get", "-n", namespace, "--show-managed-fields", "--ignore-not-found", "-o", "json"];
    let arguments: Vec<&str> = fixed.into_iter().chain(names.iter().map(String::as_str)).collect();
    let text = rig.sites[0].plane().kubectl(&arguments)?;
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let all: Value = serde_json::from_str(&text)?;
    let items = match all["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![all],
    };
    let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    Ok(items.into_iter().map(|object| (key(&object), object)).collect())
}

/// Waits until the two namespaces hold the same under these names.
async fn same(rig: &mut Rig, ours: &str, theirs: &str, names: &[String], app: &str) -> Result<()> {
    let start = std::time::Instant::now();
    loop {
        let (found, wanted) = (live(rig, ours, names)?, live(rig, theirs, names)?);
        let differences = differences(&found, &wanted);
        if differences.is_empty() {
            return Ok(());
        }
        if start.elapsed().as_secs() > 20 {
            let described = rig.hub.cli_ok(&["describe", &format!("app/{app}")]).await?;
            anyhow::bail!("{}\n{described}", differences.join("\n"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

fn differences(found: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>) -> Vec<String> {
    let mut all = Vec::new();
    for (key, wanted) in wanted {
        match found.get(key) {
            None => all.push(format!("{key} is missing")),
            Some(found) => {
                compare(key, &comparable(found), &comparable(wanted), &mut all);
                owned(key, found, wanted, &mut all);
            }
        }
    }
    all
}

/// An object without what the server gives it and without our labels; its own UID, which Jobs repeat, made equal.
fn comparable(object: &Value) -> Value {
    let text = object.to_string().replace(&uid(object), "UID");
    let mut object: Value = serde_json::from_str(&text).unwrap_or_default();
    for path in HANDED_OUT {
        if let Some(value) = object.pointer_mut(path) {
            // `None` is a wish of the manifest's, not an address.
            if *value != json!("None") && *value != json!(["None"]) {
                *value = json!("handed out");
            }
        }
    }
    for port in object.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
        port.as_object_mut().map(|port| port.remove("nodePort"));
    }
    let Some(whole) = object.as_object_mut() else { return object };
    whole.remove("status");
    if let Some(meta) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|field, _| !SERVERS_OWN.contains(&field.as_str()));
        if let Some(labels) = meta.get_mut("labels").and_then(Value::as_object_mut) {
            labels.retain(|label, _| !label.starts_with("rimward.dev/"));
        }
        meta.retain(|_, value| *value != json!({}));
    }
    object
}

fn compare(path: &str, found: &Value, wanted: &Value, all: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for field in found.keys().chain(wanted.keys().filter(|field| !found.contains_key(*field))) {
                let none = Value::Null;
                let (found, wanted) = (found.get(field).unwrap_or(&none), wanted.get(field).unwrap_or(&none));
                compare(&format!("{path}/{field}"), found, wanted, all);
            }
        }
        (found, wanted) if found == wanted => {}
        (found, wanted) => all.push(format!("{path}: {found} instead of {wanted}")),
    }
}

/// Both applied the same set of fields. Not so for Secrets, whose stringData becomes data before it leaves the hub.
fn owned(key: &str, found: &Value, wanted: &Value, all: &mut Vec<String>) {
    if found["kind"] == "Secret" {
        return;
    }
    let fields = |object: &Value, name: &str| manager(object, name).map(|entry| entry["fieldsV1"].clone());
    let Some(mut ours) = fields(found, "rimward") else {
        return all.push(format!("{key}: not applied by Rimward"));
    };
    // Of an object with nothing in it there is nothing to own.
    let theirs = fields(wanted, "kubectl").unwrap_or_else(|| json!({}));
    if let Some(labels) = ours.pointer_mut("/f:metadata/f:labels").and_then(Value::as_object_mut) {
        labels.retain(|label, _| !label.starts_with("f:rimward.dev/"));
        // kubectl has no entry for labels it does not send.
        if theirs.pointer("/f:metadata/f:labels").is_none() && labels.is_empty() {
            ours["f:metadata"].as_object_mut().map(|meta| meta.remove("f:labels"));
        }
    }
    if ours["f:metadata"] == json!({}) && theirs.get("f:metadata").is_none() {
        ours.as_object_mut().map(|fields| fields.remove("f:metadata"));
    }
    compare(&format!("{key} owned"), &ours, &theirs, all);
}

async fn bookshop(rig: &mut Rig) -> Result<()> {
    let names = kubectl(rig, "shop-kubectl", &fixtures("bookshop"))?;
    ensure!((25..=60).contains(&names.len()), "{} objects", names.len());
    let repo = rig.tenant("shop", &["shop"])?;
    let app = files::app("bookshop", "shop");
    let contents = contents("bookshop")?;
    let paths: Vec<_> = contents.iter().map(|(name, text)| (format!("deploy/{name}"), text)).collect();
    let mut changes = vec![("deploy/rimward.yaml", Some(app.as_str()))];
    changes.extend(paths.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))));
    repo.commit(&changes, "the bookshop")?;
    rig.reconcile().await?;
    same(rig, "shop", "shop-kubectl", &names, "shop/bookshop").await?;
    let described = rig.hub.describe("app/shop/bookshop").await?;
    ensure!(described["notes"] == json!([]), "{described:#}");
    Ok(())
}

/// One App for each file, so that one does not hide another.
async fn each(rig: &mut Rig, tenant: &str, folder: &str) -> Result<(GitRepo, Vec<(String, String)>)> {
    let repo = rig.tenant(tenant, &[tenant])?;
    let mut apps = Vec::new();
    let mut changes = Vec::new();
    for (name, text) in contents(folder)? {
        let app = name.trim_end_matches(".yaml").to_owned();
        changes.push((format!("{app}/rimward.yaml"), files::app(&app, tenant)));
        changes.push((format!("{app}/{name}"), text));
        apps.push((app, name));
    }
    let changes: Vec<_> = changes.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    repo.commit(&changes, folder)?;
    rig.reconcile().await?;
    Ok((repo, apps))
}

async fn yaml(story: &mut Story, rig: &mut Rig) -> Result<()> {
    let (_repo, apps) = each(rig, "yaml", "yaml").await?;
    for (app, file) in apps {
        let scenario = async {
            let names =
                kubectl(rig, "yaml-kubectl", &fixtures("yaml").join(&file)).context("kubectl refuses it")?;
            same(rig, "yaml", "yaml-kubectl", &names, &format!("yaml/{app}")).await
        };
        story.tell(&format!("YAML as kubectl reads it: {file}"), scenario).await;
    }
    Ok(())
}

async fn refused(story: &mut Story, rig: &mut Rig) -> Result<()> {
    let (_repo, apps) = each(rig, "refused", "refused").await?;
    for (app, file) in apps {
        let scenario = async {
            let applied = kubectl(rig, "refused-kubectl", &fixtures("refused").join(&file));
            ensure!(applied.is_err(), "kubectl takes it: {applied:?}");
            is_failed(rig, &app).await
        };
        story.tell(&format!("refused as kubectl refuses it: {file}"), scenario).await;
    }
    Ok(())
}

/// Refused with a note and a place by the hub, or with a reason by the cluster.
async fn is_failed(rig: &Rig, app: &str) -> Result<()> {
    let reference = format!("app/refused/{app}");
    let failed = eventually("the App to be refused", || async {
        let described = rig.hub.describe(&reference).await?;
        let waits = described["state"] == "Waiting" && described["reason"] != "Progressing";
        Ok((described["state"] == "Failed" || waits).then_some(described))
    })
    .await;
    let described = match failed {
        Ok(described) => described,
        Err(error) => return Err(error.context(rig.hub.cli_ok(&["describe", &reference]).await?)),
    };
    let said = described["notes"].as_array().is_some_and(|notes| !notes.is_empty())
        || described["objects"].as_array().is_some_and(|objects| !objects.is_empty());
    ensure!(said, "{described:#}");
    Ok(())
}
