//! Enrolment of a real cluster: what `rimward enroll --kube-context` leaves
//! there, what a real spoke says of a token that is no good, and its `check`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rimward_e2e::control_plane::{ControlPlane, Options};
use rimward_e2e::daemon::{Daemon, Tether};
use rimward_e2e::process::{self, Program};
use rimward_e2e::rig::live::{core, namespace, secret, uid};
use rimward_e2e::rig::{PATIENCE, Rig, Said, Site, SpokeProcess, Story, eventually, files, item};

/// How long a spoke may take to give up on a token that will never do.
const GIVES_UP: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_cluster_is_enrolled_with_one_command() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let mut rig = Rig::hub_only().await?;
    let site = Site::own("eu-1", plane).await?;
    let mut story = Story::begin();
    story.tell("a document without a cluster is Pending", not_enrolled(&rig)).await;
    story.tell("--kube-context applies everything", applies(&rig, &site)).await;
    story.tell("a token that is no token", mistyped(&rig, &site)).await;
    story.tell("a token for another cluster", other_cluster(&rig, &site)).await;
    story.tell("a token that names another CA", other_authority(&rig, &site)).await;
    story.tell("a token used already", used(&rig, &site)).await;
    story.tell("check before enrolment", check_before(&rig, &site)).await;
    story.tell("check says whether the hub answers", check_hub(&mut rig, &site)).await;
    story.tell("a wrong configuration: exit 78, with its place", wrong_file(&rig, &site)).await;
    let joined = pending(&mut rig, site).await;
    let right =
        "the right token; without a document the cluster is Pending, and enroll prints what to commit";
    story.tell(right, async { joined }).await;
    story.tell("check after enrolment", check_after(&mut rig)).await;
    story.tell("check when the API server is dead", check_dead(&mut rig)).await;
    story.end()
}

async fn not_enrolled(rig: &Rig) -> Result<()> {
    rig.fleet.commit(&[("clusters.yaml", Some(&files::clusters(&["us-1"])))], "us-1")?;
    rig.reconcile().await?;
    let clusters = rig.hub.json(&["get", "clusters"]).await?;
    let us = item(&clusters, "us-1").context("no us-1")?;
    ensure!(us["state"] == "Pending" && us["reason"] == "NotEnrolled", "{us:#}");
    ensure!(item(&clusters, "eu-1").is_none(), "{clusters:#}");
    Ok(())
}

/// The command waits for the spoke, finds no document for its cluster, and prints one: that, committed as it is, is all
/// that was missing.
async fn pending(rig: &mut Rig, site: Site) -> Result<()> {
    let folder = rig.folder().join("right");
    fs::create_dir_all(&folder)?;
    let mut command = Program::Cli.command()?;
    command.args(["enroll", "eu-1", "--token-only", "--wait=60s"]).env("RIMWARD_HUB", rig.hub.socket());
    let mut enroll = Daemon::spawn("enroll", command, &folder.join("enroll.log"), Tether::Watchdog)?;
    enroll.wait_for_log("waiting for the spoke of eu-1 to connect", PATIENCE).await?;
    let log = enroll.log();
    let token = log.lines().find(|line| line.starts_with("rw1.")).context("no token")?;
    let mut spoke = spoke(rig, &site, "right", token).await?;
    spoke.start()?;
    let status = enroll.wait(PATIENCE)?.context("it goes on waiting")?;
    let said = enroll.log();
    ensure!(status.success() && said.contains("eu-1 is enrolled, uid "), "{status}: {said}");
    let printed = said.lines().find_map(|line| line.split_once("commit to the fleet repo: "));
    let (_, document) = printed.with_context(|| format!("no document is printed: {said}"))?;
    let clusters = rig.hub.json(&["get", "clusters"]).await?;
    let eu = item(&clusters, "eu-1").context("no eu-1")?;
    ensure!(eu["state"] == "Pending" && eu["reason"] == "NoDocument", "{eu:#}");
    ensure!(eu["message"].as_str().is_some_and(|text| text.contains(document)), "{eu:#}");
    rig.fleet.commit(&[("eu-1.yaml", Some(document))], "as printed")?;
    rig.reconcile().await?;
    rig.hub.cli_ok(&["wait", "cluster/eu-1"]).await?;
    rig.sites.push(site.with_spoke(spoke));
    Ok(())
}

