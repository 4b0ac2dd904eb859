//! Finds, or builds once, the programs a control plane consists of.
//!
//! `KUBEBUILDER_ASSETS` (the envtest convention) wins: a folder with
//! kube-apiserver, etcd, kubectl and perhaps kube-controller-manager. Else
//! they are one Go program of ours (`e2e/controlplane`), built into the user's
//! cache folder and found there by everyone afterwards.

mod build;

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::daemon::Tether;

/// The programs.
#[derive(Clone, Debug)]
pub struct Assets {
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// kube-controller-manager; envtest's folders have none.
    pub controller_manager: Option<PathBuf>,
    /// How these programs are tied to the life of this process.
    pub(crate) tether: Tether,
}

impl Assets {
    /// Finds them, building them first if need be (minutes, with progress on
    /// stderr). Blocks.
    pub fn find() -> Result<Self> {
        match env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) if !folder.is_empty() => Self::given(Path::new(&folder)),
            _ => Self::ours(&build::build_once(&cache_folder()?)?),
        }
    }

    fn given(folder: &Path) -> Result<Self> {
        for program in ["kube-apiserver", "etcd", "kubectl"] {
            if !folder.join(program).is_file() {
                bail!("KUBEBUILDER_ASSETS={} has no {program}", folder.display());
            }
        }
        let manager = folder.join("kube-controller-manager");
        Ok(Self {
            controller_manager: manager.is_file().then_some(manager),
            ..Self::in_folder(folder, Tether::Watchdog)
        })
    }

    fn ours(folder: &Path) -> Result<Self> {
        Ok(Self {
            controller_manager: Some(folder.join("kube-controller-manager")),
            ..Self::in_folder(folder, Tether::Stdin)
        })
    }

    fn in_folder(folder: &Path, tether: Tether) -> Self {
        Self {
            apiserver: folder.join("kube-apiserver"),
            etcd: folder.join("etcd"),
            kubectl: folder.join("kubectl"),
            controller_manager: None,
            tether,
        }
    }
}

/// A kubectl for people to use: the one on the PATH, else one that is there already. Builds nothing.
pub fn kubectl() -> Option<PathBuf> {
    let name = Path::new("kubectl");
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| is_program(&folder.join(name))) {
        return Some(name.to_owned());
    }
    let given = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty());
    let folders = [given.map(PathBuf::from), cache_folder().ok().and_then(|cache| build::built(&cache))];
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

    #[test]
    fn a_given_folder_must_have_all_but_the_controller_manager() {
        let scratch = Scratch::new("assets").unwrap();
        let put = |name: &str| fs::write(scratch.path().join(name), "").unwrap();
        put("kube-apiserver");
        put("etcd");
        let error = Assets::given(scratch.path()).unwrap_err().to_string();
        assert!(error.ends_with("has no kubectl"), "{error}");
        put("kubectl");
        let assets = Assets::given(scratch.path()).unwrap();
        assert_eq!(assets.controller_manager, None);
        put("kube-controller-manager");
        let assets = Assets::given(scratch.path()).unwrap();
        assert!(assets.controller_manager.is_some());
    }
}
