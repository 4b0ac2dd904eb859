//! Arguments of the commands that need no hub: they read folders of this machine.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rimward_hub::core::model::SourceId;

/// `rimward new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// What
    #[arg(value_enum)]
    pub what: New,
    /// Its name
    pub name: String,
    /// The folder to write into, made if need be
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
}

/// What can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum New {
    /// A fleet repo
    Fleet,
    /// A tenant, in the fleet repo
    Tenant,
    /// An App, in a tenant's repo
    App,
}

/// `rimward validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The fleet repo, or a tenant's: which one, its files say
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The fleet repo whose policy a tenant's repo is checked against
    #[arg(long, value_name = "DIR")]
    pub fleet: Option<PathBuf>,
    /// Which source DIR is, TENANT/SOURCE [default: the one whose URL is a remote of DIR]
    #[arg(long, value_name = "T/S", requires = "fleet", value_parser = source)]
    pub source: Option<SourceId>,
}

/// `rimward test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The fleet repo
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Only cases whose TEST:TENANT/APP matches this regular expression
    #[arg(long, value_name = "RE")]
    pub run: Option<regex::Regex>,
    /// A source of a tenant and the folder it is in; once for each source
    #[arg(long, value_name = "T/S=DIR", value_parser = source_dir)]
    pub source: Vec<SourceDir>,
}

/// A source of a tenant, in a folder of this machine.
#[derive(Debug, Clone)]
pub struct SourceDir {
    /// Which source.
    pub id: SourceId,
    /// The folder.
    pub dir: PathBuf,
}

/// `T/S`.
pub fn source(text: &str) -> Result<SourceId, String> {
    match SourceId::try_from(text.to_owned()) {
        Ok(id @ SourceId::Tenant { .. }) => Ok(id),
        Ok(SourceId::Fleet) | Err(_) => Err("write TENANT/SOURCE, as in payments/apps".to_owned()),
    }
}

/// `T/S=DIR`.
pub fn source_dir(text: &str) -> Result<SourceDir, String> {
    let (id, dir) =
        text.split_once('=').filter(|(_, dir)| !dir.is_empty()).ok_or("write TENANT/SOURCE=DIR")?;
    Ok(SourceDir { id: source(id)?, dir: dir.into() })
}
