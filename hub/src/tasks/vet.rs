//! What was planned → what may be signed. A change that the signer refuses is
//! held: the cluster keeps the plan it has, everyone else gets theirs, and it is
//! said.

use std::sync::Arc;

use rimward_proto::Digest;
use rimward_proto::plan::PlanBundle;

use super::plan::Planner;
use super::publish::Planned;
use crate::core::codes;
use crate::core::model::SourceId;
use crate::core::note::{Note, Position};
use crate::core::status::name_some;
use crate::sign::scope::{Evidence, Refused};

/// Puts the plan in force in the place of each plan that must not be signed.
pub fn vet(planner: &mut Planner, planned: &mut Planned) {
    let Planner { state, memory, cache, inspector, .. } = planner;
    let output = &mut planned.output;
    let index = |digest: &Digest| -> Option<Arc<[u8]>> {
        let known = output.content.get(digest).cloned().or_else(|| cache.content(digest));
        known.or_else(|| state.content.get(digest).ok().flatten().map(Arc::from))
    };
    let evidence = Evidence {
        tenants: &planned.policy.tenants,
        before: &memory.plans,
        plans: &output.plans,
        index: &index,
    };
    for refused in inspector.inspect(&evidence) {
        let Refused { clusters, app, why } = refused;
        let on = name_some(&clusters);
        tracing::error!(%app, clusters = on, why, "a plan is not signed");
        for cluster in clusters {
            let Some(before) = memory.plans.get(&cluster) else {
                output.plans.remove(&cluster);
                continue;
            };
            // What stays in a plan after all is still where it was.
            for id in before.bundles.iter().map(PlanBundle::id) {
                if let Some(origin) = memory.origins.get(&id) {
                    output.origins.entry(id).or_insert_with(|| origin.clone());
                }
            }
            output.plans.insert(cluster, before.clone());
        }
        let decision = output.decided.apps.get_mut(&app);
        let source = decision.as_ref().map_or(SourceId::Fleet, |decision| decision.source.clone());
        let message = format!("the plan for {on} is not signed: {app}: {why}");
        let note = Note::error(codes::SIGNER, Position::default(), message)
            .help("these clusters keep the plan they have; report it, it is a bug in planning or worse");
        if let Some(decision) = decision {
            decision.blocked = Some(note.clone());
        }
        output.decided.notes.push((source, note));
    }
}

#[cfg(test)]
mod tests;
