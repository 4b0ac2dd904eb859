//! The hub's daemon from the outside: `init` twice, `check`, wrong files, a
//! second one on the same data, a kind end and a dead hub.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rimward_e2e::process::Program;
use rimward_e2e::rig::{PATIENCE, Rig, Said, Story};

/// How long a daemon may take to end in good order.
const DRAIN: Duration = Duration::from_secs(25);

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &mut Rig) {
    story.tell("init again changes nothing and says so", init_again(rig)).await;
    story.tell("check: one line each, good and bad", check(rig)).await;
    story.tell("a wrong configuration: exit 78, with its place", wrong_file(rig)).await;
    story.tell("a second hub on the same data: exit 75", second(rig)).await;
    story.tell("SIGTERM ends it well, within the time to drain", ends(rig)).await;
    story.tell("keys that others may read are refused", open_keys(rig)).await;
    story.tell("exit 3: a dead hub, and why", dead(rig)).await;
}

fn hub(rig: &Rig, arguments: &[&str]) -> Result<Said> {
    Ok(rig.hub.program(arguments)?.into())
}

async fn init_again(rig: &mut Rig) -> Result<()> {
    let key = rig.folder().join("root.key");
    let before = fs::read(&key)?;
    ensure!(fs::metadata(&key)?.permissions().mode() & 0o777 == 0o600, "the root key is open");
    ensure!(!key.starts_with(rig.hub.data()), "the root key is in the data directory");
    let again = rig.folder().join("another.key");
    let init = ["init", "--root-key", &again.display().to_string()];
    // While it runs, its data is its own.
    hub(rig, &init)?.exits(75)?;
    rig.hub.stop()?;
    let said = hub(rig, &init)?.exits(0)?;
    ensure!(!again.exists() && fs::read(&key)? == before, "another root key");
    rig.hub.start().await?;
    said.says(&["nothing"]).map(drop)
}

async fn check(rig: &mut Rig) -> Result<()> {
    let good = hub(rig, &["check"])?.exits(0)?;
    for what in ["config", "keys", "data", "git"] {
        ensure!(line_about(&good, what).is_some_and(|line| line.starts_with("ok")), "{what}: {}", good.out);
    }
    rig.git.stop()?;
    let bad = hub(rig, &["check"])?.exits(1)?;
    ensure!(line_about(&bad, "git").is_some_and(|line| !line.starts_with("ok")), "{}", bad.out);
    ensure!(line_about(&bad, "config").is_some_and(|line| line.starts_with("ok")), "{}", bad.out);
    rig.git.start_again()
}

/// The line about `what`, its second word.
fn line_about<'a>(said: &'a Said, what: &str) -> Option<&'a str> {
    said.out.lines().find(|line| line.split_whitespace().nth(1) == Some(what))
}

async fn wrong_file(rig: &Rig) -> Result<()> {
    let right = fs::read_to_string(rig.hub.config())?;
    let file = rig.folder().join("wrong.yaml");
    let path = file.display().to_string();
    for (from, to, code, place, says) in [
        ("dataDir:", "dataDri:", "RW1004", ":5:", "`dataDir`"),
        ("listen: {", "listen: [", "RW1005", ":6:", "listen"),
        ("listen: {", "\tlisten: {", "RW1003", ":6:", ""),
        ("kind: HubConfig", "kind: SpokeConfig", "RW1005", ":2:1", "HubConfig"),
        (
            "credentialsDir:",
            "adminTLS: {certFile: a, keyFile: b}\ncredentialsDir:",
            "RW1006",
            ":8:",
            "not built yet",
        ),
    ] {
        fs::write(&file, right.replacen(from, to, 1))?;
        for command in ["run", "check"] {
            let said: Said = Program::Hub.run(&[command, "--config", &path], PATIENCE)?.into();
            let place = format!("{path}{place}");
            let said = said.exits(78).and_then(|said| said.says(&[code, &place, says]));
            said.with_context(|| format!("{command} with {to}"))?;
        }
    }
    let nowhere = Program::Hub.run(&["run", "--config", "/nonexistent.yaml"], PATIENCE)?;
    Said::from(nowhere).exits(78)?.says(&["RW1001", "/nonexistent.yaml"])?;
    Ok(())
}

async fn second(rig: &Rig) -> Result<()> {
    hub(rig, &["run"])?.exits(75)?;
    rig.hub.cli_ok(&["status"]).await.map(drop)
}

async fn ends(rig: &mut Rig) -> Result<()> {
    let start = std::time::Instant::now();
    rig.hub.stop()?;
    ensure!(start.elapsed() < DRAIN, "it took {:?}", start.elapsed());
    rig.hub.start().await
}

async fn open_keys(rig: &mut Rig) -> Result<()> {
    rig.hub.stop()?;
    let data = rig.hub.data().to_owned();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
    let said = hub(rig, &["run"])?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
    said.exits(78)?.says(&[&data.display().to_string()])?;
    rig.hub.start().await
}

async fn dead(rig: &mut Rig) -> Result<()> {
    rig.hub.kill()?;
    for arguments in [&["get", "apps"][..], &["status"], &["wait", "app/payments/web", "--timeout", "1s"]] {
        let said = rig.hub.say(arguments).await?.exits(3)?;
        ensure!(said.err.contains("admin.sock") && said.out.is_empty(), "{said:?}");
    }
    Ok(())
}
