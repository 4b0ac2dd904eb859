//! Rights: the spoke has what its installation gives it and no more, and does
//! for a tenant only what the tenant's account may do.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rimward_e2e::control_plane::ControlPlane;
use rimward_e2e::process;
use rimward_e2e::rig::live::{self, config_map, core, grouped};
use rimward_e2e::rig::{PATIENCE, Rig, SPOKE_ACCOUNT, Said, Story, eventually, files};
use serde_json::{Value, json};

#[tokio::test]
async fn a_spoke_may_what_its_tenants_may() -> Result<()> {
    let mut rig = Rig::start(&["eu-1"]).await?;
    rig.sites[0].make_namespace("here-before").await?;
    let before = rig.sites[0].there(&live::namespace("here-before")).await?;
    let repo = rig.tenant("payments", &["payments", "here-before", "payments-*"])?;
    let map = files::config_map("web", "a", "1");
    let (web, old) = (files::app("web", "payments"), files::app("old", "here-before"));
    let first = [
        ("web/rimward.yaml", Some(&*web)),
        ("web/web.yaml", Some(&*map)),
        ("old/rimward.yaml", Some(&*old)),
        ("old/web.yaml", Some(&*map)),
    ];
    rig.ship(&repo, "payments/web", &first).await?;
    rig.wait_ready("payments/old").await?;

    let mut story = Story::begin();
    story.tell("namespace, account and binding are made from the plan", made(&rig)).await;
    story.tell("a namespace that was there is bound and not relabelled", bound(&rig, &before)).await;
    story.tell("every request for an object is the tenant's", impersonated(&mut rig)).await;
    story.tell("the spoke's own account may not touch objects", powerless(&mut rig)).await;
    story.tell("a tenant with `view` is told what it lacks", view_only(&rig)).await;
    story.tell("a tenant with another role gets another binding", another_role(&rig)).await;
    story.tell("a namespace that is not there and not named", missing(&rig)).await;
    story.tell("another tenant's namespace stays out of reach", other_tenant(&mut rig)).await;
    story.tell("a lost ledger is rebuilt with these rights", ledger_lost(&mut rig)).await;
    story.tell("the spoke is no admin", no_admin(&mut rig)).await;
    story.tell("it has no right that it does not use", all_used(&mut rig)).await;
    story.tell("and a request under its own name would be seen", bare_is_seen(&mut rig)).await;
    story.end()
}

const TENANT: &str = "system:serviceaccount:rimward-tenants:payments";

async fn made(rig: &Rig) -> Result<()> {
    let site = &rig.sites[0];
    site.there(&live::namespace("payments")).await?;
    site.there(&core("rimward-tenants", "serviceaccounts", "payments")).await?;
    let binding = binding(rig, "payments").await?;
    ensure!(
        binding["roleRef"]["kind"] == "ClusterRole" && binding["roleRef"]["name"] == "edit",
        "{binding:#}"
    );
    Ok(())
}

/// The one RoleBinding of a namespace that is for the tenant payments.
async fn binding(rig: &Rig, namespace: &str) -> Result<Value> {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let list = rig.sites[0].there(&path).await?;
    let account = json!([{"kind": "ServiceAccount", "name": "payments", "namespace": "rimward-tenants"}]);
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let ours: Vec<_> = all.into_iter().filter(|binding| binding["subjects"] == account).collect();
    ensure!(ours.len() == 1, "{list:#}");
    Ok(ours[0].clone())
}

async fn bound(rig: &Rig, before: &Value) -> Result<()> {
    binding(rig, "here-before").await?;
    let after = rig.sites[0].there(&live::namespace("here-before")).await?;
    ensure!(after["metadata"] == before["metadata"], "{before:#}\n{after:#}");
    rig.sites[0].there(&config_map("here-before", "web")).await?;
    Ok(())
}

async fn impersonated(rig: &mut Rig) -> Result<()> {
    rig.sites[0].assert_impersonated().await?;
    let all = rig.sites[0].plane().audit().await?.user(SPOKE_ACCOUNT).mutating().name("web");
    ensure!(all.count() >= 2, "{all}");
    ensure!(all.clone().impersonating(TENANT).count() == all.count(), "{all}");
    Ok(())
}

/// Whether the spoke's own account may do that: the server's answer, or an error.
fn may(plane: &ControlPlane, verb: &str, what: &str, namespace: &str) -> Result<bool> {
    let mut command = Command::new(plane.kubectl_path());
    command.arg("--kubeconfig").arg(plane.kubeconfig());
    command.args(["auth", "can-i", verb, what, "-n", namespace, "--as", SPOKE_ACCOUNT]);
    let said: Said = process::run(command, PATIENCE)?.into();
    match (said.out.split_whitespace().next(), said.code) {
        (Some("yes"), 0) => Ok(true),
        (Some("no"), 1) => Ok(false),
        _ => bail!("{verb} {what}: {said:?}"),
    }
}

