//! A tenant as the API shows it.

use std::collections::BTreeSet;

use rimward_proto::{AppId, TenantName};
use serde::Serialize;

use super::Core;
use crate::core::status::overview::Overview;
use crate::core::status::tenant;

/// One tenant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantItem {
    #[serde(flatten)]
    core: Core,
    namespaces: Vec<String>,
    sources: u64,
    apps: Apps,
    clusters: u64,
}

#[derive(Debug, Serialize)]
struct Apps {
    total: u64,
    ready: u64,
}

impl TenantItem {
    /// The item of one tenant.
    pub fn new(overview: &Overview<'_>, ids: &BTreeSet<AppId>, name: &TenantName) -> Self {
        let summary = tenant::summary(overview, ids, name);
        let document = overview.world.policy.as_ref().and_then(|policy| policy.tenants.get(name));
        Self {
            core: Core::new(name, summary.status),
            namespaces: document.map(|tenant| tenant.namespaces.clone()).unwrap_or_default(),
            sources: summary.sources,
            apps: Apps { total: summary.apps, ready: summary.ready },
            clusters: summary.clusters,
        }
    }
}
