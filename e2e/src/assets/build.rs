//! Builds the control plane's program from Go modules, once for each content
//! of its sources, whoever asks at the same time.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};

use super::NAMES;
use crate::daemon::Watchdog;
use crate::progress::Progress;

/// The sources, inside our own binary: a test executable works wherever it is.
const SOURCES: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../controlplane/go.mod")),
    ("go.sum", include_str!("../../controlplane/go.sum")),
    ("main.go", include_str!("../../controlplane/main.go")),
];

/// The program itself; the names are links to it.
const PROGRAM: &str = "controlplane";

/// How many lines of the compiler's output an error shows.
const TAIL: usize = 40;

/// How often the progress is refreshed while there is nothing new.
const TICK: Duration = Duration::from_millis(500);

/// Returns the folder with the programs, building them if they are not there.
pub fn build_once(cache: &Path) -> Result<PathBuf> {
    let folder = folder(cache);
    if complete(&folder) {
        return Ok(folder);
    }
    fs::create_dir_all(cache).with_context(|| format!("making {}", cache.display()))?;
    // A lock of the kernel's, on a file that stays: it is let go however its
    // holder ends.
    let _lock = wait_for_lock(&cache.join("controlplane.lock"))?;
    if complete(&folder) {
        return Ok(folder);
    }
    remove_abandoned(cache);
    let work = cache.join(format!("controlplane-building-{}", std::process::id()));
    let outcome = build(&work, &folder);
    // After a success only the sources are left in it.
    let _ = fs::remove_dir_all(&work);
    outcome?;
    Ok(folder)
}

/// The folder with the programs, if they were built already.
pub fn built(cache: &Path) -> Option<PathBuf> {
    Some(folder(cache)).filter(|folder| complete(folder))
}

fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("controlplane-{}", key()))
}

/// The hash of all that decides what is built.
fn key() -> String {
    let all = SOURCES.map(|(name, text)| format!("{name} {}\n{text}", text.len()));
    let hash = digest(&SHA256, all.concat().as_bytes());
    let hex: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    hex[..16].to_owned()
}

fn complete(folder: &Path) -> bool {
    NAMES.iter().all(|name| folder.join(name).is_file())
}

/// Work folders of builds that were killed. Called with the lock held.
fn remove_abandoned(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if (entry.file_name().to_string_lossy()).starts_with("controlplane-building-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn wait_for_lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("opening {}", path.display()))?;
    let mut progress = None;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                progress
                    .get_or_insert_with(|| Progress::start("waiting for the control plane"))
                    .at("it is being built already");
                thread::sleep(TICK);
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
    if let Some(progress) = progress {
        progress.done("waited for another build of the control plane");
    }
    Ok(file)
}

fn build(work: &Path, folder: &Path) -> Result<()> {
    let sources = work.join("src");
    let output = work.join("out");
    fs::create_dir_all(&sources)?;
    fs::create_dir_all(&output)?;
    for (name, text) in SOURCES {
        fs::write(sources.join(name), text)?;
    }
    compile(&sources, &output.join(PROGRAM))?;
    for name in NAMES {
        symlink(PROGRAM, output.join(name))?;
    }
    if folder.exists() {
        // Incomplete, or we would not be here.
        fs::remove_dir_all(folder)?;
    }
    fs::rename(&output, folder).with_context(|| format!("putting {} in place", folder.display()))
}

fn compile(sources: &Path, output: &Path) -> Result<()> {
    let mut child = go_build(sources, output)?.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "go was not found: install Go (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a \
                 folder with kube-apiserver, kube-controller-manager, etcd and kubectl"
        ),
        _ => anyhow::Error::new(error).context("starting go build"),
    })?;
    // A build of minutes must not go on for nobody: the compilers that it runs are in its group.
    let watchdog = Watchdog::of_group(child.id())?;
    let title = "building a Kubernetes control plane from Go modules, once (about 10 min)";
    let mut progress = Progress::start(title);
    let tail = follow(&mut child, &mut progress)?;
    let status = child.wait()?;
    drop(watchdog);
    if !status.success() {
        let tail: Vec<String> = tail.into();
        bail!("go build failed ({status}):\n{}", tail.join("\n"));
    }
    progress.done("control plane built");
    Ok(())
}

fn go_build(sources: &Path, output: &Path) -> Result<Command> {
    let version = kubernetes_version()?;
    let (major, rest) = version[1..].split_once('.').context("minor version")?;
    let minor = rest.split('.').next().unwrap_or(rest);
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    );
    let mut command = Command::new("go");
    command
        // -v names each package as it is compiled: the progress we show.
        .args(["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags"])
        .arg(flags)
        .arg("-o")
        .arg(output)
        .arg(".")
        .current_dir(sources)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    Ok(command)
}

/// The version the server says it is; without it clients misbehave.
fn kubernetes_version() -> Result<&'static str> {
    let (_, text) = SOURCES[0];
    text.lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .map(str::trim)
        .context("go.mod does not require k8s.io/kubernetes")
}

/// Shows what the compiler says; returns its last lines.
fn follow(child: &mut Child, progress: &mut Progress) -> Result<VecDeque<String>> {
    let lines = read_lines(child.stderr.take().context("stderr of go build")?);
    let mut tail = VecDeque::new();
    let mut compiled = 0_usize;
    let mut message = "looking for the modules".to_owned();
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                if line.starts_with("go: ") {
                    message.clone_from(&line);
                } else {
                    compiled += 1;
                    message = format!("{compiled} packages compiled, now {line}");
                }
                tail.push_back(line);
                if tail.len() > TAIL {
                    tail.pop_front();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        progress.at(&message);
    }
    Ok(tail)
}

fn read_lines(input: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(input).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_go_mod() {
        let version = kubernetes_version().unwrap();
        assert!(version.starts_with("v1."), "{version}");
    }

    #[test]
    fn the_key_is_stable_and_short() {
        assert_eq!(key(), key());
        assert_eq!(key().len(), 16);
    }
}
