//! Arguments of `rimward plan`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use rimward_hub::core::model::SourceId;

/// `rimward plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Ask no hub: read folders of this machine, as if every cluster of the fleet were enrolled
    #[arg(long)]
    pub offline: bool,
    /// The folder of the fleet repo
    #[arg(long, value_name = "DIR", requires = "offline", conflicts_with = "ref")]
    pub fleet: Option<PathBuf>,
    /// What changes: a source, or `fleet`; with --offline the folder it is in, once for each source
    #[arg(long, value_name = "T/S[=DIR]", required_unless_present = "offline")]
    pub source: Vec<Place>,
    /// The branch, ref (refs/pull/7/head) or commit to preview; the hub fetches it
    #[arg(
        id = "ref",
        long = "ref",
        value_name = "REF",
        conflicts_with = "offline",
        required_unless_present = "offline"
    )]
    pub reference: Option<String>,
    /// Compare with this commit of every folder's repository, or of one [default: with nothing]
    #[arg(long, value_name = "[T/S=|fleet=]REF", requires = "offline", conflicts_with = "ref")]
    pub base: Vec<String>,
    /// Exit 1 if anything would change or be held
    #[arg(long)]
    pub exit_code: bool,
    /// All of it, however long
    #[arg(long)]
    pub full: bool,
}

/// A repository, and the folder it is in if one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub id: SourceId,
    /// Where.
    pub dir: Option<PathBuf>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, dir) = match text.split_once('=') {
            Some((_, "")) => return Err("the folder is missing".to_owned()),
            Some((id, dir)) => (id, Some(dir.into())),
            None => (text, None),
        };
        let id = SourceId::try_from(id.to_owned());
        let id = id.map_err(|_| format!("`{text}` is none of TENANT/SOURCE, TENANT/SOURCE=DIR, fleet"))?;
        Ok(Self { id, dir })
    }
}
