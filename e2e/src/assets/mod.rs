//! Finds, or builds once, the programs a control plane consists of.
//!
//! What is in `KUBEBUILDER_ASSETS` is used (the envtest convention: a folder
//! with kube-apiserver, etcd and kubectl). What is missing there, as
//! kube-controller-manager is in what envtest ships, is part of one Go program
//! of ours (`e2e/controlplane`), built into the user's cache folder and found
//! there by everyone afterwards.

mod build;

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result, ensure};

use crate::daemon::Tether;
use crate::progress;

/// The programs, by name.
const NAMES: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "etcd", "kubectl"];

/// One of the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// How it is tied to the life of this process.
    pub(crate) tether: Tether,
}

/// The programs.
#[derive(Clone, Debug)]
pub struct Assets {
    /// kube-apiserver.
    pub apiserver: Tool,
    /// etcd.
    pub etcd: Tool,
    /// kubectl.
    pub kubectl: Tool,
    /// kube-controller-manager.
    pub controller_manager: Tool,
}

impl Assets {
    /// Finds them, building first what is not there (minutes, with progress on stderr). Blocks.
    pub fn find() -> Result<Self> {
        Self::find_in(given().as_deref(), || build::build_once(&cache_folder()?))
    }

    fn find_in(given: Option<&Path>, build: impl FnOnce() -> Result<PathBuf>) -> Result<Self> {
        let there = |name: &str| given.map(|folder| folder.join(name)).filter(|path| is_program(path));
        let missing: Vec<&str> = NAMES.into_iter().filter(|name| there(name).is_none()).collect();
        if let Some(folder) = given
            && !missing.is_empty()
        {
            let folder = folder.display();
            // A typo must not end in a build of ten minutes.
            ensure!(
                missing.len() < NAMES.len(),
                "KUBEBUILDER_ASSETS={folder} has none of {}",
                NAMES.join(", ")
            );
            static SAID: Once = Once::new();
            let missing = missing.join(", ");
            SAID.call_once(|| progress::say(&format!("not in KUBEBUILDER_ASSETS, so our own: {missing}")));
        }
        let ours = if missing.is_empty() { None } else { Some(build()?) };
        let tool = |name: &str| match (there(name), &ours) {
            (Some(path), _) => Ok(Tool { path, tether: Tether::Watchdog }),
            (None, Some(folder)) => Ok(Tool { path: folder.join(name), tether: Tether::Stdin }),
            (None, None) => Err(anyhow::anyhow!("{name} has just gone")),
        };
        Ok(Self {
            apiserver: tool("kube-apiserver")?,
            etcd: tool("etcd")?,
            kubectl: tool("kubectl")?,
            controller_manager: tool("kube-controller-manager")?,
        })
    }
}

/// The folder that somebody has named.
fn given() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// A kubectl for people to use: the one on the PATH, else one that is there already. Builds nothing.
pub fn kubectl() -> Option<PathBuf> {
    let name = Path::new("kubectl");
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| is_program(&folder.join(name))) {
        return Some(name.to_owned());
    }
    let folders = [given(), cache_folder().ok().and_then(|cache| build::built(&cache))];
    folders.into_iter().flatten().map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The user's cache folder for Rimward.
pub fn cache_folder() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        // The XDG specification: relative paths are to be ignored.
        Some(path) if Path::new(&path).is_absolute() => PathBuf::from(path),
        _ => {
            let home = env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cache")
        }
    };
    Ok(base.join("rimward"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    fn put(folder: &Path, name: &str) {
        fs::write(folder.join(name), "").unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_given_folder_is_used_and_only_what_it_lacks_is_built() {
        let scratch = Scratch::new("assets").unwrap();
        let given = scratch.path();
        let ours = || Ok(PathBuf::from("/ours"));
        let never = || -> Result<PathBuf> { panic!("nothing is missing") };
        let error = Assets::find_in(Some(given), ours).unwrap_err().to_string();
        assert!(error.contains("has none of kube-apiserver"), "{error}");
        for name in ["kube-apiserver", "etcd", "kubectl"] {
            put(given, name);
        }
        let assets = Assets::find_in(Some(given), ours).unwrap();
        assert_eq!(assets.apiserver, Tool { path: given.join("kube-apiserver"), tether: Tether::Watchdog });
        let manager = Tool { path: "/ours/kube-controller-manager".into(), tether: Tether::Stdin };
        assert_eq!(assets.controller_manager, manager);
        put(given, "kube-controller-manager");
        let assets = Assets::find_in(Some(given), never).unwrap();
        assert_eq!(assets.controller_manager.path, given.join("kube-controller-manager"));
        let assets = Assets::find_in(None, ours).unwrap();
        assert_eq!(assets.etcd.path, Path::new("/ours/etcd"));
    }

    #[test]
    fn what_cannot_be_run_is_no_program() {
        let scratch = Scratch::new("assets").unwrap();
        fs::write(scratch.path().join("etcd"), "").unwrap();
        assert!(!is_program(&scratch.path().join("etcd")) && !is_program(scratch.path()));
    }
}
