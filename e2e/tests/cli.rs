//! The command line against a real hub: exit codes, formats, what is not built
//! yet; and the hub's own `check`.

#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/watch.rs"]
mod watch;

use anyhow::{Context, Result, bail, ensure};
use rimward_e2e::process::Program;
use rimward_e2e::rig::{PATIENCE, Rig, Said, Story, files, item};
use serde_json::Value;

/// Looks at a list that may change while it is looked at: sources are fetched once a minute.
const LOOKS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_answers_scripts_and_people() -> Result<()> {
    let mut rig = begin().await?;
    let mut story = Story::begin();
    story.tell("lists in every format", formats(&rig)).await;
    story.tell("lists narrowed by name and filter", filters(&rig)).await;
    story.tell("every list has its frame, also when empty", frames(&rig)).await;
    story.tell("exit 5: no such thing", not_found(&rig)).await;
    story.tell("exit 2: a wrong command line", usage(&rig)).await;
    story.tell("exit 2: not built yet, and it says so", not_built(&rig)).await;
    story.tell("exit 6: another state than asked for", conflict(&rig)).await;
    story.tell("exit 3: not in time", late(&rig)).await;
    story.tell("an approval asks, and without a terminal wants -y", approval(&rig)).await;
    story.tell("status tells whether all is well", status(&rig)).await;
    story.tell("version and completion need no hub", no_hub_needed()).await;
    watch::tell(&mut story, &rig).await;
    daemon::tell(&mut story, &mut rig).await;
    story.end()
}

/// A hub with a cluster that exists on the wire alone, a tenant with two Apps, and a hold.
async fn begin() -> Result<Rig> {
    let rig = Rig::hub_only().await?;
    rig.fleet.commit(&[("clusters.yaml", Some(&files::clusters(&["eu-1", "us-1"])))], "clusters")?;
    rig.reconcile().await?;
    rig.enrol_on_the_wire("eu-1", "11111111-1111-4111-8111-111111111111").await?;
    let repo = rig.tenant("payments", &["payments"])?;
    let (web, db) = (files::app("web", "payments"), files::app("db", "payments"));
    let (one, two) = (files::config_map("one", "a", "1"), files::config_map("two", "a", "1"));
    let first = [
        ("web/rimward.yaml", Some(&*web)),
        ("web/one.yaml", Some(&*one)),
        ("db/rimward.yaml", Some(&*db)),
        ("db/two.yaml", Some(&*two)),
    ];
    repo.commit(&first, "web and db")?;
    rig.reconcile().await?;
    let nowhere = db.replace("clusters: {}", "clusters: {matchLabels: {env: staging}}");
    repo.commit(&[("db/rimward.yaml", Some(&nowhere))], "db nowhere")?;
    rig.reconcile().await?;
    Ok(rig)
}

async fn formats(rig: &Rig) -> Result<()> {
    let table = rig.hub.cli_ok(&["get", "apps"]).await?;
    let header = table.lines().next().unwrap_or_default();
    let columns: Vec<_> = header.split_whitespace().collect();
    ensure!(columns == ["TENANT", "NAME", "STATE", "COMMIT", "CLUSTERS", "READY", "MESSAGE"], "{table}");
    let clusters = rig.hub.cli_ok(&["get", "clusters"]).await?;
    let columns: Vec<_> = clusters.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(columns == ["NAME", "STATE", "APPS", "DRIFT", "PLAN", "SEEN", "CERT"], "{clusters}");
    ensure!(clusters.lines().any(|line| line.starts_with("eu-1") && line.contains("Offline")), "{clusters}");
    ensure!(clusters.lines().any(|line| line.starts_with("us-1") && line.contains("Pending")), "{clusters}");

    let wide = rig.hub.cli_ok(&["get", "apps", "-o", "wide"]).await?;
    let wide_columns = wide.lines().next().unwrap_or_default().split_whitespace().count();
    ensure!(wide_columns > 7, "{wide}");
    let names = rig.hub.cli_ok(&["get", "apps", "-o", "name"]).await?;
    ensure!(names == "app/payments/db\napp/payments/web\n", "{names}");
    let names = rig.hub.cli_ok(&["get", "clusters", "-o", "name"]).await?;
    ensure!(names == "cluster/eu-1\ncluster/us-1\n", "{names}");
    for kind in ["clusters", "apps", "tenants", "sources"] {
        as_the_api_answers(rig, kind).await?;
    }
    Ok(())
}

