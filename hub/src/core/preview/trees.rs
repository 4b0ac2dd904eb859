//! Two states of all repositories → a preview, with no hub: as if every cluster
//! of the fleet had an identity and ran what the first state wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rimward_proto::{ClusterName, ClusterUid, Digest};

use super::{Limits, Outcome, Preview, preview};
use crate::core::files::{FleetLoad, load_fleet};
use crate::core::model::{SourceId, SourceTree};
use crate::core::note::Note;
use crate::core::plan::{Looks, PlanInputs, PlanOutput, RenderCache, plan};

/// What the repositories hold.
#[derive(Debug, Clone, Default)]
pub struct Trees {
    /// The fleet repo.
    pub fleet: Arc<SourceTree>,
    /// The tenants' sources, as far as they are given. Apps of others are unknown, and left as they are.
    pub sources: BTreeMap<SourceId, Arc<SourceTree>>,
}

/// What one state comes to.
#[derive(Debug)]
pub struct Planned {
    /// Its fleet.
    pub fleet: FleetLoad,
    /// Its plans.
    pub output: PlanOutput,
    commits: BTreeMap<SourceId, String>,
}

/// Plans one state after another, so that the second costs what changed.
#[derive(Debug, Default)]
pub struct Planner {
    cache: RenderCache,
}

impl Planner {
    /// Plans `trees`, with what was planned `before` in force; with none, nothing is.
    pub fn plan(&mut self, trees: &Trees, before: Option<&Planned>) -> Planned {
        let good = before.map(|before| before.fleet.good.clone()).unwrap_or_default();
        let fleet = load_fleet(&trees.fleet, &good);
        let clusters = before.iter().flat_map(|before| before.fleet.policy.clusters.keys());
        let clusters: BTreeSet<&ClusterName> = clusters.chain(fleet.policy.clusters.keys()).collect();
        let uid = |name: &ClusterName| ClusterUid::new(name.as_str()).ok().map(|uid| (name.clone(), uid));
        let enrolled = clusters.into_iter().filter_map(uid).collect();
        let (previous, origins) = before
            .map(|before| (before.output.plans.clone(), before.output.origins.clone()))
            .unwrap_or_default();
        // All of them were looked at just now.
        let looks = trees.sources.keys().map(|id| (id.clone(), Looks { last: 2, changed: 1 })).collect();
        let inputs = PlanInputs {
            policy: &fleet.policy,
            trees: &trees.sources,
            looks: &looks,
            enrolled: &enrolled,
            previous: &previous,
            origins: &origins,
            cleared: &BTreeMap::new(),
            approvals: &BTreeSet::new(),
            unaccounted: &BTreeMap::new(),
            indexes: &BTreeMap::new(),
        };
        let mut output = plan(&inputs, &mut self.cache);
        let notes = fleet.notes.iter().map(|note| (SourceId::Fleet, note.clone()));
        let notes: Vec<(SourceId, Note)> = notes.chain(output.decided.notes).collect();
        output.decided.notes = notes;
        let tenants = trees.sources.iter().map(|(id, tree)| (id.clone(), tree.commit.clone()));
        let commits = tenants.chain([(SourceId::Fleet, trees.fleet.commit.clone())]).collect();
        Planned { fleet, output, commits }
    }
}

/// Compares two states; without a `base`, everything is new.
pub fn compare(base: Option<&Planned>, head: &Planned, limits: Limits) -> Preview {
    let content = |digest: &Digest| {
        let base = || base?.output.content.get(digest);
        head.output.content.get(digest).or_else(base).cloned()
    };
    let nothing = (PlanOutput::default(), BTreeMap::new());
    let outcome = base.map(|base| Outcome::new(&base.output, &base.commits));
    let outcome = outcome.unwrap_or_else(|| Outcome::new(&nothing.0, &nothing.1));
    preview(outcome, Outcome::new(&head.output, &head.commits), &content, limits)
}
