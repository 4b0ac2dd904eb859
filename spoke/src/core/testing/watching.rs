//! The watches and lists of the model: what each shows, and what it is told.

use std::collections::BTreeSet;

use rimward_proto::ObjectKey;

use super::api::{Api, Change, forbidden};
use super::world::World;
use crate::core::Event;
use crate::core::effect::{ListWork, WatchSpec};
use crate::core::errors::{ApiError, ErrorKind};
use crate::core::lost::Labelled;

impl Api {
    /// The names of all namespaces, if they may be listed.
    pub fn list_namespaces(&self) -> Result<BTreeSet<String>, ApiError> {
        match self.blind {
            true => Err(ApiError::new(ErrorKind::Forbidden, "namespaces is forbidden")),
            false => Ok(self.namespaces.clone()),
        }
    }

    /// All of a kind with a tenant's label in one place, as far as its account may list it.
    pub fn list_labelled(&self, list: &ListWork) -> Result<Vec<Labelled>, ApiError> {
        if self.unlisted.contains(&(list.kind.clone(), list.namespace.clone())) {
            return Err(ApiError::new(ErrorKind::Forbidden, format!("{} is forbidden", list.kind)));
        }
        let covers = |key: &&ObjectKey| {
            (&key.group, &key.kind, &key.namespace) == (&list.group, &list.kind, &list.namespace)
        };
        let tenant = |one: &Labelled| one.observed.tenant.as_deref() == Some(list.tenant.as_str());
        let all = self
            .objects
            .keys()
            .filter(covers)
            .filter_map(|key| Labelled::from_object(&list.group, &list.kind, &self.json(key)?));
        Ok(all.filter(tenant).collect())
    }
}

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
            return self.events.push(Event::WatchFailed { watch: spec.clone(), why: forbidden() });
        }
        let objects = self.api.list(spec);
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
