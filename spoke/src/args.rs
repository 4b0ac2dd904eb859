//! The command line: flags win over the environment, which wins over the
//! configuration file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use jiff::SignedDuration;

use crate::core::event::Following;

/// The Rimward agent in one cluster: verifies, applies, prunes, repairs and reports.
#[derive(Debug, Clone, Parser)]
#[command(name = "rimward-spoke", version, disable_help_subcommand = true)]
pub struct Args {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration file.
    #[arg(long, global = true, env = "RIMWARD_CONFIG", default_value = "/etc/rimward/spoke.yaml")]
    pub config: PathBuf,
    /// Where content and the last good plan are kept; overrides `dataDir`.
    #[arg(long, global = true, env = "RIMWARD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// How much to log: error, warn, info, debug, trace, or a tracing filter.
    #[arg(long, global = true, env = "RIMWARD_LOG", default_value = "info")]
    pub log_level: String,
    /// For tests, which cannot fill a cluster with 512 namespaces: another number of watches.
    #[arg(long, global = true, hide = true, env = "RIMWARD_TEST_MAX_WATCHES")]
    pub max_watches: Option<usize>,
    /// For tests, which cannot wait a minute: another interval, in milliseconds, of the lists beyond that number.
    #[arg(long, global = true, hide = true, env = "RIMWARD_TEST_LIST_MILLIS")]
    pub list_millis: Option<u32>,
}

/// The subcommands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the agent.
    Run,
    /// Test configuration, identity and API server, one line each.
    Check,
}

impl Args {
    /// How much is watched: as the program has it, unless a test asks for something else.
    pub fn following(&self) -> Following {
        let default = Following::default();
        let millis = |millis: u32| SignedDuration::from_millis(millis.into());
        Following {
            max_watches: self.max_watches.unwrap_or(default.max_watches),
            list_every: self.list_millis.map_or(default.list_every, millis),
        }
    }

    /// The subcommand, `run` when none was given.
    pub fn command(&self) -> Command {
        self.command.unwrap_or(Command::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_follow_the_subcommand_and_run_is_the_default() {
        let args = Args::try_parse_from(["rimward-spoke", "check", "--config", "/x"]).unwrap();
        assert_eq!((args.command(), args.config), (Command::Check, PathBuf::from("/x")));
        let args = Args::try_parse_from(["rimward-spoke", "--data-dir", "/d"]).unwrap();
        assert_eq!((args.command(), args.data_dir), (Command::Run, Some(PathBuf::from("/d"))));
        assert!(Args::try_parse_from(["rimward-spoke", "--nonsense"]).is_err());
    }
}
