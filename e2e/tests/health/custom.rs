//! Custom resources: by the conditions that controllers write, and by those
//! that the App puts on top.

use anyhow::{Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::rig::{Rig, Story, files};
use serde_json::{Value, json};

use super::until;

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    let repo = match begin(rig).await {
        Ok(repo) => repo,
        Err(error) => return story.tell("a kind of the platform's", async { Err(error) }).await,
    };
    story.tell("an empty status is waited for, and then is none", unwritten(rig, &repo)).await;
    story.tell("the App's condition decides on top of the controller's", decides(rig, &repo)).await;
    story.tell("a condition that cannot be evaluated is not ready", broken(rig, &repo)).await;
    story.tell("a failure is one at once", failed(rig)).await;
    story.tell("another condition judges again what is there", again(rig, &repo)).await;
}

const DEFINITION: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// A tenant that may have cluster-scoped objects brings its own account.
const PLATFORM: &str = "\
apiVersion: rimward.dev/v1alpha1
kind: Tenant
metadata: {name: platform}
spec:
  sources:
  - name: apps
    git: {url: URL, ref: {branch: main}, credentials: git}
  clusters: {}
  namespaces: [platform]
  serviceAccount: rimward-tenants/platform
  objects: {allow: [\"*\"]}
";

async fn begin(rig: &Rig) -> Result<GitRepo> {
    let site = &rig.sites[0];
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "platform"}});
    site.apply("/api/v1/namespaces/rimward-tenants/serviceaccounts/platform", "admin", &account).await?;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let subject = json!([{"kind": "ServiceAccount", "name": "platform", "namespace": "rimward-tenants"}]);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "platform"}, "subjects": subject,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}});
    site.apply(&format!("{rbac}/clusterrolebindings/platform"), "admin", &binding).await?;
    // What a tenant's role `edit` gets by aggregation.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "things", "labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["*"], "verbs": ["*"]}]});
    site.apply(&format!("{rbac}/clusterroles/things"), "admin", &role).await?;
    let platform = rig.tenant_repo("tenants/platform")?;
    let tenant = PLATFORM.replace("URL", platform.url());
    rig.fleet.commit(&[("tenants/platform.yaml", Some(&tenant))], "a platform tenant")?;
    let kinds = files::app("kinds", "platform");
    rig.ship(
        &platform,
        "platform/kinds",
        &[("kinds/rimward.yaml", Some(&kinds)), ("kinds/things.yaml", Some(DEFINITION))],
    )
    .await?;
    rig.tenant("payments", &["payments"])
}

fn thing(name: &str) -> String {
    format!("apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: {name}}}\nspec: {{size: 1}}\n")
}

fn path(name: &str) -> String {
    format!("/apis/example.com/v1/namespaces/payments/things/{name}")
}

/// As its controller would.
async fn write(rig: &Rig, name: &str, status: &Value) -> Result<()> {
    let patch = json!({ "status": status });
    rig.sites[0].merge(&format!("{}/status", path(name)), "thing-controller", &patch).await.map(drop)
}

async fn unwritten(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let app = files::app("quiet", "payments");
    repo.commit(&[("quiet/rimward.yaml", Some(&app)), ("quiet/thing.yaml", Some(&thing("quiet")))], "quiet")?;
    rig.reconcile().await?;
    until(rig, "quiet", "Progressing", &["Thing.example.com/payments/quiet", "nobody has written"]).await?;
    rig.wait_ready("payments/quiet").await?;
    let ready = |status: &str| {
        json!({"conditions": [{"type": "Ready", "status": status, "reason": "Slow",
        "message": "still at it", "lastTransitionTime": "2026-03-01T12:00:00Z"}]})
    };
    write(rig, "quiet", &ready("False")).await?;
    until(rig, "quiet", "Progressing", &["Slow: still at it"]).await?;
    write(rig, "quiet", &ready("True")).await?;
    rig.wait_ready("payments/quiet").await
}

fn app(ready: &str) -> String {
    let health = format!(
        "  health: {{timeout: 2m, cel: [{{kinds: [Thing.example.com], ready: \"{ready}\", \
         failed: \"has(object.status.error)\"}}]}}\n"
    );
    files::app("things", "payments") + &health
}

async fn decides(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let app = app("object.status.phase == 'Live' && self.status.size == object.spec.size");
    repo.commit(
        &[("things/rimward.yaml", Some(&app)), ("things/thing.yaml", Some(&thing("one")))],
        "things",
    )?;
    rig.reconcile().await?;
    rig.sites[0].until(&path("one"), "there", |found| found.is_some()).await?;
    write(rig, "one", &json!({"phase": "Starting", "size": 1})).await?;
    let words = ["Thing.example.com/payments/one", "waits for object.status.phase == 'Live'"];
    until(rig, "things", "Progressing", &words).await?;
    write(rig, "one", &json!({"phase": "Live"})).await?;
    rig.wait_ready("payments/things").await?;
    // The controller's own condition counts as well.
    let reconciling = json!([{"type": "Ready", "status": "False", "message": "moving"}]);
    write(rig, "one", &json!({"conditions": reconciling})).await?;
    until(rig, "things", "Progressing", &["moving"]).await?;
    write(rig, "one", &json!({"conditions": null})).await?;
    rig.wait_ready("payments/things").await
}

async fn broken(rig: &Rig, _repo: &GitRepo) -> Result<()> {
    write(rig, "one", &json!({"size": null})).await?;
    until(rig, "things", "Progressing", &["`ready` cannot be evaluated", "there is no \"size\""]).await?;
    write(rig, "one", &json!({"size": 1})).await?;
    rig.wait_ready("payments/things").await
}

async fn failed(rig: &Rig) -> Result<()> {
    write(rig, "one", &json!({"error": "disk"})).await?;
    let app = until(rig, "things", "Failed", &["Thing.example.com/payments/one", "`failed` holds"]).await?;
    ensure!(app["reason"] == "Unhealthy", "{app:#}");
    write(rig, "one", &json!({"error": null})).await?;
    rig.wait_ready("payments/things").await
}

async fn again(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let before = rig.sites[0].there(&path("one")).await?;
    repo.commit(&[("things/rimward.yaml", Some(&app("object.status.phase == 'Done'")))], "done is ready")?;
    rig.reconcile().await?;
    until(rig, "things", "Progressing", &["waits for object.status.phase == 'Done'"]).await?;
    let after = rig.sites[0].there(&path("one")).await?;
    ensure!(before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"], "written to");
    write(rig, "one", &json!({"phase": "Done"})).await?;
    rig.wait_ready("payments/things").await
}
