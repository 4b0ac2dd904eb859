//! State of a tenant: the worst of its sources and Apps, because a team that
//! looks at one line must see that something of theirs is wrong.

use std::collections::BTreeSet;

use rimward_proto::report::State;
use rimward_proto::{AppId, TenantName};

use super::app::AppView;
use super::overview::Overview;
use super::{Status, source, worst};
use crate::core::model::SourceId;
use crate::core::world::World;

/// A tenant's status and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSummary {
    /// The status.
    pub status: Status,
    /// Its sources.
    pub sources: u64,
    /// Its Apps.
    pub apps: u64,
    /// Of those, Ready everywhere.
    pub ready: u64,
    /// Clusters that any of its Apps is on.
    pub clusters: u64,
}

/// Every tenant of the policy, and those that are gone from it but still run something or are held.
pub fn names(world: &World, ids: &BTreeSet<AppId>) -> BTreeSet<TenantName> {
    let documents = world.policy.iter().flat_map(|policy| policy.tenants.keys().cloned());
    documents.chain(ids.iter().map(|id| id.tenant.clone())).collect()
}

/// A tenant's status and counts; `ids` are those of [`super::app::ids`], looked up once for a whole listing.
pub fn summary(overview: &Overview<'_>, ids: &BTreeSet<AppId>, name: &TenantName) -> TenantSummary {
    let (world, now) = (overview.world, overview.now);
    let mut parts: Vec<(String, Status)> = Vec::new();
    for (id, known) in &world.sources {
        if matches!(id, SourceId::Tenant { tenant, .. } if tenant == name) {
            let notes = world.decided.notes.iter().filter(|(of, _)| of == id).map(|(_, note)| note);
            parts.push((format!("source/{id}"), source::status(known, notes, now)));
        }
    }
    let sources = parts.len() as u64;
    let mut clusters = BTreeSet::new();
    for id in ids.iter().filter(|id| id.tenant == *name) {
        let view = AppView::new(overview, id);
        parts.push((format!("app/{id}"), view.status(now)));
        clusters.extend(view.on.into_keys());
    }
    let apps = parts.len() as u64 - sources;
    let ready = parts.iter().skip(sources as usize).filter(|(_, s)| s.state == State::Ready).count() as u64;
    let status = worst("parts", parts.iter().map(|(name, status)| (name.as_str(), status)))
        .unwrap_or_else(|| Status::not(State::Pending, "NoSources", "it has no source yet", now));
    TenantSummary { status, sources, apps, ready, clusters: clusters.len() as u64 }
}