/// JSON and YAML are the API's answer, field by field.
async fn as_the_api_answers(rig: &Rig, kind: &str) -> Result<()> {
    for _ in 0..LOOKS {
        let before = undated(rig.hub.get(&format!("/v1/{kind}")).await?.1);
        let json = undated(rig.hub.json(&["get", kind]).await?);
        let yaml = rig.hub.cli_ok(&["get", kind, "-o", "yaml"]).await?;
        let yaml = undated(serde_yaml::from_str(&yaml)?);
        let after = undated(rig.hub.get(&format!("/v1/{kind}")).await?.1);
        if before != after {
            // A fetch, or the like, in between: nothing can be said of this look.
            continue;
        }
        ensure!(!before["items"].as_array().context("no items")?.is_empty(), "{before:#}");
        ensure!(json == before, "JSON is not the API's answer:\n{json:#}\n{before:#}");
        ensure!(yaml == before, "YAML is not the API's answer:\n{yaml:#}\n{before:#}");
        return Ok(());
    }
    bail!("{kind} change all the time")
}

/// A list without the time of the answer, which is another for each; that it is there and a time, is kept.
fn undated(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for (field, value) in map {
                let time = value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok());
                *value = if field == "asOf" && time { "TIME".into() } else { undated(value.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = undated(item.take())),
        _ => {}
    }
    value
}

async fn filters(rig: &Rig) -> Result<()> {
    for (arguments, wanted) in [
        (&["get", "apps", "web"][..], "app/payments/web\n"),
        (&["get", "apps", "payments/db"], "app/payments/db\n"),
        (&["get", "apps", "-t", "nobody"], ""),
        (&["get", "apps", "-a", "web"], "app/payments/web\n"),
        (&["get", "clusters", "-l", "site=us-1"], "cluster/us-1\n"),
        (&["get", "clusters", "-l", "site!=us-1,env"], "cluster/eu-1\n"),
        (&["get", "clusters", "--state", "Offline"], "cluster/eu-1\n"),
        (&["get", "apps", "--state", "Held"], "app/payments/db\n"),
    ] {
        let all: Vec<&str> = arguments.iter().copied().chain(["-o", "name"]).collect();
        let names = rig.hub.cli_ok(&all).await?;
        ensure!(names == wanted, "{arguments:?}: {names}");
    }
    Ok(())
}

async fn frames(rig: &Rig) -> Result<()> {
    for (kind, name) in [
        ("clusters", "ClusterList"),
        ("apps", "AppList"),
        ("tenants", "TenantList"),
        ("sources", "SourceList"),
        ("drift", "DriftList"),
        ("events", "EventList"),
        ("holds", "HoldList"),
    ] {
        let list = rig.hub.json(&["get", kind]).await?;
        ensure!(list["apiVersion"] == "rimward.dev/v1alpha1" && list["kind"] == name, "{list:#}");
        ensure!(list["items"].is_array() && list["asOf"].is_string(), "{list:#}");
        ensure!(list.get("continue").is_some(), "{list:#}");
    }
    let sources = rig.hub.json(&["get", "sources"]).await?;
    let source = item(&sources, "apps").context("no source")?;
    for field in
        ["tenant", "url", "ref", "commit", "fetched", "apps", "notes", "state", "reason", "message", "asOf"]
    {
        ensure!(source.get(field).is_some(), "no {field}: {source:#}");
    }
    Ok(())
}

async fn not_found(rig: &Rig) -> Result<()> {
    for arguments in [
        &["describe", "app/payments/nothing"][..],
        &["describe", "cluster/nowhere"],
        &["describe", "source/payments/nothing"],
        &["get", "apps", "nothing"],
        &["reconcile", "source/payments/nothing"],
        &["wait", "app/payments/nothing", "--timeout", "1s"],
    ] {
        let said = rig.hub.say(arguments).await?;
        ensure!(said.out.is_empty(), "{arguments:?} wrote data: {}", said.out);
        said.exits(5).and_then(|said| said.says(&["not found"])).with_context(|| format!("{arguments:?}"))?;
    }
    rig.hub
        .say(&["approve", "deadbeefdeadbeef", "-y"])
        .await?
        .exits(5)?
        .says(&["no hold deadbeefdeadbeef"])?;
    Ok(())
}

async fn usage(rig: &Rig) -> Result<()> {
    for arguments in [
        &["get", "things"][..],
        &["describe", "payments"],
        &["get", "apps", "--timeout", "soon"],
        &["wait", "app/payments/web", "--commit", "xyz"],
        &["get", "apps", "-o", "xml"],
        &["status", "--tenant", "payments"],
        &["--hub", "hub.example", "get", "apps"],
    ] {
        let said = rig.hub.say(arguments).await?;
        said.exits(2).with_context(|| format!("{arguments:?}"))?;
    }
    Ok(())
}

