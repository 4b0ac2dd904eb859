//! The demo itself: on clusters that somebody has, again and again, without
//! leaving anything; and left running, with commands that work.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rimward_e2e::control_plane::{ControlPlane, Options, name_of};
use rimward_e2e::daemon::{Daemon, Tether};
use rimward_e2e::process;
use rimward_e2e::scratch::Scratch;
use rustix::process::Signal;
use serde_json::json;

/// How long the demo may take, beside other tests; alone it is a quarter of a minute.
const LIMIT: Duration = Duration::from_secs(300);
/// What the demo says when its clusters are in use.
const ENROLLED: &str = "us-1 is enrolled and connected";
/// What it says when all is well.
const WELL: &str = "All steps did what they say";

/// A demo that runs, and what it has printed.
fn demo(folder: &Path, name: &str, arguments: &[&str]) -> Result<Daemon> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments).env("PATH", without_kubectl(folder)?);
    Daemon::spawn("demo", command, &folder.join(format!("{name}.log")), Tether::Watchdog)
}

/// A folder with all programs of the PATH but kubectl: then the demo has to name another.
fn without_kubectl(folder: &Path) -> Result<PathBuf> {
    let bin = folder.join("bin");
    if bin.exists() {
        return Ok(bin);
    }
    fs::create_dir(&bin)?;
    for folder in std::env::split_paths(&std::env::var_os("PATH").context("no PATH")?) {
        for program in fs::read_dir(folder).into_iter().flatten().flatten() {
            let link = bin.join(program.file_name());
            // The first one of a name is the one that is found.
            if program.file_name() != "kubectl" && !link.exists() {
                symlink(program.path(), link)?;
            }
        }
    }
    Ok(bin)
}

/// Waits for the demo's end; what it printed, if it ended with `code`.
fn ends(mut demo: Daemon, code: i32) -> Result<String> {
    let status = demo.wait(LIMIT)?.with_context(|| format!("it goes on: {}", demo.log_tail(20)))?;
    ensure!(status.code() == Some(code), "{status}: {}", demo.log());
    Ok(demo.log())
}

/// Every line that says that something happened says how long it took.
fn tells_times(printed: &str) -> Result<()> {
    let ticks: Vec<&str> = printed.lines().filter(|line| line.trim_start().starts_with('✓')).collect();
    ensure!(ticks.len() >= 20, "{printed}");
    for line in ticks {
        ensure!(line.ends_with(" ms)") || line.ends_with(" s)"), "no time: {line}");
    }
    Ok(())
}

fn inventory(planes: &[ControlPlane]) -> Result<Vec<BTreeSet<String>>> {
    planes.iter().map(|plane| plane.everything(&[])?.iter().map(name_of).collect()).collect()
}

