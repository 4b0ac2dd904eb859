//! The case of what cannot be seen: watches that expire, an API that is not
//! there, rights that are taken away. Not seen is not absent and not unwanted.

use anyhow::{Result, ensure};
use rimward_e2e::git::GitRepo;
use rimward_e2e::proxy::Fault;
use rimward_e2e::rig::live::{config_map, grouped, now};
use rimward_e2e::rig::{Rig, eventually, files};
use serde_json::{Value, json};

use super::support::{meanwhile, platform, tenant_with};

const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.case14.example.com}
spec:
  group: case14.example.com
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";

const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/case14/rolebindings/own";
const API: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.case14.example.com";

fn gadget(name: &str) -> String {
    format!(
        "apiVersion: case14.example.com/v1\nkind: Gadget\nmetadata: {{name: {name}}}\nspec: {{size: 1}}\n"
    )
}

fn gadget_path(name: &str) -> String {
    grouped("case14.example.com/v1", "case14", "gadgets", name)
}

/// The rights of the tenant's own account, which its owner gives and takes away.
fn binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "own"},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
           "subjects": [{"kind": "ServiceAccount", "name": "case14-own", "namespace": "rimward-tenants"}]})
}

/// One after the other, each with its end.
pub async fn expired_unavailable_forbidden(rig: &mut Rig) -> Result<()> {
    let repo = begin(rig).await?;
    watches_expire(rig).await?;
    an_api_is_unavailable(rig, &repo).await?;
    rights_are_taken_away(rig, &repo).await
}

async fn begin(rig: &Rig) -> Result<GitRepo> {
    let kinds = platform(rig, "case14-kinds").await?;
    let app = files::app("kinds", "case14-kinds");
    rig.ship(&kinds, "case14-kinds/kinds", &[("rimward.yaml", Some(&app)), ("crd.yaml", Some(CRD))]).await?;
    let site = &rig.sites[0];
    site.make_namespace("case14").await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "case14-own"}});
    site.apply("/api/v1/namespaces/rimward-tenants/serviceaccounts/case14-own", "admin", &account).await?;
    site.apply(BINDING, "admin", &binding()).await?;
    let repo = tenant_with(rig, "case14", "  serviceAccount: rimward-tenants/case14-own\n")?;
    let app = files::app("web", "case14");
    let maps = [files::config_map("stays", "a", "1"), files::config_map("goes", "a", "1")];
    let gadgets = [gadget("stays"), gadget("goes")];
    let changes = [
        ("rimward.yaml", Some(app.as_str())),
        ("stays.yaml", Some(&maps[0])),
        ("goes.yaml", Some(&maps[1])),
        ("gadget-stays.yaml", Some(&gadgets[0])),
        ("gadget-goes.yaml", Some(&gadgets[1])),
    ];
    rig.ship(&repo, "case14/web", &changes).await?;
    Ok(repo)
}

/// What must be there before, during and after.
async fn kept(rig: &Rig) -> Result<Vec<String>> {
    rig.sites[0].uids(&[&config_map("case14", "stays"), &gadget_path("stays")]).await
}

/// Until the spoke says that it does not know. A watch that is open goes on to be served, also one that was begun a
/// moment ago, so they are ended again and again.
async fn until_unknown(rig: &Rig) -> Result<()> {
    let unknown = eventually("Unknown", || async {
        rig.sites[0].proxy().end_watches();
        let described = rig.hub.describe("app/case14/web").await?;
        let objects = described["objects"].as_array().cloned().unwrap_or_default();
        Ok(objects.iter().any(|object| object["reason"] == "Unknown").then_some(()))
    });
    match unknown.await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(format!("{:#}", rig.hub.describe("app/case14/web").await?))),
    }
}