async fn not_built(rig: &Rig) -> Result<()> {
    for command in [
        "install",
        "login",
        "history",
        "reject",
        "rollback",
        "pause",
        "resume",
        "revoke",
        "remove",
        "rotate",
        "backup",
        "recover",
        "bugreport",
    ] {
        let said = rig.hub.say(&[command, "anything", "--some-flag"]).await?;
        said.exits(2).and_then(|said| said.says(&["not built yet"])).with_context(|| command.to_owned())?;
    }
    for arguments in [
        &["get", "rollouts"][..],
        &["get", "audit"],
        &["get", "tokens"],
        &["get", "pauses"],
        &["--context", "prod", "get", "apps"],
        &["--hub", "https://hub.example:8444", "get", "apps"],
        &["--token-file", "/dev/null", "get", "apps"],
        &["approve", "anything", "--stage", "prod"],
    ] {
        let said = rig.hub.say(arguments).await?;
        said.exits(2)
            .and_then(|said| said.says(&["not built yet"]))
            .with_context(|| format!("{arguments:?}"))?;
    }
    for path in ["/v1/rollouts", "/v1/pauses", "/v1/audit", "/openapi.json"] {
        let (status, problem) = rig.hub.get(path).await?;
        ensure!(status == 501, "{path}: {status} {problem:#}");
        ensure!(problem["detail"].as_str().is_some_and(|text| text.contains("not built yet")), "{problem:#}");
    }
    Ok(())
}

async fn conflict(rig: &Rig) -> Result<()> {
    rig.hub.say(&["enroll", "eu-1", "--token-only"]).await?.exits(6)?.says(&["--replace"])?;
    let holds = rig.hub.json(&["get", "holds"]).await?;
    let id = holds["items"][0]["id"].as_str().context("no hold")?.to_owned();
    let body = serde_json::json!({"digest": format!("sha256:{}", "0".repeat(64)), "decision": "approve"});
    let (status, problem) = rig.hub.post(&format!("/v1/holds/{id}/decisions"), &body).await?;
    ensure!(status == 409, "{status} {problem:#}");
    for field in ["type", "title", "status", "detail", "code", "notes"] {
        ensure!(problem.get(field).is_some(), "no {field}: {problem:#}");
    }
    Ok(())
}

async fn late(rig: &Rig) -> Result<()> {
    let wait = ["wait", "app/payments/web", "--timeout", "1s"];
    let said = rig.hub.say(&wait).await?.exits(3)?;
    ensure!(said.err.contains("Offline"), "it does not say why: {}", said.err);
    ensure!(said.out.is_empty(), "data although it is not Ready: {}", said.out);
    Ok(())
}

async fn approval(rig: &Rig) -> Result<()> {
    let holds = rig.hub.json(&["get", "holds"]).await?;
    let hold = &holds["items"][0];
    ensure!(hold["reason"] == "LastCluster" && hold["by"] == "hub", "{holds:#}");
    let id = hold["id"].as_str().context("no id")?;
    let asked = rig.hub.say(&["approve", id]).await?.exits(2)?;
    ensure!(asked.err.contains("payments/db") && asked.err.contains("eu-1"), "{}", asked.err);
    ensure!(
        rig.hub.json(&["get", "holds"]).await?["items"][0]["digest"] == hold["digest"],
        "it was approved"
    );
    rig.hub.say(&["approve", id, "-y", "--reason", "db is retired"]).await?.exits(0)?;
    let events = rig.hub.json(&["get", "events"]).await?;
    let approved = |event: &Value| event["type"] == "Approved" && event["actor"] == "admin.sock";
    ensure!(events["items"].as_array().is_some_and(|all| all.iter().any(approved)), "{events:#}");
    rig.hub.say(&["approve", id, "-y"]).await?.exits(5)?;
    Ok(())
}

async fn status(rig: &Rig) -> Result<()> {
    let said = rig.hub.say(&["status"]).await?;
    ensure!(said.out.contains("Offline"), "{}", said.out);
    let status = rig.hub.json(&["status"]).await?;
    ensure!(status["kind"] == "Status" && status["name"] == "acme", "{status:#}");
    ensure!(status["clusters"]["total"] == 2 && status["clusters"]["states"]["Offline"] == 1, "{status:#}");
    ensure!(
        status["publication"]["seq"].is_u64() && status["publication"]["expires"].is_string(),
        "{status:#}"
    );
    Ok(())
}

async fn no_hub_needed() -> Result<()> {
    let run = |arguments: &[&str]| Ok::<Said, anyhow::Error>(Program::Cli.run(arguments, PATIENCE)?.into());
    let version = run(&["version"])?.exits(0)?;
    ensure!(version.out.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completion", shell])?.exits(0)?;
        ensure!(script.out.contains("rimward") && script.out.contains("reconcile"), "{shell}");
    }
    let dead = run(&["--hub", "unix:/nonexistent/admin.sock", "get", "apps"])?.exits(3)?;
    ensure!(dead.err.contains("/nonexistent/admin.sock"), "{dead:?}");
    for program in [Program::Hub, Program::Spoke] {
        let said: Said = program.run(&["--version"], PATIENCE)?.into();
        ensure!(said.exits(0)?.out.contains(env!("CARGO_PKG_VERSION")), "{}", program.name());
    }
    Ok(())
}
