//! What a killed hub leaves in a mirror: Git's lock files. Nobody takes them
//! back, and every later fetch would fail on them.

use std::fs;
use std::path::Path;

/// Folders within folders: a ref of ours has five parts, a branch may have some more.
const DEPTH: usize = 64;

/// Removes the lock files of a mirror. Call it before this process writes to the mirror; that no other process does, the
/// lock on the data directory says.
pub fn sweep(mirror: &Path) {
    sweep_below(mirror, DEPTH);
}

fn sweep_below(folder: &Path, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        // Objects are written under names of their own and have no locks; there may be many.
        if kind.is_dir() && name != "objects" && depth > 0 {
            sweep_below(&path, depth - 1);
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "lock") {
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "removed the lock of a hub that was killed");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a stale lock cannot be removed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_go_and_everything_else_stays() {
        let mirror = tempfile::tempdir().unwrap();
        let heads = mirror.path().join("refs/rimward/track/heads");
        fs::create_dir_all(&heads).unwrap();
        fs::create_dir_all(mirror.path().join("objects/pack")).unwrap();
        let locks = ["refs/rimward/track/heads/main.lock", "packed-refs.lock", "HEAD.lock", "config.lock"];
        let others = ["refs/rimward/track/heads/main", "packed-refs", "HEAD", "objects/pack/pack-1.idx"];
        for file in locks.iter().chain(&others) {
            fs::write(mirror.path().join(file), "x").unwrap();
        }
        sweep(mirror.path());
        assert!(locks.iter().all(|file| !mirror.path().join(file).exists()));
        assert!(others.iter().all(|file| mirror.path().join(file).exists()));
        sweep(&mirror.path().join("absent"));
    }
}