/// Nothing runs the Deployment here, so the command waits in vain for the spoke; what it applied is there.
async fn applies(rig: &Rig, site: &Site) -> Result<()> {
    let mut command = Program::Cli.command()?;
    command.args(["enroll", "eu-1", "--kube-context", "e2e", "--wait=1s"]);
    command.env("RIMWARD_HUB", rig.hub.socket()).env("KUBECONFIG", site.kubeconfig());
    let said: Said = process::run(command, PATIENCE)?.into();
    let said = said.exits(3)?.says(&["did not connect within"])?;
    let system = |plural: &str, name: &str| core("rimward-system", plural, name);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for path in [
        namespace("rimward-system"),
        namespace("rimward-tenants"),
        system("serviceaccounts", "rimward-spoke"),
        system("configmaps", "rimward-spoke"),
        "/apis/apps/v1/namespaces/rimward-system/deployments/rimward-spoke".to_owned(),
        format!("{rbac}/clusterroles/rimward-spoke"),
        format!("{rbac}/clusterrolebindings/rimward-spoke"),
        format!("{rbac}/namespaces/rimward-tenants/roles/rimward-spoke"),
        format!("{rbac}/namespaces/rimward-system/roles/rimward-spoke"),
    ] {
        site.there(&path).await?;
    }
    let flow = site.there("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas").await?;
    ensure!(flow.to_string().contains("rimward"), "no FlowSchema of ours");
    let config = site.there(&system("configmaps", "rimward-spoke")).await?;
    let text = config["data"]["spoke.yaml"].as_str().unwrap_or_default();
    ensure!(text.contains(&rig.hub.address) && text.contains("eu-1"), "{text}");
    let token = token_of(site).await?;
    ensure!(!said.out.contains(&token) && !said.err.contains(&token), "the token is printed");
    Ok(())
}

/// The token that the command left in the cluster.
async fn token_of(site: &Site) -> Result<String> {
    use base64::Engine;
    let object = site.there(&secret("rimward-system", "rimward-spoke-token")).await?;
    let data = object["data"]["token"].as_str().context("no token")?;
    Ok(String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data)?)?)
}

/// A spoke with that token, in a folder of its own.
async fn spoke(rig: &Rig, site: &Site, name: &str, token: &str) -> Result<SpokeProcess> {
    let folder = rig.folder().join(name);
    fs::create_dir_all(&folder)?;
    site.spoke_with(&rig.hub, &folder, token).await
}

/// Starts it; it ends by itself with 78, which tells who runs it not to try again, and says why.
async fn gives_up(mut spoke: SpokeProcess, says: &[&str]) -> Result<()> {
    spoke.start()?;
    let code = spoke.ended(GIVES_UP)?;
    let log = spoke.log();
    ensure!(code == Some(78), "ended with {code:?}: {log}");
    for word in says {
        ensure!(log.contains(word), "does not say {word:?}: {log}");
    }
    Ok(())
}

async fn mistyped(rig: &Rig, site: &Site) -> Result<()> {
    let token = rig.token("eu-1").await?.reveal();
    let half = &token[..token.len() / 2];
    let spoke = spoke(rig, site, "mistyped", half).await?;
    gives_up(spoke, &["not an enrolment token"]).await?;
    let log = fs::read_to_string(rig.folder().join("mistyped/eu-1.log"))?;
    ensure!(!log.contains(half), "the log quotes it: it may be a real one with a typo");
    Ok(())
}

async fn other_cluster(rig: &Rig, site: &Site) -> Result<()> {
    let token = rig.token("us-1").await?.reveal();
    gives_up(spoke(rig, site, "other", &token).await?, &["the token is for another cluster"]).await
}

/// Somebody in between, with a CA of their own: the spoke does not even send the token.
async fn other_authority(rig: &Rig, site: &Site) -> Result<()> {
    let mut token = rig.token("eu-1").await?;
    token.ca = rimward_proto::Digest::of(b"somebody in between");
    let mut spoke = spoke(rig, site, "pin", &token.reveal()).await?;
    spoke.start()?;
    // It keeps trying: the hub may be another one in a minute.
    let said = eventually("the spoke to say why", || async {
        let log = spoke.log();
        Ok((log.contains("UnknownIssuer") || log.contains("not the CA")).then_some(()))
    });
    said.await.with_context(|| spoke.log())?;
    spoke.stop()?;
    let events = rig.hub.json(&["get", "events"]).await?;
    ensure!(!events.to_string().contains("Enrolled"), "{events:#}");
    Ok(())
}

