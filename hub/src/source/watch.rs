//! A fetch that goes beyond its limits of time and size is stopped while it
//! runs: gix asks a flag, and a thread beside it sets that.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{FETCH_BYTES, FETCH_TIME, SourceError};
use crate::core::model::GitSpec;

/// How often a running fetch is checked against its limits.
const WATCH: Duration = Duration::from_millis(250);

/// Stops a fetch that goes beyond its limits.
pub struct Watch<'a> {
    path: &'a Path,
    stop: AtomicBool,
    before: u64,
}

impl<'a> Watch<'a> {
    /// A watch over a fetch into the mirror at `path`.
    pub fn new(path: &'a Path) -> Self {
        Self { path, stop: AtomicBool::new(false), before: pack_bytes(path) }
    }

    /// Runs `work`, which looks at what it is given and stops when that is set.
    pub fn run<T>(&self, work: impl FnOnce(&AtomicBool) -> T) -> T {
        let (done, finished): (Sender<()>, _) = channel();
        let deadline = Instant::now() + FETCH_TIME;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while finished.recv_timeout(WATCH) == Err(RecvTimeoutError::Timeout) {
                    if Instant::now() > deadline || self.too_large() {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                }
            });
            let result = work(&self.stop);
            drop(done);
            result
        })
    }

    fn too_large(&self) -> bool {
        pack_bytes(self.path).saturating_sub(self.before) > FETCH_BYTES
    }

    /// The error of a fetch that was stopped; none if it was not.
    pub fn limit(&self, git: &GitSpec) -> Option<SourceError> {
        self.stop.load(Ordering::Relaxed).then(|| SourceError::Limit {
            url: git.url.clone(),
            what: "a fetch".to_owned(),
            limit: format!("{} GiB and {} minutes", FETCH_BYTES >> 30, FETCH_TIME.as_secs() / 60),
        })
    }
}

fn pack_bytes(path: &Path) -> u64 {
    let Ok(list) = fs::read_dir(path.join("objects").join("pack")) else { return 0 };
    list.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
