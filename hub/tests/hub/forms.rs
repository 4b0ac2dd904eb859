//! One App with overrides and variables, through the hub as it runs: each cluster
//! is offered its own form of it, content and all, and a restart knows them.

use rimward_e2e::git::{Access, GitRepo, GitServer};
use rimward_hub::handle::{Action, Hub as Handle};
use rimward_proto::ClusterName;
use rimward_proto::bundle::BundleIndex;
use serde_json::Value;

use super::support::{Home, Hub, SOON};

const APP: &str = "apiVersion: rimward.dev/v1alpha1
kind: App
metadata: {name: web}
spec:
  namespace: payments
  clusters: {}
  images: [{name: nginx, newTag: \"1.29\"}]
  patches:
  - path: ../patches/labels.yaml
    target: {kind: Deployment}
  overrides:
  - clusters: {matchLabels: {region: us}}
    images: [{name: nginx, newName: mirror.us.example/nginx}]
    variables: {replicas: 5}
  variables: {domain: null, replicas: 2}
";

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx
        command: [sh, -c, 'echo ${HOSTNAME} at https://${domain} on ${cluster.name}']
";

fn fleet(apps: &GitRepo, us: &str) -> String {
    format!(
        "apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: eu-1, labels: {{region: eu}}}}\n\
         spec: {{variables: {{domain: eu.example}}}}\n---\n\
         apiVersion: rimward.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: us-1, labels: {{region: us}}}}\n{us}---\n\
         apiVersion: rimward.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: payments}}\nspec:\n  \
         sources: [{{name: apps, git: {{url: '{}'}}}}]\n  clusters: {{}}\n  namespaces: [payments]\n",
        apps.url()
    )
}

async fn reconcile(handle: &Handle) {
    let answer = handle.ask(|reply| Action::Reconcile { sources: vec![], reply });
    tokio::time::timeout(SOON, answer).await.expect("an answer in time").unwrap();
}

/// The Deployment that a cluster is offered; none if it is offered none.
fn offered(hub: &Hub, cluster: &str) -> Option<Value> {
    let published = hub.state.published.borrow().clone()?;
    let plan = published.plan(&ClusterName::new(cluster).unwrap())?;
    let content = |digest| hub.state.content.get(digest).unwrap().expect("what is offered is stored");
    let index = BundleIndex::parse(&content(&plan.bundles.first()?.digest)).unwrap();
    Some(serde_json::from_slice(&content(&index.entries()[0].sha256)).unwrap())
}

fn summary(object: &Value) -> String {
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    format!("{} {} {}", object["spec"]["replicas"], container["image"], container["command"][2])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cluster_is_offered_its_own_form() {
    let server = GitServer::start().unwrap();
    let (repo, apps) =
        (server.create("fleet", Access::Open).unwrap(), server.create("apps", Access::Open).unwrap());
    repo.commit(&[("fleet.yaml", Some(&fleet(&apps, "")))], "fleet").unwrap();
    let labels = "[{op: add, path: /metadata/labels, value: {team: payments}}]";
    let files = [
        ("web/rimward.yaml", Some(APP)),
        ("web/d.yaml", Some(DEPLOYMENT)),
        ("patches/labels.yaml", Some(labels)),
    ];
    apps.commit(&files, "web").unwrap();
    let home = Home::new(repo.url());
    home.init().unwrap();
    let hub = Hub::start_in(&home).await;
    let handle = hub.tasks();
    hub.spoke("eu-1").await;
    hub.spoke("us-1").await;
    reconcile(&handle).await;
    let eu = offered(&hub, "eu-1").unwrap();
    assert_eq!(eu["metadata"]["labels"]["team"], "payments");
    let eu = summary(&eu);
    assert_eq!(eu, "2 \"nginx:1.29\" \"echo ${HOSTNAME} at https://eu.example on eu-1\"");
    // us-1 does not say its domain: it is offered nothing, and it is said why.
    assert_eq!(offered(&hub, "us-1"), None);
    let waits = hub.state.look(|world| world.decided.apps.values().next().unwrap().waits.clone());
    assert_eq!((waits[0].reason.as_str(), waits[0].clusters[0].as_str()), ("VariableUnset", "us-1"));
    repo.commit(&[("fleet.yaml", Some(&fleet(&apps, "spec: {variables: {domain: us.example}}\n")))], "us")
        .unwrap();
    reconcile(&handle).await;
    let us = summary(&offered(&hub, "us-1").unwrap());
    assert_eq!(us, "5 \"mirror.us.example/nginx:1.29\" \"echo ${HOSTNAME} at https://us.example on us-1\"");
    assert_eq!(summary(&offered(&hub, "eu-1").unwrap()), eu);
    let before = hub.state.published.borrow().clone().unwrap().head.clone();
    hub.stop().await;
    // Another process, with nothing in memory, comes to the same.
    let hub = Hub::start_in(&home).await;
    let handle = hub.tasks();
    reconcile(&handle).await;
    let after = hub.state.published.borrow().clone().unwrap().head.clone();
    assert_eq!((after.seq, after.tree), (before.seq, before.tree));
    assert_eq!(summary(&offered(&hub, "us-1").unwrap()), us);
    hub.stop().await;
}
