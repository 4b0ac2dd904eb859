//! A preview of a pull request, from a real Git server: right, and without any
//! trace in what is in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rimward_e2e::git::{Access, GitRepo, GitServer};
use rimward_hub::core::explain::{Located, Wanted};
use rimward_hub::core::model::SourceId;
use rimward_hub::core::preview::{Limits, Preview, text};
use rimward_hub::handle::{Action, ActionError, Hub as Handle};

use super::support::{Home, Hub, SOON};

const APP: &str = "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: web}\n\
    spec: {namespace: payments, clusters: {}}\n";

fn config_map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{x: \"{value}\"}}\n")
}

fn apps() -> SourceId {
    SourceId::try_from("payments/apps".to_owned()).unwrap()
}

struct Rig {
    server: GitServer,
    fleet: GitRepo,
    apps: GitRepo,
    home: Home,
}

impl Rig {
    fn new() -> Self {
        let server = GitServer::start().unwrap();
        let (fleet, apps) =
            (server.create("fleet", Access::Open).unwrap(), server.create("apps", Access::Open).unwrap());
        fleet.commit(&[("fleet.yaml", Some(&documents(&apps)))], "fleet").unwrap();
        let files = [("rimward.yaml", Some(APP)), ("cm.yaml", Some(&*config_map("1")))];
        apps.commit(&files, "web").unwrap();
        let home = Home::new(fleet.url());
        home.init().unwrap();
        Self { server, fleet, apps, home }
    }
}

fn documents(apps: &GitRepo) -> String {
    format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: eu-1}}\n---\n\
         apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: payments}}\nspec:\n  \
         sources: [{{name: apps, git: {{url: '{}'}}}}]\n  clusters: {{}}\n  namespaces: [payments]\n",
        apps.url()
    )
}

async fn reconcile(handle: &Handle) {
    let answer = handle.ask(|reply| Action::Reconcile { sources: vec![], reply });
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").unwrap();
}

async fn preview(handle: &Handle, source: SourceId, reference: &str) -> Result<Preview, ActionError> {
    let reference = reference.to_owned();
    let answer = handle.ask(|reply| Action::Preview { source, reference, limits: Limits::USUAL, reply });
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").map(|preview| *preview)
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Refs of all mirrors, with what they name.
fn refs(git: &Path) -> BTreeMap<String, Vec<u8>> {
    files(git)
        .into_iter()
        .filter(|(path, _)| path.contains("/refs/") || path.ends_with("packed-refs"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_previewed_and_nothing_comes_of_it() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle).await;
    // What a pull request is on a server: a ref that no branch is at.
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: canary-yranac}\n";
    rig.apps.git(&["checkout", "-q", "-b", "change"]).unwrap();
    let changes = [("cm.yaml", Some(&*config_map("2"))), ("s.yaml", Some(secret))];
    for (path, text) in changes {
        fs::write(rig.apps.work().join(path), text.unwrap()).unwrap();
    }
    rig.apps.git(&["add", "-A"]).unwrap();
    rig.apps.git(&["commit", "-q", "-m", "change"]).unwrap();
    rig.apps.git(&["push", "-q", "origin", "HEAD:refs/pull/7/head"]).unwrap();
    let commit = rig.apps.head().unwrap();
    let (git, state) = (rig.home.data().join("git"), hub.state.clone());
    let published = || state.published.borrow().as_ref().map(|now| (now.head.seq, now.head.tree));
    let sources = || state.look(|world| format!("{:?}", world.sources));
    let records = || state.store.read_all::<serde_json::Value>("").unwrap();
    let content = || files(&rig.home.data().join("content")).into_keys().collect::<Vec<_>>();
    let before = (published(), sources(), records(), content(), refs(&git));

    let found = preview(&handle, apps(), "refs/pull/7/head").await.unwrap();
    let shown = text(&found, true);
    assert!(shown.starts_with("1 cluster (eu-1): ~1 +1 -0\n  ~ ConfigMap/payments/a\n"), "{shown}");
    assert!(
        shown.contains("-  x: \"1\"")
            && shown.contains("+  x: \"2\"")
            && shown.contains("+ Secret/payments/s")
    );
    assert!(!shown.contains("yranac") && !format!("{found:?}").contains("yranac"));
    assert_eq!((found.head["payments/apps"].as_str(), found.head["fleet"].len()), (commit.as_str(), 40));
    assert_ne!(found.base["payments/apps"], commit);

    assert_eq!((published(), sources(), records(), content(), refs(&git)), before, "no trace of it");
    // By its commit, and what is in force, which changes nothing.
    assert_eq!(preview(&handle, apps(), &commit).await.unwrap().groups, found.groups);
    assert!(preview(&handle, apps(), "HEAD").await.unwrap().is_empty());
    let error = preview(&handle, apps(), "refs/pull/8/head").await.unwrap_err();
    assert!(matches!(&error, ActionError::NotFound(why) if why.contains("refs/pull/8/head")), "{error}");
    let error = preview(&handle, apps(), "main:refs/rimward/held/fleet").await.unwrap_err();
    assert!(matches!(error, ActionError::NotFound(_)), "{error}");
    assert_eq!(refs(&git), before.4, "nor of what was refused");
    // Once it is merged, what it said happens.
    rig.apps.git(&["push", "-q", "-f", "origin", "HEAD:refs/heads/main"]).unwrap();
    reconcile(&handle).await;
    assert_eq!(published().unwrap().0, before.0.unwrap().0 + 1);
    assert!(preview(&handle, apps(), "refs/pull/7/head").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_repo_too_and_a_dead_server_says_so() {
    let mut rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle).await;
    rig.fleet.branch("bound").unwrap();
    rig.fleet.checkout("bound").unwrap();
    let bound = documents(&rig.apps).replace("namespaces: [payments]", "namespaces: [payments, payments-x]");
    rig.fleet.commit(&[("fleet.yaml", Some(&bound))], "bound").unwrap();
    let found = preview(&handle, SourceId::Fleet, "bound").await.unwrap();
    assert!(found.groups[0].settings.contains("+- payments-x"), "{found:?}");
    let none = documents(&rig.apps).replace("name: payments}", "name: other}");
    rig.fleet.commit(&[("fleet.yaml", Some(&none))], "other").unwrap();
    let found = preview(&handle, SourceId::Fleet, "bound").await.unwrap();
    assert_eq!((found.groups.len(), found.holds[0].reason.as_str()), (0, "TenantRemoved"), "{found:?}");
    rig.server.stop().unwrap();
    let error = preview(&handle, apps(), "main").await.unwrap_err();
    assert!(matches!(&error, ActionError::Failed(why) if why.contains("cannot be reached")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_found_where_it_is_written() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle).await;
    let locate = async |what: &str| {
        let (cluster, wanted): (_, Wanted) = ("eu-1".parse().unwrap(), what.parse().unwrap());
        let answer = handle.ask(|reply| Action::Locate { cluster, wanted, reply });
        tokio::time::timeout(SOON, answer).await.expect("an answer in time").unwrap()
    };
    let found: Vec<Located> = locate("ConfigMap/payments/a").await;
    assert_eq!(found.len(), 1);
    let at = found[0].at.as_ref().map(ToString::to_string);
    assert_eq!((found[0].app.to_string(), at.as_deref()), ("payments/web".to_owned(), Some("cm.yaml:1:1")));
    assert!(found[0].here && found[0].commit == rig.apps.head().unwrap());
    assert_eq!(locate("ConfigMap/payments/b").await, []);
    assert_eq!(locate("ConfigMap.apps/payments/a").await, []);
}
