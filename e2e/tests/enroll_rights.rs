//! `rimward enroll --kube-context` on a real API server: everything is applied
//! with the rights of whoever asks, and twice is as good as once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rimward_e2e::control_plane::{ControlPlane, Options};
use rimward_e2e::process::{self, Program};
use rimward_e2e::rig::Rig;
use serde_json::{Value, json};

/// Bound of one run of the command.
const LIMIT: Duration = Duration::from_secs(60);

/// What `enroll` applies, as its lines say it.
const APPLIED: [&str; 15] = [
    "Namespace/rimward-system",
    "Namespace/rimward-tenants",
    "ServiceAccount/rimward-system/rimward-spoke",
    "ClusterRole/rimward-spoke",
    "ClusterRoleBinding/rimward-spoke",
    "Role/rimward-tenants/rimward-spoke",
    "RoleBinding/rimward-tenants/rimward-spoke",
    "Role/rimward-system/rimward-spoke",
    "RoleBinding/rimward-system/rimward-spoke",
    "FlowSchema/rimward-spoke",
    "FlowSchema/rimward-tenants",
    "ConfigMap/rimward-system/rimward-spoke",
    "Secret/rimward-system/rimward-spoke-token",
    "Deployment/rimward-system/rimward-spoke",
    "waiting for the spoke of eu-1 to connect",
];

async fn enroll(rig: &Rig, kubeconfig: &Path, context: &str) -> Result<Output> {
    let mut command = Program::Cli.command()?;
    // There is no kubelet, so the spoke never comes: the shortest wait for it will do.
    command.args(["enroll", "eu-1", "--kube-context", context, "--wait=1s"]);
    command.env("RIMWARD_HUB", rig.hub.socket()).env("KUBECONFIG", kubeconfig);
    tokio::task::spawn_blocking(move || process::run(command, LIMIT)).await?
}

/// Of [`APPLIED`], the one with the token.
const TOKEN: &str = "Secret/rimward-system/rimward-spoke-token";

/// Everything that was applied, as it is in the cluster now, but for what controllers say of it.
fn applied(plane: &ControlPlane) -> Result<BTreeMap<String, Value>> {
    let mut objects = BTreeMap::new();
    for shown in APPLIED.iter().filter(|line| !line.contains(' ')) {
        let mut parts: Vec<&str> = shown.split('/').collect();
        let (kind, name) = (parts.remove(0), parts.pop().context("no name")?);
        let namespace = parts.first().copied().unwrap_or("default");
        let text =
            plane.kubectl(&["get", kind, name, "-n", namespace, "-o", "json", "--show-managed-fields"])?;
        let mut object: Value = serde_json::from_str(&text)?;
        // A Deployment's status, and the entry and version that come with it, are its controller's.
        if kind == "Deployment" {
            object["status"].take();
            object["metadata"]["resourceVersion"].take();
            object["metadata"]["annotations"].take();
            let entries = object["metadata"]["managedFields"].as_array_mut().context("no managers")?;
            entries.retain(|entry| entry["manager"] == "rimward-enroll");
        }
        objects.insert((*shown).to_owned(), object);
    }
    Ok(objects)
}

#[tokio::test]
async fn enroll_applies_the_spoke_and_again_changes_only_the_token() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let rig = Rig::hub_only().await?;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let output = enroll(&rig, &plane.kubeconfig(), "e2e").await?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(3), "{said}");
        let lines: Vec<&str> = said.lines().map(|line| line.trim_end_matches(" applied")).collect();
        assert_eq!(lines[..APPLIED.len()], APPLIED, "{said}");
        assert!(!said.contains("rw1."), "the token is shown");
        assert!(output.stdout.is_empty());
        runs.push(applied(&plane)?);
    }
    let [mut first, mut second] = runs.try_into().map_err(|_| anyhow!("two runs"))?;
    let token = |objects: &mut BTreeMap<String, Value>| objects.remove(TOKEN).context("no token");
    let (before, after) = (token(&mut first)?, token(&mut second)?);
    for (name, object) in &first {
        assert_eq!(Some(object), second.get(name), "an apply that changes nothing wrote {name}");
    }
    let secret = |token: &Value| token["data"]["token"].as_str().map(str::len).unwrap_or_default();
    assert!(secret(&before) > 100 && secret(&after) > 100);
    assert_ne!(before["data"]["token"], after["data"]["token"], "one token twice");
    let config = ["get", "configmap", "rimward-spoke", "-n", "rimward-system", "-o", "yaml"];
    let config = plane.kubectl(&config)?;
    assert!(config.contains(&format!("hub: \"{}\"", rig.hub.address)), "{config}");
    assert!(config.contains("cluster: \"eu-1\""), "{config}");
    added_roles_stay(&rig, &plane).await?;
    without_rights(&plane).await
}

/// Which roles tenants may be given is the operator's, who adds to the list in the cluster.
async fn added_roles_stay(rig: &Rig, plane: &ControlPlane) -> Result<()> {
    let add = r#"[{"op": "add", "path": "/rules/3/resourceNames/-", "value": "deployer"}]"#;
    plane.kubectl(&["patch", "clusterrole", "rimward-spoke", "--type=json", "-p", add])?;
    for _ in 0..2 {
        let output = enroll(rig, &plane.kubeconfig(), "e2e").await?;
        let said = String::from_utf8(output.stderr)?;
        let line = "ClusterRole/rimward-spoke keeps the tenants' roles that were added: deployer\n";
        assert!(said.contains(line), "{said}");
        let role: Value =
            serde_json::from_str(&plane.kubectl(&["get", "clusterrole", "rimward-spoke", "-o", "json"])?)?;
        let bind =
            role["rules"].as_array().context("no rules")?.iter().find(|rule| rule["verbs"][0] == "bind");
        assert_eq!(bind.context("no list")?["resourceNames"], json!(["view", "edit", "admin", "deployer"]));
    }
    Ok(())
}

/// No token is made for a cluster that cannot be reached or does not let this user in.
async fn without_rights(plane: &ControlPlane) -> Result<()> {
    let rig = Rig::hub_only().await?;
    let output = enroll(&rig, &plane.kubeconfig(), "no-such-context").await?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let nobody = plane.kubeconfig_for_service_account("default", "default").await?;
    let output = enroll(&rig, &nobody, "e2e").await?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("e2e: kube-system: ") && said.contains("system:serviceaccount:default:default"),
        "{said}"
    );
    let events = rig.hub.cli_ok(&["get", "events"]).await?;
    assert!(!events.contains("TokenIssued"), "{events}");
    Ok(())
}
