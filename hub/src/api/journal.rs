//! Which commits each source has resolved to, lately and in order: what lets
//! `rimward wait --commit` tell "that commit or a newer one" from an older one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::model::SourceId;
use crate::core::world::World;
use crate::handle::Hub;

/// Commits remembered of each source: somebody who waits does so minutes after a push, not a hundred pushes later.
const COMMITS: usize = 100;

/// The commits, oldest first. In memory: after a restart it begins with what the sources resolve to then.
#[derive(Debug, Default)]
pub struct Journal(Mutex<BTreeMap<SourceId, VecDeque<String>>>);

impl Journal {
    /// A journal of what `hub` resolves from now on, until it stops.
    pub fn start(hub: &Hub) -> Arc<Self> {
        let journal = Arc::new(Self::default());
        let (hub, written) = (hub.clone(), journal.clone());
        written.record(&hub.world.read().unwrap_or_else(PoisonError::into_inner));
        tokio::spawn(async move {
            let mut changed = hub.changed.clone();
            while changed.changed().await.is_ok() {
                written.record(&hub.world.read().unwrap_or_else(PoisonError::into_inner));
            }
        });
        journal
    }

    /// Writes down what the sources of `world` resolve to.
    pub fn record(&self, world: &World) {
        let mut journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.retain(|id, _| world.sources.contains_key(id));
        for (id, source) in world.sources.iter().filter(|(_, source)| !source.commit.is_empty()) {
            let commits = journal.entry(id.clone()).or_default();
            if commits.back() == Some(&source.commit) {
                continue;
            }
            // A branch that was put back to an older commit: what came in between is not "newer" any more.
            if let Some(again) = commits.iter().position(|commit| *commit == source.commit) {
                commits.truncate(again);
            }
            commits.push_back(source.commit.clone());
            if commits.len() > COMMITS {
                commits.pop_front();
            }
        }
    }

    /// What a source resolved to, oldest first.
    pub fn of(&self, id: &SourceId) -> Vec<String> {
        let journal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journal.get(id).map(|commits| commits.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_forgets_what_was_taken_back_and_is_bounded() {
        let journal = Journal::default();
        let mut world = World::default();
        let mut resolve = |commit: &str| {
            world.sources.entry(SourceId::Fleet).or_default().commit = commit.to_owned();
            journal.record(&world);
            journal.of(&SourceId::Fleet)
        };
        assert!(resolve("").is_empty());
        resolve("a");
        resolve("b");
        resolve("b");
        assert_eq!(resolve("c"), ["a", "b", "c"]);
        assert_eq!(resolve("b"), ["a", "b"]);
        for n in 0..2 * COMMITS {
            resolve(&n.to_string());
        }
        assert_eq!(resolve("199").len(), COMMITS);
        journal.record(&World::default());
        assert!(journal.of(&SourceId::Fleet).is_empty());
    }
}
