//! The watches of the model: what each lists, and what it is told.

use std::collections::BTreeSet;

use super::api::Change;
use super::world::World;
use crate::core::effect::WatchSpec;
use crate::core::{Event, Observed};

impl World {
    pub fn set_watches(&mut self, specs: BTreeSet<WatchSpec>) {
        self.tell_watches();
        for spec in specs.difference(&self.watches.clone()) {
            self.list(spec);
        }
        self.watches = specs;
    }

    /// A watch lists, or fails to.
    pub fn list(&mut self, spec: &WatchSpec) {
        if self.broken.contains(spec) {
            let message = "forbidden".to_owned();
            return self.events.push(Event::WatchFailed { watch: spec.clone(), message });
        }
        let covered = self.api.objects.keys().filter(|key| spec.covers(key) && self.api.is_labelled(key));
        let objects: Vec<Observed> =
            covered.filter_map(|key| self.api.live(key, &spec.judge)).map(|live| live.observed).collect();
        self.events.push(Event::WatchSynced { watch: spec.clone(), objects });
    }

    /// Turns the server's changes into watch events.
    pub fn tell_watches(&mut self) {
        for change in std::mem::take(&mut self.api.changes) {
            let (Change::Upsert(key) | Change::Gone(key, _)) = &change;
            let specs: Vec<WatchSpec> = self
                .watches
                .iter()
                .filter(|spec| spec.covers(key) && !self.broken.contains(spec))
                .cloned()
                .collect();
            for watch in specs {
                let live = self.api.live(key, &watch.judge).filter(|_| self.api.is_labelled(key));
                self.events.push(match (&change, live) {
                    (Change::Upsert(_), Some(live)) => {
                        Event::WatchUpsert { watch, object: Box::new(live.observed) }
                    }
                    (Change::Upsert(key), None) => {
                        let uid =
                            self.api.objects.get(key).map(|stored| stored.uid.clone()).unwrap_or_default();
                        Event::WatchDeleted { watch, key: key.clone(), uid }
                    }
                    (Change::Gone(key, uid), _) => {
                        Event::WatchDeleted { watch, key: key.clone(), uid: uid.clone() }
                    }
                });
            }
        }
    }
}