/// Asked under its own name it is refused, so the impersonation is no courtesy.
async fn powerless(rig: &mut Rig) -> Result<()> {
    let plane = rig.sites[0].plane();
    // What it may, so that a "no" below is the server's and not a question that went wrong.
    ensure!(may(plane, "create", "namespaces", "payments")?, "it may not even make a namespace");
    ensure!(may(plane, "create", "rolebindings.rbac.authorization.k8s.io", "payments")?);
    for (verb, what) in [
        ("get", "configmaps"),
        ("create", "configmaps"),
        ("delete", "deployments.apps"),
        ("get", "secrets"),
        ("create", "pods"),
    ] {
        ensure!(!may(plane, verb, what, "payments")?, "it may {verb} {what}");
    }
    Ok(())
}

async fn no_admin(rig: &mut Rig) -> Result<()> {
    let plane = rig.sites[0].plane();
    for (verb, what) in [
        ("watch", "namespaces"),
        ("watch", "serviceaccounts"),
        ("list", "rolebindings.rbac.authorization.k8s.io"),
        ("get", "customresourcedefinitions.apiextensions.k8s.io"),
        ("delete", "namespaces"),
        ("update", "namespaces"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("escalate", "clusterroles.rbac.authorization.k8s.io"),
        ("impersonate", "users"),
        ("impersonate", "groups"),
        ("get", "secrets"),
        ("create", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
    ] {
        ensure!(!may(plane, verb, what, "kube-system")?, "it may {verb} {what}");
    }
    ensure!(may(plane, "impersonate", "serviceaccounts", "rimward-tenants")?);
    ensure!(!may(plane, "impersonate", "serviceaccounts", "kube-system")?, "kube-system's accounts too");
    let role = |name: &str| format!("clusterroles.rbac.authorization.k8s.io/{name}");
    ensure!(may(plane, "bind", &role("edit"), "payments")?);
    ensure!(!may(plane, "bind", &role("cluster-admin"), "payments")?, "it may bind cluster-admin");
    Ok(())
}

async fn view_only(rig: &Rig) -> Result<()> {
    let repo = rig.tenant_repo("tenants/reader")?;
    let text = files::tenant("reader", repo.url(), &["reader"]) + "  role: view\n";
    rig.fleet.commit(&[("tenants/reader.yaml", Some(&text))], "reader")?;
    let (app, map) = (files::app("web", "reader"), files::config_map("web", "a", "1"));
    repo.commit(&[("rimward.yaml", Some(&app)), ("web.yaml", Some(&map))], "web")?;
    rig.reconcile().await?;
    let found = eventually("Forbidden to be reported", || async {
        let described = rig.hub.describe("app/reader/web").await?;
        let objects = described["objects"].as_array().cloned().unwrap_or_default();
        Ok(objects.into_iter().find(|object| object["reason"] == "Forbidden"))
    });
    let object = found.await.context("the App reader/web")?;
    ensure!(
        object["object"]["kind"] == "ConfigMap" && object["object"]["namespace"] == "reader",
        "{object:#}"
    );
    let message = object["message"].as_str().unwrap_or_default();
    for word in ["patch", "configmaps", "reader"] {
        ensure!(message.contains(word), "no {word}: {message}");
    }
    let waited = rig.hub.say(&["wait", "app/reader/web", "--timeout", "5s"]).await?;
    ensure!(waited.code == 1, "{waited:?}");
    ensure!(rig.sites[0].get(&config_map("reader", "web")).await?.is_none(), "it was made nevertheless");
    Ok(())
}

/// A binding's role cannot be changed.
async fn another_role(rig: &Rig) -> Result<()> {
    let text = std::fs::read_to_string(rig.fleet.work().join("tenants/reader.yaml"))?;
    let edit = text.replace("role: view", "role: edit");
    rig.fleet.commit(&[("tenants/reader.yaml", Some(&edit))], "reader may edit")?;
    rig.reconcile().await?;
    rig.wait_ready("reader/web").await
}

/// Verbs that the server looks at while it answers another request, so that its log does not show them.
const ON_THE_WAY: [(&str, &str); 2] = [("impersonate", "serviceaccounts"), ("bind", "clusterroles")];
/// Rights for what does not happen here: the parts of a ledger of more than 900 KiB.
const NOT_HERE: (&str, &str) = ("delete", "configmaps");

/// Each verb on each resource that the installation grants is one that the spoke has asked for.
async fn all_used(rig: &mut Rig) -> Result<()> {
    let mut granted = BTreeSet::new();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for path in [
        format!("{rbac}/clusterroles/rimward-spoke"),
        format!("{rbac}/namespaces/rimward-tenants/roles/rimward-spoke"),
        format!("{rbac}/namespaces/rimward-system/roles/rimward-spoke"),
    ] {
        let role = rig.sites[0].there(&path).await?;
        let texts = |list: &Value| -> Vec<String> {
            let all = list.as_array().into_iter().flatten();
            all.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        for rule in role["rules"].as_array().context("no rules")? {
            for verb in texts(&rule["verbs"]) {
                granted
                    .extend(texts(&rule["resources"]).into_iter().map(|resource| (verb.clone(), resource)));
            }
        }
    }
    ensure!(granted.len() >= 10, "{granted:?}");
    for (verb, resource) in ON_THE_WAY.into_iter().chain([NOT_HERE]) {
        ensure!(granted.remove(&(verb.to_owned(), resource.to_owned())), "{verb} {resource} is not granted");
    }
    let asked = rig.sites[0].plane().audit().await?.user(SPOKE_ACCOUNT);
    let asked = asked.filter(|event| event.impersonated.is_none() && event.decision == "allow");
    let used: BTreeSet<_> = asked.events.into_iter().map(|event| (event.verb, event.resource)).collect();
    let idle: Vec<_> = granted.difference(&used).collect();
    ensure!(idle.is_empty(), "never asked for: {idle:?}");
    Ok(())
}

/// `payments-*` is a bound, not a name: such a namespace is not made by guessing.
async fn missing(rig: &Rig) -> Result<()> {
    let repo = rig.tenant_repo("tenants/glob")?;
    let text = files::tenant("glob", repo.url(), &["glob", "glob-*"]);
    rig.fleet.commit(&[("tenants/glob.yaml", Some(&text))], "glob")?;
    let (app, map) = (files::app("web", "glob-7"), files::config_map("web", "a", "1"));
    repo.commit(&[("rimward.yaml", Some(&app)), ("web.yaml", Some(&map))], "web")?;
    rig.reconcile().await?;
    let missing = eventually("NamespaceMissing to be reported", || async {
        let described = rig.hub.describe("app/glob/web").await?;
        Ok((described.to_string().contains("NamespaceMissing")).then_some(()))
    });
    if let Err(error) = missing.await {
        return Err(error.context(format!("{:#}", rig.hub.describe("app/glob/web").await?)));
    }
    ensure!(rig.sites[0].get(&live::namespace("glob-7")).await?.is_none(), "it was made");
    rig.sites[0].make_namespace("glob-7").await?;
    rig.sites[0].until(&config_map("glob-7", "web"), "there", |found| found.is_some()).await?;
    eventually("the App to be Ready", || async {
        Ok((rig.hub.describe("app/glob/web").await?["state"] == "Ready").then_some(()))
    })
    .await
}

/// The account of one tenant has no right where another one's objects are.
async fn other_tenant(rig: &mut Rig) -> Result<()> {
    let asked = ["auth", "can-i", "get", "configmaps", "-n", "glob", "--as", TENANT];
    ensure!(rig.sites[0].plane().kubectl(&asked).is_err(), "payments reads glob");
    let binding = grouped("rbac.authorization.k8s.io/v1", "glob", "rolebindings", "");
    let list = rig.sites[0].there(binding.trim_end_matches('/')).await?;
    ensure!(!list.to_string().contains("\"payments\""), "{list:#}");
    Ok(())
}

/// What tenants may list says what they have; of namespaces the spoke needs the names, for those whose are a glob.
async fn ledger_lost(rig: &mut Rig) -> Result<()> {
    rig.sites[0].spoke().stop()?;
    rig.sites[0].delete(&core("rimward-system", "configmaps", "rimward-spoke-ledger")).await?;
    rig.sites[0].spoke().start()?;
    let rebuilt = eventually("the ledger to be rebuilt", || async {
        let events = rig.hub.json(&["get", "events"]).await?;
        Ok(events.to_string().contains("\"LedgerRebuilt\"").then_some(()))
    });
    if let Err(error) = rebuilt.await {
        return Err(error.context(format!("{:#}", rig.hub.json(&["get", "events"]).await?)));
    }
    for app in ["payments/web", "payments/old", "reader/web", "glob/web"] {
        rig.wait_ready(app).await?;
    }
    Ok(())
}

/// The proof that `assert_impersonated` can fail: one bare request, made here with the spoke's own token. One whose
/// impersonation is refused is none. The look at the log at the rig's end is told of it.
async fn bare_is_seen(rig: &mut Rig) -> Result<()> {
    let site = &mut rig.sites[0];
    let token = site.plane().kubeconfig_for_service_account("rimward-system", "rimward-spoke").await?;
    let token = token.display().to_string();
    let get = ["--kubeconfig", &token, "get", "configmaps", "-n", "payments"];
    let as_other = [&get[..], &["--as", "system:serviceaccount:kube-system:default"]].concat();
    ensure!(site.plane().kubectl(&as_other).is_err(), "it impersonates accounts of kube-system");
    site.assert_impersonated().await?;
    ensure!(site.plane().kubectl(&get).is_err(), "it reads objects as itself");
    let seen = site.assert_impersonated().await;
    ensure!(seen.is_err_and(|error| error.to_string().contains("configmaps")), "it was not seen");
    let forgiven = site.forgive_bare().await?;
    ensure!(forgiven.count() == 1 && forgiven.events[0].user_agent.starts_with("kubectl"), "{forgiven}");
    Ok(())
}
