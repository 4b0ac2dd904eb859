//! Git → plans → a signed publication, through the tasks as they run, and what
//! a restart, a lost server and an emptied repository change: nothing.

use std::time::Duration;

use rimward_e2e::git::{Access, GitRepo, GitServer};
use rimward_hub::core::model::SourceId;
use rimward_hub::core::status::source;
use rimward_hub::core::world::{Published, Task};
use rimward_hub::handle::{Action, ActionError, Hub as Handle};
use rimward_hub::init::{InitError, Outcome};
use rimward_proto::plan::Plan;
use rimward_proto::{ClusterName, Digest};

use super::support::{Home, Hub, SOON};

const APP: &str = "apiVersion: rimward.dev/v1alpha1\nkind: App\nmetadata: {name: web}\n\
    spec: {namespace: payments, clusters: {}, rollout: immediate}\n";

/// A fleet of one cluster and one App in Git.
pub struct Rig {
    server: GitServer,
    pub fleet: GitRepo,
    pub apps: GitRepo,
    pub home: Home,
}

impl Rig {
    pub fn new() -> Self {
        let server = GitServer::start().unwrap();
        let (fleet, apps) =
            (server.create("fleet", Access::Open).unwrap(), server.create("apps", Access::Open).unwrap());
        let documents = format!(
            "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: eu-1}}\n---\n\
             apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: payments}}\nspec:\n  \
             sources: [{{name: apps, git: {{url: '{}'}}}}]\n  clusters: {{}}\n  namespaces: [payments]\n",
            apps.url()
        );
        fleet.commit(&[("fleet.yaml", Some(&documents))], "fleet").unwrap();
        apps.commit(&[("web/rimward.yaml", Some(APP)), ("web/cm.yaml", Some(&config_map("1")))], "web")
            .unwrap();
        let home = Home::new(fleet.url());
        assert_eq!(home.init().unwrap(), Outcome::Made);
        Self { server, fleet, apps, home }
    }
}

pub fn config_map(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{x: \"{value}\"}}\n")
}

fn apps() -> SourceId {
    SourceId::try_from("payments/apps".to_owned()).unwrap()
}

pub async fn reconcile(handle: &Handle, sources: Vec<SourceId>) -> Result<(), ActionError> {
    let answer = handle.ask(|reply| Action::Reconcile { sources, reply });
    tokio::time::timeout(SOON, answer).await.expect("an answer in time")
}

pub fn published(hub: &Hub) -> std::sync::Arc<Published> {
    hub.state.published.borrow().clone().expect("something is published")
}

pub fn plan(hub: &Hub) -> Plan {
    Plan::clone(published(hub).plan(&ClusterName::new("eu-1").unwrap()).unwrap())
}

