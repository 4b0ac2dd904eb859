//! Every state that an object goes through, for tests that must not miss one
//! which is over before they look.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::http::Request;
use futures::StreamExt;
use kube::api::WatchEvent;
use kube::core::DynamicObject;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::Site;

/// The states of one object since its history began; it ends when dropped.
pub struct History {
    seen: Arc<Mutex<Vec<Value>>>,
    watch: JoinHandle<()>,
}

impl History {
    /// Every state so far, the one at the beginning first.
    pub fn states(&self) -> Vec<Value> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The different values of `pointer` (a JSON pointer) one after the other.
    pub fn values(&self, pointer: &str) -> Vec<Value> {
        let mut values: Vec<Value> =
            self.states().iter().map(|state| state.pointer(pointer).cloned().unwrap_or_default()).collect();
        values.dedup();
        values
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Site {
    /// Begins to write down the states of the object at `path`.
    pub async fn history(&self, path: &str) -> Result<History> {
        let (collection, name) = path.rsplit_once('/').unwrap_or(("", path));
        let uri = format!("{collection}?watch=true&fieldSelector=metadata.name%3D{name}");
        let request = Request::get(uri).body(Vec::new())?;
        let events = self.client().request_events::<DynamicObject>(request).await?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let states = Arc::clone(&seen);
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            while let Some(Ok(event)) = events.next().await {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
                let state = serde_json::to_value(&object).unwrap_or_default();
                states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
            }
        });
        Ok(History { seen, watch })
    }
}
