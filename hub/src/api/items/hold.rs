//! Holds as the API shows them: what waits for a person, the hub's and the
//! spokes', with exactly what an approval would let go.

use jiff::Timestamp;
use rimward_proto::report::HoldReport;
use rimward_proto::{AppId, ClusterName, Digest};
use serde::Serialize;

use super::object::ObjectRef;
use crate::core::world::{HubHold, World};

/// One hold.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldItem {
    /// Names it as long as it is about the same Apps and clusters, whatever its digest becomes.
    pub id: String,
    /// What an approval must name.
    pub digest: Digest,
    by: &'static str,
    reason: String,
    message: String,
    apps: Vec<AppId>,
    clusters: Vec<ClusterName>,
    objects: Vec<Held>,
    approved: bool,
    as_of: Timestamp,
}

#[derive(Debug, Serialize)]
struct Held {
    object: ObjectRef,
    uid: String,
}

impl HoldItem {
    fn of_hub(hold: &HubHold, now: Timestamp) -> Self {
        // Named by what it would let go, so that a changed proposal keeps its name and its old digest is refused.
        let first = hold.apps.first().map(ToString::to_string).unwrap_or_else(|| "fleet".to_owned());
        Self {
            id: format!("hub.{}.{}", hold.reason, first.replace('/', ".")),
            digest: hold.digest,
            by: "hub",
            reason: hold.reason.clone(),
            message: hold.message.clone(),
            apps: hold.apps.clone(),
            clusters: hold.clusters.clone(),
            objects: Vec::new(),
            approved: false,
            as_of: now,
        }
    }

    fn of_spoke(world: &World, cluster: &ClusterName, hold: &HoldReport, as_of: Timestamp) -> Self {
        let assignment = world.published.as_ref().and_then(|p| p.assignments.get(cluster));
        let approved = assignment.is_some_and(|(_, assignment)| assignment.deletes.contains(&hold.digest));
        let held = hold.objects.iter();
        let objects = held
            .map(|held| Held { object: ObjectRef::new(&held.key, None), uid: held.uid.clone() })
            .collect::<Vec<_>>();
        Self {
            id: format!("{cluster}.{}.{}.{}", hold.reason, hold.id.tenant, hold.id.app),
            digest: hold.digest,
            by: "spoke",
            reason: hold.reason.clone(),
            message: format!("{} deletions of {} on {cluster} wait", objects.len(), hold.id),
            apps: vec![hold.id.clone()],
            clusters: vec![cluster.clone()],
            objects,
            approved,
            as_of,
        }
    }

    /// Every hold there is, in the order of its id.
    pub fn all(world: &World, now: Timestamp) -> Vec<Self> {
        let hub = world.decided.holds.iter().map(|hold| Self::of_hub(hold, now));
        let spokes = world.clusters.iter().flat_map(|(cluster, known)| {
            let as_of = known.reported.unwrap_or(now);
            known.holds.iter().map(move |hold| Self::of_spoke(world, cluster, hold, as_of))
        });
        let mut holds: Vec<Self> = hub.chain(spokes).collect();
        holds.sort_by(|a, b| (&a.id, a.digest).cmp(&(&b.id, b.digest)));
        holds
    }

    /// True if it is about an App and a cluster that the query lets through.
    pub fn admitted(&self, query: &super::super::query::Query) -> bool {
        let apps = self.apps.is_empty() && query.tenant.is_none() && query.app.is_none();
        let clusters = self.clusters.is_empty() && query.cluster.is_none();
        (apps || self.apps.iter().any(|id| query.admits_app(id)))
            && (clusters || self.clusters.iter().any(|name| query.admits_cluster(name.as_str())))
    }
}
