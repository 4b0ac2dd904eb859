//! What `--keep` prints: commands that work as they stand, here and now.

use std::path::Path;

use anyhow::Result;

use super::ground::absolute;
use crate::assets;
use crate::git::GitRepo;
use crate::process::Program;
use crate::rig::Rig;

/// The last line of what is printed: everything is up, and this is how it ends.
const LAST: &str = "Ctrl-C stops and removes it all.";

/// Prints what to try.
pub fn print(rig: &Rig, repo: &GitRepo) -> Result<()> {
    let rimward = shell(&Program::Cli.path()?);
    println!("\nEverything is still running. In another terminal:");
    println!("  export RIMWARD_HUB={}", rig.hub.socket());
    for command in ["get apps", "get clusters", "get drift -w", "describe app/payments/web", "get sources"] {
        println!("  {rimward} {command}");
    }
    match assets::kubectl() {
        Some(kubectl) => {
            for site in &rig.sites {
                let kubeconfig = shell(&absolute(site.kubeconfig()));
                println!("  {} --kubeconfig {kubeconfig} get cm -A   # {}", shell(&kubectl), site.name);
            }
        }
        None => println!("  (there is no kubectl on the PATH to look into the clusters with)"),
    }
    println!("  cd {}   # the payments team's clone: commit, push, and", shell(repo.work()));
    println!("  {rimward} reconcile source/payments/apps --wait");
    println!("Logs: {}", rig.folder().display());
    println!("{LAST}");
    Ok(())
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%=:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_shell() {
        assert_eq!(shell(Path::new("/a/b-1.yaml")), "/a/b-1.yaml");
        assert_eq!(shell(Path::new("/it's a/b")), "'/it'\\''s a/b'");
    }
}