/// What is in both clusters, once they have made what every cluster has.
async fn at_rest(planes: &[ControlPlane]) -> Result<Vec<BTreeSet<String>>> {
    let mut before = inventory(planes)?;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = inventory(planes)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

fn nothing_left(planes: &[ControlPlane], before: &[BTreeSet<String>]) -> Result<()> {
    for (now, before) in inventory(planes)?.iter().zip(before) {
        let (more, fewer): (Vec<_>, Vec<_>) =
            (now.difference(before).collect(), before.difference(now).collect());
        ensure!(more.is_empty() && fewer.is_empty(), "left behind: {more:?}; taken away: {fewer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn on_clusters_that_somebody_has_it_leaves_nothing_and_works_again() -> Result<()> {
    let (planes, scratch) = (ControlPlane::start_many(2, Options::default()).await?, Scratch::new("demo")?);
    let before = at_rest(&planes).await?;
    let files: Vec<String> = planes.iter().map(|plane| plane.kubeconfig().display().to_string()).collect();
    let both = ["--kubeconfig", files[0].as_str(), "--kubeconfig", files[1].as_str()];
    let run = |name: &str| demo(scratch.path(), name, &both);

    let printed = ends(run("first")?, 0)?;
    ensure!(printed.contains(WELL) && !printed.contains("another hub"), "{printed}");
    tells_times(&printed)?;
    nothing_left(&planes, &before)?;

    // Killed outright, it cannot clean up; the next one does, and says whose identity it takes away.
    let mut killed = run("killed")?;
    killed.wait_for_log(ENROLLED, LIMIT).await?;
    killed.kill()?;
    ensure!(inventory(&planes)? != before, "it was killed before it had put anything there");
    let printed = ends(run("again")?, 0)?;
    ensure!(printed.contains(WELL), "{printed}");
    for name in ["eu-1", "us-1"] {
        let line = format!("{name}: the cluster holds the identity that another hub gave it");
        ensure!(printed.contains(&line), "{printed}");
    }
    nothing_left(&planes, &before)?;

    let mut interrupted = run("interrupted")?;
    interrupted.wait_for_log(ENROLLED, LIMIT).await?;
    interrupted.signal(Signal::INT)?;
    let printed = ends(interrupted, 1)?;
    ensure!(printed.contains("Both clusters are as they were") && !printed.contains(WELL), "{printed}");
    nothing_left(&planes, &before)?;

    spares_others(&planes, scratch.path(), &both)
}

/// Nothing of somebody else's is used, let alone removed.
fn spares_others(planes: &[ControlPlane], folder: &Path, both: &[&str; 4]) -> Result<()> {
    let same = [both[0], both[1], both[0], both[1]];
    let printed = ends(demo(folder, "same", &same)?, 1)?;
    ensure!(printed.contains("one cluster"), "{printed}");

    let theirs = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}});
    planes[1].kubectl_with_input(&["create", "-f", "-"], &theirs.to_string())?;
    let before = inventory(planes)?;
    let printed = ends(demo(folder, "namespace", both)?, 1)?;
    ensure!(printed.contains("namespace payments that is not the demo's"), "{printed}");
    nothing_left(planes, &before)?;
    planes[1].kubectl(&["delete", "namespace", "payments"])?;

    planes[0].kubectl(&["create", "namespace", "rimward-system"])?;
    let installed =
        ["create", "deployment", "rimward-spoke", "-n", "rimward-system", "--image", "i", "--replicas=0"];
    planes[0].kubectl(&installed)?;
    let printed = ends(demo(folder, "installed", both)?, 1)?;
    ensure!(printed.contains("a spoke is installed there"), "{printed}");
    planes[0].kubectl(&["get", "deployment", "rimward-spoke", "-n", "rimward-system"]).map(drop)
}

/// The commands that are printed, each with what it needs before it.
fn commands(printed: &str) -> Result<Vec<String>> {
    let (_, after) = printed.split_once("In another terminal:").context("no commands are printed")?;
    let lines: Vec<&str> = after.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let (export, commands) = lines.split_first().context("no commands are printed")?;
    ensure!(export.starts_with("export RIMWARD_HUB="), "{export}");
    Ok(commands.iter().map(|command| format!("{export}; {command}")).collect())
}

#[tokio::test]
async fn left_running_it_prints_commands_that_work_until_it_is_told_to_end() -> Result<()> {
    let scratch = Scratch::new("demo")?;
    let mut demo = demo(scratch.path(), "keep", &["--keep"])?;
    demo.wait_for_log("Ctrl-C stops and removes it all.", LIMIT).await?;
    let printed = demo.log();
    tells_times(&printed)?;
    let commands = commands(&printed)?;
    ensure!(
        commands.iter().filter(|command| command.contains("kubectl --kubeconfig ")).count() == 2,
        "{printed}"
    );
    for text in &commands {
        let mut command = Command::new("sh");
        // Those that go on until they are interrupted are interrupted.
        let (text, code) = match text.contains(" -w") {
            true => (text.replacen("; ", "; exec timeout 2 ", 1), 124),
            false => (text.clone(), 0),
        };
        command.args(["-c", &text]).env("PATH", without_kubectl(scratch.path())?);
        let output = process::run(command, Duration::from_secs(60))?;
        ensure!(output.status.code() == Some(code), "{text}: {output:?}");
    }
    let logs = printed.lines().find_map(|line| line.strip_prefix("Logs: ")).context("no logs")?;
    let (logs, socket) = (PathBuf::from(logs), commands[0].clone());
    ensure!(logs.is_dir() && demo.is_running());
    demo.signal(Signal::TERM)?;
    ends(demo, 0)?;
    ensure!(!logs.exists(), "{} is still there", logs.display());
    let mut command = Command::new("sh");
    command.args(["-c", &socket]);
    let output = process::run(command, Duration::from_secs(60))?;
    ensure!(output.status.code() == Some(3), "the hub still answers: {output:?}");
    let held = children(&logs)?;
    ensure!(held.is_empty(), "still running: {held:?}");
    Ok(())
}

/// Processes that name something below this folder.
fn children(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // Processes come and go while we look.
        let Ok(line) = fs::read(entry?.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder.display().to_string()) {
            found.push(line);
        }
    }
    Ok(found)
}
