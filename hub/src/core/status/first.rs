//! The first thing that is not ready: of all objects that clusters report, the
//! one to look at first, so that nobody has to search a list for what a state
//! comes from.

use jiff::Timestamp;
use rimward_proto::ClusterName;
use rimward_proto::report::{AppReport, ObjectReport, State};

use super::cluster::ClusterView;
use super::rank;
use crate::core::world::World;

/// An object that is not as it should be, and where.
#[derive(Debug, Clone, Copy)]
pub struct NotReady<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// What the cluster says of its App.
    pub report: &'a AppReport,
    /// The object.
    pub object: &'a ObjectReport,
}

/// The first of the objects in `reports` that is not as it should be: of the App in the worst state, the object that
/// the state comes from. Of clusters that cannot be seen nothing is said: what they reported may be long past.
pub fn not_ready<'a>(
    world: &World,
    reports: impl IntoIterator<Item = (&'a ClusterName, &'a AppReport)>,
    now: Timestamp,
) -> Option<NotReady<'a>> {
    let seen = |name: &ClusterName| {
        ClusterView::new(world, name, now).is_some_and(|cluster| cluster.link().is_none())
    };
    let worst = reports
        .into_iter()
        .filter(|(_, report)| report.state != State::Ready && !report.exceptions.is_empty())
        .filter(|(cluster, _)| seen(cluster))
        // The first of those that are equally bad, in the order given.
        .min_by_key(|(_, report)| rank(report.state));
    let (cluster, report) = worst?;
    let cause = report.exceptions.iter().find(|object| object.reason == report.reason);
    Some(NotReady { cluster, report, object: cause.or_else(|| report.exceptions.first())? })
}
