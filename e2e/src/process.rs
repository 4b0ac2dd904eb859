//! Rimward's own programs, as processes.
//!
//! Cargo tells a test where the programs of its own package are, not those of
//! others. They are next to the test executable's folder; if one is missing,
//! or older than its sources, cargo builds them once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::daemon::{Daemon, Tether};
use crate::progress;

/// One of Rimward's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The hub's daemon.
    Hub,
    /// The agent in a cluster.
    Spoke,
    /// The command line.
    Cli,
}

impl Program {
    const ALL: [Self; 3] = [Self::Hub, Self::Spoke, Self::Cli];

    /// Its file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hub => "rimward-hub",
            Self::Spoke => "rimward-spoke",
            Self::Cli => "rimward",
        }
    }

    /// Where it is, built if need be. Blocks.
    pub fn path(self) -> Result<PathBuf> {
        static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| prepare().map_err(|error| format!("{error:#}")));
        match folder {
            Ok(folder) => Ok(folder.join(self.name())),
            Err(error) => bail!("{error}"),
        }
    }

    /// A command for it, to which arguments and environment can be added.
    pub fn command(self) -> Result<Command> {
        Ok(Command::new(self.path()?))
    }

    /// Starts it with `arguments` and these variables, its output appended to
    /// `log`; it is killed when the value is dropped or this process ends.
    pub fn start(self, arguments: &[&str], environment: &[(&str, String)], log: &Path) -> Result<Daemon> {
        let mut command = self.command()?;
        // Where the user sends traces is none of a test's business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        Daemon::spawn(self.name(), command, log, Tether::Watchdog)
    }

    /// Runs it to its end, at most `limit`, and returns what it said, whatever
    /// its exit code. Blocks.
    pub fn run(self, arguments: &[&str], limit: Duration) -> Result<Output> {
        let mut command = self.command()?;
        command.args(arguments);
        run(command, limit).with_context(|| format!("{} {arguments:?}", self.name()))
    }
}

/// Runs a command to its end, at most `limit`; then it is killed, and that is
/// an error. Blocks.
pub fn run(mut command: Command, limit: Duration) -> Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let start = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("it has not ended in {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ok(Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Reads a pipe to its end beside the wait, so that it never fills up.
fn collect<R: std::io::Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is what there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// The folder of the programs, all of them there and up to date.
fn prepare() -> Result<PathBuf> {
    let folder = target_folder(&std::env::current_exe()?)?;
    let stale = |program: &Program| is_stale(&folder, program.name());
    if let Some(program) = Program::ALL.iter().find(|program| stale(program)) {
        let why = format!("{} is missing or older than its sources", program.name());
        progress::say(&format!("{why}: building Rimward's programs"));
        build(&folder)?;
    }
    Ok(folder)
}

/// `target/debug` for `target/debug/deps/some_test-1234` and for
/// `target/debug/demo`.
fn target_folder(executable: &Path) -> Result<PathBuf> {
    let folder = executable.parent().context("an executable without a folder")?;
    let inner = folder.file_name().and_then(|name| name.to_str());
    let folder = match inner {
        Some("deps" | "examples") => folder.parent().context("no target folder")?,
        _ => folder,
    };
    Ok(folder.to_owned())
}

/// Reads the list of sources that cargo keeps beside each program.
fn is_stale(folder: &Path, name: &str) -> bool {
    let Ok(built) = modified(&folder.join(name)) else {
        return true;
    };
    let Ok(list) = fs::read_to_string(folder.join(format!("{name}.d"))) else {
        return true;
    };
    sources(&list).any(|source| modified(&source).is_ok_and(|time| time > built))
}

/// The prerequisites of a make rule; spaces in paths are escaped.
fn sources(rule: &str) -> impl Iterator<Item = PathBuf> {
    let (_, list) = rule.split_once(": ").unwrap_or_default();
    let list = list.trim().replace("\\ ", "\0");
    let paths: Vec<PathBuf> =
        list.split_whitespace().map(|path| PathBuf::from(path.replace('\0', " "))).collect();
    paths.into_iter()
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

fn build(folder: &Path) -> Result<()> {
    let target = folder.parent().context("no target folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With this package, although it has none of the programs: the same
    // selection means the same features, hence no second build of everything.
    command.args(["build", "--bins"]);
    for package in ["rimward-hub", "rimward-spoke", "rimward-e2e"] {
        command.args(["--package", package]);
    }
    if folder.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    let status = command
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("cargo could not build Rimward's programs ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_target_folder_of_a_test_and_of_a_program() {
        let of = |path: &str| target_folder(Path::new(path)).unwrap();
        assert_eq!(of("/t/debug/deps/test-1"), Path::new("/t/debug"));
        assert_eq!(of("/t/release/demo"), Path::new("/t/release"));
    }

    #[test]
    fn a_program_is_stale_without_its_list_or_with_a_newer_source() {
        let scratch = Scratch::new("stale").unwrap();
        let path = |name: &str| scratch.path().join(name);
        assert!(is_stale(scratch.path(), "p"));
        fs::write(path("a b.rs"), "").unwrap();
        fs::write(path("p"), "").unwrap();
        assert!(is_stale(scratch.path(), "p"));
        let escaped = path("a b.rs").display().to_string().replace(' ', "\\ ");
        fs::write(path("p.d"), format!("{}: {escaped}\n", path("p").display())).unwrap();
        assert!(!is_stale(scratch.path(), "p"));
        let later = SystemTime::now() + Duration::from_secs(5);
        let source = fs::File::options().append(true).open(path("a b.rs")).unwrap();
        source.set_modified(later).unwrap();
        assert!(is_stale(scratch.path(), "p"));
    }

    #[test]
    fn a_command_is_bounded_and_its_output_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let output = run(command, Duration::from_secs(10)).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        let mut command = Command::new("sleep");
        command.arg("60");
        assert!(run(command, Duration::from_millis(50)).is_err());
    }
}
