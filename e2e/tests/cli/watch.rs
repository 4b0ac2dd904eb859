//! `-w`: prints what is there, then what changes, for as long as it runs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use rimward_e2e::daemon::{Daemon, Tether};
use rimward_e2e::process::Program;
use rimward_e2e::rig::{Rig, Story, eventually, files};

/// Tells the scenarios.
pub async fn tell(story: &mut Story, rig: &Rig) {
    story.tell("get clusters -w prints a change", clusters(rig)).await;
    story.tell("get events -w prints what happens", events(rig)).await;
}

/// A watch that runs, and the file of what it has printed.
fn watch(rig: &Rig, name: &str, arguments: &[&str]) -> Result<(Daemon, PathBuf)> {
    let mut command = Program::Cli.command()?;
    command.args(arguments).arg("-w").env("RIMWARD_HUB", rig.hub.socket());
    let file = rig.folder().join(format!("{name}.watch"));
    Ok((Daemon::spawn(name, command, &file, Tether::Watchdog)?, file))
}

async fn prints(file: &PathBuf, words: &str) -> Result<()> {
    let shown = eventually("words in a watch", || async {
        Ok(fs::read_to_string(file)?.contains(words).then_some(()))
    });
    let said = || format!("no {words:?} in {}", fs::read_to_string(file).unwrap_or_default());
    shown.await.with_context(said)
}

async fn clusters(rig: &Rig) -> Result<()> {
    let (mut running, file) = watch(rig, "clusters", &["get", "clusters"])?;
    prints(&file, "us-1").await?;
    rig.fleet.commit(&[("later.yaml", Some(&files::cluster("later")))], "later")?;
    rig.reconcile().await?;
    prints(&file, "later").await?;
    let text = fs::read_to_string(&file)?;
    ensure!(text.matches("us-1").count() == 1, "what did not change is printed again: {text}");
    ensure!(text.matches("NAME").count() == 1, "two headers: {text}");
    ensure!(running.is_running(), "it ended by itself");
    Ok(())
}

async fn events(rig: &Rig) -> Result<()> {
    let (mut running, file) = watch(rig, "events", &["get", "events", "-o", "json"])?;
    rig.enrol_on_the_wire("later", "55555555-5555-4555-8555-555555555555").await?;
    prints(&file, "\"later\"").await?;
    ensure!(running.is_running(), "it ended by itself");
    Ok(())
}
