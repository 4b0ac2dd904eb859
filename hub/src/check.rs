//! `rimward-hub check`: configuration, keys, store and Git, one line each,
//! without changing anything: a damaged store is left where it is, for `run` to
//! put aside. Works beside a running hub.

use std::fs;
use std::path::Path;

use crate::args::Args;
use crate::config::HubConfig;
use crate::datadir::{DataDir, DataError};
use crate::failure::{FAILED, Failure};
use crate::init;
use crate::run::configuration;
use crate::sign::Signer;
use crate::source::Mirrors;
use crate::state::causes;
use crate::store::Store;

/// Checks everything; fails if one line failed.
pub fn check(args: &Args) -> Result<(), Failure> {
    let config = configuration(args)?;
    println!("ok    config  {}", args.config.display());
    let lines = [("keys", keys(&config)), ("data", data(&config)), ("git", git(&config))];
    let mut failed = 0;
    for (what, line) in lines {
        match line {
            Ok(text) => println!("ok    {what:7} {text}"),
            Err(text) => {
                failed += 1;
                println!("FAIL  {what:7} {text}");
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(Failure { code: FAILED, message: format!("{n} of 4 checks failed") }),
    }
}

fn keys(config: &HubConfig) -> Result<String, String> {
    let folder = |name: &str| config.data_dir.join(name);
    let signer = Signer::load(&folder("keys"), &folder("root")).map_err(|error| causes(&error))?;
    init::load_authority(&folder("keys")).map_err(|error| causes(&error))?;
    let root = signer.root();
    if root.trust_domain != config.trust_domain {
        return Err(format!(
            "made for trust domain {}, configured is {}",
            root.trust_domain, config.trust_domain
        ));
    }
    Ok(format!(
        "root {} of {}, good until {}",
        root.version,
        root.trust_domain,
        root.expires.strftime("%Y-%m-%d")
    ))
}

fn data(config: &HubConfig) -> Result<String, String> {
    let path = config.data_dir.display();
    match DataDir::open(&config.data_dir) {
        Ok(data) => {
            let store = Store::sound(&data.join("state")).map_err(|error| causes(&error))?;
            let enrolled = store.scan("enrolment/").map_err(|error| causes(&error))?.len();
            Ok(format!("{path}: store intact, {enrolled} clusters enrolled"))
        }
        Err(DataError::Locked(_)) => {
            Ok(format!("{path}: in use by a running hub, so its store was not opened"))
        }
        Err(error) => Err(causes(&error)),
    }
}

fn git(config: &HubConfig) -> Result<String, String> {
    let git = config.fleet_git();
    let scratch = Scratch::new()?;
    let mirrors = Mirrors::new(scratch.path().to_owned(), config.credentials_dir.clone());
    let commit = mirrors.probe(&git, &scratch.path().join("probe")).map_err(|error| {
        let note = error.note();
        format!("{}: {}; {}", note.code, note.message, note.help)
    })?;
    Ok(format!("{} is at {commit}", git.url))
}

/// A folder of our own that goes away again.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("rimward-check-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind, it is a few empty folders in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}
