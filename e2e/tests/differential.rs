//! Differential: what lands through Rimward is what `kubectl apply
//! --server-side` makes of the same files, field by field, apart from managers
//! and our labels, and nothing beside; and what kubectl refuses is refused.

#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/inventory.rs"]
mod inventory;
#[path = "differential/known.rs"]
mod known;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use compare::differences;
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::live::config_map;
use rimward_e2e::rig::{PATIENCE, Rig, Story, eventually, files};
use serde_json::{Value, json};

/// The folders of `fixtures/kubernetes`: each is an App in a namespace of its own, because names come twice.
const UPSTREAM: [(&str, &str); 7] = [
    ("cassandra", "kubernetes/statefulset/cassandra"),
    ("cockroachdb", "kubernetes/statefulset/cockroachdb"),
    ("etcd", "kubernetes/statefulset/etcd"),
    ("guestbook", "kubernetes/guestbook"),
    ("loadbalancer", "kubernetes/serviceloadbalancer"),
    ("mysql-upgrade", "kubernetes/statefulset/mysql-upgrade"),
    ("zookeeper", "kubernetes/statefulset/zookeeper"),
];

/// A file of that set that kubectl refuses: it writes `Type` for `type`. What else is in its folder lands all the same.
const MISTAKE: (&str, &str) = ("serviceloadbalancer/netexecsvc.yaml", "netexec");

#[tokio::test]
async fn it_lands_as_kubectl_would_have_it() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    let ours = ["shop", "yaml", "refused"].into_iter().chain(UPSTREAM.map(|(app, _)| app));
    for namespace in ours {
        rig.sites[0].make_namespace(&theirs(namespace)).await?;
    }
    let mut story = Story::begin();
    story.tell("Kubernetes' own manifests are as published", async { is_unmodified() }).await;
    upstream(&mut story, &mut rig).await?;
    story.tell("Kubernetes' own mistake is refused as kubectl refuses it", mistake(&mut rig)).await;
    story.tell("an object too many is found", too_many(&mut rig)).await;
    story.tell("an invented set with every kind a tenant may have", bookshop(&mut rig)).await;
    yaml(&mut story, &mut rig).await?;
    refused(&mut story, &mut rig).await?;
    story.tell("asked as the tenant only", rig.sites[0].assert_impersonated()).await;
    story.end()
}

/// Where kubectl applies what Rimward applies to `namespace`.
fn theirs(namespace: &str) -> String {
    format!("{namespace}-kubectl")
}

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder)
}

/// The files below a folder of fixtures, by their path in it.
fn contents(folder: &str) -> Result<BTreeMap<String, String>> {
    let root = fixtures(folder);
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root)?.to_str().context("a name that is not UTF-8")?;
                found.insert(name.to_owned(), fs::read_to_string(&path)?);
            }
        }
    }
    ensure!(!found.is_empty(), "no fixtures in {folder}");
    Ok(found)
}