/// The one object of the one App.
fn object(hub: &Hub) -> String {
    let content = |digest: &Digest| hub.state.content.get(digest).unwrap().unwrap();
    let index = rimward_proto::bundle::BundleIndex::parse(&content(&plan(hub).bundles[0].digest)).unwrap();
    String::from_utf8(content(&index.entries()[0].sha256)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_published_and_a_restart_without_git_changes_nothing() {
    let mut rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    assert!(object(&hub).contains(r#""x":"1""#));
    let first = published(&hub).head.seq;
    rig.apps.commit(&[("web/cm.yaml", Some(&config_map("2")))], "two").unwrap();
    reconcile(&handle, vec![apps()]).await.unwrap();
    assert!(object(&hub).contains(r#""x":"2""#));
    let before = published(&hub);
    assert_eq!(before.head.seq, first + 1);
    reconcile(&handle, vec![]).await.unwrap();
    assert_eq!(published(&hub).head.seq, before.head.seq, "nothing new, nothing published");
    hub.stop().await;
    rig.server.stop().unwrap();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    let after = published(&hub);
    assert_eq!((after.head.seq, after.head.tree), (before.head.seq, before.head.tree));
    let error = reconcile(&handle, vec![]).await.unwrap_err();
    assert!(matches!(&error, ActionError::Failed(why) if why.contains("cannot be reached")), "{error}");
    assert_eq!(published(&hub).head.seq, before.head.seq, "planned from what was kept, it says the same");
    assert!(hub.state.look(|world| world.policy.is_some() && !world.apps.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_repository_changes_nothing_and_a_removed_app_waits_for_approval() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    let before = plan(&hub);
    rig.apps.replace_with_empty_repository().unwrap();
    reconcile(&handle, vec![apps()]).await.unwrap_err();
    assert_eq!(plan(&hub), before);
    let error = hub.state.look(|world| world.sources[&apps()].error.clone()).unwrap();
    assert_eq!(error.code, "RW2003");
    rig.apps.push_again().unwrap();
    rig.apps.commit(&[("web/rimward.yaml", None), ("web/cm.yaml", None)], "gone").unwrap();
    reconcile(&handle, vec![apps()]).await.unwrap();
    assert_eq!(plan(&hub), before, "the last App of a source is held");
    let hold = hub.state.look(|world| world.decided.holds[0].clone());
    let approve = |digest| {
        handle.ask(move |reply| Action::Approve { digest, actor: "me".into(), reason: "meant".into(), reply })
    };
    let unknown = approve(Digest::of(b"x")).await.unwrap_err();
    assert!(matches!(unknown, ActionError::NotFound(_)), "{unknown}");
    approve(hold.digest).await.unwrap();
    let after = plan(&hub);
    assert!(after.bundles.is_empty());
    assert_eq!(after.removed.len(), 1);
    assert!(hub.state.store.scan("approval/").unwrap().is_empty(), "an approval is used once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_issued_once_a_cluster_unless_it_shall_be_replaced() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    let issue = |replace| {
        let cluster = ClusterName::new("eu-1").unwrap();
        handle.ask(move |reply| Action::IssueToken { cluster, ttl: None, replace, reply })
    };
    assert!(issue(false).await.unwrap().starts_with("rw1."));
    hub.spoke("eu-1").await;
    assert!(matches!(issue(false).await, Err(ActionError::Conflict(_))));
    assert!(issue(true).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_renewed_with_the_same_seq() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let mut config = rig.home.config();
    config.lifetimes.head = Duration::from_secs(3);
    hub.state.config.store(std::sync::Arc::new(config));
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    let first = published(&hub).head.clone();
    let mut changes = hub.state.published.subscribe();
    tokio::time::timeout(SOON, changes.changed()).await.unwrap().unwrap();
    let renewed = published(&hub).head.clone();
    assert_eq!((renewed.seq, renewed.tree), (first.seq, first.tree));
    assert!(renewed.expires > first.expires);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_shown_and_tried_again() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    let before = published(&hub).head.seq;
    let source =
        || hub.state.look(|world| source::status(&world.sources[&apps()], [], jiff::Timestamp::now()).reason);
    assert_eq!(source(), "");
    // A disk that takes nothing.
    let (content, away) = (rig.home.data().join("content"), rig.home.data().join("away"));
    std::fs::rename(&content, &away).unwrap();
    std::fs::write(&content, "").unwrap();
    rig.apps.commit(&[("web/cm.yaml", Some(&config_map("2")))], "two").unwrap();
    let error = reconcile(&handle, vec![apps()]).await.unwrap_err();
    assert!(matches!(&error, ActionError::Failed(why) if why.contains("content")), "{error}");
    assert_eq!(source(), "NotPlanned", "the commit is read, and nothing of it is published");
    let trouble = || hub.state.look(|world| world.troubles.get(&Task::Planning).cloned());
    assert!(trouble().unwrap().message.contains("content"));
    let mut changes = hub.state.published.subscribe();
    std::fs::remove_file(&content).unwrap();
    std::fs::rename(&away, &content).unwrap();
    tokio::time::timeout(SOON, changes.changed()).await.expect("tried again, though nobody asks").unwrap();
    assert_eq!(published(&hub).head.seq, before + 1);
    assert!(object(&hub).contains(r#""x":"2""#));
    let settled = async {
        while trouble().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, settled).await.unwrap();
    assert_eq!(source(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_stops_no_other_source() {
    let rig = Rig::new();
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hung.local_addr().unwrap();
    let sources: Vec<String> =
        (0..40).map(|n| format!("{{name: s{n}, git: {{url: 'http://{address}/{n}.git'}}}}")).collect();
    let documents = format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: hung}}\nspec:\n  sources: [{}]\n  \
         clusters: {{}}\n  namespaces: [hung]\n",
        sources.join(", ")
    );
    rig.fleet.commit(&[("hung.yaml", Some(&documents))], "hung").unwrap();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![SourceId::Fleet]).await.unwrap();
    let waiting = || hub.state.look(|world| world.sources.len() == 42);
    assert!(waiting(), "all of them are to be looked at");
    reconcile(&handle, vec![apps()]).await.unwrap();
    assert!(object(&hub).contains(r#""x":"1""#));
    reconcile(&handle, vec![SourceId::Fleet]).await.unwrap();
    hub.stop.cancel();
    drop(hung);
}

/// A source whose turn comes in an hour: what left another one may be there.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_moves_to_a_source_that_is_looked_at_later() {
    let rig = Rig::new();
    let more = rig.server.create("more", Access::Open).unwrap();
    let other = APP.replace("name: web", "name: other").replace("clusters: {}", "clusters: {names: [eu-1]}");
    more.commit(&[("other/rimward.yaml", Some(&other))], "other").unwrap();
    let (apps_url, more_url) = (rig.apps.url(), more.url());
    let documents = format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: eu-1}}\n---\n\
         apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: payments}}\nspec:\n  sources:\n  \
         - {{name: apps, git: {{url: '{apps_url}'}}, interval: 1h}}\n  \
         - {{name: more, git: {{url: '{more_url}'}}, interval: 1h}}\n  \
         clusters: {{}}\n  namespaces: [payments]\n"
    );
    rig.fleet.commit(&[("fleet.yaml", Some(&documents))], "two sources").unwrap();
    let second = APP.replace("name: web", "name: second");
    rig.apps.commit(&[("second/rimward.yaml", Some(&second))], "not the last").unwrap();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    let map = config_map("2");
    let moved = [("web/rimward.yaml", Some(APP)), ("web/cm.yaml", Some(map.as_str()))];
    more.commit(&moved, "moved here").unwrap();
    rig.apps.commit(&[("web/rimward.yaml", None), ("web/cm.yaml", None)], "moved away").unwrap();
    let web = |plan: &Plan| plan.bundles.iter().find(|b| b.app.as_str() == "web").map(|b| b.commit.clone());
    let until = async |wanted: Option<String>| {
        let mut published = hub.state.published.subscribe();
        loop {
            let plan = plan(&hub);
            if web(&plan) == wanted {
                return plan;
            }
            assert!(plan.removed.is_empty(), "it was taken for gone: {plan:?}");
            published.changed().await.unwrap();
        }
    };
    reconcile(&handle, vec![apps()]).await.unwrap();
    let plan = tokio::time::timeout(SOON, until(Some(more.head().unwrap()))).await.unwrap();
    assert!(plan.removed.is_empty());
    // What went nowhere is known to be gone as soon.
    more.commit(&[("web/rimward.yaml", None), ("web/cm.yaml", None)], "gone").unwrap();
    let source = SourceId::try_from("payments/more".to_owned()).unwrap();
    reconcile(&handle, vec![source]).await.unwrap();
    let plan = tokio::time::timeout(SOON, until(None)).await.unwrap();
    assert_eq!(plan.removed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_newer_one_overtook_is_found_in_its_history() {
    let rig = Rig::new();
    let hub = Hub::start_in(&rig.home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    reconcile(&handle, vec![]).await.unwrap();
    let first = rig.apps.head().unwrap();
    rig.apps.commit(&[("web/cm.yaml", Some(&config_map("2")))], "skipped").unwrap();
    let skipped = rig.apps.head().unwrap();
    rig.apps.commit(&[("web/cm.yaml", Some(&config_map("3")))], "newest").unwrap();
    let newest = rig.apps.head().unwrap();
    reconcile(&handle, vec![apps()]).await.unwrap();
    let contains = |source: SourceId, commit: &str, within: &str| {
        let (commit, within) = (commit.to_owned(), within.to_owned());
        handle.ask(move |reply| Action::Contains { source, commit, within, reply })
    };
    for (commit, within, wanted) in [
        (skipped.as_str(), &newest, Some(true)),
        (&skipped[..7], &newest, Some(true)),
        (&newest, &newest, Some(true)),
        (&first, &newest, Some(true)),
        (&newest, &first, Some(false)),
        (&skipped, &first, Some(false)),
        (&"e".repeat(40), &newest, Some(false)),
        (&skipped, &"e".repeat(40), None),
    ] {
        assert_eq!(contains(apps(), commit, within).await.unwrap(), wanted, "{commit} in {within}");
    }
    assert!(
        contains(SourceId::Fleet, &rig.fleet.head().unwrap(), &rig.fleet.head().unwrap())
            .await
            .unwrap()
            .unwrap()
    );
    let unknown = contains(SourceId::try_from("payments/none".to_owned()).unwrap(), &first, &first).await;
    assert!(matches!(unknown, Err(ActionError::NotFound(_))));
}

#[test]
fn init_changes_nothing_the_second_time_and_keeps_the_root_key_outside() {
    let home = Home::new("http://127.0.0.1:1/x");
    let inside = home.data().join("root.pem");
    let config = home.config();
    let init =
        |key: &std::path::Path| rimward_hub::init::init(&config, &home.data(), key, jiff::Timestamp::now());
    assert!(matches!(init(&inside), Err(InitError::Inside(_))));
    assert_eq!(init(&home.root_key()).unwrap(), Outcome::Made);
    let all = || -> Vec<Vec<u8>> {
        ["keys/ca.pem", "keys/ca-key.pem", "keys/head.pem", "root/1.json", "VERSION"]
            .iter()
            .map(|name| std::fs::read(home.data().join(name)).unwrap())
            .chain([std::fs::read(home.root_key()).unwrap()])
            .collect()
    };
    let before = all();
    assert_eq!(init(&home.root_key()).unwrap(), Outcome::Nothing);
    assert_eq!(all(), before);
}
