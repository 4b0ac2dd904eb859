//! Sees a value change at watch latency: polling would load the API server that
//! is being measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;

/// The values that one key of the ConfigMaps of a namespace takes, as they are seen. One watch for all, that has run
/// for a while: the first events of a new one come up to 50 ms late, and that is not what is measured.
pub struct Values {
    seen: mpsc::UnboundedReceiver<(String, String, Instant)>,
    task: tokio::task::JoinHandle<()>,
}

impl Values {
    /// Starts to watch.
    pub fn watch(client: Client, namespace: &str, key: &str) -> Self {
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        let config = watcher::Config::default();
        let (key, (send, seen)) = (key.to_owned(), mpsc::unbounded_channel());
        let task = tokio::spawn(async move {
            let stream = watcher(api, config).default_backoff().applied_objects();
            pin_mut!(stream);
            while let Some(event) = stream.next().await {
                let seen = event.ok().and_then(|map| Some((map.metadata.name?, map.data?.remove(&key)?)));
                if let Some((name, value)) = seen
                    && send.send((name, value, Instant::now())).is_err()
                {
                    return;
                }
            }
        });
        Self { seen, task }
    }

    /// Waits for a value of one of them; when it was seen.
    pub async fn until(&mut self, name: &str, wanted: &str, limit: Duration) -> Result<Instant> {
        let search = async {
            while let Some((found, value, time)) = self.seen.recv().await {
                if found == name && value == wanted {
                    return Ok(time);
                }
            }
            bail!("the watch ended")
        };
        tokio::time::timeout(limit, search)
            .await
            .with_context(|| format!("never saw {wanted:?} of {name}"))?
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        self.task.abort();
    }
}
