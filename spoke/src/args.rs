//! The command line: flags win over the environment, which wins over the
//! configuration file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
