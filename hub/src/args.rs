//! The command line of the daemon: flags win over the environment, which wins
//! over the configuration file, which wins over the defaults.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The Rimward hub: reads Git, decides what runs where, signs it and serves it to the spokes.
#[derive(Debug, Clone, Parser)]
#[command(name = "rimward-hub", version, disable_help_subcommand = true)]
pub struct Args {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration file.
    #[arg(long, global = true, env = "RIMWARD_CONFIG", default_value = "/etc/rimward/hub.yaml")]
    pub config: PathBuf,
    /// Where state, keys and content are kept; overrides `dataDir`.
    #[arg(long, global = true, env = "RIMWARD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// How much to log: error, warn, info, debug, trace, or a tracing filter; overrides `log.level`.
    #[arg(long, global = true, env = "RIMWARD_LOG")]
    pub log_level: Option<String>,
}

/// The subcommands.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the hub.
    Run,
    /// Make the data directory, the certificate authority, the head key and root 1. Run again it changes nothing.
    Init {
        /// Where the root key is written: outside the data directory, to be kept offline.
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
    },
    /// Test configuration, keys, store and Git, one line each.
    Check,
    /// Restore a backup (not built yet).
    Restore {
        /// The backup.
        file: PathBuf,
    },
}

impl Args {
    /// The subcommand, `run` when none was given.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_follow_the_subcommand_and_run_is_the_default() {
        let args = Args::try_parse_from(["rimward-hub", "check", "--config", "/x"]).unwrap();
        assert_eq!((args.command(), args.config), (Command::Check, PathBuf::from("/x")));
        let args = Args::try_parse_from(["rimward-hub", "--data-dir", "/d"]).unwrap();
        assert_eq!((args.command(), args.data_dir), (Command::Run, Some(PathBuf::from("/d"))));
        assert!(Args::try_parse_from(["rimward-hub", "init"]).is_err(), "init needs --root-key");
        assert!(Args::try_parse_from(["rimward-hub", "--nonsense"]).is_err());
    }
}
