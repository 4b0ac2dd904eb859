//! A cluster as the API shows it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rimward_proto::report::ListsReport;
use rimward_proto::{ClusterName, Digest};
use serde::Serialize;

use super::Core;
use crate::core::status::cluster::ClusterView;
use crate::core::status::drift::Standing;
use crate::core::world::ClusterStatus;

/// One cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterItem {
    #[serde(flatten)]
    core: Core,
    labels: BTreeMap<String, String>,
    uid: Option<String>,
    last_seen: Option<Timestamp>,
    kubernetes_version: String,
    spoke_version: String,
    certificate_expires: Option<Timestamp>,
    plan: PlanItem,
    apps: Apps,
    drift: Option<u64>,
    /// What its spoke looks at by list, and how often; null if it watches everything.
    lists: Option<ListsReport>,
    pause: Option<()>,
}

#[derive(Debug, Serialize)]
struct PlanItem {
    epoch: Option<u64>,
    seq: Option<u64>,
    digest: Option<Digest>,
    wanted: Option<Digest>,
}

#[derive(Debug, Serialize)]
struct Apps {
    total: u64,
    ready: u64,
}

impl ClusterItem {
    /// The item of one cluster.
    pub fn new(view: &ClusterView<'_>, drift: &Standing) -> Self {
        let known = view.known;
        let document = view.world.policy.as_ref().and_then(|policy| policy.clusters.get(view.name));
        let count = view.count();
        Self {
            core: Core::new(view.name, view.status()),
            labels: document.map(|cluster| cluster.labels.clone()).unwrap_or_default(),
            uid: known.uid.as_ref().map(ToString::to_string),
            last_seen: known.last_seen,
            kubernetes_version: known.kubernetes_version.clone(),
            spoke_version: known.spoke_version.clone(),
            certificate_expires: known.certificate_expires,
            plan: PlanItem {
                epoch: known.held.map(|(epoch, _)| epoch),
                seq: known.held.map(|(_, seq)| seq),
                digest: known.plan,
                wanted: view.wanted.map(|(digest, _)| digest),
            },
            apps: Apps { total: count.total, ready: count.ready },
            drift: drift.on(view),
            lists: known.lists.clone(),
            pause: None,
        }
    }
}

/// How late drift may show on a cluster where not everything is watched.
#[derive(Debug, Serialize)]
pub struct ListsItem {
    cluster: String,
    #[serde(flatten)]
    lists: ListsReport,
}

impl ListsItem {
    /// The item of one cluster; none if it watches everything.
    pub fn of(cluster: &ClusterName, known: &ClusterStatus) -> Option<Self> {
        Some(Self { cluster: cluster.to_string(), lists: known.lists.clone()? })
    }
}
