//! Child processes that never outlive the test that started them.
//!
//! A `Daemon` is stopped when dropped, hence also when a test panics. Against
//! the test process itself being killed there are two nets: our own Go
//! programs end with their standard input (`Tether::Stdin`), for any other a
//! small shell waits for the end of its input and then kills it
//! (`Tether::Watchdog`). The kernel closes both pipes for us.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end on SIGTERM when its value is dropped.
/// Rimward's daemons drain within 25 s, but a test that drops them is not
/// interested in the rest.
const GRACE_ON_DROP: Duration = Duration::from_secs(3);

/// How often a wait looks. Short beside what tests measure (tens of
/// milliseconds), long beside the cost of a look (microseconds).
const POLL: Duration = Duration::from_millis(5);

/// How a process is tied to the life of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tether {
    /// It ends when its standard input does.
    Stdin,
    /// A shell beside it kills it when this process is gone.
    Watchdog,
}

/// A running child process and its log file.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    watchdog: Option<Watchdog>,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Daemon {
    /// Starts `command`, its stdout and stderr appended to the file `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path, tether: Tether) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        if tether == Tether::Stdin {
            command.env("RIMWARD_EXIT_WITH_STDIN", "1");
        }
        let child = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A group of its own: Ctrl-C on the terminal reaches the test or
            // the demo alone, which then stops its children in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} ({:?})", command.get_program()))?;
        let mut daemon =
            Self { name: name.to_owned(), child, watchdog: None, log: log.to_owned(), status: None };
        if tether == Tether::Watchdog {
            daemon.watchdog = Some(Watchdog::of_process(daemon.id())?);
        }
        Ok(daemon)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file it writes to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until the log contains `text`; fails when the process ends first.
    pub async fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let ended = self.status()?;
            if self.log().contains(text) {
                return Ok(());
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}): {}", self.name, self.log_tail(20));
            }
            if start.elapsed() > limit {
                let tail = self.log_tail(20);
                bail!("{} did not log {text:?} in {limit:?}: {tail}", self.name);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How it ended, or nothing while it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.status = Some(status);
            self.watchdog = None;
        }
        Ok(self.status)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.status(), Ok(None))
    }

    /// Waits for its end, at most `limit`. Blocks this thread.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            let status = self.status()?;
            if status.is_some() || start.elapsed() > limit {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal; says nothing when it has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.status()?.is_none() {
            let raw = i32::try_from(self.id()).context("process id")?;
            let pid = Pid::from_raw(raw).context("process id 0")?;
            // Not reaped yet (see above), so the id is still its own.
            kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL when it has not ended after `grace`.
    pub fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match self.wait(grace)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        // Killed processes end; the wait is only for the kernel to tidy up.
        let status = match self.status {
            Some(status) => status,
            None => self.child.wait()?,
        };
        self.status = Some(status);
        self.watchdog = None;
        Ok(status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A drop has nobody to report to, and every path of `terminate` ends
        // in a SIGKILL.
        let _ = self.terminate(GRACE_ON_DROP);
    }
}

/// A shell that kills when this process is gone; dismissed on drop.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Kills one process.
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::start(&pid.to_string())
    }

    /// Kills a process that leads a group, and all others in it.
    pub fn of_group(leader: u32) -> Result<Self> {
        Self::start(&format!("-{leader}"))
    }

    fn start(target: &str) -> Result<Self> {
        Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$1\"", "rimward-watchdog", target])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
            .context("starting a watchdog shell")
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Killed, not told: it must not act on an id that is free again.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
