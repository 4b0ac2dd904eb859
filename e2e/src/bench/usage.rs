//! What a process has cost so far, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::rig::Rig;

/// Clock ticks a second in /proc: fixed at 100 in Linux's user interface.
const TICKS: u64 = 100;

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time since it started.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub rss: u64,
    /// The most it ever was, bytes.
    pub peak: u64,
}

impl Usage {
    /// Of the hub, now.
    pub fn of_hub(rig: &Rig) -> Result<Self> {
        Self::of(rig.hub.pid().context("the hub runs")?)
    }

    /// Of the first site's spoke, now.
    pub fn of_spoke(rig: &mut Rig) -> Result<Self> {
        Self::of(rig.sites[0].spoke().pid().context("the spoke runs")?)
    }

    /// Of the first site's API server, now.
    pub fn of_server(rig: &mut Rig) -> Result<Self> {
        Self::of(rig.sites[0].plane().pids().apiserver.context("the API server runs")?)
    }

    /// Of the process `pid`, now.
    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold anything; the fields after it may not.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).context("/proc stat");
        let ticks = number(11)? + number(12)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name: &str| -> Result<u64> {
            let text = status.lines().find_map(|line| line.strip_prefix(name)).context("/proc status")?;
            Ok(text.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
        };
        let cpu = Duration::from_millis(ticks * 1000 / TICKS);
        Ok(Self { cpu, rss: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}
