//! An App as the API shows it.

use rimward_proto::Digest;
use serde::Serialize;

use super::Core;
use crate::core::model::SourceId;
use crate::core::status::app::{AppClusters, AppView};
use crate::core::status::drift::Standing;
use crate::core::status::overview::Overview;

/// One App.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppItem {
    #[serde(flatten)]
    core: Core,
    tenant: String,
    source: Option<String>,
    path: Option<String>,
    commit: Option<String>,
    revision: Option<Digest>,
    pinned: bool,
    rollout: Option<()>,
    drift: Option<u64>,
    clusters: Clusters,
}

#[derive(Debug, Serialize)]
struct Clusters {
    total: u64,
    updated: u64,
    ready: u64,
    waiting: u64,
    failed: u64,
    offline: u64,
}

/// The name a source has within its tenant, or `fleet`.
pub fn source_name(id: &SourceId) -> String {
    match id {
        SourceId::Fleet => "fleet".to_owned(),
        SourceId::Tenant { source, .. } => source.clone(),
    }
}

impl AppItem {
    /// The item of one App.
    pub fn new(overview: &Overview<'_>, view: &AppView<'_>, drift: &Standing) -> Self {
        let AppClusters { total, updated, ready, waiting, failed, offline } = view.clusters;
        Self {
            core: Core::new(&view.id.app, view.status(overview.now)),
            tenant: view.id.tenant.to_string(),
            source: view.decision.map(|decision| source_name(&decision.source)),
            path: view.decision.map(|decision| decision.path.clone()),
            commit: view.decision.map(|decision| decision.commit.clone()),
            revision: view.decision.and_then(|decision| decision.bundle),
            pinned: false,
            rollout: None,
            drift: drift.of_app(overview, &view.id, view.on.keys()),
            clusters: Clusters { total, updated, ready, waiting, failed, offline },
        }
    }
}