async fn used(rig: &Rig, site: &Site) -> Result<()> {
    let token = rig.token("ap-1").await?;
    let caller = rimward_e2e::rig::wire::Caller::anonymous(&rig.hub)?;
    let key = rimward_e2e::rig::wire::Key::new()?;
    let cluster_uid = uid(&site.there(&namespace("kube-system")).await?);
    caller.enroll(&token, "ap-1", &cluster_uid, &key).await?;
    let folder = rig.folder().join("used");
    fs::create_dir_all(&folder)?;
    let spoke = spoke(rig, site, "used", &token.reveal()).await?;
    let text = fs::read_to_string(spoke.config())?.replace("cluster: eu-1", "cluster: ap-1");
    fs::write(spoke.config(), text)?;
    gives_up(spoke, &["the token was used already"]).await
}

async fn check_before(rig: &Rig, site: &Site) -> Result<()> {
    let token = rig.token("eu-1").await?;
    let spoke = spoke(rig, site, "check", &token.reveal()).await?;
    let said = spoke.program(&["check"])?.exits(0)?;
    ensure!(said.out.contains("not enrolled yet") && said.out.contains(&token.id), "{said:?}");
    ensure!(!said.out.contains(&token.reveal()), "the token is printed");
    is_said(&said, "ok", "hub", &[&rig.hub.address, "the CA that the token names"])
}

/// Somebody else's CA, or nobody at the hub's address: that is the hub's line, and the others are as they were.
async fn check_hub(rig: &mut Rig, site: &Site) -> Result<()> {
    let mut token = rig.token("eu-1").await?;
    token.ca = rimward_proto::Digest::of(b"somebody in between");
    let other = spoke(rig, site, "check-pin", &token.reveal()).await?;
    let said = other.program(&["check"])?.exits(1)?;
    is_said(&said, "FAIL", "hub", &[&rig.hub.address, "UnknownIssuer"])?;
    let none = spoke(rig, site, "check-none", "no token").await?;
    let said = none.program(&["check"])?.exits(1)?;
    is_said(&said, "FAIL", "hub", &["accepts connections", "nobody is trusted"])?;
    let token = rig.token("eu-1").await?;
    let spoke = spoke(rig, site, "check-hub", &token.reveal()).await?;
    rig.hub.stop()?;
    let said = spoke.program(&["check"])?.exits(1)?;
    rig.hub.start().await?;
    is_said(&said, "ok", "API server", &[])?;
    is_said(&said, "FAIL", "hub", &[&rig.hub.address, "refused"])
}

/// A line of `check`: its verdict, what it is about, and what it says.
fn is_said(said: &Said, verdict: &str, about: &str, says: &[&str]) -> Result<()> {
    let lines = || said.out.lines().filter(|line| line.get(5..).is_some_and(|rest| rest.starts_with(about)));
    ensure!(lines().count() == 1, "not one line about {about}: {}", said.out);
    let line = lines().next().unwrap_or_default();
    ensure!(line.starts_with(verdict) && says.iter().all(|word| line.contains(word)), "{line}");
    Ok(())
}

async fn wrong_file(rig: &Rig, site: &Site) -> Result<()> {
    let spoke = spoke(rig, site, "wrong", "none").await?;
    let right = fs::read_to_string(spoke.config())?;
    for (from, to, code, place, says) in [
        ("dataDir:", "dataDri:", "RW1004", ":5:", "`dataDir`"),
        ("reconnect: {", "reconnect: [", "RW1005", ":8:", "reconnect"),
        ("cluster: eu-1", "cluster: EU_1", "RW100", "", "EU_1"),
    ] {
        fs::write(spoke.config(), right.replacen(from, to, 1))?;
        let place = format!("{}{place}", spoke.config().display());
        for command in ["run", "check"] {
            let said = spoke.program(&[command])?.exits(78);
            said.and_then(|s| s.says(&[code, &place, says]))
                .with_context(|| format!("{command} with {to}"))?;
        }
    }
    Ok(())
}

async fn check_after(rig: &mut Rig) -> Result<()> {
    let said = rig.sites[0].spoke().program(&["check"])?.exits(0)?;
    ensure!(said.out.contains("spiffe://acme.example/spoke/eu-1"), "{said:?}");
    ensure!(said.out.lines().count() == 5, "one line each: {}", said.out);
    is_said(&said, "ok", "hub", &[&rig.hub.address, "the CA of the fleet's root"])
}

async fn check_dead(rig: &mut Rig) -> Result<()> {
    rig.sites[0].plane().stop_apiserver()?;
    let said = rig.sites[0].spoke().program(&["check"])?.exits(1)?;
    is_said(&said, "FAIL", "API server", &[])?;
    // By its token it still knows whom to ask for.
    is_said(&said, "ok", "hub", &[&rig.hub.address])
}