/// A foreign set proves something only as long as nobody has fitted it to our needs.
fn is_unmodified() -> Result<()> {
    let mut files = contents("kubernetes")?;
    let sums = files.remove("SHA256SUMS").context("no SHA256SUMS")?;
    files.remove("README.md").context("no README.md")?;
    let sum = |text: &String| {
        let hash = digest(&SHA256, text.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let found: String = files.iter().map(|(name, text)| format!("{}  {name}\n", sum(text))).collect();
    ensure!(found == sums, "the files are not those of SHA256SUMS:\n{found}");
    Ok(())
}

/// Applies a file or folder with kubectl; the names of what is there now, as `kind.group/name`.
fn kubectl(rig: &mut Rig, namespace: &str, path: &Path) -> Result<Vec<String>> {
    let path = path.display().to_string();
    let apply = ["apply", "--server-side", "-n", namespace, "-o", "name", "-R", "-f", &path];
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
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = |object: &Value| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
    Ok(items.into_iter().map(|object| (key(&object), object)).collect())
}

/// Waits until `look` finds nothing wrong.
async fn until_none(rig: &mut Rig, app: &str, look: impl Fn(&mut Rig) -> Result<Vec<String>>) -> Result<()> {
    let start = Instant::now();
    loop {
        let wrong = look(rig)?;
        if wrong.is_empty() {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            let described = rig.hub.cli_ok(&["describe", &format!("app/{app}")]).await?;
            bail!("{}\n{described}", wrong.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until the two namespaces hold the same under these names.
async fn same(rig: &mut Rig, namespace: &str, names: &[String], app: &str) -> Result<()> {
    let look = |rig: &mut Rig| {
        Ok(differences(&live(rig, namespace, names)?, &live(rig, &theirs(namespace), names)?))
    };
    until_none(rig, app, look).await
}

/// Waits until nothing is in the one namespace that is not in the other, apart from the tenant's rights.
async fn nothing_beside(rig: &mut Rig, namespace: &str, tenant: &str, app: &str) -> Result<()> {
    until_none(rig, app, |rig| beside(rig, namespace, tenant)).await
}

fn beside(rig: &mut Rig, namespace: &str, tenant: &str) -> Result<Vec<String>> {
    let mut ours = inventory::everything(rig, namespace)?;
    let rights = format!("RoleBinding.rbac.authorization.k8s.io/rimward-{tenant}");
    ensure!(ours.remove(&rights), "the tenant has no rights in {namespace}: {ours:?}");
    let theirs = inventory::everything(rig, &theirs(namespace))?;
    let more = ours.difference(&theirs).map(|name| format!("{name} is there, and not with kubectl"));
    let fewer = theirs.difference(&ours).map(|name| format!("{name} is there with kubectl only"));
    Ok(more.chain(fewer).collect())
}

/// An App `name` of these files.
fn app_of(name: &str, namespace: &str, contents: BTreeMap<String, String>) -> Vec<(String, String)> {
    let app = (format!("{name}/rimward.yaml"), files::app(name, namespace));
    let files = contents.into_iter().map(|(path, text)| (format!("{name}/{path}"), text));
    std::iter::once(app).chain(files).collect()
}

fn added(files: &[(String, String)]) -> Vec<(&str, Option<&str>)> {
    files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect()
}

async fn upstream(story: &mut Story, rig: &mut Rig) -> Result<()> {
    let repo = rig.tenant("upstream", &UPSTREAM.map(|(app, _)| app))?;
    let mut changes = Vec::new();
    for (app, folder) in UPSTREAM {
        changes.extend(app_of(app, app, contents(folder)?));
    }
    repo.commit(&added(&changes), "Kubernetes' own manifests")?;
    rig.reconcile().await?;
    for (app, folder) in UPSTREAM {
        let scenario = async {
            let mut names = Vec::new();
            for path in contents(folder)?.keys().map(|name| fixtures(folder).join(name)) {
                if !path.ends_with(MISTAKE.0) {
                    names.extend(kubectl(rig, &theirs(app), &path)?);
                }
            }
            ensure!(names.len() >= 2, "{names:?}");
            let of_app = format!("upstream/{app}");
            same(rig, app, &names, &of_app).await?;
            nothing_beside(rig, app, "upstream", &of_app).await?;
            let described = rig.hub.describe(&format!("app/{of_app}")).await?;
            ensure!(described["notes"] == json!([]), "{described:#}");
            Ok(())
        };
        story.tell(&format!("Kubernetes' own manifests: {app}"), scenario).await;
    }
    Ok(())
}

async fn mistake(rig: &mut Rig) -> Result<()> {
    let (file, name) = MISTAKE;
    let refused = kubectl(rig, &theirs("loadbalancer"), &fixtures("kubernetes").join(file));
    let refused = refused.err().context("kubectl takes it")?.to_string();
    ensure!(refused.contains(".spec.Type: field not declared in schema"), "{refused}");
    let said = eventually("the refusal to be reported", || async {
        let described = rig.hub.describe("app/upstream/loadbalancer").await?;
        let objects = described["objects"].as_array().cloned().unwrap_or_default();
        Ok(objects.into_iter().find(|object| object["reason"] == "SchemaMismatch"))
    })
    .await?;
    ensure!(said["object"]["name"] == name && said["object"]["kind"] == "Service", "{said:#}");
    ensure!(said["message"].as_str().is_some_and(|text| text.contains(".spec.Type")), "{said:#}");
    Ok(())
}

/// The comparison would see what Rimward applied and kubectl did not.
async fn too_many(rig: &mut Rig) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "too-many"}});
    let path = config_map("zookeeper", "too-many");
    rig.sites[0].apply(&path, "rimward", &object).await?;
    let found = beside(rig, "zookeeper", "upstream")?;
    rig.sites[0].delete(&path).await?;
    ensure!(found == ["ConfigMap/too-many is there, and not with kubectl"], "{found:?}");
    Ok(())
}

async fn bookshop(rig: &mut Rig) -> Result<()> {
    let names = kubectl(rig, &theirs("shop"), &fixtures("bookshop"))?;
    ensure!((25..=60).contains(&names.len()), "{} objects", names.len());
    let repo = rig.tenant("shop", &["shop"])?;
    repo.commit(&added(&app_of("bookshop", "shop", contents("bookshop")?)), "the bookshop")?;
    rig.reconcile().await?;
    same(rig, "shop", &names, "shop/bookshop").await?;
    nothing_beside(rig, "shop", "shop", "shop/bookshop").await?;
    let described = rig.hub.describe("app/shop/bookshop").await?;
    // A script in it says ${cluster.name}, and is told that this stays as it is.
    let codes: Vec<&Value> =
        described["notes"].as_array().into_iter().flatten().map(|note| &note["code"]).collect();
    ensure!(codes == ["RW3041"], "{described:#}");
    Ok(())
}

/// One App for each file, so that one does not hide another.
async fn each(rig: &mut Rig, tenant: &str) -> Result<(GitRepo, Vec<(String, String)>)> {
    let repo = rig.tenant(tenant, &[tenant])?;
    let (mut apps, mut changes) = (Vec::new(), Vec::new());
    for (name, text) in contents(tenant)? {
        let app = name.trim_end_matches(".yaml").to_owned();
        changes.extend(app_of(&app, tenant, BTreeMap::from([(name.clone(), text)])));
        apps.push((app, name));
    }
    repo.commit(&added(&changes), tenant)?;
    rig.reconcile().await?;
    Ok((repo, apps))
}

async fn yaml(story: &mut Story, rig: &mut Rig) -> Result<()> {
    let (_repo, apps) = each(rig, "yaml").await?;
    for (app, file) in &apps {
        let scenario = async {
            let names =
                kubectl(rig, &theirs("yaml"), &fixtures("yaml").join(file)).context("kubectl refuses it")?;
            same(rig, "yaml", &names, &format!("yaml/{app}")).await
        };
        story.tell(&format!("YAML as kubectl reads it: {file}"), scenario).await;
    }
    let (last, _) = apps.last().context("no fixtures")?;
    let last = format!("yaml/{last}");
    let beside = nothing_beside(rig, "yaml", "yaml", &last);
    story.tell("YAML as kubectl reads it: and nothing beside", beside).await;
    Ok(())
}

async fn refused(story: &mut Story, rig: &mut Rig) -> Result<()> {
    let (_repo, apps) = each(rig, "refused").await?;
    for (app, file) in apps {
        let scenario = async {
            let applied = kubectl(rig, &theirs("refused"), &fixtures("refused").join(&file));
            ensure!(applied.is_err(), "kubectl takes it: {applied:?}");
            is_failed(rig, &app).await
        };
        story.tell(&format!("refused as kubectl refuses it: {file}"), scenario).await;
    }
    Ok(())
}

/// Refused with a note and a place by the hub, or with a reason by the cluster; and nothing of it landed.
async fn is_failed(rig: &mut Rig, app: &str) -> Result<()> {
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
    let landed = inventory::of_app(rig, "refused", app)?;
    ensure!(landed.is_empty(), "{landed:?}");
    // A label could be missing; whatever landed would be in the namespace all the same.
    let (ours, theirs) =
        (inventory::everything(rig, "refused")?, inventory::everything(rig, &theirs("refused"))?);
    let rights = BTreeSet::from(["RoleBinding.rbac.authorization.k8s.io/rimward-refused".to_owned()]);
    ensure!(ours.difference(&theirs).all(|name| rights.contains(name)), "{ours:?}");
    Ok(())
}