async fn watches_expire(rig: &mut Rig) -> Result<()> {
    let (since, before) = (now(), kept(rig).await?);
    let site = &mut rig.sites[0];
    site.proxy().play(|asked| {
        let tenants = asked.impersonated.is_some();
        if tenants && asked.is_watch() { Fault::Gone } else { Fault::None }
    });
    site.proxy().end_watches();
    meanwhile().await;
    // Changed while nobody is told.
    let path = config_map("case14", "stays");
    site.merge(&path, "kubectl-edit", &json!({"data": {"a": "by hand"}})).await?;
    site.proxy().pass();
    site.until_is(&path, "/data/a", &json!("1")).await?;
    let written = site.wrote(since).await?.namespace("case14");
    ensure!(written.count() == 1 && written.events[0].verb == "patch", "{written}");
    ensure!(kept(rig).await? == before, "made again");
    rig.wait_ready("case14/web").await
}

/// A real one: the group is handed to an extension API server that does not exist.
async fn an_api_is_unavailable(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let before = kept(rig).await?;
    let nobody = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        // Without this label the API server's own controller leaves it to us.
        "metadata": {"name": "v1.case14.example.com", "labels": {"kube-aggregator.kubernetes.io/automanaged": null}},
        "spec": {"service": {"namespace": "default", "name": "nobody", "port": 443},
                 "insecureSkipTLSVerify": true, "group": "case14.example.com", "version": "v1",
                 "groupPriorityMinimum": 1000, "versionPriority": 100}});
    rig.sites[0].merge(API, "admin", &nobody).await?;
    eventually("the API to be unavailable", || async {
        Ok(rig.sites[0].get(&gadget_path("stays")).await.is_err().then_some(()))
    })
    .await?;
    let since = now();
    until_unknown(rig).await?;
    let new = gadget("new");
    repo.commit(
        &[("gadget-goes.yaml", None), ("goes.yaml", None), ("gadget-new.yaml", Some(&new))],
        "one for one",
    )?;
    rig.reconcile().await?;
    until_unknown(rig).await?;
    meanwhile().await;
    // The App prunes nothing until all of it is applied, and of it all one kind is unknown.
    let written = rig.sites[0].wrote(since).await?.namespace("case14");
    rig.sites[0].delete(API).await?;
    ensure!(written.count() == 0, "{written}");
    eventually("the API to be back", || async {
        Ok(rig.sites[0].get(&gadget_path("stays")).await?.map(drop))
    })
    .await?;
    for gone in [gadget_path("goes"), config_map("case14", "goes")] {
        rig.sites[0].until_gone(&gone).await?;
    }
    rig.sites[0].there(&gadget_path("new")).await?;
    ensure!(kept(rig).await? == before, "made again");
    rig.wait_ready("case14/web").await
}

async fn rights_are_taken_away(rig: &mut Rig, repo: &GitRepo) -> Result<()> {
    let before = kept(rig).await?;
    rig.sites[0].delete(BINDING).await?;
    meanwhile().await;
    let since = now();
    until_unknown(rig).await?;
    let another = files::config_map("another", "a", "1");
    repo.commit(&[("gadget-new.yaml", None), ("another.yaml", Some(&another))], "one for one")?;
    rig.reconcile().await?;
    meanwhile().await;
    let done = rig.sites[0].wrote(since).await?.namespace("case14").filter(|event| event.code < 300);
    ensure!(done.count() == 0, "{done}");
    ensure!(rig.sites[0].get(&config_map("case14", "another")).await?.is_none(), "it was made");
    rig.sites[0].there(&gadget_path("new")).await?;
    let waited = rig.hub.say(&["wait", "app/case14/web", "--timeout", "1s"]).await?;
    ensure!(waited.code != 0, "Ready is said of what nobody may see");
    rig.sites[0].apply(BINDING, "admin", &binding()).await?;
    rig.sites[0].until_is(&config_map("case14", "another"), "/data/a", &json!("1")).await?;
    rig.sites[0].until_gone(&gadget_path("new")).await?;
    ensure!(kept(rig).await? == before, "made again");
    rig.wait_ready("case14/web").await
}
