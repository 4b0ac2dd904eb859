//! Which Apps bring an object, and where it is written: read from the plan in
//! force, and from what is loaded as it renders.

use std::sync::{Arc, Mutex};

use rimward_proto::bundle::BundleIndex;
use rimward_proto::{AppId, ClusterName, ObjectKey};

use super::lock;
use super::memory::Loaded;
use super::preview::{Remembered, planned};
use crate::core::explain::{Located, Wanted};
use crate::core::plan::RenderCache;
use crate::handle::ActionError;
use crate::state::{State, causes};

/// A search that someone asked for.
pub struct Locating {
    state: Arc<State>,
    loaded: Arc<Mutex<Loaded>>,
}

impl Locating {
    /// A search in what is loaded and published.
    pub fn new(state: &Arc<State>, loaded: &Arc<Mutex<Loaded>>) -> Self {
        Self { state: state.clone(), loaded: loaded.clone() }
    }

    /// Finds an object, as it is on a cluster and as the sources have it. Blocks.
    pub fn run(self, cluster: &ClusterName, wanted: &Wanted) -> Result<Vec<Located>, ActionError> {
        let failed = |error: &dyn std::error::Error| ActionError::Failed(causes(error));
        let remembered = Remembered::read(&self.state).map_err(|error| failed(&error))?;
        let loaded = lock(&self.loaded).clone();
        let mut cache = RenderCache::default();
        let output = planned(&loaded, &remembered, &mut cache)?;
        let published = self.state.published.borrow().clone();
        let plan = published.as_ref().and_then(|published| published.plan(cluster)).cloned();
        let mut there: Vec<(AppId, ObjectKey)> = Vec::new();
        for bundle in plan.iter().flat_map(|plan| &plan.bundles) {
            let index = self.state.content.get(&bundle.digest).map_err(|error| failed(&error))?;
            // One that is lost is healed or rendered again; until then nothing is said of it.
            let index = index.and_then(|bytes| BundleIndex::parse(&bytes).ok());
            let entries = index.iter().flat_map(|index| index.entries());
            there.extend(
                entries.filter(|entry| wanted.is(&entry.key)).map(|entry| (bundle.id(), entry.key.clone())),
            );
        }
        let mut located: Vec<Located> = Vec::new();
        for (id, object) in cache.objects().filter(|(_, object)| wanted.is(&object.key)) {
            let commit = output.decided.apps.get(id).map(|decision| decision.commit.clone());
            located.push(Located {
                app: id.clone(),
                key: object.key.clone(),
                at: Some(object.at.clone()),
                commit: commit.unwrap_or_default(),
                here: there.contains(&(id.clone(), object.key.clone())),
            });
        }
        for (app, key) in there {
            if !located.iter().any(|known| known.app == app && known.key == key) {
                located.push(Located { app, key, at: None, commit: String::new(), here: true });
            }
        }
        Ok(located)
    }
}
